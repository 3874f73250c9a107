//! What an emulated device counted, as numbers for pictures and for the table: counts and ratios of counts, never a time.

use super::axes::{Axes, Axis};
use super::bins::{Bins, Shown};
use super::figure::{Drawing, Figure, Heat, Line, binned, fixed, points, positions};
use super::grid::{MAX_POSITIONS, Square, grid};
use super::scale::Scale;
use crate::record::{CellRecord, Counters, Status, Traffic, Wavefronts};

/// A number that counters give for a cell.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name on the command line, in file names and in `summary.csv`.
    pub name: &'static str,
    /// What it is, as a title.
    pub title: &'static str,
    /// Its unit, on colour bars.
    pub unit: &'static str,
    of: fn(&Counters, f64) -> Option<f64>,
}

/// All of them; `docs/FORMAT.md` names the metric of Nsight Compute behind each.
pub static METRICS: [Metric; 8] = [
    Metric {
        name: "sectors",
        title: "Sectors of global memory per 1000 multiply-adds of the problem",
        unit: "sectors per 1000",
        // A bulk copy has no requests of lanes: its bytes count as the sectors that they fill.
        of: |c, macs| {
            ratio(1e3 * (sum(c, |t| t.sectors) + (c.bulk_load_bytes + c.bulk_store_bytes) as f64 / 32.0), macs)
        },
    },
    Metric {
        name: "issued",
        title: "Multiply-adds of matrix instructions for each one of the problem",
        unit: "issued / useful",
        of: |c, macs| ratio(c.issued_macs as f64, macs).filter(|_| c.issued_macs > 0),
    },
    Metric {
        name: "wavefronts",
        title: "Wavefronts of shared memory over the least possible",
        unit: "wavefronts / ideal",
        of: |c, _| ratio(shared(c, |w| w.wavefronts), shared(c, |w| w.ideal)),
    },
    Metric {
        name: "access_bytes",
        title: "Bytes that a lane moves in one access to global memory, on average",
        unit: "bytes",
        of: |c, _| ratio(sum(c, |t| t.bytes), sum(c, |t| t.width.iter().sum())),
    },
    Metric {
        name: "sector_use",
        title: "Bytes asked for, as a share of the sectors moved",
        unit: "% of sectors",
        of: |c, _| ratio(100.0 * sum(c, |t| t.bytes), 32.0 * sum(c, |t| t.sectors)),
    },
    Metric {
        name: "requests",
        title: "Requests to global memory per 1000 multiply-adds of the problem",
        unit: "requests per 1000",
        of: |c, macs| ratio(1e3 * sum(c, |t| t.requests), macs),
    },
    Metric {
        name: "instructions",
        title: "Instructions of a warp per 1000 multiply-adds of the problem",
        unit: "instructions per 1000",
        of: |c, macs| ratio(1e3 * c.warp_instructions as f64, macs),
    },
    Metric {
        name: "lanes",
        title: "Active lanes of a warp's instruction, on average",
        unit: "lanes",
        of: |c, _| ratio(c.thread_instructions as f64, c.warp_instructions as f64),
    },
];

/// The metrics that say most: the first so many of [`METRICS`].
pub const TELLING: usize = 4;

/// Finds metrics by name.
///
/// # Errors
/// There is none of one of the names; the text lists those there are.
pub fn metrics(names: &[String]) -> Result<Vec<&'static Metric>, String> {
    let find = |name: &String| {
        let all = || METRICS.iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
        METRICS.iter().find(|m| m.name == name).ok_or_else(|| format!("no metric {name:?}; there are {}", all()))
    };
    names.iter().map(find).collect()
}

