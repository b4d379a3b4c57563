//! Dollars, the rate between them and bitcoin, and how results are rounded.

use crate::date::AsOf;
use market::units::Msat;
use rust_decimal::{Decimal, RoundingStrategy, dec};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    iter::Sum,
    ops::{Add, Mul, Neg, Sub},
};

/// Hours of a day.
pub const HOURS_PER_DAY: Decimal = dec!(24);
/// Days of a month, by convention (`worked-examples.json`).
pub const DAYS_PER_MONTH: Decimal = dec!(30);
/// Hours of a month, by the same convention.
pub const HOURS_PER_MONTH: Decimal = dec!(720);
/// Hours of a year, by convention.
pub const HOURS_PER_YEAR: Decimal = dec!(8760);
/// Satoshi of a bitcoin.
pub const SATS_PER_BTC: Decimal = dec!(100_000_000);

/// An amount in US dollars, unrounded. A dollar stablecoin counts as a dollar; whoever doubts that gives its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(pub Decimal);

impl Usd {
    /// Nothing.
    pub const ZERO: Usd = Usd(Decimal::ZERO);

    /// Rounded to so many digits after the point, half away from zero.
    pub fn rounded(self, digits: u32) -> Usd {
        Usd(self.0.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero))
    }

    /// `self ÷ other` as a plain number, or `None` when `other` is zero or the result does not fit.
    pub fn ratio(self, other: Usd) -> Option<Decimal> {
        self.0.checked_div(other.0)
    }

    /// `self ÷ divisor`, or `None` when the divisor is zero or the result does not fit.
    pub fn per(self, divisor: Decimal) -> Option<Usd> {
        self.0.checked_div(divisor).map(Usd)
    }
}

impl Add for Usd {
    type Output = Usd;
    fn add(self, other: Usd) -> Usd {
        Usd(self.0 + other.0)
    }
}

impl Sub for Usd {
    type Output = Usd;
    fn sub(self, other: Usd) -> Usd {
        Usd(self.0 - other.0)
    }
}

impl Neg for Usd {
    type Output = Usd;
    fn neg(self) -> Usd {
        Usd(-self.0)
    }
}

impl Mul<Decimal> for Usd {
    type Output = Usd;
    fn mul(self, factor: Decimal) -> Usd {
        Usd(self.0 * factor)
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Usd>>(amounts: I) -> Usd {
        amounts.fold(Usd::ZERO, Add::add)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let amount = self.rounded(u32::try_from(digits).unwrap_or(2)).0;
        let sign = if amount.is_sign_negative() && !amount.is_zero() { "-" } else { "" };
        write!(f, "{sign}${:.digits$}", amount.abs())
    }
}

/// What a bitcoin costs, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BtcRate {
    /// Dollars for a bitcoin; positive.
    pub usd_per_btc: Decimal,
    /// When that was so.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

impl BtcRate {
    /// `amount` in whole satoshi, half away from zero; `None` when it does not fit. The dollars stay unrounded until here.
    pub fn sats(&self, amount: Usd) -> Option<i64> {
        use rust_decimal::prelude::ToPrimitive;
        let sats = amount.0.checked_mul(SATS_PER_BTC)?.checked_div(self.usd_per_btc)?;
        sats.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i64()
    }

    /// An amount of the market in dollars.
    pub fn usd_of(&self, amount: Msat) -> Usd {
        self.usd(Decimal::from(amount.0) / Decimal::ONE_THOUSAND)
    }

    /// So many satoshi in dollars.
    pub fn usd(&self, sats: Decimal) -> Usd {
        Usd(sats * self.usd_per_btc / SATS_PER_BTC)
    }
}

/// A decimal as a float, for models and pictures. Every decimal has one: its digits are below 2^96 and its scale is at most
/// 28. Both numbers are rounded once, and then their quotient, by rules that are the same on every machine.
pub(crate) fn float(decimal: Decimal) -> f64 {
    decimal.mantissa() as f64 / 10u128.pow(decimal.scale()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(usd_per_btc: Decimal) -> BtcRate {
        BtcRate { usd_per_btc, as_of: "2026-03-12".parse().unwrap(), source: "test".into() }
    }

    #[test]
    fn sats_are_rounded_half_away_from_zero_once() {
        let rate = rate(dec!(70_000));
        assert_eq!(rate.sats(Usd(dec!(0.072))), Some(103));
        assert_eq!(rate.sats(Usd(dec!(0.0064))), Some(9));
        assert_eq!(rate.sats(Usd(dec!(0.00105))), Some(2));
        assert_eq!(rate.sats(Usd(dec!(-0.00105))), Some(-2));
    }

    #[test]
    fn an_amount_of_the_market_is_told_in_dollars_to_the_msat() {
        assert_eq!(rate(dec!(70_000)).usd_of(Msat(1)), Usd(dec!(0.0000007)));
        assert_eq!(rate(dec!(100_000)).usd_of(Msat(1_500_000)), Usd(dec!(1.5)));
        let all = rate(dec!(1_000_000_000)).usd_of(Msat::MAX);
        assert!(all > Usd(dec!(1_000_000_000)), "the largest amount at the largest rate fits: {all}");
    }

    #[test]
    fn every_decimal_has_its_float() {
        for (decimal, expected) in [(dec!(0.1), 0.1), (dec!(-2.50), -2.5), (dec!(0), 0.0), (dec!(70000), 7e4)]
        {
            assert_eq!(float(decimal).to_bits(), f64::to_bits(expected), "{decimal}");
        }
        let smallest = Decimal::from_i128_with_scale(1, 28);
        assert!((float(smallest) * 1e28 - 1.0).abs() < 1e-15);
        assert_eq!(float(Decimal::MIN), -(2f64.powi(96)));
    }

    #[test]
    fn dollars_are_written_with_their_sign_before_the_currency() {
        assert_eq!(Usd(dec!(51.84)).to_string(), "$51.84");
        assert_eq!(Usd(dec!(-0.005)).to_string(), "-$0.01");
        assert_eq!(format!("{:.4}", Usd(dec!(0.0064))), "$0.0064");
        assert_eq!(Usd(dec!(-0.001)).to_string(), "$0.00");
    }
}
