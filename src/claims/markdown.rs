//! Verdicts as a table of Markdown, spliced between two markers of a document.

use crate::record::{Effect, EffectUnit, Verdict, Verdicts};
use crate::report::clean;
use std::fmt::Write;

/// Where the spliced part of a document begins.
pub const BEGIN: &str = "<!-- BEGIN: verdicts -->";
/// Where it ends.
pub const END: &str = "<!-- END: verdicts -->";

/// The table of one or more runs' verdicts, each with the command that made it and its reasons.
pub fn table(runs: &[(String, Verdicts)]) -> String {
    let mut out = String::new();
    for (command, verdicts) in runs {
        let device = cell(&verdicts.device);
        let _ = writeln!(out, "\n### {device}\n\n`{}`; {}.\n", command.replace('`', "'"), verdicts.correction);
        out += "| claim | verdict | cost of the second arm over the first | samples | why |\n|---|---|---|---|---|\n";
        for v in &verdicts.verdicts {
            let effect = v.effect.as_ref().map_or_else(|| "—".to_owned(), effect);
            let samples = if v.samples > 0 { v.samples.to_string() } else { "—".to_owned() };
            let name = format!("**{}** {}", v.claim, cell(&v.title));
            let _ = writeln!(out, "| {name} | {} | {effect} | {samples} | {} |", v.verdict.name(), cell(&v.reason));
        }
    }
    out
}

/// An effect with its interval: a ratio of costs as a change in percent, a share as it is.
pub fn effect(e: &Effect) -> String {
    let percent = |x: f64| 100.0 * (x - 1.0);
    if e.unit == EffectUnit::Share {
        let [value, lo, hi] = [e.value, e.lo, e.hi].map(|x| 100.0 * x);
        return format!("{}: {value:.1} % ({lo:.1} to {hi:.1})", e.what);
    }
    format!("{:+.1} % ({:+.1} to {:+.1})", percent(e.value), percent(e.lo), percent(e.hi))
}

/// Text from records as a cell of a table.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in clean(text).chars() {
        match c {
            '|' => out += "\\|",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            _ => out.push(c),
        }
    }
    out
}

/// The document with what lies between the markers replaced; `None` where it has no markers.
pub fn splice(document: &str, part: &str) -> Option<String> {
    let begin = document.find(BEGIN)? + BEGIN.len();
    let end = begin + document[begin..].find(END)?;
    Some(format!("{}\n{}\n{}", &document[..begin], part.trim_end(), &document[end..]))
}

/// Verdicts by what was found: supported, contradicted, unclear, not measurable here.
pub fn counts(verdicts: &[Verdict]) -> [usize; 4] {
    use crate::record::Finding::{Contradicted, NotMeasurable, Supported, Unclear};
    [Supported, Contradicted, Unclear, NotMeasurable].map(|f| verdicts.iter().filter(|v| v.verdict == f).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_markers_is_replaced() {
        let document = format!("# Title\n{BEGIN}\nold\n{END}\nrest\n");
        let new = splice(&document, "new\n").unwrap();
        assert_eq!(new, format!("# Title\n{BEGIN}\nnew\n{END}\nrest\n"));
        assert_eq!(splice(&new, "new\n").unwrap(), new);
        assert_eq!(splice("no markers", "x"), None);
        assert_eq!(splice(&format!("{END} {BEGIN}"), "x"), None);
    }

    #[test]
    fn ratios_are_changes_and_shares_are_shares() {
        let e = Effect {
            what: "share of it".into(),
            unit: EffectUnit::Ratio,
            value: 1.25,
            lo: 1.2,
            hi: 1.3,
            in_cycles: None,
        };
        assert_eq!(effect(&e), "+25.0 % (+20.0 to +30.0)");
        let share = Effect { unit: EffectUnit::Share, value: 0.93, lo: 0.9, hi: 0.95, ..e };
        assert_eq!(effect(&share), "share of it: 93.0 % (90.0 to 95.0)");
    }

    #[test]
    fn text_from_records_cannot_break_the_table() {
        assert_eq!(cell("a|b <script>\n"), "a\\|b &lt;script&gt;\u{fffd}");
    }
}
