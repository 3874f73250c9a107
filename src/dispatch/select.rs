//! What was asked for, by name.

use crate::catalog::{Kernel, Variant, baseline_kernel, catalog, cpu_kernel};
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

impl Selector {
    /// Whether it names this variant.
    pub fn includes(&self, kernel: &Kernel, variant: &Variant) -> bool {
        match self {
            Selector::Auto => true,
            Selector::Kernel(name) => kernel.name == *name,
            Selector::Variant(name, of) => kernel.name == *name && variant.name == *of,
        }
    }

    /// Whether it may come to this variant. That an operand does not change from launch to launch is for the caller to say, by the
    /// variant's name: its packing is not in the time.
    pub(super) fn may_choose(&self, kernel: &Kernel, variant: &Variant) -> bool {
        self.includes(kernel, variant) && (variant.fixed.is_none() || matches!(self, Selector::Variant(..)))
    }
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
pub(super) fn named(kind: DeviceKind, name: &str) -> Option<&'static Kernel> {
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
