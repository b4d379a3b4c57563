//! Many seeds, added up.

use crate::{
    cheat::Cheat,
    checker::WrongResults,
    hold_watch::HoldTally,
    operator::OperatorCheats,
    plan::{Plan, Size},
    world::{Outcome, run},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, panic};

/// How many violations are printed; all of them are in the JSON.
const VIOLATIONS_SHOWN: usize = 50;

/// What one seed gave: with the cheat, and with the same actor honest.
#[derive(Debug, Clone)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// The cheat that was measured.
    pub cheat: Cheat,
    /// With the cheat.
    pub cheating: Outcome,
    /// Without it.
    pub honest: Outcome,
}

/// The cheat that a seed measures: all of them in turn.
pub fn cheat_of(seed: u64) -> Cheat {
    let index = seed % Cheat::ALL.len() as u64;
    Cheat::ALL.get(index as usize).copied().unwrap_or(Cheat::AlwaysWrong)
}

/// Runs one seed, with the cheat and without. A panic is a violation like any other: the other seeds go on.
pub fn run_seed(seed: u64, size: &Size) -> SeedResult {
    let cheat = cheat_of(seed);
    let plan = Plan::draw(seed, size, cheat);
    SeedResult { seed, cheat, cheating: run_caught(&plan), honest: run_caught(&plan.honest()) }
}

fn run_caught(plan: &Plan) -> Outcome {
    panic::catch_unwind(|| run(plan, None, false)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text");
        Outcome { violations: vec![format!("a panic: {text}")], ..Outcome::default() }
    })
}

/// The mean of some measurements with its 95 % confidence interval (Student's t).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// How many measurements.
    pub count: usize,
    /// Their mean, in msat.
    pub mean_msat: f64,
    /// Half the width of the interval, in msat.
    pub half_width_msat: f64,
    /// Whether each measurement is zero.
    pub is_always_zero: bool,
}

impl Mean {
    /// Of these measurements.
    pub fn of(values: &[i64]) -> Mean {
        let count = values.len();
        let n = count.max(1) as f64;
        let mean_msat = values.iter().map(|value| *value as f64).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (*value as f64 - mean_msat).powi(2)).sum();
        let is_always_zero = values.iter().all(|value| *value == 0);
        let error_msat = (squares / (n - 1.0).max(1.0) / n).sqrt();
        let quantile = t_95(count);
        let half_width_msat = match quantile.is_finite() {
            _ if is_always_zero => 0.0,
            true => quantile * error_msat,
            false => f64::INFINITY,
        };
        Mean { count, mean_msat, half_width_msat, is_always_zero }
    }

    /// What the interval says.
    pub fn finding(&self) -> Finding {
        if self.is_always_zero {
            Finding::Nothing
        } else if self.mean_msat + self.half_width_msat < 0.0 {
            Finding::Loses
        } else if self.mean_msat - self.half_width_msat > 0.0 {
            Finding::Profits
        } else {
            Finding::Undecided
        }
    }
}

/// The 97.5 % quantile of Student's t for so many measurements, by the expansion of Cornish and Fisher around the normal
/// quantile (Abramowitz and Stegun, 26.7.5). It is off by less than 2 % from five measurements on; for fewer nothing is claimed.
fn t_95(count: usize) -> f64 {
    if count < 5 {
        return f64::INFINITY;
    }
    let (z, v) = (1.959_964_f64, (count - 1) as f64);
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / v + second / v.powi(2) + third / v.powi(3)
}

/// Whether a cheat pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The whole interval is below zero.
    Loses,
    /// It changed nothing in any world: it gains nothing, and costs nothing but the traffic.
    Nothing,
    /// Zero is within the interval: no gain that these seeds can show.
    Undecided,
    /// The whole interval is above zero.
    Profits,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finding::Loses => "loses",
            Finding::Nothing => "has no effect",
            Finding::Undecided => "no gain shown",
            Finding::Profits => "PROFITS",
        })
    }
}

/// The profit of one cheat.
#[derive(Debug, Clone, Serialize)]
pub struct Profit {
    /// Its name.
    pub cheat: &'static str,
    /// What it gained more than honesty.
    #[serde(flatten)]
    pub mean: Mean,
    /// What that means.
    pub finding: Finding,
}

/// Everything added up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// How many seeds.
    pub seeds: u64,
    /// How many worlds: two for each seed.
    pub worlds: u64,
    /// Simulated hours.
    pub simulated_hours: f64,
    /// Statements that markets accepted.
    pub commands: u64,
    /// Jobs placed.
    pub jobs: u64,
    /// Tasks with a result.
    pub tasks: u64,
    /// What broke, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// What was done that is no fault, by name: what the worlds went through.
    pub deeds: BTreeMap<&'static str, u64>,
    /// Cheats and what they gained.
    pub profits: Vec<Profit>,
    /// What the operator tried.
    pub operator: OperatorCheats,
    /// Holds and sessions.
    pub holds: HoldTally,
    /// Wrong results that stand.
    pub wrong: WrongResults,
    /// Seeds with what did not hold in them.
    pub violations: Vec<(u64, String)>,
    #[serde(skip)]
    gains: BTreeMap<Cheat, Vec<i64>>,
}

