//! Folklore from commits, issues, papers and talks.

use super::bench::{Bench, EDGE, EDGE_16, MIDDLE_TILE, Need, Pick, WAVE_TILE, compact, need, padded, strides};
use super::experiment::{Comparison, Evidence, Held, Per, Question, at_least, no_more_than};
use super::facts::{Fact, waves};
use super::{Claim, Reference};
use crate::problem::{DType, Layout, Problem};

const fn by(title: &'static str, author: &'static str, year: &'static str) -> Reference {
    Reference { title, author, year }
}

/// The claims.
pub const CLAIMS: &[Claim] = &[
    Claim {
        id: "FK-01",
        title: "a vocabulary of 50304 in place of 50257",
        sentence: "Padding a vocabulary of 50257 to 50304 makes the last layer much faster, although it multiplies more.",
        source: by("nanoGPT, commit 77e7e04c", "Andrej Karpathy", "2023"),
        on_cpu: true,
        plan: fk01,
        facts: Some(|| {
            vec![Fact::near(
                "both take 393 columns of tiles of 128",
                50304.0 / 128.0,
                50257u64.div_ceil(128) as f64,
                0.0,
            )]
        }),
    },
    Claim {
        id: "FK-02",
        title: "a hidden size of 10944 in place of 10922",
        sentence: "On H100 a depth of 10922 runs at two thirds of the throughput of 10944.",
        source: by("ml-engineering, SwiGLU benchmark", "Stas Bekman", "2024"),
        on_cpu: true,
        plan: fk02,
        facts: None,
    },
    Claim {
        id: "FK-03",
        title: "head sizes in multiples of 64",
        sentence: "An attention head of 80 is less efficient than one of 64 or 128.",
        source: by("The Case for Co-Designing Model Architectures with Hardware", "Anthony et al.", "2024"),
        on_cpu: true,
        plan: fk03,
        facts: None,
    },
    Claim {
        id: "FK-04",
        title: "two more rows and columns, a third less throughput",
        sentence: "A square GEMM that grows past the last one whose tiles fit the device at once loses about a third of its \
                   throughput.",
        source: by("What Shapes Do Matrix Multiplications Like?", "Horace He", "2024"),
        on_cpu: false,
        plan: fk04,
        facts: Some(|| {
            let tiles = |s: u64| waves(s, s, [256, 128], 1);
            vec![
                Fact::near("1791 takes 98 tiles of 256x128", 98.0, tiles(1791), 0.0),
                Fact::near("1793 takes 120, and A100 has 108 SMs", 120.0, tiles(1793), 0.0),
                Fact::near("2048 takes 128 and H100 has 132", 128.0, tiles(2048), 0.0),
                Fact::near("2049 takes 153", 153.0, tiles(2049), 0.0),
            ]
        }),
    },
    Claim {
        id: "FK-05",
        title: "a smaller matrix that is slower",
        sentence: "Alignment, and neither tiles nor waves, makes a smaller GEMM take longer than a larger one.",
        source: by("What Shapes Do Matrix Multiplications Like?", "Horace He", "2024"),
        on_cpu: true,
        plan: fk05,
        facts: None,
    },
    Claim {
        id: "FK-06",
        title: "if 8 does not fit, use 7",
        sentence: "A transformer's micro-batch need not be a power of two: a token costs the same.",
        source: by("ml-engineering", "Stas Bekman", "2024"),
        on_cpu: true,
        plan: fk06,
        facts: None,
    },
    Claim {
        id: "FK-07",
        title: "2047 tokens, three times slower than 2048",
        sentence: "A batched product over 2047 in place of 2048 tokens is three times slower in the library.",
        source: by("MLX issue 2712", "ml-explore", "2025"),
        on_cpu: false,
        plan: fk07,
        facts: None,
    },
    Claim {
        id: "FK-08",
        title: "padding pays with its copy",
        sentence: "Padding operands to multiples of 8 pays even where they have to be copied for it.",
        source: by("pad_mm in Inductor", "PyTorch", "2024"),
        on_cpu: false,
        plan: fk08,
        facts: None,
    },
    Claim {
        id: "FK-09",
        title: "no penalty at 8193x2501x5008",
        sentence: "On H100 the library runs 8193x2501x5008 as fast as its aligned neighbour.",
        source: by("PyTorch forum and issue threads", "PyTorch", "2024"),
        on_cpu: false,
        plan: fk09,
        facts: None,
    },
    Claim {
        id: "FK-10",
        title: "rows a power of two apart are slow",
        sentence: "Rows that are a multiple of 2048 bytes apart fall into the same cache sets and are slower than with 128 bytes of padding.",
        source: by("oneDNN performance guidelines; llama.cpp", "Intel; AMD", "2024"),
        on_cpu: true,
        plan: fk10,
        facts: None,
    },
    Claim {
        id: "FK-11",
        title: "FP8 needs multiples of 16",
        sentence: "The library refuses FP8 GEMMs whose sizes are no multiples of 16.",
        source: by("float8_experimental issue 121", "PyTorch", "2023"),
        on_cpu: false,
        plan: fk11,
        facts: None,
    },
    Claim {
        id: "FK-12",
        title: "no shape suits every GPU",
        sentence: "No result of practical size fills whole waves on GPUs with 80, 108, 132 and 148 multiprocessors alike.",
        source: by("ModernBERT", "Warner et al.", "2024"),
        on_cpu: true,
        plan: |_| need("nothing more: arithmetic decides"),
        facts: Some(|| {
            let lcm = [80u64, 108, 132, 148].into_iter().fold(1, lcm);
            vec![
                Fact::near("the fewest such tiles are 879120", 879_120.0, lcm as f64, 0.0),
                Fact::holds(
                    "the smallest result that does has 879120 tiles of 128x256, a square of more than 165 000 rows and columns",
                    ((lcm * 128 * 256) as f64).sqrt() > 165_000.0,
                ),
            ]
        }),
    },
    Claim {
        id: "FK-13",
        title: "the fastest shapes are full waves",
        sentence: "The shapes that a brute-force search found fastest fill their last wave almost completely.",
        source: by("ml-engineering, maximum achievable matmul FLOPS", "Stas Bekman", "2024"),
        on_cpu: true,
        plan: |_| need("a search over shapes on each of the devices"),
        facts: Some(|| {
            let fill = |m, n, sms| {
                let w: f64 = waves(m, n, [128, 256], sms);
                w / w.ceil()
            };
            let published = [
                fill(1024, 10240, 108),
                fill(2048, 5120, 108),
                fill(2048, 2048, 132),
                fill(1792, 16128, 148),
                fill(1024, 15360, 132),
                fill(1024, 9216, 132),
            ];
            let full = published.iter().filter(|&&f| f > 0.95).count();
            let instead = format!(
                "{full} of the 6 published best shapes fill more than 95 % of their last wave, and the claim is about all of them"
            );
            vec![
                Fact::near(
                    "of 6 published best shapes all fill more than 95 % of their last wave",
                    6.0,
                    full as f64,
                    0.0,
                )
                .instead(instead),
            ]
        }),
    },
    Claim {
        id: "FK-14",
        title: "more multiprocessors do not help in proportion",
        sentence: "A device with more multiprocessors is faster by the ratio of whole waves, which can be 2 or nothing.",
        source: by("ml-engineering, accelerators", "Stas Bekman", "2025"),
        on_cpu: false,
        plan: fk14,
        facts: Some(|| {
            let gain = |tiles: u64| tiles.div_ceil(148) as f64 / tiles.div_ceil(152) as f64;
            vec![
                Fact::near("152 tiles: 2.0 times", 2.0, gain(152), 0.0),
                Fact::near("296 tiles: 1.0 times", 1.0, gain(296), 0.0),
                Fact::near("3584 tiles: 1.042 times", 1.042, gain(3584), 0.001),
            ]
        }),
    },
];

