//! A multiplication described once: form, leading dimensions, real alignments, workspace; then run as often as wanted.

use super::library::{Library, Raw, RawResult};
use super::{Algorithm, BaselineError};
use crate::problem::{DType, Operand, Problem};
use std::ffi::{c_int, c_void};
use std::ptr;

/// Workspace that every algorithm may use, in bytes: what frameworks give it on Hopper.
pub const WORKSPACE_BYTES: usize = 32 << 20;

/// Algorithms to ask the library's search for.
const ASKED: usize = 16;

/// `CUBLASLT_MATMUL_DESC_TRANSA` and `_TRANSB`.
const DESC_TRANS: [c_int; 2] = [3, 4];
/// `CUBLAS_OP_N` and `CUBLAS_OP_T`.
const OP: [c_int; 2] = [0, 1];
/// `CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES`.
const PREF_WORKSPACE: c_int = 1;
/// `CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES` and those of B, C and D.
const PREF_ALIGNMENT: [c_int; 4] = [5, 6, 7, 8];
/// `CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK`.
const PREF_REDUCTION: c_int = 3;
/// In place and in the type of the computation: partial sums of a split k are never rounded to C's type.
const REDUCTIONS: u32 = 1 | 2;
/// The best alignment that the library tells apart, in bytes; it assumes this one unless told otherwise.
const MAX_ALIGNMENT: u64 = 256;

/// `cudaDataType` and `cublasComputeType_t` for a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Types {
    factor: c_int,
    result: c_int,
    compute: c_int,
    scale: c_int,
}

const R_32F: c_int = 0;
const R_16F: c_int = 2;
const R_8I: c_int = 3;
const R_32I: c_int = 10;
const R_16BF: c_int = 14;
const R_8F_E4M3: c_int = 28;
const COMPUTE_32F: c_int = 68;
const COMPUTE_32I: c_int = 72;
const COMPUTE_32F_FAST_TF32: c_int = 77;

fn types(dtype: DType) -> Types {
    let (factor, result, compute, scale) = match dtype {
        DType::F16 => (R_16F, R_16F, COMPUTE_32F, R_32F),
        DType::Bf16 => (R_16BF, R_16BF, COMPUTE_32F, R_32F),
        DType::Tf32 => (R_32F, R_32F, COMPUTE_32F_FAST_TF32, R_32F),
        DType::I8 => (R_8I, R_32I, COMPUTE_32I, R_32I),
        DType::E4m3 => (R_8F_E4M3, R_16F, COMPUTE_32F, R_32F),
    };
    Types { factor, result, compute, scale }
}

/// Alpha or beta in the type that the library scales by.
#[derive(Clone, Copy)]
#[repr(C)]
union Factor {
    real: f32,
    whole: i32,
}

fn factor(name: &'static str, value: f32, scale: c_int) -> Result<Factor, BaselineError> {
    if scale == R_32I {
        // 2^24: beyond it a single-precision number is no exact count any more.
        if value.fract() != 0.0 || value.abs() > 16_777_216.0 {
            return Err(BaselineError::Factor { name, value: value.to_string() });
        }
        return Ok(Factor { whole: value as i32 });
    }
    Ok(Factor { real: value })
}

/// A handle of the library and how to free it.
struct Owned {
    raw: Raw,
    lt: &'static Library,
    destroy: unsafe fn(&Library, Raw) -> Result<(), BaselineError>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made by the library and not used after. There is nobody to tell of a failure.
        let _ = unsafe { (self.destroy)(self.lt, self.raw) };
    }
}

/// A problem as the library takes it, and the algorithms that it offers for it.
///
/// The library's matrices are column-major. A row-major matrix is its own transpose to it, so that it is asked for
/// Cᵀ = Bᵀ·Aᵀ: our B is its first factor.
pub struct Plan {
    lt: &'static Library,
    desc: Owned,
    first: Owned,
    second: Owned,
    result: Owned,
    alpha: Factor,
    beta: Factor,
    algorithms: Vec<Algorithm>,
}

impl Plan {
    /// Describes a problem whose operands lie at these addresses, and asks for algorithms.
    ///
    /// The search is told the real alignment of each address, and may use [`WORKSPACE_BYTES`].
    ///
    /// # Errors
    /// The library refuses the form, or has no algorithm for it.
    pub fn new(library: &'static Library, problem: &Problem, a: u64, b: u64, c: u64) -> Result<Plan, BaselineError> {
        let types = types(problem.dtype);
        let alpha = factor("alpha", problem.alpha, types.scale)?;
        let beta = factor("beta", problem.beta, types.scale)?;
        let desc = describe(library, problem, types)?;
        let first = layout(library, problem, Operand::B, types.factor)?;
        let second = layout(library, problem, Operand::A, types.factor)?;
        let result = layout(library, problem, Operand::C, types.result)?;
        let preference = preference(library, [b, a, c, c])?;

        let mut found = [RawResult::default(); ASKED];
        let mut count: c_int = 0;
        // SAFETY: all descriptors were made above; at most ASKED results are written.
        let searched = unsafe {
            library.heuristics(
                library.handle(),
                desc.raw,
                first.raw,
                second.raw,
                result.raw,
                result.raw,
                preference.raw,
                ASKED as c_int,
                found.as_mut_ptr(),
                &mut count,
            )
        };
        let usable = found.iter().take(usize::try_from(count).unwrap_or(0).min(ASKED));
        let algorithms: Vec<Algorithm> = usable
            .enumerate()
            .filter(|(_, result)| result.status == 0 && result.workspace_bytes <= WORKSPACE_BYTES)
            .map(|(rank, result)| Algorithm::new(library, result, rank))
            .collect();
        let status = match searched {
            Ok(()) => 0,
            Err(BaselineError::Call { status, .. }) => status,
            Err(other) => return Err(other),
        };
        if algorithms.is_empty() {
            let p = problem;
            return Err(BaselineError::NoAlgorithm {
                version: library.version(),
                problem: format!(
                    "{}x{}x{} {} {} with lda {} ldb {} ldc {}",
                    p.m,
                    p.n,
                    p.k,
                    p.dtype.name(),
                    p.layout.name(),
                    p.lda,
                    p.ldb,
                    p.ldc
                ),
                status,
                eight_bit: p.dtype.bytes() == 1,
            });
        }
        Ok(Plan { lt: library, desc, first, second, result, alpha, beta, algorithms })
    }

