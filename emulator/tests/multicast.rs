//! A pipeline in the style of Hopper libraries, over a cluster with multicast: right in every order of warps and copies, and with one thing
//! wrong named at its line.

use gpu_emulator::Kind::{self, Deadlock, Race, Uninitialised};
use gpu_emulator::{Device, Dim3, Module, Report, TensorMap};
use half::f16;

const PTX: &str = include_str!("data/multicast.ptx");
const SOURCE: &str = include_str!("data/multicast.cu");
const M: usize = 256;
const N: usize = 128;
const K: usize = 64 * 7;

fn value(i: usize) -> f32 {
    ((i * 5 + i / 7) % 7) as f32 - 3.0
}

/// The report, and how many elements are not exact.
fn run(ptx: &str, seed: u64) -> (Report, usize) {
    let module = Module::load(ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    (d.options.shuffle, d.options.copies_land_early) = (seed, seed % 3 == 1);
    d.options.max_instructions = 1 << 24;
    let mut put = |rows: usize| {
        let bytes: Vec<u8> = (0..rows * K).flat_map(|i| f16::from_f32(value(i)).to_le_bytes()).collect();
        let p = d.memory.alloc(bytes.len() as u64, "operand").unwrap();
        d.memory.write(p, &bytes).unwrap();
        p
    };
    let (a, b) = (put(M), put(N));
    let c = d.memory.alloc(4 * (M * N) as u64, "C").unwrap();
    let map = |addr, rows: usize, high| {
        let (dims, strides, boxes) = (vec![K as u64, rows as u64], vec![2 * K as u64], vec![64, high]);
        TensorMap { elem: 2, swizzle: 128, nan_fill: false, addr, dims, strides, boxes }.encode().unwrap()
    };
    let mut params = [map(a, M, 128), map(b, N, 32)].concat();
    params.extend(c.to_le_bytes());
    [N, K].iter().for_each(|n| params.extend((*n as u32).to_le_bytes()));
    let grid = Dim3::new((M / 128) as u32, (N / 64) as u32, 1);
    let r = d.launch(module.entry("multicast").unwrap(), grid, Dim3::x(384), 3 * 24576, &params).unwrap();
    let mut bytes = vec![0; 4 * M * N];
    d.memory.read(c, &mut bytes).unwrap();
    let wrong = (0..M * N).filter(|i| {
        let sum: f32 = (0..K).map(|k| value(i / N * K + k) * value(i % N * K + k)).sum();
        f32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap()) != sum
    });
    (r, wrong.count())
}

#[test]
fn right_in_every_order() {
    for seed in 0..12 {
        let (r, wrong) = run(PTX, seed);
        assert!(r.clean() && wrong == 0, "seed {seed}: {wrong} wrong, {:?}", r.findings);
    }
}

/// The text with one thing changed wherever it stands.
fn changed(from: &str, to: &str) -> String {
    assert!(PTX.contains(from), "{from}");
    PTX.replace(from, to)
}

#[test]
fn each_mistake_is_named() {
    // What is changed, the kind of what is said first, and what its line holds.
    let bugs: &[(&str, &str, Kind, &str)] = &[
        (", 24576;", ", 24592;", Deadlock, "wait("),
        (", 24576;", ", 20480;", Uninitialised, "multiply("),
        ("setmaxnreg.inc.sync.aligned.u32 232;", "setmaxnreg.inc.sync.aligned.u32 240;", Deadlock, "setmaxnreg.inc"),
        ("setmaxnreg.dec.sync.aligned.u32 40;", "", Deadlock, "setmaxnreg.inc"),
        ("wgmma.fence.sync.aligned;", "", Race, "multiply("),
        ("wgmma.wait_group.sync.aligned 0;", "wgmma.wait_group.sync.aligned 1;", Race, ""),
        ("], 4;", "], 3;", Race, ""),
    ];
    for (from, to, kind, holds) in bugs {
        let (r, _) = run(&changed(from, to), 0);
        let f = r.findings.first().unwrap_or_else(|| panic!("{from}: nothing found"));
        let outer = f.source.split(' ').next().unwrap_or("");
        let line: usize = outer.rsplit(':').next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{f}"));
        let text = SOURCE.lines().nth(line - 1).unwrap_or("");
        assert!(f.kind == *kind && text.contains(holds), "{from}: {f}\n{text}");
    }
}

#[test]
fn a_stage_given_back_early_shows_in_the_numbers() {
    let text = changed("wgmma.wait_group.sync.aligned 0;", "");
    let seeds = (1..12).filter(|seed| run(&text, *seed).1 > 0).count();
    assert!(seeds > 0);
}
