//! `gemmscope explain M N K`: what a shape costs and why, as a budget that adds up.

use super::planning::{Planned, faster, flop, percent, plan, reason, time};
use super::shape::{Shape, as_options};
use super::{Ending, table};
use crate::advice::{Better, Candidate, Change, Family, Planner, Worth, nearby};
use crate::measure::Regime;
use crate::model::{Assumptions, Basis, Cause, Limit, smallest_batch};
use crate::problem::{Operand, Problem};
use crate::record::{CellRecord, Status};
use crate::report;
use anyhow::Result;
use serde_json::json;
use std::path::PathBuf;

/// Say what a shape costs and why, and what shape near it would cost less
///
/// The time is predicted by a model of tiles, waves and memory and taken apart into causes whose times add up. No GPU is needed: a device
/// that is not here is known from its data sheet. Where a record holds the same problem, prediction and measurement stand side by side.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gemmscope explain 50257 768 16384 --device h100-sxm\n  gemmscope explain 768 50257 16384 --device h100-sxm --kernel library\n  gemmscope explain 241 256 256 --device cpu --record results/mine"
)]
pub struct Args {
    #[command(flatten)]
    shape: Shape,
    /// Device: auto, cuda:N, cpu, or a description: v100, a100-40, a100-80, h100-sxm, h100-pcie, h200, l4, l40s, rtx3090, rtx4090, b200
    #[arg(long, default_value = "auto")]
    device: String,
    /// Kernel: auto, NAME, NAME/VARIANT, or library for what cuBLAS would do as far as is public
    #[arg(long, default_value = "auto")]
    kernel: String,
    /// Folder of a run that may hold this problem
    #[arg(long, value_name = "DIR")]
    record: Vec<PathBuf>,
    /// Choose by the model alone, whatever `gemmscope tune` has found
    #[arg(long, conflicts_with = "tuned")]
    no_tuned: bool,
    /// Go by what `gemmscope tune --cache FILE` has found [default: its own default]
    #[arg(long, value_name = "FILE")]
    tuned: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Everything there is to say.
struct Explained {
    planned: Planned,
    problem: Problem,
    chosen: Candidate,
    /// Why this one.
    why: String,
    runner_up: Option<Candidate>,
    by_library: Candidate,
    /// Why none of our kernels can run it.
    refused: Option<String>,
    better: Vec<Better>,
    measured: Vec<Measured>,
}

/// A cell of a record with its own prediction.
struct Measured {
    dir: PathBuf,
    device: String,
    cell: CellRecord,
    /// Prediction for the kernel that was measured, where it is in the catalogue.
    predicted_ns: Option<f64>,
}

pub fn run(args: &Args) -> Result<Ending> {
    let problem = args.shape.problem()?;
    let mut planned = plan(&args.device, &args.kernel)?;
    if args.no_tuned {
        planned.planner.tuned = None;
    } else if let Some(path) = &args.tuned {
        planned.planner.tuned = crate::tune::asked_for(&planned.planner.info, path)?;
    }
    let measured = measured(&problem, &planned.planner, &args.record)?;
    let explained = explain(problem, planned, measured);
    if args.json {
        say!("{:#}", as_json(&explained))?;
    } else {
        print(&explained, !args.record.is_empty())?;
    }
    Ok(Ending::Done)
}

fn explain(problem: Problem, planned: Planned, measured: Vec<Measured>) -> Explained {
    let planner = &planned.planner;
    let candidates = planner.candidates(&problem);
    let library = planner.of_library(&problem);
    let refused = planner.refusal(&problem).map(|why| why.to_string());
    let (chosen, why) = match &planner.family {
        Family::Catalogue(selector) => match planner.choose(&problem, selector) {
            Ok(choice) => {
                let name = format!("{}/{}", choice.kernel.name, choice.variant.name);
                let found = candidates.iter().find(|c| c.name == name).cloned();
                (found.unwrap_or_else(|| library.clone()), choice.why)
            }
            Err(_) => {
                (library.clone(), "it stands in, because no kernel of this program can run the problem here".to_owned())
            }
        },
        Family::Library => {
            (library.clone(), "asked for by name; its tile is the fastest that the model finds".to_owned())
        }
    };
    let runner_up = candidates.iter().find(|c| c.name != chosen.name).cloned();
    // What is better is judged by the kernels that were asked for.
    let better = nearby(&problem, planner);
    Explained { problem, chosen, why, runner_up, by_library: library, refused, better, measured, planned }
}

/// The cells of records that measured this very problem.
fn measured(problem: &Problem, planner: &Planner, dirs: &[PathBuf]) -> Result<Vec<Measured>> {
    let mut found = Vec::new();
    for dir in dirs {
        let run = report::load(dir)?;
        for cell in run.cells {
            // Zeros are other data, and how a load begins is no time of a launch.
            let other = cell.distribution.is_some() || cell.regime == Regime::Onset.name();
            if cell.problem != *problem || cell.status != Status::Ok || other {
                continue;
            }
            let name = format!("{}/{}", cell.kernel, cell.variant);
            let of_kernel = planner.candidates(problem).into_iter().find(|c| c.name == name);
            found.push(Measured {
                dir: dir.clone(),
                device: run.manifest.device.name.clone(),
                predicted_ns: of_kernel.map(|c| c.prediction.total_ns()),
                cell,
            });
        }
    }
    Ok(found)
}

/// The problem in a line.
fn title(p: &Problem) -> String {
    let mut text = format!("{} x {} x {} (m x n x k), {} in {}", p.m, p.n, p.k, p.dtype.name(), p.layout.name());
    for (name, operand, offset) in
        [("lda", Operand::A, p.offset_a), ("ldb", Operand::B, p.offset_b), ("ldc", Operand::C, p.offset_c)]
    {
        let placement = p.placement(operand);
        if placement.ld != placement.cols.max(1) {
            text += &format!(", {name} {}", placement.ld);
        }
        if offset > 0 {
            text += &format!(", {} at offset {offset}", operand.name());
        }
    }
    text
}

fn print(e: &Explained, asked_for_records: bool) -> Result<()> {
    let description = &e.planned.planner.description;
    say!("{}\non {}: {}\n", title(&e.problem), description.title, e.planned.origin)?;
    if let Some(refused) = &e.refused {
        say!("No kernel of this program can run it there: {refused}. What follows is what a library would do.\n")?;
    }
    say!("{}\n", verdict(e))?;
    say!("{}", alignment(&e.problem))?;
    say!("{}\n", memory(e))?;
    print_budget(e)?;
    print_kernels(e)?;
    print_better(e)?;
    print_measured(e, asked_for_records)
}

/// What it costs and what most of it goes to, in two or three sentences.
fn verdict(e: &Explained) -> String {
    let p = &e.chosen.prediction;
    let budget = &p.budget;
    let shape = 1.0 - budget.share(Cause::Useful) - budget.share(Cause::Kernel);
    let mut text = format!(
        "About {} with {}: {}/s, {} of the device's peak.",
        time(p.total_ns()),
        e.chosen.name,
        flop(p.tflops() * 1e12),
        percent(budget.share(Cause::Useful)),
    );
    let worst = budget.worst();
    let share = budget.share(worst.cause);
    let reason = reason(worst.cause, p, e.chosen.execution.tile, &e.problem);
    text += &if shape < 0.05 {
        format!("\nThe shape is not to blame: only {} of the time goes to it.", percent(shape))
    } else {
        format!(
            "\nThe shape is to blame for {}, most of it {} ({}): {reason}.",
            percent(shape),
            worst.cause.title(),
            percent(share)
        )
    };
    // An operand off 16 bytes costs more than its narrow copies where it takes a faster kernel out of the choice.
    let aligned = e.better.iter().find(|b| matches!(b.change, Change::Strides { .. }) && b.speed_up >= 1.05);
    if let Some(b) = aligned {
        let other = e.planned.planner.best(&b.problem).execution.unit;
        let kernel = match other == e.chosen.execution.unit {
            true => String::new(),
            false => format!(", because {} cannot run here as it could there", named_unit(&other)),
        };
        text += &format!(
            "\nWith aligned rows it would take {}: alignment costs {} of the time in all{kernel}.",
            time(b.time_ns),
            percent(1.0 - b.time_ns / p.total_ns())
        );
    } else if budget.share(Cause::Kernel) > 0.3 {
        text += &format!(
            "\nThe kernel itself stays far below the peak: on such a device {} reaches {} of it at its best shapes.",
            e.chosen.execution.unit,
            percent(p.sustained.share)
        );
    }
    if matches!(worst.cause, Cause::Launch | Cause::Ends) && share > 0.4 {
        text += "\nIt is too small for the device: several of them in one launch (a larger batch) are what would help.";
    }
    text
}

/// A multiplying unit in words.
fn named_unit(unit: &str) -> &str {
    match unit {
        "library" => "the library's fastest kernel",
        unit => unit,
    }
}

/// Which operand is at what alignment.
fn alignment(p: &Problem) -> String {
    let each = Operand::ALL.map(|o| (o, p.align_bytes(o), p.placement(o)));
    if each.iter().all(|(_, bytes, _)| *bytes >= 16) {
        return "Alignment: every row begins at a multiple of 16 bytes or more, which is all that the widest copies need.".to_owned();
    }
    let clauses: Vec<String> = each
        .iter()
        .filter(|(_, bytes, _)| *bytes < 16)
        .map(|(o, bytes, place)| {
            let offset = if place.offset > 0 { format!(", offset {}", place.offset) } else { String::new() };
            format!("{}'s rows begin at multiples of {bytes} bytes only (ld {}{offset})", o.name(), place.ld)
        })
        .collect();
    let stores_only = each[..2].iter().all(|(_, bytes, _)| *bytes >= 16);
    let consequence = if stores_only {
        "only its stores are narrower, which costs little"
    } else {
        "16-byte copies and tensor copies are impossible there"
    };
    format!("Alignment: {}; {consequence}.", clauses.join("; "))
}

fn memory(e: &Explained) -> String {
    let p = &e.chosen.prediction;
    match p.roofline {
        None => "Memory: the device's bandwidth is unknown and left out.".to_owned(),
        Some(r) => format!(
            "Memory: {} FLOP a byte, and the device balances at {:.0}: {}{}.",
            if r.intensity < 10.0 { format!("{:.2}", r.intensity) } else { format!("{:.0}", r.intensity) },
            r.flop_per_byte,
            if r.memory_limited { "DRAM limits any kernel" } else { "the multipliers limit, not DRAM" },
            match p.limit {
                _ if r.memory_limited => nearly_free(e, r.flop_per_byte),
                Limit::L2 => "; this kernel's tiles ask more of L2 than it gives".to_owned(),
                Limit::Memory => "; this kernel comes close enough to its ceiling to wait for DRAM".to_owned(),
                _ => String::new(),
            }
        ),
    }
}

/// Up to which batch DRAM limits such a layer.
fn nearly_free(e: &Explained, flop_per_byte: f64) -> String {
    let p = &e.problem;
    match smallest_batch(p.n, p.k, flop_per_byte).filter(|_| p.dtype.bytes() == 2) {
        Some(m) if m > p.m => format!("; up to m = {m} time grows more slowly than rows"),
        _ => String::new(),
    }
}

fn print_budget(e: &Explained) -> Result<()> {
    let p = &e.chosen.prediction;
    let mut rows = table(&["cause", "time", "share", ""]);
    for part in p.budget.parts() {
        let always = matches!(
            part.cause,
            Cause::Useful | Cause::TileTail | Cause::WaveTail | Cause::KTail | Cause::Alignment | Cause::Memory
        );
        if part.time_ps == 0 && !always {
            continue;
        }
        let why = if part.time_ps == 0 && part.cause != Cause::WaveTail {
            String::new()
        } else {
            reason(part.cause, p, e.chosen.execution.tile, &e.problem)
        };
        rows.add_row(vec![part.cause.title().to_owned(), time(part.ns()), percent(p.budget.share(part.cause)), why]);
    }
    rows.add_row(vec!["total".to_owned(), time(p.total_ns()), "100 %".to_owned(), String::new()]);
    say!("{rows}")?;
    if p.sustained.basis != Basis::Published && e.chosen.execution.unit != "cpu" {
        say!(
            "The kernel's ceiling is {}.",
            if p.sustained.basis == Basis::Peak {
                "not known: the time is at best this"
            } else {
                "one of another generation"
            }
        )?;
    }
    say!("")?;
    Ok(())
}

fn print_kernels(e: &Explained) -> Result<()> {
    say!("Chosen     {}: {}", e.chosen.name, e.why)?;
    match &e.runner_up {
        Some(next) => {
            let ratio = next.prediction.total_ns() / e.chosen.prediction.total_ns();
            let how = if ratio >= 1.0 {
                format!("{} slower by the model", percent(ratio - 1.0))
            } else {
                format!("the model finds it {}", faster(1.0 / ratio))
            };
            let worst = next.prediction.budget.worst();
            say!(
                "Runner-up  {}: {}, {how}; its largest loss is {} ({})",
                next.name,
                time(next.prediction.total_ns()),
                worst.cause.title(),
                percent(next.prediction.budget.share(worst.cause))
            )?;
        }
        None if e.refused.is_none() && e.planned.planner.family != Family::Library => {
            say!("Runner-up  none: no other variant that was asked for can run it")?;
        }
        None => {}
    }
    if !e.chosen.name.starts_with(crate::advice::LIBRARY) && !e.planned.planner.description.is_cpu() {
        let ratio = e.by_library.prediction.total_ns() / e.chosen.prediction.total_ns();
        say!(
            "Library    {}: {}{}",
            e.by_library.name,
            time(e.by_library.prediction.total_ns()),
            if ratio < 1.0 { format!(", {}", faster(1.0 / ratio)) } else { String::new() }
        )?;
    }
    say!("")?;
    Ok(())
}

fn print_better(e: &Explained) -> Result<()> {
    if e.better.is_empty() {
        say!("Nothing near it is better by a per cent or more: leave the shape as it is.")?;
        return Ok(());
    }
    say!("What would be better, for these kernels:")?;
    let mut rows = table(&["change", "gain", "with a copy each call", "time", "worth it"]);
    for better in e.better.iter().take(6) {
        rows.add_row(vec![
            change(&better.change, &better.problem),
            gain(better),
            if better.copy_ns > 0.0 {
                format!("x {:.2}, of which {} copying", better.speed_up_with_copy, time(better.copy_ns))
            } else {
                "no copy".to_owned()
            },
            time(better.time_ns),
            worth(better.worth).to_owned(),
        ]);
    }
    say!("{rows}")?;
    Ok(())
}

/// What a change brings: for a size that is chosen anew, by unit of it, for the whole does more work.
pub(super) fn gain(better: &Better) -> String {
    match better.change {
        Change::Resize { dimension: "m", .. } => format!("{} for each row", faster(better.speed_up)),
        Change::Resize { dimension: "n", .. } => format!("{} for each column", faster(better.speed_up)),
        _ => faster(better.speed_up),
    }
}

/// A change in words.
pub(super) fn change(change: &Change, changed: &Problem) -> String {
    match change {
        Change::Strides { multiple } => {
            format!(
                "rows at multiples of {multiple} elements: lda {}, ldb {}, ldc {}",
                changed.lda, changed.ldb, changed.ldc
            )
        }
        Change::Padding { dimension, from, to } => format!("pad {dimension} from {from} to {to} with zeros"),
        Change::Resize { dimension, from, to } => {
            format!("choose {dimension} = {to}, not {from}: full waves")
        }
    }
}

/// A verdict in words.
pub(super) fn worth(worth: Worth) -> &'static str {
    match worth {
        Worth::EvenWithCopy => "yes, even copied each time",
        Worth::IfStoredSo => "only if stored so from the start",
        Worth::Free => "yes, where you are free to choose",
    }
}

