//! The burn-mint equilibria of Akash and Render agree with the numbers that their projects publish.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod vectors;

use econ::mechanism::burn_mint::akash::{ConversionError, Direction, Parameters, Status};
use econ::mechanism::burn_mint::decimal18::Decimal18;
use econ::mechanism::burn_mint::render::{self, SaladProduct};
use econ::mechanism::burn_mint::vault::{Outcome, RequestError, Vault};
use serde::Deserialize;

#[derive(Deserialize)]
struct Akash {
    defaults: Defaults,
    epoch_backoff: Vec<Backoff>,
    settlement: Vec<Settlement>,
    aep76_examples: Vec<Example>,
}

#[derive(Deserialize)]
struct Defaults {
    warn_bps: u32,
    halt_bps: u32,
    mint_spread_bps: u32,
    settle_spread_bps: u32,
    min_epoch_blocks: u64,
    backoff_percent: u32,
    min_mint_uact: u128,
    max_epoch_blocks: u64,
    max_pending_attempts: u32,
}

#[derive(Deserialize)]
struct Backoff {
    warn: u32,
    min_epoch_blocks: u64,
    backoff_percent: u32,
    cr_bps: u64,
    expect: u64,
}

#[derive(Deserialize)]
struct Settlement {
    direction: String,
    burn_uact: u128,
    akt_usd: String,
    settle_spread_bps: u32,
    expect: Option<String>,
    expect_uakt: Option<u128>,
    expect_minted_uakt: Option<u128>,
    expect_user_uakt: Option<u128>,
    expect_vault_uakt: Option<u128>,
}

#[derive(Deserialize)]
struct Example {
    mint_usd: String,
    act: u128,
    expect_akt_burn: String,
    settle_usd: String,
    expect_akt_out: String,
    net: String,
}

fn dec(text: &str) -> Decimal18 {
    text.parse().unwrap()
}

/// A vault on which any small top-up passes, and in which ACT is out.
fn vault_with_act(parameters: Parameters, akt_usd: Decimal18) -> Vault {
    let parameters = Parameters { min_mint_uact: 0, ..parameters };
    let mut vault = Vault::new(parameters, 1_000_000_000_000);
    vault.end_block(1, Some(akt_usd));
    vault.request(Direction::TopUp, 1_000_000_000, Some(akt_usd)).unwrap();
    let done = vault.end_block(vault.next_top_up_at(), Some(akt_usd));
    assert!(matches!(done[..], [Outcome::Done { .. }]), "{done:?}");
    vault
}

#[test]
fn the_default_parameters_are_akashs() {
    let Akash { defaults, .. } = vectors::read("akash-bme.json");
    let ours = Parameters::default();
    assert_eq!((ours.warn_bps, ours.halt_bps), (defaults.warn_bps, defaults.halt_bps));
    assert_eq!(
        (ours.mint_spread_bps, ours.settle_spread_bps),
        (defaults.mint_spread_bps, defaults.settle_spread_bps)
    );
    assert_eq!(
        (ours.min_epoch_blocks, ours.backoff_percent),
        (defaults.min_epoch_blocks, defaults.backoff_percent)
    );
    assert_eq!(ours.min_mint_uact, defaults.min_mint_uact);
    assert_eq!(ours.max_attempts, defaults.max_pending_attempts);
    assert_eq!(econ::mechanism::burn_mint::akash::MAX_EPOCH_BLOCKS, defaults.max_epoch_blocks);
}

#[test]
fn epochs_back_off_as_on_akash() {
    let Akash { epoch_backoff, .. } = vectors::read("akash-bme.json");
    assert!(epoch_backoff.len() >= 30);
    for case in epoch_backoff {
        let parameters = Parameters {
            warn_bps: case.warn,
            min_epoch_blocks: case.min_epoch_blocks,
            backoff_percent: case.backoff_percent,
            ..Parameters::default()
        };
        let what = format!("{} % under {} at {}", case.backoff_percent, case.warn, case.cr_bps);
        assert_eq!(parameters.epoch_blocks(case.cr_bps), case.expect, "{what}");
    }
}

