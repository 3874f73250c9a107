//! The driver's functions that this program calls, found by name, and what they return.
//!
//! cudarc finds and opens the library and describes its types. Its own functions are not used, for two reasons. They
//! panic where the library lacks a symbol; here every symbol is looked up once, and a missing one is an answer. And
//! they return a Rust enum, so that an error code newer than the bindings would be undefined behaviour; here a code is
//! a number.

use super::emulated;
use crate::device::{DeviceError, GpuAbsent};
use cudarc::driver::sys::{
    self, CUcontext, CUdeviceptr, CUevent, CUfunction, CUgraph, CUgraphExec, CUmodule, CUstream,
};
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_ushort, c_void};

/// `CUDA_SUCCESS`.
pub(super) const SUCCESS: u32 = 0;
/// `CUDA_ERROR_OUT_OF_MEMORY`.
pub(super) const OUT_OF_MEMORY: u32 = 2;
/// `CUDA_ERROR_STUB_LIBRARY`.
pub(super) const STUB_LIBRARY: u32 = 34;
/// `CUDA_ERROR_NO_DEVICE`.
pub(super) const NO_DEVICE: u32 = 100;
/// `CUDA_ERROR_UNSUPPORTED_PTX_VERSION`.
pub(super) const UNSUPPORTED_PTX_VERSION: u32 = 222;
/// `CUDA_ERROR_NOT_READY`.
pub(super) const NOT_READY: u32 = 600;

/// `CUDA_ERROR_NOT_SUPPORTED`.
pub(super) const NOT_SUPPORTED: u32 = 801;

/// A call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// The driver's function, by its name in the documentation.
    pub call: &'static str,
    /// The driver's error.
    pub code: u32,
    /// And its name.
    pub name: String,
}

impl From<Failed> for DeviceError {
    fn from(failed: Failed) -> Self {
        let (sticky, lost) = (failed.is_sticky(), failed.is_lost());
        DeviceError::Driver { call: failed.call, name: format!("{} ({})", failed.name, failed.code), sticky, lost }
    }
}

impl Failed {
    /// Whether the error stays with the context, or with the device, so that every later call returns it too.
    pub(super) fn is_sticky(&self) -> bool {
        // 4: deinitialised. 46: device unavailable. 214, 220: uncorrectable ECC and NVLink errors. 700: illegal
        // address. 702: launch timeout. 709: context destroyed. 710: assert. 714 to 719: hardware stack, illegal
        // instruction, misaligned address, address space, program counter, launch failure. 721: contained error. 999:
        // unknown.
        matches!(self.code, 4 | 46 | 214 | 220 | 700 | 702 | 709 | 710 | 714..=719 | 721 | 999)
    }

    /// Whether the device is at fault: it is unavailable, or memory, NVLink or another part of it has failed.
    fn is_lost(&self) -> bool {
        matches!(self.code, 46 | 214 | 220 | 721)
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $call:ident = $symbol:literal ($($arg:ident: $type:ty),*);)*) => {
        /// The driver's functions, each checked to be there.
        #[allow(non_snake_case)]
        pub(super) struct Driver {
            get_error_name: GetErrorName,
            $($call: unsafe extern "C" fn($($type),*) -> c_uint,)*
        }

        #[allow(non_snake_case, clippy::too_many_arguments)]
        impl Driver {
            /// Looks up every function.
            ///
            /// # Safety
            /// `is_culib_present` has said yes, and that library exports functions with the signatures of `cuda.h`.
            pub(super) unsafe fn resolve() -> Result<Driver, GpuAbsent> {
                Ok(Driver {
                    // SAFETY: as below.
                    get_error_name: unsafe { find("cuGetErrorName")? },
                    $(
                        // SAFETY: the caller vouches for the library, and the list below copies the signatures of
                        // cuda.h.
                        $call: unsafe { find($symbol)? },
                    )*
                })
            }

            $(
                $(#[$doc])*
                ///
                /// # Safety
                /// As the driver's documentation asks: live handles, valid addresses.
                pub(super) unsafe fn $call(&self, $($arg: $type),*) -> Result<(), Failed> {
                    // SAFETY: passed on to the caller.
                    self.checked(stringify!($call), unsafe { (self.$call)($($arg),*) })
                }
            )*
        }
    };
}

