//! Routes for kernels whose operands come through tensor maps: one launch, of a CTA for each tile of C, or of as many CTAs as the
//! device holds, each of which takes tile after tile.

use super::{Launch, Param, Route, Site};
use crate::catalog::Variant;
use crate::device::DeviceError;
use crate::device::cuda::launch::{GemmParams, gemm_ctas};
use crate::device::cuda::tensor_map::{ALIGN_BYTES, Matrix, TensorMap, c_box, operand_box};
use crate::problem::{Operand, Problem};
use bytemuck::Zeroable;

/// A kernel that takes GemmParams and the maps of A, B and C.
pub(super) struct Tma {
    /// Whether CTAs stay for more than one tile.
    pub persistent: bool,
}

impl Route for Tma {
    fn workspace_bytes(&self, _: &Site<'_>) -> Result<u64, DeviceError> {
        Ok(0)
    }

    fn launches(&self, site: &Site<'_>, mut params: GemmParams, _: u64) -> Result<Vec<Launch>, DeviceError> {
        let Site { problem, variant, .. } = *site;
        let by_tma = c_map(site, &params, params.c, problem.m, params.ldc as u64)?;
        params.reserved = reserved(variant, by_tma.is_some());
        let maps = [
            operand_map(site, Operand::A, params.a)?,
            operand_map(site, Operand::B, params.b)?,
            by_tma.unwrap_or(TensorMap::zeroed()),
        ];
        let tiles = tiles(problem, variant)?;
        let ctas = if self.persistent { resident(site, tiles) } else { tiles };
        let params = [Param::new(&params)].into_iter().chain(maps.iter().map(Param::new)).collect();
        Ok(vec![Launch { function: site.function()?, grid: [ctas, 1, 1], cluster: variant.cluster, params }])
    }
}

/// `GemmParams::reserved` of these kernels: bit 0, C may go out by TMA; bits 8 to 15, tile rows of a raster band.
pub(super) fn reserved(variant: &Variant, c_by_tma: bool) -> u32 {
    u32::from(c_by_tma) | variant.group.min(255) << 8
}

/// CTAs of a persistent kernel, one a multiprocessor, in whole clusters: no more than there are tiles.
pub(super) fn resident(site: &Site<'_>, tiles: u32) -> u32 {
    let cluster = site.variant.cluster;
    (site.context.units / cluster).min(tiles / cluster).max(1) * cluster
}

/// Rows or columns of its tile of an operand that one CTA fetches; the CTAs of a cluster share the rest.
pub(super) fn part(variant: &Variant, operand: Operand) -> u32 {
    match operand {
        Operand::A => variant.box_a.map_or(variant.tile[0], |[_, rows]| rows),
        _ => variant.box_b.map_or(variant.tile[1], |[_, columns]| columns),
    }
}

/// Tiles, in whole clusters: its CTAs are neighbours along the dimension that does not tell their shared operand.
fn tiles(problem: &Problem, variant: &Variant) -> Result<u32, DeviceError> {
    let [tile_m, tile_n, _] = variant.tile;
    let along_m = tile_m * (tile_n / part(variant, Operand::B));
    let along_n = tile_n * (tile_m / part(variant, Operand::A));
    let clusters = Variant { tile: [along_m, along_n, variant.tile[2]], ..variant.clone() };
    let ctas = gemm_ctas(problem, &clusters)?;
    ctas.checked_mul(variant.cluster).ok_or_else(|| DeviceError::Grid {
        variant: variant.name.clone(),
        ctas: u64::from(ctas) * u64::from(variant.cluster),
    })
}

/// The map of A or B as stored. Zeros where the variant takes the operand at any alignment: it then comes another way.
fn operand_map(site: &Site<'_>, operand: Operand, address: u64) -> Result<TensorMap, DeviceError> {
    let Site { problem, variant, .. } = *site;
    if variant.align_of(operand, problem.dtype) < ALIGN_BYTES {
        return Ok(TensorMap::zeroed());
    }
    let (p, along_k) = (problem.placement(operand), contiguous_along_k(problem, operand));
    let tile = operand_box(part(variant, operand), along_k);
    let row_bytes = p.ld * problem.dtype.bytes();
    Matrix { address, rows: p.rows, cols: p.cols, row_bytes, tile }.encode(site.context)
}

/// Whether an operand's rows run along K as it is stored.
pub(super) fn contiguous_along_k(problem: &Problem, operand: Operand) -> bool {
    problem.layout.transposes(operand) == (operand == Operand::B)
}

/// The map of `rows` rows of C, `ld` elements apart, where the hardware can store it: it cuts rows at 16 bytes, so that they must
/// begin and end there.
pub(super) fn c_map(
    site: &Site<'_>,
    params: &GemmParams,
    address: u64,
    rows: u64,
    ld: u64,
) -> Result<Option<TensorMap>, DeviceError> {
    let element = site.problem.dtype.c_bytes();
    let (row_bytes, cols) = (ld * element, u64::from(params.n));
    let stride = if rows > 1 { row_bytes } else { 0 };
    if !(address | stride | (cols * element)).is_multiple_of(ALIGN_BYTES) {
        return Ok(None);
    }
    let tile = c_box(site.variant.tile[1]);
    Matrix { address, rows, cols, row_bytes, tile }.encode(site.context).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{DType, Layout};

    fn variant(tile: [u32; 3], cluster: u32, parts: [u32; 2]) -> Variant {
        let [a, b] = parts.map(|part| Some([64, part]));
        Variant { tile, cluster, box_a: a, box_b: b, ..Variant::default() }
    }

    #[test]
    fn clusters_cover_c_in_pairs_along_the_dimension_they_share() {
        let along_m = variant([128, 256, 64], 2, [128, 128]);
        let along_n = variant([128, 128, 64], 2, [64, 128]);
        let alone = variant([128, 128, 64], 1, [128, 128]);
        let count = |m, n, v: &Variant| tiles(&Problem::new(m, n, 8), v).unwrap();
        assert_eq!([count(1, 1, &along_m), count(257, 1, &along_m), count(256, 257, &along_m)], [2, 4, 4]);
        assert_eq!([count(1, 1, &along_n), count(1, 257, &along_n), count(257, 256, &along_n)], [2, 4, 6]);
        assert_eq!([count(1, 1, &alone), count(129, 129, &alone)], [1, 4]);
    }

    #[test]
    fn contiguity_follows_the_layout() {
        let along_k = |layout| {
            let p = Problem::new(8, 8, 8).in_form(layout, DType::F16);
            [Operand::A, Operand::B].map(|o| contiguous_along_k(&p, o))
        };
        assert_eq!(along_k(Layout::Nn), [true, false]);
        assert_eq!(along_k(Layout::Nt), [true, true]);
        assert_eq!(along_k(Layout::Tn), [false, false]);
        assert_eq!(along_k(Layout::Tt), [false, true]);
    }

    #[test]
    fn what_the_kernel_is_told_about_c_and_the_raster() {
        assert_eq!(reserved(&Variant { group: 12, ..Variant::default() }, true), 1 | 12 << 8);
        assert_eq!(reserved(&Variant::default(), false), 0);
    }
}
