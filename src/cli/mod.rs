//! The command line: one file a sub-command, and [`main`] is a table over them.
//!
//! Exit codes: 0 done; 1 a finding, such as a wrong result; 2 a usage or environment error; 130 ended by Ctrl-C.

/// Writes a line to standard output. A reader that went away is an error here, and not a panic as in `println!`.
macro_rules! say {
    ($($argument:tt)*) => {{
        use std::io::Write;
        writeln!(std::io::stdout(), $($argument)*)
    }};
}

mod advise;
mod compare;
mod devices;
mod explain;
mod heatmap;
mod interrupt;
mod kernels;
mod planning;
mod profile;
mod report;
mod shape;
mod sweep;
mod tune;
mod validate;
mod verify;

pub use sweep::default_out;

use clap::{Parser, Subcommand};
use std::io::{ErrorKind, IsTerminal};
use std::process::ExitCode;

/// Measures what matrix shape and alignment cost a tiled FP16 GEMM, on a GPU or, where there is none, on the CPU.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Devices(devices::Args),
    Kernels(kernels::Args),
    Sweep(Box<sweep::Args>),
    Tune(tune::Args),
    Verify(verify::Args),
    Explain(explain::Args),
    Advise(advise::Args),
    Compare(compare::Args),
    Validate(validate::Args),
    Profile(profile::Args),
    Heatmap(heatmap::Args),
    Report(report::Args),
    /// Measures cells for a parent process; not for use by hand.
    #[command(hide = true)]
    Worker,
}

/// How a command ended, when nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Done,
    Finding,
    Interrupted,
}

/// What is logged where RUST_LOG does not say: warnings, without those of the rasteriser, which complains of lines without length.
const LOG: &str = "warn,tiny_skia=error,resvg=error,usvg=error";

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(LOG)).format_timestamp(None).init();
    let result = match Cli::parse().command {
        Command::Devices(args) => devices::run(&args),
        Command::Kernels(args) => kernels::run(&args),
        Command::Sweep(args) => sweep::run(*args),
        Command::Tune(args) => tune::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Advise(args) => advise::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Heatmap(args) => heatmap::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Worker => crate::sweep::serve().map(|()| Ending::Done).map_err(Into::into),
    };
    match result {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Finding) => ExitCode::from(1),
        Ok(Ending::Interrupted) => ExitCode::from(130),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", causes(&error));
            ExitCode::from(2)
        }
    }
}

/// Whether the reader of our output went away, as `head` does: that is the reader's right.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|e| e.io_error_kind() == Some(ErrorKind::BrokenPipe))
    })
}

/// An error and what caused it, without causes that the text before them has told already.
fn causes(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// A number and what it counts, such as `1 cell` or `2 cells`.
fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Reads one shard of several, as INDEX/COUNT, both counted from 1.
fn shard(text: &str) -> Result<(u64, u64), String> {
    text.split_once('/')
        .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)))
        .filter(|&(index, count): &(u64, u64)| 1 <= index && index <= count)
        .ok_or_else(|| format!("{text:?} is not a shard: write INDEX/COUNT with 1 <= INDEX <= COUNT, such as 2/8"))
}

/// Parses a duration such as `90s`, `2m` or `1h30m`.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    parsed
        .ok()
        .and_then(|d| std::time::Duration::try_from(d).ok())
        .filter(|d| !d.is_zero())
        .ok_or_else(|| format!("{text:?} is not a duration: write 500ms, 90s, 2m or 1h30m"))
}

/// Bytes for people.
fn bytes(bytes: u64) -> String {
    let (value, unit) = match bytes {
        0..1_048_576 => (bytes as f64 / 1024.0, "KiB"),
        1_048_576..1_073_741_824 => (bytes as f64 / 1_048_576.0, "MiB"),
        _ => (bytes as f64 / 1_073_741_824.0, "GiB"),
    };
    format!("{value:.1} {unit}")
}

