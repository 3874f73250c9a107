//! The route of `gemm/09_absorb_cp_async.cu`: one launch, with tiles that take their rows of A from one residue class each.

use super::{Launch, Param, Route, Site};
use crate::device::DeviceError;
use crate::device::cuda::launch::{GemmParams, grid_x};

/// One GemmParams; the grid has the tiles of all classes, one class after the other.
pub(super) struct Residue;

impl Route for Residue {
    fn workspace_bytes(&self, _: &Site<'_>) -> Result<u64, DeviceError> {
        Ok(0)
    }

    fn launches(&self, site: &Site<'_>, params: GemmParams, _: u64) -> Result<Vec<Launch>, DeviceError> {
        let [tile_m, tile_n, _] = site.variant.tile.map(u64::from);
        let tiles_m = class_tiles(site.problem.m, site.problem.lda, tile_m);
        let ctas = grid_x(site.variant, tiles_m * site.problem.n.div_ceil(tile_n))?;
        let params = vec![Param::new(&params)];
        Ok(vec![Launch { function: site.function()?, grid: [ctas, 1, 1], cluster: 1, params }])
    }
}

/// Tile rows of all residue classes of a matrix of 16-bit elements: rows whose numbers are equal modulo the classes' number start
/// equally far behind a 16-byte boundary.
fn class_tiles(rows: u64, ld: u64, tile: u64) -> u64 {
    let classes = 8 >> ld.trailing_zeros().min(3);
    (0..classes).map(|class| (rows / classes + u64::from(class < rows % classes)).div_ceil(tile)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_class_start_equally_far_behind_a_boundary() {
        for ld in 1..40 {
            let classes = 8 >> u64::trailing_zeros(ld).min(3);
            assert!((0..64).all(|row| row * ld % 8 == (row + classes) * ld % 8), "{ld}");
            assert!(classes == 1 || (1..classes).all(|row| row * ld % 8 != 0), "{ld} has fewer classes");
        }
    }

    #[test]
    fn each_class_has_tiles_of_its_own() {
        assert_eq!(class_tiles(1024, 256, 128), 8);
        assert_eq!(class_tiles(1024, 257, 128), 8);
        assert_eq!(class_tiles(1025, 257, 128), 9);
        assert_eq!(class_tiles(1000, 258, 128), 4 * 2);
        assert_eq!(class_tiles(3, 257, 128), 3);
        assert_eq!(class_tiles(129, 260, 128), 2);
    }
}
