//! Machines at a real market: over HTTP, with a journal, through restarts of either side.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{event::JobOutcome, id::JobId, job::Verification, key::SecretKey, units::Msat};
use node::{api::JobView, buyer::Buyer, client::Market, provider::ProvideError};
use std::time::Duration;
use support::{
    OpenMarket, job,
    machine::{Machine, Running, offers_stand},
    order,
};

async fn finished(buyer: &Buyer, secret: &SecretKey, market: &Market, id: JobId) -> JobView {
    let outcome = tokio::time::timeout(Duration::from_secs(120), buyer.follow(id, None, |_| {})).await;
    assert_eq!(outcome.unwrap().unwrap(), JobOutcome::Completed);
    market.job(secret, id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_machines_finish_a_verified_job_and_are_paid_for_it() {
    let open = OpenMarket::new().await;
    let market = open.market.clone();
    let mut machines = Vec::new();
    for seed in 2..5 {
        machines.push(Machine::new(&market, seed).await);
    }
    let started: Vec<Running> = machines.iter().map(|machine| machine.start(&market, 5_000)).collect();
    offers_stand(&market, 3).await;
    let job = job(&open.path(""), 30, Verification::Replicas { k: 2, n: 3, named: Vec::new() });
    let (buyer, secret, id) = order(&open, &job).await;
    let view = finished(&buyer, &secret, &market, id).await;
    assert_eq!((view.tasks_done, view.tasks_failed), (30, 0));
    assert_eq!(view.paid_msat, Msat(30 * 2 * 5_000), "every task was run twice");
    for running in started {
        let tally = running.stop().await;
        assert_eq!(tally.attempts, 0, "{tally:?}");
    }
    let mut earned = 0;
    for machine in &machines {
        earned += market.account(&machine.party).await.unwrap().available_msat.0;
    }
    assert_eq!(earned, 30 * 2 * 5_000 * 98 / 100, "less the operator's fee");
    offers_stand(&market, 0).await;
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_killed_machine_nor_a_restarted_market_loses_a_lease() {
    let open = OpenMarket::new().await;
    let market = open.market.clone();
    let machine = Machine::new(&market, 2).await;
    let first = machine.start(&market, 5_000);
    offers_stand(&market, 1).await;
    let (buyer, secret, id) = order(&open, &job(&open.path(""), 60, Verification::None)).await;
    let mut seen = first.seen.clone();
    seen.wait_for(|tally| tally.finished >= 5).await.unwrap();
    first.kill().await;

    let second = machine.start(&market, 5_000);
    let mut seen = second.seen.clone();
    seen.wait_for(|tally| tally.finished >= 5).await.unwrap();
    let open = open.restart(async |_| {}).await;

    let view = finished(&buyer, &secret, &market, id).await;
    assert_eq!((view.tasks_done, view.tasks_failed), (60, 0));
    // One lease would do; those beyond the first were won for the order's other slots at the start.
    let quits = view
        .leases
        .iter()
        .filter(|lease| lease.reason.is_some_and(|r| r != market::lease::CloseReason::Finished));
    assert_eq!(quits.count(), 0, "{:?}", view.leases);
    second.stop().await;
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_serves_one_process() {
    let open = OpenMarket::new().await;
    let market = open.market.clone();
    let machine = Machine::new(&market, 2).await;
    let first = machine.start(&market, 5_000);
    offers_stand(&market, 1).await;
    let second = machine.start(&market, 5_000).task.await.unwrap();
    assert!(matches!(second, Err(ProvideError::Locked(_))), "{second:?}");
    first.stop().await;
    open.close().await;
}
