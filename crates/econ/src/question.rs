//! What all questions share: how inputs are checked, and the inputs that most of them have.

use crate::{
    answer::{Figures, Provenance},
    catalogue::{Catalogue, Row, Unknown},
    money::{BtcRate, Usd},
};
use rust_decimal::{Decimal, dec};

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// A number outside its range.
    #[error("{what} is {given}; it has to be {accepted}")]
    OutOfRange {
        /// Which input, or which figure of the catalogue.
        what: String,
        /// Its value.
        given: Decimal,
        /// The range, in words.
        accepted: String,
    },
    /// A name that the catalogue does not have.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// An input that is needed because of another.
    #[error("{missing} is not given; it is needed {because}")]
    Missing {
        /// What was left out.
        missing: &'static str,
        /// Which other input needs it.
        because: &'static str,
    },
    /// Only offers of a market were asked for, and it has none of them.
    #[error(
        "no live offer: no market was asked, or none of its machines sells `{gpu}` by the hour now; other terms need no market"
    )]
    NoLiveOffer {
        /// The accelerator.
        gpu: String,
    },
    /// A figure of the catalogue that cannot be read.
    #[error("the catalogue says `{figure}` for {what}; it has to be {accepted}")]
    Unreadable {
        /// Which figure.
        what: String,
        /// What stands there.
        figure: String,
        /// The form that is understood.
        accepted: &'static str,
    },
}

/// A kind of number and the values that make sense for it. The limits are wide; they keep every sum far from the end of
/// the decimals, so that after the check no arithmetic can overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// What it is called: `the utilization`.
    pub name: &'static str,
    /// Its unit, with a space before it; empty where the name says all.
    pub unit: &'static str,
    /// The smallest value.
    pub least: Decimal,
    /// The largest value.
    pub most: Decimal,
}

impl Quantity {
    const fn new(name: &'static str, unit: &'static str, least: Decimal, most: Decimal) -> Quantity {
        Quantity { name, unit, least, most }
    }

    /// `value`, if it is in range.
    pub fn check(&self, value: Decimal) -> Result<Decimal, QuestionError> {
        self.check_in(value, self.name)
    }

    /// `value`, if it is in range; the error speaks of `what`.
    pub fn check_in(&self, value: Decimal, what: impl Into<String>) -> Result<Decimal, QuestionError> {
        if (self.least..=self.most).contains(&value) {
            return Ok(value);
        }
        let accepted = format!("from {} to {}{}", self.least, self.most, self.unit);
        Err(QuestionError::OutOfRange { what: what.into(), given: value, accepted })
    }

    /// The same for dollars.
    pub fn check_usd(&self, value: Usd) -> Result<Usd, QuestionError> {
        self.check(value.0).map(Usd)
    }
}

/// Power that a machine draws.
pub const WATTS: Quantity = Quantity::new("the power", " W", dec!(0.1), dec!(1_000_000));
/// Power that a machine draws when it has nothing to do.
pub const IDLE_WATTS: Quantity = Quantity::new("the idle power", " W", dec!(0), dec!(1_000_000));
/// What electricity costs.
pub const TARIFF: Quantity = Quantity::new("the tariff", " $/kWh", dec!(0), dec!(100));
/// What something costs to buy.
pub const PRICE: Quantity = Quantity::new("the price", " $", dec!(0), dec!(1_000_000_000));
/// What is left of a price at the end, as a fraction of it.
pub const RESIDUAL: Quantity =
    Quantity::new("the residual value", " (a fraction: 0.4 is 40 %)", dec!(0), dec!(1));
/// How long hardware is used.
pub const LIFE_YEARS: Quantity = Quantity::new("the life", " years", dec!(0.01), dec!(100));
/// The share of the hours that earn.
pub const UTILIZATION: Quantity =
    Quantity::new("the utilization", " (a fraction: 0.45 is 45 %)", dec!(0.001), dec!(1));
