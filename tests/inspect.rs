use crate::command::{gemmscope, ok, refused, run, said, small};
use serde_json::Value;
use std::time::Instant;

fn here() -> &'static std::path::Path {
    std::path::Path::new(".")
}

#[test]
fn devices_tell_what_is_here_and_what_is_not() {
    let value: Value = serde_json::from_str(&ok(here(), &["devices", "--json"])).unwrap();
    assert_eq!(value["cpu"]["kind"], "cpu");
    assert!(value["cpu"]["name"].as_str().unwrap().starts_with("CPU"));
    let cuda = &value["cuda"];
    assert!(cuda["devices"].is_array() || cuda["absent"]["kind"].is_string(), "{cuda}");
    assert!(ok(here(), &["devices"]).contains("telemetry"));
}

#[test]
fn the_catalogue_lists_four_alignment_classes_of_mma() {
    let value: Value = serde_json::from_str(&ok(here(), &["kernels", "--json"])).unwrap();
    let kernels = value.as_array().unwrap();
    let names: Vec<&str> = kernels.iter().map(|k| k["name"].as_str().unwrap()).collect();
    assert!(
        names.starts_with(&["01_naive", "02_tiled", "03_wmma", "04_mma"]) && names.ends_with(&["cpu_sgemm"]),
        "{names:?}"
    );
    let classes: std::collections::BTreeSet<u64> =
        kernels[3]["variants"].as_array().unwrap().iter().map(|v| v["align_bytes"].as_u64().unwrap()).collect();
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), [2, 4, 8, 16]);
    let of = |flags: &[&str]| -> Vec<String> {
        let args = [&["kernels", "--json"], flags].concat();
        let value: Value = serde_json::from_str(&ok(here(), &args)).unwrap();
        value.as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of(&["--dtype", "i8,e4m3"]), ["01_naive", "04_mma_types", "04_mma_fp8", "pack", "cublaslt"]);
    assert_eq!(of(&["--dtype", "tf32", "--layout", "tt"]), ["01_naive", "pack", "cublaslt", "cpu_sgemm"]);
}

#[test]
fn usage_errors_name_the_value_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    for (args, words) in [
        (vec!["sweep", "--m", "64..x", "--n", "1", "--k", "1"], vec!["--m", "64..x", "^"]),
        (vec!["sweep", "--m", "64"], vec!["--n is missing", "--preset"]),
        (vec!["sweep", "--m", "-1", "--n", "1", "--k", "1"], vec!["--m: a value cannot be negative", "64..1024+64"]),
        (vec!["sweep", "--m", "n", "--n", "k", "--k", "1"], vec!["--m n", "write values for one"]),
        (vec!["sweep", "--precision", "-1"], vec!["--precision -1", "0.005"]),
        (vec!["sweep", "--device", "cpu", "--kernel", "cpu_sgem"], vec!["cpu_sgem", "did you mean \"cpu_sgemm\""]),
        (vec!["sweep", "--device", "cpu", "--kernel", "04_mmma"], vec!["04_mmma", "did you mean \"04_mma\""]),
        (vec!["sweep", "--device", "gpu7"], vec!["gpu7", "cuda:N"]),
        (vec!["sweep", "--shard", "9/8"], vec!["9/8", "INDEX/COUNT"]),
        (vec!["sweep", "--budget", "soon"], vec!["soon", "90s"]),
        (vec!["sweep", "--precision", "7"], vec!["--precision 7", "0.005"]),
        (vec!["sweep", "--device", "cpu", "--m", "1", "--n", "1", "--k", "1", "--beta", "nan"], vec!["nan", "finite"]),
        (vec!["sweep", "--resume"], vec!["--out"]),
        (vec!["sweep", "--resume", "--out", "nowhere"], vec!["nowhere", "leave out --resume"]),
        (vec!["sweep", "--m", "1..4000000", "--n", "1..4000000", "--k", "1"], vec!["16000000000000", "several runs"]),
        (vec!["heatmap", "nowhere"], vec!["nowhere"]),
        (vec!["verify", "--device", "cpu", "--kernel", "04_mma"], vec!["04_mma", "a CUDA device"]),
        (vec!["verify", "--device", "cpu", "--cases", "0"], vec!["0 is not in 1..="]),
        (vec!["verify", "--device", "cpu", "--cases", "18446744073709551615"], vec!["is not in 1..="]),
        (vec!["verify", "--device", "emulated", "--seeds", "18446744073709551615"], vec!["is not in 1..="]),
        (vec!["verify", "--device", "cpu", "--dtype", "i8"], vec!["no kernel", "layouts and types"]),
        (vec!["sweep", "--layout", "nm"], vec!["nm", "nn, nt, tn, tt"]),
        (vec!["sweep", "--dtype", "f64"], vec!["f64", "f16, bf16, tf32, i8, e4m3"]),
    ] {
        let said = refused(dir.path(), &args);
        for word in words {
            assert!(said.contains(word), "gemmscope {}: no {word:?} in\n{said}", args.join(" "));
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "an error left files behind");
}

