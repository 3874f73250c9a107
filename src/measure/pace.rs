//! What surrounds samples: a warm-up, a dwell before each turn, or a rest.

use super::{Regime, Stopping};
use crate::record::DeviceKind;

/// How long a GPU dwells on a problem: its governor averages power over tens of milliseconds, and its clock follows within a few hundred.
const DWELL_GPU_NS: u64 = 500_000_000;
/// The same for a CPU, whose governor is faster.
const DWELL_CPU_NS: u64 = 50_000_000;
/// Samples that would fit in a dwell: each is long enough to see past the ripple of a governor.
const SAMPLES_A_DWELL: u64 = 10;
/// What the dwells of a pair take together at most.
const PAIR_DWELLS_NS: u64 = 5_000_000_000;

/// How long a device rests before a load begins.
const IDLE_GPU_NS: u64 = 2_000_000_000;
const IDLE_CPU_NS: u64 = 500_000_000;
/// How long the beginning of a load is watched: the three seconds that clocks are said to swing for, and three more to hold them against.
const WATCH_NS: u64 = 6_000_000_000;

/// What surrounds the samples of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A warm-up, then samples until they say enough.
    Steady,
    /// The same, and before each turn of a problem it runs untimed.
    Sustained {
        /// For how long, in nanoseconds of device time.
        dwell_ns: u64,
    },
    /// Nothing runs for a while; then samples are taken from the first launch on.
    Onset {
        /// How long nothing runs, in nanoseconds.
        idle_ns: u64,
        /// How long samples are taken, in nanoseconds.
        watch_ns: u64,
    },
}

impl Pace {
    /// The pace of a regime on a kind of device. An emulated device has no time to pace.
    pub const fn of(regime: Regime, kind: DeviceKind) -> Pace {
        match (regime, kind) {
            (Regime::Hot | Regime::Cold, _) | (_, DeviceKind::Emulated) => Pace::Steady,
            (Regime::Sustained, DeviceKind::Cuda) => Pace::Sustained { dwell_ns: DWELL_GPU_NS },
            (Regime::Sustained, DeviceKind::Cpu) => Pace::Sustained { dwell_ns: DWELL_CPU_NS },
            (Regime::Onset, DeviceKind::Cuda) => Pace::Onset { idle_ns: IDLE_GPU_NS, watch_ns: WATCH_NS },
            (Regime::Onset, DeviceKind::Cpu) => Pace::Onset { idle_ns: IDLE_CPU_NS, watch_ns: WATCH_NS },
        }
    }

    /// The time that a unit of so many problems takes at least, in nanoseconds: what a stopping rule cannot shorten.
    pub fn least_ns(self, problems: usize, stopping: &Stopping) -> u64 {
        match self {
            Pace::Steady => 0,
            Pace::Sustained { dwell_ns } if problems < 2 => dwell_ns,
            // A, then B B and A A by turns, then A.
            Pace::Sustained { dwell_ns } => (self.stopping(problems, stopping).min_samples as u64 + 1) * dwell_ns,
            Pace::Onset { idle_ns, watch_ns } => (idle_ns + watch_ns) * problems as u64,
        }
    }

    /// The stopping rule at this pace. A pair's samples are as many as its dwells leave time for, whatever they say.
    pub(super) fn stopping(self, problems: usize, stopping: &Stopping) -> Stopping {
        let Pace::Sustained { dwell_ns } = self else { return stopping.clone() };
        let paced = Stopping {
            min_sample_ns: stopping.min_sample_ns.max(dwell_ns / SAMPLES_A_DWELL),
            cell_ns: stopping.cell_ns.max(2 * dwell_ns),
            ..stopping.clone()
        };
        if problems < 2 {
            return paced;
        }
        let most = 2 * (PAIR_DWELLS_NS / (2 * dwell_ns.max(1))) as usize;
        let samples = stopping.min_samples.next_multiple_of(2).min(most);
        Stopping { min_samples: samples, max_samples: samples, ..paced }
    }
}
