//! A line of a journal, read with patience: what is missing or of another type is absent, and what is unknown is ignored.
//!
//! The strict types of [`crate::record`] are for programs that go on with a run. A report has to show records of other
//! versions, and damaged ones, as far as they can be read.

use crate::record::Counters;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A number, a text or a truth value; or nothing, where something else stands in its place.
#[derive(Debug, Default)]
pub(super) enum Maybe<T> {
    Is(T),
    #[default]
    Not,
}

impl<T> Maybe<T> {
    pub fn get(self) -> Option<T> {
        match self {
            Maybe::Is(value) => Some(value),
            Maybe::Not => None,
        }
    }
}

/// What a [`Maybe`] can hold. Each kind takes its own values and lets all others pass.
pub(super) trait Scalar<'de>: Sized {
    fn number(_: f64) -> Option<Self> {
        None
    }
    fn text(_: &str) -> Option<Self> {
        None
    }
    /// A text that lies in the line as it is, without an escape.
    fn lying(text: &'de str) -> Option<Self> {
        Self::text(text)
    }
    fn flag(_: bool) -> Option<Self> {
        None
    }
}

impl Scalar<'_> for f64 {
    fn number(value: f64) -> Option<f64> {
        Some(value)
    }
}

impl<'de: 'a, 'a> Scalar<'de> for Cow<'a, str> {
    fn text(value: &str) -> Option<Self> {
        Some(Cow::Owned(value.to_owned()))
    }
    fn lying(value: &'de str) -> Option<Self> {
        Some(Cow::Borrowed(value))
    }
}

impl Scalar<'_> for bool {
    fn flag(value: bool) -> Option<bool> {
        Some(value)
    }
}

// An untagged enumeration would do the same by way of a copy of every value, and most of a report's time is spent here.
impl<'de, T: Scalar<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any(PhantomData))
    }
}

struct Any<T>(PhantomData<T>);

impl<'de, T: Scalar<'de>> Visitor<'de> for Any<T> {
    type Value = Maybe<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Maybe<T>, E> {
        Ok(T::number(value).map_or(Maybe::Not, Maybe::Is))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Maybe<T>, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Maybe<T>, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Maybe<T>, E> {
        Ok(T::text(value).map_or(Maybe::Not, Maybe::Is))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Maybe<T>, E> {
        Ok(T::lying(value).map_or(Maybe::Not, Maybe::Is))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Maybe<T>, E> {
        Ok(T::flag(value).map_or(Maybe::Not, Maybe::Is))
    }

    fn visit_unit<E: Error>(self) -> Result<Maybe<T>, E> {
        Ok(Maybe::Not)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Maybe<T>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Maybe::Not)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Maybe<T>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Maybe::Not)
    }
}

/// An object of the journal, or whatever else stands in its place.
#[derive(Debug, Default)]
pub(super) enum Object<T> {
    Is(T),
    #[default]
    Not,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyObject(PhantomData))
    }
}

struct AnyObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AnyObject<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Object<T>, E> {
        Ok(Object::Not)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Object<T>, E> {
        Ok(Object::Not)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Object<T>, E> {
        Ok(Object::Not)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Object<T>, E> {
        Ok(Object::Not)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Object<T>, E> {
        Ok(Object::Not)
    }

    fn visit_unit<E: Error>(self) -> Result<Object<T>, E> {
        Ok(Object::Not)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Object<T>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Object::Not)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object::Is)
    }
}

impl<T> Object<T> {
    pub fn get(self) -> Option<T> {
        match self {
            Object::Is(value) => Some(value),
            Object::Not => None,
        }
    }
}

/// The largest whole number up to which a double, and so a page's script, holds every whole number.
pub(super) const MOST_WHOLE: f64 = (1u64 << 53) as f64;

impl Maybe<f64> {
    /// A count or a size: whole, not negative, and held exactly.
    pub fn whole(self) -> Option<u64> {
        self.get().filter(|v| v.fract() == 0.0 && (0.0..=MOST_WHOLE).contains(v)).map(|v| v as u64)
    }

    /// A quantity: finite and greater than zero.
    pub fn positive(self) -> Option<f64> {
        self.get().filter(|v| v.is_finite() && *v > 0.0)
    }

    /// A quantity: finite and at least zero.
    pub fn at_least_zero(self) -> Option<f64> {
        self.get().filter(|v| v.is_finite() && *v >= 0.0)
    }
}

impl<'a> Maybe<Cow<'a, str>> {
    /// The text; empty where there is none.
    pub fn text(self) -> Cow<'a, str> {
        self.get().unwrap_or_default()
    }
}

