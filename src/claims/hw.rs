//! What is said of Hopper and Blackwell in particular.

use super::bench::{Bench, EDGE, MIDDLE_TILE, Need, Pick, WAVE_TILE, padded, strides};
use super::experiment::{Comparison, Held, Per, Question, at_least, no_more_than};
use super::fk::by_tiles;
use super::{Claim, Reference};
use crate::problem::Problem;

const DRIVER: Reference = Reference { title: "CUDA Driver API, tensor maps", author: "NVIDIA", year: "2024" };
const CUTLASS: Reference = Reference { title: "CUTLASS documentation at 7107b05", author: "NVIDIA", year: "2025" };
const FAST: Reference = Reference { title: "fast.cu", author: "Pranjal Shankhdhar", year: "2024" };
const INDUCTOR: Reference =
    Reference { title: "Inductor, pull requests 98975 and 133939", author: "PyTorch", year: "2024" };

/// The claims.
pub const CLAIMS: &[Claim] = &[
    Claim {
        id: "HW-01",
        title: "tensor maps need strides of 16 bytes",
        sentence: "A kernel on tensor copies cannot run where a row is no multiple of 16 bytes, and what replaces it is slower.",
        source: DRIVER,
        on_cpu: false,
        plan: hw01,
        facts: None,
    },
    Claim {
        id: "HW-02",
        title: "16 bytes, not 128, on Hopper",
        sentence: "On Hopper and Blackwell, rows at 16 bytes are all that a kernel on tensor copies asks for.",
        source: CUTLASS,
        on_cpu: false,
        plan: hw02,
        facts: None,
    },
    Claim {
        id: "HW-03",
        title: "a hand-written kernel beats the library",
        sentence: "A kernel of 128x256 tiles, two consumer warpgroups and clusters of two beats the library at 4096 and 8192.",
        source: FAST,
        on_cpu: false,
        plan: hw03,
        facts: None,
    },
    Claim {
        id: "HW-04",
        title: "128 CTAs are as good as 132",
        sentence: "Four multiprocessors left idle cost a persistent kernel nothing where the others have as many tiles to do either way, as 128 of 132 \
                   have at 8192.",
        source: FAST,
        on_cpu: false,
        plan: hw04,
        facts: None,
    },
    Claim {
        id: "HW-05",
        title: "the library uses Tensor Cores at any alignment",
        sentence: "From version 11 on the library uses Tensor Cores at any alignment.",
        source: INDUCTOR,
        on_cpu: false,
        plan: hw05,
        facts: None,
    },
    Claim {
        id: "HW-06",
        title: "padding to 128 bytes matters for long rows only",
        sentence: "Rows need 128 bytes of alignment from about 1024 elements on, and not below.",
        source: INDUCTOR,
        on_cpu: true,
        plan: hw06,
        facts: None,
    },
    Claim {
        id: "HW-07",
        title: "stream-K removes the wave's tail",
        sentence: "A kernel that divides the last wave's work among all multiprocessors loses little to it.",
        source: CUTLASS,
        on_cpu: false,
        plan: hw07,
        facts: None,
    },
];

const HOPPER: Pick = Pick::Unit("wgmma");

fn square(bench: &Bench) -> Problem {
    let s = bench.size(4096, 384, 128);
    Problem::new(s, s, s)
}

fn hw01(bench: &Bench) -> Result<Vec<Question>, Need> {
    let p = square(bench);
    let held = [Held::Sizes];
    // The very same result with rows that tensor copies cannot take.
    let comparison =
        bench.compare(Per::Launch, &held, (padded(p, 64), HOPPER), (padded(p, 62), Pick::Tile(MIDDLE_TILE)))?;
    Ok(vec![Question::mean("what runs at rows of 4 bytes costs more", at_least(1.05, 1.0), vec![comparison])])
}

fn hw02(bench: &Bench) -> Result<Vec<Question>, Need> {
    let p = square(bench);
    let held = [Held::Variant, Held::Sizes, Held::Tiles, Held::Alignment];
    let comparisons = [8, 24, 40]
        .into_iter()
        .map(|off| bench.compare(Per::Launch, &held, (padded(p, 64), HOPPER), (padded(p, 64 + off), HOPPER)))
        .collect::<Result<Vec<Comparison>, Need>>()?;
    Ok(vec![Question::mean("rows at 16 bytes cost what rows at 128 do", no_more_than(0.01, 0.03), comparisons)])
}

