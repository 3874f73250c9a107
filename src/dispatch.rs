//! Chooses the kernel and the variant for a problem, from its real addresses and the device, and says why.

use crate::catalog::{Kernel, Variant, baseline_kernel, capability, catalog, cpu_kernel};
use crate::device::DeviceInfo;
use crate::problem::{Operand, Problem};
use crate::record::DeviceKind;
use std::fmt;
use thiserror::Error;

/// What was asked for: any kernel, one kernel, or one variant of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The best that is legal.
    Auto,
    /// The best legal variant of this kernel.
    Kernel(&'static str),
    /// This very variant.
    Variant(&'static str, &'static str),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Auto => f.write_str("auto"),
            Selector::Kernel(kernel) => f.write_str(kernel),
            Selector::Variant(kernel, variant) => write!(f, "{kernel}/{variant}"),
        }
    }
}

/// A name that is not in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectError {
    /// No such kernel.
    #[error("there is no kernel {name:?}{}; `gemmscope kernels` lists them", nearest(.meant))]
    Kernel {
        /// What was asked for.
        name: String,
        /// The nearest name there is.
        meant: Option<String>,
    },
    /// A kernel for another kind of device.
    #[error(
        "kernel {kernel} runs on {needs}, and this is a {device} device; choose another kernel, or another --device"
    )]
    Elsewhere {
        /// The kernel.
        kernel: &'static str,
        /// What it runs on.
        needs: &'static str,
        /// What there is.
        device: &'static str,
    },
    /// No such variant.
    #[error("kernel {kernel} has no variant {name:?}{}; `gemmscope kernels` lists them", nearest(.meant))]
    Variant {
        /// The kernel.
        kernel: &'static str,
        /// What was asked for.
        name: String,
        /// The nearest name there is.
        meant: Option<String>,
    },
}

fn nearest(meant: &Option<String>) -> String {
    meant.as_ref().map(|m| format!("; did you mean {m:?}?")).unwrap_or_default()
}

/// The kernels that a kind of device can run.
pub fn kernels(kind: DeviceKind) -> Vec<&'static Kernel> {
    match kind {
        DeviceKind::Cuda | DeviceKind::Emulated => catalog().kernels.iter().collect(),
        DeviceKind::Cpu => vec![cpu_kernel()],
    }
}

/// A kernel that a kind of device can run, by its name, the library baseline included.
fn named(kind: DeviceKind, name: &str) -> Option<&'static Kernel> {
    let baseline = kind.runs_cuda().then(baseline_kernel);
    kernels(kind).into_iter().chain(baseline).find(|k| k.name == name)
}

/// Reads `auto`, a kernel's name, `KERNEL/VARIANT`, or `all` for each kernel of the device.
///
/// # Errors
/// The name is not in the catalogue; the nearest one is given.
pub fn select(text: &str, kind: DeviceKind) -> Result<Vec<Selector>, SelectError> {
    let all = kernels(kind);
    match text {
        "auto" => return Ok(vec![Selector::Auto]),
        "all" => return Ok(all.iter().map(|k| Selector::Kernel(&k.name)).collect()),
        _ => {}
    }
    let (name, variant) = text.split_once('/').map_or((text, None), |(k, v)| (k, Some(v)));
    let Some(kernel) = named(kind, name) else {
        let elsewhere = catalog().kernels.iter().chain([cpu_kernel(), baseline_kernel()]);
        let device = if kind.runs_cuda() { "CUDA" } else { "CPU" };
        if let Some(known) = elsewhere.clone().find(|k| k.name == name) {
            let needs = if known.min_cc == 0 { "a CPU" } else { "a CUDA device" };
            return Err(SelectError::Elsewhere { kernel: &known.name, needs, device });
        }
        let names = elsewhere.map(|k| k.name.as_str()).chain(["auto", "all"]);
        return Err(SelectError::Kernel { name: name.to_owned(), meant: closest(name, names) });
    };
    let Some(variant) = variant else { return Ok(vec![Selector::Kernel(&kernel.name)]) };
    match kernel.variants.iter().find(|v| v.name == variant) {
        Some(v) => Ok(vec![Selector::Variant(&kernel.name, &v.name)]),
        None => Err(SelectError::Variant {
            kernel: &kernel.name,
            name: variant.to_owned(),
            meant: closest(variant, kernel.variants.iter().map(|v| v.name.as_str())),
        }),
    }
}

/// The most similar name, if any is similar at all.
fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|n| (strsim::jaro_winkler(name, n), n))
        .filter(|(score, _)| *score > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, n)| n.to_owned())
}

/// A kernel and variant that can run a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The variant.
    pub variant: &'static Variant,
    /// Why this one.
    pub why: String,
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl PartialEq for Variant {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry && self.name == other.name
    }
}

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
    #[error(
        "{kernel}/{variant} needs the base and every row of {operand} at a multiple of {needs} bytes, and it is at a multiple of {has} bytes ({place})"
    )]
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

