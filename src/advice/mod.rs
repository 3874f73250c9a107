//! What a shape costs on a device and what would be better, from the model and the catalogue: nothing is measured here.
//!
//! A [`Planner`] ranks the kernels that can run a problem; [`nearby`] finds strides and sizes that cost less; [`Range`] goes through
//! the sizes of a free dimension; [`Network`] is a list of layers with the GEMMs of their training step.

mod layer;
mod nearby;
mod network;
mod range;

pub use nearby::{Better, Change, Worth, copy_ns, nearby};
pub use network::{Advice, LayerAdvice, Network, NetworkError, advise};
pub use range::{FullWave, Plateau, Range, Thinned, thinned};

use crate::device::DeviceInfo;
use crate::dispatch::{Choice, Dispatcher, NoKernel, Selector, Tuned};
use crate::model::{DeviceDescription, Execution, Prediction, predict_execution};
use crate::problem::Problem;
use crate::record::{DeviceKind, DeviceRecord};
use serde::Serialize;

/// Which kernels are considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Family {
    /// Those of the catalogue that a selector names.
    Catalogue(Selector),
    /// What a library such as cuBLAS would run, as far as is public.
    Library,
}

/// A device to plan for, and the kernels to plan with.
#[derive(Debug, Clone)]
pub struct Planner {
    /// What the model reads.
    pub description: DeviceDescription,
    /// What dispatch reads.
    pub info: DeviceInfo,
    /// The kernels.
    pub family: Family,
    /// What was measured there, which goes before the model where any kernel may run.
    pub tuned: Option<Tuned>,
}

/// A kernel that can run a problem, with its prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// `KERNEL/VARIANT`, or `library` and its tile.
    pub name: String,
    /// How it covers the problem.
    pub execution: Execution,
    /// What that costs.
    pub prediction: Prediction,
}

/// The name under which [`Family::Library`] is asked for.
pub const LIBRARY: &str = "library";

impl Planner {
    /// A planner for a device that is only described.
    pub fn described(description: &DeviceDescription, family: Family) -> Self {
        Planner { description: description.clone(), info: described(description), family, tuned: None }
    }

    /// Every candidate for a problem, the fastest first; empty where no kernel of the family can run it.
    pub fn candidates(&self, problem: &Problem) -> Vec<Candidate> {
        let selector = match &self.family {
            Family::Library => return vec![self.of_library(problem)],
            Family::Catalogue(selector) => selector,
        };
        let ranked = Dispatcher::new(&self.info).described(&self.description).rank(problem, selector).candidates;
        let named = |c: crate::dispatch::Candidate| Candidate {
            name: c.name(),
            execution: c.execution,
            prediction: c.prediction,
        };
        ranked.into_iter().map(named).collect()
    }

    /// What dispatch would run, measurements included.
    ///
    /// # Errors
    /// No variant that is selected can run the problem.
    pub fn choose(&self, problem: &Problem, selector: &Selector) -> Result<Choice, NoKernel> {
        let dispatcher = Dispatcher::new(&self.info).described(&self.description);
        dispatcher.tuned(self.tuned.clone()).choose(problem, selector)
    }

    /// What a library would run.
    pub fn of_library(&self, problem: &Problem) -> Candidate {
        let execution = Execution::library(problem, &self.description);
        let [m, n, _] = execution.tile;
        let name = match execution.unit.as_str() {
            "library" => format!("{LIBRARY} {m}x{n}"),
            unit => format!("{LIBRARY} {m}x{n} on {unit}"),
        };
        let prediction = predict_execution(problem, &execution, &self.description);
        Candidate { name, execution, prediction }
    }

    /// The fastest candidate, or what a library would run where no kernel of the family can.
    pub fn best(&self, problem: &Problem) -> Candidate {
        self.candidates(problem).into_iter().next().unwrap_or_else(|| self.of_library(problem))
    }

    /// The predicted time of the fastest candidate, in nanoseconds.
    pub fn ns(&self, problem: &Problem) -> f64 {
        self.best(problem).prediction.total_ns()
    }

    /// Why no kernel of the catalogue can run a problem, if that is so.
    pub fn refusal(&self, problem: &Problem) -> Option<NoKernel> {
        match &self.family {
            Family::Library => None,
            Family::Catalogue(selector) => self.choose(problem, selector).err(),
        }
    }
}