fn lcm(a: u64, b: u64) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    a / gcd(a, b) * b
}

fn fk01(bench: &Bench) -> Result<Vec<Question>, Need> {
    let (tokens, width) = (bench.size(12 * 1024, 32, 32), bench.size(768, 64, 32));
    let (odd, even) = if bench.size(1, 1, 0) == 1 { (50257, 50304) } else { (497, 512) };
    let pick = Pick::Tile(MIDDLE_TILE);
    let held = [Held::Kernel, Held::Tiles];
    let pair = |p: fn(u64, u64, u64) -> Problem| {
        bench.compare(Per::Launch, &held, (p(tokens, width, even), pick), (p(tokens, width, odd), pick))
    };
    let mut comparisons = vec![
        // Logits, and their gradient by inputs.
        pair(|t, w, v| Problem::new(t, v, w))?,
        pair(Problem::new)?,
    ];
    // The gradient by weights needs the logits' gradient transposed.
    if let Ok(layout) = bench.layout("tn") {
        let weights = |v: u64| (compact(layout, v, width, tokens), pick);
        if let Ok(c) = bench.compare(Per::Launch, &held, weights(even), weights(odd)) {
            comparisons.push(c);
        }
    }
    let logits = |v: u64| (strides(Problem::new(tokens, v, width), width, even, even), pick);
    Ok(vec![
        Question::mean("a vocabulary of 50257 costs more than 50304", at_least(1.3, 1.05), comparisons),
        Question::mean(
            "with the padding in the strides alone it costs the same",
            no_more_than(0.05, 0.15),
            vec![bench.compare(Per::Launch, &held, logits(even), logits(odd))?],
        )
        .aside(),
    ])
}

