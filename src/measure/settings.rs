//! Which regime to measure in and when to stop.

use crate::record::DeviceKind;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Where the operands are when a launch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Regime {
    /// In whatever cache the launch before left them: every launch uses the same copy.
    Hot,
    /// In memory: launches rotate through copies that together exceed three times the last-level cache.
    Cold,
    /// Where they usually are on the device, which runs the problem untimed for a while before its samples: power and clock are those
    /// that this problem settles at, and not those that the one before left.
    Sustained,
    /// Where they usually are on the device, which does nothing for a while and is then sampled from the first launch on. Such samples
    /// show how a load begins; none of them, nor their median, is what a launch takes.
    Onset,
}

impl Regime {
    /// The one that is usual on a kind of device: cold on a GPU; hot on a CPU, and where there is no time to measure.
    pub const fn usual(kind: DeviceKind) -> Regime {
        match kind {
            DeviceKind::Cuda => Regime::Cold,
            DeviceKind::Cpu | DeviceKind::Emulated => Regime::Hot,
        }
    }

    /// The name used on the command line and in records.
    pub const fn name(self) -> &'static str {
        match self {
            Regime::Hot => "hot",
            Regime::Cold => "cold",
            Regime::Sustained => "sustained",
            Regime::Onset => "onset",
        }
    }

    /// Whether launches on this kind of device rotate through copies of the operands.
    pub const fn rotates(self, kind: DeviceKind) -> bool {
        match self {
            Regime::Hot => false,
            Regime::Cold => true,
            Regime::Sustained | Regime::Onset => matches!(Regime::usual(kind), Regime::Cold),
        }
    }
}

impl FromStr for Regime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hot" => Ok(Regime::Hot),
            "cold" => Ok(Regime::Cold),
            "sustained" => Ok(Regime::Sustained),
            "onset" => Ok(Regime::Onset),
            _ => Err(format!("{text:?} is not a regime: use hot, cold, both or sustained")),
        }
    }
}

/// When a cell has been measured enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopping {
    /// Stop when the median's 95 % interval is narrower than this share of the median.
    pub relative_width: f64,
    /// Fewest samples of a problem.
    pub min_samples: usize,
    /// Most samples of a problem.
    pub max_samples: usize,
    /// Time inside launches after which the sampling of a problem stops. Its warm-up comes on top.
    pub cell_ns: u64,
    /// A warm-up ends after this share of `cell_ns` even if nothing is stable yet.
    pub warmup_share: f64,
    /// A sample lasts at least this many times the timer's resolution, so that it is right to 0.1 %.
    pub resolution_factor: f64,
    /// A sample lasts at least this long in any case, in nanoseconds.
    pub min_sample_ns: u64,
}

impl Default for Stopping {
    fn default() -> Self {
        Stopping {
            relative_width: 0.005,
            min_samples: 10,
            max_samples: 1000,
            cell_ns: 500_000_000,
            warmup_share: 0.3,
            resolution_factor: 1000.0,
            min_sample_ns: 1_000_000,
        }
    }
}

impl Stopping {
    /// How long a sample should last on a device whose timer has this resolution, in nanoseconds.
    pub fn sample_ns(&self, timer_resolution_ns: f64) -> f64 {
        (self.resolution_factor * timer_resolution_ns).max(self.min_sample_ns as f64)
    }
}
