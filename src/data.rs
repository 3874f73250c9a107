//! Random data that is the same on every device: a counter-based generator and tables of FP16 patterns.
//!
//! Element (row, column) of operand `o` is `table[u]`, where `u` is 16 bits of Philox4x32-10 with the key `seed` and the
//! counter (column / 8, row, o, 0). The value depends on nothing else: neither on the leading dimension nor on the size, so
//! that problems which differ only in their placement multiply the same numbers, and a smaller problem's A is a corner of a
//! larger one's. `kernels/micro/fill.cu` is the same generator on a GPU.
//!
//! Philox is described by Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

use half::f16;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};
use std::str::FromStr;

/// Name of the generator, as manifests give it.
pub const GENERATOR: &str = "philox4x32-10";

/// Entries of a table: one for each 16-bit number.
pub const TABLE_LEN: usize = 1 << 16;

/// What the elements of A and B (and of C, where beta is not 0) are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Uniform between -1 and 1.
    #[default]
    Uniform,
    /// Normal with mean 0 and deviation 1, at 65 536 equally likely quantiles.
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

    /// The FP16 pattern of each 16-bit number.
    pub fn table(self) -> Vec<u16> {
        let normal = Normal::standard();
        (0..TABLE_LEN)
            .map(|i| {
                // The midpoint of the i-th of 65 536 equal slices of (0, 1).
                let u = (i as f64 + 0.5) / TABLE_LEN as f64;
                let value = match self {
                    Distribution::Uniform => 2.0 * u - 1.0,
                    Distribution::Normal => normal.inverse_cdf(u),
                    Distribution::Integers => (u * 5.0).floor() - 2.0,
                    Distribution::Zeros => 0.0,
                };
                f16::from_f64(value).to_bits()
            })
            .collect()
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

/// Fills a row-major matrix of `rows` × `cols` whose rows are `ld` elements apart; padding is left alone.
///
/// `operand` is 0 for A, 1 for B and 2 for C.
///
/// # Panics
/// If `matrix` is shorter than the matrix, or `table` than [`TABLE_LEN`].
pub fn fill(matrix: &mut [u16], rows: usize, cols: usize, ld: usize, table: &[u16], seed: u64, operand: u32) {
    assert!(table.len() >= TABLE_LEN, "a table has {TABLE_LEN} entries");
    if cols == 0 {
        return;
    }
    let key = [seed as u32, (seed >> 32) as u32];
    for row in 0..rows {
        let line = &mut matrix[row * ld..row * ld + cols];
        for (block, eight) in line.chunks_mut(8).enumerate() {
            let words = philox([block as u32, row as u32, operand, 0], key);
            for (i, element) in eight.iter_mut().enumerate() {
                *element = table[(words[i / 2] >> (16 * (i % 2))) as usize & 0xffff];
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
        for (distribution, variance) in [
            (Distribution::Uniform, 1.0 / 3.0),
            (Distribution::Normal, 1.0),
            (Distribution::Integers, 2.0),
            (Distribution::Zeros, 0.0),
        ] {
            let values: Vec<f64> = distribution.table().iter().map(|&b| f16::from_bits(b).to_f64()).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            assert!(mean.abs() < 1e-3, "{distribution:?}: mean {mean}");
            assert!((var - variance).abs() < 2e-3, "{distribution:?}: variance {var}");
            assert!(values.iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn values_do_not_depend_on_the_placement() {
        let table = Distribution::Uniform.table();
        let (mut tight, mut wide) = (vec![0; 5 * 13], vec![0xffff; 7 * 40]);
        fill(&mut tight, 5, 13, 13, &table, 99, 0);
        fill(&mut wide, 7, 21, 40, &table, 99, 0);
        for row in 0..5 {
            assert_eq!(tight[row * 13..row * 13 + 13], wide[row * 40..row * 40 + 13], "row {row}");
        }
        assert!(wide[21..40].iter().all(|&b| b == 0xffff), "padding was written");
        let mut other = vec![0; 5 * 13];
        fill(&mut other, 5, 13, 13, &table, 99, 1);
        assert_ne!(tight, other, "operands must differ");
        fill(&mut other, 5, 13, 13, &table, 100, 0);
        assert_ne!(tight, other, "seeds must differ");
    }
}
