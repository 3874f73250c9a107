//! Whole numbers as other programs write them: `350000.0` is one, too.

use serde::de::{Deserializer, Error, Visitor};
use std::fmt;
use std::marker::PhantomData;

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Whole<T> {
    fn of<E: Error>(value: u64) -> Result<T, E> {
        T::try_from(value).map_err(|_| E::custom(format!("{value} is too large")))
    }
}

impl<T: TryFrom<u64>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number that is not negative")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        Whole::of(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        u64::try_from(value).map_or_else(|_| Err(E::custom(format!("{value} is negative"))), Whole::of)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        // Beyond that, not every whole number is one of these.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if (0.0..=EXACT).contains(&value) {
            Whole::of(value.round() as u64)
        } else {
            Err(E::custom(format!("{value} is no such number")))
        }
    }
}

/// A whole number, rounded where it is none.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(field: D) -> Result<T, D::Error> {
    field.deserialize_any(Whole(PhantomData))
}

struct Maybe<T>(PhantomData<T>);

impl<'de, T: TryFrom<u64>> Visitor<'de> for Maybe<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number that is not negative, or null")
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, field: D) -> Result<Option<T>, D::Error> {
        whole(field).map(Some)
    }
}

/// The same where there may be none.
pub(super) fn maybe<'de, D: Deserializer<'de>, T: TryFrom<u64>>(field: D) -> Result<Option<T>, D::Error> {
    field.deserialize_option(Maybe(PhantomData))
}

#[cfg(test)]
mod tests {
    use crate::record::Sample;

    fn sample(json: &str) -> Result<Sample, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn numbers_with_a_point_are_rounded_and_nonsense_is_refused() {
        let s = sample(
            r#"{"at_ns": 1e9, "elapsed_ns": 1999.6, "launches": 2, "power_mw": 350000.0, "temperature_c": null}"#,
        );
        let s = s.unwrap();
        assert_eq!((s.at_ns, s.elapsed_ns, s.power_mw, s.temperature_c), (1_000_000_000, 2000, Some(350_000), None));
        for elapsed in ["-1", "-1.5", "1e300", "\"5\"", "null"] {
            assert!(
                sample(&format!(r#"{{"at_ns": 1, "elapsed_ns": {elapsed}, "launches": 2}}"#)).is_err(),
                "{elapsed}"
            );
        }
        let power = sample(r#"{"at_ns": 1, "elapsed_ns": 2, "launches": 2, "power_mw": 5000000000}"#);
        assert!(power.unwrap_err().to_string().contains("5000000000 is too large"));
    }
}
