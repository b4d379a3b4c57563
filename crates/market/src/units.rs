//! Money, time and the other quantities of the market. Integers only; every operation is checked.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// The largest integer that JSON readers in every language keep exact (2^53 − 1); larger ones travel as strings.
pub const MAX_SAFE_JSON_INTEGER: u64 = (1 << 53) - 1;

/// A sum that does not fit, or a subtraction below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount does not fit: arithmetic overflow")]
pub struct Overflow;

/// An amount of money in millisatoshi (10⁻¹¹ bitcoin).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Msat(pub u64);

impl Msat {
    /// No money.
    pub const ZERO: Msat = Msat(0);
    /// All bitcoin that will ever exist, 21 million; no amount in the market may be larger.
    pub const MAX: Msat = Msat(21_000_000 * 100_000_000 * 1_000);

    /// An amount of whole satoshi, or `None` when it exceeds [`Msat::MAX`].
    pub fn from_sat(sat: u64) -> Option<Msat> {
        sat.checked_mul(1_000).map(Msat).filter(|amount| *amount <= Msat::MAX)
    }

    /// `self + other`, or [`Overflow`] past [`Msat::MAX`].
    pub fn plus(self, other: Msat) -> Result<Msat, Overflow> {
        self.0.checked_add(other.0).map(Msat).filter(|sum| *sum <= Msat::MAX).ok_or(Overflow)
    }

    /// `self − other`, or [`Overflow`] below zero.
    pub fn minus(self, other: Msat) -> Result<Msat, Overflow> {
        self.0.checked_sub(other.0).map(Msat).ok_or(Overflow)
    }

    /// `self − other`, zero when `other` is larger.
    pub fn saturating_sub(self, other: Msat) -> Msat {
        Msat(self.0.saturating_sub(other.0))
    }

    /// `self × factor`, or [`Overflow`].
    pub fn times(self, factor: u64) -> Result<Msat, Overflow> {
        self.0.checked_mul(factor).map(Msat).filter(|product| *product <= Msat::MAX).ok_or(Overflow)
    }

    /// `self × numerator ÷ denominator`, rounded as told; [`Overflow`] when the result does not fit or the
    /// denominator is zero.
    pub fn scale(self, numerator: u64, denominator: u64, rounding: Rounding) -> Result<Msat, Overflow> {
        mul_div(self.0, numerator, denominator, rounding)
            .map(Msat)
            .filter(|v| *v <= Msat::MAX)
            .ok_or(Overflow)
    }
}

/// Which way a division that does not come out even goes. Each use says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Toward zero.
    Down,
    /// Away from zero.
    Up,
}

/// `a × b ÷ c` without losing the high half of the product; `None` when it does not fit or `c` is zero.
pub fn mul_div(a: u64, b: u64, c: u64, rounding: Rounding) -> Option<u64> {
    if c == 0 {
        return None;
    }
    let (product, divisor) = (u128::from(a) * u128::from(b), u128::from(c));
    let quotient = match rounding {
        Rounding::Down => product / divisor,
        Rounding::Up => product.div_ceil(divisor),
    };
    u64::try_from(quotient).ok()
}

impl fmt::Display for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sat, rest) = (self.0 / 1_000, self.0 % 1_000);
        if rest == 0 { write!(f, "{sat} sat") } else { write!(f, "{sat}.{rest:03} sat") }
    }
}

impl fmt::Debug for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}msat", self.0)
    }
}

impl Serialize for Msat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_u64(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Msat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Msat, D::Error> {
        let amount = Msat(deserialize_u64(deserializer)?);
        if amount > Msat::MAX {
            return Err(de::Error::custom("an amount larger than all bitcoin (2100000000000000000 msat)"));
        }
        Ok(amount)
    }
}

/// Writes an integer above 2^53 − 1 as a decimal string where the format is human-readable, for `serde(with)`.
pub fn serialize_u64<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() && *value > MAX_SAFE_JSON_INTEGER {
        serializer.collect_str(value)
    } else {
        serializer.serialize_u64(*value)
    }
}

