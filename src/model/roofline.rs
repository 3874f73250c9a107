//! Arithmetic intensity against the machine's balance.

use super::DeviceDescription;
use crate::problem::Problem;
use serde::Serialize;

/// Where a problem lies under a device's roofline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Roofline {
    /// FLOP per compulsory byte.
    pub intensity: f64,
    /// FLOP that the device's peak does per byte of DRAM.
    pub flop_per_byte: f64,
    /// Whether DRAM and not the multipliers sets the limit.
    pub memory_limited: bool,
    /// The limit, in FLOP per second.
    pub attainable_flop_per_s: f64,
}

/// The roofline's answer for a problem; `None` where the device's bandwidth is unknown.
///
/// ```
/// use gemmscope::{Problem, model::{DeviceDescription, roofline}};
/// // NV-01: 8192 x 128 x 8192 is limited by a V100's memory, 8192 cubed is not.
/// let v100 = DeviceDescription::named("v100").unwrap();
/// assert!(roofline(&Problem::new(8192, 128, 8192), v100).unwrap().memory_limited);
/// assert!(!roofline(&Problem::new(8192, 8192, 8192), v100).unwrap().memory_limited);
/// ```
pub fn roofline(problem: &Problem, device: &DeviceDescription) -> Option<Roofline> {
    let intensity = problem.intensity();
    let flop_per_byte = device.flop_per_byte(problem.dtype)?;
    let bandwidth = device.memory_bytes_per_s.as_ref()?.value;
    Some(Roofline {
        intensity,
        flop_per_byte,
        memory_limited: intensity < flop_per_byte,
        attainable_flop_per_s: bandwidth * intensity.min(flop_per_byte),
    })
}

/// The smallest m for which an m × n × k problem has more FLOP per byte than `flop_per_byte`, or `None` if none has.
///
/// From m·n·k / (m·k + k·n + m·n) > flop_per_byte, for elements of two bytes.
pub fn smallest_batch(n: u64, k: u64, flop_per_byte: f64) -> Option<u64> {
    let (n, k) = (n as f64, k as f64);
    let slope = n * k - flop_per_byte * (n + k);
    (slope > 0.0).then(|| (flop_per_byte * n * k / slope).floor() as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nv_01_and_nv_17_intensities() {
        for (m, n, k, intensity) in
            [(8192, 128, 8192, 124.12), (8192, 8192, 8192, 2730.67), (512, 4096, 1024, 315.08), (1, 4096, 1024, 1.0)]
        {
            assert!((Problem::new(m, n, k).intensity() - intensity).abs() < 0.005, "{m} {n} {k}");
        }
        // A vector is limited by memory on every device.
        for d in super::super::devices() {
            for p in [Problem::new(1, 8192, 8192), Problem::new(8192, 1, 8192)] {
                assert!(p.intensity() < 1.0 && roofline(&p, d).unwrap().memory_limited, "{}", d.name);
            }
        }
    }

    #[test]
    fn nv_14_smallest_batches_of_square_layers() {
        for (name, batches) in [
            ("v100", [191, 150, 144]),
            ("a100-80", [219, 166, 159]),
            ("h100-sxm", [697, 345, 318]),
            ("h200", [345, 230, 217]),
        ] {
            let d = DeviceDescription::named(name).unwrap();
            let balance = d.flop_per_byte(Problem::new(1, 1, 1).dtype).unwrap();
            let found = [1024, 4096, 8192].map(|f| smallest_batch(f, f, balance).unwrap());
            for (found, expected) in found.into_iter().zip(batches) {
                // The catalogue rounds its balances.
                assert!(found.abs_diff(expected) <= 1, "{name}: {found} against {expected}");
            }
        }
        assert_eq!(smallest_batch(256, 256, 295.0), None, "no batch makes a small layer heavy enough");
    }

    proptest! {
        #[test]
        fn the_smallest_batch_is_the_first_beyond_the_balance(n in 1u64..9000, k in 1u64..9000, balance in 1.0f64..400.0) {
            let intensity = |m: u64| Problem::new(m, n, k).intensity();
            match smallest_batch(n, k, balance) {
                Some(m) if m < 1 << 30 => {
                    prop_assert!(intensity(m) > balance * (1.0 - 1e-9));
                    prop_assert!(m == 1 || intensity(m - 1) <= balance * (1.0 + 1e-9));
                }
                Some(_) => {}
                None => prop_assert!(intensity(1 << 30) <= balance * (1.0 + 1e-6)),
            }
        }
    }
}
