//! Drivers that are missing, broken or old, played by a few lines of C: always an answer, never a panic.

use std::path::Path;
use std::process::Command;

/// What `devices --json` says on a machine whose only CUDA driver is made of this C text; none at all where it is
/// empty.
fn devices(c: &str) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if !c.is_empty() {
        compile(c, folder.path());
    }
    let output = Command::new(env!("CARGO_BIN_EXE_gemmscope"))
        .args(["devices", "--json"])
        .env("LD_LIBRARY_PATH", folder.path())
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert!(!stderr.contains("panicked"), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

/// Compiles a driver. A linker asks for the name it is looked up by, `libcuda.so`, and the loader for `libcuda.so.1`.
fn compile(c: &str, folder: &Path) {
    let source = folder.join("driver.c");
    std::fs::write(&source, c).expect("a file in a temporary folder");
    let library = folder.join("libcuda.so.1");
    let compiled = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"])
        .args([&library, &source])
        .output()
        .expect("a C compiler: Rust's linker needs one too");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    std::fs::copy(&library, folder.join("libcuda.so")).expect("a file in a temporary folder");
}

/// Asserts why there is no device, and returns the message.
fn absent(c: &str, kind: &str) -> String {
    let answer = devices(c);
    let absent = &answer["cuda"]["absent"];
    assert_eq!(absent["kind"], kind, "{answer}");
    absent["message"].as_str().expect("a message").to_owned()
}

/// A driver whose `cuInit` returns `init` and whose version is `version`; nothing else is in it.
fn bare(init: u32, version: u32) -> String {
    format!(
        "int cuInit(unsigned flags) {{ return {init}; }}
         int cuDriverGetVersion(int *version) {{ *version = {version}; return 0; }}
         int cuGetErrorName(int code, const char **name) {{ *name = \"CUDA_ERROR_PLAYED\"; return 0; }}"
    )
}

#[test]
fn a_toolkit_stub_is_told_from_a_driver() {
    assert!(absent(&bare(34, 13000), "stub").contains("LD_LIBRARY_PATH"));
}

#[test]
fn a_driver_without_a_device_says_so() {
    assert!(absent(&bare(100, 13000), "no_device").contains("CUDA_VISIBLE_DEVICES"));
}

#[test]
fn a_driver_that_does_not_start_names_its_error() {
    let message = absent(&bare(803, 13000), "init");
    assert!(message.contains("CUDA_ERROR_PLAYED (803)") && message.contains("reboot"), "{message}");
}

#[test]
fn an_error_newer_than_this_program_is_a_number() {
    let message = absent(&bare(12345, 13000), "init");
    assert!(message.contains("(12345)"), "{message}");
}

#[test]
fn a_driver_too_old_for_the_functions_is_refused() {
    let message = absent(&bare(0, 11040), "driver_too_old");
    assert!(message.contains("CUDA 11.4") && message.contains("CUDA 12.8") && message.contains("570"), "{message}");
}

#[test]
fn a_driver_too_old_for_the_ptx_is_refused() {
    let message = absent(&bare(0, 12080), "driver_too_old");
    assert!(message.contains("CUDA 12.8") && message.contains("PTX"), "{message}");
}

#[test]
fn a_driver_that_lacks_a_function_is_incomplete() {
    let message = absent(&bare(0, 13000), "driver_incomplete");
    assert!(message.contains("cuDeviceGetCount"), "{message}");
    let message = absent("int an_empty_library;", "driver_incomplete");
    assert!(message.contains("cuInit"), "{message}");
}

#[test]
fn a_file_that_is_no_library_is_no_driver() {
    // A machine with a driver of its own finds that one, which is right as well.
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("libcuda.so.1"), "not a library").expect("a file in a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_gemmscope"))
        .args(["devices", "--json"])
        .env("LD_LIBRARY_PATH", folder.path())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn without_a_driver_devices_still_answers() {
    let answer = devices("");
    let cuda = &answer["cuda"];
    match cuda["absent"]["kind"].as_str() {
        // A machine with a GPU lists it.
        None => assert!(!cuda.is_null() && cuda["absent"].is_null(), "{answer}"),
        Some(kind) => {
            let kinds = ["driver_missing", "stub", "no_device", "driver_too_old", "device_too_old", "init"];
            assert!(kinds.contains(&kind), "{answer}");
        }
    }
}
