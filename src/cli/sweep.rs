//! `gemmscope sweep`: measures a plan and draws it.

mod list;
pub(super) mod show;

pub use show::miniature;

use super::{Ending, duration, shard};
use crate::claims::{self, Claim};
use crate::data::Distribution;
use crate::device::{self, DeviceChoice, DeviceInfo};
use crate::measure::{Regime, Stopping};
use crate::problem::{DType, Layout};
use crate::record::DeviceKind;
use crate::sweep::{
    Axis, AxisError, Conditions, Isolation, Options, Part, Plan, Preset, Spec, resumable, run as run_sweep,
};
use crate::tune;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measure a plan of problems and draw heatmaps of it
///
/// Without options this is `--preset quick` on the first GPU, or on the CPU where there is none. Sizes make a plan of their own,
/// or replace those of a preset. An axis is 4096, 1000..1064, 64..1024+64, 64..8192*2, 4096~16, or several joined by commas;
/// for a leading dimension, +1 is one element more than a row has, and `n`, `k` or `ldb` ties it to another axis.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gemmscope sweep
  gemmscope sweep --m 4096 --n m --k 4064..4128 --kernel 04_mma
  gemmscope sweep --m 1024 --n 1024 --k 1024 --lda +0..8 --offset-a 0..7 --paired --list")]
pub struct Args {
    /// A plan by name: quick, alignment, batch, or a claim's number, such as nv-12 [default: quick, where no size is given]
    #[arg(long, value_parser = named, value_name = "NAME")]
    preset: Option<Named>,
    /// Rows of A and C: the batch
    #[arg(short, long, value_name = "AXIS", allow_hyphen_values = true)]
    m: Option<String>,
    /// Columns of B and C
    #[arg(short, long, value_name = "AXIS", allow_hyphen_values = true)]
    n: Option<String>,
    /// Columns of A, rows of B
    #[arg(short, long, value_name = "AXIS", allow_hyphen_values = true)]
    k: Option<String>,
    /// Leading dimension of A, in elements
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    lda: Option<String>,
    /// Leading dimension of B
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    ldb: Option<String>,
    /// Leading dimension of C
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    ldc: Option<String>,
    /// Elements from an aligned address to A
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    offset_a: Option<String>,
    /// Elements from an aligned address to B
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    offset_b: Option<String>,
    /// Elements from an aligned address to C
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    offset_c: Option<String>,
    /// Layouts: nn, nt, tn, tt, the first letter for A, several joined by commas; t is stored transposed
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LAYOUT")]
    layout: Vec<Layout>,
    /// Types: f16, bf16, tf32, i8, e4m3, several joined by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TYPE")]
    dtype: Vec<DType>,
    /// Kernels: auto, all, NAME or NAME/VARIANT, several joined by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    kernel: Vec<String>,
    /// hot, cold, both, or sustained: with a dwell on each problem before its samples [default: cold on a GPU, hot on a CPU]
    #[arg(long, value_parser = regimes)]
    regime: Option<Regimes>,
    /// Factor of A·B
    #[arg(long, allow_negative_numbers = true, value_parser = finite)]
    alpha: Option<f32>,
    /// Factor of C as it was; 0 does not read it
    #[arg(long, allow_negative_numbers = true, value_parser = finite)]
    beta: Option<f32>,
    /// Measure each cell in turn with an aligned baseline of the same sizes, A B B A
    #[arg(long)]
    paired: bool,
    /// Device: auto, cuda:N, cpu or emulated
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Seed of the order and of the data
    #[arg(long)]
    seed: Option<u64>,
    /// Data: uniform (-1 to 1), normal, integers (-2 to 2) or zeros
    #[arg(long)]
    distribution: Option<Distribution>,
    /// Begin no further cell after this time, such as 2m
    #[arg(long, value_parser = duration)]
    budget: Option<Duration>,
    /// Longest sampling of a cell, such as 500ms
    #[arg(long, value_parser = duration)]
    cell_time: Option<Duration>,
    /// Stop sampling when the median's 95 % interval is narrower than this share of it
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    precision: Option<f64>,
    /// Folder for records and pictures [default: results/local/<UTC time>-<device>]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on with the run in --out, with its own plan, seed and device
    #[arg(long, requires = "out", conflicts_with_all = [
        "preset", "m", "n", "k", "lda", "ldb", "ldc", "offset_a", "offset_b", "offset_c", "layout", "dtype", "kernel", "regime",
        "alpha", "beta", "paired", "seed", "distribution", "shard", "list", "cell_time", "precision",
    ])]
    resume: bool,
    /// Measure every COUNT-th cell, as INDEX/COUNT, such as 2/8
    #[arg(long, value_parser = shard, value_name = "INDEX/COUNT")]
    shard: Option<(u64, u64)>,
    /// Print the plan in its order and stop
    #[arg(long)]
    list: bool,
    /// End a worker that has not answered for this long
    #[arg(long, value_parser = duration, default_value = "60s")]
    watchdog: Duration,
    /// Choose kernels by the model alone, whatever `gemmscope tune` has found
    #[arg(long, conflicts_with = "tuned")]
    no_tuned: bool,
    /// Choose kernels by what `gemmscope tune --cache FILE` has found [default: its own default]
    #[arg(long, value_name = "FILE")]
    tuned: Option<PathBuf>,
    /// Measure in a process of its own on a CPU too
    #[arg(long)]
    isolate: bool,
    /// Print JSON: the plan with --list, else the manifest and the files written
    #[arg(long)]
    json: bool,
}