functions! {
    /// How many devices there are.
    cuDeviceGetCount = "cuDeviceGetCount" (count: *mut c_int);
    /// The device at an ordinal.
    cuDeviceGet = "cuDeviceGet" (device: *mut c_int, ordinal: c_int);
    /// Its name, NUL-terminated.
    cuDeviceGetName = "cuDeviceGetName" (name: *mut c_char, length: c_int, device: c_int);
    /// Its universal identifier: 16 bytes.
    cuDeviceGetUuid = "cuDeviceGetUuid_v2" (uuid: *mut sys::CUuuid, device: c_int);
    /// Its PCI address, NUL-terminated.
    cuDeviceGetPCIBusId = "cuDeviceGetPCIBusId" (id: *mut c_char, length: c_int, device: c_int);
    /// Its memory.
    cuDeviceTotalMem = "cuDeviceTotalMem_v2" (bytes: *mut usize, device: c_int);
    /// One of its figures.
    cuDeviceGetAttribute = "cuDeviceGetAttribute" (value: *mut c_int, attribute: c_int, device: c_int);
    /// Takes a share in the device's primary context.
    cuDevicePrimaryCtxRetain = "cuDevicePrimaryCtxRetain" (context: *mut CUcontext, device: c_int);
    /// Gives it back.
    cuDevicePrimaryCtxRelease = "cuDevicePrimaryCtxRelease_v2" (device: c_int);
    /// Makes a context the calling thread's.
    cuCtxSetCurrent = "cuCtxSetCurrent" (context: CUcontext);
    /// Turns persisting lines of the L2 back into ordinary ones.
    cuCtxResetPersistingL2Cache = "cuCtxResetPersistingL2Cache" ();
    /// Makes a stream.
    cuStreamCreate = "cuStreamCreate" (stream: *mut CUstream, flags: c_uint);
    /// Ends a stream once its work is done.
    cuStreamDestroy = "cuStreamDestroy_v2" (stream: CUstream);
    /// Waits until a stream is empty.
    cuStreamSynchronize = "cuStreamSynchronize" (stream: CUstream);
    /// Asks whether a stream is empty.
    cuStreamQuery = "cuStreamQuery" (stream: CUstream);
    /// Turns launches on a stream into nodes of a graph.
    cuStreamBeginCapture = "cuStreamBeginCapture_v2" (stream: CUstream, mode: c_uint);
    /// Ends that.
    cuStreamEndCapture = "cuStreamEndCapture" (stream: CUstream, graph: *mut CUgraph);
    /// Makes an event.
    cuEventCreate = "cuEventCreate" (event: *mut CUevent, flags: c_uint);
    /// Ends an event.
    cuEventDestroy = "cuEventDestroy_v2" (event: CUevent);
    /// Queues an event.
    cuEventRecord = "cuEventRecord" (event: CUevent, stream: CUstream);
    /// Milliseconds from one event to another.
    cuEventElapsedTime = "cuEventElapsedTime_v2" (milliseconds: *mut f32, start: CUevent, end: CUevent);
    /// Loads a cubin, or PTX that it compiles.
    cuModuleLoadDataEx = "cuModuleLoadDataEx" (
        module: *mut CUmodule, image: *const c_void, count: c_uint, options: *mut c_uint, values: *mut *mut c_void
    );
    /// Unloads a module.
    cuModuleUnload = "cuModuleUnload" (module: CUmodule);
    /// Finds a kernel in a module.
    cuModuleGetFunction = "cuModuleGetFunction" (function: *mut CUfunction, module: CUmodule, name: *const c_char);
    /// Sets an attribute of a kernel.
    cuFuncSetAttribute = "cuFuncSetAttribute" (function: CUfunction, attribute: c_uint, value: c_int);
    /// Launches a kernel.
    cuLaunchKernelEx = "cuLaunchKernelEx" (
        config: *const sys::CUlaunchConfig, function: CUfunction, params: *mut *mut c_void, extra: *mut *mut c_void
    );
    /// Describes a matrix for tensor copies.
    cuTensorMapEncodeTiled = "cuTensorMapEncodeTiled" (
        map: *mut c_void, element: c_uint, rank: c_uint, address: *mut c_void, dims: *const u64, strides: *const u64,
        tile: *const u32, steps: *const u32, interleave: c_uint, swizzle: c_uint, promotion: c_uint, fill: c_uint
    );
    /// Makes a graph launchable.
    cuGraphInstantiate = "cuGraphInstantiateWithFlags" (exec: *mut CUgraphExec, graph: CUgraph, flags: c_ulonglong);
    /// Brings a graph to the device ahead of its launch.
    cuGraphUpload = "cuGraphUpload" (exec: CUgraphExec, stream: CUstream);
    /// Launches a graph.
    cuGraphLaunch = "cuGraphLaunch" (exec: CUgraphExec, stream: CUstream);
    /// Ends a graph's description.
    cuGraphDestroy = "cuGraphDestroy" (graph: CUgraph);
    /// Ends a launchable graph.
    cuGraphExecDestroy = "cuGraphExecDestroy" (exec: CUgraphExec);
    /// Memory that is free, and all of it.
    cuMemGetInfo = "cuMemGetInfo_v2" (free: *mut usize, total: *mut usize);
    /// Allocates device memory.
    cuMemAlloc = "cuMemAlloc_v2" (address: *mut CUdeviceptr, bytes: usize);
    /// Frees it.
    cuMemFree = "cuMemFree_v2" (address: CUdeviceptr);
    /// Allocates pinned host memory.
    cuMemHostAlloc = "cuMemHostAlloc" (pointer: *mut *mut c_void, bytes: usize, flags: c_uint);
    /// Frees it.
    cuMemFreeHost = "cuMemFreeHost" (pointer: *mut c_void);
    /// The device's address of pinned host memory.
    cuMemHostGetDevicePointer = "cuMemHostGetDevicePointer_v2" (
        address: *mut CUdeviceptr, pointer: *mut c_void, flags: c_uint
    );
    /// Fills memory with a byte.
    cuMemsetD8Async = "cuMemsetD8Async" (address: CUdeviceptr, value: u8, count: usize, stream: CUstream);
    /// Fills memory with a 16-bit pattern.
    cuMemsetD16Async = "cuMemsetD16Async" (address: CUdeviceptr, value: c_ushort, count: usize, stream: CUstream);
    /// Fills memory with a 32-bit pattern.
    cuMemsetD32Async = "cuMemsetD32Async" (address: CUdeviceptr, value: c_uint, count: usize, stream: CUstream);
    /// Copies on the device.
    cuMemcpyDtoDAsync = "cuMemcpyDtoDAsync_v2" (to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: CUstream);
    /// Copies to the device.
    cuMemcpyHtoDAsync = "cuMemcpyHtoDAsync_v2" (to: CUdeviceptr, from: *const c_void, bytes: usize, stream: CUstream);
    /// Copies from the device.
    cuMemcpyDtoHAsync = "cuMemcpyDtoHAsync_v2" (to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: CUstream);
}

