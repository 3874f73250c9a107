//! What disqualifies a comparison: arms that differ in more than the claim is about, and machines that treated them differently.

use super::experiment::{Comparison, Held, load_class};
use super::records::{Found, held_back};
use crate::catalog::{Kernel, Variant, baseline_kernel};
use crate::device::DeviceInfo;
use crate::dispatch::kernels;
use crate::problem::{Operand, Problem};
use crate::record::DeviceKind;
use crate::record::consistent::is_other_unit;
use crate::stats::{MIN_BLOCKS, Unit, block_log_ratios, median};

/// How much larger one arm's share of throttled samples may be than the other's.
const THROTTLE_SLACK: f64 = 0.1;

/// The kernel and variant of a name such as `04_mma/128x128x32-a16`, or a kernel that has only one variant.
pub fn named(name: &str, kind: DeviceKind) -> Option<(&'static Kernel, &'static Variant)> {
    let (kernel, variant) = name.split_once('/').map_or((name, None), |(k, v)| (k, Some(v)));
    let kernel = kernels(kind).into_iter().chain([baseline_kernel()]).find(|k| k.name == kernel)?;
    let variant = match variant {
        Some(variant) => kernel.variants.iter().find(|v| v.name == variant),
        None => kernel.variants.first().filter(|_| kernel.variants.len() == 1),
    };
    Some((kernel, variant?))
}

fn variant(name: &str, kind: DeviceKind) -> Option<&'static Variant> {
    named(name, kind).map(|(_, variant)| variant)
}

/// Rows and columns of tiles and steps of k; on a CPU, whose kernel has no tiles of ours, nothing.
fn grid(problem: &Problem, name: &str, device: &DeviceInfo) -> Option<[u64; 3]> {
    if device.kind() == DeviceKind::Cpu {
        return Some([0; 3]);
    }
    let tile = variant(name, device.kind())?.tile.map(u64::from);
    Some([problem.m.div_ceil(tile[0]), problem.n.div_ceil(tile[1]), problem.k.div_ceil(tile[2])])
}

/// Whether two grids have the same tiles, and steps of k that differ by less than one in 500: a step of 1572 is no effect.
fn same_grid(a: [u64; 3], b: [u64; 3]) -> bool {
    a[..2] == b[..2] && 500 * a[2].abs_diff(b[2]) <= a[2]
}

/// What the arms of a comparison do not share although they should, given the names of what ran.
pub fn broken(c: &Comparison, first: &str, second: &str, device: &DeviceInfo) -> Option<String> {
    let (a, b) = (&c.first.problem, &c.second.problem);
    let kernel = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    for held in &c.held {
        let differs = match held {
            Held::Kernel if kernel(first) != kernel(second) => {
                Some(format!("the kernel changed from {first} to {second} between the arms"))
            }
            Held::Variant if first != second => {
                Some(format!("dispatch changed from {first} to {second} between the arms"))
            }
            Held::Sizes if (a.m, a.n, a.k) != (b.m, b.n, b.k) => Some("the sizes changed between the arms".to_owned()),
            Held::Tiles => match (grid(a, first, device), grid(b, second, device)) {
                (Some(a), Some(b)) if same_grid(a, b) => None,
                (Some(_), Some(_)) => Some("the number of tiles changed between the arms".to_owned()),
                _ => Some(format!("the tiles of {first} are not known to this program")),
            },
            Held::Alignment if Operand::ALL.iter().any(|&o| load_class(a, o) != load_class(b, o)) => {
                Some("the alignment changed between the arms".to_owned())
            }
            Held::Lines if Operand::ALL.iter().any(|&o| a.align_bytes(o).min(128) != b.align_bytes(o).min(128)) => Some(
                "the rows of one arm begin at whole lines of 128 bytes and those of the other do not, which may cost something by itself"
                    .to_owned(),
            ),
            _ => None,
        };
        if differs.is_some() {
            return differs;
        }
    }
    None
}

/// How records of the right problems stand to a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// They are its arms.
    Right,
    /// They are arms like them, of another kernel with the same tile: they stand in where the planned one was not measured.
    Alike,
    /// They are of other kernels, on which it is not planned.
    Other,
    /// They would be its arms if something had not changed between them.
    Confounded(String),
}

/// Whether two records ran what a comparison asks for: the planned kernels, or another that both share, with the same tile.
pub fn fit(c: &Comparison, first: &Found, second: &Found, device: &DeviceInfo) -> Fit {
    let (a, b) = (first.name(), second.name());
    let planned = |arm: &str, ran: &str| arm == ran || ran.split('/').next() == Some(arm);
    if planned(&c.first.kernel, &a) && planned(&c.second.kernel, &b) {
        return broken(c, &a, &b, device).map_or(Fit::Right, Fit::Confounded);
    }
    let same_kernel = |a: &str, b: &str| a.split('/').next() == b.split('/').next();
    let as_planned = |arm: &str, ran: &str| {
        let form = |name: &str| variant(name, device.kind()).map(|v| (&v.tile[..2], &v.route, v.splits, v.cluster));
        form(arm).is_some() && form(arm) == form(ran)
    };
    // Where the claim is about two kernels, no other can stand in for them.
    let may = same_kernel(&c.first.kernel, &c.second.kernel) && same_kernel(&a, &b);
    if !(may && as_planned(&c.first.kernel, &a) && as_planned(&c.second.kernel, &b)) {
        let half = planned(&c.first.kernel, &a) || planned(&c.second.kernel, &b);
        return match broken(c, &a, &b, device) {
            Some(why) if half || c.held.contains(&Held::Variant) && a != b => Fit::Confounded(why),
            _ => Fit::Other,
        };
    }
    broken(c, &a, &b, device).map_or(Fit::Alike, Fit::Confounded)
}

