//! The device time of a batch: two events around a graph, on a stream that was held until all of it was queued.

use super::clock::Clock;
use super::context::Context;
use super::driver::Failed;
use super::graph::Graph;
use super::hold::Hold;
use crate::device::{DeviceError, Timing};
use cudarc::driver::sys::CUevent;
use std::ptr;
use std::rc::Rc;

/// `CU_EVENT_DEFAULT`: an event that takes the time.
const WITH_TIMING: u32 = 0;

/// What timing needs, made once for a device.
pub(super) struct Timer {
    context: Rc<Context>,
    start: Event,
    end: Event,
    clock: Clock,
    hold: Hold,
}

impl Timer {
    /// Makes the events and loads the kernels.
    pub(super) fn new(context: &Rc<Context>) -> Result<Timer, DeviceError> {
        Ok(Timer {
            start: Event::new(context)?,
            end: Event::new(context)?,
            clock: Clock::new(context)?,
            hold: Hold::new(context)?,
            context: Rc::clone(context),
        })
    }

    /// Runs a graph of so many launches and waits for it.
    pub(super) fn time(&self, batch: &Graph, launches: u32) -> Result<Timing, DeviceError> {
        while !self.run_in_one_piece(batch, launches)? {}
        Ok(Timing { elapsed_ns: self.start.elapsed_ns(&self.end)?, clock_mhz: self.clock.mhz()? })
    }

    /// Runs a graph once. `false` if the host was too slow, or was kept waiting; that does not happen twice to a size.
    fn run_in_one_piece(&self, batch: &Graph, launches: u32) -> Result<bool, Failed> {
        self.clock.clear()?;
        // Earlier work ends here, so that the hold begins at once and an earlier error is not taken for the batch's.
        self.context.synchronize()?;
        let held = self.hold.start(launches)?;
        // Clock stamps stay outside the events: their launches are no part of the batch.
        self.clock.stamp_before()?;
        self.start.record()?;
        batch.launch()?;
        self.end.record()?;
        self.clock.stamp_after()?;
        let in_one_piece = held.release();
        self.context.synchronize()?;
        Ok(in_one_piece)
    }
}

/// A point in the stream whose time is taken.
struct Event {
    context: Rc<Context>,
    raw: CUevent,
}

impl Event {
    fn new(context: &Rc<Context>) -> Result<Event, Failed> {
        let mut raw = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { context.driver.cuEventCreate(&mut raw, WITH_TIMING) }?;
        Ok(Event { context: Rc::clone(context), raw })
    }

    fn record(&self) -> Result<(), Failed> {
        // SAFETY: event and stream belong to this context.
        unsafe { self.context.driver.cuEventRecord(self.raw, self.context.stream) }
    }

    /// From this event to a later one; both must have happened.
    fn elapsed_ns(&self, end: &Event) -> Result<u64, Failed> {
        let mut milliseconds = 0.0;
        // SAFETY: both events belong to this context; writes one float.
        unsafe { self.context.driver.cuEventElapsedTime(&mut milliseconds, self.raw, end.raw) }?;
        Ok(nanoseconds(milliseconds))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made in `new` and not used after; the driver keeps it until it has happened.
        let _ = unsafe { self.context.driver.cuEventDestroy(self.raw) };
    }
}

/// The driver's single-precision milliseconds as whole nanoseconds. Its steps are below an event's resolution up to
/// four seconds.
fn nanoseconds(milliseconds: f32) -> u64 {
    (f64::from(milliseconds) * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_become_whole_nanoseconds() {
        assert_eq!(nanoseconds(1.5), 1_500_000);
        assert_eq!(nanoseconds(0.000_512), 512);
        assert_eq!(nanoseconds(0.0), 0);
        assert_eq!(nanoseconds(-1.0), 0, "a driver's nonsense does not wrap around");
        let step = nanoseconds(4096.0) - nanoseconds(f32::from_bits(4096f32.to_bits() - 1));
        assert!(step <= 500, "{step} ns");
    }
}
