//! Claims that are arithmetic: what was claimed, and what it comes to.

/// A number that was claimed, beside the one that follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The statement.
    pub says: String,
    /// What was claimed.
    pub claimed: f64,
    /// What follows.
    pub found: f64,
    /// How far the two may be apart.
    pub tolerance: f64,
    /// What is so where the statement is not, in a sentence; the two numbers otherwise.
    pub instead: Option<String>,
}

impl Fact {
    /// A number that must be near another.
    pub fn near(says: &str, claimed: f64, found: f64, tolerance: f64) -> Self {
        Fact { says: says.to_owned(), claimed, found, tolerance, instead: None }
    }

    /// A statement that must be true.
    pub fn holds(says: &str, truth: bool) -> Self {
        Fact::near(says, 1.0, f64::from(u8::from(truth)), 0.0)
    }

    /// The same statement with what is to be said where it is wrong.
    #[must_use]
    pub fn instead(self, instead: String) -> Self {
        Fact { instead: Some(instead), ..self }
    }

    /// Whether what follows is what was claimed.
    pub fn is_right(&self) -> bool {
        (self.claimed - self.found).abs() <= self.tolerance
    }
}

/// FLOP a byte of an FP16 GEMM that moves each matrix once: mnk / (mn + nk + mk).
pub fn intensity(m: u64, n: u64, k: u64) -> f64 {
    let [m, n, k] = [m, n, k].map(|x| x as f64);
    m * n * k / (m * n + n * k + m * k)
}

/// The smallest batch at which a layer of `features` inputs and outputs has this intensity.
pub fn batch_for_intensity(features: u64, flop_per_byte: f64) -> f64 {
    let f = features as f64;
    (flop_per_byte * f / (f - 2.0 * flop_per_byte)).ceil()
}

/// Waves of tiles that a result of m x n takes on so many places.
pub fn waves(m: u64, n: u64, tile: [u64; 2], places: u64) -> f64 {
    (m.div_ceil(tile[0]) * n.div_ceil(tile[1])) as f64 / places as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_tell_right_from_wrong() {
        assert!(Fact::near("", 1.5, 1.51, 0.02).is_right() && !Fact::near("", 1.5, 1.6, 0.02).is_right());
        assert!(Fact::holds("", true).is_right() && !Fact::holds("", false).is_right());
        assert!(!Fact::near("", 1.0, f64::NAN, 1.0).is_right());
    }

    #[test]
    fn a_batch_for_an_intensity_reaches_it_and_the_one_below_does_not() {
        for (f, ratio) in [(1024u64, 138.9), (4096, 295.2), (8192, 206.0)] {
            let b = batch_for_intensity(f, ratio) as u64;
            assert!(intensity(b, f, f) >= ratio && intensity(b - 1, f, f) < ratio, "{f} {ratio} {b}");
        }
    }
}
