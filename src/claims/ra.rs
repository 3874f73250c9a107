//! Raschka's "no, we don't have to choose batch sizes as powers of 2" and Coulom's formula.

use super::bench::{Bench, EDGE, MIDDLE_TILE, Need, Pick, WAVE_TILE, need, padded};
use super::experiment::{Comparison, Held, Per, Question, at_least, no_more_than};
use super::facts::{Fact, waves};
use super::{Claim, Reference};
use crate::problem::Problem;

const BLOG: Reference = Reference {
    title: "No, We Don't Have to Choose Batch Sizes As Powers Of 2",
    author: "Sebastian Raschka",
    year: "2022",
};
const FORMULA: Reference = Reference {
    title: "tweet 1259188988646129665 on batch sizes of convolutional nets",
    author: "Rémi Coulom",
    year: "2020",
};

/// The claims.
pub const CLAIMS: &[Claim] = &[
    Claim {
        id: "RA-01",
        title: "training time at batches around 128",
        sentence: "An epoch of MobileNetV3 at batch 127, 128 or 129 takes the same time within its noise.",
        source: BLOG,
        on_cpu: true,
        plan: |_| need("training of a network"),
        facts: None,
    },
    Claim {
        id: "RA-02",
        title: "training time at batches around 512",
        sentence: "An epoch of MobileNetV3 at batch 511, 512 or 513 takes the same time within its noise.",
        source: BLOG,
        on_cpu: true,
        plan: |_| need("training of a network"),
        facts: None,
    },
    Claim {
        id: "RA-03",
        title: "training time on four GPUs around 256",
        sentence: "On four GPUs an epoch at batch 255, 256 or 257 takes the same time within its noise.",
        source: BLOG,
        on_cpu: true,
        plan: |_| need("training of a network on four devices"),
        facts: None,
    },
    Claim {
        id: "RA-04",
        title: "the batch need not be a power of two",
        sentence: "In convolutional layers one image more or less than a power of two makes no difference per image.",
        source: BLOG,
        on_cpu: true,
        plan: ra04,
        facts: None,
    },
    Claim {
        id: "RA-05",
        title: "memory pages favour powers of two",
        sentence: "Powers of two are chosen because data that fill memory pages exactly are faster.",
        source: BLOG,
        on_cpu: true,
        plan: ra05,
        facts: None,
    },
    Claim {
        id: "RA-06",
        title: "the batch should be a multiple of 8",
        sentence: "As the batch is m, and m, n and k should be aligned to 16 bytes, a batch of a multiple of 8 is faster.",
        source: BLOG,
        on_cpu: true,
        plan: ra06,
        facts: None,
    },
    Claim {
        id: "RA-07",
        title: "choosing convolutions by measurement",
        sentence: "cudnn.benchmark speeds training up slightly.",
        source: BLOG,
        on_cpu: true,
        plan: |_| need("training of a network through cuDNN; NV-19 asks the same of tiles"),
        facts: None,
    },
    Claim {
        id: "RA-08",
        title: "the batch matters on TPUs",
        sentence: "On TPUs the batch size makes a difference.",
        source: BLOG,
        on_cpu: true,
        plan: |_| need("a TPU"),
        facts: None,
    },
    Claim {
        id: "RA-09",
        title: "small batches, slow epochs",
        sentence: "A smaller batch takes more time per image.",
        source: BLOG,
        on_cpu: true,
        plan: ra09,
        facts: None,
    },
    Claim {
        id: "RA-10",
        title: "the best batch for learning",
        sentence: "The batch that learns best lies between 16 and 256, by the loss.",
        source: BLOG,
        on_cpu: true,
        plan: |_| need("training of a network"),
        facts: None,
    },
    Claim {
        id: "RA-11",
        title: "the table, by images trained",
        sentence: "Per image trained, batch 512 is the fastest of 511, 512 and 513.",
        source: BLOG,
        on_cpu: true,
        plan: |_| need("nothing more: the claim's own table decides"),
        facts: Some(|| {
            // Minutes for ten epochs, and images that an epoch of 45 000 trains without its last, incomplete batch.
            let per_image_us = |minutes: f64, batch: u64| minutes * 60e6 / 10.0 / ((45_000 / batch) * batch) as f64;
            let [a, b, c] = [per_image_us(8.74, 511), per_image_us(8.71, 512), per_image_us(8.72, 513)];
            let instead = format!(
                "an image takes {a:.1} us at batch 511, {b:.1} at 512 and {c:.1} at 513, so that 512 is not the fastest"
            );
            vec![Fact::holds("512 takes less time per image than 511 and 513", b < a && b < c).instead(instead)]
        }),
    },
    Claim {
        id: "RA-12",
        title: "a fully connected layer at batch 129",
        sentence: "While a fully connected layer is limited by memory, an image more than a whole tile of them costs nothing.",
        source: BLOG,
        on_cpu: false,
        plan: ra12,
        facts: None,
    },
    Claim {
        id: "RA-13",
        title: "where powers of two may help",
        sentence: "Powers of two help GPUs without Tensor Cores and training without mixed precision.",
        source: BLOG,
        on_cpu: true,
        plan: |_| need("training of a network; the report that it rests on gives no numbers"),
        facts: None,
    },
    Claim {
        id: "CO-01",
        title: "Coulom's formula for the batch",
        sentence: "A good batch for a convolutional net is floor(i · 2^14 · SM / (H · W · C)) for a whole number i, and a power of two \
                   is worse.",
        source: FORMULA,
        on_cpu: false,
        plan: co01,
        facts: Some(|| {
            let at = |batch: u64| waves(batch * 361, 256, [128, 128], 132);
            vec![
                Fact::near(
                    "the formula's third batch for a 19x19 net of 256 channels on 132 SMs is 70",
                    70.0,
                    coulom(3, 132) as f64,
                    0.0,
                ),
                Fact::near("batch 70 is three full waves", 3.0, at(70), 0.0),
                Fact::near("batch 71 begins a fourth", 402.0 / 132.0, at(71), 1e-12),
                Fact::near("batch 64 leaves a quarter of the third empty", 362.0 / 132.0, at(64), 1e-12),
            ]
        }),
    },
];

