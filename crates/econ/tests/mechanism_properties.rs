//! What holds of the mechanisms whatever the numbers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use econ::mechanism::burn_mint::akash::{Direction, Parameters};
use econ::mechanism::burn_mint::decimal18::Decimal18;
use econ::mechanism::burn_mint::vault::{Outcome, Vault};
use econ::mechanism::emission::{TAO_SUPPLY_RAO, block_emission_rao, emission_over_blocks_rao};
use econ::mechanism::yuma::median::weighted_median;
use econ::mechanism::yuma::research::{Parameters as StudyParameters, Study, Variant};
use econ::mechanism::yuma::{BondStorage, Epochs, Fixed32, Matrix, Number, Rules};
use proptest::prelude::*;

fn holders() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((0u32..20, 1u32..100), 1..60).prop_map(|pairs| {
        let total: u32 = pairs.iter().map(|(_, stake)| stake).sum();
        pairs
            .iter()
            .map(|(score, stake)| (f64::from(*score) / 20.0, f64::from(*stake) / f64::from(total)))
            .collect()
    })
}

/// The definition, by sorting: the smallest score at which the stake so far passes the minority.
fn median_by_sorting(mut holders: Vec<(f64, f64)>, minority: f64) -> f64 {
    holders.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut so_far = 0.0;
    for (score, stake) in &holders {
        so_far += stake;
        if so_far > minority {
            return *score;
        }
    }
    holders.last().map_or(0.0, |holder| holder.0)
}

fn subnet_input() -> impl Strategy<Value = (Vec<f64>, Vec<Vec<f64>>)> {
    (2usize..8, 1usize..8).prop_flat_map(|(validators, miners)| {
        let stake = prop::collection::vec(0.01f64..1.0, validators);
        let weights = prop::collection::vec(prop::collection::vec(0.0f64..1.0, miners), validators);
        (stake, weights)
    })
}

