//! Device descriptions: the figures of a GPU that a time can be predicted from, each with its source.

use crate::problem::DType;
use crate::record::{DeviceKind, DeviceRecord};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use thiserror::Error;

/// A figure and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure<T> {
    /// The figure.
    pub value: T,
    /// Who says so.
    pub source: String,
}

/// Dense FLOP per clock and multiprocessor, by type of the operands; 0 where there is no such instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// FP16 and BF16 on tensor cores, with FP32 accumulation.
    pub f16: f64,
    /// TF32 on tensor cores.
    pub tf32: f64,
    /// INT8 on tensor cores.
    pub int8: f64,
    /// FP8 on tensor cores, with FP32 accumulation.
    pub fp8: f64,
    /// FP32 multiply-adds on the ordinary units.
    pub f32: f64,
    /// Who says so.
    pub source: String,
}

impl Rates {
    /// The tensor cores' rate for operands of a type.
    pub fn tensor(&self, dtype: DType) -> f64 {
        match (dtype.bytes(), dtype.name().as_bytes()[0]) {
            (2, _) => self.f16,
            (4.., _) => self.tf32,
            (_, b'e' | b'f') => self.fp8,
            _ => self.int8,
        }
    }
}

/// What a multiprocessor can hold at once; it follows from the compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SmLimits {
    /// Threads.
    pub threads: u32,
    /// CTAs.
    pub ctas: u32,
    /// 32-bit registers.
    pub registers: u32,
    /// Shared memory, in bytes.
    pub shared_bytes: u32,
    /// Shared memory that the system keeps of each CTA's share, in bytes.
    pub shared_reserved_bytes: u32,
}

impl SmLimits {
    /// The limits of a compute capability (times ten), from the CUDA C++ Programming Guide's table of technical
    /// specifications. A capability later than the table has the last one's.
    pub const fn of(cc: u32) -> SmLimits {
        let (threads, ctas, shared_kib, reserved) = match cc {
            75 => (1024, 16, 64, 0),
            0..80 => (2048, 32, 96, 0),
            86 | 87 => (1536, 16, if cc == 86 { 100 } else { 164 }, 1024),
            89 => (1536, 24, 100, 1024),
            80..86 => (2048, 32, 164, 1024),
            120..130 => (1536, 24, 100, 1024),
            _ => (2048, 32, 228, 1024),
        };
        SmLimits { threads, ctas, registers: 65_536, shared_bytes: shared_kib * 1024, shared_reserved_bytes: reserved }
    }
}

/// A GPU, or the CPU, as far as the model needs to know it. What is `None` is unknown, and the model leaves its effect out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceDescription {
    /// The name on the command line, such as `h100-sxm`.
    pub name: String,
    /// The product's name.
    pub title: String,
    /// Compute capability times ten; 0 for a CPU.
    pub compute_capability: u32,
    /// Parts of the name that the driver reports, by which a real device is recognised.
    #[serde(default)]
    pub driver_names: Vec<String>,
    /// Streaming multiprocessors; on a CPU, threads.
    pub sms: Figure<u32>,
    /// Clock at which the rates hold.
    pub clock_mhz: Figure<f64>,
    /// Dense FP16 tensor throughput with FP32 accumulation, in 10^12 FLOP per second, as published.
    #[serde(default)]
    pub tensor_tflops: Option<Figure<f64>>,
    /// Rates by type.
    pub rates: Rates,
    /// DRAM bandwidth.
    #[serde(default)]
    pub memory_bytes_per_s: Option<Figure<f64>>,
    /// DRAM.
    #[serde(default)]
    pub memory_bytes: Option<Figure<u64>>,
    /// L2 cache.
    #[serde(default)]
    pub l2_bytes: Option<Figure<u64>>,
    /// L2 bandwidth for reads.
    #[serde(default)]
    pub l2_bytes_per_s: Option<Figure<f64>>,
    /// Bytes that one multiprocessor can take from L2 in a clock.
    #[serde(default)]
    pub fill_bytes_per_clock: Option<Figure<f64>>,
}

