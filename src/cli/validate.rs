//! `gemmscope validate`: tries claims and says what became of them.

use super::sweep::{begun, default_out, isolation, show, typed};
use super::{Ending, duration};
use crate::claims::{self, Bench, Claim, Records, Scale};
use crate::data::Distribution;
use crate::device::{self, DeviceChoice, DeviceInfo};
use crate::model::DeviceDescription;
use crate::record::{DeviceKind, Finding, Outcome, Verdict, Verdicts, write_verdicts};
use crate::report::clean;
use crate::sweep::{Conditions, Options, Plan, run as run_sweep};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Try claims about matrix shapes and give a verdict on each
///
/// Each claim is an experiment of paired cells, measured A B B A and seven times over. The verdict is supported, contradicted or
/// unclear, or not measurable here, with the reason. `--from` judges records that are there already and measures nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gemmscope validate --list
  gemmscope validate dr-06 fk-10 --out results/mine
  gemmscope validate --all --budget 10m
  gemmscope validate --all --from results/mine results/other --json")]
pub struct Args {
    /// Claims by number, such as NV-12
    #[arg(value_name = "CLAIM", conflicts_with = "all")]
    claims: Vec<String>,
    /// All claims
    #[arg(long)]
    all: bool,
    /// Print the claims, and what each needs that is not here, and stop; with --json, every comparison too
    #[arg(long)]
    list: bool,
    /// With --list, plan for a GPU that is not here, such as h100-sxm
    #[arg(long = "for", value_name = "GPU", requires = "list", conflicts_with = "device")]
    other: Option<String>,
    /// Small sizes, as on the emulated device: the same comparisons on a device of six multiprocessors
    #[arg(long)]
    small: bool,
    /// Judge the records of these folders and measure nothing
    #[arg(long, num_args = 1.., value_name = "DIR", conflicts_with_all = ["device", "resume", "budget", "seed", "list"])]
    from: Vec<PathBuf>,
    /// Device: auto, cuda:N, cpu or emulated
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Begin no further cell after this time, such as 5m, and none that dwells or rests for longer than is left of it
    #[arg(long, value_parser = duration)]
    budget: Option<Duration>,
    /// Seed of the order and of the data
    #[arg(long)]
    seed: Option<u64>,
    /// Folder for records and verdicts [default: results/local/<UTC time>-<device>; with --from, none]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on with the run in --out
    #[arg(long, requires = "out", conflicts_with = "seed")]
    resume: bool,
    /// End with exit code 1 where a claim is contradicted
    #[arg(long)]
    strict: bool,
    /// End a worker that has not answered for this long
    #[arg(long, value_parser = duration, default_value = "60s")]
    watchdog: Duration,
    /// Print JSON: verdicts, or claims with --list
    #[arg(long)]
    json: bool,
    /// Print the verdicts as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Write that Markdown between the markers of this document
    #[arg(long, value_name = "FILE", requires = "from")]
    splice: Option<PathBuf>,
    /// With --splice, write nothing and end with exit code 1 where the document is out of date
    #[arg(long, requires = "splice")]
    check: bool,
}

pub fn run(args: &Args) -> Result<Ending> {
    let chosen = chosen(args)?;
    if args.list {
        let device = match &args.other {
            Some(name) => claims::described(DeviceDescription::named(name)?),
            None => device::find(args.device)?.1,
        };
        list(&chosen, &bench(args, &device), args.json)?;
        return Ok(Ending::Done);
    }
    if !args.from.is_empty() {
        let records = Records::read(&args.from)?;
        let verdicts = claims::judge(&chosen, &records);
        if let Some(document) = &args.splice {
            return splice(document, args, &verdicts);
        }
        if let Some(out) = &args.out {
            std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
            write_verdicts(out, &verdicts)?;
        }
        return finish(args, &verdicts);
    }
    let Some(options) = options(args, &chosen)? else {
        // Arithmetic, and what cannot be tried, need no cells.
        let (_, device) = device::find(args.device)?;
        return finish(args, &claims::judge(&chosen, &Records::none(device.record)));
    };
    let out = options.out.clone();
    let stop = super::interrupt::flag();
    let bar = show::progress_bar();
    let manifest = run_sweep(&options, &stop, &mut |event| show::show(&bar, &event));
    bar.finish_and_clear();
    let resume = format!("gemmscope validate {} --resume --out {}", names(args), show::quoted(&out));
    let manifest = manifest.with_context(|| format!("the run ended early; if it had begun, go on with: {resume}"))?;
    let verdicts = claims::judge(&chosen, &Records::read(&[&out])?);
    let path = write_verdicts(&out, &verdicts)?;
    let ending = finish(args, &verdicts)?;
    if !args.json && !args.markdown {
        say!(
            "{} cells in {:.1} s; wrote {}",
            manifest.progress.planned,
            manifest.progress.wall_ns as f64 * 1e-9,
            path.display()
        )?;
    }
    match manifest.progress.outcome {
        Outcome::Interrupted => {
            eprintln!("interrupted; go on with: {resume}");
            Ok(Ending::Interrupted)
        }
        Outcome::Budget => {
            eprintln!("the budget was spent before all cells were reached; go on with: {resume}");
            Ok(ending)
        }
        _ => Ok(ending),
    }
}

