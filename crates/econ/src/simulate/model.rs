//! The model: what happens to a provider's money month by month, on paths drawn at random.
//!
//! A month has 30 days and 720 hours, a year 12 months. With `t` in years from the start:
//!
//! - price of an hour, held for a month: `P(t) = P₀ · (1 + drift)^t · exp(σ·√t·Z − σ²·t/2)`, a geometric Brownian motion
//!   (Samuelson, 1965) whose expectation is `P₀ · (1 + drift)^t`; halved for good from a given month on;
//! - share of the hours that earn, drawn anew each month: `Beta(mean·κ, (1 − mean)·κ)`, variance `mean·(1 − mean)/(κ + 1)`;
//! - failures: Poisson with a yearly rate; each costs its repair and takes the machine off for some days;
//! - earnings: `hours up · share · P · (1 − fee)`. A network that pays in its token fixes the number of tokens at the
//!   token's price of the first day; the token's price is a geometric Brownian motion of its own, by days when the tokens
//!   are sold each day, by months when they are held and valued at the month's end;
//! - power: `kWh · tariff`, at full draw in hours that earn and at idle draw in the other hours that it is up;
//! - hardware: loses value along a straight line from its price to what it is sold for after the last month.
//!
//! Months are independent but for prices: a machine that is unpopular for good is modelled by a lower mean.

use super::{
    draws::Draws,
    outcome::{Breakdown, Collector, Outcome},
};
use serde::Serialize;

/// Hours of a month.
const HOURS: f64 = 720.0;
/// Days of a month.
const DAYS: u32 = 30;
/// Months of a year.
const MONTHS_PER_YEAR: f64 = 12.0;

/// What is known about a provider; plain numbers within the ranges that [`super::ask`] checks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// How many months to look ahead.
    pub months: u32,
    /// What renters pay for an hour.
    pub price_usd_per_hour: f64,
    /// By what fraction that price is expected to change in a year: `-0.3` for 30 % less.
    pub price_drift_per_year: f64,
    /// Standard deviation of the yearly change of its logarithm.
    pub price_volatility_per_year: f64,
    /// When pay is halved for good.
    pub halving: Option<Halving>,
    /// What the market keeps of what renters pay.
    pub fee_rate: f64,
    /// The mean share of the hours that earn.
    pub utilization_mean: f64,
    /// How closely months keep to that mean: 20 gives a standard deviation of 0.11 around 0.45.
    pub utilization_concentration: f64,
    /// Draw while it earns.
    pub watts: f64,
    /// Draw while it waits.
    pub idle_watts: f64,
    /// What power costs at first.
    pub tariff_usd_per_kwh: f64,
    /// By what fraction the tariff grows in a year.
    pub tariff_drift_per_year: f64,
    /// What is paid each month come what may: room, line, insurance.
    pub fixed_usd_per_month: f64,
    /// How often it breaks in a year.
    pub failures_per_year: f64,
    /// What a repair costs.
    pub repair_usd: f64,
    /// How long a repair takes.
    pub downtime_days: f64,
    /// What the hardware costs; 0 when it is there already.
    pub hardware_usd: f64,
    /// What it is sold for after the last month.
    pub residual_usd: f64,
    /// What the provider is paid in.
    pub payout: Payout,
}

/// A cut of pay by half, for good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Halving {
    /// The first month that pays half, counted from 1.
    pub month: u32,
    /// How likely it comes at all.
    pub probability: f64,
}

/// What the provider is paid in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payout {
    /// Dollars, or something that keeps its value in dollars.
    Dollars,
    /// A network's token.
    Token {
        /// By what fraction its price is expected to change in a year.
        drift_per_year: f64,
        /// Standard deviation of the yearly change of the logarithm of its price.
        volatility_per_year: f64,
        /// What the provider does with it.
        conversion: Conversion,
    },
}

/// What a provider does with tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversion {
    /// Sells each day what the day brought.
    Daily,
    /// Keeps all until the end.
    Held,
}

/// A price on its way: a geometric Brownian motion, of which one step is `exp(step_mean + step_deviation · Z)`.
struct Walk {
    step_mean: f64,
    step_deviation: f64,
}

impl Walk {
    fn new(drift_per_year: f64, volatility_per_year: f64, years_per_step: f64) -> Walk {
        let variance = volatility_per_year * volatility_per_year;
        Walk {
            step_mean: (libm::log1p(drift_per_year) - variance / 2.0) * years_per_step,
            step_deviation: volatility_per_year * years_per_step.sqrt(),
        }
    }

    /// The logarithm of the factor of one step. A price that does not vary takes no draw.
    fn step(&self, draws: &mut Draws) -> f64 {
        if self.step_deviation == 0.0 {
            return self.step_mean;
        }
        self.step_mean + self.step_deviation * draws.normal()
    }
}

