//! The scenario lab: what comes in goes out, bad files are refused with a reason, and the example stays what it was.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use econ::answer::Answer;
use econ::mechanism::bittensor::{self, BittensorSubnet};
use econ::mechanism::burn_mint::akash_network::{self, AkashNetwork};
use econ::mechanism::burn_mint::render_network::{self, RenderNetwork};
use econ::mechanism::scenario::{Comparison, Metric, Scenario, ScenarioError};
use econ::mechanism::staked_fees::{self, IoNet};
use econ::mechanism::verified_work::{self, Gristmill};
use econ::mechanism::{EpochInputs, Mechanism};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../examples/econ/scenario.toml");

fn example() -> Scenario {
    Scenario::parse(EXAMPLE).unwrap()
}

fn all_mechanisms() -> Vec<Box<dyn Mechanism>> {
    vec![
        Box::new(BittensorSubnet::new(&bittensor::Configuration { buyback: 0.5, ..Default::default() })),
        Box::new(RenderNetwork::new(&render_network::Configuration::default())),
        Box::new(AkashNetwork::new(&akash_network::Configuration::default())),
        Box::new(IoNet::new(&staked_fees::Configuration::default())),
        Box::new(Gristmill::new(&verified_work::Configuration::default())),
    ]
}

fn summary(comparison: &Comparison) -> String {
    let table = &comparison.tables()[0];
    let headings: Vec<&str> = table.columns.iter().map(|column| column.heading).collect();
    let row = |cells: &Vec<econ::answer::Cell>| {
        cells.iter().map(econ::answer::Cell::shown).collect::<Vec<_>>().join(" | ")
    };
    std::iter::once(headings.join(" | ")).chain(table.rows.iter().map(row)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_gives_what_it_gave() {
    insta::assert_snapshot!(summary(&example().run()), @r"
    mechanism | income $/GPU h | GPUs at the end | pretending | demand met | revenue per emitted $ | inflation a year | burned $ | paid for nothing | to pretenders | supply after token fall | supply after demand fall
    bittensor | 0.085 | 736 | 999 | 98.9 % | 0.99 | 9.8 % | 0 | 41.8 % | 16.6 % | -29.1 % | 7.6 %
    render | 0.091 | 978 | 1000 | 100.0 % | 0.40 | 0.6 % | 8153488 | 15.7 % | 11.4 % | -24.0 % | 6.9 %
    akash | 0.166 | 1650 | 327 | 100.0 % |  | -0.1 % | 8662567 | 0.1 % | 0.1 % | 0.0 % | -2.3 %
    io.net | 0.182 | 1667 | 996 | 100.0 % | 4.19 | 3.5 % | 377735 | 10.3 % | 2.6 % | -1.1 % | -1.3 %
    gristmill | 0.164 | 1644 | 0 | 100.0 % |  |  | 0 | 0.1 % | 0.1 % | 0.0 % | -2.4 %
    ");
}

#[test]
fn a_scenario_gives_the_same_twice() {
    assert_eq!(
        serde_json::to_string(&example().run()).unwrap(),
        serde_json::to_string(&example().run()).unwrap()
    );
}

#[test]
fn a_fall_of_token_prices_leaves_supply_alone_where_pay_comes_from_buyers() {
    let comparison = example().run();
    let after_token_fall = |name: &str| {
        let run = comparison.mechanisms.iter().find(|run| run.name == name).unwrap();
        run.summary.supply_after_token_fall.unwrap()
    };
    assert_eq!(after_token_fall("gristmill"), 0.0);
    assert!(after_token_fall("akash").abs() < 0.01);
    assert!(after_token_fall("bittensor") < -0.1);
    assert!(after_token_fall("render") < -0.1);
}

#[test]
fn pretenders_leave_where_cheating_costs_more_than_it_brings() {
    let comparison = example().run();
    let run = comparison.mechanisms.iter().find(|run| run.name == "gristmill").unwrap();
    assert!(run.summary.pretending_gpus < 1.0);
    let unchecked = EXAMPLE.replace("checked = 0.1 ", "checked = 0.0 ");
    let comparison = Scenario::parse(&unchecked).unwrap().run();
    let run = comparison.mechanisms.iter().find(|run| run.name == "gristmill").unwrap();
    assert!(run.summary.pretending_gpus > 100.0, "without checks they stay: {}", run.summary.pretending_gpus);
}

#[test]
fn every_metric_has_a_line_for_each_mechanism_and_at_most_a_point_a_month() {
    let comparison = example().run();
    for metric in Metric::ALL {
        let series = comparison.series(metric);
        assert_eq!(series.len(), 5);
        assert!(
            series.iter().all(|line| line.points.len() <= 48 && line.points.iter().all(|p| p.1.is_finite()))
        );
    }
    assert_eq!(comparison.series(Metric::Inflation)[4].points, [], "no token, no inflation");
    assert!(comparison.notes().len() > 10 && comparison.figures().iter().count() >= 6);
}

#[test]
fn an_unknown_key_is_answered_with_the_nearest_known_one() {
    let error = Scenario::parse(&EXAMPLE.replace("elasticity =", "elastisity =")).unwrap_err();
    insta::assert_snapshot!(error, @r"
    TOML parse error at line 33, column 1
       |
    33 | elastisity = 3.0
       | ^^^^^^^^^^
    unknown field `elastisity`, expected one of `elasticity`, `joins_per_month`, `leaves_per_month`, `cohorts`; did you mean `elasticity`?
    ");
}

#[test]
fn numbers_out_of_range_are_refused_with_the_range() {
    let refused = |from: &str, to: &str| {
        assert!(EXAMPLE.contains(from), "{from}");
        Scenario::parse(&EXAMPLE.replacen(from, to, 1)).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        [
            refused("price_usd_per_gpu_hour = 0.35", "price_usd_per_gpu_hour = 0"),
            refused("demand_usd_per_day = 4000", "demand_usd_per_day = nan"),
            refused("watts = 450", "watts = -1"),
            refused("caught = 0.8", "caught = 1.3"),
            refused("at_month = 24\nfactor", "at_month = 44\nfactor"),
            refused("online = 300", "online = 700"),
        ]
        .join("\n"),
        @r"
    market.price_usd_per_gpu_hour is 0: give a number from 0.001 to 1000
    market.demand_usd_per_day is NaN: give a number from 0 to 1000000000
    supply.cohorts[0].watts is -1: give a number from 0 to 20000
    bittensor.caught is 1.3: give a number from 0 to 1
    the effect of the fall would be measured in month 50, the scenario ends with month 48
    supply.cohorts[0].online is 700: give a number from 0 to 600
    "
    );
}

#[test]
fn a_scenario_without_mechanisms_or_workers_is_refused() {
    let (head, _) = EXAMPLE.split_once("# A posted emission").unwrap();
    assert_eq!(Scenario::parse(&format!("{head}[mechanisms]")), Err(ScenarioError::NoMechanism));
    let nobody = EXAMPLE.replace("hardware_usd =", "pretends = true\nhardware_usd =");
    assert_eq!(Scenario::parse(&nobody), Err(ScenarioError::NoSupply));
}

#[test]
fn the_length_of_an_epoch_hardly_matters() {
    let daily = Scenario { epoch_days: 1, ..example() }.run();
    for (weekly, daily) in example().run().mechanisms.iter().zip(&daily.mechanisms) {
        let off = daily.summary.income_usd / weekly.summary.income_usd - 1.0;
        assert!(off.abs() < 0.01, "{}: {off}", weekly.name);
    }
}

#[test]
fn a_halving_fall_opens_akashs_breaker_and_providers_are_paid_all_the_same() {
    let mut akash =
        AkashNetwork::new(&akash_network::Configuration { reserve_tokens: 1_000.0, ..Default::default() });
    let mut pays = Vec::new();
    for week in 0..20 {
        let inputs = EpochInputs {
            day: f64::from(week) * 7.0,
            days: 7.0,
            token_index: if week < 10 { 1.0 } else { 0.5 },
            demand_usd: 28_000.0,
            price_usd_per_gpu_hour: 0.35,
            honest_gpus: 1_000.0,
            pretending_gpus: 0.0,
        };
        pays.push((akash.epoch(&inputs), inputs));
    }
    assert!(pays.iter().all(|(outcome, _)| (outcome.paid_served_usd - 28_000.0).abs() < 0.01));
    let (before, after) = (&pays[5].0, &pays[10].0);
    assert_eq!(before.minted.tokens, 0.0, "a steady price needs no new tokens");
    assert!(after.minted.tokens > 0.0, "the fall is made good with new tokens");
    assert_eq!(pays[15].0.burned.tokens, 0.0, "top-ups are stopped: buyers pay directly");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_in_goes_out(
        epochs in prop::collection::vec((0.01f64..3.0, 0.0f64..1e5, 0.0f64..5e3, 0.0f64..5e3), 1..24),
        price in 0.01f64..10.0,
    ) {
        for mut mechanism in all_mechanisms() {
            let mut day = 0.0;
            for (token_index, demand_usd, honest_gpus, pretending_gpus) in &epochs {
                let inputs = EpochInputs {
                    day,
                    days: 7.0,
                    token_index: *token_index,
                    demand_usd: *demand_usd,
                    price_usd_per_gpu_hour: price,
                    honest_gpus: *honest_gpus,
                    pretending_gpus: *pretending_gpus,
                };
                day += inputs.days;
                let outcome = mechanism.epoch(&inputs);
                let volume = outcome.revenue_usd + outcome.minted.usd + outcome.reissued.usd + outcome.slashed_usd;
                prop_assert!(outcome.gap_usd().abs() <= 1e-6 * volume.max(1.0), "{}: {outcome:?}", mechanism.name());
                prop_assert!(outcome.served_hours <= inputs.honest_hours() * (1.0 + 1e-9));
                let parts = [
                    outcome.paid_served_usd, outcome.paid_idle_usd, outcome.paid_pretending_usd,
                    outcome.paid_checking_usd, outcome.validators_usd, outcome.treasury_usd, outcome.burned.usd,
                ];
                prop_assert!(parts.iter().all(|part| *part >= -1e-6 * volume.max(1.0)), "{}: {outcome:?}", mechanism.name());
            }
        }
    }
}
