//! A cell as the page needs it: numbers and indices of strings, without samples. A million of them fit in half a gibibyte.

use super::super::counts::METRICS;
use super::line::{Line, Maybe};
use crate::problem::{Operand, Problem};
use crate::record::{Counters, Role};
use crate::stats::median;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use std::borrow::Cow;
use std::collections::HashMap;

/// Every text of a report once.
#[derive(Debug, Default)]
pub(super) struct Strings {
    index: HashMap<String, u32>,
    list: Vec<String>,
    /// The texts asked for last: the lines of a journal repeat each other, and most are found here.
    recent: Vec<(String, u32)>,
    next: usize,
}

/// How many texts are remembered as the last ones: more than a line has.
const RECENT: usize = 16;

/// Longer texts of a record are cut off: they are names and sentences, and a page has an end.
const LONGEST_TEXT: usize = 600;

impl Strings {
    /// The number of a text. It is cleaned of characters that steer a terminal or reorder a line.
    pub fn put(&mut self, text: &str) -> u32 {
        if let Some((_, found)) = self.recent.iter().find(|(recent, _)| recent == text) {
            return *found;
        }
        let number = self.look_up(text);
        let recent = (text.to_owned(), number);
        match self.recent.get_mut(self.next) {
            Some(place) => *place = recent,
            None => self.recent.push(recent),
        }
        self.next = (self.next + 1) % RECENT;
        number
    }

    fn look_up(&mut self, text: &str) -> u32 {
        if let Some(&found) = self.index.get(text) {
            return found;
        }
        let shown = shorten(&super::super::clean(text), LONGEST_TEXT);
        let number = self.list.len() as u32;
        self.list.push(shown);
        self.index.insert(text.to_owned(), number);
        number
    }

    pub fn get(&self, number: u32) -> &str {
        &self.list[number as usize]
    }
}

/// A text cut off after `most` bytes at the latest.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// What became of a cell; [`Status::Unknown`] for what this program does not know or does not believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Ok,
    Skipped,
    Failed,
    Unknown,
}

/// Counters that the page shows, by name. The order is that of [`Cell::counters`].
pub(super) const COUNTERS: [&str; 16] = [
    "load_requests",
    "load_sectors",
    "load_bytes",
    "store_requests",
    "store_sectors",
    "store_bytes",
    "atomic_requests",
    "bulk_load_bytes",
    "bulk_store_bytes",
    "zero_filled_bytes",
    "shared_wavefronts",
    "shared_ideal",
    "mma_instructions",
    "issued_macs",
    "blocks",
    "warp_instructions",
];

/// Counters and metrics of a cell together.
pub(super) const COUNTS: usize = COUNTERS.len() + METRICS.len();

/// The counters in the order of [`COUNTERS`], then the metrics in theirs; NaN where one makes no sense.
fn counters(c: &Counters, macs: f64) -> Box<[f64; COUNTS]> {
    let loads = [&c.global_load, &c.cp_async_ca, &c.cp_async_cg];
    let sum = |of: fn(&crate::record::Traffic) -> u64| loads.iter().map(|t| of(t) as f64).sum::<f64>();
    let shared = [&c.shared_load, &c.shared_store, &c.ldmatrix, &c.shared_cp_async];
    let counted: [f64; COUNTERS.len()] = [
        sum(|t| t.requests),
        sum(|t| t.sectors),
        sum(|t| t.bytes),
        c.global_store.requests as f64,
        c.global_store.sectors as f64,
        c.global_store.bytes as f64,
        c.global_atomic.requests as f64,
        c.bulk_load_bytes as f64,
        c.bulk_store_bytes as f64,
        c.zero_filled_bytes as f64,
        shared.iter().map(|w| w.wavefronts as f64).sum(),
        shared.iter().map(|w| w.ideal as f64).sum(),
        c.mma_instructions as f64,
        c.issued_macs as f64,
        c.blocks as f64,
        c.warp_instructions as f64,
    ];
    let mut all = Box::new([f64::NAN; COUNTS]);
    all[..COUNTERS.len()].copy_from_slice(&counted);
    for (place, metric) in all[COUNTERS.len()..].iter_mut().zip(&METRICS) {
        *place = metric.of_counters(c, macs).unwrap_or(f64::NAN);
    }
    all
}

