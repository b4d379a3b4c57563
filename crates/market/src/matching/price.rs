//! Prices as numbers that compare.

use crate::units::{Rate, Unit};
use std::fmt;

/// The price of one unit in units of 2⁻⁶⁴ msat, rounded down: `msat · 2⁶⁴ ÷ per`. It fits 128 bits for every rate.
///
/// Rounding is monotone, so a higher key is a higher price. Prices with the same key differ by less than 2⁻⁶⁴ msat a
/// unit, which is less than one msat on any usage that can be counted (usage is below 2⁶⁴): they cost the same, and
/// the older offer goes first. A rate that counts zero units is refused elsewhere; here it is the dearest of all.
pub fn price_key(rate: &Rate) -> u128 {
    (u128::from(rate.msat.0) << 64).checked_div(u128::from(rate.per)).unwrap_or(u128::MAX)
}

/// Whether `rate` is priced in the ceiling's unit and is not above it. Exact: the products fit 128 bits.
pub fn is_within(rate: &Rate, ceiling: &Rate) -> bool {
    let cost = |price: &Rate, per: u64| u128::from(price.msat.0) * u128::from(per);
    rate.unit == ceiling.unit && cost(rate, ceiling.per) <= cost(ceiling, rate.per)
}

/// How people name an amount of a unit, and how many units that is.
fn customary(unit: Unit) -> (&'static str, u64) {
    match unit {
        Unit::Task => ("a task", 1),
        Unit::Ms => ("an hour", 3_600_000),
        Unit::Fuel => ("a giga-fuel", 1_000_000_000),
    }
}

/// A price for people: `1500 msat a task`. Exact; one that does not come out even is shown as it was written,
/// `1000 msat for 7 tasks`.
#[derive(Debug, Clone, Copy)]
pub struct PriceText<'a>(pub &'a Rate);

impl fmt::Display for PriceText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { msat, per, unit } = self.0;
        let (basis, units) = customary(*unit);
        let scaled = u128::from(msat.0) * u128::from(units);
        let per_wide = u128::from(*per);
        if scaled.checked_rem(per_wide) == Some(0) {
            return write!(f, "{} msat {basis}", scaled / per_wide);
        }
        let counted = match unit {
            Unit::Task => "tasks",
            Unit::Ms => "ms",
            Unit::Fuel => "fuel",
        };
        write!(f, "{} msat for {per} {counted}", msat.0)
    }
}
