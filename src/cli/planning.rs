//! What `explain` and `advise` share: the device that is planned for, and how times and shares are written.

use super::counted;
use crate::advice::{Family, LIBRARY, Planner};
use crate::device::{self, DeviceInfo};
use crate::dispatch::{Selector, select};
use crate::model::{Cause, DeviceDescription, Prediction};
use anyhow::{Context, Result};

/// The description that is explained where there is no GPU and none was named.
const USUAL: &str = "h100-sxm";

/// A device to plan for, and a sentence on where its figures come from.
pub struct Planned {
    pub planner: Planner,
    pub origin: String,
}

/// Reads a device and a kernel.
///
/// `auto` is the first CUDA device, else the description of an H100; `cuda:N` and `cpu` are what is here; anything else is the name of a
/// description.
pub fn plan(device: &str, kernel: &str) -> Result<Planned> {
    let (description, info, origin) = match device {
        "auto" => match device::probe().cuda {
            Ok(found) if !found.is_empty() => here(&found[0]),
            _ => {
                let description = DeviceDescription::named(USUAL)?;
                let origin = "no CUDA device is here, so these are a data sheet's figures; name another with --device";
                (description.clone(), Planner::described(description, Family::Library).info, origin.to_owned())
            }
        },
        "cpu" => here(&device::probe().cpu),
        _ if device == "cuda" || device.starts_with("cuda:") => {
            let ordinal: usize = match device.strip_prefix("cuda:") {
                Some(n) => n.parse().with_context(|| format!("{device:?} is not a device: write cuda:N"))?,
                None => 0,
            };
            let found = device::probe().cuda?;
            let info = found.get(ordinal).with_context(|| {
                format!("there is no device {device}: {} CUDA device(s) are here, counted from 0", found.len())
            })?;
            here(info)
        }
        "emulated" => anyhow::bail!(
            "the emulated device has no time, so there is nothing to explain; name a description such as {USUAL}"
        ),
        name => {
            let description = DeviceDescription::named(name)
                .map_err(|e| anyhow::anyhow!("{e}; or auto, cuda:N or cpu for what is here"))?;
            let origin = "a data sheet's figures; nothing was measured".to_owned();
            (description.clone(), Planner::described(description, Family::Library).info, origin)
        }
    };
    let family = match kernel {
        LIBRARY => Family::Library,
        _ => {
            let selectors = select(kernel, info.kind())
                .map_err(|e| anyhow::anyhow!("{e}; or {LIBRARY} for what a library would run"))?;
            anyhow::ensure!(selectors.len() == 1, "--kernel {kernel} is several kernels; name one, or auto");
            Family::Catalogue(selectors.into_iter().next().unwrap_or(Selector::Auto))
        }
    };
    // A description has another key than any device, so that what was measured is only found for what is here.
    let tuned = crate::tune::default_path().and_then(|path| crate::tune::measured(&info, &path));
    Ok(Planned { planner: Planner { description, info, family, tuned }, origin })
}

/// A device that is here: its product's description with its own figures in place of the data sheet's.
fn here(info: &DeviceInfo) -> (DeviceDescription, DeviceInfo, String) {
    (DeviceDescription::of_record(&info.record, info.cc), info.clone(), "the device's own figures".to_owned())
}

/// Nanoseconds in the unit that suits them.
pub fn time(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.0} ns"),
        1e3..1e4 => format!("{:.2} µs", ns / 1e3),
        1e4..1e6 => format!("{:.1} µs", ns / 1e3),
        1e6..1e7 => format!("{:.2} ms", ns / 1e6),
        1e7..1e9 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.1} s", ns / 1e9),
    }
}

/// A share as per cent.
pub fn percent(share: f64) -> String {
    match share.abs() {
        0.0 => "0 %".to_owned(),
        0.0..0.001 => "< 0.1 %".to_owned(),
        0.001..0.0995 => format!("{:.1} %", share * 100.0),
        _ => format!("{:.0} %", share * 100.0),
    }
}

