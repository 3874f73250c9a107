//! What the host itself costs: planning, dispatch, the journal, and a check of a result.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gemmscope::device::probe;
use gemmscope::dispatch::{Selector, choose};
use gemmscope::problem::Problem;
use gemmscope::record::DeviceKind;
use gemmscope::sweep::{Conditions, Isolation, JournalWriter, Options, Part, Plan, Spec, run};
use std::hint::black_box;
use std::sync::atomic::AtomicBool;

fn million() -> Spec {
    let axis = |text: &str| text.parse().expect("a constant axis");
    let part = Part { m: axis("1..100"), n: axis("1..100"), k: axis("1..100"), ..Part::new("million") };
    Spec { parts: vec![part], ..Spec::default() }
}

fn planning(c: &mut Criterion) {
    let spec = million();
    let mut group = c.benchmark_group("host/plan");
    group.throughput(Throughput::Elements(1_000_000)).sample_size(10);
    group.bench_function("make", |b| b.iter(|| Plan::new(&spec, DeviceKind::Cpu, 1).expect("it can be planned")));
    let plan = Plan::new(&spec, DeviceKind::Cpu, 1).expect("it can be planned");
    group.bench_function("walk", |b| {
        b.iter(|| (0..plan.units()).map(|i| plan.unit(i)[0].problem.m).fold(0, u64::wrapping_add));
    });
    group.finish();
}

fn dispatch(c: &mut Criterion) {
    let device = probe().cpu;
    let mut gpu = device.clone();
    (gpu.record.kind, gpu.record.units, gpu.cc) = (DeviceKind::Cuda, 132, 90);
    let problem = Problem::new(4096, 4097, 4100);
    c.bench_function("host/dispatch", |b| b.iter(|| choose(black_box(&problem), &Selector::Auto, &gpu)));
}

fn journal(c: &mut Criterion) {
    // A record with real samples, from a run of one cell.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let options = Options {
        spec: Spec { parts: vec![Part::new("one")], ..Spec::default() },
        choice: gemmscope::device::DeviceChoice::Cpu,
        device: probe().cpu,
        conditions: Conditions { seed: 1, distribution: Default::default(), stopping: Default::default(), tuned: None },
        out: out.clone(),
        resume: false,
        shard: (1, 1),
        budget: None,
        isolation: Isolation::None,
        command: Vec::new(),
    };
    run(&options, &AtomicBool::new(false), &mut |_| {}).expect("one cell can be measured");
    let records = gemmscope::record::read_journal(&out).expect("a journal was written").cells;
    let target = dir.path().join("target");
    std::fs::create_dir(&target).expect("a folder");
    let mut writer = JournalWriter::create(&target).expect("a journal");
    c.bench_function("host/journal/append", |b| b.iter(|| writer.append(&records).expect("there is room")));
}

criterion_group!(benches, planning, dispatch, journal);
criterion_main!(benches);