fn fk02(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 64, 32);
    let pick = Pick::Tile(MIDDLE_TILE);
    let (odd, even) = if bench.size(1, 1, 0) == 1 { (10922, 10944) } else { (122, 128) };
    let at = |k: u64| (Problem::new(s, s, k), pick);
    Ok(vec![Question::mean(
        "a depth of 10922 costs more per FLOP than 10944",
        at_least(1.2, 1.05),
        vec![bench.compare(Per::Flop, &[Held::Kernel, Held::Tiles], at(even), at(odd))?],
    )])
}

fn fk03(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(EDGE, 384, 128);
    let pick = Pick::Tile(MIDDLE_TILE);
    let pair = |a: u64, b: u64| {
        let at = |k: u64| (Problem::new(s, s, k), pick);
        bench.compare(Per::Launch, &[Held::Variant, Held::Alignment], at(a), at(b))
    };
    let asks = "a head of 80 takes longer than what lies between 64 and 128 by its depth";
    let question = Question::mean(asks, at_least(1.03, 1.0), Vec::new());
    Ok(vec![Question { evidence: Evidence::Between(vec![[pair(64, 80)?, pair(128, 80)?]]), ..question }])
}

fn fk04(bench: &Bench) -> Result<Vec<Question>, Need> {
    // The largest square of whole tiles that fits the device at once.
    let [m, n] = WAVE_TILE.map(u64::from);
    let edge = (1..=64).map(|i| i * m.max(n)).rfind(|s| (s / m) * (s / n) <= bench.units());
    let Some(edge) = edge else { return need("a device that holds two tiles of 128x256 at once") };
    // Both are odd, so that their alignment is the same.
    let pick = Pick::Class(WAVE_TILE, 2);
    let at = |s: u64| (Problem::new(s, s, if bench.size(1, 1, 0) == 1 { s } else { 33 }), pick);
    Ok(vec![Question::mean(
        format!("{} costs more per FLOP than {}", edge + 1, edge - 1),
        at_least(1.4, 1.04),
        vec![bench.compare(Per::Flop, &[Held::Variant, Held::Alignment], at(edge - 1), at(edge + 1))?],
    )])
}

