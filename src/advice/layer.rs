//! A layer of a list, how it is written, and the GEMMs of its training step.

use crate::problem::{DType, Layout, MAX_SIZE, Problem};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use std::fmt;

/// A layer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub enum Layer {
    /// Y = X · Wᵀ, with W stored as outputs by inputs, and X and Y by rows.
    Linear {
        /// What it is called.
        name: String,
        /// How many layers of this shape there are.
        count: u64,
        /// Inputs.
        inputs: u64,
        /// Outputs.
        outputs: u64,
        /// Rows that one item of the batch makes: tokens of a sequence.
        rows: u64,
    },
    /// A convolution with stride 1 and the same size in and out, channels last, as a GEMM of gathered rows.
    Conv {
        /// What it is called.
        name: String,
        /// How many layers of this shape there are.
        count: u64,
        /// Channels in.
        inputs: u64,
        /// Channels out.
        outputs: u64,
        /// Height and width of the output.
        size: [u64; 2],
        /// Height and width of the kernel.
        kernel: [u64; 2],
    },
    /// One GEMM as it stands, with no backward pass of its own.
    Gemm {
        /// What it is called.
        name: String,
        /// How many of them there are in each item of the batch, or, with `batched`, in all.
        count: u64,
        /// Rows of C; one item of the batch has this many.
        m: u64,
        /// Columns of C.
        n: u64,
        /// Depth.
        k: u64,
    },
}

/// A layer as it is written: every field of every kind. Read so, an error points at the very value, which it could not do where the kind
/// decides what is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: Kind,
    name: String,
    count: Option<Count>,
    inputs: Option<Count>,
    outputs: Option<Count>,
    rows: Option<Count>,
    size: Option<[Count; 2]>,
    kernel: Option<[Count; 2]>,
    m: Option<Count>,
    n: Option<Count>,
    k: Option<Count>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Linear,
    Conv,
    Gemm,
}

impl Kind {
    /// What it is called, what it must have and what it may have besides a name.
    fn fields(self) -> (&'static str, &'static [&'static str], &'static [&'static str]) {
        match self {
            Kind::Linear => ("linear", &["inputs", "outputs"], &["rows", "count"]),
            Kind::Conv => ("conv", &["inputs", "outputs", "size", "kernel"], &["count"]),
            Kind::Gemm => ("gemm", &["m", "n", "k"], &["count"]),
        }
    }
}

/// A count of anything, which says what it wants where it is given something else.
#[derive(Debug, Clone, Copy)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wanted;
        impl Visitor<'_> for Wanted {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {MAX_SIZE}")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Count, E> {
                let fits = (1..=MAX_SIZE).contains(&value);
                fits.then_some(Count(value)).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Count, E> {
                match u64::try_from(value) {
                    Ok(value) => self.visit_u64(value),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
                }
            }
        }
        deserializer.deserialize_u64(Wanted)
    }
}

/// Reads one such number.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Count::deserialize(deserializer).map(|c| c.0)
}

impl TryFrom<Written> for Layer {
    type Error = String;

    fn try_from(w: Written) -> Result<Self, String> {
        let (kind, needed, other) = w.kind.fields();
        let given: [(&str, Option<[Count; 2]>); 8] = [
            ("inputs", w.inputs.map(|c| [c; 2])),
            ("outputs", w.outputs.map(|c| [c; 2])),
            ("rows", w.rows.map(|c| [c; 2])),
            ("size", w.size),
            ("kernel", w.kernel),
            ("m", w.m.map(|c| [c; 2])),
            ("n", w.n.map(|c| [c; 2])),
            ("k", w.k.map(|c| [c; 2])),
        ];
        let is_given = |field: &str| given.iter().any(|(name, value)| *name == field && value.is_some());
        if let Some(missing) = needed.iter().find(|field| !is_given(field)) {
            return Err(format!("layer {:?} lacks {missing}; a {kind} layer needs {}", w.name, needed.join(", ")));
        }
        let foreign = given.iter().find(|(name, value)| value.is_some() && ![needed, other].concat().contains(name));
        if let Some((field, _)) = foreign {
            let all = [needed, other].concat().join(", ");
            return Err(format!("layer {:?} has {field}, and a {kind} layer has no such field but {all}", w.name));
        }
        // What is needed is there by now, and what is not given has one.
        let of = |field: &str| {
            let value = given.iter().find(|(name, _)| *name == field).and_then(|(_, value)| *value);
            value.map_or([1; 2], |pair| pair.map(|c| c.0))
        };
        let (name, count, one) = (w.name, w.count.map_or(1, |c| c.0), |field: &str| of(field)[0]);
        Ok(match w.kind {
            Kind::Linear => {
                Layer::Linear { name, count, inputs: one("inputs"), outputs: one("outputs"), rows: one("rows") }
            }
            Kind::Conv => Layer::Conv {
                name,
                count,
                inputs: one("inputs"),
                outputs: one("outputs"),
                size: of("size"),
                kernel: of("kernel"),
            },
            Kind::Gemm => Layer::Gemm { name, count, m: one("m"), n: one("n"), k: one("k") },
        })
    }
}

/// A GEMM of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// `forward`, `dgrad` or `wgrad`.
    pub name: &'static str,
    /// The GEMM.
    pub problem: Problem,
}

