//! A venue that withholds its audit links.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::world::*;
use market::{
    command::Command,
    engine::state::JobPhase,
    event::{Event, JobOutcome, PlacedEvent},
    id::{AttemptId, Digest, JobId},
    job::{JobSpec, Verification},
    ledger::Account,
    log::{PublicLog, SignedHead},
    offer::OfferRole,
    receipt::{BadReceipt, Receipt, ReceiptBody},
    rejection::Rejection,
    rules::Rules,
    units::{Msat, Rate},
    verify::Deterrence,
};

const AUDIT: Verification = Verification::Audit { floor_ppm: 0 };

fn work(msat: u64) -> market::offer::OfferTerms {
    offer_terms(OfferRole::Work, Rate::per_task(Msat(msat)))
}

fn audits(msat: u64) -> market::offer::OfferTerms {
    offer_terms(OfferRole::Audit, Rate::per_task(Msat(msat)))
}

fn terms(budget: u64) -> market::order::OrderTerms {
    order_terms(1, Rate::per_task(Msat(1_000)), Msat(budget))
}

fn market_job(verification: Verification) -> JobSpec {
    job(3, verification)
}

/// A job of three tasks, all committed in one batch, whose venue link is withheld if `withholds`.
fn commit_job(world: &mut World, buyer: &Buyer, worker: &Provider, withholds: bool) -> JobId {
    world.venue_reveals = !withholds;
    let job = world.place(buyer, terms(100_000), market_job(AUDIT)).unwrap();
    world.start(worker);
    let attempts = world.claim(worker, 3);
    world.commit(worker, &attempts).unwrap();
    job
}

/// The same, and everybody works until it is settled.
fn run_job(world: &mut World, buyer: &Buyer, everybody: &[&Provider], withholds: bool) -> JobId {
    let job = commit_job(world, buyer, everybody[0], withholds);
    if withholds || !world.buyer_answers {
        world.wait(world.engine.rules().link_grace_ms);
    }
    world.work(everybody);
    job
}

#[test]
fn a_history_under_the_first_rules_keeps_its_events() {
    let mut world = World::new();
    let a = world.provider(work(100), Msat(5_000), honest);
    let b = world.provider(audits(100), Msat(5_000), honest);
    let buyer = world.buyer(Msat(1_000_000));
    run_job(&mut world, &buyer, &[&a, &b], true);
    world.as_venue(Command::ActivateRules { version: 2 });
    run_job(&mut world, &buyer, &[&a, &b], true);
    commit_job(&mut world, &buyer, &a, false);
    world.wait(world.engine.rules().link_grace_ms);
    world.work(&[&a, &b]);
    // What the public log is made of. The state's encoding may change with the program; this may not.
    let events: Vec<_> = world.events.iter().map(|event| serde_json::to_vec(event).unwrap()).collect();
    let events: Vec<_> = events.iter().map(Vec::as_slice).collect();
    let digest = Digest::of_parts("test", &events).to_string();
    assert_eq!(digest, "d5c860a4bab128a0a05424832553cc87a7e67055a227aa564cfd76392fc828e9");
}

/// A market under the rules that make the venue pay, with so much of the operator's money.
fn paying(income: u64) -> (World, Provider, Provider, Buyer) {
    let mut world = World::new();
    world.as_venue(Command::ActivateRules { version: Rules::RECOMMENDED.version });
    if income > 0 {
        let (_, operator) = world.party("operator", Msat(income));
        world.apply(operator.public(), Command::FundVenue { amount_msat: Msat(income) }).unwrap();
    }
    let a = world.provider(work(100), Msat(5_000), honest);
    let b = world.provider(audits(100), Msat(5_000), honest);
    let buyer = world.buyer(Msat(1_000_000));
    (world, a, b, buyer)
}

