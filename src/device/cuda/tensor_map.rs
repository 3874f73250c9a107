//! Tensor maps: a matrix in device memory as the tensor copies of compute capability 9.0 see it.

use super::context::Context;
use crate::device::DeviceError;
use bytemuck::{Pod, Zeroable};
use cudarc::driver::sys::{CUtensorMapDataType, CUtensorMapInterleave, CUtensorMapL2promotion, CUtensorMapSwizzle};
use std::ffi::c_uint;

/// What base addresses and row strides must be a multiple of, in bytes.
pub(super) const ALIGN_BYTES: u64 = 16;

/// `CUtensorMap` of `cuda.h`: a kernel's parameter, by value.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct TensorMap([u64; 16]);

/// A matrix stored row by row, of 16-bit elements, and the box that one copy moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Matrix {
    /// Address of the first element, a multiple of [`ALIGN_BYTES`].
    pub address: u64,
    /// Rows. Copies fill what lies beyond with zeros.
    pub rows: u64,
    /// Elements of a row.
    pub cols: u64,
    /// From row to row, a multiple of [`ALIGN_BYTES`]; of no consequence where there is one row.
    pub row_bytes: u64,
    /// Elements of a row, and rows, in a box. A box is as wide as the swizzle: 16, 32 or 64 elements.
    pub tile: [u32; 2],
}

impl Matrix {
    /// The map.
    ///
    /// # Errors
    /// The driver refuses, or cannot: it is older than compute capability 9.0.
    pub(super) fn encode(&self, context: &Context) -> Result<TensorMap, DeviceError> {
        let mut map = TensorMap::zeroed();
        // A map cannot be empty. What no product needs is never copied, and is zero if it is.
        let dims = [self.cols.max(1), self.rows.max(1)];
        let strides = [self.row_bytes.max(1).next_multiple_of(ALIGN_BYTES)];
        let swizzle = match self.tile[0] * 2 {
            32 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_32B,
            64 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_64B,
            128 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            _ => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
        };
        // Copies move bits and do not care which 16-bit type they are.
        let element = CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT16;
        // SAFETY: the map has its size and alignment; the arrays have as many elements as the rank says, that of the strides
        // one less; the driver copies them.
        unsafe {
            context.driver.cuTensorMapEncodeTiled(
                (&raw mut map).cast(),
                element as c_uint,
                2,
                self.address as *mut _,
                dims.as_ptr(),
                strides.as_ptr(),
                self.tile.as_ptr(),
                [1, 1].as_ptr(),
                CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE as c_uint,
                swizzle as c_uint,
                CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B as c_uint,
                0,
            )
        }?;
        Ok(map)
    }
}

/// The box of a part of an operand's tile: 64 of K by so many rows or columns of C, as the operand is stored. Where it is
/// contiguous along those, the part arrives in runs as wide as the widest swizzle that divides it (`kernels/tile/operand.cuh`).
pub(super) fn operand_box(part: u32, contiguous_along_k: bool) -> [u32; 2] {
    let run = [64, 32].into_iter().find(|run| part.is_multiple_of(*run)).unwrap_or(16);
    if contiguous_along_k { [64, part] } else { [run, 64] }
}

/// The box of a warp's stores to C: 16 rows, and columns as above (`kernels/tile/warp_output.cuh`).
pub(super) fn c_box(tile_n: u32) -> [u32; 2] {
    [operand_box(tile_n, false)[0], 16]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_as_wide_as_a_swizzle() {
        assert_eq!(operand_box(128, true), [64, 128]);
        assert_eq!([256, 192, 128, 64].map(|part| operand_box(part, false)), [[64, 64]; 4]);
        assert_eq!([96, 112].map(|part| operand_box(part, false)), [[32, 64], [16, 64]]);
        assert_eq!((c_box(256), c_box(96)), ([64, 16], [32, 16]));
    }

    #[test]
    fn a_map_has_the_size_and_alignment_of_the_drivers() {
        use cudarc::driver::sys::CUtensorMap;
        assert_eq!(size_of::<TensorMap>(), size_of::<CUtensorMap>());
        assert!(align_of::<TensorMap>() <= align_of::<CUtensorMap>().max(64));
    }
}
