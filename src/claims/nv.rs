//! NVIDIA's guides on matrix multiplication and on fully connected layers.

use super::bench::{
    Bench, EDGE, EDGE_16, MIDDLE_TILE, Need, Pick, SMALL_TILE, WAVE_TILE, compact, need, padded, strides,
};
use super::experiment::{Comparison, Evidence, Held, Per, Question, Weight, at_least, no_more_than};
use super::facts::{Fact, batch_for_intensity, intensity, waves};
use super::{Claim, Reference};
use crate::problem::{Layout, Problem};

const MATMUL: Reference =
    Reference { title: "Matrix Multiplication Background User's Guide, DU-09799-001", author: "NVIDIA", year: "2023" };
const CONNECTED: Reference =
    Reference { title: "Linear/Fully-Connected Layers User's Guide", author: "NVIDIA", year: "2023" };
const CONVOLUTION: Reference = Reference { title: "Convolutional Layers User's Guide", author: "NVIDIA", year: "2023" };
const BACKGROUND: Reference =
    Reference { title: "GPU Performance Background User's Guide", author: "NVIDIA", year: "2023" };
const TIPS: Reference = Reference {
    title: "Tips for Optimizing GPU Performance Using Tensor Cores",
    author: "NVIDIA developer blog",
    year: "2019",
};

