//! Maintainers' commands: `cargo xtask kernels | bundle | ci`.

// build.rs reads what xtask writes: each uses its half.
#[allow(dead_code)]
#[path = "../../build/mod.rs"]
mod build;
mod bundle;
mod ci;
mod install;
mod kernels;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Maintainers' commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Kernels(kernels::Arguments),
    Bundle(bundle::Arguments),
    Ci(ci::Arguments),
}

fn main() -> ExitCode {
    let root = root();
    let result = match Arguments::parse().command {
        Task::Kernels(arguments) => kernels::run(&root, &arguments),
        Task::Bundle(arguments) => bundle::run(&root, &arguments),
        Task::Ci(arguments) => ci::run(&root, &arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root, wherever the command is given.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