/// The examples of every command's help, run by a shell in a folder that has the runs which they speak of.
#[cfg(unix)]
#[test]
fn the_examples_in_the_help_run() {
    let dir = tempfile::tempdir().unwrap();
    let examples = dir.path().join("docs/examples");
    std::fs::create_dir_all(&examples).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/gpt2.toml");
    std::fs::copy(model, examples.join("gpt2.toml")).unwrap();
    let measure = |out: &str, more: &[&str]| {
        let mut args = small(&["--m", "8..11"]);
        args[12] = out;
        args.extend(more);
        ok(dir.path(), &args);
    };
    ["before", "after", "mine", "other"].iter().for_each(|out| measure(&format!("results/{out}"), &[]));
    measure("results/shard-1", &["--shard", "1/2"]);
    measure("results/shard-2", &["--shard", "2/2"]);
    ok(dir.path(), &"sweep --device emulated --m 8 --n 8 --k 8 --out RUN".split(' ').collect::<Vec<_>>());

    let names: Vec<String> = ok(here(), &["--help"])
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned))
        .filter(|name| !name.starts_with('-') && name != "help")
        .collect();
    assert!(names.len() >= 12, "{names:?}");
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_gemmscope")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    for name in names {
        let help = ok(here(), &[&name, "--help"]);
        let examples: Vec<&str> =
            help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|l| l.starts_with("gemmscope ")).collect();
        assert!(!examples.is_empty(), "{name}: {help}");
        for example in examples {
            // What would measure for minutes is planned only.
            let more = match name.as_str() {
                "sweep" if example.contains("--list") => " --device emulated",
                "sweep" => " --list --device emulated",
                "verify" if example.contains("--device") => " --list",
                "verify" => " --list --device emulated",
                "validate" if !example.contains("--list") && !example.contains("--from") => " --list",
                "tune" if !example.contains("--cache") => " --device cpu --cache tuned.json",
                "tune" => " --device cpu",
                _ => "",
            };
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &format!("{example}{more}")]).current_dir(dir.path()).env("PATH", &path);
            let said = said(shell.output().unwrap());
            // A comparison of two runs may find something.
            let fine = said.code == Some(0) || name == "compare" && said.code == Some(1);
            assert!(fine && !said.out.is_empty(), "{example}{more}: {:?}\n{}\n{}", said.code, said.out, said.err);
        }
    }
}

#[test]
fn a_gpu_that_was_asked_for_and_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let said = refused(dir.path(), &["sweep", "--device", "cuda:99", "--m", "1", "--n", "1", "--k", "1"]);
    assert!(said.contains("CUDA") || said.contains("cuda:99"), "{said}");
}

#[test]
fn a_list_shows_every_cell_and_measures_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let list = ok(dir.path(), &small(&["--m", "1..5", "--lda", "+0,1", "--list"]));
    assert_eq!(list.lines().filter(|l| !l.starts_with('#')).count(), 10, "{list}");
    let lines = ok(dir.path(), &small(&["--m", "1..5", "--paired", "--list", "--json"]));
    let cells: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(cells.len(), 10);
    assert!(cells.iter().all(|c| c["runs"] == "cpu_sgemm/matrixmultiply" && c["pair"].is_u64()));
    assert!(!dir.path().join("run").exists());
}