/// What a bitcoin costs.
pub const BTC_USD: Quantity = Quantity::new("the price of a bitcoin", " $", dec!(1), dec!(1_000_000_000));
/// Dollars for an hour.
pub const USD_PER_HOUR: Quantity = Quantity::new("the pay", " $/h", dec!(0), dec!(1_000_000));
/// Dollars for a day.
pub const USD_PER_DAY: Quantity = Quantity::new("the cost", " $/day", dec!(0), dec!(10_000_000));
/// Satoshi for an hour.
pub const SATS_PER_HOUR: Quantity = Quantity::new("the pay", " sats/h", dec!(0), dec!(1_000_000_000_000));
/// A share of something.
pub const FRACTION: Quantity = Quantity::new("the share", " (a fraction: 0.15 is 15 %)", dec!(0), dec!(1));
/// A duration.
pub const HOURS: Quantity = Quantity::new("the time", " h", dec!(0.001), dec!(10_000_000));
/// How long a machine runs until something interrupts it, on average.
pub const MTBF: Quantity =
    Quantity::new("the time between interruptions", " h", dec!(0.001), dec!(10_000_000));
/// How long it takes to save a state; never nothing, or it would be saved all the time.
pub const CHECKPOINT: Quantity =
    Quantity::new("the time to save a checkpoint", " h", dec!(0.0001), dec!(1000));
/// How long it takes to go on from a saved state.
pub const RESTART: Quantity = Quantity::new("the time to restart", " h", dec!(0), dec!(1000));
/// The time between two savings.
pub const INTERVAL: Quantity = Quantity::new("the checkpoint interval", " h", dec!(0.001), dec!(100_000));
/// The share of the time that something is there.
pub const AVAILABILITY: Quantity =
    Quantity::new("the availability", " (a fraction: 0.99 is 99 %)", dec!(0.001), dec!(1));
/// Amounts of data.
pub const GIGABYTES: Quantity = Quantity::new("the amount of data", " GB", dec!(0), dec!(1_000_000_000));
/// Dollars for a gigabyte.
pub const USD_PER_GB: Quantity = Quantity::new("the price of data", " $/GB", dec!(0), dec!(1000));
/// Amounts of a token.
pub const TOKENS: Quantity = Quantity::new("the number of tokens", "", dec!(0), dec!(1_000_000_000));
/// What a token costs.
pub const TOKEN_USD: Quantity = Quantity::new("the price of the token", " $", dec!(0), dec!(1_000_000));
/// How many of something.
pub const COUNT: Quantity = Quantity::new("the number", "", dec!(1), dec!(10_000_000));

/// What a kilowatt-hour costs: a number, or the name of a region in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tariff {
    /// Dollars for a kilowatt-hour, from 0 to 100.
    UsdPerKwh(Usd),
    /// A region of the catalogue: `California`.
    Region(String),
}

impl Default for Tariff {
    /// A household in the United States.
    fn default() -> Tariff {
        Tariff::Region("US average residential".to_owned())
    }
}

impl Tariff {
    /// Dollars for a kilowatt-hour, noted among the figures.
    pub fn resolve(&self, catalogue: &Catalogue, figures: &mut Figures) -> Result<Usd, QuestionError> {
        match self {
            Tariff::UsdPerKwh(usd) => {
                TARIFF.check_usd(*usd)?;
                figures.given("electricity", format!("{} usd/kWh", usd.0.normalize()));
                Ok(*usd)
            }
            Tariff::Region(region) => {
                let row = catalogue.tariff(region)?;
                TARIFF.check_in(row.usd_per_kwh.0, format!("the tariff of {}", row.region))?;
                let value = format!("{} usd/kWh", row.usd_per_kwh.0.normalize());
                figures.cite(format!("electricity, {}", row.region), value, &row.provenance());
                let others =
                    catalogue.tariffs.iter().filter(|other| other.region == row.region && *other != row);
                for other in others {
                    let value = format!("{} usd/kWh", other.usd_per_kwh.0.normalize());
                    let what = format!("electricity, {} (shown, not reckoned with)", other.region);
                    figures.cite(what, value, &other.provenance());
                }
                Ok(row.usd_per_kwh)
            }
        }
    }
}

