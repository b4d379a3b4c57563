//! What a provider's next months may bring: thousands of paths drawn at random, and what most of them have in common.

mod draws;
pub mod model;
mod outcome;

use crate::{
    answer::{Answer, Cell, Figures, Table},
    catalogue::{Catalogue, MarketPrice, Row},
    money::{Usd, float},
    question::{self, Quantity, QuestionError, Tariff},
};
pub use model::{Conversion, Model};
pub use outcome::{Breakdown, Outcome, Payback, Quantiles};
use rust_decimal::{Decimal, dec, prelude::FromPrimitive};
use serde::Serialize;
use std::collections::BTreeSet;

/// What is asked. What is left out comes from the catalogue, or is what a comment says.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// A machine of the catalogue: its draw and its price. Without it, `watts` and `hardware_usd` must be given.
    pub hardware: Option<String>,
    /// The accelerator under which markets rent it: `RTX-4090`. Absent: the one that the hardware's id begins with.
    pub gpu: Option<String>,
    /// What electricity costs.
    pub tariff: Tariff,
    /// By what fraction electricity gets dearer each year, from -0.9 to 10.
    pub tariff_drift: Decimal,
    /// Draw while it earns, from 0.1 to 1,000,000 W, instead of the hardware's.
    pub watts: Option<Decimal>,
    /// Draw while it waits, from 0 W; 0 when it sleeps.
    pub idle_watts: Decimal,
    /// What the hardware costs, instead of the catalogue's price; 0 for hardware that is there already.
    pub hardware_usd: Option<Usd>,
    /// What the hardware is sold for at the end, at most its price. Absent: it loses its price evenly over its life.
    pub residual_usd: Option<Usd>,
    /// What renters pay for an hour, to 1,000,000 $. Absent: the lowest typical price among the catalogue's markets; where
    /// no fee is given either, among those whose fee is known, if there are any.
    pub usd_per_hour: Option<Usd>,
    /// What the market keeps, from 0 to 1. Absent: the fee of the market whose price is taken; where nobody knows that,
    /// nothing is taken off, and the answer says so.
    pub fee_rate: Option<Decimal>,
    /// By what fraction the price is expected to change in a year, from -0.99 to 10.
    pub price_drift: Decimal,
    /// Volatility of the price: the standard deviation of its logarithm after a year, from 0 to 3.
    pub price_volatility: Decimal,
    /// When pay is halved for good.
    pub halving: Option<Halving>,
    /// Mean share of the hours that earn, from 0.01 to 0.99. Absent: the middle of the catalogue's range.
    pub utilization: Option<Decimal>,
    /// How closely months keep to that mean, from 2 to 1000.
    pub utilization_concentration: Decimal,
    /// What is paid each month come what may.
    pub fixed_usd_per_month: Usd,
    /// Failures, from 0 to 24 a year.
    pub failures_per_year: Decimal,
    /// What a repair costs.
    pub repair_usd: Usd,
    /// How long a repair takes, from 0 to 365 days.
    pub downtime_days: Decimal,
    /// What the provider is paid in.
    pub payout: Payout,
    /// How many months to look ahead, from 1 to 120.
    pub months: u32,
    /// How many paths to draw, from 100 to 100,000.
    pub paths: u32,
    /// The seed: the same question with the same seed has the same answer.
    pub seed: u64,
}

/// A cut of pay by half, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halving {
    /// The first month that pays half, from 1 to 120.
    pub month: u32,
    /// How likely it comes at all, from 0 to 1.
    pub probability: Decimal,
}

/// What the provider is paid in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payout {
    /// Dollars, or something that keeps its value in dollars.
    Dollars,
    /// A network's token.
    Token {
        /// By what fraction its price is expected to change in a year, from -0.99 to 10.
        drift: Decimal,
        /// Volatility of its price: the standard deviation of its logarithm after a year, from 0 to 3.
        volatility: Decimal,
        /// What the provider does with it.
        conversion: Conversion,
    },
}

impl Default for Question {
    /// An RTX 4090 at the average US tariff for a year: a price that drifts nowhere and varies by 40 % a year, a failure
    /// every other year.
    fn default() -> Question {
        Question {
            hardware: Some("rtx4090-system".into()),
            gpu: None,
            tariff: Tariff::default(),
            tariff_drift: Decimal::ZERO,
            watts: None,
            idle_watts: Decimal::ZERO,
            hardware_usd: None,
            residual_usd: None,
            usd_per_hour: None,
            fee_rate: None,
            price_drift: Decimal::ZERO,
            price_volatility: dec!(0.4),
            halving: None,
            utilization: None,
            utilization_concentration: dec!(20),
            fixed_usd_per_month: Usd::ZERO,
            failures_per_year: dec!(0.5),
            repair_usd: Usd(dec!(150)),
            downtime_days: dec!(7),
            payout: Payout::Dollars,
            months: 12,
            paths: 10_000,
            seed: 1,
        }
    }
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
    PATHS.check(question.paths.into())?;
    let mut inputs = Inputs { question, catalogue, figures: Figures::default(), choices: Vec::new() };
    let model = inputs.model()?;
    let outcome = model.run(question.paths, question.seed);
    let row = question.hardware.as_deref().map(|id| catalogue.hardware(id)).transpose()?;
    let machine = row.map_or("your machine", |row| &row.name).to_owned();
    let Inputs { figures, choices, .. } = inputs;
    Ok(Simulation { machine, seed: question.seed, model, outcome, figures, choices })
}

