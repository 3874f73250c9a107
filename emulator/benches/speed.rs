//! How fast the interpreter is: a product of 512x512x512 on the tensor cores with every check, on one and on two host threads.
//!
//! `cargo bench -p gpu-emulator` prints multiply-adds a second, and fails where a result is wrong or something is found.

use std::time::Instant;

use gpu_emulator::{Device, Dim3, Module};

const SIZE: usize = 512;
const RUNS: usize = 5;

fn value(i: usize) -> u16 {
    // Zero to three, as halves.
    [0, 0x3c00, 0x4000, 0x4200][(i * 7 + i / 13) % 4]
}
fn number(i: usize) -> u32 {
    ((i * 7 + i / 13) % 4) as u32
}

fn main() {
    let module = Module::load(include_str!("../tests/data/speed.ptx")).expect("the kernel loads");
    let entry = module.entry("product").expect("the kernel is there");
    for (name, checks, threads) in
        [("all checks, 1 thread", true, 1), ("all checks, 2 threads", true, 2), ("no checks, 1 thread", false, 1)]
    {
        let mut d = Device::new();
        (d.options.check_init, d.options.check_race, d.options.threads) = (checks, checks, threads);
        let bytes: Vec<u8> = (0..SIZE * SIZE).flat_map(|i| value(i).to_le_bytes()).collect();
        let [a, b, c] = ["A", "B", "C"].map(|n| d.memory.alloc(bytes.len() as u64, n).expect("memory"));
        d.memory.write(a, &bytes).expect("A is written");
        d.memory.write(b, &bytes).expect("B is written");
        let mut params: Vec<u8> = [a, b, c].iter().flat_map(|p| p.to_le_bytes()).collect();
        params.extend([SIZE as u32; 2].iter().flat_map(|n| n.to_le_bytes()));
        let tiles = (SIZE / 128) as u32;
        let mut rates: Vec<f64> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                let r = d.launch(entry, Dim3::new(tiles, tiles, 1), Dim3::x(256), 0, &params).expect("the launch");
                let s = start.elapsed().as_secs_f64();
                assert!(r.clean(), "{:?}", r.findings);
                assert_eq!(r.counters.issued_macs, (SIZE as u64).pow(3));
                (SIZE as f64).powi(3) / s / 1e9
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let mut out = vec![0; bytes.len()];
        d.memory.read(c, &mut out).expect("C is read");
        // One row and one column of C, so that a wrong product does not pass for a fast one.
        for i in (0..SIZE).map(|x| x * SIZE + 3).chain(0..SIZE) {
            let want: u32 = (0..SIZE).map(|k| number(i / SIZE * SIZE + k) * number(k * SIZE + i % SIZE)).sum();
            assert_eq!(f32_of(u16::from_le_bytes([out[2 * i], out[2 * i + 1]])), want as f32, "element {i}");
        }
        println!(
            "{name}: {:.3} GMAC/s, median of {RUNS} from {:.3} to {:.3}",
            rates[RUNS / 2],
            rates[0],
            rates[RUNS - 1]
        );
    }
}

/// A positive half, rounded as hardware does where the sum needs it: sums here stay below 2048 and are exact.
fn f32_of(h: u16) -> f32 {
    if h == 0 { 0.0 } else { f32::from_bits((u32::from(h) << 13) + (112 << 23)) }
}
