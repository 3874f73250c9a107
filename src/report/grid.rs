//! Cells laid out along one or two axes, with long axes binned.

use super::axes::Axis;
use super::bins::{Bins, Shown, chosen};
use crate::record::{CellRecord, Status};
use crate::stats::median;

/// Positions along one side of a picture; an axis with more values is binned.
pub(super) const MAX_POSITIONS: usize = 256;

/// Throughputs above this, in TFLOP/s, come from a clock that failed and not from a device.
const MOST_TFLOPS: f64 = 1e6;

/// Intervals wider than this share of their median are marked.
const WIDE: f64 = 0.05;

/// What the mark of a wide interval means.
pub(super) const WIDE_TEXT: &str = "interval wider than 5 %";

/// What a place in a picture shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Square {
    /// No cell of the plan lies here.
    Unplanned,
    /// The median of `count` cells, in the scale's unit.
    Value {
        /// The median.
        value: f64,
        /// Cells behind it.
        count: usize,
        /// Width of the 95 % interval as a share of the value: the cell's, or the median of the cells'. `None` where no
        /// cell has an interval.
        width: Option<f64>,
    },
    /// Planned, and without a number: skipped, or too small to have a throughput.
    Skipped,
    /// Tried, and nothing to trust came of it.
    Failed,
}

impl Square {
    /// What a single cell shows, in TFLOP/s. A throughput that no device can have counts as failed; the zero of a problem
    /// without work, such as k = 0, is no number and no failure.
    pub fn of(cell: &CellRecord) -> Square {
        match (cell.status, cell.tflops) {
            (Status::Ok, Some(value)) if value > 0.0 && value <= MOST_TFLOPS => {
                let ns = |ns: Option<u64>| ns.map(|ns| ns as f64);
                let width = relative_width(ns(cell.median_ns), ns(cell.median_lo_ns), ns(cell.median_hi_ns));
                Square::Value { value, count: 1, width }
            }
            (Status::Ok, Some(0.0)) if cell.problem.flop() == 0 => Square::Skipped,
            (Status::Ok, Some(_)) | (Status::Failed, _) => Square::Failed,
            (Status::Ok, None) | (Status::Skipped, _) => Square::Skipped,
        }
    }

    /// Its number, if it has one.
    pub fn value(&self) -> Option<f64> {
        if let Square::Value { value, .. } = self { Some(*value) } else { None }
    }

    /// The same in another unit.
    pub fn times(self, factor: f64) -> Square {
        match self {
            Square::Value { value, count, width } => Square::Value { value: value * factor, count, width },
            gap => gap,
        }
    }

    /// Whether its interval is so wide that the number must be read with care.
    pub fn is_uncertain(&self) -> bool {
        matches!(self, Square::Value { width: Some(width), .. } if *width > WIDE)
    }
}

/// The number of a cell in TFLOP/s, if it has one.
pub(super) fn tflops(cell: &CellRecord) -> Option<f64> {
    Square::of(cell).value()
}

/// Width of an interval as a share of its median; `None` where either is missing or makes no sense.
pub(super) fn relative_width(median: Option<f64>, lo: Option<f64>, hi: Option<f64>) -> Option<f64> {
    let (median, lo, hi) = (median?, lo?, hi?);
    (median > 0.0 && lo <= hi).then(|| (hi - lo) / median).filter(|width| width.is_finite())
}

/// Collects what lies in one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    values: Vec<f64>,
    widths: Vec<f64>,
    count: usize,
    skipped: bool,
    failed: bool,
}

impl Place {
    /// Adds a cell, or a square of several.
    pub fn add(&mut self, square: Square) {
        match square {
            Square::Value { value, count, width } => {
                self.values.push(value);
                self.widths.extend(width);
                self.count += count;
            }
            Square::Failed => self.failed = true,
            Square::Skipped => self.skipped = true,
            Square::Unplanned => {}
        }
    }

    /// What to show: a number if there is one, else the worse of what went wrong.
    pub fn square(self) -> Square {
        match median(&self.values) {
            Some(value) => Square::Value { value, count: self.count, width: median(&self.widths) },
            None if self.failed => Square::Failed,
            None if self.skipped => Square::Skipped,
            None => Square::Unplanned,
        }
    }
}

/// One side of a picture: the axis' values, or bins of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Side {
    /// The axis' label.
    pub label: String,
    /// One name a position: the value, or the first one of its bin.
    pub names: Vec<String>,
    /// The smallest value of each position.
    pub firsts: Vec<u64>,
    /// Values of the axis in a position; 1 unless it is binned.
    pub values_a_bin: usize,
}

impl Side {
    /// Lays an axis out in bins of so many values.
    pub fn of(axis: &Axis, values_a_bin: usize) -> Side {
        let starts = (0..axis.values.len()).step_by(values_a_bin);
        Side {
            label: axis.label.clone(),
            names: starts.clone().map(|i| axis.name(i)).collect(),
            firsts: starts.map(|i| axis.values[i]).collect(),
            values_a_bin,
        }
    }

    /// Positions.
    pub fn len(&self) -> usize {
        self.names.len()
    }
}

