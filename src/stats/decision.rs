//! What an estimate decides about a question: yes, no, or neither.

use super::Estimate;

/// What is asked of an effect. All numbers are logarithms of ratios, so that 0 is no effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// There is an effect of about `support` or more; at `contradict` or less there is none to speak of.
    AtLeast {
        /// The least effect that is what the claim speaks of.
        support: f64,
        /// The largest effect that is not.
        contradict: f64,
    },
    /// There is no effect: at most `within` either way; at `outside` or more there is one.
    Within {
        /// What counts as none.
        within: f64,
        /// What counts as one. Not less than `within`.
        outside: f64,
    },
}

/// What an estimate leans towards, and how surely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// Yes, with the two-sided p-value of the opposite.
    Yes(f64),
    /// No, with the two-sided p-value of the opposite.
    No(f64),
    /// There is an effect, and it is smaller than the question speaks of.
    Between,
    /// The estimate allows both answers.
    Neither,
}

impl Decision {
    /// The p-value, where something was decided.
    pub fn p(self) -> Option<f64> {
        match self {
            Decision::Yes(p) | Decision::No(p) => Some(p),
            Decision::Between | Decision::Neither => None,
        }
    }
}

/// Decides at a two-sided level of `alpha`.
///
/// `AtLeast` is a yes where the whole interval is above `contradict` and reaches `support`, and a no where it is wholly below `support` and
/// reaches `contradict`: an effect of exactly `contradict` is called one, and an effect of exactly `support` is denied, in at most
/// `alpha / 2` of all trials. `Within` is a yes where the interval lies inside of `outside` and reaches `within`, and a no where it lies outside
/// of `within` and reaches `outside`. An interval too wide for either decides nothing.
pub fn decide(estimate: &Estimate, rule: Rule, alpha: f64) -> Decision {
    let (lo, hi) = estimate.interval(alpha);
    match rule {
        Rule::AtLeast { support, contradict } => match (lo > contradict, hi < support) {
            (true, false) => Decision::Yes((2.0 * estimate.p_at_most(contradict)).min(1.0)),
            (false, true) => Decision::No((2.0 * estimate.p_at_least(support)).min(1.0)),
            (true, true) => Decision::Between,
            (false, false) => Decision::Neither,
        },
        Rule::Within { within, outside } => {
            let inside = -outside < lo && hi < outside;
            let beyond = lo > within || hi < -within;
            match (inside, beyond) {
                (true, false) => {
                    let p = estimate.p_at_least(outside).max(estimate.p_at_most(-outside));
                    Decision::Yes((2.0 * p).min(1.0))
                }
                (false, true) => {
                    let p = estimate.p_at_most(within).min(estimate.p_at_least(-within));
                    Decision::No((2.0 * p).min(1.0))
                }
                (true, true) => Decision::Between,
                (false, false) => Decision::Neither,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(value: f64, se: f64) -> Estimate {
        Estimate { value, se, df: 1e6 }
    }

    #[test]
    fn an_effect_is_found_denied_or_left_open() {
        let rule = Rule::AtLeast { support: 0.05, contradict: 0.01 };
        assert!(matches!(decide(&at(0.06, 0.005), rule, 0.05), Decision::Yes(p) if p < 1e-6));
        assert!(matches!(decide(&at(0.00, 0.005), rule, 0.05), Decision::No(p) if p < 1e-6));
        assert!(matches!(decide(&at(-0.30, 0.005), rule, 0.05), Decision::No(_)));
        assert_eq!(decide(&at(0.03, 0.005), rule, 0.05), Decision::Between);
        assert_eq!(decide(&at(0.03, 0.05), rule, 0.05), Decision::Neither);
    }

    #[test]
    fn the_absence_of_an_effect_needs_an_interval_that_excludes_one() {
        let rule = Rule::Within { within: 0.01, outside: 0.03 };
        assert!(matches!(decide(&at(0.002, 0.004), rule, 0.05), Decision::Yes(_)));
        assert!(matches!(decide(&at(0.05, 0.004), rule, 0.05), Decision::No(_)));
        assert!(matches!(decide(&at(-0.05, 0.004), rule, 0.05), Decision::No(_)));
        assert_eq!(decide(&at(0.02, 0.002), rule, 0.05), Decision::Between);
        // No effect seen, and none excluded: noise is not evidence of absence.
        assert_eq!(decide(&at(0.0, 0.05), rule, 0.05), Decision::Neither);
    }

    proptest! {
        #[test]
        fn decisions_stand_exactly_where_their_p_value_is_below_alpha(
            value in -0.2f64..0.2, se in 1e-4f64..0.1, df in 2.0f64..50.0, within in any::<bool>(), alpha in 0.001f64..0.2,
        ) {
            let rule = if within { Rule::Within { within: 0.01, outside: 0.03 } }
                else { Rule::AtLeast { support: 0.05, contradict: 0.01 } };
            let estimate = Estimate { value, se, df };
            if let Some(p) = decide(&estimate, rule, alpha).p() {
                prop_assert!(p <= alpha + 1e-9, "{p} {alpha}");
            }
        }
    }
}
