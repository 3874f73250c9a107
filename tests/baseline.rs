use crate::command::{gemmscope, records, said};
use gemmscope::baseline::is_refusal;
use gemmscope::catalog::{catalog, image};
use gemmscope::record::{CellRecord, Status};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cuBLASLt that multiplies with rung 1: the library that tests/cublaslt_stand_in.c is.
fn stand_in(dir: &Path) -> PathBuf {
    let library = dir.join("libcublasLt.so.13");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cublaslt_stand_in.c");
    let compiled = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .expect("a C compiler: Rust's linker needs one too");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library
}

/// The records of a sweep on the emulated device, with these variables set besides.
fn sweep(dir: &Path, args: &str, variables: &[(&str, &Path)]) -> Vec<CellRecord> {
    let out = format!("run-{}", args.len());
    let mut command =
        gemmscope(dir, &["sweep", "--device", "emulated", "--seed", "1", "--kernel", "cublaslt", "--out", &out]);
    command.args(args.split_whitespace());
    for (name, value) in variables {
        command.env(name, value);
    }
    let said = said(command.output().unwrap());
    assert!(!said.err.contains("panicked"), "{}", said.err);
    records(&dir.join(out))
}

#[test]
fn the_library_is_planned_for_the_real_addresses_and_its_results_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let library = stand_in(dir.path());
    let kernel = catalog().kernels.iter().find(|k| k.name == "01_naive").unwrap();
    let variant = &kernel.variants[0];
    let ptx = dir.path().join("naive.ptx");
    std::fs::write(&ptx, image(&kernel.file).unwrap().ptx()).unwrap();
    let log = dir.path().join("log");
    let (entry, tile) = (variant.symbol("f16", "nn"), variant.tile[0].to_string());
    let threads = variant.threads.to_string();
    let variables = [
        ("GEMMSCOPE_CUBLASLT", library.as_path()),
        ("STAND_IN_PTX", ptx.as_path()),
        ("STAND_IN_ENTRY", Path::new(&entry)),
        ("STAND_IN_TILE", Path::new(&tile)),
        ("STAND_IN_THREADS", Path::new(&threads)),
        ("STAND_IN_LOG", log.as_path()),
    ];
    let args = "--m 33 --n 19 --k 17 --lda +0..7 --ldb +2 --ldc +1 --offset-a 0 --offset-b 1 --offset-c 2 --regime hot";
    let records = sweep(dir.path(), args, &variables);
    assert_eq!(records.len(), 8);
    for r in &records {
        assert_eq!(r.status, Status::Ok, "{:?}", r.reason);
        assert_eq!((r.kernel.as_str(), r.variant.as_str()), ("cublaslt", "best"));
        assert_eq!(r.check.as_ref().unwrap().elements, 33 * 19);
        assert!(r.dispatch.contains("cuBLASLt 13.0.2, algorithm 60 tile 1 stages 6"), "{}", r.dispatch);
        assert!(r.dispatch.contains("inner 7 cluster 8 rank 0 workspace 0 of 2"), "{}", r.dispatch);
        assert_eq!(r.workspace_bytes, Some(32 << 20));
    }
    // Its A is our B, one element from an aligned address; its B is our A, on an aligned one; C lies two elements further.
    let log = std::fs::read_to_string(log).unwrap();
    for line in log.lines() {
        assert_eq!(line, "type 2 compute 68 scale 0 trans 00 workspace 33554432 align 2 256 4 4", "{log}");
    }
}

#[test]
fn what_the_library_has_no_algorithm_for_is_a_row_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let library = stand_in(dir.path());
    let forms = "--m 16 --n 16 --k 16 --layout nt,tn --dtype f16,e4m3,i8";
    let records = sweep(dir.path(), forms, &[("GEMMSCOPE_CUBLASLT", &library)]);
    assert_eq!(records.len(), 6);
    for r in &records {
        let reason = r.reason.as_deref().unwrap_or_default();
        let eight_bit = r.problem.dtype.bytes() == 1;
        assert_eq!(r.status, Status::Skipped, "{reason}");
        assert!(reason.contains("16x16x16") && reason.contains("status 15"), "{reason}");
        assert!(is_refusal(reason), "{reason}");
        assert_eq!(reason.contains("layout nt"), eight_bit, "{reason}");
    }
}

#[test]
fn a_library_that_is_missing_or_broken_is_a_reason_and_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let reason = |args: &str, library: Option<&Path>| {
        let variables: Vec<_> = library.map(|path| ("GEMMSCOPE_CUBLASLT", path)).into_iter().collect();
        let records = sweep(dir.path(), args, &variables);
        assert_eq!((records.len(), records[0].status), (1, Status::Skipped));
        records[0].reason.clone().unwrap()
    };
    let emulated = reason("--m 16 --n 16 --k 16", None);
    assert!(emulated.contains("emulated device cannot run") && !is_refusal(&emulated), "{emulated}");
    let nowhere = dir.path().join("nowhere.so");
    let unusable = reason("--m 16 --n 16 --k 016", Some(&nowhere));
    assert!(unusable.contains("nowhere.so") && unusable.contains("GEMMSCOPE_CUBLASLT"), "{unusable}");
    let empty = dir.path().join("empty.c");
    std::fs::write(&empty, "int nothing;").unwrap();
    let hollow = dir.path().join("hollow.so");
    assert!(Command::new("cc").args(["-shared", "-o"]).args([&hollow, &empty]).status().unwrap().success());
    let lacking = reason("--m 16 --n 16  --k 0016", Some(&hollow));
    assert!(lacking.contains("it has no cublasLt"), "{lacking}");
}
