//! Launches: the parameter structs that kernels take, byte for byte, and how they are handed over.

use super::context::Context;
use super::driver::Failed;
use super::module::Function;
use crate::catalog::Variant;
use crate::device::DeviceError;
use crate::problem::Problem;
use bytemuck::{NoUninit, Pod, Zeroable};
use cudarc::driver::sys::{
    CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue_union__bindgen_ty_1, CUlaunchConfig,
};
use std::ffi::c_void;
use std::ptr;

/// Most CTAs that a grid can have in x.
const MAX_CTAS: u64 = (1 << 31) - 1;

/// `GemmParams` of `kernels/params.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(super) struct GemmParams {
    pub a: u64,
    pub b: u64,
    pub c: u64,
    pub lda: i64,
    pub ldb: i64,
    pub ldc: i64,
    pub m: u32,
    pub n: u32,
    pub k: u32,
    pub alpha: f32,
    pub beta: f32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<GemmParams>() == 72);

/// `FillParams` of `kernels/micro/fill.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct FillParams {
    pub dst: u64,
    pub ld: i64,
    pub table: u64,
    pub rows: u32,
    pub cols: u32,
    pub seed: u64,
    pub operand: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<FillParams>() == 48);

/// `VerifyParams` of `kernels/micro/verify.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct VerifyParams {
    pub g: GemmParams,
    pub c_before: u64,
    pub ld_before: i64,
    pub rows: u64,
    pub row_count: u32,
    /// Bit 0: A is stored transposed; bit 1: B is.
    pub transposed: u32,
    pub u_out: f64,
    pub eps_sum: f64,
    pub tiny: f64,
    pub report: u64,
}
const _: () = assert!(size_of::<VerifyParams>() == 136);

/// `VerifyReport` of `kernels/micro/verify.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct VerifyReport {
    pub checked: u64,
    pub bad: u64,
    pub first_bad: u64,
    pub worst_bits: u64,
}

/// `ScanParams` of `kernels/micro/verify.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct ScanParams {
    pub c: u64,
    pub ldc: i64,
    pub m: u32,
    pub n: u32,
    pub guard_before: u64,
    pub guard_after: u64,
    pub poison: u32,
    pub reserved: u32,
    pub report: u64,
}
const _: () = assert!(size_of::<ScanParams>() == 56);

/// `ScanReport` of `kernels/micro/verify.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct ScanReport {
    pub interior_poison: u64,
    pub interior_nan: u64,
    pub padding_touched: u64,
    pub first_touched: u64,
}

/// A kernel's parameter as the driver takes it: a pointer to its bytes.
pub(super) fn argument<T: NoUninit>(value: &T) -> *mut c_void {
    ptr::from_ref(value).cast_mut().cast()
}

impl Context {
    /// Queues a kernel on the stream.
    ///
    /// # Safety
    /// `arguments` are what the kernel's source declares, in order, made by [`argument`] from values that are
    /// still alive; and all memory that the kernel reaches through them stays allocated until the stream has run it.
    pub(super) unsafe fn launch(
        &self,
        function: Function,
        ctas: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<(), Failed> {
        // SAFETY: passed on to the caller.
        unsafe { self.launch_grid(function, [ctas, 1, 1], 1, arguments) }
    }

    /// Queues a kernel on the stream, in clusters of so many CTAs in x.
    ///
    /// # Safety
    /// As [`Context::launch`].
    pub(super) unsafe fn launch_grid(
        &self,
        function: Function,
        grid: [u32; 3],
        cluster: u32,
        arguments: &mut [*mut c_void],
    ) -> Result<(), Failed> {
        let mut clusters = CUlaunchAttribute {
            id: CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            // SAFETY: a union of plain numbers, for which zeros are values.
            ..unsafe { std::mem::zeroed() }
        };
        clusters.value.clusterDim = CUlaunchAttributeValue_union__bindgen_ty_1 { x: cluster, y: 1, z: 1 };
        let config = CUlaunchConfig {
            gridDimX: grid[0],
            gridDimY: grid[1],
            gridDimZ: grid[2],
            blockDimX: function.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: function.shared_bytes,
            hStream: self.stream,
            attrs: &mut clusters,
            // Without clusters the attribute must not be there: devices before 9.0 refuse it.
            numAttrs: u32::from(cluster > 1),
        };
        // SAFETY: the handles live as long as the context; the driver copies the configuration and the arguments before it
        // returns; the caller vouches for the rest.
        unsafe { self.driver.cuLaunchKernelEx(&config, function.raw, arguments.as_mut_ptr(), ptr::null_mut()) }
    }

    /// CTAs for a kernel with a grid-stride loop over `items`: enough to fill the device some times over, not more.
    pub(super) fn ctas_for(&self, items: u64, function: Function) -> u32 {
        let most = u64::from(self.units.max(1)) * 32;
        items.div_ceil(u64::from(function.threads.max(1))).clamp(1, most) as u32
    }
}

/// CTAs that cover C with a variant's tiles.
pub(super) fn gemm_ctas(problem: &Problem, variant: &Variant) -> Result<u32, DeviceError> {
    let [tile_m, tile_n, _] = variant.tile.map(|side| u64::from(side.max(1)));
    grid_x(variant, problem.m.div_ceil(tile_m) * problem.n.div_ceil(tile_n))
}

/// So many CTAs, if a grid can have them in x.
///
/// # Errors
/// More than a grid can have.
pub(super) fn grid_x(variant: &Variant, ctas: u64) -> Result<u32, DeviceError> {
    if ctas > MAX_CTAS {
        return Err(DeviceError::Grid { variant: variant.name.clone(), ctas });
    }
    Ok(ctas as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(tile: [u32; 3]) -> Variant {
        Variant { name: "v".to_owned(), tile, ..Variant::default() }
    }

    #[test]
    fn tiles_cover_c_to_the_last_element() {
        let ctas = |m, n| gemm_ctas(&Problem::new(m, n, 8), &variant([128, 64, 32])).unwrap();
        assert_eq!(ctas(1, 1), 1);
        assert_eq!(ctas(128, 64), 1);
        assert_eq!(ctas(129, 64), 2);
        assert_eq!(ctas(129, 65), 4);
    }

    #[test]
    fn a_grid_beyond_the_limit_is_an_error_with_numbers() {
        let huge = Problem::new(1 << 20, 1 << 20, 1);
        let error = gemm_ctas(&huge, &variant([16, 16, 1])).unwrap_err().to_string();
        assert!(error.contains("4294967296") && error.contains("2147483647"), "{error}");
        assert_eq!(gemm_ctas(&huge, &variant([128, 128, 32])).unwrap(), 1 << 26);
    }
}