impl Report {
    /// Adds a seed.
    pub fn add(&mut self, result: &SeedResult) {
        self.seeds += 1;
        for (name, outcome) in [("with the cheat", &result.cheating), ("without", &result.honest)] {
            self.worlds += 1;
            self.simulated_hours += outcome.simulated_ms as f64 / 3_600_000.0;
            self.commands += outcome.commands;
            self.jobs += outcome.jobs;
            self.tasks += outcome.tasks;
            for (fault, count) in &outcome.faults {
                *self.faults.entry(fault).or_default() += count;
            }
            for (deed, count) in &outcome.deeds {
                *self.deeds.entry(deed).or_default() += count;
            }
            self.holds.add(&outcome.holds);
            self.operator.tried += outcome.operator.tried;
            self.operator.proven += outcome.operator.proven;
            self.wrong.by_collusion += outcome.wrong.by_collusion;
            self.wrong.unaudited += outcome.wrong.unaudited;
            self.wrong.unchecked += outcome.wrong.unchecked;
            self.wrong.cancelled += outcome.wrong.cancelled;
            let violations = outcome.violations.iter().map(|what| (result.seed, format!("{name}: {what}")));
            self.violations.extend(violations);
        }
        let gain = result.cheating.focus_gain_msat - result.honest.focus_gain_msat;
        self.gains.entry(result.cheat).or_default().push(gain);
        let profit = |(cheat, gains): (&Cheat, &Vec<i64>)| {
            let mean = Mean::of(gains);
            Profit { cheat: cheat.name(), mean, finding: mean.finding() }
        };
        self.profits = self.gains.iter().map(profit).collect();
    }

    /// Whether everything held and no cheat pays.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.profits.iter().all(|profit| profit.finding != Finding::Profits)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} worlds, {:.1} simulated hours",
            self.seeds, self.worlds, self.simulated_hours
        )?;
        writeln!(f, "{} statements, {} jobs, {} tasks with a result", self.commands, self.jobs, self.tasks)?;
        writeln!(f, "\nfaults")?;
        for (fault, count) in &self.faults {
            writeln!(f, "  {fault:<28} {count:>10}")?;
        }
        writeln!(f, "\nand besides")?;
        for (deed, count) in &self.deeds {
            writeln!(f, "  {deed:<28} {count:>10}")?;
        }
        writeln!(f, "\ncheat, and what it gains over honesty in a world (sat, mean ± 95 % confidence)")?;
        for Profit { cheat, mean, finding } in &self.profits {
            let (gain, width) = (mean.mean_msat / 1_000.0, mean.half_width_msat / 1_000.0);
            writeln!(f, "  {cheat:<22} {gain:>9.1} ± {width:<8.1} n={:<5} {finding}", mean.count)?;
        }
        let OperatorCheats { tried, proven } = self.operator;
        writeln!(f, "  operator forked or rewrote the log {tried} times, proven {proven} times")?;
        let HoldTally { leases, claimed, returned, forgone, slowest_ms, prepayments } = self.holds;
        writeln!(
            f,
            "\nholds; work before its funds, a slice paid twice or stuck for an hour is a violation"
        )?;
        writeln!(f, "  {leases:>8} leases funded by them, {prepayments} prepayments of sessions")?;
        writeln!(
            f,
            "  {claimed:>8} slices claimed, {returned} returned, {forgone} forgone by a provider that was away"
        )?;
        writeln!(
            f,
            "  {:>8.1} s from the slowest verdict to the end of its hold",
            slowest_ms as f64 / 1_000.0
        )?;
        let WrongResults { by_collusion, unaudited, unchecked, cancelled } = self.wrong;
        writeln!(f, "\nwrong results that stand; any other is a violation")?;
        writeln!(f, "  {by_collusion:>8} because enough parties colluded")?;
        writeln!(f, "  {unaudited:>8} in audited jobs, in tasks that no audit was drawn for")?;
        writeln!(f, "  {unchecked:>8} in jobs that their buyer did not want checked")?;
        writeln!(f, "  {cancelled:>8} in jobs that their buyer cancelled before replicas ran")?;
        writeln!(f, "\n{} violations", self.violations.len())?;
        for (seed, what) in self.violations.iter().take(VIOLATIONS_SHOWN) {
            writeln!(f, "  seed {seed}: {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_says_whether_a_cheat_pays() {
        assert_eq!(Mean::of(&[-10, -11, -9, -10, -10]).finding(), Finding::Loses);
        assert_eq!(Mean::of(&[10, 11, 9, 10, 10]).finding(), Finding::Profits);
        assert_eq!(Mean::of(&[-10, 10, -9, 11, 0]).finding(), Finding::Undecided);
        assert_eq!(Mean::of(&[0, 0, 0, 0, 0]).finding(), Finding::Nothing);
        assert_eq!(Mean::of(&[10, 11, 9, 10]).finding(), Finding::Undecided, "too few to claim anything");
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (count, quantile) in [(5, 2.776), (11, 2.228), (31, 2.042), (61, 2.000)] {
            assert!((t_95(count) / quantile - 1.0).abs() < 0.02, "{count}: {}", t_95(count));
        }
    }
}