/// The claims, in the guides' order.
pub const CLAIMS: &[Claim] = &[
    Claim {
        id: "NV-01",
        title: "arithmetic intensity decides what limits a GEMM",
        sentence: "A GEMM is limited by memory below, and by arithmetic above, an intensity mnk/(mn+nk+mk) equal to the \
                   device's ratio of FLOP to bytes.",
        source: MATMUL,
        on_cpu: false,
        plan: nv01,
        facts: Some(|| {
            vec![
                Fact::near("8192x128x8192 has 124.1 FLOP a byte", 124.12, intensity(8192, 128, 8192), 0.01),
                Fact::near("8192x8192x8192 has 2730.7 FLOP a byte", 2730.67, intensity(8192, 8192, 8192), 0.01),
                Fact::holds("a matrix times a vector has less than 1", intensity(8192, 1, 8192) < 1.0),
            ]
        }),
    },
    Claim {
        id: "NV-02",
        title: "rows aligned to 16 bytes",
        sentence: "FP16 GEMMs run best where every row of A, B and C starts at a multiple of 16 bytes (8 elements).",
        source: MATMUL,
        on_cpu: true,
        plan: nv02,
        facts: None,
    },
    Claim {
        id: "NV-03",
        title: "128 bytes are better than 16",
        sentence: "From A100 on, FP16 dimensions that are multiples of 64 elements (128 bytes) run faster than those that are \
                   multiples of 8 only.",
        source: MATMUL,
        on_cpu: true,
        plan: nv03,
        facts: None,
    },
    Claim {
        id: "NV-04",
        title: "only contiguous dimensions need alignment",
        sentence: "Only the dimensions that are contiguous in memory have to be multiples of 16 bytes.",
        source: MATMUL,
        on_cpu: true,
        plan: nv04,
        facts: None,
    },
    Claim {
        id: "NV-05",
        title: "k in steps of alignment",
        sentence: "A GEMM is fastest where k is a multiple of 8, slower at multiples of 4, slower yet at multiples of 2, and \
                   slowest where k is odd.",
        source: MATMUL,
        on_cpu: true,
        plan: nv05,
        facts: None,
    },
    Claim {
        id: "NV-06",
        title: "larger m and n, higher throughput",
        sentence: "Throughput rises with m and n.",
        source: MATMUL,
        on_cpu: true,
        plan: nv06,
        facts: None,
    },
    Claim {
        id: "NV-07",
        title: "larger k, higher throughput",
        sentence: "Throughput rises with k, because a tile's beginning and end are paid once.",
        source: MATMUL,
        on_cpu: true,
        plan: nv07,
        facts: None,
    },
    Claim {
        id: "NV-08",
        title: "larger tiles are more efficient",
        sentence: "Where every tile size fills the device evenly, 128x256 tiles are more efficient than 128x128, and these than \
                   64x64.",
        source: MATMUL,
        on_cpu: false,
        plan: nv08,
        facts: Some(|| {
            vec![
                Fact::near(
                    "6912x2048 is 4 waves of 256x128 tiles on 108 SMs",
                    4.0,
                    waves(6912, 2048, [256, 128], 108),
                    0.0,
                ),
                Fact::near(
                    "8448x2048 is 4 waves of 256x128 tiles on 132 SMs",
                    4.0,
                    waves(8448, 2048, [256, 128], 132),
                    0.0,
                ),
            ]
        }),
    },
    Claim {
        id: "NV-09",
        title: "small problems want small tiles",
        sentence: "Small GEMMs need small tiles to fill the device; for large ones the largest tile wins.",
        source: MATMUL,
        on_cpu: false,
        plan: nv09,
        facts: None,
    },
    Claim {
        id: "NV-10",
        title: "tile quantization, one column too many",
        sentence: "A column beyond a tile's edge costs a whole column of tiles: no time while the device has room for them, and a \
                   second wave where it is full.",
        source: MATMUL,
        on_cpu: false,
        plan: nv10,
        facts: Some(|| {
            let tiles = |n: u64| 256u64.div_ceil(128) * n.div_ceil(128);
            vec![Fact::near(
                "256x257 takes 1.5 times the 128x128 tiles of 256x256",
                1.5,
                tiles(257) as f64 / tiles(256) as f64,
                0.0,
            )]
        }),
    },
    Claim {
        id: "NV-11",
        title: "tile quantization, measured",
        sentence: "With a tile row for every multiprocessor, time stays flat as n fills a column of tiles and steps up by a wave \
                   where n begins the next.",
        source: MATMUL,
        on_cpu: false,
        plan: nv11,
        facts: Some(|| {
            vec![Fact::near("27648 rows of 256 are one wave on 108 SMs", 1.0, waves(27648, 128, [256, 128], 108), 0.0)]
        }),
    },
    Claim {
        id: "NV-12",
        title: "wave quantization, measured",
        sentence: "One column of tiles more than a full wave takes about as long as two waves.",
        source: MATMUL,
        on_cpu: false,
        plan: nv12,
        facts: Some(|| {
            vec![
                Fact::near(
                    "2304x1536 is one wave of 256x128 tiles on 108 SMs",
                    1.0,
                    waves(2304, 1536, [256, 128], 108),
                    0.0,
                ),
                Fact::near(
                    "2304x1544 leaves a tail of 9 tiles",
                    117.0 / 108.0,
                    waves(2304, 1544, [256, 128], 108),
                    1e-12,
                ),
                Fact::near(
                    "2816x1544 leaves a tail of 11 on 132 SMs",
                    143.0 / 132.0,
                    waves(2816, 1544, [256, 128], 132),
                    1e-12,
                ),
            ]
        }),
    },
    Claim {
        id: "NV-13",
        title: "the three GEMMs of a layer",
        sentence: "The batch is a dimension of the result in a layer's forward pass and in its gradient by inputs, and the depth in its \
                   gradient by weights, where it adds no tiles.",
        source: CONNECTED,
        on_cpu: false,
        plan: nv13,
        facts: None,
    },
    Claim {
        id: "NV-14",
        title: "a batch above 128 escapes the memory limit",
        sentence: "With batch and neurons above 128 a fully connected layer is no longer limited by bandwidth.",
        source: CONNECTED,
        on_cpu: false,
        plan: nv14,
        facts: Some(|| {
            vec![
                Fact::near("V100, 4096 neurons: 150", 150.0, batch_for_intensity(4096, 125e12 / 900e9), 1.0),
                Fact::near("H100 SXM, 4096 neurons: 345", 345.0, batch_for_intensity(4096, 989e12 / 3.35e12), 1.0),
                Fact::near("H200, 4096 neurons: 230", 230.0, batch_for_intensity(4096, 989e12 / 4.8e12), 1.0),
            ]
        }),
    },
    Claim {
        id: "NV-15",
        title: "channels, not the batch, need alignment",
        sentence: "In a convolution as a GEMM, channels should be multiples of 8; the batch need not be.",
        source: CONVOLUTION,
        on_cpu: true,
        plan: nv15,
        facts: None,
    },
    Claim {
        id: "NV-16",
        title: "what falling off the Tensor Cores costs",
        sentence: "A GEMM that cannot use Tensor Cores is several times slower.",
        source: TIPS,
        on_cpu: false,
        plan: nv16,
        facts: None,
    },
    Claim {
        id: "NV-17",
        title: "a linear layer at batch 512 and at batch 1",
        sentence: "A linear layer of 1024 inputs and 4096 outputs is limited by arithmetic at batch 512 and by memory at batch 1.",
        source: BACKGROUND,
        on_cpu: true,
        plan: nv17,
        facts: Some(|| {
            vec![
                Fact::near("batch 512 has 315 FLOP a byte", 315.08, intensity(512, 4096, 1024), 0.01),
                Fact::near("batch 1 has 1", 1.0, intensity(1, 4096, 1024), 0.01),
            ]
        }),
    },
    Claim {
        id: "NV-18",
        title: "more waves, smaller tail",
        sentence: "The cost of a tail falls with the number of waves: a twentieth of a wave more costs a whole wave of one, two \
                   or eight.",
        source: BACKGROUND,
        on_cpu: false,
        plan: nv18,
        facts: None,
    },
    Claim {
        id: "NV-19",
        title: "autotuning the tile pays",
        sentence: "Choosing the tile for each shape by measurement beats one fixed tile.",
        source: TIPS,
        on_cpu: false,
        plan: nv19,
        facts: None,
    },
];

