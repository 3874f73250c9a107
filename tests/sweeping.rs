use crate::command::{manifest, ok, records, run, small};
use gemmscope::record::{DeviceKind, Outcome, Role, Status, Stop};
use std::collections::BTreeSet;
use std::path::Path;

fn files(dir: &Path, extension: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(extension))
        .collect();
    names.sort();
    names
}

#[test]
fn a_sweep_measures_checks_records_and_draws() {
    let dir = tempfile::tempdir().unwrap();
    let out = ok(dir.path(), &small(&["--m", "16..64+16", "--lda", "+0,1,8"]));
    let run = dir.path().join("run");
    let records = records(&run);
    assert_eq!(records.iter().map(|r| r.cell).collect::<BTreeSet<_>>(), (0..12).collect());
    for r in &records {
        assert_eq!((r.status, r.reason.as_deref()), (Status::Ok, None));
        let (lo, median, hi) = (r.median_lo_ns.unwrap(), r.median_ns.unwrap(), r.median_hi_ns.unwrap());
        assert!(lo <= median && median <= hi && median > 0);
        let tflops = 2.0 * (r.problem.m * r.problem.n * r.problem.k) as f64 / median as f64 * 1e-3;
        // The record's median is rounded to nanoseconds.
        assert!((r.tflops.unwrap() / tflops - 1.0).abs() < 0.5 / median as f64 + 1e-9);
        let check = r.check.as_ref().unwrap();
        assert_eq!((check.elements, check.of), (r.problem.m * 48, r.problem.m * 48));
        assert!(check.worst <= 1.0);
        assert!(r.samples.len() >= 6 && r.samples.iter().all(|s| s.launches >= 1 && s.elapsed_ns > 0));
        assert!(matches!(r.stop, Some(Stop::Interval | Stop::Time | Stop::Samples)));
        assert!(r.device.starts_with("CPU"));
    }
    let manifest = manifest(&run);
    assert_eq!((manifest.progress.outcome, manifest.progress.ok), (Outcome::Complete, 12));
    assert_eq!((manifest.seed, manifest.device.kind), (7, DeviceKind::Cpu));
    assert!(manifest.progress.kernel_time_share > 0.0 && manifest.progress.kernel_time_share < 1.0);
    assert!(manifest.command.join(" ").starts_with("gemmscope sweep --device cpu"));
    assert_eq!(files(&run, ".csv"), ["summary.csv"]);
    let pictures = files(&run, ".svg");
    assert!(pictures.iter().any(|f| f.contains("-m-lda")), "{pictures:?}");
    assert!(pictures.iter().any(|f| f.contains("alignment")), "{pictures:?}");
    if cfg!(feature = "png") {
        assert_eq!(files(&run, ".png").len(), pictures.len());
    }
    assert!(out.contains("12 cells: 12 ok") && out.contains("inside kernels"), "{out}");
}

#[test]
fn layouts_and_types_have_pictures_of_their_own_and_what_no_kernel_takes_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "16,32", "--lda", "+0,8", "--layout", "nt,tn", "--dtype", "bf16,i8"]));
    let run = dir.path().join("run");
    let records = records(&run);
    assert_eq!(records.len(), 16);
    for r in &records {
        match r.problem.dtype.name() {
            "bf16" => assert_eq!(r.status, Status::Ok, "{:?}", r.reason),
            _ => {
                let reason = r.reason.as_deref().unwrap_or_default();
                assert!(r.status == Status::Skipped && reason.contains("i8 in"), "{reason}");
            }
        }
        let row = if r.problem.layout.name() == "tn" { r.problem.m } else { r.problem.k };
        assert!([row, row + 8].contains(&r.problem.lda), "{:?}", r.problem);
    }
    let pictures = files(&run, ".svg");
    assert!(["bf16-nt", "bf16-tn"].iter().all(|f| pictures.iter().any(|p| p.contains(f))), "{pictures:?}");
}

#[test]
fn pairs_are_interleaved_and_share_their_fate() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "32", "--lda", "+1,2", "--offset-b", "0,3", "--paired"]));
    let records = records(&dir.path().join("run"));
    assert_eq!(records.len(), 8);
    for pair in records.chunks(2) {
        assert_eq!((pair[0].pair, pair[0].role), (pair[1].pair, Some(Role::Baseline)));
        assert_eq!(pair[0].samples.len(), pair[1].samples.len());
        assert_eq!((pair[0].problem.lda, pair[0].problem.offset_b), (128, 0));
        // A B B A: in time order the roles are 0 1 1 0 0 1 1 0 ...
        let mut order: Vec<(u64, usize)> =
            (0..2).flat_map(|i| pair[i].samples.iter().map(move |s| (s.at_ns, i))).collect();
        order.sort_unstable();
        let roles: Vec<usize> = order.into_iter().map(|(_, i)| i).collect();
        assert!(roles.chunks_exact(4).all(|block| block == [0, 1, 1, 0]), "{roles:?}");
    }
}

