//! The rows of the catalogue, as their CSV files have them. Units are in the names; a rate is a fraction of one.

use crate::{answer::Provenance, date::AsOf, money::Usd};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A machine that a provider may own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// What commands call it: `rtx4090-system`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `nvidia`, `apple`, …
    pub kind: String,
    /// Memory of its accelerator.
    pub memory_gb: Option<Decimal>,
    /// Sustained draw at training load, the figure to plan with.
    pub train_watts: Decimal,
    /// The low end of what was seen.
    pub train_watts_low: Decimal,
    /// The high end of what was seen.
    pub train_watts_high: Decimal,
    /// What it costs to buy.
    pub price_usd: Usd,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// A rental price at a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudPrice {
    /// The accelerator: `H100-SXM-80`.
    pub gpu: String,
    /// The cloud.
    pub provider: String,
    /// What is rented.
    pub configuration: String,
    /// How many accelerators it has.
    pub gpus: u32,
    /// The price of the whole, where it is rented whole.
    pub node_usd_per_hour: Option<Usd>,
    /// The price of one accelerator.
    pub gpu_usd_per_hour: Usd,
    /// `on-demand`, `spot`, `reserved-1y`, …
    pub terms: String,
    /// `yes` where the source rounds.
    pub approximate: String,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// A price range on a market or network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketPrice {
    /// The accelerator: `RTX-4090`.
    pub gpu: String,
    /// The market.
    pub network: String,
    /// The low end of its range, or its one price.
    pub usd_low: Usd,
    /// The median.
    pub usd_median: Option<Usd>,
    /// The high end.
    pub usd_high: Option<Usd>,
    /// What the market keeps of it.
    pub fee_rate: Option<Decimal>,
    /// How it is sold.
    pub terms: String,
    /// What availability is promised, in the source's words.
    pub sla: String,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// What electricity costs somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// Where, or for whom.
    pub region: String,
    /// The price of a kilowatt-hour.
    pub usd_per_kwh: Usd,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// What hardware grosses when it mines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mining {
    /// The hardware, in the source's words.
    pub hardware: String,
    /// What is mined.
    pub coin: String,
    /// How.
    pub algorithm: String,
    /// Its draw.
    pub watts: Decimal,
    /// What a day brings, before power.
    pub gross_usd_per_day: Usd,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// What hardware grossed when it was rented out, measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rental {
    /// The hardware, in the source's words.
    pub hardware: String,
    /// Where it was rented out.
    pub network: String,
    /// What it did.
    pub workload: String,
    /// Its draw while it worked.
    pub watts: Decimal,
    /// What a day brought, before power.
    pub gross_usd_per_day: Usd,
    /// The share of the time that it worked.
    pub utilization: Decimal,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// A figure about a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFigure {
    /// Which network.
    pub network: String,
    /// Which figure: `token_price`.
    pub key: String,
    /// Its value.
    pub value: Decimal,
    /// Its unit.
    pub unit: String,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// Something that a source claims, kept in its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// What is claimed.
    pub claim: String,
    /// The figure, as written: `50-80`.
    pub figure: String,
    /// Its unit.
    pub unit: String,
    /// When.
    pub as_of: AsOf,
    /// Who claims it.
    pub source: String,
    /// What is odd about it.
    pub note: String,
}

/// A rate or rule that calculations start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumption {
    /// Which: `btc_usd`.
    pub key: String,
    /// Its value.
    pub value: Decimal,
    /// Its unit.
    pub unit: String,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// A row of any table.
pub trait Row: Serialize + serde::de::DeserializeOwned {
    /// The name of the table, and of its file.
    const TABLE: &'static str;
    /// What the row is about: two rows with the same key are two opinions of one thing.
    fn key(&self) -> String;
    /// Where it comes from.
    fn provenance(&self) -> Provenance;
}

macro_rules! rows {
    ($($row:ident in $table:literal by $($part:ident)+;)+) => {$(
        impl Row for $row {
            const TABLE: &'static str = $table;
            fn key(&self) -> String {
                [$(self.$part.as_str()),+].join(" ")
            }
            fn provenance(&self) -> Provenance {
                Provenance { as_of: self.as_of, source: self.source.clone() }
            }
        }
    )+};
}

rows! {
    Hardware in "hardware" by id;
    CloudPrice in "cloud-prices" by provider gpu configuration terms;
    MarketPrice in "market-prices" by network gpu terms;
    Tariff in "tariffs" by region;
    Mining in "mining" by coin hardware;
    Rental in "rentals" by network hardware;
    NetworkFigure in "networks" by network key;
    Claim in "claims" by claim;
    Assumption in "assumptions" by key;
}