fn ra04(bench: &Bench) -> Result<Vec<Question>, Need> {
    // Layers of 7 x 7 and 14 x 14 pixels; a row is a pixel.
    let pick = Pick::Tile(MIDDLE_TILE);
    let (n, k) = (bench.size(160, 160, 32), bench.size(960, 320, 32));
    let layers: &[u64] = if bench.is_cpu() { &[4] } else { &[49, 196] };
    let batches: &[u64] = match bench.size(2, 1, 0) {
        2 => &[128, 512],
        1 => &[128, 512],
        _ => &[8],
    };
    let mut comparisons: Vec<Comparison> = Vec::new();
    for &pixels in layers {
        for &batch in batches {
            let at = |b: u64| (Problem::new(b * pixels, n, k), pick);
            for other in [batch - 1, batch + 1] {
                comparisons.push(bench.compare(Per::Row, &[Held::Variant, Held::Alignment], at(batch), at(other))?);
            }
        }
    }
    Ok(vec![Question::mean("an image more or less costs the others nothing", no_more_than(0.01, 0.03), comparisons)])
}

fn ra05(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(2048, 384, 64);
    let pick = Pick::Class(MIDDLE_TILE, 16);
    // A line of the cache is 128 bytes on a GPU and 64 on a CPU.
    let lines = if bench.is_cpu() { Held::Alignment } else { Held::Lines };
    let held = [Held::Variant, Held::Sizes, Held::Tiles, Held::Alignment, lines];
    // Bases at a page, and a line beyond one.
    let on = padded(Problem::new(s, s, s), 64);
    let line = bench.size(64, 32, 64);
    let off = Problem { offset_a: line, offset_b: line, offset_c: line, ..on };
    // Rows that are whole pages apart, and a page and 128 bytes.
    let pages = |more: u64| {
        let ld = (2 * s).next_multiple_of(2048) + more;
        Problem { lda: ld, ldb: ld, ldc: ld, ..Problem::new(s, s, s) }
    };
    let comparisons = [(on, off), (pages(0), pages(64))]
        .into_iter()
        .map(|(a, b)| bench.compare(Per::Launch, &held, (a, pick), (b, pick)))
        .collect::<Result<Vec<Comparison>, Need>>()?;
    Ok(vec![Question::mean("data off the page's edge cost more than on it", at_least(1.03, 1.01), comparisons)])
}

