//! What a scenario came to: months, summaries, series for charts, and tables.

use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde::Serialize;

use super::Stress;
use super::run::Tally;
use crate::answer::{Answer, Cell, Figures, Table};
use crate::mechanism::{EpochOutcome, Tokens};

/// Every mechanism's run, side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The falls that were measured.
    pub stress: Stress,
    /// One run for each mechanism, in the order of the modules.
    pub mechanisms: Vec<MechanismRun>,
    /// What is left out, a sentence each.
    pub omissions: Vec<&'static str>,
    /// The figures that the comparison stands on.
    pub figures: Figures,
}

/// One mechanism's run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MechanismRun {
    /// Its short name.
    pub name: &'static str,
    /// Its rule in one sentence.
    pub rule: &'static str,
    /// The whole run in a few numbers.
    pub summary: Summary,
    /// As the scenario stands.
    pub months: Vec<MonthRow>,
    /// With the fall of token prices.
    pub token_fall: Vec<MonthRow>,
    /// With the fall of demand.
    pub demand_fall: Vec<MonthRow>,
}

/// One month of one mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MonthRow {
    /// Which; the first is 1.
    pub month: u32,
    /// GPUs that work, at the end of the month.
    pub active_gpus: f64,
    /// GPUs that only pretend, at the end of the month.
    pub pretending_gpus: f64,
    /// What honest providers got, in USD.
    pub income_usd: f64,
    /// The same for each hour online.
    pub income_usd_per_gpu_hour: f64,
    /// The part of honest hours that served demand.
    pub utilization: f64,
    /// What buyers wanted to spend, in USD.
    pub demand_usd: f64,
    /// What they paid, in USD.
    pub revenue_usd: f64,
    /// Newly minted tokens.
    pub minted: Tokens,
    /// Tokens issued again that were burned before.
    pub reissued: Tokens,
    /// Burned tokens.
    pub burned: Tokens,
    /// What buyers paid for each dollar of newly minted tokens; none when nothing was minted.
    pub revenue_per_emitted_usd: Option<f64>,
    /// The growth of the supply in this month, for a year; none without a token.
    pub inflation_per_year: Option<f64>,
    /// All payouts to those who provide or pretend to, in USD.
    pub payouts_usd: f64,
    /// Of them, what went to honest capacity that was idle, in USD.
    pub for_idling_usd: f64,
    /// Of them, what went to those who only pretend, in USD.
    pub for_pretending_usd: f64,
}

impl MonthRow {
    pub(super) fn new(
        month: u32,
        total: &EpochOutcome,
        tally: Tally,
        (active_gpus, pretending_gpus): (f64, f64),
        supply_before: Option<f64>,
    ) -> Self {
        let change = total.minted.tokens + total.reissued.tokens - total.burned.tokens;
        Self {
            month,
            active_gpus,
            pretending_gpus,
            income_usd: total.honest_usd(),
            income_usd_per_gpu_hour: ratio(total.honest_usd(), tally.honest_hours).unwrap_or(0.0),
            utilization: ratio(total.served_hours, tally.honest_hours).unwrap_or(0.0),
            demand_usd: tally.demand_usd,
            revenue_usd: total.revenue_usd,
            minted: total.minted,
            reissued: total.reissued,
            burned: total.burned,
            revenue_per_emitted_usd: ratio(total.revenue_usd, total.minted.usd),
            inflation_per_year: supply_before.and_then(|supply| ratio(12.0 * change, supply)),
            payouts_usd: total.payouts_usd(),
            for_idling_usd: total.paid_idle_usd,
            for_pretending_usd: total.paid_pretending_usd,
        }
    }

    /// One number of the month; none where there is none.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::ActiveGpus => Some(self.active_gpus),
            Metric::PretendingGpus => Some(self.pretending_gpus),
            Metric::IncomePerGpuHour => Some(self.income_usd_per_gpu_hour),
            Metric::Income => Some(self.income_usd),
            Metric::Revenue => Some(self.revenue_usd),
            Metric::RevenuePerEmitted => self.revenue_per_emitted_usd,
            Metric::Inflation => self.inflation_per_year,
            Metric::Burned => Some(self.burned.usd),
            Metric::PaidForNothing => ratio(self.for_idling_usd + self.for_pretending_usd, self.payouts_usd),
        }
    }
}

