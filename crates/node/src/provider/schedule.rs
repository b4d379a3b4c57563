//! What depends on the time of the week: quiet hours and tariffs; and the owner's own use of the machine.

use jiff::civil::{DateTime, Weekday};
use serde::{Deserialize, Deserializer, de};
use std::str::FromStr;

/// Hours of local time, every week: `22:00-07:00`, `mon-fri 08:00-18:00`, `sat,sun 00:00-24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeeklyHours {
    /// Days on which they begin, Monday first.
    days: [bool; 7],
    /// Minutes since midnight.
    from: u16,
    /// Minutes since midnight; not after `from` means the next day.
    to: u16,
}

/// A text that is not such hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a time of the week like \"22:00-07:00\", \"mon-fri 08:00-18:00\" or \"sat,sun 00:00-24:00\""
)]
pub struct BadHours(String);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl WeeklyHours {
    /// Whether this local time is within them.
    pub fn contains(&self, at: DateTime) -> bool {
        let minute = u16::from(at.hour().unsigned_abs()) * 60 + u16::from(at.minute().unsigned_abs());
        let today = self.begins_on(at.date().weekday());
        if self.from < self.to {
            return today && (self.from..self.to).contains(&minute);
        }
        let yesterday = self.begins_on(at.date().weekday().previous());
        (today && minute >= self.from) || (yesterday && minute < self.to)
    }

    fn begins_on(&self, day: Weekday) -> bool {
        let index = usize::from(day.to_monday_zero_offset().unsigned_abs());
        self.days.get(index).copied().unwrap_or(false)
    }
}

impl FromStr for WeeklyHours {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<WeeklyHours, BadHours> {
        let read = || {
            let (days, hours) = match text.trim().split_once(' ') {
                Some((days, hours)) => (read_days(days)?, hours.trim()),
                None => ([true; 7], text.trim()),
            };
            let (from, to) = hours.split_once('-')?;
            let (from, to) = (read_minutes(from)?, read_minutes(to)?);
            (from != to && from < 24 * 60).then_some(WeeklyHours { days, from, to })
        };
        read().ok_or_else(|| BadHours(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for WeeklyHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WeeklyHours, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// `mon-fri`, `sat,sun`, `fri-mon`.
fn read_days(text: &str) -> Option<[bool; 7]> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name.to_ascii_lowercase());
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        let count = (last + 7 - first) % 7;
        for offset in 0..=count {
            *days.get_mut((first + offset) % 7)? = true;
        }
    }
    Some(days)
}

/// `HH:MM`, up to `24:00`.
fn read_minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_digits = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(hour) || !is_digits(minute) {
        return None;
    }
    let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
    (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
}

/// Whether a machine is idle enough: the load of the last minute, less what its own workers cause, in thousandths of a core.
/// Systems without a load average (Windows) always count as idle.
pub fn is_idle(load_average: f64, workers: usize, most_milli: u64) -> bool {
    let others = load_average - workers as f64;
    others * 1_000.0 <= most_milli as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn quiet(hours: &str, day: i8, hour: i8, minute: i8) -> bool {
        // The 1st of December 2025 was a Monday.
        hours.parse::<WeeklyHours>().unwrap().contains(date(2025, 12, day).at(hour, minute, 0, 0))
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        assert!(quiet("22:00-07:00", 1, 22, 0) && quiet("22:00-07:00", 2, 6, 59));
        assert!(!quiet("22:00-07:00", 1, 21, 59) && !quiet("22:00-07:00", 2, 7, 0));
        assert!(quiet("fri 22:00-07:00", 5, 23, 0) && quiet("fri 22:00-07:00", 6, 6, 0));
        assert!(!quiet("fri 22:00-07:00", 5, 6, 0) && !quiet("fri 22:00-07:00", 6, 23, 0));
    }

    #[test]
    fn days_are_ranges_and_lists() {
        assert!(quiet("mon-fri 08:00-18:00", 1, 12, 0) && !quiet("mon-fri 08:00-18:00", 6, 12, 0));
        assert!(quiet("sat,sun 00:00-24:00", 7, 23, 59) && !quiet("sat,sun 00:00-24:00", 8, 0, 0));
        assert!(quiet("sun-tue 00:00-24:00", 1, 0, 0) && !quiet("sun-tue 00:00-24:00", 3, 0, 0));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "22-7",
            "22:00-25:00",
            "24:00-25:00",
            "noday 10:00-11:00",
            "10:00-10:00",
            "1:2:3-4:00",
            "+1:00-2:00",
        ] {
            assert!(text.parse::<WeeklyHours>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_own_workers_do_not_count_as_the_owners_use() {
        assert!(is_idle(4.2, 4, 500));
        assert!(!is_idle(4.6, 4, 500));
    }
}
