//! The same heatmaps in a terminal: half blocks in 24-bit colour, or shades where there is no colour.

use super::Run;
use super::counts::{METRICS, Metric};
use super::figure::{Drawing, Figure, Heat, Line, figures_of};
use super::grid::{Place, Side, Square, WIDE_TEXT};
use super::merge::merge;
use super::scale::{Scale, short};
use std::fmt::Write;

/// Rows of squares that a heatmap may have; longer axes are binned.
const MAX_ROWS: usize = 40;

/// Up to this many rows, each has a line and a label of its own.
const FEW_ROWS: usize = 14;

const SHADES: [char; 4] = ['░', '▒', '▓', '█'];
const GREY: (u8, u8, u8) = (0x77, 0x77, 0x77);
const RED: (u8, u8, u8) = (0xc6, 0x28, 0x28);

/// Draws every picture of some runs in at most `width` columns, shards of one plan merged.
///
/// With `ansi`, colours are written as 24-bit escape sequences; whether the terminal or the user wants them is the
/// caller's affair. Without, four shades stand for the colours. The text is empty where there is nothing to draw: without
/// a number, and for runs that [`write_all`](super::write_all) refuses.
pub fn terminal(runs: &[Run], width: usize, ansi: bool) -> String {
    // One count of an emulated device, since four would fill several screens.
    terminal_of(runs, width, ansi, &[&METRICS[0]])
}

/// The same with other counts of an emulated device.
pub fn terminal_of(runs: &[Run], width: usize, ansi: bool, metrics: &[&Metric]) -> String {
    let mut out = String::new();
    let merged = merge(runs).unwrap_or_default();
    for figure in figures_of(&merged, metrics) {
        if !out.is_empty() {
            out.push('\n');
        }
        draw(&mut out, &figure, width.max(24), ansi);
    }
    out
}

fn draw(out: &mut String, figure: &Figure, width: usize, ansi: bool) {
    for line in std::iter::once(&figure.title).chain(&figure.subtitle) {
        for piece in wrap(line, width) {
            out.push_str(&piece);
            out.push('\n');
        }
    }
    match &figure.drawing {
        Drawing::Heat(heat) if heat.percent => percent(out, heat, width, ansi),
        Drawing::Heat(heat) => blocks(out, heat, width, ansi),
        Drawing::Line(line) => bars(out, line, width, ansi),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        for (i, piece) in word.chars().collect::<Vec<_>>().chunks(width).enumerate() {
            let line = lines.last_mut().expect("there is always a line");
            let length = line.chars().count();
            let gap = usize::from(length > 0 && i == 0);
            if length + gap + piece.len() <= width && i == 0 {
                line.extend(std::iter::repeat_n(' ', gap).chain(piece.iter().copied()));
            } else {
                lines.push(piece.iter().collect());
            }
        }
    }
    lines.retain(|l| !l.is_empty());
    lines
}

fn rgb(square: Square, scale: &Scale) -> Option<(u8, u8, u8)> {
    match square {
        Square::Value { value, .. } => {
            let colour = scale.colour(value);
            Some((colour.0, colour.1, colour.2))
        }
        Square::Skipped => Some(GREY),
        Square::Failed => Some(RED),
        Square::Unplanned => None,
    }
}

fn shade(square: Square, scale: &Scale) -> char {
    match square {
        Square::Value { value, .. } => SHADES[((scale.position(value) * 4.0) as usize).min(3)],
        Square::Skipped => '-',
        Square::Failed => 'x',
        Square::Unplanned => ' ',
    }
}

/// Fewer squares: medians of neighbours, so that a heatmap fits.
fn shrunk(heat: &Heat, most_columns: usize, most_rows: usize) -> (Vec<Vec<Square>>, usize, usize) {
    let (columns, rows) = (heat.x.len(), heat.y.len());
    let (wide, high) = (columns.div_ceil(most_columns.max(1)), rows.div_ceil(most_rows));
    let merge = |row: usize, column: usize| {
        let mut place = Place::default();
        for y in row..(row + high).min(rows) {
            for x in column..(column + wide).min(columns) {
                place.add(heat.squares[y * columns + x]);
            }
        }
        place.square()
    };
    let squares = (0..rows).step_by(high).map(|y| (0..columns).step_by(wide).map(|x| merge(y, x)).collect()).collect();
    (squares, wide, high)
}

