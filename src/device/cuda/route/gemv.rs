//! The route of `gemm/11_gemv.cu`: products with few rows or few columns.

use super::{Launch, Param, Route, Site};
use crate::device::DeviceError;
use crate::device::cuda::launch::{GemmParams, grid_x};
use crate::problem::{Operand, Problem};
use bytemuck::{Pod, Zeroable};

/// CTAs that keep the memory of any device busy. A constant, so that a problem has the same splits everywhere, and its result the
/// same bits.
const ENOUGH_CTAS: u64 = 512;

/// Elements along k that a split is a multiple of.
const K_STEP: u64 = 1024;

/// GemmParams and GemvPlan; twice where k is split.
pub(super) struct Gemv;

/// `GemvPlan` of `kernels/gemm/11_gemv.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct GemvPlan {
    parts: u64,
    splits: u32,
    k_split: u32,
    small_m: u32,
    y_along_k: u32,
}
const _: () = assert!(size_of::<GemvPlan>() == 24);

/// A problem as a product of a large operand with a few vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    small_m: bool,
    /// The large operand is K-major.
    dot: bool,
    /// The small operand is.
    y_along_k: bool,
    rows: u64,
    vectors: u64,
    splits: u64,
    k_split: u64,
}

impl Shape {
    /// `small_m`: the vectors are rows of A, else columns of B.
    fn new(problem: &Problem, small_m: bool) -> Shape {
        let along_k = |operand| problem.layout.transposes(operand) == (operand == Operand::B);
        let (x, y) = if small_m { (Operand::B, Operand::A) } else { (Operand::A, Operand::B) };
        let (rows, vectors) = if small_m { (problem.n, problem.m) } else { (problem.m, problem.n) };
        let dot = along_k(x);
        let blocks = rows.div_ceil(Self::rows_of_cta(dot));
        let most = problem.k.div_ceil(K_STEP).max(1);
        let k_split =
            problem.k.div_ceil((ENOUGH_CTAS / blocks.max(1)).clamp(1, most)).next_multiple_of(K_STEP).max(K_STEP);
        let splits = problem.k.div_ceil(k_split).max(1);
        Shape { small_m, dot, y_along_k: along_k(y), rows, vectors, splits, k_split }
    }

    const fn rows_of_cta(dot: bool) -> u64 {
        if dot { 32 } else { 64 }
    }

    fn of(site: &Site<'_>) -> Shape {
        Shape::new(site.problem, site.variant.max_m.is_some())
    }
}

impl Route for Gemv {
    fn workspace_bytes(&self, site: &Site<'_>) -> Result<u64, DeviceError> {
        let shape = Shape::of(site);
        Ok(if shape.splits > 1 { shape.splits * shape.rows * shape.vectors * 4 } else { 0 })
    }

    fn launches(&self, site: &Site<'_>, params: GemmParams, workspace: u64) -> Result<Vec<Launch>, DeviceError> {
        let shape = Shape::of(site);
        let plan = GemvPlan {
            parts: workspace,
            splits: shape.splits as u32,
            k_split: shape.k_split as u32,
            small_m: shape.small_m.into(),
            y_along_k: shape.y_along_k.into(),
        };
        let launch = |what: &str, ctas| -> Result<Launch, DeviceError> {
            let symbol = format!("gemv_{what}_{}", site.problem.dtype.name());
            let function = site.context.function(&site.kernel.file, &symbol, site.variant.threads, 0)?;
            let grid = [grid_x(site.variant, ctas)?, 1, 1];
            Ok(Launch { function, grid, cluster: 1, params: vec![Param::new(&params), Param::new(&plan)] })
        };
        let blocks = shape.rows.div_ceil(Shape::rows_of_cta(shape.dot));
        let mut launches = vec![launch(if shape.dot { "dot" } else { "axpy" }, blocks * shape.splits)?];
        if shape.splits > 1 {
            launches.push(launch("sum", (shape.rows * shape.vectors).div_ceil(256))?);
        }
        Ok(launches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{DType, Layout};

    #[test]
    fn the_large_operand_and_the_way_it_lies_follow_from_the_layout() {
        let shape = |layout, small_m| {
            let shape = Shape::new(&Problem::new(8, 8, 64).in_form(layout, DType::F16), small_m);
            (shape.dot, shape.y_along_k)
        };
        assert_eq!(Layout::ALL.map(|l| shape(l, true)), [(false, true), (true, true), (false, false), (true, false)]);
        assert_eq!(Layout::ALL.map(|l| shape(l, false)), [(true, false), (true, true), (false, false), (false, true)]);
    }

    #[test]
    fn splits_cover_k_and_none_is_empty() {
        for n in [1, 64, 4096, 100_000] {
            for k in [0, 1, 1023, 1024, 1025, 65_536, 1 << 30] {
                let shape = Shape::new(&Problem::new(3, n, k), true);
                assert!(
                    shape.splits * shape.k_split >= k && (shape.splits - 1) * shape.k_split < k.max(1),
                    "{shape:?}"
                );
                assert!(shape.k_split.is_multiple_of(K_STEP));
            }
        }
    }
}
