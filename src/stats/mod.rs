//! Statistics on samples: pure functions, no device and no files.
//!
//! One concept a file: a median and its interval (`median`), an estimate that outliers and drift do not carry away (`estimate`),
//! one comparison A B B A and its repetitions (`paired`), what an interval decides (`decision`), and how many decisions are
//! taken together (`many`). The rates at which they err on noise like a real machine's are measured in `error_rates`.

mod decision;
#[cfg(test)]
mod error_rates;
mod estimate;
mod many;
mod median;
#[cfg(test)]
pub(crate) mod noise;
mod paired;

pub use decision::{Decision, Rule, decide};
pub use estimate::{ALPHA, Estimate};
pub use many::false_discovery;
pub use median::{MIN_SAMPLES, MedianInterval, median, median_interval};
pub use paired::{
    MIN_BLOCKS, Order, UNSEEN_APART, Unit, block_log_ratios, combine, difference, interpolated, repeated, unpaired,
};
