use crate::command::{gemmscope, manifest, ok, records, said};
use gemmscope::record::{CellRecord, DeviceKind, Finding, Outcome, Status, Verdicts, read_journal};
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
        serde_json::from_str(&ok(dir.path(), &["verify", "--device", "emulated", "--cases", "3", "--json"])).unwrap();
    let variants = value["variants"].as_array().unwrap();
    let of =
        |k: &gemmscope::catalog::Kernel| k.variants.iter().map(|v| v.dtypes.len() * v.layouts.len()).sum::<usize>();
    assert_eq!(variants.len(), gemmscope::catalog::catalog().kernels.iter().map(of).sum::<usize>());
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
fn plans_on_power_and_clocks_run_to_their_end_where_there_is_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let text = ok(dir.path(), &["validate", "mm-01", "mm-03", "--device", "emulated", "--out", "run", "--json"]);
    let verdicts: Verdicts = serde_json::from_str(&text).unwrap();
    for v in &verdicts.verdicts {
        assert_eq!(v.verdict, Finding::NotMeasurable, "{v:?}");
        assert!(v.reason.contains("has no time; its plan ran to the end"), "{}", v.reason);
    }
    let cells = read_journal(&dir.path().join("run")).unwrap().cells;
    assert_eq!(cells.len(), 5);
    for cell in &cells {
        assert!(cell.status == Status::Ok && cell.counters.is_some() && cell.samples.is_empty(), "{cell:?}");
        assert_eq!((cell.dwell_ns, cell.idle_ns), (None, None), "nothing dwells or rests there");
    }
    let worst = |zeros: bool| -> f64 {
        let those = cells.iter().filter(|c| c.distribution.is_some() == zeros);
        those.map(|c| c.check.as_ref().map_or(f64::NAN, |check| check.worst)).fold(0.0, f64::max)
    };
    assert!(worst(true) == 0.0 && worst(false) > 0.0, "{} {}", worst(true), worst(false));
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
    let (code, records) = faulty(dir.path(), "hang:25", &["--watchdog", "5s"]);
    assert_eq!((code, records.len()), (0, 6));
    let failed = reasons(&records, Status::Failed);
    assert!(!failed.is_empty() && failed.len() < 6, "{failed:?}");
    assert!(failed.iter().all(|r| r.contains("no answer within 5 s")), "{failed:?}");
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
fn no_kernel_is_reported_whatever_the_order_of_warps_and_copies() {
    let dir = tempfile::tempdir().unwrap();
    for kernel in &gemmscope::catalog::catalog().kernels {
        let seeds = if kernel.unit == "wgmma" { 1 } else { 3 };
        let (name, text) = (kernel.name.as_str(), seeds.to_string());
        let args = ["verify", "--device", "emulated", "--kernel", name, "--cases", "4", "--seeds", &text, "--json"];
        let value: serde_json::Value = serde_json::from_str(&ok(dir.path(), &args)).unwrap();
        let forms: usize = kernel.variants.iter().map(|v| v.dtypes.len() * v.layouts.len()).sum();
        assert_eq!(value["variants"].as_array().unwrap().len(), forms);
        for v in value["variants"].as_array().unwrap() {
            let counts = ["cases", "wrong", "not_run"].map(|name| v[name].as_u64());
            assert_eq!(counts, [Some(4 * seeds), Some(0), Some(0)], "{v}");
        }
    }
    let said = said(gemmscope(dir.path(), &["verify", "--device", "cpu", "--seeds", "3"]).output().unwrap());
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("--device emulated"), "{}", said.err);
}