fn settled(world: &World, job: JobId) -> Msat {
    let JobPhase::Settled { outcome: JobOutcome::Completed, refunded_msat, .. } =
        world.engine.state().job(job).phase
    else {
        panic!("{job} is not completed")
    };
    refunded_msat
}

fn receipt(world: &World, job: JobId) -> ReceiptBody {
    let refunded_msat = settled(world, job);
    ReceiptBody::of(world.engine.state(), job, JobOutcome::Completed, refunded_msat)
}

#[test]
fn a_withheld_venue_link_is_paid_for_by_the_operator() {
    let (mut world, a, b, buyer) = paying(10_000);
    let job = run_job(&mut world, &buyer, &[&a, &b], true);
    // Three replicas at the ceiling of 1000 msat, out of the operator's 10 000; 600 msat of work earn 12 msat of fees.
    assert_eq!(world.balance(Account::Fees), Msat(10_000 - 3_000 + 12));
    assert_eq!(world.engine.state().venue_owes(), Msat::ZERO);
    // The buyer pays for three tasks and three replicas, and is given 3000 msat for it.
    assert_eq!(world.available(buyer.party), Msat(1_000_000 - 600 + 3_000));
    let charged =
        |event: &Event| matches!(event, Event::VenueCharged { amount_msat: Msat(3_000), round: 0, .. });
    assert!(world.events.iter().any(charged));
    let receipt = receipt(&world, job);
    assert_eq!((receipt.v, receipt.venue_paid_msat, receipt.budget_msat), (2, Msat(3_000), Msat(100_000)));
    assert_eq!(receipt.refunded_msat, Msat(100_000 + 3_000 - 600));
}

#[test]
fn providers_and_validators_are_paid_alike_whoever_withholds() {
    let earned = |withholds: bool| {
        let (mut world, a, b, buyer) = paying(0);
        run_job(&mut world, &buyer, &[&a, &b], withholds);
        (world.available(a.party), world.available(b.party))
    };
    // Newcomers are audited every time in any case: the same work, the same pay.
    assert_eq!(earned(true), earned(false));
}

#[test]
fn the_older_rules_leave_a_withheld_link_to_the_budget() {
    for version in [1, 2] {
        let (mut world, a, b, buyer) = paying(10_000);
        world.as_venue(Command::ActivateRules { version });
        let job = run_job(&mut world, &buyer, &[&a, &b], true);
        assert_eq!(settled(&world, job), Msat(100_000 - 600));
        assert!(world.engine.state().venue_debts.is_empty());
        assert_eq!(receipt(&world, job).v, 1);
    }
}

#[test]
fn a_link_that_comes_costs_the_operator_nothing() {
    let (mut world, a, b, buyer) = paying(10_000);
    run_job(&mut world, &buyer, &[&a, &b], false);
    assert_eq!(world.balance(Account::Fees), Msat(10_000 + 12));
    assert!(world.engine.state().venue_debts.is_empty());
}

#[test]
fn an_operator_that_keeps_the_buyers_link_away_as_well_pays_all_the_same() {
    let (mut world, a, b, buyer) = paying(10_000);
    world.buyer_answers = false;
    run_job(&mut world, &buyer, &[&a, &b], true);
    assert_eq!(world.balance(Account::Fees), Msat(10_000 - 3_000 + 12));
}

#[test]
fn a_buyer_that_withholds_gets_nothing_from_the_operator() {
    let (mut world, a, b, buyer) = paying(10_000);
    world.buyer_answers = false;
    let job = run_job(&mut world, &buyer, &[&a, &b], false);
    assert_eq!(settled(&world, job), Msat(100_000 - 600));
    assert_eq!(world.balance(Account::Fees), Msat(10_000 + 12));
}

