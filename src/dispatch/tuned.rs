//! What was measured for problems of a form, on one device: it goes before the model's opinion.

use crate::problem::{DType, Layout, Operand, Problem};
use serde::{Deserialize, Serialize};

/// Most forms that are kept; beyond it the oldest are forgotten.
pub const MAX_ENTRIES: usize = 4096;

/// What problems must have in common to be run alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Rows of C.
    pub m: u64,
    /// Columns of C.
    pub n: u64,
    /// Depth.
    pub k: u64,
    /// How A and B are stored.
    pub layout: Layout,
    /// Element types.
    pub dtype: DType,
    /// What the rows of A, B and C begin at a multiple of, in bytes: a power of two, 16 where it is more.
    pub align_bytes: [u64; 3],
    /// Whether C is read.
    pub reads_c: bool,
}

impl Form {
    /// The form of a problem.
    pub fn of(problem: &Problem) -> Self {
        Form {
            m: problem.m,
            n: problem.n,
            k: problem.k,
            layout: problem.layout,
            dtype: problem.dtype,
            align_bytes: Operand::ALL.map(|o| problem.align_bytes(o).min(16)),
            reads_c: problem.beta != 0.0,
        }
    }
}

/// What measuring came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was the fastest every time, and beyond noise faster than the model's choice.
    Faster,
    /// It is the model's choice, and nothing was faster than it beyond noise.
    Confirmed,
}

/// What to run for a form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The form.
    pub form: Form,
    /// The kernel.
    pub kernel: String,
    /// Its variant.
    pub variant: String,
    /// Why it.
    pub outcome: Outcome,
    /// Its median time, in nanoseconds.
    pub median_ns: f64,
    /// `KERNEL/VARIANT` that the model chose.
    pub model: String,
    /// Its median time, in nanoseconds.
    pub model_ns: f64,
    /// When it was measured: RFC 3339, UTC.
    pub measured: String,
}

/// All that was measured on a device, each form once, the oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tuned {
    entries: Vec<Entry>,
}

impl Tuned {
    /// What to run for a problem, if its form was measured.
    pub fn find(&self, problem: &Problem) -> Option<&Entry> {
        let form = Form::of(problem);
        self.entries.iter().rev().find(|e| e.form == form)
    }

    /// Adds an entry in place of an older one of its form; the oldest of more than [`MAX_ENTRIES`] goes.
    pub fn insert(&mut self, entry: Entry) {
        self.entries.retain(|e| e.form != entry.form);
        self.entries.push(entry);
        let surplus = self.entries.len().saturating_sub(MAX_ENTRIES);
        self.entries.drain(..surplus);
    }

    /// The entries, the oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

#[cfg(test)]
pub(crate) fn entry(problem: &Problem, kernel: &str, variant: &str) -> Entry {
    Entry {
        form: Form::of(problem),
        kernel: kernel.to_owned(),
        variant: variant.to_owned(),
        outcome: Outcome::Faster,
        median_ns: 90.0,
        model: "m/v".to_owned(),
        model_ns: 100.0,
        measured: "2026-01-02T03:04:05Z".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_sizes_types_and_alignment_and_not_the_very_addresses() {
        let p = Problem::new(100, 104, 96);
        let same = |change: fn(&mut Problem)| {
            let mut other = p;
            change(&mut other);
            Form::of(&other) == Form::of(&p)
        };
        assert!(same(|p| p.lda = 128) && same(|p| p.offset_b = 8) && same(|p| p.alpha = 2.0));
        assert!(!same(|p| p.lda = 97) && !same(|p| p.offset_c = 1) && !same(|p| p.beta = 1.0) && !same(|p| p.m = 99));
        assert!(!same(|p| p.layout = Layout::Tn) && !same(|p| p.dtype = DType::Bf16));
    }

    #[test]
    fn each_form_is_held_once_and_the_oldest_goes() {
        let mut tuned = Tuned::default();
        let problem = |m| Problem::new(m, 8, 8);
        for m in 1..=MAX_ENTRIES as u64 {
            tuned.insert(entry(&problem(m), "k", "old"));
        }
        tuned.insert(entry(&problem(1), "k", "new"));
        assert_eq!(tuned.entries().len(), MAX_ENTRIES);
        assert_eq!(tuned.find(&problem(1)).unwrap().variant, "new");
        tuned.insert(entry(&problem(1 << 20), "k", "more"));
        assert_eq!((tuned.entries().len(), tuned.find(&problem(2))), (MAX_ENTRIES, None));
    }
}
