//! What a size costs beside what its neighbours on both sides say it should.
//!
//! A deeper product costs less per FLOP whatever its depth is made of, because filling and draining a tile is shared by more of it. The mean of a smaller
//! and a larger neighbour does not take that off: where time hardly depends on k, 80 between 64 and 128 comes out 13 % too dear. A time that
//! is a constant and a part in proportion to k lies on the straight line between its neighbours' times, and the effect is what it is above that line.

use super::evidence::{Both, Compared};
use super::experiment::Comparison;
use super::judge::Judge;
use super::records::Key;
use crate::stats::{combine, interpolated};
use std::collections::BTreeMap;

impl Judge<'_> {
    /// By how much each second arm is above the line through the two first arms, of which one is less deep than it and one deeper.
    pub(super) fn between(&self, pairs: &[[Comparison; 2]]) -> (Vec<Compared>, Option<Both>) {
        let mut compared = Vec::new();
        let (mut effects, mut shared) = (Vec::new(), 0f64);
        for pair in pairs {
            let both = pair.each_ref().map(|c| self.compare(c));
            if let ([Some(less_deep), Some(deeper)], Some(share)) = (both.each_ref().map(|c| c.effect), share(pair)) {
                effects.extend(Both::zip(&[less_deep, deeper], |e| Some(interpolated(&e[0], &e[1], share))));
                shared = both.iter().map(|c| c.shared).fold(shared, f64::max);
            }
            compared.extend(both);
        }
        let mean = Both::zip(&effects, combine);
        (compared, mean.map(|mean| Both { time: mean.time.with_error(shared), ..mean }))
    }
}

/// How much of the line's height at the second arm is the less deep neighbour's; `None` where it does not lie between the two.
fn share([less_deep, deeper]: &[Comparison; 2]) -> Option<f64> {
    let [below, at, above] = [&less_deep.first, &less_deep.second, &deeper.first].map(|arm| arm.problem.k as f64);
    (below < at && at < above).then(|| (above - at) / (above - below))
}

/// The pairs among comparisons with a less deep and with a deeper first arm that have one second arm in common, and sizes and strides but for k.
pub(super) fn pairs(less_deep: Vec<Comparison>, deeper: Vec<Comparison>) -> Vec<[Comparison; 2]> {
    let mut above: BTreeMap<(Key, String), Comparison> = BTreeMap::new();
    for c in deeper {
        above.entry((Key::of_arm(&c.second), c.second.kernel.clone())).or_insert(c);
    }
    let with = |c: Comparison| {
        let other = above.get(&(Key::of_arm(&c.second), c.second.kernel.clone()))?.clone();
        let alike = |a: &Comparison, b: &Comparison| {
            (a.first.problem.m, a.first.problem.n) == (b.first.problem.m, b.first.problem.n)
        };
        let pair = [c, other];
        (alike(&pair[0], &pair[1]) && share(&pair).is_some()).then_some(pair)
    };
    less_deep.into_iter().filter_map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{World, gpu};
    use super::super::{Records, find, judge};
    use crate::device::cpu;
    use crate::record::Finding;
    use crate::stats::noise::Noise;
    use crate::sweep::Cell;

    const CALM: Noise =
        Noise { jitter: 0.005, drift: 0.01, memory: 0.9, outliers: 0.005, lasting: 0.3, unseen: 0.0005 };

    /// The verdict on heads of 80 where a launch takes as long as its depth says.
    fn verdict(ns: impl Fn(u64) -> f64) -> Vec<(Finding, String)> {
        let claim = find("FK-03").unwrap();
        let devices = [gpu(132), cpu::info()];
        let one = |device: &crate::device::DeviceInfo| {
            let cost = |cells: &[Cell], side: usize| ns(cells[side].problem.k);
            let world = World { device: device.clone(), noise: CALM, blocks: 12, cost_ns: &cost, clock_mhz: [None; 2] };
            let verdicts = judge(&[claim], &Records::new(vec![world.run(&[claim], 5)]).unwrap());
            (verdicts.verdicts[0].verdict, verdicts.verdicts[0].reason.clone())
        };
        devices.iter().map(one).collect()
    }

    #[test]
    fn depth_alone_is_no_effect_however_much_of_the_time_it_makes_up() {
        for (constant, slope) in [(2e5, 0.0), (0.0, 2e3), (2e5, 1e3)] {
            for (finding, reason) in verdict(|k| constant + slope * k as f64) {
                assert_ne!(finding, Finding::Supported, "{constant} + {slope} k: {reason}");
            }
        }
    }

    #[test]
    fn steps_of_sixty_four_are_an_effect() {
        for (finding, reason) in verdict(|k| 2e5 + 1e3 * k.next_multiple_of(64) as f64) {
            assert_eq!(finding, Finding::Supported, "{reason}");
        }
    }
}
