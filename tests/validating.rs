use crate::command::{ok, run};
use gemmscope::record::{CellRecord, Finding, Verdicts, read_verdicts};
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