fn print_measured(e: &Explained, asked: bool) -> Result<()> {
    if e.measured.is_empty() {
        if asked {
            say!(
                "\nThe record does not hold this problem; measure it with\n  gemmscope sweep {} --out DIR",
                as_options(&e.problem)
            )?;
        }
        return Ok(());
    }
    say!("\nMeasured:")?;
    let mut rows = table(&["record", "device", "kernel", "regime", "measured", "predicted", "residual"]);
    for m in &e.measured {
        let median_ns = m.cell.median_ns.unwrap_or_default() as f64;
        let (predicted, residual) = match m.predicted_ns {
            Some(ns) => {
                let sign = if median_ns < ns { '-' } else { '+' };
                (time(ns), format!("{sign}{} ({:+.0} %)", time((median_ns - ns).abs()), (median_ns / ns - 1.0) * 100.0))
            }
            None => ("another device's kernel".to_owned(), String::new()),
        };
        rows.add_row(vec![
            m.dir.display().to_string(),
            m.device.clone(),
            format!("{}/{}", m.cell.kernel, m.cell.variant),
            m.cell.regime.clone(),
            time(median_ns),
            predicted,
            residual,
        ]);
    }
    say!("{rows}")?;
    Ok(())
}

fn as_json(e: &Explained) -> serde_json::Value {
    let candidate = |c: &Candidate| {
        json!({
            "kernel": c.name, "time_ns": c.prediction.total_ns(), "tflops": c.prediction.tflops(),
            "execution": c.execution, "prediction": c.prediction,
            "budget": c.prediction.budget.parts().iter().map(|part| json!({
                "cause": part.cause, "time_ns": part.ns(), "share": c.prediction.budget.share(part.cause),
            })).collect::<Vec<_>>(),
        })
    };
    let measured: Vec<_> = e
        .measured
        .iter()
        .map(|m| {
            let median_ns = m.cell.median_ns;
            json!({
                "record": m.dir, "device": m.device, "kernel": m.cell.kernel, "variant": m.cell.variant, "regime": m.cell.regime,
                "median_ns": median_ns, "median_lo_ns": m.cell.median_lo_ns, "median_hi_ns": m.cell.median_hi_ns,
                "predicted_ns": m.predicted_ns,
                "residual": median_ns.zip(m.predicted_ns).map(|(t, p)| t as f64 / p - 1.0),
                "residual_ns": median_ns.zip(m.predicted_ns).map(|(t, p)| t as f64 - p),
            })
        })
        .collect();
    json!({
        "problem": e.problem,
        "device": e.planned.planner.description, "device_origin": e.planned.origin,
        "alignment_bytes": { "a": e.problem.align_bytes(Operand::A), "b": e.problem.align_bytes(Operand::B), "c": e.problem.align_bytes(Operand::C) },
        "chosen": candidate(&e.chosen), "why": e.why,
        "runner_up": e.runner_up.as_ref().map(candidate),
        "library": candidate(&e.by_library),
        "refused": e.refused,
        "better": e.better,
        "measured": measured,
        "assumptions": Assumptions::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(m: u64, n: u64, k: u64, device: &str, kernel: &str) -> Explained {
        explain(Problem::new(m, n, k), plan(device, kernel).unwrap(), Vec::new())
    }

    #[test]
    fn the_json_budget_adds_up() {
        for (m, n, k) in [(50257, 768, 16384), (768, 50257, 16384), (1, 1, 1), (4096, 4096, 0)] {
            let value = as_json(&explained(m, n, k, "h100-sxm", "auto"));
            let parts = value["chosen"]["budget"].as_array().unwrap();
            // Picoseconds, so that the sum is exact.
            let sum: i64 = parts.iter().map(|p| (p["time_ns"].as_f64().unwrap() * 1e3).round() as i64).sum();
            assert_eq!(sum, (value["chosen"]["time_ns"].as_f64().unwrap() * 1e3).round() as i64);
        }
    }

    #[test]
    fn alignment_is_told_with_the_kernel_that_it_costs() {
        // Odd rows keep a library's fastest kernel away: the narrower copies are the smaller half of it.
        let odd = explained(768, 50257, 16384, "h100-sxm", "library");
        let aligned = odd.planned.planner.ns(&Problem { ldb: 50264, ldc: 50264, ..odd.problem });
        let now = odd.chosen.prediction.total_ns();
        let told = verdict(&odd);
        let all = format!("alignment costs {} of the time in all, because", percent(1.0 - aligned / now));
        assert!(told.contains(&all), "{told}");
        assert!(1.0 - aligned / now > 1.5 * odd.chosen.prediction.budget.share(Cause::Alignment));
        assert!(!verdict(&explained(4096, 4096, 4096, "h100-sxm", "library")).contains("aligned rows"));
        // What is chosen anew does more work, so its gain is for each unit.
        let wave = explained(2816, 1544, 4096, "h100-sxm", "04_mma/128x256x32-a16");
        let resized = wave.better.iter().find(|b| matches!(b.change, Change::Resize { .. })).unwrap();
        assert!(gain(resized).contains(" for each "), "{}", gain(resized));
        assert!(verdict(&explained(1, 1, 1, "l4", "auto")).contains("too small for the device"));
    }

    #[test]
    fn the_words_name_the_cause() {
        // One tile beyond a wave; odd rows; nothing at all.
        let wave = verdict(&explained(2816, 1544, 4096, "h100-sxm", "04_mma/128x256x32-a16"));
        assert!(wave.contains("most of it wave tail") && wave.contains("154 CTAs in waves of 132"), "{wave}");
        let odd = explained(4096, 4097, 4096, "h100-sxm", "library");
        assert!(alignment(&odd.problem).contains("B's rows begin at multiples of 2 bytes only (ld 4097)"));
        assert!(odd.better.iter().any(|b| matches!(b.change, Change::Strides { .. })));
        let fine = verdict(&explained(8448, 2048, 16384, "h100-sxm", "library"));
        assert!(fine.contains("not to blame"), "{fine}");
    }

    #[test]
    fn a_device_without_a_kernel_is_answered_with_a_library() {
        let e = explained(4096, 4096, 4096, "v100", "auto");
        assert!(e.refused.is_some());
        assert!(e.chosen.name.starts_with("library"));
    }
}