/// Lays some of the cells out over two axes with a number of each. Squares come row by row, the first row for the smallest y.
pub(super) fn grid(
    cells: &[&CellRecord],
    (y_axis, x_axis): (&Axis, &Axis),
    bins: &Bins,
    which: Shown,
    shown: impl Fn(&CellRecord) -> Square,
) -> (Side, Side, Vec<Square>) {
    let (y, x) = (Side::of(y_axis, bins.sizes[0]), Side::of(x_axis, bins.sizes[1]));
    let (at, count) = bins.places(&[y_axis, x_axis]);
    let mut places = vec![Place::default(); count];
    chosen(cells, &at, count, which, shown).for_each(|(place, square)| places[place].add(square));
    (y, x, places.into_iter().map(Place::square).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{axes::Axes, fixture};
    use super::*;

    fn laid_out(run: &super::super::Run, most: usize) -> (Side, Side, Vec<Square>) {
        let cells: Vec<&CellRecord> = run.cells.iter().collect();
        let axes = Axes::of(&cells);
        let (y, x) = axes.pairs()[0];
        let bins = Bins::of(&cells, &[y, x], most, Square::of);
        grid(&cells, (y, x), &bins, bins.pictures[0], Square::of)
    }

    #[test]
    fn cells_without_a_number_keep_their_reason() {
        let mut run = fixture::shapes(&[64, 128], &[64, 128, 192], 1024);
        fixture::skip(&mut run.cells[0]);
        fixture::fail(&mut run.cells[1]);
        run.cells.remove(2);
        let (y, x, squares) = laid_out(&run, 256);
        assert_eq!((y.names.join(" "), x.names.join(" ")), ("64 128".into(), "64 128 192".into()));
        assert_eq!(squares[..3], [Square::Skipped, Square::Failed, Square::Unplanned]);
        assert!(matches!(squares[3], Square::Value { count: 1, .. }));
    }

    #[test]
    fn a_number_outweighs_a_failure_in_the_same_place() {
        let mut place = Place::default();
        place.add(Square::Failed);
        place.add(Square::Skipped);
        assert_eq!(place.clone().square(), Square::Failed);
        for (value, width) in [(1.0, Some(0.75)), (5.0, None), (2.0, Some(0.25))] {
            place.add(Square::Value { value, count: 1, width });
        }
        assert_eq!(place.square(), Square::Value { value: 2.0, count: 3, width: Some(0.5) });
    }

    #[test]
    fn absurd_numbers_are_failures() {
        let mut run = fixture::shapes(&[64], &[64, 128], 1024);
        let cell = &mut run.cells[0];
        for absurd in [-1.0, 0.0, f64::NAN, f64::INFINITY, 1.1e6] {
            cell.tflops = Some(absurd);
            assert_eq!(Square::of(cell), Square::Failed, "{absurd}");
            assert_eq!(tflops(cell), None);
        }
        cell.tflops = Some(900.0);
        assert_eq!(tflops(cell), Some(900.0));
        cell.tflops = None;
        assert_eq!(Square::of(cell), Square::Skipped, "too small to have a throughput");
        (cell.problem.k, cell.tflops) = (0, Some(0.0));
        assert_eq!(Square::of(cell), Square::Skipped, "nothing to do");
    }

    #[test]
    fn a_square_is_uncertain_where_its_interval_is_wider_than_5_percent() {
        let mut cell = fixture::shapes(&[64], &[64], 1024).cells.remove(0);
        for (lo, hi, uncertain) in [
            (Some(980), Some(1030), false),
            (Some(980), Some(1031), true),
            (None, Some(2000), false),
            // An interval that is none says nothing.
            (Some(2000), Some(500), false),
        ] {
            (cell.median_ns, cell.median_lo_ns, cell.median_hi_ns) = (Some(1000), lo, hi);
            assert_eq!(Square::of(&cell).is_uncertain(), uncertain, "{lo:?} {hi:?}");
        }
        cell.median_ns = Some(0);
        assert!(!Square::of(&cell).is_uncertain());
    }

    #[test]
    fn long_axes_are_binned_by_median() {
        let values: Vec<u64> = (1..=10).map(|i| 8 * i).collect();
        let mut run = fixture::shapes(&[1, 2], &values, 64);
        for cell in &mut run.cells {
            cell.tflops = Some(cell.problem.n as f64 / 8.0);
        }
        let (_, x, squares) = laid_out(&run, 4);
        assert_eq!((x.values_a_bin, x.firsts), (3, vec![8, 32, 56, 80]));
        let medians: Vec<f64> = squares[..4].iter().map(|s| s.value().unwrap_or(f64::NAN)).collect();
        assert_eq!(medians, [2.0, 5.0, 8.0, 10.0]);
    }

    #[test]
    fn a_bin_shows_cells_of_one_alignment() {
        // Every eighth row of C is aligned and ten times as fast as the others.
        let values: Vec<u64> = (1..=64).collect();
        let mut run = fixture::shapes(&[1, 2], &values, 64);
        for cell in &mut run.cells {
            cell.tflops = Some(if cell.problem.n % 8 == 0 { 100.0 } else { 10.0 });
        }
        let cells: Vec<&CellRecord> = run.cells.iter().collect();
        let axes = Axes::of(&cells);
        let (y, x) = axes.pairs()[0];
        let bins = Bins::of(&cells, &[y, x], 16, Square::of);
        let values = |which| -> Vec<f64> {
            let (_, side, squares) = grid(&cells, (y, x), &bins, which, Square::of);
            assert_eq!(side.values_a_bin, 8);
            squares.iter().filter_map(Square::value).collect()
        };
        assert_eq!(values(Shown::Most), [100.0; 16]);
        assert_eq!(values(Shown::Least), [10.0; 16]);
    }
}
