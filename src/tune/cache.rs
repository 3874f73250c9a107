//! The file in which measurements are kept: JSON, a section for each device, driver and set of kernels.

use crate::catalog::images;
use crate::device::DeviceInfo;
use crate::dispatch::{Entry, Tuned};
use crate::record::replace_file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Version of the file's schema.
const SCHEMA: u32 = 1;

/// Most sections of a file; beyond it the one that was written first is forgotten.
const MAX_SECTIONS: usize = 16;

/// Largest file that is read, in bytes: all sections full need less.
const MAX_BYTES: u64 = 64 << 20;

/// What measurements hold for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The device's UUID, or its name where it has none.
    pub device: String,
    /// Its compute capability.
    pub compute_capability: String,
    /// The driver's version.
    pub driver: String,
    /// SHA-256 over the catalogue and all images.
    pub kernels: String,
}

impl Key {
    /// The key of a device with this program's kernels.
    pub fn of(info: &DeviceInfo) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(include_str!("../../kernels/catalog.toml"));
        for image in images() {
            hasher.update(format!("\n{} {}", image.file, image.ptx_sha256));
        }
        Key {
            device: info.record.uuid.clone().unwrap_or_else(|| info.record.name.clone()),
            compute_capability: info.record.compute_capability.clone().unwrap_or_default(),
            driver: info.record.driver.clone(),
            kernels: hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    sections: Vec<Section>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    key: Key,
    entries: Tuned,
}

/// A file that cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// It holds something else.
    #[error("{path} is not a cache of tuned kernels ({why}); delete it, or name another file with --cache or --tuned")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be read.
    #[error("cannot read {path}: {source}; make it readable, or name another file with --cache or --tuned")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {path}: {source}; make its folder writable, or name another file with --cache or --tuned")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What a file holds for a key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// The measurements, if there are any for the key.
    pub tuned: Option<Tuned>,
    /// Why there are none, where the file has some for other keys.
    pub note: Option<String>,
}

/// `gemmscope/tuned.json` in the user's cache folder: `$XDG_CACHE_HOME`, else `~/.cache`. `None` where there is no home.
pub fn default_path() -> Option<PathBuf> {
    // A relative path in the variable is to be ignored, says the XDG base directory specification.
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = named.or_else(|| Some(std::env::home_dir().filter(|home| home.is_absolute())?.join(".cache")))?;
    Some(folder.join("gemmscope/tuned.json"))
}

/// What a file holds for a key. A file that is not there holds nothing.
///
/// # Errors
/// It cannot be read, or it is not such a file.
pub fn load(path: &Path, key: &Key) -> Result<Loaded, CacheError> {
    let file = read(path)?;
    if let Some(section) = file.sections.iter().find(|s| s.key == *key) {
        return Ok(Loaded { tuned: Some(section.entries.clone()), note: None });
    }
    let note = file.sections.last().map(|Section { key: other, .. }| {
        let mut differs = Vec::new();
        for (name, theirs, ours) in [
            ("device", &other.device, &key.device),
            ("driver", &other.driver, &key.driver),
            ("kernels", &other.kernels, &key.kernels),
        ] {
            if theirs != ours {
                differs.push(format!("{name} {theirs}, here {ours}"));
            }
        }
        format!(
            "{} was tuned elsewhere ({}) and is not used; `gemmscope tune` adds this device",
            path.display(),
            differs.join("; ")
        )
    });
    Ok(Loaded { tuned: None, note })
}

/// Adds entries to a key's section, and replaces the file in one step.
///
/// # Errors
/// It cannot be read or written, or it is not such a file; it then stays as it is.
pub fn add(path: &Path, key: &Key, entries: Vec<Entry>) -> Result<(), CacheError> {
    let mut file = read(path)?;
    let old = file.sections.iter().position(|s| s.key == *key).map(|i| file.sections.remove(i));
    let mut section = old.unwrap_or_else(|| Section { key: key.clone(), entries: Tuned::default() });
    entries.into_iter().for_each(|entry| section.entries.insert(entry));
    file.sections.push(section);
    let surplus = file.sections.len().saturating_sub(MAX_SECTIONS);
    file.sections.drain(..surplus);
    file.schema = SCHEMA;
    let write = || {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        replace_file(path, serde_json::to_string_pretty(&file)?.as_bytes())
    };
    write().map_err(|source| CacheError::Write { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<File, CacheError> {
    let mut text = String::new();
    let opened = std::fs::File::open(path).and_then(|f| f.take(MAX_BYTES + 1).read_to_string(&mut text));
    let damaged = |why: String| CacheError::Damaged { path: path.to_owned(), why };
    match opened {
        Err(source) if source.kind() == ErrorKind::NotFound => {
            return Ok(File { schema: SCHEMA, sections: Vec::new() });
        }
        Err(source) if source.kind() == ErrorKind::InvalidData => return Err(damaged("it is not text".to_owned())),
        Err(source) => return Err(CacheError::Read { path: path.to_owned(), source }),
        Ok(bytes) if bytes as u64 > MAX_BYTES => return Err(damaged(format!("it has more than {MAX_BYTES} bytes"))),
        Ok(_) => {}
    }
    let file: File = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    match file.schema {
        SCHEMA => Ok(file),
        other => Err(damaged(format!("its schema is {other}, and this program knows {SCHEMA}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Form, Outcome};
    use crate::problem::Problem;

    fn key(driver: &str) -> Key {
        Key { driver: driver.to_owned(), ..Key::of(&crate::device::cpu::info()) }
    }

    fn entry(m: u64) -> Entry {
        Entry {
            form: Form::of(&Problem::new(m, 8, 8)),
            kernel: "k".to_owned(),
            variant: "v".to_owned(),
            outcome: Outcome::Faster,
            median_ns: 1.0,
            model: "k/w".to_owned(),
            model_ns: 2.0,
            measured: "2026-01-02T03:04:05Z".to_owned(),
        }
    }

    #[test]
    fn what_was_added_is_found_under_its_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/tuned.json");
        assert_eq!(load(&path, &key("1")).unwrap(), Loaded::default());
        add(&path, &key("1"), vec![entry(1)]).unwrap();
        add(&path, &key("2"), vec![entry(2)]).unwrap();
        add(&path, &key("1"), vec![entry(3)]).unwrap();
        let tuned = load(&path, &key("1")).unwrap().tuned.unwrap();
        assert_eq!(tuned.entries(), [entry(1), entry(3)]);
        let other = load(&path, &key("3")).unwrap();
        assert_eq!(other.tuned, None);
        assert!(
            other.note.as_ref().is_some_and(|n| n.contains("driver 1, here 3") && !n.contains("kernels")),
            "{other:?}"
        );
    }

    #[test]
    fn a_file_holds_so_many_sections() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tuned.json");
        for i in 0..=MAX_SECTIONS {
            add(&path, &key(&i.to_string()), vec![entry(1)]).unwrap();
        }
        assert_eq!(load(&path, &key("0")).unwrap().tuned, None);
        assert!(load(&path, &key("1")).unwrap().tuned.is_some());
    }

    #[test]
    fn a_damaged_file_is_named_with_a_remedy_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tuned.json");
        for bytes in [&b"{"[..], b"", b"\xff\xfe", b"[]", br#"{"schema":9,"sections":[]}"#, br#"{"schema":1}"#] {
            std::fs::write(&path, bytes).unwrap();
            for why in [load(&path, &key("1")).unwrap_err(), add(&path, &key("1"), vec![entry(1)]).unwrap_err()] {
                let why = why.to_string();
                assert!(why.contains("tuned.json") && why.contains("delete it"), "{why}");
            }
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
}
