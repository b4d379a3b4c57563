//! The same demand, supply and prices through every mechanism, side by side, for years.
//!
//! A scenario is a TOML file; `examples/econ/scenario.toml` is one with every key explained. [`Scenario::parse`] reads it,
//! [`Scenario::run`] runs it and gives a [`Comparison`].
//!
//! ```
//! use econ::mechanism::scenario::{Metric, Scenario};
//!
//! let scenario = Scenario::parse(
//!     r#"
//!     years = 2
//!     market = { demand_usd_per_day = 1000, price_usd_per_gpu_hour = 0.35 }
//!     mechanisms = { akash = {}, gristmill = {} }
//!
//!     [[supply.cohorts]]
//!     name = "home"
//!     gpus = 400
//!     online = 150
//!     watts = 450
//!     idle_watts = 60
//!     usd_per_kwh = 0.16
//!     "#,
//! )?;
//! let comparison = scenario.run();
//! assert_eq!(comparison.series(Metric::ActiveGpus)[1].points.len(), 24);
//! // Where buyers pay, a fall of the token's price leaves supply alone.
//! assert_eq!(comparison.mechanisms[1].summary.supply_after_token_fall, Some(0.0));
//! # Ok::<(), econ::mechanism::scenario::ScenarioError>(())
//! ```
//!
//! | what | formula |
//! |---|---|
//! | demand, token price | `start · (1 + yearly)^(t/365) · Π shocks until t` |
//! | hours wanted | demand ÷ price of a GPU hour, the same in all mechanisms |
//! | cost of a GPU hour | running: power at the utilization of the epoch before; full: that plus `hardware / (life · 8760 h)` |
//! | who is online | costs of a cohort's owners are log-logistic around its cost: at income `I` a part `I^ε / (I^ε + cost^ε)` covers them. Below the part that covers full cost the cohort grows, above the part that covers running cost it shrinks |
//! | paid for nothing | payouts to idle and pretending capacity ÷ all payouts |
//! | revenue per emitted dollar | what buyers paid ÷ what newly minted tokens were worth |
//! | inflation | `(minted + reissued − burned) ÷ supply`, a year |
//! | a fall by half | supply so many months after the fall against supply in that month without it |

use serde::{Deserialize, Serialize};

use super::burn_mint::{akash_network, render_network};
use super::{bittensor, staked_fees, verified_work};

mod comparison;
pub mod ranges;
mod run;
mod supply;

pub use comparison::{Comparison, MechanismRun, Metric, MonthRow, Series, Summary};
use ranges::Ranges;

/// A scenario as it stands in its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// How many years, 1 to 30.
    pub years: u32,
    /// How many days an epoch lasts, 1 to 30. Every mechanism is paid out once an epoch.
    #[serde(default = "default_epoch_days")]
    pub epoch_days: u32,
    /// What buyers want.
    pub market: Market,
    /// How every token's price moves.
    #[serde(default)]
    pub token: Path,
    /// How owners of hardware answer to income.
    pub supply: Supply,
    /// The falls whose effect is measured.
    #[serde(default)]
    pub stress: Stress,
    /// Which mechanisms run, and their numbers. One that is not named does not run.
    pub mechanisms: Mechanisms,
}

fn default_epoch_days() -> u32 {
    7
}

/// What buyers want.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Market {
    /// What they want to spend a day at the beginning, in USD.
    pub demand_usd_per_day: f64,
    /// What a GPU hour costs them, in USD.
    pub price_usd_per_gpu_hour: f64,
    /// How demand moves.
    #[serde(default)]
    pub demand: Path,
}

/// How something moves, as a factor on where it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Path {
    /// The change in a year: 0.3 is thirty percent more.
    pub yearly: f64,
    /// Sudden changes.
    pub shocks: Vec<Shock>,
}

/// A sudden change that stays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shock {
    /// After how many months.
    pub at_month: f64,
    /// By which factor: 0.5 is a fall by half.
    pub factor: f64,
}

/// Days of a month: a twelfth of a year of 365.
pub const MONTH_DAYS: f64 = 365.0 / 12.0;

impl Path {
    /// The factor on a day.
    pub fn at(&self, day: f64) -> f64 {
        let drift = (1.0 + self.yearly).powf(day / 365.0);
        self.shocks
            .iter()
            .filter(|s| day >= s.at_month * MONTH_DAYS)
            .fold(drift, |factor, s| factor * s.factor)
    }

    /// The same path with one more shock.
    fn with(&self, shock: Shock) -> Self {
        let mut path = self.clone();
        path.shocks.push(shock);
        path
    }

