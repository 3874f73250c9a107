//! Random data that is the same on every device: a counter-based generator and tables of bit patterns.
//!
//! Element (row, column) of operand `o`, as it is stored, is `table[u]`, where `u` is 16 bits of Philox4x32-10 with the key `seed` and the
//! counter (column / 8, row, o, 0). The value depends on nothing else: neither on the leading dimension nor on the size, so
//! that problems which differ only in their placement multiply the same numbers, and a smaller problem's A is a corner of a
//! larger one's. `kernels/micro/fill.cu` is the same generator on a GPU.
//!
//! Philox is described by Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

use crate::problem::{DType, Operand};
use crate::scalar::Scalar;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};
use std::str::FromStr;

/// Name of the generator, as manifests give it.
pub const GENERATOR: &str = "philox4x32-10";

/// Entries of a table: one for each 16-bit number.
pub const TABLE_LEN: usize = 1 << 16;

/// What the elements of A and B (and of C, where beta is not 0) are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Uniform between -1 and 1; of INT8, all its values.
    #[default]
    Uniform,
    /// Normal with mean 0 and deviation 1, at 65 536 equally likely quantiles; of INT8, with deviation 32.
    Normal,
    /// The integers -2 to 2: every sum is exact, so that results can be compared bit for bit.
    Integers,
    /// Zeros. They draw less power than real data, which is what they are for.
    Zeros,
}

impl Distribution {
    /// The name used on the command line and in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::Normal => "normal",
            Distribution::Integers => "integers",
            Distribution::Zeros => "zeros",
        }
    }

    /// A number that tells data apart which is drawn with the same seed from other distributions. Uniform data keeps the seed.
    pub const fn data_id(self, seed: u64) -> u64 {
        seed ^ ((self as u64) << 60)
    }

    /// The tables for a type.
    pub fn tables(self, dtype: DType) -> Tables {
        Tables { input: self.table(dtype, dtype.input()), output: self.table(dtype, dtype.output()) }
    }

    fn table(self, dtype: DType, scalar: Scalar) -> Table {
        let normal = Normal::standard();
        let patterns = (0..TABLE_LEN).map(|i| {
            // The midpoint of the i-th of 65 536 equal slices of (0, 1).
            let u = (i as f64 + 0.5) / TABLE_LEN as f64;
            let value = match (self, dtype) {
                (Distribution::Uniform, DType::I8) => (u * 256.0).floor() - 128.0,
                (Distribution::Uniform, _) => 2.0 * u - 1.0,
                (Distribution::Normal, DType::I8) => (32.0 * normal.inverse_cdf(u)).clamp(-128.0, 127.0),
                (Distribution::Normal, _) => normal.inverse_cdf(u),
                (Distribution::Integers, _) => (u * 5.0).floor() - 2.0,
                (Distribution::Zeros, _) => 0.0,
            };
            scalar.encode(value)
        });
        Table { scalar, bytes: scalar.pack(patterns) }
    }
}

/// The bit pattern of each 16-bit number, [`TABLE_LEN`] of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Their format.
    pub scalar: Scalar,
    /// The patterns, one after the other.
    pub bytes: Vec<u8>,
}

/// What the elements of a problem are drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// For A and B.
    pub input: Table,
    /// For C.
    pub output: Table,
}

impl Tables {
    /// The table of an operand.
    pub fn of(&self, operand: Operand) -> &Table {
        match operand {
            Operand::A | Operand::B => &self.input,
            Operand::C => &self.output,
        }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Distribution::Uniform, Distribution::Normal, Distribution::Integers, Distribution::Zeros]
            .into_iter()
            .find(|d| d.name() == text)
            .ok_or_else(|| format!("{text:?} is not a distribution: use uniform, normal, integers or zeros"))
    }
}

