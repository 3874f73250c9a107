//! cuBLASLt, the library that others measure themselves against: found and opened at run time, planned once for a
//! problem, its algorithm recorded.
//!
//! It is a baseline and never the only reference for a result: the same checks judge it that judge our own kernels.
//! Where it is missing there is a [`BaselineError`] that says so, and everything else works.

mod algorithm;
mod library;
mod plan;
mod search;

pub use algorithm::Algorithm;
pub use library::{Library, open};
pub use plan::{Plan, WORKSPACE_BYTES};

use thiserror::Error;

/// Names the library's file, or the folder that holds it, in place of the search.
pub const VARIABLE: &str = "GEMMSCOPE_CUBLASLT";

/// Why the baseline cannot run a problem.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BaselineError {
    /// No library anywhere.
    #[error(
        "cuBLASLt is not installed: looked for libcublasLt.so.13 and .12 on the loader's path, in CUDA_HOME and in the nvidia \
         wheels of the active Python; install one (`pip install nvidia-cublas`), or name its file in {VARIABLE}"
    )]
    Missing,
    /// A file that is there and cannot be used.
    #[error("cuBLASLt at {path} cannot be used: {why}; name another in {VARIABLE}")]
    Unusable {
        /// The file.
        path: String,
        /// What the loader said, or which function it lacks.
        why: String,
    },
    /// The emulated device cannot run it.
    #[error("cuBLASLt brings machine code, which an emulated device cannot run; measure it on a GPU")]
    Emulated,
    /// Factors that the library cannot express.
    #[error("cuBLASLt multiplies 8-bit integers with whole factors only, and {name} = {value}; use 0 or 1")]
    Factor {
        /// `alpha` or `beta`.
        name: &'static str,
        /// The value given, as text.
        value: String,
    },
    /// The library's own search found nothing.
    #[error("cuBLASLt {version} {NO_ALGORITHM} {problem} (status {status}){}", hint(.eight_bit))]
    NoAlgorithm {
        /// The library's version.
        version: String,
        /// Sizes, layout and type.
        problem: String,
        /// Its status code; 0 where it found none without an error.
        status: u32,
        /// Whether the operands are of an 8-bit type, for which it asks more of a layout.
        eight_bit: bool,
    },
    /// Another call failed.
    #[error("{call} failed with status {status}")]
    Call {
        /// The library's function.
        call: &'static str,
        /// Its status code.
        status: u32,
    },
}

/// What the reason of a cell says that the library refuses.
const NO_ALGORITHM: &str = "has no algorithm for";

/// Whether a cell's reason says that the library was asked and refused.
pub fn is_refusal(reason: &str) -> bool {
    reason.contains(NO_ALGORITHM)
}

fn hint(eight_bit: &bool) -> &'static str {
    if *eight_bit { "; of 8-bit types it takes layout nt with rows that are multiples of 16 bytes" } else { "" }
}
