//! Whether the numbers of a record can be right together.

use super::{CellRecord, DeviceRecord, Sample};

/// How far a record's median may be from that of its samples, as a share.
const MEDIAN_SLACK: f64 = 0.05;

/// How near a power of 1000 the factor between a record's throughput and what its time comes to is where one of them has another unit.
const UNIT_SLACK: f64 = 0.1;

/// How far above the device's peak a record may be.
const PEAK_SLACK: f64 = 1.1;

/// How far the clock that samples give may be below the device's highest, and above it, as a factor, before it is no clock in MHz.
const CLOCK_RANGE: [f64; 2] = [0.02, 2.0];

impl CellRecord {
    /// Why the numbers of this record cannot be right: a result that failed its check, a median, a throughput or a clock that does not go with the
    /// samples, or a time that the device cannot reach. `None` where nothing speaks against them.
    pub fn contradiction(&self, device: &DeviceRecord) -> Option<String> {
        if let Some(check) = &self.check
            && (check.worst > 1.0 || check.worst.is_nan())
        {
            return Some(format!("its result was wrong: the worst error is {} times what is allowed", check.worst));
        }
        let clocks = self.samples.iter().filter_map(|s| s.clock_mhz).filter(|c| c.is_finite() && *c > 0.0);
        let clock = middle(clocks.collect());
        if let (Some(clock), Some(max)) = (clock, device.max_clock_mhz.filter(|max| *max > 0)) {
            let share = clock / f64::from(max);
            if !(CLOCK_RANGE[0]..=CLOCK_RANGE[1]).contains(&share) {
                return Some(format!("a clock of {clock} MHz cannot be one of a device whose highest is {max} MHz"));
            }
        }
        let timed = |s: &&Sample| s.elapsed_ns > 0 && s.launches > 0;
        let of_samples = middle(self.samples.iter().filter(timed).map(Sample::per_launch_ns).collect());
        let time = of_samples.or(self.median_ns.filter(|ns| *ns > 0).map(|ns| ns as f64))?;
        if let Some(stated) = self.median_ns
            && (stated as f64 / time - 1.0).abs() > MEDIAN_SLACK
            && (stated as f64 - time).abs() > 1.0
        {
            return Some(format!("its median of {stated} ns is not that of its samples, {time:.0} ns"));
        }
        let flop = self.problem.flop() as f64;
        let rate = flop / time * 1e-3;
        // The samples are what was measured, and a throughput only follows from them: one that was not kept up with them says nothing
        // against them, one of another unit does.
        if let Some(stated) = self.tflops
            && is_other_unit(stated / rate)
        {
            return Some(format!(
                "its throughput of {stated:.3e} TFLOP/s does not follow from its samples, {rate:.3e}; the unit of one of them is wrong"
            ));
        }
        let mhz = clock.or(device.max_clock_mhz.map(f64::from))?;
        let per_cycle = flop / (time * mhz * 1e-3);
        (device.peak_flop_per_cycle > 0.0 && per_cycle > device.peak_flop_per_cycle * PEAK_SLACK)
            .then(|| format!("{per_cycle:.0} FLOP a cycle are more than the device can do; the time cannot be right"))
    }
}

/// Whether a factor is a power of 1000 other than 1, or within a tenth of one.
pub fn is_other_unit(factor: f64) -> bool {
    let power = (factor.log10() / 3.0).round();
    power != 0.0 && (factor / 1000f64.powf(power) - 1.0).abs() <= UNIT_SLACK
}

/// The median; `None` of nothing.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n % 2 == 1 { Some(values[n / 2]) } else { (n > 0).then(|| f64::midpoint(values[n / 2 - 1], values[n / 2])) }
}
