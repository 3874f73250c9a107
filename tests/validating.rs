use crate::command::{ok, run};
use gemmscope::record::{CellRecord, Finding, Verdicts, read_journal, read_verdicts};
use std::path::Path;

/// Runs `validate` on the CPU and reads its verdicts.
fn validate(dir: &Path, more: &[&str]) -> Verdicts {
    let arguments = ["validate", "--device", "cpu", "--seed", "3", "--out", "run"];
    ok(dir, &[&arguments[..], more].concat());
    read_verdicts(&dir.join("run")).unwrap()
}

/// Rewrites the times of a journal: how much longer each cell takes than its work would.
fn rewrite(dir: &Path, factor: impl Fn(&CellRecord) -> f64) {
    let path = dir.join("samples.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut out = String::new();
    for line in text.lines() {
        let mut cell: CellRecord = serde_json::from_str(line).unwrap();
        let ns = cell.problem.flop() as f64 / 20.0 * factor(&cell);
        for (i, sample) in cell.samples.iter_mut().enumerate() {
            (sample.launches, sample.clock_mhz) = (1, None);
            sample.elapsed_ns = (ns * (1.0 + 0.002 * ((i * 7) % 5) as f64)) as u64;
        }
        cell.median_ns = None;
        out += &serde_json::to_string(&cell).unwrap();
        out.push('\n');
    }
    std::fs::write(path, out).unwrap();
}

#[test]
fn a_claim_is_measured_judged_and_judged_again_from_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let first = validate(dir.path(), &["ra-09"]);
    assert_eq!((first.verdicts.len(), first.verdicts[0].claim.as_str()), (1, "RA-09"));
    assert!(first.verdicts[0].samples >= 7 * 12, "{first:?}");
    let again = ok(dir.path(), &["validate", "RA-09", "--from", "run", "--json"]);
    assert_eq!(serde_json::from_str::<Verdicts>(&again).unwrap(), first);
    let text = ok(dir.path(), &["validate", "RA-09", "--from", "run"]);
    assert!(text.contains("RA-09") && text.contains("a CPU: nothing here is a statement about a GPU"), "{text}");

    // The same cells with times in which a row costs the same at any batch, and with times in which it does not.
    let strict = ["validate", "RA-09", "--from", "run", "--strict"];
    rewrite(&dir.path().join("run"), |_| 1.0);
    assert_eq!(run(dir.path(), &strict).code, Some(1));
    rewrite(&dir.path().join("run"), |c| if c.problem.m < 100 { 2.0 } else { 1.0 });
    let out = run(dir.path(), &strict);
    assert_eq!(out.code, Some(0), "{}", out.out);
    assert!(out.out.contains("1 supported"));
}

