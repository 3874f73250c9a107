//! Holding the stream until a whole batch is queued.
//!
//! Without a hold the device starts on the first event at once and then waits for the host to queue the graph: some ten
//! microseconds that would count as the batch's. So a kernel that spins on a word of pinned memory goes first, and the host writes
//! the word when everything is queued.
//!
//! Sharp edges:
//! * Whatever waits for the device between [`Hold::start`] and [`Held::release`] waits for the hold: allocations, loading a module,
//!   a download. So all of that comes before.
//! * The device takes only so many launches ahead (about a thousand); one more and the host waits, too. A batch is one graph, so it
//!   counts as one.
//! * Where launches do not return before they end (CUDA_LAUNCH_BLOCKING=1, some debuggers and profilers), nothing could ever be
//!   queued behind the hold. A trial finds that out once, and batches then go without. So they do where the device cannot see
//!   the host's memory.
//! * If all else fails the kernel gives up after [`TIMEOUT`]. The batch then ran without a hold and its time is not used.

use super::context::Context;
use super::driver::{Failed, NOT_READY, NOT_SUPPORTED};
use super::launch::argument;
use super::memory::Flag;
use super::module::Function;
use crate::device::DeviceError;
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
}

/// A stream that waits. Dropping it without [`Held::release`] lets it go on, too.
pub(super) struct Held<'a> {
    /// The flag that it waits for, and since when.
    waiting: Option<(&'a Flag, Instant)>,
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
        let spinner = Spinner { context: Rc::clone(context), kernel: context.helper("spin_until")?, flag };
        if spinner.launches_are_asynchronous()? {
            return Ok(Hold(Some(spinner)));
        }
        log::info!("launches return only when they end here, so batches start without a hold");
        Ok(Hold(None))
    }

    /// Makes the stream wait, where it can. The stream must be empty.
    pub(super) fn start(&self) -> Result<Held<'_>, Failed> {
        let Some(spinner) = &self.0 else { return Ok(Held { waiting: None }) };
        let since = Instant::now();
        spinner.spin(TIMEOUT)?;
        Ok(Held { waiting: Some((&spinner.flag, since)) })
    }
}

impl Spinner {
    fn spin(&self, timeout: Duration) -> Result<(), Failed> {
        self.flag.set(0);
        let (flag, timeout_ns) = (self.flag.address(), timeout.as_nanos() as u64);
        // SAFETY: spin_until(volatile unsigned* flag, unsigned long long timeout_ns); the flag waits for the stream before it is freed.
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
    /// Lets the stream go on.
    ///
    /// # Errors
    /// The kernel had given up already, so that the batch did not wait for all of itself.
    pub(super) fn release(mut self) -> Result<(), DeviceError> {
        match self.let_go() {
            Some(held) if held >= TIMEOUT => Err(DeviceError::Driver {
                call: "cuGraphLaunch",
                name: format!("queueing a batch took more than {TIMEOUT:?}, so that it did not run in one piece"),
                sticky: false,
            }),
            _ => Ok(()),
        }
    }

    /// Lets the stream go on, if it waits, and says how long it did.
    fn let_go(&mut self) -> Option<Duration> {
        let (flag, since) = self.waiting.take()?;
        flag.set(1);
        Some(since.elapsed())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}