impl Layer {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Layer::Linear { name, .. } | Layer::Conv { name, .. } | Layer::Gemm { name, .. } => name,
        }
    }

    /// How many there are of it.
    pub fn count(&self) -> u64 {
        match self {
            Layer::Linear { count, .. } | Layer::Conv { count, .. } | Layer::Gemm { count, .. } => *count,
        }
    }

    /// Rows of the forward GEMM for one item of the batch.
    pub fn rows(&self) -> u64 {
        match self {
            Layer::Linear { rows, .. } => *rows,
            Layer::Conv { size, .. } => size[0].saturating_mul(size[1]),
            Layer::Gemm { m, .. } => *m,
        }
    }

    /// Its GEMMs at a batch: forward, and with `train` the gradients of the inputs and of the weights.
    ///
    /// Activations are stored by rows, so that the batch is contiguous in none of them (DR-01 of the catalogue).
    pub fn passes(&self, batch: u64, train: bool, dtype: DType) -> Vec<Pass> {
        let rows = batch.saturating_mul(self.rows());
        let form = |name, layout, m, n, k| Pass { name, problem: Problem::new(m, n, k).in_form(layout, dtype) };
        let mut passes = match *self {
            Layer::Linear { inputs, outputs, .. } => vec![
                form("forward", Layout::Nt, rows, outputs, inputs),
                form("dgrad", Layout::Nn, rows, inputs, outputs),
                form("wgrad", Layout::Tn, outputs, inputs, rows),
            ],
            Layer::Conv { inputs, outputs, kernel, .. } => {
                let taps = kernel[0].saturating_mul(kernel[1]);
                let (deep_in, deep_out) = (inputs.saturating_mul(taps), outputs.saturating_mul(taps));
                let mut passes = vec![
                    form("forward", Layout::Nt, rows, outputs, deep_in),
                    form("dgrad", Layout::Nn, rows, inputs, deep_out),
                    form("wgrad", Layout::Tn, outputs, deep_in, rows),
                ];
                // Rows are gathered from runs of one pixel's channels, which are aligned as the channels are.
                passes[0].problem.lda = as_aligned(passes[0].problem.lda, inputs);
                passes[1].problem.lda = as_aligned(passes[1].problem.lda, outputs);
                passes[2].problem.ldb = as_aligned(passes[2].problem.ldb, inputs);
                passes
            }
            Layer::Gemm { n, k, .. } => vec![form("forward", Layout::Nn, rows, n, k)],
        };
        passes.truncate(if train { 3 } else { 1 });
        passes
    }
}

/// `ld`, or the next above it that is no better aligned than `channels`.
fn as_aligned(ld: u64, channels: u64) -> u64 {
    let of = |n: u64| n & n.wrapping_neg();
    if of(ld) <= of(channels) { ld } else { ld + of(channels) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::Network;

    #[test]
    fn gathered_rows_are_aligned_as_the_channels_are() {
        for (channels, taps) in [(3u64, 16u64), (17, 9), (64, 9), (20, 4)] {
            let ld = as_aligned(channels * taps, channels);
            assert!(ld >= channels * taps);
            assert_eq!(ld.trailing_zeros().min(channels.trailing_zeros()), ld.trailing_zeros(), "{channels} {taps}");
        }
    }

    #[test]
    fn an_error_points_at_the_very_value_and_says_what_it_may_be() {
        let error = |fields: &str| {
            let text = format!("name = 'x'\nbatch = 1\n[[layer]]\nname = 'a'\n{fields}");
            Network::parse(&text).unwrap_err().to_string()
        };
        for (fields, line, says) in [
            ("kind = 'linear'\ninputs = 64.5\noutputs = 8", 6, "a whole number from 1 to 2147483647"),
            ("kind = 'linear'\ninputs = 8\noutputs = -8", 7, "integer `-8`, expected a whole number"),
            ("kind = 'linear'\ninputs = 8\noutputs = 0", 7, "integer `0`, expected a whole number from 1"),
            ("kind = 'linear'\ninputs = 2147483648\noutputs = 8", 6, "integer `2147483648`, expected a whole number"),
            ("kind = 'conv'\ninputs = 8\noutputs = 8\nsize = [0, 19]\nkernel = [3, 3]", 8, "integer `0`"),
            ("kind = 'linear'\ninputs = 'many'\noutputs = 8", 6, "\"many\""),
            ("kind = 'linear'\ninputs = 8\noutputs = 8\nbananas = 3", 8, "bananas"),
            ("kind = 'lstm'\ninputs = 8", 5, "`linear`, `conv`, `gemm`"),
            ("kind = 'conv'\ninputs = 8\noutputs = 8\nsize = [19]\nkernel = [3, 3]", 8, "length 2"),
            ("kind = 'linear'\ninputs = 8", 3, "layer \"a\" lacks outputs; a linear layer needs inputs, outputs"),
            (
                "kind = 'gemm'\nm = 8\nn = 8\nk = 8\nrows = 2",
                3,
                "layer \"a\" has rows, and a gemm layer has no such field",
            ),
        ] {
            let why = error(fields);
            assert!(why.contains(&format!("at line {line}")) && why.contains(says), "{fields}: {why}");
        }
        let batch = Network::parse("name = 'x'\nbatch = -4\nlayer = []").unwrap_err().to_string();
        assert!(batch.contains("line 2") && batch.contains("`-4`, expected a whole number"), "{batch}");
    }
}
