//! Promises of availability, as sources write them.

use rust_decimal::{Decimal, dec};
use serde::Serialize;

/// The share of the time that something is there, as a range of fractions above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Availability {
    /// At worst.
    pub low: Decimal,
    /// At best.
    pub high: Decimal,
}

impl Availability {
    /// `99%-99.9%` or `99.9%`; `None` for words such as `best effort`, which promise nothing that can be reckoned with.
    pub fn promised(words: &str) -> Option<Availability> {
        let share = |text: &str| {
            let percent: Decimal = text.trim().strip_suffix('%')?.trim_end().parse().ok()?;
            let share = percent.checked_div(Decimal::ONE_HUNDRED)?;
            (dec!(0.001)..=Decimal::ONE).contains(&share).then_some(share)
        };
        let (low, high) = words.split_once('-').unwrap_or((words, words));
        let (low, high) = (share(low)?, share(high)?);
        Some(Availability { low: low.min(high), high: low.max(high) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_a_number_or_a_range() {
        let promised = |low, high| Some(Availability { low, high });
        assert_eq!(Availability::promised("99%-99.9%"), promised(dec!(0.99), dec!(0.999)));
        assert_eq!(Availability::promised("99.9 %"), promised(dec!(0.999), dec!(0.999)));
    }

    #[test]
    fn words_promise_nothing() {
        for words in ["", "best effort", "variable", "99", "0%", "101%", "-5%", "99%-", "%"] {
            assert_eq!(Availability::promised(words), None, "{words}");
        }
    }
}
