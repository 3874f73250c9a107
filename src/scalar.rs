//! The number formats of matrix elements: what a bit pattern is worth, and how a value becomes one.

use half::{bf16, f16};

/// How one element is stored. Bit patterns are handed around in the low bits of a `u32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: binary32 without its low 16 bits.
    Bf16,
    /// binary32 as tensor cores read it: the low 13 bits of the significand are ignored.
    Tf32,
    /// IEEE 754 binary32.
    F32,
    /// Two's complement, 8 bits.
    I8,
    /// Two's complement, 32 bits.
    I32,
    /// FP8 of the Open Compute Project: 4 bits of exponent, 3 of significand, NaN and no infinity, 448 at most.
    E4m3,
}

/// The bits of a binary32 that TF32 keeps.
const TF32_MASK: u32 = !0x1fff;

impl Scalar {
    /// Size in memory.
    pub const fn bytes(self) -> usize {
        match self {
            Scalar::I8 | Scalar::E4m3 => 1,
            Scalar::F16 | Scalar::Bf16 => 2,
            Scalar::Tf32 | Scalar::F32 | Scalar::I32 => 4,
        }
    }

    /// The name that helper kernels of the catalogue carry.
    pub const fn name(self) -> &'static str {
        match self {
            Scalar::F16 => "f16",
            Scalar::Bf16 => "bf16",
            Scalar::Tf32 => "tf32",
            Scalar::F32 => "f32",
            Scalar::I8 => "i8",
            Scalar::I32 => "i32",
            Scalar::E4m3 => "e4m3",
        }
    }

    /// What memory that must not be used, or must be written, holds: a NaN that no kernel makes, or where a format has no NaN a
    /// number that no small problem gives.
    pub const fn poison(self) -> u32 {
        match self {
            Scalar::F16 => 0x7e5a,
            Scalar::Bf16 => 0x7fda,
            Scalar::Tf32 | Scalar::F32 => 0x7fda_5a5a,
            Scalar::I8 => 0x5a,
            Scalar::I32 => 0x5a5a_5a5a,
            Scalar::E4m3 => 0x7f,
        }
    }

    /// Sixteen bytes to fill the surroundings of inputs with: poison, and infinities of both signs where there are any.
    pub fn hostile(self) -> [u8; 16] {
        let infinities = match self {
            Scalar::F16 => [0x7c00, 0xfc00],
            Scalar::Bf16 => [0x7f80, 0xff80],
            Scalar::Tf32 | Scalar::F32 => [0x7f80_0000, 0xff80_0000],
            // The NaN of the other sign, and the largest magnitudes.
            Scalar::E4m3 => [0xff, 0x7f],
            Scalar::I8 => [0x7f, 0x80],
            Scalar::I32 => [0x7fff_ffff, 0x8000_0000],
        };
        let cycle = [self.poison(), infinities[0], self.poison(), infinities[1]];
        let mut bytes = [0; 16];
        for (element, bits) in bytes.chunks_exact_mut(self.bytes()).zip(cycle.into_iter().cycle()) {
            element.copy_from_slice(&bits.to_le_bytes()[..element.len()]);
        }
        bytes
    }

    /// The value of a bit pattern.
    pub fn decode(self, bits: u32) -> f64 {
        match self {
            Scalar::F16 => f16::from_bits(bits as u16).to_f64(),
            Scalar::Bf16 => bf16::from_bits(bits as u16).to_f64(),
            Scalar::Tf32 => {
                let kept = f32::from_bits(bits & TF32_MASK);
                // A NaN may have all its bits below the mask, and is one all the same.
                if f32::from_bits(bits).is_nan() { f64::NAN } else { f64::from(kept) }
            }
            Scalar::F32 => f64::from(f32::from_bits(bits)),
            Scalar::I8 => f64::from(bits as u8 as i8),
            Scalar::I32 => f64::from(bits as i32),
            Scalar::E4m3 => {
                let (exponent, fraction) = ((bits >> 3 & 0xf) as i32, f64::from(bits & 7));
                let magnitude = match (exponent, bits & 7) {
                    (15, 7) => f64::NAN,
                    (0, _) => fraction * 2f64.powi(-9),
                    _ => (8.0 + fraction) * 2f64.powi(exponent - 10),
                };
                if bits & 0x80 == 0 { magnitude } else { -magnitude }
            }
        }
    }

    /// The nearest representable value's bit pattern, ties to even; beyond the range the largest magnitude of integers and of
    /// E4M3, infinity of the others.
    pub fn encode(self, value: f64) -> u32 {
        match self {
            Scalar::F16 => u32::from(f16::from_f64(value).to_bits()),
            Scalar::Bf16 => u32::from(bf16::from_f64(value).to_bits()),
            Scalar::F32 => (value as f32).to_bits(),
            Scalar::Tf32 => {
                let bits = (value as f32).to_bits();
                let up = 0xfff + (bits >> 13 & 1);
                if value.is_finite() { bits.wrapping_add(up) & TF32_MASK } else { bits }
            }
            Scalar::I8 => u32::from(value.round_ties_even() as i8 as u8),
            Scalar::I32 => value.round_ties_even() as i32 as u32,
            Scalar::E4m3 => {
                let sign = if value.is_sign_negative() { 0x80 } else { 0 };
                let magnitude = value.abs();
                if magnitude.is_nan() {
                    return sign | 0x7f;
                }
                // Patterns grow with their values.
                let above = (1..=0x7e).find(|&bits| self.decode(bits) >= magnitude).unwrap_or(0x7e);
                let below = above - 1;
                let (over, under) = (self.decode(above) - magnitude, magnitude - self.decode(below));
                let up = over < under || (over == under && above % 2 == 0);
                let nearest = if up { above } else { below };
                sign | nearest
            }
        }
    }

    /// Whether a bit pattern is a NaN.
    pub fn is_nan(self, bits: u32) -> bool {
        self.decode(bits).is_nan()
    }

    /// From this magnitude on values round to infinity; infinity where there is none to round to.
    pub fn overflow(self) -> f64 {
        match self {
            Scalar::F16 => 65520.0,
            // Half a step above the largest finite value.
            Scalar::Bf16 => (2.0 - 2f64.powi(-8)) * 2f64.powi(127),
            Scalar::Tf32 | Scalar::F32 => (2.0 - 2f64.powi(-24)) * 2f64.powi(127),
            Scalar::I8 | Scalar::I32 | Scalar::E4m3 => f64::INFINITY,
        }
    }

    /// The bit pattern at an index of packed elements.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn bits_at(self, bytes: &[u8], index: usize) -> u32 {
        let width = self.bytes();
        let mut bits = [0; 4];
        bits[..width].copy_from_slice(&bytes[index * width..][..width]);
        u32::from_le_bytes(bits)
    }

    /// The bit patterns of packed elements.
    pub fn patterns(self, bytes: &[u8]) -> impl Iterator<Item = u32> {
        bytes.chunks_exact(self.bytes()).map(|element| match *element {
            [a] => u32::from(a),
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => unreachable!("elements have 1, 2 or 4 bytes"),
        })
    }

    /// The values of packed elements.
    pub fn values(self, bytes: &[u8]) -> impl Iterator<Item = f64> {
        self.patterns(bytes).map(move |bits| self.decode(bits))
    }

    /// Puts bit patterns one after the other.
    pub fn pack(self, patterns: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let width = self.bytes();
        patterns.into_iter().flat_map(|bits| bits.to_le_bytes().into_iter().take(width)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Scalar; 7] =
        [Scalar::F16, Scalar::Bf16, Scalar::Tf32, Scalar::F32, Scalar::I8, Scalar::I32, Scalar::E4m3];

    #[test]
    fn e4m3_has_the_values_of_its_specification() {
        // OCP 8-bit floating point specification, table 1.
        for (bits, value) in [
            (0x00, 0.0),
            (0x01, 2f64.powi(-9)),
            (0x07, 0.875 * 2f64.powi(-6)),
            (0x08, 2f64.powi(-6)),
            (0x38, 1.0),
            (0x7e, 448.0),
            (0xb8, -1.0),
        ] {
            assert_eq!(Scalar::E4m3.decode(bits), value, "{bits:#x}");
        }
        assert!(Scalar::E4m3.is_nan(0x7f) && Scalar::E4m3.is_nan(0xff));
        // Ties go to the even pattern, and beyond the range is the end of the range.
        for (value, bits) in [(17.0, 0x58), (19.0, 0x5a), (1e9, 0x7e), (-1e9, 0xfe), (2f64.powi(-10), 0), (1e-30, 0)] {
            assert_eq!(Scalar::E4m3.encode(value), bits, "{value}");
        }
    }

    #[test]
    fn poison_is_a_nan_where_there_are_nans() {
        for scalar in ALL {
            let has_nan = !matches!(scalar, Scalar::I8 | Scalar::I32);
            assert_eq!(scalar.is_nan(scalar.poison()), has_nan, "{scalar:?}");
            let around: Vec<f64> = scalar.values(&scalar.hostile()).collect();
            assert_eq!(around.len(), 16 / scalar.bytes());
            assert!(!has_nan || around.iter().all(|v| !v.is_finite()), "{scalar:?}: {around:?}");
        }
    }

    #[test]
    fn tf32_ignores_thirteen_bits_and_rounds_to_what_is_left() {
        let one_and_a_bit = 1.0 + 2f64.powi(-10);
        assert_eq!(Scalar::Tf32.decode((one_and_a_bit as f32).to_bits() | 0x1fff), one_and_a_bit);
        assert_eq!(Scalar::Tf32.decode(Scalar::Tf32.encode(1.0 + 2f64.powi(-11))), 1.0, "a tie goes to even");
        assert_eq!(Scalar::Tf32.decode(Scalar::Tf32.encode(1.0 + 3.0 * 2f64.powi(-11))), 1.0 + 2f64.powi(-9));
        assert!(Scalar::Tf32.is_nan(0x7f80_0001));
    }

    proptest! {
        #[test]
        fn patterns_survive_and_values_round_to_the_nearest(bits: u32, value in -500.0..500.0f64) {
            for scalar in ALL {
                let mask = if scalar.bytes() == 4 { u32::MAX } else { (1 << (8 * scalar.bytes())) - 1 };
                let bits = bits & mask & if scalar == Scalar::Tf32 { TF32_MASK } else { u32::MAX };
                if scalar.decode(bits).is_finite() {
                    prop_assert_eq!(scalar.encode(scalar.decode(bits)), bits, "{:?}", scalar);
                }
                let step = if scalar == Scalar::Tf32 { 1 << 13 } else { 1 };
                let near = scalar.encode(value);
                let off = |bits: u32| (scalar.decode(bits & mask) - value).abs();
                for other in [near.wrapping_add(step), near.wrapping_sub(step)] {
                    let farther = off(other) >= off(near) || !off(other).is_finite();
                    prop_assert!(farther, "{:?}: {} is nearer to {}", scalar, scalar.decode(other & mask), value);
                }
            }
        }

        #[test]
        fn packing_and_reading_agree(patterns in proptest::collection::vec(any::<u8>(), 1..20)) {
            for scalar in ALL {
                let wide: Vec<u32> = patterns.iter().map(|&b| u32::from(b)).collect();
                let bytes = scalar.pack(wide.iter().copied());
                prop_assert_eq!(scalar.patterns(&bytes).collect::<Vec<_>>(), wide.clone());
                prop_assert_eq!(scalar.bits_at(&bytes, wide.len() - 1), wide[wide.len() - 1]);
            }
        }
    }
}
