//! Flags that several questions share, and how they are read.

use crate::{
    answer::today,
    args::Global,
    exit::{Exit, Failure},
    home::Home,
};
use clap::Args;
use econ::{
    amount::{Amount, Rates},
    answer::Figures,
    catalogue::Catalogue,
    date::AsOf,
    money::{BtcRate, Usd},
    question::{QuestionError, Tariff},
};
use rust_decimal::Decimal;

/// A fraction as people write it: `0.45` or `45%`.
pub(super) fn share(text: &str) -> Result<Decimal, String> {
    let (number, divisor) = match text.trim().strip_suffix('%') {
        Some(number) => (number.trim_end(), Decimal::ONE_HUNDRED),
        None => (text.trim(), Decimal::ONE),
    };
    let number: Decimal = number.parse().map_err(|_| "write a share such as 45% or 0.45".to_owned())?;
    number.checked_div(divisor).ok_or_else(|| "too large".to_owned())
}

/// The rate to bitcoin.
#[derive(Debug, Clone, Args)]
pub(super) struct RateArgs {
    /// What a bitcoin costs in dollars [default: the catalogue's rate]
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    btc_usd: Option<Decimal>,
}

impl RateArgs {
    /// The rate that was given, as of today.
    pub(super) fn rate(&self) -> Option<BtcRate> {
        let rate = |usd_per_btc| BtcRate { usd_per_btc, as_of: AsOf::day(today()), source: "you".into() };
        self.btc_usd.map(rate)
    }
}

/// What electricity costs.
#[derive(Debug, Clone, Args)]
pub(super) struct TariffArgs {
    /// Dollars for a kilowatt-hour [default: the average household of the United States]
    #[arg(long, value_name = "USD", conflicts_with = "region", allow_negative_numbers = true)]
    tariff: Option<Decimal>,
    /// A region of `grist econ catalog show tariffs`
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
}

impl TariffArgs {
    /// What was given; `None` where nothing was.
    pub(super) fn given(&self) -> Option<Tariff> {
        let number = self.tariff.map(|usd| Tariff::UsdPerKwh(Usd(usd)));
        number.or_else(|| self.region.clone().map(Tariff::Region))
    }
}

/// The catalogue with the person's own rows.
pub(super) fn catalogue(global: &Global) -> Result<Catalogue, Failure> {
    Home::of(global)?.catalogue()
}

/// An amount in dollars, by the catalogue's rates.
pub(super) fn usd(amount: &Amount, catalogue: &Catalogue) -> Result<Usd, Failure> {
    let rates = Rates::of(catalogue).map_err(|e| Failure::of(Exit::Unexpected, e))?;
    rates.usd(amount, &mut Figures::default()).map_err(|e| Failure::of(Exit::Usage, e))
}

/// Why there is no answer: an input that is wrong, with what would be right.
pub(super) fn refused(error: QuestionError) -> Failure {
    Failure::of(Exit::Usage, error)
}