/// A column of the table and what it holds.
type Sum = (&'static str, fn(&Counters) -> u64);

/// Columns of the table: sums over all kinds of access, then the metrics.
const SUMS: [Sum; 10] = [
    ("global_requests", |c| global(c, |t| t.requests)),
    ("global_sectors", |c| global(c, |t| t.sectors)),
    ("global_bytes", |c| global(c, |t| t.bytes)),
    ("bulk_load_bytes", |c| c.bulk_load_bytes),
    ("bulk_store_bytes", |c| c.bulk_store_bytes),
    ("zero_filled_bytes", |c| c.zero_filled_bytes),
    ("shared_wavefronts", |c| shared(c, |w| w.wavefronts) as u64),
    ("shared_wavefronts_ideal", |c| shared(c, |w| w.ideal) as u64),
    ("issued_macs", |c| c.issued_macs),
    ("warp_instructions", |c| c.warp_instructions),
];

/// Names of the table's columns of counts.
pub(super) fn columns() -> impl Iterator<Item = String> {
    let sums = SUMS.iter().map(|(name, _)| (*name).to_owned());
    sums.chain(METRICS.iter().map(|m| format!("count_{}", m.name)))
}

/// A cell's fields in them, empty where the device counts nothing.
pub(super) fn fields(cell: &CellRecord) -> impl Iterator<Item = String> {
    let counters = cell.counters.as_deref();
    let sums = SUMS.iter().map(move |(_, of)| counters.map_or_else(String::new, |c| of(c).to_string()));
    sums.chain(METRICS.iter().map(|m| m.of(cell).map_or_else(String::new, |v| format!("{v:.6}"))))
}

fn kinds(c: &Counters) -> [&Traffic; 5] {
    [&c.global_load, &c.global_store, &c.global_atomic, &c.cp_async_ca, &c.cp_async_cg]
}

fn global(c: &Counters, of: impl Fn(&Traffic) -> u64) -> u64 {
    kinds(c).into_iter().map(of).sum()
}

fn sum(c: &Counters, of: impl Fn(&Traffic) -> u64) -> f64 {
    global(c, of) as f64
}

fn shared(c: &Counters, of: impl Fn(&Wavefronts) -> u64) -> f64 {
    [&c.shared_load, &c.shared_store, &c.ldmatrix, &c.shared_cp_async].into_iter().map(of).sum::<u64>() as f64
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then_some(a / b)
}

impl Metric {
    /// The number of a cell that was counted; `None` where it makes no sense, as issued multiply-adds do without matrix
    /// instructions and anything per multiply-add does for a problem that has none.
    pub fn of(&self, cell: &CellRecord) -> Option<f64> {
        let p = &cell.problem;
        self.of_counters(cell.counters.as_deref()?, p.m as f64 * p.n as f64 * p.k as f64)
    }

    /// The same of counters alone, with the multiply-adds of their problem.
    pub(super) fn of_counters(&self, counters: &Counters, macs: f64) -> Option<f64> {
        (self.of)(counters, macs).filter(|v| v.is_finite())
    }

    fn square(&self, cell: &CellRecord) -> Square {
        match (cell.status, self.of(cell)) {
            (Status::Ok, Some(value)) => Square::Value { value, count: 1, width: None },
            (Status::Failed, _) => Square::Failed,
            _ => Square::Skipped,
        }
    }
}

/// The pictures of one part, kernel and regime, for one metric, each with what names it.
pub(super) fn of_group(cells: &[&CellRecord], metric: &Metric) -> Vec<(Vec<String>, Figure)> {
    let axes = Axes::of(cells);
    let pairs = axes.pairs();
    let said = |shown: &[&Axis]| {
        let counted = "Counted by an emulated device: no time was measured, and none follows from it".to_owned();
        vec![counted, fixed(cells, &axes, shown)]
    };
    let figure = |subtitle: Vec<String>, by: &str, drawing| {
        let title = format!("{}, by {by}", metric.title);
        Figure { name: String::new(), title, subtitle, drawing }
    };
    let mut figures = Vec::new();
    for &(y, x) in &pairs {
        let bins = Bins::of(cells, &[y, x], MAX_POSITIONS, |cell| metric.square(cell));
        let drawn = |&which: &Shown| grid(cells, (y, x), &bins, which, |cell| metric.square(cell));
        let grids: Vec<_> = bins.pictures.iter().map(drawn).collect();
        let every = grids.iter().flat_map(|(.., squares)| squares).filter_map(Square::value);
        let Some(scale) = Scale::of(every, metric.unit, None) else { continue };
        for (&which, (y_side, x_side, squares)) in bins.pictures.iter().zip(grids) {
            let mut subtitle = said(&[y, x]);
            subtitle.extend([(y, &y_side), (x, &x_side)].into_iter().filter_map(|(axis, side)| binned(axis, side)));
            subtitle.extend(bins.note.clone());
            let heat = Heat { x: x_side, y: y_side, squares, scale: scale.clone(), percent: false };
            let by = format!("{} and {}{}", y.label, x.label, which.title());
            let slugs = [metric.name.to_owned(), y.slug.clone(), x.slug.clone()].into_iter().chain(which.slug());
            figures.push((slugs.collect(), figure(subtitle, &by, Drawing::Heat(heat))));
        }
    }
    if pairs.is_empty() {
        let fallback = [Axes::fallback(cells)];
        let lines = match axes.free() {
            free if free.is_empty() => axes.varying.iter().chain(&fallback).take(1).collect(),
            free => free,
        };
        for axis in lines {
            let bins = Bins::of(cells, &[axis], positions(cells), |cell| metric.square(cell));
            for &which in bins.pictures {
                let (points, side) = points(cells, axis, &bins, which, |cell, _| (metric.square(cell), None));
                let Some(scale) = Scale::of(points.iter().filter_map(|p| p.square.value()), metric.unit, None) else {
                    continue;
                };
                let mut subtitle = said(&[axis]);
                subtitle.extend(binned(axis, &side));
                subtitle.extend(bins.note.clone());
                let line = Line { label: axis.label.clone(), points, scale };
                let slugs = [metric.name.to_owned(), axis.slug.clone()].into_iter().chain(which.slug()).collect();
                figures
                    .push((slugs, figure(subtitle, &format!("{}{}", axis.label, which.title()), Drawing::Line(line))));
            }
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn counted() -> CellRecord {
        let mut cell = fixture::shapes(&[10], &[10], 10).cells.remove(0);
        let traffic = |requests, sectors, bytes, width| Traffic { requests, sectors, bytes, width };
        cell.counters = Some(Box::new(Counters {
            global_load: traffic(4, 10, 256, [0, 0, 0, 0, 16]),
            global_store: traffic(2, 6, 128, [0, 64, 0, 0, 0]),
            bulk_load_bytes: 128,
            ldmatrix: Wavefronts { requests: 1, wavefronts: 8, ideal: 4 },
            shared_store: Wavefronts { requests: 1, wavefronts: 4, ideal: 4 },
            issued_macs: 4096,
            warp_instructions: 50,
            thread_instructions: 1200,
            ..Counters::default()
        }));
        cell
    }

    #[test]
    fn metrics_are_ratios_of_counts() {
        let cell = counted();
        let values: Vec<(&str, f64)> = METRICS.iter().map(|m| (m.name, m.of(&cell).unwrap())).collect();
        // 1000 multiply-adds; 16 sectors, and 128 bytes in bulk.
        let want = [
            ("sectors", 20.0),
            ("issued", 4.096),
            ("wavefronts", 1.5),
            ("access_bytes", 4.8),
            ("sector_use", 75.0),
            ("requests", 6.0),
            ("instructions", 50.0),
            ("lanes", 24.0),
        ];
        assert_eq!(values, want);
    }

    #[test]
    fn what_makes_no_sense_has_no_number() {
        let mut cell = counted();
        let of = |cell: &CellRecord, name: &str| metrics(&[name.to_owned()]).unwrap()[0].of(cell);
        cell.problem.k = 0;
        assert_eq!((of(&cell, "sectors"), of(&cell, "sector_use")), (None, Some(75.0)));
        cell.counters.as_mut().unwrap().issued_macs = 0;
        cell.problem.k = 10;
        assert_eq!(of(&cell, "issued"), None);
        cell.counters = None;
        assert!(METRICS.iter().all(|m| m.of(&cell).is_none()));
        assert!(fields(&cell).all(|f| f.is_empty()));
        assert!(metrics(&["tflops".to_owned()]).unwrap_err().contains("wavefronts"));
    }

    #[test]
    fn every_column_has_a_field() {
        assert_eq!(columns().count(), fields(&counted()).count());
        let at = columns().position(|c| c == "global_sectors").unwrap();
        assert_eq!(fields(&counted()).nth(at).unwrap(), "16");
    }
}