/// Tiles of C that a variant covers a problem with.
pub fn tiles(problem: &Problem, variant: &Variant) -> u64 {
    problem.m.div_ceil(u64::from(variant.tile[0])) * problem.n.div_ceil(u64::from(variant.tile[1]))
}

/// Chooses a kernel and a variant.
///
/// # Errors
/// No variant of what was asked for can run the problem on the device; the reason names the first obstacle.
pub fn choose(problem: &Problem, selector: &Selector, device: &DeviceInfo) -> Result<Choice, NoKernel> {
    let all = kernels(device.kind());
    let by_name = |name: &str| named(device.kind(), name).ok_or(NoKernel::Empty);
    match selector {
        Selector::Auto => {
            // The ladder's last rung that can run it is the fastest.
            let mut first_obstacle = None;
            // Rungs that only pay for some sizes and alignments, or take a workspace, are for those who ask for them.
            let asked_for =
                |k: &&&Kernel| !k.variants.iter().any(|v| ["pack", "residue", "split_k"].contains(&&*v.route));
            for kernel in all.iter().rev().filter(asked_for) {
                match within(problem, kernel, device) {
                    Ok(choice) => return Ok(choice),
                    // That some rungs are not for this form or device says little; what keeps the others from it says why.
                    Err(NoKernel::Form { .. } | NoKernel::Capability { .. }) => {}
                    Err(why) => first_obstacle = first_obstacle.or(Some(why)),
                }
            }
            Err(first_obstacle.unwrap_or_else(|| no_kernel(problem, &all, device)))
        }
        Selector::Kernel(name) => match by_name(name)? {
            // It chooses for itself: its first variant is the one that measures.
            library if library.unit == baseline_kernel().unit => {
                choose(problem, &Selector::Variant(&library.name, &library.variants[0].name), device)
            }
            kernel => within(problem, kernel, device),
        },
        Selector::Variant(name, variant) => {
            let kernel = by_name(name)?;
            let variant = kernel.variants.iter().find(|v| v.name == *variant).ok_or(NoKernel::Empty)?;
            may_run(problem, kernel, variant, device)?;
            Ok(Choice { kernel, variant, why: "asked for by name".to_owned() })
        }
    }
}