fn hw03(bench: &Bench) -> Result<Vec<Question>, Need> {
    let comparisons = [4096, 8192]
        .into_iter()
        .map(|s| {
            let p = Problem::new(s, s, s);
            let own = Pick::Route("persistent", WAVE_TILE, 2);
            bench.compare(Per::Launch, &[Held::Sizes, Held::Alignment], (p, own), (p, Pick::Baseline))
        })
        .collect::<Result<Vec<Comparison>, Need>>()?;
    // Half of the published gain, which is 6.6 % at 4096 and 1.6 % at 8192; a draw is no win.
    Ok(vec![Question::mean("the library takes longer", at_least(1.02, 1.0), comparisons)])
}

fn hw04(bench: &Bench) -> Result<Vec<Question>, Need> {
    // Sixteen rounds for each multiprocessor, and sixteen for all but four of them.
    let (units, rounds) = (bench.units(), bench.size(16, 1, 4));
    let idle = if units > 16 { 4 } else { 1 };
    let comparisons = by_tiles(bench, rounds * units, rounds * (units - idle))?;
    let asks = format!("the tiles of {} multiprocessors take as long as those of {units}", units - idle);
    Ok(vec![Question::mean(asks, no_more_than(0.01, 0.03), comparisons)])
}

fn hw07(bench: &Bench) -> Result<Vec<Question>, Need> {
    // Two tiles for each multiprocessor, which is what this tile's CTAs fill, and a column of tiles more.
    let (rows, columns) = bench.full_wave();
    let k = bench.size(EDGE, 512, 256);
    let [m, n] = MIDDLE_TILE.map(u64::from);
    let at = |more: u64| {
        let ld = (2 * columns + 1) * n;
        strides(Problem::new(rows * m, 2 * columns * n + more, k), k, ld, ld)
    };
    let pair = |pick| {
        let held = [Held::Variant, Held::Alignment];
        bench.compare(Per::Launch, &held, (at(0), pick), (at(8), pick)).map(|c| vec![c])
    };
    Ok(vec![
        Question::mean(
            "with a tile for each CTA a tail after two tiles a multiprocessor costs about half as much again",
            at_least(1.25, 1.08),
            pair(Pick::Tile(MIDDLE_TILE))?,
        )
        .premise(),
        // A third of the half, and two thirds.
        Question::mean(
            "with stream-K it does not",
            no_more_than(0.17, 0.33),
            pair(Pick::Route("split_k", MIDDLE_TILE, 1))?,
        ),
    ])
}

fn hw05(bench: &Bench) -> Result<Vec<Question>, Need> {
    let p = Problem::new(4096, 4096, 4096);
    let held = [Held::Variant, Held::Sizes];
    let comparison =
        bench.compare(Per::Launch, &held, (padded(p, 64), Pick::Baseline), (padded(p, 63), Pick::Baseline))?;
    // On the FP32 units it would take eight times as long and more.
    Ok(vec![Question::mean("odd rows take less than four times as long", no_more_than(1.5, 3.0), vec![comparison])])
}

fn hw06(bench: &Bench) -> Result<Vec<Question>, Need> {
    let pick = Pick::Class(MIDDLE_TILE, 16);
    let held = [Held::Variant, Held::Sizes, Held::Tiles, Held::Alignment];
    let pair = |s: u64| {
        let p = Problem::new(s, s, s);
        bench.compare(Per::Launch, &held, (padded(p, 64), pick), (padded(p, 72), pick)).map(|c| vec![c])
    };
    let [short, long] = [bench.size(512, 384, 64), bench.size(4096, 1024, 128)];
    Ok(vec![
        Question::mean(
            format!("rows of {long} elements cost more at 16 bytes than at 128"),
            at_least(1.02, 1.005),
            pair(long)?,
        ),
        Question::mean(format!("rows of {short} do not"), no_more_than(0.02, 0.05), pair(short)?),
    ])
}
