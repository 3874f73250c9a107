//! A time taken apart into causes.

use serde::{Serialize, Serializer};

/// What time is spent on. In this order each cause is what its admission adds to the time without it and those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// 2·m·n·k at the peak of the device's multipliers.
    Useful,
    /// What the kernel's multiplying unit stays below that peak, at its best shapes.
    Kernel,
    /// Products of the last k tile beyond k.
    KTail,
    /// Products of the last row and column of tiles beyond m and n.
    TileTail,
    /// Multiprocessors without a tile in the last wave, or in a cluster that cannot be placed.
    WaveTail,
    /// Instructions of a load path narrower than the kernel's widest.
    Alignment,
    /// Waiting for DRAM or L2 beyond the time that the multipliers need.
    Memory,
    /// Filling the pipeline before the first product of a wave and storing C after the last.
    Ends,
    /// Adding up the slices of split-K.
    Reduction,
    /// Copying operands into rows that the kernel can take.
    Pack,
    /// Starting the kernel, and each further one that belongs to it.
    Launch,
}

impl Cause {
    /// All of them, in order.
    pub const ALL: [Cause; 11] = [
        Cause::Useful,
        Cause::Kernel,
        Cause::KTail,
        Cause::TileTail,
        Cause::WaveTail,
        Cause::Alignment,
        Cause::Memory,
        Cause::Ends,
        Cause::Reduction,
        Cause::Pack,
        Cause::Launch,
    ];

    /// Two or three words for a table.
    pub const fn title(self) -> &'static str {
        match self {
            Cause::Useful => "useful work",
            Cause::Kernel => "kernel below peak",
            Cause::KTail => "K tail",
            Cause::TileTail => "tile tail",
            Cause::WaveTail => "wave tail",
            Cause::Alignment => "alignment",
            Cause::Memory => "memory",
            Cause::Ends => "fill and drain",
            Cause::Reduction => "split-K reduction",
            Cause::Pack => "packing",
            Cause::Launch => "launch",
        }
    }
}

/// One cause's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The cause.
    pub cause: Cause,
    /// Its time, in picoseconds.
    #[serde(rename = "time_ns", serialize_with = "as_ns")]
    pub time_ps: u64,
}

fn as_ns<S: Serializer>(ps: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*ps as f64 / 1e3)
}

impl Part {
    /// Its time in nanoseconds.
    pub fn ns(&self) -> f64 {
        self.time_ps as f64 / 1e3
    }
}

/// A time and its parts, which add up to it exactly: both are whole picoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Budget {
    parts: [Part; Cause::ALL.len()],
}

impl Budget {
    /// From the time that passes when every cause up to and including `Cause::ALL[i]` is admitted, in nanoseconds.
    ///
    /// A time that falls from one cause to the next, or is no number, counts as equal to the one before.
    pub(super) fn from_cumulative(ns: [f64; Cause::ALL.len()]) -> Self {
        let mut before = 0;
        let parts = std::array::from_fn(|i| {
            // A cast of a float saturates, and takes what is no number for 0.
            let until = ((ns[i] * 1e3).round() as u64).max(before);
            let part = Part { cause: Cause::ALL[i], time_ps: until - before };
            before = until;
            part
        });
        Budget { parts }
    }

    /// The parts, in the order of [`Cause::ALL`]; those of no time are among them.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The time of a cause, in nanoseconds.
    pub fn ns(&self, cause: Cause) -> f64 {
        self.parts[cause as usize].ns()
    }

    /// The whole, in picoseconds.
    pub fn total_ps(&self) -> u64 {
        self.parts.iter().map(|p| p.time_ps).sum()
    }

    /// The whole, in nanoseconds.
    pub fn total_ns(&self) -> f64 {
        self.total_ps() as f64 / 1e3
    }

    /// A cause's share of the whole; 0 where the whole is 0.
    pub fn share(&self, cause: Cause) -> f64 {
        let total = self.total_ps();
        if total == 0 { 0.0 } else { self.parts[cause as usize].time_ps as f64 / total as f64 }
    }

    /// The largest part apart from the useful work and the kernel's own ceiling: what the shape is to blame for.
    pub fn worst(&self) -> Part {
        let shape = self.parts.iter().filter(|p| !matches!(p.cause, Cause::Useful | Cause::Kernel));
        shape.copied().max_by_key(|p| p.time_ps).expect("there are causes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn causes_are_in_the_order_of_their_list() {
        for (i, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, i);
        }
    }

    proptest! {
        #[test]
        fn parts_add_up_whatever_the_times(ns in prop::array::uniform11(prop::num::f64::ANY)) {
            let budget = Budget::from_cumulative(ns);
            let sum: u64 = budget.parts().iter().map(|p| p.time_ps).sum();
            prop_assert_eq!(sum, budget.total_ps());
            let shares: f64 = Cause::ALL.iter().map(|&c| budget.share(c)).sum();
            prop_assert!(budget.total_ps() == 0 || (shares - 1.0).abs() < 1e-12);
        }

        #[test]
        fn the_whole_is_the_last_cumulative_time(steps in prop::array::uniform11(0.0f64..1e9)) {
            let mut ns = steps;
            for i in 1..ns.len() { ns[i] += ns[i - 1]; }
            let budget = Budget::from_cumulative(ns);
            prop_assert!((budget.total_ns() - ns[10]).abs() <= 0.001);
            for (i, cause) in Cause::ALL.into_iter().enumerate() {
                prop_assert!((budget.ns(cause) - steps[i]).abs() <= 0.0021);
            }
        }
    }
}
