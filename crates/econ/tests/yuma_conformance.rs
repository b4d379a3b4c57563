//! Yuma agrees with the numbers that public projects publish about it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod vectors;

use econ::mechanism::yuma::bonds::{Alpha, BondRule, alpha_of_moving_average};
use econ::mechanism::yuma::median::weighted_median;
use econ::mechanism::yuma::research::{Parameters, Study, Variant};
use econ::mechanism::yuma::subnet::{Neuron, Subnet};
use econ::mechanism::yuma::{BondStorage, Epochs, Fixed32, Matrix, Number, Rules};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Medians {
    vectors: Vec<MedianCase>,
}

#[derive(Deserialize)]
struct MedianCase {
    stake: Vec<f64>,
    score: Vec<f64>,
    majority: f64,
    expect: f64,
}

/// The chain's test writes its numbers as 32-bit floats.
fn fixed(value: f64) -> Fixed32 {
    Fixed32::from_f64(f64::from(value as f32))
}

#[test]
fn the_weighted_median_is_exact_in_both_arithmetics() {
    let Medians { vectors } = vectors::read("weighted-median.json");
    assert!(vectors.len() >= 12);
    for (at, case) in vectors.iter().enumerate() {
        let pairs = || case.score.iter().zip(&case.stake);
        let mut in_fixed: Vec<_> = pairs().map(|(score, stake)| (fixed(*score), fixed(*stake))).collect();
        let agreed = weighted_median(&mut in_fixed, Fixed32::ONE - fixed(case.majority));
        assert_eq!(agreed, fixed(case.expect), "case {at} in fixed point");
        let mut in_floats: Vec<_> = pairs().map(|(score, stake)| (*score, *stake)).collect();
        assert_eq!(weighted_median(&mut in_floats, 1.0 - case.majority), case.expect, "case {at} in floats");
    }
}

#[derive(Deserialize)]
struct OriginalRun {
    n: usize,
    stakes: Vec<u64>,
    kappa_u16: u64,
    bonds_penalty_u16: u64,
    bonds_moving_average: u64,
    rao_emission: u64,
    epochs: Vec<OriginalEpoch>,
}

#[derive(Deserialize)]
struct OriginalEpoch {
    epoch: u64,
    weights_u16: BTreeMap<usize, BTreeMap<usize, u16>>,
    expect_bonds_u16: Vec<(usize, usize, u16)>,
    expect_emission_rao_documented: Vec<u64>,
}

#[test]
fn original_yuma_gives_the_stored_bonds_exactly_and_the_documented_emission_to_the_rao() {
    let run: OriginalRun = vectors::read("yuma-bonds.json");
    let rules = Rules {
        kappa: Fixed32::ratio(run.kappa_u16, 65_535),
        bonds_penalty: Fixed32::ratio(run.bonds_penalty_u16, 65_535),
        bonds: BondRule::Original { alpha: alpha_of_moving_average(run.bonds_moving_average) },
        storage: BondStorage::Shares,
    };
    let neuron = |stake: &u64| Neuron { stake: *stake, permitted: true, last_update: 1, registered_at: 0 };
    let mut subnet = Subnet::new(run.stakes.iter().map(neuron).collect(), rules);
    let (mut bonds_off, mut rao_off) = (0, 0);
    for epoch in &run.epochs {
        subnet.weights = Matrix::filled(run.n, run.n, 0);
        for (from, row) in &epoch.weights_u16 {
            row.iter().for_each(|(on, weight)| subnet.weights.set(*from, *on, *weight));
        }
        let payout = subnet.epoch(epoch.epoch + 1, run.rao_emission);
        for (validator, miner, expected) in &epoch.expect_bonds_u16 {
            let bond = subnet.bonds().at(*validator, *miner);
            assert!(bond.abs_diff(*expected) <= 1, "epoch {}: bond {bond}, not {expected}", epoch.epoch);
            bonds_off += u64::from(bond.abs_diff(*expected));
        }
        let paid = payout.emission_rao.iter().zip(&epoch.expect_emission_rao_documented);
        let most = paid.map(|(rao, expected)| rao.abs_diff(*expected)).max().unwrap_or(0);
        println!("epoch {}: at most {most} rao off", epoch.epoch);
        rao_off = rao_off.max(most);
    }
    assert_eq!((bonds_off, rao_off), (0, 0), "bonds in 65535ths and emission in rao");
}

#[derive(Deserialize)]
struct Yuma3Scenarios {
    scenarios: Vec<Yuma3Scenario>,
}

