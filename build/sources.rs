//! The files below `kernels/`: their list, their hash, and the catalogue that must agree with them.

use super::Error;
use super::schema::Catalog;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The source files below `root/kernels/`, as sorted paths with `/` between their parts. `prebuilt/`, hidden files and
/// editors' backups (`name~`) are no sources.
///
/// # Errors
/// A folder that cannot be read.
pub fn list(root: &Path) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    let kernels = root.join("kernels");
    let mut folders = vec![(kernels.clone(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("reading", &folder))? {
            let entry = entry.map_err(Error::io("reading", &folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || name.ends_with('~') || (prefix.is_empty() && name == "prebuilt") {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.path().is_dir() {
                folders.push((entry.path(), path + "/"));
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A file below `root/kernels/` with Unix line ends, whatever git made of them.
fn read(root: &Path, file: &str) -> Result<Vec<u8>, Error> {
    let path = root.join("kernels").join(file);
    let bytes = fs::read(&path).map_err(Error::io("reading", &path))?;
    let mut unix = Vec::with_capacity(bytes.len());
    for (i, &byte) in bytes.iter().enumerate() {
        if byte != b'\r' || bytes.get(i + 1) != Some(&b'\n') {
            unix.push(byte);
        }
    }
    Ok(unix)
}

/// SHA-256 over the paths and contents of `files`, in hexadecimal. Line ends and the order of the list do not matter.
///
/// # Errors
/// A file that cannot be read.
pub fn hash<'a>(root: &Path, files: impl IntoIterator<Item = &'a str>) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    for file in files.into_iter().collect::<BTreeSet<_>>() {
        let bytes = read(root, file)?;
        // The lengths keep a path's end from being taken for a content's beginning.
        hasher.update(format!("{} {}\n{file}\n", file.len(), bytes.len()));
        hasher.update(&bytes);
    }
    Ok(hex(hasher.finalize().as_slice()))
}

/// The hash of the whole source set, as `kernels/prebuilt/manifest.toml` records it.
///
/// # Errors
/// As [`list`] and [`hash`].
pub fn hash_all(root: &Path) -> Result<String, Error> {
    let files = list(root)?;
    hash(root, files.iter().map(String::as_str))
}

/// Reads `kernels/catalog.toml` and compares it with the folder.
///
/// # Errors
/// Text that is no catalogue, and everything that [`problems`] finds.
pub fn catalog(root: &Path) -> Result<Catalog, Error> {
    let path = root.join("kernels/catalog.toml");
    let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
    let catalog: Catalog = toml::from_str(&text).map_err(|e| Error::CatalogText(e.to_string()))?;
    let problems = problems(&catalog, &list(root)?);
    if problems.is_empty() { Ok(catalog) } else { Err(Error::Catalog(problems)) }
}

/// What is wrong with a catalogue, given the source files that exist: one sentence each.
pub fn problems(catalog: &Catalog, sources: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if catalog.schema != 1 {
        problems.push(format!("schema is {}; this program reads 1", catalog.schema));
    }

    let mut files = BTreeSet::new();
    for file in &catalog.files {
        if !files.insert(file.path.as_str()) {
            problems.push(format!("[[file]] {:?} is listed twice; remove one", file.path));
        }
        if !sources.contains(&file.path) {
            problems.push(format!("[[file]] {:?} does not exist below kernels/; correct the path", file.path));
        }
        if !file.ptx_arch.starts_with("compute_") {
            problems.push(format!("{:?} has ptx_arch {:?}; it must be like compute_80", file.path, file.ptx_arch));
        }
        for cubin in file.cubins.iter().filter(|c| !c.starts_with("sm_")) {
            problems.push(format!("{:?} has the cubin {cubin:?}; it must be like sm_90a", file.path));
        }
    }
    for source in sources.iter().filter(|s| s.ends_with(".cu") && !files.contains(s.as_str())) {
        problems
            .push(format!("{source:?} exists and has no [[file]]; add one, or name it .cuh if it is only included"));
    }

    let mut kernels = BTreeSet::new();
    let mut entries = BTreeSet::new();
    let mut used = BTreeSet::new();
    for kernel in &catalog.kernels {
        if !kernels.insert(&kernel.name) {
            problems.push(format!("the kernel name {:?} is given twice; rename one", kernel.name));
        }
        if !files.contains(kernel.file.as_str()) {
            problems.push(format!("kernel {:?} names the file {:?}, which has no [[file]]", kernel.name, kernel.file));
        }
        if kernel.variants.is_empty() {
            problems.push(format!("kernel {:?} has no variant", kernel.name));
        }
        let mut variants = BTreeSet::new();
        for variant in &kernel.variants {
            if !variants.insert(&variant.name) {
                problems.push(format!("kernel {:?} has two variants {:?}; rename one", kernel.name, variant.name));
            }
            if !entries.insert((kernel.file.as_str(), variant.entry.as_str())) {
                problems.push(format!("the entry {:?} of {:?} is listed twice", variant.entry, kernel.file));
            }
        }
        used.insert(kernel.file.as_str());
    }
    for helper in &catalog.helpers {
        if !files.contains(helper.file.as_str()) {
            problems.push(format!("helper {:?} names the file {:?}, which has no [[file]]", helper.entry, helper.file));
        }
        if !entries.insert((helper.file.as_str(), helper.entry.as_str())) {
            problems.push(format!("the entry {:?} of {:?} is listed twice", helper.entry, helper.file));
        }
        used.insert(helper.file.as_str());
    }
    for file in files.difference(&used) {
        problems.push(format!("[[file]] {file:?} has no kernel and no helper; list its entries or remove it"));
    }
    problems
}

/// An entry that the catalogue promises in a file, with the register count that its launch bounds allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise<'a> {
    /// Symbol in the module.
    pub entry: &'a str,
    /// Highest register count per thread.
    pub registers_max: Option<u32>,
}

/// The entries that the catalogue lists for a file.
pub fn promises<'a>(catalog: &'a Catalog, file: &str) -> Vec<Promise<'a>> {
    let kernels = catalog.kernels.iter().filter(|k| k.file == file).flat_map(|k| &k.variants);
    let helpers = catalog.helpers.iter().filter(|h| h.file == file);
    kernels
        .map(|v| Promise { entry: &v.entry, registers_max: v.registers_max })
        .chain(helpers.map(|h| Promise { entry: &h.entry, registers_max: None }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CATALOG, tree};
    use super::*;

    #[test]
    fn hash_ignores_line_ends_prebuilt_and_backups() {
        let unix = tree(&[("a.cu", "one\ntwo\n"), ("ptx/b.cuh", "x")]);
        let before = hash_all(unix.path()).unwrap();
        let windows =
            tree(&[("ptx/b.cuh", "x"), ("a.cu", "one\r\ntwo\r\n"), ("prebuilt/m", "1"), (".b.swp", ""), ("a.cu~", "")]);
        assert_eq!(before, hash_all(windows.path()).unwrap());
    }

    #[test]
    fn hash_sees_paths_contents_and_lone_carriage_returns() {
        let hashes: BTreeSet<String> = [
            tree(&[("a.cu", "one"), ("b.cu", "two")]),
            tree(&[("a.cu", "one"), ("c.cu", "two")]),
            tree(&[("a.cu", "onetwo"), ("b.cu", "")]),
            tree(&[("a.cu", "on\re"), ("b.cu", "two")]),
            tree(&[("a.cu", "one"), ("d/prebuilt/b.cu", "two")]),
        ]
        .iter()
        .map(|t| hash_all(t.path()).unwrap())
        .collect();
        assert_eq!(hashes.len(), 5);
    }

    #[test]
    fn hash_of_a_known_tree() {
        // Pinned: prebuilt manifests in the wild carry such hashes.
        let tree = tree(&[("a.cu", "one\n")]);
        assert_eq!(hash_all(tree.path()).unwrap(), sha256(b"4 4\na.cu\none\n"));
    }

    #[test]
    fn a_good_catalog_has_no_problems() {
        let tree = tree(&[("catalog.toml", CATALOG), ("a.cu", "")]);
        let catalog = catalog(tree.path()).unwrap();
        let promised = promises(&catalog, "a.cu");
        assert_eq!(
            promised,
            [Promise { entry: "gemm", registers_max: Some(128) }, Promise { entry: "fill", registers_max: None }]
        );
    }

    #[test]
    fn catalog_problems_are_all_named() {
        let text =
            CATALOG.replace("file = \"a.cu\"\nentry", "file = \"b.cu\"\nentry").replace("schema = 1", "schema = 2");
        let twice = format!("{text}\n[[file]]\npath = \"gone.cu\"\nptx_arch = \"sm_80\"\ncubins = [\"80\"]\n");
        let tree = tree(&[("catalog.toml", &twice), ("a.cu", ""), ("new.cu", "")]);
        let message = catalog(tree.path()).unwrap_err().to_string();
        for part in [
            "schema is 2; this program reads 1",
            "\"gone.cu\" does not exist",
            "ptx_arch \"sm_80\"; it must be like compute_80",
            "the cubin \"80\"; it must be like sm_90a",
            "\"new.cu\" exists and has no [[file]]",
            "helper \"fill\" names the file \"b.cu\", which has no [[file]]",
            "\"gone.cu\" has no kernel and no helper",
        ] {
            assert!(message.contains(part), "{part:?} is missing in:\n{message}");
        }
    }

    #[test]
    fn catalog_names_are_unique() {
        let mut catalog: Catalog = toml::from_str(CATALOG).unwrap();
        catalog.kernels.push(catalog.kernels[0].clone());
        let variant = catalog.kernels[0].variants[0].clone();
        catalog.kernels[0].variants.push(variant);
        catalog.files.push(catalog.files[0].clone());
        let message = problems(&catalog, &["a.cu".to_owned()]).join("\n");
        for part in [
            "[[file]] \"a.cu\" is listed twice",
            "kernel name \"01_naive\" is given twice",
            "two variants \"v\"",
            "entry \"gemm\" of \"a.cu\" is listed twice",
        ] {
            assert!(message.contains(part), "{part:?} is missing in:\n{message}");
        }
    }

    #[test]
    fn catalog_syntax_errors_name_the_line() {
        let tree = tree(&[("catalog.toml", "schema = 1\nfile = 3\n")]);
        let message = catalog(tree.path()).unwrap_err().to_string();
        assert!(message.starts_with("kernels/catalog.toml: ") && message.contains("line 2"), "{message}");
    }
}
