//! How to measure: each piece of advice is a claim too.

use super::bench::{Bench, MIDDLE_TILE, Need, Pick, WAVE_TILE, need};
use super::experiment::{Comparison, Evidence, Held, Per, Question, Weight, at_least, swings_at_least};
use super::{Claim, Reference};
use crate::data::Distribution;
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
        plan: mm01,
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
        plan: mm03,
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

/// The kernel that draws the most power.
fn strongest(bench: &Bench, problem: Problem) -> Result<Arm, Need> {
    let persistent = bench.arm(problem, Pick::Route("persistent", WAVE_TILE, 2));
    persistent.or_else(|_| bench.arm(problem, Pick::Tile(WAVE_TILE)))
}

/// Power limits a GPU after tens of milliseconds and a warm-up before A B B A ends sooner, so that both arms would run at the clock that
/// suits neither. In the sustained regime each has the time to settle at its own.
fn mm01(bench: &Bench) -> Result<Vec<Question>, Need> {
    let size = |gpu, cpu, small| bench.size(gpu, cpu, small);
    let cube = Problem::new(size(8192, 256, 64), size(8192, 256, 64), size(8192, 256, 64));
    let deep = Problem::new(size(4096, 192, 64), size(4096, 192, 64), size(8192, 384, 128));
    let compare = |problem| -> Result<Comparison, Need> {
        let data = Arm { regime: Regime::Sustained, ..strongest(bench, problem)? };
        let zeros = Arm { distribution: Some(Distribution::Zeros), ..data.clone() };
        let held = vec![Held::Variant, Held::Sizes, Held::Alignment, Held::Regime];
        Ok(Comparison { first: zeros, second: data, per: Per::Launch, held })
    };
    let rule = at_least(1.03, 1.003);
    let asks = "data cost more than zeros, each at the clock that it settles at";
    // A lower clock is how data cost more.
    let question = Question::mean(asks, rule, vec![compare(cube)?, compare(deep)?]);
    Ok(vec![Question { clock_is_effect: true, ..question }])
}

fn mm03(bench: &Bench) -> Result<Vec<Question>, Need> {
    let s = bench.size(4096, 256, 64);
    let arm = Arm { regime: Regime::Onset, ..strongest(bench, Problem::new(s, s, s))? };
    Ok(vec![Question {
        asks: "the first three seconds of a load swing by more than the next three".to_owned(),
        evidence: Evidence::Onset(vec![arm]),
        rule: swings_at_least(1.02, 1.005),
        clock_is_effect: true,
        dispensable: false,
        weight: Weight::Claimed,
    }])
}

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