/// The price of a bitcoin: what was given, else what the catalogue has; noted among the figures.
pub fn bitcoin(
    given: Option<&BtcRate>,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<BtcRate, QuestionError> {
    let rate = given.map_or_else(|| catalogue.btc_rate(), |rate| Ok(rate.clone()))?;
    BTC_USD.check(rate.usd_per_btc)?;
    figures.cite_rate(&rate);
    Ok(rate)
}

/// What was given for `quantity`, checked and noted; `None` where nothing was.
pub fn given(
    quantity: Quantity,
    value: Option<Decimal>,
    figures: &mut Figures,
) -> Result<Option<Decimal>, QuestionError> {
    given_as(quantity, quantity.name, value, figures)
}

/// The same, where the name of the quantity does not say what the value is: `the share of the subnet`.
pub fn given_as(
    quantity: Quantity,
    what: &str,
    value: Option<Decimal>,
    figures: &mut Figures,
) -> Result<Option<Decimal>, QuestionError> {
    let Some(value) = value else { return Ok(None) };
    quantity.check_in(value, what)?;
    let unit = quantity.unit.split(" (").next().unwrap_or_default();
    figures.given(what.trim_start_matches("the "), format!("{}{unit}", value.normalize()));
    Ok(Some(value))
}

/// What was given for `quantity`, else the assumption `key` of the catalogue; checked and noted.
pub fn given_or_assumed(
    quantity: Quantity,
    value: Option<Decimal>,
    key: &str,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Decimal, QuestionError> {
    match given(quantity, value, figures)? {
        Some(value) => Ok(value),
        None => quantity.check_in(catalogue.assumption(key, figures)?, key),
    }
}

/// The range that a source claims, `30-60` or `14`, noted among the figures. `starts` is how its claim begins.
pub fn claimed_range(
    starts: &str,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<(Decimal, Decimal), QuestionError> {
    let known = || catalogue.claims.iter().map(|row| row.claim.clone());
    let row = catalogue.claims.iter().find(|row| row.claim.starts_with(starts));
    let row = row.ok_or_else(|| crate::catalogue::unknown("claim", starts, known()))?;
    let (low, high) = row.figure.split_once('-').unwrap_or((&row.figure, &row.figure));
    let number = |text: &str| text.trim().parse::<Decimal>().ok().filter(|n| *n >= Decimal::ZERO);
    let (Some(low), Some(high)) = (number(low), number(high)) else {
        let accepted = "a number or a range such as 30-60";
        return Err(QuestionError::Unreadable {
            what: row.claim.clone(),
            figure: row.figure.clone(),
            accepted,
        });
    };
    figures.cite(format!("claim: {}", row.claim), format!("{} {}", row.figure, row.unit), &row.provenance());
    Ok((low, high))
}

/// Where the figures of a row come from, as a cell of a table.
pub fn origin(provenance: &Provenance) -> String {
    format!("{}, {}", provenance.source, provenance.as_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_range_is_answered_with_the_range() {
        let texts = [UTILIZATION.check(dec!(1.3)), WATTS.check(dec!(-5)), BTC_USD.check(Decimal::ZERO)]
            .map(|result| result.unwrap_err().to_string());
        insta::assert_snapshot!(texts.join("\n"), @r"
        the utilization is 1.3; it has to be from 0.001 to 1 (a fraction: 0.45 is 45 %)
        the power is -5; it has to be from 0.1 to 1000000 W
        the price of a bitcoin is 0; it has to be from 1 to 1000000000 $
        ");
    }

    #[test]
    fn a_claim_is_read_as_a_range_and_cited() {
        let catalogue = Catalogue::embedded().unwrap();
        let mut figures = Figures::default();
        let range = claimed_range("Migration of ten-plus", &catalogue, &mut figures).unwrap();
        assert_eq!(range, (dec!(3000), dec!(5000)));
        let one = claimed_range("Worth my time MacBook Air M3", &catalogue, &mut figures).unwrap();
        assert_eq!(one, (dec!(500), dec!(500)));
        assert_eq!(figures.iter().count(), 2);
    }
}