/// A throughput above this, in TFLOP/s, comes from a clock that failed or a damaged record and not from a device.
const MOST_TFLOPS: f64 = 1e6;

/// One cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub number: Option<u64>,
    pub part: u32,
    pub pair: Option<u64>,
    pub role: Option<Role>,
    /// m, n, k, lda, ldb, ldc and the offsets of A, B and C, in elements.
    pub shape: [u64; 9],
    pub layout: u32,
    pub dtype: u32,
    pub alpha: f64,
    pub beta: f64,
    /// log2 of the bytes that divide every row address of A, B and C, where the problem is one that this program knows.
    pub align: Option<[u8; 3]>,
    /// Bytes that must move at least once.
    pub compulsory_bytes: Option<f64>,
    pub kernel: u32,
    pub variant: u32,
    pub dispatch: u32,
    /// With what the operands were drawn from, where that is not what the run's are: see [`crate::record::CellRecord::setting`].
    pub regime: u32,
    /// Whether the operands were drawn from something else than the run's.
    pub own_data: bool,
    pub status: Status,
    pub reason: u32,
    /// Median of a launch and its 95 % interval.
    pub median_ns: Option<[f64; 3]>,
    pub tflops: Option<f64>,
    pub flop_per_cycle: Option<f64>,
    /// Throughput over the baseline's, and its 95 % interval.
    pub pair_ratio: Option<[f64; 3]>,
    pub copies: Option<u64>,
    pub workspace_bytes: Option<u64>,
    pub stop: u32,
    pub warm: Option<bool>,
    pub samples: u32,
    pub throttled: u32,
    pub throttle_bits: u64,
    pub clock_mhz: Option<f32>,
    pub power_mw: Option<f32>,
    pub temperature_c: Option<f32>,
    /// When its first sample began, since the run began.
    pub at_ns: Option<f64>,
    /// Elements compared, elements in all, and the worst error as a share of its bound.
    pub check: Option<[f64; 3]>,
    pub reference: u32,
    pub counters: Option<Box<[f64; COUNTS]>>,
}

fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    let deserializer: StrDeserializer<'de, ValueError> = text.into_deserializer();
    T::deserialize(deserializer).ok()
}

/// The problem, where it is one that this program could run.
pub(super) fn problem(shape: [u64; 9], layout: &str, dtype: &str, alpha: f64, beta: f64) -> Option<Problem> {
    let [m, n, k, lda, ldb, ldc, offset_a, offset_b, offset_c] = shape;
    let problem = Problem {
        m,
        n,
        k,
        layout: parse(layout)?,
        dtype: parse(dtype)?,
        lda,
        ldb,
        ldc,
        offset_a,
        offset_b,
        offset_c,
        alpha: alpha as f32,
        beta: beta as f32,
    };
    problem.validate().ok().map(|()| problem)
}

/// The regime, and the distribution where a line has its own.
fn setting<'a>(regime: Cow<'a, str>, distribution: Cow<'a, str>) -> Cow<'a, str> {
    if distribution.is_empty() { regime } else { format!("{regime}, {distribution}").into() }
}

/// A value with the ends of its interval; an interval that does not hold the value is none.
fn interval(value: Option<f64>, lo: Maybe<f64>, hi: Maybe<f64>) -> Option<[f64; 3]> {
    let value = value?;
    match (lo.at_least_zero(), hi.positive()) {
        (Some(lo), Some(hi)) if lo <= value && value <= hi => Some([value, lo, hi]),
        _ => Some([value, f64::NAN, f64::NAN]),
    }
}