impl Driver {
    fn checked(&self, call: &'static str, code: u32) -> Result<(), Failed> {
        if code == SUCCESS { Ok(()) } else { Err(Failed { call, code, name: name(self.get_error_name, code) }) }
    }
}

/// `cuGetErrorName`.
pub(super) type GetErrorName = unsafe extern "C" fn(c_uint, *mut *const c_char) -> c_uint;

/// The name of an error such as `CUDA_ERROR_ILLEGAL_ADDRESS`.
pub(super) fn name(get: GetErrorName, code: u32) -> String {
    let mut name = std::ptr::null();
    // SAFETY: the function writes a pointer to a constant string, or null for a code that it does not know.
    let known = unsafe { get(code, &mut name) };
    if known != SUCCESS || name.is_null() {
        return "an error without a name".to_owned();
    }
    // SAFETY: not null, and the driver's constants are NUL-terminated and never freed.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// A function of the driver's library.
///
/// # Safety
/// `is_culib_present` has said yes, or cudarc panics; and `F` is the type of a pointer to a function of that signature.
pub(super) unsafe fn find<F: Copy>(symbol: &'static str) -> Result<F, GpuAbsent> {
    // SAFETY: the caller vouches for the signature, and the library is never closed.
    let found = unsafe {
        match emulated::library() {
            Some(library) => library.get::<F>(symbol).map(|f| *f).ok(),
            None => sys::culib().get::<F>(symbol).map(|f| *f).ok(),
        }
    };
    found.ok_or(GpuAbsent::DriverIncomplete { symbol })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: u32, name: &str) -> DeviceError {
        Failed { call: "cuStreamSynchronize", code, name: name.to_owned() }.into()
    }

    #[test]
    fn errors_carry_call_name_and_number() {
        let error = failed(700, "CUDA_ERROR_ILLEGAL_ADDRESS");
        assert!(error.is_fatal());
        let text = error.to_string();
        assert!(text.starts_with("cuStreamSynchronize failed with CUDA_ERROR_ILLEGAL_ADDRESS (700)"), "{text}");
        assert!(!failed(1, "CUDA_ERROR_INVALID_VALUE").is_fatal());
        assert!(!error.is_lost(), "an illegal address is the kernel's doing");
        let gone = failed(46, "CUDA_ERROR_DEVICE_UNAVAILABLE");
        assert!(gone.is_fatal() && gone.is_lost() && gone.to_string().contains("nvidia-smi"), "{gone}");
        assert!(
            !failed(701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES").is_fatal(),
            "a launch that asks for too much harms nothing"
        );
    }

    #[test]
    fn codes_newer_than_the_bindings_are_numbers() {
        unsafe extern "C" fn knows_nothing(_: c_uint, _: *mut *const c_char) -> c_uint {
            1
        }
        assert_eq!(name(knows_nothing, 12345), "an error without a name");
        assert!(!failed(12345, "an error without a name").is_fatal());
    }
}
