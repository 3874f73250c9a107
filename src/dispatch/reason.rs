//! The words for a choice, and which of many obstacles says most.

use super::legal::{NoKernel, dotted, forms, place, runs_on};
use super::rank::{Candidate, Refused};
use super::select::Selector;
use super::tuned::{Entry, Outcome};
use crate::catalog::Kernel;
use crate::device::DeviceInfo;
use crate::model::Cause;
use crate::problem::{Operand, Problem};

/// Why the first of several candidates is the first.
pub(super) fn chosen(problem: &Problem, ranked: &[Candidate], refused: usize, device: &DeviceInfo) -> String {
    let [first, others @ ..] = ranked else { return String::new() };
    if !device.kind().runs_cuda() {
        return "the CPU's only kernel".to_owned();
    }
    let lead = match others.first() {
        None => format!("predicted {}; nothing else that was asked for can run it", time(first)),
        Some(next) => {
            let (ns, of) = (first.predicted_ns(), next.predicted_ns());
            let than = format!("{} than {} ({})", less(ns, of), next.name(), time(next));
            match ns > of {
                true => format!(
                    "predicted {}, {than}: the model cannot tell them apart, and its tile is larger or its launch simpler",
                    time(first)
                ),
                false => format!("predicted {}, {than}", time(first)),
            }
        }
    };
    let limit = [Operand::A, Operand::B].into_iter().min_by_key(|&o| problem.align_bytes(o)).unwrap_or(Operand::A);
    let [bm, bn, bk] = first.execution.tile;
    let split = match first.execution.split_k {
        1 => String::new(),
        split => format!(", each in {split} slices"),
    };
    let [classes_m, classes_n] = first.execution.classes;
    let classes = match classes_m * classes_n {
        1 => String::new(),
        classes => format!(", rows in {classes} classes of alignment"),
    };
    let packed = match first.execution.packed_bytes {
        0 => String::new(),
        bytes => format!(", after packing {} KiB", bytes / 2048),
    };
    format!(
        "{lead}; {bm}x{bn}x{bk} gives {} tiles{split}{classes} for {} multiprocessors{packed}; {} is at a multiple of {} bytes ({}), and {} of {} variants of this \
         form are legal",
        first.prediction.tiles,
        device.record.units,
        limit.name(),
        problem.align_bytes(limit),
        place(problem, limit),
        ranked.len(),
        ranked.len() + refused,
    )
}

/// Why another candidate is not the first.
pub(super) fn behind(first: &Candidate, this: &Candidate) -> String {
    let worst = this.prediction.budget.worst();
    let share = this.prediction.budget.share(worst.cause) * 100.0;
    let cause = match worst.cause {
        Cause::Memory => "waiting for memory",
        cause => cause.title(),
    };
    let more = (this.predicted_ns() / first.predicted_ns() - 1.0) * 100.0;
    format!("predicted {}, {more:.1} % more than {}; {share:.0} % of it is {cause}", time(this), first.name())
}

/// Why a measured candidate goes before the model's.
pub(super) fn measured(entry: &Entry) -> String {
    let day = entry.measured.split('T').next().unwrap_or_default();
    match entry.outcome {
        Outcome::Faster => format!(
            "measured {day}: {:.1} µs, {} than the model's choice {} ({:.1} µs)",
            entry.median_ns / 1e3,
            less(entry.median_ns, entry.model_ns),
            entry.model,
            entry.model_ns / 1e3
        ),
        Outcome::Confirmed => {
            format!("measured {day}: {:.1} µs, and nothing is faster beyond noise", entry.median_ns / 1e3)
        }
    }
}

fn time(candidate: &Candidate) -> String {
    format!("{:.1} µs", candidate.predicted_ns() / 1e3)
}

fn less(ns: f64, of_ns: f64) -> String {
    match (1.0 - ns / of_ns) * 100.0 {
        percent if percent < 0.05 => "no less".to_owned(),
        percent => format!("{percent:.1} % less"),
    }
}

/// Of all that was refused, the obstacle that is nearest to none: a device or form that is not the variant's says little.
pub(super) fn nearest(
    problem: &Problem,
    selector: &Selector,
    refused: Vec<Refused>,
    all: &[&'static Kernel],
    device: &DeviceInfo,
) -> NoKernel {
    // Smaller is nearer. An alignment that is short by a factor of two is nearer than one by eight.
    let distance = |why: &NoKernel| match why {
        NoKernel::Alignment { needs, has, .. } => needs / has.max(&1),
        NoKernel::Limit { .. } | NoKernel::Shared { .. } | NoKernel::Workspace { .. } | NoKernel::Grid { .. } => {
            1 << 20
        }
        NoKernel::Then { .. } => 1 << 21,
        NoKernel::Form { .. } => 1 << 22,
        NoKernel::Capability { .. } => 1 << 23,
        NoKernel::Empty => 1 << 24,
    };
    let first = refused.into_iter().min_by_key(|r| distance(&r.why));
    let Some(Refused { kernel, why, .. }) = first else { return NoKernel::Empty };
    match (why, selector) {
        (NoKernel::Form { .. } | NoKernel::Capability { .. }, Selector::Auto) => none_at_all(problem, all, device),
        (NoKernel::Form { asked, .. }, Selector::Kernel(_)) => {
            NoKernel::Form { kernel: kernel.name.clone(), takes: forms(kernel), asked }
        }
        (why, _) => why,
    }
}

/// Why none of all kernels is for this form on this device.
fn none_at_all(problem: &Problem, all: &[&'static Kernel], device: &DeviceInfo) -> NoKernel {
    let here = |k: &&Kernel| k.variants.iter().any(|v| runs_on(k, v, device));
    let takes: Vec<String> = all.iter().filter(|k| here(k)).map(|k| format!("{}: {}", k.name, forms(k))).collect();
    if takes.is_empty() {
        let lowest = all.iter().flat_map(|k| k.variants.iter().map(|v| v.min_cc.unwrap_or(k.min_cc))).min();
        return lowest.map_or(NoKernel::Empty, |lowest| NoKernel::Capability {
            kernel: "every kernel of the catalogue".to_owned(),
            needs: format!("{} or later", dotted(lowest)),
            has: dotted(device.cc),
        });
    }
    let kernel = "no kernel on this device is for the problem: the catalogue".to_owned();
    NoKernel::Form { kernel, takes: takes.join("; "), asked: problem.form() }
}
