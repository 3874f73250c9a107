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
        serde_json::from_str(&ok(dir.path(), &["verify", "--device", "emulated", "--cases", "9", "--json"])).unwrap();
    let variants = value["variants"].as_array().unwrap();
    let of = |k: &gemmscope::catalog::Kernel| k.variants.iter().map(|v| v.dtypes.len() * v.layouts.len()).sum::<usize>();
    assert_eq!(variants.len(), gemmscope::catalog::catalog().kernels.iter().map(of).sum());
    for v in variants {
        assert_eq!((v["wrong"].as_u64(), v["not_run"].as_u64()), (Some(0), Some(0)), "{v}");
        assert!(v["worst"].as_f64().unwrap() <= 1.0, "{v}");
    }
}

#[test]
fn layouts_and_types_are_axes_of_a_sweep_and_flags_of_a_profile() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = "sweep --device emulated --out run --m 19 --n 33 --k 17 --lda +3 --offset-b 1 --layout nn,nt,tn,tt \
                 --dtype f16,bf16,tf32,i8,e4m3 --kernel auto,04_mma";
    ok(dir.path(), &sweep.split_whitespace().collect::<Vec<_>>());
    let records = records(&dir.path().join("run"));
    assert_eq!(records.len(), 4 * 5 * 2);
    let forms: std::collections::HashSet<_> = records.iter().map(|r| (r.problem.layout, r.problem.dtype)).collect();
    assert_eq!(forms.len(), 20);
    for r in &records {
        let is_plain = r.problem.dtype.name() == "f16" && !r.problem.layout.name().starts_with('t');
        if r.kernel == "04_mma" && !is_plain {
            let reason = r.reason.as_deref().unwrap_or_default();
            assert!(r.status == Status::Skipped && reason.contains("04_mma takes f16 in nn"), "{reason}");
        } else {
            assert_eq!(r.status, Status::Ok, "{:?}", r.reason);
            assert_eq!(r.check.as_ref().unwrap().elements, 19 * 33);
        }
    }
    // Columns of a transposed A lie apart: a warp that walks k reads as many sectors as it has rows.
    let sectors = |layout: &str| {
        let args = ["profile", "64", "64", "64", "--kernel", "01_naive", "--json", "--dtype", "i8", "--layout", layout];
        let value: serde_json::Value = serde_json::from_str(&ok(dir.path(), &args)).unwrap();
        assert_eq!((&value["wrong"], &value["problem"]["dtype"]), (&serde_json::Value::Null, &"i8".into()));
        value["counters"]["global_load"]["sectors"].as_u64().unwrap()
    };
    assert!(sectors("nt") > 2 * sectors("nn"), "neighbouring threads read B at a distance");
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
        assert!(r.samples.is_empty() && r.check.is_some() && r.counters.as_ref().unwrap().warp_instructions > 0);
    }
    let dispatched = |lda| records.iter().find(|r| r.kernel == "04_mma" && r.problem.lda == lda).unwrap();
    assert!(dispatched(64).variant.ends_with("-a16") && dispatched(65).variant.ends_with("-a2b16"));
    assert!(dispatched(65).dispatch.contains("multiple of 2 bytes"), "{}", dispatched(65).dispatch);
    assert_eq!(manifest(&run).device.kind, DeviceKind::Emulated);
}