fn fk05(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(EDGE_16, 384, 64);
    let pick = Pick::Tile(MIDDLE_TILE);
    let whole = (Problem::new(s, s, s), pick);
    let aligned = (strides(Problem::new(s - 1, s - 1, s - 1), s, s, s), pick);
    Ok(vec![
        Question::mean(
            "a cube one smaller, with odd rows, takes longer",
            at_least(1.02, 1.0),
            vec![bench.compare(
                Per::Launch,
                &[Held::Kernel, Held::Tiles],
                whole,
                (Problem::new(s - 1, s - 1, s - 1), pick),
            )?],
        ),
        Question::mean(
            "with aligned rows it does not",
            no_more_than(0.02, 0.04),
            vec![bench.compare(Per::Launch, &[Held::Variant, Held::Tiles, Held::Alignment], whole, aligned)?],
        )
        .dispensable(),
    ])
}

fn fk06(bench: &Bench) -> Result<Vec<Question>, Need> {
    let (tokens, width, depth) = (bench.size(2048, 64, 16), bench.size(4096, 256, 32), bench.size(EDGE, 256, 32));
    let pick = Pick::Tile(MIDDLE_TILE);
    let pair = |batch: u64| {
        let at = |b: u64| (Problem::new(b * tokens, width, depth), pick);
        bench.compare(Per::Row, &[Held::Variant, Held::Alignment], at(8), at(batch))
    };
    Ok(vec![Question::mean(
        "a token costs the same at batch 7 and 6 as at 8",
        no_more_than(0.02, 0.05),
        vec![pair(7)?, pair(6)?],
    )])
}

fn fk07(bench: &Bench) -> Result<Vec<Question>, Need> {
    let pair = |p: fn(u64) -> Problem| {
        bench.compare(Per::Launch, &[Held::Variant], (p(2048), Pick::Baseline), (p(2047), Pick::Baseline))
    };
    let comparisons = vec![pair(|t| Problem::new(t, t, 128))?, pair(|t| Problem::new(t, 128, t))?];
    // Half of the claimed 200 % more, and a tenth of it.
    Ok(vec![Question::mean("2047 tokens cost more than 2048", at_least(2.0, 1.2), comparisons)])
}

fn fk08(bench: &Bench) -> Result<Vec<Question>, Need> {
    let held = [Held::Sizes, Held::Alignment];
    // Odd rows of A and B: loads of 2 bytes, or two copies first and then loads of 16.
    let comparisons = [bench.size(2048, 384, 128), bench.size(4096, 512, 256)]
        .into_iter()
        .map(|s| {
            let p = Problem::new(s - 1, s - 1, s - 1);
            bench.compare(Per::Launch, &held, (p, Pick::Route("pack", MIDDLE_TILE, 1)), (p, Pick::Tile(MIDDLE_TILE)))
        })
        .collect::<Result<Vec<Comparison>, Need>>()?;
    // A tenth is what pad_mm asks for before it pads.
    Ok(vec![Question::mean("odd rows cost more than copying them to aligned ones", at_least(1.1, 1.0), comparisons)])
}

fn fk09(bench: &Bench) -> Result<Vec<Question>, Need> {
    let pair = |p: fn(u64, u64) -> Problem| {
        bench.compare(Per::Flop, &[Held::Variant], (p(8192, 2496), Pick::Baseline), (p(8193, 2501), Pick::Baseline))
    };
    // The report does not say which of the three is which, so both readings are tried.
    let comparisons = vec![pair(|a, b| Problem::new(a, b, 5008))?, pair(|a, b| Problem::new(a, 5008, b))?];
    Ok(vec![Question::mean("the unaligned shape costs the same per FLOP", no_more_than(0.03, 0.1), comparisons)])
}

/// Rows of tiles of [`by_tiles`]: enough that no device is kept waiting by its memory.
pub fn tile_rows(bench: &Bench) -> u64 {
    if bench.units() >= 16 { 8 } else { 2 }
}

