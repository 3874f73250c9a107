//! Records that nobody measured, for tests: a claim's own plan with a made-up cost for each arm.

use super::bench::Bench;
use super::experiment::{Comparison, Evidence, Question};
use super::{Claim, spec};
use crate::device::DeviceInfo;
use crate::dispatch::{choose, select};
use crate::record::{
    CellRecord, DeviceKind, DeviceRecord, HostRecord, Manifest, Outcome, Progress, SCHEMA_VERSION, Sample, Status,
};
use crate::stats::Rule;
use crate::stats::noise::Noise;
use crate::sweep::{Cell, Plan, Spec, blank};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A device of the H100's kind with so many multiprocessors.
pub fn gpu(units: u32) -> DeviceInfo {
    DeviceInfo {
        record: DeviceRecord {
            kind: DeviceKind::Cuda,
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            uuid: None,
            pci_bus_id: None,
            compute_capability: Some("9.0".to_owned()),
            units,
            peak_flop_per_cycle: 4096.0 * f64::from(units),
            l2_bytes: 50 << 20,
            memory_bytes: 80 << 30,
            max_clock_mhz: Some(1980),
            power_cap_mw: None,
            driver: "580.65".to_owned(),
            telemetry: "made up".to_owned(),
            clock_source: "made up".to_owned(),
        },
        cc: 90,
        timer_resolution_ns: 500.0,
    }
}

/// Some GPUs, the CPU and the emulated GPU.
pub fn bench_devices() -> Vec<DeviceInfo> {
    let mut ampere = gpu(108);
    ampere.record.name = "NVIDIA A100-SXM4-80GB".to_owned();
    ampere.record.compute_capability = Some("8.0".to_owned());
    ampere.cc = 80;
    let mut emulated = gpu(132);
    (emulated.record.kind, emulated.record.name) = (DeviceKind::Emulated, "emulated".to_owned());
    let mut unknown = gpu(24);
    unknown.record.name = "NVIDIA Nobody Knows 1".to_owned();
    vec![gpu(132), gpu(78), ampere, unknown, crate::device::cpu::info(), emulated]
}

/// How records are made up.
pub struct World<'a> {
    /// The device.
    pub device: DeviceInfo,
    /// Noise of its times.
    pub noise: Noise,
    /// Blocks A B B A a unit.
    pub blocks: usize,
    /// Nanoseconds of a launch, given a unit's cells and which of them it is.
    pub cost_ns: &'a dyn Fn(&[Cell], usize) -> f64,
    /// The clock in MHz, if there is one, of the first and of the second arm.
    pub clock_mhz: [Option<f64>; 2],
}

impl World<'_> {
    /// The records of the plan of some claims.
    pub fn run(&self, claims: &[&Claim], seed: u64) -> (Manifest, Vec<CellRecord>) {
        self.run_spec(&spec(claims, &Bench::new(&self.device)), seed)
    }

    /// The records of a plan.
    pub fn run_spec(&self, spec: &Spec, seed: u64) -> (Manifest, Vec<CellRecord>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut records = Vec::new();
        if !spec.listed.is_empty() {
            let plan = Plan::new(spec, self.device.kind(), seed).expect("claims make plans");
            for position in 0..plan.units() {
                let cells = plan.unit(position);
                let (first, second) = self.noise.pair(self.blocks, 0.0, &mut rng);
                for (i, factors) in [first, second].iter().take(cells.len()).enumerate() {
                    records.push(self.record(&cells, i, factors, 1_000_000_000 * position));
                }
            }
        }
        (manifest(&self.device, seed), records)
    }

    fn record(&self, cells: &[Cell], side: usize, factors: &[f64], at_ns: u64) -> CellRecord {
        let cell = &cells[side];
        let mut record = blank(cell, &self.device.record.name);
        let selector = &select(&cell.kernel, self.device.kind()).expect("plans name kernels")[0];
        let choice = choose(&cell.problem, selector, &self.device).expect("plans name kernels that can run");
        (record.kernel, record.variant) = (choice.kernel.name.clone(), choice.variant.name.clone());
        let cost = (self.cost_ns)(cells, side);
        let launches = (2e6 / cost).ceil().max(1.0) as u32;
        // A is first and last in its block, B is in between.
        let place = |i: usize| 4 * (i / 2) as u64 + if side == 0 { 3 * (i % 2) as u64 } else { 1 + (i % 2) as u64 };
        record.samples = factors
            .iter()
            .enumerate()
            .map(|(i, factor)| Sample {
                at_ns: at_ns + 2_000_000 * place(i),
                elapsed_ns: (cost * factor * f64::from(launches)) as u64,
                launches,
                clock_mhz: self.clock_mhz[side],
                power_mw: None,
                temperature_c: None,
                throttle_bits: None,
                throttled: false,
            })
            .collect();
        let times: Vec<f64> = record.samples.iter().map(Sample::per_launch_ns).collect();
        record.median_ns = crate::stats::median(&times).map(|m| m.round() as u64);
        record.status = Status::Ok;
        record
    }
}

/// What the world of a claim is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The claim is right.
    Right,
    /// Every question's answer is no.
    Wrong,
}