/// A heatmap in blocks, the smallest y lowest.
fn blocks(out: &mut String, heat: &Heat, width: usize, ansi: bool) {
    let label_width = label_width(&heat.y);
    let room = width.saturating_sub(label_width + 1).max(1);
    let (squares, wide, high) = shrunk(heat, room, MAX_ROWS);
    let columns = squares.first().map_or(0, Vec::len);
    let repeat = (room / columns.max(1)).clamp(1, 4);
    let scale = &heat.scale;
    let halves = ansi && squares.len() > FEW_ROWS;
    let _ = writeln!(out, "{:>label_width$}", heat.y.label);
    let lines: Vec<(usize, Option<usize>)> = if halves {
        // From the top: the upper row of a line and the one below it.
        let mut rows: Vec<usize> = (0..squares.len()).rev().collect();
        rows.chunks_mut(2).map(|pair| (pair[0], pair.get(1).copied())).collect()
    } else {
        (0..squares.len()).rev().map(|row| (row, Some(row))).collect()
    };
    for (upper, lower) in lines {
        let _ = write!(out, "{:>label_width$} ", heat.y.names[lower.unwrap_or(upper) * high]);
        for (column, &top) in squares[upper].iter().enumerate() {
            let bottom = lower.map_or(Square::Unplanned, |row| squares[row][column]);
            for _ in 0..repeat {
                if ansi {
                    out.push_str(&half_block(rgb(top, scale), rgb(bottom, scale)));
                } else {
                    out.push(shade(top, scale));
                }
            }
        }
        if ansi {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }
    x_names(out, &heat.x, label_width + 1, columns * repeat, wide, repeat);
    legend(out, scale, squares.iter().flatten().copied(), ansi);
}

fn half_block(top: Option<(u8, u8, u8)>, bottom: Option<(u8, u8, u8)>) -> String {
    let colour = |which: u8, (r, g, b): (u8, u8, u8)| format!("\x1b[{which};2;{r};{g};{b}m");
    match (top, bottom) {
        (Some(top), Some(bottom)) => format!("{}{}▀", colour(38, top), colour(48, bottom)),
        (Some(top), None) => format!("\x1b[0m{}▀", colour(38, top)),
        (None, Some(bottom)) => format!("\x1b[0m{}▄", colour(38, bottom)),
        (None, None) => "\x1b[0m ".to_owned(),
    }
}

fn label_width(side: &Side) -> usize {
    side.names.iter().map(|n| n.chars().count()).max().unwrap_or(0)
}

/// As many names below the columns as fit, each starting at its column.
fn x_names(out: &mut String, side: &Side, indent: usize, room: usize, wide: usize, repeat: usize) {
    let mut line = " ".repeat(indent);
    for (column, name) in side.names.iter().step_by(wide).enumerate() {
        let at = indent + column * repeat;
        let used = line.chars().count();
        let fits = at + name.chars().count() <= indent + room.max(name.chars().count());
        if fits && (used <= indent || used < at) {
            line.push_str(&" ".repeat(at.saturating_sub(used)));
            line.push_str(name);
        }
    }
    let _ = writeln!(out, "{}\n{}{}", line.trim_end(), " ".repeat(indent), side.label);
}

fn legend(out: &mut String, scale: &Scale, squares: impl Iterator<Item = Square> + Clone, ansi: bool) {
    let values = squares.clone().filter_map(|s| s.value());
    let (min, max) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let _ = write!(out, "min {} max {} {}   {} ", short(min), short(max), scale.unit, scale.tick_name(scale.lo));
    if ansi {
        for i in 0..16 {
            let colour = scale.colour(scale.lo + (scale.hi - scale.lo) * f64::from(i) / 15.0);
            let _ = write!(out, "\x1b[38;2;{};{};{}m█", colour.0, colour.1, colour.2);
        }
        out.push_str("\x1b[0m");
    } else {
        out.extend(SHADES.iter().flat_map(|&s| [s; 3]));
    }
    let _ = writeln!(out, " {}", scale.tick_name(scale.hi));
    let mut gaps = Vec::new();
    for (square, sign, text) in [(Square::Skipped, '-', "not measured (skipped)"), (Square::Failed, 'x', "failed")] {
        if squares.clone().any(|s| s == square) {
            let swatch = match rgb(square, scale) {
                Some((r, g, b)) if ansi => format!("\x1b[38;2;{r};{g};{b}m█\x1b[0m"),
                _ => sign.to_string(),
            };
            gaps.push(format!("{swatch} {text}"));
        }
    }
    if squares.clone().any(|s| s == Square::Unplanned) {
        gaps.push("blank: not in the plan".to_owned());
    }
    if !gaps.is_empty() {
        let _ = writeln!(out, "{}", gaps.join("   "));
    }
}

/// The alignment classes: percentages, coloured where possible.
fn percent(out: &mut String, heat: &Heat, width: usize, ansi: bool) {
    const CELL: usize = 6;
    let label_width = label_width(&heat.y);
    let fitting = (width.saturating_sub(label_width + 1) / CELL).clamp(1, heat.x.len());
    // In a narrow terminal the lowest classes go first: the columns to the right hold the yardstick.
    let columns = heat.x.len() - fitting..heat.x.len();
    let _ = writeln!(out, "{}", heat.y.label);
    for (row, name) in heat.y.names.iter().enumerate().rev() {
        let _ = write!(out, "{name:>label_width$} ");
        for column in columns.clone() {
            let square = heat.squares[row * heat.x.len() + column];
            let text = match square {
                Square::Value { value, .. } => format!("{}{value:.0}%", tilde(square)),
                Square::Skipped => "-".to_owned(),
                Square::Failed => "x".to_owned(),
                Square::Unplanned => String::new(),
            };
            match rgb(square, &heat.scale) {
                Some((r, g, b)) if ansi => {
                    let ink = if super::scale::is_light(plotters::style::RGBColor(r, g, b)) { 0 } else { 255 };
                    let _ = write!(out, "\x1b[48;2;{r};{g};{b};38;2;{ink};{ink};{ink}m{text:^CELL$}\x1b[0m");
                }
                _ => {
                    let _ = write!(out, "{text:^CELL$}");
                }
            }
        }
        out.push('\n');
    }
    let _ = write!(out, "{} ", " ".repeat(label_width));
    for column in columns {
        let _ = write!(out, "{:^CELL$}", heat.x.names[column]);
    }
    let _ = writeln!(out, "\n{} {}", " ".repeat(label_width), heat.x.label);
    legend(out, &heat.scale, heat.squares.iter().copied(), ansi);
    wide_intervals(out, columns_shown(heat, fitting));
}

/// The squares of the columns that fit.
fn columns_shown(heat: &Heat, fitting: usize) -> impl Iterator<Item = Square> {
    heat.squares.chunks(heat.x.len()).flat_map(move |row| &row[row.len() - fitting..]).copied()
}

/// The sign before a number whose interval is wide.
fn tilde(square: Square) -> &'static str {
    if square.is_uncertain() { "~" } else { "" }
}

