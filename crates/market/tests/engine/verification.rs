//! Replicas, audits, cheats.

use crate::world::*;
use market::{
    command::Command,
    engine::state::JobPhase,
    event::{Event, JobOutcome, RejectReason, Verdict},
    job::Verification,
    ledger::Account,
    offer::OfferRole,
    rejection::{Conflict, Rejection},
    units::{Msat, Rate},
};

fn liar(_: u32) -> u8 {
    66
}

fn work(msat: u64) -> market::offer::OfferTerms {
    offer_terms(OfferRole::Work, Rate::per_task(Msat(msat)))
}

fn terms(slots: u32) -> market::order::OrderTerms {
    order_terms(slots, Rate::per_task(Msat(1_000)), Msat(400_000))
}

const REPLICAS: Verification = Verification::Replicas { k: 2, n: 3, named: vec![] };
const AUDIT: Verification = Verification::Audit { floor_ppm: 50_000 };

#[test]
fn replicas_run_on_different_parties_and_all_who_agree_are_paid() {
    let mut world = World::new();
    let a = world.provider(work(100), Msat(1_000), honest);
    let b = world.provider(work(200), Msat(1_000), honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, terms(8), job(6, REPLICAS)).unwrap();
    world.work(&[&a, &b]);
    assert!(matches!(
        world.engine.state().job(job).phase,
        JobPhase::Settled { outcome: JobOutcome::Completed, .. }
    ));
    for task in world.engine.state().job(job).tasks.iter() {
        let parties: Vec<_> = task.judged.iter().map(|j| world.engine.state().lease(j.lease).party).collect();
        assert_eq!(parties.len(), 2);
        assert_ne!(parties[0], parties[1]);
    }
    assert_eq!(world.available(buyer.party), Msat(1_000_000 - 6 * 300));
}

#[test]
fn a_liar_among_replicas_loses_its_bond_and_pay_and_its_tasks_run_elsewhere() {
    let mut world = World::new();
    let a = world.provider(work(100), Msat(10_000), honest);
    let b = world.provider(work(100), Msat(10_000), honest);
    let crook = world.provider(work(90), Msat(50_000), liar);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, terms(12), job(8, REPLICAS)).unwrap();
    world.work(&[&a, &b, &crook]);
    assert!(matches!(
        world.engine.state().job(job).phase,
        JobPhase::Settled { outcome: JobOutcome::Completed, .. }
    ));
    assert_eq!(world.bond(crook.party), Msat::ZERO);
    assert_eq!(world.available(crook.party), Msat(1_000));
    assert!(world.balance(Account::Insurance) > Msat::ZERO);
    let wrong = world.events.iter().any(|event| {
        matches!(
            event,
            Event::AttemptJudged {
                verdict: Verdict::Rejected { reason: RejectReason::Wrong, evidence: Some(_) },
                ..
            }
        )
    });
    assert!(wrong);
    for task in world.engine.state().job(job).tasks.iter() {
        assert!(
            matches!(task.outcome, Some(market::event::TaskOutcome::Done { result, .. }) if result.output.0[0] == 1)
        );
    }
    assert_eq!(world.bond(a.party), Msat(10_000));
}

#[test]
fn a_newcomer_is_audited_every_time_and_a_lie_is_caught_at_once() {
    let mut world = World::new();
    let crook = world.provider(work(100), Msat(50_000), liar);
    let validators: Vec<_> = (0..3)
        .map(|_| {
            world.provider(offer_terms(OfferRole::Audit, Rate::per_task(Msat(100))), Msat(1_000), honest)
        })
        .collect();
    let buyer = world.buyer(Msat(1_000_000));
    world.place(&buyer, terms(1), job(4, AUDIT)).unwrap();
    let everybody: Vec<_> = std::iter::once(&crook).chain(&validators).collect();
    world.work(&everybody);
    assert_eq!(world.bond(crook.party), Msat::ZERO);
    assert!(world.engine.state().machine(crook.machine).offers.is_empty());
    // Whoever ran the replicas earned something for it, paid out or still withheld.
    let earnings =
        |v: &&Provider| world.available(v.party).0 + world.balance(Account::Earnings(v.party)).0 > 1_000;
    let earned = validators.iter().filter(earnings).count();
    assert!(earned >= 2, "{earned} validators earned");
}

