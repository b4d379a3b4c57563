//! Nodes with money and channels.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test uses a part of it, and may panic"
)]

use super::chain::{Chain, PATIENCE};
use market::units::Msat;
use pay::{
    Network,
    ldk::{ChainSource, LdkConfig, LdkNode, Seed},
    secret::SecretRef,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The size of the channel, half of it the payee's.
pub(crate) const CHANNEL_SAT: u64 = 2_000_000;

/// The options of a node in this folder, with a new seed in it if there is none.
pub(crate) fn options(chain: &Chain, folder: &Path) -> LdkConfig {
    std::fs::create_dir_all(folder).unwrap();
    let bitcoind = ChainSource::Bitcoind {
        host: "127.0.0.1".into(),
        port: chain.rpc_port,
        auth: SecretRef::File(chain.cookie()),
    };
    let config = LdkConfig::new(folder, Network::Regtest, bitcoind);
    if !config.seed.exists() {
        Seed::generate().unwrap().create(&config.seed, None).unwrap();
    }
    config
}

/// Gives nodes ten coins each on chain, confirmed and mature.
pub(crate) async fn fund(chain: &Chain, nodes: &[&LdkNode]) {
    for node in nodes {
        chain.mine_to(&node.address().await.unwrap(), 10);
    }
    chain.mine(100);
    for node in nodes {
        node.sync().await.unwrap();
        until("money on chain is there", async || node.wallet().await.unwrap().on_chain_sat > 1_000_000_000)
            .await;
    }
}

/// Opens a channel and mines until both can use it.
pub(crate) async fn open(
    chain: &Chain,
    from: &LdkNode,
    to: &LdkNode,
    address: &str,
    push: Msat,
    is_announced: bool,
) {
    let before = (usable(from).await, usable(to).await);
    from.open_channel(address.parse().unwrap(), CHANNEL_SAT, push, is_announced).await.unwrap();
    until("the funding is sent", async || chain.mempool() > 0).await;
    chain.mine(6);
    until("both can use the channel", async || {
        let (one, other) = (from.sync().await, to.sync().await);
        one.is_ok() && other.is_ok() && (usable(from).await, usable(to).await) == (before.0 + 1, before.1 + 1)
    })
    .await;
}

/// How many channels can be used.
pub(crate) async fn usable(node: &LdkNode) -> usize {
    node.channels().await.unwrap().iter().filter(|channel| channel.is_usable).count()
}

/// Waits until a node can use so many channels.
pub(crate) async fn until_usable(node: &LdkNode, count: usize) {
    let started = Instant::now();
    while usable(node).await != count {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {count} usable channels");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Looks again and again until something holds; fails when it does not in time.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
