//! Device memory, and one word of host memory that the device can read.

use super::context::Context;
use super::driver::Failed;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// `CU_MEMHOSTALLOC_DEVICEMAP`.
const DEVICE_MAPPED: u32 = 2;

/// Plain device memory, never managed: its place and its page size must not depend on who touched it last.
pub(super) struct Buffer {
    context: Rc<Context>,
    address: u64,
    bytes: usize,
}

impl Buffer {
    /// Allocates; 0 bytes become 1, so that there is always an address.
    pub(super) fn new(context: &Rc<Context>, bytes: u64) -> Result<Buffer, Failed> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(1);
        let mut address = 0;
        // SAFETY: the context is bound by whoever works on it; writes one address.
        unsafe { context.driver.cuMemAlloc(&mut address, bytes) }?;
        Ok(Buffer { context: Rc::clone(context), address, bytes })
    }

    /// The context that it belongs to.
    pub(super) fn context(&self) -> &Rc<Context> {
        &self.context
    }

    /// Its first byte, as the device counts.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Queues filling `bytes`, from byte `at` on, with a 16-bit pattern or, where `width` is 4, a 32-bit one.
    pub(super) fn fill_pattern(&self, at: u64, width: usize, pattern: u32, bytes: u64) -> Result<(), Failed> {
        self.assert_inside(at, bytes);
        let (Context { driver, stream, .. }, to) = (&*self.context, self.address + at);
        match width {
            // SAFETY: inside the allocation.
            2 => unsafe { driver.cuMemsetD16Async(to, pattern as u16, bytes as usize / 2, *stream) },
            // SAFETY: inside the allocation.
            4 => unsafe { driver.cuMemsetD32Async(to, pattern, bytes as usize / 4, *stream) },
            _ => unreachable!("elements of C have 2 or 4 bytes"),
        }
    }

    /// Queues filling the buffer with a byte.
    pub(super) fn fill_u8(&self, value: u8) -> Result<(), Failed> {
        let context = &self.context;
        // SAFETY: the whole allocation.
        unsafe { context.driver.cuMemsetD8Async(self.address, value, self.bytes, context.stream) }
    }

    /// Queues copying `bytes` from byte `from` of `source` to byte `at` of this buffer.
    pub(super) fn copy_from(&self, at: u64, source: &Buffer, from: u64, bytes: u64) -> Result<(), Failed> {
        self.assert_inside(at, bytes);
        source.assert_inside(from, bytes);
        let context = &self.context;
        // SAFETY: both inside their allocations; callers never let the two ranges overlap.
        unsafe {
            context.driver.cuMemcpyDtoDAsync(self.address + at, source.address + from, bytes as usize, context.stream)
        }
    }

    /// Repeats the `stride` bytes at byte `at` until there are `copies` of them, one after the other, in about
    /// log2(copies) steps.
    pub(super) fn repeat(&self, at: u64, stride: u64, copies: u64) -> Result<(), Failed> {
        let mut done = 1;
        while done < copies {
            let next = done.min(copies - done);
            self.copy_from(at + done * stride, self, at, next * stride)?;
            done += next;
        }
        Ok(())
    }

    /// Copies from the host to byte `at`, and waits.
    pub(super) fn upload<T: bytemuck::NoUninit>(&self, at: u64, values: &[T]) -> Result<(), Failed> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.assert_inside(at, bytes.len() as u64);
        let context = &self.context;
        // SAFETY: inside the allocation, and the host's bytes live until the wait below is over.
        unsafe {
            context.driver.cuMemcpyHtoDAsync(self.address + at, bytes.as_ptr().cast(), bytes.len(), context.stream)
        }?;
        context.synchronize()
    }

    /// Copies from byte `at` to the host, after all that is queued.
    pub(super) fn download<T: bytemuck::Pod>(&self, at: u64, values: &mut [T]) -> Result<(), Failed> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        self.assert_inside(at, bytes.len() as u64);
        let context = &self.context;
        // SAFETY: inside the allocation, and the host's bytes are borrowed until the wait below is over.
        unsafe {
            context.driver.cuMemcpyDtoHAsync(bytes.as_mut_ptr().cast(), self.address + at, bytes.len(), context.stream)
        }?;
        context.synchronize()
    }

    fn assert_inside(&self, at: u64, bytes: u64) {
        assert!(at <= self.bytes as u64 && bytes <= self.bytes as u64 - at, "{bytes} bytes at {at} of {}", self.bytes);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Freeing waits for the stream. It fails only where the context is lost, which whoever met it first has
        // reported.
        let _ = self.context.bind();
        // SAFETY: allocated by this context, and not used after.
        let _ = unsafe { self.context.driver.cuMemFree(self.address) };
    }
}

/// A word of pinned host memory that kernels see while the host writes it.
pub(super) struct Flag {
    context: Rc<Context>,
    host: NonNull<AtomicU32>,
    address: u64,
}

impl Flag {
    /// Allocates the word; it holds 0.
    pub(super) fn new(context: &Rc<Context>) -> Result<Flag, Failed> {
        let driver = context.driver;
        let mut pointer: *mut c_void = ptr::null_mut();
        // SAFETY: writes one pointer.
        unsafe { driver.cuMemHostAlloc(&mut pointer, size_of::<AtomicU32>(), DEVICE_MAPPED) }?;
        let Some(host) = NonNull::new(pointer.cast::<AtomicU32>()) else {
            return Err(Failed { call: "cuMemHostAlloc", code: 0, name: "success without an address".to_owned() });
        };
        // From here on dropping frees it.
        let mut flag = Flag { context: Rc::clone(context), host, address: 0 };
        flag.set(0);
        // SAFETY: the memory was allocated mapped; writes one address.
        unsafe { driver.cuMemHostGetDevicePointer(&mut flag.address, pointer, 0) }?;
        Ok(flag)
    }

    /// The word's address, as the device counts.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Writes the word.
    pub(super) fn set(&self, value: u32) {
        // SAFETY: allocated in `new`, page-aligned, freed in drop; the device only reads it, and an atomic store is one
        // write.
        unsafe { self.host.as_ref() }.store(value, Ordering::SeqCst);
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // A kernel that waits for this word may still be queued where an error cut its batch short.
        self.set(1);
        let _ = self.context.synchronize();
        // SAFETY: allocated in `new`, and nothing on the device reads it any more.
        let _ = unsafe { self.context.driver.cuMemFreeHost(self.host.as_ptr().cast()) };
    }
}
