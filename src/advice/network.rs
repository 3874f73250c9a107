//! A model's layers, the GEMMs of their training step, and what to change about them.

use super::layer::{Layer, count};
use super::nearby::{Better, Change, Worth, nearby};
use super::{Candidate, Planner};
use crate::problem::{DType, MAX_SIZE, Problem, ProblemError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A list of layers, as in `docs/examples/gpt2.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What it is called.
    pub name: String,
    /// Items in a batch: sequences, images.
    #[serde(deserialize_with = "count")]
    pub batch: u64,
    /// Whether the two GEMMs of the backward pass count as well.
    #[serde(default = "yes")]
    pub train: bool,
    /// Element type of every operand.
    #[serde(default)]
    pub dtype: DType,
    /// The layers.
    #[serde(rename = "layer")]
    pub layers: Vec<Layer>,
}

fn yes() -> bool {
    true
}

/// A list of layers that cannot be used.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// Not TOML, or not of this format.
    #[error("not a list of layers: {0}; docs/ADVICE.md describes the format")]
    Format(Box<toml::de::Error>),
    /// No layer.
    #[error("the list {name:?} has no layer; add a [[layer]]")]
    Empty {
        /// The network.
        name: String,
    },
    /// A GEMM that no kernel can index.
    #[error("layer {layer:?}, {pass}: {why}")]
    Problem {
        /// The layer.
        layer: String,
        /// `forward`, `dgrad` or `wgrad`.
        pass: &'static str,
        /// What is wrong.
        why: ProblemError,
    },
}

impl Network {
    /// Reads a list of layers.
    ///
    /// # Errors
    /// Text that is not TOML, a field that is missing, unknown or of another type, or a size out of range: the error names the place.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let network: Network = toml::from_str(text).map_err(|e| NetworkError::Format(Box::new(e)))?;
        if network.layers.is_empty() {
            return Err(NetworkError::Empty { name: network.name });
        }
        network.check(network.batch)?;
        Ok(network)
    }

    /// Whether every GEMM at a batch is one that a kernel can index.
    ///
    /// # Errors
    /// The first that is not, with the layer's name.
    pub fn check(&self, batch: u64) -> Result<(), NetworkError> {
        for layer in &self.layers {
            for pass in layer.passes(batch, self.train, self.dtype) {
                pass.problem.validate().map_err(|why| NetworkError::Problem {
                    layer: layer.name().to_owned(),
                    pass: pass.name,
                    why,
                })?;
            }
        }
        Ok(())
    }

    /// Predicted time of one step at a batch, in nanoseconds.
    pub fn step_ns(&self, batch: u64, planner: &Planner) -> f64 {
        let of = |layer: &Layer| -> f64 {
            let passes = layer.passes(batch, self.train, self.dtype);
            layer.count() as f64 * passes.iter().map(|p| planner.ns(&p.problem)).sum::<f64>()
        };
        self.layers.iter().map(of).sum()
    }
}

/// What to change about a layer's channels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Widen {
    /// `inputs` or `outputs`.
    pub field: &'static str,
    /// The size so far.
    pub from: u64,
    /// The new size.
    pub to: u64,
    /// Time of all of the layer's GEMMs then.
    pub time_ns: f64,
    /// The layer's time now over then.
    pub speed_up: f64,
    /// Share of the whole step that is saved.
    pub saved: f64,
}

/// What a pass costs and what would be cheaper.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassAdvice {
    /// `forward`, `dgrad` or `wgrad`.
    pub pass: &'static str,
    /// The GEMM.
    pub problem: Problem,
    /// The kernel and its prediction.
    pub now: Candidate,
    /// The strides that make it cheaper, if any do.
    pub strides: Option<Better>,
}

/// What a layer costs and what would be cheaper.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerAdvice {
    /// What it is called.
    pub name: String,
    /// How many there are of it.
    pub count: u64,
    /// Time of all of them, all passes.
    pub time_ns: f64,
    /// Share of the step.
    pub share: f64,
    /// Its GEMMs.
    pub passes: Vec<PassAdvice>,
    /// Sizes of its inputs and outputs that make the layer cheaper, zeros and all.
    pub widen: Vec<Widen>,
}

/// What a network costs and what would be cheaper.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The network.
    pub name: String,
    /// Items in a batch.
    pub batch: u64,
    /// Time of a step.
    pub step_ns: f64,
    /// 2·m·n·k of all GEMMs.
    pub flop: u64,
    /// The layers, the most expensive first.
    pub layers: Vec<LayerAdvice>,
}

/// Goes through a network's layers at its batch.
pub fn advise(network: &Network, planner: &Planner) -> Advice {
    let step_ns = network.step_ns(network.batch, planner);
    let mut flop = 0u64;
    let mut layers: Vec<LayerAdvice> = network
        .layers
        .iter()
        .map(|layer| {
            let count = layer.count();
            let passes: Vec<PassAdvice> = layer
                .passes(network.batch, network.train, network.dtype)
                .into_iter()
                .map(|pass| {
                    flop = flop.saturating_add(pass.problem.flop().saturating_mul(count));
                    let strides = nearby(&pass.problem, planner);
                    PassAdvice {
                        pass: pass.name,
                        problem: pass.problem,
                        now: planner.best(&pass.problem),
                        strides: strides.into_iter().find(|b| matches!(b.change, Change::Strides { .. })),
                    }
                })
                .collect();
            let one_ns: f64 = passes.iter().map(|p| p.now.prediction.total_ns()).sum();
            let time_ns = one_ns * count as f64;
            let share = time_ns / step_ns;
            LayerAdvice {
                name: layer.name().to_owned(),
                count,
                time_ns,
                share,
                passes,
                widen: widen(layer, network, planner, one_ns, share),
            }
        })
        .collect();
    layers.sort_by(|a, b| b.time_ns.total_cmp(&a.time_ns));
    Advice { name: network.name.clone(), batch: network.batch, step_ns, flop, layers }
}

/// Rounds a layer's inputs and outputs up, and keeps what makes all of its GEMMs together cheaper by a per cent.
fn widen(layer: &Layer, network: &Network, planner: &Planner, now_ns: f64, share: f64) -> Vec<Widen> {
    let fields = |layer: &Layer| match layer {
        Layer::Linear { inputs, outputs, .. } | Layer::Conv { inputs, outputs, .. } => Some((*inputs, *outputs)),
        Layer::Gemm { .. } => None,
    };
    let Some((inputs, outputs)) = fields(layer) else { return Vec::new() };
    let mut found: Vec<Widen> = Vec::new();
    for (field, from) in [("inputs", inputs), ("outputs", outputs)] {
        let mut best: Option<Widen> = None;
        for multiple in [8, 64, 128, 256] {
            let to = from.next_multiple_of(multiple);
            if to == from || to > MAX_SIZE {
                continue;
            }
            let mut wider = layer.clone();
            match &mut wider {
                Layer::Linear { inputs, outputs, .. } | Layer::Conv { inputs, outputs, .. } => {
                    *(if field == "inputs" { inputs } else { outputs }) = to;
                }
                Layer::Gemm { .. } => {}
            }
            let passes = wider.passes(network.batch, network.train, network.dtype);
            let time_ns: f64 = passes.iter().map(|p| planner.ns(&p.problem)).sum();
            let least = best.as_ref().map_or(now_ns * 0.99, |b: &Widen| b.time_ns * 0.995);
            if time_ns < least {
                let saved = share * (1.0 - time_ns / now_ns);
                best = Some(Widen { field, from, to, time_ns, speed_up: now_ns / time_ns, saved });
            }
        }
        found.extend(best);
    }
    found
}

impl LayerAdvice {
    /// The time that padded strides save in every pass, copies made each time where that still pays, in nanoseconds for all layers.
    pub fn saved_by_strides_ns(&self) -> f64 {
        let of = |p: &PassAdvice| match &p.strides {
            Some(b) if b.worth == Worth::EvenWithCopy => p.now.prediction.total_ns() - b.time_ns - b.copy_ns,
            _ => 0.0,
        };
        self.count as f64 * self.passes.iter().map(of).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::Family;
    use crate::model::DeviceDescription;

    const GPT2: &str = include_str!("../../docs/examples/gpt2.toml");
    const GO: &str = include_str!("../../docs/examples/go-net.toml");

    fn planner() -> Planner {
        Planner::described(DeviceDescription::named("h100-sxm").unwrap(), Family::Library)
    }

    #[test]
    fn the_gemms_of_a_linear_layer_are_the_guide_s() {
        // NV-13: with X[b, in], W[out, in], Y[b, out] stored by rows, the batch is m, m, and then k.
        let layer = Layer::Linear { name: "fc".into(), count: 1, inputs: 1024, outputs: 4096, rows: 1 };
        let passes = layer.passes(512, true, DType::F16);
        let sizes: Vec<_> = passes.iter().map(|p| (p.name, p.problem.m, p.problem.n, p.problem.k)).collect();
        assert_eq!(sizes, [("forward", 512, 4096, 1024), ("dgrad", 512, 1024, 4096), ("wgrad", 4096, 1024, 512)]);
        // The batch is contiguous nowhere: no leading dimension is the batch.
        for p in &passes {
            assert!(![p.problem.lda, p.problem.ldb, p.problem.ldc].contains(&512), "{}", p.name);
            p.problem.validate().unwrap();
        }
        // The forward pass has all of NV-17's intensity.
        assert!((passes[0].problem.intensity() - 315.08).abs() < 0.005);
    }

    #[test]
    fn a_vocabulary_of_50257_misaligns_the_gradients_loads_and_only_the_forward_store() {
        use crate::problem::Operand;
        let head = Layer::Linear { name: "head".into(), count: 1, inputs: 768, outputs: 50257, rows: 1024 };
        let aligned: Vec<[bool; 3]> = head
            .passes(12, true, DType::F16)
            .iter()
            .map(|p| Operand::ALL.map(|o| p.problem.align_bytes(o) >= 16))
            .collect();
        assert_eq!(aligned, [[true, true, false], [false, true, true], [false, true, true]]);
    }

    #[test]
    fn the_examples_are_read_and_advised_on() {
        let gpt2 = Network::parse(GPT2).unwrap();
        let advice = advise(&gpt2, &planner());
        let shares: f64 = advice.layers.iter().map(|l| l.share).sum();
        assert!((shares - 1.0).abs() < 1e-9);
        let head = advice.layers.iter().find(|l| l.widen.iter().any(|w| w.from == 50257)).unwrap();
        let widen = head.widen.iter().find(|w| w.from == 50257).unwrap();
        assert!(widen.to % 8 == 0 && widen.speed_up > 1.2, "{widen:?}");
        // Nothing else in GPT-2 is misaligned.
        for layer in advice.layers.iter().filter(|l| l.name != head.name) {
            assert!(layer.passes.iter().all(|p| p.strides.is_none()), "{}", layer.name);
        }
        let go = Network::parse(GO).unwrap();
        assert!(advise(&go, &planner()).step_ns > 0.0);
        assert_eq!(go.layers[1].passes(70, false, go.dtype)[0].problem.m, 70 * 361);
    }

    #[test]
    fn errors_say_where() {
        let error = |text: &str| Network::parse(text).unwrap_err().to_string();
        let head = "name = 'x'\nbatch = 1\n";
        assert!(error("batch = ").contains("docs/ADVICE.md"));
        assert!(error("name = 'x'\nbatch = 1\nlayer = []").contains("no layer"));
        let zero = error(&format!("{head}[[layer]]\nkind = 'linear'\nname = 'fc'\ninputs = 0\noutputs = 8"));
        assert!(zero.contains("line 6") && zero.contains("inputs = 0") && zero.contains("from 1"), "{zero}");
        let unknown = error(&format!("{head}[[layer]]\nkind = 'pool'\nname = 'p'"));
        assert!(unknown.contains("pool") && unknown.contains("linear"), "{unknown}");
        let typo = error(&format!("{head}[[layer]]\nkind = 'linear'\nname = 'fc'\ninputs = 8\noutput = 8"));
        assert!(typo.contains("output"), "{typo}");
        let large = error(&format!(
            "{head}[[layer]]\nkind = 'linear'\nname = 'fc'\ninputs = 2147483647\noutputs = 2147483647\nrows = 2147483647"
        ));
        assert!(large.contains("\"fc\""), "{large}");
        assert!(
            error("name = 'x'\nbatch = 0\n[[layer]]\nkind = 'gemm'\nname = 'g'\nm = 1\nn = 1\nk = 1")
                .contains("batch = 0")
        );
    }
}
