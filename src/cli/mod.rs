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
mod sweep;
mod tune;
mod validate;
mod verify;

pub use sweep::default_out;

use clap::{Parser, Subcommand};
use std::io::ErrorKind;
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

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).format_timestamp(None).init();
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
            eprintln!("error: {error:#}");
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
    table
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
