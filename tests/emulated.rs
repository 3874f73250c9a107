use crate::command::{gemmscope, manifest, ok, records, said};
use gemmscope::record::{CellRecord, DeviceKind, Outcome, Status};
use std::path::Path;

/// A sweep of six cells on the emulated device, which has one fault.
fn faulty(dir: &Path, fault: &str, more: &[&str]) -> (i32, Vec<CellRecord>) {
    let mut args =
        vec!["sweep", "--device", "emulated", "--seed", "1", "--out", "run", "--m", "16..21", "--n", "24", "--k", "16"];
    args.extend(more);
    let said = said(gemmscope(dir, &args).env("GPU_EMULATOR_FAULT", fault).output().unwrap());
    assert!(!said.err.contains("panicked"), "{}", said.err);
    (said.code.unwrap(), records(&dir.join("run")))
}

fn reasons(records: &[CellRecord], status: Status) -> Vec<String> {
    records.iter().filter(|r| r.status == status).map(|r| r.reason.clone().unwrap_or_default()).collect()
}

#[test]
fn every_kernel_passes_on_the_emulated_device() {
    let dir = tempfile::tempdir().unwrap();
    let value: serde_json::Value =
        serde_json::from_str(&ok(dir.path(), &["verify", "--device", "emulated", "--json"])).unwrap();
    let variants = value["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 17);
    for v in variants {
        assert_eq!((v["wrong"].as_u64(), v["not_run"].as_u64()), (Some(0), Some(0)), "{v}");
        assert!(v["worst"].as_f64().unwrap() <= 1.0, "{v}");
    }
}

#[test]
fn an_emulated_sweep_counts_and_never_times() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "sweep", "--device", "emulated", "--out", "run", "--m", "64", "--n", "64", "--k", "64", "--lda", "+0,1",
        "--kernel",
    ];
    ok(dir.path(), &[&args[..], &["01_naive,04_mma"]].concat());
    let run = dir.path().join("run");
    let records = records(&run);
    assert_eq!(records.len(), 4);
    for r in &records {
        assert_eq!((r.status, r.median_ns, r.tflops), (Status::Ok, None, None), "{:?}", r.reason);
        assert!(r.samples.is_empty() && r.check.is_some() && r.counters.as_ref().unwrap().is_object());
    }
    let dispatched = |lda| records.iter().find(|r| r.kernel == "04_mma" && r.problem.lda == lda).unwrap();
    assert!(dispatched(64).variant.ends_with("-a16") && dispatched(65).variant.ends_with("-a2"));
    assert!(dispatched(65).dispatch.contains("multiple of 2 bytes"), "{}", dispatched(65).dispatch);
    assert_eq!(manifest(&run).device.kind, DeviceKind::Emulated);
}

#[test]
fn a_sticky_error_costs_one_cell_and_the_worker() {
    let dir = tempfile::tempdir().unwrap();
    // Launches are counted in each worker, and a cell takes fewer than 25: each worker measures some cells before its fault.
    let (code, records) = faulty(dir.path(), "illegal-address:25", &[]);
    assert_eq!((code, records.len()), (0, 6));
    let failed = reasons(&records, Status::Failed);
    assert!(!failed.is_empty() && failed.len() < 6, "{failed:?}");
    assert!(failed.iter().all(|r| r.contains("CUDA_ERROR_ILLEGAL_ADDRESS (700)")), "{failed:?}");
    assert_eq!(manifest(&dir.path().join("run")).progress.outcome, Outcome::Complete);
}

#[test]
fn a_launch_that_never_ends_is_ended_by_the_watchdog() {
    let dir = tempfile::tempdir().unwrap();
    let (code, records) = faulty(dir.path(), "hang:25", &["--watchdog", "2s"]);
    assert_eq!((code, records.len()), (0, 6));
    let failed = reasons(&records, Status::Failed);
    assert!(!failed.is_empty() && failed.len() < 6, "{failed:?}");
    assert!(failed.iter().all(|r| r.contains("no answer within 2 s")), "{failed:?}");
}

#[test]
fn memory_that_runs_out_and_a_device_that_is_lost_are_rows_with_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let (_, records) = faulty(dir.path(), "oom:1", &[]);
    let skipped = reasons(&records, Status::Skipped);
    assert_eq!(skipped.len(), 6, "{records:?}");
    assert!(skipped.iter().all(|r| r.contains("bytes") && r.contains("free")), "{skipped:?}");
    let dir = tempfile::tempdir().unwrap();
    let (_, records) = faulty(dir.path(), "lost:25", &[]);
    assert_eq!(records.len(), 6);
    assert!(!reasons(&records, Status::Failed).is_empty());
}