/// FLOP in the unit that suits them, with four digits.
pub fn flop(flop: f64) -> String {
    let (value, unit) = match flop {
        ..1e3 => return format!("{flop:.0} FLOP"),
        1e3..1e6 => (flop / 1e3, "kFLOP"),
        1e6..1e9 => (flop / 1e6, "MFLOP"),
        1e9..1e12 => (flop / 1e9, "GFLOP"),
        _ => (flop / 1e12, "TFLOP"),
    };
    let decimals = if value < 10.0 {
        3
    } else if value < 100.0 {
        2
    } else {
        1
    };
    format!("{value:.decimals$} {unit}")
}

/// How much faster, for people: `1.8 times as fast` or `4 % faster`.
pub fn faster(speed_up: f64) -> String {
    if speed_up >= 1.5 { format!("{speed_up:.1} times as fast") } else { format!("{} faster", percent(speed_up - 1.0)) }
}

/// What a cause means for a prediction, in a clause.
pub fn reason(cause: Cause, p: &Prediction, tile: [u64; 3], problem: &crate::Problem) -> String {
    let w = &p.waves;
    match cause {
        Cause::Useful => format!("{} at the peak of the multipliers", flop(p.flop as f64)),
        Cause::Kernel => format!("{} of the peak at its best: {}", percent(p.sustained.share), p.sustained.source),
        Cause::KTail => format!("k = {} fills {} of whole steps of {}", problem.k, percent(p.k_efficiency), tile[2]),
        Cause::TileTail => format!(
            "{} x {} fills {} of {} of {}x{}",
            problem.m,
            problem.n,
            percent(p.tile_efficiency),
            counted(p.tiles, "tile"),
            tile[0],
            tile[1]
        ),
        Cause::WaveTail if w.tail == 0 => {
            format!("{} are exactly {} of {}", counted(w.items, "CTA"), counted(w.full, "wave"), w.slots)
        }
        Cause::WaveTail => format!(
            "{} in waves of {}: {} full, then one with {} ({})",
            counted(w.items, "CTA"),
            w.slots,
            w.full,
            w.tail,
            percent(w.tail as f64 / w.slots as f64)
        ),
        Cause::Alignment => "copies narrower than the kernel's widest take more instructions".to_owned(),
        Cause::Memory => match p.limit {
            crate::model::Limit::Memory => format!("{} must come from DRAM or go there", super::bytes(p.memory_bytes)),
            crate::model::Limit::L2 => format!("tiles move {} through L2", super::bytes(p.l2_bytes)),
            crate::model::Limit::SharedMemory => "operands come out of shared memory more slowly".to_owned(),
            crate::model::Limit::Multipliers => "loads hide under the products".to_owned(),
        },
        Cause::Ends => "before the first product of a wave and after the last".to_owned(),
        Cause::Reduction => "adding up the slices".to_owned(),
        Cause::Pack => "copying operands into aligned rows".to_owned(),
        Cause::Launch => "starting a kernel; assumed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!((time(12.3).as_str(), time(4567.0).as_str(), time(3.2e9).as_str()), ("12 ns", "4.57 µs", "3.2 s"));
        assert_eq!(
            (percent(0.0).as_str(), percent(0.0004).as_str(), percent(0.0312).as_str()),
            ("0 %", "< 0.1 %", "3.1 %")
        );
        assert_eq!((faster(1.84).as_str(), faster(1.04).as_str()), ("1.8 times as fast", "4.0 % faster"));
        assert_eq!((flop(1.2648e12).as_str(), flop(2.0).as_str()), ("1.265 TFLOP", "2 FLOP"));
        assert_eq!((flop(33.5e6).as_str(), flop(82.6e9).as_str()), ("33.50 MFLOP", "82.60 GFLOP"));
    }

    #[test]
    fn devices_are_named_or_refused() {
        assert_eq!(plan("l40s", "auto").unwrap().planner.description.name, "l40s");
        assert_eq!(plan("h200", "library").unwrap().planner.family, Family::Library);
        assert!(plan("cpu", "auto").unwrap().planner.description.is_cpu());
        for (device, kernel, says) in [
            ("h100-smx", "auto", "did you mean h100-sxm"),
            ("emulated", "auto", "no time"),
            ("l4", "05_mma", "did you mean"),
            ("l4", "all", "several kernels"),
            ("cuda:x", "auto", "cuda:N"),
        ] {
            let error = format!("{:#}", plan(device, kernel).err().expect("refused"));
            assert!(error.contains(says), "{device} {kernel}: {error}");
        }
    }
}
