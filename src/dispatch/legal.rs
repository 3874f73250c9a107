//! Whether a variant can run a problem on a device, and if not, why.

use crate::catalog::{Kernel, Variant, capability, catalog, packed};
use crate::device::DeviceInfo;
use crate::model::SmLimits;
use crate::problem::{Operand, Problem};
use thiserror::Error;

/// Why no variant can run a problem.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoKernel {
    /// The device is older than the kernel, or the kernel uses what later devices lack.
    #[error("{kernel} needs compute capability {needs}, and the device has {has}; choose another kernel or device")]
    Capability {
        /// The kernel, or the variant.
        kernel: String,
        /// What it needs.
        needs: String,
        /// What there is.
        has: String,
    },
    /// The kernel was not written for the layout or type.
    #[error("{kernel} takes {takes}, and the problem is {asked}; choose another kernel, --dtype or --layout")]
    Form {
        /// The kernel, the variant, or the device for which there is none.
        kernel: String,
        /// Layouts and type that it takes.
        takes: String,
        /// What was asked for.
        asked: String,
    },
    /// The addresses break the variant's alignment contract.
    #[error("{kernel}/{variant} needs {}", contract(operand, *.stride_only, *.needs, *.has, place))]
    Alignment {
        /// The kernel.
        kernel: &'static str,
        /// The variant.
        variant: &'static str,
        /// Bytes of its contract.
        needs: u64,
        /// The operand that breaks it.
        operand: &'static str,
        /// Bytes that the operand has.
        has: u64,
        /// Whether the contract is for the distance from row to row alone, and the base may lie anywhere.
        stride_only: bool,
        /// Its leading dimension and offset.
        place: String,
    },
    /// A size that the variant was not made for.
    #[error(
        "{kernel}/{variant} takes {name} from {min} to {max}, and the problem has {name} = {value}; choose another kernel"
    )]
    Limit {
        /// The kernel.
        kernel: &'static str,
        /// The variant.
        variant: &'static str,
        /// `m`, `n` or `k`.
        name: &'static str,
        /// The problem's.
        value: u64,
        /// The smallest it takes.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// More shared memory than a CTA can have.
    #[error(
        "{kernel}/{variant} needs {needs_bytes} bytes of shared memory, and a CTA on this device has at most {has_bytes}; choose another variant"
    )]
    Shared {
        /// The kernel.
        kernel: &'static str,
        /// The variant.
        variant: &'static str,
        /// Bytes that it asks for.
        needs_bytes: u32,
        /// The most that the device gives.
        has_bytes: u32,
    },
    /// Packed operands that do not fit beside the others.
    #[error(
        "{kernel}/{variant} needs {needs_bytes} bytes for the operands and their packed copies, and the device has {has_bytes}; reduce the sizes, or align the operands"
    )]
    Workspace {
        /// The kernel.
        kernel: &'static str,
        /// The variant.
        variant: &'static str,
        /// Operands and copies.
        needs_bytes: u64,
        /// The device's memory.
        has_bytes: u64,
    },
    /// A variant that packs for one that is not there.
    #[error(
        "{kernel}/{variant} packs for {then}, which the catalogue does not have or which packs itself; choose another variant"
    )]
    Then {
        /// The kernel.
        kernel: &'static str,
        /// The variant.
        variant: &'static str,
        /// What should multiply.
        then: String,
    },
    /// More CTAs than a grid can have.
    #[error("{kernel}/{variant} would need {tiles} CTAs, and a grid has at most 2147483647; reduce m or n")]
    Grid {
        /// The kernel.
        kernel: &'static str,
        /// The variant.
        variant: &'static str,
        /// Tiles of C.
        tiles: u64,
    },
    /// The catalogue has no kernel for this device.
    #[error("the catalogue has no kernel for this device")]
    Empty,
}