/// What all paths have in common, computed once.
struct Prepared<'m> {
    model: &'m Model,
    price: Walk,
    token: Token,
    alpha: f64,
    beta: f64,
    no_failure: f64,
    tariff_growth: f64,
}

enum Token {
    None,
    Daily(Walk),
    Held(Walk),
}

/// Where a path stands.
struct Position {
    sums: Breakdown,
    log_price: f64,
    log_token: f64,
    /// Earnings that are held, in dollars of the first day.
    held: f64,
    down_hours: f64,
}

impl Model {
    /// Draws that many paths. The result depends on the model, the seed and the number of paths alone.
    pub fn run(&self, paths: u32, seed: u64) -> Outcome {
        let prepared = self.prepare();
        let mut collector = Collector::new(self.months, paths);
        for path in 0..paths {
            let mut draws = Draws::new(seed, u64::from(path));
            let halves = self.halving.filter(|halving| draws.uniform() < halving.probability);
            let mut at = Position {
                sums: Breakdown::default(),
                log_price: 0.0,
                log_token: 0.0,
                held: 0.0,
                down_hours: 0.0,
            };
            for month in 1..=self.months {
                let is_halved = halves.is_some_and(|halving| month >= halving.month);
                prepared.month(&mut at, month, is_halved, &mut draws);
                collector.end_month(month, &at.sums, self.hardware_usd);
            }
            collector.end_path(at.sums);
        }
        collector.finish(paths)
    }

    fn prepare(&self) -> Prepared<'_> {
        let month = 1.0 / MONTHS_PER_YEAR;
        let token = match self.payout {
            Payout::Dollars => Token::None,
            Payout::Token { drift_per_year, volatility_per_year, conversion } => match conversion {
                Conversion::Daily => {
                    Token::Daily(Walk::new(drift_per_year, volatility_per_year, month / f64::from(DAYS)))
                }
                Conversion::Held => Token::Held(Walk::new(drift_per_year, volatility_per_year, month)),
            },
        };
        Prepared {
            model: self,
            price: Walk::new(self.price_drift_per_year, self.price_volatility_per_year, month),
            token,
            alpha: self.utilization_mean * self.utilization_concentration,
            beta: (1.0 - self.utilization_mean) * self.utilization_concentration,
            no_failure: libm::exp(-self.failures_per_year / MONTHS_PER_YEAR),
            tariff_growth: libm::log1p(self.tariff_drift_per_year) / MONTHS_PER_YEAR,
        }
    }
}

impl Prepared<'_> {
    /// Lives through a month: adds to the sums what it brought and cost.
    fn month(&self, at: &mut Position, month: u32, is_halved: bool, draws: &mut Draws) {
        let model = self.model;
        if month > 1 {
            at.log_price += self.price.step(draws);
        }
        let price = model.price_usd_per_hour * libm::exp(at.log_price) * if is_halved { 0.5 } else { 1.0 };

        let failures = f64::from(draws.poisson(self.no_failure));
        at.down_hours += failures * model.downtime_days * 24.0;
        let down = at.down_hours.min(HOURS);
        at.down_hours -= down;
        let earning_hours = (HOURS - down) * draws.beta(self.alpha, self.beta);
        let idle_hours = HOURS - down - earning_hours;

        let paid = earning_hours * price;
        match &self.token {
            Token::None => at.sums.gross += paid,
            Token::Daily(walk) => at.sums.gross += paid * self.mean_of_days(walk, at, draws),
            Token::Held(walk) => {
                at.log_token += walk.step(draws);
                at.held += paid;
                at.sums.gross = at.held * libm::exp(at.log_token);
            }
        }
        at.sums.fee = at.sums.gross * model.fee_rate;
        let tariff = model.tariff_usd_per_kwh * libm::exp(self.tariff_growth * f64::from(month - 1));
        at.sums.power += (earning_hours * model.watts + idle_hours * model.idle_watts) / 1000.0 * tariff;
        at.sums.fixed += model.fixed_usd_per_month;
        at.sums.repairs += failures * model.repair_usd;
        let share = f64::from(month) / f64::from(model.months);
        at.sums.depreciation = (model.hardware_usd - model.residual_usd) * share;
    }

    /// The token's price over the days of a month, as a multiple of that of the first day.
    fn mean_of_days(&self, walk: &Walk, at: &mut Position, draws: &mut Draws) -> f64 {
        let mut sum = 0.0;
        for _ in 0..DAYS {
            at.log_token += walk.step(draws);
            sum += libm::exp(at.log_token);
        }
        sum / f64::from(DAYS)
    }
}
