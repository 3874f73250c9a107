//! What chance does to the kernels: in any order of warps and copies they are right and nothing is said against them; with one
//! random change the emulator still ends, with a result, a finding or an error.

use gemmscope_proof::{How, Problem, Variant, on_two_threads, random, routed, variants};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Orders in which every plain variant runs.
const ORDERS: u64 = 50;

/// Orders in which every variant on another route runs, whose problems are larger.
const ORDERS_ROUTED: u64 = 6;

/// Random changes of every variant.
const CHANGES: u64 = 24;

/// Far more than any of the launches here takes; the limit of instructions is what ends those that never would.
const HANGS_AFTER: Duration = Duration::from_secs(120);

#[test]
fn the_catalogue_gives_both_types_and_more_than_one_layout() {
    for bf16 in [false, true] {
        assert!(variants().iter().any(|v| v.bf16 == bf16 && v.transposed == [false, false]), "bf16: {bf16}");
    }
    assert!(variants().iter().any(|v| v.transposed[0]), "none with A transposed");
    assert!(variants().iter().all(|v| !v.entry.contains('{')), "a placeholder is left");
}

#[test]
fn fifty_random_orders_of_every_variant_are_clean() {
    let orders: Vec<_> = variants().iter().flat_map(|v| (1..=ORDERS).map(move |seed| (v, seed))).collect();
    let wrong = on_two_threads(&orders, |(variant, seed)| {
        let [m, n, k] = variant.tile.map(|t| t as usize);
        // Less than a tile, more steps than stages, and now and then a second tile.
        let sizes = match seed % 6 {
            0 => [m + 1, n / 8 + 5, k + 1],
            1 | 2 => [m / 8 + 1, n / 4 + 3, 7 * k + 1],
            _ => [m / 4 + 1, n / 4 + 3, 3 * k + 5],
        };
        let (beta, pad) = ((seed / 2 % 2) as f32, (seed % 9) as usize);
        let problem = Problem { seed: *seed, beta, pad, offset_c: (seed % 8) as usize, ..Problem::new(sizes) };
        let outcome = problem.run(variant, &variant.ptx).expect("it ships");
        (!outcome.clean()).then(|| format!("{} {problem:?}: {outcome:?}", variant.name))
    });
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), orders.len(), wrong.join("\n"));
}

/// A problem with tails on all sides for a variant that needs more than a plain launch, and now and then a second tile.
fn routed_problem(variant: &Variant, seed: u64) -> Problem {
    let [m, n, k] = variant.tile.map(|t| t as usize);
    let sizes = match variant.how {
        // Few rows (columns) against many, and k in several shares.
        How::Vectors { rows: true, .. } => [1 + seed as usize % 8, n + 37, 2100],
        How::Vectors { rows: false, .. } => [2 * m + 5, 1 + seed as usize % 8, 1030],
        // Eight classes, of which some have fewer rows than others.
        How::Absorb(_) if seed.is_multiple_of(2) => [m + 3, n / 2 + 11, 2 * k + 5],
        _ if seed.is_multiple_of(3) => [m + 1, n / 2 + 5, 3 * k + 1],
        _ => [m / 2 + 1, n + 3, 7 * k + 5],
    };
    let (beta, pad) = ((seed / 2 % 2) as f32, (seed % 9) as usize);
    Problem { seed, beta, pad, offset_c: (seed % 8) as usize, ..Problem::new(sizes) }
}

#[test]
fn random_orders_of_every_other_route_are_clean() {
    let of = |how: fn(&How) -> bool| routed().iter().filter(|v| how(&v.how)).count();
    let routes: [fn(&How) -> bool; 6] = [
        |how| matches!(how, How::Maps(maps) if maps.cluster == 2),
        |how| matches!(how, How::Maps(maps) if maps.cluster == 1),
        |how| matches!(how, How::Absorb(_)),
        |how| matches!(how, How::Split(half) if half.second),
        |how| matches!(how, How::Vectors { .. }),
        |how| matches!(how, How::Pack { .. }),
    ];
    assert!(routes.iter().all(|&how| of(how) > 0), "a route is gone: {:?}", routes.map(of));
    let orders: Vec<_> = routed().iter().flat_map(|v| (1..=ORDERS_ROUTED).map(move |seed| (v, seed))).collect();
    let wrong = on_two_threads(&orders, |(variant, seed)| {
        let problem = routed_problem(variant, *seed);
        let outcome = problem.run(variant, &variant.ptx).expect("it ships");
        (!outcome.clean()).then(|| format!("{} {problem:?}: {outcome:?}", variant.name))
    });
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), orders.len(), wrong.join("\n"));
}

#[test]
fn a_random_change_never_makes_the_emulator_panic_or_hang() {
    let (done, finished) = channel();
    std::thread::spawn(move || {
        let changes: Vec<_> = variants().iter().flat_map(|v| (0..CHANGES).map(move |seed| (v, seed))).collect();
        let panics = on_two_threads(&changes, |(variant, seed)| {
            let (text, change) = random(&variant.ptx, *seed);
            let [m, n, k] = variant.tile.map(|t| t as usize);
            let problem = Problem { max_instructions: 1 << 16, ..Problem::new([m / 4 + 3, n / 4 + 5, 4 * k + 3]) };
            let run = std::panic::AssertUnwindSafe(|| drop(problem.run(variant, &text)));
            std::panic::catch_unwind(run).err().map(|_| format!("{}, {change}", variant.name))
        });
        // Nobody listens any more where it took too long.
        let _ = done.send(panics);
    });
    let panics = finished.recv_timeout(HANGS_AFTER).expect("it never came to an end");
    assert!(panics.is_empty(), "{}", panics.join("\n"));
}
