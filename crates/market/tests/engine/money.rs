//! Money in and out.

use crate::world::*;
use market::{
    command::{Command, TopUpOutcome, WithdrawalOutcome},
    effect::Effect,
    id::{PaymentHash, TopupId, WithdrawalId},
    ledger::Account,
    rejection::{Conflict, Rejection},
    units::Msat,
};

fn withdraw(amount: u64, hash: u8) -> Command {
    Command::Withdraw {
        bolt11: "lnbcrt1".into(),
        payment_hash: PaymentHash([hash; 32]),
        amount_msat: Msat(amount),
        max_fee_msat: Msat(100),
    }
}

fn outcome(outcome: WithdrawalOutcome) -> Command {
    Command::WithdrawalOutcome { withdrawal: WithdrawalId(1), outcome }
}

#[test]
fn a_withdrawal_is_journaled_before_it_is_paid_and_pays_only_what_it_cost() {
    let mut world = World::new();
    let (party, key) = world.party("p", Msat(10_000));
    world.apply(key.public(), withdraw(5_000, 1)).unwrap();
    assert!(matches!(world.effects.last(), Some(Effect::PayInvoice { .. })));
    assert_eq!(world.available(party), Msat(4_900));
    world.as_venue(outcome(WithdrawalOutcome::Sent { fee_msat: Msat(7) }));
    assert_eq!(world.available(party), Msat(4_993));
    assert_eq!(world.engine.state().ledger.held(), Msat(4_993));
}

#[test]
fn an_unknown_payment_stays_locked_until_somebody_knows() {
    let mut world = World::new();
    let (party, key) = world.party("p", Msat(10_000));
    world.apply(key.public(), withdraw(5_000, 1)).unwrap();
    world.as_venue(outcome(WithdrawalOutcome::Unknown));
    assert_eq!(world.available(party), Msat(4_900));
    let again = world.apply(key.public(), withdraw(1_000, 1));
    assert!(
        matches!(again, Err(Rejection::InvoiceUsed)),
        "the same invoice must not be paid twice: {again:?}"
    );
    world.as_venue(outcome(WithdrawalOutcome::Failed { reason: "no route".into() }));
    assert_eq!(world.available(party), Msat(10_000));
    world.apply(key.public(), withdraw(1_000, 1)).unwrap();
}

#[test]
fn an_outcome_that_comes_twice_is_refused() {
    let mut world = World::new();
    let (_, key) = world.party("p", Msat(10_000));
    world.apply(key.public(), withdraw(5_000, 1)).unwrap();
    world.as_venue(outcome(WithdrawalOutcome::Sent { fee_msat: Msat(0) }));
    let venue = world.venue.public();
    assert!(world.apply(venue, outcome(WithdrawalOutcome::Sent { fee_msat: Msat(0) })).is_err());
    let twice = Command::TopUpOutcome {
        topup: TopupId(1),
        outcome: TopUpOutcome::Received { amount_msat: Msat(10_000) },
    };
    assert!(world.apply(venue, twice).is_err());
}

#[test]
fn money_that_comes_after_its_invoice_expired_is_still_credited() {
    let mut world = World::new();
    let (party, key) = world.party("p", Msat::ZERO);
    world.apply(key.public(), Command::TopUp { amount_msat: Msat(5_000) }).unwrap();
    world.as_venue(Command::TopUpOutcome { topup: TopupId(1), outcome: TopUpOutcome::Expired });
    let received = TopUpOutcome::Received { amount_msat: Msat(5_000) };
    world.as_venue(Command::TopUpOutcome { topup: TopupId(1), outcome: received });
    assert_eq!(world.available(party), Msat(5_000));
}

#[test]
fn a_balance_is_capped() {
    let mut world = World::new();
    let (_, key) = world.party("p", Msat::ZERO);
    let cap = world.engine.rules().balance_cap_msat;
    let rejection = world.apply(key.public(), Command::TopUp { amount_msat: Msat(cap.0 + 1) }).unwrap_err();
    assert_eq!(rejection, Rejection::BalanceCap { cap });
}

#[test]
fn a_bond_cannot_be_taken_back_while_leases_are_open() {
    let mut world = World::new();
    let terms = offer_terms(market::offer::OfferRole::Work, market::units::Rate::per_task(Msat(100)));
    let provider = world.provider(terms, Msat(5_000), honest);
    let buyer = world.buyer(Msat(100_000));
    let ceiling = market::units::Rate::per_task(Msat(100));
    world
        .place(&buyer, order_terms(1, ceiling, Msat(1_000)), job(1, market::job::Verification::None))
        .unwrap();
    let unlock = Command::UnlockBond { amount_msat: Msat(5_000) };
    let early = world.apply(provider.key.public(), unlock.clone());
    assert!(matches!(early, Err(Rejection::Conflict { is: Conflict::HasLeases, .. })), "{early:?}");
    world.work(&[&provider]);
    world.apply(provider.key.public(), unlock).unwrap();
    assert_eq!(world.balance(Account::Bond(provider.party)), Msat::ZERO);
}