/// A plan that has a name.
#[derive(Debug, Clone, Copy)]
enum Named {
    Preset(Preset),
    Claim(&'static Claim),
}

impl Named {
    fn stopping(self) -> Stopping {
        match self {
            Named::Preset(preset) => preset.stopping(),
            Named::Claim(_) => claims::stopping(),
        }
    }
}

fn named(text: &str) -> Result<Named, String> {
    if let Ok(preset) = <Preset as clap::ValueEnum>::from_str(text, true) {
        return Ok(Named::Preset(preset));
    }
    match claims::find(text) {
        Ok(claim) => Ok(Named::Claim(claim)),
        Err(unknown) => {
            let presets = ["quick", "alignment", "batch"].into_iter();
            let near = presets.max_by(|a, b| strsim::jaro_winkler(a, text).total_cmp(&strsim::jaro_winkler(b, text)));
            let near = near.filter(|n| strsim::jaro_winkler(n, text) > 0.7);
            let meant = near.map(str::to_owned).or(unknown.meant.map(str::to_ascii_lowercase));
            let meant = meant.map(|m| format!("; did you mean {m}?")).unwrap_or_default();
            Err(format!(
                "{text:?} is not a plan{meant}: use quick, alignment, batch or a claim's number, such as nv-12"
            ))
        }
    }
}

#[derive(Debug, Clone)]
struct Regimes(Vec<Regime>);

fn regimes(text: &str) -> Result<Regimes, String> {
    if text == "both" {
        return Ok(Regimes(vec![Regime::Hot, Regime::Cold]));
    }
    match text.parse()? {
        Regime::Onset => Err("how a load begins is no time of a launch, so that no map can show it: \
                              `gemmscope validate mm-03` measures it; use hot, cold, both or sustained"
            .to_owned()),
        regime => Ok(Regimes(vec![regime])),
    }
}

fn finite(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|v: &f32| v.is_finite());
    value.ok_or_else(|| format!("{text:?} is not a finite number of single precision, such as 0.5 or -2"))
}

pub fn run(args: Args) -> Result<Ending> {
    let (options, seed) = if args.resume { resumed(&args)? } else { fresh(&args)? };
    if args.list {
        let plan = Plan::new(&options.spec, options.device.kind(), seed)?.shard(options.shard.0, options.shard.1)?;
        let dispatcher = tune::dispatcher(&options.device, options.conditions.tuned.as_deref());
        list::list(&plan, &options.device, &dispatcher, args.json)?;
        return Ok(Ending::Done);
    }
    let stop = super::interrupt::flag();
    let bar = show::progress_bar();
    let mut begun = false;
    let manifest = run_sweep(&options, &stop, &mut |event| {
        begun = true;
        show::show(&bar, &event);
    });
    bar.finish_and_clear();
    let manifest = manifest.with_context(|| match begun {
        true => format!("the run ended early; go on with {}", show::resume_command(&options.out)),
        false => "the run did not begin".to_owned(),
    })?;
    show::finish(&args, &options.out, &manifest)
}

