//! The catalogue: dated figures with their sources, embedded in the program and open to corrections.
//!
//! Where sources disagree every row stays: lookups give all of them, and answers show the range with the names.

mod dispute;
pub mod doubts;
mod export;
pub mod feed;
mod field;
mod overlay;
mod read;
mod rows;
mod shown;

use crate::{
    answer::{Figures, Provenance},
    money::{BtcRate, Usd},
};
pub use dispute::{Dispute, Opinion};
pub use export::{ExportError, Format, Sheet, export, import};
pub use field::{Column, Field, Rule};
pub use overlay::{Change, ChangeKind, Overlay};
pub(crate) use read::csv_problem;
pub use read::{Cells, Place, Problem, TableError, YOU};
pub use rows::{
    Assumption, Benchmark, Claim, CloudPrice, Hardware, IdlePower, MarketPrice, Mining, NetworkFigure,
    Rental, Row, Tariff, TokenPrice,
};
use rust_decimal::Decimal;
use serde::Serialize;
pub use shown::{Listing, Shown, Summary, list, show};
use std::collections::BTreeSet;

/// All tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Catalogue {
    /// Machines that a provider may own.
    pub hardware: Vec<Hardware>,
    /// Prices at clouds.
    pub cloud_prices: Vec<CloudPrice>,
    /// Prices at markets and networks.
    pub market_prices: Vec<MarketPrice>,
    /// Prices of electricity.
    pub tariffs: Vec<Tariff>,
    /// What mining brings.
    pub mining: Vec<Mining>,
    /// What renting out brought.
    pub rentals: Vec<Rental>,
    /// Figures about networks.
    pub networks: Vec<NetworkFigure>,
    /// What sources claim.
    pub claims: Vec<Claim>,
    /// Rates and rules.
    pub assumptions: Vec<Assumption>,
    /// How fast machines work.
    pub benchmarks: Vec<Benchmark>,
    /// What machines draw when idle.
    pub idle_power: Vec<IdlePower>,
    /// What tokens cost.
    pub tokens: Vec<TokenPrice>,
}

/// A name that the catalogue does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue has no {kind} `{asked}`{}", hint(nearest, known))]
pub struct Unknown {
    /// What was looked for: `hardware`, `region`.
    pub kind: &'static str,
    /// Under which name.
    pub asked: String,
    /// The name that is most like it.
    pub nearest: Option<String>,
    /// All names.
    pub known: Vec<String>,
}

fn hint(nearest: &Option<String>, known: &[String]) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; it has: {}", known.join(", ")),
    }
}

impl Catalogue {
    /// The catalogue that comes with the program.
    pub fn embedded() -> Result<Catalogue, TableError> {
        Ok(Catalogue {
            hardware: read(include_str!("../../data/hardware.csv"))?,
            cloud_prices: read(include_str!("../../data/cloud-prices.csv"))?,
            market_prices: read(include_str!("../../data/market-prices.csv"))?,
            tariffs: read(include_str!("../../data/tariffs.csv"))?,
            mining: read(include_str!("../../data/mining.csv"))?,
            rentals: read(include_str!("../../data/rentals.csv"))?,
            networks: read(include_str!("../../data/networks.csv"))?,
            claims: read(include_str!("../../data/claims.csv"))?,
            assumptions: read(include_str!("../../data/assumptions.csv"))?,
            benchmarks: read(include_str!("../../data/benchmarks.csv"))?,
            idle_power: read(include_str!("../../data/idle-power.csv"))?,
            tokens: read(include_str!("../../data/tokens.csv"))?,
        })
    }

    /// The machine with this id.
    pub fn hardware(&self, id: &str) -> Result<&Hardware, Unknown> {
        let by_name = |row: &&Hardware| row.id.eq_ignore_ascii_case(id) || row.name.eq_ignore_ascii_case(id);
        let known = || self.hardware.iter().map(|row| row.id.clone());
        self.hardware.iter().find(by_name).ok_or_else(|| unknown("hardware", id, known()))
    }

    /// The tariff of this region.
    pub fn tariff(&self, region: &str) -> Result<&Tariff, Unknown> {
        let known = || self.tariffs.iter().map(|row| row.region.clone());
        let found = self.tariffs.iter().find(|row| row.region.eq_ignore_ascii_case(region));
        found.ok_or_else(|| unknown("region", region, known()))
    }