impl Cell {
    /// Takes a line over. `None` where it has no size: then there is no cell.
    ///
    /// With `timeless`, for the emulated device, times and throughputs are left out; `true` beside the cell says that there
    /// were some.
    pub fn of(line: Line<'_>, timeless: bool, strings: &mut Strings) -> Option<(Cell, bool)> {
        let (m, n, k) = (line.m.whole()?, line.n.whole()?, line.k.whole()?);
        let or = |value: Maybe<f64>, other: u64| value.whole().unwrap_or(other);
        let shape = [
            m,
            n,
            k,
            or(line.lda, k.max(1)),
            or(line.ldb, n),
            or(line.ldc, n),
            or(line.offset_a, 0),
            or(line.offset_b, 0),
            or(line.offset_c, 0),
        ];
        let (layout, dtype) = (line.layout.text(), line.dtype.text());
        let finite = |value: Maybe<f64>, other| value.get().filter(|v| v.is_finite()).unwrap_or(other);
        let (alpha, beta) = (finite(line.alpha, 1.0), finite(line.beta, 0.0));
        let problem = problem(shape, &layout, &dtype, alpha, beta);
        let align = problem.map(|p| Operand::ALL.map(|operand| p.align_bytes(operand).trailing_zeros() as u8));

        let samples = line.samples.unwrap_or_default();
        let mut clocks: Vec<f64> = Vec::with_capacity(samples.len());
        let (mut powers, mut temperature, mut bits, mut throttled) = (Vec::new(), None::<f64>, 0, 0u32);
        let count = samples.len() as u32;
        let mut at_ns = None::<f64>;
        for sample in samples {
            clocks.extend(sample.clock_mhz.positive());
            powers.extend(sample.power_mw.at_least_zero());
            let hotter = sample.temperature_c.get().filter(|v| v.is_finite());
            temperature = [temperature, hotter].into_iter().flatten().reduce(f64::max);
            bits |= sample.throttle_bits.whole().unwrap_or(0);
            throttled += u32::from(sample.throttled.get() == Some(true));
            at_ns = [at_ns, sample.at_ns.at_least_zero()].into_iter().flatten().reduce(f64::min);
        }

        let mut reason = line.reason.text();
        let mut status = match &*line.status.text() {
            "ok" => Status::Ok,
            "skipped" => Status::Skipped,
            "failed" => Status::Failed,
            other => {
                let told = if other.is_empty() { "no status".to_owned() } else { format!("unknown status {other:?}") };
                reason = if reason.is_empty() { told.into() } else { format!("{told}: {reason}").into() };
                Status::Unknown
            }
        };
        let mut median_ns = interval(line.median_ns.positive(), line.median_lo_ns, line.median_hi_ns);
        let mut tflops = line.tflops.at_least_zero();
        let mut flop_per_cycle = line.flop_per_cycle.positive();
        let mut pair_ratio = interval(line.pair_ratio.positive(), line.pair_ratio_lo, line.pair_ratio_hi);
        if status == Status::Ok && tflops.is_some_and(|t| t > MOST_TFLOPS) {
            status = Status::Unknown;
            reason = format!("a throughput of {:e} TFLOP/s is not to be believed", tflops.unwrap_or_default()).into();
        }
        let timed = median_ns.is_some() || tflops.is_some_and(|t| t > 0.0) || flop_per_cycle.is_some();
        if timeless || status != Status::Ok {
            (median_ns, tflops, flop_per_cycle, pair_ratio) = (None, None, None, None);
        }
        let distribution = line.distribution.text();
        let check = line.check.get().unwrap_or_default();
        let reference = strings.put(&check.reference.text());
        let check = [check.elements, check.of, check.worst].map(Maybe::<f64>::at_least_zero);
        let check = match check {
            [Some(elements), Some(of), Some(worst)] => Some([elements, of, worst]),
            _ => None,
        };
        let cell = Cell {
            number: line.cell.whole(),
            part: strings.put(&line.part.text()),
            pair: line.pair.whole(),
            role: parse(&line.role.text()),
            shape,
            layout: strings.put(&layout),
            dtype: strings.put(&dtype),
            alpha,
            beta,
            align,
            compulsory_bytes: problem.map(|p| p.compulsory_bytes() as f64),
            kernel: strings.put(&line.kernel.text()),
            variant: strings.put(&line.variant.text()),
            dispatch: strings.put(&line.dispatch.text()),
            own_data: !distribution.is_empty(),
            regime: strings.put(&setting(line.regime.text(), distribution)),
            status,
            reason: strings.put(&reason),
            median_ns,
            tflops,
            flop_per_cycle,
            pair_ratio,
            copies: line.copies.whole(),
            workspace_bytes: line.workspace_bytes.whole(),
            stop: strings.put(&line.stop.text()),
            warm: line.warm.get(),
            samples: count,
            throttled: throttled.max(line.throttled_samples.whole().map_or(0, |v| v.min(u32::MAX.into()) as u32)),
            throttle_bits: bits,
            clock_mhz: median(&clocks).map(|v| v as f32),
            power_mw: median(&powers).map(|v| v as f32),
            temperature_c: temperature.map(|v| v as f32),
            at_ns,
            check,
            reference,
            counters: line.counters.get().map(|c| counters(&c, shape[..3].iter().map(|&v| v as f64).product())),
        };
        Some((cell, timeless && timed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str, timeless: bool) -> Option<(Cell, bool, Strings)> {
        let mut strings = Strings::default();
        let (cell, timed) = Cell::of(serde_json::from_str(text).unwrap(), timeless, &mut strings)?;
        Some((cell, timed, strings))
    }

    #[test]
    fn a_line_without_a_size_is_no_cell_and_one_with_little_else_is() {
        assert!(cell(r#"{"n": 4, "k": 4}"#, false).is_none());
        assert!(cell(r#"{"m": 1.5, "n": 4, "k": 4}"#, false).is_none());
        let (cell, _, strings) = cell(r#"{"m": 3, "n": 4, "k": 0, "status": "odd", "reason": "r"}"#, false).unwrap();
        assert_eq!(cell.shape, [3, 4, 0, 1, 4, 4, 0, 0, 0]);
        assert_eq!((cell.status, strings.get(cell.reason)), (Status::Unknown, "unknown status \"odd\": r"));
        assert_eq!(cell.align, None);
    }

    #[test]
    fn a_distribution_of_its_own_is_part_of_how_a_cell_was_measured() {
        let of = |more: &str| {
            let text = format!(r#"{{"m": 3, "n": 4, "k": 5, "status": "ok", "regime": "sustained"{more}}}"#);
            let (cell, _, strings) = cell(&text, false).unwrap();
            (cell.own_data, strings.get(cell.regime).to_owned())
        };
        assert_eq!(of(""), (false, "sustained".to_owned()));
        assert_eq!(of(r#", "distribution": "zeros""#), (true, "sustained, zeros".to_owned()));
    }

    #[test]
    fn numbers_that_cannot_be_are_left_out() {
        let text = r#"{"m": 64, "n": 64, "k": 64, "status": "ok", "median_ns": 100, "median_lo_ns": 200,
            "median_hi_ns": 300, "tflops": 1e200, "lda": 18000000000000000000}"#;
        let (cell, _, strings) = cell(text, false).unwrap();
        assert_eq!((cell.status, cell.tflops, cell.median_ns), (Status::Unknown, None, None));
        assert!(strings.get(cell.reason).contains("1e200 TFLOP/s"));
        assert_eq!(cell.shape[3], 64);
    }

    #[test]
    fn the_emulated_device_has_no_time_whatever_a_record_says() {
        let text = r#"{"m": 64, "n": 64, "k": 64, "layout": "nn", "dtype": "f16", "status": "ok", "median_ns": 100, "tflops": 5,
            "flop_per_cycle": 7, "counters": {"issued_macs": 9, "global_load": {"sectors": 3}, "cp_async_cg": {"sectors": 4}}}"#;
        let (without, timed, _) = cell(text, true).unwrap();
        assert!(timed);
        assert_eq!((without.median_ns, without.tflops, without.flop_per_cycle), (None, None, None));
        let of = |name| without.counters.as_ref().unwrap()[COUNTERS.iter().position(|c| *c == name).unwrap()];
        assert_eq!((of("issued_macs"), of("load_sectors")), (9.0, 7.0));
        assert_eq!(without.align, Some([7, 7, 7]));
        let (with, timed, _) = cell(text, false).unwrap();
        assert!(!timed && with.tflops == Some(5.0));
    }

    #[test]
    fn texts_are_cleaned_and_have_an_end() {
        let mut strings = Strings::default();
        let long = "é".repeat(5000);
        let number = strings.put(&long);
        assert!(strings.get(number).len() <= LONGEST_TEXT + 3 && strings.get(number).ends_with('…'));
        assert_eq!(strings.put(&long), number);
        let steering = strings.put("a\u{1b}[2J\u{202e}b");
        assert_eq!(strings.get(steering), "a\u{fffd}[2J\u{fffd}b");
    }
}
