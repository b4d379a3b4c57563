//! Runs a scenario: epoch by epoch, month by month, three times over.

use super::comparison::{Comparison, MechanismRun, MonthRow, Summary};
use super::supply::{Cohorts, Income};
use super::{MONTH_DAYS, Mechanisms, Scenario, Shock};
use crate::answer::Figures;
use crate::mechanism::bittensor::BittensorSubnet;
use crate::mechanism::burn_mint::akash_network::AkashNetwork;
use crate::mechanism::burn_mint::render_network::RenderNetwork;
use crate::mechanism::staked_fees::IoNet;
use crate::mechanism::verified_work::Gristmill;
use crate::mechanism::{EpochInputs, EpochOutcome, Mechanism};

/// Runs every mechanism as the scenario stands, with a fall of token prices, and with a fall of demand.
pub(super) fn compare(scenario: &Scenario) -> Comparison {
    let stress = scenario.stress;
    let fall = Shock { at_month: f64::from(stress.at_month), factor: stress.factor };
    let mut poorer = scenario.clone();
    poorer.token = scenario.token.with(fall);
    let mut slacker = scenario.clone();
    slacker.market.demand = scenario.market.demand.with(fall);

    let runs = mechanisms(&scenario.mechanisms).into_iter();
    let with_poorer = mechanisms(&scenario.mechanisms).into_iter();
    let with_slacker = mechanisms(&scenario.mechanisms).into_iter();
    let mechanisms = runs
        .zip(with_poorer.zip(with_slacker))
        .map(|(mut mechanism, (mut in_poorer, mut in_slacker))| {
            let months = run(scenario, mechanism.as_mut());
            let token_fall = run(&poorer, in_poorer.as_mut());
            let demand_fall = run(&slacker, in_slacker.as_mut());
            let measured = (stress.at_month + stress.measured_after_months) as usize - 1;
            let change = |other: &[MonthRow]| change(&months[measured], &other[measured]);
            let summary = Summary {
                supply_after_token_fall: change(&token_fall),
                supply_after_demand_fall: change(&demand_fall),
                ..Summary::of(&months)
            };
            let (name, rule) = (mechanism.name(), mechanism.rule());
            MechanismRun { name, rule, summary, months, token_fall, demand_fall }
        })
        .collect();
    Comparison { stress, mechanisms, omissions: super::omissions(), figures: figures(scenario) }
}

/// The part by which working supply differs; none when there was none.
fn change(base: &MonthRow, other: &MonthRow) -> Option<f64> {
    (base.active_gpus > 0.0).then(|| other.active_gpus / base.active_gpus - 1.0)
}

fn mechanisms(named: &Mechanisms) -> Vec<Box<dyn Mechanism>> {
    let Mechanisms { bittensor, render, akash, io_net, gristmill } = named;
    let mut all: Vec<Box<dyn Mechanism>> = Vec::new();
    bittensor.iter().for_each(|c| all.push(Box::new(BittensorSubnet::new(c))));
    render.iter().for_each(|c| all.push(Box::new(RenderNetwork::new(c))));
    akash.iter().for_each(|c| all.push(Box::new(AkashNetwork::new(c))));
    io_net.iter().for_each(|c| all.push(Box::new(IoNet::new(c))));
    gristmill.iter().for_each(|c| all.push(Box::new(Gristmill::new(c))));
    all
}

fn figures(scenario: &Scenario) -> Figures {
    let mut figures = Figures::default();
    figures.given("demand at the beginning", format!("{} $/day", scenario.market.demand_usd_per_day));
    figures.given("price of a GPU hour", format!("{} $", scenario.market.price_usd_per_gpu_hour));
    let Mechanisms { bittensor, render, akash, io_net, gristmill: _ } = &scenario.mechanisms;
    let mut price = |token: &str, usd: Option<f64>| {
        usd.iter()
            .for_each(|usd| figures.given(format!("price of {token} at the beginning"), format!("{usd} $")));
    };
    price("TAO", bittensor.as_ref().map(|c| c.token_usd));
    price("RENDER", render.as_ref().map(|c| c.token_usd));
    price("AKT", akash.as_ref().map(|c| c.token_usd));
    price("IO", io_net.as_ref().map(|c| c.token_usd));
    figures
}

/// Runs one mechanism through a scenario and gives its months.
fn run(scenario: &Scenario, mechanism: &mut dyn Mechanism) -> Vec<MonthRow> {
    let mut cohorts = Cohorts::new(&scenario.supply);
    let months = scenario.years * 12;
    (0..months).map(|month| run_month(scenario, mechanism, &mut cohorts, month)).collect()
}

/// A month is cut into epochs of the scenario's length, the last one shorter.
fn run_month(
    scenario: &Scenario,
    mechanism: &mut dyn Mechanism,
    cohorts: &mut Cohorts,
    month: u32,
) -> MonthRow {
    let begins = f64::from(month) * MONTH_DAYS;
    let mut total = EpochOutcome::default();
    let mut tally = Tally::default();
    let supply_before = mechanism.supply_tokens();
    let mut done = 0.0;
    while MONTH_DAYS - done > 1e-9 {
        let days = f64::from(scenario.epoch_days).min(MONTH_DAYS - done);
        let inputs = inputs(scenario, cohorts, begins + done, days);
        let outcome = mechanism.epoch(&inputs);
        cohorts.answer(income(&inputs, &outcome), days);
        total.add(&outcome);
        tally.add(&inputs);
        done += days;
    }
    let (active_gpus, pretending_gpus) = cohorts.gpus();
    MonthRow::new(month + 1, &total, tally, (active_gpus, pretending_gpus), supply_before)
}

/// What a month's epochs offered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub demand_usd: f64,
    pub honest_hours: f64,
}

impl Tally {
    fn add(&mut self, inputs: &EpochInputs) {
        self.demand_usd += inputs.demand_usd;
        self.honest_hours += inputs.honest_hours();
    }
}

fn inputs(scenario: &Scenario, cohorts: &Cohorts, day: f64, days: f64) -> EpochInputs {
    let (honest_gpus, pretending_gpus) = cohorts.gpus();
    EpochInputs {
        day,
        days,
        token_index: scenario.token.at(day),
        demand_usd: scenario.market.demand_usd_per_day * scenario.market.demand.at(day) * days,
        price_usd_per_gpu_hour: scenario.market.price_usd_per_gpu_hour,
        honest_gpus,
        pretending_gpus,
    }
}

/// What an hour online came to; nothing where a scenario has no such cohort.
fn income(inputs: &EpochInputs, outcome: &EpochOutcome) -> Income {
    let per = |usd: f64, hours: f64| if hours > 0.0 { usd / hours } else { 0.0 };
    Income {
        honest_usd_per_hour: per(outcome.honest_usd(), inputs.honest_hours()),
        pretending_usd_per_hour: per(
            outcome.paid_pretending_usd - outcome.slashed_usd,
            inputs.pretending_hours(),
        ),
        utilization: per(outcome.served_hours, inputs.honest_hours()).min(1.0),
    }
}