/// What was found out about the device at hand. `None` leaves the description's figure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// Multiprocessors, or a CPU's threads.
    pub sms: Option<u32>,
    /// Clock under load.
    pub clock_mhz: Option<f64>,
    /// FP16 FLOP per clock of the whole device.
    pub flop_per_clock: Option<f64>,
    /// DRAM bandwidth reached.
    pub memory_bytes_per_s: Option<f64>,
    /// DRAM.
    pub memory_bytes: Option<u64>,
    /// L2 cache.
    pub l2_bytes: Option<u64>,
}

/// A name that no description has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no device description {name:?}{}; there are {}", did_you_mean(.meant), .known.join(", "))]
pub struct UnknownDevice {
    name: String,
    meant: Option<String>,
    known: Vec<&'static str>,
}

fn did_you_mean(meant: &Option<String>) -> String {
    meant.as_ref().map(|m| format!("; did you mean {m}?")).unwrap_or_default()
}

#[derive(Deserialize)]
struct File {
    device: Vec<DeviceDescription>,
}

static DEVICES: LazyLock<Vec<DeviceDescription>> = LazyLock::new(|| {
    let file: File = toml::from_str(include_str!("devices.toml")).expect("a test reads this very text");
    file.device
});

/// The descriptions that come with the program.
pub fn devices() -> &'static [DeviceDescription] {
    &DEVICES
}

