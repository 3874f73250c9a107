//! Figures as SVG. Sizes are in pixels of the SVG; text is laid out by an estimate of DejaVu Sans' widths.

use super::ReportError;
use super::figure::{Drawing, Figure, Heat, Line};
use super::grid::{Side, Square, WIDE_TEXT};
use super::scale::{Scale, is_light, short, viridis};
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    BLACK, Color, FontFamily, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE,
};

const TITLE_PX: i32 = 17;
const TEXT_PX: i32 = 12;
const LINE_PX: i32 = 17;
const MARGIN: i32 = 18;
const LEAST_WIDTH: i32 = 720;
const BAR_WIDTH: i32 = 18;

const GREY: RGBColor = RGBColor(0x55, 0x55, 0x55);
const FRAME: RGBColor = RGBColor(0x88, 0x88, 0x88);
const SKIPPED: RGBColor = RGBColor(0xd6, 0xd6, 0xd6);
const HATCH: RGBColor = RGBColor(0x8c, 0x8c, 0x8c);
const FAILED: RGBColor = RGBColor(0xfb, 0xe3, 0xe0);
const CROSS: RGBColor = RGBColor(0xc6, 0x28, 0x28);

/// Draws a figure.
///
/// # Errors
/// The drawing library refuses; nothing in a record is known to make it.
pub(super) fn draw(figure: &Figure) -> Result<String, ReportError> {
    let mut out = String::new();
    let drawn = match &figure.drawing {
        Drawing::Heat(heat) => draw_heat(&mut out, figure, heat),
        Drawing::Line(line) => draw_line(&mut out, figure, line),
    };
    drawn.map_err(|why| ReportError::Draw { name: figure.name.clone(), why })?;
    Ok(out)
}

type Drawn = Result<(), String>;

/// A rectangle of the picture: left, top, right, bottom.
#[derive(Clone, Copy)]
struct Area {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Area {
    fn width(&self) -> i32 {
        self.right - self.left
    }

    fn height(&self) -> i32 {
        self.bottom - self.top
    }

    /// The y of a value.
    fn y(&self, scale: &Scale, value: f64) -> i32 {
        self.bottom - (scale.position(value) * f64::from(self.height())).round() as i32
    }
}

/// Estimated width of a letter of DejaVu Sans, in em, rounded up.
fn letter_em(letter: char) -> f64 {
    match letter {
        ' ' | '.' | ',' | ':' | ';' | '·' | 'i' | 'j' | 'l' | '\'' | '|' | '!' | 'I' => 0.36,
        '(' | ')' | '/' | '-' | 'f' | 'r' | 't' | '[' | ']' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' => 1.0,
        'a'..='z' | '0'..='9' | '_' => 0.64,
        '=' | '≥' | '<' | '>' | '+' => 0.84,
        _ if letter.is_ascii() => 0.8,
        _ => 1.05,
    }
}

/// Estimated width of a text.
pub(super) fn text_width(text: &str, px: i32) -> i32 {
    (text.chars().map(letter_em).sum::<f64>() * f64::from(px)).ceil() as i32
}

/// Breaks a text into lines of at most `width`, between words where possible.
fn wrap(text: &str, px: i32, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), px) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
        // A word that is too long for a line of its own breaks where it must.
        while let Some(line) = lines.last_mut().filter(|line| text_width(line, px) > width) {
            let mut kept = line.chars().count();
            while kept > 1 && text_width(&line.chars().take(kept).collect::<String>(), px) > width {
                kept -= 1;
            }
            let rest: String = line.chars().skip(kept).collect();
            *line = line.chars().take(kept).collect();
            lines.push(rest);
        }
    }
    lines
}

/// The picture with pixels as coordinates.
struct Canvas<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
}

