//! What alignment alone costs: throughput by alignment class, relative to the fully aligned class at equal work.
//!
//! A class is the largest power of two, in elements, that divides a leading dimension. Rows are the class of lda, columns
//! the lower class of ldb and ldc, because a kernel can only use what both allow.

use super::axes::{class, class_name};
use super::grid::{Place, Side, Square, relative_width, tflops};
use crate::problem::{Operand, Problem};
use crate::record::{CellRecord, Role};
use crate::stats::median;
use std::collections::{BTreeMap, BTreeSet};

/// The lowest class that may serve as fully aligned, in elements: 16 bytes of FP16, the widest load there is.
const LEAST_ALIGNED: u64 = 8;

/// How far apart in FLOP two cells may be to count as equal work.
const EQUAL_WORK: f64 = 0.05;

/// Throughput by alignment class, in percent of the aligned one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Classes {
    /// Class of lda.
    pub y: Side,
    /// Lower class of ldb and ldc.
    pub x: Side,
    /// Row by row, lowest class first.
    pub squares: Vec<Square>,
    /// How each number came about, and what was left out.
    pub notes: Vec<String>,
}

/// The medians of the aligned sides of all comparisons, by pair, kernel, regime and what alignment leaves as it is.
pub(super) struct Baselines {
    of: BTreeMap<Yardstick, f64>,
    /// The pairs that have one, of whatever sizes.
    pairs: BTreeSet<u64>,
}