#[test]
fn settlements_are_cut_off_and_canceled_as_on_akash() {
    let Akash { settlement, .. } = vectors::read("akash-bme.json");
    for case in settlement {
        assert_eq!(case.direction, "ACT->AKT");
        let price = dec(&case.akt_usd);
        let parameters = Parameters { settle_spread_bps: case.settle_spread_bps, ..Parameters::default() };
        let mut vault = vault_with_act(parameters, price);
        let before = *vault.balances();
        vault.request(Direction::Settle, case.burn_uact, Some(price)).unwrap();
        let outcomes = vault.end_block(vault.next_settle_at(), Some(price));
        match (&outcomes[..], &case.expect) {
            ([Outcome::Canceled { reason, refunded, .. }], Some(expect)) => {
                assert!(expect.starts_with("cancel:epsilon+refund"), "{expect}");
                assert_eq!(*reason, ConversionError::TooLittle { amount: case.burn_uact });
                assert_eq!(*refunded, case.burn_uact);
                assert_eq!(*vault.balances(), before, "a canceled settlement leaves nothing behind");
            }
            ([Outcome::Done { conversion, .. }], None) => {
                let stays = before.vault_uakt - vault.balances().vault_uakt;
                let minted = case.expect_minted_uakt.or(case.expect_uakt).unwrap();
                assert_eq!(conversion.minted, minted);
                assert_eq!(conversion.to_user(), case.expect_user_uakt.unwrap_or(minted));
                assert_eq!(conversion.spread, case.expect_vault_uakt.unwrap_or(0));
                assert_eq!(stays, conversion.to_user(), "the vault pays the user out of its credit");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// AEP-76 writes six digits, rounded to the nearest; the chain cuts off.
fn six_digits(value: f64) -> String {
    format!("{value:.6}")
}

#[test]
fn the_worked_examples_of_aep_76_come_out() {
    let Akash { aep76_examples, .. } = vectors::read("akash-bme.json");
    for case in aep76_examples {
        let akt_at = |price: &str| Decimal18::whole(case.act).over(dec(price)).unwrap().to_f64();
        let (burned, out) = (akt_at(&case.mint_usd), akt_at(&case.settle_usd));
        assert_eq!(six_digits(burned), case.expect_akt_burn);
        assert_eq!(six_digits(out), case.expect_akt_out);
        assert_eq!(format!("{:+.6}", out - burned), case.net);

        // The same through the ledger, where a top-up leaves its spread and a settlement is cut off to the millionth.
        let free = Parameters { mint_spread_bps: 0, ..Parameters::default() };
        let uact = case.act * 1_000_000;
        let burn_uakt = (burned * 1e6).ceil() as u128;
        let bought = free.convert(Direction::TopUp, burn_uakt, dec(&case.mint_usd)).unwrap();
        assert!(bought.minted.abs_diff(uact) <= 1, "{bought:?}");
        let settled = free.convert(Direction::Settle, uact, dec(&case.settle_usd)).unwrap();
        assert_eq!(settled.minted, (out * 1e6).floor() as u128);
    }
}

#[test]
fn a_settlement_under_the_minimum_is_refused_for_good() {
    let parameters = Parameters { min_mint_uakt: 500_000, ..Parameters::default() };
    let error = parameters.convert(Direction::Settle, 1_000_000, dec("3")).unwrap_err();
    assert_eq!(error, ConversionError::UnderMinimum { minted: 333_333, minimum: 500_000 });
    assert!(error.is_final());
    let small = Parameters { settle_spread_bps: 1_000, ..Parameters::default() };
    let conversion = small.convert(Direction::Settle, 4, dec("3")).unwrap();
    assert_eq!((conversion.minted, conversion.spread), (1, 0), "a spread under a millionth is none");
}

#[test]
fn what_finds_no_price_is_tried_three_times_and_given_back() {
    let mut vault = vault_with_act(Parameters::default(), dec("3"));
    let before = *vault.balances();
    vault.request(Direction::Settle, 1_000_000, Some(dec("3"))).unwrap();
    for attempt in 1..=3 {
        let outcomes = vault.end_block(vault.next_settle_at(), None);
        match (attempt, &outcomes[..]) {
            (1 | 2, []) => assert_eq!(vault.waiting(), 1),
            (3, [Outcome::Canceled { reason, refunded, .. }]) => {
                assert_eq!((*reason, *refunded), (ConversionError::NoPrice, 1_000_000));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((*vault.balances(), vault.status()), (before, Status::HaltedByOracle));
}

#[test]
fn a_fall_slows_top_ups_then_stops_them_and_settlements_go_on() {
    let mut vault = Vault::new(Parameters::default(), 1);
    let settle_at =
        |vault: &mut Vault, price: &str| vault.end_block(vault.next_settle_at(), Some(dec(price)));
    settle_at(&mut vault, "1.00");
    vault.request(Direction::TopUp, 1_000_000_000, Some(dec("1.00"))).unwrap();
    vault.end_block(vault.next_top_up_at(), Some(dec("1.00")));
    assert_eq!(vault.ratio_bps(dec("1.00")), 10_000);

    settle_at(&mut vault, "0.93");
    assert_eq!(
        (vault.status(), Parameters::default().epoch_blocks(vault.ratio_bps(dec("0.93")))),
        (Status::Warning, 67)
    );
    settle_at(&mut vault, "0.90");
    assert_eq!(vault.status(), Status::HaltedByCollateral);
    let refused = vault.request(Direction::TopUp, 1_000_000_000, Some(dec("0.90"))).unwrap_err();
    assert_eq!(refused, RequestError::BreakerOpen(Status::HaltedByCollateral));
    vault.request(Direction::Settle, 900_000_000, Some(dec("0.90"))).unwrap();
    let settled = settle_at(&mut vault, "0.90");
    let [Outcome::Done { conversion, newly_minted, .. }] = settled[..] else { panic!("{settled:?}") };
    assert_eq!(
        (conversion.minted, newly_minted),
        (999_999_999, 0),
        "0.9 of the credits take all of the vault's AKT"
    );
}

#[derive(Deserialize)]
struct Render {
    salad_scenarios: Vec<Salad>,
    rnp019: Rnp019,
    monthly: Monthly,
}

#[derive(Deserialize)]
struct Salad {
    product: String,
    spend_usd: f64,
    burn_pct: f64,
    reward_pct: f64,
    burn_price: f64,
    reward_price: f64,
    expect_burn: f64,
    expect_reward: f64,
}

#[derive(Deserialize)]
struct Rnp019 {
    example: JobReward,
    availability_per_epoch: f64,
}

#[derive(Deserialize)]
struct JobReward {
    multiplier: f64,
    hours: f64,
    expect: f64,
}

#[derive(Deserialize)]
struct Monthly {
    year1: f64,
    year1_total: f64,
}

/// The proposals write two digits.
const TWO_DIGITS: f64 = 0.005 + 1e-9;

#[test]
fn salads_scenarios_burn_and_reward_as_proposed() {
    let Render { salad_scenarios, .. } = vectors::read("render-bme.json");
    for case in salad_scenarios {
        let named = match case.product.as_str() {
            "SCE" => SaladProduct::CONTAINERS,
            "SGS" => SaladProduct::BANDWIDTH,
            other => panic!("{other}"),
        };
        let product = SaladProduct { burned: case.burn_pct / 100.0, rewarded: case.reward_pct / 100.0 };
        vectors::assert_near(
            "product",
            &[named.burned, named.rewarded],
            &[product.burned, product.rewarded],
            1e-12,
        );
        let ours = [
            product.burned_render(case.spend_usd, case.burn_price),
            product.rewarded_render(case.spend_usd, case.reward_price),
        ];
        vectors::assert_near("burn and reward", &ours, &[case.expect_burn, case.expect_reward], TWO_DIGITS);
    }
}

#[test]
fn renders_rewards_and_emission_are_the_proposed_ones() {
    let Render { rnp019, monthly, .. } = vectors::read("render-bme.json");
    let JobReward { multiplier, hours, expect } = rnp019.example;
    let reward = render::job_reward_render(render::JOB_BASE_RENDER, multiplier, hours);
    vectors::assert_near("job reward", &[reward], &[expect], TWO_DIGITS);
    assert_eq!(render::availability_reward_render(1.0), rnp019.availability_per_epoch);
    assert_eq!(render::monthly_emission_render(1), monthly.year1);
    assert_eq!(render::emitted_render(12), monthly.year1_total);
    let holder = render::upgrade_reward_render(100_000, render::upgrade_points(0), 10_000_000, 95_071.0);
    vectors::assert_near("holder of 100,000 in month one", &[holder], &[950.71], TWO_DIGITS);
}
