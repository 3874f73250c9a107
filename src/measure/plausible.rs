//! Refuses results that no device of this kind can reach: they are mistakes of measuring, not feats.

use super::Measured;
use crate::device::DeviceInfo;
use crate::problem::{DType, Problem};
use thiserror::Error;

/// Slack for the error of a measured clock.
const SLACK: f64 = 1.02;

/// A result above what the device can do.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Implausible {
    /// More FLOP a cycle than the units have.
    #[error(
        "refused: {found:.1} FLOP a cycle at the measured clock, and the device can do {peak:.1} at most; the time cannot be right"
    )]
    PerCycle {
        /// What was measured.
        found: f64,
        /// What there is.
        peak: f64,
    },
    /// More FLOP/s than the units have at their highest clock.
    #[error(
        "refused: {found:.2} TFLOP/s, and the device can do {peak:.2} at its highest clock; the time cannot be right"
    )]
    PerSecond {
        /// What was measured.
        found: f64,
        /// What there is.
        peak: f64,
    },
    /// A time of zero or less, or none.
    #[error("refused: a median time of {found} ns is not a time")]
    Time {
        /// What was measured.
        found: f64,
    },
}

/// How much faster than in FP16 a GPU's tensor cores are in a type, at most.
fn speed_over_f16(dtype: DType) -> f64 {
    match dtype {
        DType::F16 | DType::Bf16 => 1.0,
        DType::Tf32 => 0.5,
        DType::I8 | DType::E4m3 => 2.0,
    }
}

/// Holds a result against the device's peak in its type at the measured clock, or at its highest clock where none was measured.
///
/// # Errors
/// It is above the peak, or not a time at all.
#[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN must not pass")]
pub fn refuse_implausible(measured: &Measured, problem: &Problem, device: &DeviceInfo) -> Result<(), Implausible> {
    let time = measured.time_ns.median;
    if !(time > 0.0 && time.is_finite()) {
        return Err(Implausible::Time { found: time });
    }
    // A CPU computes in FP32 whatever the type.
    let speed = if device.kind().runs_cuda() { speed_over_f16(problem.dtype) } else { 1.0 };
    let (peak, flop) = (device.record.peak_flop_per_cycle * speed, problem.flop());
    if let Some(cycles) = measured.cycles {
        let found = flop as f64 / cycles;
        if !(found <= peak * SLACK) {
            return Err(Implausible::PerCycle { found, peak });
        }
    } else if let Some(max_mhz) = device.record.max_clock_mhz {
        let (found, peak) = (flop as f64 / time * 1e-3, peak * f64::from(max_mhz) * 1e-6);
        if !(found <= peak * SLACK) {
            return Err(Implausible::PerSecond { found, peak });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FakeDevice, measured};
    use super::*;
    use crate::device::Device;
    use crate::problem::Layout;
    use crate::record::DeviceKind;

    #[test]
    fn results_above_the_peak_are_refused() {
        // The fake device does 1000 FLOP a cycle and runs at 1000 MHz at most: 1 TFLOP/s.
        let mut info = FakeDevice::new().info().clone();
        // A million FLOP, whatever the type.
        let million = |dtype| Problem::new(100, 50, 100).in_form(Layout::Nn, dtype);
        let problem = &million(DType::F16);
        let at_clock = |ns, mhz| measured(ns, Some(mhz));
        assert_eq!(refuse_implausible(&at_clock(1000.0, 1000.0), problem, &info), Ok(()));
        let fast = refuse_implausible(&at_clock(900.0, 1000.0), problem, &info).unwrap_err();
        assert!(fast.to_string().contains("1111.1 FLOP a cycle"), "{fast}");
        // The same time at a lower clock is even less plausible; at a higher clock it is fine.
        assert!(refuse_implausible(&at_clock(900.0, 800.0), problem, &info).is_err());
        assert_eq!(refuse_implausible(&at_clock(900.0, 1200.0), problem, &info), Ok(()));
        let unclocked = refuse_implausible(&measured(900.0, None), problem, &info).unwrap_err();
        assert!(matches!(unclocked, Implausible::PerSecond { .. }));
        for nonsense in [0.0, -5.0, f64::NAN, f64::INFINITY] {
            assert!(refuse_implausible(&measured(nonsense, None), problem, &info).is_err(), "{nonsense}");
        }
        // A GPU is twice as fast in bytes, and half as fast in TF32.
        info.record.kind = DeviceKind::Cuda;
        let least_ns = |dtype| {
            (1..=40)
                .map(|i| 50.0 * f64::from(i))
                .find(|&ns| refuse_implausible(&at_clock(ns, 1000.0), &million(dtype), &info).is_ok())
        };
        assert_eq!(DType::ALL.map(least_ns), [1000.0, 1000.0, 2000.0, 500.0, 500.0].map(Some));
    }
}
