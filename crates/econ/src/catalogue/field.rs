//! What may stand in a column, and how it is read without loss: decimals never pass through floats.

use crate::{date::AsOf, money::Usd};
use rust_decimal::{Decimal, dec};

/// A column of a table of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name, the unit last: `usd_per_kwh`.
    pub name: &'static str,
    /// What may stand in it.
    pub rule: Rule,
}

/// What may stand in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Words; none are needed.
    Words,
    /// Words; some are needed.
    Name,
    /// `yes` or `no`.
    YesNo,
    /// A day or a month.
    Date,
    /// A number of things.
    Count,
    /// A draw of power.
    Watts,
    /// Dollars.
    Price,
    /// A fraction of one.
    Share,
    /// A fraction of one that is not nothing.
    SomeShare,
    /// A number above zero.
    Amount,
    /// A number.
    Figure,
}

/// The longest text of a cell, in bytes.
const LONGEST: usize = 400;
/// Numbers stay below this, so that products of a few of them fit a decimal.
const LARGEST: Decimal = dec!(1_000_000_000_000_000);
/// A megawatt is a data center, not a machine.
const MEGAWATT: Decimal = dec!(1_000_000);
/// No hour of computing costs a billion dollars.
const BILLION: Decimal = dec!(1_000_000_000);

impl Rule {
    /// What it accepts, as an error says it.
    pub fn accepted(self) -> &'static str {
        match self {
            Rule::Words => "words, up to 400 bytes, without control characters",
            Rule::Name => "words, at least one, up to 400 bytes, without control characters",
            Rule::YesNo => "yes or no",
            Rule::Date => "2026-03-12, or 2026-03 where only the month is known",
            Rule::Count => "a whole number from 1 to 100000",
            Rule::Watts => "watts above 0 and below 1000000",
            Rule::Price => "US dollars from 0 to below 1000000000, a plain number like 0.17",
            Rule::Share => "a fraction from 0 to 1, which is 100 %: write 0.65 for 65 %",
            Rule::SomeShare => "a fraction above 0, up to 1, which is all the time: write 0.65 for 65 %",
            Rule::Amount => "a number above 0, below 10^15",
            Rule::Figure => "a number from 0 to below 10^15",
        }
    }

    /// Whether a number stands in such a column.
    pub fn is_number(self) -> bool {
        match self {
            Rule::Words | Rule::Name | Rule::YesNo | Rule::Date => false,
            Rule::Count | Rule::Watts | Rule::Price | Rule::Share => true,
            Rule::SomeShare | Rule::Amount | Rule::Figure => true,
        }
    }

    fn admits(self, number: Decimal) -> bool {
        match self {
            Rule::Words | Rule::Name | Rule::YesNo | Rule::Date => false,
            Rule::Count => number.is_integer() && (Decimal::ONE..=dec!(100_000)).contains(&number),
            Rule::Watts => number > Decimal::ZERO && number < MEGAWATT,
            Rule::Price => number >= Decimal::ZERO && number < BILLION,
            Rule::Share => (Decimal::ZERO..=Decimal::ONE).contains(&number),
            Rule::SomeShare => number > Decimal::ZERO && number <= Decimal::ONE,
            Rule::Amount => number > Decimal::ZERO && number < LARGEST,
            Rule::Figure => number >= Decimal::ZERO && number < LARGEST,
        }
    }
}

/// The number that a text says, digit for digit; `None` where it says none, or more digits than a decimal holds.
pub(crate) fn decimal(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = if is_plain { Decimal::from_str_exact(text).ok() } else { None };
    number.filter(|_| digits.bytes().any(|b| b.is_ascii_digit()))
}

/// What a cell holds.
pub trait Field: Sized {
    /// Whether the column may be left out.
    const IS_OPTIONAL: bool;
    /// What the text says under the rule of its column, if the rule accepts it.
    fn read(text: &str, rule: Rule) -> Option<Self>;
    /// The text that reads as the same value.
    fn write(&self) -> String;
}

