//! What a check works with: the claim, the figures, and arithmetic that stops instead of overflowing.

use super::Verdict;
use crate::{
    answer::Figures,
    catalogue::{Catalogue, Claim, Hardware, MarketPrice, Unknown, field::decimal, unknown},
    money::{BtcRate, SATS_PER_BTC, Usd},
    question::{QuestionError, Tariff},
};
use rust_decimal::{Decimal, dec};

/// Results stay below this, so that sums of a few of them fit.
const LARGEST: Decimal = dec!(100_000_000_000_000_000_000);
/// Sources round: a claim holds to a twentieth.
const SLACK: Decimal = dec!(0.05);

/// What was found out about a claim.
pub(super) struct Finding {
    pub(super) arithmetic: String,
    pub(super) verdict: Verdict,
    pub(super) why: String,
}

/// Why a check came to no end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error("the claim's figure `{0}` is no number and no range such as 30-60")]
    NoFigure(String),
    #[error("the claim does not say {0}")]
    Unsaid(&'static str),
    #[error("the catalogue has no {0}")]
    Missing(&'static str),
    #[error("a figure that the sum needs is zero, or the result is too large")]
    OutOfReach,
}

/// The lowest and the highest of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: Decimal,
    pub(super) high: Decimal,
}

impl Range {
    pub(super) fn of(values: impl IntoIterator<Item = Decimal>) -> Option<Range> {
        values.into_iter().fold(None, |range, value| match range {
            None => Some(Range { low: value, high: value }),
            Some(Range { low, high }) => Some(Range { low: low.min(value), high: high.max(value) }),
        })
    }

    /// `30-60`, or one number where both are the same as shown.
    pub(super) fn shown(self, digits: u32) -> String {
        let (low, high) = (shown(self.low, digits), shown(self.high, digits));
        if low == high { low } else { format!("{low}-{high}") }
    }

    /// Each end times a number.
    pub(super) fn times(self, factor: Decimal) -> Result<Range, Stop> {
        Ok(Range { low: times(self.low, factor)?, high: times(self.high, factor)? })
    }

    /// The smallest and the largest ratio of something in this range to something in the other.
    pub(super) fn over(self, other: Range) -> Result<Range, Stop> {
        Ok(Range { low: over(self.low, other.high)?, high: over(self.high, other.low)? })
    }

    /// Whether what was computed is what this range claims.
    pub(super) fn verdict(self, computed: Range) -> Verdict {
        let slack = |end: Decimal| end.abs() * SLACK;
        let (low, high) = (self.low - slack(self.low), self.high + slack(self.high));
        let is_within = computed.low >= low && computed.high <= high;
        let is_apart = computed.high < low || computed.low > high;
        match (is_within, is_apart) {
            (true, _) => Verdict::Holds,
            (false, true) => Verdict::DoesNotHold,
            (false, false) => Verdict::HoldsInPart,
        }
    }
}

/// A number as a person reads it in a sentence.
pub(super) fn shown(number: Decimal, digits: u32) -> String {
    format!("{:.1$}", number.round_dp(digits), digits as usize)
}

pub(super) fn times(a: Decimal, b: Decimal) -> Result<Decimal, Stop> {
    a.checked_mul(b).filter(|result| result.abs() < LARGEST).ok_or(Stop::OutOfReach)
}

pub(super) fn over(a: Decimal, b: Decimal) -> Result<Decimal, Stop> {
    a.checked_div(b).filter(|result| result.abs() < LARGEST).ok_or(Stop::OutOfReach)
}

impl Finding {
    pub(super) fn new(arithmetic: String, verdict: Verdict, why: impl Into<String>) -> Finding {
        Finding { arithmetic, verdict, why: why.into() }
    }

    pub(super) fn undecided(arithmetic: impl Into<String>, why: impl Into<String>) -> Finding {
        Finding { arithmetic: arithmetic.into(), verdict: Verdict::CannotBeChecked, why: why.into() }
    }
}

/// The numbers in a text, in order.
pub(super) fn numbers(text: &str) -> Vec<Decimal> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.').filter_map(decimal).collect()
}

