//! `gemmscope report DIR..`: one interactive page of finished runs, for a browser without a network.

use super::{Ending, bytes};
use crate::report::{PAGE_FILE, write_page};
use anyhow::Result;
use std::path::PathBuf;

/// Make one interactive page, report.html, of the records of one or more runs
///
/// The page is a single file that needs no network: heatmaps by any two axes, the evidence of each cell, what alignment costs, the
/// verdicts, clocks and power, and the cells without a number with their reasons. Shards of one plan are merged; runs on
/// different devices, and repetitions, stand side by side.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gemmscope report results/mine
  gemmscope report results/shard-* --out merged.html --title \"All shards\"")]
pub struct Args {
    /// Folders of runs
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
    /// The page to write [default: report.html in the folder, where there is only one]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Title of the page [default: the devices]
    #[arg(long)]
    title: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Ending> {
    let out = match (&args.out, &args.dirs[..]) {
        (Some(out), _) if out.is_dir() => out.join(PAGE_FILE),
        (Some(out), _) => out.clone(),
        (None, [only]) => only.join(PAGE_FILE),
        _ => anyhow::bail!("{} folders are given; say with --out which file the page of all goes to", args.dirs.len()),
    };
    let page = write_page(&out, &args.dirs, args.title.as_deref())?;
    page.notes.iter().for_each(|note| eprintln!("note: {note}"));
    if args.json {
        say!(
            "{:#}",
            serde_json::json!({
                "file": page.path, "bytes": page.bytes, "cells": page.cells, "cells_shown": page.shown,
                "samples": page.samples, "notes": page.notes,
            })
        )?;
    } else {
        say!("wrote {} ({}, {} of {} cells)", page.path.display(), bytes(page.bytes), page.shown, page.cells)?;
    }
    Ok(Ending::Done)
}
