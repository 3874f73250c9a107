//! The plain route: one launch, a CTA for each tile of C, the operands where they are.

use super::{Launch, Param, Route, Site};
use crate::device::DeviceError;
use crate::device::cuda::launch::{GemmParams, gemm_ctas};

/// One GemmParams, one grid.
pub(super) struct Direct;

impl Route for Direct {
    fn workspace_bytes(&self, _: &Site<'_>) -> Result<u64, DeviceError> {
        Ok(0)
    }

    fn launches(&self, site: &Site<'_>, params: GemmParams, _: u64) -> Result<Vec<Launch>, DeviceError> {
        let cluster = site.variant.cluster;
        // A grid is made of whole clusters; CTAs without a tile find that out themselves.
        let ctas = gemm_ctas(site.problem, site.variant)?.next_multiple_of(cluster);
        let params = vec![Param::new(&params)];
        Ok(vec![Launch { function: site.function()?, grid: [ctas, 1, 1], cluster, params }])
    }
}
