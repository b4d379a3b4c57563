//! A Lightning node of play money behind HTTP is a Lightning node.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::units::{Msat, TimeMs};
use node::{client::DevWallet, http::Payments};
use pay::{
    InvoiceRequest, LightningNode, NodeFuture, PayRequest, PaymentState, Unavailable,
    conformance::{self, Testbed},
    dev::{DevNetwork, DevNode, Fault, HangEnd},
};
use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use support::OpenMarket;

const START: u64 = 1_750_000_000_000;

/// Two wallets at a market in this process, whose network's clock the test moves.
struct Bed {
    time: Arc<AtomicU64>,
    payer: DevWallet,
    payee: DevWallet,
    /// The payer as the market's process sees it.
    inner: DevNode,
    _open: OpenMarket,
}

impl Bed {
    async fn new() -> Bed {
        let time = Arc::new(AtomicU64::new(START));
        let clock = time.clone();
        let network = DevNetwork::new([7; 32], move || TimeMs(clock.load(Ordering::Relaxed)));
        let payments = Payments::DevNetwork(network.clone());
        let open = OpenMarket::with(|config| config.payments = payments).await;
        let (payer, payee) =
            (DevWallet::new(open.market.clone(), [1; 32]), DevWallet::new(open.market.clone(), [2; 32]));
        let inner = network.node(&payer.info().await.unwrap().alias);
        network.issue(&inner, Msat(100_000_000)).unwrap();
        Bed { time, payer, payee, inner, _open: open }
    }
}

impl Testbed for Bed {
    fn payer(&self) -> &dyn LightningNode {
        &self.payer
    }

    fn payee(&self) -> &dyn LightningNode {
        &self.payee
    }

    fn pass_time(&self, ms: u64) -> NodeFuture<'_, (), Unavailable> {
        self.time.fetch_add(ms, Ordering::Relaxed);
        Box::pin(ready(Ok(())))
    }

    fn hang_next_payment(&self, for_ms: u64) -> bool {
        self.inner.inject(Fault::HangPayment { for_ms, then: HangEnd::Delivered });
        true
    }

    fn set_payee_reachable(&self, is_reachable: bool) -> NodeFuture<'_, bool, Unavailable> {
        if !is_reachable {
            self.inner.inject(Fault::FailPayment);
        }
        Box::pin(ready(Ok(true)))
    }

    fn restart(&self) -> NodeFuture<'_, bool, Unavailable> {
        let network = self.inner.network();
        let written = serde_json::to_vec(&network.save()).unwrap();
        network.load(serde_json::from_slice(&written).unwrap());
        Box::pin(ready(Ok(true)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_behind_http_conforms() {
    let report = conformance::run(async || Bed::new().await).await;
    assert!(report.failed.is_empty() && report.skipped.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wallet_was_told_outlives_the_market_and_says_that_it_is_play_money() {
    let open = OpenMarket::new().await;
    let wallet = |open: &OpenMarket, secret| DevWallet::new(open.market.clone(), [secret; 32]);
    let (alice, bob) = (wallet(&open, 1), wallet(&open, 2));
    alice.fund(Msat(5_000_000)).await.unwrap();
    let request =
        InvoiceRequest { amount: Msat(1_000_000), description: String::new(), expires_in_ms: 600_000 };
    let invoice = bob.create_invoice(request).await.unwrap();
    let pay = PayRequest { bolt11: invoice.bolt11.clone(), amount: Msat(1_000_000), max_fee: Msat(10_000) };
    let paid = alice.pay(pay.clone()).await.unwrap();
    let open = open.restart(async |_| {}).await;
    let (alice, bob) = (wallet(&open, 1), wallet(&open, 2));
    assert_eq!(alice.payment(invoice.payment_hash).await.unwrap(), Some(paid));
    assert_eq!(alice.pay(pay).await.unwrap(), paid, "it is not paid twice");
    assert!(matches!(paid, PaymentState::Succeeded { .. }));
    assert_eq!(bob.balance().await.unwrap().spendable, Msat(1_000_000));
    let (info, stranger) = (alice.info().await.unwrap(), wallet(&open, 3).balance().await.unwrap());
    assert!(info.play_money && info.to_string().contains("play money"), "{info}");
    assert_eq!(stranger.spendable, Msat::ZERO, "another secret is another wallet");
    open.close().await;
}
