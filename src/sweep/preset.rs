//! The plans that have names.

use super::plan::{Part, Spec};
use crate::measure::{Regime, Stopping};
use crate::record::DeviceKind;
use serde::{Deserialize, Serialize};

/// A plan with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Two minutes: a map of shapes, the alignment classes, and every size around a multiple of 16.
    Quick,
    /// What alignment costs: strides of A against those of B and C in pairs, base offsets, and sizes one by one.
    Alignment,
    /// Batch sizes one by one, for layers of a few widths.
    Batch,
}

impl Preset {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Quick => "quick",
            Preset::Alignment => "alignment",
            Preset::Batch => "batch",
        }
    }

    /// Its parts, in sizes that suit the kind of device, in the regime that is usual there: hot on a CPU, cold on a GPU.
    pub fn spec(self, kind: DeviceKind) -> Spec {
        let regimes = vec![Regime::usual(kind)];
        // Classes 1 to 128 elements and above, for sizes that are multiples of 256.
        let strides = "+1,2,4,8,16,32,64,128,256";
        let axis = |text: &str| text.parse().expect("presets are made of axes");
        let sizes = |name, on_gpu: [&'static str; 3], on_cpu: [&'static str; 3], emulated: [&'static str; 3]| {
            let [m, n, k] = match kind {
                DeviceKind::Cuda => on_gpu,
                DeviceKind::Cpu => on_cpu,
                DeviceKind::Emulated => emulated,
            };
            Part { m: axis(m), n: axis(n), k: axis(k), regimes: regimes.clone(), ..Part::new(name) }
        };
        let classes = |name, on_gpu, on_cpu, emulated| Part {
            lda: axis(strides),
            ldb: axis(strides),
            ldc: axis("ldb"),
            paired: true,
            ..sizes(name, [on_gpu, "m", "m"], [on_cpu, "m", "m"], [emulated, "m", "m"])
        };
        let parts = match self {
            Preset::Quick => vec![
                sizes(
                    "shape",
                    ["512..8192+512", "512..8192+512", "4096"],
                    ["32..512+32", "32..512+32", "256"],
                    ["16..128+16", "16..128+16", "64"],
                ),
                classes("stride", "4096", "512", "64"),
                sizes(
                    "edge",
                    ["4096", "4081..4096", "4081..4096"],
                    ["256", "241..256", "241..256"],
                    ["64", "57..64", "57..64"],
                ),
            ],
            Preset::Alignment => {
                let mut offsets = sizes("offset", ["4096", "m", "m"], ["512", "m", "m"], ["64", "m", "m"]);
                (offsets.offset_a, offsets.offset_b) = (axis("0..8"), axis("0..8"));
                offsets.offset_c = axis("0");
                offsets.paired = true;
                vec![
                    classes("stride", "1024,4096", "256,512", "64,128"),
                    offsets,
                    sizes("depth", ["4096", "4096", "4064..4128"], ["512", "512", "480..544"], ["64", "64", "48..80"]),
                    sizes(
                        "edge",
                        ["4096", "4088..4104", "4088..4104"],
                        ["512", "504..520", "504..520"],
                        ["64", "60..68", "60..68"],
                    ),
                ]
            }
            Preset::Batch => vec![sizes(
                "batch",
                ["1..520", "1024,4096", "4096"],
                ["1..260", "256,512", "512"],
                ["1..130", "64,128", "64"],
            )],
        };
        Spec { preset: Some(self.name().to_owned()), parts, ..Spec::default() }
    }

    /// When its cells have been measured enough.
    pub fn stopping(self) -> Stopping {
        match self {
            // 674 cells of at most 150 ms each leave room for everything else within two minutes.
            Preset::Quick => {
                Stopping { cell_ns: 110_000_000, warmup_share: 0.25, min_sample_ns: 2_000_000, ..Stopping::default() }
            }
            Preset::Alignment | Preset::Batch => Stopping::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::plan::Plan;

    #[test]
    fn presets_can_be_planned_for_every_device() {
        for preset in [Preset::Quick, Preset::Alignment, Preset::Batch] {
            for kind in [DeviceKind::Cpu, DeviceKind::Cuda, DeviceKind::Emulated] {
                let plan = Plan::new(&preset.spec(kind), kind, 1).unwrap();
                for i in 0..plan.units() {
                    for cell in plan.unit(i) {
                        assert_eq!(cell.problem.validate(), Ok(()), "{preset:?} on {kind:?}: {cell:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn quick_has_at_least_six_hundred_cells_that_fit_into_two_minutes() {
        let plan = Plan::new(&Preset::Quick.spec(DeviceKind::Cpu), DeviceKind::Cpu, 1).unwrap();
        assert!(plan.cells() >= 600, "{}", plan.cells());
        let stopping = Preset::Quick.stopping();
        let longest_ns = stopping.cell_ns as f64 * (1.0 + stopping.warmup_share) * plan.cells() as f64;
        assert!(longest_ns < 100e9, "launches alone may take {longest_ns:e} ns");
    }
}
