//! What a provider's next months may bring: thousands of paths drawn at random, and what most of them have in common.

mod draws;
mod model;
mod outcome;

use crate::{
    answer::{Answer, Cell, Figures, Table},
    catalogue::{Catalogue, MarketPrice, Row, Unknown},
    money::Usd,
};
pub use model::{Conversion, Halving, Model, Payout};
pub use outcome::{Breakdown, Outcome, Payback, Quantiles};
use rust_decimal::{
    Decimal,
    prelude::{FromPrimitive, ToPrimitive},
};
use serde::Serialize;
use std::ops::RangeInclusive;

/// What is asked. What is left out comes from the catalogue, or is 0 where a comment says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// A machine of the catalogue: its draw and its price. Without it, `watts` and `hardware_usd` must be given.
    pub hardware: Option<String>,
    /// The accelerator under which markets rent it: `RTX-4090`. Absent: the one that the hardware's id begins with.
    pub gpu: Option<String>,
    /// Where power is bought: a region of the catalogue.
    pub region: String,
    /// Price of power, 0 to 10 $/kWh, instead of the region's.
    pub tariff_usd_per_kwh: Option<f64>,
    /// By what fraction power gets dearer each year, -0.9 to 10.
    pub tariff_drift_per_year: f64,
    /// Draw while it earns, 0.1 to 100 000 W, instead of the hardware's.
    pub watts: Option<f64>,
    /// Draw while it waits, 0 to 100 000 W; 0 when it sleeps.
    pub idle_watts: f64,
    /// What the hardware costs, 0 to 10 000 000 $, instead of the catalogue's price; 0 for hardware that is there already.
    pub hardware_usd: Option<f64>,
    /// What the hardware is sold for at the end, at most its price. Absent: it loses its price evenly over its life.
    pub residual_usd: Option<f64>,
    /// What renters pay for an hour, 0 to 10 000 $. Absent: the lowest typical price among the markets of the catalogue.
    pub price_usd_per_hour: Option<f64>,
    /// What the market keeps, 0 to 0.99. Absent: the fee of the market whose price is taken, else 0.
    pub fee_rate: Option<f64>,
    /// By what fraction the price changes each year, as expected, -0.99 to 10.
    pub price_drift_per_year: f64,
    /// Volatility of the price, 0 to 3 a year.
    pub price_volatility_per_year: f64,
    /// When pay is halved for good.
    pub halving: Option<Halving>,
    /// Mean share of the hours that earn, 0.01 to 0.99. Absent: the middle of the catalogue's range.
    pub utilization: Option<f64>,
    /// How closely months keep to that mean, 2 to 1000.
    pub utilization_concentration: f64,
    /// Fixed costs, 0 to 1 000 000 $ a month.
    pub fixed_usd_per_month: f64,
    /// Failures, 0 to 24 a year.
    pub failures_per_year: f64,
    /// What a repair costs, 0 to 1 000 000 $.
    pub repair_usd: f64,
    /// How long a repair takes, 0 to 365 days.
    pub downtime_days: f64,
    /// What the provider is paid in. Token: drift -0.99 to 10 a year, volatility 0 to 3 a year.
    pub payout: Payout,
    /// How many months to look ahead, 1 to 120.
    pub months: u32,
    /// How many paths to draw, 100 to 100 000.
    pub paths: u32,
    /// The seed: the same question with the same seed has the same answer.
    pub seed: u64,
}

