//! Strides and sizes close to a problem's that cost less, with the price of getting there.

use super::Planner;
use crate::problem::{Operand, Problem};
use serde::Serialize;

/// What is changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Leading dimensions are rounded up and offsets dropped; the sizes stay.
    Strides {
        /// Elements that the new leading dimensions are multiples of.
        multiple: u64,
    },
    /// A size is rounded up with zeros; what is computed in excess is thrown away.
    Padding {
        /// `m`, `n` or `k`.
        dimension: &'static str,
        /// The size so far.
        from: u64,
        /// The new size.
        to: u64,
    },
    /// Another size is chosen: the work changes with it.
    Resize {
        /// `m`, `n` or `k`.
        dimension: &'static str,
        /// The size so far.
        from: u64,
        /// The new size.
        to: u64,
    },
}

/// Whether a change is worth its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// Even if operands are copied into place for every call.
    EvenWithCopy,
    /// Only if operands are stored that way from the start, as weights can be.
    IfStoredSo,
    /// It needs no copy: the size is chosen before anything is stored.
    Free,
}

/// A change that makes the problem cheaper.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Better {
    /// The change.
    pub change: Change,
    /// The changed problem.
    pub problem: Problem,
    /// The kernel that is fastest then.
    pub kernel: String,
    /// Its predicted time.
    pub time_ns: f64,
    /// Time for the copies of A and B that a caller needs who has them as they are; 0 for a resize.
    pub copy_ns: f64,
    /// Throughput of the work that was asked for, over what it is now; for a resize, FLOP per second over FLOP per second.
    pub speed_up: f64,
    /// The same with the copies made in every call.
    pub speed_up_with_copy: f64,
    /// Whether it is worth it.
    pub worth: Worth,
}

/// A change is named where it gains at least this share.
const LEAST_GAIN: f64 = 0.01;

/// Time to copy operands into padded rows: each byte is read and written once at DRAM's pace, in a launch of its own.
pub fn copy_ns(planner: &Planner, bytes: u64) -> f64 {
    let assumed = crate::model::Assumptions::default();
    let bandwidth = planner.description.memory_bytes_per_s.as_ref().map(|b| b.value * assumed.memory_share);
    match bandwidth {
        Some(bandwidth) if bytes > 0 => assumed.launch_ns + 2.0 * bytes as f64 / bandwidth * 1e9,
        _ => 0.0,
    }
}

/// What would be cheaper than a problem, the largest gain first; empty where nothing is.
///
/// Of changes with the same gain, within half a per cent, the smallest is kept: a multiple of 64 is not advised where a multiple of 8 does.
pub fn nearby(problem: &Problem, planner: &Planner) -> Vec<Better> {
    let now = planner.ns(problem);
    let mut found: Vec<Better> = Vec::new();
    for group in [strides(problem), paddings(problem, planner), resizes(problem, planner)] {
        let mut of_group: Vec<Better> = group.into_iter().map(|(c, p)| judge(problem, now, planner, c, p)).collect();
        of_group.retain(|b| b.speed_up >= 1.0 + LEAST_GAIN);
        let mut kept: Vec<Better> = Vec::new();
        // In each group the smallest change comes first.
        for better in of_group {
            let same_dimension = |k: &Better| dimension(&k.change) == dimension(&better.change);
            let so_far = kept.iter().filter(|k| same_dimension(k)).map(|k| k.speed_up).fold(1.0, f64::max);
            if better.speed_up > so_far * 1.005 {
                kept.retain(|k| !same_dimension(k));
                kept.push(better);
            }
        }
        found.extend(kept);
    }
    // Full waves are of interest beyond what the alignment of their size brings.
    let is_resize = |b: &Better| matches!(b.change, Change::Resize { .. });
    let aligned = found.iter().filter(|b| !is_resize(b)).map(|b| b.speed_up).fold(1.0, f64::max);
    found.retain(|b| !is_resize(b) || b.speed_up > aligned * (1.0 + LEAST_GAIN));
    found.sort_by(|a, b| b.speed_up.total_cmp(&a.speed_up));
    found
}

fn dimension(change: &Change) -> &'static str {
    match change {
        Change::Strides { .. } => "ld",
        Change::Padding { dimension, .. } | Change::Resize { dimension, .. } => dimension,
    }
}

fn judge(problem: &Problem, now: f64, planner: &Planner, change: Change, changed: Problem) -> Better {
    let best = planner.best(&changed);
    let time_ns = best.prediction.total_ns();
    let resized = matches!(change, Change::Resize { .. });
    let work = if resized { changed.flop() as f64 / problem.flop().max(1) as f64 } else { 1.0 };
    let moved: u64 =
        [Operand::A, Operand::B].iter().filter(|&&o| moves(problem, &changed, o)).map(|&o| values(problem, o)).sum();
    let copy_ns = if resized { 0.0 } else { copy_ns(planner, moved * problem.dtype.bytes()) };
    let speed_up = now * work / time_ns;
    let speed_up_with_copy = now * work / (time_ns + copy_ns);
    let worth = if copy_ns == 0.0 {
        Worth::Free
    } else if speed_up_with_copy >= 1.0 + LEAST_GAIN {
        Worth::EvenWithCopy
    } else {
        Worth::IfStoredSo
    };
    Better { change, problem: changed, kernel: best.name, time_ns, copy_ns, speed_up, speed_up_with_copy, worth }
}

fn values(problem: &Problem, operand: Operand) -> u64 {
    let p = problem.placement(operand);
    p.rows * p.cols
}

/// Whether an operand's elements lie elsewhere afterwards.
fn moves(before: &Problem, after: &Problem, operand: Operand) -> bool {
    let (a, b) = (before.placement(operand), after.placement(operand));
    a.ld != b.ld || a.offset != b.offset || a.cols != b.cols
}