fn ra06(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 384, 64);
    let pick = Pick::Tile(MIDDLE_TILE);
    let at = |m: u64| (Problem::new(m, s, s), pick);
    let held = [Held::Variant, Held::Alignment, Held::Tiles];
    // Multiples of 8 against odd numbers nearby, in the same tiles.
    let comparisons = [(s - 8, s - 7), (s - 16, s - 13)]
        .into_iter()
        .map(|(a, b)| bench.compare(Per::Row, &held, at(a), at(b)))
        .collect::<Result<Vec<Comparison>, Need>>()?;
    Ok(vec![Question::mean(
        "a batch that is no multiple of 8 costs more per member",
        at_least(1.03, 1.01),
        comparisons,
    )])
}

fn ra09(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 512, 64);
    let pick = Pick::Tile(MIDDLE_TILE);
    let at = |m: u64| (Problem::new(m, s, s), pick);
    let held = [Held::Variant, Held::Alignment];
    let [small, large] = [bench.size(128, 8, 16), bench.size(1024, 512, 128)];
    Ok(vec![Question::mean(
        format!("a member of a batch of {small} costs more than one of {large}"),
        at_least(1.05, 1.01),
        vec![bench.compare(Per::Row, &held, at(large), at(small))?],
    )])
}

fn ra12(bench: &Bench) -> Result<Vec<Question>, Need> {
    let held = [Held::Variant, Held::Alignment, Held::Regime];
    let compare = |pick: Pick, n: u64, k: u64, m: u64| {
        let at = |m: u64| (Problem::new(m, n, k), pick);
        bench.compare(Per::Launch, &held, at(m), at(m + 1))
    };
    let (rule, k) = (no_more_than(0.05, 0.3), bench.size(2 * EDGE, 512, 256));
    // A tile for every CTA that the device holds, so that none of the second row of tiles runs beside others for nothing.
    let n = bench.filling(WAVE_TILE, WAVE_TILE[1], k)?;
    let tile = compare(Pick::Tile(WAVE_TILE), n, k, 128)?;
    // So few rows wait for memory whatever the kernel; their work is divided among all multiprocessors.
    let few = compare(Pick::Route("split_k", [16, 128], 1), bench.size(8448, 512, 256), k, 16)?;
    Ok(vec![
        Question::mean("batch 129 takes as long as 128", rule, vec![tile]),
        Question::mean("batch 17 takes as long as 16 with tiles of 16 rows", rule, vec![few]).aside(),
    ])
}

/// Coulom's batch for the i-th wave of a 19 x 19 net of 256 channels.
fn coulom(i: u64, multiprocessors: u64) -> u64 {
    i * (1 << 14) * multiprocessors / (361 * 256)
}

fn co01(bench: &Bench) -> Result<Vec<Question>, Need> {
    let pick = Pick::Tile(MIDDLE_TILE);
    let k = bench.size(2304, 512, 32);
    let at = |batch: u64| (Problem::new(batch * 361, 256, k), pick);
    let held = [Held::Variant, Held::Alignment];
    let (mut powers, mut cliffs) = (Vec::new(), Vec::new());
    for i in bench.size(2, 2, 8)..=bench.size(4, 4, 8) {
        let good = coulom(i, bench.units()).max(2);
        // The power of two nearest to it, and the batch beyond it.
        let below = 1u64 << good.ilog2();
        let power = if good - below <= 2 * below - good { below } else { 2 * below };
        if power != good {
            powers.push(bench.compare(Per::Row, &held, at(good), at(power))?);
        }
        cliffs.push(bench.compare(Per::Row, &held, at(good), at(good + 1))?);
    }
    Ok(vec![
        Question::mean("an image costs more at the nearest power of two", at_least(1.05, 1.02), powers),
        Question::mean("an image costs more one beyond the formula's batch", at_least(1.05, 1.02), cliffs)
            .dispensable(),
    ])
}
