//! Chooses the kernel and the variant for a problem, from its real addresses and the device, and says why.

use crate::catalog::{Kernel, Variant, catalog, cpu_kernel};
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
    let Some(kernel) = all.iter().find(|k| k.name == name) else {
        let elsewhere = catalog().kernels.iter().chain([cpu_kernel()]);
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
    /// The device is older than the kernel.
    #[error("{kernel} needs compute capability {needs}, and the device has {has}")]
    Capability {
        /// The kernel.
        kernel: &'static str,
        /// What it needs.
        needs: String,
        /// What there is.
        has: String,
    },
    /// The kernel was not written for the layout or type.
    #[error("{kernel} takes {takes}, and the problem is {asked}")]
    Form {
        /// The kernel.
        kernel: &'static str,
        /// Layouts and type that it takes.
        takes: String,
        /// What was asked for.
        asked: String,
    },
    /// The addresses break the variant's alignment contract.
    #[error(
        "{kernel}/{variant} needs the base and every row of A and B at a multiple of {needs} bytes, and {operand} is at a multiple of {has} bytes ({place})"
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
/// Among the variants whose alignment contract holds, the widest class wins. Among the tiles of that class the largest wins
/// that still gives two thirds of the multiprocessors a tile; if none does, the one with the most tiles.
///
/// # Errors
/// No variant of what was asked for can run the problem on the device; the reason names the first obstacle.
pub fn choose(problem: &Problem, selector: &Selector, device: &DeviceInfo) -> Result<Choice, NoKernel> {
    let all = kernels(device.kind());
    let by_name = |name: &str| all.iter().copied().find(|k| k.name == name).ok_or(NoKernel::Empty);
    match selector {
        Selector::Auto => {
            // The ladder's last rung that can run it is the fastest.
            let mut first_obstacle = None;
            for kernel in all.iter().rev() {
                match within(problem, kernel, device) {
                    Ok(choice) => return Ok(choice),
                    Err(why) => first_obstacle = first_obstacle.or(Some(why)),
                }
            }
            Err(first_obstacle.unwrap_or(NoKernel::Empty))
        }
        Selector::Kernel(name) => within(problem, by_name(name)?, device),
        Selector::Variant(name, variant) => {
            let kernel = by_name(name)?;
            supports(problem, kernel, device)?;
            let variant = kernel.variants.iter().find(|v| v.name == *variant).ok_or(NoKernel::Empty)?;
            legal(problem, kernel, variant)?;
            Ok(Choice { kernel, variant, why: "asked for by name".to_owned() })
        }
    }
}

/// Whether the kernel takes this type, layout and device at all.
fn supports(problem: &Problem, kernel: &'static Kernel, device: &DeviceInfo) -> Result<(), NoKernel> {
    if kernel.min_cc > device.cc {
        let cc = |v: u32| format!("{}.{}", v / 10, v % 10);
        return Err(NoKernel::Capability { kernel: &kernel.name, needs: cc(kernel.min_cc), has: cc(device.cc) });
    }
    let layout = problem.layout.name();
    if kernel.dtype != problem.dtype.name() || !kernel.layouts.iter().any(|l| l == layout) {
        return Err(NoKernel::Form {
            kernel: &kernel.name,
            takes: format!("{} in {}", kernel.dtype, kernel.layouts.join(", ")),
            asked: format!("{} in {layout}", problem.dtype.name()),
        });
    }
    Ok(())
}

/// Whether the addresses keep the variant's contract and its grid can be launched.
fn legal(problem: &Problem, kernel: &'static Kernel, variant: &'static Variant) -> Result<(), NoKernel> {
    let needs = u64::from(variant.align_bytes);
    for operand in [Operand::A, Operand::B] {
        let has = problem.align_bytes(operand);
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
    let tiles = tiles(problem, variant);
    // What has no entry is not launched on a grid.
    if !variant.entry.is_empty() && tiles > (1 << 31) - 1 {
        return Err(NoKernel::Grid { kernel: &kernel.name, variant: &variant.name, tiles });
    }
    Ok(())
}

fn place(problem: &Problem, operand: Operand) -> String {
    let p = problem.placement(operand);
    format!("ld{} = {}, offset {}", operand.name().to_ascii_lowercase(), p.ld, p.offset)
}

fn within(problem: &Problem, kernel: &'static Kernel, device: &DeviceInfo) -> Result<Choice, NoKernel> {
    supports(problem, kernel, device)?;
    let mut obstacle = NoKernel::Empty;
    let mut legal_variants: Vec<&'static Variant> = Vec::new();
    for variant in &kernel.variants {
        match legal(problem, kernel, variant) {
            Ok(()) => legal_variants.push(variant),
            Err(why) => obstacle = why,
        }
    }
    let Some(widest) = legal_variants.iter().map(|v| v.align_bytes).max() else { return Err(obstacle) };
    let enough = u64::from(device.record.units) * 2 / 3;
    let area = |v: &Variant| u64::from(v.tile[0]) * u64::from(v.tile[1]);
    let of_class = || legal_variants.iter().copied().filter(|v| v.align_bytes == widest);
    let variant = of_class()
        .filter(|v| tiles(problem, v) >= enough)
        .max_by_key(|v| area(v))
        .or_else(|| of_class().max_by_key(|v| (tiles(problem, v), area(v))))
        .ok_or(NoKernel::Empty)?;
    if device.kind() == DeviceKind::Cpu {
        return Ok(Choice { kernel, variant, why: "the CPU's only kernel".to_owned() });
    }
    let limit = [Operand::A, Operand::B].into_iter().min_by_key(|&o| problem.align_bytes(o)).unwrap_or(Operand::A);
    let [bm, bn, bk] = variant.tile;
    let why = format!(
        "{} is at a multiple of {} bytes ({}), so {} of {} variants are legal, the widest of class {widest} bytes; \
         {bm}x{bn}x{bk} gives {} tiles for {} multiprocessors",
        limit.name(),
        problem.align_bytes(limit),
        place(problem, limit),
        legal_variants.len(),
        kernel.variants.len(),
        tiles(problem, variant),
        device.record.units,
    );
    Ok(Choice { kernel, variant, why })
}
