//! What plans are made for: the device, its kernels, and sizes that suit it.

use super::experiment::{Comparison, Held, Per};
use super::sound::named;
use crate::catalog::{Kernel, Variant, baseline_kernel};
use crate::device::DeviceInfo;
use crate::dispatch::{choose, kernels, select};
use crate::measure::Regime;
use crate::model::{DeviceDescription, Execution, Measured, SmLimits, resident_ctas};
use crate::problem::{DType, Layout, Operand, Problem};
use crate::record::{DeviceKind, DeviceRecord};
use crate::sweep::Arm;
use std::fmt;

/// What a claim needs and this device, or this program, does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need(pub String);

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A need in words.
pub fn need<T>(what: impl Into<String>) -> Result<T, Need> {
    Err(Need(what.into()))
}

/// Which kernel an arm runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The tensor-core family's variant with this tile of C and the widest loads that are legal.
    Tile([u32; 2]),
    /// The same with loads of this many bytes.
    Class([u32; 2], u32),
    /// The first kernel whose multipliers are these: `simt`, `wgmma`.
    Unit(&'static str),
    /// The kernel that is launched this way, with this tile of C, in clusters of so many CTAs: `persistent`, `split_k`, `pack`.
    Route(&'static str, [u32; 2], u32),
    /// The library.
    Baseline,
}

/// The tile of which one CTA fills a multiprocessor: its sums alone take half of the registers.
pub const WAVE_TILE: [u32; 2] = [128, 256];
/// The tile in the middle.
pub const MIDDLE_TILE: [u32; 2] = [128, 128];
/// The small tile.
pub const SMALL_TILE: [u32; 2] = [64, 64];

/// Edge of a GPU's problems in claims that are not about powers of two: 30 middle tiles, and rows of whole cache lines.
pub const EDGE: u64 = 3840;
/// Nearly the same, with rows at 16 bytes and no better.
pub const EDGE_16: u64 = 3832;

/// The multipliers of the family that has several tiles and a variant for each width of loads.
const FAMILY: &str = "mma.sync";

/// Multiprocessors that small plans fill: waves of this size run through an emulated device in seconds.
const SMALL_UNITS: u64 = 6;

/// How large the problems of a plan are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As the claim has them, or as suits a CPU.
    Full,
    /// Layers as people have them, where the full ones would be made to fill the device. What a multiprocessor without work costs is part of
    /// their effect, so that nothing is planned like this; records of others are.
    Layer,
    /// Small enough for an emulated device: the same comparisons, on a device of a few multiprocessors.
    Small,
}

/// A device to plan for.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    device: &'a DeviceInfo,
    scale: Scale,
}

/// A GPU that is not here, from its description, to plan for it.
pub fn described(description: &DeviceDescription) -> DeviceInfo {
    let cc = description.compute_capability;
    DeviceInfo {
        record: DeviceRecord {
            kind: DeviceKind::Cuda,
            name: description.driver_names.first().cloned().unwrap_or_else(|| description.title.clone()),
            uuid: None,
            pci_bus_id: None,
            compute_capability: Some(format!("{}.{}", cc / 10, cc % 10)),
            units: description.sms.value,
            peak_flop_per_cycle: description.rates.f16 * f64::from(description.sms.value),
            l2_bytes: description.l2_bytes.as_ref().map_or(0, |l2| l2.value),
            memory_bytes: description.memory_bytes.as_ref().map_or(0, |memory| memory.value),
            max_clock_mhz: Some(description.clock_mhz.value as u32),
            power_cap_mw: None,
            driver: "none".to_owned(),
            telemetry: "none".to_owned(),
            clock_source: "none".to_owned(),
        },
        cc,
        timer_resolution_ns: 1000.0,
    }
}

impl<'a> Bench<'a> {
    /// A bench with this device, and with sizes that suit it: small ones where it is emulated.
    pub fn new(device: &'a DeviceInfo) -> Self {
        let scale = if device.kind() == DeviceKind::Emulated { Scale::Small } else { Scale::Full };
        Bench { device, scale }
    }

    /// The same bench with sizes of this scale. A CPU has one.
    #[must_use]
    pub fn at(self, scale: Scale) -> Self {
        Bench { scale, ..self }
    }

    /// Whether it is the host's processor.
    pub fn is_cpu(&self) -> bool {
        self.device.kind() == DeviceKind::Cpu
    }

    /// Multiprocessors.
    pub fn units(&self) -> u64 {
        match self.scale {
            Scale::Small => SMALL_UNITS,
            Scale::Full | Scale::Layer => u64::from(self.device.record.units.max(1)),
        }
    }

    /// A size along which a tile's edge of so many elements has a tile for every CTA that the device holds; or that of a layer.
    ///
    /// # Errors
    /// There is no such kernel.
    pub fn filling(&self, tile: [u32; 2], edge: u32, layer: u64) -> Result<u64, Need> {
        if self.scale == Scale::Layer { Ok(layer) } else { Ok(self.slots(tile)? * u64::from(edge)) }
    }

