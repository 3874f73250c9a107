//! The context of one device, and the one stream that all work goes through.

use super::driver::{Driver, Failed};
use super::figures;
use super::gate::Gate;
use super::module::Module;
use cudarc::driver::sys::{CUcontext, CUstream};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_int;
use std::ptr;
use std::rc::Rc;

/// `CU_STREAM_NON_BLOCKING`: does not wait for the legacy default stream, which libraries in this process may use.
const NON_BLOCKING: u32 = 1;

/// Memory that is left to the driver: graphs, local memory and compiled kernels take some later.
const RESERVE_BYTES: u64 = 256 << 20;

/// A share in a device's primary context, and a stream in it.
///
/// Raw pointers keep it on the thread that made it. Several contexts may take turns there: every operation of the
/// device starts with [`Context::bind`].
pub(super) struct Context {
    pub driver: &'static Driver,
    pub stream: CUstream,
    /// Compute capability times ten.
    pub cc: u32,
    /// Multiprocessors.
    pub units: u32,
    pub(super) modules: RefCell<HashMap<String, Module>>,
    device: c_int,
    raw: CUcontext,
}

impl Context {
    /// Takes a share in the primary context of the device at an ordinal.
    pub(super) fn open(gate: &'static Gate, ordinal: u32, cc: u32, units: u32) -> Result<Rc<Context>, Failed> {
        let driver = &gate.driver;
        let device = figures::handle(driver, ordinal)?;
        let mut raw = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { driver.cuDevicePrimaryCtxRetain(&mut raw, device) }?;
        // From here on dropping gives the share back.
        let mut context =
            Context { driver, stream: ptr::null_mut(), cc, units, modules: RefCell::default(), device, raw };
        context.bind()?;
        // SAFETY: the context is current; writes one handle.
        unsafe { driver.cuStreamCreate(&mut context.stream, NON_BLOCKING) }?;
        Ok(Rc::new(context))
    }

    /// Makes this the context that the thread's calls go to.
    pub(super) fn bind(&self) -> Result<(), Failed> {
        // SAFETY: retained until drop.
        unsafe { self.driver.cuCtxSetCurrent(self.raw) }
    }

    /// Waits for everything queued. Errors of kernels come to light here.
    pub(super) fn synchronize(&self) -> Result<(), Failed> {
        // SAFETY: the stream lives as long as the context.
        unsafe { self.driver.cuStreamSynchronize(self.stream) }
    }

    /// Bytes that operands may take now.
    pub(super) fn free_bytes(&self) -> Result<u64, Failed> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two sizes.
        unsafe { self.driver.cuMemGetInfo(&mut free, &mut total) }?;
        Ok((free as u64).saturating_sub(RESERVE_BYTES.min(total as u64 / 16)))
    }

    /// Turns persisting lines that earlier work left in the L2 into ordinary ones. Devices without such lines refuse,
    /// which is as good.
    pub(super) fn reset_persisting_l2(&self) {
        // SAFETY: touches nothing but the cache's replacement state.
        if let Err(failed) = unsafe { self.driver.cuCtxResetPersistingL2Cache() } {
            log::debug!("no persisting lines to reset: {} ({})", failed.name, failed.code);
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // After a lost context each of these fails again, and there is nobody left to tell: whoever met the error first
        // has returned it.
        let _ = self.bind();
        self.modules.get_mut().clear();
        if !self.stream.is_null() {
            // SAFETY: made by this context and not used after.
            let _ = unsafe { self.driver.cuStreamDestroy(self.stream) };
        }
        // SAFETY: gives back the one share taken in `open`.
        let _ = unsafe { self.driver.cuDevicePrimaryCtxRelease(self.device) };
    }
}