/// What a chart can show over the months.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// GPUs that work.
    ActiveGpus,
    /// GPUs that only pretend.
    PretendingGpus,
    /// What an hour online earned.
    IncomePerGpuHour,
    /// What honest providers got in the month.
    Income,
    /// What buyers paid in the month.
    Revenue,
    /// What buyers paid for each emitted dollar.
    RevenuePerEmitted,
    /// Growth of the token's supply.
    Inflation,
    /// What burned tokens were worth.
    Burned,
    /// The part of payouts that served no demand.
    PaidForNothing,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ActiveGpus,
        Self::PretendingGpus,
        Self::IncomePerGpuHour,
        Self::Income,
        Self::Revenue,
        Self::RevenuePerEmitted,
        Self::Inflation,
        Self::Burned,
        Self::PaidForNothing,
    ];

    /// A heading, with the unit.
    pub fn heading(self) -> &'static str {
        match self {
            Self::ActiveGpus => "GPUs that work",
            Self::PretendingGpus => "GPUs that only pretend",
            Self::IncomePerGpuHour => "provider income, $ per GPU hour online",
            Self::Income => "provider income, $ a month",
            Self::Revenue => "buyers' spending, $ a month",
            Self::RevenuePerEmitted => "buyers' spending per emitted dollar",
            Self::Inflation => "inflation, part a year",
            Self::Burned => "burned, $ a month",
            Self::PaidForNothing => "part of payouts that served no demand",
        }
    }
}

/// A line of a chart: a value for each month, without those that have none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// The mechanism.
    pub name: &'static str,
    /// (month, value).
    pub points: Vec<(u32, f64)>,
}

/// A whole run in a few numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What honest providers got in all, in USD.
    pub income_usd: f64,
    /// The same for each hour online, on the average of the months.
    pub income_usd_per_gpu_hour: f64,
    /// GPUs that work, at the end.
    pub active_gpus: f64,
    /// GPUs that only pretend, at the end.
    pub pretending_gpus: f64,
    /// What buyers paid in all, in USD.
    pub revenue_usd: f64,
    /// The part of demand that found capacity.
    pub demand_met: f64,
    /// What buyers paid for each emitted dollar; none when nothing was emitted.
    pub revenue_per_emitted_usd: Option<f64>,
    /// Growth of the supply in a year, on the average of the months; none without a token.
    pub inflation_per_year: Option<f64>,
    /// What burned tokens were worth in all, in USD.
    pub burned_usd: f64,
    /// The part of all payouts that went to capacity which served no demand.
    pub paid_for_nothing: Option<f64>,
    /// The part of all payouts that went to those who only pretend.
    pub paid_for_pretending: Option<f64>,
    /// By which part working supply differs after token prices fell, from what it would have been.
    pub supply_after_token_fall: Option<f64>,
    /// The same after demand fell.
    pub supply_after_demand_fall: Option<f64>,
}

impl Summary {
    /// Sums up months; the effects of falls are for the caller to add.
    pub(super) fn of(months: &[MonthRow]) -> Self {
        let sum = |of: fn(&MonthRow) -> f64| months.iter().map(of).sum::<f64>();
        let mean = |of: fn(&MonthRow) -> Option<f64>| {
            let values: Vec<f64> = months.iter().filter_map(of).collect();
            ratio(values.iter().sum(), values.len() as f64)
        };
        let last = months.last();
        Self {
            income_usd: sum(|m| m.income_usd),
            income_usd_per_gpu_hour: mean(|m| Some(m.income_usd_per_gpu_hour)).unwrap_or(0.0),
            active_gpus: last.map_or(0.0, |m| m.active_gpus),
            pretending_gpus: last.map_or(0.0, |m| m.pretending_gpus),
            revenue_usd: sum(|m| m.revenue_usd),
            demand_met: ratio(sum(|m| m.revenue_usd), sum(|m| m.demand_usd)).unwrap_or(1.0).min(1.0),
            revenue_per_emitted_usd: ratio(sum(|m| m.revenue_usd), sum(|m| m.minted.usd)),
            inflation_per_year: mean(|m| m.inflation_per_year),
            burned_usd: sum(|m| m.burned.usd),
            paid_for_nothing: ratio(sum(|m| m.for_idling_usd + m.for_pretending_usd), sum(|m| m.payouts_usd)),
            paid_for_pretending: ratio(sum(|m| m.for_pretending_usd), sum(|m| m.payouts_usd)),
            supply_after_token_fall: None,
            supply_after_demand_fall: None,
        }
    }
}

