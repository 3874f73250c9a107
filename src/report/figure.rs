//! Which pictures a report has, and all that they say; how they look is `svg`'s and `terminal`'s affair.

use super::alignment::{Baselines, block_ratio, classes};
use super::axes::{Axes, Axis};
use super::clean;
use super::counts::{self, METRICS, Metric, TELLING};
use super::grid::{MAX_POSITIONS, Place, Side, Square, grid, tflops};
use super::merge::Merged;
use super::scale::{Scale, throughput_unit};
use crate::problem::{Operand, Problem};
use crate::record::{CellRecord, DeviceKind, Stop};
use crate::stats::median;
use std::collections::{BTreeMap, BTreeSet};

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// File name without extension, of `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Device, kernel and program; then what was held fixed.
    pub subtitle: Vec<String>,
    /// The picture itself.
    pub drawing: Drawing,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Drawing {
    /// Colours over two axes.
    Heat(Heat),
    /// Points over one.
    Line(Line),
}

/// Colours over two axes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heat {
    /// Columns.
    pub x: Side,
    /// Rows, the first one lowest.
    pub y: Side,
    /// Row by row.
    pub squares: Vec<Square>,
    /// Values to colours.
    pub scale: Scale,
    /// Whether values are percentages that are told together with their counts.
    pub percent: bool,
}

/// Points over one axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// The axis' label.
    pub label: String,
    /// By x, then in the order of the plan.
    pub points: Vec<Point>,
    /// Values to heights, and to colours in a terminal.
    pub scale: Scale,
}

/// A cell, or a bin of cells, over one axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    /// The axis' value, or the first one of the bin.
    pub x: u64,
    /// Its name on the axis.
    pub name: String,
    /// What became of it.
    pub square: Square,
    /// Ends of the median's 95 % interval, in the scale's unit; a bin has none.
    pub interval: Option<(f64, f64)>,
}

/// All pictures of some merged runs, with unique names, always in the same order.
///
/// Of an emulated device, which takes no time, they show the most telling of its counts. A group without any number has none.
pub(super) fn figures(merged: &[Merged<'_>]) -> Vec<Figure> {
    figures_of(merged, &METRICS.each_ref()[..TELLING])
}

/// The same with other counts.
pub(super) fn figures_of(merged: &[Merged<'_>], metrics: &[&Metric]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut names = BTreeSet::new();
    for run in merged {
        let emulated = run.manifests[0].device.kind == DeviceKind::Emulated;
        let device = (merged.len() > 1).then(|| slug(&run.device()));
        let baselines = Baselines::of(&run.cells);
        let groups = groups(&run.cells);
        for ((part, kernel, regime, form), cells) in &groups {
            let drawn = match emulated {
                true => metrics.iter().flat_map(|metric| counts::of_group(cells, metric)).collect(),
                false if cells.iter().all(|c| tflops(c).is_none()) => continue,
                false => of_group(cells, &baselines),
            };
            let several = |other: fn(&Key) -> &str, mine: &str| {
                groups.keys().any(|key| key.0 == *part && other(key) != mine).then(|| slug(mine))
            };
            let tail = [several(|k| &k.1, kernel), several(|k| &k.2, regime), several(|k| &k.3, form), device.clone()];
            let source = source(run, kernel, regime, cells);
            for (slugs, mut figure) in drawn {
                figure.subtitle.insert(0, source.clone());
                let parts = std::iter::once(slug(part)).chain(slugs).chain(tail.iter().flatten().cloned());
                let base = format!("heatmap-{}", parts.collect::<Vec<_>>().join("-"));
                figure.name = unique(&mut names, base);
                figures.push(figure);
            }
        }
    }
    figures
}

/// Part, kernel, regime, and type with layout.
type Key = (String, String, String, String);

/// Cells that belong into one picture.
fn groups<'a>(cells: &[&'a CellRecord]) -> BTreeMap<Key, Vec<&'a CellRecord>> {
    let mut groups: BTreeMap<Key, Vec<&CellRecord>> = BTreeMap::new();
    for cell in cells {
        let form = format!("{} {}", cell.problem.dtype.name(), cell.problem.layout.name());
        groups
            .entry((cell.part.clone(), cell.kernel.clone(), cell.setting().into_owned(), form))
            .or_default()
            .push(cell);
    }
    // A cell for which no kernel was ever chosen carries the word `auto`; it is a gap in the pictures of the kernels that
    // were chosen beside it.
    let unchosen: Vec<Key> = groups
        .iter()
        .filter(|(key, cells)| key.1 == "auto" && cells.iter().all(|c| tflops(c).is_none()))
        .map(|(key, _)| key.clone())
        .collect();
    for key in unchosen {
        let alike = |k: &&Key| k.0 == key.0 && k.2 == key.2 && k.3 == key.3 && k.1 != key.1;
        let beside: Vec<Key> = groups.keys().filter(alike).cloned().collect();
        if !beside.is_empty() {
            let gaps = groups.remove(&key).unwrap_or_default();
            for other in beside {
                groups.entry(other).or_default().extend(&gaps);
            }
        }
    }
    groups
}