/// Says what the sign means, where there is one.
fn wide_intervals(out: &mut String, mut squares: impl Iterator<Item = Square>) {
    if squares.any(|s| s.is_uncertain()) {
        let _ = writeln!(out, "~ {WIDE_TEXT}");
    }
}

/// One bar a value, from 0.
fn bars(out: &mut String, line: &Line, width: usize, ansi: bool) {
    const MAX_BARS: usize = 32;
    // Value by value.
    let mut rows: Vec<(&str, Place)> = Vec::new();
    let mut last = None;
    for point in &line.points {
        if last != Some(point.x) {
            rows.push((&point.name, Place::default()));
            last = Some(point.x);
        }
        rows.last_mut().expect("one was just pushed").1.add(point.square);
    }
    let bin = rows.len().div_ceil(MAX_BARS).max(1);
    let merged: Vec<(&str, Square)> = rows
        .chunks(bin)
        .map(|rows| {
            let mut bar = Place::default();
            rows.iter().for_each(|(_, place)| bar.add(place.clone().square()));
            (rows[0].0, bar.square())
        })
        .collect();
    let max = merged.iter().filter_map(|(_, s)| s.value()).fold(0.0, f64::max);
    let label_width = merged.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let room = width.saturating_sub(label_width + 10).max(1);
    let _ = writeln!(
        out,
        "{}{}",
        line.label,
        if bin > 1 { format!(" (medians of {bin} values each)") } else { String::new() }
    );
    for (name, square) in &merged {
        let _ = write!(out, "{name:>label_width$} ");
        let _ = match (square, rgb(*square, &line.scale)) {
            (Square::Value { value, .. }, colour) => {
                let length = if max > 0.0 { (value / max * room as f64).round() as usize } else { 0 };
                let bar = "█".repeat(length);
                let number = format!("{}{}", tilde(*square), short(*value));
                match colour {
                    Some((r, g, b)) if ansi => writeln!(out, "\x1b[38;2;{r};{g};{b}m{bar}\x1b[0m {number}"),
                    _ => writeln!(out, "{bar} {number}"),
                }
            }
            (Square::Failed, _) => writeln!(out, "x failed"),
            _ => writeln!(out, "- not measured"),
        };
    }
    legend(out, &line.scale, merged.iter().map(|m| m.1), ansi);
    wide_intervals(out, merged.iter().map(|m| m.1));
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// The text as a terminal shows it: without escape sequences.
    fn visible(text: &str) -> String {
        let mut shown = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c == '\x1b' {
                chars.by_ref().find(|&c| c == 'm');
            } else {
                shown.push(c);
            }
        }
        shown
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let sizes: Vec<u64> = (1..=300).collect();
        let runs = [
            fixture::shapes(&sizes, &sizes[..90], 512),
            fixture::shapes(&[64, 128], &[64, 128], 512),
            fixture::shapes(&sizes, &[4096], 4096),
            fixture::strides(&[0, 1, 2, 4, 8, 16], &[0, 1, 2, 4, 8, 16]),
        ];
        for run in &runs {
            for (width, ansi) in [(80, true), (80, false), (40, true), (132, false)] {
                let text = terminal(std::slice::from_ref(run), width, ansi);
                assert_eq!(text.contains('\x1b'), ansi);
                for line in visible(&text).lines().filter(|l| !l.starts_with("min ")) {
                    // Labels and legends are short sentences; the squares must fit.
                    assert!(line.chars().count() <= width.max(60), "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn shades_grow_with_the_number_and_gaps_have_signs() {
        let mut run = fixture::shapes(&[64, 128], &[64, 128, 192], 1024);
        for (cell, tflops) in run.cells.iter_mut().zip([100.0, 200.0, 300.0, 400.0, 100.0, 100.0]) {
            cell.tflops = Some(tflops);
        }
        fixture::skip(&mut run.cells[4]);
        fixture::fail(&mut run.cells[5]);
        let text = terminal(std::slice::from_ref(&run), 40, false);
        assert!(text.contains("128 ████----xxxx\n 64 ░░░░▒▒▒▒▓▓▓▓\n"), "{text}");
        assert!(text.contains("- not measured (skipped)   x failed"), "{text}");
        assert!(text.contains("min 100 max 400 TFLOP/s"), "{text}");
    }

    #[test]
    fn printed_numbers_with_wide_intervals_have_a_tilde_and_shades_have_none() {
        let widen = |run: &mut Run, at: usize| {
            let cell = &mut run.cells[at];
            (cell.median_ns, cell.median_lo_ns, cell.median_hi_ns) = (Some(1000), Some(900), Some(1100));
        };
        let mut line = fixture::shapes(&[64, 128, 192], &[4096], 4096);
        for (cell, tflops) in line.cells.iter_mut().zip([100.0, 200.0, 300.0]) {
            cell.tflops = Some(tflops);
        }
        assert!(!terminal(std::slice::from_ref(&line), 60, false).contains('~'));
        widen(&mut line, 1);
        let text = terminal(std::slice::from_ref(&line), 60, false);
        assert!(text.contains("█ 100\n") && text.contains("█ ~200\n") && text.contains("█ 300\n"), "{text}");
        assert!(text.contains("\n~ interval wider than 5 %\n"), "{text}");

        let mut classes = fixture::strides(&[0, 1], &[0, 1]);
        widen(&mut classes, 3);
        let text = terminal(std::slice::from_ref(&classes), 80, false);
        let (shades, percent) = text.split_once("Throughput by alignment class").unwrap();
        assert!(!shades.contains('~'), "{shades}");
        assert_eq!(percent.matches('~').count(), 2, "one square and the legend: {percent}");
        assert!(percent.contains("~36% "), "{percent}");
    }

    #[test]
    fn a_device_name_cannot_steer_the_terminal() {
        let mut run = fixture::shapes(&[64, 128], &[64, 128], 1024);
        run.manifest.device.name = "evil\x1b[2J\u{7}".to_owned();
        let text = terminal(std::slice::from_ref(&run), 80, false);
        assert!(text.contains("evil") && !text.contains('\x1b') && !text.contains('\u{7}'));
    }

    #[test]
    fn half_blocks_hold_two_rows_a_line() {
        let sizes: Vec<u64> = (1..=15).map(|i| 64 * i).collect();
        let mut run = fixture::shapes(&sizes, &[64, 128], 1024);
        // The top row is m = 960, the row below it m = 896.
        for cell in &mut run.cells {
            cell.tflops = Some(match cell.problem.m {
                960 => 100.0,
                896 => 200.0,
                _ => 150.0,
            });
        }
        let text = terminal(std::slice::from_ref(&run), 40, true);
        let top = text.lines().find(|l| l.contains('▀')).unwrap();
        assert!(top.starts_with("896 \x1b[38;2;68;1;84m\x1b[48;2;254;232;37m▀"), "{top:?}");
        assert_eq!(text.lines().filter(|l| l.contains('▀')).count(), 8, "15 rows are 8 lines");
    }

    #[test]
    fn classes_are_told_in_percent() {
        let text = terminal(&[fixture::strides(&[0, 1], &[0, 1])], 80, false);
        assert!(text.contains("100%") && text.contains("% of aligned"), "{text}");
    }
}