    /// The assumption with this key, noted among the figures of an answer.
    pub fn assumption(&self, key: &str, figures: &mut Figures) -> Result<Decimal, Unknown> {
        let known = || self.assumptions.iter().map(|row| row.key.clone());
        let found = self.assumptions.iter().find(|row| row.key == key);
        let row = found.ok_or_else(|| unknown("assumption", key, known()))?;
        figures.cite(&row.key, format!("{} {}", row.value, row.unit), &row.provenance());
        Ok(row.value)
    }

    /// What a bitcoin costs by the catalogue.
    pub fn btc_rate(&self) -> Result<BtcRate, Unknown> {
        let known = || self.assumptions.iter().map(|row| row.key.clone());
        let found = self.assumptions.iter().find(|row| row.key == "btc_usd");
        let row = found.ok_or_else(|| unknown("assumption", "btc_usd", known()))?;
        let Provenance { as_of, source } = row.provenance();
        Ok(BtcRate { usd_per_btc: row.value, as_of, source })
    }

    /// A figure of a network, noted among the figures of an answer.
    pub fn network(&self, network: &str, key: &str, figures: &mut Figures) -> Result<Decimal, Unknown> {
        let asked = format!("{network} {key}");
        let is_it = |row: &&NetworkFigure| row.network.eq_ignore_ascii_case(network) && row.key == key;
        let known = || self.networks.iter().map(Row::key);
        let row =
            self.networks.iter().find(is_it).ok_or_else(|| unknown("network figure", &asked, known()))?;
        figures.cite(row.key(), format!("{} {}", row.value, row.unit), &row.provenance());
        Ok(row.value)
    }

    /// What the vendor says that this machine draws when idle, where it says so.
    pub fn idle_power(&self, hardware: &str) -> Option<&IdlePower> {
        self.idle_power.iter().find(|row| row.hardware.eq_ignore_ascii_case(hardware))
    }

    /// How fast this machine works.
    pub fn benchmarks_of(&self, hardware: &str) -> impl Iterator<Item = &Benchmark> {
        self.benchmarks.iter().filter(move |row| row.hardware.eq_ignore_ascii_case(hardware))
    }

    /// What a token costs.
    pub fn token(&self, symbol: &str) -> Result<&TokenPrice, Unknown> {
        let known = || self.tokens.iter().map(|row| row.token.clone());
        let found = self.tokens.iter().find(|row| row.token.eq_ignore_ascii_case(symbol));
        found.ok_or_else(|| unknown("price of the token", symbol, known()))
    }

    /// The token in which the price that counts for this one was given; `None` for dollars, and where there is no price.
    pub(crate) fn priced_in(&self, symbol: &str) -> Option<String> {
        let given = match symbol {
            "BTC" => &self.assumptions.iter().find(|row| row.key == "btc_usd")?.priced_in,
            _ => &self.token(symbol).ok()?.priced_in,
        };
        Some(given.clone()).filter(|token| !token.is_empty())
    }

    /// The prices at clouds for an accelerator; `A100` finds every A100.
    pub fn cloud_prices_of(&self, gpu: &str) -> impl Iterator<Item = &CloudPrice> {
        self.cloud_prices.iter().filter(move |row| is_gpu(&row.gpu, gpu))
    }

    /// The prices at markets for an accelerator; `A100` finds every A100.
    pub fn market_prices_of(&self, gpu: &str) -> impl Iterator<Item = &MarketPrice> {
        self.market_prices.iter().filter(move |row| is_gpu(&row.gpu, gpu))
    }
}

impl MarketPrice {
    /// The range as a figure: `0.13-0.40 usd/h (median 0.17)`.
    pub fn range_text(&self) -> String {
        let low = self.usd_low.0;
        let range = self.usd_high.map_or_else(|| low.to_string(), |high| format!("{low}-{}", high.0));
        let median = self.usd_median.map(|median| format!(" (median {})", median.0)).unwrap_or_default();
        format!("{range} usd/h{median}")
    }

