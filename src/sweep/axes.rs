//! The text of an axis, such as `64..1024+64`, and the values that it stands for.
//!
//! ```text
//! 4096            one value
//! 1000..1064      from 1000 to 1064, both included, in steps of 1
//! 64..1024+64     in steps of 64
//! 64..8192*2      each twice the one before
//! 4096~16         4096 - 16 to 4096 + 16
//! 1,2,1000..1064  several of these
//! +0..8           for a leading dimension: this many elements more than a row has
//! m, n, k, ldb    as large as that one in the same cell
//! ```
//!
//! Spaces around values do not matter, and a value that is there twice counts once.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Most values of one axis.
pub const MAX_VALUES: u64 = 1 << 22;

/// What an error shows beside the place where a text stops being an axis.
const FORMS: &str = "write 4096, 1000..1064, 64..1024+64, 64..8192*2 or 4096~16, or several joined by commas";

/// Another axis that one can be tied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tie {
    /// Rows of C.
    M,
    /// Columns of C.
    N,
    /// Depth.
    K,
    /// Leading dimension of B, padding for padding.
    Ldb,
}

/// What an axis stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    Absolute(Vec<u64>),
    Padding(Vec<u64>),
    Tied(Tie),
}

/// One value of an axis, before the cell's other values are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// This many.
    Absolute(u64),
    /// A row's length and this many more.
    Padding(u64),
    /// As many as another axis has.
    Tied(Tie),
}

/// An axis of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Axis {
    text: String,
    values: Values,
}

/// A text that is not an axis, with the place where it stops being one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct AxisError {
    text: String,
    at: usize,
    what: String,
}

impl fmt::Display for AxisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.text[..self.at.min(self.text.len())].chars().count();
        // Line ends in the text would move the mark to another line.
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "{}\n  {line}\n  {:column$}^\n{FORMS}", self.what, "")
    }
}

impl Axis {
    /// An axis with one value.
    pub fn single(value: u64) -> Self {
        Axis { text: value.to_string(), values: Values::Absolute(vec![value]) }
    }

    /// The axis of a leading dimension without padding.
    pub fn compact() -> Self {
        Axis { text: "+0".to_owned(), values: Values::Padding(vec![0]) }
    }

    /// How many values it has.
    pub fn len(&self) -> u64 {
        match &self.values {
            Values::Absolute(v) | Values::Padding(v) => v.len() as u64,
            Values::Tied(_) => 1,
        }
    }