/// The pictures of one part, kernel and regime, each with what names it.
fn of_group(cells: &[&CellRecord], baselines: &Baselines) -> Vec<(Vec<String>, Figure)> {
    let figure =
        |title: String, subtitle: Vec<String>, drawing| Figure { name: String::new(), title, subtitle, drawing };
    let mut figures = Vec::new();
    let axes = Axes::of(cells);
    let pairs = axes.pairs();
    for &(y, x) in &pairs {
        let (y_side, x_side, squares) = grid(cells, (y, x), MAX_POSITIONS);
        let (unit, factor) = unit_of(&squares);
        let squares: Vec<Square> = squares.into_iter().map(|s| s.times(factor)).collect();
        let mut subtitle = vec![fixed(cells, &axes, &[y, x])];
        subtitle.extend(precision(cells, Square::of));
        subtitle.extend([(y, &y_side), (x, &x_side)].into_iter().filter_map(|(axis, side)| binned(axis, side)));
        let Some(scale) = Scale::of(values(&squares), unit, None) else { continue };
        let heat = Heat { x: x_side, y: y_side, squares, scale, percent: false };
        let title = format!("{unit} by {} and {}", y.label, x.label);
        figures.push((vec![y.slug.clone(), x.slug.clone()], figure(title, subtitle, Drawing::Heat(heat))));
    }
    if pairs.is_empty() {
        let fallback = [Axes::fallback(cells)];
        let lines = match axes.free() {
            free if free.is_empty() => axes.varying.iter().chain(&fallback).take(1).collect(),
            free => free,
        };
        for axis in lines {
            let Some((line, side)) = line(cells, axis) else { continue };
            let mut subtitle = vec![fixed(cells, &axes, &[axis])];
            subtitle.extend(precision(cells, Square::of));
            subtitle.extend(binned(axis, &side));
            let title = format!("{} by {}", line.scale.unit, axis.label);
            figures.push((vec![axis.slug.clone()], figure(title, subtitle, Drawing::Line(line))));
        }
    }
    let classes = classes(cells, baselines);
    let scale = classes.as_ref().and_then(|c| Scale::of(values(&c.squares), "% of aligned", Some(100.0)));
    if let (Some(classes), Some(scale)) = (classes, scale) {
        let heat = Heat { x: classes.x, y: classes.y, squares: classes.squares, scale, percent: true };
        let mut subtitle = vec![fixed(cells, &axes, &[])];
        subtitle.extend(precision(cells, |cell| block_ratio(cell).unwrap_or(Square::of(cell))));
        subtitle.push("Class: the largest power of two, in elements, that divides a leading dimension".to_owned());
        subtitle.push(format!("Medians of {}", classes.notes.join("; ")));
        let title = "Throughput by alignment class, in % of fully aligned".to_owned();
        figures.push((vec!["alignment".to_owned()], figure(title, subtitle, Drawing::Heat(heat))));
    }
    figures
}

pub(super) fn values(squares: &[Square]) -> impl Iterator<Item = f64> {
    squares.iter().filter_map(Square::value)
}

fn unit_of(squares: &[Square]) -> (&'static str, f64) {
    // Without any number the unit is a matter of taste.
    throughput_unit(values(squares).fold(None, |max: Option<f64>, v| Some(max.map_or(v, |m| m.max(v)))).unwrap_or(1.0))
}