/// An alignment contract and what there is instead, to be read after "needs".
fn contract(operand: &str, stride_only: bool, needs: u64, has: u64, place: &str) -> String {
    if stride_only {
        format!(
            "the rows of {operand} a multiple of {needs} bytes apart (its base may lie at any element), and they are a multiple of \
             {has} bytes apart ({place})"
        )
    } else {
        format!(
            "the base and every row of {operand} at a multiple of {needs} bytes, and it is at a multiple of {has} bytes ({place})"
        )
    }
}

/// Tiles of C that a variant covers a problem with.
pub fn tiles(problem: &Problem, variant: &Variant) -> u64 {
    problem.m.div_ceil(u64::from(variant.tile[0])) * problem.n.div_ceil(u64::from(variant.tile[1]))
}

/// What a kernel takes, for messages.
pub(super) fn forms(kernel: &Kernel) -> String {
    let mut forms: Vec<String> = Vec::new();
    for variant in &kernel.variants {
        let form = format!("{} in {}", variant.dtypes.join(", "), variant.layouts.join(", "));
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms.join(" and ")
}

/// Whether a device has what a variant's code needs, whatever the problem.
pub fn runs_on(kernel: &Kernel, variant: &Variant, device: &DeviceInfo) -> bool {
    capable(kernel, variant, device).is_ok()
}

/// A compute capability as it is written: 9.0 for 90.
pub(super) fn dotted(cc: u32) -> String {
    format!("{}.{}", cc / 10, cc % 10)
}

fn capable(kernel: &Kernel, variant: &Variant, device: &DeviceInfo) -> Result<(), NoKernel> {
    let error = |needs| {
        let kernel = format!("{}/{}", kernel.name, variant.name);
        Err(NoKernel::Capability { kernel, needs, has: dotted(device.cc) })
    };
    let lowest = variant.min_cc.unwrap_or(kernel.min_cc);
    if lowest > device.cc {
        return error(dotted(lowest));
    }
    // PTX for an architecture with a letter, such as compute_90a, runs on no other.
    let file = catalog().files.iter().find(|f| kernel.has_file(&f.path));
    let arch = file.map_or("", |f| f.ptx_arch.as_str());
    match capability(arch) {
        Some(only) if arch.ends_with(char::is_alphabetic) && only != device.cc => {
            error(format!("{} and no other", dotted(only)))
        }
        _ => Ok(()),
    }
}

/// Whether a variant can run a problem on a device: what it needs of the device, its types and layouts, its alignment contract
/// for each operand, its limits, and its grid.
///
/// # Errors
/// The first obstacle.
pub fn may_run(
    problem: &Problem,
    kernel: &'static Kernel,
    variant: &'static Variant,
    device: &DeviceInfo,
) -> Result<(), NoKernel> {
    capable(kernel, variant, device)?;
    if !variant.takes_form(problem) {
        let takes = format!("{} in {}", variant.dtypes.join(", "), variant.layouts.join(", "));
        let kernel = format!("{}/{}", kernel.name, variant.name);
        return Err(NoKernel::Form { kernel, takes, asked: problem.form() });
    }
    for operand in Operand::ALL {
        let (needs, has) = (variant.align_of(operand, problem.dtype), variant.align_had(operand, problem));
        if has < needs {
            return Err(NoKernel::Alignment {
                kernel: &kernel.name,
                variant: &variant.name,
                needs,
                operand: operand.name(),
                has,
                stride_only: variant.frees_base(operand),
                place: place(problem, operand),
            });
        }
    }
    let sizes = [("m", problem.m), ("n", problem.n), ("k", problem.k)];
    for ((name, value), (min, max)) in sizes.into_iter().zip(variant.limits()) {
        if !(min..=max).contains(&value) {
            return Err(NoKernel::Limit { kernel: &kernel.name, variant: &variant.name, name, value, min, max });
        }
    }
    let limits = SmLimits::of(device.cc);
    let has_bytes = limits.shared_bytes.saturating_sub(limits.shared_reserved_bytes);
    if device.kind().runs_cuda() && variant.shared_bytes > has_bytes {
        let (kernel, variant, needs_bytes) = (&kernel.name, &variant.name, variant.shared_bytes);
        return Err(NoKernel::Shared { kernel, variant, needs_bytes, has_bytes });
    }
    if let Some(then) = &variant.then {
        let (kernel, name) = (&kernel.name, &variant.name);
        let Some(packed) = packed(catalog(), variant, problem) else {
            return Err(NoKernel::Then { kernel, variant: name, then: then.clone() });
        };
        let (needs_bytes, has_bytes) = (problem.footprint_bytes() + packed.bytes, device.record.memory_bytes);
        if has_bytes > 0 && needs_bytes > has_bytes {
            return Err(NoKernel::Workspace { kernel, variant: name, needs_bytes, has_bytes });
        }
        return may_run(&packed.problem, packed.kernel, packed.variant, device);
    }
    let tiles = tiles(problem, variant);
    // The CPU's kernel has no grid, and a library's is its own.
    if device.kind().runs_cuda() && kernel.unit != "library" && tiles > (1 << 31) - 1 {
        return Err(NoKernel::Grid { kernel: &kernel.name, variant: &variant.name, tiles });
    }
    Ok(())
}

pub(super) fn place(problem: &Problem, operand: Operand) -> String {
    let p = problem.placement(operand);
    format!("ld{} = {}, offset {}", operand.name().to_ascii_lowercase(), p.ld, p.offset)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{a100, emulated, h100, kernel as made_up, variant as made_up_variant};
    use super::super::{Selector, choose, kernels, rank};
    use super::*;
    use crate::problem::{DType, Layout};

    #[test]
    fn auto_finds_a_kernel_for_every_layout_and_type() {
        for layout in Layout::ALL {
            for dtype in DType::ALL {
                let mut problem = Problem::new(65, 33, 17).in_form(layout, dtype);
                (problem.offset_a, problem.offset_b, problem.offset_c) = (1, 3, 5);
                let choice = choose(&problem, &Selector::Auto, &emulated(90)).unwrap();
                assert!(choice.variant.takes_form(&problem), "{}/{}", choice.kernel.name, choice.variant.name);
            }
        }
    }

    #[test]
    fn what_no_kernel_takes_is_said_with_what_there_is() {
        let problem = Problem::new(8, 8, 8).in_form(Layout::Tt, DType::I8);
        let error = choose(&problem, &Selector::Auto, &crate::device::cpu::info()).unwrap_err().to_string();
        assert!(
            error.contains("no kernel") && error.contains("i8 in tt") && error.contains("cpu_sgemm: f16"),
            "{error}"
        );
        let error = choose(&problem, &Selector::Kernel("03_wmma"), &emulated(90)).unwrap_err().to_string();
        assert!(error.starts_with("03_wmma takes f16 in nn") && error.contains("i8 in tt"), "{error}");
        let old = choose(&Problem::new(8, 8, 8), &Selector::Auto, &emulated(70)).unwrap_err();
        assert!(old.to_string().contains("needs compute capability 8.0 or later, and the device has 7.0"), "{old}");
        let old = choose(&Problem::new(8, 8, 8), &Selector::Kernel("04_mma"), &emulated(70)).unwrap_err().to_string();
        assert!(old.contains("needs compute capability 8.0, and the device has 7.0"), "{old}");
    }

    #[test]
    fn each_operand_and_size_has_its_own_limit() {
        let kernel: &'static Kernel =
            Box::leak(Box::new(Kernel { name: "k".to_owned(), ..catalog().kernels[0].clone() }));
        let variant: &'static Variant = Box::leak(Box::new(Variant {
            name: "v".to_owned(),
            dtypes: vec!["f16".to_owned()],
            layouts: vec!["nn".to_owned()],
            tile: [16, 16, 16],
            cluster: 1,
            align_bytes: 2,
            align_b: Some(16),
            align_c: Some(8),
            max_m: Some(32),
            ..Variant::default()
        }));
        let run = |change: fn(&mut Problem)| {
            let mut problem = Problem::new(32, 32, 32);
            change(&mut problem);
            may_run(&problem, kernel, variant, &emulated(80)).map_err(|why| why.to_string())
        };
        assert_eq!(run(|p| (p.lda, p.offset_a) = (33, 7)), Ok(()));
        let b = run(|p| p.ldb = 36).unwrap_err();
        assert!(b.contains("row of B at a multiple of 16 bytes") && b.contains("ldb = 36"), "{b}");
        let c = run(|p| p.offset_c = 2).unwrap_err();
        assert!(c.contains("row of C at a multiple of 8 bytes") && c.contains("a multiple of 4 bytes"), "{c}");
        let free: &'static Variant =
            Box::leak(Box::new(Variant { free_base: Some("b".to_owned()), ..variant.clone() }));
        let odd = Problem { ldb: 36, offset_b: 1, ..Problem::new(32, 32, 32) };
        let apart = may_run(&odd, kernel, free, &emulated(80)).unwrap_err().to_string();
        assert!(
            apart.contains("the rows of B a multiple of 16 bytes apart (its base may lie at any element)"),
            "{apart}"
        );
        assert!(apart.contains("a multiple of 8 bytes apart") && !apart.contains("the base and every row"), "{apart}");
        assert_eq!(may_run(&Problem { ldb: 40, ..odd }, kernel, free, &emulated(80)), Ok(()));
        let m = run(|p| p.m = 33).unwrap_err();
        assert!(m.contains("k/v takes m from 0 to 32, and the problem has m = 33"), "{m}");
    }

    #[test]
    fn the_obstacle_that_is_told_is_the_one_nearest_to_none() {
        // 8-byte rows: of 04_mma's variants those of class 16 miss by the least, and 03_wmma is not asked.
        let wide: Vec<_> = kernels(emulated(90).kind())
            .into_iter()
            .flat_map(|k| k.variants.iter().map(move |v| (k, v)))
            .filter(|(k, v)| k.unit == "mma.sync" && v.takes("f16", "nn") && v.align_bytes == 16)
            .collect();
        let (kernel, variant) = wide[0];
        let odd = Problem { lda: 36, ..Problem::new(32, 32, 32) };
        let why = choose(&odd, &Selector::Variant(&kernel.name, &variant.name), &h100()).unwrap_err();
        assert!(matches!(why, NoKernel::Alignment { needs: 16, has: 8, operand: "A", .. }), "{why}");
        let refused = rank(&odd, &Selector::Auto, &h100()).refused;
        assert!(refused.iter().any(|r| r.why == why) && refused.iter().all(|r| !r.why.to_string().is_empty()));
    }

    #[test]
    fn shared_memory_and_workspace_are_what_the_device_has() {
        let big = Variant { shared_bytes: 200 << 10, ..made_up_variant("big", [128, 256, 64], 2) };
        let pack = Variant { then: Some("nobody/none".to_owned()), ..made_up_variant("pack", [128, 256, 64], 2) };
        let kernel: &'static Kernel = Box::leak(Box::new(made_up("k", "mma.sync", vec![big, pack])));
        let run =
            |i: usize, device: &DeviceInfo| may_run(&Problem::new(64, 64, 64), kernel, &kernel.variants[i], device);
        assert_eq!(run(0, &h100()), Ok(()));
        let why = run(0, &a100()).unwrap_err().to_string();
        assert!(why.contains("k/big needs 204800 bytes of shared memory") && why.contains("at most 166912"), "{why}");
        assert!(matches!(run(1, &h100()), Err(NoKernel::Then { .. })));
    }
}
