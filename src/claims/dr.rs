//! This project's own hypotheses: they set alignment apart from tiles and waves.

use super::bench::{Bench, MIDDLE_TILE, Need, Pick, SMALL_TILE, compact, padded, strides};
use super::experiment::{Comparison, Evidence, Held, Per, Question, Weight, at_least, no_more_than};
use super::{Claim, Reference};
use crate::problem::Problem;

const OURS: Reference = Reference { title: "hypotheses derived in this project", author: "gemmscope", year: "2026" };

/// The hypotheses.
pub const CLAIMS: &[Claim] = &[
    Claim {
        id: "DR-01",
        title: "the batch costs tiles, never alignment",
        sentence: "With row-major activations the batch is contiguous in no GEMM of a layer, so an odd batch costs nothing within a tile.",
        source: OURS,
        on_cpu: true,
        plan: dr01,
        facts: None,
    },
    Claim {
        id: "DR-02",
        title: "four plateaus of alignment",
        sentence: "Rows at 16, 8, 4 and 2 bytes are four plateaus of cost, because these are the widths of loads; above 16 bytes there \
                   is none.",
        source: OURS,
        on_cpu: true,
        plan: dr02,
        facts: None,
    },
    Claim {
        id: "DR-03",
        title: "small tiles suffer more from narrow loads",
        sentence: "The penalty of misaligned rows is larger with small tiles, which load more bytes per FLOP.",
        source: OURS,
        on_cpu: false,
        plan: dr03,
        facts: None,
    },
    Claim {
        id: "DR-04",
        title: "while memory limits, misalignment costs instructions and no bytes",
        sentence: "At small batches the same narrow loads cost the same from misaligned as from aligned rows.",
        source: OURS,
        on_cpu: true,
        plan: dr04,
        facts: None,
    },
    Claim {
        id: "DR-05",
        title: "the roofline with whole waves explains the times",
        sentence: "Roofline and whole waves explain 90 % of the variance of times over random aligned shapes.",
        source: OURS,
        on_cpu: false,
        plan: super::fit::plan,
        facts: None,
    },
    Claim {
        id: "DR-06",
        title: "powers of two are nothing special",
        sentence: "Once alignment, tiles and waves are the same, a power of two costs what its neighbours cost.",
        source: OURS,
        on_cpu: true,
        plan: dr06,
        facts: None,
    },
];

fn dr01(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 384, 64);
    let pick = Pick::Tile(MIDDLE_TILE);
    let forward = |m: u64| (Problem::new(m, s, s), pick);
    let held = [Held::Variant, Held::Tiles, Held::Alignment];
    let mut questions = vec![Question::mean(
        "a batch of 8 i + 1 costs what 8 i costs",
        no_more_than(0.01, 0.03),
        [(s - 8, s - 7), (s - 16, s - 15)]
            .into_iter()
            .map(|(a, b)| bench.compare(Per::Launch, &held, forward(a), forward(b)))
            .collect::<Result<Vec<Comparison>, Need>>()?,
    )];
    // The contrast: activations stored by column, where the batch is contiguous.
    if let (Ok(layout), false) = (bench.layout("tn"), bench.is_cpu()) {
        let columns = |m: u64| (compact(layout, m, s, s), pick);
        if let Ok(pair) = bench.compare(Per::Launch, &[Held::Kernel, Held::Tiles], columns(s - 8), columns(s - 7)) {
            questions.push(
                Question::mean("stored by column it does not", at_least(1.05, 1.02), vec![pair])
                    .dispensable()
                    .premise(),
            );
        }
    }
    Ok(questions)
}

/// Rows `off` elements beyond a multiple of 128 bytes against `from` beyond one.
fn rows(bench: &Bench, p: Problem, from: (u64, Pick), to: (u64, Pick), held: &[Held]) -> Result<Comparison, Need> {
    bench.compare(Per::Launch, held, (padded(p, 64 + from.0), from.1), (padded(p, 64 + to.0), to.1))
}