/// Square sizes at which alignment is tried, away from powers of two.
fn aligned_square(bench: &Bench) -> Problem {
    let s = bench.size(EDGE, 384, 64);
    Problem::new(s, s, s)
}

fn nv01(bench: &Bench) -> Result<Vec<Question>, Need> {
    let ratio = bench.flop_per_byte()?;
    let k = bench.size(2 * EDGE, 512, 512);
    // n columns at which m x n x k has this intensity; none where m and k alone keep it below.
    let columns = |m: u64, wanted: f64| {
        let left = 1.0 / wanted - 1.0 / m as f64 - 1.0 / k as f64;
        (left > 0.0).then(|| 1.0 / left)
    };
    // A row of tiles for every CTA that the device holds, so that any number of columns fills whole waves. Where one column of middle tiles is above half
    // the device's intensity, small tiles go lower.
    let rows = |tile: [u32; 2]| bench.filling(tile, tile[0], k).unwrap_or(bench.units() * u64::from(tile[0]));
    let low = |tile: [u32; 2]| {
        let edge = u64::from(tile[1]);
        let most = columns(rows(tile), 0.5 * ratio)? as u64 / edge * edge;
        (most > 0).then_some((tile, most))
    };
    let Some((tile, low)) = [MIDDLE_TILE, SMALL_TILE].into_iter().find_map(low) else {
        return need("a tile narrow enough to stay below the device's intensity");
    };
    let m = rows(tile);
    let Some(high) = columns(m, 2.0 * ratio).map(|n| (n as u64).next_multiple_of(u64::from(tile[1]))) else {
        return need("a larger problem than this claim's to reach the device's intensity");
    };
    let pick = Pick::Tile(tile);
    let plateau = Problem::new(m, bench.size(8192, 512, 4096).max(2 * high), k);
    let against = |n: u64| {
        let held = [Held::Kernel, Held::Alignment, Held::Regime];
        bench.compare(Per::Flop, &held, (plateau, pick), (Problem::new(m, n, k), pick)).map(|c| vec![c])
    };
    Ok(vec![
        Question::mean(
            format!("at {low} columns, half the device's intensity or less, a FLOP takes longer than on the plateau"),
            at_least(1.3, 1.08),
            against(low)?,
        ),
        Question::mean(
            format!("at {high} columns, twice the device's intensity, the plateau is reached to a tenth"),
            no_more_than(0.12, 0.35),
            against(high)?,
        ),
    ])
}

