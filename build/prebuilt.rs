//! `kernels/prebuilt/`: compressed PTX for machines without nvcc, and the hash of the sources that it came from.

use super::compile::{Image, Images, compress};
use super::{Error, sources};
use flate2::read::ZlibDecoder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

/// Name of the manifest in the folder.
pub const MANIFEST: &str = "manifest.toml";

/// What the folder was made from, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the nvcc that made the PTX.
    pub nvcc: String,
    /// Hash of the source set, see [`sources::hash_all`].
    pub sources_sha256: String,
    /// The files.
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

/// One file of PTX.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The source, below `kernels/`.
    pub path: String,
    /// The compressed PTX, below `kernels/prebuilt/`.
    pub ptx: String,
    /// SHA-256 of the PTX text.
    pub ptx_sha256: String,
}

fn broken(file: &str, what: impl ToString) -> Error {
    Error::Prebuilt { file: file.to_owned(), what: what.to_string() }
}

/// Reads `root/kernels/prebuilt/` and makes sure that it belongs to the sources.
///
/// # Errors
/// A hash that differs; a file that is missing or damaged.
pub fn read(root: &Path) -> Result<(Manifest, Images), Error> {
    let folder = root.join("kernels/prebuilt");
    let text = fs::read_to_string(folder.join(MANIFEST)).map_err(|e| broken(MANIFEST, e))?;
    let manifest: Manifest = toml::from_str(&text).map_err(|e| broken(MANIFEST, e))?;
    let actual = sources::hash_all(root)?;
    if manifest.sources_sha256 != actual {
        return Err(Error::Stale { recorded: manifest.sources_sha256, actual });
    }
    let mut images = Images::default();
    for file in &manifest.files {
        let bytes = fs::read(folder.join(&file.ptx)).map_err(|e| broken(&file.ptx, e))?;
        let ptx = inflate(&bytes).map_err(|e| broken(&file.ptx, e))?;
        if sources::sha256(ptx.as_bytes()) != file.ptx_sha256 {
            return Err(broken(&file.ptx, "is not the text that the manifest has the hash of"));
        }
        images.images.push(Image { file: file.path.clone(), ptx, cubins: Vec::new() });
    }
    Ok((manifest, images))
}

fn inflate(bytes: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    ZlibDecoder::new(bytes).read_to_string(&mut text)?;
    Ok(text)
}

/// The files that `kernels/prebuilt/` should have, by path.
pub fn render(images: &Images, nvcc: &str, sources_sha256: String) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut listed = Vec::new();
    for Image { file, ptx, .. } in &images.images {
        let name = format!("{}.ptx.z", file.trim_end_matches(".cu"));
        files.insert(name.clone(), compress(ptx.as_bytes()));
        listed.push(File { path: file.clone(), ptx: name, ptx_sha256: sources::sha256(ptx.as_bytes()) });
    }
    let manifest = Manifest { nvcc: nvcc.to_owned(), sources_sha256, files: listed };
    let text = toml::to_string(&manifest).expect("strings in tables are TOML");
    files.insert(MANIFEST.to_owned(), format!("# Written by `cargo xtask kernels`.\n{text}").into_bytes());
    files
}

/// Replaces `root/kernels/prebuilt/`.
///
/// # Errors
/// A file or folder that cannot be written or moved.
pub fn write(root: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    let folder = root.join("kernels/prebuilt");
    // Hidden, so that it is no source while it is there.
    let partial = root.join("kernels/.prebuilt.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(Error::io("removing", &partial))?;
    }
    for (name, bytes) in files {
        let path = partial.join(name);
        let parent = path.parent().unwrap_or(&partial);
        fs::create_dir_all(parent).map_err(Error::io("creating", parent))?;
        fs::write(&path, bytes).map_err(Error::io("writing", &path))?;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Error::io("removing", &folder))?;
    }
    fs::rename(&partial, &folder).map_err(Error::io("moving", &partial))
}

