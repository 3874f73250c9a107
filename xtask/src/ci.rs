//! `cargo xtask ci`: what a commit has to pass.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Run what a commit has to pass: format, clippy, documentation, kernels, tests. The steps are those of .ci/run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: cargo xtask ci")]
pub struct Arguments {}

/// Runs it.
///
/// # Errors
/// A step that fails; its own message is on the terminal.
pub fn run(root: &Path, _arguments: &Arguments) -> Result<()> {
    // One list of steps, and it is the script's: a new machine has bash before it has this program.
    let script = root.join(".ci/run");
    let status = Command::new("bash").current_dir(root).arg(&script).status();
    let status = status.with_context(|| format!("starting bash for {}; install bash", script.display()))?;
    ensure!(status.success(), "the last step above failed ({status})");
    Ok(())
}
