//! Numbers to colours and to text: ranges with round ends, ticks, units, and the viridis map.

use plotters::style::RGBColor;
use plotters::style::colors::colormaps::ViridisRGB;

/// A range of values with evenly spaced round ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    /// Lower end, a multiple of `step`.
    pub lo: f64,
    /// Upper end, a multiple of `step` above `lo`.
    pub hi: f64,
    /// Distance between ticks.
    pub step: f64,
    /// `TFLOP/s`, `GFLOP/s` or `% of aligned`.
    pub unit: &'static str,
    /// A value to mark on the colour bar.
    pub mark: Option<f64>,
}

impl Scale {
    /// The scale for some values, `None` without any.
    pub fn of(values: impl IntoIterator<Item = f64>, unit: &'static str, mark: Option<f64>) -> Option<Scale> {
        let (lo, hi) = values.into_iter().chain(mark).fold(None, |range, v| match range {
            None => Some((v, v)),
            Some((lo, hi)) => Some((f64::min(lo, v), f64::max(hi, v))),
        })?;
        // A single value still needs a range; one tenth of it shows that nothing differs.
        let (lo, hi) =
            if hi - lo > 1e-9 * hi.abs() { (lo, hi) } else { (lo * 0.95, if hi > 0.0 { hi * 1.05 } else { 1.0 }) };
        let step = round_step((hi - lo) / 8.0);
        // A tick that misses its end by rounding alone is still that end.
        let (lo, hi) = ((lo / step + 1e-9).floor() * step, (hi / step - 1e-9).ceil() * step);
        Some(Scale { lo, hi, step, unit, mark })
    }

    /// Where a value lies, from 0 to 1.
    pub fn position(&self, value: f64) -> f64 {
        ((value - self.lo) / (self.hi - self.lo)).clamp(0.0, 1.0)
    }

    /// The ticks, both ends included.
    pub fn ticks(&self) -> Vec<f64> {
        let count = ((self.hi - self.lo) / self.step).round() as u32;
        (0..=count).map(|i| self.lo + f64::from(i) * self.step).collect()
    }

    /// A tick as text, with as many decimals as the step needs.
    pub fn tick_name(&self, tick: f64) -> String {
        let decimals = (0..9).find(|&d| {
            let shifted = self.step * 10f64.powi(d);
            (shifted - shifted.round()).abs() < 1e-6
        });
        // Adding zero turns a negative zero into a plain one.
        format!("{:.*}", decimals.unwrap_or(9) as usize, tick + 0.0)
    }

    /// The colour of a value.
    pub fn colour(&self, value: f64) -> RGBColor {
        // 256 steps are finer than an eye can tell, and let neighbours share a rectangle.
        viridis((self.position(value) * 255.0).round() / 255.0)
    }
}

/// 1, 2, 2.5 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let magnitude = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|f| f * magnitude >= least * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * magnitude
}

/// The viridis map, for positions from 0 to 1.
pub(super) fn viridis(position: f64) -> RGBColor {
    ViridisRGB::get_color(position)
}

/// Whether black is easier to read on a colour than white.
pub(super) fn is_light(colour: RGBColor) -> bool {
    0.299 * f64::from(colour.0) + 0.587 * f64::from(colour.1) + 0.114 * f64::from(colour.2) > 115.0
}

/// The unit for throughputs up to `max_tflops`, and what to multiply 10^12 FLOP per second with.
pub(super) fn throughput_unit(max_tflops: f64) -> (&'static str, f64) {
    if max_tflops < 1.0 { ("GFLOP/s", 1000.0) } else { ("TFLOP/s", 1.0) }
}

/// A value in at most three significant digits.
pub(super) fn short(value: f64) -> String {
    // Compared after rounding, so that 99.96 becomes 100 and not 100.0.
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_on_round_ticks() {
        let scale = Scale::of([312.0, 655.0, 401.0], "TFLOP/s", None).unwrap();
        assert_eq!((scale.lo, scale.hi, scale.step), (300.0, 700.0, 50.0));
        assert_eq!(scale.ticks().len(), 9);
        assert_eq!(scale.tick_name(400.0), "400");
        let fine = Scale::of([0.105, 0.19], "GFLOP/s", None).unwrap();
        assert_eq!(
            fine.ticks().iter().map(|&t| fine.tick_name(t)).collect::<Vec<_>>(),
            ["0.10", "0.12", "0.14", "0.16", "0.18", "0.20"]
        );
        assert_eq!(Scale::of([], "TFLOP/s", None), None);
    }

    #[test]
    fn one_value_still_has_a_range_around_it() {
        for value in [0.0, 3.5e-4, 1.0, 980.0] {
            let scale = Scale::of([value], "TFLOP/s", None).unwrap();
            assert!(scale.lo <= value && value <= scale.hi && scale.lo < scale.hi, "{scale:?}");
        }
    }

    #[test]
    fn the_mark_is_always_on_the_scale() {
        let scale = Scale::of([61.0, 84.0], "%", Some(100.0)).unwrap();
        assert!(scale.hi >= 100.0);
    }

    #[test]
    fn viridis_grows_lighter_all_the_way() {
        assert_eq!(viridis(0.0), RGBColor(68, 1, 84));
        assert_eq!(viridis(1.0), RGBColor(254, 232, 37));
        let light = |c: RGBColor| 0.299 * f64::from(c.0) + 0.587 * f64::from(c.1) + 0.114 * f64::from(c.2);
        for i in 0..50 {
            assert!(light(viridis(f64::from(i) / 50.0)) < light(viridis(f64::from(i + 1) / 50.0)), "at {i}");
        }
    }

    #[test]
    fn three_digits() {
        assert_eq!([655.4, 99.96, 12.34, 9.999, 1.5, 0.126].map(short), ["655", "100", "12.3", "10.0", "1.50", "0.13"]);
        assert_eq!(throughput_unit(0.26), ("GFLOP/s", 1000.0));
        assert_eq!(throughput_unit(655.0), ("TFLOP/s", 1.0));
    }
}
