//! Columns of numbers as compact JSON: one of four encodings, whichever is shortest.
//!
//! * `{"c": x}`: every value is x.
//! * `{"r": [x, n, y, m, ..]}`: n times x, then m times y, and so on.
//! * `{"d": [a, n, b, m, ..]}`: the same for the differences from one value to the next, beginning at 0.
//! * `{"v": [x, y, ..]}`: the values.
//!
//! `null` stands for a value that is not there.

use serde_json::{Number, Value};
use std::fmt::Write;

/// A number rounded to so many significant digits; `null` where it is not finite.
pub(super) fn digits(value: f64, significant: usize) -> Value {
    Number::from_f64(round(value, significant)).map_or(Value::Null, Value::Number)
}

fn round(value: f64, significant: usize) -> f64 {
    // Whole numbers of few digits are what most columns hold.
    if value.fract() == 0.0 && value.abs() < 10f64.powi(significant as i32) {
        return value;
    }
    format!("{:.*e}", significant - 1, value).parse().unwrap_or(value)
}

/// A number as JSON, in the shorter of the usual and the scientific notation.
fn text(value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()) {
        None => "null".to_owned(),
        // Here the usual notation is never the longer one: three digits before the point, or a last digit that is no zero.
        Some(v) if (1.0..1000.0).contains(&v.abs()) => format!("{v}"),
        Some(v) if v.fract() == 0.0 && v % 10.0 != 0.0 && v.abs() < super::line::MOST_WHOLE => (v as i64).to_string(),
        Some(v) => {
            // Adding zero makes a negative zero a plain one.
            let (plain, scientific) = (format!("{}", v + 0.0), format!("{:e}", v + 0.0));
            if plain.len() <= scientific.len() { plain } else { scientific }
        }
    }
}

/// Encodes a column. `significant` rounds each value to so many digits; `None` keeps whole numbers as they are.
pub(super) fn encode(values: impl Iterator<Item = Option<f64>>, significant: Option<usize>) -> String {
    let values: Vec<Option<f64>> =
        values.map(|v| v.filter(|v| v.is_finite()).map(|v| significant.map_or(v, |s| round(v, s)))).collect();
    let runs = runs(values.iter().copied());
    if runs.len() <= 1 {
        return format!("{{\"c\":{}}}", text(runs.first().and_then(|r| r.0)));
    }
    let mut best = list("v", values.iter().map(|&v| (v, None)));
    let mut consider = |other: String| {
        if other.len() < best.len() {
            best = other;
        }
    };
    consider(list("r", runs.iter().map(|&(v, n)| (v, Some(n)))));
    // Differences of whole numbers add up exactly, and those of rounded ones do not.
    if values.iter().all(|v| v.is_some_and(|v| v.fract() == 0.0 && v.abs() <= super::line::MOST_WHOLE / 2.0)) {
        let mut last = 0.0;
        let steps = self::runs(values.iter().map(|v| {
            let step = v.unwrap_or_default() - last;
            last += step;
            Some(step)
        }));
        consider(list("d", steps.iter().map(|&(v, n)| (v, Some(n)))));
    }
    best
}

fn runs(values: impl Iterator<Item = Option<f64>>) -> Vec<(Option<f64>, usize)> {
    let mut runs: Vec<(Option<f64>, usize)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => runs.push((value, 1)),
        }
    }
    runs
}

fn list(name: &str, items: impl Iterator<Item = (Option<f64>, Option<usize>)>) -> String {
    let mut out = format!("{{\"{name}\":[");
    for (i, (value, count)) in items.enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&text(value));
        if let Some(count) = count {
            write!(out, ",{count}").expect("a string takes everything");
        }
    }
    out.push_str("]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(encoded: &str) -> Option<Vec<Option<f64>>> {
        let value: Value = serde_json::from_str(encoded).unwrap();
        let object = value.as_object().unwrap();
        let (name, list) = object.iter().next().unwrap();
        let pairs = |list: &Value| -> Vec<(Option<f64>, usize)> {
            let list = list.as_array().unwrap();
            list.chunks(2).map(|c| (c[0].as_f64(), c[1].as_u64().unwrap() as usize)).collect()
        };
        let spread = |pairs: Vec<(Option<f64>, usize)>| pairs.into_iter().flat_map(|(v, n)| std::iter::repeat_n(v, n));
        match name.as_str() {
            "v" => Some(list.as_array().unwrap().iter().map(Value::as_f64).collect()),
            "r" => Some(spread(pairs(list)).collect()),
            "d" => Some(
                spread(pairs(list))
                    .scan(0.0, |last, step| {
                        *last += step.unwrap();
                        Some(Some(*last))
                    })
                    .collect(),
            ),
            _ => None,
        }
    }

    #[test]
    fn each_encoding_is_taken_where_it_is_shortest() {
        let of = |values: &[f64]| encode(values.iter().map(|&v| Some(v)), None);
        assert_eq!(of(&[7.0; 5]), r#"{"c":7}"#);
        assert_eq!(of(&[]), r#"{"c":null}"#);
        assert_eq!(of(&(100..200).map(f64::from).collect::<Vec<_>>()), r#"{"d":[100,1,1,99]}"#);
        assert_eq!(of(&[1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]), r#"{"r":[1,4,0.5,4]}"#);
        assert_eq!(of(&[3.0, 1.0, 4.0, 1.0]), r#"{"v":[3,1,4,1]}"#);
        assert_eq!(
            encode([Some(0.096_807_342), Some(1e300), Some(f64::NAN), None].into_iter(), Some(4)),
            r#"{"v":[0.09681,1e300,null,null]}"#
        );
    }

    proptest! {
        #[test]
        fn whole_numbers_survive_and_others_are_rounded(
            values in prop::collection::vec(prop::option::of(prop_oneof![
                (-5i64..5).prop_map(|v| v as f64), (0u64..1 << 53).prop_map(|v| v as f64), 1e-9f64..1e12,
            ]), 2..60),
        ) {
            let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() <= 0.5e-3 * b.abs(),
                (a, b) => a == b,
            };
            let whole: Vec<_> = values.iter().map(|v| v.map(f64::round)).collect();
            if let Some(decoded) = decode(&encode(whole.iter().copied(), None)) {
                prop_assert_eq!(&decoded, &whole);
            }
            if let Some(decoded) = decode(&encode(values.iter().copied(), Some(4))) {
                prop_assert_eq!(decoded.len(), values.len());
                prop_assert!(decoded.iter().zip(&values).all(|(&a, &b)| close(a, b)));
            }
        }
    }
}