/// One operand's or all rows `off` elements from a multiple of 16 bytes, against the same with aligned rows.
fn nv02(bench: &Bench) -> Result<Vec<Question>, Need> {
    let p = aligned_square(bench);
    let held = [Held::Kernel, Held::Sizes, Held::Tiles];
    let pick = Pick::Tile(MIDDLE_TILE);
    // Aligned to 16 bytes and no better on a GPU, so that what a whole line is worth is no part of the step.
    let pad = bench.size(72, 64, 72);
    let aligned = padded(p, pad);
    let step = |off: u64| -> Result<Vec<Comparison>, Need> {
        let s = p.m + pad;
        let shifted = [strides(p, s + off, s, s), strides(p, s, s + off, s), padded(p, pad + off)];
        shifted.into_iter().map(|b| bench.compare(Per::Launch, &held, (aligned, pick), (b, pick))).collect()
    };
    Ok(vec![
        Question::mean("rows at multiples of 8 bytes cost more than at 16", at_least(1.05, 1.02), step(4)?)
            .dispensable(),
        Question::mean("rows at odd elements cost more than at 16 bytes", at_least(1.05, 1.02), step(1)?).dispensable(),
    ])
}

fn nv03(bench: &Bench) -> Result<Vec<Question>, Need> {
    let p = aligned_square(bench);
    let pick = Pick::Class(MIDDLE_TILE, 16);
    let held = [Held::Variant, Held::Sizes, Held::Tiles, Held::Alignment];
    let shifted =
        [8, 24, 40].map(|off| bench.compare(Per::Launch, &held, (padded(p, 64), pick), (padded(p, 64 + off), pick)));
    let comparisons: Result<Vec<Comparison>, Need> = shifted.into_iter().collect();
    Ok(vec![Question::mean(
        "rows at 16 bytes only cost more than rows at 128 bytes",
        at_least(1.03, 1.01),
        comparisons?,
    )])
}

fn nv04(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(EDGE_16, 384, 64);
    let pick = Pick::Tile(MIDDLE_TILE);
    let (mut free, mut bound) = (Vec::new(), Vec::new());
    for name in ["nn", "nt", "tn", "tt"] {
        let Ok(layout) = bench.layout(name) else { continue };
        let whole = compact(layout, s, s, s);
        for dimension in 0..3 {
            let mut sizes = [s; 3];
            sizes[dimension] -= 1;
            let odd = compact(layout, sizes[0], sizes[1], sizes[2]);
            let contiguous =
                [(odd.lda, whole.lda), (odd.ldb, whole.ldb), (odd.ldc, whole.ldc)].iter().any(|(a, b)| a != b);
            let held = [Held::Kernel, Held::Tiles];
            // A layout that no kernel takes is left out; the row-major one decides then.
            match bench.compare(Per::Launch, &held, (whole, pick), (odd, pick)) {
                Ok(c) if contiguous => bound.push(c),
                Ok(mut c) => {
                    c.held.push(Held::Alignment);
                    free.push(c);
                }
                Err(why) if layout == Layout::Nn => return Err(why),
                Err(_) => {}
            }
        }
    }
    Ok(vec![
        Question::mean("a dimension that is contiguous nowhere may be odd", no_more_than(0.02, 0.05), free),
        Question::mean("a contiguous dimension may not", at_least(1.05, 1.02), bound),
    ])
}

fn nv05(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(EDGE, 384, 64);
    let pick = Pick::Tile(MIDDLE_TILE);
    let step = |from: u64, to: u64| {
        let at = |less: u64| (Problem::new(s, s, s - less), pick);
        bench.compare(Per::Flop, &[Held::Kernel, Held::Tiles], at(from), at(to)).map(|c| vec![c])
    };
    let rule = at_least(1.02, 1.005);
    Ok(vec![
        Question::mean("k at a multiple of 4 costs more than at 8", rule, step(8, 4)?),
        Question::mean("k at a multiple of 2 costs more than at 4", rule, step(4, 6)?),
        Question::mean("an odd k costs more than a multiple of 2", rule, step(6, 7)?),
    ])
}

fn nv06(bench: &Bench) -> Result<Vec<Question>, Need> {
    let k = bench.size(4096, 256, 32);
    let [small, middle, large] = [bench.size(256, 32, 64), bench.size(1024, 128, 128), bench.size(4096, 512, 256)];
    let pick = Pick::Tile(MIDDLE_TILE);
    let step = |a: u64, b: u64| {
        // The cost that falls is the first arm's: the larger problem comes first.
        let at = |s: u64| (Problem::new(s, s, k), pick);
        bench.compare(Per::Flop, &[Held::Kernel, Held::Alignment], at(b), at(a)).map(|c| vec![c])
    };
    Ok(vec![
        Question::mean(
            format!("m = n = {small} costs more per FLOP than {middle}"),
            at_least(1.05, 1.01),
            step(small, middle)?,
        )
        .dispensable(),
        Question::mean(
            format!("m = n = {middle} costs more per FLOP than {large}"),
            at_least(1.05, 1.01),
            step(middle, large)?,
        )
        .dispensable(),
    ])
}

