use crate::command::{gemmscope, manifest, ok, records, refused, run, said, small};
use gemmscope::record::{Outcome, Status};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts a sweep of 400 cells and waits until some of them are in the journal.
fn started(dir: &Path, more: &[&str]) -> Child {
    let mut flags = vec!["--m", "1..400"];
    flags.extend(more);
    let child = gemmscope(dir, &small(&flags)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("cells in the journal", || {
        fs::read_to_string(dir.join("run/samples.jsonl")).is_ok_and(|text| text.lines().count() > 5)
    });
    child
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Resumes the sweep of [`started`] to its end: every planned cell is there, and none twice.
fn resume_to_the_end(dir: &Path) {
    ok(dir, &["sweep", "--resume", "--out", "run"]);
    let cells: Vec<u64> = records(&dir.join("run")).iter().map(|r| r.cell).collect();
    assert_eq!(cells.iter().copied().collect::<BTreeSet<_>>(), (0..400).collect());
    assert_eq!(cells.len(), 400);
    let manifest = manifest(&dir.join("run"));
    assert_eq!((manifest.progress.outcome, manifest.progress.planned), (Outcome::Complete, 400));
}

#[test]
fn kill_minus_nine_loses_at_most_the_cell_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = started(dir.path(), &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = records(&dir.path().join("run"));
    assert!(before.len() > 5 && before.len() < 400);
    resume_to_the_end(dir.path());
    assert_eq!(records(&dir.path().join("run"))[..before.len()], before[..], "measured cells stay as they were");
}

#[test]
fn the_end_that_schedulers_send_is_as_clean_as_ctrl_c() {
    let dir = tempfile::tempdir().unwrap();
    let child = started(dir.path(), &[]);
    signal("TERM", child.id());
    assert_eq!(said(child.wait_with_output().unwrap()).code, Some(130));
    assert_eq!(manifest(&dir.path().join("run")).progress.outcome, Outcome::Interrupted);
}

#[test]
fn the_clock_goes_on_where_a_killed_run_stood() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut child = if dir.path().join("run").exists() {
            let args = ["sweep", "--resume", "--out", "run"];
            let child = gemmscope(dir.path(), &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let lines = || fs::read_to_string(dir.path().join("run/samples.jsonl")).unwrap().lines().count();
            let before = lines();
            wait_for("more cells", || lines() > before + 5);
            child
        } else {
            started(dir.path(), &[])
        };
        child.kill().unwrap();
        child.wait().unwrap();
    }
    resume_to_the_end(dir.path());
    let records = records(&dir.path().join("run"));
    let starts: Vec<u64> = records.iter().flat_map(|r| r.samples.iter().map(|s| s.at_ns)).collect();
    assert!(starts.is_sorted(), "the run's clock went backwards");
    let progress = manifest(&dir.path().join("run")).progress;
    let sampled: u64 = records.iter().flat_map(|r| r.samples.iter().map(|s| s.elapsed_ns)).sum();
    assert!(sampled <= progress.kernel_ns && progress.kernel_ns < progress.wall_ns);
    assert!(progress.wall_ns >= *starts.last().unwrap());
}

#[test]
fn ctrl_c_ends_cleanly_and_says_how_to_resume() {
    let dir = tempfile::tempdir().unwrap();
    let child = started(dir.path(), &[]);
    signal("INT", child.id());
    let said = said(child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(said.err.contains("gemmscope sweep --resume --out run"), "{}", said.err);
    assert_eq!(manifest(&dir.path().join("run")).progress.outcome, Outcome::Interrupted);
    assert!(dir.path().join("run/summary.csv").exists(), "what was measured is drawn");
    resume_to_the_end(dir.path());
}

#[test]
fn a_torn_last_line_is_dropped_and_measured_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = started(dir.path(), &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let path = dir.path().join("run/samples.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 40]).unwrap();
    resume_to_the_end(dir.path());
}

#[test]
fn a_second_writer_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = started(dir.path(), &[]);
    let error = refused(dir.path(), &["sweep", "--resume", "--out", "run"]);
    assert!(error.contains("another gemmscope"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The worker processes of a sweep.
fn workers(parent: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_dies_or_hangs_costs_one_cell() {
    let dir = tempfile::tempdir().unwrap();
    let child = started(dir.path(), &["--isolate", "--watchdog", "3s"]);
    let first = workers(child.id())[0];
    signal("KILL", first);
    wait_for("another worker", || workers(child.id()).first().is_some_and(|&pid| pid != first));
    let lines = || fs::read_to_string(dir.path().join("run/samples.jsonl")).unwrap().lines().count();
    let before = lines();
    wait_for("the new worker's first cells", || lines() > before + 3);
    // A stopped process is one that never answers.
    signal("STOP", workers(child.id())[0]);
    let said = said(child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.err);
    let records = records(&dir.path().join("run"));
    assert_eq!(records.len(), 400);
    let failed: Vec<String> =
        records.iter().filter(|r| r.status == Status::Failed).map(|r| r.reason.clone().unwrap()).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.iter().any(|r| r.contains("died") && r.contains("signal: 9")), "{failed:?}");
    assert!(failed.iter().any(|r| r.contains("no answer within 3 s")), "{failed:?}");
    assert!(said.out.contains("2 failed"), "{}", said.out);
}

#[cfg(target_os = "linux")]
#[test]
fn workers_end_with_their_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = started(dir.path(), &["--isolate"]);
    let worker = workers(child.id())[0];
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the worker's end", || !Path::new(&format!("/proc/{worker}")).exists());
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // A limit on the size of files, with its signal ignored, makes writes fail as a full disk does.
    let program = env!("CARGO_BIN_EXE_gemmscope");
    let args = small(&["--m", "1..400"]).join(" ");
    let script = format!("trap '' XFSZ; ulimit -f 64; exec {program} {args}");
    let said = said(Command::new("bash").args(["-c", &script]).current_dir(dir.path()).output().unwrap());
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    assert!(said.err.contains("samples.jsonl") && said.err.contains("--resume"), "{}", said.err);
    let kept = records(&dir.path().join("run")).len();
    assert!(said.err.contains(&format!("the {kept} cells")), "{}", said.err);
    resume_to_the_end(dir.path());
}

#[test]
fn folders_that_cannot_be_used_are_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "1..3"]));
    let run_dir = dir.path().join("run");
    let journal = fs::read(run_dir.join("samples.jsonl")).unwrap();

    let occupied = refused(dir.path(), &small(&["--m", "1..3"]));
    assert!(occupied.contains("--resume") && occupied.contains("--out"), "{occupied}");

    let text = fs::read_to_string(run_dir.join("manifest.json")).unwrap();
    for (from, to, word) in [
        ("\"schema_version\": 1", "\"schema_version\": 99", "version 99"),
        ("\"program\": \"gemmscope\"", "\"program\": \"other\"", "other"),
        ("{", "[", "not a manifest"),
    ] {
        fs::write(run_dir.join("manifest.json"), text.replacen(from, to, 1)).unwrap();
        let error = refused(dir.path(), &["sweep", "--resume", "--out", "run"]);
        assert!(error.contains(word), "{error}");
        assert!(refused(dir.path(), &["heatmap", "run"]).contains(word));
    }
    fs::write(run_dir.join("manifest.json"), text.replacen("\"name\": \"CPU", "\"name\": \"Another CPU", 1)).unwrap();
    let error = refused(dir.path(), &["sweep", "--resume", "--out", "run"]);
    assert!(error.contains("another device"), "{error}");
    for (from, to, word) in [
        ("\"version\": \"", "\"version\": \"9", "another program"),
        ("\"units\": ", "\"units\": 9", "another machine"),
        ("\"n\": \"48\"", "\"n\": \"49\"", "not of one run"),
    ] {
        assert!(text.contains(from));
        fs::write(run_dir.join("manifest.json"), text.replacen(from, to, 1)).unwrap();
        let error = refused(dir.path(), &["sweep", "--resume", "--out", "run"]);
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(fs::read(run_dir.join("samples.jsonl")).unwrap(), journal);

    fs::write(dir.path().join("file"), "").unwrap();
    let mut args = small(&["--m", "1"]);
    args[12] = "file/run";
    let error = refused(dir.path(), &args);
    assert!(error.contains("file/run") && error.contains("--out"), "{error}");
}

#[test]
fn what_a_user_keeps_in_a_folder_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    for name in ["summary.csv", "report.html", "verdicts.json", "heatmap-mine.png"] {
        fs::create_dir(&run_dir).unwrap();
        fs::write(run_dir.join(name), "precious").unwrap();
        let error = refused(dir.path(), &small(&["--m", "1"]));
        assert!(error.contains(name) && error.contains("--out"), "{error}");
        assert_eq!(fs::read_to_string(run_dir.join(name)).unwrap(), "precious");
        assert!(!run_dir.join("samples.jsonl").exists());
        fs::remove_dir_all(&run_dir).unwrap();
    }
    // What a run does not write may lie there.
    fs::create_dir(&run_dir).unwrap();
    fs::write(run_dir.join("notes.txt"), "precious").unwrap();
    ok(dir.path(), &small(&["--m", "1"]));
    assert_eq!(fs::read_to_string(run_dir.join("notes.txt")).unwrap(), "precious");
}

