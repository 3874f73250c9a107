//! Turns a prepared problem into samples that can be trusted.
//!
//! One concept a file: when to stop ([`settings`]), warming up until nothing changes any more ([`warmup`]), sampling one problem
//! or two in A B B A order ([`sampling`]), and what is plausible at all ([`plausible`]). [`measure`] runs them in that order.

#[cfg(feature = "criterion")]
mod device_time;
mod plausible;
mod sampling;
mod settings;
mod warmup;

#[cfg(feature = "criterion")]
pub use cudarc;
#[cfg(feature = "criterion")]
pub use device_time::{Begun, DeviceTime};
pub use plausible::{Implausible, refuse_implausible};
pub use settings::{Regime, Stopping};

use crate::device::{Device, DeviceError, Prepared};
use crate::record::{Sample, Stop};
use crate::stats::{MedianInterval, median, median_interval};
use std::time::Instant;

/// The samples of one problem and what they say.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// In the order in which they were taken.
    pub samples: Vec<Sample>,
    /// Why sampling stopped.
    pub stop: Stop,
    /// Whether the warm-up ended in a stable state.
    pub warm: bool,
    /// Median time of a launch with its interval, in nanoseconds; the interval is the range of the samples where there are too
    /// few of them for one.
    pub time_ns: MedianInterval,
    /// Median number of clock cycles of a launch, where the device tells its clock.
    pub cycles: Option<f64>,
}

impl Measured {
    fn new(samples: Vec<Sample>, stop: Stop, warm: bool) -> Self {
        let times: Vec<f64> = samples.iter().map(Sample::per_launch_ns).collect();
        let time_ns = median_interval(&times).unwrap_or_else(|| MedianInterval {
            median: median(&times).unwrap_or(f64::NAN),
            lo: times.iter().copied().fold(f64::INFINITY, f64::min),
            hi: times.iter().copied().fold(0.0, f64::max),
        });
        let cycles: Option<Vec<f64>> = samples.iter().map(|s| Some(s.per_launch_ns() * s.clock_mhz? * 1e-3)).collect();
        Measured { stop, warm, time_ns, cycles: cycles.as_deref().and_then(median), samples }
    }
}

/// The run's clock: when it began, and how much of it was spent inside launches.
#[derive(Debug, Clone)]
pub struct RunClock {
    began: Instant,
    before_ns: u64,
    /// Device time of all launches so far, warm-up included.
    pub kernel_ns: u64,
}

impl RunClock {
    /// A clock that already shows `before_ns`.
    pub fn starting_at(before_ns: u64) -> Self {
        RunClock { began: Instant::now(), before_ns, kernel_ns: 0 }
    }

    /// Nanoseconds since the run began.
    pub fn now_ns(&self) -> u64 {
        self.before_ns + self.began.elapsed().as_nanos() as u64
    }
}

/// Measures one problem, or two that are to be compared, in A B B A order.
///
/// # Errors
/// A launch failed.
pub fn measure(
    device: &dyn Device,
    problems: &mut [Box<dyn Prepared>],
    stopping: &Stopping,
    clock: &mut RunClock,
) -> Result<Vec<Measured>, DeviceError> {
    let mut batches = Vec::new();
    let mut warm = Vec::new();
    for prepared in problems.iter_mut() {
        let warmed = warmup::warm_up(device, prepared.as_mut(), stopping, clock)?;
        batches.push(warmed.launches);
        warm.push(warmed.stable);
    }
    let (samples, stop) = sampling::sample(device, problems, &batches, stopping, clock)?;
    Ok(samples.into_iter().zip(warm).map(|(samples, warm)| Measured::new(samples, stop, warm)).collect())
}

/// Times one batch and notes the device's state.
fn one_sample(
    device: &dyn Device,
    prepared: &mut dyn Prepared,
    launches: u32,
    clock: &mut RunClock,
) -> Result<Sample, DeviceError> {
    let at_ns = clock.now_ns();
    let timing = prepared.time(launches)?;
    clock.kernel_ns += timing.elapsed_ns;
    let reading = device.reading();
    Ok(Sample {
        at_ns,
        elapsed_ns: timing.elapsed_ns,
        launches,
        clock_mhz: timing.clock_mhz,
        power_mw: reading.power_mw,
        temperature_c: reading.temperature_c,
        throttle_bits: reading.throttle_bits,
        throttled: reading.throttled,
    })
}

#[cfg(test)]
mod testing;