fn nv07(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 256, 128);
    let [short, middle, long] = [bench.size(64, 16, 32), bench.size(512, 64, 64), bench.size(4096, 512, 256)];
    let pick = Pick::Tile(MIDDLE_TILE);
    let step = |a: u64, b: u64| {
        let at = |k: u64| (Problem::new(s, s, k), pick);
        bench.compare(Per::Flop, &[Held::Kernel, Held::Alignment], at(b), at(a)).map(|c| vec![c])
    };
    Ok(vec![
        Question::mean(
            format!("k = {short} costs more per FLOP than {long}"),
            at_least(1.05, 1.01),
            step(short, long)?,
        )
        .dispensable(),
        Question::mean(
            format!("k = {middle} costs more per FLOP than {long}"),
            at_least(1.02, 1.0),
            step(middle, long)?,
        )
        .dispensable(),
    ])
}

fn nv08(bench: &Bench) -> Result<Vec<Question>, Need> {
    let p = Problem::new(64 * bench.units(), 2048.min(bench.size(2048, 256, 512)), bench.size(4096, 512, 64));
    let held = [Held::Sizes, Held::Alignment];
    let pair = |a, b| bench.compare(Per::Launch, &held, (p, Pick::Tile(a)), (p, Pick::Tile(b))).map(|c| vec![c]);
    Ok(vec![
        Question::mean("64x64 tiles cost more than 128x256", at_least(1.10, 1.05), pair(WAVE_TILE, SMALL_TILE)?)
            .dispensable(),
        Question::mean("128x128 tiles cost no less than 128x256", at_least(1.0, 0.97), pair(WAVE_TILE, MIDDLE_TILE)?),
        Question::mean("64x64 tiles cost more than 128x128", at_least(1.05, 1.01), pair(MIDDLE_TILE, SMALL_TILE)?),
    ])
}

fn nv09(bench: &Bench) -> Result<Vec<Question>, Need> {
    let held = [Held::Sizes, Held::Alignment];
    let pair = |s: u64, k: u64, a, b| {
        let p = Problem::new(s, s, k);
        bench.compare(Per::Launch, &held, (p, Pick::Tile(a)), (p, Pick::Tile(b))).map(|c| vec![c])
    };
    // As many small tiles as half the multiprocessors: a large tile would leave most of them idle.
    let small = ((bench.units() / 2).isqrt().max(1) * 64).max(128);
    let large = bench.size(8192, 512, 256);
    Ok(vec![
        Question::mean(
            format!("at {small}x{small} the large tile costs more than the small"),
            at_least(1.05, 1.0),
            pair(small, bench.size(4096, 512, 64), SMALL_TILE, WAVE_TILE)?,
        ),
        Question::mean(
            format!("at {large}x{large} the small tile costs more than the large"),
            at_least(1.05, 1.0),
            pair(large, bench.size(4096, 512, 32), WAVE_TILE, SMALL_TILE)?,
        ),
    ])
}

/// m and n in tiles of [`WAVE_TILE`], with strides that do not change with n, so that only the number of tiles does.
pub fn tiled(bench: &Bench, rows: u64, columns: u64, more: u64) -> Problem {
    let n = columns * u64::from(WAVE_TILE[1]) + more;
    let k = bench.size(EDGE, 512, 64);
    let ld = (columns + 1) * u64::from(WAVE_TILE[1]);
    strides(Problem::new(rows * u64::from(WAVE_TILE[0]), n, k), k, ld, ld)
}

/// The pair of one column of tiles more, `rows` tiles high, beside `columns` full ones.
pub fn one_more(bench: &Bench, rows: u64, columns: u64) -> Result<Vec<Comparison>, Need> {
    let ld = |p: Problem| strides(p, p.lda, (columns + 1) * 256, (columns + 1) * 256);
    let (full, over) = (ld(tiled(bench, rows, columns, 0)), ld(tiled(bench, rows, columns, 8)));
    let pick = Pick::Tile(WAVE_TILE);
    bench.compare(Per::Launch, &[Held::Variant, Held::Alignment], (full, pick), (over, pick)).map(|c| vec![c])
}

