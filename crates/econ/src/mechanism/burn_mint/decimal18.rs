//! Non-negative decimals with 18 digits after the point, as Cosmos chains reckon with.
//!
//! Products and quotients are rounded half to even on the 18th digit, a quotient after it was cut off at the 36th.
//! Source: cosmossdk.io/math, `LegacyDec`.

use std::fmt;
use std::str::FromStr;

use ethnum::U256;

const ONE: U256 = U256::new(1_000_000_000_000_000_000);

/// A non-negative decimal with 18 digits after the point, up to about 10⁵⁹.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal18(U256);

/// Why a text is no such decimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a non-negative decimal with at most 18 digits after the point, such as 1.14")]
pub struct NotADecimal(String);

impl Decimal18 {
    /// Zero.
    pub const ZERO: Self = Self(U256::ZERO);
    /// One.
    pub const ONE: Self = Self(ONE);

    /// A whole number.
    pub fn whole(value: u128) -> Self {
        Self(U256::new(value) * ONE)
    }

    /// The nearest decimal to a finite, non-negative float of at most 10¹⁵; `None` for any other.
    pub fn from_f64(value: f64) -> Option<Self> {
        format!("{value:.18}").parse().ok().filter(|_| value <= 1e15)
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        self.0.as_f64() / 1e18
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.0 == U256::ZERO
    }

    /// `self × other`; `None` past the range.
    pub fn times(self, other: Self) -> Option<Self> {
        Some(Self(rounded(self.0.checked_mul(other.0)?)))
    }

    /// `self ÷ divisor`; `None` for a divisor of zero or past the range.
    pub fn over(self, divisor: Self) -> Option<Self> {
        let scaled = self.0.checked_mul(ONE * ONE)?;
        Some(Self(rounded(scaled.checked_div(divisor.0)?)))
    }

    /// `self` to the power of `exponent` by repeated squaring, rounding each product; `None` past the range.
    pub fn power(self, exponent: u64) -> Option<Self> {
        if exponent == 0 {
            return Some(Self::ONE);
        }
        let (mut base, mut odd, mut left) = (self, Self::ONE, exponent);
        while left > 1 {
            if left % 2 == 1 {
                odd = odd.times(base)?;
            }
            left /= 2;
            base = base.times(base)?;
        }
        base.times(odd)
    }

    /// The whole part; the largest `u128` when it is larger.
    pub fn cut_off(self) -> u128 {
        u128::try_from(self.0 / ONE).unwrap_or(u128::MAX)
    }
}

/// Divides by 10¹⁸, half to even.
fn rounded(value: U256) -> U256 {
    let (whole, rest) = (value / ONE, value % ONE);
    let half = ONE / 2;
    if rest > half || (rest == half && whole % 2 == 1) { whole + 1 } else { whole }
}

impl fmt::Display for Decimal18 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:018}", self.0 / ONE, self.0 % ONE)
    }
}

impl fmt::Debug for Decimal18 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Decimal18 {
    type Err = NotADecimal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
            let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            if whole.is_empty() || whole.len() > 40 || digits.len() > 18 || !plain(whole) || !plain(digits) {
                return None;
            }
            U256::from_str_radix(&format!("{whole}{digits:0<18}"), 10).ok()
        };
        parsed().map(Self).ok_or_else(|| NotADecimal(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal18 {
        text.parse().unwrap()
    }

    #[test]
    fn a_third_has_eighteen_threes() {
        assert_eq!(dec("1").over(dec("3")).unwrap().to_string(), "0.333333333333333333");
    }

    #[test]
    fn rounding_goes_half_to_even() {
        assert_eq!(dec("0.000000000000000001").times(dec("0.5")).unwrap(), Decimal18::ZERO);
        assert_eq!(dec("0.000000000000000003").times(dec("0.5")).unwrap(), dec("0.000000000000000002"));
        assert_eq!(dec("2").over(dec("3")).unwrap(), dec("0.666666666666666667"));
    }

    #[test]
    fn a_power_past_the_range_is_none() {
        assert_eq!(dec("1.1").power(9_500), None);
        assert_eq!(dec("1.1").power(2), Some(dec("1.21")));
        assert_eq!(dec("7").power(0), Some(Decimal18::ONE));
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["", "-1", ".5", "1e3", "NaN", "1.0000000000000000001", "1,5"] {
            assert!(text.parse::<Decimal18>().is_err(), "{text:?}");
        }
        assert_eq!(Decimal18::from_f64(f64::NAN), None);
        assert_eq!(Decimal18::from_f64(-1.0), None);
        assert_eq!(Decimal18::from_f64(1.25), Some(dec("1.25")));
    }
}
