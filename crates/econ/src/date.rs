//! Dates of figures: a day, or a month where the source says no more.

use jiff::{
    ToSpan,
    civil::{self, Date},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Figures older than this many days are named with their age.
pub const STALE_AFTER_DAYS: i64 = 30;

/// When a figure was true: `2026-03-12`, or `2026-02` where only the month is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsOf {
    first: Date,
    is_month: bool,
}

/// A text that is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no date: write 2026-03-12, or 2026-03 where only the month is known")]
pub struct NotADate(pub String);

impl AsOf {
    /// A day.
    pub fn day(date: Date) -> AsOf {
        AsOf { first: date, is_month: false }
    }

    /// The last day that it can mean.
    pub fn last_day(self) -> Date {
        if self.is_month { self.first.last_of_month() } else { self.first }
    }

    /// How many days it lies back at least; negative in the future.
    pub fn age_days(self, today: Date) -> i64 {
        i64::from((today - self.last_day()).get_days())
    }

    /// Whether an answer built on it has to say how old it is.
    pub fn is_stale(self, today: Date) -> bool {
        self.age_days(today) > STALE_AFTER_DAYS
    }

    /// Whether it can only be a mistake: the day has come nowhere yet.
    pub fn is_future(self, today: Date) -> bool {
        self.first > AsOf::newest(today)
    }

    /// The newest day that a figure can have: tomorrow, which begins earlier elsewhere.
    pub fn newest(today: Date) -> Date {
        today.checked_add(1.day()).unwrap_or(today)
    }
}

impl FromStr for AsOf {
    type Err = NotADate;
    fn from_str(text: &str) -> Result<AsOf, NotADate> {
        let wrong = || NotADate(text.to_owned());
        let number = |part: &str, digits: usize| {
            let is_plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
            if is_plain { part.parse::<i16>().map_err(|_| wrong()) } else { Err(wrong()) }
        };
        let small = |part: &str| i8::try_from(number(part, 2)?).map_err(|_| wrong());
        let parts: Vec<&str> = text.split('-').collect();
        let (year, month, day, is_month) = match parts.as_slice() {
            [year, month] => (number(year, 4)?, small(month)?, 1, true),
            [year, month, day] => (number(year, 4)?, small(month)?, small(day)?, false),
            _ => return Err(wrong()),
        };
        let first = civil::Date::new(year, month, day).map_err(|_| wrong())?;
        Ok(AsOf { first, is_month })
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_month {
            write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
        } else {
            write!(f, "{}", self.first)
        }
    }
}

impl Serialize for AsOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AsOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AsOf, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_of(text: &str) -> AsOf {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_is_as_old_as_its_last_day() {
        let today = civil::date(2026, 3, 31);
        assert_eq!(as_of("2026-02").age_days(today), 31);
        assert_eq!(as_of("2026-03-01").age_days(today), 30);
        assert!(as_of("2026-02").is_stale(today));
        assert!(!as_of("2026-03-01").is_stale(today));
    }

    #[test]
    fn dates_of_other_forms_are_refused() {
        for text in ["", "2026", "12.03.2026", "2026-13", "2026-02-30", "2026-3-1", "+026-03-01"] {
            assert_eq!(text.parse::<AsOf>(), Err(NotADate(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn tomorrow_is_no_mistake_and_the_day_after_is() {
        let today = civil::date(2026, 3, 31);
        assert!(!as_of("2026-04-01").is_future(today));
        assert!(as_of("2026-04-02").is_future(today));
    }

    #[test]
    fn both_forms_are_written_as_they_were_read() {
        for text in ["2026-02", "2026-03-12"] {
            assert_eq!(as_of(text).to_string(), text);
        }
    }
}