/// One block of Philox4x32-10.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let p0 = MULTIPLIERS[0] * u64::from(counter[0]);
        let p1 = MULTIPLIERS[1] * u64::from(counter[2]);
        counter =
            [(p1 >> 32) as u32 ^ counter[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ counter[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// Fills a matrix of `rows` × `cols` whose rows are `ld` elements apart with values from a table; padding is left alone.
///
/// `matrix` begins with element (0, 0). `operand` is 0 for A, 1 for B and 2 for C.
///
/// # Panics
/// If `matrix` is shorter than the matrix, or the table than [`TABLE_LEN`].
pub fn fill(matrix: &mut [u8], rows: usize, cols: usize, ld: usize, table: &Table, seed: u64, operand: u32) {
    match table.scalar.bytes() {
        1 => fill_with::<1>(matrix, rows, cols, ld, &table.bytes, seed, operand),
        2 => fill_with::<2>(matrix, rows, cols, ld, &table.bytes, seed, operand),
        _ => fill_with::<4>(matrix, rows, cols, ld, &table.bytes, seed, operand),
    }
}

/// [`fill`] for elements of `W` bytes.
fn fill_with<const W: usize>(
    matrix: &mut [u8],
    rows: usize,
    cols: usize,
    ld: usize,
    table: &[u8],
    seed: u64,
    operand: u32,
) {
    assert!(table.len() >= TABLE_LEN * W, "a table has {TABLE_LEN} entries");
    if cols == 0 {
        return;
    }
    let key = [seed as u32, (seed >> 32) as u32];
    for row in 0..rows {
        let line = &mut matrix[row * ld * W..][..cols * W];
        for (block, eight) in line.chunks_mut(8 * W).enumerate() {
            let words = philox([block as u32, row as u32, operand, 0], key);
            for (i, element) in eight.chunks_exact_mut(W).enumerate() {
                let entry = (words[i / 2] >> (16 * (i % 2))) as usize & 0xffff;
                element.copy_from_slice(&table[entry * W..][..W]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_known_answers_of_its_authors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let key = [0xa409_3822, 0x299f_31d0];
        assert_eq!(philox(counter, key), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn tables_have_the_moments_of_their_distribution() {
        for (distribution, variance, of_i8) in [
            (Distribution::Uniform, 1.0 / 3.0, 65535.0 / 12.0),
            (Distribution::Normal, 1.0, 1024.0),
            (Distribution::Integers, 2.0, 2.0),
            (Distribution::Zeros, 0.0, 0.0),
        ] {
            for dtype in DType::ALL {
                let tables = distribution.tables(dtype);
                for table in [&tables.input, &tables.output] {
                    let values: Vec<f64> = table.scalar.values(&table.bytes).collect();
                    assert_eq!(values.len(), TABLE_LEN);
                    let mean = values.iter().sum::<f64>() / values.len() as f64;
                    let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
                    let (variance, slack) = if dtype == DType::I8 { (of_i8, 0.5) } else { (variance, 0.0) };
                    assert!(mean.abs() < 1e-3 + slack, "{distribution:?} {dtype:?}: mean {mean}");
                    assert!((var - variance).abs() <= 5e-3 * variance, "{distribution:?} {dtype:?}: variance {var}");
                    assert!(values.iter().all(|v| v.is_finite()));
                }
            }
        }
    }

    #[test]
    fn values_do_not_depend_on_the_placement() {
        for dtype in DType::ALL {
            let table = Distribution::Uniform.tables(dtype).input;
            let w = table.scalar.bytes();
            let (mut tight, mut wide) = (vec![0; 5 * 13 * w], vec![0xff; 7 * 40 * w]);
            fill(&mut tight, 5, 13, 13, &table, 99, 0);
            fill(&mut wide, 7, 21, 40, &table, 99, 0);
            for row in 0..5 {
                assert_eq!(tight[row * 13 * w..][..13 * w], wide[row * 40 * w..][..13 * w], "row {row}");
            }
            assert!(wide[21 * w..40 * w].iter().all(|&b| b == 0xff), "padding was written");
            let mut other = vec![0; 5 * 13 * w];
            fill(&mut other, 5, 13, 13, &table, 99, 1);
            assert_ne!(tight, other, "operands must differ");
            fill(&mut other, 5, 13, 13, &table, 100, 0);
            assert_ne!(tight, other, "seeds must differ");
        }
    }
}