/// How many cells stopped because their interval was narrow enough, and how wide intervals are; `None` for records that say
/// neither.
fn precision(cells: &[&CellRecord], shown: impl Fn(&CellRecord) -> Square) -> Option<String> {
    let measured: Vec<&CellRecord> = cells.iter().copied().filter(|c| tflops(c).is_some()).collect();
    let widths: Vec<f64> =
        measured.iter().filter_map(|c| if let Square::Value { width, .. } = shown(c) { width } else { None }).collect();
    let reached = measured.iter().any(|c| c.stop.is_some()).then(|| {
        let reached = measured.iter().filter(|c| c.stop == Some(Stop::Interval)).count();
        let (of, cells) = (measured.len(), if measured.len() == 1 { "cell" } else { "cells" });
        format!("{reached} of {of} {cells} reached their precision")
    });
    // Half of the width to either side of the median.
    let width = median(&widths).map(|width| {
        let percent = 50.0 * width;
        let decimals = if percent < 1.0 { 2 } else { 1 };
        format!("median interval ±{percent:.decimals$} %")
    });
    match (reached, width) {
        (Some(reached), Some(width)) => Some(format!("{reached}; {width}")),
        (reached, width) => reached.or(width),
    }
}

pub(super) fn binned(axis: &Axis, side: &Side) -> Option<String> {
    (side.values_a_bin > 1).then(|| {
        let (values, bin) = (axis.values.len(), side.values_a_bin);
        format!(
            "{values} values of {} in {} bins of {bin}, labelled with their first value; medians",
            axis.label,
            side.len()
        )
    })
}

/// The cells over one axis: each for itself, or medians of bins where they are many. `None` without a number.
fn line(cells: &[&CellRecord], axis: &Axis) -> Option<(Line, Side)> {
    let max =
        cells.iter().filter_map(|c| tflops(c)).fold(None, |max: Option<f64>, v| Some(max.map_or(v, |m| m.max(v))));
    let (unit, factor) = throughput_unit(max.unwrap_or(1.0));
    let (points, side) = points(cells, axis, |cell, alone| {
        let square = Square::of(cell).times(factor);
        (square, if alone { interval(cell, square, factor) } else { None })
    });
    let ends = |p: &Point| p.interval.map(|(lo, hi)| [lo, hi]);
    let all = points.iter().filter_map(ends).flatten().chain(points.iter().filter_map(|p| p.square.value()));
    let scale = Scale::of(all, unit, None)?;
    Some((Line { label: axis.label.clone(), points, scale }, side))
}

/// What cells show, by the axis' value: each for itself with its interval, or medians of bins where they are many. `shown` is told
/// which.
pub(super) fn points(
    cells: &[&CellRecord],
    axis: &Axis,
    shown: impl Fn(&CellRecord, bool) -> (Square, Option<(f64, f64)>),
) -> (Vec<Point>, Side) {
    const MANY_POINTS: usize = 4 * MAX_POSITIONS;
    let many = cells.len() > MANY_POINTS;
    let side = Side::of(axis, if many { MAX_POSITIONS } else { usize::MAX });
    let mut points: Vec<Point> = if many {
        let mut places = vec![Place::default(); side.len()];
        for (cell, index) in cells.iter().zip(&axis.index) {
            places[index / side.values_a_bin].add(shown(cell, false).0);
        }
        let named = places.into_iter().zip(side.firsts.iter().zip(&side.names));
        named
            .map(|(place, (&x, name))| Point { x, name: name.clone(), square: place.square(), interval: None })
            .collect()
    } else {
        let each = cells.iter().zip(&axis.index);
        each.map(|(cell, &index)| {
            let (square, interval) = shown(cell, true);
            Point { x: axis.values[index], name: axis.name(index), square, interval }
        })
        .collect()
    };
    points.sort_by_key(|p| p.x);
    (points, side)
}