    fn check(&self, name: &str, ranges: &mut Ranges) {
        ranges.within(&format!("{name}.yearly"), self.yearly, -0.99, 10.0);
        for (at, shock) in self.shocks.iter().enumerate() {
            ranges.within(&format!("{name}.shocks[{at}].at_month"), shock.at_month, 0.0, 360.0);
            ranges.within(&format!("{name}.shocks[{at}].factor"), shock.factor, 0.001, 1_000.0);
        }
    }
}

/// How owners of hardware answer to income.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supply {
    /// `ε`: how alike owners' costs are. 1: very different; 10: nearly the same, so that supply swings at the cost.
    #[serde(default = "default_elasticity")]
    pub elasticity: f64,
    /// How fast who would gain joins, the part of the gap in a month.
    #[serde(default = "default_join")]
    pub joins_per_month: f64,
    /// How fast who loses money leaves, the part of the gap in a month.
    #[serde(default = "default_leave")]
    pub leaves_per_month: f64,
    /// Groups of owners with like costs.
    pub cohorts: Vec<Cohort>,
}

fn default_elasticity() -> f64 {
    3.0
}

fn default_join() -> f64 {
    0.2
}

fn default_leave() -> f64 {
    0.5
}

/// Owners with like costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// What to call it.
    pub name: String,
    /// Whether it only pretends: registers, looks online and does no work.
    #[serde(default)]
    pub pretends: bool,
    /// GPUs there are.
    pub gpus: f64,
    /// GPUs online at the beginning.
    pub online: f64,
    /// Draw at work, in watts for each GPU with its part of the machine.
    pub watts: f64,
    /// Draw when idle, in watts.
    pub idle_watts: f64,
    /// Electricity, in USD per kWh.
    pub usd_per_kwh: f64,
    /// What a GPU with its part of the machine cost, in USD; zero when it is there anyway.
    #[serde(default)]
    pub hardware_usd: f64,
    /// How long it lasts, in years.
    #[serde(default = "default_life")]
    pub life_years: f64,
}

fn default_life() -> f64 {
    3.0
}

/// The falls whose effect is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stress {
    /// After how many months.
    pub at_month: u32,
    /// To which factor: 0.5 is a fall by half.
    pub factor: f64,
    /// How many months later supply is looked at.
    pub measured_after_months: u32,
}

impl Default for Stress {
    fn default() -> Self {
        Self { at_month: 12, factor: 0.5, measured_after_months: 6 }
    }
}

/// Which mechanisms run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mechanisms {
    /// A Bittensor subnet.
    pub bittensor: Option<bittensor::Configuration>,
    /// Render.
    pub render: Option<render_network::Configuration>,
    /// Akash.
    pub akash: Option<akash_network::Configuration>,
    /// io.net.
    pub io_net: Option<staked_fees::Configuration>,
    /// Gristmill.
    pub gristmill: Option<verified_work::Configuration>,
}

