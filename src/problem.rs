//! A GEMM to run: C = alpha·A·B + beta·C with every size, leading dimension and base offset spelled out.
//!
//! Sizes and leading dimensions are counted in elements. All matrices are stored row by row. A is m × k and B is k × n, or
//! stored transposed where the [`Layout`] says so; C is m × n. A leading dimension (ld) is the distance from one stored row to
//! the next, so `ld > columns` leaves padding.

use crate::scalar::Scalar;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The largest m, n or k that a kernel can index.
pub const MAX_SIZE: u64 = (1 << 31) - 1;

/// Base addresses of operands are aligned at least this well, in bytes, before the offset is applied.
pub const BASE_ALIGN_BYTES: u64 = 4096;

/// Element type of A and B, and with it that of C and of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum DType {
    /// IEEE 754 binary16 in and out; sums in binary32.
    #[default]
    F16,
    /// bfloat16 in and out; sums in binary32.
    Bf16,
    /// binary32 in and out, of which inputs count with 10 bits of fraction; sums in binary32.
    Tf32,
    /// 8-bit integers in, 32-bit integers out; sums in 32-bit integers.
    I8,
    /// FP8 E4M3 in, binary16 out; sums in binary32.
    E4m3,
}

impl DType {
    /// All of them.
    pub const ALL: [DType; 5] = [DType::F16, DType::Bf16, DType::Tf32, DType::I8, DType::E4m3];

    /// How elements of A and B are stored.
    pub const fn input(self) -> Scalar {
        match self {
            DType::F16 => Scalar::F16,
            DType::Bf16 => Scalar::Bf16,
            DType::Tf32 => Scalar::Tf32,
            DType::I8 => Scalar::I8,
            DType::E4m3 => Scalar::E4m3,
        }
    }

    /// How elements of C are stored.
    pub const fn output(self) -> Scalar {
        match self {
            DType::F16 | DType::E4m3 => Scalar::F16,
            DType::Bf16 => Scalar::Bf16,
            DType::Tf32 => Scalar::F32,
            DType::I8 => Scalar::I32,
        }
    }

    /// Size of an element of A or B, in bytes.
    pub const fn bytes(self) -> u64 {
        self.input().bytes() as u64
    }

    /// Size of an element of C, in bytes.
    pub const fn c_bytes(self) -> u64 {
        self.output().bytes() as u64
    }

    /// The name used on the command line, in records and in the catalogue.
    pub const fn name(self) -> &'static str {
        self.input().name()
    }
}

/// Which operands are stored transposed, BLAS style, for row-major storage: the first letter is A's, the second B's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Layout {
    /// A is stored m × k and B k × n.
    #[default]
    Nn,
    /// A is stored m × k and B n × k.
    Nt,
    /// A is stored k × m and B k × n.
    Tn,
    /// A is stored k × m and B n × k.
    Tt,
}

impl Layout {
    /// All of them.
    pub const ALL: [Layout; 4] = [Layout::Nn, Layout::Nt, Layout::Tn, Layout::Tt];

    /// The name used on the command line, in records and in the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            Layout::Nn => "nn",
            Layout::Nt => "nt",
            Layout::Tn => "tn",
            Layout::Tt => "tt",
        }
    }

    /// Whether an operand is stored transposed; C never is.
    pub const fn transposes(self, operand: Operand) -> bool {
        match operand {
            Operand::A => matches!(self, Layout::Tn | Layout::Tt),
            Operand::B => matches!(self, Layout::Nt | Layout::Tt),
            Operand::C => false,
        }
    }
}

/// One of the three matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Left factor, m × k, or stored k × m.
    A,
    /// Right factor, k × n, or stored n × k.
    B,
    /// Result, m × n.
    C,
}

impl Operand {
    /// All three, in the order in which kernels take them.
    pub const ALL: [Operand; 3] = [Operand::A, Operand::B, Operand::C];

    /// Its letter.
    pub const fn name(self) -> &'static str {
        match self {
            Operand::A => "A",
            Operand::B => "B",
            Operand::C => "C",
        }
    }
}

/// Where an operand lies in memory, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Stored rows.
    pub rows: u64,
    /// Stored columns that hold values.
    pub cols: u64,
    /// Elements from one row to the next.
    pub ld: u64,
    /// Elements from an aligned base to element (0, 0).
    pub offset: u64,
}

impl Placement {
    /// Elements from element (0, 0) to one past the last value; 0 for an empty matrix.
    pub fn span(&self) -> u64 {
        if self.rows == 0 || self.cols == 0 { 0 } else { (self.rows - 1) * self.ld + self.cols }
    }

