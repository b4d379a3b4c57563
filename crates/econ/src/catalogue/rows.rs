//! The rows of the catalogue, as their CSV files have them. Units are in the names; a rate is a fraction of one.

use super::{
    Catalogue,
    field::{Column, Field, Rule},
    read::{Cells, Problem},
};
use crate::{answer::Provenance, date::AsOf, money::Usd};
use rust_decimal::{Decimal, dec};
use serde::Serialize;

/// A machine that a provider may own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// For a price that its source gave in a token: which; else empty.
    pub priced_in: String,
}

/// How fast a machine does a piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Benchmark {
    /// The machine: the id of a [`Hardware`] row, or the source's words.
    pub hardware: String,
    /// `nvidia`, `apple`, …
    pub kind: String,
    /// What it did; only the same workload compares.
    pub workload: String,
    /// How much of it was done in [`Benchmark::seconds`].
    pub amount: Decimal,
    /// What is counted: `token`, `sample`, `frame`, `giga-fuel`.
    pub unit: String,
    /// In how much time.
    pub seconds: Decimal,
    /// What the machine drew meanwhile, where it was measured.
    pub watts: Option<Decimal>,
    /// When.
    pub as_of: AsOf,
    /// Who measured it.
    pub source: String,
}

/// What a machine draws when it does nothing, by its vendor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdlePower {
    /// The id of a [`Hardware`] row.
    pub hardware: String,
    /// What was measured, in the vendor's words.
    pub configuration: String,
    /// Its draw when idle, at the wall.
    pub idle_watts: Decimal,
    /// Its highest draw, at the wall.
    pub max_watts: Option<Decimal>,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// What a token costs. A dollar stablecoin without a row costs a dollar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenPrice {
    /// Its symbol: `TAO`.
    pub token: String,
    /// The price of one.
    pub usd: Usd,
    /// When.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
    /// The token in which its source gave it; empty for dollars.
    pub priced_in: String,
}

/// A row of any table.
pub trait Row: Serialize + Clone + PartialEq {
    /// The name of the table, and of its file.
    const TABLE: &'static str;
    /// Its columns, in the order of the file.
    const COLUMNS: &'static [Column];
    /// What the row is about: two rows with the same key are two opinions of one thing.
    fn key(&self) -> String;
    /// Where it comes from.
    fn provenance(&self) -> Provenance;
    /// The row that these cells hold; checked column by column, not yet as a whole.
    fn read(cells: &Cells) -> Result<Self, Problem>;
    /// The texts of its cells, in the order of [`Row::COLUMNS`].
    fn write(&self) -> Vec<String>;
    /// What is wrong between its columns, if anything.
    fn contradiction(&self) -> Option<String>;
    /// The rows of this table.
    fn of(catalogue: &Catalogue) -> &Vec<Self>;
    /// The rows of this table.
    fn of_mut(catalogue: &mut Catalogue) -> &mut Vec<Self>;
}

/// Names the columns of each table with the rule that their cells obey. A column of an optional type may be empty.
macro_rules! rows {
    ($($row:ident in $field:ident $table:literal by ($($part:ident),+), checked $check:path {
        $($column:ident $rule:ident,)+
    })+) => {$(
        impl Row for $row {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [Column] = &[$(Column { name: stringify!($column), rule: Rule::$rule }),+];
            fn key(&self) -> String {
                [$(self.$part.as_str()),+].join(" ")
            }
            fn provenance(&self) -> Provenance {
                Provenance { as_of: self.as_of, source: self.source.clone() }
            }
            fn read(cells: &Cells) -> Result<$row, Problem> {
                Ok($row { $($column: cells.read(stringify!($column), Rule::$rule, Self::COLUMNS)?),+ })
            }
            fn write(&self) -> Vec<String> {
                vec![$(self.$column.write()),+]
            }
            fn contradiction(&self) -> Option<String> {
                $check(self)
            }
            fn of(catalogue: &Catalogue) -> &Vec<$row> {
                &catalogue.$field
            }
            fn of_mut(catalogue: &mut Catalogue) -> &mut Vec<$row> {
                &mut catalogue.$field
            }
        }
    )+};
}

