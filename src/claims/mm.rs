//! How to measure: each piece of advice is a claim too.

use super::bench::{Bench, MIDDLE_TILE, Need, Pick, need};
use super::experiment::{Evidence, Held, Per, Question, Weight, at_least};
use super::{Claim, Reference};
use crate::measure::Regime;
use crate::problem::Problem;
use crate::sweep::Arm;

const GUIDE: Reference =
    Reference { title: "GEMM performance measurement methodology guidelines, CUTLASS", author: "NVIDIA", year: "2025" };

/// The claims.
pub const CLAIMS: &[Claim] = &[
    Claim {
        id: "MM-01",
        title: "zeros run faster than data",
        sentence: "Buffers of zeros overstate throughput, because they draw less power.",
        source: GUIDE,
        on_cpu: true,
        plan: |_| {
            need(
                "zeros and data in turn on one device; a run has one distribution, and power that two runs drew minutes apart cannot be compared",
            )
        },
        facts: None,
    },
    Claim {
        id: "MM-02",
        title: "operands that stay in the cache",
        sentence: "A GEMM whose operands rotate through more memory than the cache holds is slower than one that reuses its own.",
        source: GUIDE,
        on_cpu: true,
        plan: mm02,
        facts: None,
    },
    Claim {
        id: "MM-03",
        title: "clocks swing for three seconds",
        sentence: "Clocks swing for about three seconds after a load begins.",
        source: GUIDE,
        on_cpu: true,
        plan: |_| {
            need(
                "samples of the first seconds of a load on an idle device; the warm-up takes those, and no record holds them",
            )
        },
        facts: None,
    },
    Claim {
        id: "MM-04",
        title: "the best run flatters",
        sentence: "Reporting the fastest sample in place of the median overstates throughput noticeably.",
        source: Reference { title: "MI300X vs H100 vs H200 training benchmark", author: "SemiAnalysis", year: "2024" },
        on_cpu: true,
        plan: mm04,
        facts: None,
    },
    Claim {
        id: "MM-05",
        title: "equal devices are not equal",
        sentence: "Devices of one model differ in speed by 5 % and more.",
        source: Reference { title: "ml-engineering", author: "Stas Bekman", year: "2024" },
        on_cpu: true,
        plan: |_| {
            need(
                "two devices of one model, and verdicts are of one; `gemmscope compare A B` holds their runs against each other",
            )
        },
        facts: None,
    },
];

fn mm02(bench: &Bench) -> Result<Vec<Question>, Need> {
    let sizes = if bench.size(1, 1, 0) == 1 { [bench.size(512, 128, 0), bench.size(1024, 256, 0)] } else { [64, 128] };
    let mut comparisons = Vec::new();
    for s in sizes {
        let p = Problem::new(s, s, s);
        let pick = Pick::Tile(MIDDLE_TILE);
        let mut pair =
            bench.compare(Per::Launch, &[Held::Variant, Held::Sizes, Held::Alignment], (p, pick), (p, pick))?;
        (pair.first.regime, pair.second.regime) = (Regime::Hot, Regime::Cold);
        comparisons.push(pair);
    }
    Ok(vec![Question::mean("operands from memory cost more than from the cache", at_least(1.05, 1.01), comparisons)])
}

fn mm04(bench: &Bench) -> Result<Vec<Question>, Need> {
    let sizes = [bench.size(1024, 128, 64), bench.size(4096, 384, 128)];
    let arms: Result<Vec<Arm>, Need> =
        sizes.into_iter().map(|s| bench.arm(Problem::new(s, s, s), Pick::Tile(MIDDLE_TILE))).collect();
    Ok(vec![Question {
        asks: "the median is more than the fastest sample".to_owned(),
        evidence: Evidence::Spread(arms?),
        rule: at_least(1.02, 1.005),
        clock_is_effect: true,
        dispensable: false,
        weight: Weight::Claimed,
    }])
}