/// The first file, by name, in which `root/kernels/prebuilt/` is not as it should be, and how. Compressed PTX is compared
/// byte for byte as text: another version of the compressor is no difference.
///
/// # Errors
/// A folder that cannot be read.
pub fn first_difference(root: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<Option<String>, Error> {
    let folder = root.join("kernels/prebuilt");
    for (name, expected) in files {
        let Ok(actual) = fs::read(folder.join(name)) else {
            return Ok(Some(format!("kernels/prebuilt/{name} is missing")));
        };
        if *expected == actual {
            continue;
        }
        if name == MANIFEST {
            // A checkout may have given it other line ends.
            let parsed = |bytes: &[u8]| toml::from_str::<Manifest>(&String::from_utf8_lossy(bytes)).ok();
            if parsed(&actual) != parsed(expected) {
                return Ok(Some(format!("kernels/prebuilt/{name} differs from what these sources give")));
            }
            continue;
        }
        let (expected, actual) = (inflate(expected).unwrap_or_default(), inflate(&actual).unwrap_or_default());
        if expected != actual {
            let same = expected.lines().zip(actual.lines()).take_while(|(e, a)| e == a).count();
            let line = |text: &str| text.lines().nth(same).unwrap_or("(end)").trim().to_owned();
            return Ok(Some(format!(
                "kernels/prebuilt/{name} differs from line {} of the PTX on: it has {:?}, the sources give {:?}",
                same + 1,
                line(&actual),
                line(&expected)
            )));
        }
    }
    Ok(surplus(&folder, "", files)?.map(|name| format!("kernels/prebuilt/{name} belongs to no source")))
}

fn surplus(folder: &Path, prefix: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Option<String>, Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("reading", folder))? {
        let entry = entry.map_err(Error::io("reading", folder))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            if let Some(found) = surplus(&entry.path(), &(name + "/"), files)? {
                return Ok(Some(found));
            }
        } else if !files.contains_key(&name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CATALOG, tree};
    use super::*;
    use tempfile::TempDir;

    fn built() -> (TempDir, BTreeMap<String, Vec<u8>>) {
        let root = tree(&[("catalog.toml", CATALOG), ("gemm/a.cu", "code\n")]);
        let image = Image { file: "gemm/a.cu".to_owned(), ptx: ".version 9.0\nret;\n".to_owned(), cubins: vec![] };
        let images = Images { images: vec![image], ..Images::default() };
        let files = render(&images, "13.0.88", sources::hash_all(root.path()).unwrap());
        write(root.path(), &files).unwrap();
        (root, files)
    }

    #[test]
    fn what_is_written_is_read() {
        let (root, files) = built();
        let (manifest, images) = read(root.path()).unwrap();
        assert_eq!(manifest.nvcc, "13.0.88");
        assert_eq!(images.images[0].ptx, ".version 9.0\nret;\n");
        assert_eq!(first_difference(root.path(), &files).unwrap(), None);
        // A second time over the first.
        write(root.path(), &files).unwrap();
        read(root.path()).unwrap();
    }

    #[test]
    fn changed_source_makes_it_stale() {
        let (root, _) = built();
        let before = sources::hash_all(root.path()).unwrap();
        fs::write(root.path().join("kernels/gemm/a.cu"), "other\n").unwrap();
        let after = sources::hash_all(root.path()).unwrap();
        let message = read(root.path()).unwrap_err().to_string();
        for part in ["kernels/prebuilt/ is stale", &before, &after, "`cargo xtask kernels`"] {
            assert!(message.contains(part), "{part:?} is missing in: {message}");
        }
    }

    #[test]
    fn damaged_files_are_named() {
        let (root, _) = built();
        let ptx = root.path().join("kernels/prebuilt/gemm/a.ptx.z");
        fs::write(&ptx, compress(b"other")).unwrap();
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.starts_with("kernels/prebuilt/gemm/a.ptx.z: is not the text"), "{message}");
        fs::remove_file(&ptx).unwrap();
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.starts_with("kernels/prebuilt/gemm/a.ptx.z: No such file"), "{message}");
        fs::remove_dir_all(root.path().join("kernels/prebuilt")).unwrap();
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.starts_with("kernels/prebuilt/manifest.toml: No such file"), "{message}");
    }

    #[test]
    fn differences_are_named() {
        let (root, files) = built();
        let folder = root.path().join("kernels/prebuilt");
        fs::write(folder.join("old.ptx.z"), "").unwrap();
        let difference = first_difference(root.path(), &files).unwrap().unwrap();
        assert_eq!(difference, "kernels/prebuilt/old.ptx.z belongs to no source");
        fs::write(folder.join("gemm/a.ptx.z"), compress(b".version 9.0\nexit;\n")).unwrap();
        let difference = first_difference(root.path(), &files).unwrap().unwrap();
        assert!(
            difference.contains("gemm/a.ptx.z differs from line 2 of the PTX on: it has \"exit;\""),
            "{difference}"
        );
        fs::remove_file(folder.join("gemm/a.ptx.z")).unwrap();
        let difference = first_difference(root.path(), &files).unwrap().unwrap();
        assert_eq!(difference, "kernels/prebuilt/gemm/a.ptx.z is missing");
    }

    #[test]
    fn other_compression_and_line_ends_are_no_difference() {
        let (root, files) = built();
        let folder = root.path().join("kernels/prebuilt");
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
        std::io::Write::write_all(&mut encoder, b".version 9.0\nret;\n").unwrap();
        fs::write(folder.join("gemm/a.ptx.z"), encoder.finish().unwrap()).unwrap();
        let manifest = fs::read_to_string(folder.join(MANIFEST)).unwrap();
        fs::write(folder.join(MANIFEST), manifest.replace('\n', "\r\n")).unwrap();
        assert_eq!(first_difference(root.path(), &files).unwrap(), None);
        read(root.path()).unwrap();
    }
}
