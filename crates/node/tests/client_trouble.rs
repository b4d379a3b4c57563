//! A market that goes away, and one that lies: whoever uses it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{command::Command, event::JobOutcome, id::JobId, job::Verification};
use node::{
    buyer::{BuyError, Buyer, News},
    client::{ClientError, Market},
};
use std::{path::Path, time::Duration};
use support::{OpenMarket, job, order, party};
use tokio::sync::mpsc;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_a_job_is_told_once_that_the_market_is_away_and_once_that_it_is_back() {
    let open = OpenMarket::new().await;
    let (_, secret, id) = order(&open, &job(&open.path(""), 3, Verification::None)).await;
    let market = open.market.with_patience(Duration::from_secs(60));
    let buyer = Buyer::new(market, secret.clone(), &open.path("records")).unwrap();
    let (said, mut heard) = mpsc::unbounded_channel();
    let following = tokio::spawn(async move {
        let news = |news| match news {
            News::Away(why) => said.send(Some(why)).unwrap(),
            News::Back => said.send(None).unwrap(),
            News::Event(_) | News::Progress(_) | News::Output { .. } | News::Retry { .. } => {}
        };
        buyer.follow(id, None, news).await
    });
    let open = open
        .restart(async |_| {
            let why = heard.recv().await.unwrap().expect("first it goes away");
            assert!(why.contains("does not answer") || why.contains("stopping"), "{why}");
        })
        .await;
    assert_eq!(heard.recv().await, Some(None), "then it is back");
    open.market.submit(&secret, Command::CancelJob { job: id }).await.unwrap();
    assert_eq!(following.await.unwrap().unwrap(), JobOutcome::Cancelled);
    assert_eq!(heard.recv().await, None, "and nothing more");
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_ends_with_the_reason_when_it_is_of_no_use() {
    let open = OpenMarket::new().await;
    let follow = async |secret, patience| {
        let market = open.market.with_patience(patience);
        let buyer = Buyer::new(market, secret, &open.path("records")).unwrap();
        buyer.follow(JobId(77), None, |_| {}).await.unwrap_err()
    };
    let known = party(&open.market, 1).await;
    let patience = Duration::from_secs(60);
    let BuyError::Market(missing) = follow(known.clone(), patience).await else { panic!("it is the market") };
    assert!(matches!(missing, ClientError::Refused { status: 404, .. }), "{missing}");
    assert!(missing.to_string().contains("no job-77 of yours"), "{missing}");
    let stranger = market::key::SecretKey::from_bytes([9; 32]);
    let BuyError::Market(stranger) = follow(stranger, patience).await else { panic!("it is the market") };
    assert!(matches!(stranger, ClientError::Refused { status: 401, .. }), "{stranger}");

    let (market, records) = (open.market.with_patience(Duration::ZERO), open.path("records"));
    open.close().await;
    std::fs::create_dir_all(&records).unwrap();
    let away =
        Buyer::new(market, known, &records).unwrap().follow(JobId(77), None, |_| {}).await.unwrap_err();
    assert!(matches!(away, BuyError::Market(ClientError::Unreachable { .. })), "{away}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_record_is_torn_stops_no_other_from_being_found() {
    let open = OpenMarket::new().await;
    let (buyer, secret, id) = order(&open, &job(&open.path(""), 3, Verification::None)).await;
    // The order as it was before its answer came, and one that a crash tore.
    let records = open.path("records");
    let record = std::fs::read(records.join(format!("{id}.json"))).unwrap();
    std::fs::write(records.join("order-answered.json"), &record[..record.len() / 2]).unwrap();
    let draft = serde_json::from_slice::<serde_json::Value>(&record).unwrap()["order"].clone();
    let order: market::statement::Statement = serde_json::from_value(draft).unwrap();
    let name = format!("order-{}.json", order.digest());
    std::fs::write(records.join(name), &record).unwrap();
    let found = buyer.recover().await.unwrap();
    assert_eq!(found.placed.iter().map(|placed| placed.job).collect::<Vec<_>>(), [id]);
    assert_eq!(found.unreadable.len(), 1);
    assert!(found.unreadable[0].to_string().contains("order-answered.json"), "{:?}", found.unreadable);
    open.market.submit(&secret, Command::CancelJob { job: id }).await.unwrap();
    open.close().await;
}

/// Two markets under one key, with the same beginning.
async fn forked() -> (OpenMarket, OpenMarket) {
    let one = OpenMarket::new().await;
    party(&one.market, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let one = one.restart(async |data| copy(data, &folder.path().join("market"))).await;
    let other = OpenMarket::in_folder(folder).await;
    assert_eq!(one.market.venue(), other.market.venue());
    (one, other)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_shows_another_history_is_refused_with_evidence() {
    let (one, other) = forked().await;
    party(&one.market, 2).await;
    let seen = one.market.newest_head().unwrap();

    // A history that lacks what was shown before.
    let market = Market::connect(other.running.address()).await.unwrap();
    let shorter = market.remember_head(seen).await.unwrap_err();
    assert!(matches!(shorter, ClientError::NoProof { .. }), "{shorter}");

    // As many events, but others: the two heads are proof enough.
    party(&other.market, 3).await;
    let market = Market::connect(other.running.address()).await.unwrap();
    let ClientError::Fork(evidence) = market.remember_head(seen).await.unwrap_err() else {
        panic!("two heads of one size are a fork")
    };
    assert!(evidence.is_valid() && evidence.proof.is_none(), "{evidence:?}");
    assert!(evidence.one == seen || evidence.other == seen);

    // More events: the market's own proof convicts it.
    party(&other.market, 4).await;
    let market = Market::connect(other.running.address()).await.unwrap();
    let refused = market.remember_head(seen).await.unwrap_err();
    assert!(refused.to_string().contains("two different histories"), "{refused}");
    let ClientError::Fork(evidence) = refused else { panic!("it is a fork") };
    assert!(evidence.is_valid() && evidence.proof.is_some(), "{evidence:?}");

    let honest = Market::connect(one.running.address()).await.unwrap();
    honest.remember_head(seen).await.unwrap();
    one.close().await;
    other.close().await;
}
