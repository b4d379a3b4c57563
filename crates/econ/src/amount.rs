//! Amounts and prices as people write them: `0.5 usd/h`, `300 sat`, `2 TAO`, and what they are in dollars.

use crate::{
    answer::Figures,
    catalogue::{Catalogue, Field, Rule, Unknown},
    money::{BtcRate, DAYS_PER_MONTH, HOURS_PER_DAY, HOURS_PER_YEAR, SATS_PER_BTC, Usd},
};
use rust_decimal::{Decimal, dec};
use serde::Serialize;
use std::{fmt, str::FromStr};

/// Dollar stablecoins that count as a dollar unless the catalogue has a price for them.
pub const STABLECOINS: [&str; 5] = ["USDC", "USDT", "DAI", "PYUSD", "USDG"];

/// Milli-satoshi of a bitcoin.
const MSATS_PER_BTC: Decimal = dec!(100_000_000_000);

/// What an amount is counted in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Currency {
    /// US dollars.
    Usd,
    /// A coin that promises a dollar, by its symbol.
    Stablecoin(String),
    /// Bitcoin.
    Btc,
    /// Satoshi.
    Sat,
    /// Milli-satoshi.
    Msat,
    /// Any other token, by its symbol.
    Token(String),
}

/// So much of a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How much, from 0 to below 10^15.
    pub value: Decimal,
    /// Of what.
    pub currency: Currency,
}

/// What an hour of something costs, in any currency: `0.5 usd/h`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HourlyPrice {
    /// The price of `hours`.
    pub amount: Amount,
    /// How many hours it is for: 1, 24 for a day, 720 for a month, 8760 for a year.
    pub hours: Decimal,
}

/// Text that is no amount, or an amount that cannot be told in dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// There is no number, or one that is not accepted.
    #[error(
        "`{0}` is no amount: write a number from 0 to below 10^15 and a currency, like `0.5 usd` or `300 sat`"
    )]
    Number(String),
    /// There is a number alone.
    #[error(
        "`{0}` has no currency: write usd, usdc, btc, sat, msat, or a token that the catalogue has a price for"
    )]
    NoCurrency(String),
    /// The currency is no symbol.
    #[error("`{0}` is no currency: write usd, usdc, btc, sat, msat, or the symbol of a token, like TAO")]
    Currency(String),
    /// The time is not known.
    #[error("`{0}` is no time: write /h, /day, /month or /year")]
    Time(String),
    /// The catalogue has no price for it.
    #[error("{0}; give its price in prices.toml as [token.SYMBOL]")]
    NoPrice(#[from] Unknown),
    /// The result does not fit.
    #[error("{0} is more than can be reckoned with")]
    TooLarge(Amount),
}

impl FromStr for Currency {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Currency, AmountError> {
        let symbol = text.trim().to_ascii_uppercase();
        let is_symbol = (1..=12).contains(&symbol.len()) && symbol.bytes().all(|b| b.is_ascii_alphanumeric());
        let has_letter = symbol.bytes().any(|b| b.is_ascii_alphabetic());
        Ok(match symbol.as_str() {
            "USD" | "$" | "DOLLAR" | "DOLLARS" => Currency::Usd,
            "BTC" | "XBT" => Currency::Btc,
            "SAT" | "SATS" => Currency::Sat,
            "MSAT" | "MSATS" => Currency::Msat,
            "" => return Err(AmountError::NoCurrency(String::new())),
            coin if STABLECOINS.contains(&coin) => Currency::Stablecoin(symbol),
            _ if is_symbol && has_letter => Currency::Token(symbol),
            _ => return Err(AmountError::Currency(shortened(text))),
        })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Currency::Usd => f.write_str("usd"),
            Currency::Stablecoin(symbol) | Currency::Token(symbol) => f.write_str(symbol),
            Currency::Btc => f.write_str("btc"),
            Currency::Sat => f.write_str("sat"),
            Currency::Msat => f.write_str("msat"),
        }
    }
}

impl FromStr for Amount {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Amount, AmountError> {
        let text = text.trim();
        let (text, is_dollar) = text.strip_prefix('$').map_or((text, false), |rest| (rest.trim(), true));
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let value =
            Decimal::read(number, Rule::Figure).ok_or_else(|| AmountError::Number(shortened(text)))?;
        let currency = match unit.trim() {
            "" if is_dollar => Currency::Usd,
            "" => return Err(AmountError::NoCurrency(shortened(text))),
            unit => unit.parse()?,
        };
        Ok(Amount { value, currency })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value.normalize(), self.currency)
    }
}

impl FromStr for HourlyPrice {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<HourlyPrice, AmountError> {
        let (amount, time) = text.split_once('/').unwrap_or((text, "h"));
        let hours = match time.trim().to_ascii_lowercase().as_str() {
            "h" | "hr" | "hour" => Decimal::ONE,
            "d" | "day" => HOURS_PER_DAY,
            "mo" | "month" => HOURS_PER_DAY * DAYS_PER_MONTH,
            "y" | "yr" | "year" => HOURS_PER_YEAR,
            _ => return Err(AmountError::Time(shortened(time))),
        };
        Ok(HourlyPrice { amount: amount.parse()?, hours })
    }
}

impl HourlyPrice {
    /// The price of one hour in dollars; the rates used are noted among the figures.
    pub fn usd_per_hour(&self, rates: &Rates<'_>, figures: &mut Figures) -> Result<Usd, AmountError> {
        let usd = rates.usd(&self.amount, figures)?;
        usd.per(self.hours).ok_or_else(|| AmountError::TooLarge(self.amount.clone()))
    }
}

