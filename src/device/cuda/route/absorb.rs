//! The route of `kernels/gemm/08_absorb.cuh`: a misaligned operand as legal matrices, one for each residue class of its rows.

use super::tma::{c_map, contiguous_along_k, part, reserved, resident};
use super::{Launch, Param, Route, Site};
use crate::device::DeviceError;
use crate::device::cuda::launch::GemmParams;
use crate::device::cuda::tensor_map::{ALIGN_BYTES, Matrix, TensorMap, operand_box};
use crate::problem::Operand;
use bytemuck::{Pod, Zeroable};

/// Most classes: elements of 16 bits in the 16 bytes that a row must start at.
const CLASSES: usize = 8;

/// A kernel that takes GemmParams and an Absorption.
pub(super) struct Absorb;

/// `Absorption` of the kernel's source.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Absorption {
    operand: [TensorMap; CLASSES],
    c: [TensorMap; CLASSES],
    partner: TensorMap,
    shift: [u32; CLASSES],
    end: [u32; CLASSES],
    period: u32,
    partner_shift: u32,
    unused: [u32; 14],
}
const _: () = assert!(size_of::<Absorption>() == 2304);

/// Rows j, j + period, j + 2 period, ... of a matrix whose rows are all late by the same number of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    /// Address of the first of them, rounded down to what a tensor map takes.
    address: u64,
    /// Elements between that and the row.
    shift: u64,
    rows: u64,
}

/// The classes of a matrix of 16-bit elements; some are empty where there are fewer rows than classes.
fn classes(address: u64, rows: u64, ld: u64) -> Vec<Class> {
    // The smallest number of rows that are a multiple of 16 bytes.
    let period = if rows > 1 { CLASSES as u64 >> ld.trailing_zeros().min(3) } else { 1 };
    let class = |j: u64| {
        let first = address + j * ld * 2;
        Class {
            address: first / ALIGN_BYTES * ALIGN_BYTES,
            shift: first % ALIGN_BYTES / 2,
            rows: rows.saturating_sub(j).div_ceil(period),
        }
    };
    (0..period).map(class).collect()
}

impl Route for Absorb {
    fn workspace_bytes(&self, _: &Site<'_>) -> Result<u64, DeviceError> {
        Ok(0)
    }

    fn launches(&self, site: &Site<'_>, mut params: GemmParams, _: u64) -> Result<Vec<Launch>, DeviceError> {
        let Site { context, problem, variant, .. } = *site;
        let (operand, partner) =
            if contiguous_along_k(problem, Operand::A) { (Operand::A, Operand::B) } else { (Operand::B, Operand::A) };
        let address = |o: Operand| if o == Operand::A { params.a } else { params.b };
        let tile = |o: Operand| u64::from(variant.tile[if o == Operand::A { 0 } else { 1 }]);
        let (from, with) = (problem.placement(operand), problem.placement(partner));
        let classes = classes(address(operand), from.rows, from.ld);
        let period = classes.len() as u64;

        let mut x = Absorption::zeroed();
        x.period = period as u32;
        x.partner_shift = (address(partner) % ALIGN_BYTES / 2) as u32;
        // Columns of C have no map, and a partner that is late along them puts tiles where no store may begin.
        let mut by_tma = operand == Operand::A && x.partner_shift == 0;
        let mut units = 0;
        for j in 0..CLASSES {
            if let Some(class) = classes.get(j).filter(|class| class.rows > 0) {
                x.shift[j] = class.shift as u32;
                x.operand[j] = Matrix {
                    address: class.address,
                    rows: class.rows,
                    cols: from.cols + class.shift,
                    row_bytes: period * from.ld * 2,
                    tile: operand_box(part(variant, operand), true),
                }
                .encode(context)?;
                units += class.rows.div_ceil(tile(operand) * u64::from(variant.cluster));
                if by_tma {
                    let first = params.c + j as u64 * params.ldc as u64 * 2;
                    match c_map(site, &params, first, class.rows, period * params.ldc as u64)? {
                        Some(map) => x.c[j] = map,
                        None => by_tma = false,
                    }
                }
            }
            x.end[j] = units as u32;
        }
        let late = u64::from(x.partner_shift);
        x.partner = Matrix {
            address: address(partner) - late * 2,
            rows: with.rows,
            cols: with.cols + late,
            row_bytes: with.ld * 2,
            tile: operand_box(part(variant, partner), false),
        }
        .encode(context)?;

        params.reserved = reserved(variant, by_tma);
        let tiles = units * (with.cols + late).div_ceil(tile(partner)) * u64::from(variant.cluster);
        let tiles =
            u32::try_from(tiles).map_err(|_| DeviceError::Grid { variant: variant.name.clone(), ctas: tiles })?;
        let params = vec![Param::new(&params), Param::new(&x)];
        let grid = [resident(site, tiles), 1, 1];
        Ok(vec![Launch { function: site.function()?, grid, cluster: variant.cluster, params }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_rows_have_eight_classes_and_a_misaligned_base_alone_one() {
        assert_eq!(classes(4096, 100, 33).len(), 8);
        assert_eq!(classes(4096, 100, 34).len(), 4);
        assert_eq!(classes(4096, 100, 36).len(), 2);
        assert_eq!(classes(4102, 100, 40), [Class { address: 4096, shift: 3, rows: 100 }]);
        assert_eq!(classes(4098, 1, 33).len(), 1, "a single row has no stride");
    }

    proptest! {
        #[test]
        fn classes_hold_every_row_once_at_a_legal_address(base in 0u64..64, rows in 0u64..70, ld in 1u64..100) {
            let address = 4096 + base * 2;
            let classes = classes(address, rows, ld);
            let period = classes.len() as u64;
            prop_assert!(rows <= 1 || (period * ld * 2).is_multiple_of(ALIGN_BYTES));
            prop_assert_eq!(classes.iter().map(|c| c.rows).sum::<u64>(), rows);
            for row in 0..rows {
                let class = classes[(row % period) as usize];
                prop_assert!(row / period < class.rows);
                prop_assert!(class.shift < 8 && class.address.is_multiple_of(ALIGN_BYTES));
                let at = class.address + row / period * (period * ld * 2) + class.shift * 2;
                prop_assert_eq!(at, address + row * ld * 2);
            }
        }
    }
}
