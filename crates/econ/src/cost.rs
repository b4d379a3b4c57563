//! What it costs to own and run a machine. The formulas are those of `worked-examples.json`.

use crate::money::{BtcRate, HOURS_PER_DAY, HOURS_PER_MONTH, HOURS_PER_YEAR, Usd};
use rust_decimal::Decimal;
use serde::Serialize;

/// An amount that comes back every hour, over longer times and in satoshi.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hourly {
    /// In an hour.
    pub usd_per_hour: Usd,
    /// In 24 such hours.
    pub usd_per_day: Usd,
    /// In 30 such days.
    pub usd_per_month: Usd,
    /// In 8760 such hours.
    pub usd_per_year: Usd,
    /// In an hour; absent where it does not fit, as are the others.
    pub sats_per_hour: Option<i64>,
    /// In 24 such hours.
    pub sats_per_day: Option<i64>,
    /// In 30 such days.
    pub sats_per_month: Option<i64>,
    /// In 8760 such hours.
    pub sats_per_year: Option<i64>,
}

impl Hourly {
    /// `usd_per_hour` over longer times; every amount in satoshi is rounded once, from unrounded dollars.
    pub fn new(usd_per_hour: Usd, bitcoin: &BtcRate) -> Hourly {
        let (usd_per_day, usd_per_month, usd_per_year) =
            (usd_per_hour * HOURS_PER_DAY, usd_per_hour * HOURS_PER_MONTH, usd_per_hour * HOURS_PER_YEAR);
        Hourly {
            usd_per_hour,
            usd_per_day,
            usd_per_month,
            usd_per_year,
            sats_per_hour: bitcoin.sats(usd_per_hour),
            sats_per_day: bitcoin.sats(usd_per_day),
            sats_per_month: bitcoin.sats(usd_per_month),
            sats_per_year: bitcoin.sats(usd_per_year),
        }
    }
}

/// Electricity of an hour: `watts ÷ 1000 × usd_per_kwh`.
pub fn electricity_usd_per_hour(watts: Decimal, usd_per_kwh: Usd) -> Usd {
    usd_per_kwh * (watts / Decimal::ONE_THOUSAND)
}

/// The share of an hour that earns in the price of the hardware:
/// `(price − residual) ÷ (life_years × 8760 × utilization)`. `None` when the divisor is zero.
pub fn amortized_usd_per_hour(
    price: Usd,
    residual: Usd,
    life_years: Decimal,
    utilization: Decimal,
) -> Option<Usd> {
    (price - residual).per(life_years.checked_mul(HOURS_PER_YEAR)?.checked_mul(utilization)?)
}

/// The idle hours that stand behind an hour that earns: `(1 − utilization) ÷ utilization`. `None` when nothing earns.
pub fn idle_hours_per_earning_hour(utilization: Decimal) -> Option<Decimal> {
    (Decimal::ONE - utilization).checked_div(utilization)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_decimal::dec;

    #[test]
    fn half_the_hours_carry_the_whole_price() {
        let busy = amortized_usd_per_hour(Usd(dec!(2628)), Usd::ZERO, dec!(3), dec!(1));
        let half = amortized_usd_per_hour(Usd(dec!(2628)), Usd::ZERO, dec!(3), dec!(0.5));
        assert_eq!((busy, half), (Some(Usd(dec!(0.1))), Some(Usd(dec!(0.2)))));
        assert_eq!(amortized_usd_per_hour(Usd(dec!(1)), Usd::ZERO, dec!(0), dec!(1)), None);
    }

    #[test]
    fn a_residual_value_comes_off_the_price() {
        let lost = amortized_usd_per_hour(Usd(dec!(5256)), Usd(dec!(2628)), dec!(3), dec!(1));
        assert_eq!(lost, Some(Usd(dec!(0.1))));
    }

    #[test]
    fn a_machine_that_earns_a_quarter_of_the_time_idles_three_hours_for_each() {
        assert_eq!(idle_hours_per_earning_hour(dec!(0.25)), Some(dec!(3)));
        assert_eq!(idle_hours_per_earning_hour(dec!(0)), None);
    }
}