#[test]
fn an_operator_without_money_owes_and_gets_no_verified_job_until_it_has_paid() {
    let (mut world, a, b, buyer) = paying(1_000);
    let job = run_job(&mut world, &buyer, &[&a, &b], true);
    // The 1000 msat went at once, the fees of the job itself followed them.
    assert_eq!(world.balance(Account::Fees), Msat::ZERO);
    assert_eq!(world.engine.state().venue_owes(), Msat(3_000 - 1_000 - 12));
    let owed = world.engine.state().venue_owes();
    let refused = world.place(&buyer, terms(100_000), market_job(AUDIT)).unwrap_err();
    assert_eq!(refused, Rejection::VenueOwes { owed });
    world.place(&buyer, terms(100_000), market_job(Verification::None)).unwrap();

    let before = world.available(buyer.party);
    let (_, operator) = world.party("operator", Msat(5_000));
    world.apply(operator.public(), Command::FundVenue { amount_msat: Msat(5_000) }).unwrap();
    assert_eq!(world.available(buyer.party), Msat(before.0 + owed.0), "what is owed after settlement");
    assert_eq!(world.balance(Account::Fees), Msat(5_000 - owed.0));
    assert_eq!(receipt(&world, job).venue_paid_msat, Msat(1_000 + 12), "the settled books stay as they were");
    world.venue_reveals = true;
    world.place(&buyer, terms(100_000), market_job(AUDIT)).unwrap();
}

#[test]
fn all_income_goes_to_what_is_owed_the_oldest_charge_first() {
    let (mut world, a, b, buyer) = paying(0);
    world.venue_reveals = false;
    let jobs: Vec<_> =
        (0..2).map(|_| world.place(&buyer, terms(100_000), market_job(AUDIT)).unwrap()).collect();
    world.start(&a);
    let attempts = world.claim(&a, 3);
    world.commit(&a, &attempts).unwrap();
    world.wait(world.engine.rules().link_grace_ms);
    world.venue_reveals = true;
    world.work(&[&a, &b]);
    let owed = |world: &World, job| world.engine.state().venue_owes_for(job);
    // Each settled with fees of 12 msat; all 24 went to the first.
    assert_eq!((owed(&world, jobs[0]), owed(&world, jobs[1])), (Msat(3_000 - 24), Msat(3_000)));
    let (_, operator) = world.party("operator", Msat(4_000));
    world.apply(operator.public(), Command::FundVenue { amount_msat: Msat(4_000) }).unwrap();
    assert_eq!((owed(&world, jobs[0]), owed(&world, jobs[1])), (Msat::ZERO, Msat(6_000 - 24 - 4_000)));
}

#[test]
fn a_debt_that_is_older_is_paid_before_that_of_an_older_job() {
    let (mut world, a, _, buyer) = paying(0);
    world.venue_reveals = false;
    let [older, younger] = [(); 2].map(|()| world.place(&buyer, terms(100_000), market_job(AUDIT)).unwrap());
    world.start(&a);
    let attempts = world.claim(&a, 3);
    let of = |world: &World, job| {
        let is_its = |attempt: &AttemptId| world.engine.state().attempt(*attempt).job == job;
        attempts.iter().copied().filter(|(attempt, _)| is_its(attempt)).collect::<Vec<_>>()
    };
    for job in [younger, older] {
        let batch = of(&world, job);
        assert_eq!(batch.len(), 3);
        world.commit(&a, &batch).unwrap();
        world.wait(world.engine.rules().link_grace_ms);
    }
    let (_, operator) = world.party("operator", Msat(4_000));
    world.apply(operator.public(), Command::FundVenue { amount_msat: Msat(4_000) }).unwrap();
    let owed = |job| world.engine.state().venue_owes_for(job);
    assert_eq!((owed(younger), owed(older)), (Msat::ZERO, Msat(2_000)));
}

#[test]
fn the_operators_own_jobs_get_nothing_from_its_income() {
    let (mut world, a, b, buyer) = paying(10_000);
    world.as_venue(Command::DeclareOwn { party: buyer.party });
    run_job(&mut world, &buyer, &[&a, &b], true);
    assert_eq!(world.balance(Account::Fees), Msat(10_000 + 12));
    assert!(!world.events.iter().any(|event| matches!(event, Event::VenueCharged { .. })));
}