/// `part / whole`; none when the whole is not positive.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

impl Comparison {
    /// A line for each mechanism, of the run as the scenario stands.
    pub fn series(&self, metric: Metric) -> Vec<Series> {
        let points =
            |months: &[MonthRow]| months.iter().filter_map(|m| Some((m.month, m.value(metric)?))).collect();
        self.mechanisms.iter().map(|run| Series { name: run.name, points: points(&run.months) }).collect()
    }

    fn summary_table(&self) -> Table {
        let mut table = Table::new(
            "mechanisms",
            "The same demand, supply and prices through each mechanism",
            &[
                ("mechanism", "mechanism"),
                ("income_usd_per_gpu_hour", "income $/GPU h"),
                ("active_gpus", "GPUs at the end"),
                ("pretending_gpus", "pretending"),
                ("demand_met", "demand met"),
                ("revenue_per_emitted_usd", "revenue per emitted $"),
                ("inflation_per_year", "inflation a year"),
                ("burned_usd", "burned $"),
                ("paid_for_nothing", "paid for nothing"),
                ("paid_for_pretending", "to pretenders"),
                ("supply_after_token_fall", "supply after token fall"),
                ("supply_after_demand_fall", "supply after demand fall"),
            ],
        );
        for run in &self.mechanisms {
            let s = &run.summary;
            table.row([
                Cell::text(run.name),
                number(Some(s.income_usd_per_gpu_hour), 3),
                number(Some(s.active_gpus), 0),
                number(Some(s.pretending_gpus), 0),
                percent(Some(s.demand_met)),
                number(s.revenue_per_emitted_usd, 2),
                percent(s.inflation_per_year),
                number(Some(s.burned_usd), 0),
                percent(s.paid_for_nothing),
                percent(s.paid_for_pretending),
                percent(s.supply_after_token_fall),
                percent(s.supply_after_demand_fall),
            ]);
        }
        table
    }

    fn months_table(&self) -> Table {
        let mut table = Table::new(
            "months",
            "Month by month",
            &[
                ("mechanism", "mechanism"),
                ("month", "month"),
                ("active_gpus", "GPUs"),
                ("pretending_gpus", "pretending"),
                ("income_usd", "income $"),
                ("income_usd_per_gpu_hour", "income $/GPU h"),
                ("revenue_usd", "revenue $"),
                ("revenue_per_emitted_usd", "per emitted $"),
                ("inflation_per_year", "inflation a year"),
                ("burned_usd", "burned $"),
                ("paid_for_nothing", "paid for nothing"),
            ],
        );
        for (run, m) in self.mechanisms.iter().flat_map(|run| run.months.iter().map(move |m| (run, m))) {
            table.row([
                Cell::text(run.name),
                number(Some(f64::from(m.month)), 0),
                number(Some(m.active_gpus), 0),
                number(Some(m.pretending_gpus), 0),
                number(Some(m.income_usd), 0),
                number(Some(m.income_usd_per_gpu_hour), 3),
                number(Some(m.revenue_usd), 0),
                number(m.revenue_per_emitted_usd, 2),
                percent(m.inflation_per_year),
                number(Some(m.burned.usd), 0),
                percent(m.value(Metric::PaidForNothing)),
            ]);
        }
        table
    }
}

impl Answer for Comparison {
    fn title(&self) -> String {
        "What each mechanism makes of the same demand and supply".to_owned()
    }

    fn tables(&self) -> Vec<Table> {
        vec![self.summary_table(), self.months_table()]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let Stress { at_month, factor, measured_after_months } = self.stress;
        let fall = format!(
            "A fall is to {factor} of the price of every token, or of demand, after month {at_month}; supply is compared \
             {measured_after_months} months later with the same month without the fall."
        );
        let rules = self.mechanisms.iter().map(|run| format!("{}: {}.", run.name, run.rule));
        let left_out = self.omissions.iter().map(|sentence| (*sentence).to_owned());
        std::iter::once(fall).chain(rules).chain(left_out).collect()
    }
}

fn number(value: Option<f64>, digits: u32) -> Cell {
    value.and_then(Decimal::from_f64).map_or(Cell::Missing, |number| Cell::Number(number, digits))
}

fn percent(value: Option<f64>) -> Cell {
    value.and_then(Decimal::from_f64).map_or(Cell::Missing, |number| Cell::Percent(number, 1))
}
