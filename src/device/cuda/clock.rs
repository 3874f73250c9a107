//! The multiprocessors' clock during a batch: cycles over time, on each multiprocessor by its own two counters.

use super::context::Context;
use super::driver::Failed;
use super::launch::argument;
use super::memory::Buffer;
use super::module::Function;
use crate::device::DeviceError;
use bytemuck::{Pod, Zeroable};
use std::rc::Rc;

/// Multiprocessor numbers are below this; they need not be contiguous.
const SLOTS: usize = 1024;

/// A batch must last this long for a clock. The timer moves in steps of up to a microsecond, which is then 2 % at most.
const LEAST_NS: u64 = 50_000;

/// `ClockStamp` of `kernels/micro/clock.cu`; all zero where no CTA ran.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Stamp {
    time_ns: u64,
    ticks: u64,
}
const _: () = assert!(size_of::<Stamp>() == 16);

/// Stamps from before and after a batch.
pub(super) struct Clock {
    context: Rc<Context>,
    stamp: Function,
    before: Buffer,
    after: Buffer,
}

impl Clock {
    /// Loads the kernel and makes room for the stamps.
    pub(super) fn new(context: &Rc<Context>) -> Result<Clock, DeviceError> {
        let bytes = (SLOTS * size_of::<Stamp>()) as u64;
        Ok(Clock {
            context: Rc::clone(context),
            stamp: context.helper("clock_stamp")?,
            before: Buffer::new(context, bytes)?,
            after: Buffer::new(context, bytes)?,
        })
    }

    /// Queues forgetting all stamps.
    pub(super) fn clear(&self) -> Result<(), Failed> {
        self.before.fill_u8(0)?;
        self.after.fill_u8(0)
    }

    /// Queues the stamps from before the batch.
    pub(super) fn stamp_before(&self) -> Result<(), Failed> {
        self.queue(&self.before)
    }

    /// Queues the stamps from after it.
    pub(super) fn stamp_after(&self) -> Result<(), Failed> {
        self.queue(&self.after)
    }

    fn queue(&self, stamps: &Buffer) -> Result<(), Failed> {
        let out = stamps.address();
        // An idle device gives each multiprocessor one CTA. One that is missed does not count; the median has the
        // others.
        // SAFETY: clock_stamp(ClockStamp* out) writes one slot for each multiprocessor; freeing the buffer waits for
        // the stream.
        unsafe { self.context.launch(self.stamp, self.context.units, &mut [argument(&out)]) }
    }

    /// The median clock between the stamps, in MHz; `None` for a batch too short for one.
    pub(super) fn mhz(&self) -> Result<Option<f64>, Failed> {
        let (mut before, mut after) = (vec![Stamp::zeroed(); SLOTS], vec![Stamp::zeroed(); SLOTS]);
        self.before.download(0, &mut before)?;
        self.after.download(0, &mut after)?;
        Ok(median_mhz(&before, &after))
    }
}

fn median_mhz(before: &[Stamp], after: &[Stamp]) -> Option<f64> {
    let mut clocks: Vec<f64> = before.iter().zip(after).filter_map(|(b, a)| mhz_between(b, a)).collect();
    clocks.sort_by(f64::total_cmp);
    let middle = clocks.len() / 2;
    match clocks.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(clocks[middle]),
        _ => Some((clocks[middle - 1] + clocks[middle]) / 2.0),
    }
}

fn mhz_between(before: &Stamp, after: &Stamp) -> Option<f64> {
    if before.time_ns == 0 || after.time_ns == 0 {
        return None;
    }
    let time_ns = after.time_ns.checked_sub(before.time_ns)?;
    let ticks = after.ticks.checked_sub(before.ticks)?;
    (time_ns >= LEAST_NS && ticks > 0).then(|| ticks as f64 * 1000.0 / time_ns as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(time_ns: u64, ticks: u64) -> Stamp {
        Stamp { time_ns, ticks }
    }

    #[test]
    fn the_clock_is_the_median_over_multiprocessors() {
        let before = [stamp(1000, 5), stamp(1000, 70), stamp(1000, 900), stamp(0, 0), stamp(1000, 1)];
        let after = [
            stamp(101_000, 5 + 150_000),
            stamp(101_000, 70 + 151_000),
            stamp(101_000, 900 + 190_000),
            stamp(101_000, 77),
            stamp(0, 0),
        ];
        assert_eq!(median_mhz(&before, &after), Some(1510.0), "slots that were missed on either side do not count");
        assert_eq!(median_mhz(&before[..2], &after[..2]), Some(1505.0));
    }

    #[test]
    fn a_short_batch_or_a_counter_that_went_back_has_no_clock() {
        assert_eq!(median_mhz(&[stamp(1000, 5)], &[stamp(1000 + LEAST_NS - 1, 99_999)]), None);
        assert_eq!(median_mhz(&[stamp(1000, 500)], &[stamp(1_000_000, 499)]), None);
        assert_eq!(median_mhz(&[stamp(1000, 500)], &[stamp(1_000_000, 500)]), None);
        assert_eq!(median_mhz(&[], &[]), None);
    }
}
