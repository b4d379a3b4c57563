//! What it costs to own and run a machine. The formulas are those of `worked-examples.json`.

use crate::money::{HOURS_PER_YEAR, Usd};
use rust_decimal::Decimal;

/// Electricity of an hour: `watts ÷ 1000 × usd_per_kwh`.
pub fn electricity_usd_per_hour(watts: Decimal, usd_per_kwh: Usd) -> Usd {
    usd_per_kwh * (watts / Decimal::ONE_THOUSAND)
}

/// The share of an hour that earns in the price of the hardware:
/// `price × (1 − residual) ÷ (life_years × 8760 × utilization)`. `None` when the divisor is zero.
pub fn amortized_usd_per_hour(
    price: Usd,
    residual: Decimal,
    life_years: Decimal,
    utilization: Decimal,
) -> Option<Usd> {
    let lost = price * (Decimal::ONE - residual);
    lost.per(life_years.checked_mul(HOURS_PER_YEAR)?.checked_mul(utilization)?)
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
        let busy = amortized_usd_per_hour(Usd(dec!(2628)), dec!(0), dec!(3), dec!(1));
        let half = amortized_usd_per_hour(Usd(dec!(2628)), dec!(0), dec!(3), dec!(0.5));
        assert_eq!((busy, half), (Some(Usd(dec!(0.1))), Some(Usd(dec!(0.2)))));
        assert_eq!(amortized_usd_per_hour(Usd(dec!(1)), dec!(0), dec!(0), dec!(1)), None);
    }

    #[test]
    fn a_residual_value_comes_off_the_price() {
        let lost = amortized_usd_per_hour(Usd(dec!(5256)), dec!(0.5), dec!(3), dec!(1));
        assert_eq!(lost, Some(Usd(dec!(0.1))));
    }

    #[test]
    fn a_machine_that_earns_a_quarter_of_the_time_idles_three_hours_for_each() {
        assert_eq!(idle_hours_per_earning_hour(dec!(0.25)), Some(dec!(3)));
        assert_eq!(idle_hours_per_earning_hour(dec!(0)), None);
    }
}
