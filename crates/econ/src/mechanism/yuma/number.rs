//! The two arithmetics that the Yuma epoch runs in.
//!
//! `f64` is for studies and for speed. [`Fixed32`] is the chain's own `I32F32`: 32 bits before and 32 after the point,
//! products and quotients cut off, never rounded. In it an epoch agrees with the chain to the last rao.

use std::fmt::Debug;
use std::ops::{Add, Mul, Sub};

/// The largest value of the shares that the chain stores in 16 bits: 65535 stands for one.
pub const SHARE_ONE: u16 = u16::MAX;

/// What an epoch needs of a number.
pub trait Number:
    Copy + Debug + PartialOrd + Send + Sync + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;

    /// The nearest number to `value`.
    fn from_f64(value: f64) -> Self;

    /// `numerator / denominator`; zero when the denominator is zero.
    fn ratio(numerator: u64, denominator: u64) -> Self;

    /// `self / divisor`; zero when the divisor is zero, as the chain's safe division has it.
    fn over(self, divisor: Self) -> Self;

    /// The value as a float, for reports and tests.
    fn to_f64(self) -> f64;

    /// e to the power of `self`, with the exponent held within ±20 as on the chain.
    fn exp(self) -> Self;

    /// `self × amount` in whole units, cut off; negative values give zero.
    fn of(self, amount: u64) -> u64;

    /// A share as the chain stores it: `self × 65535`, cut off and held within 16 bits.
    fn to_share(self) -> u16 {
        u16::try_from(self.of(u64::from(SHARE_ONE))).unwrap_or(SHARE_ONE)
    }

    /// The smaller of two.
    fn min(self, other: Self) -> Self {
        if other < self { other } else { self }
    }

    /// The larger of two.
    fn max(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn ratio(numerator: u64, denominator: u64) -> Self {
        (numerator as f64).over(denominator as f64)
    }

    #[inline]
    fn over(self, divisor: Self) -> Self {
        if divisor == 0.0 { 0.0 } else { self / divisor }
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn exp(self) -> Self {
        f64::exp(self.clamp(-20.0, 20.0))
    }

    fn of(self, amount: u64) -> u64 {
        // A float turns into an integer by cutting off, and saturates.
        (self * amount as f64) as u64
    }
}

/// A number with 32 fractional bits in 64: the chain's `I32F32`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Fixed32(i64);

impl Fixed32 {
    const FRACTION_BITS: u32 = 32;

    fn from_wide(bits: i128) -> Self {
        let held = bits.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Self(i64::try_from(held).unwrap_or(i64::MAX))
    }
}

impl Debug for Fixed32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.to_f64())
    }
}

impl Add for Fixed32 {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Fixed32 {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul for Fixed32 {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::from_wide((i128::from(self.0) * i128::from(other.0)) >> Self::FRACTION_BITS)
    }
}

impl Number for Fixed32 {
    const ZERO: Self = Self(0);
    const ONE: Self = Self(1 << Self::FRACTION_BITS);

    fn from_f64(value: f64) -> Self {
        Self((value * 2f64.powi(32)).round_ties_even() as i64)
    }

    fn ratio(numerator: u64, denominator: u64) -> Self {
        if denominator == 0 {
            return Self::ZERO;
        }
        Self::from_wide((i128::from(numerator) << Self::FRACTION_BITS) / i128::from(denominator))
    }

    fn over(self, divisor: Self) -> Self {
        if divisor.0 == 0 {
            return Self::ZERO;
        }
        Self::from_wide((i128::from(self.0) << Self::FRACTION_BITS) / i128::from(divisor.0))
    }

    fn to_f64(self) -> f64 {
        self.0 as f64 / 2f64.powi(32)
    }

    fn exp(self) -> Self {
        // The chain's series and this differ in the last bits only; liquid alpha needs three digits.
        Self::from_f64(Number::exp(self.to_f64()))
    }

    fn of(self, amount: u64) -> u64 {
        let units = (i128::from(self.0) * i128::from(amount)) >> Self::FRACTION_BITS;
        u64::try_from(units.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_is_cut_off_in_fixed_point() {
        let third = Fixed32::ratio(1, 3);
        assert_eq!(third.0, (1i64 << 32) / 3);
        assert_eq!((third + third + third).of(1_000_000_000), 999_999_999);
    }

    #[test]
    fn dividing_by_zero_gives_zero_in_both_arithmetics() {
        assert_eq!(Fixed32::ONE.over(Fixed32::ZERO), Fixed32::ZERO);
        assert_eq!(1.0f64.over(0.0), 0.0);
        assert_eq!(Fixed32::ratio(1, 0), Fixed32::ZERO);
    }

    #[test]
    fn a_share_is_cut_off_and_held_within_sixteen_bits() {
        assert_eq!(0.25f64.to_share(), 16_383);
        assert_eq!(Fixed32::from_f64(0.5).to_share(), 32_767);
        assert_eq!(Fixed32::from_f64(7.0).to_share(), 65_535);
        assert_eq!((-1.0f64).to_share(), 0);
    }
}