    /// The largest power of two, in bytes, that divides the address of every row, at most [`BASE_ALIGN_BYTES`].
    ///
    /// Elements have `element_bytes` bytes, a power of two. With a single row the leading dimension is never used and does not count.
    pub fn align_bytes(&self, element_bytes: u64) -> u64 {
        let stride = if self.rows > 1 { self.ld } else { 0 };
        let bits = ((self.offset | stride) * element_bytes) | BASE_ALIGN_BYTES;
        1 << bits.trailing_zeros()
    }
}

/// What is wrong with a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProblemError {
    /// A size that no kernel can take.
    #[error("{name} = {value} is out of range: a size must be from {min} to {MAX_SIZE}; choose one in that range")]
    Size {
        /// `m`, `n` or `k`.
        name: &'static str,
        /// The value given.
        value: u64,
        /// The smallest value allowed.
        min: u64,
    },
    /// A leading dimension shorter than a row.
    #[error("ld{name} = {ld} is shorter than a row of {operand}, which has {cols} elements; make it at least {cols}")]
    LeadingDimension {
        /// `a`, `b` or `c`.
        name: &'static str,
        /// The operand's letter.
        operand: &'static str,
        /// The value given.
        ld: u64,
        /// Length of a row.
        cols: u64,
    },
    /// An operand whose size in bytes does not fit in 63 bits.
    #[error(
        "{operand} of {rows} rows with a leading dimension of {ld}, {offset} elements from its base, takes more than 2^63 bytes; reduce one of them"
    )]
    Bytes {
        /// The operand's letter.
        operand: &'static str,
        /// Its rows.
        rows: u64,
        /// Its leading dimension.
        ld: u64,
        /// Its base offset.
        offset: u64,
    },
    /// A factor that is no number.
    #[error("{name} = {value} is not a finite number; choose one")]
    Factor {
        /// `alpha` or `beta`.
        name: &'static str,
        /// The value given, as text.
        value: String,
    },
    /// A product 2·m·n·k that does not fit in 64 bits.
    #[error("2·{m}·{n}·{k} FLOP is more than 2^64; reduce a size")]
    Flop {
        /// Rows of C.
        m: u64,
        /// Columns of C.
        n: u64,
        /// Depth.
        k: u64,
    },
}

/// A GEMM with every parameter that its cost can depend on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Rows of A and C: the batch of a fully connected layer.
    pub m: u64,
    /// Columns of B and C.
    pub n: u64,
    /// Columns of A and rows of B: the depth.
    pub k: u64,
    /// How A and B are stored.
    pub layout: Layout,
    /// Element types.
    pub dtype: DType,
    /// Leading dimension of A, in elements.
    pub lda: u64,
    /// Leading dimension of B, in elements.
    pub ldb: u64,
    /// Leading dimension of C, in elements.
    pub ldc: u64,
    /// Elements from an aligned address to A's first element.
    #[serde(default)]
    pub offset_a: u64,
    /// Elements from an aligned address to B's first element.
    #[serde(default)]
    pub offset_b: u64,
    /// Elements from an aligned address to C's first element.
    #[serde(default)]
    pub offset_c: u64,
    /// Factor of A·B.
    #[serde(default = "one")]
    pub alpha: f32,
    /// Factor of C as it was; 0 means that C is not read.
    #[serde(default)]
    pub beta: f32,
}

/// The factor of A·B where none is said.
fn one() -> f32 {
    1.0
}

impl Problem {
    /// An m × n × k problem in FP16 and layout NN, with rows one after the other, aligned bases, alpha 1 and beta 0.
    ///
    /// ```
    /// let p = gemmscope::Problem::new(256, 512, 128);
    /// assert_eq!((p.lda, p.ldb, p.ldc), (128, 512, 512));
    /// assert_eq!(p.flop(), 2 * 256 * 512 * 128);
    /// ```
    pub fn new(m: u64, n: u64, k: u64) -> Self {
        Problem {
            m,
            n,
            k,
            layout: Layout::Nn,
            dtype: DType::F16,
            lda: k.max(1),
            ldb: n,
            ldc: n,
            offset_a: 0,
            offset_b: 0,
            offset_c: 0,
            alpha: 1.0,
            beta: 0.0,
        }
    }