fn nv10(bench: &Bench) -> Result<Vec<Question>, Need> {
    Ok(vec![
        Question::mean(
            "in a device with room, two more tiles cost no time",
            no_more_than(0.1, 0.3),
            one_more(bench, 2, 2)?,
        ),
        Question::mean(
            "on a full device they cost a second wave",
            at_least(1.8, 1.5),
            one_more(bench, bench.units(), 1)?,
        ),
    ])
}

fn nv11(bench: &Bench) -> Result<Vec<Question>, Need> {
    let rows = bench.units();
    let pick = Pick::Tile(WAVE_TILE);
    let fixed = |n: u64| {
        let p = tiled(bench, rows, 1, 0);
        (strides(Problem { n, ..p }, p.lda, 1024, 1024), pick)
    };
    let pair = |a: u64, b: u64, held: &[Held]| bench.compare(Per::Launch, held, fixed(a), fixed(b)).map(|c| vec![c]);
    let held = [Held::Variant, Held::Alignment];
    Ok(vec![
        Question::mean("n = 264 takes a wave more than 256", at_least(1.8, 1.2), pair(256, 264, &held)?),
        Question::mean(
            "n = 512 takes no longer than 264",
            no_more_than(0.03, 0.3),
            pair(264, 512, &[Held::Variant, Held::Alignment, Held::Tiles])?,
        ),
        Question::mean("n = 520 takes a wave more than 512", at_least(1.4, 1.1), pair(512, 520, &held)?).dispensable(),
    ])
}

fn nv12(bench: &Bench) -> Result<Vec<Question>, Need> {
    let (rows, columns) = bench.full_wave();
    Ok(vec![
        Question::mean(
            "a tail after one wave costs about a second",
            at_least(1.7, 1.2),
            one_more(bench, rows, columns)?,
        ),
        Question::mean(
            "a tail after two waves costs about a third",
            at_least(1.35, 1.1),
            one_more(bench, rows, 2 * columns)?,
        )
        .dispensable(),
        Question::mean(
            "a tail after three waves costs about a fourth",
            at_least(1.23, 1.07),
            one_more(bench, rows, 3 * columns)?,
        )
        .dispensable(),
    ])
}

fn nv13(bench: &Bench) -> Result<Vec<Question>, Need> {
    let units = bench.units();
    let pick = Pick::Tile(WAVE_TILE);
    let held = [Held::Variant, Held::Alignment];
    let k = bench.size(EDGE, 512, 64);
    // One wave of rows of tiles; a batch beyond it begins a second in the forward pass.
    let batch = units * u64::from(WAVE_TILE[0]);
    let forward = |b: u64| (Problem::new(b, 256, k), pick);
    // The same batch as the depth of a gradient by weights: 8 more members are 8 more steps.
    let weights = |b: u64| (Problem::new(batch.min(1024), 256, b), pick);
    let depth = bench.size(EDGE, 512, 128);
    Ok(vec![
        Question::mean(
            "in the forward pass 8 members more begin another wave",
            at_least(1.7, 1.2),
            vec![bench.compare(Per::Launch, &held, forward(batch), forward(batch + 8))?],
        ),
        Question::mean(
            "in the gradient by weights they do not",
            no_more_than(0.05, 0.2),
            vec![bench.compare(Per::Launch, &held, weights(depth), weights(depth + 8))?],
        ),
    ])
}

fn nv14(bench: &Bench) -> Result<Vec<Question>, Need> {
    let inputs = bench.size(EDGE, 512, 256);
    // A column of tiles for every CTA that the device holds, so that any number of rows of tiles fills whole waves.
    let outputs = bench.filling(SMALL_TILE, SMALL_TILE[1], inputs)?;
    let pick = Pick::Tile(SMALL_TILE);
    let at = |batch: u64| (Problem::new(batch, outputs, inputs), pick);
    let plateau = 2048.min(bench.size(2048, 512, 512));
    let against = |batch: u64| {
        let held = [Held::Variant, Held::Alignment, Held::Regime];
        bench.compare(Per::Row, &held, at(plateau), at(batch)).map(|c| vec![c])
    };
    // The plateau is reached where a row costs at most a quarter more: at 192 if the rule holds, later if it does not.
    Ok(vec![
        Question::mean(
            "at batch 192 a row costs at most a quarter more than on the plateau",
            no_more_than(0.25, 0.6),
            against(192)?,
        ),
        Question::mean("at batch 64 it costs more", at_least(1.25, 1.05), against(64)?),
    ])
}

