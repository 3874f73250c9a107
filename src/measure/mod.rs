//! Turns a prepared problem into samples that can be trusted.
//!
//! One concept a file: when to stop (`settings`), warming up until nothing changes any more (`warmup`), sampling one problem or
//! two in A B B A order (`sampling`), what surrounds samples (`pace`), how a load begins (`onset`), and what is plausible at all (`plausible`).
//! [`measure`] puts them together.

#[cfg(feature = "criterion")]
mod device_time;
mod onset;
mod pace;
mod plausible;
mod sampling;
mod settings;
mod warmup;

#[cfg(feature = "criterion")]
pub use cudarc;
#[cfg(feature = "criterion")]
pub use device_time::{Begun, DeviceTime};
pub use pace::Pace;
pub use plausible::{Implausible, refuse_implausible};
pub use settings::{Regime, Stopping};

use crate::device::{Device, DeviceError, Prepared};
use crate::record::{Sample, Stop};
use crate::stats::{MedianInterval, median, median_interval};
use std::time::{Duration, Instant};

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

/// Throughput of the second problem over the first's, for each block A B B A of two equally long lists of samples: the time of
/// its two As over the time of its two Bs, a launch each.
pub fn block_ratios(first: &[Sample], second: &[Sample]) -> Vec<f64> {
    let sum = |pair: &[Sample]| pair.iter().map(Sample::per_launch_ns).sum::<f64>();
    first.chunks_exact(2).zip(second.chunks_exact(2)).map(|(a, b)| sum(a) / sum(b)).collect()
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
    heartbeat: Option<fn()>,
    last_beat: Instant,
}

/// The least time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

impl RunClock {
    /// A clock that already shows `before_ns`.
    pub fn starting_at(before_ns: u64) -> Self {
        let now = Instant::now();
        RunClock { began: now, before_ns, kernel_ns: 0, heartbeat: None, last_beat: now }
    }

    /// The same clock, which calls `heartbeat` after launches, at most once a second: whoever waits then knows that none hangs.
    pub fn with_heartbeat(self, heartbeat: Option<fn()>) -> Self {
        RunClock { heartbeat, ..self }
    }

    fn beat(&mut self) {
        if let Some(heartbeat) = self.heartbeat
            && self.last_beat.elapsed() >= HEARTBEAT
        {
            heartbeat();
            self.last_beat = Instant::now();
        }
    }

    /// Does nothing for so many nanoseconds, and gives signs of life meanwhile.
    fn idle(&mut self, ns: u64) {
        let end = Instant::now() + Duration::from_nanos(ns);
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::sleep(left.min(HEARTBEAT / 4));
            self.beat();
        }
    }

    /// Nanoseconds since the run began.
    pub fn now_ns(&self) -> u64 {
        self.before_ns + self.began.elapsed().as_nanos() as u64
    }
}

/// Measures one problem, or two that are to be compared, in A B B A order. How a load begins is measured of each problem by itself.
///
/// # Errors
/// A launch failed.
pub fn measure(
    device: &dyn Device,
    problems: &mut [Box<dyn Prepared>],
    pace: Pace,
    stopping: &Stopping,
    clock: &mut RunClock,
) -> Result<Vec<Measured>, DeviceError> {
    let dwell_ns = match pace {
        Pace::Steady => 0,
        Pace::Sustained { dwell_ns } => dwell_ns,
        Pace::Onset { idle_ns, watch_ns } => {
            let watch = |prepared: &mut Box<dyn Prepared>| {
                let samples = onset::watch(device, prepared.as_mut(), (idle_ns, watch_ns), stopping, clock)?;
                Ok(Measured::new(samples, Stop::Time, false))
            };
            return problems.iter_mut().map(watch).collect();
        }
    };
    let stopping = &pace.stopping(problems.len(), stopping);
    let mut batches = Vec::new();
    let mut warm = Vec::new();
    for prepared in problems.iter_mut() {
        let warmed = warmup::warm_up(device, prepared.as_mut(), stopping, clock)?;
        batches.push(warmed.launches);
        warm.push(warmed.stable);
    }
    let (samples, stop) = sampling::sample(device, problems, &batches, dwell_ns, stopping, clock)?;
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
    clock.beat();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(elapsed_ns: u64, launches: u32) -> Sample {
        Sample {
            at_ns: 0,
            elapsed_ns,
            launches,
            clock_mhz: None,
            power_mw: None,
            temperature_c: None,
            throttle_bits: None,
            throttled: false,
        }
    }

    #[test]
    fn ratios_compare_launches_block_by_block() {
        // Blocks: As of 100 + 120 against Bs of 200 + 240; then 300 + 300 against 2 launches of 150 each. A third, torn block
        // does not count.
        let first = [sample(100, 1), sample(120, 1), sample(300, 1), sample(300, 1), sample(7, 1)];
        let second = [sample(200, 1), sample(240, 1), sample(300, 2), sample(300, 2), sample(9, 1)];
        assert_eq!(block_ratios(&first, &second), [0.5, 2.0]);
    }

    #[test]
    fn a_device_that_drifts_does_not_look_like_an_effect() {
        // Every sample of A B B A takes 1 % longer than the one before; the ratio of each block is 1 within 0.01 %.
        let time = |i: u32| sample((1e9 * 1.01f64.powi(i as i32)) as u64, 1);
        let first: Vec<Sample> = (0..10).flat_map(|b| [time(4 * b), time(4 * b + 3)]).collect();
        let second: Vec<Sample> = (0..10).flat_map(|b| [time(4 * b + 1), time(4 * b + 2)]).collect();
        assert!(block_ratios(&first, &second).iter().all(|r| (r - 1.0).abs() < 2e-4));
    }
}