    /// The same sizes in another layout and type, with rows one after the other.
    ///
    /// ```
    /// use gemmscope::problem::{DType, Layout, Problem};
    /// let p = Problem::new(256, 512, 128).in_form(Layout::Tt, DType::I8);
    /// assert_eq!((p.lda, p.ldb, p.ldc), (256, 128, 512));
    /// ```
    pub fn in_form(self, layout: Layout, dtype: DType) -> Self {
        let mut problem = Problem { layout, dtype, ..self };
        let cols = Operand::ALL.map(|operand| problem.placement(operand).cols.max(1));
        [problem.lda, problem.ldb, problem.ldc] = cols;
        problem
    }

    /// Where an operand lies: its stored rows and columns.
    pub fn placement(&self, operand: Operand) -> Placement {
        let (rows, cols, ld, offset) = match operand {
            Operand::A => (self.m, self.k, self.lda, self.offset_a),
            Operand::B => (self.k, self.n, self.ldb, self.offset_b),
            Operand::C => (self.m, self.n, self.ldc, self.offset_c),
        };
        let (rows, cols) = if self.layout.transposes(operand) { (cols, rows) } else { (rows, cols) };
        Placement { rows, cols, ld, offset }
    }

    /// How an operand's elements are stored.
    pub const fn scalar(&self, operand: Operand) -> Scalar {
        match operand {
            Operand::A | Operand::B => self.dtype.input(),
            Operand::C => self.dtype.output(),
        }
    }

    /// Size of an operand's element, in bytes.
    pub const fn element_bytes(&self, operand: Operand) -> u64 {
        self.scalar(operand).bytes() as u64
    }

    /// Layout and type, for messages: `f16 in nn`.
    pub fn form(&self) -> String {
        format!("{} in {}", self.dtype.name(), self.layout.name())
    }

    /// Checks every size against its limit.
    ///
    /// # Errors
    /// Names the first value that is out of range, its limit and what to do.
    pub fn validate(&self) -> Result<(), ProblemError> {
        for (name, value, min) in [("m", self.m, 1), ("n", self.n, 1), ("k", self.k, 0)] {
            if value < min || value > MAX_SIZE {
                return Err(ProblemError::Size { name, value, min });
            }
        }
        for (name, operand) in [("a", Operand::A), ("b", Operand::B), ("c", Operand::C)] {
            let p = self.placement(operand);
            if p.ld < p.cols.max(1) {
                return Err(ProblemError::LeadingDimension { name, operand: operand.name(), ld: p.ld, cols: p.cols });
            }
            let bytes = u128::from(p.rows) * u128::from(p.ld) + u128::from(p.offset);
            if bytes * u128::from(self.element_bytes(operand)) >= 1 << 63 {
                return Err(ProblemError::Bytes { operand: operand.name(), rows: p.rows, ld: p.ld, offset: p.offset });
            }
        }
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !value.is_finite() {
                return Err(ProblemError::Factor { name, value: value.to_string() });
            }
        }
        let flop = 2 * u128::from(self.m) * u128::from(self.n) * u128::from(self.k);
        if flop > u128::from(u64::MAX) {
            return Err(ProblemError::Flop { m: self.m, n: self.n, k: self.k });
        }
        Ok(())
    }

    /// 2·m·n·k. Call [`Problem::validate`] first: it rejects the sizes for which this overflows.
    pub fn flop(&self) -> u64 {
        2 * self.m * self.n * self.k
    }

    /// Bytes that must move at least once: A and B in, C out, and C in where beta is not 0. Padding is not counted.
    pub fn compulsory_bytes(&self) -> u64 {
        let c = self.m * self.n * if self.beta == 0.0 { 1 } else { 2 };
        (self.m * self.k + self.k * self.n) * self.dtype.bytes() + c * self.dtype.c_bytes()
    }

    /// Bytes that A, B and C occupy, padding and offsets included.
    pub fn footprint_bytes(&self) -> u64 {
        Operand::ALL
            .iter()
            .map(|&o| {
                let p = self.placement(o);
                (p.offset + p.span()) * self.element_bytes(o)
            })
            .sum()
    }

    /// Arithmetic intensity: FLOP per compulsory byte.
    pub fn intensity(&self) -> f64 {
        self.flop() as f64 / self.compulsory_bytes() as f64
    }

    /// The largest power of two, in bytes, that divides every row address of `operand`.
    pub fn align_bytes(&self, operand: Operand) -> u64 {
        self.placement(operand).align_bytes(self.element_bytes(operand))
    }
}