#[derive(Deserialize)]
struct Yuma3Scenario {
    name: String,
    stakes: Vec<f64>,
    kappa: f64,
    bonds_penalty: f64,
    liquid_alpha: bool,
    alpha_low: f64,
    alpha_high: f64,
    sigmoid_steepness_param: f64,
    bonds_moving_average: u64,
    weights: Vec<Vec<Vec<f64>>>,
    /// Null where the source checks nothing in that epoch.
    expect_dividends: Vec<Option<Vec<f64>>>,
    expect_bonds: Vec<Option<Vec<Vec<f64>>>>,
    tolerance: f64,
    reset_bonds_index: Option<usize>,
    reset_bonds_epoch: Option<usize>,
}

#[test]
fn yuma_3_gives_the_dividends_and_the_bonds_of_the_chain_in_both_arithmetics() {
    for file in ["yuma3-subtensor.json", "yuma3-more.json"] {
        let Yuma3Scenarios { scenarios } = vectors::read(file);
        for scenario in &scenarios {
            check_yuma3::<f64>(scenario);
            check_yuma3::<Fixed32>(scenario);
        }
    }
}

fn check_yuma3<N: Number>(scenario: &Yuma3Scenario) {
    let idle = alpha_of_moving_average(scenario.bonds_moving_average);
    let alpha = if scenario.liquid_alpha {
        let number = |value: f64| N::from_f64(value);
        let steepness = number(scenario.sigmoid_steepness_param / 100.0);
        Alpha::Liquid { low: number(scenario.alpha_low), high: number(scenario.alpha_high), steepness, idle }
    } else {
        Alpha::Fixed(idle)
    };
    let rules = Rules {
        kappa: N::from_f64(scenario.kappa),
        bonds_penalty: N::from_f64(scenario.bonds_penalty),
        bonds: BondRule::Yuma3 { alpha },
        storage: BondStorage::Shares,
    };
    let total: f64 = scenario.stakes.iter().sum();
    let stake: Vec<N> = scenario.stakes.iter().map(|s| N::from_f64(s / total)).collect();
    let mut subnet = Epochs::new(stake.len(), scenario.weights[0][0].len(), rules);
    for (epoch, weights) in scenario.weights.iter().enumerate() {
        let rows: Vec<Vec<N>> =
            weights.iter().map(|row| row.iter().map(|w| N::from_f64(*w)).collect()).collect();
        if scenario.reset_bonds_epoch == Some(epoch) {
            subnet.bonds_mut().fill_column(scenario.reset_bonds_index.unwrap(), N::ZERO);
        }
        let dividends = subnet.run(&stake, &Matrix::from_rows(&rows).unwrap()).dividends.clone();
        let what = format!("{} epoch {epoch}", scenario.name);
        let dividends: Vec<f64> = dividends.into_iter().map(N::to_f64).collect();
        if let Some(expected) = &scenario.expect_dividends[epoch] {
            vectors::assert_near(&format!("{what} dividends"), &dividends, expected, scenario.tolerance);
        }
        for (row, expected) in scenario.expect_bonds[epoch].iter().flatten().enumerate() {
            let bonds: Vec<f64> = subnet.bonds().row(row).iter().map(|b| b.to_f64()).collect();
            vectors::assert_near(&format!("{what} bonds of {row}"), &bonds, expected, scenario.tolerance);
        }
    }
}

#[derive(Deserialize)]
struct Simulations {
    hyper: Value,
    cases: Vec<SimulationCase>,
}

#[derive(Deserialize)]
struct SimulationCase {
    name: String,
    reset_bonds: bool,
    reset_bonds_index: Option<usize>,
    reset_bonds_epoch: Option<usize>,
    stakes: Vec<Vec<f64>>,
    weights: Vec<Vec<Vec<f64>>>,
    runs: BTreeMap<String, SimulationRun>,
}

