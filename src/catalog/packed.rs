//! Variants that copy operands first: what is multiplied then, and by which kernel.

use super::{Catalog, Kernel, Variant};
use crate::problem::{Layout, Operand, Problem};

/// Elements that the rows of a packed operand are a multiple of.
const ROW: u64 = 64;

/// What a variant with `then` hands on.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    /// The problem on the packed operands.
    pub problem: Problem,
    /// The kernel that multiplies them.
    pub kernel: &'a Kernel,
    /// And its variant.
    pub variant: &'a Variant,
    /// Bytes that the packed operands take, each from a multiple of 256: the variant's workspace besides that of `variant`.
    pub bytes: u64,
    /// Bytes that are read and written to pack them.
    pub moved_bytes: u64,
    /// Operands that are packed.
    pub operands: u32,
}

/// What is multiplied after a variant has packed its operands; `None` for a variant that packs nothing, or that hands on to a
/// variant that is not in the catalogue or packs in turn.
///
/// Packed operands begin at an aligned address, with rows of a multiple of 64 elements. They keep their layout where the second
/// variant takes it; else they are transposed into the first layout that it takes.
pub fn packed<'a>(catalog: &'a Catalog, variant: &Variant, problem: &Problem) -> Option<Packed<'a>> {
    let (kernel, name) = variant.then.as_deref()?.split_once('/')?;
    let kernel = catalog.kernels.iter().find(|k| k.name == kernel)?;
    let then = kernel.variants.iter().find(|v| v.name == name && v.then.is_none())?;
    let packs = |operand: Operand| {
        let named = variant.pack.as_deref().unwrap_or("ab");
        named.contains(&operand.name().to_ascii_lowercase())
    };
    let keeps = |to: Layout| {
        [Operand::A, Operand::B].into_iter().all(|o| packs(o) || to.transposes(o) == problem.layout.transposes(o))
    };
    let reachable = [problem.layout].into_iter().chain(Layout::ALL).filter(|&to| keeps(to));
    // Where none is taken the form stays, and says so when it is refused.
    let layout =
        reachable.clone().find(|&layout| then.takes_form(&Problem { layout, ..*problem })).unwrap_or(problem.layout);
    let mut to = Problem { layout, ..*problem };
    let (mut bytes, mut moved_bytes, mut operands) = (0, 0, 0);
    for operand in [Operand::A, Operand::B].into_iter().filter(|&o| packs(o)) {
        let stored = to.placement(operand);
        let ld = stored.cols.max(1).next_multiple_of(ROW);
        match operand {
            Operand::A => (to.lda, to.offset_a) = (ld, 0),
            _ => (to.ldb, to.offset_b) = (ld, 0),
        }
        bytes += (stored.rows * ld * to.element_bytes(operand)).next_multiple_of(256);
        moved_bytes += 2 * stored.rows * stored.cols * to.element_bytes(operand);
        operands += 1;
    }
    Some(Packed { problem: to, kernel, variant: then, bytes, moved_bytes, operands })
}

#[cfg(test)]
mod tests {
    use super::super::{catalog, schema};
    use super::*;
    use crate::problem::DType;

    const TEXT: &str = r#"
        schema = 1
        [[file]]
        path = "a.cu"
        ptx_arch = "compute_80"
        cubins = []
        [[kernel]]
        name = "k"
        file = "a.cu"
        summary = "s"
        unit = "mma.sync"
        min_cc = 80
        dtype = "f16"
        layouts = ["nn", "nt"]
        [[kernel.variant]]
        name = "wide"
        entry = "e_{layout}"
        tile = [64, 64, 32]
        stages = 1
        threads = 128
        shared_bytes = 0
        align_bytes = 16
        [[kernel.variant]]
        name = "pack-a"
        layouts = ["nn", "nt", "tn", "tt"]
        pack = "a"
        then = "k/wide"
        tile = [64, 64, 32]
        stages = 1
        threads = 128
        shared_bytes = 0
        align_bytes = 2
    "#;

    #[test]
    fn packed_operands_are_aligned_and_the_others_stay() {
        let catalog = schema::parse(TEXT).unwrap();
        let [wide, pack] = &catalog.kernels[0].variants[..] else { panic!("two variants") };
        assert!(packed(&catalog, wide, &Problem::new(8, 8, 8)).is_none());
        let mut odd = Problem::new(100, 200, 33);
        (odd.lda, odd.offset_a, odd.ldb, odd.offset_b) = (35, 3, 208, 8);
        let to = packed(&catalog, pack, &odd).unwrap();
        let p = to.problem;
        assert_eq!((p.lda, p.offset_a, p.ldb, p.offset_b, p.layout), (64, 0, 208, 8, Layout::Nn));
        assert_eq!((to.bytes, to.moved_bytes, to.operands), (100 * 64 * 2, 2 * 100 * 33 * 2, 1));
        // A stored k x m is transposed, because the second variant takes no such A.
        let p = packed(&catalog, pack, &odd.in_form(Layout::Tt, DType::F16)).unwrap().problem;
        assert_eq!((p.layout, p.lda, p.ldb), (Layout::Nt, 64, 33));
    }

    #[test]
    fn whatever_packs_names_a_variant_that_multiplies() {
        for kernel in &catalog().kernels {
            for variant in kernel.variants.iter().filter(|v| v.then.is_some()) {
                let found = packed(catalog(), variant, &Problem::new(8, 8, 8));
                assert!(found.is_some(), "{}/{} then {:?}", kernel.name, variant.name, variant.then);
            }
        }
    }
}
