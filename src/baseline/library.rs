//! The library's functions that this program calls, found by name, and the types that they take.
//!
//! Statuses are numbers here and not an enum, so that one which is newer than this program is a message and not
//! undefined behaviour.

use super::search::candidates;
use super::{BaselineError, VARIABLE};
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr;

/// A handle, a descriptor or a stream: opaque.
pub(super) type Raw = *mut c_void;

/// `cublasLtMatmulAlgo_t`: opaque, and copied as it is.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawAlgorithm {
    data: [u64; 8],
}

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawResult {
    pub(super) algorithm: RawAlgorithm,
    pub(super) workspace_bytes: usize,
    pub(super) status: u32,
    pub(super) waves: f32,
    reserved: [c_int; 4],
}
const _: () = assert!(size_of::<RawResult>() == 96);

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal ($($arg:ident: $type:ty),*);)*) => {
        /// An open cuBLASLt and a handle of it. Lives as long as the process, as CUDA libraries expect.
        pub struct Library {
            handle: Raw,
            version: usize,
            path: String,
            $($name: unsafe extern "C" fn($($type),*) -> u32,)*
        }

        #[allow(clippy::too_many_arguments)]
        impl Library {
            /// Looks up every function and makes a handle.
            fn resolve(library: &libloading::Library, path: String) -> Result<Library, BaselineError> {
                let lacks = |symbol: &str| BaselineError::Unusable { path: path.clone(), why: format!("it has no {symbol}") };
                // SAFETY: cublasLt.h declares it so.
                let version = unsafe { library.get::<unsafe extern "C" fn() -> usize>(b"cublasLtGetVersion\0") };
                let version = version.map_err(|_| lacks("cublasLtGetVersion"))?;
                // SAFETY: takes nothing and returns a number.
                let version = unsafe { version() };
                // SAFETY: cublasLt.h declares it so.
                let create = unsafe { library.get::<unsafe extern "C" fn(*mut Raw) -> u32>(b"cublasLtCreate\0") };
                let create = create.map_err(|_| lacks("cublasLtCreate"))?;
                let mut library = Library {
                    handle: ptr::null_mut(),
                    version,
                    $(
                        // SAFETY: the list below copies the signatures of cublasLt.h.
                        $name: unsafe {
                            *library.get(concat!($symbol, "\0").as_bytes()).map_err(|_| lacks($symbol))?
                        },
                    )*
                    path,
                };
                // SAFETY: writes one handle. The caller has a CUDA context bound.
                match unsafe { create(&mut library.handle) } {
                    0 => Ok(library),
                    status => Err(BaselineError::Call { call: "cublasLtCreate", status }),
                }
            }

            $(
                $(#[$doc])*
                ///
                /// # Safety
                /// As cublasLt.h asks: live descriptors, addresses that hold what is named.
                pub(super) unsafe fn $name(&self, $($arg: $type),*) -> Result<(), BaselineError> {
                    // SAFETY: passed on to the caller.
                    match unsafe { (self.$name)($($arg),*) } {
                        0 => Ok(()),
                        status => Err(BaselineError::Call { call: $symbol, status }),
                    }
                }
            )*
        }
    };
}

functions! {
    /// Makes the description of a multiplication.
    desc_create = "cublasLtMatmulDescCreate" (desc: *mut Raw, compute: c_int, scale: c_int);
    /// Frees it.
    desc_destroy = "cublasLtMatmulDescDestroy" (desc: Raw);
    /// Sets one of its attributes.
    desc_set = "cublasLtMatmulDescSetAttribute" (desc: Raw, attribute: c_int, value: *const c_void, bytes: usize);
    /// Makes the description of a column-major matrix.
    layout_create = "cublasLtMatrixLayoutCreate" (layout: *mut Raw, element: c_int, rows: u64, cols: u64, ld: i64);
    /// Frees it.
    layout_destroy = "cublasLtMatrixLayoutDestroy" (layout: Raw);
    /// Makes what limits the search for algorithms.
    preference_create = "cublasLtMatmulPreferenceCreate" (preference: *mut Raw);
    /// Frees it.
    preference_destroy = "cublasLtMatmulPreferenceDestroy" (preference: Raw);
    /// Sets one of its attributes.
    preference_set = "cublasLtMatmulPreferenceSetAttribute" (preference: Raw, attribute: c_int, value: *const c_void, bytes: usize);
    /// Searches for algorithms, the most promising first.
    heuristics = "cublasLtMatmulAlgoGetHeuristic" (
        handle: Raw, desc: Raw, a: Raw, b: Raw, c: Raw, d: Raw, preference: Raw, asked: c_int, results: *mut RawResult, found: *mut c_int
    );
    /// Reads what an algorithm is set to.
    algorithm_get = "cublasLtMatmulAlgoConfigGetAttribute" (
        algorithm: *const RawAlgorithm, attribute: c_int, value: *mut c_void, bytes: usize, written: *mut usize
    );
    /// Queues a multiplication.
    matmul = "cublasLtMatmul" (
        handle: Raw, desc: Raw, alpha: *const c_void, a: *const c_void, a_layout: Raw, b: *const c_void, b_layout: Raw,
        beta: *const c_void, c: *const c_void, c_layout: Raw, d: *mut c_void, d_layout: Raw, algorithm: *const RawAlgorithm,
        workspace: *mut c_void, workspace_bytes: usize, stream: Raw
    );
}

impl Library {
    pub(super) fn handle(&self) -> Raw {
        self.handle
    }

    /// Its version, such as `13.0.2`.
    pub fn version(&self) -> String {
        let (major, rest) = (self.version / 10_000, self.version % 10_000);
        format!("{major}.{}.{}", rest / 100, rest % 100)
    }

    /// The file it was opened from, or the name that the loader found it by.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("version", &self.version()).field("path", &self.path).finish_non_exhaustive()
    }
}

/// Opens cuBLASLt and makes a handle for the CUDA context that is bound.
///
/// # Errors
/// There is none, or the one that was named cannot be used.
pub fn open() -> Result<&'static Library, BaselineError> {
    let tried = candidates(&|name| std::env::var_os(name));
    let named = std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty());
    let mut refused = None;
    for path in tried {
        match open_file(&path) {
            Ok(library) => return Ok(Box::leak(Box::new(library))),
            // A bare name that the loader does not know is no finding; a file that is there and fails is.
            Err(error) if named || path.is_file() => refused = refused.or(Some(error)),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or(BaselineError::Missing))
}

fn open_file(path: &Path) -> Result<Library, BaselineError> {
    let shown = path.display().to_string();
    // SAFETY: NVIDIA's library has no initialisers that depend on this program's state.
    let library = unsafe { libloading::Library::new(path) }
        .map_err(|error| BaselineError::Unusable { path: shown.clone(), why: error.to_string() })?;
    // Never closed: CUDA libraries keep state in the process and do not expect to leave it.
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    Library::resolve(library, shown)
}