/// The largest power of two that divides a leading dimension: its alignment class, in elements.
///
/// ```
/// use gemmscope::problem::stride_class;
/// assert_eq!(stride_class(4097), 1);
/// assert_eq!(stride_class(4104), 8);
/// assert_eq!(stride_class(4096), 4096);
/// ```
pub fn stride_class(ld: u64) -> u64 {
    if ld == 0 { 1 } else { 1 << ld.trailing_zeros() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intensity_matches_the_guide() {
        // NV-01 of the claims catalogue: M x N x K = 8192 x 128 x 8192 and 8192 cubed.
        assert!((Problem::new(8192, 128, 8192).intensity() - 124.12).abs() < 0.01);
        assert!((Problem::new(8192, 8192, 8192).intensity() - 2730.67).abs() < 0.01);
        assert!(Problem::new(1, 8192, 8192).intensity() < 1.0);
    }

    #[test]
    fn errors_name_value_limit_and_remedy() {
        let zero = Problem::new(0, 1, 1).validate().unwrap_err().to_string();
        assert!(zero.contains("m = 0") && zero.contains("from 1 to 2147483647"), "{zero}");
        let mut p = Problem::new(4, 8, 16);
        p.ldb = 7;
        let short = p.validate().unwrap_err().to_string();
        assert!(short.contains("ldb = 7") && short.contains("at least 8"), "{short}");
        let huge = Problem::new(MAX_SIZE, MAX_SIZE, MAX_SIZE).validate().unwrap_err();
        assert!(matches!(huge, ProblemError::Flop { .. } | ProblemError::Bytes { .. }), "{huge}");
        assert!(Problem::new(3, 5, 0).validate().is_ok(), "k = 0 is a problem like any other");
        let nan = Problem { beta: f32::NAN, ..Problem::new(1, 1, 1) }.validate().unwrap_err().to_string();
        assert!(nan.contains("beta = NaN"), "{nan}");
        let mut far = Problem::new(1 << 20, 8, 8);
        far.lda = 1 << 43;
        assert!(matches!(far.validate().unwrap_err(), ProblemError::Bytes { operand: "A", .. }));
    }

    #[test]
    fn layouts_say_how_operands_are_stored() {
        let stored = |layout, operand| {
            let p = Problem::new(2, 3, 5).in_form(layout, DType::F16).placement(operand);
            (p.rows, p.cols, p.ld)
        };
        for layout in Layout::ALL {
            let (a, b) = layout.name().split_at(1);
            assert_eq!(stored(layout, Operand::A), if a == "n" { (2, 5, 5) } else { (5, 2, 2) }, "{layout:?}");
            assert_eq!(stored(layout, Operand::B), if b == "n" { (5, 3, 3) } else { (3, 5, 5) }, "{layout:?}");
            assert_eq!(stored(layout, Operand::C), (2, 3, 3));
            assert_eq!(Problem::new(3, 5, 0).in_form(layout, DType::I8).validate(), Ok(()), "{layout:?} with k = 0");
        }
        let mut short = Problem::new(2, 3, 5).in_form(Layout::Tn, DType::F16);
        short.lda = 1;
        assert!(short.validate().unwrap_err().to_string().contains("lda = 1"));
    }

    #[test]
    fn types_weigh_a_and_b_and_c_apart() {
        let bytes = |dtype| Problem::new(2, 3, 5).in_form(Layout::Nn, dtype).compulsory_bytes();
        assert_eq!(DType::ALL.map(bytes), [62, 62, 124, 25 + 24, 25 + 12]);
        let mut p = Problem::new(8, 8, 8).in_form(Layout::Nn, DType::I8);
        (p.offset_a, p.offset_c) = (1, 1);
        assert_eq!(Operand::ALL.map(|o| p.align_bytes(o)), [1, 8, 4]);
        for dtype in DType::ALL {
            assert_eq!(serde_json::to_value(dtype).unwrap(), dtype.name());
            assert_eq!(<DType as ValueEnum>::from_str(dtype.name(), false), Ok(dtype));
        }
    }

    proptest! {
        #[test]
        fn alignment_divides_every_row_address(
            rows in 1u64..9, cols in 1u64..40, pad in 0u64..9, offset in 0u64..16,
        ) {
            let p = Placement { rows, cols, ld: cols + pad, offset };
            let align = p.align_bytes(2);
            let addresses: Vec<u64> = (0..rows).map(|r| (offset + r * p.ld) * 2).collect();
            prop_assert!(addresses.iter().all(|a| a % align == 0));
            if align < BASE_ALIGN_BYTES {
                prop_assert!(addresses.iter().any(|a| a % (2 * align) != 0), "not the largest");
            }
        }
    }
}