/// What dispatch needs to know of a device that is not here.
fn described(d: &DeviceDescription) -> DeviceInfo {
    let cc = d.compute_capability;
    let kind = if d.is_cpu() { DeviceKind::Cpu } else { DeviceKind::Cuda };
    DeviceInfo {
        record: DeviceRecord {
            kind,
            name: d.title.clone(),
            uuid: None,
            pci_bus_id: None,
            compute_capability: Some(format!("{}.{}", cc / 10, cc % 10)),
            units: d.sms.value,
            peak_flop_per_cycle: d.rates.f16 * f64::from(d.sms.value),
            l2_bytes: d.l2_bytes.as_ref().map_or(0, |b| b.value),
            memory_bytes: d.memory_bytes.as_ref().map_or(0, |b| b.value),
            max_clock_mhz: Some(d.clock_mhz.value as u32),
            power_cap_mw: None,
            driver: "none".to_owned(),
            telemetry: "none for a description".to_owned(),
            clock_source: "none for a description".to_owned(),
        },
        cc,
        timer_resolution_ns: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, devices};
    use crate::problem::{DType, Layout, Operand};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        /// Every budget that `explain` and `advise` show, for any problem that is one, on any device.
        #[test]
        fn budgets_add_up_for_any_problem(
            sizes in prop::array::uniform3(prop_oneof![1u64..40, 1u64..5000, 1u64..1 << 20, Just(crate::problem::MAX_SIZE)]),
            pads in prop::array::uniform3(prop_oneof![Just(0u64), 0u64..70]),
            offsets in prop::array::uniform3(prop_oneof![Just(0u64), 0u64..70]),
            layout in prop::sample::select(&Layout::ALL[..]),
            dtype in prop::sample::select(&DType::ALL[..]),
            device in prop::sample::select((0..devices().len()).collect::<Vec<_>>()),
        ) {
            let compact = Problem::new(sizes[0], sizes[1], sizes[2]).in_form(layout, dtype);
            let problem = Problem {
                lda: compact.lda + pads[0], ldb: compact.ldb + pads[1], ldc: compact.ldc + pads[2],
                offset_a: offsets[0], offset_b: offsets[1], offset_c: offsets[2], ..compact
            };
            prop_assume!(problem.validate().is_ok());
            let planner = Planner::described(&devices()[device], Family::Catalogue(Selector::Auto));
            let mut candidates = planner.candidates(&problem);
            candidates.push(planner.of_library(&problem));
            for c in &candidates {
                let (p, budget) = (&c.prediction, &c.prediction.budget);
                let sum: u64 = budget.parts().iter().map(|part| part.time_ps).sum();
                prop_assert_eq!(sum, budget.total_ps());
                prop_assert!(sum > 0 && (p.total_ns() - sum as f64 / 1e3).abs() <= 1e-9 * p.total_ns(), "{}", c.name);
                let shares: f64 = Cause::ALL.iter().map(|&cause| budget.share(cause)).sum();
                prop_assert!((shares - 1.0).abs() < 1e-9);
                // The throughput that is named belongs to the total that is named.
                let flop = 2.0 * problem.m as f64 * problem.n as f64 * problem.k as f64;
                prop_assert!((p.tflops() * 1e3 * p.total_ns() / flop - 1.0).abs() < 1e-6, "{}", c.name);
                // Nothing that is aligned as the widest load wants it pays for alignment.
                if Operand::ALL.iter().all(|&o| problem.align_bytes(o) >= 16) {
                    prop_assert_eq!(budget.ns(Cause::Alignment), 0.0, "{}", c.name);
                }
            }
        }
    }

    #[test]
    fn every_description_has_an_answer_for_every_shape() {
        for d in devices() {
            let planner = Planner::described(d, Family::Catalogue(Selector::Auto));
            for p in [Problem::new(1, 1, 1), Problem::new(50257, 768, 16384), Problem::new(768, 50257, 16384)] {
                let best = planner.best(&p);
                assert!(best.prediction.total_ns() > 0.0, "{}", d.name);
                // No kernel of the program runs on a V100; what a library does is the answer there.
                assert_eq!(best.name.starts_with(LIBRARY), d.compute_capability < 80, "{}: {}", d.name, best.name);
                assert_eq!(planner.refusal(&p).is_some(), d.compute_capability < 80);
            }
        }
    }

    #[test]
    fn only_legal_variants_are_candidates() {
        let h100 = DeviceDescription::named("h100-sxm").unwrap();
        let planner = Planner::described(h100, Family::Catalogue(Selector::Kernel("04_mma")));
        let odd = planner.candidates(&Problem::new(513, 513, 513));
        assert!(!odd.is_empty() && odd.iter().all(|c| c.execution.load_bytes == [2, 2]));
        assert!(odd.windows(2).all(|w| w[0].prediction.total_ns() <= w[1].prediction.total_ns()));
    }

    #[test]
    fn a_library_loses_its_tensor_copies_with_an_odd_stride() {
        let h100 = DeviceDescription::named("h100-sxm").unwrap();
        let planner = Planner::described(h100, Family::Library);
        let (even, odd) =
            (planner.best(&Problem::new(4096, 4096, 4096)), planner.best(&Problem::new(4096, 4097, 4096)));
        assert_eq!(even.execution.unit, "library");
        assert_eq!(odd.execution.unit, "mma.sync");
        assert!(odd.prediction.total_ns() > 1.8 * even.prediction.total_ns());
    }
}