/// One sample, times in nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sample {
    pub at_ns: Maybe<f64>,
    pub clock_mhz: Maybe<f64>,
    pub power_mw: Maybe<f64>,
    pub temperature_c: Maybe<f64>,
    pub throttle_bits: Maybe<f64>,
    pub throttled: Maybe<bool>,
}

/// How the result was checked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Check<'a> {
    pub elements: Maybe<f64>,
    pub of: Maybe<f64>,
    pub worst: Maybe<f64>,
    #[serde(borrow)]
    pub reference: Maybe<Cow<'a, str>>,
}

/// One line. The fields are those of [`crate::record::CellRecord`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Line<'a> {
    pub cell: Maybe<f64>,
    #[serde(borrow)]
    pub part: Maybe<Cow<'a, str>>,
    pub pair: Maybe<f64>,
    #[serde(borrow)]
    pub role: Maybe<Cow<'a, str>>,
    pub m: Maybe<f64>,
    pub n: Maybe<f64>,
    pub k: Maybe<f64>,
    #[serde(borrow)]
    pub layout: Maybe<Cow<'a, str>>,
    #[serde(borrow)]
    pub dtype: Maybe<Cow<'a, str>>,
    pub lda: Maybe<f64>,
    pub ldb: Maybe<f64>,
    pub ldc: Maybe<f64>,
    pub offset_a: Maybe<f64>,
    pub offset_b: Maybe<f64>,
    pub offset_c: Maybe<f64>,
    pub alpha: Maybe<f64>,
    pub beta: Maybe<f64>,
    #[serde(borrow)]
    pub kernel: Maybe<Cow<'a, str>>,
    #[serde(borrow)]
    pub variant: Maybe<Cow<'a, str>>,
    #[serde(borrow)]
    pub dispatch: Maybe<Cow<'a, str>>,
    #[serde(borrow)]
    pub regime: Maybe<Cow<'a, str>>,
    #[serde(borrow)]
    pub distribution: Maybe<Cow<'a, str>>,
    #[serde(borrow)]
    pub status: Maybe<Cow<'a, str>>,
    #[serde(borrow)]
    pub reason: Maybe<Cow<'a, str>>,
    pub median_ns: Maybe<f64>,
    pub median_lo_ns: Maybe<f64>,
    pub median_hi_ns: Maybe<f64>,
    pub tflops: Maybe<f64>,
    pub flop_per_cycle: Maybe<f64>,
    pub pair_ratio: Maybe<f64>,
    pub pair_ratio_lo: Maybe<f64>,
    pub pair_ratio_hi: Maybe<f64>,
    pub copies: Maybe<f64>,
    pub workspace_bytes: Maybe<f64>,
    #[serde(borrow)]
    pub stop: Maybe<Cow<'a, str>>,
    pub throttled_samples: Maybe<f64>,
    pub warm: Maybe<bool>,
    #[serde(borrow)]
    pub check: Object<Check<'a>>,
    pub counters: Object<Counters>,
    // Not a `Maybe`: that would hold a second copy of the longest list of the line in memory.
    pub samples: Option<Vec<Sample>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_foreign_or_of_another_type_is_absent() {
        let text = r#"{"m": 64, "n": "NaN", "k": null, "lda": -1, "ldb": 1e300, "ldc": 2.5, "kernel": 7, "warm": "yes",
            "median_ns": -4, "tflops": 0, "status": {"a": [1]}, "later": {"deep": [[{}]]},
            "samples": [{"at_ns": 5, "clock_mhz": "fast", "later": 1}, {}]}"#;
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(line.m.whole(), Some(64));
        for absent in [line.n, line.k, line.lda, line.ldb, line.ldc, line.offset_a] {
            assert_eq!(absent.whole(), None);
        }
        assert_eq!((line.kernel.text(), line.warm.get(), line.status.text()), ("".into(), None, "".into()));
        assert_eq!((line.median_ns.positive(), line.tflops.at_least_zero()), (None, Some(0.0)));
        let samples = line.samples.unwrap();
        assert_eq!(samples.len(), 2);
        assert!(matches!(samples[0].at_ns, Maybe::Is(5.0)) && matches!(samples[0].clock_mhz, Maybe::Not));
        assert!(serde_json::from_str::<Line>("{\"m\": ").is_err());
        assert!(serde_json::from_str::<Line>("{}").is_ok());
    }
}