impl Default for Question {
    /// An RTX 4090 at the average US tariff for a year: a price that drifts nowhere and varies by 40 % a year, a failure
    /// every other year.
    fn default() -> Question {
        Question {
            hardware: Some("rtx4090-system".into()),
            gpu: None,
            region: "US average residential".into(),
            tariff_usd_per_kwh: None,
            tariff_drift_per_year: 0.0,
            watts: None,
            idle_watts: 0.0,
            hardware_usd: None,
            residual_usd: None,
            price_usd_per_hour: None,
            fee_rate: None,
            price_drift_per_year: 0.0,
            price_volatility_per_year: 0.4,
            halving: None,
            utilization: None,
            utilization_concentration: 20.0,
            fixed_usd_per_month: 0.0,
            failures_per_year: 0.5,
            repair_usd: 150.0,
            downtime_days: 7.0,
            payout: Payout::Dollars,
            months: 12,
            paths: 10_000,
            seed: 1,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuestionError {
    /// A name that the catalogue does not have.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// A number out of its range.
    #[error("{what} is {given}; it must lie between {low} and {high}")]
    OutOfRange {
        /// Which.
        what: &'static str,
        /// What was given.
        given: f64,
        /// The lowest accepted.
        low: f64,
        /// The highest accepted.
        high: f64,
    },
    /// Neither given nor in the catalogue.
    #[error("{0}")]
    Missing(String),
}

/// The answer: the model as it was run, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulation {
    /// What the hardware is called, or `your machine`.
    pub machine: String,
    /// The seed.
    pub seed: u64,
    /// The model.
    pub model: Model,
    /// What came of it, in dollars.
    pub outcome: Outcome,
    figures: Figures,
    #[serde(skip)]
    choices: Vec<String>,
}

/// Runs the model with what is given and, where nothing is, with what the catalogue has.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<Simulation, QuestionError> {
    in_range("the number of paths", question.paths.into(), 100.0..=100_000.0)?;
    let mut inputs = Inputs { question, catalogue, figures: Figures::default(), choices: Vec::new() };
    let model = inputs.model()?;
    let outcome = model.run(question.paths, question.seed);
    let machine = question.hardware.clone().unwrap_or_else(|| "your machine".into());
    let Inputs { figures, choices, .. } = inputs;
    Ok(Simulation { machine, seed: question.seed, model, outcome, figures, choices })
}

fn in_range(what: &'static str, given: f64, range: RangeInclusive<f64>) -> Result<f64, QuestionError> {
    if range.contains(&given) {
        return Ok(given);
    }
    Err(QuestionError::OutOfRange { what, given, low: *range.start(), high: *range.end() })
}

/// A question on its way to a model.
struct Inputs<'q> {
    question: &'q Question,
    catalogue: &'q Catalogue,
    figures: Figures,
    choices: Vec<String>,
}

impl<'q> Inputs<'q> {
    fn model(&mut self) -> Result<Model, QuestionError> {
        let question = self.question;
        let months = in_range("the number of months", question.months.into(), 1.0..=120.0)?;
        let (watts, hardware_usd) = self.machine()?;
        let (price_usd_per_hour, fee_rate) = self.price()?;
        let residual_usd = self.residual(hardware_usd, months)?;
        let halving = question.halving.map(checked_halving).transpose()?;
        Ok(Model {
            months: question.months,
            price_usd_per_hour,
            price_drift_per_year: in_range("the price drift", question.price_drift_per_year, -0.99..=10.0)?,
            price_volatility_per_year: in_range(
                "the price volatility",
                question.price_volatility_per_year,
                0.0..=3.0,
            )?,
            halving,
            fee_rate,
            utilization_mean: self.utilization()?,
            utilization_concentration: in_range(
                "the concentration of utilization",
                question.utilization_concentration,
                2.0..=1000.0,
            )?,
            watts,
            idle_watts: in_range("the idle draw in watts", question.idle_watts, 0.0..=100_000.0)?,
            tariff_usd_per_kwh: self.tariff()?,
            tariff_drift_per_year: in_range(
                "the drift of the tariff",
                question.tariff_drift_per_year,
                -0.9..=10.0,
            )?,
            fixed_usd_per_month: in_range("fixed costs", question.fixed_usd_per_month, 0.0..=1e6)?,
            failures_per_year: in_range("failures per year", question.failures_per_year, 0.0..=24.0)?,
            repair_usd: in_range("the cost of a repair", question.repair_usd, 0.0..=1e6)?,
            downtime_days: in_range("the days of a repair", question.downtime_days, 0.0..=365.0)?,
            hardware_usd,
            residual_usd,
            payout: checked_payout(question.payout)?,
        })
    }

    /// Draw and price of the machine.
    fn machine(&mut self) -> Result<(f64, f64), QuestionError> {
        let question = self.question;
        let row = question.hardware.as_deref().map(|id| self.catalogue.hardware(id)).transpose()?;
        let given = |what: &str| {
            QuestionError::Missing(format!("name a machine of the catalogue, or give its {what}"))
        };
        let watts = match (question.watts, row) {
            (Some(watts), _) => self.given("draw", watts, "W"),
            (None, Some(row)) => {
                self.figures.cite(&row.name, format!("{} W", row.train_watts), &row.provenance());
                float(row.train_watts)
            }
            (None, None) => return Err(given("draw in watts")),
        };
        let hardware_usd = match (question.hardware_usd, row) {
            (Some(usd), _) => self.given("price of the hardware", usd, "usd"),
            (None, Some(row)) => {
                self.figures.cite(&row.name, format!("{} usd", row.price_usd.0), &row.provenance());
                float(row.price_usd.0)
            }
            (None, None) => return Err(given("price")),
        };
        let watts = in_range("the draw in watts", watts, 0.1..=100_000.0)?;
        Ok((watts, in_range("the price of the hardware", hardware_usd, 0.0..=1e7)?))
    }