/// What a check works with.
pub(super) struct Desk<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) rate: &'a BtcRate,
    pub(super) claim: &'a Claim,
    pub(super) figures: &'a mut Figures,
}

impl Desk<'_> {
    /// What is claimed, as a range.
    pub(super) fn claimed(&self) -> Result<Range, Stop> {
        range(&self.claim.figure)
    }

    /// What another claim of the catalogue says.
    pub(super) fn other_claim(&mut self, start: &str) -> Result<Range, Stop> {
        let known = || self.catalogue.claims.iter().map(|row| row.claim.clone());
        let row = self.catalogue.claims.iter().find(|row| row.claim.starts_with(start));
        range(&row.ok_or_else(|| unknown("claim", start, known()))?.figure)
    }

    /// The numbers in the words of the claim, each with what it is.
    pub(super) fn said<const N: usize>(&self, what: [&'static str; N]) -> Result<[Decimal; N], Stop> {
        let mut found = numbers(&self.claim.claim).into_iter();
        let mut said = [Decimal::ZERO; N];
        for (slot, what) in said.iter_mut().zip(what) {
            *slot = found.next().ok_or(Stop::Unsaid(what))?;
        }
        Ok(said)
    }

    pub(super) fn assumption(&mut self, key: &str) -> Result<Decimal, Stop> {
        Ok(self.catalogue.assumption(key, self.figures)?)
    }

    pub(super) fn network(&mut self, network: &str, key: &str) -> Result<Decimal, Stop> {
        Ok(self.catalogue.network(network, key, self.figures)?)
    }

    /// The tariff of a region, or of a household where none is named.
    pub(super) fn tariff(&mut self, region: Option<&str>) -> Result<Usd, Stop> {
        let tariff = region.map_or_else(Tariff::default, |region| Tariff::Region(region.to_owned()));
        Ok(tariff.resolve(self.catalogue, self.figures)?)
    }

    pub(super) fn hardware(&mut self, name: &str) -> Result<&Hardware, Stop> {
        let row = self.catalogue.hardware(name)?;
        self.figures.cite_row(row, format!("{} W, {} usd", row.train_watts, row.price_usd.0.normalize()));
        Ok(row)
    }

    /// What an accelerator costs on a market.
    pub(super) fn market(&mut self, gpu: &str, network: &str) -> Result<&MarketPrice, Stop> {
        let row = self.catalogue.market_prices_of(gpu).find(|row| row.network == network);
        let row = row.ok_or(Stop::Missing("price of this accelerator on this market"))?;
        self.figures.cite_row(row, format!("{} usd/h", row.typical().0.normalize()));
        Ok(row)
    }

    /// The prices of an accelerator at clouds under these terms, those that pass the test.
    pub(super) fn cloud(
        &mut self,
        gpu: &str,
        terms: &str,
        is_asked: impl Fn(&str, &str) -> bool,
    ) -> Option<Range> {
        let rows: Vec<_> = self.catalogue.cloud_prices_of(gpu).filter(|row| row.terms == terms).collect();
        let rows = rows.into_iter().filter(|row| is_asked(&row.provider, &row.source));
        let prices: Vec<Decimal> = rows
            .map(|row| {
                self.figures.cite_row(row, format!("{} usd/h", row.gpu_usd_per_hour.0));
                row.gpu_usd_per_hour.0
            })
            .collect();
        Range::of(prices)
    }

    /// So many satoshi in dollars.
    pub(super) fn sats(&self, sats: Decimal) -> Result<Decimal, Stop> {
        over(times(sats, self.rate.usd_per_btc)?, SATS_PER_BTC)
    }
}

fn range(figure: &str) -> Result<Range, Stop> {
    let (low, high) = figure.split_once('-').unwrap_or((figure, figure));
    match (decimal(low.trim()), decimal(high.trim())) {
        (Some(low), Some(high)) if Decimal::ZERO <= low && low <= high => Ok(Range { low, high }),
        _ => Err(Stop::NoFigure(figure.to_owned())),
    }
}