rows! {
    Hardware in hardware "hardware" by (id), checked Hardware::order {
        id Name, name Name, kind Name, memory_gb Amount, train_watts Watts, train_watts_low Watts,
        train_watts_high Watts, price_usd Price, as_of Date, source Name,
    }
    CloudPrice in cloud_prices "cloud-prices" by (provider, gpu, configuration, terms), checked CloudPrice::node {
        gpu Name, provider Name, configuration Name, gpus Count, node_usd_per_hour Price, gpu_usd_per_hour Price,
        terms Name, approximate YesNo, as_of Date, source Name,
    }
    MarketPrice in market_prices "market-prices" by (network, gpu, terms), checked MarketPrice::order {
        gpu Name, network Name, usd_low Price, usd_median Price, usd_high Price, fee_rate Share, terms Name,
        sla Words, as_of Date, source Name,
    }
    Tariff in tariffs "tariffs" by (region), checked none {
        region Name, usd_per_kwh Price, as_of Date, source Name,
    }
    Mining in mining "mining" by (coin, hardware), checked none {
        hardware Name, coin Name, algorithm Words, watts Watts, gross_usd_per_day Price, as_of Date, source Name,
    }
    Rental in rentals "rentals" by (network, hardware), checked none {
        hardware Name, network Name, workload Words, watts Watts, gross_usd_per_day Price, utilization SomeShare,
        as_of Date, source Name,
    }
    NetworkFigure in networks "networks" by (network, key), checked NetworkFigure::share {
        network Name, key Name, value Figure, unit Name, as_of Date, source Name,
    }
    Claim in claims "claims" by (claim), checked none {
        claim Name, figure Name, unit Name, as_of Date, source Name, note Words,
    }
    Assumption in assumptions "assumptions" by (key), checked Assumption::share {
        key Name, value Figure, unit Name, as_of Date, source Name, priced_in Words,
    }
    Benchmark in benchmarks "benchmarks" by (hardware, workload), checked none {
        hardware Name, kind Words, workload Name, amount Amount, unit Name, seconds Amount, watts Watts, as_of Date,
        source Name,
    }
    IdlePower in idle_power "idle-power" by (hardware), checked IdlePower::order {
        hardware Name, configuration Words, idle_watts Watts, max_watts Watts, as_of Date, source Name,
    }
    TokenPrice in tokens "tokens" by (token), checked none {
        token Name, usd Price, as_of Date, source Name, priced_in Words,
    }
}

/// Does `$then` with each type of row in place of `$row`.
macro_rules! for_each_table {
    ($row:ident => $then:expr) => {{
        use $crate::catalogue::rows::*;
        $crate::catalogue::rows::for_each_table!(
            @ $row => $then; Hardware CloudPrice MarketPrice Tariff Mining Rental NetworkFigure Claim Assumption
              Benchmark IdlePower TokenPrice
        );
    }};
    (@ $row:ident => $then:expr; $($type:ident)+) => {$({
        type $row = $type;
        $then
    })+};
}
pub(crate) use for_each_table;

fn none<R: Row>(_: &R) -> Option<String> {
    None
}

/// What is wrong when the figures named do not rise.
fn not_rising(
    low: (&str, Decimal),
    typical: Option<(&str, Decimal)>,
    high: Option<(&str, Decimal)>,
) -> Option<String> {
    let steps: Vec<(&str, Decimal)> = [Some(low), typical, high].into_iter().flatten().collect();
    let fall = steps.windows(2).find(|pair| pair[0].1 > pair[1].1)?;
    Some(format!("{} {} is more than {} {}", fall[0].0, fall[0].1, fall[1].0, fall[1].1))
}

fn share(key: &str, value: Decimal, unit: &str) -> Option<String> {
    let is_wrong = unit == "fraction" && value > Decimal::ONE;
    is_wrong.then(|| format!("{key} is a fraction, and {value} is more than 1: write 0.65 for 65 %"))
}

impl Hardware {
    fn order(&self) -> Option<String> {
        let typical = Some(("train_watts", self.train_watts));
        not_rising(
            ("train_watts_low", self.train_watts_low),
            typical,
            Some(("train_watts_high", self.train_watts_high)),
        )
    }
}

impl MarketPrice {
    fn order(&self) -> Option<String> {
        let typical = self.usd_median.map(|price| ("usd_median", price.0));
        not_rising(("usd_low", self.usd_low.0), typical, self.usd_high.map(|price| ("usd_high", price.0)))
    }
}

impl CloudPrice {
    /// The two prices say the same to a hundredth: sources round one of them.
    fn node(&self) -> Option<String> {
        let node = self.node_usd_per_hour?.0;
        let sum = self.gpu_usd_per_hour.0.checked_mul(Decimal::from(self.gpus))?;
        let is_wrong = (node - sum).abs() > node.max(sum) * dec!(0.01);
        is_wrong.then(|| format!("node_usd_per_hour {node} is not {} × gpu_usd_per_hour, {sum}", self.gpus))
    }
}

impl NetworkFigure {
    fn share(&self) -> Option<String> {
        share(&self.key, self.value, &self.unit)
    }
}

impl Assumption {
    fn share(&self) -> Option<String> {
        if self.key == "btc_usd" && self.value.is_zero() {
            return Some("btc_usd is 0; a bitcoin costs something".to_owned());
        }
        share(&self.key, self.value, &self.unit)
    }
}

impl IdlePower {
    fn order(&self) -> Option<String> {
        not_rising(("idle_watts", self.idle_watts), None, self.max_watts.map(|watts| ("max_watts", watts)))
    }
}