#[test]
fn a_million_cells_are_listed_for_a_reader_that_stops_early() {
    // The time is a bound against accidents only: planning takes tens of milliseconds.
    let start = Instant::now();
    let args = ["sweep", "--device", "cpu", "--m", "1..100", "--n", "1..100", "--k", "1..100", "--list"];
    let mut child = gemmscope(here(), &args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut first).unwrap();
    assert!(first.contains("1000000 cells"), "{first}");
    assert_eq!(child.wait().unwrap().code(), Some(0), "a closed pipe is no error");
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn a_list_of_very_many_cells_does_not_ask_dispatch_for_each() {
    let list = |m: &str| {
        let args = ["sweep", "--device", "cpu", "--m", m, "--n", "8", "--k", "8", "--list", "--json"];
        let told = run(here(), &args);
        (serde_json::from_str::<Value>(told.out.lines().next().unwrap()).unwrap(), told.err)
    };
    let (few, told) = list("1..20000");
    assert!(few["runs"] == "cpu_sgemm/matrixmultiply" && told.is_empty(), "{few} {told}");
    let (many, told) = list("1..20001");
    assert!(many["runs"].is_null() && many["kernel"] == "auto", "{many}");
    assert!(told.contains("20001 cells") && told.contains("--shard"), "{told}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let sweep = small(&["--m", "3"]);
    ok(dir.path(), &sweep);
    for args in [
        vec!["devices"],
        vec!["devices", "--json"],
        vec!["kernels"],
        vec!["kernels", "--json"],
        vec!["heatmap", "run"],
        vec!["heatmap", "run", "--json"],
        vec!["verify", "--device", "cpu"],
    ] {
        let mut child = gemmscope(dir.path(), &args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let said = said(child.wait_with_output().unwrap());
        assert_eq!((said.code, said.err.contains("panicked")), (Some(0), false), "{args:?}: {}", said.err);
    }
}

#[cfg(unix)]
#[test]
fn folders_with_strange_names_work() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let mut args = small(&["--m", "3"]);
    args.truncate(args.len() - 4);
    let name = std::ffi::OsStr::from_bytes(b"a b'\xff\n");
    let out = gemmscope(dir.path(), &args[..11]).args(["--m", "3", "--out"]).arg(name).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(dir.path().join(name).join("summary.csv").exists());
}

#[test]
fn the_cpu_passes_the_verification_suite() {
    let said = run(here(), &["verify", "--device", "cpu", "--cases", "24", "--json"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let value: Value = serde_json::from_str(&said.out).unwrap();
    let forms = value["variants"].as_array().unwrap();
    assert_eq!(forms.len(), 3 * 4, "three types in four layouts");
    for form in forms {
        assert_eq!((&form["cases"], &form["wrong"]), (&24.into(), &0.into()), "{form}");
        assert!(form["worst"].as_f64().unwrap() <= 1.0, "{form}");
    }
}

#[test]
fn the_shards_of_a_verification_are_the_whole() {
    let list = |more: &[&str]| {
        let args = [&["verify", "--device", "cpu", "--cases", "2", "--list", "--json"], more].concat();
        let said = run(here(), &args);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        serde_json::from_str::<Vec<Value>>(&said.out).unwrap()
    };
    let whole = list(&[]);
    let shards: Vec<Vec<Value>> = (1..=5).map(|i| list(&["--shard", &format!("{i}/5")])).collect();
    assert_eq!(shards.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2, 2, 2]);
    for (i, form) in whole.iter().enumerate() {
        assert_eq!(&shards[i % 5][i / 5], form);
    }
    let said = refused(here(), &["verify", "--device", "cpu", "--shard", "13/13"]);
    assert!(
        said.contains("--shard 13/13: there are 12 forms, so that this one has none; give COUNT of at most 12"),
        "{said}"
    );
    assert!(refused(here(), &["verify", "--device", "cpu", "--shard", "0/2"]).contains("\"0/2\" is not a shard"));
}

#[test]
fn tuning_says_what_there_is_to_choose() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("tuned.json");
    let name = cache.to_str().unwrap();
    let text = ok(dir.path(), &["tune", "64", "32", "16", "--device", "cpu", "--cache", name]);
    assert!(text.contains("64 x 32 x 16") && text.contains("cpu_sgemm/matrixmultiply is the only candidate"), "{text}");
    assert!(!cache.exists(), "nothing was found out");
    let json =
        ok(dir.path(), &["tune", "-m", "8..10", "-n", "8", "-k", "8", "--device", "cpu", "--cache", name, "--json"]);
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((value["problems"].as_array().unwrap().len(), &value["remembered"]), (3, &0.into()));
    // What cannot be done is said before anything is measured.
    assert!(refused(dir.path(), &["tune", "64", "32", "--device", "cpu"]).contains("2 sizes are not M N K"));
    assert!(refused(dir.path(), &["tune", "--device", "cpu"]).contains("nothing to tune"));
    assert!(refused(dir.path(), &["tune", "8", "8", "8", "--device", "emulated"]).contains("no time"));
    std::fs::write(&cache, "{").unwrap();
    let damaged = refused(dir.path(), &["tune", "8", "8", "8", "--device", "cpu", "--cache", name]);
    assert!(damaged.contains("tuned.json") && damaged.contains("delete it"), "{damaged}");
}

#[test]
fn verify_lists_what_it_would_check() {
    let text = ok(here(), &["verify", "--device", "cpu", "--layout", "nn,tt", "--dtype", "f16", "--list"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("cpu_sgemm/matrixmultiply\tf16 tt\t2 cases"), "{text}");
}
