//! Event streams, blobs through the client, pages.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use futures_util::StreamExt;
use market::{
    command::Command, event::Event, id::Digest, key::SecretKey, log::verify_inclusion, units::Msat,
};
use node::{api::EventCursor, client::ClientError};
use std::{pin::pin, time::Duration};
use support::{OpenMarket, party};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_misses_nothing_over_a_restart_of_the_market() {
    let open = OpenMarket::new().await;
    let market = &open.market.clone();
    let mut events = pin!(market.events(Some(EventCursor::default()), None));
    let mut next_label = async || {
        loop {
            let placed = events.next().await.unwrap().unwrap();
            if let Event::PartyRegistered { label, .. } = placed.event {
                return label;
            }
        }
    };
    party(market, 1).await;
    assert_eq!(next_label().await, "party 1");
    party(market, 2).await;
    let open = open.restart(async |_| {}).await;
    party(market, 3).await;
    assert_eq!(next_label().await, "party 2");
    assert_eq!(next_label().await, "party 3");
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_events_reach_their_party_alone() {
    let open = OpenMarket::new().await;
    let market = &open.market;
    let (alice, bob) = (party(market, 1).await, party(market, 2).await);
    let start = EventCursor { position: market.info().await.unwrap().position, index: u32::MAX };
    market.submit(&alice, Command::TopUp { amount_msat: Msat(5_000_000) }).await.unwrap();
    party(market, 3).await;

    let first = async |reader: &SecretKey| {
        pin!(market.events(Some(start), Some(reader))).next().await.unwrap().unwrap().event
    };
    assert!(matches!(first(&alice).await, Event::TopUpRequested { .. }));
    assert!(matches!(first(&bob).await, Event::PartyRegistered { .. }));
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_too_old_is_told_so() {
    let open = OpenMarket::with(|config| config.limits.recent_events = 2).await;
    let market = &open.market;
    for seed in 1..=4 {
        party(market, seed).await;
    }
    let mut events = pin!(market.events(Some(EventCursor::default()), None));
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("cursor_gone"), "{error}");
    assert!(events.next().await.is_none());
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_log_can_be_read_and_proven() {
    let open = OpenMarket::new().await;
    let market = &open.market;
    for seed in 1..=5 {
        party(market, seed).await;
    }
    let head = market.log_head().await.unwrap();
    assert_eq!((head.venue, head.verify()), (open.running.venue(), Ok(())));
    let last = head.head.size - 1;
    let url = format!("{}/v1/log/entries?start={last}&limit=1", open.running.address());
    let entries = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let leaf = &entries[1..entries.len() - 1];
    let proof = market.inclusion(last, head.head.size).await.unwrap();
    verify_inclusion(&head.head, leaf.as_bytes(), &proof).unwrap();
    assert!(leaf.contains("party 5"));
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_go_up_and_come_back_and_a_broken_transfer_goes_on() {
    let open = OpenMarket::new().await;
    let market = &open.market;
    let alice = party(market, 1).await;
    let content: Vec<u8> = (0..3_000_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let file = open.path("blob");
    std::fs::write(&file, &content).unwrap();
    let (digest, bytes) = market.put_blob_file(&alice, &file).await.unwrap();
    assert_eq!((digest, bytes), (Digest::of(&content), content.len() as u64));
    assert_eq!(market.get_blob(&alice, digest, bytes).await.unwrap(), content);
    let too_small = market.get_blob(&alice, digest, bytes - 1).await;
    assert!(matches!(too_small, Err(ClientError::BlobMismatch(_))));

    let (copy, part) = (open.path("copy"), open.path("copy.part"));
    std::fs::write(&part, &content[..1_000_000]).unwrap();
    assert_eq!(market.get_blob_file(&alice, digest, &copy).await.unwrap(), bytes);
    assert_eq!(std::fs::read(&copy).unwrap(), content);
    std::fs::write(&part, b"something else").unwrap();
    assert!(matches!(market.get_blob_file(&alice, digest, &copy).await, Err(ClientError::BlobMismatch(_))));
    let empty = market.put_blob(&alice, Vec::new()).await.unwrap();
    assert_eq!(market.get_blob(&alice, empty, 0).await.unwrap().len(), 0);
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_documents_are_there() {
    let open = OpenMarket::new().await;
    let get = async |path: &str| {
        let response = reqwest::get(format!("{}{path}", open.running.address())).await.unwrap();
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
        let response = reqwest::Client::new()
            .request(reqwest::Method::PATCH, format!("{}{path}", open.running.address()));
        let status = response.send().await.unwrap().status().as_u16();
        assert_eq!(status, 405, "{path} is documented and not routed");
    }
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_market_lets_go_of_its_streams() {
    let open = OpenMarket::new().await;
    let market = open.market.with_patience(Duration::ZERO);
    party(&market, 1).await;
    let mut events = pin!(market.events(Some(EventCursor::default()), None));
    assert!(events.next().await.unwrap().is_ok());
    tokio::time::timeout(Duration::from_secs(8), open.close()).await.expect("streams held it up");
    let last = events.fold(None, async |_, event| Some(event)).await;
    assert!(last.unwrap().is_err());
}
