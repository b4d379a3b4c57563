//! Event streams, blobs through the client, pages.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use futures_util::StreamExt;
use market::{
    command::Command, event::Event, id::Digest, key::SecretKey, log::verify_inclusion, units::Msat,
};
use node::{
    api::EventCursor,
    client::{ClientError, Market},
    http::{Limits, MarketConfig, serve},
};
use std::{pin::pin, time::Duration};
use support::party;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_misses_nothing_over_a_restart_of_the_market() {
    let folder = tempfile::tempdir().unwrap();
    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let listen = running.listen();
    let market = Market::connect(running.address()).await.unwrap();
    let mut events = pin!(market.events(Some(EventCursor::default()), None));
    let mut next_label = async || {
        loop {
            let placed = events.next().await.unwrap().unwrap();
            if let Event::PartyRegistered { label, .. } = placed.event {
                return label;
            }
        }
    };
    party(&market, 1).await;
    assert_eq!(next_label().await, "party 1");
    party(&market, 2).await;
    running.shutdown().await.unwrap();

    let running = serve(MarketConfig { listen, ..MarketConfig::new(folder.path()) }).await.unwrap();
    party(&market, 3).await;
    assert_eq!(next_label().await, "party 2");
    assert_eq!(next_label().await, "party 3");
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn private_events_reach_their_party_alone() {
    let folder = tempfile::tempdir().unwrap();
    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    let (alice, bob) = (party(&market, 1).await, party(&market, 2).await);
    let start = EventCursor { position: market.info().await.unwrap().position, index: u32::MAX };
    market.submit(&alice, Command::TopUp { amount_msat: Msat(5_000_000) }).await.unwrap();
    party(&market, 3).await;

    let first = async |reader: &SecretKey| {
        pin!(market.events(Some(start), Some(reader))).next().await.unwrap().unwrap().event
    };
    assert!(matches!(first(&alice).await, Event::TopUpRequested { .. }));
    assert!(matches!(first(&bob).await, Event::PartyRegistered { .. }));
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_too_old_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { recent_events: 2, ..Limits::default() };
    let running = serve(MarketConfig { limits, ..MarketConfig::new(folder.path()) }).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    for seed in 1..=4 {
        party(&market, seed).await;
    }
    let mut events = pin!(market.events(Some(EventCursor::default()), None));
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("cursor_gone"), "{error}");
    assert!(events.next().await.is_none());
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_log_can_be_read_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    for seed in 1..=5 {
        party(&market, seed).await;
    }
    let head = market.log_head().await.unwrap();
    assert_eq!((head.venue, head.head.size, head.verify()), (running.venue(), 5, Ok(())));
    let url = format!("{}/v1/log/entries?start=3&limit=1", running.address());
    let entries = support::until(async || {
        // The archive writes behind the market.
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        (text != "[]").then_some(text)
    })
    .await;
    let leaf = &entries[1..entries.len() - 1];
    let proof = market.inclusion(3, head.head.size).await.unwrap();
    verify_inclusion(&head.head, leaf.as_bytes(), &proof).unwrap();
    assert!(leaf.contains("party 4"));
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_go_up_and_come_back_and_a_broken_transfer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let running = serve(MarketConfig::new(folder.path().join("market"))).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    let alice = party(&market, 1).await;
    let content: Vec<u8> = (0..3_000_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let file = folder.path().join("blob");
    std::fs::write(&file, &content).unwrap();
    let (digest, bytes) = market.put_blob_file(&alice, &file).await.unwrap();
    assert_eq!((digest, bytes), (Digest::of(&content), content.len() as u64));
    assert_eq!(market.get_blob(&alice, digest, bytes).await.unwrap(), content);
    let too_small = market.get_blob(&alice, digest, bytes - 1).await;
    assert!(matches!(too_small, Err(ClientError::BlobMismatch(_))));

    let (copy, part) = (folder.path().join("copy"), folder.path().join("copy.part"));
    std::fs::write(&part, &content[..1_000_000]).unwrap();
    assert_eq!(market.get_blob_file(&alice, digest, &copy).await.unwrap(), bytes);
    assert_eq!(std::fs::read(&copy).unwrap(), content);
    std::fs::write(&part, b"something else").unwrap();
    assert!(matches!(market.get_blob_file(&alice, digest, &copy).await, Err(ClientError::BlobMismatch(_))));
    let empty = market.put_blob(&alice, Vec::new()).await.unwrap();
    assert_eq!(market.get_blob(&alice, empty, 0).await.unwrap().len(), 0);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_documents_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let get = async |path: &str| {
        let response = reqwest::get(format!("{}{path}", running.address())).await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        response.text().await.unwrap()
    };
    assert!(get("/").await.contains("status.js"));
    assert!(get("/assets/status.js").await.contains("EventSource"));
    assert!(get("/docs/").await.contains("swagger"));
    assert_eq!(get("/healthz").await, "ok\n");
    assert!(get("/metrics").await.contains("grist_journal_position"));
    let document: serde_json::Value = serde_json::from_str(&get("/openapi.json").await).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 25);
    for path in paths.keys() {
        // Every documented path leads somewhere: to an answer or a refusal of its own.
        let path = path.replace("{digest}", &"0".repeat(64)).replace("{key}", &"0".repeat(64));
        let path = path.replace('{', "").replace('}', "-1");
        let response =
            reqwest::Client::new().request(reqwest::Method::PATCH, format!("{}{path}", running.address()));
        let status = response.send().await.unwrap().status().as_u16();
        assert_eq!(status, 405, "{path} is documented and not routed");
    }
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_market_lets_go_of_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap().with_patience(Duration::ZERO);
    let mut events = Box::pin(market.events(None, None));
    let follower = tokio::spawn(async move { events.next().await });
    support::until(async || {
        let text = reqwest::get(format!("{}/metrics", market.address())).await.unwrap().text().await.unwrap();
        text.contains("grist_streams 1").then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(8), running.shutdown())
        .await
        .expect("streams held it up")
        .unwrap();
    assert!(follower.await.unwrap().unwrap().is_err());
}