#[test]
fn declaring_a_buyer_its_own_after_the_order_is_no_way_out() {
    let (mut world, a, b, buyer) = paying(10_000);
    let job = commit_job(&mut world, &buyer, &a, true);
    world.as_venue(Command::DeclareOwn { party: buyer.party });
    world.wait(world.engine.rules().link_grace_ms);
    world.work(&[&a, &b]);
    assert_eq!(receipt(&world, job).venue_paid_msat, Msat(3_000));
}

#[test]
fn by_time_a_replica_is_charged_for_the_whole_timeout_of_its_task() {
    let (mut world, _, _, buyer) = paying(1_000_000);
    let rate = Rate::per_hour(Msat(3_600_000));
    let worker = world.provider(offer_terms(OfferRole::Work, rate), Msat(5_000), honest);
    let mut terms = order_terms(1, rate, Msat(600_000));
    terms.lease_max_ms = 600_000;
    world.venue_reveals = false;
    let job = world.place(&buyer, terms, market_job(AUDIT)).unwrap();
    world.start(&worker);
    let attempts = world.claim(&worker, 3);
    world.now = world.now.plus(100);
    world.commit(&worker, &attempts).unwrap();
    assert_eq!(world.engine.state().job(job).mean_task_ms, 100, "much less than the timeout");
    world.wait(world.engine.rules().link_grace_ms);
    // Three replicas of at most 60 000 ms at 1 msat each.
    assert_eq!(world.engine.state().venue_paid(job), Msat(180_000));
}

#[test]
fn what_is_owed_outlives_the_job_and_is_forgotten_once_paid() {
    let (mut world, a, b, buyer) = paying(0);
    let job = run_job(&mut world, &buyer, &[&a, &b], true);
    world.wait(2 * 86_400_000);
    assert!(world.engine.state().jobs.get(job).is_none());
    let owed = world.engine.state().venue_owes();
    assert_eq!(owed, Msat(3_000 - 12));
    let before = world.available(buyer.party);
    let (_, operator) = world.party("operator", owed);
    world.apply(operator.public(), Command::FundVenue { amount_msat: owed }).unwrap();
    assert_eq!(world.available(buyer.party), Msat(before.0 + owed.0));
    assert!(world.engine.state().venue_debts.is_empty());
}

#[test]
fn a_withheld_link_never_costs_more_than_the_budget() {
    let (mut world, a, b, buyer) = paying(1_000_000);
    world.venue_reveals = false;
    // By fuel, at a limit far above what a task uses.
    let mut terms = order_terms(1, Rate::per_giga_fuel(Msat(1_000_000)), Msat(4_000));
    terms.needs.min_bond_msat = Msat(5_000);
    let cheap = offer_terms(OfferRole::Work, Rate::per_giga_fuel(Msat(1_000)));
    let c = world.provider(cheap, Msat(5_000), honest);
    let d =
        world.provider(offer_terms(OfferRole::Audit, Rate::per_giga_fuel(Msat(1_000))), Msat(5_000), honest);
    let job = world.place(&buyer, terms, market_job(AUDIT)).unwrap();
    world.start(&c);
    let attempts = world.claim(&c, 3);
    world.commit(&c, &attempts).unwrap();
    world.wait(world.engine.rules().link_grace_ms);
    world.work(&[&a, &b, &c, &d]);
    assert_eq!(receipt(&world, job).venue_paid_msat, Msat(3_000));
}

