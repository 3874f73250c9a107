//! Bins of a long axis, and which of a bin's cells a picture shows.
//!
//! The median of a bin that holds aligned and unaligned cells is the number of neither. Such bins are drawn twice: with their most aligned
//! cells, and with their least aligned ones.

use super::axes::Axis;
use super::grid::Square;
use crate::problem::Operand;
use crate::record::CellRecord;

/// Which cells of a bin are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of them.
    All,
    /// Those whose rows are aligned best.
    Most,
    /// Those whose rows are aligned worst.
    Least,
}

impl Shown {
    /// For a title; empty for all.
    pub fn title(self) -> &'static str {
        match self {
            Shown::All => "",
            Shown::Most => ", the most aligned cells of each bin",
            Shown::Least => ", the least aligned cells of each bin",
        }
    }

    /// For a file name.
    pub fn slug(self) -> Option<String> {
        (self == Shown::Least).then(|| "least-aligned".to_owned())
    }

    /// Whether a cell of this class goes before one of another.
    fn prefers(self, class: u64, other: u64) -> bool {
        match self {
            Shown::All => false,
            Shown::Most => class > other,
            Shown::Least => class < other,
        }
    }
}

/// Bytes that divide the address of every row of A, B and C: from 16 up, the widest load, there is no difference.
pub(super) fn row_bytes(cell: &CellRecord) -> u64 {
    Operand::ALL.iter().map(|&o| cell.problem.align_bytes(o)).min().unwrap_or(16).min(16)
}

/// How axes are binned.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bins {
    /// Values in a bin of each axis.
    pub sizes: Vec<usize>,
    /// The pictures to draw: one of all cells, or one each of the most and the least aligned.
    pub pictures: &'static [Shown],
    /// What alignments bins mix, in a sentence; `None` where they do not.
    pub note: Option<String>,
}

impl Bins {
    /// Bins for at most `most` positions of each axis. `shown` says which cells have a number.
    ///
    /// Where alignment comes and goes along an axis, bins are made long enough for each to hold the best of it, if that takes no more than
    /// sixteen times as much.
    pub fn of(cells: &[&CellRecord], axes: &[&Axis], most: usize, shown: impl Fn(&CellRecord) -> Square) -> Bins {
        let classes: Vec<Option<u64>> =
            cells.iter().map(|c| shown(c).value().is_some().then(|| row_bytes(c))).collect();
        let sizes: Vec<usize> = axes.iter().map(|axis| bin_size(axis, &classes, most)).collect();
        let all = Bins { sizes, pictures: &[Shown::All], note: None };
        if all.sizes.iter().all(|&size| size == 1) {
            return all;
        }
        let (at, places) = all.places(axes);
        let mut range: Vec<Option<(u64, u64)>> = vec![None; places];
        for (place, class) in at.iter().zip(&classes) {
            if let Some(class) = *class {
                let (lo, hi) = range[*place].unwrap_or((class, class));
                range[*place] = Some((lo.min(class), hi.max(class)));
            }
        }
        if range.iter().flatten().all(|(lo, hi)| lo == hi) {
            return all;
        }
        let mut found: Vec<u64> = classes.into_iter().flatten().collect();
        found.sort_unstable();
        found.dedup();
        let found: Vec<String> = found.iter().map(u64::to_string).collect();
        let note = format!("Bins mix cells whose rows begin at multiples of {} bytes", found.join(", "));
        Bins { pictures: &[Shown::Most, Shown::Least], note: Some(note), ..all }
    }

    /// The place of every cell, the last axis running fastest, and the number of places.
    pub fn places(&self, axes: &[&Axis]) -> (Vec<usize>, usize) {
        let mut at = vec![0; axes[0].index.len()];
        let mut places = 1;
        for (axis, &size) in axes.iter().zip(&self.sizes) {
            let positions = axis.values.len().div_ceil(size);
            at.iter_mut().zip(&axis.index).for_each(|(at, index)| *at = *at * positions + index / size);
            places *= positions;
        }
        (at, places)
    }
}

