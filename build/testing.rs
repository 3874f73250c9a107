//! Stand-ins for the tests: source trees and toolkits made of shell scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A catalogue of one kernel and one helper in `a.cu`.
pub const CATALOG: &str = r#"
schema = 1
[[file]]
path = "a.cu"
ptx_arch = "compute_80"
cubins = ["sm_80", "sm_90a"]
[[kernel]]
name = "01_naive"
file = "a.cu"
summary = "One thread, one element."
unit = "simt"
min_cc = 80
dtype = "f16"
layouts = ["nn"]
[[kernel.variant]]
name = "v"
entry = "gemm"
tile = [16, 16, 1]
stages = 1
threads = 256
shared_bytes = 0
registers_max = 128
align_bytes = 2
[[helper]]
file = "a.cu"
entry = "fill"
threads = 256
"#;

/// A workspace root with these files below `kernels/`.
pub fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join("kernels").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// Writes an executable shell script.
pub fn program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Another process writes it: a child that some other test starts meanwhile would inherit a file open for writing
    // here, and Linux refuses to execute a file that anyone has open so.
    let status = Command::new("sh")
        .args(["-c", "printf '#!/bin/sh\n%s\n' \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
        .args([path.as_os_str(), script.as_ref()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// An nvcc of version 12.4.131 and its ptxas, which do as their scripts say; `$out` is what `-o` names.
pub fn fake_toolkit(home: &Path, nvcc: &str, ptxas: &str) -> PathBuf {
    const OUT: &str = "for a in \"$@\"; do [ \"$last\" = -o ] && out=$a; last=$a; done";
    let folder = home.join("toolkit/bin");
    let version = "if [ \"$1\" = --version ]; then echo 'Cuda compilation tools, release 12.4, V12.4.131'; exit; fi";
    program(&folder.join("nvcc"), &format!("{version}\n{OUT}\n{nvcc}"));
    program(&folder.join("ptxas"), &format!("{OUT}\n{ptxas}"));
    folder.join("nvcc")
}