#[test]
fn a_job_that_the_buyer_ended_charges_nobody() {
    let (mut world, a, _, buyer) = paying(10_000);
    world.venue_reveals = false;
    let job = world.place(&buyer, terms(100_000), market_job(AUDIT)).unwrap();
    world.start(&a);
    let attempts = world.claim(&a, 3);
    world.commit(&a, &attempts).unwrap();
    world.apply(buyer.key.public(), Command::CancelJob { job }).unwrap();
    world.work(&[&a]);
    world.wait(world.engine.rules().link_grace_ms);
    assert!(world.engine.state().venue_debts.is_empty());
    assert_eq!(world.balance(Account::Fees), Msat(10_000 + 6));
}

#[test]
fn nobody_gives_the_operator_more_than_it_has() {
    let (mut world, _, _, buyer) = paying(0);
    let fund =
        |world: &mut World, key, msat| world.apply(key, Command::FundVenue { amount_msat: Msat(msat) });
    let refused = fund(&mut world, buyer.key.public(), 1_000_001).unwrap_err();
    assert!(matches!(refused, Rejection::InsufficientFunds { .. }), "{refused:?}");
    assert!(matches!(fund(&mut world, buyer.key.public(), 0), Err(Rejection::Flaw(_))));
    let venue = world.venue.public();
    assert!(matches!(fund(&mut world, venue, 1), Err(Rejection::NotAllowed { .. })));
}

/// The receipt of a settled job, signed and proven as the venue does it.
fn proven(world: &World, body: ReceiptBody) -> Receipt {
    let event = Event::JobSettled {
        job: body.job,
        buyer: body.buyer,
        outcome: body.outcome,
        paid_msat: body.paid_msat,
        refunded_msat: body.refunded_msat,
        receipt: body.digest(),
    };
    let placed = PlacedEvent { position: body.position, index: 0, at_ms: world.now, event };
    let leaf = serde_json::to_string(&placed).unwrap();
    let mut log = PublicLog::new();
    log.append(leaf.as_bytes());
    let head = SignedHead::sign(log.head(), world.now, &world.venue);
    Receipt::sign(body, &world.venue, leaf, log.inclusion_proof(0, 1).unwrap(), head)
}

#[test]
fn a_receipt_adds_up_with_what_the_venue_paid_and_not_without() {
    let (mut world, a, b, buyer) = paying(10_000);
    let job = run_job(&mut world, &buyer, &[&a, &b], true);
    let body = receipt(&world, job);
    assert_eq!(proven(&world, body.clone()).verify(None), Ok(()));
    let read: ReceiptBody = serde_json::from_str(&serde_json::to_string(&body).unwrap()).unwrap();
    assert_eq!(read, body);
    let hushed = ReceiptBody { venue_paid_msat: Msat::ZERO, ..body };
    assert!(matches!(proven(&world, hushed).verify(None), Err(BadReceipt::Sums(_))));
}

#[test]
fn a_receipt_says_what_the_terms_promised_against_cheating() {
    let promised = |version: u32, min_bond: u64| {
        let (mut world, a, b, buyer) = paying(0);
        world.as_venue(Command::ActivateRules { version: 4 });
        if version != 4 {
            world.as_venue(Command::ActivateRules { version });
        }
        let mut terms = terms(100_000);
        terms.needs.min_bond_msat = Msat(min_bond);
        let job = world.place(&buyer, terms, job(3, Verification::Audit { floor_ppm: 100_000 })).unwrap();
        world.work(&[&a, &b]);
        let body = receipt(&world, job);
        assert_eq!(proven(&world, body.clone()).verify(None), Ok(()));
        (body.v, body.deterrence())
    };
    let stakes = |bond: u64| {
        let audit = Verification::Audit { floor_ppm: 100_000 };
        Deterrence::new(&audit, 100_000, Msat::ZERO, Msat(bond), Msat(100))
    };
    assert_eq!(promised(3, 5_000), (2, stakes(5_000)));
    assert_eq!(promised(4, 0), (2, stakes(0)));
    assert_eq!(promised(1, 5_000), (1, stakes(0)), "older receipts do not name the bond");
}
