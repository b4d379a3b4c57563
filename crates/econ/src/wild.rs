//! Numbers that break things.

use proptest::prelude::*;
use rust_decimal::{Decimal, dec};

/// Ends of the accepted ranges, numbers beyond them, numbers with all the digits there are, and any other.
pub(crate) fn number() -> impl Strategy<Value = Decimal> {
    let ends = [
        Decimal::MIN,
        Decimal::NEGATIVE_ONE,
        Decimal::ZERO,
        dec!(0.0000000000000000000000000001),
        dec!(0.0001),
        dec!(0.001),
        dec!(0.3333333333333333333333333333),
        Decimal::ONE,
        dec!(100),
        dec!(10_000_000),
        dec!(1_000_000_000),
        dec!(1_000_000_000_000),
        Decimal::MAX,
    ];
    let any = (any::<i64>(), 0..=28_u32).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale));
    prop_oneof![4 => prop::sample::select(ends.to_vec()), 1 => any]
}