const MONTHS: Quantity = quantity("the number of months", "", dec!(1), dec!(120));
const PATHS: Quantity = quantity("the number of paths", "", dec!(100), dec!(100_000));
const DRIFT: Quantity =
    quantity("the drift", " a year (a fraction: -0.3 is 30 % less)", dec!(-0.99), dec!(10));
const TARIFF_DRIFT: Quantity = quantity("the drift of the tariff", " a year", dec!(-0.9), dec!(10));
const VOLATILITY: Quantity = quantity("the volatility", " a year", dec!(0), dec!(3));
const MEAN: Quantity =
    quantity("the mean utilization", " (a fraction: 0.45 is 45 %)", dec!(0.01), dec!(0.99));
const CONCENTRATION: Quantity = quantity("the concentration of utilization", "", dec!(2), dec!(1000));
const FAILURES: Quantity = quantity("the failures", " a year", dec!(0), dec!(24));
const DOWNTIME: Quantity = quantity("the time of a repair", " days", dec!(0), dec!(365));

const fn quantity(name: &'static str, unit: &'static str, least: Decimal, most: Decimal) -> Quantity {
    Quantity { name, unit, least, most }
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
        MONTHS.check(question.months.into())?;
        let (watts, hardware_usd) = self.machine()?;
        let (usd_per_hour, fee_rate) = self.price()?;
        let tariff = question.tariff.resolve(self.catalogue, &mut self.figures)?;
        let dollars = |what, amount: Usd| question::PRICE.check_in(amount.0, what).map(float);
        Ok(Model {
            months: question.months,
            price_usd_per_hour: float(usd_per_hour),
            price_drift_per_year: float(DRIFT.check_in(question.price_drift, "the drift of the price")?),
            price_volatility_per_year: float(VOLATILITY.check(question.price_volatility)?),
            halving: question.halving.map(checked_halving).transpose()?,
            fee_rate: float(fee_rate),
            utilization_mean: float(self.utilization()?),
            utilization_concentration: float(CONCENTRATION.check(question.utilization_concentration)?),
            watts: float(watts),
            idle_watts: float(question::IDLE_WATTS.check(question.idle_watts)?),
            tariff_usd_per_kwh: float(tariff.0),
            tariff_drift_per_year: float(TARIFF_DRIFT.check(question.tariff_drift)?),
            fixed_usd_per_month: dollars("what is paid each month", question.fixed_usd_per_month)?,
            failures_per_year: float(FAILURES.check(question.failures_per_year)?),
            repair_usd: dollars("the cost of a repair", question.repair_usd)?,
            downtime_days: float(DOWNTIME.check(question.downtime_days)?),
            hardware_usd: float(hardware_usd),
            residual_usd: float(self.residual(hardware_usd)?),
            payout: checked_payout(question.payout)?,
        })
    }

    /// Draw in watts and price in dollars of the machine.
    fn machine(&mut self) -> Result<(Decimal, Decimal), QuestionError> {
        let (question, figures) = (self.question, &mut self.figures);
        let row = question.hardware.as_deref().map(|id| self.catalogue.hardware(id)).transpose()?;
        let missing = |missing| QuestionError::Missing {
            missing,
            because: "because no machine of the catalogue is named",
        };
        let watts = match (question::given(question::WATTS, question.watts, figures)?, row) {
            (Some(watts), _) => watts,
            (None, Some(row)) => {
                figures.cite(&row.name, format!("{} W", row.train_watts), &row.provenance());
                question::WATTS.check(row.train_watts)?
            }
            (None, None) => return Err(missing("the power")),
        };
        let given = question.hardware_usd.map(|usd| usd.0);
        let hardware_usd = match (question::given(question::PRICE, given, figures)?, row) {
            (Some(usd), _) => usd,
            (None, Some(row)) => {
                figures.cite(&row.name, format!("{} usd", row.price_usd.0), &row.provenance());
                question::PRICE.check(row.price_usd.0)?
            }
            (None, None) => return Err(missing("the price of the hardware")),
        };
        Ok((watts, hardware_usd))
    }

    /// Price of an hour in dollars, and what the market keeps.
    fn price(&mut self) -> Result<(Decimal, Decimal), QuestionError> {
        let question = self.question;
        let fee = question::given(question::FRACTION, question.fee_rate, &mut self.figures)?;
        let usd = question.usd_per_hour.map(|usd| usd.0);
        let Some(price) = question::given(question::USD_PER_HOUR, usd, &mut self.figures)? else {
            return self.market_price(fee);
        };
        if fee.is_none() {
            self.choices.push("No fee is given beside the price: nothing is taken off.".to_owned());
        }
        Ok((price, fee.unwrap_or_default()))
    }

    /// The same from the catalogue; `fee` where one is given.
    fn market_price(&mut self, fee: Option<Decimal>) -> Result<(Decimal, Decimal), QuestionError> {
        let row = self.lowest_market_price(fee.is_some())?;
        let value = format!("{} usd/h", row.typical().0);
        self.figures.cite(format!("{} {}", row.network, row.gpu), value, &row.provenance());
        let fee_rate = match fee.or(row.fee_rate) {
            Some(fee_rate) => question::FRACTION.check_in(fee_rate, "the fee of the market")?,
            None => {
                let what = format!("The fee of {} is not known: nothing is taken off.", row.network);
                self.choices.push(what);
                Decimal::ZERO
            }
        };
        Ok((question::USD_PER_HOUR.check(row.typical().0)?, fee_rate))
    }

    /// The market with the lowest typical price. Without a fee that holds for all, those whose own is known go first.
    fn lowest_market_price(&mut self, is_fee_given: bool) -> Result<&'q MarketPrice, QuestionError> {
        let question = self.question;
        let of_hardware = || question.hardware.as_deref().and_then(|id| id.split('-').next());
        let gpu = question.gpu.as_deref().or_else(of_hardware).unwrap_or_default();
        let has_fee = |row: &MarketPrice| is_fee_given || row.fee_rate.is_some();
        let lowest = self.catalogue.market_prices_of(gpu).min_by_key(|row| (!has_fee(row), row.typical()));
        let lowest = lowest.ok_or(QuestionError::Missing {
            missing: "the price of an hour",
            because: "because no market of the catalogue rents out this machine",
        })?;
        let cheaper = self.catalogue.market_prices_of(gpu).filter(|row| row.typical() < lowest.typical());
        let passed_over: BTreeSet<&str> = cheaper.map(|row| row.network.as_str()).collect();
        self.choices.push(format!(
            "The price is the typical one at {}, the lowest among the markets of the catalogue{}.",
            lowest.network,
            if passed_over.is_empty() { "" } else { " whose fee is known" }
        ));
        self.choices.extend(passed_over.into_iter().map(|network| {
            format!("{network} is cheaper; it is passed over, because its fee is not known.")
        }));
        Ok(lowest)
    }

    /// What the hardware is sold for in the end.
    fn residual(&mut self, hardware_usd: Decimal) -> Result<Decimal, QuestionError> {
        if let Some(Usd(residual)) = self.question.residual_usd {
            quantity("the residual value", " $", Decimal::ZERO, hardware_usd).check(residual)?;
            self.figures.given("residual value", format!("{residual} $"));
            return Ok(residual);
        }
        if hardware_usd.is_zero() {
            return Ok(Decimal::ZERO);
        }
        let life_years = self.catalogue.assumption("hardware_life", &mut self.figures)?;
        let life_months = question::LIFE_YEARS.check(life_years)? * dec!(12);
        let share_left = Decimal::ONE - Decimal::from(self.question.months) / life_months;
        Ok(hardware_usd * share_left.max(Decimal::ZERO))
    }

    fn utilization(&mut self) -> Result<Decimal, QuestionError> {
        if let Some(mean) = question::given(MEAN, self.question.utilization, &mut self.figures)? {
            return Ok(mean);
        }
        let low = self.catalogue.assumption("marketplace_utilization_low", &mut self.figures)?;
        let high = self.catalogue.assumption("marketplace_utilization_high", &mut self.figures)?;
        MEAN.check((MEAN.check(low)? + MEAN.check(high)?) / Decimal::TWO)
    }
}

fn checked_halving(halving: Halving) -> Result<model::Halving, QuestionError> {
    MONTHS.check_in(halving.month.into(), "the month of the halving")?;
    let probability = question::FRACTION.check_in(halving.probability, "the probability of the halving")?;
    Ok(model::Halving { month: halving.month, probability: float(probability) })
}

fn checked_payout(payout: Payout) -> Result<model::Payout, QuestionError> {
    Ok(match payout {
        Payout::Dollars => model::Payout::Dollars,
        Payout::Token { drift, volatility, conversion } => model::Payout::Token {
            drift_per_year: float(DRIFT.check_in(drift, "the drift of the token")?),
            volatility_per_year: float(VOLATILITY.check_in(volatility, "the volatility of the token")?),
            conversion,
        },
    })
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
        let percent = self.outcome.loss_probability * 100.0;
        format!("{} over {} months: a loss on {percent:.1} % of the paths", self.machine, self.model.months)
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
            "{} paths from seed {}. The same question with the same seed has the same answer, on every machine.",
            self.outcome.paths, self.seed
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
        if let model::Payout::Token { drift_per_year, volatility_per_year, conversion } = model.payout {
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