/// The rates by which amounts become dollars.
#[derive(Debug, Clone)]
pub struct Rates<'a> {
    /// The price of a bitcoin.
    pub btc: BtcRate,
    /// Where the prices of tokens are.
    pub catalogue: &'a Catalogue,
}

impl<'a> Rates<'a> {
    /// The rates of a catalogue.
    pub fn of(catalogue: &'a Catalogue) -> Result<Rates<'a>, Unknown> {
        Ok(Rates { btc: catalogue.btc_rate()?, catalogue })
    }

    /// An amount in dollars; the rate used is noted among the figures.
    pub fn usd(&self, amount: &Amount, figures: &mut Figures) -> Result<Usd, AmountError> {
        let by_bitcoin = |per_btc: Decimal, figures: &mut Figures| {
            figures.cite_rate(&self.btc);
            amount.value.checked_mul(self.btc.usd_per_btc)?.checked_div(per_btc)
        };
        let usd = match &amount.currency {
            Currency::Usd => Some(amount.value),
            Currency::Btc => by_bitcoin(Decimal::ONE, figures),
            Currency::Sat => by_bitcoin(SATS_PER_BTC, figures),
            Currency::Msat => by_bitcoin(MSATS_PER_BTC, figures),
            Currency::Stablecoin(symbol) if self.catalogue.token(symbol).is_err() => Some(amount.value),
            Currency::Stablecoin(symbol) | Currency::Token(symbol) => {
                let price = self.catalogue.token(symbol)?;
                figures.cite_row(price, format!("{} usd", price.usd.0.normalize()));
                amount.value.checked_mul(price.usd.0)
            }
        };
        usd.map(Usd).ok_or_else(|| AmountError::TooLarge(amount.clone()))
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd(text: &str) -> Result<Decimal, AmountError> {
        let catalogue = Catalogue::embedded().unwrap();
        let amount: Amount = text.parse()?;
        Rates::of(&catalogue).unwrap().usd(&amount, &mut Figures::default()).map(|usd| usd.0.normalize())
    }

    #[test]
    fn every_currency_becomes_dollars() {
        for (text, dollars) in [
            ("0.5 usd", dec!(0.5)),
            ("$0.5", dec!(0.5)),
            ("3 USDC", dec!(3)),
            ("1 btc", dec!(70_000)),
            ("300 sat", dec!(0.21)),
            ("300sats", dec!(0.21)),
            ("5000 msat", dec!(0.0035)),
            ("2 TAO", dec!(430)),
        ] {
            assert_eq!(usd(text), Ok(dollars), "{text}");
        }
    }

    #[test]
    fn a_stablecoin_with_a_price_costs_its_price() {
        let mut catalogue = Catalogue::embedded().unwrap();
        let mut price = catalogue.tokens[0].clone();
        (price.token, price.usd) = ("USDT".into(), Usd(dec!(0.97)));
        catalogue.tokens.push(price);
        let amount = "2 usdt".parse().unwrap();
        let mut figures = Figures::default();
        assert_eq!(Rates::of(&catalogue).unwrap().usd(&amount, &mut figures), Ok(Usd(dec!(1.94))));
        assert_eq!(figures.iter().count(), 1);
    }

    #[test]
    fn a_price_is_for_an_hour_unless_it_says_otherwise() {
        let catalogue = Catalogue::embedded().unwrap();
        let rates = Rates::of(&catalogue).unwrap();
        for (text, dollars) in
            [("0.5 usd", dec!(0.5)), ("12 usd/day", dec!(0.5)), ("360 usd/month", dec!(0.5))]
        {
            let price: HourlyPrice = text.parse().unwrap();
            assert_eq!(price.usd_per_hour(&rates, &mut Figures::default()), Ok(Usd(dollars)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_amount_is_said() {
        let errors: Vec<String> = ["0.5", "usd", "-1 usd", "NaN usd", "1e400 usd", "5 €", "5 GRIST"]
            .iter()
            .map(|text| usd(text).unwrap_err().to_string())
            .chain(["1 usd/fortnight".parse::<HourlyPrice>().unwrap_err().to_string()])
            .collect();
        insta::assert_snapshot!(errors.join("\n"), @r"
`0.5` has no currency: write usd, usdc, btc, sat, msat, or a token that the catalogue has a price for
`usd` is no amount: write a number from 0 to below 10^15 and a currency, like `0.5 usd` or `300 sat`
`-1 usd` is no amount: write a number from 0 to below 10^15 and a currency, like `0.5 usd` or `300 sat`
`NaN usd` is no amount: write a number from 0 to below 10^15 and a currency, like `0.5 usd` or `300 sat`
`e400 usd` is no currency: write usd, usdc, btc, sat, msat, or the symbol of a token, like TAO
`€` is no currency: write usd, usdc, btc, sat, msat, or the symbol of a token, like TAO
the catalogue has no price of the token `GRIST`; it has: TAO; give its price in prices.toml as [token.SYMBOL]
`fortnight` is no time: write /h, /day, /month or /year
");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9.$ a-zA-Z/-]{0,40}|.*") {
            let catalogue = Catalogue::embedded().unwrap();
            let rates = Rates::of(&catalogue).unwrap();
            if let Ok(price) = text.parse::<HourlyPrice>() {
                let _ = price.usd_per_hour(&rates, &mut Figures::default());
            }
        }

        #[test]
        fn an_amount_is_written_as_it_is_read(value in 0u64..1_000_000_000_000, scale in 0u32..9, unit in "usd|btc|sat|msat|TAO|USDC") {
            let amount = Amount { value: Decimal::from_i128_with_scale(value.into(), scale), currency: unit.parse().unwrap() };
            prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
        }
    }
}