#[derive(Deserialize)]
struct SimulationRun {
    params: Value,
    /// What a bond of one is written as: Yuma 2C keeps bonds on the scale of 64-bit integers.
    #[serde(default = "one")]
    bond_scale: f64,
    epochs: Vec<SimulationEpoch>,
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
struct SimulationEpoch {
    consensus: Vec<f64>,
    incentive: Vec<f64>,
    dividends: Vec<f64>,
    /// Left out where the file would grow too large.
    bonds: Option<Vec<Vec<f64>>>,
}

/// The vectors are written with nine digits.
const SIMULATION_TOLERANCE: f64 = 1e-9;

#[test]
fn the_public_simulation_is_met_in_every_epoch_to_nine_digits() {
    assert!(check_simulations("yuma-simulation-1-8.json") >= 960, "12 cases of 40 epochs in two variants");
}

#[test]
fn the_simulations_other_cases_and_variants_are_met_to_nine_digits() {
    assert!(check_simulations("yuma-simulation-more.json") >= 600, "all six variants");
}

fn check_simulations(file: &str) -> usize {
    let Simulations { hyper, cases } = vectors::read(file);
    let runs = cases.iter().flat_map(|case| case.runs.iter().map(move |run| (case, run)));
    runs.map(|(case, (name, run))| check_simulation(case, name, run, &hyper)).sum()
}

fn check_simulation(case: &SimulationCase, name: &str, run: &SimulationRun, hyper: &Value) -> usize {
    let variant: Variant = serde_json::from_value(Value::from(name)).unwrap();
    let mut merged = run.params.clone();
    for (key, value) in hyper.as_object().unwrap() {
        merged[key] = value.clone();
    }
    let parameters: Parameters = serde_json::from_value(merged).unwrap();
    let mut study = Study::new(variant, parameters);
    for (epoch, expected) in run.epochs.iter().enumerate() {
        if let (true, Some(index), Some(at)) =
            (case.reset_bonds, case.reset_bonds_index, case.reset_bonds_epoch)
            && at == epoch
        {
            study.reset_bonds_on(index);
        }
        let result = study.epoch(&case.stakes[epoch], &Matrix::from_rows(&case.weights[epoch]).unwrap());
        let what = format!("{}, {name}, epoch {epoch}", case.name);
        let near = |part: &str, ours: &[f64], theirs: &[f64]| {
            vectors::assert_near(&format!("{what}: {part}"), ours, theirs, SIMULATION_TOLERANCE);
        };
        near("consensus", &result.consensus, &expected.consensus);
        near("incentive", &result.incentive, &expected.incentive);
        near("dividends", &result.dividends, &expected.dividends);
        for (row, theirs) in expected.bonds.iter().flatten().enumerate() {
            let bonds: Vec<f64> =
                study.bonds().unwrap().row(row).iter().map(|b| b / run.bond_scale).collect();
            near("bonds", &bonds, theirs);
        }
    }
    run.epochs.len()
}

/// Two validators and two miners of one stake each, as the chain's test of active stake sets them up.
fn four_neurons() -> Subnet {
    let neuron = Neuron { stake: 1, permitted: true, last_update: 1, registered_at: 0 };
    let mut subnet = Subnet::new(vec![neuron; 4], Rules::original());
    for validator in 0..2 {
        (2..4).for_each(|miner| subnet.weights.set(validator, miner, 65_535));
    }
    subnet
}

#[test]
fn an_inactive_validator_keeps_only_what_its_old_bonds_earn() {
    let mut subnet = four_neurons();
    let first = subnet.epoch(1, 1_000_000_000);
    assert_eq!(first.emission_rao, [250_000_000; 4]);
    assert_eq!(first.dividends[..2], [32_767, 32_767]);

    subnet.neurons[0].last_update = 5_002;
    let second = subnet.epoch(5_002, 1_000_000_000);
    assert_eq!(second.emission_rao, [274_999_999, 224_999_999, 250_000_000, 250_000_000]);
    assert_eq!(second.dividends[..2], [36_044, 29_490]);
    assert_eq!(subnet.bonds().row(1), [0, 0, 53_619, 53_619]);

    subnet.neurons[1].last_update = 5_002;
    let third = subnet.epoch(5_003, 1_000_000_000);
    assert_eq!(third.emission_rao, [272_501_132, 227_498_866, 250_000_000, 250_000_000]);
    assert_eq!(third.dividends[..2], [35_716, 29_818]);
    assert_eq!(subnet.bonds().row(1), [0, 0, 54_712, 54_712]);
}

#[test]
fn weights_on_a_neuron_that_registered_since_do_not_count() {
    let neuron = |stake| Neuron { stake, permitted: true, last_update: 1, registered_at: 0 };
    let mut subnet = Subnet::new(vec![neuron(1); 4], Rules::original());
    for validator in 0..2 {
        subnet.weights.set(validator, 2, 65_535);
        subnet.weights.set(validator, 3, 32_768);
    }
    (2..4).for_each(|miner| subnet.weights.set(miner, miner, 65_535));
    assert_eq!(
        subnet.epoch(1, 1_000_000_000).emission_rao,
        [250_000_000, 250_000_000, 333_331_637, 166_668_361]
    );

    subnet.neurons[3] = Neuron { stake: 0, permitted: false, last_update: 1, registered_at: 1 };
    subnet.neurons[0].last_update = 2;
    let payout = subnet.epoch(2, 1_000_000_000);
    assert_eq!(payout.emission_rao, [250_000_000, 250_000_000, 500_000_000, 0]);
    assert_eq!(payout.dividends[0], 32_767);
}

#[test]
fn without_any_counted_weight_the_emission_goes_to_stake() {
    let neuron = |stake, permitted| Neuron { stake, permitted, last_update: 1, registered_at: 0 };
    let mut subnet = Subnet::new(vec![neuron(1, true), neuron(0, false)], Rules::original());
    assert_eq!(subnet.epoch(1, 1_000_000_000).emission_rao, [1_000_000_000, 0]);
    subnet.weights.set(0, 1, 65_535);
    assert_eq!(subnet.epoch(2, 1_000_000_000).emission_rao, [500_000_000, 500_000_000]);
}
