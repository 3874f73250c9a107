//! A GEMM to run: C = alpha·A·B + beta·C with every size, leading dimension and base offset spelled out.
//!
//! Sizes and leading dimensions are counted in elements. All matrices are row-major today: A is m × k, B is k × n and
//! C is m × n. A leading dimension (ld) is the distance from one row to the next, so `ld > columns` leaves padding.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The largest m, n or k that a kernel can index.
pub const MAX_SIZE: u64 = (1 << 31) - 1;

/// Base addresses of operands are aligned at least this well, in bytes, before the offset is applied.
pub const BASE_ALIGN_BYTES: u64 = 4096;

/// Element type of A, B and C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE 754 binary16; products are accumulated in binary32.
    #[default]
    F16,
}

impl DType {
    /// Size of one element, in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            DType::F16 => 2,
        }
    }

    /// The name used in records and in the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F16 => "f16",
        }
    }
}

/// Which operands are stored transposed, BLAS style, for row-major storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// A is m × k and B is k × n, both row-major.
    #[default]
    Nn,
}

impl Layout {
    /// The name used in records and in the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            Layout::Nn => "nn",
        }
    }
}

/// One of the three matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Left factor, m × k.
    A,
    /// Right factor, k × n.
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
    /// Rows.
    pub rows: u64,
    /// Columns that hold values.
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
    /// With a single row the leading dimension is never used and does not count.
    pub fn align_bytes(&self, dtype: DType) -> u64 {
        let stride = if self.rows > 1 { self.ld } else { 0 };
        let bits = ((self.offset | stride) * dtype.bytes()) | BASE_ALIGN_BYTES;
        1 << bits.trailing_zeros()
    }
}

/// What is wrong with a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProblemError {
    /// A size that no kernel can take.
    #[error("{name} = {value} is out of range: a size must be from {min} to {MAX_SIZE}; choose a smaller one")]
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
        "{operand} of {rows} rows with a leading dimension of {ld} takes more than 2^63 bytes; reduce the size or the leading dimension"
    )]
    Bytes {
        /// The operand's letter.
        operand: &'static str,
        /// Its rows.
        rows: u64,
        /// Its leading dimension.
        ld: u64,
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
    /// Columns of A and rows of B.
    pub k: u64,
    /// How A and B are stored.
    pub layout: Layout,
    /// Element type.
    pub dtype: DType,
    /// Leading dimension of A, in elements.
    pub lda: u64,
    /// Leading dimension of B, in elements.
    pub ldb: u64,
    /// Leading dimension of C, in elements.
    pub ldc: u64,
    /// Elements from an aligned address to A's first element.
    pub offset_a: u64,
    /// Elements from an aligned address to B's first element.
    pub offset_b: u64,
    /// Elements from an aligned address to C's first element.
    pub offset_c: u64,
    /// Factor of A·B.
    pub alpha: f32,
    /// Factor of C as it was; 0 means that C is not read.
    pub beta: f32,
}

impl Problem {
    /// An m × n × k problem with rows one after the other, aligned bases, alpha 1 and beta 0.
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

    /// Where an operand lies.
    pub fn placement(&self, operand: Operand) -> Placement {
        let (rows, cols, ld, offset) = match operand {
            Operand::A => (self.m, self.k, self.lda, self.offset_a),
            Operand::B => (self.k, self.n, self.ldb, self.offset_b),
            Operand::C => (self.m, self.n, self.ldc, self.offset_c),
        };
        Placement { rows, cols, ld, offset }
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
            if bytes * u128::from(self.dtype.bytes()) >= 1 << 63 {
                return Err(ProblemError::Bytes { operand: operand.name(), rows: p.rows, ld: p.ld });
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
        (self.m * self.k + self.k * self.n + c) * self.dtype.bytes()
    }

    /// Bytes that A, B and C occupy, padding and offsets included.
    pub fn footprint_bytes(&self) -> u64 {
        Operand::ALL
            .iter()
            .map(|&o| {
                let p = self.placement(o);
                (p.offset + p.span()) * self.dtype.bytes()
            })
            .sum()
    }

    /// Arithmetic intensity: FLOP per compulsory byte.
    pub fn intensity(&self) -> f64 {
        self.flop() as f64 / self.compulsory_bytes() as f64
    }

    /// The largest power of two, in bytes, that divides every row address of `operand`.
    pub fn align_bytes(&self, operand: Operand) -> u64 {
        self.placement(operand).align_bytes(self.dtype)
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

    proptest! {
        #[test]
        fn alignment_divides_every_row_address(
            rows in 1u64..9, cols in 1u64..40, pad in 0u64..9, offset in 0u64..16,
        ) {
            let p = Placement { rows, cols, ld: cols + pad, offset };
            let align = p.align_bytes(DType::F16);
            let addresses: Vec<u64> = (0..rows).map(|r| (offset + r * p.ld) * 2).collect();
            prop_assert!(addresses.iter().all(|a| a % align == 0));
            if align < BASE_ALIGN_BYTES {
                prop_assert!(addresses.iter().any(|a| a % (2 * align) != 0), "not the largest");
            }
        }
    }
}
