//! `explain`, `advise` and `compare` as a user runs them.

use crate::command::{ok, refused, run, small};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn json(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&ok(dir, args)).expect("it prints JSON")
}

#[test]
fn explain_answers_for_a_gpu_that_is_not_here() {
    let dir = tempfile::tempdir().unwrap();
    let odd = ok(dir.path(), &["explain", "768", "50257", "16384", "--device", "h100-sxm", "--kernel", "library"]);
    for says in ["multiples of 2 bytes only (ld 50257)", "alignment", "rows at multiples of", "total"] {
        assert!(odd.contains(says), "{says}\n{odd}");
    }
    let padded = ["explain", "768", "50257", "16384", "--ldb", "50264", "--ldc", "50264", "--device", "h100-sxm"];
    assert!(ok(dir.path(), &padded).contains("all that the widest copies need"));
    let value = json(dir.path(), &["explain", "50257", "768", "16384", "--device", "h100-sxm", "--json"]);
    let parts = value["chosen"]["budget"].as_array().unwrap();
    let sum: f64 = parts.iter().map(|p| p["time_ns"].as_f64().unwrap()).sum();
    assert!((sum - value["chosen"]["time_ns"].as_f64().unwrap()).abs() < 1e-3);
    assert!(refused(dir.path(), &["explain", "1", "1", "1", "--device", "h1000"]).contains("h100-sxm"));
    assert!(refused(dir.path(), &["explain", "0", "1", "1", "--device", "l4"]).contains("m = 0"));
}

#[test]
fn explain_puts_a_measurement_beside_the_prediction() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "32"]));
    let value = json(dir.path(), &["explain", "32", "48", "32", "--device", "cpu", "--record", "run", "--json"]);
    let measured = &value["measured"][0];
    let (median, predicted) = (measured["median_ns"].as_f64().unwrap(), measured["predicted_ns"].as_f64().unwrap());
    assert!((measured["residual"].as_f64().unwrap() - (median / predicted - 1.0)).abs() < 1e-9);
    // The budget and what it does not explain are what was measured.
    let parts = value["chosen"]["budget"].as_array().unwrap();
    let sum: f64 = parts.iter().map(|p| p["time_ns"].as_f64().unwrap()).sum();
    assert!((sum + measured["residual_ns"].as_f64().unwrap() - median).abs() < 0.01, "{value}");
    let absent = ok(dir.path(), &["explain", "33", "48", "32", "--device", "cpu", "--record", "run"]);
    assert!(absent.contains("gemmscope sweep --m 33"), "{absent}");
    let other = ["explain", "32", "48", "32", "--layout", "nt", "--ldb", "40", "--device", "cpu", "--record", "run"];
    assert!(ok(dir.path(), &other).contains("--m 32 --n 48 --k 32 --layout nt --ldb 40 --out"));
}

#[test]
fn advise_reads_lists_of_layers_and_says_what_is_wrong_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("layers.toml");
    fs::write(
        &list,
        "name = 'x'\nbatch = 8\n[[layer]]\nkind = 'linear'\nname = 'head'\ninputs = 768\noutputs = 50257\nrows = 512\n",
    )
    .unwrap();
    let advice = ok(dir.path(), &["advise", "--model", "layers.toml", "--device", "a100-80", "--kernel", "library"]);
    assert!(advice.contains("head: outputs 502") && advice.contains("instead of 50257"), "{advice}");
    fs::write(
        &list,
        "name = 'x'\nbatch = 8\n[[layer]]\nkind = 'linear'\nname = 'head'\ninputs = 'many'\noutputs = 8\n",
    )
    .unwrap();
    let wrong = refused(dir.path(), &["advise", "--model", "layers.toml", "--device", "a100-80"]);
    assert!(wrong.contains("layers.toml") && wrong.contains("docs/ADVICE.md"), "{wrong}");
    let two = ["advise", "--m", "1..8", "--n", "1..8", "--k", "64", "--device", "l4"];
    assert!(refused(dir.path(), &two).contains("one range"));
    let vocabulary =
        ["advise", "--m", "4096", "--n", "50257..50304", "--k", "768", "--device", "h200", "--kernel", "library"];
    assert!(ok(dir.path(), &vocabulary).contains("padded to"));
    // A range that ends before the next good size does not hide it, and millions of sizes are answered.
    let short =
        ["advise", "--m", "4096", "--n", "50257..50258", "--k", "768", "--device", "h200", "--kernel", "library"];
    assert!(ok(dir.path(), &short).contains("Beyond the range, n = 502"));
    let long = ["advise", "--m", "1..4000000", "--n", "256", "--k", "64", "--device", "l4", "--kernel", "library"];
    assert!(ok(dir.path(), &long).contains("Cheapest for each unit of m"));
    for (axis, says) in [("-3..4", "cannot be negative"), ("1..1000000000000", "take a step")] {
        let why = refused(dir.path(), &["advise", "--m", axis, "--n", "4096", "--k", "64", "--device", "l4"]);
        assert!(why.contains(says), "{axis}: {why}");
        let why = refused(dir.path(), &["sweep", "--m", axis, "--n", "4096", "--k", "64", "--list"]);
        assert!(why.contains("--m") && why.contains(says), "{axis}: {why}");
    }
}

#[test]
fn compare_ends_with_1_only_on_a_regression() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &small(&["--m", "8..280+8"]));
    let copy = |name: &str, factor: &dyn Fn(usize) -> f64| {
        let to = dir.path().join(name);
        fs::create_dir(&to).unwrap();
        fs::copy(dir.path().join("run/manifest.json"), to.join("manifest.json")).unwrap();
        let journal = fs::read_to_string(dir.path().join("run/samples.jsonl")).unwrap();
        let lines = journal.lines().enumerate().map(|(i, line)| {
            let mut cell: Value = serde_json::from_str(line).unwrap();
            // Samples that scatter as on a quiet machine, whatever this one is like.
            for (j, sample) in cell["samples"].as_array_mut().unwrap().iter_mut().enumerate() {
                let launch_ns = 1e5 * (1.0 + 0.004 * ((j * 7 % 5) as f64 - 2.0)) * factor(i);
                let launches = sample["launches"].as_f64().unwrap();
                sample["elapsed_ns"] = Value::from((launch_ns * launches).round() as u64);
            }
            cell["median_ns"] = Value::from((1e5 * factor(i)) as u64);
            cell.to_string() + "\n"
        });
        fs::write(to.join("samples.jsonl"), lines.collect::<String>()).unwrap();
    };
    copy("before", &|_| 1.0);
    copy("same", &|_| 1.0);
    let same = run(dir.path(), &["compare", "before", "same"]);
    assert_eq!(same.code, Some(0), "{}", same.out);
    assert!(same.out.contains("same:") && same.out.contains("common shift"), "{}", same.out);
    // A tenth of the cells takes three times as long.
    copy("slower", &|i| if i % 10 == 4 { 3.0 } else { 1.0 });
    let slower = run(dir.path(), &["compare", "before", "slower", "--markdown"]);
    assert_eq!(slower.code, Some(1), "{}", slower.out);
    assert!(slower.out.contains("| cell |") && slower.out.contains("slower"), "{}", slower.out);
    let faster = run(dir.path(), &["compare", "slower", "before", "--json"]);
    assert_eq!(faster.code, Some(0), "{}", faster.out);
    assert_eq!(serde_json::from_str::<Value>(&faster.out).unwrap()["verdict"], "faster");
    assert!(refused(dir.path(), &["compare", "run", "nowhere"]).contains("nowhere"));
}