/// Pair, kernel, regime, then m, n, k, layout and type. A plan may pair other things than strides, such as a size with its
/// neighbour: what such a pair finds is not what alignment costs.
type Yardstick = (u64, String, String, [u64; 3], [&'static str; 2]);

fn yardstick(pair: u64, kernel: &str, cell: &CellRecord) -> Yardstick {
    let p = &cell.problem;
    (pair, kernel.to_owned(), cell.setting().into_owned(), [p.m, p.n, p.k], [p.layout.name(), p.dtype.name()])
}

impl Baselines {
    /// Collects them from all cells of a merged run: a baseline may have run another kernel than its variant.
    pub fn of(cells: &[&CellRecord]) -> Baselines {
        let mut found: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for cell in cells {
            if let (Some(pair), Some(Role::Baseline), Some(tflops)) = (cell.pair, cell.role, tflops(cell)) {
                // The empty name stands for any kernel.
                for kernel in [&cell.kernel, ""] {
                    found.entry(yardstick(pair, kernel, cell)).or_default().push(tflops);
                }
            }
        }
        let pairs = found.keys().map(|key: &Yardstick| key.0).collect();
        Baselines { of: found.into_iter().filter_map(|(key, values)| Some((key, median(&values)?))).collect(), pairs }
    }

    fn get(&self, cell: &CellRecord) -> Option<f64> {
        let pair = cell.pair?;
        let find = |kernel: &str| self.of.get(&yardstick(pair, kernel, cell)).copied();
        find(&cell.kernel).or_else(|| find(""))
    }

    /// What a cell's own comparison says of alignment, block by block: nothing where its other side has other sizes, and where that
    /// side is not on record, what was recorded.
    fn ratio(&self, cell: &CellRecord) -> Option<Square> {
        let unknown = cell.pair.is_some_and(|pair| !self.pairs.contains(&pair));
        block_ratio(cell).filter(|_| unknown || self.get(cell).is_some())
    }
}

/// What the cell's own comparison found, block by block, in percent: its throughput over the baseline's.
pub(super) fn block_ratio(cell: &CellRecord) -> Option<Square> {
    let ratio = cell.pair_ratio.filter(|r| cell.role == Some(Role::Variant) && *r > 0.0 && r.is_finite())?;
    tflops(cell)?;
    let width = relative_width(Some(ratio), cell.pair_ratio_lo, cell.pair_ratio_hi);
    Some(Square::Value { value: 100.0 * ratio, count: 1, width })
}

/// A row and a column of the picture: the class of lda and the lower one of ldb and ldc.
type Class = (u64, u64);

fn classes_of(cell: &CellRecord) -> Class {
    let p = &cell.problem;
    (class(p.lda), class(p.ldb).min(class(p.ldc)))
}

fn lower_class(cell: &CellRecord) -> u64 {
    let (row, column) = classes_of(cell);
    row.min(column)
}

/// The alignment classes of one part, kernel and regime; `None` where fewer than two classes have a number or all are fully
/// aligned.
pub(super) fn classes(cells: &[&CellRecord], baselines: &Baselines) -> Option<Classes> {
    let shifted = |cell: &CellRecord| cell.problem.offset_a | cell.problem.offset_b | cell.problem.offset_c != 0;
    let aligned_bases: Vec<&CellRecord> = cells.iter().copied().filter(|c| !shifted(c)).collect();
    // Where sizes keep every stride aligned there is nothing to compare, unless strides are what was swept.
    let padded = |p: &Problem| {
        Operand::ALL.iter().any(|&o| {
            let place = p.placement(o);
            place.ld != place.cols.max(1)
        })
    };
    if !aligned_bases.iter().any(|c| lower_class(c) < LEAST_ALIGNED || padded(&c.problem)) {
        return None;
    }

    // What may serve as a yardstick: its class, FLOP, size and throughput.
    let mut same_size: BTreeMap<[u64; 3], Vec<f64>> = BTreeMap::new();
    let mut by_work: Vec<(u64, u64, f64)> = Vec::new();
    let measured = aligned_bases.iter().filter_map(|c| Some((c, tflops(c)?)));
    let top = measured.clone().map(|(c, _)| lower_class(c)).max().filter(|&top| top >= LEAST_ALIGNED);
    for (cell, tflops) in measured {
        let p = &cell.problem;
        if lower_class(cell) >= LEAST_ALIGNED {
            by_work.push((p.flop(), lower_class(cell), tflops));
        }
        if Some(lower_class(cell)) == top {
            same_size.entry([p.m, p.n, p.k]).or_default().push(tflops);
        }
    }
    let same_size: BTreeMap<[u64; 3], f64> =
        same_size.into_iter().filter_map(|(size, values)| Some((size, median(&values)?))).collect();
    by_work.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
    let mut equal_work_of = BTreeMap::new();
    // The best class within reach, and its median.
    let mut equal_work = |flop: u64| -> Option<(u64, f64)> {
        *equal_work_of.entry(flop).or_insert_with(|| {
            let slack = flop as f64 * EQUAL_WORK;
            let from = by_work.partition_point(|w| (w.0 as f64) < flop as f64 - slack);
            let to = by_work.partition_point(|w| w.0 as f64 <= flop as f64 + slack);
            let near = &by_work[from..to];
            let best = near.iter().map(|w| w.1).max()?;
            let values: Vec<f64> = near.iter().filter(|w| w.1 == best).map(|w| w.2).collect();
            Some((best, median(&values)?))
        })
    };

    let mut places: BTreeMap<Class, Place> = BTreeMap::new();
    // The cells of one pair and class are one comparison: their median counts once.
    let mut pairs: BTreeMap<(u64, Class), Place> = BTreeMap::new();
    let (mut blocks, mut paired, mut sized, mut worked, mut lesser, mut alone) = (0, 0, 0, 0, 0, 0);
    // A baseline is the yardstick of its pair, and relative to itself it would always be 100 %.
    let subjects = aligned_bases.iter().filter(|c| c.role != Some(Role::Baseline));
    for cell in subjects {
        let place = places.entry(classes_of(cell)).or_default();
        let square = Square::of(cell);
        if square.value().is_none() {
            place.add(square);
            continue;
        }
        let p = &cell.problem;
        let relative_to = |baseline: f64| square.times(100.0 / baseline);
        if let (Some(pair), Some(ratio)) = (cell.pair, baselines.ratio(cell)) {
            blocks += 1;
            pairs.entry((pair, classes_of(cell))).or_default().add(ratio);
        } else if let (Some(pair), Some(baseline)) = (cell.pair, baselines.get(cell)) {
            paired += 1;
            pairs.entry((pair, classes_of(cell))).or_default().add(relative_to(baseline));
        } else if let Some(baseline) = same_size.get(&[p.m, p.n, p.k]) {
            sized += 1;
            place.add(relative_to(*baseline));
        } else if let Some((class, baseline)) = equal_work(p.flop()) {
            *(if Some(class) == top { &mut worked } else { &mut lesser }) += 1;
            place.add(relative_to(baseline));
        } else {
            alone += 1;
            place.add(Square::Skipped);
        }
    }
    for ((_, class), comparison) in pairs {
        let one = match comparison.square() {
            Square::Value { value, width, .. } => Square::Value { value, count: 1, width },
            gap => gap,
        };
        places.entry(class).or_default().add(one);
    }

    let squares: BTreeMap<Class, Square> = places.into_iter().map(|(at, place)| (at, place.square())).collect();
    if squares.values().filter(|s| s.value().is_some()).count() < 2 {
        return None;
    }
    let side = |label: &str, of: fn(&Class) -> u64| {
        let mut values: Vec<u64> = squares.keys().map(of).collect();
        values.sort_unstable();
        values.dedup();
        let names = values.iter().map(|&v| class_name(v)).collect();
        Side { label: label.to_owned(), names, firsts: values, values_a_bin: 1 }
    };
    let y = side("alignment class of lda", |&(row, _)| row);
    let x = side("lower alignment class of ldb and ldc (elements)", |&(_, column)| column);
    let at = |row: &u64, column: &u64| squares.get(&(*row, *column)).copied().unwrap_or(Square::Unplanned);
    let squares = y.firsts.iter().flat_map(|row| x.firsts.iter().map(move |column| (row, column)));
    let squares = squares.map(|(row, column)| at(row, column)).collect();

    let top = top.map(class_name);
    let mut notes = Vec::new();
    for (count, basis) in [
        (blocks, "its own paired baseline, block by block".to_owned()),
        (paired, "its own paired baseline".to_owned()),
        (sized, format!("the aligned class ({}) of the same m, n, k", top.clone().unwrap_or_default())),
        (worked, format!("the aligned class ({}) within 5 % of its FLOP", top.unwrap_or_default())),
        (lesser, format!("the best class within 5 % of its FLOP, which is lower but at least {LEAST_ALIGNED}")),
    ] {
        if count > 0 {
            notes.push(format!("{count} {} relative to {basis}", if count == 1 { "cell" } else { "cells each" }));
        }
    }
    if alone > 0 {
        notes.push(format!("{alone} without an aligned cell of equal work"));
    }
    match cells.len() - aligned_bases.len() {
        0 => {}
        shifted => notes.push(format!("{shifted} with base offsets left out")),
    }
    Some(Classes { y, x, squares, notes })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn of(cells: &[CellRecord]) -> Option<Classes> {
        let cells: Vec<&CellRecord> = cells.iter().collect();
        classes(&cells, &Baselines::of(&cells))
    }

    /// Value and count at a class.
    fn at(classes: &Classes, row: &str, column: &str) -> (f64, usize) {
        let y = classes.y.names.iter().position(|n| n == row).unwrap();
        let x = classes.x.names.iter().position(|n| n == column).unwrap();
        match classes.squares[y * classes.x.len() + x] {
            Square::Value { value, count, .. } => (value, count),
            other => panic!("{other:?} at {row}, {column}"),
        }
    }

    fn strided(lda: u64, ldb: u64, tflops: f64) -> CellRecord {
        let mut p = Problem::new(512, 1024, 1024);
        (p.lda, p.ldb, p.ldc) = (lda, ldb, ldb);
        fixture::cell(p, tflops)
    }

    fn paired(mut cell: CellRecord, pair: u64, role: Role) -> CellRecord {
        (cell.pair, cell.role) = (Some(pair), Some(role));
        cell
    }

    #[test]
    fn a_pair_of_different_sizes_says_nothing_of_alignment() {
        // As `validate` pairs them: 1025 in the place of 1024, in every dimension.
        let mut other = paired(strided(1025, 1025, 40.0), 1, Role::Variant);
        (other.problem.m, other.problem.n, other.problem.k) = (1025, 1025, 1025);
        other.pair_ratio = Some(10.5);
        let alone = [paired(strided(1024, 1024, 100.0), 1, Role::Baseline), other];
        let cells: Vec<&CellRecord> = alone.iter().collect();
        let found = classes(&cells, &Baselines::of(&cells));
        let values = found.iter().flat_map(|c| c.squares.iter().filter_map(Square::value)).collect::<Vec<_>>();
        assert!(values.iter().all(|v| *v < 100.0), "{values:?}");
        assert!(found.iter().all(|c| c.notes.iter().all(|n| !n.contains("paired baseline"))), "{found:?}");
    }

    #[test]
    fn a_pair_is_held_against_its_own_baseline() {
        // Ratios 80/100 = 80 %, 90/120 = 75 % and 70/140 = 50 %: the median is 75 %, although 80/120 would be 67 %.
        let mut cells = Vec::new();
        for (pair, (baseline, variant)) in [(100.0, 80.0), (120.0, 90.0), (140.0, 70.0)].into_iter().enumerate() {
            cells.push(paired(strided(1024, 1024, baseline), pair as u64, Role::Baseline));
            cells.push(paired(strided(1025, 1024, variant), pair as u64, Role::Variant));
        }
        // Like with like: the baselines themselves are no subjects, but a variant in their class is.
        cells.push(paired(strided(1024, 1024, 100.0), 3, Role::Baseline));
        cells.push(paired(strided(1280, 1024, 98.0), 3, Role::Variant));
        let classes = of(&cells).unwrap();
        assert_eq!(at(&classes, "1", "≥256"), (75.0, 3));
        assert_eq!(at(&classes, "≥256", "≥256"), (98.0, 1));
        assert!(classes.notes[0].contains("4 cells each relative to its own paired baseline"), "{:?}", classes.notes);
    }

    #[test]
    fn the_ratio_of_blocks_wins_over_the_ratio_of_medians() {
        let mut cells = vec![paired(strided(1024, 1024, 100.0), 1, Role::Baseline)];
        let variant = |lda: u64, tflops: f64, ratio: [Option<f64>; 3]| {
            let mut cell = paired(strided(lda, 1024, tflops), 1, Role::Variant);
            [cell.pair_ratio, cell.pair_ratio_lo, cell.pair_ratio_hi] = ratio;
            cell
        };
        // The medians say 80 % in every case, with intervals of 5 %.
        cells.push(variant(1025, 80.0, [Some(0.7), Some(0.69), Some(0.72)]));
        cells.push(variant(1026, 80.0, [Some(0.9), Some(0.6), Some(0.95)]));
        cells.push(variant(1028, 80.0, [None; 3]));
        cells.push(variant(1032, 80.0, [Some(f64::NAN), Some(0.1), Some(0.9)]));
        let classes = of(&cells).unwrap();
        let square = |row: &str| {
            let y = classes.y.names.iter().position(|n| n == row).unwrap();
            classes.squares[y * classes.x.len()]
        };
        let near = |square: Square, want: f64| square.value().is_some_and(|v| (v - want).abs() < 1e-9);
        assert!(near(square("1"), 70.0) && !square("1").is_uncertain(), "{:?}", square("1"));
        assert!(near(square("2"), 90.0) && square("2").is_uncertain(), "{:?}", square("2"));
        assert!(near(square("4"), 80.0), "{:?}", square("4"));
        assert!(near(square("8"), 80.0), "{:?}", square("8"));
        assert!(
            classes.notes[0].starts_with("2 cells each relative to its own paired baseline, block by block")
                && classes.notes[1] == "2 cells each relative to its own paired baseline",
            "{:?}",
            classes.notes
        );
        // Without its baseline's record the ratio still stands.
        cells.remove(0);
        assert!(near(of(&cells).unwrap().squares[0], 70.0));
    }

    #[test]
    fn several_cells_of_one_side_count_as_one_comparison() {
        // A B B A: baselines 100 and 110 (median 105), variants 63 and 84 (median 73.5): 70 %.
        let cells = [
            paired(strided(1024, 1024, 100.0), 7, Role::Baseline),
            paired(strided(1025, 1024, 63.0), 7, Role::Variant),
            paired(strided(1025, 1024, 84.0), 7, Role::Variant),
            paired(strided(1024, 1024, 110.0), 7, Role::Baseline),
            paired(strided(1024, 1024, 100.0), 8, Role::Baseline),
            paired(strided(1026, 1024, 90.0), 8, Role::Variant),
        ];
        let (value, count) = at(&of(&cells).unwrap(), "1", "≥256");
        assert!((value - 70.0).abs() < 1e-9, "{value}");
        assert_eq!(count, 1);
    }

    #[test]
    fn a_baseline_that_ran_another_kernel_still_counts() {
        let baseline = paired(strided(1024, 1024, 100.0), 1, Role::Baseline);
        let mut other_baseline = paired(strided(1024, 1024, 200.0), 2, Role::Baseline);
        other_baseline.kernel = "05_other".to_owned();
        let variants =
            [paired(strided(1025, 1024, 50.0), 1, Role::Variant), paired(strided(1026, 1024, 50.0), 2, Role::Variant)];
        let all = [&baseline, &other_baseline];
        let group: Vec<&CellRecord> = variants.iter().collect();
        let classes = classes(&group, &Baselines::of(&all)).unwrap();
        assert_eq!(at(&classes, "1", "≥256").0, 50.0);
        assert_eq!(at(&classes, "2", "≥256").0, 25.0);
    }

    #[test]
    fn sizes_whose_strides_are_all_aligned_have_no_picture() {
        let cells: Vec<CellRecord> =
            [64, 96, 128].map(|size| fixture::cell(Problem::new(size, size, size), 1.0)).into_iter().collect();
        assert!(of(&cells).is_none());
        assert!(of(&[strided(1032, 1024, 1.0), strided(1152, 1024, 1.0)]).is_some(), "here strides were swept");
    }

    #[test]
    fn without_pairs_the_same_size_is_the_yardstick() {
        // The aligned cells 100 and 120 have the median 110; 55 is half of it, 88 is 80 %.
        let cells = [
            strided(1024, 1024, 100.0),
            strided(1280, 1024, 120.0),
            strided(1028, 1024, 88.0),
            strided(1024, 1025, 55.0),
        ];
        let classes = of(&cells).unwrap();
        assert!((at(&classes, "4", "≥256").0 - 80.0).abs() < 1e-9);
        assert!((at(&classes, "≥256", "1").0 - 50.0).abs() < 1e-9);
        assert!(classes.notes[0].starts_with("4 cells each relative to the aligned class (≥256) of the same m, n, k"));
    }

    #[test]
    fn where_the_stride_follows_the_size_equal_work_is_the_yardstick() {
        // 1024 -> 1025 is 0.3 % more FLOP than 1024 cubed: comparable. 2049 has no aligned cell within 5 %.
        let cells = [
            fixture::cell(Problem::new(1024, 1024, 1024), 200.0),
            fixture::cell(Problem::new(1025, 1025, 1025), 150.0),
            fixture::cell(Problem::new(2049, 2049, 2049), 900.0),
        ];
        let classes = of(&cells).unwrap();
        assert_eq!(at(&classes, "1", "1"), (75.0, 1));
        assert!(classes.notes.iter().any(|n| n.starts_with("1 without an aligned cell")), "{:?}", classes.notes);
    }

    #[test]
    fn far_from_the_best_class_the_best_one_in_reach_is_the_yardstick() {
        // 520 = 8 x 65 is the only aligned neighbour of 519: 60 of 80 are 75 %. 1024 is far away.
        let cells = [
            fixture::cell(Problem::new(1024, 1024, 1024), 200.0),
            fixture::cell(Problem::new(520, 520, 520), 80.0),
            fixture::cell(Problem::new(519, 519, 519), 60.0),
        ];
        let classes = of(&cells).unwrap();
        assert_eq!(at(&classes, "1", "1"), (75.0, 1));
        assert_eq!(at(&classes, "8", "8"), (100.0, 1));
        assert!(classes.notes.iter().any(|n| n.starts_with("2 cells each relative to the best class")));
    }

    #[test]
    fn the_aligned_class_is_the_highest_present_and_at_least_8() {
        // ld 1032 = 8 x 129 is the best there is: it is the yardstick.
        let classes = of(&[strided(1032, 1032, 100.0), strided(1033, 1032, 60.0)]).unwrap();
        assert_eq!(at(&classes, "1", "8").0, 60.0);
        assert_eq!(at(&classes, "8", "8").0, 100.0);
        assert_eq!(of(&[strided(1028, 1028, 100.0), strided(1033, 1028, 60.0)]), None, "4 is not aligned");
        assert_eq!(of(&[strided(1024, 1024, 100.0), strided(1280, 1024, 60.0)]), None, "a single class");
    }

    #[test]
    fn columns_take_the_lower_class_of_b_and_c() {
        let mut cell = strided(1024, 1024, 40.0);
        cell.problem.ldc = 1026;
        let classes = of(&[strided(1024, 1024, 50.0), cell]).unwrap();
        assert_eq!(at(&classes, "≥256", "2").0, 80.0);
    }

    #[test]
    fn cells_without_a_number_and_shifted_bases_are_kept_apart() {
        let mut failed = strided(1026, 1024, 1.0);
        fixture::fail(&mut failed);
        let mut shifted = strided(1024, 1024, 5.0);
        shifted.problem.offset_a = 3;
        let classes = of(&[strided(1024, 1024, 50.0), strided(1025, 1024, 40.0), failed, shifted]).unwrap();
        assert_eq!(at(&classes, "≥256", "≥256"), (100.0, 1));
        let row = classes.y.names.iter().position(|n| n == "2").unwrap();
        assert_eq!(classes.squares[row * classes.x.len()], Square::Failed);
        assert!(classes.notes.iter().any(|n| n == "1 with base offsets left out"), "{:?}", classes.notes);
    }
}
