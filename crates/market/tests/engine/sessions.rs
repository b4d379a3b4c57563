//! Jobs that are paid for by one prepayment after another.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::world::*;
use market::{
    command::Command,
    engine::state::JobPhase,
    event::{Event, JobOutcome},
    funding::Funding,
    id::JobId,
    job::Verification,
    ledger::Account,
    offer::OfferRole,
    order::OrderTerms,
    receipt::ReceiptBody,
    rejection::Rejection,
    units::{Msat, Rate},
};

fn session(rate: Rate, prepay: u64, budget: u64) -> OrderTerms {
    let funding = Some(Funding::Session { prepay_msat: Msat(prepay) });
    OrderTerms { funding, ..order_terms(1, rate, Msat(budget)) }
}

fn escrow(world: &World, job: JobId) -> Msat {
    world.engine.state().ledger.balance(Account::Escrow(job)).posted
}

fn outcome(world: &World, job: JobId) -> Option<JobOutcome> {
    match world.engine.state().job(job).phase {
        JobPhase::Settled { outcome, .. } => Some(outcome),
        JobPhase::Active | JobPhase::Ended { .. } => None,
    }
}

#[test]
fn no_more_than_a_prepayment_is_locked_and_the_next_is_taken_at_a_quarter() {
    let mut world = World::new();
    let rate = Rate::per_task(Msat(1_000));
    let worker = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(100_000));
    let job = world.place(&buyer, session(rate, 8_000, 40_000), job(20, Verification::None)).unwrap();
    assert_eq!((escrow(&world, job), world.available(buyer.party)), (Msat(8_000), Msat(92_000)));
    world.start(&worker);
    let first = world.claim(&worker, 6);
    world.commit(&worker, &first).unwrap();
    world.reveal(&worker);
    assert_eq!(escrow(&world, job), Msat(2_000), "a quarter is left, and that is enough");
    let next = world.claim(&worker, 1);
    assert_eq!(next.len(), 1);
    assert_eq!(escrow(&world, job), Msat(10_000), "less than a quarter is free: the next one is there");
    world.commit(&worker, &next).unwrap();
    world.work(&[&worker]);
    assert_eq!(outcome(&world, job), Some(JobOutcome::Completed));
    assert_eq!(world.available(buyer.party), Msat(80_000), "what is left comes back");
    let body = ReceiptBody::of(world.engine.state(), job, JobOutcome::Completed, Msat(4_000));
    assert_eq!((body.v, body.funded_msat), (3, Some(Msat(24_000))));
}

#[test]
fn a_session_without_money_pauses_and_goes_on_when_money_comes() {
    let mut world = World::new();
    let rate = Rate::per_task(Msat(1_000));
    let worker = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(8_000));
    let job = world.place(&buyer, session(rate, 8_000, 20_000), job(12, Verification::None)).unwrap();
    world.work(&[&worker]);
    assert_eq!(outcome(&world, job), None, "it waits");
    let low = world.events.iter().filter(|event| matches!(event, Event::SessionLow { .. })).count();
    assert_eq!(low, 1, "said once");
    let lease = world.leases_of(&worker)[0];
    assert_eq!(world.engine.claimable(lease), 0, "there is nothing to pay a claim with");
    world.fund(&buyer.key, Msat(8_000));
    assert!(world.engine.claimable(lease) > 0);
    world.work(&[&worker]);
    assert_eq!(outcome(&world, job), Some(JobOutcome::Completed));
}

#[test]
fn a_session_that_nobody_pays_for_ends() {
    let mut world = World::new();
    let rate = Rate::per_task(Msat(1_000));
    let worker = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(3_000));
    let job = world.place(&buyer, session(rate, 3_000, 20_000), job(12, Verification::None)).unwrap();
    world.work(&[&worker]);
    let grace = world.engine.rules().session_grace_ms;
    world.wait(grace);
    assert_eq!(outcome(&world, job), Some(JobOutcome::OutOfFunds));
    assert_eq!(world.available(worker.party), Msat(1_000 + 2_940), "three tasks, less the fee");
}

#[test]
fn by_time_a_lease_is_paid_for_longer_before_it_ends() {
    let mut world = World::new();
    let rate = Rate::per_hour(Msat(3_600_000)); // 1 msat a millisecond
    let worker = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(4_000_000));
    let job = world.place(&buyer, session(rate, 900_000, 3_600_000), job(1, Verification::None)).unwrap();
    world.start(&worker);
    let lease = world.leases_of(&worker)[0];
    assert_eq!(world.engine.state().lease(lease).max_ms, 900_000, "a quarter of an hour");
    world.wait(675_000);
    assert_eq!(
        world.engine.state().lease(lease).max_ms,
        1_800_000,
        "paid for longer, a quarter before its end"
    );
    assert_eq!(world.available(buyer.party), Msat(4_000_000 - 1_800_000));
    world.wait(500_000);
    world.apply(buyer.key.public(), Command::CancelJob { job }).unwrap();
    assert_eq!(
        world.available(buyer.party),
        Msat(4_000_000 - 1_175_000),
        "the time that it ran, and no more"
    );
}

#[test]
fn a_prepayment_is_taken_for_a_task_that_costs_more_than_is_left() {
    let mut world = World::new();
    let rate = Rate::per_task(Msat(3_000));
    let worker = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(100_000));
    // Each leaves 2 000 of its 8 000: no little, and not enough.
    let job = world.place(&buyer, session(rate, 8_000, 60_000), job(20, Verification::None)).unwrap();
    world.work(&[&worker]);
    assert_eq!(outcome(&world, job), Some(JobOutcome::Completed));
    assert_eq!(world.available(buyer.party), Msat(40_000));
}

#[test]
fn no_prepayment_is_taken_for_a_lease_that_nobody_offers() {
    let mut world = World::new();
    let rate = Rate::per_hour(Msat(3_600_000));
    let worker = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(40_000_000));
    let terms = OrderTerms { slots: 9, ..session(rate, 900_000, 32_400_000) };
    world.place(&buyer, terms, job(1, Verification::None)).unwrap();
    assert_eq!(world.leases_of(&worker).len(), 4, "as many as the machine has cores");
    assert_eq!(world.available(buyer.party), Msat(40_000_000 - 4 * 900_000), "one for each lease");
    world.wait(1_000);
    assert_eq!(world.available(buyer.party), Msat(40_000_000 - 4 * 900_000));
}

#[test]
fn a_prepayment_of_next_to_nothing_or_above_the_budget_is_refused() {
    let mut world = World::new();
    let buyer = world.buyer(Msat(100_000));
    for prepay in [0, 20, 20_001] {
        let terms = session(Rate::per_task(Msat(1_000)), prepay, 20_000);
        let refused = world.place(&buyer, terms, job(1, Verification::None));
        assert!(matches!(refused, Err(Rejection::Flaw(_))), "{refused:?}");
    }
}