    /// What the library offers, the one it would take first.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Queues the multiplication on a stream.
    ///
    /// # Errors
    /// The library refuses, or its launch failed.
    ///
    /// # Safety
    /// The addresses hold the operands of the problem that the plan was made for, aligned as they were, and
    /// [`WORKSPACE_BYTES`] of workspace that nothing else uses; all stay allocated until the stream has run it. `stream`
    /// is a live `CUstream` of the context that the library was opened in.
    pub unsafe fn run(
        &self,
        algorithm: &Algorithm,
        [a, b, c]: [u64; 3],
        workspace: u64,
        stream: *mut c_void,
    ) -> Result<(), BaselineError> {
        let address = |at: u64| ptr::with_exposed_provenance_mut::<c_void>(at as usize);
        // SAFETY: the descriptors live as long as the plan; alpha and beta are read before the call returns; the caller
        // vouches for the rest.
        unsafe {
            self.lt.matmul(
                self.lt.handle(),
                self.desc.raw,
                ptr::from_ref(&self.alpha).cast(),
                address(b),
                self.first.raw,
                address(a),
                self.second.raw,
                ptr::from_ref(&self.beta).cast(),
                address(c),
                self.result.raw,
                address(c),
                self.result.raw,
                &algorithm.raw,
                address(workspace),
                WORKSPACE_BYTES,
                stream,
            )
        }
    }
}

fn describe(library: &'static Library, problem: &Problem, types: Types) -> Result<Owned, BaselineError> {
    let mut raw = ptr::null_mut();
    // SAFETY: writes one handle.
    unsafe { library.desc_create(&mut raw, types.compute, types.scale) }?;
    let desc = Owned { raw, lt: library, destroy: Library::desc_destroy };
    for (attribute, transposed) in
        DESC_TRANS.into_iter().zip([Operand::B, Operand::A].map(|operand| problem.layout.transposes(operand)))
    {
        let op = OP[usize::from(transposed)];
        // SAFETY: the attribute is a 32-bit number.
        unsafe { library.desc_set(desc.raw, attribute, ptr::from_ref(&op).cast(), size_of::<c_int>()) }?;
    }
    Ok(desc)
}

/// An operand as it is stored, rows and columns exchanged by calling its rows columns.
fn layout(
    library: &'static Library,
    problem: &Problem,
    operand: Operand,
    element: c_int,
) -> Result<Owned, BaselineError> {
    let place = problem.placement(operand);
    let mut raw = ptr::null_mut();
    // SAFETY: writes one handle.
    unsafe { library.layout_create(&mut raw, element, place.cols, place.rows, place.ld.cast_signed()) }?;
    Ok(Owned { raw, lt: library, destroy: Library::layout_destroy })
}

fn preference(library: &'static Library, addresses: [u64; 4]) -> Result<Owned, BaselineError> {
    let mut raw = ptr::null_mut();
    // SAFETY: writes one handle.
    unsafe { library.preference_create(&mut raw) }?;
    let preference = Owned { raw, lt: library, destroy: Library::preference_destroy };
    let workspace = WORKSPACE_BYTES as u64;
    // SAFETY: the attribute is a 64-bit number.
    unsafe { library.preference_set(preference.raw, PREF_WORKSPACE, ptr::from_ref(&workspace).cast(), 8) }?;
    // SAFETY: the attribute is a 32-bit number.
    unsafe { library.preference_set(preference.raw, PREF_REDUCTION, ptr::from_ref(&REDUCTIONS).cast(), 4) }?;
    for (attribute, address) in PREF_ALIGNMENT.into_iter().zip(addresses) {
        let bytes = alignment(address);
        // SAFETY: the attribute is a 32-bit number.
        unsafe { library.preference_set(preference.raw, attribute, ptr::from_ref(&bytes).cast(), 4) }?;
    }
    Ok(preference)
}

/// The largest power of two that divides an address, as far as the library tells alignments apart.
fn alignment(address: u64) -> u32 {
    1 << (address | MAX_ALIGNMENT).trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments_are_those_of_the_address() {
        assert_eq!(alignment(0x1000), 256);
        assert_eq!(alignment(0x1002), 2);
        assert_eq!(alignment(0x1010), 16);
        assert_eq!(alignment(0x1001), 1);
    }

    #[test]
    fn integers_are_scaled_by_whole_factors_only() {
        assert!(factor("alpha", 2.0, R_32I).is_ok());
        let error = factor("beta", 0.5, R_32I).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("beta = 0.5"), "{error}");
        assert!(factor("beta", 0.5, R_32F).is_ok());
    }
}