impl Field for String {
    const IS_OPTIONAL: bool = false;
    fn read(text: &str, rule: Rule) -> Option<String> {
        let is_clean = text.len() <= LONGEST && !text.chars().any(char::is_control);
        let is_accepted = match rule {
            Rule::YesNo => matches!(text, "yes" | "no"),
            Rule::Name => !text.is_empty(),
            Rule::Words => true,
            Rule::Date | Rule::Count | Rule::Watts | Rule::Price => false,
            Rule::Share | Rule::SomeShare | Rule::Amount | Rule::Figure => false,
        };
        (is_clean && is_accepted).then(|| text.to_owned())
    }
    fn write(&self) -> String {
        self.clone()
    }
}

impl Field for Decimal {
    const IS_OPTIONAL: bool = false;
    fn read(text: &str, rule: Rule) -> Option<Decimal> {
        decimal(text).filter(|number| rule.admits(*number))
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

impl Field for Usd {
    const IS_OPTIONAL: bool = false;
    fn read(text: &str, rule: Rule) -> Option<Usd> {
        Decimal::read(text, rule).map(Usd)
    }
    fn write(&self) -> String {
        self.0.write()
    }
}

impl Field for u32 {
    const IS_OPTIONAL: bool = false;
    fn read(text: &str, rule: Rule) -> Option<u32> {
        use rust_decimal::prelude::ToPrimitive;
        Decimal::read(text, rule)?.to_u32()
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

impl Field for AsOf {
    const IS_OPTIONAL: bool = false;
    fn read(text: &str, _: Rule) -> Option<AsOf> {
        text.parse().ok()
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

impl<F: Field> Field for Option<F> {
    const IS_OPTIONAL: bool = true;
    fn read(text: &str, rule: Rule) -> Option<Option<F>> {
        if text.is_empty() { Some(None) } else { F::read(text, rule).map(Some) }
    }
    fn write(&self) -> String {
        self.as_ref().map(Field::write).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_decimal_keeps_every_digit_or_is_refused() {
        assert_eq!(
            decimal("0.1234567890123456789").map(|n| n.to_string()),
            Some("0.1234567890123456789".into())
        );
        for text in ["1e400", "NaN", "inf", "1_000", "1,5", "", ".", "-", "+1", " 1", "0x10", "--1", "1.2.3"]
        {
            assert_eq!(decimal(text), None, "{text}");
        }
        assert_eq!(
            decimal("0.12345678901234567890123456789012345"),
            None,
            "more digits than a decimal holds"
        );
    }

    #[test]
    fn each_rule_refuses_what_lies_just_outside() {
        for (rule, inside, outside) in [
            (Rule::Watts, "0.1", "0"),
            (Rule::Watts, "999999", "1000000"),
            (Rule::Price, "0", "-0.01"),
            (Rule::Share, "1", "1.3"),
            (Rule::Share, "0", "-0.1"),
            (Rule::SomeShare, "0.01", "0"),
            (Rule::Count, "8", "1.5"),
            (Rule::Amount, "0.001", "0"),
            (Rule::Figure, "21000000", "1000000000000000"),
        ] {
            assert!(Decimal::read(inside, rule).is_some(), "{rule:?} {inside}");
            assert!(Decimal::read(outside, rule).is_none(), "{rule:?} {outside}");
        }
    }

    #[test]
    fn words_cannot_steer_a_terminal() {
        assert_eq!(String::read("\u{1b}[2Jcheap", Rule::Words), None);
        assert_eq!(String::read("", Rule::Name), None);
    }

    proptest! {
        #[test]
        fn a_number_is_written_as_it_is_read(mantissa in -1_000_000_000_000i64..1_000_000_000_000, scale in 0u32..12) {
            let number = Decimal::new(mantissa, scale);
            prop_assert_eq!(decimal(&number.to_string()), Some(number));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = decimal(&text);
            let _ = u32::read(&text, Rule::Count);
        }
    }
}