    fn tariff(&mut self) -> Result<f64, QuestionError> {
        let tariff = match self.question.tariff_usd_per_kwh {
            Some(tariff) => self.given("tariff", tariff, "usd/kWh"),
            None => {
                let row = self.catalogue.tariff(&self.question.region)?;
                self.figures.cite(
                    format!("power, {}", row.region),
                    format!("{} usd/kWh", row.usd_per_kwh.0),
                    &row.provenance(),
                );
                float(row.usd_per_kwh.0)
            }
        };
        in_range("the tariff in $/kWh", tariff, 0.0..=10.0)
    }

    /// Price of an hour and what the market keeps.
    fn price(&mut self) -> Result<(f64, f64), QuestionError> {
        let question = self.question;
        let (price, fee) = match question.price_usd_per_hour {
            Some(price) => (self.given("price of an hour", price, "usd/h"), None),
            None => {
                let row = self.lowest_market_price()?;
                let value = format!("{} usd/h", row.typical().0);
                self.figures.cite(format!("{} {}", row.network, row.gpu), value, &row.provenance());
                self.choices.push(format!(
                    "The price is the typical one at {}, the lowest among the markets of the catalogue.",
                    row.network
                ));
                (float(row.typical().0), row.fee_rate.map(float))
            }
        };
        let fee_rate = match question.fee_rate {
            Some(rate) => self.given("fee", rate, "of the price"),
            None => fee.unwrap_or(0.0),
        };
        Ok((
            in_range("the price of an hour", price, 0.0..=10_000.0)?,
            in_range("the fee", fee_rate, 0.0..=0.99)?,
        ))
    }

    fn lowest_market_price(&self) -> Result<&'q MarketPrice, QuestionError> {
        let question = self.question;
        let of_hardware = || question.hardware.as_deref().and_then(|id| id.split('-').next());
        let gpu = question.gpu.as_deref().or_else(of_hardware).unwrap_or_default();
        let lowest = self.catalogue.market_prices_of(gpu).min_by_key(|row| row.typical());
        lowest.ok_or_else(|| {
            let name = if gpu.is_empty() { "this machine" } else { gpu };
            QuestionError::Missing(format!(
                "no market of the catalogue rents {name}: give the price of an hour"
            ))
        })
    }

    fn residual(&mut self, hardware_usd: f64, months: f64) -> Result<f64, QuestionError> {
        if let Some(residual) = self.question.residual_usd {
            let residual = self.given("resale value", residual, "usd");
            return in_range("the resale value", residual, 0.0..=hardware_usd);
        }
        if hardware_usd == 0.0 {
            return Ok(0.0);
        }
        let life_years = self.catalogue.assumption("hardware_life", &mut self.figures)?;
        Ok(hardware_usd * (1.0 - months / (12.0 * float(life_years))).max(0.0))
    }

    fn utilization(&mut self) -> Result<f64, QuestionError> {
        let mean = match self.question.utilization {
            Some(mean) => self.given("utilization", mean, "of the hours"),
            None => {
                let low = self.catalogue.assumption("marketplace_utilization_low", &mut self.figures)?;
                let high = self.catalogue.assumption("marketplace_utilization_high", &mut self.figures)?;
                float((low + high) / Decimal::TWO)
            }
        };
        in_range("the mean utilization", mean, 0.01..=0.99)
    }

    fn given(&mut self, what: &str, value: f64, unit: &str) -> f64 {
        self.figures.given(what, format!("{value} {unit}"));
        value
    }
}

fn checked_halving(halving: Halving) -> Result<Halving, QuestionError> {
    in_range("the month of the halving", halving.month.into(), 1.0..=120.0)?;
    in_range("the probability of the halving", halving.probability, 0.0..=1.0)?;
    Ok(halving)
}

fn checked_payout(payout: Payout) -> Result<Payout, QuestionError> {
    if let Payout::Token { drift_per_year, volatility_per_year, .. } = payout {
        in_range("the drift of the token", drift_per_year, -0.99..=10.0)?;
        in_range("the volatility of the token", volatility_per_year, 0.0..=3.0)?;
    }
    Ok(payout)
}

/// A figure of the catalogue as a float; they are far from the ends of what a float holds.
fn float(decimal: Decimal) -> f64 {
    decimal.to_f64().unwrap_or(f64::NAN)
}

/// Dollars to the cent, or nothing where they are too many for a decimal.
fn usd(amount: f64) -> Cell {
    Decimal::from_f64(amount).map_or(Cell::Missing, |amount| Cell::Usd(Usd(amount).rounded(2), 2))
}

fn percent(share: f64) -> Cell {
    Decimal::from_f64(share).map_or(Cell::Missing, |share| Cell::Percent(share.round_dp(4), 1))
}