fn dr02(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 384, 64);
    let p = Problem::new(s, s, s);
    let pick = Pick::Tile(MIDDLE_TILE);
    let step = |from: u64, to: u64| {
        rows(bench, p, (from, pick), (to, pick), &[Held::Kernel, Held::Sizes, Held::Tiles]).map(|c| vec![c])
    };
    let wide = |from: u64, to: u64| {
        let held = [Held::Variant, Held::Sizes, Held::Tiles, Held::Alignment];
        rows(bench, p, (from, pick), (to, pick), &held).map(|c| vec![c])
    };
    let rule = at_least(1.02, 1.005);
    Ok(vec![
        Question::mean("8 bytes cost more than 16", rule, step(8, 4)?),
        Question::mean("4 bytes cost more than 8", rule, step(4, 2)?),
        Question::mean("2 bytes cost more than 4", rule, step(2, 1)?),
        Question::mean("16 bytes cost what 32 cost", no_more_than(0.02, 0.04), wide(16, 8)?),
        Question::mean("32 bytes cost what 128 cost", no_more_than(0.01, 0.03), wide(0, 16)?),
    ])
}

fn dr03(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 384, 128);
    let p = Problem::new(s, s, s);
    let penalty = |tile| {
        let held = [Held::Kernel, Held::Sizes, Held::Tiles];
        rows(bench, p, (8, Pick::Class(tile, 16)), (9, Pick::Class(tile, 2)), &held).map(|c| vec![c])
    };
    Ok(vec![Question {
        asks: "odd rows cost more with 64x64 tiles than they do with 128x128".to_owned(),
        evidence: Evidence::Mean { comparisons: penalty(SMALL_TILE)?, less: penalty(MIDDLE_TILE)? },
        rule: at_least(1.05, 1.01),
        clock_is_effect: false,
        dispensable: false,
        weight: Weight::Claimed,
    }])
}

fn dr04(bench: &Bench) -> Result<Vec<Question>, Need> {
    let (m, s) = (bench.size(16, 4, 16), bench.size(4096, 512, 128));
    let p = Problem::new(m, s, s);
    let narrow = Pick::Class(SMALL_TILE, 2);
    let held = [Held::Variant, Held::Sizes, Held::Tiles, Held::Regime];
    Ok(vec![Question::mean(
        "with the same loads, odd rows cost what aligned rows cost",
        no_more_than(0.02, 0.05),
        vec![rows(bench, p, (0, narrow), (1, narrow), &held)?],
    )])
}

fn dr06(bench: &Bench) -> Result<Vec<Question>, Need> {
    let pick = Pick::Tile(MIDDLE_TILE);
    // On a CPU the library's own blocking is not ours to hold, so work is compared per FLOP, on either side of the power.
    let (per, held) = if bench.is_cpu() {
        (Per::Flop, vec![Held::Variant, Held::Alignment])
    } else {
        (Per::Launch, vec![Held::Variant, Held::Alignment, Held::Lines, Held::Tiles])
    };
    let powers: &[u64] = match (bench.is_cpu(), bench.size(1, 1, 0)) {
        (true, _) => &[128, 256, 512],
        (_, 1) => &[1024, 2048, 4096, 8192],
        _ => &[64, 128],
    };
    let mut comparisons = Vec::new();
    for &power in powers {
        // On a GPU a neighbour's rows begin at whole cache lines, as the power's do, and are no power of two apart.
        let apart = |own: u64| if bench.is_cpu() || own == power { own } else { power + 64 };
        let cube = |s: u64| (strides(Problem::new(s, s, s), apart(s), apart(s), apart(s)), pick);
        let batch = |s: u64| (Problem::new(s, power, power), pick);
        // A cube of 1024 or 2048 has more than 1 % more FLOP than its neighbour, so that by launch only one side may change.
        if bench.is_cpu() || !(512..4096).contains(&power) {
            comparisons.push(bench.compare(per, &held, cube(power - 8), cube(power))?);
        } else {
            let depth = |s: u64| (strides(Problem::new(power, power, s), apart(s), power, power), pick);
            comparisons.push(bench.compare(per, &held, depth(power - 8), depth(power))?);
        }
        comparisons.push(bench.compare(per, &held, batch(power - 8), batch(power))?);
        if bench.is_cpu() {
            comparisons.push(bench.compare(per, &held, cube(power + 8), cube(power))?);
        }
    }
    Ok(vec![Question::mean("a power of two costs what its neighbours cost", no_more_than(0.01, 0.03), comparisons)])
}
