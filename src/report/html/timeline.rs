//! Clock, power and temperature over a run, gathered sample by sample into a fixed number of bins.

use super::line::Sample;
use serde_json::{Value, json};

/// Most bins of a run.
const BINS: usize = 512;

/// Smallest, mean and largest of what fell into a bin.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    lo: f64,
    hi: f64,
    sum: f64,
    count: u64,
}

impl Spread {
    const EMPTY: Spread = Spread { lo: f64::INFINITY, hi: f64::NEG_INFINITY, sum: 0.0, count: 0 };

    fn join(self, other: Spread) -> Spread {
        Spread {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
            sum: self.sum + other.sum,
            count: self.count + other.count,
        }
    }

    fn add(&mut self, value: Option<f64>) {
        if let Some(v) = value {
            *self = self.join(Spread { lo: v, hi: v, sum: v, count: 1 });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bin {
    clock_mhz: Spread,
    power_w: Spread,
    temperature_c: Spread,
    samples: u64,
    throttled: u64,
}

impl Bin {
    const EMPTY: Bin = Bin {
        clock_mhz: Spread::EMPTY,
        power_w: Spread::EMPTY,
        temperature_c: Spread::EMPTY,
        samples: 0,
        throttled: 0,
    };

    fn join(self, other: Bin) -> Bin {
        Bin {
            clock_mhz: self.clock_mhz.join(other.clock_mhz),
            power_w: self.power_w.join(other.power_w),
            temperature_c: self.temperature_c.join(other.temperature_c),
            samples: self.samples + other.samples,
            throttled: self.throttled + other.throttled,
        }
    }
}

/// A run's time, cut into at most [`BINS`] bins of equal width. The width doubles whenever a sample lies beyond the end.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    width_ns: f64,
    bins: Vec<Bin>,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline { width_ns: 1e6, bins: Vec::new() }
    }
}

impl Timeline {
    /// Adds a sample; one without a time is left out.
    pub fn add(&mut self, sample: &Sample) {
        use super::line::Maybe::Is;
        let Is(at_ns) = sample.at_ns else { return };
        // A hundred years; later ones come from a damaged record.
        if !(0.0..=3.2e18).contains(&at_ns) {
            return;
        }
        while at_ns >= self.width_ns * BINS as f64 {
            self.halve();
        }
        let place = (at_ns / self.width_ns) as usize;
        if self.bins.len() <= place {
            self.bins.resize(place + 1, Bin::EMPTY);
        }
        let bin = &mut self.bins[place];
        let number = |value: &super::line::Maybe<f64>| match value {
            Is(v) if v.is_finite() && *v >= 0.0 => Some(*v),
            _ => None,
        };
        bin.clock_mhz.add(number(&sample.clock_mhz));
        bin.power_w.add(number(&sample.power_mw).map(|mw| mw / 1000.0));
        bin.temperature_c.add(number(&sample.temperature_c));
        bin.samples += 1;
        bin.throttled += u64::from(matches!(sample.throttled, Is(true)));
    }

    fn halve(&mut self) {
        self.width_ns *= 2.0;
        self.bins = self.bins.chunks(2).map(|two| two[1..].iter().fold(two[0], |a, b| a.join(*b))).collect();
    }

    /// At most `most` bins, for the page: `width_s`, and for each quantity that was sampled its `lo`, `mean` and `hi` by bin,
    /// `null` where a bin is empty. `null` where nothing was sampled.
    pub fn json(mut self, most: usize) -> Value {
        while self.bins.len() > most.max(1) {
            self.halve();
        }
        if self.bins.iter().all(|b| b.clock_mhz.count + b.power_w.count + b.temperature_c.count == 0) {
            return Value::Null;
        }
        let spread = |of: fn(&Bin) -> Spread| {
            if self.bins.iter().all(|b| of(b).count == 0) {
                return Value::Null;
            }
            let list = |number: fn(Spread) -> f64| -> Vec<Value> {
                let value = |s: Spread| if s.count == 0 { Value::Null } else { super::columns::digits(number(s), 4) };
                self.bins.iter().map(|b| value(of(b))).collect()
            };
            json!({ "lo": list(|s| s.lo), "mean": list(|s| s.sum / s.count as f64), "hi": list(|s| s.hi) })
        };
        json!({
            "width_s": self.width_ns * 1e-9,
            "clock_mhz": spread(|b| b.clock_mhz),
            "power_w": spread(|b| b.power_w),
            "temperature_c": spread(|b| b.temperature_c),
            "samples": self.bins.iter().map(|b| b.samples).collect::<Vec<_>>(),
            "throttled": self.bins.iter().map(|b| b.throttled).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ns: f64, clock: f64) -> Sample {
        serde_json::from_value(json!({ "at_ns": at_ns, "clock_mhz": clock, "throttled": clock < 1000.0 })).unwrap()
    }

    #[test]
    fn a_long_run_keeps_its_extremes_and_its_mean_in_few_bins() {
        let mut timeline = Timeline::default();
        for i in 0..100_000u64 {
            timeline.add(&sample(i as f64 * 1e7, if i == 70_000 { 500.0 } else { 1500.0 + (i % 2) as f64 }));
        }
        let drawn = timeline.json(100);
        let clock = &drawn["clock_mhz"];
        let of = |name: &str| clock[name].as_array().unwrap().iter().filter_map(Value::as_f64).collect::<Vec<_>>();
        assert!(of("mean").len() <= 100 && of("mean").len() > 40);
        assert_eq!(of("lo").into_iter().fold(f64::INFINITY, f64::min), 500.0);
        assert_eq!(of("hi").into_iter().fold(0.0, f64::max), 1501.0);
        let counts = |name: &str| drawn[name].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!((counts("samples"), counts("throttled")), (100_000, 1));
        assert!(drawn["width_s"].as_f64().unwrap() * of("mean").len() as f64 >= 999.0);
    }

    #[test]
    fn times_that_cannot_be_are_left_out_and_nothing_is_null() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.clone().json(10), Value::Null);
        timeline.add(&sample(-1.0, 1.0));
        timeline.add(&sample(1e300, 1.0));
        timeline.add(&Sample::default());
        assert_eq!(timeline.clone().json(10), Value::Null);
        timeline.add(&sample(3e18, 1200.0));
        let drawn = timeline.json(10);
        assert_eq!(drawn["power_w"], Value::Null);
        assert!(drawn["clock_mhz"]["mean"].as_array().unwrap().len() <= 10);
    }
}