fn nv15(bench: &Bench) -> Result<Vec<Question>, Need> {
    // A 3x3 convolution: a row of A is a pixel, k is 9 times the channels.
    let (pixels, out) = (bench.size(49 * 256, 49 * 8, 49), bench.size(512, 256, 64));
    let channels = bench.size(256, 64, 16);
    let pick = Pick::Tile(MIDDLE_TILE);
    let at = |m: u64, c: u64| (Problem::new(m, out, 9 * c), pick);
    Ok(vec![
        Question::mean(
            "an odd number of channels costs more per FLOP",
            at_least(1.05, 1.02),
            vec![bench.compare(Per::Flop, &[Held::Kernel], at(pixels, channels), at(pixels, channels - 1))?],
        ),
        Question::mean(
            "an odd batch does not",
            no_more_than(0.02, 0.05),
            vec![bench.compare(
                Per::Row,
                &[Held::Variant, Held::Alignment],
                at(pixels, channels),
                at(pixels - 1, channels),
            )?],
        ),
    ])
}

fn nv16(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 512, 128);
    let p = Problem::new(s, s, s);
    let held = [Held::Sizes, Held::Alignment];
    let comparison = bench.compare(Per::Launch, &held, (p, Pick::Tile(MIDDLE_TILE)), (p, Pick::Unit("simt")))?;
    Ok(vec![Question::mean("the FP32 units take at least four times as long", at_least(4.0, 1.5), vec![comparison])])
}

fn nv17(bench: &Bench) -> Result<Vec<Question>, Need> {
    let [m, n, k] = [bench.size(512, 512, 64), bench.size(4096, 4096, 64), bench.size(1024, 1024, 64)];
    let pick = Pick::Tile(SMALL_TILE);
    let comparison = bench.compare(
        Per::Flop,
        &[Held::Variant, Held::Alignment, Held::Regime],
        (Problem::new(m, n, k), pick),
        (Problem::new(1, n, k), pick),
    )?;
    Ok(vec![Question::mean(
        "a FLOP at batch 1 costs several times one at batch 512",
        at_least(4.0, 1.5),
        vec![comparison],
    )])
}

fn nv18(bench: &Bench) -> Result<Vec<Question>, Need> {
    let (rows, columns) = bench.full_wave();
    let question = |waves: u64| -> Result<Question, Need> {
        // Within 5 % of a whole wave more is what was predicted; less than half of it is not.
        let more = 1.0 / waves as f64;
        let asks = format!("a tail after {waves} waves costs another");
        let rule = at_least(0.95 * (1.0 + more), 1.0 + more / 2.0);
        Ok(Question::mean(asks, rule, one_more(bench, rows, waves * columns)?))
    };
    [1, 2, 8].into_iter().map(question).collect()
}

fn nv19(bench: &Bench) -> Result<Vec<Question>, Need> {
    let k = bench.size(4096, 512, 64);
    let edge = bench.size(256, 64, 64);
    let shapes = [(1, 1), (1, 8), (3, 5), (4, 4), (8, 16), (12, 12)].map(|(m, n)| Problem::new(m * edge, n * edge, k));
    let held = [Held::Sizes, Held::Alignment];
    let group = |p: Problem| -> Result<Vec<Comparison>, Need> {
        let against = |tile| bench.compare(Per::Launch, &held, (p, Pick::Tile(MIDDLE_TILE)), (p, Pick::Tile(tile)));
        [WAVE_TILE, SMALL_TILE].into_iter().map(against).collect()
    };
    let groups: Result<Vec<Vec<Comparison>>, Need> = shapes.into_iter().map(group).collect();
    Ok(vec![Question {
        asks: "the tile that is best for a shape saves time against 128x128".to_owned(),
        evidence: Evidence::Best(groups?),
        rule: at_least(1.02, 1.005),
        clock_is_effect: false,
        dispensable: false,
        weight: Weight::Claimed,
    }])
}