#[test]
fn cells_that_cannot_be_measured_are_rows_with_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let out = ok(dir.path(), &small(&["--m", "8,100000000", "--lda", "16,32"]));
    let records = records(&dir.path().join("run"));
    assert_eq!(records.len(), 4);
    let reason = |m: u64, lda: u64| {
        let r = records.iter().find(|r| (r.problem.m, r.problem.lda) == (m, lda)).unwrap();
        (r.status, r.reason.clone().unwrap_or_default())
    };
    assert_eq!(reason(8, 32), (Status::Ok, String::new()));
    let (status, why) = reason(8, 16);
    assert_eq!(status, Status::Skipped);
    assert!(why.contains("lda = 16") && why.contains("at least 32"), "{why}");
    let (status, why) = reason(100_000_000, 32);
    assert_eq!(status, Status::Skipped);
    assert!(why.contains("bytes") && why.contains("free"), "{why}");
    assert!(out.contains("3 skipped"), "{out}");
    assert!(std::fs::read_to_string(dir.path().join("run/summary.csv")).unwrap().contains("at least 32"));
}

#[test]
fn both_regimes_beta_and_every_distribution_work() {
    let dir = tempfile::tempdir().unwrap();
    for (i, distribution) in ["uniform", "normal", "integers", "zeros"].into_iter().enumerate() {
        let out = format!("run{i}");
        let flags = ["--m", "40", "--regime", "both", "--alpha", "0.5", "--beta", "-2", "--distribution", distribution];
        let mut args = small(&flags);
        args[12] = &out;
        ok(dir.path(), &args);
        let records = records(&dir.path().join(&out));
        let regimes: BTreeSet<&str> = records.iter().map(|r| r.regime.as_str()).collect();
        assert_eq!(regimes.into_iter().collect::<Vec<_>>(), ["cold", "hot"]);
        assert!(records.iter().all(|r| r.status == Status::Ok), "{distribution}: {:?}", records[0].reason);
        assert_eq!(manifest(&dir.path().join(&out)).distribution, distribution);
    }
}

#[test]
fn shards_merge_into_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for (shard, out) in [("1/3", "s1"), ("2/3", "s2"), ("3/3", "s3")] {
        let mut args = small(&["--m", "1..10", "--shard", shard]);
        args[12] = out;
        ok(dir.path(), &args);
        assert!(records(&dir.path().join(out)).iter().all(|r| seen.insert(r.cell)), "a cell is in two shards");
    }
    assert_eq!(seen, (0..10).collect());
    ok(dir.path(), &["heatmap", "s1", "s2", "s3", "--out", "merged"]);
    let csv = std::fs::read_to_string(dir.path().join("merged/summary.csv")).unwrap();
    assert_eq!(csv.lines().count(), 11);
    let said = run(dir.path(), &["heatmap", "s1", "s2", "--out", "s1/summary.csv/x"]);
    assert_eq!(said.code, Some(2));
    assert!(run(dir.path(), &["heatmap", "s1", "s2"]).err.contains("--out"));
}

#[test]
fn the_budget_is_kept_and_the_rest_is_recorded_and_resumable() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    ok(dir.path(), &small(&["--m", "1..2000", "--budget", "1s"]));
    let first = records(&run_dir);
    assert_eq!(first.len(), 2000);
    let missed = first.iter().filter(|r| r.not_reached()).count();
    assert!(missed > 0 && missed < 2000, "{missed} were not reached");
    assert!(first.iter().filter(|r| r.not_reached()).all(|r| r.reason.as_deref().unwrap().contains("1 s")));
    assert_eq!(manifest(&run_dir).progress.outcome, Outcome::Budget);
    ok(dir.path(), &["sweep", "--resume", "--out", "run", "--budget", "1s"]);
    let second = records(&run_dir);
    assert_eq!(second.iter().map(|r| r.cell).collect::<BTreeSet<_>>(), (0..2000).collect());
    assert_eq!(second.len(), 2000);
    assert!(second.iter().filter(|r| r.not_reached()).count() < missed, "nothing more was measured");
}

#[test]
fn json_output_is_one_value() {
    let dir = tempfile::tempdir().unwrap();
    let value: serde_json::Value = serde_json::from_str(&ok(dir.path(), &small(&["--m", "5", "--json"]))).unwrap();
    assert_eq!(value["manifest"]["progress"]["ok"], 1);
    assert!(value["files"].as_array().unwrap().iter().any(|f| f.as_str().unwrap().ends_with("summary.csv")));
}
