//! What an odd leading dimension costs here, with the library alone: one problem in two placements, checked, and measured in turn.
//!
//! ```console
//! $ cargo run --release --example odd_stride -- 512 512 512
//! ```

use gemmscope::data::Distribution;
use gemmscope::device::{self, DeviceChoice, Job};
use gemmscope::dispatch::{Selector, choose};
use gemmscope::measure::{Pace, RunClock, Stopping, block_ratios, measure};
use gemmscope::problem::Problem;
use gemmscope::stats::median_interval;
use gemmscope::verify::{HostReference, check, error_bound, rows_to_check};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let sizes: Vec<u64> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let (m, n, k) = match sizes[..] {
        [] => (256, 256, 256),
        [m, n, k] => (m, n, k),
        _ => return Err("usage: odd_stride [M N K]".into()),
    };
    let aligned = Problem { lda: k.next_multiple_of(128), ..Problem::new(m, n, k) };
    let odd = Problem { lda: aligned.lda + 1, ..aligned };

    // The first GPU, or the CPU where there is none.
    let device = device::open(DeviceChoice::Auto)?;
    println!("{}", device.info().record.name);
    let distribution = Distribution::Uniform;
    let tables = distribution.tables(aligned.dtype);
    let seed = 1;
    let mut prepared = Vec::new();
    for problem in [&aligned, &odd] {
        problem.validate()?;
        let choice = choose(problem, &Selector::Auto, device.info())?;
        println!("lda {}: {}/{}, {}", problem.lda, choice.kernel.name, choice.variant.name, choice.why);
        // Copies of the operands that exceed the cache three times over: each launch finds its own in memory.
        let rotate_bytes = device.info().cold_bytes();
        let job = Job { problem, kernel: choice.kernel, variant: choice.variant, tables: &tables, seed, rotate_bytes };
        let mut arm = device.prepare(&job)?;

        // A number for a wrong result is worth nothing.
        arm.launch()?;
        let rows = rows_to_check(problem, 1 << 24, seed);
        let bound = error_bound(problem, &choice.kernel.unit, distribution);
        let found = check(arm.as_mut(), 0, problem, &bound, &rows, seed, &mut HostReference::default())?;
        println!("  {} of {} elements are right", found.elements, found.of);
        prepared.push(arm);
    }

    let measured =
        measure(device.as_ref(), &mut prepared, Pace::Steady, &Stopping::default(), &mut RunClock::starting_at(0))?;
    for (problem, arm) in [&aligned, &odd].into_iter().zip(&measured) {
        let ns = arm.time_ns.median;
        println!("lda {}: {ns:.0} ns, {:.4} TFLOP/s", problem.lda, problem.flop() as f64 / ns * 1e-3);
    }
    // Throughput of the odd one over the aligned one, from samples taken A B B A, so that drift cancels.
    let ratios = block_ratios(&measured[0].samples, &measured[1].samples);
    match median_interval(&ratios) {
        Some(ratio) => println!("odd over aligned: {:.3} ({:.3} to {:.3})", ratio.median, ratio.lo, ratio.hi),
        None => println!("odd over aligned: too few samples for an interval"),
    }
    Ok(())
}