    /// Whether it has no value, which no text stands for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value number `i`.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn value(&self, i: u64) -> Value {
        match &self.values {
            Values::Absolute(v) => Value::Absolute(v[i as usize]),
            Values::Padding(v) => Value::Padding(v[i as usize]),
            Values::Tied(tie) => Value::Tied(*tie),
        }
    }

    /// The axis that this one is tied to.
    pub fn tie(&self) -> Option<Tie> {
        match self.values {
            Values::Tied(tie) => Some(tie),
            _ => None,
        }
    }

    /// Whether its values are paddings.
    pub fn is_padding(&self) -> bool {
        matches!(self.values, Values::Padding(_))
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Axis> for String {
    fn from(axis: Axis) -> String {
        axis.text
    }
}

impl TryFrom<String> for Axis {
    type Error = AxisError;

    fn try_from(text: String) -> Result<Self, AxisError> {
        text.parse()
    }
}

impl FromStr for Axis {
    type Err = AxisError;

    fn from_str(text: &str) -> Result<Self, AxisError> {
        let tie = match text.trim() {
            "m" => Some(Tie::M),
            "n" => Some(Tie::N),
            "k" => Some(Tie::K),
            "ldb" => Some(Tie::Ldb),
            _ => None,
        };
        if let Some(tie) = tie {
            return Ok(Axis { text: text.trim().to_owned(), values: Values::Tied(tie) });
        }
        let mut parser = Parser { text, at: 0 };
        parser.space();
        let padding = parser.eat("+");
        let mut values = Vec::new();
        loop {
            parser.item(&mut values)?;
            parser.space();
            if parser.at == text.len() {
                break;
            }
            if !parser.eat(",") {
                return Err(parser.error("expected a comma, `..`, `~` or the end"));
            }
            parser.space();
            // As in +1,+2: one plus in front of them all is enough.
            if padding {
                parser.eat("+");
            }
        }
        // A single range holds nothing twice, and may hold millions.
        if !values.is_sorted_by(|a, b| a < b) {
            let mut seen = std::collections::HashSet::with_capacity(values.len());
            values.retain(|v| seen.insert(*v));
        }
        let values = if padding { Values::Padding(values) } else { Values::Absolute(values) };
        Ok(Axis { text: text.to_owned(), values })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, what: impl Into<String>) -> AxisError {
        AxisError { text: self.text.to_owned(), at: self.at, what: what.into() }
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn number(&mut self) -> Result<u64, AxisError> {
        let rest = &self.text[self.at..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if digits == 0 {
            let mut next = rest.chars();
            return Err(self.error(match (next.next(), next.next()) {
                (Some('-'), Some('0'..='9')) => "a value cannot be negative",
                (Some('+'), _) => "a + in front means padding, and stands before the first value of an axis",
                _ => "expected a number",
            }));
        }
        let value = rest[..digits].parse().map_err(|_| self.error("the number is 2^64 or larger"))?;
        self.at += digits;
        Ok(value)
    }

    fn item(&mut self, values: &mut Vec<u64>) -> Result<(), AxisError> {
        let start = self.at;
        let first = self.number()?;
        let after_first = self.at;
        if self.eat("..") {
            let last = self.number()?;
            if last < first {
                self.at = after_first + 2;
                return Err(self.error(format!("the range ends at {last}, before it begins at {first}")));
            }
            let step_at = self.at + 1;
            if self.eat("*") {
                let factor = self.number()?;
                if factor < 2 {
                    self.at = step_at;
                    return Err(self.error(format!("the factor is {factor}, and it must be at least 2")));
                }
                if first == 0 {
                    self.at = start;
                    return Err(self.error("a range by factors cannot begin at 0"));
                }
                let mut value = first;
                while value <= last {
                    self.push(values, value, start)?;
                    match value.checked_mul(factor) {
                        Some(next) => value = next,
                        None => break,
                    }
                }
                return Ok(());
            }
            let step = if self.eat("+") { self.number()? } else { 1 };
            if step == 0 {
                self.at = step_at;
                return Err(self.error("the step is 0, and it must be at least 1"));
            }
            return self.range(values, first, last, step, start);
        }
        if self.eat("~") {
            let radius = self.number()?;
            let (Some(low), Some(high)) = (first.checked_sub(radius), first.checked_add(radius)) else {
                self.at = after_first + 1;
                return Err(self.error(format!("{first} - {radius} is below 0 or {first} + {radius} is 2^64 or above")));
            };
            return self.range(values, low, high, 1, start);
        }
        self.push(values, first, start)
    }

    fn range(
        &mut self,
        values: &mut Vec<u64>,
        first: u64,
        last: u64,
        step: u64,
        start: usize,
    ) -> Result<(), AxisError> {
        let more = (last - first) / step;
        if more.saturating_add(values.len() as u64) >= MAX_VALUES {
            self.at = start;
            return Err(self.error(format!(
                "an axis has at most {MAX_VALUES} values, and this range alone has {}: take a step, as in 64..8192+64",
                u128::from(more) + 1
            )));
        }
        values.extend((0..=more).map(|i| first + i * step));
        Ok(())
    }

    fn push(&mut self, values: &mut Vec<u64>, value: u64, start: usize) -> Result<(), AxisError> {
        if values.len() as u64 >= MAX_VALUES {
            self.at = start;
            return Err(self.error(format!("an axis has at most {MAX_VALUES} values")));
        }
        values.push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<u64> {
        let axis: Axis = text.parse().unwrap_or_else(|e| panic!("{e}"));
        (0..axis.len())
            .map(|i| match axis.value(i) {
                Value::Absolute(v) | Value::Padding(v) => v,
                Value::Tied(_) => panic!("{text} is tied"),
            })
            .collect()
    }

    #[test]
    fn every_form_gives_its_values() {
        assert_eq!(values("4096"), [4096]);
        assert_eq!(values("1000..1004"), [1000, 1001, 1002, 1003, 1004]);
        assert_eq!(values("64..200+64"), [64, 128, 192]);
        assert_eq!(values("64..1024*2"), [64, 128, 256, 512, 1024]);
        assert_eq!(values("1..30*3"), [1, 3, 9, 27]);
        assert_eq!(values("10~2"), [8, 9, 10, 11, 12]);
        assert_eq!(values("7,1..3,2,9"), [7, 1, 2, 3, 9]);
        let padding: Axis = "+0..3".parse().unwrap();
        assert_eq!((padding.len(), padding.value(3)), (4, Value::Padding(3)));
        assert_eq!("ldb".parse::<Axis>().unwrap().tie(), Some(Tie::Ldb));
        assert_eq!("+1,2".parse::<Axis>().unwrap().values, "+1,+2".parse::<Axis>().unwrap().values);
        assert_eq!(values(" 64, 128 ,\t1..3 "), [64, 128, 1, 2, 3]);
    }

    #[test]
    fn errors_mark_the_place() {
        for (text, column, word) in [
            ("64..x", 4, "expected a number"),
            ("64..1024+0", 9, "step is 0"),
            ("64..1024*1", 9, "factor is 1"),
            ("9..3", 3, "ends at 3"),
            ("1,,2", 2, "expected a number"),
            ("12;13", 2, "expected a comma"),
            ("3~4", 2, "below 0"),
            ("1,0..9*2", 2, "cannot begin at 0"),
            ("99999999999999999999", 0, "2^64 or larger"),
            ("-3", 0, "negative"),
            ("1,-3", 2, "negative"),
            ("4..-3", 3, "negative"),
            ("1 2", 2, "expected a comma"),
            ("1,+2", 2, "before the first value"),
            ("8,\n x", 4, "expected a number"),
            ("1..4194305", 0, "alone has 4194305"),
            ("", 0, "expected a number"),
            ("1..99999999999", 0, "at most"),
        ] {
            let error = text.parse::<Axis>().unwrap_err();
            assert_eq!(error.at, column, "{text}: {error}");
            assert!(error.to_string().contains(word), "{error}");
            let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
            assert_eq!(lines[2].find('^'), Some(column + 2), "{error}");
            assert_eq!(lines[3..], [FORMS], "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9.,+*~mnkldb ü\\n-]{0,24}") {
            if let Ok(axis) = text.parse::<Axis>() {
                prop_assert!(!axis.is_empty());
                prop_assert_eq!(axis.to_string().parse::<Axis>().unwrap(), axis);
            } else {
                let _ = text.parse::<Axis>().unwrap_err().to_string();
            }
        }
    }
}