/// Nanoseconds at a third of the device's peak, at 1.5 GHz.
pub fn plain_ns(cell: &Cell, device: &DeviceInfo) -> f64 {
    cell.problem.flop() as f64 / (device.record.peak_flop_per_cycle / 3.0 * 1.5)
}

/// The cost of each arm of a claim's plan, so that its questions have the answers that they should have.
pub fn cost_of(claim: &Claim, device: &DeviceInfo, truth: Truth) -> impl Fn(&[Cell], usize) -> f64 {
    cost_by(claim, device, truth, move |q, c| wanted(q, c, truth))
}

/// The same with ln(B / A) of each comparison as told.
pub fn cost_by(
    claim: &Claim,
    device: &DeviceInfo,
    truth: Truth,
    wanted: impl Fn(&Question, &Comparison) -> f64,
) -> impl Fn(&[Cell], usize) -> f64 {
    let questions = claim.questions(&Bench::new(device)).unwrap_or_default();
    let device = device.clone();
    move |cells: &[Cell], side: usize| {
        let plain = plain_ns(&cells[0], &device);
        let [first, second] = cells else {
            // Cells that are measured alone: where times are explained, the right ones are the model's.
            let fitted = questions.iter().any(|q| matches!(q.evidence, Evidence::Fit(_)));
            return match (fitted, truth) {
                (true, Truth::Right) => {
                    let bench = Bench::new(&device);
                    let (kernel, variant) =
                        super::sound::named(&cells[0].kernel, device.kind()).expect("it is planned");
                    let description = bench.description().expect("the plan needs it");
                    // Well above the model, so that no time is below the peak's.
                    3.0 * crate::model::predict(&cells[0].problem, kernel, variant, &description).total_ns()
                }
                (true, Truth::Wrong) => {
                    let p = &cells[0].problem;
                    plain * ((1 + (p.m / 8 + p.n / 8 + p.k / 8) % 7) as f64).powi(2)
                }
                (false, _) => plain,
            };
        };
        let (effect, scale) = questions
            .iter()
            .find_map(|q| {
                let found = q.comparisons().into_iter().find_map(|c| {
                    let is = |a: &crate::sweep::Arm, b: &Cell| {
                        (a.problem, &a.kernel, a.regime, a.distribution)
                            == (b.problem, &b.kernel, b.regime, b.distribution)
                    };
                    let forward = is(&c.first, first) && is(&c.second, second);
                    let backward = is(&c.first, second) && is(&c.second, first);
                    (forward || backward).then_some((c, forward))
                })?;
                let (c, forward) = found;
                let effect = wanted(q, c);
                let scale = c.per.of(&c.second.problem) / c.per.of(&c.first.problem);
                Some(if forward { (effect, scale) } else { (-effect, 1.0 / scale) })
            })
            .expect("the unit is one of the plan's");
        // The faster arm is at the plain speed.
        let ratio = effect.exp() * scale;
        let flops = second.problem.flop() as f64 / first.problem.flop() as f64;
        let slower = (ratio / flops).min(1.0);
        if side == 0 { plain / slower } else { plain / slower * ratio }
    }
}

/// ln(B / A) of a comparison in such a world.
pub fn wanted(q: &Question, c: &Comparison, truth: Truth) -> f64 {
    let taken_off = matches!(&q.evidence, Evidence::Mean { less, .. } if less.contains(c));
    if taken_off {
        return 0.0;
    }
    match (&q.evidence, q.rule, truth) {
        // The best arm saves what the rule asks for; none saves anything otherwise.
        (Evidence::Best(_), Rule::AtLeast { support, .. }, Truth::Right) => -support - 0.05,
        (Evidence::Best(_), ..) => 0.05,
        (_, Rule::AtLeast { support, .. }, Truth::Right) => support + 0.05 + 0.2 * support.abs(),
        (_, Rule::AtLeast { contradict, .. }, Truth::Wrong) => contradict.min(0.0) - 0.03,
        (_, Rule::Within { .. }, Truth::Right) => 0.0,
        (_, Rule::Within { outside, .. }, Truth::Wrong) => outside + 0.05,
    }
}

/// A manifest for made-up records.
pub fn manifest(device: &DeviceInfo, seed: u64) -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        program: "gemmscope".to_owned(),
        version: "0.1.0".to_owned(),
        git_revision: "unknown".to_owned(),
        command: vec!["gemmscope".to_owned(), "validate".to_owned()],
        started: "2026-11-21T09:30:00Z".to_owned(),
        seed,
        generator: "philox4x32-10".to_owned(),
        distribution: "uniform".to_owned(),
        shard: [1, 1],
        plan: serde_json::json!({}),
        stopping: serde_json::json!({}),
        host: HostRecord { os: "linux".to_owned(), cpu: "made up".to_owned(), cores: 8, memory_bytes: 1 << 36 },
        device: device.record.clone(),
        kernel_source: "made up".to_owned(),
        kernel_hashes: Default::default(),
        progress: Progress {
            outcome: Outcome::Complete,
            planned: 0,
            ok: 0,
            skipped: 0,
            failed: 0,
            wall_ns: 1,
            kernel_ns: 1,
            kernel_time_share: 1.0,
        },
    }
}