/// The same sizes in rows that begin at whole multiples.
fn strides(problem: &Problem) -> Vec<(Change, Problem)> {
    let element = problem.dtype.bytes();
    let multiples = [16, 128].map(|bytes| bytes / element);
    multiples
        .into_iter()
        .map(|multiple| {
            let up = |ld: u64| ld.next_multiple_of(multiple);
            let padded = Problem {
                lda: up(problem.lda),
                ldb: up(problem.ldb),
                ldc: up(problem.ldc),
                offset_a: 0,
                offset_b: 0,
                offset_c: 0,
                ..*problem
            };
            (Change::Strides { multiple }, padded)
        })
        .filter(|(_, padded)| padded != problem)
        .collect()
}

/// Sets one size; rows that were compact stay compact.
pub(super) fn resized(problem: &Problem, dimension: &'static str, to: u64) -> Problem {
    let mut changed = *problem;
    match dimension {
        "m" => changed.m = to,
        "n" => changed.n = to,
        _ => changed.k = to,
    }
    for operand in Operand::ALL {
        let (before, after) = (problem.placement(operand), changed.placement(operand));
        let ld = if before.ld == before.cols.max(1) { after.cols.max(1) } else { before.ld.max(after.cols) };
        match operand {
            Operand::A => changed.lda = ld,
            Operand::B => changed.ldb = ld,
            Operand::C => changed.ldc = ld,
        }
    }
    changed
}

fn sizes(problem: &Problem) -> [(&'static str, u64); 3] {
    [("m", problem.m), ("n", problem.n), ("k", problem.k)]
}

fn paddings(problem: &Problem, planner: &Planner) -> Vec<(Change, Problem)> {
    let tile = planner.best(problem).execution.tile;
    let mut found = Vec::new();
    for (i, (dimension, from)) in sizes(problem).into_iter().enumerate() {
        let mut targets: Vec<u64> =
            [8, 16, 64, tile[i]].iter().map(|&multiple| from.next_multiple_of(multiple)).collect();
        targets.sort_unstable();
        targets.dedup();
        for to in targets.into_iter().filter(|&to| to > from) {
            found.push((Change::Padding { dimension, from, to }, resized(problem, dimension, to)));
        }
    }
    found
}

/// Sizes that fill waves, on either side and within an eighth of the size: for who is free to choose.
fn resizes(problem: &Problem, planner: &Planner) -> Vec<(Change, Problem)> {
    let best = planner.best(problem);
    let slots = best.prediction.waves.slots;
    let [tile_m, tile_n, _] = best.execution.tile;
    let (rows, columns) = (problem.m.div_ceil(tile_m), problem.n.div_ceil(tile_n));
    let mut found = Vec::new();
    for (dimension, from, tile, others) in [("m", problem.m, tile_m, columns), ("n", problem.n, tile_n, rows)] {
        let full = best.prediction.waves.full;
        let mut targets: Vec<u64> = (full.max(1)..=full + 2)
            .map(|waves| waves * slots / others.max(1) * tile)
            .filter(|&to| to > 0 && to != from && to.abs_diff(from) * 8 <= from)
            .collect();
        targets.sort_by_key(|&to| to.abs_diff(from));
        for to in targets {
            found.push((Change::Resize { dimension, from, to }, resized(problem, dimension, to)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::Family;
    use crate::model::DeviceDescription;

    fn planner(device: &str) -> Planner {
        Planner::described(DeviceDescription::named(device).unwrap(), Family::Library)
    }

    #[test]
    fn an_odd_stride_is_padded_to_whole_sectors_at_most() {
        let odd = Problem::new(4096, 50257, 768);
        let found = nearby(&odd, &planner("h100-sxm"));
        let strides = found.iter().find(|b| matches!(b.change, Change::Strides { .. })).unwrap();
        assert_eq!((strides.problem.ldb % 8, strides.problem.n), (0, 50257));
        assert!(strides.problem.ldb <= 50304);
        assert!(strides.speed_up > 1.5, "{}", strides.speed_up);
        let padded = found.iter().find(|b| matches!(b.change, Change::Padding { dimension: "n", .. })).unwrap();
        assert!(padded.speed_up > 1.5 && padded.problem.n < 50400, "{padded:?}");
    }

    #[test]
    fn an_aligned_full_shape_has_nothing_better() {
        // NV-08's analogue on an H100: whole tiles, whole waves, whole k tiles.
        let found = nearby(&Problem::new(8448, 2048, 4096), &planner("h100-sxm"));
        assert!(found.iter().all(|b| b.speed_up < 1.05), "{found:?}");
        assert!(
            !found.iter().any(|b| matches!(b.change, Change::Strides { .. } | Change::Padding { .. })),
            "{found:?}"
        );
    }

    #[test]
    fn a_copy_of_a_large_operand_for_a_small_product_is_not_worth_it() {
        // One row of work against a matrix that would have to be read and written to be padded.
        let vector = Problem::new(8, 16385, 16385);
        for better in nearby(&vector, &planner("h100-sxm")) {
            if matches!(better.change, Change::Strides { .. }) {
                assert_eq!(better.worth, Worth::IfStoredSo);
                assert!(better.speed_up_with_copy < 1.0);
            }
        }
        assert_eq!(copy_ns(&planner("h100-sxm"), 0), 0.0);
    }

    #[test]
    fn one_tile_beyond_a_wave_is_better_shrunk() {
        // NV-12's analogue.
        let found = nearby(&Problem::new(2816, 1544, 4096), &planner("h100-sxm"));
        let best = found.iter().find(|b| matches!(b.change, Change::Resize { .. })).unwrap();
        assert!(best.speed_up > 1.1 && best.worth == Worth::Free, "{best:?}");
    }
}
