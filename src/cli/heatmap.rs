//! `gemmscope heatmap DIR..`: draws the pictures and the table of finished runs, merging the shards of one plan.

use super::Ending;
use crate::report;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Draw heatmaps from the records of one run, or of several shards together
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gemmscope heatmap results/shard-* --out results/merged")]
pub struct Args {
    /// Folders of runs
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
    /// Where to write the pictures and summary.csv [default: the folder, where there is only one]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Ending> {
    let out = match (&args.out, &args.dirs[..]) {
        (Some(out), _) => out,
        (None, [only]) => only,
        _ => anyhow::bail!("{} folders are given; say with --out where the merged pictures go", args.dirs.len()),
    };
    let runs = args.dirs.iter().map(|dir| report::load(dir)).collect::<Result<Vec<_>, _>>()?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let written = report::write_all(out, &runs)?;
    written.missing.iter().for_each(|lack| eprintln!("warning: {lack}"));
    if args.json {
        say!("{:#}", serde_json::json!({ "files": written.files, "missing": written.missing }))?;
    } else {
        let pictures = super::sweep::miniature(&runs);
        if !pictures.is_empty() {
            say!("{}", pictures.trim_end())?;
        }
        for file in &written.files {
            say!("{}", file.display())?;
        }
    }
    Ok(Ending::Done)
}