/// The ends of a cell's interval in the scale's unit.
fn interval(cell: &CellRecord, square: Square, factor: f64) -> Option<(f64, f64)> {
    // FLOP per nanosecond are GFLOP/s: a thousandth of a TFLOP/s each.
    let speed = |ns: u64| cell.problem.flop() as f64 / ns.max(1) as f64 / 1000.0 * factor;
    match square {
        // An interval without a width is none that could be drawn.
        Square::Value { width: Some(_), .. } => {
            cell.median_hi_ns.zip(cell.median_lo_ns).map(|(slow, fast)| (speed(slow), speed(fast)))
        }
        _ => None,
    }
}

impl Line {
    /// One (x, median) for every x with a number: the curve through the points.
    pub fn curve(&self) -> Vec<(u64, f64)> {
        let mut by_x: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for point in &self.points {
            by_x.entry(point.x).or_default().extend(point.square.value());
        }
        by_x.into_iter().filter_map(|(x, values)| Some((x, median(&values)?))).collect()
    }
}

/// Device, kernel, regime, date and program.
fn source(run: &Merged<'_>, kernel: &str, regime: &str, cells: &[&CellRecord]) -> String {
    let manifest = run.manifests[0];
    let variants: BTreeSet<&str> = cells.iter().map(|c| c.variant.as_str()).filter(|v| !v.is_empty()).collect();
    let variants = match variants.len() {
        0 => String::new(),
        1 => format!(" ({})", variants.into_iter().collect::<String>()),
        n => format!(" ({n} variants)"),
    };
    let dates: BTreeSet<&str> = run.manifests.iter().map(|m| m.started.split('T').next().unwrap_or_default()).collect();
    let dates = match (dates.first(), dates.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (first, _) => first.copied().unwrap_or_default().to_owned(),
    };
    let shards = if run.manifests.len() > 1 { format!(" · {} shards", run.manifests.len()) } else { String::new() };
    let missing: String = run.missing.iter().map(|m| format!(" · {} {} missing", m.shards, m.verb())).collect();
    clean(&format!(
        "{} · kernel {kernel}{variants} · {regime} · {dates} · gemmscope {} ({}){shards}{missing}",
        run.device(),
        manifest.version,
        short_revision(&manifest.git_revision)
    ))
}

/// The first 9 characters of a hash, which are enough to find it; that the program differed from it is never cut.
fn short_revision(revision: &str) -> String {
    const DIRTY: &str = "-dirty";
    let (hash, dirty) = revision.strip_suffix(DIRTY).map_or((revision, ""), |hash| (hash, DIRTY));
    hash.chars().take(9).chain(dirty.chars()).collect()
}

/// What the picture's axes leave: fixed parameters with their values, and those that a median was taken over.
pub(super) fn fixed(cells: &[&CellRecord], axes: &Axes, shown: &[&Axis]) -> String {
    let first = &cells[0].problem;
    let constant = |value: fn(&Problem) -> u64| cells.iter().all(|c| value(&c.problem) == value(first));
    let mut said = Vec::new();
    type Parameter = (&'static str, fn(&Problem) -> u64);
    for (name, value) in [("m", |p| p.m), ("n", |p| p.n), ("k", |p| p.k)] as [Parameter; 3] {
        if constant(value) {
            said.push(format!("{name} = {}", value(first)));
        }
    }
    let is_compact =
        |p: &Problem| Operand::ALL.iter().all(|&operand| p.placement(operand).ld == p.placement(operand).cols.max(1));
    if cells.iter().all(|c| is_compact(&c.problem)) {
        said.push("ld compact".to_owned());
    } else {
        for (name, value) in [("lda", |p| p.lda), ("ldb", |p| p.ldb), ("ldc", |p| p.ldc)] as [Parameter; 3] {
            if constant(value) {
                said.push(format!("{name} = {}", value(first)));
            }
        }
    }
    for (name, value) in [("A", |p| p.offset_a), ("B", |p| p.offset_b), ("C", |p| p.offset_c)] as [Parameter; 3] {
        if constant(value) && value(first) != 0 {
            said.push(format!("offset of {name} = {}", value(first)));
        }
    }
    match cells.iter().all(|c| c.problem.beta == first.beta) {
        true if first.beta != 0.0 => said.push(format!("beta = {}", first.beta)),
        true => {}
        false => said.push("several beta".to_owned()),
    }
    said.push(format!("{} {}", first.dtype.name(), first.layout.name()));
    let hidden: Vec<String> = axes
        .varying
        .iter()
        .filter(|axis| !shown.iter().any(|s| s.determines(axis)))
        .map(|axis| format!("{} ({} values)", axis.label, axis.values.len()))
        .collect();
    if !hidden.is_empty() {
        let over = if shown.is_empty() { "over" } else { "medians over" };
        said.push(format!("{over} {}", hidden.join(", ")));
    }
    clean(&said.join(", "))
}

/// Text for a file name: `a-z`, `0-9`, `_` and single `-` alone.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' | '_' => slug.push(c),
            _ if !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug: String = slug.trim_matches('-').chars().take(40).collect();
    if slug.is_empty() { "x".to_owned() } else { slug }
}