#[test]
fn a_claims_plan_runs_alone_as_a_preset() {
    let dir = tempfile::tempdir().unwrap();
    let list = ok(dir.path(), &["sweep", "--preset", "dr-06", "--device", "cpu", "--list"]);
    let lines = list.lines().filter(|l| l.contains("dr-06")).count();
    assert!(lines >= 7 * 2 * 6, "{list}");
    let refused = run(dir.path(), &["sweep", "--preset", "nv-12", "--device", "cpu"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("needs a CUDA device"));
    let unknown = run(dir.path(), &["sweep", "--preset", "quik", "--list"]);
    assert!(unknown.err.contains("did you mean quick?"));
}

#[test]
fn a_cell_that_would_rest_for_longer_than_the_budget_has_left_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let out = run(dir.path(), &["validate", "mm-03", "--device", "cpu", "--out", "run", "--budget", "5s"]);
    assert_eq!(out.code, Some(0), "{}", out.err);
    let journal = read_journal(&dir.path().join("run")).unwrap();
    assert_eq!(journal.cells.len(), 7);
    for cell in &journal.cells {
        assert!(cell.not_reached() && cell.regime == "onset", "{cell:?}");
        assert!(cell.reason.as_deref().is_some_and(|r| r.contains("6.5 s at least")), "{:?}", cell.reason);
    }
    let verdict = &read_verdicts(&dir.path().join("run")).unwrap().verdicts[0];
    assert_eq!(verdict.verdict, Finding::Unclear, "{verdict:?}");
    let list = ok(dir.path(), &["validate", "mm-01", "mm-03", "--list", "--for", "h100-sxm", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    // 14 pairs of eleven dwells, and seven rests with what is watched after them.
    assert_eq!(list[0]["least_ns"], 14 * 11 * 500_000_000u64);
    assert_eq!(list[1]["least_ns"], 7 * 8_000_000_000u64);
}

#[test]
fn zeros_and_data_are_measured_in_turn_and_a_record_of_other_data_is_another_run_s() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = ["sweep", "--preset", "mm-01", "--device", "cpu", "--seed", "4", "--out", "run"];
    assert_eq!(run(dir.path(), &[&sweep[..], &["--budget", "4s"]].concat()).code, Some(0));
    let path = dir.path().join("run/samples.jsonl");
    let cells = read_journal(&dir.path().join("run")).unwrap().cells;
    let measured: Vec<&CellRecord> = cells.iter().filter(|c| !c.not_reached()).collect();
    assert!(measured.len() >= 2, "{cells:?}");
    for pair in measured.chunks(2) {
        assert_eq!([&pair[0].distribution, &pair[1].distribution], [&Some("zeros".to_owned()), &None]);
        assert!(pair.iter().all(|c| c.regime == "sustained" && c.dwell_ns == Some(50_000_000) && c.warm.is_some()));
        assert!(pair[0].check.as_ref().is_some_and(|c| c.worst == 0.0 && c.elements > 0), "{:?}", pair[0].check);
    }
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"distribution\":\"zeros\"", "\"distribution\":\"normal\"")).unwrap();
    let resumed = run(dir.path(), &["sweep", "--resume", "--out", "run", "--budget", "1s"]);
    assert_eq!(resumed.code, Some(2));
    assert!(resumed.err.contains("is not a cell of its manifest's plan"), "{}", resumed.err);
    let onset = run(dir.path(), &["sweep", "--m", "8", "--n", "8", "--k", "8", "--regime", "onset", "--list"]);
    assert_eq!(onset.code, Some(2));
    assert!(onset.err.contains("mm-03"), "{}", onset.err);
}

#[test]
fn claims_are_listed_for_a_gpu_that_is_not_here() {
    let dir = tempfile::tempdir().unwrap();
    let json = ok(dir.path(), &["validate", "NV-12", "--list", "--for", "h100-sxm", "--json"]);
    let claims: serde_json::Value = serde_json::from_str(&json).unwrap();
    let pair = &claims[0]["questions"][0]["comparisons"][0];
    assert_eq!((&pair["first"]["problem"]["m"], &pair["first"]["problem"]["n"]), (&1408.into(), &3072.into()));
    assert_eq!(pair["second"]["problem"]["n"], 3080);
    let unknown = run(dir.path(), &["validate", "nv-1x", "--list"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("did you mean NV-1"));
}

#[test]
fn arithmetic_needs_no_cells() {
    let dir = tempfile::tempdir().unwrap();
    let text = ok(dir.path(), &["validate", "FK-12", "FK-13", "--device", "cpu", "--json"]);
    let verdicts: Verdicts = serde_json::from_str(&text).unwrap();
    let findings: Vec<Finding> = verdicts.verdicts.iter().map(|v| v.verdict).collect();
    assert_eq!(findings, [Finding::Supported, Finding::Contradicted]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_document_is_spliced_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    validate(dir.path(), &["ra-09"]);
    let document = dir.path().join("CLAIMS.md");
    std::fs::write(&document, "# Claims\n<!-- BEGIN: verdicts -->\n<!-- END: verdicts -->\nend\n").unwrap();
    let splice = ["validate", "RA-09", "--from", "run", "--splice", "CLAIMS.md"];
    let check = [&splice[..], &["--check"]].concat();
    assert_eq!(run(dir.path(), &check).code, Some(1));
    ok(dir.path(), &splice);
    ok(dir.path(), &check);
    let text = std::fs::read_to_string(&document).unwrap();
    assert!(text.contains("| **RA-09** ") && text.ends_with("end\n"), "{text}");
}
