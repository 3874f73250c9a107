//! What a sweep shows: its progress, and at its end the pictures, the counts and how to go on.

use super::Args;
use crate::cli::{Ending, counted, width};
use crate::record::{CellRecord, DeviceKind, Manifest, Outcome, Status};
use crate::report;
use crate::sweep::{Event, Resumed};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

pub(in crate::cli) fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("[{elapsed_precise}] {bar:36} {pos}/{len} cells, {eta} left  {msg}")
        .expect("the template is constant");
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}

pub(in crate::cli) fn show(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Begin { cells, resumed } => {
            bar.set_length(*cells);
            bar.set_position(resumed.done.len() as u64);
            bar.reset_eta();
            let Resumed { torn, halves, not_reached, twice, .. } = resumed;
            if !resumed.done.is_empty() || torn + halves + not_reached + twice > 0 {
                let dropped = [
                    (torn, "torn lines were dropped"),
                    (twice, "lines were there twice"),
                    (halves, "cells had lost their pair"),
                    (not_reached, "had not been reached"),
                ];
                let dropped = dropped.into_iter().filter(|(n, _)| **n > 0).map(|(n, what)| format!("; {n} {what}"));
                eprintln!("resuming: {} of {cells} cells are done{}", resumed.done.len(), dropped.collect::<String>());
            }
        }
        Event::Unit(cells) => {
            if let Some(cell) = cells.last() {
                let p = &cell.problem;
                bar.set_message(format!("m {} n {} k {} lda {} ldb {}", p.m, p.n, p.k, p.lda, p.ldb));
            }
        }
        Event::Done(records) => bar.inc(records.len() as u64),
    }
}

/// Whether a result was compared and found wrong.
fn wrong(cell: &CellRecord) -> bool {
    cell.status == Status::Failed && cell.reason.as_deref().is_some_and(|r| r.starts_with("wrong result"))
}

/// Draws what was measured and sums it up.
pub(super) fn finish(args: &Args, out: &Path, manifest: &Manifest) -> Result<Ending> {
    let draw = || -> Result<_> {
        let loaded = report::load(out)?;
        let mut written = report::write_all(out, std::slice::from_ref(&loaded))?;
        let pictures = if args.json { String::new() } else { miniature(std::slice::from_ref(&loaded), &[]) };
        let finding = loaded.cells.iter().any(wrong);
        let reasons = reasons(&loaded.cells);
        // The page reads the journal by itself: a million cells need not be in memory twice.
        drop(loaded);
        written.files.push(report::write_page(&out.join(report::PAGE_FILE), &[out.to_owned()], None)?.path);
        Ok((written, pictures, finding, reasons))
    };
    let (written, pictures, finding, reasons) = draw().with_context(|| {
        let dir = quoted(out);
        format!("what was measured is safe; draw it with gemmscope heatmap {dir} and gemmscope report {dir}")
    })?;
    let progress = &manifest.progress;
    let resume = resume_command(out);
    if args.json {
        say!("{:#}", json!({ "out": out, "manifest": manifest, "files": written.files }))?;
    } else {
        if !pictures.is_empty() {
            say!("{}", pictures.trim_end())?;
        }
        let inside = match manifest.device.kind {
            // Where nothing is timed, no share of time means anything.
            DeviceKind::Emulated => String::new(),
            _ => format!(", {:.0} % of it inside kernels", 100.0 * progress.kernel_time_share),
        };
        say!(
            "{}: {} ok, {} skipped, {} failed; {:.1} s{inside}",
            counted(progress.planned, "cell"),
            progress.ok,
            progress.skipped,
            progress.failed,
            progress.wall_ns as f64 * 1e-9
        )?;
        for line in &reasons {
            say!("  {}", report::clean(line))?;
        }
        say!("device: {}", report::clean(&manifest.device.name))?;
        for file in &written.files {
            say!("wrote {}", file.display())?;
        }
    }
    match progress.outcome {
        Outcome::Interrupted => {
            let done = progress.ok + progress.skipped + progress.failed;
            eprintln!("interrupted after {done} of {}; go on with: {resume}", counted(progress.planned, "cell"));
            return Ok(Ending::Interrupted);
        }
        Outcome::Budget => eprintln!("the budget was spent before all cells were reached; go on with: {resume}"),
        _ => {}
    }
    Ok(if finding { Ending::Finding } else { Ending::Done })
}

/// The command that goes on with a run, as a POSIX shell reads it.
pub(super) fn resume_command(out: &Path) -> String {
    format!("gemmscope sweep --resume --out {}", quoted(out))
}

/// A path as a POSIX shell reads it.
pub(in crate::cli) fn quoted(out: &Path) -> String {
    let path = out.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The most kinds of reasons that are printed.
const REASONS: usize = 8;

/// Reasons of skipped and failed cells, the most frequent first. Those that differ in numbers only are one kind, shown by its first.
fn reasons(cells: &[CellRecord]) -> Vec<String> {
    let mut kinds: BTreeMap<String, (&str, usize, bool)> = BTreeMap::new();
    for reason in cells.iter().filter_map(|c| c.reason.as_deref()) {
        let kind: String = reason.chars().filter(|c| !c.is_ascii_digit()).collect();
        let (first, count, differ) = kinds.entry(kind).or_insert((reason, 0, false));
        *count += 1;
        *differ |= *first != reason;
    }
    let mut list: Vec<_> = kinds.into_values().collect();
    list.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    let more: usize = list.iter().skip(REASONS).map(|(_, count, _)| count).sum();
    let line = |(reason, count, differ): &(&str, usize, bool)| {
        format!("{count} x {}{reason}", if *differ { "such as: " } else { "" })
    };
    let mut lines: Vec<String> = list.iter().take(REASONS).map(line).collect();
    if more > 0 {
        lines.push(format!("{more} x other reasons, in summary.csv"));
    }
    lines
}

/// The pictures of runs in the terminal's width; of an emulated device's counts, those that are asked for or the first.
pub fn miniature(runs: &[report::Run], metrics: &[&report::Metric]) -> String {
    let width = width().unwrap_or(100);
    let ansi = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    match metrics {
        [] => report::terminal(runs, width, ansi),
        metrics => report::terminal_of(runs, width, ansi, metrics),
    }
}