fn fresh(args: &Args) -> Result<(Options, u64)> {
    let (choice, device) = device::find(args.device)?;
    let spec = spec(args, &device)?;
    let preset = args.preset.or(spec.preset.is_some().then_some(Named::Preset(Preset::Quick)));
    let mut stopping = preset.map_or_else(Stopping::default, Named::stopping);
    if let Some(time) = args.cell_time {
        stopping.cell_ns = time.as_nanos() as u64;
    }
    if let Some(width) = args.precision {
        anyhow::ensure!(width > 0.0 && width < 1.0, "--precision {width}: a share is between 0 and 1, such as 0.005");
        stopping.relative_width = width;
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    let out = args.out.clone().unwrap_or_else(|| default_out(&device));
    let conditions = Conditions {
        seed,
        distribution: args.distribution.unwrap_or_default(),
        stopping,
        tuned: tuned(args, &device)?,
    };
    Ok((options(args, choice, device, spec, conditions, out, args.shard.unwrap_or((1, 1))), seed))
}

fn resumed(args: &Args) -> Result<(Options, u64)> {
    let out = args.out.clone().expect("--resume requires --out");
    let mut old = begun(args.device, &out)?;
    old.conditions.tuned = tuned(args, &old.device)?;
    let seed = old.conditions.seed;
    Ok((options(args, old.choice, old.device, old.spec, old.conditions, out, old.shard), seed))
}

/// A run that was begun in a folder, as far as going on with it needs.
pub(super) struct Begun {
    pub choice: DeviceChoice,
    pub device: DeviceInfo,
    pub spec: Spec,
    pub conditions: Conditions,
    pub shard: (u64, u64),
}

/// Reads what was begun in a folder and finds its device again, unless another one is asked for.
pub(super) fn begun(asked: DeviceChoice, out: &Path) -> Result<Begun> {
    let manifest = resumable(out)?;
    let foreign = || format!("the manifest in {} is damaged", out.display());
    let spec: Spec = serde_json::from_value(manifest.plan.clone()).with_context(foreign)?;
    let stopping: Stopping = serde_json::from_value(manifest.stopping.clone()).with_context(foreign)?;
    let choice = match (asked, manifest.device.kind) {
        (DeviceChoice::Auto, DeviceKind::Cpu) => DeviceChoice::Cpu,
        (DeviceChoice::Auto, DeviceKind::Emulated) => DeviceChoice::Emulated,
        (DeviceChoice::Auto, DeviceKind::Cuda) => {
            let made_on = || format!("the run in {} was made on {}", out.display(), manifest.device.name);
            let devices = device::cuda::probe().with_context(made_on)?;
            // The first device where none has its identifier: the run itself then says what differs.
            let same = devices.iter().position(|d| d.record.uuid == manifest.device.uuid);
            DeviceChoice::Cuda(same.unwrap_or(0) as u32)
        }
        (asked, _) => asked,
    };
    let (choice, device) = device::find(choice)?;
    let distribution = manifest.distribution.parse().map_err(anyhow::Error::msg).with_context(foreign)?;
    let conditions = Conditions { seed: manifest.seed, distribution, stopping, tuned: None };
    Ok(Begun { choice, device, spec, conditions, shard: (manifest.shard[0], manifest.shard[1]) })
}

/// The file of measurements to go by, where it has some for this device; where it has none, a note says so.
///
/// # Errors
/// A file that was asked for by name and cannot be used.
fn tuned(args: &Args, device: &DeviceInfo) -> Result<Option<PathBuf>> {
    if let Some(path) = &args.tuned {
        // The worker has a folder of its own.
        let path = std::path::absolute(path).with_context(|| format!("finding {}", path.display()))?;
        return Ok(tune::asked_for(device, &path)?.map(|_| path));
    }
    let found = tune::default_path().filter(|_| !args.no_tuned && device.kind() == DeviceKind::Cuda);
    let Some(path) = found else { return Ok(None) };
    Ok(match tune::load(&path, &tune::Key::of(device)) {
        Ok(tune::Loaded { tuned: Some(_), .. }) => Some(path),
        Ok(tune::Loaded { note, .. }) => {
            note.iter().for_each(|note| eprintln!("note: {note}"));
            None
        }
        Err(why) => {
            log::warn!("{why}; kernels are chosen without it");
            None
        }
    })
}

fn options(
    args: &Args,
    choice: DeviceChoice,
    device: DeviceInfo,
    spec: Spec,
    conditions: Conditions,
    out: PathBuf,
    shard: (u64, u64),
) -> Options {
    let isolation = isolation(&device, args.isolate, args.watchdog);
    let (resume, budget) = (args.resume, args.budget);
    Options { spec, choice, device, conditions, out, resume, shard, budget, isolation, command: typed() }
}

/// Where cells are measured: on a GPU in a process of their own.
pub(super) fn isolation(device: &DeviceInfo, isolate: bool, watchdog: Duration) -> Isolation {
    match std::env::current_exe() {
        Ok(program) if device.kind().runs_cuda() || isolate => Isolation::Process { program, watchdog },
        _ => Isolation::None,
    }
}

/// The command line, for the manifest.
pub(super) fn typed() -> Vec<String> {
    let typed = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned());
    std::iter::once("gemmscope".to_owned()).chain(typed).collect()
}