    /// The price to reckon with: the median where there is one, else the middle of the range, else its one price.
    pub fn typical(&self) -> Usd {
        let middle = |high: Usd| Usd((self.usd_low.0 + high.0) / Decimal::TWO);
        self.usd_median.or_else(|| self.usd_high.map(middle)).unwrap_or(self.usd_low)
    }
}

/// Whether a row about the accelerator `row` answers a question about `asked`: letters and digits decide, and what is
/// asked may leave out the details (`a100` finds `A100-SXM-80`, `4090` finds `RTX-4090`), but no digits of a number
/// (`A10` does not find `A100`).
pub fn is_gpu(row: &str, asked: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let asked = plain(asked);
    let parts: Vec<String> = row.split(|c: char| !c.is_ascii_alphanumeric()).map(plain).collect();
    let begins = |parts: &[String]| {
        let row = parts.concat();
        let Some(rest) = row.strip_prefix(&asked) else { return false };
        let is_cut =
            rest.starts_with(|c: char| c.is_ascii_digit()) && asked.ends_with(|c: char| c.is_ascii_digit());
        let mut end = 0;
        let ends_part = parts.iter().any(|part| {
            end += part.len();
            end == asked.len()
        });
        !is_cut || ends_part
    };
    let mut short = parts.clone();
    if let Some(first) = short.first_mut() {
        *first = first.strip_prefix("rtx").unwrap_or(first).to_owned();
    }
    !asked.is_empty() && (begins(&parts) || begins(&short))
}

/// An [`Unknown`] with the known name that is nearest to what was asked.
pub fn unknown(kind: &'static str, asked: &str, known: impl Iterator<Item = String>) -> Unknown {
    let mut seen = BTreeSet::new();
    let known: Vec<String> = known.filter(|name| seen.insert(name.clone())).collect();
    let likeness = |name: &String| strsim::jaro_winkler(&name.to_lowercase(), &asked.to_lowercase());
    let nearest = known.iter().map(|name| (likeness(name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = nearest.filter(|(likeness, _)| *likeness > 0.8).map(|(_, name)| name.clone());
    Unknown { kind, asked: asked.to_owned(), nearest, known }
}

/// A table that comes with the program. Its dates pass even where the clock of the machine stands back.
fn read<R: Row>(text: &str) -> Result<Vec<R>, TableError> {
    let accepted = read::accept::<R>(&read::csv_rows(R::TABLE, text)?, None)?;
    Ok(accepted.into_iter().map(|accepted| accepted.row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_table_is_read() {
        let catalogue = Catalogue::embedded().unwrap();
        assert_eq!(catalogue.hardware.len(), 7);
        assert_eq!(catalogue.claims.len(), 24);
        assert_eq!(catalogue.btc_rate().unwrap().usd_per_btc, Decimal::from(70_000));
    }

    #[test]
    fn a_token_costs_what_its_network_says() {
        let catalogue = Catalogue::embedded().unwrap();
        let by_network = catalogue.network("Bittensor", "token_price", &mut Figures::default()).unwrap();
        assert_eq!(catalogue.token("tao").unwrap().usd, Usd(by_network));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let catalogue = Catalogue::embedded().unwrap();
        let error = catalogue.tariff("Califronia").unwrap_err();
        assert_eq!(error.to_string(), "the catalogue has no region `Califronia`; did you mean `California`?");
    }

    #[test]
    fn a_name_that_many_rows_share_is_listed_once() {
        let known = ["TAO", "BTC", "TAO"].map(str::to_owned).into_iter();
        assert_eq!(unknown("token", "GRIST", known).known, ["TAO", "BTC"]);
    }

    #[test]
    fn a_short_name_finds_every_variant_of_an_accelerator() {
        for (row, asked) in
            [("A100-SXM-80", "a100"), ("RTX-4090", "4090"), ("RTX-4090", "rtx4090"), ("B200-180", "b200")]
        {
            assert!(is_gpu(row, asked), "{row} {asked}");
        }
        for (row, asked) in [
            ("GB200-NVL72", "B200"),
            ("H200-SXM-141", "H100"),
            ("A100", ""),
            ("A100", "-"),
            ("A100-80", "A10"),
        ] {
            assert!(!is_gpu(row, asked), "{row} {asked}");
        }
    }
}
