//! What the tests of the market share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part of it, and fails by panicking"
)]

use market::{command::Command, key::SecretKey, reply::Reply};
use node::client::Market;
use std::time::Duration;

/// A registered party.
pub(crate) async fn party(market: &Market, seed: u8) -> SecretKey {
    let secret = SecretKey::from_bytes([seed; 32]);
    let accepted =
        market.submit(&secret, Command::RegisterParty { label: format!("party {seed}") }).await.unwrap();
    assert!(matches!(accepted.reply, Reply::Party(_)));
    secret
}

/// Asks until there is an answer; fails when there is none for long.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("no answer in 20 seconds")
}
