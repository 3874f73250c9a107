use gemmscope::record::{CellRecord, Manifest, read_journal, read_manifest};
use std::path::Path;
use std::process::{Command, Output};

/// The command under test, without colours and in a folder of its own.
pub fn gemmscope(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gemmscope"));
    command.args(args).current_dir(dir).env("NO_COLOR", "1").env_remove("RUST_LOG").env("COLUMNS", "100");
    command
}

/// What it said, and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn run(dir: &Path, args: &[&str]) -> Said {
    said(gemmscope(dir, args).output().expect("the command starts"))
}

pub fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).expect("the command writes UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs the command, which must succeed.
pub fn ok(dir: &Path, args: &[&str]) -> String {
    let said = run(dir, args);
    assert_eq!(said.code, Some(0), "gemmscope {}\n{}\n{}", args.join(" "), said.out, said.err);
    said.out
}

/// Runs the command, which must end with a usage or environment error, and returns what it says.
pub fn refused(dir: &Path, args: &[&str]) -> String {
    let said = run(dir, args);
    assert_eq!(said.code, Some(2), "gemmscope {}\n{}\n{}", args.join(" "), said.out, said.err);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said.err
}

pub fn records(dir: &Path) -> Vec<CellRecord> {
    read_journal(dir).expect("there is a journal").cells
}

pub fn manifest(dir: &Path) -> Manifest {
    read_manifest(dir).expect("there is a manifest")
}

/// Flags of a small, quick sweep on the CPU into the folder `run`.
pub const SMALL: [&str; 13] =
    ["sweep", "--device", "cpu", "--n", "48", "--k", "32", "--cell-time", "2ms", "--seed", "7", "--out", "run"];

/// [`SMALL`] with more flags.
pub fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().copied().chain(more.iter().copied()).collect()
}
