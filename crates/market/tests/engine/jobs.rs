//! Jobs from order to settlement.

use crate::world::*;
use market::{
    command::{Abandon, AbandonReason, Command},
    engine::{
        Engine,
        state::{JobPhase, LeasePhase},
    },
    event::{Event, JobOutcome, RejectReason, Verdict},
    id::JobId,
    job::Verification,
    lease::CloseReason,
    ledger::Account,
    offer::OfferRole,
    rejection::{Conflict, Rejection},
    units::{Msat, Rate, Unit},
};

fn outcome(world: &World, job: JobId) -> JobOutcome {
    match world.engine.state().job(job).phase {
        JobPhase::Settled { outcome, .. } => outcome,
        other => panic!("{job} is {other:?}"),
    }
}

#[test]
fn a_job_is_paid_to_the_millisatoshi_and_the_rest_comes_back() {
    let mut world = World::new();
    let rate = Rate::per_task(Msat(1_001));
    let cheap = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let terms = order_terms(2, Rate::per_task(Msat(2_000)), Msat(100_000));
    let job = world.place(&buyer, terms, job(10, Verification::None)).unwrap();
    world.work(&[&cheap]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
    // Ten tasks at 1001 msat; two leases, each with a fee of 2 % of its pay, rounded down.
    assert_eq!(world.available(buyer.party), Msat(1_000_000 - 10_010));
    let fees = world.balance(Account::Fees);
    assert_eq!(world.available(cheap.party), Msat(1_000 + 10_010 - fees.0));
    assert!((199..=200).contains(&fees.0), "{fees:?}");
}

#[test]
fn the_cheapest_offers_win_the_slots_of_an_ask() {
    let mut world = World::new();
    let dear = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(900))), Msat::ZERO, honest);
    let cheap = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(300))), Msat::ZERO, honest);
    let too_dear =
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(3_000))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    world
        .place(
            &buyer,
            order_terms(5, Rate::per_task(Msat(1_000)), Msat(100_000)),
            job(10, Verification::None),
        )
        .unwrap();
    assert_eq!(world.leases_of(&cheap).len(), 4);
    assert_eq!(world.leases_of(&dear).len(), 1);
    assert_eq!(world.leases_of(&too_dear).len(), 0);
}

#[test]
fn open_slots_take_later_offers() {
    let mut world = World::new();
    let buyer = world.buyer(Msat(1_000_000));
    let terms = order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000));
    world.place(&buyer, terms, job(2, Verification::None)).unwrap();
    let late = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(300))), Msat::ZERO, honest);
    assert_eq!(world.leases_of(&late).len(), 1);
}

#[test]
fn the_budget_must_cover_every_task_and_be_there() {
    let mut world = World::new();
    let buyer = world.buyer(Msat(5_000));
    let ceiling = Rate::per_task(Msat(1_000));
    let small = world.place(&buyer, order_terms(1, ceiling, Msat(1_999)), job(2, Verification::None));
    assert!(matches!(small, Err(Rejection::Conflict { is: Conflict::BudgetTooSmall, .. })), "{small:?}");
    let unfunded = world.place(&buyer, order_terms(1, ceiling, Msat(6_000)), job(2, Verification::None));
    assert!(matches!(unfunded, Err(Rejection::InsufficientFunds { .. })), "{unfunded:?}");
    assert_eq!(world.available(buyer.party), Msat(5_000));
}

#[test]
fn a_budget_by_fuel_must_cover_every_task_too() {
    let mut world = World::new();
    let buyer = world.buyer(Msat(10_000));
    // A task may burn a million: a thousand msat, so two tasks may cost two thousand.
    let ceiling = Rate { msat: Msat(1), per: 1_000, unit: Unit::Fuel };
    let small = world.place(&buyer, order_terms(1, ceiling, Msat(1_999)), job(2, Verification::None));
    assert!(matches!(small, Err(Rejection::Conflict { is: Conflict::BudgetTooSmall, .. })), "{small:?}");
    world.place(&buyer, order_terms(1, ceiling, Msat(2_000)), job(2, Verification::None)).unwrap();
}

#[test]
fn a_lost_machines_tasks_run_elsewhere_and_its_slot_is_filled_again() {
    let mut world = World::new();
    let dying = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let other = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(200))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world
        .place(&buyer, order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000)), job(3, Verification::None))
        .unwrap();
    world.start(&dying);
    assert_eq!(world.claim(&dying, 2).len(), 2);
    assert!(world.leases_of(&other).is_empty());
    world.as_venue(Command::Liveness { lost: vec![dying.machine], back: vec![] });
    world.wait(world.engine.rules().lost_grace_ms);
    assert!(world.leases_of(&dying).is_empty());
    world.work(&[&other]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
    assert_eq!(world.available(dying.party), Msat(1_000));
}