/// Why a scenario cannot run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScenarioError {
    /// The file is not a scenario.
    #[error("{message}{}", suggestion.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    Unreadable {
        /// What is wrong and where.
        message: String,
        /// The known name that is nearest to an unknown one.
        suggestion: Option<String>,
    },
    /// A number lies outside its range.
    #[error("{field} is {given}: give a number from {least} to {most}")]
    OutOfRange {
        /// Which.
        field: String,
        /// What was given.
        given: f64,
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// No mechanism is named.
    #[error("no mechanism is named: add a section such as [mechanisms.gristmill]")]
    NoMechanism,
    /// No cohort works.
    #[error("no cohort does any work: add one to [[supply.cohorts]] that does not pretend")]
    NoSupply,
    /// The stress is measured after the scenario has ended.
    #[error(
        "the effect of the fall would be measured in month {measured}, the scenario ends with month {last}"
    )]
    StressTooLate {
        /// When it would be measured.
        measured: u32,
        /// The last month.
        last: u32,
    },
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`]: not TOML, an unknown key (with the nearest known one), a number out of range.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| unreadable(&error))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Runs every mechanism: as it stands, with a fall of the tokens' prices, and with a fall of demand.
    pub fn run(&self) -> Comparison {
        run::compare(self)
    }

    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`ScenarioError`] of the first thing wrong.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let mut ranges = Ranges::default();
        ranges.within("years", f64::from(self.years), 1.0, 30.0);
        ranges.within("epoch_days", f64::from(self.epoch_days), 1.0, 30.0);
        ranges.within("market.demand_usd_per_day", self.market.demand_usd_per_day, 0.0, 1e9);
        ranges.within("market.price_usd_per_gpu_hour", self.market.price_usd_per_gpu_hour, 0.001, 1_000.0);
        self.market.demand.check("market.demand", &mut ranges);
        self.token.check("token", &mut ranges);
        self.supply.check(&mut ranges);
        ranges.within("stress.at_month", f64::from(self.stress.at_month), 1.0, 359.0);
        ranges.within("stress.factor", self.stress.factor, 0.001, 1_000.0);
        ranges.within(
            "stress.measured_after_months",
            f64::from(self.stress.measured_after_months),
            1.0,
            359.0,
        );
        self.mechanisms.check(&mut ranges);
        ranges.finish()?;
        if self.mechanisms == Mechanisms::default() {
            return Err(ScenarioError::NoMechanism);
        }
        if self.supply.cohorts.iter().all(|cohort| cohort.pretends || cohort.gpus == 0.0) {
            return Err(ScenarioError::NoSupply);
        }
        let (measured, last) = (self.stress.at_month + self.stress.measured_after_months, self.years * 12);
        if measured > last {
            return Err(ScenarioError::StressTooLate { measured, last });
        }
        Ok(())
    }
}

impl Supply {
    fn check(&self, ranges: &mut Ranges) {
        ranges.within("supply.elasticity", self.elasticity, 0.1, 50.0);
        ranges.within("supply.joins_per_month", self.joins_per_month, 0.0, 10.0);
        ranges.within("supply.leaves_per_month", self.leaves_per_month, 0.0, 10.0);
        for (at, cohort) in self.cohorts.iter().enumerate() {
            let field = |name: &str| format!("supply.cohorts[{at}].{name}");
            ranges.within(&field("gpus"), cohort.gpus, 0.0, 1e8);
            ranges.within(&field("online"), cohort.online, 0.0, cohort.gpus);
            ranges.within(&field("watts"), cohort.watts, 0.0, 20_000.0);
            ranges.within(&field("idle_watts"), cohort.idle_watts, 0.0, cohort.watts);
            ranges.within(&field("usd_per_kwh"), cohort.usd_per_kwh, 0.0, 10.0);
            ranges.within(&field("hardware_usd"), cohort.hardware_usd, 0.0, 1e6);
            ranges.within(&field("life_years"), cohort.life_years, 0.1, 30.0);
        }
    }
}

impl Mechanisms {
    fn check(&self, ranges: &mut Ranges) {
        let Self { bittensor, render, akash, io_net, gristmill } = self;
        bittensor.iter().for_each(|c| c.check(ranges));
        render.iter().for_each(|c| c.check(ranges));
        akash.iter().for_each(|c| c.check(ranges));
        io_net.iter().for_each(|c| c.check(ranges));
        gristmill.iter().for_each(|c| c.check(ranges));
    }
}

/// Turns a parser's error into ours, with the nearest of the names that the parser would have accepted.
fn unreadable(error: &toml::de::Error) -> ScenarioError {
    // The parser names the unknown key first and the known ones after it, each in backquotes.
    let mut names = error.message().split('`').skip(1).step_by(2);
    let unknown = names.next().filter(|_| error.message().starts_with("unknown field"));
    let suggestion = unknown.and_then(|unknown| {
        let nearness = |name: &&str| (strsim::jaro_winkler(unknown, name) * 1e6) as u64;
        names.max_by_key(nearness).filter(|name| strsim::jaro_winkler(unknown, name) > 0.7).map(str::to_owned)
    });
    ScenarioError::Unreadable { message: error.to_string().trim_end().to_owned(), suggestion }
}

/// What the comparison leaves out, a sentence each.
pub fn omissions() -> Vec<&'static str> {
    vec![
        "The price of a GPU hour is given and the same everywhere: it does not rise when supply is short, nor fall when it is plenty; demand that finds no capacity is counted as unmet.",
        "Token prices are given: neither burning and buying nor providers' selling moves them.",
        "Providers sell what they are paid at once, at the price of the epoch, without slippage or fees of an exchange, and pay no taxes.",
        "All GPUs are of one class; skewed rewards among miners, slot limits and registration costs are not in it.",
        "A Bittensor subnet's emission is a fixed part of the chain's: alpha tokens, their pools and the flow-based shares of subnets are not in it; validators' and owners' shares are paid out, not staked.",
        "Staking inflation of Akash's chain and of others, which pays validators and not providers, is not in it.",
        "io.net's multipliers, its community and enterprise pools and the cost of the stake are not in it.",
        "Render's emission past its third year is inferred from the bounds that its proposals state; grants that bring demand and its other subnets are not in it.",
        "How far pretenders get is a number for each mechanism, an assumption and not a measurement; they do not learn, and buyers' reputation systems are in that number.",
        "Bitcoin mining on the same hardware is not in it: GPUs do not mine it; `econ rent-or-mine` asks that question.",
        "Gristmill's payment fees, and the cost of running a venue, are not in it.",
    ]
}