/// Reads what [`serialize_u64`] wrote. Negative numbers, fractions and signs are refused.
pub fn deserialize_u64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = u64;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a whole number from 0 to 2^64 − 1 (as a string above 2^53 − 1)")
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
            u64::try_from(value)
                .map_err(|_| E::custom("a negative number where only zero or more makes sense"))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(E::invalid_value(de::Unexpected::Str(text), &self));
            }
            text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(Visitor)
    } else {
        deserializer.deserialize_u64(Visitor)
    }
}

/// `serde(with = "units::big_u64")`: a `u64` that may exceed what JSON numbers keep exact.
pub mod big_u64 {
    pub use super::{deserialize_u64 as deserialize, serialize_u64 as serialize};
}

/// A point in time: milliseconds since 1970-01-01 UTC, by the venue's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeMs(pub u64);

impl TimeMs {
    /// This time plus a span, at the latest the end of time.
    pub fn plus(self, span_ms: u64) -> TimeMs {
        TimeMs(self.0.saturating_add(span_ms))
    }

    /// Milliseconds from `earlier` to this time, zero when `earlier` is later.
    pub fn since(self, earlier: TimeMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One million parts per million: the whole of something.
pub const PPM: u64 = 1_000_000;

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Accepted tasks.
    Task,
    /// Milliseconds of lease time.
    Ms,
    /// Wasm fuel: deterministic instruction count of an execution profile.
    Fuel,
}

/// A price: `msat` for every `per` of `unit` (one task, 3 600 000 ms, 1 000 000 000 fuel).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Money for every `per` units.
    pub msat: Msat,
    /// How many units `msat` buys; never zero.
    #[serde(with = "big_u64")]
    pub per: u64,
    /// What is counted.
    pub unit: Unit,
}

impl Rate {
    /// A price for each task.
    pub fn per_task(msat: Msat) -> Rate {
        Rate { msat, per: 1, unit: Unit::Task }
    }

    /// A price for an hour of lease time.
    pub fn per_hour(msat: Msat) -> Rate {
        Rate { msat, per: 3_600_000, unit: Unit::Ms }
    }

    /// A price for 10⁹ fuel.
    pub fn per_giga_fuel(msat: Msat) -> Rate {
        Rate { msat, per: 1_000_000_000, unit: Unit::Fuel }
    }

    /// The bill for a cumulative usage, rounded down: the remainder belongs to the buyer.
    pub fn bill(&self, usage: u64) -> Result<Msat, Overflow> {
        self.msat.scale(usage, self.per, Rounding::Down)
    }

    /// The most that `usage` can come to, rounded up: what has to be locked before the work starts.
    pub fn ceiling(&self, usage: u64) -> Result<Msat, Overflow> {
        self.msat.scale(usage, self.per, Rounding::Up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_beyond_exact_json_integers_travel_as_strings() {
        let large = Msat(MAX_SAFE_JSON_INTEGER + 1);
        assert_eq!(serde_json::to_string(&large).unwrap(), "\"9007199254740992\"");
        assert_eq!(serde_json::from_str::<Msat>("\"9007199254740992\"").unwrap(), large);
        assert_eq!(serde_json::to_string(&Msat(5)).unwrap(), "5");
    }

    #[test]
    fn negative_fractional_and_impossible_amounts_are_refused() {
        for text in
            ["-1", "1.5", "\"-1\"", "\"+1\"", "\"\"", "2100000000000000001", "\"99999999999999999999\""]
        {
            assert!(serde_json::from_str::<Msat>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bill_rounds_down_and_its_ceiling_rounds_up() {
        let rate = Rate::per_hour(Msat(1_000));
        assert_eq!(rate.bill(5_400).unwrap(), Msat(1));
        assert_eq!(rate.ceiling(5_400).unwrap(), Msat(2));
        assert_eq!(rate.bill(3_600_000).unwrap(), Msat(1_000));
    }

    #[test]
    fn amounts_read_as_satoshi() {
        assert_eq!(Msat(12_000).to_string(), "12 sat");
        assert_eq!(Msat(12_034).to_string(), "12.034 sat");
    }
}
