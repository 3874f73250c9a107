//! Which cells a page shows where there are too many of them.
//!
//! Whole lines of the maps are left out, never single squares, and nothing is averaged: of the axis with the most values a share
//! is kept, at least half of them, again and again. Every second value would keep only even sizes; positions are therefore
//! drawn by the golden ratio, which treats all residues alike.

use super::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// An axis with fewer values than this is left whole; then cells are drawn one by one.
const FEW_VALUES: usize = 8;

/// Whether position `i` is among the kept share, for round `round`.
fn kept(i: usize, round: usize, share: f64) -> bool {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    ((i + 1) as f64 * GOLDEN + 0.27 * round as f64).fract() < share
}

/// Leaves at most `most` of the cells, in their order.
pub(super) fn thin(cells: &mut Vec<&Cell>, most: usize) {
    if cells.len() <= most {
        return;
    }
    // Each part by itself, since a round is about one, and there may be hundreds; a cell keeps its place.
    let mut parts: BTreeMap<u32, Vec<(usize, &Cell)>> = BTreeMap::new();
    for (place, cell) in cells.drain(..).enumerate() {
        parts.entry(cell.part).or_default().push((place, cell));
    }
    let mut left: usize = parts.values().map(Vec::len).sum();
    let mut round = 0;
    while left > most {
        round += 1;
        let share = (0.98 * most as f64 / left as f64).max(0.5);
        let (_, largest) = parts.iter_mut().max_by_key(|(part, of)| (of.len(), **part)).expect("there are cells");
        let before = largest.len();
        halve(largest, round, share);
        left -= before - largest.len();
        if largest.len() == before {
            break;
        }
    }
    let mut kept: Vec<(usize, &Cell)> = parts.into_values().flatten().collect();
    kept.sort_unstable_by_key(|(place, _)| *place);
    kept.truncate(most);
    cells.extend(kept.into_iter().map(|(_, cell)| cell));
}

/// Leaves about this share of a part's cells: whole lines where an axis has enough of them, else single cells.
fn halve(cells: &mut Vec<(usize, &Cell)>, round: usize, share: f64) {
    let values = |axis: usize| -> BTreeSet<u64> { cells.iter().map(|(_, c)| c.shape[axis]).collect() };
    let (axis, values) =
        (0..9).map(|axis| (axis, values(axis))).max_by_key(|(axis, v)| (v.len(), 9 - axis)).expect("nine axes");
    let before = cells.len();
    if values.len() >= FEW_VALUES {
        let last = values.len() - 1;
        let dropped: HashSet<u64> = values
            .into_iter()
            .enumerate()
            .filter(|&(i, _)| i != 0 && i != last && !kept(i, round, share))
            .map(|(_, v)| v)
            .collect();
        cells.retain(|(_, c)| !dropped.contains(&c.shape[axis]));
    }
    if cells.len() == before {
        let mut i = 0;
        cells.retain(|_| {
            i += 1;
            kept(i, round, share)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Strings;
    use super::*;
    use std::collections::BTreeMap;

    fn cells(shapes: impl Iterator<Item = (u64, u64)>) -> Vec<Cell> {
        let mut strings = Strings::default();
        let text = |(m, n)| format!(r#"{{"m": {m}, "n": {n}, "k": 64, "status": "ok", "tflops": 1}}"#);
        shapes.map(|s| Cell::of(serde_json::from_str(&text(s)).unwrap(), false, &mut strings).unwrap().0).collect()
    }

    #[test]
    fn a_thinned_map_is_whole_lines_with_every_residue() {
        let all = cells((1..=300).flat_map(|m| (1..=20).map(move |n| (m, n))));
        let mut few: Vec<&Cell> = all.iter().collect();
        thin(&mut few, 1500);
        assert!(few.len() <= 1500 && few.len() > 400, "{}", few.len());
        let mut lines: BTreeMap<u64, usize> = BTreeMap::new();
        few.iter().for_each(|c| *lines.entry(c.shape[0]).or_default() += 1);
        assert!(lines.values().all(|&n| n == 20), "lines are whole");
        assert!(lines.contains_key(&1) && lines.contains_key(&300), "the ends stay");
        let even = lines.keys().filter(|m| *m % 2 == 0).count() as f64 / lines.len() as f64;
        assert!((0.3..0.7).contains(&even), "{even} of the sizes are even");
    }

    #[test]
    fn cells_that_are_all_alike_are_thinned_too() {
        let all = cells(std::iter::repeat_n((64, 64), 1000));
        for most in [0, 7, 500, 1000] {
            let mut few: Vec<&Cell> = all.iter().collect();
            thin(&mut few, most);
            assert!(few.len() <= most && few.len() * 4 >= most);
        }
    }
}