/// Runs a test of this program in a process of its own: what it does to the driver stays there.
fn alone(test: &str, inside: impl FnOnce()) {
    const INSIDE: &str = "GEMMSCOPE_TEST_ALONE";
    if std::env::var_os(INSIDE).is_some_and(|name| name == test) {
        return inside();
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let out = command.args(["--exact", &format!("emulated::{test}")]).env(INSIDE, test).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn an_element_of_c_that_is_never_written_is_a_finding() {
    use gemmscope::Problem;
    use gemmscope::catalog::catalog;
    use gemmscope::data::Distribution;
    use gemmscope::device::{DeviceChoice, Job, open};

    alone("an_element_of_c_that_is_never_written_is_a_finding", || {
        let kernel = catalog().kernels.iter().find(|k| k.name == "01_naive").unwrap();
        let mut variant = kernel.variants[0].clone();
        // A grid for tiles of twice as many rows leaves the lower half of C as it was.
        variant.tile[0] *= 2;
        let device = open(DeviceChoice::Emulated).unwrap();
        let problem = Problem::new(32, 20, 5);
        let tables = Distribution::Integers.tables(problem.dtype);
        let job = Job { problem: &problem, kernel, variant: &variant, tables: &tables, seed: 1, rotate_bytes: 0 };
        let mut prepared = device.prepare(&job).unwrap();
        device.reset_counters();
        assert!(prepared.launch().is_err());
        let findings = device.findings().unwrap();
        // Two of four tiles: the last four columns of all rows.
        assert!(findings.contains("256 bytes never written, the first in row 0 at byte 32"), "{findings}");
    });
}

#[test]
fn an_emulated_sweep_is_drawn_by_its_counts() {
    let dir = tempfile::tempdir().unwrap();
    let args =
        ["sweep", "--device", "emulated", "--out", "run", "--m", "64,80", "--n", "64,96", "--k", "32", "--kernel"];
    let said = ok(dir.path(), &[&args[..], &["04_mma"]].concat());
    assert!(said.contains("Sectors of global memory per 1000 multiply-adds") && !said.contains("FLOP"), "{said}");
    assert!(!said.contains("inside kernels"), "{said}");
    let run = dir.path().join("run");
    for metric in ["sectors", "issued", "wavefronts", "access_bytes"] {
        assert!(run.join(format!("heatmap-sweep-{metric}-m-n.svg")).exists(), "{metric}");
    }
    let mut table = csv::Reader::from_path(run.join("summary.csv")).unwrap();
    let columns = table.headers().unwrap().clone();
    let at = |name: &str| columns.iter().position(|c| c == name).unwrap();
    for row in table.records().map(Result::unwrap) {
        let number = |name: &str| row[at(name)].parse::<f64>().unwrap();
        let macs = number("m") * number("n") * number("k");
        assert!((number("count_issued") * macs - number("issued_macs")).abs() < 1.0, "{row:?}");
        assert!(number("count_issued") >= 1.0 && row[at("tflops")].is_empty() && row[at("median_ns")].is_empty());
    }
    ok(dir.path(), &["heatmap", "run", "--metric", "lanes,requests"]);
    assert!(run.join("heatmap-sweep-lanes-m-n.svg").exists());
    for (metric, why) in [("tflops", "no metric \"tflops\"; there are sectors"), ("lane", "lanes")] {
        let said = self::said(gemmscope(dir.path(), &["heatmap", "run", "--metric", metric]).output().unwrap());
        assert!(said.code == Some(2) && said.err.contains(why), "{}", said.err);
    }
}

#[test]
fn counts_do_not_depend_on_a_clock_that_jitters() {
    let dir = tempfile::tempdir().unwrap();
    let (_, steady) = faulty(dir.path(), "", &[]);
    let dir = tempfile::tempdir().unwrap();
    let (code, jittery) = faulty(dir.path(), "jitter:7", &[]);
    assert_eq!((code, steady.len()), (0, 6));
    let counts = |records: &[CellRecord]| records.iter().map(|r| (r.cell, r.counters.clone())).collect::<Vec<_>>();
    assert_eq!(counts(&steady), counts(&jittery));
}

#[test]
fn a_driver_without_a_device_and_a_stub_are_errors_that_leave_nothing_behind() {
    for (fault, why) in [("no-device", "sees no device"), ("stub", "stub")] {
        let dir = tempfile::tempdir().unwrap();
        let (code, records) = faulty_or_none(dir.path(), fault);
        assert_eq!((code.0, records), (2, false), "{}", code.1);
        assert!(code.1.contains(why), "{}", code.1);
    }
}

/// Exit code and errors of a sweep with a fault, and whether it left a journal.
/// Verifies one kernel on the emulated device, which has one fault.
fn verified(fault: &str) -> (i32, String) {
    let args = ["verify", "--device", "emulated", "--kernel", "02_tiled", "--cases", "2"];
    let said = said(gemmscope(Path::new("."), &args).env("GPU_EMULATOR_FAULT", fault).output().unwrap());
    assert!(!said.err.contains("panicked"), "{}", said.err);
    (said.code.unwrap(), said.out + &said.err)
}

#[test]
fn a_verification_that_could_not_run_is_no_success_and_blames_no_kernel() {
    // Where nothing ran, nothing was verified.
    let (code, text) = verified("oom:1");
    assert!(code == 2 && text.contains("none of 4 cases ran") && text.contains("the driver refused"), "{code} {text}");
    // A device that goes away in the midst says nothing about the kernel that ran.
    let (code, text) = verified("lost:2");
    assert!(code == 2 && text.contains("4 cases of 4 did not run") && text.contains("the device is gone"), "{text}");
    assert!(text.contains("DEVICE_UNAVAILABLE (46)"), "{text}");
    // An illegal address does.
    let (code, text) = verified("illegal-address:1");
    assert!(code == 1 && text.contains("3 cases of 4 did not run: nothing runs after a fatal error"), "{code} {text}");
}

fn faulty_or_none(dir: &Path, fault: &str) -> ((i32, String), bool) {
    let args = ["sweep", "--device", "emulated", "--out", "run", "--m", "16", "--n", "24", "--k", "16"];
    let said = said(gemmscope(dir, &args).env("GPU_EMULATOR_FAULT", fault).output().unwrap());
    ((said.code.unwrap(), said.err), dir.join("run/samples.jsonl").exists())
}

#[test]
fn a_run_with_faults_that_was_cut_short_goes_on_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // The budget ends before the plan does; each worker's device is lost after some cells.
    let (_, first) = faulty(dir.path(), "lost:25", &["--budget", "1ms"]);
    let reached = first.iter().filter(|r| !r.not_reached()).count();
    assert!(first.len() == 6 && reached < 6, "{reached}");
    let args = ["sweep", "--resume", "--out", "run"];
    let said = said(gemmscope(dir.path(), &args).env("GPU_EMULATOR_FAULT", "illegal-address:30").output().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.err);
    let run = dir.path().join("run");
    let mut last: std::collections::BTreeMap<u64, CellRecord> = Default::default();
    records(&run).into_iter().for_each(|r| drop(last.insert(r.cell, r)));
    assert_eq!((last.len(), manifest(&run).progress.outcome), (6, Outcome::Complete));
    assert!(last.values().all(|r| !r.not_reached() && (r.status == Status::Ok || r.reason.is_some())), "{last:?}");
    assert!(last.values().any(|r| r.status == Status::Ok), "{last:?}");
}
