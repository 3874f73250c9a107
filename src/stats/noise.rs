//! Noise like a real machine's, for tests: what the committed CPU record shows, in a few numbers.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

/// A machine whose times are made up. All figures are shares of a time.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    /// Standard deviation of a sample around what the machine is capable of at that moment.
    pub jitter: f64,
    /// Standard deviation of the machine's slow wandering.
    pub drift: f64,
    /// How much of the wandering is left after one sample: 0.9 is ten samples' memory.
    pub memory: f64,
    /// Chance that a sample begins a disturbance, in which samples take up to four times as long.
    pub outliers: f64,
    /// Chance that a disturbance lasts another sample.
    pub lasting: f64,
    /// Standard deviation of what a whole repetition is off by for no reason that it shows.
    pub unseen: f64,
}

impl Noise {
    /// The committed record of two cores of a shared machine: the median cell's jitter of 1.5 %, wandering with an autocorrelation from 0.2 to 0.9,
    /// 2 % of samples disturbed in runs of 1.6 on average.
    pub const RECORDED: Noise =
        Noise { jitter: 0.012, drift: 0.01, memory: 0.9, outliers: 0.0125, lasting: 0.375, unseen: 0.003 };

    /// The same kinds of noise, each scaled, outliers apart.
    pub fn scaled(self, by: f64) -> Noise {
        Noise { jitter: self.jitter * by, drift: self.drift * by, unseen: self.unseen * by, ..self }
    }

    /// Times of samples of A and of B in turn, A B B A, where B takes `effect` (a share) more.
    pub fn pair(&self, blocks: usize, effect: f64, rng: &mut ChaCha8Rng) -> (Vec<f64>, Vec<f64>) {
        let unseen = self.unseen * normal(rng);
        let mut machine = Machine { wandering: self.drift * normal(rng), disturbed: false };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..blocks {
            for is_second in [false, true, true, false] {
                let factor = machine.next(self, rng);
                if is_second {
                    second.push(factor * (1.0 + effect) * unseen.exp());
                } else {
                    first.push(factor);
                }
            }
        }
        (first, second)
    }
}

struct Machine {
    wandering: f64,
    disturbed: bool,
}

impl Machine {
    fn next(&mut self, noise: &Noise, rng: &mut ChaCha8Rng) -> f64 {
        let fresh = (1.0 - noise.memory.powi(2)).sqrt();
        self.wandering = noise.memory * self.wandering + fresh * noise.drift * normal(rng);
        let chance = if self.disturbed { noise.lasting } else { noise.outliers };
        self.disturbed = rng.random::<f64>() < chance;
        let disturbance = if self.disturbed { 1.0 + 3.0 * rng.random::<f64>() } else { 1.0 };
        (self.wandering + noise.jitter * normal(rng)).exp() * disturbance
    }
}

/// A standard normal number.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    Normal::standard().inverse_cdf(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12))
}
