//! Quantities with their units, as people write them.

use market::units::{Msat, PPM};
use serde::{Deserialize, Deserializer, de};
use std::{fmt, str::FromStr};

/// A quantity that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct BadUnit {
    text: String,
    expected: &'static str,
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($value:ty), $expected:literal, $read:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub $value);

        impl FromStr for $name {
            type Err = BadUnit;
            fn from_str(text: &str) -> Result<$name, BadUnit> {
                let read: fn(&str) -> Option<$value> = $read;
                read(text.trim()).map($name).ok_or_else(|| BadUnit { text: text.to_owned(), expected: $expected })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

quantity!(
    /// Money: `12 sat`, `0.5 sat`, `1500 msat`.
    Money(Msat), "an amount like \"12 sat\", \"0.5 sat\" or \"1500 msat\"", |text| {
        let amount = match text.strip_suffix("msat") {
            Some(number) => scaled(number, 1)?,
            None => scaled(text.strip_suffix("sat")?, 1_000)?,
        };
        Some(Msat(amount)).filter(|amount| *amount <= Msat::MAX)
    }
);

quantity!(
    /// A size in bytes: `64MiB`, `1.5 GiB`, `10kB`, `512`.
    ByteSize(u64), "a size like \"64MiB\", \"1.5GiB\" or a number of bytes", |text| {
        let (number, unit) = split(text);
        let factor = match unit {
            "" | "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        scaled(number, factor)
    }
);

quantity!(
    /// A large number: `50G`, `2.5M`, `100`.
    Count(u64), "a number like \"50G\", \"2.5M\" or 100", |text| {
        let (number, unit) = split(text);
        let factor = match unit {
            "" => 1,
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "T" => 1_000_000_000_000,
            _ => return None,
        };
        scaled(number, factor)
    }
);

quantity!(
    /// A time span in milliseconds: `30s`, `10m`, `1h 30m`, `250ms`.
    Span(u64), "a time like \"30s\", \"10m\", \"1h 30m\" or \"250ms\"", |text| {
        u64::try_from(humantime::parse_duration(text).ok()?.as_millis()).ok()
    }
);

quantity!(
    /// A share in parts per million: `10%`, `0.5%`.
    Share(u32), "a share like \"10%\", at most 100%", |text| {
        let ppm = scaled(text.strip_suffix('%')?, PPM / 100)?;
        u32::try_from(ppm).ok().filter(|ppm| u64::from(*ppm) <= PPM)
    }
);

quantity!(
    /// CPU cores, in thousandths: `2`, `0.5`.
    Cores(u64), "a number of CPU cores like 2 or 0.5", |text| scaled(text, 1_000)
);

impl Span {
    /// The span for libraries that want it.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

/// Number and unit.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// A decimal number times a factor, exactly; `None` where it is no number, has digits below one, or does not fit.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let number = number.trim().replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || fraction.len() > 18 {
        return None;
    }
    let mut total = whole.parse::<u128>().ok()?.checked_mul(factor.into())?;
    if !fraction.is_empty() {
        let (digits, scale) =
            (fraction.parse::<u128>().ok()?, 10u128.pow(u32::try_from(fraction.len()).ok()?));
        let part = digits.checked_mul(factor.into())?;
        if part % scale != 0 {
            return None;
        }
        total = total.checked_add(part / scale)?;
    }
    u64::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly_as_people_write_them() {
        assert_eq!("12 sat".parse(), Ok(Money(Msat(12_000))));
        assert_eq!("0.001sat".parse(), Ok(Money(Msat(1))));
        assert_eq!("1_500 msat".parse(), Ok(Money(Msat(1_500))));
        assert_eq!("64MiB".parse(), Ok(ByteSize(64 << 20)));
        assert_eq!("1.5 GiB".parse(), Ok(ByteSize(3 << 29)));
        assert_eq!("512".parse(), Ok(ByteSize(512)));
        assert_eq!("2.5G".parse(), Ok(Count(2_500_000_000)));
        assert_eq!("1h 30m".parse(), Ok(Span(5_400_000)));
        assert_eq!("0.5%".parse(), Ok(Share(5_000)));
        assert_eq!("0.5".parse(), Ok(Cores(500)));
    }

    #[test]
    fn nonsense_and_what_cannot_be_exact_is_refused() {
        for text in [
            "",
            "sat",
            "-1 sat",
            "12",
            "0.0001 sat",
            "1e3 sat",
            "22000000000000000 sat",
            "1.2.3 sat",
            "٣ sat",
        ] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
        for text in ["", "12 XB", "-5", "99999999999999999999", "0.5", ".5MiB", "1 000"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        for text in ["101%", "5", "-1%", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        for text in ["", "5", "-3s", "3 parsecs"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
