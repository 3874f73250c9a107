//! What share of a device's peak a multiplying unit reaches at its best shapes.

use serde::Serialize;

/// Where a share comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Published for this generation.
    Published,
    /// Published for another generation, and carried over.
    CarriedOver,
    /// Nobody has published one: the time is what the peak allows, and the truth is slower.
    Peak,
}

/// The share of the peak that a unit reaches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sustained {
    /// The share, more than 0 and at most 1, of the tensor cores' peak; for `simt` of the FP32 units'.
    pub share: f64,
    /// Where it comes from.
    pub basis: Basis,
    /// What was measured.
    pub source: &'static str,
}

/// A published ceiling: generation (compute capability times ten), unit, share, source.
type Entry = (u32, &'static str, f64, &'static str);

/// What public measurements of hand-written kernels reached. They were taken under different clocks and data; none is better than 10 %.
const PUBLISHED: [Entry; 9] = [
    (80, "library", 0.869, "271.2 of 312 TFLOPS, BF16, the best shape of a brute-force search (ml-engineering)"),
    (90, "library", 0.803, "794.5 of 989 TFLOPS, BF16, the best shape of a brute-force search (ml-engineering)"),
    (100, "library", 0.776, "1745 of 2250 TFLOPS, BF16, the best shape of a brute-force search (ml-engineering)"),
    (90, "wgmma", 0.80, "758 to 808 of 989 TFLOPS, BF16, 4096 and 8192 cubed (fast.cu)"),
    (80, "mma.sync", 0.75, "235 of 312 TFLOPS, FP16 3456x4096x8192 (CUTLASS documentation)"),
    (89, "mma.sync", 0.91, "105 to 113 of 119.5 TFLOPS on an L20 (LeetCUDA)"),
    (90, "mma.sync", 0.40, "396 of 989 TFLOPS, 4096 cubed, a CUTLASS 2.x kernel"),
    (90, "wmma", 0.062, "61 of 989 TFLOPS, 8192 cubed (blackwell-tensorcore-kernels)"),
    (90, "simt", 0.48, "32 of 67 FP32 TFLOPS, block-tiled (fast.cu)"),
];

/// The share that a unit reaches on a compute capability (times ten).
///
/// Where nobody has published one for that generation, the nearest earlier one's is carried over, else the nearest later one's.
pub fn sustained(unit: &str, cc: u32) -> Sustained {
    let of_unit = || PUBLISHED.iter().filter(|(_, u, ..)| *u == unit);
    let nearest = of_unit()
        .filter(|(generation, ..)| *generation <= cc)
        .max_by_key(|(generation, ..)| *generation)
        .or_else(|| of_unit().min_by_key(|(generation, ..)| *generation));
    match nearest {
        Some(&(generation, _, share, source)) => {
            let basis = if generation == cc { Basis::Published } else { Basis::CarriedOver };
            Sustained { share, basis, source }
        }
        None => Sustained { share: 1.0, basis: Basis::Peak, source: "no figure was found" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_carried_over_from_the_nearest_generation() {
        assert_eq!(sustained("mma.sync", 90).basis, Basis::Published);
        let ga102 = sustained("mma.sync", 86);
        assert_eq!((ga102.share, ga102.basis), (0.75, Basis::CarriedOver));
        assert_eq!(sustained("wgmma", 80).share, sustained("wgmma", 90).share);
        assert_eq!(sustained("abacus", 90).basis, Basis::Peak);
        for (_, unit, share, source) in PUBLISHED {
            assert!(share > 0.0 && share <= 1.0 && !source.is_empty(), "{unit}");
        }
    }
}