impl Simulation {
    fn result_table(&self) -> Table {
        let mut table = Table::new(
            "result",
            format!("After {} months", self.model.months),
            &[("what", "what"), ("value", "value")],
        );
        let net = self.outcome.net();
        let line = |what: &str, cell: Cell| [Cell::text(what), cell];
        table.row(line("net, worst 5 % (P5)", usd(net.p5)));
        table.row(line("net, median (P50)", usd(net.p50)));
        table.row(line("net, best 5 % (P95)", usd(net.p95)));
        table.row(line("net, mean", usd(self.outcome.mean.net())));
        table.row(line("probability of a loss", percent(self.outcome.loss_probability)));
        if self.model.hardware_usd > 0.0 {
            for (what, share) in [
                ("payback, fastest 5 % of the paths", 0.05),
                ("payback, median", 0.5),
                ("payback, slowest 5 %", 0.95),
            ] {
                let month = self.outcome.payback.month(share);
                let text = month.map_or_else(
                    || format!("not within {} months", self.model.months),
                    |month| format!("month {month}"),
                );
                table.row(line(what, Cell::text(text)));
            }
            let never = f64::from(self.outcome.payback.never) / f64::from(self.outcome.paths);
            table.row(line("paths that have not paid back", percent(never)));
        }
        table
    }

    fn breakdown_table(&self) -> Table {
        let mut table = Table::new(
            "mean_path",
            "What the average path is made of",
            &[("what", "what"), ("mean_usd", "mean $")],
        );
        let Breakdown { gross, fee, power, fixed, repairs, depreciation } = self.outcome.mean;
        for (what, amount) in [
            ("what renters pay", gross),
            ("fee of the market", -fee),
            ("power", -power),
            ("fixed costs", -fixed),
            ("repairs", -repairs),
            ("loss in value of the hardware", -depreciation),
            ("net", self.outcome.mean.net()),
        ] {
            table.row([Cell::text(what), usd(amount)]);
        }
        table
    }

    fn fan_table(&self) -> Table {
        let mut table = Table::new(
            "fan",
            "Net since the start, by month",
            &[
                ("month", "month"),
                ("p5_usd", "P5 $"),
                ("p25_usd", "P25 $"),
                ("p50_usd", "P50 $"),
                ("p75_usd", "P75 $"),
                ("p95_usd", "P95 $"),
                ("paid_back_paths", "pay back"),
            ],
        );
        let paid_back = &self.outcome.payback.paths_by_month;
        for (month, (at, paths)) in self.outcome.fan.iter().skip(1).zip(paid_back).enumerate() {
            let whole =
                |cell: Cell| if let Cell::Usd(amount, _) = cell { Cell::Usd(amount, 0) } else { cell };
            table.row(
                [Cell::Number(Decimal::from(month + 1), 0)]
                    .into_iter()
                    .chain([at.p5, at.p25, at.p50, at.p75, at.p95].map(usd).map(whole))
                    .chain([Cell::Number(Decimal::from(*paths), 0)]),
            );
        }
        table
    }
}

impl Answer for Simulation {
    fn title(&self) -> String {
        format!("{} over {} months, on {} paths", self.machine, self.model.months, self.outcome.paths)
    }

    fn tables(&self) -> Vec<Table> {
        vec![self.result_table(), self.breakdown_table(), self.fan_table()]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let model = &self.model;
        let mut notes = self.choices.clone();
        notes.push(format!(
            "Seed {}. The same question with the same seed has the same answer, on every machine.",
            self.seed
        ));
        notes.push(format!(
            "A month has 30 days. Each month the share of hours that earn is drawn from a beta distribution with mean {} \
             and concentration {}; months are independent, so a machine that nobody ever wants needs a lower mean.",
            model.utilization_mean, model.utilization_concentration
        ));
        notes.push(format!(
            "The price starts at {} $/h, drifts by {} a year and varies by {} a year (geometric Brownian motion).",
            model.price_usd_per_hour, model.price_drift_per_year, model.price_volatility_per_year
        ));
        if let Some(halving) = model.halving {
            notes.push(format!(
                "Pay is halved from month {} on, with probability {}.",
                halving.month, halving.probability
            ));
        }
        if let Payout::Token { drift_per_year, volatility_per_year, conversion } = model.payout {
            let what = match conversion {
                Conversion::Daily => "sold each day",
                Conversion::Held => "held and valued at each month's end",
            };
            notes.push(format!(
                "Pay is in a token that drifts by {drift_per_year} and varies by {volatility_per_year} a year, {what}; the \
                 number of tokens for an hour is fixed at the first day's price."
            ));
        }
        if model.hardware_usd > 0.0 {
            notes.push(format!(
                "Net counts the hardware's loss in value evenly, from {:.0} $ to {:.0} $ at the end; payback is when what \
                 came in, less running costs, covers the whole price.",
                model.hardware_usd, model.residual_usd
            ));
        } else {
            notes.push("The hardware is there already: its price is not counted.".into());
        }
        notes
    }
}

#[cfg(test)]
mod tests;
