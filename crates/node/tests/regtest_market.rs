//! A market on a real Lightning node, and a buyer with one: money in, money out, over a channel. `scripts/regtest` runs
//! this; without a bitcoind it says that nothing was tested.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../../pay/tests/regtest/chain.rs"]
mod chain;
#[path = "../../pay/tests/regtest/nodes.rs"]
mod nodes;
mod support;

use chain::{Chain, free_port};
use market::{command::Command, event::Event, units::Msat};
use node::http::Payments;
use nodes::{fund, open, options, until};
use pay::{InvoiceRequest, InvoiceState, LightningNode, PayRequest, PaymentState, ldk::LdkNode};
use std::sync::Arc;
use support::{OpenMarket, event, invoice, party, received};

/// The side that accepted a channel takes a tenth of its size in flight.
const TOP_UP: Msat = Msat(150_000_000);
const WITHDRAWN: Msat = Msat(120_000_000);
/// Nobody lies between the two.
const NO_FEE: Msat = Msat::ZERO;

#[tokio::test(flavor = "multi_thread")]
async fn a_buyers_own_node_tops_up_and_is_paid_out() {
    let Some(chain) = Chain::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let mut config = options(&chain, &root.path().join("market node"));
    let port = free_port();
    config.listen = vec![([127, 0, 0, 1], port).into()];
    let behind = LdkNode::open(config).await.unwrap();
    let buyer = LdkNode::open(options(&chain, &root.path().join("buyer node"))).await.unwrap();
    fund(&chain, &[&behind, &buyer]).await;
    let address = format!("{}@127.0.0.1:{port}", behind.info().await.unwrap().id);
    // The market's side of the channel has to hold the reserve before anything can be paid out.
    open(&chain, &buyer, &behind, &address, Msat(100_000_000), false).await;
    let had = buyer.balance().await.unwrap().spendable;

    let payments = Payments::Node(Arc::new(behind.clone()));
    let market = OpenMarket::with(|config| config.payments = payments).await;
    let alice = party(&market.market, 1).await;
    let bolt11 = invoice(&market.market, &alice, TOP_UP).await;
    let sent = buyer.pay(PayRequest { bolt11, amount: TOP_UP, max_fee: NO_FEE }).await.unwrap();
    assert!(matches!(sent, PaymentState::InFlight | PaymentState::Succeeded { .. }), "{sent:?}");
    received(&market.market, &alice, TOP_UP).await;
    assert_eq!(market.market.account(&alice).await.unwrap().available_msat, TOP_UP);

    let request = InvoiceRequest { amount: WITHDRAWN, description: "pay".into(), expires_in_ms: 600_000 };
    let made = buyer.create_invoice(request).await.unwrap();
    let command = Command::Withdraw {
        bolt11: made.bolt11,
        payment_hash: made.payment_hash,
        amount_msat: WITHDRAWN,
        max_fee_msat: Msat(1_000_000),
    };
    market.market.submit(&alice, command).await.unwrap();
    let fee = event(&market.market, &alice, |event| match event {
        Event::WithdrawalSent { fee_msat, .. } => Some(fee_msat),
        _ => None,
    });
    assert_eq!(fee.await, NO_FEE);
    let state = buyer.invoice(made.payment_hash).await.unwrap();
    assert!(matches!(state, Some(InvoiceState::Paid { .. })), "{state:?}");

    // The books and the channel agree to the millisatoshi.
    let rest = Msat(TOP_UP.0 - WITHDRAWN.0);
    assert_eq!(market.market.account(&alice).await.unwrap().available_msat, rest);
    until("the channel has it", async || buyer.balance().await.unwrap().spendable.0 == had.0 - rest.0).await;
    let info = market.market.info().await.unwrap();
    assert!(info.liabilities_msat <= info.node_balance_msat, "{info:?}");
    market.close().await;
    buyer.stop().await.unwrap();
    behind.stop().await.unwrap();
}
