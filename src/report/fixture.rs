//! Synthetic runs for tests: plausible numbers, no device.

use super::Run;
use super::axes::class;
use crate::problem::Problem;
use crate::record::{
    CellRecord, DeviceKind, DeviceRecord, HostRecord, Manifest, Outcome, Progress, SCHEMA_VERSION, Status,
};

/// A measured cell.
pub fn cell(problem: Problem, tflops: f64) -> CellRecord {
    let median_ns = problem.flop() as f64 / tflops / 1000.0;
    CellRecord {
        cell: 0,
        part: "shape".to_owned(),
        pair: None,
        role: None,
        problem,
        device: "NVIDIA H100 80GB HBM3".to_owned(),
        kernel: "04_mma".to_owned(),
        variant: "128x128x32-a16".to_owned(),
        dispatch: String::new(),
        regime: "hot".to_owned(),
        distribution: None,
        dwell_ns: None,
        idle_ns: None,
        status: Status::Ok,
        reason: None,
        median_ns: Some(median_ns as u64),
        median_lo_ns: Some((median_ns * 0.99) as u64),
        median_hi_ns: Some((median_ns * 1.02) as u64),
        tflops: Some(tflops),
        flop_per_cycle: Some(tflops * 1e12 / 1.7e9),
        pair_ratio: None,
        pair_ratio_lo: None,
        pair_ratio_hi: None,
        copies: None,
        workspace_bytes: None,
        counters: None,
        stop: None,
        throttled_samples: 0,
        warm: None,
        check: None,
        samples: Vec::new(),
    }
}

/// Makes a cell one that was not reached.
pub fn skip(cell: &mut CellRecord) {
    let without =
        CellRecord { status: Status::Skipped, reason: Some("not reached: out of budget".to_owned()), ..cell.clone() };
    *cell = without_numbers(without);
}

/// Makes a cell one that failed.
pub fn fail(cell: &mut CellRecord) {
    let without =
        CellRecord { status: Status::Failed, reason: Some("wrong result, \"C\"[3, 4]".to_owned()), ..cell.clone() };
    *cell = without_numbers(without);
}

fn without_numbers(mut cell: CellRecord) -> CellRecord {
    (cell.median_ns, cell.median_lo_ns, cell.median_hi_ns) = (None, None, None);
    (cell.tflops, cell.flop_per_cycle) = (None, None);
    cell
}

/// A complete run of some cells, numbered in their order.
pub fn run(mut cells: Vec<CellRecord>) -> Run {
    for (i, cell) in cells.iter_mut().enumerate() {
        cell.cell = i as u64;
    }
    let planned = cells.len() as u64;
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        program: "gemmscope".to_owned(),
        version: "0.1.0".to_owned(),
        git_revision: "c54b88c0f1e2".to_owned(),
        command: vec!["sweep".to_owned()],
        started: "2026-11-21T09:30:00Z".to_owned(),
        seed: 1,
        generator: "pcg".to_owned(),
        distribution: "uniform".to_owned(),
        shard: [1, 1],
        plan: serde_json::json!({}),
        stopping: serde_json::json!({}),
        host: HostRecord { os: "linux".to_owned(), cpu: "AMD EPYC".to_owned(), cores: 8, memory_bytes: 1 << 36 },
        device: DeviceRecord {
            kind: DeviceKind::Cuda,
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            uuid: None,
            pci_bus_id: None,
            compute_capability: Some("9.0".to_owned()),
            units: 132,
            peak_flop_per_cycle: 540_672.0,
            l2_bytes: 50 << 20,
            memory_bytes: 80 << 30,
            max_clock_mhz: Some(1980),
            power_cap_mw: Some(700_000),
            driver: "580.65".to_owned(),
            telemetry: "nvml 580.65".to_owned(),
            clock_source: "globaltimer".to_owned(),
        },
        kernel_source: "nvcc 13.0.88".to_owned(),
        kernel_hashes: std::collections::BTreeMap::new(),
        progress: Progress {
            outcome: Outcome::Complete,
            planned,
            ok: planned,
            skipped: 0,
            failed: 0,
            wall_ns: 1,
            kernel_ns: 1,
            kernel_time_share: 1.0,
        },
    };
    Run { dir: "run".into(), manifest, cells }
}

/// A throughput that grows with the work and falls with misalignment.
pub fn model(p: &Problem) -> f64 {
    let work = p.flop() as f64;
    let worst = class(p.lda).min(class(p.ldb)).min(class(p.ldc));
    let alignment = [0.35, 0.55, 0.8, 0.97][(worst.trailing_zeros() as usize).min(3)];
    700.0 * work / (work + 3e9) * alignment
}

/// A sweep over m and n.
pub fn shapes(m: &[u64], n: &[u64], k: u64) -> Run {
    let pairs = m.iter().flat_map(|&m| n.iter().map(move |&n| Problem::new(m, n, k)));
    run(pairs.map(|p| cell(p, model(&p))).collect())
}

/// A sweep over strides at one size.
pub fn strides(padding_a: &[u64], padding_b: &[u64]) -> Run {
    let mut cells = Vec::new();
    for pad_a in padding_a {
        for pad_b in padding_b {
            let mut p = Problem::new(2048, 4096, 4096);
            (p.lda, p.ldb, p.ldc) = (p.k + pad_a, p.n + pad_b, p.n + pad_b);
            let mut cell = cell(p, model(&p));
            cell.part = "alignment".to_owned();
            cells.push(cell);
        }
    }
    run(cells)
}