/// The preset with what the flags replace, or a plan of one part from the flags.
fn spec(args: &Args, device: &DeviceInfo) -> Result<Spec> {
    let kind = device.kind();
    let sizes = [&args.m, &args.n, &args.k];
    let preset = match args.preset {
        None if sizes.iter().all(|s| s.is_none()) => Some(Named::Preset(Preset::Quick)),
        preset => preset,
    };
    let mut spec = match preset {
        Some(Named::Preset(preset)) => preset.spec(kind),
        Some(Named::Claim(claim)) => {
            let spec = claims::spec(&[claim], &claims::Bench::new(device));
            if spec.listed.is_empty() {
                let need = claim.questions(&claims::Bench::new(device)).err().map(|n| n.to_string());
                let need = need.unwrap_or_else(|| "nothing to be measured".to_owned());
                anyhow::bail!("{} has no cells on this device: it needs {need}", claim.id);
            }
            let fixed = sizes.iter().any(|s| s.is_some()) || !args.kernel.is_empty() || args.paired;
            anyhow::ensure!(
                !fixed,
                "--preset {}: a claim's cells are its own; leave out sizes, kernels and --paired",
                claim.id
            );
            return Ok(spec);
        }
        None => {
            let regimes = vec![Regime::usual(kind)];
            for (size, name) in sizes.iter().zip(["m", "n", "k"]) {
                anyhow::ensure!(size.is_some(), "--{name} is missing: a plan needs --m, --n and --k, or a --preset");
            }
            Spec { parts: vec![Part { regimes, ..Part::new("sweep") }], ..Spec::default() }
        }
    };
    for part in &mut spec.parts {
        let axes: [(&str, &Option<String>, &mut Axis); 9] = [
            ("m", &args.m, &mut part.m),
            ("n", &args.n, &mut part.n),
            ("k", &args.k, &mut part.k),
            ("lda", &args.lda, &mut part.lda),
            ("ldb", &args.ldb, &mut part.ldb),
            ("ldc", &args.ldc, &mut part.ldc),
            ("offset-a", &args.offset_a, &mut part.offset_a),
            ("offset-b", &args.offset_b, &mut part.offset_b),
            ("offset-c", &args.offset_c, &mut part.offset_c),
        ];
        for (name, text, axis) in axes {
            if let Some(text) = text {
                *axis = text.parse().map_err(|e: AxisError| anyhow::anyhow!("--{name}: {e}"))?;
            }
        }
        if !args.layout.is_empty() {
            part.layouts = distinct(&args.layout);
        }
        if !args.dtype.is_empty() {
            part.dtypes = distinct(&args.dtype);
        }
        if !args.kernel.is_empty() {
            part.kernels.clone_from(&args.kernel);
        }
        if let Some(regimes) = &args.regime {
            part.regimes.clone_from(&regimes.0);
        }
        part.alpha = args.alpha.unwrap_or(part.alpha);
        part.beta = args.beta.unwrap_or(part.beta);
        part.paired |= args.paired;
    }
    Ok(spec)
}

/// Each once, in the order of the list.
fn distinct<T: Copy + PartialEq>(list: &[T]) -> Vec<T> {
    let mut kept = Vec::new();
    for &item in list {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// `results/local/<UTC time>-<device>`, in characters that every file system takes.
pub fn default_out(device: &DeviceInfo) -> PathBuf {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut slug = String::new();
    for c in device.record.name.to_ascii_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if !slug.ends_with('-') && !slug.is_empty() => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(40);
    let base = Path::new("results/local").join(format!("{time}-{}", slug.trim_end_matches('-')));
    // Two runs may begin in the same second.
    let next = |i: u32| PathBuf::from(format!("{}-{i}", base.display()));
    if base.exists() { (2..).map(next).find(|p| !p.exists()).unwrap_or(base) } else { base }
}
