//! Where a cuBLASLt may lie: the loader's path, a toolkit, the wheels of a Python environment.

use super::VARIABLE;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// File names, the newest first: the major version is that of the CUDA it belongs to.
const NAMES: [&str; 3] = ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"];

/// Reads an environment variable.
pub(super) type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What to try to open, in order: bare names are looked up by the loader, paths are files that exist. Where
/// [`VARIABLE`] is set nothing else is tried.
pub(super) fn candidates(variable: Variable<'_>) -> Vec<PathBuf> {
    if let Some(named) = variable(VARIABLE).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_dir() { NAMES.iter().map(|name| named.join(name)).collect() } else { vec![named] };
    }
    let folders: Vec<PathBuf> = toolkits(variable).into_iter().chain(wheels(variable)).collect();
    // Name by name, so that a newer library in a wheel comes before an older one in a toolkit.
    let mut found = Vec::new();
    for name in NAMES {
        found.push(PathBuf::from(name));
        found.extend(folders.iter().map(|folder| folder.join(name)).filter(|file| file.is_file()));
    }
    found
}

/// Library folders of CUDA toolkits.
fn toolkits(variable: Variable<'_>) -> Vec<PathBuf> {
    let named = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(variable).map(PathBuf::from);
    named
        .chain([PathBuf::from("/usr/local/cuda")])
        .flat_map(|root| {
            ["lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"].map(|lib| root.join(lib))
        })
        .collect()
}

/// Library folders of NVIDIA's wheels in the Python environments in reach, and of conda's own packages.
fn wheels(variable: Variable<'_>) -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).map(PathBuf::from).collect();
    prefixes.extend(interpreters(variable));
    prefixes.extend(variable("HOME").map(|home| Path::new(&home).join(".local")));
    let mut found: Vec<PathBuf> = Vec::new();
    for prefix in prefixes {
        let lib = prefix.join("lib");
        for python in entries(&lib).filter(|entry| named(entry, "python3")) {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = python.join(packages).join("nvidia");
                found.extend(["cu13/lib", "cublas/lib"].map(|place| nvidia.join(place)));
            }
        }
        // Debian's interpreter keeps its packages beside its versions.
        let shared = lib.join("python3/dist-packages/nvidia");
        found.extend([shared.join("cu13/lib"), shared.join("cublas/lib"), lib]);
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|folder| seen.insert(folder.clone()));
    found
}

/// Prefixes of the Python interpreters on PATH, both as named and where links lead.
fn interpreters(variable: Variable<'_>) -> Vec<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let prefix = |file: &Path| file.parent().and_then(Path::parent).map(Path::to_path_buf);
    std::env::split_paths(&path)
        .flat_map(|folder| ["python3", "python"].map(|name| folder.join(name)))
        .filter(|file| file.is_file())
        .flat_map(|file| [prefix(&file), file.canonicalize().ok().as_deref().and_then(prefix)])
        .flatten()
        .collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()))
}

fn named(path: &Path, start: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Candidates with these variables and no others.
    fn with(variables: &[(&str, &Path)]) -> Vec<PathBuf> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_os_str().to_owned());
        candidates(&variable)
    }

    fn put(root: &Path, file: &str) -> PathBuf {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
        fs::write(&path, "").expect("a file");
        path
    }

    #[test]
    fn wheels_of_the_active_environment_are_found_for_both_namings() {
        let root = tempfile::tempdir().expect("a folder");
        let new = put(root.path(), "lib/python3.12/site-packages/nvidia/cu13/lib/libcublasLt.so.13");
        let old = put(root.path(), "lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12");
        let found = with(&[("VIRTUAL_ENV", root.path())]);
        let at = |path: &Path| found.iter().position(|f| f == path).unwrap_or_else(|| panic!("{path:?} in {found:?}"));
        assert!(at(Path::new("libcublasLt.so.13")) < at(&new), "the loader is asked first");
        assert!(at(&new) < at(&old), "newer first");
    }

    #[test]
    fn an_interpreter_on_the_path_leads_to_its_wheels_through_links() {
        let root = tempfile::tempdir().expect("a folder");
        let wheel = put(root.path(), "real/lib/python3.11/site-packages/nvidia/cublas/lib/libcublasLt.so.12");
        let python = put(root.path(), "real/bin/python3.11");
        fs::create_dir(root.path().join("bin")).expect("a folder");
        std::os::unix::fs::symlink(python, root.path().join("bin/python3")).expect("a link");
        assert!(with(&[("PATH", &root.path().join("bin"))]).contains(&wheel));
    }

    #[test]
    fn a_toolkit_is_searched_and_a_named_file_ends_the_search() {
        let root = tempfile::tempdir().expect("a folder");
        let toolkit = put(root.path(), "lib64/libcublasLt.so.13");
        assert!(with(&[("CUDA_HOME", root.path())]).contains(&toolkit));
        let named = root.path().join("mine.so");
        assert_eq!(with(&[("CUDA_HOME", root.path()), (VARIABLE, &named)]), [named]);
        let folder = root.path().join("lib64");
        assert_eq!(with(&[(VARIABLE, &folder)])[0], toolkit);
    }
}