impl<'a> Canvas<'a> {
    fn new(out: &'a mut String, width: i32, height: i32) -> Result<Self, String> {
        let root = SVGBackend::with_string(out, (width as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| e.to_string())?;
        Ok(Canvas { root })
    }

    fn rect(&self, area: Area, style: impl Into<ShapeStyle>) -> Drawn {
        let corners = [(area.left, area.top), (area.right, area.bottom)];
        self.root.draw(&Rectangle::new(corners, style)).map_err(|e| e.to_string())
    }

    fn path(&self, points: Vec<(i32, i32)>, colour: RGBColor, width: u32) -> Drawn {
        self.root.draw(&PathElement::new(points, colour.stroke_width(width))).map_err(|e| e.to_string())
    }

    fn dot(&self, at: (i32, i32), radius: i32, colour: RGBColor) -> Drawn {
        self.root.draw(&Circle::new(at, radius, colour.filled())).map_err(|e| e.to_string())
    }

    fn text(&self, text: &str, at: (i32, i32), px: i32, anchor: (HPos, VPos), colour: RGBColor) -> Drawn {
        self.draw_text(text, at, style(px, FontStyle::Normal, FontTransform::None, anchor, colour))
    }

    fn draw_text(&self, text: &str, at: (i32, i32), style: TextStyle<'_>) -> Drawn {
        self.root.draw_text(text, &style, at).map_err(|e| e.to_string())
    }

    /// Title and subtitle, from the top of the picture.
    fn head(&self, head: &Head) -> Drawn {
        let mut y = MARGIN;
        for line in &head.title {
            let bold = style(TITLE_PX, FontStyle::Bold, FontTransform::None, (HPos::Left, VPos::Top), BLACK);
            self.draw_text(line, (MARGIN, y), bold)?;
            y += TITLE_PX + 6;
        }
        for line in &head.subtitle {
            self.text(line, (MARGIN, y), TEXT_PX, (HPos::Left, VPos::Top), GREY)?;
            y += LINE_PX;
        }
        Ok(())
    }

    /// The label along the left side.
    fn y_label(&self, label: &str, plot: Area) -> Drawn {
        let middle = (plot.top + plot.bottom) / 2;
        let turned =
            style(TEXT_PX + 1, FontStyle::Normal, FontTransform::Rotate270, (HPos::Center, VPos::Center), BLACK);
        self.draw_text(label, (MARGIN + TEXT_PX / 2, middle), turned)
    }

    /// The label below the ticks.
    fn x_label(&self, label: &str, plot: Area) -> Drawn {
        // A label wider than a small plot starts at its left edge instead of running out of the picture.
        let half = text_width(label, TEXT_PX + 1) / 2;
        let x = ((plot.left + plot.right) / 2).max(half + plot.left);
        self.text(label, (x, plot.bottom + 26), TEXT_PX + 1, (HPos::Center, VPos::Top), BLACK)
    }

    /// A place without a number.
    fn gap(&self, area: Area, square: Square) -> Drawn {
        let large = area.width().min(area.height()) >= 9;
        match square {
            Square::Skipped => {
                self.rect(area, SKIPPED.filled())?;
                let Area { left, top, right, bottom } = area;
                let first = left + top + 6;
                for sum in (first..right + bottom).step_by(6).filter(|_| large) {
                    let ends = vec![
                        (left.max(sum - bottom), bottom.min(sum - left)),
                        (right.min(sum - top), top.max(sum - right)),
                    ];
                    self.path(ends, HATCH, 1)?;
                }
                Ok(())
            }
            Square::Failed if large => {
                self.rect(area, FAILED.filled())?;
                let reach = (area.width().min(area.height()) / 2 - 2).min(9);
                self.cross(((area.left + area.right) / 2, (area.top + area.bottom) / 2), reach)
            }
            Square::Failed => self.rect(area, CROSS.filled()),
            Square::Unplanned | Square::Value { .. } => Ok(()),
        }
    }

    fn cross(&self, (x, y): (i32, i32), reach: i32) -> Drawn {
        self.path(vec![(x - reach, y - reach), (x + reach, y + reach)], CROSS, 2)?;
        self.path(vec![(x - reach, y + reach), (x + reach, y - reach)], CROSS, 2)
    }

    /// The mark of a wide interval: a hollow triangle in the upper right corner.
    fn corner(&self, area: Area, ink: RGBColor) -> Drawn {
        let side = (area.width().min(area.height()) / 3).clamp(3, 7);
        let (right, top) = (area.right - 2, area.top + 2);
        self.path(vec![(right - side, top), (right, top), (right, top + side), (right - side, top)], ink, 1)
    }

    /// What the marks mean, in one row whose top is `y`.
    fn legend(&self, entries: &[(Mark, String)], y: i32, left: i32) -> Drawn {
        let mut x = left;
        for (mark, text) in entries {
            let swatch = Area { left: x, top: y, right: x + 14, bottom: y + 14 };
            let middle = (x + 7, y + 7);
            match *mark {
                Mark::Gap(square) => {
                    self.gap(swatch, square)?;
                    self.rect(swatch, FRAME)?;
                }
                Mark::Small(colour) => self.rect(swatch, colour.filled())?,
                Mark::Cross => self.cross(middle, 4)?,
                Mark::Wide => {
                    self.rect(swatch, FRAME)?;
                    self.corner(swatch, BLACK)?;
                }
                Mark::Blank => {}
                Mark::Tick => self.path(vec![(x + 7, y), (x + 7, y + 14)], HATCH, 2)?,
                Mark::Point { interval } => {
                    let reach = if interval { 7 } else { 0 };
                    self.path(vec![(x + 7, y + 7 - reach), (x + 7, y + 7 + reach)], line_colour(), 1)?;
                    self.dot(middle, 3, line_colour())?;
                }
            }
            self.text(text, (x + 20, y + 7), TEXT_PX, (HPos::Left, VPos::Center), GREY)?;
            x += legend_width(text);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Mark {
    Gap(Square),
    Small(RGBColor),
    Cross,
    Wide,
    Blank,
    Tick,
    Point { interval: bool },
}

fn legend_width(text: &str) -> i32 {
    20 + text_width(text, TEXT_PX) + 18
}

fn style(px: i32, font: FontStyle, turn: FontTransform, (h, v): (HPos, VPos), colour: RGBColor) -> TextStyle<'static> {
    // The backend writes font sizes divided by 1.24.
    let size = f64::from(px) * 1.24;
    let font = (FontFamily::SansSerif, size, font).into_font().transform(turn);
    TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(h, v) }
}

fn line_colour() -> RGBColor {
    viridis(0.3)
}

/// Title and subtitle, wrapped.
struct Head {
    title: Vec<String>,
    subtitle: Vec<String>,
    height: i32,
}

impl Head {
    fn new(figure: &Figure, width: i32) -> Head {
        let width = width - 2 * MARGIN;
        // Bold letters are a seventh wider.
        let title = wrap(&figure.title, TITLE_PX * 8 / 7, width);
        let subtitle: Vec<String> = figure.subtitle.iter().flat_map(|s| wrap(s, TEXT_PX, width)).collect();
        let height = MARGIN + title.len() as i32 * (TITLE_PX + 6) + subtitle.len() as i32 * LINE_PX + 14;
        Head { title, subtitle, height }
    }
}

/// How large a place is, so that a few are large and many still fit.
fn place_px(count: usize, room: i32, most: i32) -> i32 {
    (room / count.max(1) as i32).clamp(3, most)
}

/// Positions whose names fit beside each other: every one, or every second, fourth, eighth ...
fn thinned(count: usize, place: i32, name: i32) -> impl Iterator<Item = usize> {
    // Powers of two, because sizes and strides mostly come in multiples of them.
    let step = (0..).map(|i| 1usize << i).find(|&s| s as i32 * place >= name || s >= count.max(1)).unwrap_or(1);
    (0..count).step_by(step)
}

fn longest(side: &Side) -> i32 {
    side.names.iter().map(|n| text_width(n, TEXT_PX)).max().unwrap_or(0)
}

fn draw_heat(out: &mut String, figure: &Figure, heat: &Heat) -> Drawn {
    let (columns, rows) = (heat.x.len(), heat.y.len());
    let (place_w, place_h) = (place_px(columns, 880, 84), place_px(rows, 640, if rows == 1 { 100 } else { 56 }));
    let left = MARGIN + 24 + longest(&heat.y) + 10;
    let ticks: Vec<(f64, String)> = heat.scale.ticks().into_iter().map(|t| (t, heat.scale.tick_name(t))).collect();
    let tick_width = ticks.iter().map(|(_, name)| text_width(name, TEXT_PX)).max().unwrap_or(0);
    let unit_width = text_width(heat.scale.unit, TEXT_PX);
    let bar_room = 30 + (BAR_WIDTH + 13 + tick_width).max(unit_width);

    let mut legend = Vec::new();
    let small = place_w.min(place_h) - 1 < 9;
    let skipped = if heat.percent { "no number, or none to compare with" } else { "not measured (skipped)" };
    if heat.squares.contains(&Square::Skipped) {
        legend.push((if small { Mark::Small(SKIPPED) } else { Mark::Gap(Square::Skipped) }, skipped.to_owned()));
    }
    if heat.squares.contains(&Square::Failed) {
        legend.push((if small { Mark::Small(CROSS) } else { Mark::Gap(Square::Failed) }, "failed".to_owned()));
    }
    if heat.squares.contains(&Square::Unplanned) {
        legend.push((Mark::Gap(Square::Unplanned), "not in the plan".to_owned()));
    }
    match heat.squares.iter().filter(|s| s.is_uncertain()).count() {
        0 => {}
        // Squares of a few pixels have no room for a mark.
        wide if small => {
            let of = heat.squares.iter().filter(|s| s.value().is_some()).count();
            legend.push((Mark::Blank, format!("~ {WIDE_TEXT}: {wide} of {of} squares, too small to mark")));
        }
        _ => legend.push((Mark::Wide, format!("~ {WIDE_TEXT}"))),
    }
    let legend_room: i32 = legend.iter().map(|(_, text)| legend_width(text)).sum();

    let plot_w = place_w * columns as i32;
    let x_label_room = left + MARGIN + text_width(&heat.x.label, TEXT_PX + 1);
    let width = (left + plot_w + bar_room + MARGIN).max(LEAST_WIDTH).max(left + legend_room).max(x_label_room);
    let head = Head::new(figure, width);
    // The turned label may be longer than a plot of few rows is high.
    let label_excess = (text_width(&heat.y.label, TEXT_PX + 1) - place_h * rows as i32).max(0) / 2;
    let top = head.height + label_excess.max(LINE_PX);
    let plot = Area { left, top, right: left + plot_w, bottom: top + place_h * rows as i32 };
    let bar = Area { left: plot.right + 30, top, right: plot.right + 30 + BAR_WIDTH, ..plot };
    let below = (plot.bottom + 26 + TEXT_PX + 12).max(plot.bottom + label_excess + 8).max(bar.bottom + 14);
    let height = below + if legend.is_empty() { 6 } else { 14 + 12 } + MARGIN / 2;

    let canvas = Canvas::new(out, width, height)?;
    canvas.head(&head)?;
    let gutter = i32::from(place_w.min(place_h) >= 9);
    for (row, squares) in heat.squares.chunks(columns).enumerate() {
        let bottom = plot.bottom - place_h * row as i32;
        let area = |from: usize, to: usize| Area {
            left: plot.left + place_w * from as i32,
            top: bottom - place_h,
            right: plot.left + place_w * to as i32 - gutter,
            bottom: bottom - gutter,
        };
        let mut column = 0;
        while column < columns {
            let colour = colour_of(heat, squares[column]);
            // Without gutters, neighbours of one colour share a rectangle: a large picture then has far fewer.
            let same = |s: &&Square| gutter == 0 && colour.is_some() && colour_of(heat, **s) == colour;
            let end = column + 1 + squares[column + 1..].iter().take_while(same).count();
            match colour {
                Some(colour) => {
                    canvas.rect(area(column, end), colour.filled())?;
                    let ink = if is_light(colour) { BLACK } else { WHITE };
                    write_value(&canvas, area(column, end), squares[column], heat.percent, ink)?;
                    if !small && squares[column].is_uncertain() {
                        canvas.corner(area(column, end), ink)?;
                    }
                }
                None => canvas.gap(area(column, end), squares[column])?,
            }
            column = end;
        }
    }
    let frame = Area { left: plot.left - 1, top: plot.top - 1, ..plot };
    canvas.rect(frame, FRAME)?;

    for i in thinned(columns, place_w, longest(&heat.x) + 10) {
        let x = plot.left + place_w * i as i32 + place_w / 2;
        canvas.path(vec![(x, plot.bottom), (x, plot.bottom + 4)], FRAME, 1)?;
        canvas.text(&heat.x.names[i], (x, plot.bottom + 7), TEXT_PX, (HPos::Center, VPos::Top), BLACK)?;
    }
    for i in thinned(rows, place_h, TEXT_PX + 4) {
        let y = plot.bottom - place_h * i as i32 - place_h / 2;
        canvas.path(vec![(plot.left - 4, y), (plot.left, y)], FRAME, 1)?;
        canvas.text(&heat.y.names[i], (plot.left - 8, y), TEXT_PX, (HPos::Right, VPos::Center), BLACK)?;
    }
    canvas.y_label(&heat.y.label, plot)?;
    canvas.x_label(&heat.x.label, plot)?;
    colour_bar(&canvas, bar, &heat.scale, &ticks)?;
    canvas.legend(&legend, below + 4, MARGIN)?;
    canvas.root.present().map_err(|e| e.to_string())
}

fn colour_of(heat: &Heat, square: Square) -> Option<RGBColor> {
    square.value().map(|value| heat.scale.colour(value))
}

/// The number inside its place, where it fits.
fn write_value(canvas: &Canvas<'_>, area: Area, square: Square, percent: bool, ink: RGBColor) -> Drawn {
    let Square::Value { value, count, .. } = square else { return Ok(()) };
    let middle = ((area.left + area.right) / 2, (area.top + area.bottom) / 2);
    let centre = (HPos::Center, VPos::Center);
    let text = if percent { format!("{value:.0} %") } else { short(value) };
    let text = if square.is_uncertain() { format!("~{text}") } else { text };
    let fits = |text: &str, px: i32, lines: i32| {
        text_width(text, px) + 4 <= area.width() && lines * (px + 3) + 2 <= area.height()
    };
    let note = format!("n = {count}");
    if percent && fits(&text, TEXT_PX, 2) && fits(&note, TEXT_PX - 2, 2) {
        canvas.text(&text, (middle.0, middle.1 - 7), TEXT_PX + 1, centre, ink)?;
        return canvas.text(&note, (middle.0, middle.1 + 9), TEXT_PX - 2, centre, ink);
    }
    match [TEXT_PX, TEXT_PX - 2].into_iter().find(|&px| fits(&text, px, 1)) {
        Some(px) => canvas.text(&text, middle, px, centre, ink),
        None => Ok(()),
    }
}

fn colour_bar(canvas: &Canvas<'_>, bar: Area, scale: &Scale, ticks: &[(f64, String)]) -> Drawn {
    for y in bar.top..bar.bottom {
        let position = f64::from(bar.bottom - 1 - y) / f64::from((bar.height() - 1).max(1));
        canvas.rect(Area { top: y, bottom: y + 1, ..bar }, viridis(position).filled())?;
    }
    canvas.rect(bar, FRAME)?;
    for (tick, name) in ticks {
        let y = bar.y(scale, *tick);
        canvas.path(vec![(bar.right, y), (bar.right + 4, y)], FRAME, 1)?;
        canvas.text(name, (bar.right + 11, y), TEXT_PX, (HPos::Left, VPos::Center), BLACK)?;
    }
    if let Some(mark) = scale.mark {
        let y = bar.y(scale, mark);
        canvas.path(vec![(bar.left - 6, y), (bar.right + 6, y)], BLACK, 2)?;
    }
    canvas.text(scale.unit, (bar.left, bar.top - 10), TEXT_PX, (HPos::Left, VPos::Bottom), BLACK)
}

fn draw_line(out: &mut String, figure: &Figure, line: &Line) -> Drawn {
    const PLOT_W: i32 = 780;
    const PLOT_H: i32 = 380;
    let ticks: Vec<(f64, String)> = line.scale.ticks().into_iter().map(|t| (t, line.scale.tick_name(t))).collect();
    let tick_width = ticks.iter().map(|(_, name)| text_width(name, TEXT_PX)).max().unwrap_or(0);
    let left = MARGIN + 24 + tick_width + 10;
    let width = left + PLOT_W + MARGIN + 16;
    let head = Head::new(figure, width);
    let plot = Area { left, top: head.height, right: left + PLOT_W, bottom: head.height + PLOT_H };
    let legend_y = plot.bottom + 26 + TEXT_PX + 14;
    let canvas = Canvas::new(out, width, legend_y + 14 + MARGIN)?;
    canvas.head(&head)?;

    for (tick, name) in &ticks {
        let y = plot.y(&line.scale, *tick);
        canvas.path(vec![(plot.left, y), (plot.right, y)], RGBColor(0xe4, 0xe4, 0xe4), 1)?;
        canvas.text(name, (plot.left - 8, y), TEXT_PX, (HPos::Right, VPos::Center), BLACK)?;
    }
    canvas.rect(plot, FRAME)?;
    let across = Across::of(line, plot);
    for (x, name) in across.ticks(line) {
        canvas.path(vec![(x, plot.bottom), (x, plot.bottom + 4)], FRAME, 1)?;
        canvas.text(&name, (x, plot.bottom + 7), TEXT_PX, (HPos::Center, VPos::Top), BLACK)?;
    }
    canvas.x_label(&line.label, plot)?;

    let scale = &line.scale;
    canvas.y_label(scale.unit, plot)?;
    let curve: Vec<(i32, i32)> = line.curve().into_iter().map(|(x, v)| (across.px(x), plot.y(scale, v))).collect();
    if curve.len() > 1 {
        canvas.path(curve, viridis(0.55), 1)?;
    }
    let dot = if line.points.len() > 200 { 2 } else { 3 };
    for point in &line.points {
        let Some(value) = point.square.value() else { continue };
        let x = across.px(point.x);
        if let Some((lo, hi)) = point.interval {
            canvas.path(vec![(x, plot.y(scale, lo)), (x, plot.y(scale, hi))], line_colour(), 1)?;
        }
        canvas.dot((x, plot.y(scale, value)), dot, line_colour())?;
    }
    let interval = line.points.iter().any(|p| p.interval.is_some());
    let text = if interval { "median of a cell with its 95 % interval" } else { "median" };
    let mut legend = vec![(Mark::Point { interval }, text.to_owned())];
    for point in &line.points {
        let x = across.px(point.x);
        match point.square {
            Square::Skipped => canvas.path(vec![(x, plot.bottom - 12), (x, plot.bottom)], HATCH, 2)?,
            Square::Failed => canvas.cross((x, plot.bottom - 8), 4)?,
            Square::Unplanned | Square::Value { .. } => {}
        }
    }
    if line.points.iter().any(|p| p.square == Square::Skipped) {
        legend.push((Mark::Tick, "not measured (skipped)".to_owned()));
    }
    if line.points.iter().any(|p| p.square == Square::Failed) {
        legend.push((Mark::Cross, "failed".to_owned()));
    }
    canvas.legend(&legend, legend_y, MARGIN)?;
    canvas.root.present().map_err(|e| e.to_string())
}

/// The horizontal axis of a line: linear, or logarithmic where the values span a factor of 32.
struct Across {
    first: f64,
    last: f64,
    logarithmic: bool,
    plot: Area,
}

impl Across {
    fn of(line: &Line, plot: Area) -> Across {
        let first = line.points.first().map_or(0, |p| p.x) as f64;
        let last = line.points.last().map_or(0, |p| p.x) as f64;
        let logarithmic = first > 0.0 && last >= 32.0 * first;
        let (first, last) = if logarithmic { (first.log2(), last.log2()) } else { (first, last) };
        Across { first, last, logarithmic, plot }
    }

    fn px(&self, x: u64) -> i32 {
        let at = if self.logarithmic { (x as f64).log2() } else { x as f64 };
        let share = if self.last > self.first { (at - self.first) / (self.last - self.first) } else { 0.5 };
        let room = f64::from(self.plot.width() - 2 * MARGIN);
        self.plot.left + MARGIN + (share * room).round() as i32
    }

    /// Ticks that do not touch: the values themselves where they are few, else powers of two or their multiples.
    fn ticks(&self, line: &Line) -> Vec<(i32, String)> {
        let mut values: Vec<(u64, String)> = line.points.iter().map(|p| (p.x, p.name.clone())).collect();
        values.dedup_by_key(|v| v.0);
        if values.len() > 16 {
            let (first, last) = (values[0].0, values[values.len() - 1].0);
            let candidates: Vec<u64> = if self.logarithmic {
                (0..63).map(|i| 1u64 << i).filter(|v| (first..=last).contains(v)).collect()
            } else {
                let step = ((last - first) / 12).max(1).next_power_of_two();
                (first.div_ceil(step)..=last / step).map(|i| i * step).collect()
            };
            values = candidates.into_iter().map(|v| (v, v.to_string())).collect();
        }
        let mut free_from = i32::MIN;
        let mut ticks = Vec::new();
        for (value, name) in values {
            let (x, half) = (self.px(value), text_width(&name, TEXT_PX) / 2);
            if x - half >= free_from {
                free_from = x + half + 8;
                ticks.push((x, name));
            }
        }
        ticks
    }
}