/// A table in the style of this program.
fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(header);
    // What goes to a file or another program keeps its lines whole.
    if let Some(width) = width().filter(|_| std::io::stdout().is_terminal()) {
        fit(&mut table, width);
    }
    table
}

/// Breaks cells into lines so that a table is no wider than a terminal. Below 40 columns no table can be read.
fn fit(table: &mut comfy_table::Table, width: usize) {
    let width = u16::try_from(width.max(40)).unwrap_or(u16::MAX);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic).set_width(width);
}

/// Columns of the terminal: what COLUMNS says, or the terminal itself.
fn width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|&c: &usize| c > 0);
    asked.or_else(|| terminal_size::terminal_size().map(|(w, _)| usize::from(w.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("gemmscope "), "{} has no example", command.get_name());
        }
    }

    /// The commands in a text's code, fenced or indented, split as a shell would, with every variable set to 1.
    fn commands(text: &str) -> Vec<Vec<String>> {
        let text = text
            .replace("\\\n", " ")
            .replace("$((JOB_COMPLETION_INDEX + 1))", "1")
            .replace("$SLURM_ARRAY_TASK_ID", "1");
        let mut fenced = false;
        let command = |line: &str| {
            fenced ^= line.starts_with("```");
            if !fenced && !line.starts_with("  ") {
                return None;
            }
            let line = line.trim_start();
            let line = ["$ ", "exec ", "srun ./"].iter().find_map(|start| line.strip_prefix(start)).unwrap_or(line);
            let line = line.replace("cargo run --release -- ", "gemmscope ");
            let line = line.split(" #").next().unwrap_or_default();
            line.starts_with("gemmscope ").then(|| line.to_owned())
        };
        // Words between quotes are one.
        let split = |line: String| {
            let parts = line.split('"').enumerate();
            let words = parts.flat_map(|(i, part)| match i % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            });
            words.collect()
        };
        text.lines().filter_map(command).map(split).collect()
    }

    #[test]
    fn every_command_of_the_documents_is_one() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let files = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).chain([root.join("README.md")]);
        let mut texts: Vec<_> =
            files.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect();
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            texts.push((format!("{} --help", command.get_name()), help));
        }
        let mut found = 0;
        for (name, text) in texts {
            for words in commands(&text) {
                found += 1;
                if let Err(why) = Cli::try_parse_from(&words) {
                    panic!("{name}: {}\n{why}", words.join(" "));
                }
            }
        }
        assert!(found > 50, "only {found} commands were found");
    }

    #[test]
    fn a_cause_is_told_once() {
        let full = || std::io::Error::from(ErrorKind::StorageFull);
        let once = anyhow::Error::new(full()).context(format!("cannot write x: {}; make room", full()));
        assert_eq!(causes(&once), format!("cannot write x: {}; make room", full()));
        let told = anyhow::Error::new(full()).context("cannot write x");
        assert_eq!(causes(&told), format!("cannot write x: {}", full()));
        assert_eq!((counted(1, "cell").as_str(), counted(0, "cell").as_str()), ("1 cell", "0 cells"));
    }

    #[test]
    fn tables_fit_a_narrow_terminal() {
        let mut rows = table(&["kernel", "what it does"]);
        rows.add_row(["01_naive", "one thread for one element of C, straight from global memory, in every layout"]);
        assert!(rows.to_string().lines().next().unwrap().chars().count() > 60);
        fit(&mut rows, 44);
        let text = rows.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 44), "{text}");
        assert!(text.contains("element"), "{text}");
    }

    #[test]
    fn durations_parse_or_say_how() {
        assert_eq!(duration("2m").unwrap().as_secs(), 120);
        assert_eq!(duration("1h30m").unwrap().as_secs(), 5400);
        assert_eq!(duration("500ms").unwrap().as_millis(), 500);
        for bad in ["", "2", "-3s", "0s", "soon"] {
            assert!(duration(bad).unwrap_err().contains("90s"), "{bad}");
        }
    }
}
