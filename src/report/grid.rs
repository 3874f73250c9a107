//! Cells laid out along one or two axes, with long axes binned.

use super::axes::Axis;
use super::median;
use crate::record::{CellRecord, Status};

/// Positions along one side of a picture; an axis with more values is binned.
pub(super) const MAX_POSITIONS: usize = 256;

/// What a place in a heatmap shows.
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
    },
    /// Planned, and without a number: skipped, or too small to have a throughput.
    Skipped,
    /// Tried, and nothing to trust came of it.
    Failed,
}

/// Collects the cells of one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    values: Vec<f64>,
    skipped: bool,
    failed: bool,
}

impl Place {
    /// Adds a cell with its value, if it has one.
    pub fn add(&mut self, status: Status, value: Option<f64>) {
        match (status, value) {
            (Status::Ok, Some(value)) => self.values.push(value),
            (Status::Failed, _) => self.failed = true,
            _ => self.skipped = true,
        }
    }

    /// What to show: a number if there is one, else the worse of what went wrong.
    pub fn square(self) -> Square {
        let count = self.values.len();
        match median(self.values) {
            Some(value) => Square::Value { value, count },
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
    /// Lays an axis out in at most `most` positions.
    pub fn of(axis: &Axis, most: usize) -> Side {
        let values_a_bin = axis.values.len().div_ceil(most);
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

/// Lays cells out over two axes. Squares come row by row, the first row for the smallest y.
pub(super) fn grid(
    cells: &[&CellRecord],
    (y_axis, x_axis): (&Axis, &Axis),
    most: usize,
    factor: f64,
) -> (Side, Side, Vec<Square>) {
    let (y, x) = (Side::of(y_axis, most), Side::of(x_axis, most));
    let mut places = vec![Place::default(); x.len() * y.len()];
    for (i, cell) in cells.iter().enumerate() {
        let place = y_axis.index[i] / y.values_a_bin * x.len() + x_axis.index[i] / x.values_a_bin;
        places[place].add(cell.status, cell.tflops.map(|t| t * factor));
    }
    (y, x, places.into_iter().map(Place::square).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{axes::Axes, fixture};
    use super::*;

    fn laid_out(run: &super::super::Run, most: usize) -> (Side, Side, Vec<Square>) {
        let cells: Vec<&CellRecord> = run.cells.iter().collect();
        let axes = Axes::of(&cells);
        grid(&cells, axes.pairs()[0], most, 1.0)
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
        place.add(Status::Failed, None);
        place.add(Status::Skipped, None);
        assert_eq!(place.clone().square(), Square::Failed);
        for v in [1.0, 5.0, 2.0] {
            place.add(Status::Ok, Some(v));
        }
        assert_eq!(place.square(), Square::Value { value: 2.0, count: 3 });
    }

    #[test]
    fn long_axes_are_binned_by_median() {
        let values: Vec<u64> = (1..=10).collect();
        let mut run = fixture::shapes(&[1, 2], &values, 64);
        for cell in &mut run.cells {
            cell.tflops = Some(cell.problem.n as f64);
        }
        let (_, x, squares) = laid_out(&run, 4);
        assert_eq!((x.values_a_bin, x.firsts), (3, vec![1, 4, 7, 10]));
        let medians: Vec<f64> =
            squares[..4].iter().map(|s| if let Square::Value { value, .. } = s { *value } else { f64::NAN }).collect();
        assert_eq!(medians, [2.0, 5.0, 8.0, 10.0]);
    }
}