/// The cells that a picture shows, with their places, and what they show. A cell without a number belongs to every picture.
pub(super) fn chosen<'a>(
    cells: &'a [&'a CellRecord],
    at: &'a [usize],
    places: usize,
    which: Shown,
    shown: impl Fn(&CellRecord) -> Square + 'a,
) -> impl Iterator<Item = (usize, Square)> + 'a {
    let mut best: Vec<Option<u64>> = vec![None; places];
    if which != Shown::All {
        for (cell, &place) in cells.iter().zip(at).filter(|(cell, _)| shown(cell).value().is_some()) {
            let class = row_bytes(cell);
            if best[place].is_none_or(|other| which.prefers(class, other)) {
                best[place] = Some(class);
            }
        }
    }
    cells.iter().zip(at).filter_map(move |(cell, &place)| {
        let square = shown(cell);
        let left_out = which != Shown::All
            && square.value().is_some()
            && best[place].is_some_and(|class| class != row_bytes(cell));
        (!left_out).then_some((place, square))
    })
}

fn bin_size(axis: &Axis, classes: &[Option<u64>], most: usize) -> usize {
    let least = axis.values.len().div_ceil(most);
    if least == 1 {
        return 1;
    }
    let mut best = vec![0; axis.values.len()];
    for (&position, class) in axis.index.iter().zip(classes) {
        best[position] = best[position].max(class.unwrap_or(0));
    }
    let top = best.iter().copied().max().unwrap_or(0);
    // The last bin may be cut off.
    let holds = |size: &usize| best.chunks_exact(*size).all(|bin| bin.contains(&top));
    (least..=16 * least).find(holds).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::super::axes::Axes;
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_bin_is_long_enough_to_hold_an_aligned_cell() {
        let values: Vec<u64> = (4001..4501).collect();
        let run = fixture::shapes(&[1, 2, 3], &values, 64);
        let cells: Vec<&CellRecord> = run.cells.iter().collect();
        let axes = Axes::of(&cells);
        let (y, x) = axes.pairs()[0];
        let bins = Bins::of(&cells, &[y, x], 256, Square::of);
        // 500 values in bins of two would leave three bins of four without a multiple of eight.
        assert_eq!((bins.sizes.clone(), bins.pictures.len()), (vec![1, 8], 2));
        assert_eq!(bins.note.as_deref(), Some("Bins mix cells whose rows begin at multiples of 2, 4, 8, 16 bytes"));
        let (at, places) = bins.places(&[y, x]);
        for which in [Shown::Most, Shown::Least] {
            let shown: Vec<(usize, Square)> = chosen(&cells, &at, places, which, Square::of).collect();
            assert!(!shown.is_empty() && shown.len() < cells.len());
        }
        // Multiples of eight alone are all of one class, and so are rows that nothing varies along.
        let even: Vec<u64> = (500..1000).map(|i| 8 * i).collect();
        for (m, n) in [(vec![1, 2, 3], even), (values, vec![64, 128])] {
            let run = fixture::shapes(&m, &n, 64);
            let cells: Vec<&CellRecord> = run.cells.iter().collect();
            let axes = Axes::of(&cells);
            let (y, x) = axes.pairs()[0];
            assert_eq!(Bins::of(&cells, &[y, x], 256, Square::of).pictures, [Shown::All]);
        }
    }

    #[test]
    fn a_short_axis_is_never_binned() {
        let run = fixture::shapes(&[1, 2], &[63, 64, 65], 64);
        let cells: Vec<&CellRecord> = run.cells.iter().collect();
        let axes = Axes::of(&cells);
        let (y, x) = axes.pairs()[0];
        let bins = Bins::of(&cells, &[y, x], 256, Square::of);
        assert_eq!(bins, Bins { sizes: vec![1, 1], pictures: &[Shown::All], note: None });
    }
}
