//! Holding the stream until a whole batch is queued.
//!
//! Without a hold the device starts on the first event at once and then waits for the host to queue the graph: some ten
//! microseconds that would count as the batch's. So a kernel that spins on a word of pinned memory goes first, and the
//! host writes the word when everything is queued.
//!
//! Sharp edges:
//! * Whatever waits for the device between [`Hold::start`] and [`Held::release`] waits for the hold: allocations,
//!   loading a module, a download. So all of that comes before.
//! * The device takes only so many launches ahead (about a thousand); one more and the host waits, too. A batch is one
//!   graph, so it counts as one.
//! * Where launches do not return before they end (CUDA_LAUNCH_BLOCKING=1, some debuggers and profilers), nothing could
//!   ever be queued behind the hold. A trial finds that out once, and batches then go without. So they do where the
//!   device cannot see the host's memory.
//! * If the host has to wait all the same, the kernel gives up after [`TIMEOUT`]. Batches of so many launches then go
//!   without, too, and the one that jammed runs again.

use super::context::Context;
use super::driver::{Failed, NOT_READY, NOT_SUPPORTED};
use super::launch::argument;
use super::memory::Flag;
use super::module::Function;
use crate::device::DeviceError;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// After this the kernel stops waiting.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a trial waits for a host that is busy elsewhere.
const TRIAL: Duration = Duration::from_millis(1);

/// Trials before launches are taken to be synchronous: the host may lose its processor in the middle of one.
const TRIALS: u32 = 3;

/// What holding a stream needs, where it can be held.
pub(super) struct Hold(Option<Spinner>);

struct Spinner {
    context: Rc<Context>,
    kernel: Function,
    flag: Flag,
    /// Batches with fewer launches than this are held.
    jams_from: Cell<u32>,
}

/// A stream that waits. Dropping it without [`Held::release`] lets it go on, too.
pub(super) struct Held<'a> {
    /// Who holds it, for how many launches, and since when.
    by: Option<(&'a Spinner, u32, Instant)>,
}

impl Hold {
    /// Loads the kernel, and tries it.
    pub(super) fn new(context: &Rc<Context>) -> Result<Hold, DeviceError> {
        let flag = match Flag::new(context) {
            Ok(flag) => flag,
            Err(failed) if failed.code == NOT_SUPPORTED => {
                log::info!("the device cannot see the host's memory, so batches start without a hold");
                return Ok(Hold(None));
            }
            Err(failed) => return Err(failed.into()),
        };
        let kernel = context.helper("spin_until")?;
        let spinner = Spinner { context: Rc::clone(context), kernel, flag, jams_from: Cell::new(u32::MAX) };
        if spinner.launches_are_asynchronous()? {
            return Ok(Hold(Some(spinner)));
        }
        log::info!("launches return only when they end here, so batches start without a hold");
        Ok(Hold(None))
    }

    /// Makes the stream wait for a batch of so many launches, where it can. The stream must be empty.
    pub(super) fn start(&self, launches: u32) -> Result<Held<'_>, Failed> {
        match &self.0 {
            Some(spinner) if launches < spinner.jams_from.get() => {
                let since = Instant::now();
                spinner.spin(TIMEOUT)?;
                Ok(Held { by: Some((spinner, launches, since)) })
            }
            _ => Ok(Held { by: None }),
        }
    }
}

impl Spinner {
    fn spin(&self, timeout: Duration) -> Result<(), Failed> {
        self.flag.set(0);
        let (flag, timeout_ns) = (self.flag.address(), timeout.as_nanos() as u64);
        // SAFETY: spin_until(volatile unsigned* flag, unsigned long long timeout_ns); the flag waits for the stream
        // before it is freed.
        unsafe { self.context.launch(self.kernel, 1, &mut [argument(&flag), argument(&timeout_ns)]) }
    }

    fn launches_are_asynchronous(&self) -> Result<bool, Failed> {
        // The first launch of a kernel may load it and wait for that; it is no trial.
        self.spin(Duration::ZERO)?;
        self.context.synchronize()?;
        for _ in 0..TRIALS {
            self.spin(TRIAL)?;
            // SAFETY: the stream lives as long as the context.
            let query = unsafe { self.context.driver.cuStreamQuery(self.context.stream) };
            self.flag.set(1);
            self.context.synchronize()?;
            match query {
                Err(Failed { code: NOT_READY, .. }) => return Ok(true),
                Err(other) => return Err(other),
                Ok(()) => {}
            }
        }
        Ok(false)
    }
}

impl Held<'_> {
    /// Lets the stream go on. Says whether it waited until now, or was not held at all; if not, the batch did not run
    /// in one piece, and from now on none of its size is held.
    pub(super) fn release(mut self) -> bool {
        let Some((spinner, launches, since)) = self.by.take() else { return true };
        spinner.flag.set(1);
        let held = since.elapsed();
        if held < TIMEOUT {
            return true;
        }
        log::warn!(
            "queueing {launches} launches behind a hold took {held:?}; such batches start without one from now on"
        );
        spinner.jams_from.set(launches);
        false
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some((spinner, ..)) = self.by.take() {
            spinner.flag.set(1);
        }
    }
}