impl DeviceDescription {
    /// The description of that name. `h100` and `a100` stand for `h100-sxm` and `a100-80`; case does not matter.
    ///
    /// ```
    /// use gemmscope::model::DeviceDescription;
    /// let h100 = DeviceDescription::named("h100-sxm").unwrap();
    /// assert_eq!(h100.sms.value, 132);
    /// assert!(DeviceDescription::named("h1000").unwrap_err().to_string().contains("h100-sxm"));
    /// ```
    ///
    /// # Errors
    /// There is none of that name; the error lists them.
    pub fn named(name: &str) -> Result<&'static DeviceDescription, UnknownDevice> {
        let lower = name.to_ascii_lowercase().replace('_', "-");
        let wanted = match lower.as_str() {
            "h100" => "h100-sxm",
            "a100" => "a100-80",
            "rtx-3090" | "3090" => "rtx3090",
            "rtx-4090" | "4090" => "rtx4090",
            other => other,
        };
        devices().iter().find(|d| d.name == wanted).ok_or_else(|| {
            let score = |d: &&DeviceDescription| strsim::jaro_winkler(&lower, &d.name);
            let meant = devices().iter().max_by(|a, b| score(a).total_cmp(&score(b))).filter(|d| score(d) > 0.7);
            UnknownDevice {
                name: name.to_owned(),
                meant: meant.map(|d| d.name.clone()),
                known: devices().iter().map(|d| d.name.as_str()).collect(),
            }
        })
    }

    /// The description of the product whose driver reports this name, if it is one that comes with the program.
    pub fn of_driver_name(reported: &str) -> Option<&'static DeviceDescription> {
        let whole_words = |part: &str| {
            reported.match_indices(part).any(|(at, _)| {
                let after = reported[at + part.len()..].chars().next();
                after.is_none_or(|c| !c.is_ascii_alphanumeric())
            })
        };
        devices()
            .iter()
            .flat_map(|d| d.driver_names.iter().map(move |part| (part, d)))
            .filter(|(part, _)| whole_words(part))
            .max_by_key(|(part, _)| part.len())
            .map(|(_, d)| d)
    }

    /// A device that no description fits, from what it says of itself. Bandwidths stay unknown.
    pub fn of_figures(title: &str, cc: u32, sms: u32, clock_mhz: f64, flop_per_clock: f64) -> Self {
        let source = || "reported by the device".to_owned();
        let f16 = flop_per_clock / f64::from(sms.max(1));
        let f32 = match cc {
            0 => f16,
            1..86 => 128.0,
            _ => 256.0,
        };
        DeviceDescription {
            name: title.to_owned(),
            title: title.to_owned(),
            compute_capability: cc,
            driver_names: Vec::new(),
            sms: Figure { value: sms.max(1), source: source() },
            clock_mhz: Figure { value: clock_mhz, source: source() },
            tensor_tflops: None,
            rates: Rates { f16, tf32: f16 / 2.0, int8: f16 * 2.0, fp8: f16 * 2.0, f32, source: source() },
            memory_bytes_per_s: None,
            memory_bytes: None,
            l2_bytes: None,
            l2_bytes_per_s: None,
            fill_bytes_per_clock: None,
        }
    }

    /// The description of a device by its record, as a run's manifest has it, and its compute capability times ten.
    ///
    /// A product that comes with the program has its data sheet's figures, with the record's own in their place. Any other GPU has the
    /// bandwidths of a product of its generation, in proportion to its multiprocessors.
    pub fn of_record(record: &DeviceRecord, cc: u32) -> Self {
        match DeviceDescription::of_driver_name(&record.name).filter(|_| record.kind == DeviceKind::Cuda) {
            // The data sheet's clock goes with its rate; the driver's highest clock is not held under load.
            Some(known) => known.with(&Measured {
                sms: Some(record.units),
                memory_bytes: Some(record.memory_bytes).filter(|&bytes| bytes > 0),
                l2_bytes: Some(record.l2_bytes).filter(|&bytes| bytes > 0),
                ..Measured::default()
            }),
            None => {
                let mhz = record.max_clock_mhz.map_or(if cc == 0 { 2000.0 } else { 1500.0 }, f64::from);
                let found =
                    DeviceDescription::of_figures(&record.name, cc, record.units, mhz, record.peak_flop_per_cycle);
                let found = if cc == 0 { found } else { found.with_bandwidths_of_generation() };
                found.with(&Measured {
                    l2_bytes: Some(record.l2_bytes).filter(|&bytes| bytes > 0),
                    memory_bytes: Some(record.memory_bytes).filter(|&bytes| bytes > 0),
                    ..Measured::default()
                })
            }
        }
    }

    /// This description with the unknown bandwidths of the product whose compute capability is nearest, the earlier one where two are.
    fn with_bandwidths_of_generation(mut self) -> Self {
        let distance = |d: &&DeviceDescription| d.compute_capability.abs_diff(self.compute_capability);
        let Some(like) = devices().iter().min_by_key(distance) else { return self };
        let share = f64::from(self.sms.value) / f64::from(like.sms.value);
        let source = format!("assumed: that of {}, for as many multiprocessors", like.name);
        let scaled = |figure: &Option<Figure<f64>>, share: f64| {
            figure.as_ref().map(|f| Figure { value: f.value * share, source: source.clone() })
        };
        self.memory_bytes_per_s = self.memory_bytes_per_s.or_else(|| scaled(&like.memory_bytes_per_s, share));
        self.l2_bytes_per_s = self.l2_bytes_per_s.or_else(|| scaled(&like.l2_bytes_per_s, share));
        self.fill_bytes_per_clock = self.fill_bytes_per_clock.or_else(|| scaled(&like.fill_bytes_per_clock, 1.0));
        self
    }

    /// This description with the figures of the device at hand in place of the data sheet's.
    pub fn with(&self, measured: &Measured) -> Self {
        let mut own = self.clone();
        let source = || "the device at hand".to_owned();
        if let Some(value) = measured.sms.filter(|&sms| sms > 0) {
            own.sms = Figure { value, source: source() };
        }
        if let Some(value) = measured.clock_mhz.filter(|&mhz| mhz > 0.0) {
            own.clock_mhz = Figure { value, source: source() };
        }
        if let Some(whole) = measured.flop_per_clock.filter(|&flop| flop > 0.0) {
            let factor = whole / f64::from(own.sms.value) / own.rates.f16;
            let rates = &mut own.rates;
            [&mut rates.f16, &mut rates.tf32, &mut rates.int8, &mut rates.fp8].into_iter().for_each(|r| *r *= factor);
            rates.source = source();
        }
        if let Some(value) = measured.memory_bytes_per_s {
            own.memory_bytes_per_s = Some(Figure { value, source: source() });
        }
        if let Some(value) = measured.memory_bytes {
            own.memory_bytes = Some(Figure { value, source: source() });
        }
        if let Some(value) = measured.l2_bytes {
            own.l2_bytes = Some(Figure { value, source: source() });
        }
        own
    }

    /// What a multiprocessor holds.
    pub fn limits(&self) -> SmLimits {
        SmLimits::of(self.compute_capability)
    }

    /// Whether it is a CPU, whose kernel is a library without tiles that the model could see.
    pub fn is_cpu(&self) -> bool {
        self.compute_capability == 0
    }

    /// Peak of the tensor cores for a type, in FLOP per second. 0 where they do not take it.
    pub fn peak_flop_per_s(&self, dtype: DType) -> f64 {
        self.rates.tensor(dtype) * f64::from(self.sms.value) * self.clock_mhz.value * 1e6
    }

    /// FLOP that the tensor cores can do while DRAM gives a byte: an intensity below it is limited by memory.
    ///
    /// From the published rate where there is one, as the guides compute it.
    pub fn flop_per_byte(&self, dtype: DType) -> Option<f64> {
        let bandwidth = self.memory_bytes_per_s.as_ref()?.value;
        let published = self.tensor_tflops.as_ref().map(|t| t.value * 1e12 * self.rates.tensor(dtype) / self.rates.f16);
        Some(published.unwrap_or_else(|| self.peak_flop_per_s(dtype)) / bandwidth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_agrees_with_its_own_data_sheet() {
        assert_eq!(devices().len(), 11);
        for d in devices() {
            let published = d.tensor_tflops.as_ref().unwrap().value;
            let peak = d.peak_flop_per_s(DType::F16) / 1e12;
            assert!((peak / published - 1.0).abs() < 0.015, "{}: {peak} against {published}", d.name);
            assert!(d.memory_bytes_per_s.is_some(), "{}", d.name);
            let found = DeviceDescription::of_driver_name(&d.driver_names[0]);
            assert_eq!(found.map(|f| &f.name), Some(&d.name));
        }
    }

    #[test]
    fn a_turing_multiprocessor_holds_half_of_a_volta_s_threads() {
        let of = |cc| (SmLimits::of(cc).threads, SmLimits::of(cc).ctas, SmLimits::of(cc).shared_bytes >> 10);
        assert_eq!(
            [of(70), of(75), of(80), of(86)],
            [(2048, 32, 96), (1024, 16, 64), (2048, 32, 164), (1536, 16, 100)]
        );
    }

    #[test]
    fn machine_balance_is_the_catalogue_s() {
        // Section 0 of the catalogue: V100 138.9, A100 201 and 153, H100 295, H200 206, B200 281 FLOP a byte.
        for (name, balance) in
            [("v100", 138.9), ("a100-40", 200.6), ("a100-80", 153.0), ("h100", 295.3), ("h200", 206.0), ("b200", 281.3)]
        {
            let found = DeviceDescription::named(name).unwrap().flop_per_byte(DType::F16).unwrap();
            assert!((found - balance).abs() < 0.1, "{name}: {found}");
        }
    }

    #[test]
    fn drivers_names_are_told_apart() {
        let name = |reported: &str| DeviceDescription::of_driver_name(reported).map(|d| d.name.as_str());
        assert_eq!(name("NVIDIA H100 80GB HBM3"), Some("h100-sxm"));
        assert_eq!(name("NVIDIA H100 PCIe"), Some("h100-pcie"));
        assert_eq!(name("NVIDIA L40S"), Some("l40s"));
        assert_eq!(name("NVIDIA L4"), Some("l4"));
        assert_eq!(name("NVIDIA A100-SXM4-40GB"), Some("a100-40"));
        assert_eq!(name("Tesla V100-SXM2-16GB"), Some("v100"));
        assert_eq!(name("NVIDIA L40"), None, "another product than the L4");
        assert_eq!(name("Radeon"), None);
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let text = DeviceDescription::named("h100-smx").unwrap_err().to_string();
        assert!(text.contains("did you mean h100-sxm?") && text.contains("rtx4090"), "{text}");
        assert_eq!(DeviceDescription::named("H100").unwrap().name, "h100-sxm");
    }

    #[test]
    fn measured_figures_replace_the_data_sheet_s() {
        let sheet = DeviceDescription::named("h100-sxm").unwrap();
        let measured = Measured {
            sms: Some(114),
            clock_mhz: Some(1500.0),
            flop_per_clock: Some(114.0 * 4096.0),
            ..Measured::default()
        };
        let own = sheet.with(&measured);
        assert_eq!((own.sms.value, own.clock_mhz.value, own.rates.f16), (114, 1500.0, 4096.0));
        assert_eq!(own.memory_bytes_per_s, sheet.memory_bytes_per_s);
        assert_eq!(sheet.with(&Measured::default()), *sheet);
    }
}
