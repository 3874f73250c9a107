//! Which parameters of a set of cells vary, which of them vary together, and which pairs make a picture.

use crate::problem::{Operand, Problem, stride_class};
use crate::record::CellRecord;
use std::collections::BTreeSet;

/// The class that every better aligned stride is counted with, in elements.
pub(super) const TOP_CLASS: u64 = 256;

/// More pairs than this, and only those are drawn that were swept as a product.
const MANY_PAIRS: usize = 6;

/// One direction of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// For file names: the parameter's name, or several joined by `_` where they are tied.
    pub slug: String,
    /// For people.
    pub label: String,
    /// The values, ascending.
    pub values: Vec<u64>,
    /// For each cell, the position of its value.
    pub index: Vec<usize>,
}

impl Axis {
    /// A value as text.
    pub fn name(&self, position: usize) -> String {
        self.values[position].to_string()
    }

    /// Whether each of this axis' values comes with only one of the other's.
    pub fn determines(&self, other: &Axis) -> bool {
        let mut seen = vec![None; self.values.len()];
        self.index.iter().zip(&other.index).all(|(&mine, &theirs)| *seen[mine].get_or_insert(theirs) == theirs)
    }

    /// Combinations of values that occur.
    fn combinations(&self, other: &Axis) -> usize {
        let mut both: Vec<_> = self.index.iter().zip(&other.index).collect();
        both.sort_unstable();
        both.dedup();
        both.len()
    }
}

/// The largest power of two that divides a stride, [`TOP_CLASS`] standing for all from there up.
pub(super) fn class(ld: u64) -> u64 {
    stride_class(ld).min(TOP_CLASS)
}

/// A class as text.
pub(super) fn class_name(class: u64) -> String {
    if class >= TOP_CLASS { format!("≥{TOP_CLASS}") } else { class.to_string() }
}

/// Elements of a stored row that hold no value.
fn padding_of(problem: &Problem, operand: Operand) -> u64 {
    let p = problem.placement(operand);
    p.ld.saturating_sub(p.cols)
}

/// The axes of a set of cells.
pub(super) struct Axes {
    /// Those with at least two values, tied ones taken together, in the order m, n, k, ld, offsets.
    pub varying: Vec<Axis>,
}

