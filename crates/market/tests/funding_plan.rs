//! Which way of paying suits what: by size, time and the price of the chain.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use market::{
    funding::{
        CLAIM_COSTS_PER_SLICE, DUST_LIMIT, Funding, HOLD_BLOCKS_MAX, SLICES_MAX,
        plan::{Plan, PlanError, Way, Work, Worked, plan},
    },
    rules::Rules,
    units::Msat,
};
use proptest::prelude::*;

const HOUR_MS: u64 = 3_600_000;

fn sats(sats: u64) -> Msat {
    Msat(sats * 1_000)
}

fn of(amount_sat: u64, hours: u64, claim_cost_sat: u64) -> Plan {
    let work = Work {
        amount_msat: sats(amount_sat),
        duration_ms: hours * HOUR_MS,
        timeout_ms: 600_000,
        claim_cost_msat: sats(claim_cost_sat),
    };
    plan(&Rules::RECOMMENDED, work).unwrap()
}

fn way(plan: &Plan, way: Way) -> &Worked {
    plan.ways.iter().find(|worked| worked.way == way).unwrap()
}

#[test]
fn the_way_goes_by_size_time_and_the_price_of_the_chain() {
    // amount, hours, cost of a claim, way, payment, number of payments, blocks of a hold
    let table = [
        (1_000, 1, 1_500, Way::Session, 354, 3, None),
        (250_000, 2, 1_500, Way::Hold, 31_250, 8, Some(29)),
        (250_000, 3, 1_500, Way::Session, 20_834, 12, Some(35)),
        (250_000, 1, 9_000, Way::Session, 62_500, 4, Some(23)),
        (10_000_000, 1, 9_000, Way::Hold, 1_250_000, 8, Some(23)),
        (10_000_000, 100, 9_000, Way::Session, 25_000, 400, Some(617)),
        (300, 1, 0, Way::Session, 300, 1, None),
    ];
    for (amount, hours, claim_cost, chosen, payment, payments, blocks) in table {
        let plan = of(amount, hours, claim_cost);
        let best = way(&plan, plan.chosen);
        let seen = (plan.chosen, best.payment_msat, best.payments, way(&plan, Way::Hold).expiry_blocks);
        assert_eq!(seen, (chosen, sats(payment), payments, blocks), "{amount} sat in {hours} h: {plan:?}");
    }
}

#[test]
fn what_was_not_chosen_says_why() {
    let plan = of(1_000, 1, 1_500);
    assert_eq!(way(&plan, Way::Session).not_chosen, None);
    let why = way(&plan, Way::Hold).not_chosen.as_deref().unwrap();
    assert!(why.contains("15000 sat") && why.contains("1000 sat"), "{why}");
    let why = way(&plan, Way::WholeBudget).not_chosen.as_deref().unwrap();
    assert!(why.contains("1000 sat") && why.contains("with a session 442.500 sat"), "{why}");
}

#[test]
fn a_lease_that_is_too_long_for_a_hold_rolls() {
    let plan = of(80_000_000, 400, 1_000);
    let hold = way(&plan, Way::Hold);
    assert_eq!((hold.periods, hold.payments), (3, 24));
    assert!(hold.expiry_blocks.is_some_and(|blocks| blocks <= HOLD_BLOCKS_MAX), "{hold:?}");
}

#[test]
fn nothing_is_no_plan() {
    let work = Work { amount_msat: Msat::ZERO, duration_ms: 1, timeout_ms: 1, claim_cost_msat: Msat::ZERO };
    assert_eq!(plan(&Rules::RECOMMENDED, work), Err(PlanError::Nothing));
}

proptest! {
    #[test]
    fn every_hold_is_within_its_limits(
        amount in 1u64..10_000_000_000_000, duration in 1u64..10_000 * HOUR_MS, timeout in 1u64..40 * HOUR_MS,
        claim_cost in 0u64..100_000_000,
    ) {
        let work = Work {
            amount_msat: Msat(amount), duration_ms: duration, timeout_ms: timeout, claim_cost_msat: Msat(claim_cost),
        };
        let plan = plan(&Rules::RECOMMENDED, work).unwrap();
        let hold = way(&plan, Way::Hold);
        prop_assert_eq!(plan.ways.iter().filter(|worked| worked.not_chosen.is_none()).count(), 1);
        if let Some(Funding::Hold { slice_msat, slices }) = hold.funding {
            prop_assert!((1..=SLICES_MAX).contains(&slices));
            prop_assert!(slice_msat.0 >= CLAIM_COSTS_PER_SLICE * claim_cost && slice_msat >= DUST_LIMIT);
            prop_assert!(hold.expiry_blocks.unwrap() <= HOLD_BLOCKS_MAX, "{:?}", hold);
            let all = slice_msat.0 * u64::from(slices) * hold.periods;
            prop_assert!(all >= amount && hold.payments == u64::from(slices) * hold.periods);
        }
    }
}