/// The blocks of one pair in time, and in cycles where clocks are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// Which of the runs they are of.
    pub run: usize,
    /// ln(B / A) in time.
    pub time: Unit,
    /// ln(B / A) in cycles.
    pub cycles: Option<Unit>,
    /// Samples of both arms in them.
    pub samples: u64,
    /// ln(B / A) of the medians of the arms' samples, which blocks agree with unless one arm has samples of two kinds.
    pub of_medians: f64,
    /// What the rounding of times may put that ratio off by, as a standard deviation.
    pub rounding: f64,
}

/// Why the blocks of a pair cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Its arms were measured one after the other, so that they are no pair, but each may still be used by itself.
    NotInTurn,
    /// A record of it is of no use.
    Useless(String),
}

/// The blocks of a pair whose second arm's cost is multiplied by `scale`. Where power is what the arms are compared for, one of them may be held
/// back by the device and the other not.
///
/// # Errors
/// Why the pair cannot be used.
pub fn blocks(first: &Found, second: &Found, scale: f64, about_power: bool) -> Result<Blocks, Unfit> {
    for arm in [first, second] {
        if let Some(why) = &arm.unusable {
            return Err(Unfit::Useless(why.clone()));
        }
    }
    let [a, b] = [&first.record.samples, &second.record.samples];
    let count = a.len().min(b.len()) / 2;
    if !interleaved(first, second, count) {
        return Err(Unfit::NotInTurn);
    }
    let shares = [first.throttled_share(), second.throttled_share()];
    let uneven = !about_power && (shares[0] - shares[1]).abs() > THROTTLE_SLACK;
    // Where one arm was held back more often, only blocks in which all four samples share their fate compare like with like.
    let fair = |i: usize| {
        let fates = [&a[2 * i], &a[2 * i + 1], &b[2 * i], &b[2 * i + 1]].map(held_back);
        !uneven || fates.iter().all(|f| *f == fates[0])
    };
    let pick = |a: &[f64], b: &[f64]| -> Vec<f64> {
        let ratios = block_log_ratios(a, b);
        let kept = ratios.into_iter().take(count).enumerate().filter(|(i, r)| fair(*i) && r.is_finite());
        kept.map(|(_, r)| r + scale.ln()).collect()
    };
    let time = pick(&first.times, &second.times);
    if uneven && (time.len() < MIN_BLOCKS || 2 * time.len() < count || tags_missing(first) || tags_missing(second)) {
        return Err(Unfit::Useless(format!(
            "only one arm was held back: {:.0} % of the first's samples were throttled and {:.0} % of the second's",
            100.0 * shares[0],
            100.0 * shares[1]
        )));
    }
    let cycles = match (&first.cycles, &second.cycles) {
        (Some(a), Some(b)) => Some(Unit { blocks: pick(a, b) }),
        _ => None,
    };
    let samples = 4 * time.len() as u64;
    let of_medians = middle(&second.times) - middle(&first.times) + scale.ln();
    let rounding = first.rounding.hypot(second.rounding);
    let flops = second.record.problem.flop() as f64 / first.record.problem.flop().max(1) as f64;
    let factor = (of_medians - scale.ln()).exp() / flops;
    if (0.5..=2.0).contains(&flops) && is_other_unit(factor) {
        return Err(Unfit::Useless(format!(
            "one arm takes {factor:.3e} times as long as the other for the same work; the unit of one of them is wrong"
        )));
    }
    Ok(Blocks { run: first.run, time: Unit { blocks: time }, cycles, samples, of_medians, rounding })
}

/// Logarithm of the median of the times that are there; NaN for none.
fn middle(times: &[f64]) -> f64 {
    median(&times.iter().copied().filter(|t| t.is_finite()).collect::<Vec<_>>()).map_or(f64::NAN, f64::ln)
}

/// Whether a record counts throttled samples without saying which.
fn tags_missing(found: &Found) -> bool {
    found.record.throttled_samples as usize > found.record.samples.iter().filter(|s| held_back(s)).count()
}

/// Whether the samples of a pair were taken in turn, as far as their times of day tell.
fn interleaved(first: &Found, second: &Found, count: usize) -> bool {
    let [a, b] = [&first.record.samples, &second.record.samples];
    let apart = (0..count).filter(|&i| {
        let (a, b) = ([a[2 * i].at_ns, a[2 * i + 1].at_ns], [b[2 * i].at_ns, b[2 * i + 1].at_ns]);
        let (earliest, latest) = (a[0].min(b[0]), a[1].max(b[1]));
        // Both arms have a sample in the block's span; disjoint spans mean that one arm came after the other.
        latest > earliest && (a[1] < b[0] || b[1] < a[0])
    });
    2 * apart.count() <= count
}
