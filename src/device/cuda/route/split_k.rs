//! The route of rungs 10 and 12 (`tile/split_k.cuh`): k shared out over CTAs, and a second launch that adds up their parts.

use super::{Launch, Param, Route, Site};
use crate::catalog::Shares;
use crate::device::DeviceError;
use crate::device::cuda::launch::{GemmParams, grid_x};
use crate::model::{Execution, SmLimits, resident_ctas};
use bytemuck::{Pod, Zeroable};

/// GemmParams and SplitPlan, twice.
pub(super) struct SplitK;

/// `SplitPlan` of `kernels/tile/split_k.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct SplitPlan {
    parts: u64,
    splits: u32,
    stream_tiles: u32,
    stream_ctas: u32,
    reserved: u32,
}
const _: () = assert!(size_of::<SplitPlan>() == 24);

/// CTAs of the first launch, and of the second.
fn ctas(shares: Shares, tiles: u64) -> (u64, u64) {
    match shares {
        Shares::Whole => (tiles, 0),
        Shares::Split(splits) => (tiles * splits, tiles),
        Shares::Stream { tiles: streamed, ctas } => (tiles - streamed + ctas, streamed),
    }
}

/// Tiles of partial sums that the workspace holds. A CTA of stream-K leaves at most two tiles unfinished.
fn slots(shares: Shares, tiles: u64) -> u64 {
    match shares {
        Shares::Whole => 0,
        Shares::Split(splits) => tiles * splits,
        Shares::Stream { ctas, .. } => ctas * 2,
    }
}

/// Tiles, and how their k steps are shared out: as the model counts it.
fn plan(site: &Site<'_>) -> (u64, Shares) {
    let [tile_m, tile_n, tile_k] = site.variant.tile.map(u64::from);
    let tiles = site.problem.m.div_ceil(tile_m) * site.problem.n.div_ceil(tile_n);
    let of_sm = resident_ctas(&Execution::of(site.kernel, site.variant), &SmLimits::of(site.context.cc)).ctas;
    let resident = u64::from(site.context.units) * u64::from(of_sm.max(1));
    (tiles, Shares::new(tiles, site.problem.k.div_ceil(tile_k), resident))
}

impl Route for SplitK {
    fn workspace_bytes(&self, site: &Site<'_>) -> Result<u64, DeviceError> {
        let (tiles, shares) = plan(site);
        let [tile_m, tile_n, _] = site.variant.tile.map(u64::from);
        Ok(slots(shares, tiles) * tile_m * tile_n * 4)
    }

    fn launches(&self, site: &Site<'_>, params: GemmParams, workspace: u64) -> Result<Vec<Launch>, DeviceError> {
        let (tiles, shares) = plan(site);
        let [tile_m, tile_n, _] = site.variant.tile;
        let (splits, stream_tiles, stream_ctas) = match shares {
            Shares::Whole => (0, 0, 0),
            Shares::Split(splits) => (splits, 0, 0),
            Shares::Stream { tiles, ctas } => (0, tiles, ctas),
        };
        let [splits, stream_tiles, stream_ctas] = [splits, stream_tiles, stream_ctas].map(|count| count as u32);
        let plan_params = SplitPlan { parts: workspace, splits, stream_tiles, stream_ctas, reserved: 0 };
        let launch = |function, ctas| -> Result<Launch, DeviceError> {
            let grid = [grid_x(site.variant, ctas)?, 1, 1];
            Ok(Launch { function, grid, cluster: 1, params: vec![Param::new(&params), Param::new(&plan_params)] })
        };
        let (first, second) = ctas(shares, tiles);
        let mut launches = vec![launch(site.function()?, first)?];
        if second > 0 {
            let symbol = format!("gemm_split_k_sum_{tile_m}x{tile_n}_{}", site.problem.dtype.name());
            let (threads, c_tile_bytes) = (site.variant.threads, tile_m * tile_n * 2);
            let file = site.kernel.file_for(site.problem.dtype.name());
            let function = site.context.function(&file, &symbol, threads, c_tile_bytes)?;
            launches.push(launch(function, second)?);
        }
        Ok(launches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cta_and_slot_is_counted() {
        assert_eq!((ctas(Shares::Whole, 7), slots(Shares::Whole, 7)), ((7, 0), 0));
        assert_eq!((ctas(Shares::Split(3), 7), slots(Shares::Split(3), 7)), ((21, 7), 21));
        let stream = Shares::Stream { tiles: 5, ctas: 6 };
        assert_eq!((ctas(stream, 7), slots(stream, 7)), ((8, 5), 12));
    }
}