    /// CTAs of a tile of the tensor-core family that the device holds at once; one a multiprocessor at the small scale. A multiprocessor
    /// with fewer than it can hold is slower for that alone.
    ///
    /// # Errors
    /// There is no such kernel.
    pub fn slots(&self, tile: [u32; 2]) -> Result<u64, Need> {
        let probe = self.arm(Problem::new(1024, 1024, 1024), Pick::Tile(tile))?;
        let fit = named(&probe.kernel, self.device.kind()).filter(|_| self.scale == Scale::Full);
        let held = fit.map_or(1, |(kernel, variant)| {
            resident_ctas(&Execution::of(kernel, variant), &SmLimits::of(self.device.cc)).ctas
        });
        Ok(self.units() * u64::from(held.max(1)))
    }

    /// The device.
    pub fn device(&self) -> &'a DeviceInfo {
        self.device
    }

    /// What the model knows of the device, with its own number of multiprocessors.
    ///
    /// # Errors
    /// No description of such a device comes with the program.
    pub fn description(&self) -> Result<DeviceDescription, Need> {
        let record = &self.device.record;
        let known = match record.kind {
            DeviceKind::Cpu => None,
            DeviceKind::Cuda => DeviceDescription::of_driver_name(&record.name),
            DeviceKind::Emulated => DeviceDescription::named("h100-sxm").ok(),
        };
        let own = Measured { sms: Some(record.units), ..Measured::default() };
        match known {
            Some(known) => Ok(known.with(&own)),
            None => need("a description of the device with the bandwidth of its memory"),
        }
    }

    /// FLOP that the device can do while its memory gives a byte.
    pub fn flop_per_byte(&self) -> Result<f64, Need> {
        let ratio = self.description()?.flop_per_byte(DType::F16);
        ratio.ok_or_else(|| Need("the bandwidth of the device's memory".to_owned()))
    }

    /// A size: for a GPU, for a CPU, and for a GPU at the small scale.
    pub fn size(&self, gpu: u64, cpu: u64, small: u64) -> u64 {
        match (self.device.kind(), self.scale) {
            (DeviceKind::Cpu, _) => cpu,
            (_, Scale::Full | Scale::Layer) => gpu,
            (_, Scale::Small) => small,
        }
    }

    /// The regime that is usual on the device.
    pub fn regime(&self) -> Regime {
        Regime::usual(self.device.kind())
    }

    /// A layout by name, where problems can have it.
    pub fn layout(&self, name: &str) -> Result<Layout, Need> {
        serde_json::from_value(serde_json::Value::from(name))
            .map_err(|_| Need(format!("kernels for the layout {name}, and this program has none")))
    }

    /// An arm that runs what was picked, in the usual regime.
    ///
    /// # Errors
    /// No kernel here is what was picked, or none can run the problem.
    pub fn arm(&self, problem: Problem, pick: Pick) -> Result<Arm, Need> {
        let kernel = self.kernel(&problem, pick)?;
        problem.validate().map_err(|e| Need(e.to_string()))?;
        let kind = self.device.kind();
        let selector = match select(&kernel, kind).as_deref() {
            Ok([one]) => one.clone(),
            Ok(_) | Err(_) => return need(format!("a kernel {kernel}")),
        };
        choose(&problem, &selector, self.device).map_err(|e| Need(format!("a kernel for the problem: {e}")))?;
        Ok(Arm { problem, kernel, regime: self.regime(), distribution: None })
    }

    fn kernel(&self, problem: &Problem, pick: Pick) -> Result<String, Need> {
        let all = kernels(self.device.kind());
        if pick == Pick::Baseline {
            return match self.device.kind() {
                // Whether the library is installed shows when its cells are measured.
                DeviceKind::Cuda => Ok(baseline_kernel().name.clone()),
                DeviceKind::Cpu | DeviceKind::Emulated => need("a GPU, for the library cuBLASLt as a baseline"),
            };
        }
        if self.is_cpu() {
            return Ok(all[0].name.clone());
        }
        if let Pick::Route(route, tile, cluster) = pick {
            return self.by_route(problem, route, tile, cluster);
        }
        let [layout, dtype] = [problem.layout.name(), problem.dtype.name()];
        let unit = if let Pick::Unit(unit) = pick { unit } else { FAMILY };
        let able = || {
            all.iter().filter(|k| {
                k.unit == unit && k.dtypes.iter().any(|d| d == dtype) && k.layouts.iter().any(|l| l == layout)
            })
        };
        let Some(first) = able().next() else {
            return need(format!("a kernel on {unit} for the layout {layout}"));
        };
        if first.min_cc > self.device.cc {
            let [has, needs] = [self.device.cc, first.min_cc].map(|cc| format!("{}.{}", cc / 10, cc % 10));
            return need(format!("compute capability {needs} for kernels on {unit}; the device has {has}"));
        }
        let fits = |v: &&Variant, tile: [u32; 2]| v.tile[..2] == tile;
        let legal = |v: &Variant| {
            v.takes_form(problem)
                && Operand::ALL.into_iter().all(|o| problem.align_bytes(o) >= v.align_of(o, problem.dtype))
        };
        let found = able().filter(|k| k.min_cc <= self.device.cc).find_map(|k| {
            let variants = k.variants.iter();
            let variant = match pick {
                Pick::Tile(tile) => variants.filter(|v| fits(v, tile) && legal(v)).max_by_key(|v| v.align_bytes),
                Pick::Class(tile, class) => {
                    variants.filter(|v| fits(v, tile) && v.takes_form(problem)).find(|v| v.align_bytes == class)
                }
                Pick::Unit(_) => variants.filter(|v| legal(v)).max_by_key(|v| v.tile[0] * v.tile[1]),
                Pick::Route(..) | Pick::Baseline => None,
            };
            variant.map(|v| format!("{}/{}", k.name, v.name))
        });
        found.ok_or_else(|| {
            Need(match pick {
                Pick::Tile([m, n]) => format!("a kernel on {unit} with a tile of {m}x{n} that can run it"),
                Pick::Class([m, n], class) => {
                    format!("a kernel on {unit} with a tile of {m}x{n} and loads of {class} bytes")
                }
                Pick::Unit(_) | Pick::Route(..) | Pick::Baseline => format!("a kernel on {unit} that can run it"),
            })
        })
    }

    /// The variant that is launched in some way, with the widest loads that are legal and nothing done ahead of the timing.
    fn by_route(&self, problem: &Problem, route: &str, tile: [u32; 2], cluster: u32) -> Result<String, Need> {
        let all = kernels(self.device.kind());
        let legal = |v: &Variant| {
            v.takes_form(problem)
                && Operand::ALL.into_iter().all(|o| problem.align_bytes(o) >= v.align_of(o, problem.dtype))
        };
        let of_route = || {
            let named = |k: &'static Kernel| k.variants.iter().map(move |v| (k, v));
            let is = |v: &Variant| v.route == route && v.tile[..2] == tile && v.cluster == cluster && v.fixed.is_none();
            all.iter().copied().flat_map(named).filter(move |(_, v)| is(v))
        };
        let least = of_route().filter_map(|(k, v)| v.min_cc.or(Some(k.min_cc))).min();
        if let Some(least) = least.filter(|cc| *cc > self.device.cc) {
            let [has, needs] = [self.device.cc, least].map(|cc| format!("{}.{}", cc / 10, cc % 10));
            return need(format!("compute capability {needs} for a {route} kernel; the device has {has}"));
        }
        // Of equals the first in the catalog.
        let wider =
            |best: Option<(&'static Kernel, &'static Variant)>, next: (&'static Kernel, &'static Variant)| match best {
                Some(best) if best.1.align_bytes >= next.1.align_bytes => Some(best),
                _ => Some(next),
            };
        let widest = of_route().filter(|(_, v)| legal(v)).fold(None, wider);
        let [m, n] = tile;
        widest.map(|(k, v)| format!("{}/{}", k.name, v.name)).ok_or_else(|| {
            Need(format!("a {route} kernel with a tile of {m}x{n} in clusters of {cluster} that can run it"))
        })
    }

    /// A comparison of two arms.
    ///
    /// # Errors
    /// One of the arms cannot be had.
    pub fn compare(
        &self,
        per: Per,
        held: &[Held],
        first: (Problem, Pick),
        second: (Problem, Pick),
    ) -> Result<Comparison, Need> {
        Ok(Comparison {
            first: self.arm(first.0, first.1)?,
            second: self.arm(second.0, second.1)?,
            per,
            held: held.to_vec(),
        })
    }

    /// Rows and columns of tiles that fill the multiprocessors exactly, as square as their number allows.
    pub fn full_wave(&self) -> (u64, u64) {
        let units = self.units();
        let rows = (1..=units.isqrt()).rev().find(|r| units.is_multiple_of(*r)).unwrap_or(1);
        (rows, units / rows)
    }
}

/// A problem whose rows follow each other without a gap, in any layout.
pub fn compact(layout: Layout, m: u64, n: u64, k: u64) -> Problem {
    Problem::new(m, n, k).in_form(layout, DType::F16)
}

/// The same problem with rows this far apart: of A, of B, and of C.
pub fn strides(problem: Problem, lda: u64, ldb: u64, ldc: u64) -> Problem {
    Problem { lda, ldb, ldc, ..problem }
}

/// The problem with `more` elements between the end of each row of A, B and C and the next.
pub fn padded(problem: Problem, more: u64) -> Problem {
    strides(problem, problem.lda + more, problem.ldb + more, problem.ldc + more)
}
