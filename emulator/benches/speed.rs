//! How fast the interpreter is: products of 512x512x512 by `mma.sync` and by `wgmma` with every
//! check, on one and on two host threads.
//!
//! `cargo bench -p gpu-emulator` prints multiply-adds a second, and fails where a result is wrong or something is found.

use std::time::Instant;

use gpu_emulator::{Device, Dim3, Module, TensorMap};

const SIZE: usize = 512;
const RUNS: usize = 9;

fn value(i: usize) -> u16 {
    // Zero to three, as halves.
    [0, 0x3c00, 0x4000, 0x4200][(i * 7 + i / 13) % 4]
}
fn number(i: usize) -> u32 {
    ((i * 7 + i / 13) % 4) as u32
}

/// A product by one kernel: its PTX, its name, and what its launch looks like for three matrices of SIZE by SIZE.
struct Case {
    name: &'static str,
    ptx: &'static str,
    kernel: &'static str,
    tile: u32,
    threads: u32,
    shared: u32,
    params: fn([u64; 3]) -> Vec<u8>,
}

fn addresses(p: [u64; 3]) -> Vec<u8> {
    p.iter().flat_map(|p| p.to_le_bytes()).chain([SIZE as u32; 2].iter().flat_map(|n| n.to_le_bytes())).collect()
}

fn maps(p: [u64; 3]) -> Vec<u8> {
    let map = |addr: u64, swizzle: u32| {
        let (dims, strides, boxes) = (vec![SIZE as u64; 2], vec![2 * SIZE as u64], vec![64, 64]);
        TensorMap { elem: 2, swizzle, nan_fill: false, addr, dims, strides, boxes }
            .encode()
            .expect("a valid tensor map")
    };
    let mut all: Vec<u8> = [map(p[0], 128), map(p[1], 128), map(p[2], 0)].concat();
    all.extend((SIZE as u32).to_le_bytes());
    all
}

const CASES: [Case; 2] = [
    Case {
        name: "mma.sync",
        ptx: include_str!("../tests/data/speed.ptx"),
        kernel: "product",
        tile: 128,
        threads: 256,
        shared: 0,
        params: addresses,
    },
    Case {
        name: "wgmma",
        ptx: include_str!("../tests/data/hopper.ptx"),
        kernel: "tile_tma",
        tile: 64,
        threads: 128,
        shared: 32768,
        params: maps,
    },
];

fn main() {
    for case in &CASES {
        let module = Module::load(case.ptx).expect("the kernel loads");
        let entry = module.entry(case.kernel).expect("the kernel is there");
        for (name, checks, threads) in
            [("all checks, 1 thread", true, 1), ("all checks, 2 threads", true, 2), ("no checks, 1 thread", false, 1)]
        {
            let mut d = Device::new();
            (d.options.check_init, d.options.check_race, d.options.threads) = (checks, checks, threads);
            let bytes: Vec<u8> = (0..SIZE * SIZE).flat_map(|i| value(i).to_le_bytes()).collect();
            let places = ["A", "B", "C"].map(|n| d.memory.alloc(bytes.len() as u64, n).expect("memory"));
            d.memory.write(places[0], &bytes).expect("A is written");
            d.memory.write(places[1], &bytes).expect("B is written");
            let params = (case.params)(places);
            let tiles = SIZE as u32 / case.tile;
            let grid = Dim3::new(tiles, tiles, 1);
            let mut by_processor = Vec::new();
            let mut rates: Vec<f64> = (0..RUNS)
                .map(|_| {
                    let (start, got) = (Instant::now(), processor_s());
                    let r = d.launch(entry, grid, Dim3::x(case.threads), case.shared, &params).expect("the launch");
                    let s = start.elapsed().as_secs_f64();
                    if let (1, Some(from), Some(to)) = (threads, got, processor_s()) {
                        by_processor.push((SIZE as f64).powi(3) / (to - from) / 1e9);
                    }
                    assert!(r.clean(), "{:?}", r.findings);
                    assert_eq!(r.counters.issued_macs, (SIZE as u64).pow(3));
                    (SIZE as f64).powi(3) / s / 1e9
                })
                .collect();
            rates.sort_by(f64::total_cmp);
            by_processor.sort_by(f64::total_cmp);
            let got = by_processor
                .get(RUNS / 2)
                .map_or(String::new(), |r| format!("; {r:.3} GMAC for each second of processor time"));
            let mut out = vec![0; bytes.len()];
            d.memory.read(places[2], &mut out).expect("C is read");
            // One row and one column of C, so that a wrong product does not pass for a fast one.
            for i in (0..SIZE).map(|x| x * SIZE + 3).chain(0..SIZE) {
                let want: u32 = (0..SIZE).map(|k| number(i / SIZE * SIZE + k) * number(k * SIZE + i % SIZE)).sum();
                assert_eq!(f32_of(u16::from_le_bytes([out[2 * i], out[2 * i + 1]])), want as f32, "element {i}");
            }
            println!(
                "{}, {name}: {:.3} GMAC/s, median of {RUNS} from {:.3} to {:.3}{got}",
                case.name,
                rates[RUNS / 2],
                rates[0],
                rates[RUNS - 1]
            );
        }
    }
}

/// Processor time that this thread has had, in seconds, where the system tells: on a shared machine it is what compares.
fn processor_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// A positive half, rounded as hardware does where the sum needs it: sums here stay below 2048 and are exact.
fn f32_of(h: u16) -> f32 {
    if h == 0 { 0.0 } else { f32::from_bits((u32::from(h) << 13) + (112 << 23)) }
}
