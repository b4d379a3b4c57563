//! A few hundred small worlds, and proof that the checker can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use sim::{
    cheat::Cheat,
    checker::Sabotage,
    plan::{Plan, Size},
    report::{Finding, Report, cheat_of, run_seed},
    world::run,
};

const SEEDS: u64 = 180;

#[test]
fn in_every_small_world_everything_holds_and_no_cheat_pays() {
    let mut report = Report::default();
    let results = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let seeds = (0..SEEDS).filter(move |seed| seed % 2 == half);
            scope.spawn(move || seeds.map(|seed| run_seed(seed, &Size::small())).collect::<Vec<_>>())
        });
        halves.map(|half| half.join().unwrap())
    });
    results.iter().flatten().for_each(|result| report.add(result));
    assert!(report.violations.is_empty(), "{report}");
    assert!(report.profits.iter().all(|profit| profit.finding != Finding::Profits), "{report}");
    assert_eq!(report.profits.len(), Cheat::ALL.len(), "every cheat is played");
    assert!(report.operator.tried > 0 && report.operator.tried == report.operator.proven);
    assert!(report.holds.leases > 0 && report.holds.claimed > 0 && report.holds.returned > 0, "{report}");
    assert!(report.holds.prepayments > 0, "{report}");
    assert!(report.faults.get("market crash").is_some_and(|crashes| *crashes > 0));
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let plan = Plan::draw(7, &Size::small(), cheat_of(7));
    assert_eq!(run(&plan, None, false).trace, run(&plan, None, false).trace);
    let other = Plan::draw(8, &Size::small(), cheat_of(7));
    assert_ne!(run(&plan, None, false).trace, run(&other, None, false).trace);
}

fn broken(cheat: Cheat, sabotage: Sabotage) -> Vec<String> {
    (0..20)
        .map(|seed| run(&Plan::draw(seed, &Size::small(), cheat), Some(sabotage), false).violations)
        .find(|violations| !violations.is_empty())
        .unwrap_or_default()
}

#[test]
fn a_posting_that_is_not_booked_is_noticed() {
    let violations = broken(Cheat::LateReveal, Sabotage::DropsPosting);
    assert!(
        violations.iter().any(|what| what.contains("overdrawn") || what.contains("postings tell")),
        "{violations:?}"
    );
}

#[test]
fn a_lease_that_is_settled_twice_is_noticed() {
    let violations = broken(Cheat::LateReveal, Sabotage::SettlesTwice);
    assert!(violations.iter().any(|what| what.contains("settled twice")), "{violations:?}");
}

#[test]
fn an_acknowledged_statement_that_is_forgotten_is_noticed() {
    let violations = broken(Cheat::LateReveal, Sabotage::ForgetsStatement);
    assert!(violations.iter().any(|what| what.contains("not where they were said to be")), "{violations:?}");
}

#[test]
fn a_wrong_result_without_enough_colluders_is_noticed() {
    let violations = broken(Cheat::OperatorSybils, Sabotage::HidesColluders);
    assert!(violations.iter().any(|what| what.contains("a wrong result was accepted")), "{violations:?}");
}

#[test]
fn a_lease_that_works_before_its_payments_are_held_is_noticed() {
    let violations = broken(Cheat::LateReveal, Sabotage::StartsUnfunded);
    assert!(violations.iter().any(|what| what.contains("nobody holds its payments")), "{violations:?}");
}
