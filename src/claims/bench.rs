//! What plans are made for: the device, its kernels, and sizes that suit it.

use super::experiment::{Comparison, Held, Per};
use crate::catalog::Variant;
use crate::device::DeviceInfo;
use crate::dispatch::{choose, kernels, select};
use crate::measure::Regime;
use crate::problem::{Layout, Problem};
use crate::record::DeviceKind;
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
    /// The library.
    Baseline,
}

/// The tile of which one CTA fills a multiprocessor: its sums alone take half of the registers.
pub const WAVE_TILE: [u32; 2] = [128, 256];
/// The tile in the middle.
pub const MIDDLE_TILE: [u32; 2] = [128, 128];
/// The small tile.
pub const SMALL_TILE: [u32; 2] = [64, 64];

/// The multipliers of the family that has several tiles and a variant for each width of loads.
const FAMILY: &str = "mma.sync";

/// Multiprocessors that plans for the emulated device fill: waves of this size run through in seconds.
const EMULATED_UNITS: u64 = 6;

/// A device to plan for.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    device: &'a DeviceInfo,
}

impl<'a> Bench<'a> {
    /// A bench with this device.
    pub fn new(device: &'a DeviceInfo) -> Self {
        Bench { device }
    }

    /// Whether it is the host's processor.
    pub fn is_cpu(&self) -> bool {
        self.device.kind() == DeviceKind::Cpu
    }

    /// Multiprocessors.
    pub fn units(&self) -> u64 {
        match self.device.kind() {
            DeviceKind::Emulated => EMULATED_UNITS,
            DeviceKind::Cuda | DeviceKind::Cpu => u64::from(self.device.record.units.max(1)),
        }
    }

    /// The device.
    pub fn device(&self) -> &'a DeviceInfo {
        self.device
    }

    /// A size by kind of device: a GPU, a CPU, the emulated GPU.
    pub fn size(&self, gpu: u64, cpu: u64, emulated: u64) -> u64 {
        match self.device.kind() {
            DeviceKind::Cuda => gpu,
            DeviceKind::Cpu => cpu,
            DeviceKind::Emulated => emulated,
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
        Ok(Arm { problem, kernel, regime: self.regime() })
    }

    fn kernel(&self, problem: &Problem, pick: Pick) -> Result<String, Need> {
        let all = kernels(self.device.kind());
        if pick == Pick::Baseline {
            return match select("cublaslt", self.device.kind()) {
                Ok(_) => Ok("cublaslt".to_owned()),
                Err(_) => need("the library cuBLASLt as a baseline"),
            };
        }
        if self.is_cpu() {
            return Ok(all[0].name.clone());
        }
        let [layout, dtype] = [problem.layout.name(), problem.dtype.name()];
        let unit = if let Pick::Unit(unit) = pick { unit } else { FAMILY };
        let able = || {
            all.iter().filter(|k| k.unit == unit && k.dtype == dtype && k.layouts.iter().any(|l| l == layout))
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
            [crate::problem::Operand::A, crate::problem::Operand::B]
                .into_iter()
                .all(|o| problem.align_bytes(o) >= u64::from(v.align_bytes))
        };
        let found = able().filter(|k| k.min_cc <= self.device.cc).find_map(|k| {
            let variants = k.variants.iter();
            let variant = match pick {
                Pick::Tile(tile) => {
                    variants.filter(|v| fits(v, tile) && legal(v)).max_by_key(|v| v.align_bytes)
                }
                Pick::Class(tile, class) => variants.filter(|v| fits(v, tile)).find(|v| v.align_bytes == class),
                Pick::Unit(_) => variants.filter(|v| legal(v)).max_by_key(|v| v.tile[0] * v.tile[1]),
                Pick::Baseline => None,
            };
            variant.map(|v| format!("{}/{}", k.name, v.name))
        });
        found.ok_or_else(|| {
            Need(match pick {
                Pick::Tile([m, n]) => format!("a kernel on {unit} with a tile of {m}x{n} that can run it"),
                Pick::Class([m, n], class) => {
                    format!("a kernel on {unit} with a tile of {m}x{n} and loads of {class} bytes")
                }
                Pick::Unit(_) | Pick::Baseline => format!("a kernel on {unit} that can run it"),
            })
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
    let [a, b] = layout.name().as_bytes() else { return Problem::new(m, n, k) };
    let lda = if *a == b't' { m } else { k };
    let ldb = if *b == b't' { k } else { n };
    Problem { layout, lda: lda.max(1), ldb: ldb.max(1), ..Problem::new(m, n, k) }
}

/// The same problem with rows this far apart: of A, of B, and of C.
pub fn strides(problem: Problem, lda: u64, ldb: u64, ldc: u64) -> Problem {
    Problem { lda, ldb, ldc, ..problem }
}

/// The problem with `more` elements between the end of each row of A, B and C and the next.
pub fn padded(problem: Problem, more: u64) -> Problem {
    strides(problem, problem.lda + more, problem.ldb + more, problem.ldc + more)
}
