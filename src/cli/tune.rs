//! `gemmscope tune`: measures which kernel to run for a problem, and remembers it.

use super::{Ending, duration, planning, table};
use crate::device::{self, Device, DeviceChoice};
use crate::dispatch::{Dispatcher, Form};
use crate::measure::{RunClock, Stopping};
use crate::problem::{DType, Layout, Problem};
use crate::record::DeviceKind;
use crate::sweep::{Axis, AxisError, Part, Plan, Spec};
use crate::tune::{Conditions, Key, TuneError, Tuning, Verdict, add, default_path, load, tune};
use anyhow::{Context, Result};
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Measure which kernel is the fastest for a problem, and remember it
///
/// The candidates that the model thinks fastest are measured in turn, cold and on random data, several times over, each time in fresh memory.
/// What wins every time and beyond noise is remembered for this device, driver and program; where nothing does, the model's choice stays.
/// `auto` then goes by it in every command. Results are checked: a wrong one never wins, and ends with exit code 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gemmscope tune 4096 4096 4095 8192 128 8192
  gemmscope tune --m 4096 --n 4096 --k 4090..4100 --layout nn,nt --budget 5m
  gemmscope tune 8 8192 8192 --cache tuned.json --json")]
pub struct Args {
    /// Sizes of problems: M N K, and again M N K
    #[arg(value_name = "M N K", conflicts_with_all = ["m", "n", "k"])]
    sizes: Vec<u64>,
    /// Rows of C, an axis as in `sweep`
    #[arg(short, long, value_name = "AXIS", allow_hyphen_values = true, requires_all = ["n", "k"])]
    m: Option<String>,
    /// Columns of C
    #[arg(short, long, value_name = "AXIS", allow_hyphen_values = true, requires_all = ["m", "k"])]
    n: Option<String>,
    /// Depth
    #[arg(short, long, value_name = "AXIS", allow_hyphen_values = true, requires_all = ["m", "n"])]
    k: Option<String>,
    /// Leading dimension of A, in elements
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    lda: Option<String>,
    /// Leading dimension of B
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    ldb: Option<String>,
    /// Leading dimension of C
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    ldc: Option<String>,
    /// Layouts: nn, nt, tn, tt, several joined by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LAYOUT", default_value = "nn")]
    layout: Vec<Layout>,
    /// Types: f16, bf16, tf32, i8, e4m3, several joined by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TYPE", default_value = "f16")]
    dtype: Vec<DType>,
    /// Device: auto, cuda:N or cpu
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Most candidates for a problem
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    candidates: u32,
    /// How often all candidates are measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=20))]
    repeats: u32,
    /// Longest sampling of a candidate in each repetition
    #[arg(long, value_parser = duration, default_value = "100ms")]
    cell_time: Duration,
    /// Begin no further problem after this time, such as 2m
    #[arg(long, value_parser = duration)]
    budget: Option<Duration>,
    /// Seed of the data
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to remember [default: gemmscope/tuned.json in the user's cache folder]
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Ending> {
    anyhow::ensure!(
        args.device != DeviceChoice::Emulated,
        "the emulated device has no time, so nothing can be tuned on it; use --device cuda:N or cpu"
    );
    let device = device::open(args.device)?;
    let info = device.info().clone();
    let problems = problems(args, info.kind())?;
    let path = args.cache.clone().or_else(default_path).context("there is no home folder; name a file with --cache")?;
    let key = Key::of(&info);
    // A file that cannot be used is told before an hour is spent, and not after it.
    if let Some(note) = load(&path, &key)?.note {
        log::info!("{note}");
    }
    let stopping = Stopping { cell_ns: args.cell_time.as_nanos() as u64, ..Stopping::default() };
    let (candidates, repetitions) = (args.candidates as usize, args.repeats as usize);
    let conditions = Conditions { candidates, repetitions, stopping, seed: args.seed };
    let tuned = tune_all(args, device.as_ref(), &problems, &conditions)?;
    let mut remembered = 0;
    let mut entries = Vec::new();
    for entry in tuned.done.iter().filter_map(|(_, result)| result.as_ref().ok()?.entry.clone()) {
        entries.push(entry);
        remembered += 1;
    }
    if remembered > 0 {
        add(&path, &key, entries)?;
    }
    let left = problems.len() - tuned.done.len();
    if args.json {
        let results: Vec<_> = tuned.done.iter().map(|(p, result)| as_json(p, result)).collect();
        say!(
            "{:#}",
            json!({ "device": info.record.name, "key": key, "cache": path, "remembered": remembered, "left": left, "problems": results })
        )?;
    } else {
        say!("{}", info.record.name)?;
        for (problem, result) in &tuned.done {
            print(problem, result)?;
        }
        match remembered {
            0 => say!("\nNothing to remember.")?,
            _ => say!("\nRemembered {remembered} in {}", path.display())?,
        }
        if left > 0 {
            say!("{left} problems were not begun; run the same command with a larger --budget")?;
        }
    }
    let wrong = |result: &Result<Tuning, TuneError>| result.as_ref().is_ok_and(|t| t.raced.iter().any(|r| r.wrong));
    let failed = |result: &Result<Tuning, TuneError>| matches!(result, Err(TuneError::Device(_)));
    if let Some((_, Err(why))) = tuned.done.iter().find(|(_, result)| failed(result)) {
        anyhow::bail!("{why}");
    }
    Ok(match (tuned.interrupted, tuned.done.iter().any(|(_, result)| wrong(result))) {
        (true, _) => Ending::Interrupted,
        (false, true) => Ending::Finding,
        (false, false) => Ending::Done,
    })
}

/// How far tuning came.
struct Tuned {
    done: Vec<(Problem, Result<Tuning, TuneError>)>,
    interrupted: bool,
}

fn tune_all(args: &Args, device: &dyn Device, problems: &[Problem], conditions: &Conditions) -> Result<Tuned> {
    let (stop, began) = (super::interrupt::flag(), Instant::now());
    let dispatcher = Dispatcher::new(device.info());
    let mut clock = RunClock::starting_at(0);
    let progress = indicatif::ProgressBar::new(problems.len() as u64);
    let mut tuned = Tuned { done: Vec::new(), interrupted: false };
    for problem in problems {
        tuned.interrupted = stop.load(Ordering::Relaxed);
        if tuned.interrupted || args.budget.is_some_and(|budget| began.elapsed() >= budget) {
            break;
        }
        let result = tune(device, &dispatcher, problem, conditions, &mut clock);
        let lost = matches!(&result, Err(TuneError::Device(error)) if error.is_fatal());
        tuned.done.push((*problem, result));
        progress.inc(1);
        if lost {
            break;
        }
    }
    progress.finish_and_clear();
    Ok(tuned)
}

/// The problems, one of each form.
fn problems(args: &Args, kind: DeviceKind) -> Result<Vec<Problem>> {
    let mut parts = Vec::new();
    if let (Some(m), Some(n), Some(k)) = (&args.m, &args.n, &args.k) {
        parts.push([m.clone(), n.clone(), k.clone()]);
    }
    anyhow::ensure!(args.sizes.len().is_multiple_of(3), "{} sizes are not M N K, and again M N K", args.sizes.len());
    for sizes in args.sizes.chunks_exact(3) {
        parts.push([sizes[0], sizes[1], sizes[2]].map(|size| size.to_string()));
    }
    anyhow::ensure!(!parts.is_empty(), "nothing to tune: write M N K, or --m, --n and --k");
    let axis = |name: &str, text: &str| -> Result<Axis> {
        text.parse().map_err(|e: AxisError| anyhow::anyhow!("--{name}: {e}"))
    };
    let mut spec = Spec::default();
    for [m, n, k] in parts {
        let mut part = Part { m: axis("m", &m)?, n: axis("n", &n)?, k: axis("k", &k)?, ..Part::new("tune") };
        for (name, text, to) in
            [("lda", &args.lda, &mut part.lda), ("ldb", &args.ldb, &mut part.ldb), ("ldc", &args.ldc, &mut part.ldc)]
        {
            if let Some(text) = text {
                *to = axis(name, text)?;
            }
        }
        (part.layouts, part.dtypes) = (args.layout.clone(), args.dtype.clone());
        spec.parts.push(part);
    }
    let plan = Plan::new(&spec, kind, args.seed)?;
    let mut seen = std::collections::HashSet::new();
    let cells = (0..plan.units()).flat_map(|position| plan.unit(position));
    Ok(cells.map(|cell| cell.problem).filter(|p| seen.insert(Form::of(p))).collect())
}

fn title(p: &Problem) -> String {
    format!("{} x {} x {} {} (ld {} {} {})", p.m, p.n, p.k, p.form(), p.lda, p.ldb, p.ldc)
}

/// What was proved, in a sentence.
fn outcome(tuning: &Tuning) -> String {
    let percent = |ratio: f64| planning::percent(1.0 - ratio);
    let left: Vec<_> = tuning.raced.iter().filter(|r| r.dropped.is_none()).collect();
    match tuning.verdict {
        None if tuning.raced.len() == 1 => format!("nothing to choose: {} is the only candidate", tuning.raced[0].name),
        None => "nothing to compare: too few candidates were left".to_owned(),
        Some(Verdict::Confirmed) => "the model's choice was the fastest every time".to_owned(),
        Some(Verdict::Faster { candidate, ratio, at_most }) => format!(
            "{} was the fastest every time, {} faster than the model's choice (at least {})",
            left[candidate].name,
            percent(ratio),
            percent(at_most)
        ),
        Some(Verdict::Noise { candidate, ratio }) => format!(
            "{} was the fastest every time, by {}, which may be noise: the model's choice stays",
            left[candidate].name,
            percent(ratio)
        ),
        Some(Verdict::Unstable { winners }) => {
            format!("{winners} different candidates were the fastest in turn: the model's choice stays")
        }
    }
}

fn print(problem: &Problem, result: &Result<Tuning, TuneError>) -> Result<()> {
    say!("\n{}", title(problem))?;
    let tuning = match result {
        Ok(tuning) => tuning,
        Err(why) => return Ok(say!("  {why}")?),
    };
    if tuning.raced.len() > 1 {
        let mut rows = table(&["candidate", "predicted", "measured", ""]);
        for raced in &tuning.raced {
            rows.add_row(vec![
                raced.name.clone(),
                planning::time(raced.predicted_ns),
                raced.median_ns.map_or_else(|| "-".to_owned(), planning::time),
                raced.dropped.clone().unwrap_or_default(),
            ]);
        }
        say!("{rows}")?;
    }
    Ok(say!("{}", outcome(tuning))?)
}

fn as_json(problem: &Problem, result: &Result<Tuning, TuneError>) -> serde_json::Value {
    match result {
        Err(why) => json!({ "problem": problem, "error": why.to_string() }),
        Ok(tuning) => {
            let raced: Vec<_> = tuning
                .raced
                .iter()
                .map(|r| {
                    json!({ "kernel": r.name, "predicted_ns": r.predicted_ns, "median_ns": r.median_ns, "dropped": r.dropped })
                })
                .collect();
            json!({ "problem": problem, "candidates": raced, "outcome": outcome(tuning), "entry": tuning.entry })
        }
    }
}
