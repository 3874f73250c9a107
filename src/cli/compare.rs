//! `gemmscope compare A B`: two runs, cell by cell.

use super::planning::time;
use super::{Ending, table};
use crate::compare::{CellChange, Comparison, Cycles, GroupChange, Observation, Verdict, compare};
use crate::record::{CellRecord, DeviceKind, Manifest, read_manifest, read_usable};
use anyhow::Result;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Compare two runs: faster, slower, same or unclear, cell by cell and overall
///
/// Cells are paired by problem, kernel, variant and regime. The noise between the runs is estimated from all cells together, and a cell counts
/// only after correction for their number. Exit code 1 is a regression: cells that are slower beyond that noise, in cycles too where
/// clocks were recorded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gemmscope compare results/before results/after --markdown")]
pub struct Args {
    /// Folder of the first run: before
    a: PathBuf,
    /// Folder of the second run: after
    b: PathBuf,
    /// Smallest change that matters, in per cent
    #[arg(long, default_value_t = 3.0, value_name = "PCT", value_parser = per_cent)]
    threshold: f64,
    /// Print Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn per_cent(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|v: &f64| *v > 0.0 && *v <= 100.0);
    value.ok_or_else(|| format!("{text:?} is not a threshold: give per cent, more than 0 and at most 100"))
}

/// The most cells that are printed; JSON has all.
const SHOWN: usize = 20;

pub fn run(args: &Args) -> Result<Ending> {
    let (a, b) = (load(&args.a)?, load(&args.b)?);
    let found = compare((&a.0, &a.1), (&b.0, &b.1), args.threshold / 100.0);
    anyhow::ensure!(
        !found.pairs.is_empty() || !found.lost.is_empty(),
        "neither run measured a cell; finish one with `gemmscope sweep --resume --out DIR`"
    );
    if args.json {
        say!("{:#}", as_json(&found, args.threshold))?;
    } else if args.markdown {
        say!("{}", markdown(&found, &a.0, &b.0, args.threshold))?;
    } else {
        print(&found, args)?;
    }
    let regressed = found.changes.overall.verdict == Verdict::Slower;
    Ok(if regressed { Ending::Finding } else { Ending::Done })
}

fn load(dir: &Path) -> Result<(Manifest, Vec<CellRecord>)> {
    let manifest = read_manifest(dir)?;
    anyhow::ensure!(
        manifest.device.kind != DeviceKind::Emulated,
        "{} was run on the emulated device, which has no time; compare its counters with `gemmscope profile`",
        dir.display()
    );
    Ok((manifest, read_usable(dir)?))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Faster => "faster",
        Verdict::Slower => "slower",
        Verdict::Same => "same",
        Verdict::Unclear => "unclear",
    }
}

fn cycles(change: &CellChange) -> &'static str {
    match (change.verdict, change.cycles) {
        (Verdict::Same | Verdict::Unclear, _) => "",
        (_, Cycles::Confirmed) => "also in cycles",
        (_, Cycles::Clock) => "not in cycles: the clock changed",
        (_, Cycles::Unknown) => "no clock recorded",
    }
}