#[test]
fn a_profile_shows_what_an_odd_stride_costs() {
    let dir = tempfile::tempdir().unwrap();
    let profile = |lda: &str, kernel: &str| -> serde_json::Value {
        let args = ["profile", "128", "128", "128", "--lda", lda, "--kernel", kernel, "--json"];
        serde_json::from_str(&ok(dir.path(), &args)).unwrap()
    };
    let aligned = profile("128", "04_mma");
    assert_eq!((&aligned["kernel"], &aligned["wrong"]), (&"04_mma/64x64x32-a16".into(), &serde_json::Value::Null));
    assert_eq!((&aligned["useful_macs"], &aligned["counters"]["issued_macs"]), (&2097152.into(), &2097152.into()));
    // Two reads of 128 x 128 FP16 by two tiles each, by nothing but 16-byte cp.async.
    assert_eq!(aligned["counters"]["cp_async_cg"]["bytes"], 2 * 2 * 128 * 128 * 2);
    assert_eq!(aligned["counters"]["ldmatrix"]["wavefronts"], aligned["counters"]["ldmatrix"]["ideal"]);
    // One element more: each 4-byte copy is a request of its own, and then none is legal.
    let four = profile("130", "04_mma/64x64x32-a4");
    let requests = |v: &serde_json::Value, class: &str| v["counters"][class]["requests"].as_u64().unwrap();
    assert_eq!(requests(&four, "cp_async_ca"), 4 * requests(&aligned, "cp_async_cg"));
    let odd = profile("129", "04_mma");
    assert_eq!((odd["kernel"].as_str().unwrap(), requests(&odd, "cp_async_ca")), ("04_mma/64x64x32-a2b16", 0));
    let said = ok(dir.path(), &["profile", "128", "128", "128", "--lda", "129"]);
    assert!(said.contains("bytes a sector") && said.contains("over ideal"), "{said}");
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

#[test]
fn device_time_measures_what_is_enqueued_on_a_stream_of_ones_own() {
    use criterion::measurement::Measurement;
    use gemmscope::measure::DeviceTime;
    use gemmscope::measure::cudarc::driver::CudaContext;

    // cudarc takes the emulated driver for the real one, or a real one where there is one.
    gemmscope::device::cuda::emulate().expect("cargo built the emulated device");
    let stream = CudaContext::new(0).expect("a device").new_stream().expect("a stream");
    let time = DeviceTime::on(stream.clone());
    let mut buffer = stream.alloc_zeros::<u8>(1 << 20).expect("a megabyte");
    let measure = |bytes: &mut dyn FnMut()| {
        let begun = time.start();
        bytes();
        time.end(begun)
    };
    let nothing = measure(&mut || {});
    let work = measure(&mut || (0..64).for_each(|_| stream.memset_zeros(&mut buffer).expect("it is enqueued")));
    assert!(nothing >= 0.0 && work > nothing, "{nothing} ns and {work} ns");
}

#[test]
fn what_the_emulated_device_finds_is_said_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = gemmscope(dir.path(), &["verify", "--device", "emulated", "--kernel", "01_naive"]);
    let said = said(command.env("GPU_EMULATOR_MAX_INSTRUCTIONS", "3000").output().unwrap());
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let finding = said.out.lines().find(|l| l.contains("timeout: still running")).expect("a finding");
    assert!(finding.trim_start().starts_with("kernels/micro/clock.cu:"), "{finding}");
    assert!(said.out.contains("CUDA_ERROR_LAUNCH_TIMEOUT (702)"), "{}", said.out);
}

#[test]
fn no_kernel_is_reported_whatever_the_order_of_warps() {
    let dir = tempfile::tempdir().unwrap();
    let value: serde_json::Value = serde_json::from_str(&ok(dir.path(), &["kernels", "--json"])).unwrap();
    let cuda = value.as_array().unwrap().iter().filter(|k| k["min_cc"].as_u64() > Some(0));
    let variants: Vec<String> = cuda
        .flat_map(|k| {
            let names = k["variants"].as_array().unwrap().iter();
            names
                .map(|v| format!("{}/{}", k["name"].as_str().unwrap(), v["name"].as_str().unwrap()))
                .collect::<Vec<_>>()
        })
        .collect();
    // Two orders for each variant.
    for seed in 1..=2 * variants.len() {
        let variant = &variants[seed % variants.len()];
        let seed = seed.to_string();
        let args = ["verify", "--device", "emulated", "--cases", "5", "--seed", &seed, "--kernel", variant];
        let mut command = gemmscope(dir.path(), &args);
        command.env("GPU_EMULATOR_SHUFFLE", &seed);
        let said = said(command.output().unwrap());
        assert_eq!(said.code, Some(0), "{variant} in order {seed}: {}{}", said.out, said.err);
        assert!(said.err.is_empty(), "{}", said.err);
    }
}