impl Axes {
    /// Finds them.
    pub fn of(cells: &[&CellRecord]) -> Axes {
        let varies = |size: fn(&Problem) -> u64| cells.iter().any(|c| size(&c.problem) != size(&cells[0].problem));
        type Parameter = (&'static str, &'static str, fn(&Problem) -> u64);
        // Cells of one picture share a layout, and with it what a stored row is long.
        let layout = cells[0].problem.layout;
        type Row = (&'static str, fn(&Problem) -> u64);
        let row_of_a: Row = if layout.transposes(Operand::A) { ("lda - m", |p| p.m) } else { ("lda - k", |p| p.k) };
        let row_of_b: Row = if layout.transposes(Operand::B) { ("ldb - k", |p| p.k) } else { ("ldb - n", |p| p.n) };
        // A leading dimension that follows a varying size says nothing of its own: its padding does.
        let ld: [Parameter; 3] = [
            if varies(row_of_a.1) {
                ("lda", row_of_a.0, |p| padding_of(p, Operand::A))
            } else {
                ("lda", "lda", |p| p.lda)
            },
            if varies(row_of_b.1) {
                ("ldb", row_of_b.0, |p| padding_of(p, Operand::B))
            } else {
                ("ldb", "ldb", |p| p.ldb)
            },
            if varies(|p| p.n) { ("ldc", "ldc - n", |p| padding_of(p, Operand::C)) } else { ("ldc", "ldc", |p| p.ldc) },
        ];
        let plain: [Parameter; 6] = [
            ("m", "m", |p| p.m),
            ("n", "n", |p| p.n),
            ("k", "k", |p| p.k),
            ("offset_a", "offset of A", |p| p.offset_a),
            ("offset_b", "offset of B", |p| p.offset_b),
            ("offset_c", "offset of C", |p| p.offset_c),
        ];
        let mut varying: Vec<(Axis, Vec<Axis>)> = Vec::new();
        for (slug, label, value) in plain[..3].iter().chain(&ld).chain(&plain[3..]).copied() {
            let axis = axis(cells, slug, label, value);
            if axis.values.len() < 2 {
                continue;
            }
            match varying.iter_mut().find(|(first, _)| first.determines(&axis) && axis.determines(first)) {
                Some((_, tied)) => tied.push(axis),
                None => varying.push((axis, Vec::new())),
            }
        }
        Axes { varying: varying.into_iter().map(|(first, tied)| join(first, &tied)).collect() }
    }

    /// The axis for a set in which nothing varies.
    pub fn fallback(cells: &[&CellRecord]) -> Axis {
        axis(cells, "m", "m", |p| p.m)
    }

    /// The pairs worth a heatmap, as (earlier, later).
    pub fn pairs(&self) -> Vec<(&Axis, &Axis)> {
        let mut pairs = Vec::new();
        for (i, y) in self.varying.iter().enumerate() {
            for x in &self.varying[i + 1..] {
                if !x.determines(y) && !y.determines(x) {
                    pairs.push((y, x, x.combinations(y)));
                }
            }
        }
        if pairs.len() > MANY_PAIRS {
            pairs.retain(|(y, x, combinations)| 2 * combinations >= x.values.len() * y.values.len());
        }
        pairs.into_iter().map(|(y, x, _)| (y, x)).collect()
    }

    /// The axes that no other one determines: those worth a line each where there is no pair.
    pub fn free(&self) -> Vec<&Axis> {
        let determined = |axis: &Axis| self.varying.iter().any(|other| other != axis && other.determines(axis));
        self.varying.iter().filter(|axis| !determined(axis)).collect()
    }
}

fn axis(cells: &[&CellRecord], slug: &str, label: &str, value: impl Fn(&Problem) -> u64) -> Axis {
    let values: Vec<u64> = cells.iter().map(|c| value(&c.problem)).collect::<BTreeSet<_>>().into_iter().collect();
    let index = match values.len() {
        1 => vec![0; cells.len()],
        _ => cells
            .iter()
            .map(|c| values.binary_search(&value(&c.problem)).expect("the values come from these cells"))
            .collect(),
    };
    Axis { slug: slug.to_owned(), label: label.to_owned(), values, index }
}

/// One axis for several that move together: `m = n` where their values agree, else `m (n with it)`.
fn join(mut first: Axis, tied: &[Axis]) -> Axis {
    let (same, other): (Vec<&Axis>, Vec<&Axis>) =
        tied.iter().partition(|t| t.values == first.values && t.index == first.index);
    for axis in tied {
        first.slug = format!("{}_{}", first.slug, axis.slug);
    }
    for axis in same {
        let label = &axis.label;
        first.label = format!("{} = {label}", first.label);
    }
    if !other.is_empty() {
        let others: Vec<&str> = other.iter().map(|a| a.label.as_str()).collect();
        first.label = format!("{} ({} with it)", first.label, others.join(", "));
    }
    first
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn of(problems: &[Problem]) -> Axes {
        let run = fixture::run(problems.iter().map(|&p| fixture::cell(p, 100.0)).collect());
        Axes::of(&run.cells.iter().collect::<Vec<_>>())
    }

    fn labels(axes: &Axes) -> Vec<&str> {
        axes.varying.iter().map(|a| a.label.as_str()).collect()
    }

    fn pairs(axes: &Axes) -> Vec<(&str, &str)> {
        axes.pairs().into_iter().map(|(y, x)| (y.slug.as_str(), x.slug.as_str())).collect()
    }

    #[test]
    fn equal_sizes_are_one_axis() {
        let axes = of(&[256, 512, 768].map(|s| Problem::new(s, s, 1024)));
        assert_eq!(labels(&axes), ["m = n"]);
        assert_eq!(axes.varying[0].slug, "m_n");
        assert!(axes.pairs().is_empty());
        assert_eq!(axes.free().len(), 1);
    }

    #[test]
    fn sizes_that_move_together_without_being_equal_say_so() {
        let axes = of(&[256, 512, 768].map(|s| Problem::new(s, 2 * s, 1024)));
        assert_eq!(labels(&axes), ["m (n with it)"]);
    }

    #[test]
    fn a_padded_stride_is_an_axis_of_padding_only_beside_a_varying_size() {
        let mut problems = Vec::new();
        for n in [512, 1024] {
            for pad in [0, 1, 8] {
                let mut p = Problem::new(64, n, 256);
                (p.ldb, p.ldc) = (n + pad, n + pad);
                problems.push(p);
            }
        }
        let axes = of(&problems);
        assert_eq!(labels(&axes)[..2], ["n", "ldb - n = ldc - n"]);
        assert_eq!(axes.varying[1].values, [0, 1, 8]);
        assert_eq!(pairs(&axes), [("n", "ldb_ldc")]);
        let fixed = of(&problems[..3]);
        assert_eq!(labels(&fixed), ["ldb = ldc"]);
        assert_eq!(fixed.varying[0].values, [512, 513, 520]);
    }

    #[test]
    fn many_axes_keep_only_the_pairs_swept_as_a_product() {
        let mut problems = Vec::new();
        for m in [32, 64] {
            for n in [1024, 2048] {
                problems.push(Problem::new(m, n, 512));
            }
        }
        // One parameter at a time: a star, not a product.
        for step in 1..6 {
            for which in 0..5 {
                let mut p = Problem::new(32, 1024, 512);
                match which {
                    0 => p.offset_a = step,
                    1 => p.offset_b = step,
                    2 => p.offset_c = step,
                    3 => p.lda += 256 * step,
                    _ => p.ldb += 256 * step,
                }
                problems.push(p);
            }
        }
        let axes = of(&problems);
        assert!(axes.varying.len() >= 6, "{:?}", labels(&axes));
        let pairs = pairs(&axes);
        assert!(pairs.contains(&("m", "n")), "{pairs:?}");
        assert!(!pairs.contains(&("offset_a", "offset_b")), "{pairs:?}");
    }

    #[test]
    fn classes_are_capped() {
        assert_eq!([4097, 4098, 4104, 4224, 4352, 8192].map(class), [1, 2, 8, 128, 256, 256]);
        assert_eq!(class_name(128), "128");
        assert_eq!(class_name(256), "≥256");
    }
}
