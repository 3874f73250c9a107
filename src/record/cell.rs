//! One line of `samples.jsonl`: a cell of the plan with its samples, or with the reason why it has none.

use super::Counters;
use super::number::{maybe, whole};
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What became of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Measured and checked.
    Ok,
    /// Not measured, and nothing went wrong: too large for the memory, no legal kernel, out of budget.
    Skipped,
    /// Tried without a result that can be trusted.
    Failed,
}

/// Which side of a comparison a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The aligned problem that the other one is held against: A of A B B A.
    Baseline,
    /// The problem in question: B of A B B A.
    Variant,
}

/// Why sampling stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// The 95 % interval of the median became narrow enough.
    Interval,
    /// The cell's time ran out first.
    Time,
    /// The largest number of samples was reached first.
    Samples,
}

/// One timed batch of launches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Nanoseconds from the start of the run to the start of this sample.
    #[serde(deserialize_with = "whole")]
    pub at_ns: u64,
    /// Device time of the whole batch, in nanoseconds.
    #[serde(deserialize_with = "whole")]
    pub elapsed_ns: u64,
    /// Launches in the batch.
    #[serde(deserialize_with = "whole")]
    pub launches: u32,
    /// Clock of the multiprocessors during the batch; on a CPU, of one core just before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_mhz: Option<f64>,
    /// Board power, in milliwatts.
    #[serde(default, deserialize_with = "maybe", skip_serializing_if = "Option::is_none")]
    pub power_mw: Option<u32>,
    /// Temperature of the chip, in degrees Celsius.
    #[serde(default, deserialize_with = "maybe", skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<u32>,
    /// NVML's bits for why the clock is lower than it could be; 0 is none.
    #[serde(default, deserialize_with = "maybe", skip_serializing_if = "Option::is_none")]
    pub throttle_bits: Option<u64>,
    /// Whether one of those bits means a loss of speed under load. Such samples are kept and tagged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub throttled: bool,
}

impl Sample {
    /// Nanoseconds per launch.
    pub fn per_launch_ns(&self) -> f64 {
        self.elapsed_ns as f64 / f64::from(self.launches)
    }
}

/// How C was checked after the timing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Elements of C compared with the reference.
    pub elements: u64,
    /// Elements of C in all. Where `elements` is smaller, whole rows were drawn by the run's seed.
    pub of: u64,
    /// The largest error found, as a share of the bound.
    pub worst: f64,
    /// Where the reference was computed: `host f64` or `device f64`.
    pub reference: String,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    /// The cell's number in the plan.
    pub cell: u64,
    /// The part of the plan that it belongs to, such as `shape` or `alignment`.
    #[serde(default)]
    pub part: String,
    /// Number of the comparison, where the cell is one side of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<u64>,
    /// Which side of the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Sizes, layout, type, leading dimensions, offsets, alpha and beta.
    #[serde(flatten)]
    pub problem: Problem,
    /// The device's name.
    #[serde(default)]
    pub device: String,
    /// Name of the kernel, or what was asked for where none could be chosen.
    pub kernel: String,
    /// The variant that ran; empty where none did.
    #[serde(default)]
    pub variant: String,
    /// Why this variant was chosen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dispatch: String,
    /// `hot`, `cold`, `sustained` or `onset`.
    pub regime: String,
    /// What the operands were drawn from, where it is not what the manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// How long the problem ran untimed before each of its turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_ns: Option<u64>,
    /// How long the device rested before the first sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ns: Option<u64>,
    /// What became of the cell.
    pub status: Status,
    /// Why it was skipped or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Median time of a launch.
    #[serde(default, deserialize_with = "maybe")]
    pub median_ns: Option<u64>,
    /// Lower end of the median's 95 % interval.
    #[serde(default, deserialize_with = "maybe")]
    pub median_lo_ns: Option<u64>,
    /// Upper end of the median's 95 % interval.
    #[serde(default, deserialize_with = "maybe")]
    pub median_hi_ns: Option<u64>,
    /// 2·m·n·k over the median time, in 10^12 per second.
    pub tflops: Option<f64>,
    /// 2·m·n·k over the median number of cycles of a launch, for the whole device.
    pub flop_per_cycle: Option<f64>,
    /// On the variant's side of a comparison: its throughput over the baseline's, the median over blocks of A B B A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_ratio: Option<f64>,
    /// Lower end of that median's 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_ratio_lo: Option<f64>,
    /// Upper end of that median's 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_ratio_hi: Option<f64>,
    /// Copies of the operands that launches rotated through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// Bytes of memory that the kernel worked in besides the operands, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_bytes: Option<u64>,
    /// Why sampling stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Samples taken while the device held its clock back.
    #[serde(default)]
    pub throttled_samples: u32,
    /// Whether the warm-up ended because clock and time were stable, and not because its time ran out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<bool>,
    /// How C was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// What the emulated device counted during one launch. It has no times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Box<Counters>>,
    /// The samples, in the order in which they were taken. Readers that do not need them may leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

impl CellRecord {
    /// What cells must share to be looked at together: the regime, and what their operands were drawn from where that is not what the
    /// manifest says, as in `sustained, zeros`.
    pub fn setting(&self) -> Cow<'_, str> {
        match &self.distribution {
            None => Cow::Borrowed(&self.regime),
            Some(distribution) => Cow::Owned(format!("{}, {distribution}", self.regime)),
        }
    }

    /// Whether the reason is one that a resumed run may remove: the cell was never reached.
    pub fn not_reached(&self) -> bool {
        self.status == Status::Skipped && self.reason.as_deref().is_some_and(|r| r.starts_with(NOT_REACHED))
    }
}

/// How the reason of a cell that the budget did not reach begins.
pub const NOT_REACHED: &str = "not reached";
