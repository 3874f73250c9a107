//! `gemmscope heatmap DIR..`: draws the pictures and the table of finished runs, merging the shards of one plan.

use super::Ending;
use crate::report;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Draw heatmaps from the records of one run, or of several shards together
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  gemmscope heatmap results/shard-* --out results/merged\n  gemmscope heatmap RUN --metric sectors,issued"
)]
pub struct Args {
    /// Folders of runs
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
    /// Where to write the pictures and summary.csv [default: the folder, where there is only one]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Counts of an emulated device to draw: sectors, issued, wavefronts, access_bytes, sector_use, requests, instructions or
    /// lanes [default: the first four]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    metric: Vec<String>,
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
    let metrics = report::metrics(&args.metric).map_err(anyhow::Error::msg)?;
    let counted = runs.iter().flat_map(|run| &run.cells).any(|cell| cell.counters.is_some());
    anyhow::ensure!(
        metrics.is_empty() || counted,
        "--metric {}: no cell of {} has counts; those come from `gemmscope sweep --device emulated`",
        args.metric.join(","),
        args.dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    );
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let written = match &metrics[..] {
        [] => report::write_all(out, &runs)?,
        metrics => report::write_all_of(out, &runs, metrics)?,
    };
    written.missing.iter().for_each(|lack| eprintln!("warning: {lack}"));
    if args.json {
        say!("{:#}", serde_json::json!({ "files": written.files, "missing": written.missing }))?;
    } else {
        let pictures = super::sweep::miniature(&runs, &metrics);
        if !pictures.is_empty() {
            say!("{}", pictures.trim_end())?;
        }
        for file in &written.files {
            say!("{}", file.display())?;
        }
    }
    Ok(Ending::Done)
}
