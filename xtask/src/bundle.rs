//! `cargo xtask bundle`: one folder that measures on a machine without Rust, CUDA toolkit or network.

use crate::build::toolchain::{self, Choice};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the whole folder may weigh, in MiB: it has to pass through uploads that take no more.
const LIMIT_MIB: u64 = 60;

/// What `run.sh` does there.
const RUN: &str = include_str!("bundle/run.sh");

/// How to use the folder.
const README: &str = include_str!("bundle/README.txt");

/// Build release programs, the benches and a run script into one folder for a GPU machine without toolkits.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: cargo xtask bundle --out /tmp/gemmscope-bundle")]
pub struct Arguments {
    /// The folder to make; an older bundle there is replaced.
    #[arg(long, default_value = "bundle")]
    out: PathBuf,
}

/// Runs it.
///
/// # Errors
/// A build that fails, a folder that is no bundle and in the way, a bundle that is too large.
pub fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    // Only what was made here is removed: --out may be mistyped.
    ensure!(
        !out.exists() || out.join("run.sh").is_file() || fs::read_dir(out).is_ok_and(|mut d| d.next().is_none()),
        "{} exists and is no bundle; name another folder or remove it",
        out.display()
    );

    let env = |name: &str| std::env::var_os(name);
    let choice = Choice::from_env(&env)?;
    let kernels = match toolchain::find(root, choice, &env)? {
        Some(toolchain) => {
            println!("kernels: PTX and cubins by nvcc {}", toolchain.version);
            "nvcc"
        }
        None => {
            eprintln!(
                "warning: the kernels come from kernels/prebuilt/ and there are no cubins, so that the driver compiles PTX at \
                 the first launch; `cargo xtask kernels` installs nvcc"
            );
            "prebuilt"
        }
    };
    let programs = [
        programs(&cargo(root, kernels, &["build", "--release", "--package", "gemmscope", "--bin", "gemmscope"])?)?,
        programs(&cargo(root, kernels, &["bench", "--no-run", "--package", "gemmscope", "--benches"])?)?,
    ]
    .concat();
    fill(out, &programs)?;
    describe(out)?;

    let mut total = 0;
    for (name, bytes) in sizes(out)? {
        println!("{:>8.1} MiB  {name}", mib(bytes));
        total += bytes;
    }
    println!("{:>8.1} MiB  in all, in {}", mib(total), out.display());
    ensure!(
        total <= LIMIT_MIB << 20,
        "the bundle has {:.1} MiB and the limit is {LIMIT_MIB} MiB; drop an architecture from `cubins` in kernels/catalog.toml",
        mib(total)
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Runs cargo and gives its JSON messages.
fn cargo(root: &Path, kernels: &str, arguments: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .env("GEMMSCOPE_KERNELS", kernels)
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(output.status.success(), "cargo {} failed ({}); its message is above", arguments.join(" "), output.status);
    String::from_utf8(output.stdout).context("reading cargo's messages")
}

/// The programs that a build made: the command, and `bench-NAME` for each bench, with their files.
fn programs(messages: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut programs = Vec::new();
    for line in messages.lines().filter(|l| l.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("reading cargo's messages")?;
        let (kind, name) = (message["target"]["kind"][0].as_str(), message["target"]["name"].as_str());
        let (Some(file), Some(name)) = (message["executable"].as_str(), name) else { continue };
        match kind {
            Some("bench") => programs.push((format!("bench-{name}"), file.into())),
            // A bench run builds the command too, for the benches to call; the release build's is the one to ship.
            Some("bin") if message["profile"]["test"] == false => programs.push((name.to_owned(), file.into())),
            _ => {}
        }
    }
    ensure!(!programs.is_empty(), "cargo named no program that it built; is this cargo from before 2020?");
    Ok(programs)
}

/// Copies and strips the programs.
fn fill(out: &Path, programs: &[(String, PathBuf)]) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display()))?;
    }
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    for (name, file) in programs {
        let copy = out.join(name);
        if copy.exists() {
            continue;
        }
        fs::copy(file, &copy).with_context(|| format!("copying {} to {}", file.display(), copy.display()))?;
        let strip = Command::new("strip").arg(&copy).status();
        let strip = strip.context("starting strip; install binutils (Debian, Ubuntu: apt install binutils)")?;
        if !strip.success() {
            bail!("strip {} failed ({strip})", copy.display());
        }
    }
    Ok(())
}

/// Writes the script and its explanation.
fn describe(out: &Path) -> Result<()> {
    fs::write(out.join("README.txt"), README).context("writing README.txt")?;
    let script = out.join("run.sh");
    fs::write(&script, RUN).context("writing run.sh")?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).context("making run.sh executable")?;
    }
    Ok(())
}

/// The files of a folder and their bytes, by name.
fn sizes(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut sizes = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sizes.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    sizes.sort();
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"gemmscope"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"gemmscope"},"profile":{"test":false},"executable":"/t/gemmscope"}
{"reason":"compiler-artifact","target":{"kind":["bench"],"name":"gemm"},"profile":{"test":true},"executable":"/t/gemm-1"}
{"reason":"build-finished","success":true}
"#;
        let found = programs(messages).unwrap();
        assert_eq!(
            found,
            [
                ("gemmscope".to_owned(), PathBuf::from("/t/gemmscope")),
                ("bench-gemm".to_owned(), PathBuf::from("/t/gemm-1"))
            ]
        );
        assert!(programs("{\"reason\":\"build-finished\"}").is_err());
    }

    #[test]
    fn a_folder_that_is_no_bundle_stays() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("thesis.tex"), "").unwrap();
        let message = run(home.path(), &Arguments { out: home.path().to_owned() }).unwrap_err().to_string();
        assert!(message.contains("is no bundle"), "{message}");
        assert!(home.path().join("thesis.tex").is_file());
    }

    #[test]
    fn run_script_runs_its_steps_and_reports_failures() {
        use crate::build::testing::program;
        let home = tempfile::tempdir().unwrap();
        let bundle = home.path().join("bundle");
        let calls = "echo \"$(basename $0) $*\" >> $(dirname $0)/../calls";
        program(&bundle.join("gemmscope"), &format!("{calls}; [ $1 != verify ] || exit 1"));
        program(&bundle.join("bench-gemm"), calls);
        describe(&bundle).unwrap();
        let out = home.path().join("out");
        let sh = |steps: &[&str]| {
            let mut command = Command::new(bundle.join("run.sh"));
            command.args(steps).env("OUT", &out).env("DEVICE", "cuda:1").env("BUDGET", "7s").output().unwrap()
        };
        assert!(!sh(&[]).status.success(), "a failed step must show");
        let calls = fs::read_to_string(home.path().join("calls")).unwrap();
        let calls: Vec<&str> = calls.lines().collect();
        assert_eq!(calls.len(), 4, "the steps after a failed one run too: {calls:?}");
        assert!(calls[0].starts_with("gemmscope devices"), "{calls:?}");
        assert!(calls[1].starts_with("gemmscope verify --device cuda:1"), "{calls:?}");
        assert!(calls[2].starts_with("gemmscope sweep --device cuda:1 --budget 7s"), "{calls:?}");
        assert_eq!(calls[3], "bench-gemm --bench");
        assert!(out.join("verify.log").is_file());
        assert!(sh(&["devices", "benches"]).status.success());
        assert!(String::from_utf8_lossy(&sh(&["dance"]).stderr).contains("no such step: dance"));
    }
}