/// A result of so many tiles, a multiple of [`tile_rows`], on CTAs that stay where they are; each on one that leaves, where the device has
/// no persistent kernel.
fn in_tiles(bench: &Bench, count: u64) -> Result<(Problem, Pick), Need> {
    let [m, n] = WAVE_TILE.map(u64::from);
    let stays = Pick::Route("persistent", WAVE_TILE, 1);
    let rows = tile_rows(bench);
    let p = Problem::new(rows * m, count / rows * n, bench.size(EDGE, 512, 128));
    let pick = if bench.arm(p, stays).is_ok() { stays } else { Pick::Tile(WAVE_TILE) };
    Ok((p, pick))
}

/// The problem of `from` tiles against that of `to`, by launch.
pub fn by_tiles(bench: &Bench, from: u64, to: u64) -> Result<Vec<Comparison>, Need> {
    let held = [Held::Variant, Held::Alignment];
    bench.compare(Per::Launch, &held, in_tiles(bench, from)?, in_tiles(bench, to)?).map(|c| vec![c])
}

fn fk14(bench: &Bench) -> Result<Vec<Question>, Need> {
    // Fewer multiprocessors cannot be had on one device, but more tiles can: what counts is how many each has to do.
    let (units, step) = (bench.units(), tile_rows(bench));
    let [one, two] = [units / step * step, 2 * units / step * step];
    Ok(vec![
        Question::mean(
            format!("{} tiles on {units} multiprocessors take twice as long as {one}", one + step),
            at_least(1.7, 1.2),
            by_tiles(bench, one, one + step)?,
        ),
        Question::mean(
            format!("{two} tiles take as long as {}", two - step),
            no_more_than(0.03, 0.1),
            by_tiles(bench, two - step, two)?,
        ),
    ])
}

fn fk10(bench: &Bench) -> Result<Vec<Question>, Need> {
    let pick = Pick::Class(MIDDLE_TILE, 16);
    let held = [Held::Variant, Held::Sizes, Held::Tiles, Held::Alignment, Held::Lines];
    let (n, ld) = (bench.size(4096, 512, 64), bench.size(4096, 4096, 1024));
    let batches: &[u64] = if bench.size(1, 1, 0) == 1 { &[16, 512] } else { &[16] };
    let comparisons = batches
        .iter()
        .map(|&m| {
            let p = strides(Problem::new(m, n, n), ld, ld, ld);
            bench.compare(Per::Launch, &held, (padded(p, 64), pick), (p, pick))
        })
        .collect::<Result<Vec<Comparison>, Need>>()?;
    Ok(vec![Question::mean(
        "rows a power of two apart cost more than with padding",
        at_least(1.02, 1.005),
        comparisons,
    )])
}

fn fk11(bench: &Bench) -> Result<Vec<Question>, Need> {
    const FP8_CC: u32 = 89;
    let cc = bench.device().cc;
    if cc < FP8_CC {
        return need(format!("compute capability 8.9 for FP8; the device has {}.{}", cc / 10, cc % 10));
    }
    let s = bench.size(4096, 384, 128);
    let off = s - 8;
    // The one layout in which the library multiplies FP8 at all.
    let p = |m, n, k| Problem::new(m, n, k).in_form(Layout::Nt, DType::E4m3);
    // Sizes of rows take their strides along; the last has rows as its aligned neighbour has them, so that only the size is left.
    let awkward = [p(off, s, s), p(s, off, s), p(s, s, off), Problem { lda: s, ldb: s, ..p(s, s, off) }];
    let arm = |p: Problem| bench.arm(p, Pick::Baseline);
    Ok(vec![Question::refused(
        "the library refuses FP8 where m, n or k is no multiple of 16",
        vec![arm(p(s, s, s))?],
        awkward.into_iter().map(arm).collect::<Result<_, Need>>()?,
    )])
}