#[test]
fn a_journal_without_its_manifest_and_a_manifest_without_its_journal() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "1..3"]));
    let [manifest, journal] = ["manifest.json", "samples.jsonl"].map(|name| dir.path().join("run").join(name));
    let text = fs::read_to_string(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    // Neither a new run nor the old one can be had there, and both say so in the same words.
    for args in [small(&["--m", "1..3"]), vec!["sweep", "--resume", "--out", "run"]] {
        let error = refused(dir.path(), &args);
        assert!(error.contains("a journal without a manifest.json") && error.contains("--out"), "{error}");
    }
    assert_eq!(records(&dir.path().join("run")).len(), 3);
    // A run that was killed before its first line has a manifest alone.
    fs::write(&manifest, &text).unwrap();
    fs::remove_file(&journal).unwrap();
    ok(dir.path(), &["sweep", "--resume", "--out", "run"]);
    assert_eq!(records(&dir.path().join("run")).len(), 3);
}

#[test]
fn a_manifest_that_claims_any_time_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "1..3"]));
    let path = dir.path().join("run/manifest.json");
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    value["progress"]["wall_ns"] = u64::MAX.into();
    value["progress"]["kernel_ns"] = u64::MAX.into();
    fs::write(&path, value.to_string()).unwrap();
    let journal = dir.path().join("run/samples.jsonl");
    let lines = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, lines.lines().next().unwrap().to_owned() + "\n").unwrap();
    let said = run(dir.path(), &["sweep", "--resume", "--out", "run"]);
    assert_eq!((said.code, said.err.contains("panicked")), (Some(0), false), "{}", said.err);
    assert_eq!(records(&dir.path().join("run")).len(), 3);
}

#[test]
fn a_finished_run_resumes_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "1..3"]));
    let before = fs::read(dir.path().join("run/samples.jsonl")).unwrap();
    let said = run(dir.path(), &["sweep", "--resume", "--out", "run"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fs::read(dir.path().join("run/samples.jsonl")).unwrap(), before);
}
