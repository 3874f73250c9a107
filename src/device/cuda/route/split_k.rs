//! The route of rungs 10 and 12 (`tile/split_k.cuh`): k shared out over CTAs, and a second launch that adds up their parts.

use super::{Launch, Param, Route, Site};
use crate::catalog::split_count;
use crate::device::DeviceError;
use crate::device::cuda::launch::{GemmParams, grid_x};
use bytemuck::{Pod, Zeroable};

/// Fewest k steps that a CTA is worth starting for.
const MIN_STEPS: u64 = 4;

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

/// How a product's k steps are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// So many CTAs for each tile.
    Split(u64),
    /// The k steps of the first tiles evenly over some CTAs, one CTA for each of the others.
    Stream { tiles: u64, ctas: u64 },
}

impl Plan {
    /// With fewer tiles than half of the CTAs that run at a time, each tile is split. Otherwise tiles go to CTAs as they are as long
    /// as they fill whole waves; the last full wave and what is left after it are shared out evenly.
    fn new(tiles: u64, k_steps: u64, resident: u64) -> Plan {
        let splits = split_count(tiles, k_steps, resident);
        if splits > 1 {
            return Plan::Split(splits);
        }
        let (waves, left) = (tiles / resident, tiles % resident);
        let streamed = if left == 0 { 0 } else { left + if waves > 0 { resident } else { 0 } };
        let ctas = resident.min(streamed * k_steps / MIN_STEPS);
        // Fewer CTAs than tiles would do worse than a CTA for each.
        if ctas <= streamed.min(resident - 1) || streamed == 0 {
            return Plan::Stream { tiles: 0, ctas: 0 };
        }
        Plan::Stream { tiles: streamed, ctas }
    }

    /// CTAs of the first launch, and of the second.
    fn ctas(self, tiles: u64) -> (u64, u64) {
        match self {
            Plan::Split(splits) => (tiles * splits, tiles),
            Plan::Stream { tiles: streamed, ctas } => (tiles - streamed + ctas, streamed),
        }
    }

    /// Tiles of partial sums that the workspace holds.
    fn slots(self, tiles: u64) -> u64 {
        match self {
            Plan::Split(splits) => tiles * splits,
            Plan::Stream { ctas, .. } => ctas * 2,
        }
    }
}

/// CTAs of a variant that a device runs at a time, as far as shared memory and registers tell.
fn resident(site: &Site<'_>) -> u64 {
    let shared_bytes_of_sm = match site.context.cc {
        80 | 87 => 164,
        86 | 89 => 100,
        _ => 228,
    } << 10;
    let variant = site.variant;
    // The driver keeps a kilobyte of shared memory for itself in each CTA.
    let by_shared = shared_bytes_of_sm / (u64::from(variant.shared_bytes) + 1024);
    let by_registers =
        65536 / (u64::from(variant.registers_max.unwrap_or(255) + 1) / 8 * 8 * u64::from(variant.threads));
    u64::from(site.context.units) * by_shared.min(by_registers).max(1)
}

/// Tiles, and how they are shared out.
fn plan(site: &Site<'_>) -> (u64, Plan) {
    let [tile_m, tile_n, tile_k] = site.variant.tile.map(u64::from);
    let tiles = site.problem.m.div_ceil(tile_m) * site.problem.n.div_ceil(tile_n);
    (tiles, Plan::new(tiles, site.problem.k.div_ceil(tile_k), resident(site)))
}

impl Route for SplitK {
    fn workspace_bytes(&self, site: &Site<'_>) -> Result<u64, DeviceError> {
        let (tiles, plan) = plan(site);
        let [tile_m, tile_n, _] = site.variant.tile.map(u64::from);
        Ok(plan.slots(tiles) * tile_m * tile_n * 4)
    }

    fn launches(&self, site: &Site<'_>, params: GemmParams, workspace: u64) -> Result<Vec<Launch>, DeviceError> {
        let (tiles, plan) = plan(site);
        let [tile_m, tile_n, _] = site.variant.tile;
        let (splits, stream_tiles, stream_ctas) = match plan {
            Plan::Split(splits) => (splits, 0, 0),
            Plan::Stream { tiles, ctas } => (0, tiles, ctas),
        };
        let [splits, stream_tiles, stream_ctas] = [splits, stream_tiles, stream_ctas].map(|count| count as u32);
        let plan_params = SplitPlan { parts: workspace, splits, stream_tiles, stream_ctas, reserved: 0 };
        let launch = |function, ctas| -> Result<Launch, DeviceError> {
            let grid = [grid_x(site.variant, ctas)?, 1, 1];
            Ok(Launch { function, grid, cluster: 1, params: vec![Param::new(&params), Param::new(&plan_params)] })
        };
        let (first, second) = plan.ctas(tiles);
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
    fn few_tiles_are_split_and_the_last_waves_streamed() {
        assert_eq!(Plan::new(4, 256, 264), Plan::Split(32));
        assert_eq!(Plan::new(66, 256, 264), Plan::Split(4));
        assert_eq!(Plan::new(4, 6, 264), Plan::Stream { tiles: 4, ctas: 6 }, "too few k steps for two CTAs a tile");
        assert_eq!(Plan::new(4, 4, 264), Plan::Stream { tiles: 0, ctas: 0 }, "too few k steps to share");
        assert_eq!(Plan::new(300, 64, 264), Plan::Stream { tiles: 300, ctas: 264 });
        assert_eq!(Plan::new(564, 64, 264), Plan::Stream { tiles: 300, ctas: 264 });
        assert_eq!(Plan::new(200, 64, 264), Plan::Stream { tiles: 200, ctas: 264 });
        assert_eq!(Plan::new(528, 64, 264), Plan::Stream { tiles: 0, ctas: 0 }, "whole waves");
        assert_eq!(Plan::new(7, 0, 8), Plan::Stream { tiles: 0, ctas: 0 });
    }

    #[test]
    fn every_plan_can_be_launched_and_leaves_no_cta_without_work() {
        for resident in [1, 3, 8, 216, 528] {
            for tiles in 1..700 {
                for k_steps in [0, 1, 3, 4, 7, 64] {
                    let plan = Plan::new(tiles, k_steps, resident);
                    let (first, second) = plan.ctas(tiles);
                    assert!(first >= 1 && second <= tiles, "{plan:?}");
                    match plan {
                        Plan::Split(splits) => assert!(splits > 1 && splits * MIN_STEPS <= k_steps),
                        Plan::Stream { tiles: streamed, ctas } => {
                            assert!(streamed <= tiles && ctas <= resident && ctas * MIN_STEPS <= streamed * k_steps);
                        }
                    }
                }
            }
        }
    }
}
