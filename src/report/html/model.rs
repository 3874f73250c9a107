//! What the model predicts for the cells of a run, and the device that it predicts for.

use super::cell::{Cell, Strings, problem};
use super::group::Group;
use crate::catalog::{Kernel, catalog};
use crate::model::{DeviceDescription, Measured, predict};
use crate::record::DeviceKind;
use crate::stats::median;

/// The model of a run's device.
pub(super) struct Model {
    device: DeviceDescription,
    /// Where its figures come from, a sentence.
    pub origin: String,
}

impl Model {
    /// Of a GPU: its product's description, or what the record says of it, at the clock that this run's samples had. `None` for a
    /// CPU, whose library is not modelled, and for the emulated device, which has no time.
    pub fn of(group: &Group) -> Option<Model> {
        let record = &group.manifest().device;
        if record.kind != DeviceKind::Cuda {
            return None;
        }
        let clocks: Vec<f64> = group.cells.iter().filter_map(|c| c.clock_mhz.map(f64::from)).collect();
        let clock_mhz = median(&clocks);
        let known = DeviceDescription::of_driver_name(&record.name);
        let capability: Option<f64> = record.compute_capability.as_deref().and_then(|c| c.parse().ok());
        let described = match known {
            Some(known) => known.clone(),
            None => {
                let mhz = clock_mhz.or(record.max_clock_mhz.map(f64::from))?;
                let capability = (10.0 * capability?).round() as u32;
                DeviceDescription::of_figures(
                    &record.name,
                    capability,
                    record.units,
                    mhz,
                    Some(record.peak_flop_per_cycle).filter(|p| p.is_finite() && *p > 0.0)?,
                )
            }
        };
        let device = described.with(&Measured {
            sms: Some(record.units),
            clock_mhz,
            memory_bytes: Some(record.memory_bytes),
            l2_bytes: Some(record.l2_bytes).filter(|&bytes| bytes > 0),
            ..Measured::default()
        });
        let figures = match known {
            Some(known) => format!("the data sheet of {}", known.title),
            None => "what the device says of itself".to_owned(),
        };
        let clock = clock_mhz.map_or(String::new(), |mhz| format!(", at this run's median clock of {mhz:.0} MHz"));
        Some(Model { device, origin: format!("{figures}{clock}; operands come from DRAM") })
    }

    /// DRAM bandwidth, in bytes a second.
    pub fn bandwidth(&self) -> Option<f64> {
        self.device.memory_bytes_per_s.as_ref().map(|b| b.value)
    }

    /// The time of a launch, in nanoseconds, where the cell's kernel is one of this program's and has a time.
    pub fn ns(&self, cell: &Cell, strings: &Strings) -> Option<f64> {
        cell.median_ns?;
        let kernel: &Kernel = catalog().kernels.iter().find(|k| k.name == strings.get(cell.kernel))?;
        let variant = kernel.variants.iter().find(|v| v.name == strings.get(cell.variant))?;
        let problem = problem(cell.shape, strings.get(cell.layout), strings.get(cell.dtype), cell.alpha, cell.beta)?;
        Some(predict(&problem, kernel, variant, &self.device).total_ns()).filter(|ns| ns.is_finite() && *ns > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::group;
    use super::*;
    use crate::report::fixture;
    use crate::report::html::load::load;

    fn of(name: &str, kind: DeviceKind) -> (Group, Strings) {
        let mut run = fixture::shapes(&[1024, 2048], &[4096], 4096);
        (run.manifest.device.name, run.manifest.device.kind) = (name.to_owned(), kind);
        let dir = tempfile::tempdir().unwrap();
        crate::record::write_manifest(dir.path(), &run.manifest).unwrap();
        let kernel = catalog().kernels.iter().find(|k| k.name == "04_mma").unwrap();
        let lines: String = run
            .cells
            .iter_mut()
            .map(|c| {
                c.variant.clone_from(&kernel.variants[0].name);
                serde_json::to_string(c).unwrap() + "\n"
            })
            .collect();
        std::fs::write(dir.path().join(crate::record::SAMPLES_FILE), lines).unwrap();
        let mut strings = Strings::default();
        let folder = load(dir.path(), &mut strings).unwrap();
        (group(vec![folder]).remove(0), strings)
    }

    #[test]
    fn a_gpu_has_predictions_that_are_slower_than_its_peak() {
        for name in ["NVIDIA H100 80GB HBM3", "a GPU of next year"] {
            let (group, strings) = of(name, DeviceKind::Cuda);
            let model = Model::of(&group).unwrap();
            for cell in &group.cells {
                let ns = model.ns(cell, &strings).unwrap();
                let flop = 2.0 * cell.shape[..3].iter().map(|&v| v as f64).product::<f64>();
                let peak = group.manifest().device.peak_flop_per_cycle * 2.0;
                assert!(ns > flop / peak && ns < 1e3 * flop / peak, "{name}: {ns}");
            }
            assert_eq!(model.bandwidth().is_some(), name.contains("H100"));
            let mut unknown = group.cells[0].clone();
            unknown.variant = unknown.part;
            assert_eq!(model.ns(&unknown, &strings), None);
        }
    }

    #[test]
    fn nothing_is_predicted_without_a_gpu_and_a_time() {
        assert!(Model::of(&of("CPU", DeviceKind::Cpu).0).is_none());
        assert!(Model::of(&of("emulated", DeviceKind::Emulated).0).is_none());
        let (group, strings) = of("NVIDIA H100 80GB HBM3", DeviceKind::Cuda);
        let mut failed = group.cells[0].clone();
        failed.median_ns = None;
        assert_eq!(Model::of(&group).unwrap().ns(&failed, &strings), None);
    }
}