/// What to plan for.
fn bench<'a>(args: &Args, device: &'a DeviceInfo) -> Bench<'a> {
    let bench = Bench::new(device);
    if args.small { bench.at(Scale::Small) } else { bench }
}

/// The claims that were named, or all.
fn chosen(args: &Args) -> Result<Vec<&'static Claim>> {
    if args.claims.is_empty() {
        anyhow::ensure!(
            args.all || args.list,
            "name at least one claim, such as NV-12, or use --all; --list shows them"
        );
        return Ok(claims::claims().collect());
    }
    let mut chosen: Vec<&'static Claim> = Vec::new();
    for name in &args.claims {
        let claim = claims::find(name)?;
        if !chosen.iter().any(|c| c.id == claim.id) {
            chosen.push(claim);
        }
    }
    Ok(chosen)
}

fn names(args: &Args) -> String {
    if args.all { "--all".to_owned() } else { args.claims.join(" ") }
}

/// The sweep that tries the claims; `None` where there is nothing to measure.
fn options(args: &Args, chosen: &[&Claim]) -> Result<Option<Options>> {
    if args.resume {
        let out = args.out.clone().expect("--resume requires --out");
        let old = begun(args.device, &out)?;
        let isolation = isolation(&old.device, false, args.watchdog);
        return Ok(Some(Options {
            spec: old.spec,
            choice: old.choice,
            device: old.device,
            conditions: old.conditions,
            out,
            resume: true,
            shard: old.shard,
            budget: args.budget,
            isolation,
            command: typed(),
        }));
    }
    let (choice, device) = device::find(args.device)?;
    let spec = claims::spec(chosen, &bench(args, &device));
    if spec.listed.is_empty() {
        return Ok(None);
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    let conditions =
        Conditions { seed, distribution: Distribution::default(), stopping: claims::stopping(), tuned: None };
    let plan = Plan::new(&spec, device.kind(), seed)?;
    if !args.json {
        eprintln!("{} cells on {}", plan.cells(), clean(&device.record.name));
    }
    let out = args.out.clone().unwrap_or_else(|| default_out(&device));
    let isolation = isolation(&device, false, args.watchdog);
    let budget = args.budget;
    Ok(Some(Options {
        spec,
        choice,
        device,
        conditions,
        out,
        resume: false,
        shard: (1, 1),
        budget,
        isolation,
        command: typed(),
    }))
}

/// Shows the verdicts.
fn finish(args: &Args, verdicts: &Verdicts) -> Result<Ending> {
    if args.json {
        say!("{}", serde_json::to_string_pretty(verdicts)?)?;
    } else if args.markdown {
        say!("{}", claims::table(&[(source(args), verdicts.clone())]).trim())?;
    } else {
        text(verdicts)?;
    }
    let refuted = verdicts.verdicts.iter().any(|v| v.verdict == Finding::Contradicted);
    Ok(if args.strict && refuted { Ending::Finding } else { Ending::Done })
}

/// The command that judges the same records again.
fn source(args: &Args) -> String {
    let from: Vec<String> = args.from.iter().map(|d| d.display().to_string()).collect();
    let from = if from.is_empty() { String::new() } else { format!(" --from {}", from.join(" ")) };
    format!("gemmscope validate {}{from}", names(args))
}

fn text(verdicts: &Verdicts) -> Result<()> {
    let tried: Vec<&Verdict> = verdicts.verdicts.iter().filter(|v| v.verdict != Finding::NotMeasurable).collect();
    if !tried.is_empty() {
        let mut table = super::table(&["claim", "verdict", "effect, 95 % interval", "samples", "why"]);
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        if table.width().is_none() {
            table.set_width(120);
        }
        for v in &tried {
            let effect = v.effect.as_ref().map_or_else(|| "-".to_owned(), claims::effect);
            let samples = if v.samples > 0 { v.samples.to_string() } else { "-".to_owned() };
            let name = format!("{} {}", v.claim, v.title);
            table.add_row([name, v.verdict.name().to_owned(), effect, samples, clean(&v.reason)]);
        }
        say!("{table}")?;
    }
    let mut by_need: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for v in verdicts.verdicts.iter().filter(|v| v.verdict == Finding::NotMeasurable) {
        by_need.entry(&v.reason).or_default().push(&v.claim);
    }
    for (reason, claims) in by_need {
        say!("not measurable here: {}: {}", claims.join(" "), clean(reason))?;
    }
    let [supported, contradicted, unclear, not] = claims::counts(&verdicts.verdicts);
    say!("{supported} supported, {contradicted} contradicted, {unclear} unclear, {not} not measurable here")?;
    let label = match verdicts.device_kind {
        DeviceKind::Cpu => " (a CPU: nothing here is a statement about a GPU)",
        DeviceKind::Cuda | DeviceKind::Emulated => "",
    };
    say!("device: {}{label}; corrected for many claims: {}", clean(&verdicts.device), verdicts.correction)?;
    Ok(())
}

fn list(chosen: &[&Claim], bench: &Bench, as_json: bool) -> Result<()> {
    let comparisons = |claim: &Claim| {
        let questions = claim.questions(bench)?;
        Ok::<_, claims::Need>(questions.iter().map(|q| q.comparisons().len() + q.cells().len()).sum::<usize>())
    };
    let least = |claim: &Claim| claims::least_ns(claim, bench) / 1_000_000_000;
    if as_json {
        let all: Vec<serde_json::Value> = chosen
            .iter()
            .map(|c| {
                let questions = c.questions(bench);
                serde_json::json!({
                    "claim": c.id, "title": c.title, "sentence": c.sentence,
                    "source": { "title": c.source.title, "author": c.source.author, "year": c.source.year },
                    "needs": questions.as_ref().err().map(ToString::to_string),
                    "least_ns": claims::least_ns(c, bench),
                    "questions": questions.unwrap_or_default().iter().map(question).collect::<Vec<_>>(),
                })
            })
            .collect();
        say!("{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    let mut table = super::table(&["claim", "sentence", "source", "here"]);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(120);
    }
    for claim in chosen {
        let here = match (comparisons(claim), claim.facts) {
            (Ok(n), _) if least(claim) > 0 => {
                format!("{}, {} s at least", super::counted(n as u64, "comparison"), least(claim))
            }
            (Ok(n), _) => super::counted(n as u64, "comparison"),
            (Err(_), Some(_)) => "arithmetic only".to_owned(),
            (Err(need), _) => format!("needs {need}"),
        };
        let source = format!("{}, {}", claim.source.author, claim.source.year);
        table.add_row([claim.id, claim.sentence, &source, &here]);
    }
    say!("{table}")?;
    Ok(())
}

/// A question and its cells as JSON.
fn question(q: &claims::Question) -> serde_json::Value {
    let arm = |a: &crate::sweep::Arm| serde_json::to_value(a).expect("arms are plain data");
    let pair = |c: &&claims::Comparison| serde_json::json!({ "first": arm(&c.first), "second": arm(&c.second), "compares": c.per.name() });
    serde_json::json!({
        "asks": q.asks,
        "comparisons": q.comparisons().iter().map(pair).collect::<Vec<_>>(),
        "cells": q.cells().into_iter().map(arm).collect::<Vec<_>>(),
    })
}

/// Puts the verdicts into a document, or checks that they are in it.
fn splice(document: &Path, args: &Args, verdicts: &Verdicts) -> Result<Ending> {
    let read = || format!("cannot read {}", document.display());
    let old = std::fs::read_to_string(document).with_context(read)?;
    let part = claims::table(&[(source(args), verdicts.clone())]);
    let markers = || format!("{} has no lines {} and {}", document.display(), claims::BEGIN, claims::END);
    let new = claims::splice(&old, &part).with_context(markers)?;
    if !args.check {
        std::fs::write(document, new).with_context(|| format!("cannot write {}", document.display()))?;
        return Ok(Ending::Done);
    }
    if old == new {
        return Ok(Ending::Done);
    }
    eprintln!(
        "{} is out of date; make it again with: {} --splice {}",
        document.display(),
        source(args),
        document.display()
    );
    Ok(Ending::Finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Args {
        Line::parse_from(line.split_whitespace()).args
    }

    #[test]
    fn claims_are_chosen_by_number_once_each_or_all() {
        let ids = |line: &str| chosen(&parse(line)).map(|c| c.iter().map(|c| c.id).collect::<Vec<_>>());
        assert_eq!(ids("validate nv-12 DR-06 NV-12").unwrap(), ["NV-12", "DR-06"]);
        assert!(ids("validate --all").unwrap().len() > 60);
        assert!(ids("validate").unwrap_err().to_string().contains("--all"));
        assert!(ids("validate nv-99").unwrap_err().to_string().contains("did you mean NV-"));
    }

    #[test]
    fn records_are_judged_without_a_device() {
        let verdicts =
            claims::judge(&chosen(&parse("validate FK-12 NV-12")).unwrap(), &Records::none(device::cpu::info().record));
        assert_eq!(verdicts.verdicts[0].verdict, Finding::Supported);
        assert_eq!(verdicts.verdicts[1].verdict, Finding::NotMeasurable);
    }
}