fn check_epochs<N: Number>(
    stake: &[f64],
    weights: &[Vec<f64>],
    rules: Rules<N>,
    slack: f64,
) -> Result<(), TestCaseError> {
    let total: f64 = stake.iter().sum();
    let stake: Vec<N> = stake.iter().map(|s| N::from_f64(s / total)).collect();
    let rows: Vec<Vec<N>> = weights.iter().map(|row| row.iter().map(|w| N::from_f64(*w)).collect()).collect();
    let weights = Matrix::from_rows(&rows).unwrap();
    let mut subnet = Epochs::new(weights.rows(), weights.columns(), rules);
    for _ in 0..3 {
        let decision = subnet.run(&stake, &weights);
        let sum = |values: &[N]| values.iter().map(|v| v.to_f64()).sum::<f64>();
        let (incentive, dividends) = (sum(&decision.incentive), sum(&decision.dividends));
        prop_assert!(incentive.abs() < slack || (incentive - 1.0).abs() < slack, "{incentive}");
        prop_assert!(dividends.abs() < slack || (dividends - 1.0).abs() < slack, "{dividends}");
        prop_assert!(decision.validator_trust.iter().all(|t| t.to_f64() <= 1.0 + slack));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_median_is_what_sorting_gives(holders in holders(), minority in 0.0f64..1.0) {
        // Sums in another order may differ in the last bit: stay away from exact ties.
        let minority = minority + 1e-7;
        prop_assert_eq!(weighted_median(&mut holders.clone(), minority), median_by_sorting(holders, minority));
    }

    #[test]
    fn a_larger_majority_never_agrees_on_more(holders in holders(), a in 0.0f64..1.0, b in 0.0f64..1.0) {
        let (small, large) = (a.min(b), a.max(b));
        prop_assert!(weighted_median(&mut holders.clone(), small) <= weighted_median(&mut holders.clone(), large));
    }

    #[test]
    fn raising_one_weight_never_lowers_the_median(holders in holders(), which in any::<prop::sample::Index>(), by in 0.0f64..1.0) {
        let mut raised = holders.clone();
        let at = which.index(raised.len());
        raised[at].0 += by;
        prop_assert!(weighted_median(&mut holders.clone(), 0.5) <= weighted_median(&mut raised, 0.5));
    }

    #[test]
    fn incentive_and_dividends_sum_to_one((stake, weights) in subnet_input()) {
        let exact = |rules: Rules<f64>| Rules { storage: BondStorage::Exact, ..rules };
        check_epochs(&stake, &weights, exact(Rules::original()), 1e-9)?;
        check_epochs(&stake, &weights, exact(Rules::yuma3()), 1e-9)?;
        check_epochs::<Fixed32>(&stake, &weights, Rules::original(), 1e-6)?;
        check_epochs::<Fixed32>(&stake, &weights, Rules::yuma3(), 1e-6)?;
    }

    #[test]
    fn studies_sum_to_nearly_one((stake, weights) in subnet_input()) {
        let weights = Matrix::from_rows(&weights).unwrap();
        for variant in [Variant::Yuma1, Variant::Yuma2, Variant::Yuma2b, Variant::Yuma2c, Variant::Yuma3, Variant::Yuma3Liquid] {
            let mut study = Study::new(variant, StudyParameters::default());
            for _ in 0..3 {
                let sum: f64 = study.epoch(&stake, &weights).dividends.iter().sum();
                // A millionth stands in every divisor, so that small sums of dividends fall short of one.
                prop_assert!((0.0..=1.0 + 1e-9).contains(&sum), "{variant:?}: {sum}");
            }
        }
    }

    #[test]
    fn scaling_all_stake_changes_nothing((stake, weights) in subnet_input(), scale in 0.1f64..100.0) {
        let weights = Matrix::from_rows(&weights).unwrap();
        let scaled: Vec<f64> = stake.iter().map(|s| s * scale).collect();
        let run = |stake: &[f64]| Study::new(Variant::Yuma3, StudyParameters::default()).epoch(stake, &weights).dividends;
        for (a, b) in run(&stake).iter().zip(run(&scaled)) {
            prop_assert!((a - b).abs() < 1e-9);
        }
    }

    #[test]
    fn issuance_never_exceeds_21_million(issued in 0..TAO_SUPPLY_RAO, blocks in 0u64..200_000_000) {
        let minted = emission_over_blocks_rao(issued, blocks);
        prop_assert!(issued + minted <= TAO_SUPPLY_RAO);
        prop_assert!(block_emission_rao(issued + minted) <= block_emission_rao(issued));
    }

    #[test]
    fn a_span_mints_what_its_parts_mint(issued in 0..TAO_SUPPLY_RAO, first in 0u64..20_000_000, second in 0u64..20_000_000) {
        let minted = emission_over_blocks_rao(issued, first);
        let then = emission_over_blocks_rao(issued + minted, second);
        prop_assert_eq!(minted + then, emission_over_blocks_rao(issued, first + second));
    }

    #[test]
    fn the_vault_keeps_its_books(steps in prop::collection::vec((any::<bool>(), 1u128..1_000_000_000_000, 1u64..10_000), 1..60)) {
        let mut vault = Vault::new(Parameters::default(), 1_000_000_000);
        let (mut put_in, mut paid_out, mut height) = (1_000_000_000u128, 0u128, 0u64);
        for (top_up, amount, price_mills) in steps {
            let price = Decimal18::whole(u128::from(price_mills)).over(Decimal18::whole(1_000)).unwrap();
            let direction = if top_up { Direction::TopUp } else { Direction::Settle };
            let _refused_or_taken = vault.request(direction, amount, Some(price));
            height = (height + 1).max(vault.next_settle_at()).max(vault.next_top_up_at());
            for outcome in vault.end_block(height, Some(price)) {
                match outcome {
                    Outcome::Done { direction: Direction::TopUp, conversion, .. } => put_in += conversion.burned,
                    Outcome::Done { direction: Direction::Settle, conversion, .. } => paid_out += conversion.to_user(),
                    Outcome::Canceled { .. } => {}
                }
            }
            let b = vault.balances();
            prop_assert_eq!(b.vault_uakt + paid_out, put_in + b.minted_uakt, "AKT: in the vault and paid, put in and minted");
            prop_assert_eq!(b.supply_uact + b.burned_uact, b.minted_uact, "ACT: in existence and burned, minted");
            prop_assert!(b.remint_credit_uakt <= b.vault_uakt);
        }
    }

    #[test]
    fn less_collateral_never_shortens_the_epoch(a in 0u64..20_000, b in 0u64..20_000) {
        let parameters = Parameters::default();
        prop_assert!(parameters.epoch_blocks(a.min(b)) >= parameters.epoch_blocks(a.max(b)));
    }
}