#[test]
fn a_machine_that_comes_back_in_time_keeps_its_lease() {
    let mut world = World::new();
    let provider =
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world
        .place(&buyer, order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000)), job(3, Verification::None))
        .unwrap();
    world.start(&provider);
    let attempts = world.claim(&provider, 2);
    world.as_venue(Command::Liveness { lost: vec![provider.machine], back: vec![] });
    world.wait(world.engine.rules().lost_grace_ms / 2);
    world.as_venue(Command::Liveness { lost: vec![], back: vec![provider.machine] });
    world.commit(&provider, &attempts).unwrap();
    world.wait(world.engine.rules().lost_grace_ms);
    world.work(&[&provider]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
}

#[test]
fn a_lease_that_is_never_started_is_void_without_fault() {
    let mut world = World::new();
    let provider =
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat(5_000), honest);
    let buyer = world.buyer(Msat(1_000_000));
    world
        .place(&buyer, order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000)), job(3, Verification::None))
        .unwrap();
    world.wait(world.engine.rules().claim_grace_ms);
    let closed = world
        .events
        .iter()
        .any(|event| matches!(event, Event::LeaseClosed { reason: CloseReason::NeverStarted, .. }));
    assert!(closed);
    assert_eq!(world.bond(provider.party), Msat(5_000));
    assert!(world.engine.state().reputation.standing(provider.party, &"x86-64".parse().unwrap()).is_none());
}

#[test]
fn a_late_result_of_an_old_attempt_is_fenced_off() {
    let mut world = World::new();
    let slow = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    world
        .place(&buyer, order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000)), job(1, Verification::None))
        .unwrap();
    world.start(&slow);
    let old = world.claim(&slow, 1);
    world.wait(60_001);
    let again = world.claim(&slow, 1);
    assert_ne!(old, again);
    let late = world.commit(&slow, &old).unwrap_err();
    assert!(
        matches!(late, Rejection::Batch(ref all) if matches!(all[0], Rejection::Fenced { .. })),
        "{late:?}"
    );
    world.commit(&slow, &again).unwrap();
}

#[test]
fn retries_end_and_partial_results_are_kept() {
    let mut world = World::new();
    let provider =
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world
        .place(&buyer, order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000)), job(2, Verification::None))
        .unwrap();
    world.start(&provider);
    for _ in 0..4 {
        for (attempt, task) in world.claim(&provider, 2) {
            if task == 0 {
                let attempts = vec![Abandon { attempt, reason: AbandonReason::Memory }];
                world.apply(provider.machine_key.public(), Command::AbandonAttempts { attempts }).unwrap();
            } else {
                world.commit(&provider, &[(attempt, task)]).unwrap();
                world.reveal(&provider);
            }
        }
    }
    assert_eq!(outcome(&world, job), JobOutcome::Partial);
    assert_eq!(world.available(buyer.party), Msat(1_000_000 - 100));
}

#[test]
fn leases_by_the_hour_bill_their_time_once_and_refund_the_rest() {
    let mut world = World::new();
    let rate = Rate::per_hour(Msat(3_600_000));
    let provider = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(10_000_000));
    let job = world.place(&buyer, order_terms(1, rate, Msat(4_000_000)), job(2, Verification::None)).unwrap();
    world.start(&provider);
    world.now = world.now.plus(90_123);
    world.work(&[&provider]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
    let paid = 10_000_000 - world.available(buyer.party).0;
    assert!((90_123..90_400).contains(&paid), "{paid} msat for a little over 90 123 ms at 1 msat each");
}

#[test]
fn a_lease_by_the_hour_ends_before_it_is_unfunded() {
    let mut world = World::new();
    let rate = Rate::per_hour(Msat(3_600_000));
    let provider = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(10_000_000));
    let mut terms = order_terms(1, rate, Msat(1_000_000));
    terms.lease_max_ms = 1_000_000;
    let job = world.place(&buyer, terms, job(2, Verification::None)).unwrap();
    world.start(&provider);
    world.wait(2_000_000);
    let state = world.engine.state();
    let lease = state.job(job).leases[0];
    assert!(matches!(state.lease(lease).phase, LeasePhase::Closed { reason: CloseReason::Expired, .. }));
    assert_eq!(state.lease(lease).books.paid_msat, Msat(1_000_000));
}