fn percent(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

/// How many cells have a verdict.
fn count(found: &Comparison, verdict: Verdict) -> usize {
    found.changes.cells.iter().filter(|c| c.verdict == verdict).count()
}

/// The cells that changed, the largest change first.
fn changed(found: &Comparison) -> Vec<(&Observation, &CellChange)> {
    let moved = |c: &CellChange| matches!(c.verdict, Verdict::Slower | Verdict::Faster);
    let mut changed: Vec<_> = found.pairs.iter().zip(&found.changes.cells).filter(|(_, c)| moved(c)).collect();
    changed.sort_by(|x, y| y.1.own.abs().total_cmp(&x.1.own.abs()));
    changed
}

fn headline(found: &Comparison) -> String {
    format!("{}: {}.", word(found.changes.overall.verdict), found.changes.overall.why)
}

/// The shift and the scatter, in a sentence.
fn common(found: &Comparison) -> String {
    let shift = &found.changes.shift;
    let in_cycles = match shift.cycles {
        Some(cycles) => format!(" ({} in cycles)", percent(cycles)),
        None => " (no clocks to tell cycles by)".to_owned(),
    };
    format!("common shift {}{in_cycles}; noise from cell to cell {:.1} %", percent(shift.time), shift.scatter * 100.0)
}

/// The groups that moved together, a line each.
fn groups(found: &Comparison) -> Vec<String> {
    let line = |g: &GroupChange| {
        let cycles = match g.cycles {
            Cycles::Confirmed => ", also in cycles",
            Cycles::Clock => ", not in cycles: the clock changed",
            Cycles::Unknown => "",
        };
        let (own, half) = (percent(g.own), g.half_width * 100.0);
        format!(
            "{}: the {} cells with {}: {own} ± {half:.1} % against all others{cycles}",
            word(g.verdict),
            g.cells,
            g.name
        )
    };
    found.changes.groups.iter().map(line).collect()
}

fn counts(found: &Comparison) -> String {
    let of = |verdict| count(found, verdict);
    format!(
        "{} cells in both: {} slower, {} faster, {} same, {} unclear",
        found.pairs.len(),
        of(Verdict::Slower),
        of(Verdict::Faster),
        of(Verdict::Same),
        of(Verdict::Unclear)
    )
}

fn print(found: &Comparison, args: &Args) -> Result<()> {
    say!("A  {}\nB  {}\n", args.a.display(), args.b.display())?;
    say!("{}\n", headline(found))?;
    say!("{}", counts(found))?;
    say!("{}", common(found))?;
    for group in groups(found) {
        say!("{group}")?;
    }
    for d in &found.differences {
        say!("differs: {}: {} / {}", d.field, d.first, d.second)?;
    }
    let changed = changed(found);
    if !changed.is_empty() {
        let mut rows = table(&["cell", "A", "B", "change", "beyond the common shift", "verdict", ""]);
        for (pair, c) in changed.iter().take(SHOWN) {
            rows.add_row(vec![
                pair.what(),
                time(pair.first_ns as f64),
                time(pair.second_ns as f64),
                percent(c.change),
                format!("{} ± {:.1} %", percent(c.own), c.half_width * 100.0),
                word(c.verdict).to_owned(),
                cycles(c).to_owned(),
            ]);
        }
        say!("{rows}")?;
        if changed.len() > SHOWN {
            say!("and {} more; --json has all", changed.len() - SHOWN)?;
        }
    }
    for lost in found.lost.iter().take(SHOWN) {
        let other = if lost.measured_in == "A" { "B" } else { "A" };
        say!("only in {}: {} ({other}: {})", lost.measured_in, lost.what, lost.why)?;
    }
    if found.lost.len() > SHOWN {
        say!("and {} more in one run only; --json has all", found.lost.len() - SHOWN)?;
    }
    Ok(())
}

/// Text that a record brings, in a Markdown table or line: no pipe, mark-up or line break gets through.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '@' => safe.extend(['\\', c]),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

fn markdown(found: &Comparison, a: &Manifest, b: &Manifest, threshold: f64) -> String {
    let run = |m: &Manifest| plain(&format!("{} on {}, {}", m.git_revision, m.device.name, m.started));
    let mut lines = vec![
        format!("**gemmscope: {}**", plain(&headline(found))),
        String::new(),
        format!("A: {}  ", run(a)),
        format!("B: {}", run(b)),
        String::new(),
        format!("{}; threshold {threshold} %.  ", counts(found)),
        format!("{}.", common(found)),
    ];
    lines.extend(groups(found).iter().map(|group| format!("- {}", plain(group))));
    for d in &found.differences {
        lines.push(format!("- differs: {}: {} / {}", d.field, plain(&d.first), plain(&d.second)));
    }
    let changed = changed(found);
    if !changed.is_empty() {
        lines.extend([
            String::new(),
            "| cell | A | B | change | beyond the common shift | verdict |".to_owned(),
            "|---|---:|---:|---:|---:|---|".to_owned(),
        ]);
    }
    for (pair, c) in changed.iter().take(SHOWN) {
        let (first, second) = (time(pair.first_ns as f64), time(pair.second_ns as f64));
        let own = format!("{} ± {:.1} %", percent(c.own), c.half_width * 100.0);
        let verdict = [word(c.verdict), cycles(c)].join(" ");
        let change = percent(c.change);
        lines.push(format!("| {} | {first} | {second} | {change} | {own} | {verdict} |", plain(&pair.what())));
    }
    if changed.len() > SHOWN {
        lines.push(format!("\nand {} more", changed.len() - SHOWN));
    }
    if !found.lost.is_empty() {
        lines.push(format!("\n{} cells in one run only:\n", found.lost.len()));
    }
    for lost in found.lost.iter().take(SHOWN) {
        lines.push(format!("- {}: {} ({})", lost.measured_in, plain(&lost.what), plain(&lost.why)));
    }
    lines.join("\n")
}

fn as_json(found: &Comparison, threshold: f64) -> serde_json::Value {
    let cells: Vec<_> = found
        .pairs
        .iter()
        .zip(&found.changes.cells)
        .map(|(pair, change)| {
            json!({
                "problem": pair.cell.problem, "kernel": pair.cell.kernel, "variant": pair.cell.variant, "regime": pair.cell.regime,
                "a_ns": pair.first_ns, "b_ns": pair.second_ns, "change": change,
            })
        })
        .collect();
    json!({
        "verdict": found.changes.overall.verdict, "why": found.changes.overall.why, "threshold_percent": threshold,
        "shift": found.changes.shift, "groups": found.changes.groups,
        "slower": count(found, Verdict::Slower), "faster": count(found, Verdict::Faster),
        "same": count(found, Verdict::Same), "unclear": count(found, Verdict::Unclear),
        "cells": cells, "only_in_one": found.lost, "differences": found.differences,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_per_cent() {
        assert_eq!(per_cent("2.5"), Ok(2.5));
        for bad in ["0", "-1", "101", "NaN", "two"] {
            assert!(per_cent(bad).unwrap_err().contains("per cent"), "{bad}");
        }
    }

    #[test]
    fn a_name_from_a_record_is_text_in_markdown() {
        assert_eq!(plain("a|b <img src=x>\n# `c` @me"), "a\\|b &lt;img src=x&gt; \\# \\`c\\` \\@me");
    }
}