/// Why none of all kernels is for this form on this device.
fn no_kernel(problem: &Problem, all: &[&'static Kernel], device: &DeviceInfo) -> NoKernel {
    let here = |k: &&Kernel| k.variants.iter().any(|v| runs_on(k, v, device));
    let takes: Vec<String> = all.iter().filter(|k| here(k)).map(|k| format!("{}: {}", k.name, forms(k))).collect();
    if takes.is_empty() {
        return NoKernel::Empty;
    }
    let kernel = "no kernel on this device is for the problem: the catalogue".to_owned();
    NoKernel::Form { kernel, takes: takes.join("; "), asked: problem.form() }
}

/// What a kernel takes, for messages.
fn forms(kernel: &Kernel) -> String {
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

fn capable(kernel: &Kernel, variant: &Variant, device: &DeviceInfo) -> Result<(), NoKernel> {
    let cc = |v: u32| format!("{}.{}", v / 10, v % 10);
    let error = |needs| {
        let kernel = format!("{}/{}", kernel.name, variant.name);
        Err(NoKernel::Capability { kernel, needs, has: cc(device.cc) })
    };
    let lowest = variant.min_cc.unwrap_or(kernel.min_cc);
    if lowest > device.cc {
        return error(cc(lowest));
    }
    // PTX for an architecture with a letter, such as compute_90a, runs on no other.
    let file = catalog().files.iter().find(|f| kernel.files().contains(&f.path));
    let arch = file.map_or("", |f| f.ptx_arch.as_str());
    match capability(arch) {
        Some(only) if arch.ends_with(char::is_alphabetic) && only != device.cc => {
            error(format!("{} and no other", cc(only)))
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
    let tiles = tiles(problem, variant);
    // The CPU's kernel has no grid.
    if device.kind().runs_cuda() && tiles > (1 << 31) - 1 {
        return Err(NoKernel::Grid { kernel: &kernel.name, variant: &variant.name, tiles });
    }
    Ok(())
}

fn place(problem: &Problem, operand: Operand) -> String {
    let p = problem.placement(operand);
    format!("ld{} = {}, offset {}", operand.name().to_ascii_lowercase(), p.ld, p.offset)
}

/// The best variant of a kernel that can run a problem.
fn within(problem: &Problem, kernel: &'static Kernel, device: &DeviceInfo) -> Result<Choice, NoKernel> {
    let mut obstacle = NoKernel::Empty;
    let mut legal: Vec<&'static Variant> = Vec::new();
    for variant in &kernel.variants {
        match may_run(problem, kernel, variant, device) {
            Ok(()) => legal.push(variant),
            // Of several obstacles the most particular: one that comes after device and form.
            Err(why @ (NoKernel::Form { .. } | NoKernel::Capability { .. })) if obstacle == NoKernel::Empty => {
                obstacle = why;
            }
            Err(NoKernel::Form { .. } | NoKernel::Capability { .. }) => {}
            Err(why) => obstacle = why,
        }
    }
    if legal.is_empty() {
        return Err(match obstacle {
            NoKernel::Form { asked, .. } => NoKernel::Form { kernel: kernel.name.clone(), takes: forms(kernel), asked },
            other => other,
        });
    }
    let variant = best(problem, &legal, device).ok_or(NoKernel::Empty)?;
    Ok(Choice { kernel, variant, why: reason(problem, kernel, variant, legal.len(), device) })
}

/// The best of the variants that can run a problem: of the widest alignment class (of both operands together), the largest tile that still gives two thirds
/// of the multiprocessors a tile; if none does, the one with the most tiles.
fn best(problem: &Problem, legal: &[&'static Variant], device: &DeviceInfo) -> Option<&'static Variant> {
    let class = |v: &Variant| v.align_of(Operand::A, problem.dtype) * v.align_of(Operand::B, problem.dtype);
    let widest = legal.iter().map(|v| class(v)).max()?;
    let enough = u64::from(device.record.units) * 2 / 3;
    let area = |v: &Variant| u64::from(v.tile[0]) * u64::from(v.tile[1]);
    let of_class = || legal.iter().copied().filter(|v| class(v) == widest);
    of_class()
        .filter(|v| tiles(problem, v) >= enough)
        .max_by_key(|v| area(v))
        .or_else(|| of_class().max_by_key(|v| (tiles(problem, v), area(v))))
}

fn reason(problem: &Problem, kernel: &Kernel, variant: &Variant, legal: usize, device: &DeviceInfo) -> String {
    if device.kind() == DeviceKind::Cpu {
        return "the CPU's only kernel".to_owned();
    }
    let limit = [Operand::A, Operand::B].into_iter().min_by_key(|&o| problem.align_bytes(o)).unwrap_or(Operand::A);
    let [bm, bn, bk] = variant.tile;
    format!(
        "{} is at a multiple of {} bytes ({}), so {legal} of {} variants are legal, the widest of class {} bytes; \
         {bm}x{bn}x{bk} gives {} tiles for {} multiprocessors",
        limit.name(),
        problem.align_bytes(limit),
        place(problem, limit),
        kernel.variants.iter().filter(|v| v.takes_form(problem)).count(),
        variant.align_bytes,
        tiles(problem, variant),
        device.record.units,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{DType, Layout};

    fn gpu(cc: u32) -> DeviceInfo {
        let mut info = crate::device::cpu::info();
        (info.record.kind, info.cc, info.record.units) = (DeviceKind::Emulated, cc, 8);
        info
    }

    #[test]
    fn auto_finds_a_kernel_for_every_layout_and_type() {
        for layout in Layout::ALL {
            for dtype in DType::ALL {
                let mut problem = Problem::new(65, 33, 17).in_form(layout, dtype);
                (problem.offset_a, problem.offset_b, problem.offset_c) = (1, 3, 5);
                let choice = choose(&problem, &Selector::Auto, &gpu(90)).unwrap();
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
        let error = choose(&problem, &Selector::Kernel("03_wmma"), &gpu(90)).unwrap_err().to_string();
        assert!(error.starts_with("03_wmma takes f16 in nn") && error.contains("i8 in tt"), "{error}");
        let old = choose(&Problem::new(8, 8, 8), &Selector::Auto, &gpu(70)).unwrap_err();
        assert_eq!(old, NoKernel::Empty);
        let old = choose(&Problem::new(8, 8, 8), &Selector::Kernel("04_mma"), &gpu(70)).unwrap_err().to_string();
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
            may_run(&problem, kernel, variant, &gpu(80)).map_err(|why| why.to_string())
        };
        assert_eq!(run(|p| (p.lda, p.offset_a) = (33, 7)), Ok(()));
        let b = run(|p| p.ldb = 36).unwrap_err();
        assert!(b.contains("row of B at a multiple of 16 bytes") && b.contains("ldb = 36"), "{b}");
        let c = run(|p| p.offset_c = 2).unwrap_err();
        assert!(c.contains("row of C at a multiple of 8 bytes") && c.contains("a multiple of 4 bytes"), "{c}");
        let m = run(|p| p.m = 33).unwrap_err();
        assert!(m.contains("k/v takes m from 0 to 32, and the problem has m = 33"), "{m}");
    }
}