#[test]
fn a_job_whose_rest_pays_for_a_moment_only_ends_and_is_refunded() {
    let mut world = World::new();
    let rate = Rate::per_hour(Msat(1_350_000));
    let provider = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(10_000));
    // One lease costs 3 750 msat, and 2 ms of another can be had for what is left.
    let mut terms = order_terms(1, rate, Msat(3_751));
    terms.lease_max_ms = 10_000;
    let job = world.place(&buyer, terms, job(2, Verification::None)).unwrap();
    world.start(&provider);
    world.wait(10_000);
    assert_eq!(outcome(&world, job), JobOutcome::OutOfFunds);
    assert_eq!(world.available(buyer.party), Msat(10_000 - 3_750));
}

#[test]
fn a_dearer_offer_of_better_reputation_ends_no_job_that_a_cheaper_one_can_serve() {
    let mut world = World::new();
    let (low, high) = (Rate::per_hour(Msat(3_600_000)), Rate::per_hour(Msat(3_600_360)));
    let cheap = world.provider(offer_terms(OfferRole::Work, low), Msat::ZERO, honest);
    let dear = world.provider(offer_terms(OfferRole::Work, high), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(100_000_000));
    // The cheaper one is late once, which costs it some of its reputation.
    let task = Rate::per_task(Msat(10_000_000));
    world.offer(&cheap.machine_key, cheap.machine, offer_terms(OfferRole::Work, task));
    let missed =
        world.place(&buyer, order_terms(1, task, Msat(20_000_000)), job(1, Verification::None)).unwrap();
    world.start(&cheap);
    assert_eq!(world.claim(&cheap, 1).len(), 1);
    world.wait(60_001);
    world.apply(buyer.key.public(), Command::CancelJob { job: missed }).unwrap();
    // One lease takes 10 001 msat; the 1000 that are left pay for a second at the lower price, for less at the higher.
    let mut terms = order_terms(1, high, Msat(11_001));
    terms.lease_max_ms = 10_000;
    let job = world.place(&buyer, terms, job(2, Verification::None)).unwrap();
    assert_eq!(world.leases_of(&dear).len(), 1, "the better one is tried first");
    world.start(&dear);
    world.wait(10_000);
    assert!(world.engine.state().job(job).is_active());
    assert_eq!(world.leases_of(&cheap).len(), 1);
    world.work(&[&cheap]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
}

#[test]
fn a_job_by_time_that_nobody_can_serve_waits() {
    let mut world = World::new();
    let rate = Rate::per_hour(Msat(3_600_000));
    let buyer = world.buyer(Msat(100_000));
    let mut terms = order_terms(1, rate, Msat(10_000));
    terms.lease_max_ms = 10_000;
    let job = world.place(&buyer, terms, job(2, Verification::None)).unwrap();
    world.wait(10_000);
    assert!(world.engine.state().job(job).is_active());
    let late = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    assert_eq!(world.leases_of(&late).len(), 1);
}

#[test]
fn a_state_comes_back_from_its_snapshot() {
    let mut world = World::new();
    let rate = Rate::per_task(Msat(100));
    let provider = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, order_terms(1, rate, Msat(1_000)), job(2, Verification::None)).unwrap();
    world.start(&provider);
    world.claim(&provider, 1);
    world.wait(60_001);
    let late = &world.engine.state().job(job).task(0).judged[0].verdict;
    assert_eq!(late, &Verdict::Rejected { reason: RejectReason::Late, evidence: None });
    let bytes = postcard::to_stdvec(world.engine.state()).unwrap();
    let back = Engine::restore(postcard::from_bytes(&bytes).unwrap()).unwrap();
    assert_eq!(back.state_hash().unwrap(), world.engine.state_hash().unwrap());
}