fn unique(names: &mut BTreeSet<String>, base: String) -> String {
    let name = if names.contains(&base) {
        (2..).map(|i| format!("{base}-{i}")).find(|n| !names.contains(n)).unwrap_or(base)
    } else {
        base
    };
    names.insert(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::super::{Run, fixture, merge::merge};
    use super::*;

    fn drawn(runs: &[Run]) -> Vec<Figure> {
        figures(&merge(runs).unwrap())
    }

    fn names(runs: &[Run]) -> Vec<String> {
        drawn(runs).into_iter().map(|f| f.name).collect()
    }

    #[test]
    fn a_shape_sweep_has_one_heatmap_that_says_what_was_fixed() {
        let figures = drawn(&[fixture::shapes(&[256, 512], &[256, 512, 768], 4096)]);
        assert_eq!(figures.len(), 1);
        let figure = &figures[0];
        assert_eq!(figure.name, "heatmap-shape-m-n");
        assert_eq!(figure.title, "TFLOP/s by m and n");
        assert_eq!(
            figure.subtitle[0],
            "NVIDIA H100 80GB HBM3 · kernel 04_mma (128x128x32-a16) · hot · 2026-11-21 · gemmscope 0.1.0 (c54b88c0f)"
        );
        assert_eq!(figure.subtitle[1], "k = 4096, ld compact, f16 nn");
    }

    #[test]
    fn a_third_axis_is_a_median_and_the_picture_says_so() {
        let mut cells = fixture::shapes(&[256, 512], &[256, 512], 1024).cells;
        cells.extend(fixture::shapes(&[256, 512], &[256, 512], 2048).cells);
        let figures = drawn(&[fixture::run(cells)]);
        assert_eq!(
            figures.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
            ["heatmap-shape-m-n", "heatmap-shape-m-k", "heatmap-shape-n-k"]
        );
        assert!(figures[0].subtitle[1].ends_with("medians over k (2 values)"), "{:?}", figures[0].subtitle);
        let Drawing::Heat(heat) = &figures[0].drawing else { panic!("a heatmap was expected") };
        assert!(heat.squares.iter().all(|s| matches!(s, Square::Value { count: 2, .. })));
    }

    #[test]
    fn every_sweep_has_a_picture() {
        let line = drawn(&[fixture::shapes(&[1, 2, 4, 8], &[4096], 4096)]);
        assert_eq!(line[0].name, "heatmap-shape-m");
        assert!(matches!(&line[0].drawing, Drawing::Line(l) if l.points.len() == 4));
        let single = drawn(&[fixture::shapes(&[64], &[64], 64)]);
        assert!(matches!(&single[0].drawing, Drawing::Line(l) if l.points.len() == 1));
        // n alone varies; its stride class follows it and is no second axis.
        let classes = names(&[fixture::shapes(&[64], &(1000..1020).collect::<Vec<_>>(), 64)]);
        assert_eq!(classes, ["heatmap-shape-n", "heatmap-shape-alignment"]);
    }

    #[test]
    fn an_alignment_sweep_has_its_classes_drawn_too() {
        let figures = drawn(&[fixture::strides(&[0, 1, 2, 8], &[0, 1, 2, 8])]);
        let names: Vec<&str> = figures.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["heatmap-alignment-lda-ldb_ldc", "heatmap-alignment-alignment"]);
        let Drawing::Heat(heat) = &figures[1].drawing else { panic!("a heatmap was expected") };
        assert_eq!(heat.scale.mark, Some(100.0));
    }

    #[test]
    fn kernels_regimes_and_devices_get_pictures_and_names_of_their_own() {
        let mut cells = fixture::shapes(&[256, 512], &[256, 512], 4096).cells;
        let mut other = cells.clone();
        other.iter_mut().for_each(|c| c.kernel = "05 Async/Copy".to_owned());
        cells.extend(other.clone());
        other.iter_mut().for_each(|c| c.regime = "cold".to_owned());
        cells.extend(other);
        let run = fixture::run(cells);
        assert_eq!(
            names(std::slice::from_ref(&run)),
            [
                "heatmap-shape-m-n-04_mma-hot",
                "heatmap-shape-m-n-05-async-copy-cold",
                "heatmap-shape-m-n-05-async-copy-hot"
            ]
        );
        // Zeros are no samples of the pictures of data, and how a load begins has no throughput to draw.
        let mut apart = fixture::shapes(&[256, 512], &[256, 512], 4096).cells;
        let mut zeros = apart.clone();
        zeros.iter_mut().for_each(|c| c.distribution = Some("zeros".to_owned()));
        let mut onset = apart.clone();
        onset.iter_mut().for_each(|c| (c.regime, c.tflops, c.median_ns) = ("onset".to_owned(), None, None));
        apart.extend(zeros.into_iter().chain(onset));
        assert_eq!(names(&[fixture::run(apart)]), ["heatmap-shape-m-n-hot", "heatmap-shape-m-n-hot-zeros"]);
        let mut second = run.clone();
        second.manifest.device.name = "../<script>".to_owned();
        let mut third = run.clone();
        third.manifest.device.name = "script".to_owned();
        let names = names(&[run, second, third]);
        assert_eq!(names.len(), 9);
        assert!(names.contains(&"heatmap-shape-m-n-04_mma-hot-script-2".to_owned()), "{names:?}");
        assert!(names.iter().all(|n| n.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'))), "{names:?}");
    }

    #[test]
    fn cells_that_no_kernel_was_chosen_for_are_gaps_and_no_picture() {
        let mut run = fixture::shapes(&[256, 512], &[256, 512], 4096);
        fixture::skip(&mut run.cells[3]);
        run.cells[3].kernel = "auto".to_owned();
        let figures = drawn(&[run]);
        assert_eq!(figures.len(), 1);
        let Drawing::Heat(heat) = &figures[0].drawing else { panic!("a heatmap was expected") };
        assert_eq!(heat.squares[3], Square::Skipped);
    }

    #[test]
    fn a_cpu_is_named_as_one_and_has_its_own_scale() {
        let mut run = fixture::shapes(&[64, 128], &[64, 128], 256);
        run.manifest.device.kind = crate::record::DeviceKind::Cpu;
        run.manifest.device.name = "AMD EPYC".to_owned();
        run.cells.iter_mut().for_each(|c| c.tflops = Some(0.25));
        let figure = &drawn(&[run])[0];
        assert!(figure.subtitle[0].starts_with("CPU: AMD EPYC · "), "{:?}", figure.subtitle);
        assert_eq!(figure.title, "GFLOP/s by m and n");
        let Drawing::Heat(heat) = &figure.drawing else { panic!("a heatmap was expected") };
        assert_eq!(heat.squares[0].value(), Some(250.0));
    }

    #[test]
    fn without_a_number_there_is_no_picture() {
        let mut none = fixture::shapes(&[64, 128], &[64, 128], 64);
        none.cells.iter_mut().for_each(fixture::skip);
        fixture::fail(&mut none.cells[0]);
        none.cells[1] = fixture::cell(none.cells[1].problem, f64::NAN);
        let mut group = fixture::shapes(&[256, 512], &[256, 512], 64);
        group.cells.iter_mut().for_each(|c| c.kernel = "05_other".to_owned());
        none.cells.extend(group.cells);
        assert_eq!(names(&[fixture::run(none.cells)]), ["heatmap-shape-m-n-05_other"]);
    }

    #[test]
    fn an_emulated_device_has_no_pictures_even_where_records_hold_times() {
        let mut run = fixture::strides(&[0, 1], &[0, 1]);
        run.manifest.device.kind = DeviceKind::Emulated;
        assert!(drawn(std::slice::from_ref(&run)).is_empty());
        run.manifest.device.kind = DeviceKind::Cuda;
        assert!(!drawn(&[run]).is_empty());
    }

    #[test]
    fn the_subtitle_says_how_precise_the_cells_are() {
        let mut run = fixture::shapes(&[256, 512], &[256, 512], 4096);
        let set = |cell: &mut CellRecord, lo, hi, stop| {
            (cell.median_ns, cell.median_lo_ns, cell.median_hi_ns) = (Some(1000), Some(lo), Some(hi));
            cell.stop = Some(stop);
        };
        set(&mut run.cells[0], 995, 1005, Stop::Interval);
        set(&mut run.cells[1], 990, 1010, Stop::Interval);
        set(&mut run.cells[2], 900, 1100, Stop::Time);
        fixture::skip(&mut run.cells[3]);
        let subtitle = &drawn(std::slice::from_ref(&run))[0].subtitle;
        assert_eq!(subtitle[2], "2 of 3 cells reached their precision; median interval ±1.0 %");
        // Records from before there were reasons, and without intervals.
        for cell in &mut run.cells {
            cell.stop = None;
        }
        assert_eq!(drawn(std::slice::from_ref(&run))[0].subtitle[2], "median interval ±1.0 %");
        run.cells.iter_mut().for_each(|c| c.median_lo_ns = None);
        assert_eq!(drawn(&[run])[0].subtitle.len(), 2);
    }

    #[test]
    fn an_alignment_picture_has_the_precision_of_its_ratios() {
        let mut run = fixture::strides(&[0, 1, 2, 8], &[0, 1, 2, 8]);
        for (i, cell) in run.cells.iter_mut().enumerate().skip(1) {
            (cell.pair, cell.role) = (Some(i as u64), Some(crate::record::Role::Variant));
            (cell.pair_ratio, cell.pair_ratio_lo, cell.pair_ratio_hi) = (Some(0.5), Some(0.499), Some(0.501));
        }
        let figures = drawn(&[run]);
        assert_eq!(figures[0].subtitle[2], "median interval ±1.5 %");
        assert_eq!(figures[1].subtitle[2], "median interval ±0.20 %");
    }

    #[test]
    fn a_revision_is_cut_but_never_its_mark_of_changes() {
        assert_eq!(short_revision("c54b88c0f1e2"), "c54b88c0f");
        assert_eq!(short_revision("c54b88c0f1e2-dirty"), "c54b88c0f-dirty");
        assert_eq!(short_revision("c54b88c-dirty"), "c54b88c-dirty");
        assert_eq!(short_revision("unknown"), "unknown");
    }

    #[test]
    fn missing_shards_are_told_beside_those_that_are_there() {
        let mut run = fixture::shapes(&[256, 512], &[256, 512], 4096);
        run.manifest.shard = [1, 4];
        let mut other = run.clone();
        other.cells.clear();
        other.manifest.shard = [3, 4];
        let source = &drawn(&[run, other])[0].subtitle[0];
        assert!(source.ends_with(" · 2 shards · shards 2, 4 of 4 are missing"), "{source}");
    }

    #[test]
    fn intervals_are_in_the_unit_of_the_picture() {
        // 2·64·64·64 = 524288 FLOP in 1000 ns are 0.524 TFLOP/s; in 1100 and 900 ns, 476.6 and 582.5 GFLOP/s.
        let mut run = fixture::shapes(&[64], &[64], 64);
        let cell = &mut run.cells[0];
        (cell.median_ns, cell.median_lo_ns, cell.median_hi_ns) = (Some(1000), Some(900), Some(1100));
        cell.tflops = Some(0.524_288);
        let Drawing::Line(line) = &drawn(&[run])[0].drawing else { panic!("a line was expected") };
        let (lo, hi) = line.points[0].interval.unwrap();
        assert!((lo - 476.625).abs() < 0.01 && (hi - 582.542).abs() < 0.01, "{lo} {hi}");
    }
}