#[test]
fn unverified_results_of_a_cheat_run_again_elsewhere() {
    let mut world = World::new();
    // Honest at first, so that its audit rate falls, then a liar.
    fn turns(task: u32) -> u8 {
        if task < 60 { 1 } else { 66 }
    }
    let crook = world.provider(work(100), Msat(50_000), turns);
    let validators: Vec<_> = (0..3)
        .map(|_| {
            world.provider(offer_terms(OfferRole::Audit, Rate::per_task(Msat(100))), Msat(1_000), honest)
        })
        .collect();
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, terms(1), job(100, Verification::Audit { floor_ppm: 100_000 })).unwrap();
    let mut everybody: Vec<_> = std::iter::once(&crook).chain(&validators).collect();
    world.work(&everybody);
    assert_eq!(world.bond(crook.party), Msat::ZERO, "the lie was never audited");
    let honest = world.provider(work(300), Msat::ZERO, honest);
    everybody.push(&honest);
    world.work(&everybody);
    let row = world.engine.state().job(job);
    assert!(matches!(row.phase, JobPhase::Settled { outcome: JobOutcome::Completed, .. }), "{:?}", row.phase);
    for task in row.tasks.iter() {
        assert!(
            matches!(task.outcome, Some(market::event::TaskOutcome::Done { result, .. }) if result.output.0[0] == 1)
        );
    }
    assert_eq!(world.available(crook.party), Msat(1_000), "a cheat keeps nothing that was withheld");
}