#[test]
fn fuel_is_billed_on_the_sum_not_on_rounded_parts() {
    let mut world = World::new();
    // 500 000 fuel a task at 1 msat for 10⁶ fuel: half a millisatoshi each, five for ten tasks.
    let rate = Rate { msat: Msat(1), per: 1_000_000, unit: Unit::Fuel };
    let provider = world.provider(offer_terms(OfferRole::Work, rate), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(10_000));
    let job = world.place(&buyer, order_terms(1, rate, Msat(1_000)), job(10, Verification::None)).unwrap();
    world.work(&[&provider]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
    assert_eq!(world.available(buyer.party), Msat(10_000 - 5));
}

#[test]
fn a_cancelled_job_pays_what_was_committed_and_for_work_under_way() {
    let mut world = World::new();
    let provider =
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(1_000))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world
        .place(
            &buyer,
            order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000)),
            job(10, Verification::None),
        )
        .unwrap();
    world.start(&provider);
    let attempts = world.claim(&provider, 3);
    world.now = world.now.plus(1_000);
    world.commit(&provider, &attempts[..1]).unwrap();
    world.now = world.now.plus(500);
    world.apply(buyer.key.public(), Command::CancelJob { job }).unwrap();
    world.reveal(&provider);
    assert_eq!(outcome(&world, job), JobOutcome::Cancelled);
    // One task in full; of the two under way only the oldest counts, and it had run for longer than the mean.
    assert_eq!(world.available(buyer.party), Msat(1_000_000 - 2_000));
}

#[test]
fn stragglers_are_run_twice_and_the_first_result_wins() {
    let mut world = World::new();
    let slow = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let fast = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(200))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let mut spec = job(6, Verification::None);
    spec.duplicate_stragglers = true;
    let job = world.place(&buyer, order_terms(8, Rate::per_task(Msat(1_000)), Msat(100_000)), spec).unwrap();
    world.start(&slow);
    let stuck = world.claim(&slow, 1);
    world.work(&[&fast]);
    assert_eq!(world.engine.state().job(job).unfinished, stuck.len() as u32);
    world.now = world.now.plus(10_000);
    world.work(&[&fast]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
    assert!(world.commit(&slow, &stuck).is_err());
}

#[test]
fn max_parallel_limits_what_runs_at_once() {
    let mut world = World::new();
    let provider =
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let mut spec = job(10, Verification::None);
    spec.max_parallel = 3;
    world.place(&buyer, order_terms(2, Rate::per_task(Msat(1_000)), Msat(100_000)), spec).unwrap();
    world.start(&provider);
    assert_eq!(world.claim(&provider, 10).len(), 3);
}

#[test]
fn a_settled_job_is_forgotten_after_a_day() {
    let mut world = World::new();
    let provider =
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world
        .place(&buyer, order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000)), job(2, Verification::None))
        .unwrap();
    world.work(&[&provider]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
    world.wait(86_400_000);
    assert!(world.engine.state().jobs.get(job).is_none());
    assert!(world.engine.state().leases.is_empty() && world.engine.state().orders.is_empty());
}

#[test]
fn no_provider_can_use_up_the_tries_of_a_task_alone() {
    let mut world = World::new();
    let crook = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let other = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(200))), Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world
        .place(&buyer, order_terms(5, Rate::per_task(Msat(1_000)), Msat(100_000)), job(3, Verification::None))
        .unwrap();
    world.start(&crook);
    world.start(&other);
    for _ in 0..10 {
        for (attempt, _) in world.claim(&crook, 3) {
            let attempts = vec![Abandon { attempt, reason: AbandonReason::Stopping }];
            world.apply(crook.machine_key.public(), Command::AbandonAttempts { attempts }).unwrap();
        }
    }
    assert!(world.engine.state().job(job).tasks.iter().all(|task| task.failures == 1));
    world.work(&[&other]);
    assert_eq!(outcome(&world, job), JobOutcome::Completed);
}

#[test]
fn full_orders_do_not_keep_new_offers_from_one_that_waits() {
    let mut world = World::new();
    let provider =
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(100))), Msat::ZERO, honest);
    let (_, key) = world.party("many machines", Msat::ZERO);
    let buyer = world.buyer(Msat(10_000_000));
    let rate = Rate::per_task(Msat(1_000));
    for _ in 0..9 {
        for _ in 0..4 {
            world.place(&buyer, order_terms(1, rate, Msat(10_000)), job(3, Verification::None)).unwrap();
        }
        // Each machine holds four leases: the next four orders need another.
        let (machine, machine_key) = world.machine(&key, 4);
        world.offer(&machine_key, machine, offer_terms(OfferRole::Work, rate));
    }
    assert_eq!(world.leases_of(&provider).len(), 4);
    let waits = world.place(&buyer, order_terms(5, rate, Msat(10_000)), job(9, Verification::None)).unwrap();
    let (machine, machine_key) = world.machine(&key, 4);
    world.offer(&machine_key, machine, offer_terms(OfferRole::Work, rate));
    assert_eq!(world.engine.state().job(waits).leases.len(), 5);
    assert_eq!(world.engine.state().open_orders.len(), 0);
}
