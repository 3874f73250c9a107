//! The packing route: operands that lie badly are copied into the workspace, and another variant multiplies the copies.
//!
//! Rows of a copy start at multiples of 64 elements. An operand is transposed on the way where the other variant does not take the
//! problem's layout. The copying is part of what is timed, except of operands that the variant calls static.

use super::{Launch, Param, Route, Site, route};
use crate::catalog::{Kernel, Packed, Variant, catalog, packed};
use crate::device::DeviceError;
use crate::device::cuda::launch::{GemmParams, grid_x};
use crate::problem::{BASE_ALIGN_BYTES, Operand, Problem};
use bytemuck::{Pod, Zeroable};

/// PackParams for each operand that is packed, then the launches of another route.
pub(super) struct Pack;

/// `PackParams` of `kernels/pack/params.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct PackParams {
    from: u64,
    to: u64,
    ld_from: i64,
    ld_to: i64,
    rows: u32,
    cols: u32,
}
const _: () = assert!(size_of::<PackParams>() == 40);

/// What a packed problem is made of.
struct Packing {
    kernel: &'static Kernel,
    variant: &'static Variant,
    /// The problem on the copies.
    problem: Problem,
    /// A, and B: where the copy lies in the workspace, and whether it is transposed; `None` where it is not packed.
    copies: [Option<(u64, bool)>; 2],
    /// Bytes of all copies.
    bytes: u64,
}

impl Packing {
    fn new(problem: &Problem, variant: &Variant) -> Result<Packing, DeviceError> {
        let Some(Packed { problem: packed, kernel, variant: next, .. }) = packed(catalog(), variant, problem) else {
            let why = format!("variant {} runs then {:?}, which is not there", variant.name, variant.then);
            return Err(DeviceError::Image { file: "catalog.toml".to_owned(), why });
        };
        let mut bytes = 0;
        let copies = [Operand::A, Operand::B].map(|operand| {
            let transposes = packed.layout.transposes(operand) != problem.layout.transposes(operand);
            names(&variant.pack, operand).then(|| {
                let stored = packed.placement(operand);
                let at = bytes;
                bytes += (stored.rows * stored.ld * problem.dtype.bytes()).next_multiple_of(BASE_ALIGN_BYTES);
                (at, transposes)
            })
        });
        Ok(Packing { kernel, variant: next, problem: packed, copies, bytes })
    }

    fn site<'a>(&'a self, outer: &Site<'a>) -> Site<'a> {
        Site { context: outer.context, problem: &self.problem, kernel: self.kernel, variant: self.variant }
    }

    /// The launches that pack the operands that `wanted` names.
    fn launches(
        &self,
        site: &Site<'_>,
        params: &GemmParams,
        workspace: u64,
        wanted: impl Fn(Operand) -> bool,
    ) -> Result<Vec<Launch>, DeviceError> {
        let mut launches = Vec::new();
        for (copy, operand) in self.copies.iter().zip([Operand::A, Operand::B]) {
            let from = site.problem.placement(operand);
            let Some((at, transposes)) = *copy else { continue };
            if !wanted(operand) || from.rows == 0 || from.cols == 0 {
                continue;
            }
            let address = if operand == Operand::A { params.a } else { params.b };
            let pack = PackParams {
                from: address,
                to: workspace + at,
                ld_from: from.ld as i64,
                ld_to: self.problem.placement(operand).ld as i64,
                rows: from.rows as u32,
                cols: from.cols as u32,
            };
            let size = site.problem.dtype.bytes();
            let (what, block_rows, block_cols) =
                if transposes { ("transpose", 128 / size, 128 / size) } else { ("restride", 32, 512 / size) };
            let function = site.context.helper(&format!("pack_{what}_{}", 8 * size))?;
            let ctas = grid_x(site.variant, from.rows.div_ceil(block_rows) * from.cols.div_ceil(block_cols))?;
            launches.push(Launch { function, grid: [ctas, 1, 1], cluster: 1, params: vec![Param::new(&pack)] });
        }
        Ok(launches)
    }
}

/// Whether an operand is among those of a catalogue field.
fn names(field: &Option<String>, operand: Operand) -> bool {
    field.as_deref().unwrap_or_default().contains(operand.name().to_ascii_lowercase().as_str())
}

impl Route for Pack {
    fn workspace_bytes(&self, site: &Site<'_>) -> Result<u64, DeviceError> {
        let packing = Packing::new(site.problem, site.variant)?;
        Ok(packing.bytes + route(packing.variant)?.workspace_bytes(&packing.site(site))?)
    }

    fn launches(&self, site: &Site<'_>, params: GemmParams, workspace: u64) -> Result<Vec<Launch>, DeviceError> {
        let packing = Packing::new(site.problem, site.variant)?;
        let mut launches =
            packing.launches(site, &params, workspace, |operand| !names(&site.variant.fixed, operand))?;
        let mut packed = GemmParams { lda: packing.problem.lda as i64, ldb: packing.problem.ldb as i64, ..params };
        if let Some((at, _)) = packing.copies[0] {
            packed.a = workspace + at;
        }
        if let Some((at, _)) = packing.copies[1] {
            packed.b = workspace + at;
        }
        launches.extend(route(packing.variant)?.launches(&packing.site(site), packed, workspace + packing.bytes)?);
        Ok(launches)
    }

    fn keeps_workspace(&self, variant: &Variant) -> bool {
        variant.fixed.is_some()
    }

    fn once(&self, site: &Site<'_>, params: GemmParams, workspace: u64) -> Result<Vec<Launch>, DeviceError> {
        let packing = Packing::new(site.problem, site.variant)?;
        packing.launches(site, &params, workspace, |operand| names(&site.variant.fixed, operand))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::DType;

    #[test]
    fn copies_of_every_packing_variant_keep_the_contract_of_the_next() {
        use crate::problem::Layout;
        for variant in catalog().kernels.iter().flat_map(|k| &k.variants).filter(|v| v.route == "pack") {
            let all = DType::ALL.into_iter().flat_map(|dtype| Layout::ALL.map(|layout| (layout, dtype)));
            for (layout, dtype) in all.filter(|(layout, dtype)| variant.takes(dtype.name(), layout.name())) {
                let problem = Problem { offset_a: 3, offset_b: 5, ..Problem::new(67, 131, 35).in_form(layout, dtype) };
                let packing = Packing::new(&problem, variant).unwrap();
                assert!(packing.variant.takes_form(&packing.problem), "{}", variant.name);
                for operand in [Operand::A, Operand::B].into_iter().filter(|&o| names(&variant.pack, o)) {
                    let needs = packing.variant.align_of(operand, dtype);
                    assert!(packing.problem.align_bytes(operand) >= needs, "{}: {operand:?}", variant.name);
                }
                let spans = [Operand::A, Operand::B].map(|o| packing.problem.placement(o).span() * dtype.bytes());
                if let [Some((0, _)), Some((b, _))] = packing.copies {
                    assert!(spans[0] <= b && b + spans[1] <= packing.bytes, "copies do not overlap");
                }
            }
        }
    }
}