#[test]
fn a_withheld_buyer_link_costs_an_audit_of_the_whole_batch() {
    let mut world = World::new();
    world.buyer_answers = false;
    let a = world.provider(work(100), Msat::ZERO, honest);
    let b = world.provider(offer_terms(OfferRole::Audit, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, terms(1), job(3, Verification::Audit { floor_ppm: 0 })).unwrap();
    world.start(&a);
    let attempts = world.claim(&a, 3);
    world.commit(&a, &attempts).unwrap();
    world.work(&[&a, &b]);
    assert_eq!(world.engine.state().job(job).unfinished, 3);
    world.wait(world.engine.rules().link_grace_ms);
    world.work(&[&a, &b]);
    let withheld = |event: &Event| {
        matches!(event, Event::RoundSeeded { buyer_withheld: true, venue_withheld: false, .. })
    };
    assert!(world.events.iter().any(withheld));
    assert!(world.engine.state().job(job).tasks.iter().all(|task| task.judged.len() == 2));
    assert!(matches!(
        world.engine.state().job(job).phase,
        JobPhase::Settled { outcome: JobOutcome::Completed, .. }
    ));
}

#[test]
fn a_false_audit_link_is_refused() {
    let mut world = World::new();
    world.buyer_answers = false;
    let a = world.provider(work(100), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, terms(1), job(3, AUDIT)).unwrap();
    world.start(&a);
    let attempts = world.claim(&a, 1);
    world.commit(&a, &attempts).unwrap();
    let link = market::command::AuditLink { job, round: 0, link: market::id::Digest([0; 32]) };
    let rejection = world.apply(buyer.key.public(), Command::RevealBuyerLink(link)).unwrap_err();
    assert!(matches!(rejection, Rejection::BadLink { .. }), "{rejection:?}");
    assert!(world.reveal_buyer_link(job, 1).is_err(), "a later round's link is not due");
    world.reveal_buyer_link(job, 0).unwrap();
}

#[test]
fn nothing_is_revealed_before_its_replicas_are_committed() {
    let mut world = World::new();
    let a = world.provider(work(100), Msat::ZERO, honest);
    let b = world.provider(work(100), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    world.place(&buyer, terms(8), job(1, REPLICAS)).unwrap();
    world.start(&a);
    world.start(&b);
    let first = world.claim(&a, 1);
    world.commit(&a, &first[..1]).unwrap();
    let reveal = market::command::Reveal {
        attempt: first[0].0,
        salt: market::id::Digest([7; 32]),
        result: result(1),
        sale: None,
    };
    let early =
        world.apply(a.machine_key.public(), Command::RevealResults { reveals: vec![reveal] }).unwrap_err();
    let Rejection::Batch(reasons) = early else { panic!("{early:?}") };
    assert!(matches!(reasons[0], Rejection::Conflict { is: Conflict::NotOpen, .. }));
}

#[test]
fn a_result_that_does_not_open_its_seal_is_refused() {
    let mut world = World::new();
    let a = world.provider(work(100), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    world.place(&buyer, terms(1), job(1, Verification::None)).unwrap();
    world.start(&a);
    let attempts = world.claim(&a, 1);
    world.commit(&a, &attempts).unwrap();
    let reveal = market::command::Reveal {
        attempt: attempts[0].0,
        salt: market::id::Digest([7; 32]),
        result: result(2),
        sale: None,
    };
    let changed =
        world.apply(a.machine_key.public(), Command::RevealResults { reveals: vec![reveal] }).unwrap_err();
    let Rejection::Batch(reasons) = changed else { panic!("{changed:?}") };
    assert!(matches!(reasons[0], Rejection::SealBroken { .. }));
}

#[test]
fn a_drawn_party_that_does_not_come_is_replaced() {
    let mut world = World::new();
    let a = world.provider(work(100), Msat::ZERO, honest);
    let absent = world.provider(offer_terms(OfferRole::Audit, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, terms(1), job(1, AUDIT)).unwrap();
    world.work(&[&a]);
    assert_eq!(world.leases_of(&absent).len(), 1);
    let present =
        world.provider(offer_terms(OfferRole::Audit, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    for _ in 0..40 {
        world.wait(5_000);
        world.work(&[&a, &present]);
    }
    assert!(matches!(
        world.engine.state().job(job).phase,
        JobPhase::Settled { outcome: JobOutcome::Completed, .. }
    ));
    assert!(world.available(present.party) > Msat(1_000));
}

#[test]
fn the_operators_own_parties_and_the_buyer_are_never_drawn() {
    let mut world = World::new();
    let a = world.provider(work(100), Msat::ZERO, honest);
    let own = world.provider(offer_terms(OfferRole::Audit, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    world.as_venue(Command::DeclareOwn { party: own.party });
    let buyer = world.buyer(Msat(1_000_000));
    let (machine, key) = world.machine(&buyer.key, 4);
    world.offer(&key, machine, offer_terms(OfferRole::Audit, Rate::per_task(Msat(100))));
    world.place(&buyer, terms(1), job(1, AUDIT)).unwrap();
    world.work(&[&a]);
    assert!(world.leases_of(&own).is_empty());
    assert!(world.engine.state().machine(machine).leases.is_empty());
}

#[test]
fn an_audit_that_finds_nobody_leaves_the_task_undecided_and_the_buyer_whole() {
    let mut world = World::new();
    let a = world.provider(work(100), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let mut spec = job(1, AUDIT);
    spec.retries = 0;
    let job = world.place(&buyer, terms(1), spec).unwrap();
    world.work(&[&a]);
    world.wait(world.engine.rules().replica_wait_ms);
    assert!(matches!(
        world.engine.state().job(job).phase,
        JobPhase::Settled { outcome: JobOutcome::Partial, .. }
    ));
    assert_eq!(world.available(buyer.party), Msat(1_000_000));
}
