//! What an experiment is made of: arms, comparisons of two of them, and questions that comparisons answer.

use crate::problem::{Operand, Problem};
use crate::stats::Rule;
use crate::sweep::Arm;

/// What the time of an arm is divided by before two arms are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// Nothing: a launch is a launch.
    Launch,
    /// 2·m·n·k: the inverse of throughput.
    Flop,
    /// m: a row is an image, a token, a member of the batch.
    Row,
}

impl Per {
    /// The divisor of a problem.
    pub fn of(self, problem: &Problem) -> f64 {
        match self {
            Per::Launch => 1.0,
            Per::Flop => problem.flop() as f64,
            Per::Row => problem.m as f64,
        }
    }

    /// In words, after "time".
    pub const fn name(self) -> &'static str {
        match self {
            Per::Launch => "time of a launch",
            Per::Flop => "time per FLOP",
            Per::Row => "time per row",
        }
    }
}

/// What must be the same in both arms, so that an effect can only come from what the claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Held {
    /// The kernel; a variant may differ in nothing but the alignment that it needs.
    Kernel,
    /// The kernel and its variant.
    Variant,
    /// m, n and k.
    Sizes,
    /// Tiles of C along each side, and steps of k.
    Tiles,
    /// How well the bases and rows of A, B and C are aligned, up to 16 bytes.
    Alignment,
    /// The same up to 128 bytes, a line of the cache: what is asked of powers of two and of pages must not be what a line costs.
    Lines,
    /// The regime: operands come from where the plan has them, because the claim is about memory.
    Regime,
}

/// Two arms that are measured in turn. The effect is the second's cost over the first's.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// A.
    pub first: Arm,
    /// B.
    pub second: Arm,
    /// What times are divided by.
    pub per: Per,
    /// What the two share.
    pub held: Vec<Held>,
}

impl Comparison {
    /// Whether it is part of the effect that the device holds its clock back for one arm and not for the other: where they multiply
    /// other data, power is what sets them apart.
    pub fn is_about_power(&self) -> bool {
        self.first.distribution != self.second.distribution
    }
}

/// What answers a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// The mean effect of comparisons; of `less` is taken off where the question is by how much one effect exceeds another.
    Mean {
        /// The comparisons.
        comparisons: Vec<Comparison>,
        /// What is taken off.
        less: Vec<Comparison>,
    },
    /// By how much the second arm is above the straight line, in k, through the times of a first arm that is less deep than it and of one that is deeper.
    Between(Vec<[Comparison; 2]>),
    /// For each group of comparisons against one first arm, what the best second arm saves; its choice and its gain are taken from
    /// different samples.
    Best(Vec<Vec<Comparison>>),
    /// How far the fastest sample of a cell is below its median.
    Spread(Vec<Arm>),
    /// By how much more the time of a launch, or the clock where it is known, swings in the first seconds of a load than after them.
    /// The rule's numbers are squares of logarithms then, because what swings for several reasons adds up by squares.
    Onset(Vec<Arm>),
    /// How much of the variance of the cells' times the model explains. The rule's numbers are shares then, and no logarithms.
    Fit(Vec<Arm>),
    /// Whether a kernel refuses cells and runs others that are like them. The rule's numbers are the share that it refuses.
    Refused {
        /// What it must run, so that a refusal says something.
        runs: Vec<Arm>,
        /// What it is said to refuse.
        refused: Vec<Arm>,
    },
}

/// What a question's answer means for its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The claim says so: a no contradicts it.
    Claimed,
    /// Without it there is nothing for the claim to be about: a no leaves the claim unclear.
    Premise,
    /// It tells more about a cause that the claim does not name: its answer is shown and decides nothing.
    Aside,
}

/// One question that a claim comes down to.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The statement that a yes affirms.
    pub asks: String,
    /// What answers it.
    pub evidence: Evidence,
    /// What decides.
    pub rule: Rule,
    /// Whether the clock is part of the effect. If not, cycles must agree with times.
    pub clock_is_effect: bool,
    /// Whether the claim can be judged by its other questions where the records hold nothing that answers this one.
    pub dispensable: bool,
    /// What a no means for the claim.
    pub weight: Weight,
}

impl Question {
    /// A question that the mean of comparisons answers.
    pub fn mean(asks: impl Into<String>, rule: Rule, comparisons: Vec<Comparison>) -> Self {
        let evidence = Evidence::Mean { comparisons, less: Vec::new() };
        Question {
            asks: asks.into(),
            evidence,
            rule,
            clock_is_effect: false,
            dispensable: false,
            weight: Weight::Claimed,
        }
    }

    /// The same question, which the others can do without.
    #[must_use]
    pub fn dispensable(self) -> Self {
        Question { dispensable: true, ..self }
    }

    /// The same question, of which a no says that there is nothing for the claim to be about.
    #[must_use]
    pub fn premise(self) -> Self {
        Question { weight: Weight::Premise, ..self }
    }

    /// The same question, which decides nothing and can be done without.
    #[must_use]
    pub fn aside(self) -> Self {
        Question { weight: Weight::Aside, dispensable: true, ..self }
    }

    /// All its comparisons.
    pub fn comparisons(&self) -> Vec<&Comparison> {
        match &self.evidence {
            Evidence::Mean { comparisons, less } => comparisons.iter().chain(less).collect(),
            Evidence::Between(pairs) => pairs.iter().flatten().collect(),
            Evidence::Best(groups) => groups.iter().flatten().collect(),
            Evidence::Spread(_) | Evidence::Onset(_) | Evidence::Fit(_) | Evidence::Refused { .. } => Vec::new(),
        }
    }

    /// The cells that it measures alone.
    pub fn cells(&self) -> Vec<&Arm> {
        match &self.evidence {
            Evidence::Spread(arms) | Evidence::Onset(arms) | Evidence::Fit(arms) => arms.iter().collect(),
            Evidence::Refused { runs, refused } => runs.iter().chain(refused).collect(),
            Evidence::Mean { .. } | Evidence::Between(_) | Evidence::Best(_) => Vec::new(),
        }
    }
}

/// A ratio of costs as the logarithm that statistics work with: 1.05 is 5 % more.
pub fn at_least(support: f64, contradict: f64) -> Rule {
    Rule::AtLeast { support: support.ln(), contradict: contradict.ln() }
}

/// The same of a swing, whose numbers are squares of logarithms: see [`Evidence::Onset`].
pub fn swings_at_least(support: f64, contradict: f64) -> Rule {
    Rule::AtLeast { support: support.ln().powi(2), contradict: contradict.ln().powi(2) }
}

/// No effect: at most the share `within`, and `outside` is one.
pub fn no_more_than(within: f64, outside: f64) -> Rule {
    Rule::Within { within: within.ln_1p(), outside: outside.ln_1p() }
}

/// The alignment class of an operand in bytes, with everything from 16 bytes up as one: no load is wider.
pub fn load_class(problem: &Problem, operand: Operand) -> u64 {
    problem.align_bytes(operand).min(16)
}
