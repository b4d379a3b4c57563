//! The embedded node on a real chain. `scripts/regtest` runs this; without a bitcoind it says that nothing was tested.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "regtest/bed.rs"]
mod bed;
#[path = "regtest/chain.rs"]
mod chain;
#[path = "regtest/crash.rs"]
mod crash;
#[path = "regtest/hub.rs"]
mod hub;
#[path = "regtest/nodes.rs"]
mod nodes;
#[path = "regtest/puppet.rs"]
mod puppet;

use bed::{Bed, Turn};
use chain::Chain;
use market::units::Msat;
use nodes::{fund, open, options, until, usable};
use pay::{
    InvoiceRequest, InvoiceState, LightningNode, PayRequest, PaymentState,
    conformance::{self, Testbed},
    ldk::{FolderError, LdkNode, OpenError},
};
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_node_passes_the_conformance_suite() {
    let Some(bed) = Bed::start().await else { return };
    let calm = async |node: &dyn LightningNode| node.balance().await.unwrap().in_flight == Msat::ZERO;
    let testbed = async || {
        // What one check settled is over before the next one counts.
        until("nothing is under way", async || calm(&bed.payer).await && calm(&bed.payee).await).await;
        Turn(&bed)
    };
    let report = conformance::run(testbed).await;
    println!("{report}");
    assert!(report.failed.is_empty(), "{report}");
    // Between neighbours nothing costs a fee; a payment that is tried again is part of another check, too.
    assert_eq!(report.skipped, ["a_failed_payment_can_be_tried_again"]);
    bed.stop().await;
}

/// The drill of docs/lightning.md: the machine is lost, the seed and the mirror are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_is_restored_from_seed_and_mirror_with_its_channels() {
    let Some(chain) = Chain::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let mut config = options(&chain, &root.path().join("node"));
    config.mirror = Some(root.path().join("mirror"));
    let mut peer = options(&chain, &root.path().join("peer"));
    let port = chain::free_port();
    peer.listen = vec![([127, 0, 0, 1], port).into()];

    let peer = LdkNode::open(peer).await.unwrap();
    let node = LdkNode::open(config.clone()).await.unwrap();
    fund(&chain, &[&node, &peer]).await;
    let address = format!("{}@127.0.0.1:{port}", peer.info().await.unwrap().id);
    open(&chain, &node, &peer, &address, Msat(500_000_000), false).await;
    let invoice = peer.create_invoice(request(50_000_000)).await.unwrap();
    pay(&node, &invoice.bolt11, 50_000_000).await;
    until("the channel has it", async || node.balance().await.unwrap().in_flight == Msat(0)).await;
    let (had, was) = (node.balance().await.unwrap(), node.info().await.unwrap());
    node.stop().await.unwrap();
    drop(node);

    // Everything but the seed burns.
    let seed = fs::read(&config.seed).unwrap();
    fs::remove_dir_all(&config.dir).unwrap();
    config.dir = root.path().join("another machine");
    config.seed = root.path().join("seed from paper");
    fs::write(&config.seed, seed).unwrap();
    fs::set_permissions(&config.seed, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();

    let node = LdkNode::open(config).await.unwrap();
    assert_eq!(node.info().await.unwrap(), was);
    until("the channel works again", async || usable(&node).await == 1).await;
    assert_eq!(node.balance().await.unwrap(), had);
    // It also knows what it paid, and does not pay it again.
    let again = PayRequest { bolt11: invoice.bolt11, amount: Msat(50_000_000), max_fee: Msat(0) };
    assert!(matches!(node.pay(again).await.unwrap(), PaymentState::Succeeded { .. }));
    let back = node.create_invoice(request(20_000_000)).await.unwrap();
    pay(&peer, &back.bolt11, 20_000_000).await;
    for (folder, node) in [("another machine", &node), ("peer", &peer)] {
        node.stop().await.unwrap();
        assert_log_is_clean(&root.path().join(folder));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_run_one_node() {
    let Some(chain) = Chain::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let config = options(&chain, &root.path().join("node"));
    let node = LdkNode::open(config.clone()).await.unwrap();
    let second = LdkNode::open(config).await.unwrap_err();
    assert!(matches!(second, OpenError::Folder(FolderError::Busy(_))), "{second}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_asks_for_as_many_blocks_as_its_hold_needs() {
    let Some(bed) = Bed::start().await else { return };
    let (turn, day_ms) = (Turn(&bed), 86_400_000);
    let secret = turn.secret();
    let made =
        turn.payee().create_hold_invoice(secret.payment_hash(), day_ms, request(9_000_000)).await.unwrap();
    let read: lightning_invoice::Bolt11Invoice = made.bolt11.parse().unwrap();
    assert_eq!(read.min_final_cltv_expiry_delta(), 42 + 6 + 144 + 36);

    let (bolt11, max_fee) = (made.bolt11, Msat(0));
    let pay = PayRequest { bolt11, amount: Msat(9_000_000), max_fee };
    assert_eq!(turn.payer().pay(pay).await.unwrap(), PaymentState::InFlight);
    let payee = bed.payee.node();
    let state = async || payee.invoice(secret.payment_hash()).await.unwrap().unwrap();
    until("it is held", async || matches!(state().await, InvoiceState::Held { .. })).await;
    // Half a day of blocks, in which an invoice as LDK makes them would have gone back.
    bed.chain.mine(100);
    payee.sync().await.unwrap();
    bed.payer.node().sync().await.unwrap();
    assert!(matches!(state().await, InvoiceState::Held { .. }));
    payee.settle(secret).await.unwrap();
    drop(payee);
    bed.stop().await;
}

/// An invoice over so many millisatoshis that is open for a while.
fn request(amount_msat: u64) -> InvoiceRequest {
    InvoiceRequest { amount: Msat(amount_msat), description: "regtest".into(), expires_in_ms: 600_000 }
}

/// Pays and waits until it has arrived.
async fn pay(node: &LdkNode, bolt11: &str, amount_msat: u64) {
    let hash = pay::bolt11::decode(bolt11).unwrap().payment_hash;
    let request = PayRequest { bolt11: bolt11.into(), amount: Msat(amount_msat), max_fee: Msat(0) };
    node.pay(request).await.unwrap();
    until("the payment arrives", async || {
        let state = node.payment(hash).await.unwrap().unwrap();
        assert!(!matches!(state, PaymentState::Failed { .. }), "{state:?}");
        matches!(state, PaymentState::Succeeded { .. })
    })
    .await;
}

/// Neither the words of the seed nor its bytes stand in any log.
fn assert_log_is_clean(folder: &std::path::Path) {
    let log = fs::read_to_string(folder.join("ldk_node.log")).unwrap();
    assert!(log.contains("Starting up"), "the log says what the node does");
    let seeds = [folder.join("seed"), folder.with_file_name("seed from paper")];
    let words = seeds.iter().find_map(|seed| fs::read_to_string(seed).ok()).unwrap();
    let pairs: Vec<&str> = words.split_whitespace().collect();
    for pair in pairs.windows(2) {
        assert!(!log.contains(&pair.join(" ")), "words of the seed stand in the log");
    }
    let bytes = pay::ldk::Seed::from_words(&words).unwrap().bytes();
    for part in bytes.chunks(16) {
        assert!(!log.contains(&data_encoding::HEXLOWER.encode(part)), "the seed stands in the log");
    }
}
