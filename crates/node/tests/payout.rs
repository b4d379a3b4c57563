//! Payouts to a Lightning address: asked for over HTTP, checked, paid once, also over crashes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use axum::{Json, Router, extract::Query, extract::State, routing::get};
use market::{
    event::Event,
    key::SecretKey,
    units::{Msat, TimeMs},
};
use node::{
    http::Payments,
    payout::{AddressError, LightningAddress, PayoutError, Payouts, Plan, Step, Told},
};
use pay::{
    InvoiceRequest, LightningNode, PayRequest,
    dev::{DevNetwork, DevNode, Fault},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use support::{OpenMarket, event, invoice, party, received};

/// What the payee's server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trick {
    Honest,
    OtherAmount,
    OtherText,
    SaysNo,
    NoPayRequest,
}

struct Payee {
    node: DevNode,
    address: String,
    trick: Trick,
    invoices: AtomicU32,
}

/// Longer than an invoice holds, so that invoices commit to its digest, as LUD-06 has it.
fn metadata() -> String {
    json!([["text/plain", "alice's bench"], ["text/long-desc", "a bench in the sun ".repeat(50)]]).to_string()
}

async fn describe(State(payee): State<Arc<Payee>>) -> Json<Value> {
    Json(match payee.trick {
        Trick::SaysNo => json!({ "status": "ERROR", "reason": "closed \u{1b}[2J today" }),
        trick => json!({
            "tag": if trick == Trick::NoPayRequest { "withdrawRequest" } else { "payRequest" },
            "callback": format!("http://{}/pay?of=alice", payee.address),
            "minSendable": 10_000,
            "maxSendable": 60_000_000,
            "metadata": metadata(),
        }),
    })
}

async fn make(State(payee): State<Arc<Payee>>, Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    assert_eq!(query["of"], "alice", "the callback's own query stays");
    payee.invoices.fetch_add(1, Ordering::Relaxed);
    let asked: u64 = query["amount"].parse().unwrap();
    let amount = Msat(if payee.trick == Trick::OtherAmount { asked + 1_000 } else { asked });
    let mut description = metadata();
    if payee.trick == Trick::OtherText {
        description.push('!');
    }
    let request = InvoiceRequest { amount, description, expires_in_ms: 60_000 };
    Json(json!({ "pr": payee.node.create_invoice(request).await.unwrap().bolt11, "routes": [] }))
}

/// Somebody with a Lightning address, and its server.
async fn payee(node: DevNode, trick: Trick) -> (Arc<Payee>, LightningAddress) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let payee = Arc::new(Payee { node, address: address.clone(), trick, invoices: AtomicU32::new(0) });
    let router = Router::new()
        .route("/.well-known/lnurlp/alice", get(describe))
        .route("/pay", get(make))
        .with_state(payee.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (payee, format!("alice@{address}").parse().unwrap())
}

struct Scene {
    open: OpenMarket,
    market_node: DevNode,
    alice: SecretKey,
    payee: Arc<Payee>,
    to: LightningAddress,
}

/// A market, a party with 50,000 sat, and its address.
async fn scene() -> Scene {
    let network = DevNetwork::new([5; 32], || TimeMs(1_000));
    let (market_node, world) = (network.node("market"), network.node("world"));
    network.issue(&world, Msat(900_000_000)).unwrap();
    let open =
        OpenMarket::with(|config| config.payments = Payments::Node(Arc::new(market_node.clone()))).await;
    let alice = party(&open.market, 1).await;
    let amount = Msat(50_000_000);
    let bolt11 = invoice(&open.market, &alice, amount).await;
    world.pay(PayRequest { bolt11, amount, max_fee: Msat(5_000_000) }).await.unwrap();
    received(&open.market, &alice, amount).await;
    let (payee, to) = payee(network.node("alice at home"), Trick::Honest).await;
    Scene { open, market_node, alice, payee, to }
}

impl Scene {
    fn payouts(&self) -> Payouts {
        Payouts::new(self.open.market.clone(), self.alice.clone(), &self.open.path("payouts")).unwrap()
    }

    async fn arrived(&self) -> Msat {
        self.payee.node.balance().await.unwrap().spendable
    }

    async fn left(&self) -> Msat {
        self.open.market.account(&self.alice).await.unwrap().available_msat
    }

    fn invoices(&self) -> u32 {
        self.payee.invoices.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_above_the_threshold_is_paid_to_the_address_within_the_fee_ceiling() {
    let scene = scene().await;
    let payouts = scene.payouts();
    assert_eq!(payouts.step(&mut |_| {}).await.unwrap(), Step::NoPlan);
    let plan = |above| Plan { to: scene.to.clone(), above_msat: Msat(above), max_fee_ppm: 10_000 };
    payouts.set_plan(Some(&plan(50_000_000))).unwrap();
    assert_eq!(payouts.step(&mut |_| {}).await.unwrap(), Step::TooSmall, "above, not at");
    payouts.set_plan(Some(&plan(40_000_000))).unwrap();
    assert_eq!(scene.payouts().plan().unwrap(), Some(plan(40_000_000)), "another process finds it");
    let mut told = Vec::new();
    assert_eq!(payouts.step(&mut |item| told.push(item)).await.unwrap(), Step::Paid);
    // The most whole satoshi that with one percent of them are not more than 50,000.
    let amount_msat = Msat(49_504_000);
    let [Told::Paying { amount_msat: first }, Told::Paid { amount_msat: second, fee_msat }] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((first, second), (amount_msat, amount_msat));
    assert!(fee_msat.0 * 100 <= amount_msat.0, "{fee_msat}");
    assert_eq!(scene.arrived().await, amount_msat);
    assert_eq!(scene.left().await, Msat(50_000_000 - amount_msat.0 - fee_msat.0));
    assert_eq!(payouts.step(&mut |_| {}).await.unwrap(), Step::TooSmall);
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_was_cut_off_is_taken_up_and_not_made_twice() {
    let scene = scene().await;
    let plan = Plan { to: scene.to.clone(), above_msat: Msat(1_000_000), max_fee_ppm: 10_000 };
    scene.payouts().set_plan(Some(&plan)).unwrap();
    // Killed as soon as it has said what it is about to pay: the intent is on disk, the market knows nothing.
    let (said, heard) = tokio::sync::oneshot::channel();
    let mut said = Some(said);
    let cut_off = scene.payouts();
    let mut tell = |_| {
        let _ = said.take().map(|said| said.send(()));
    };
    tokio::select! {
        biased;
        _ = heard => {}
        step = cut_off.step(&mut tell) => { step.unwrap(); }
    }
    let intent = scene.open.path("payouts/intent.json");
    let before = std::fs::read(&intent).unwrap_or_default();
    let mut told = Vec::new();
    let step = scene.payouts().step(&mut |item| told.push(item)).await.unwrap();
    assert!(matches!(step, Step::Paid | Step::TooSmall), "{told:?}");
    assert_eq!((scene.invoices(), scene.arrived().await), (1, Msat(49_504_000)), "one invoice, paid once");

    // As after a crash between the market's yes and writing it down.
    std::fs::write(&intent, before).unwrap();
    let mut told = Vec::new();
    assert_eq!(scene.payouts().step(&mut |item| told.push(item)).await.unwrap(), Step::Paid);
    assert_eq!(told, [Told::Over { amount_msat: Msat(49_504_000) }]);
    assert_eq!((scene.invoices(), scene.arrived().await), (1, Msat(49_504_000)));
    assert!(!intent.exists());
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_fails_leaves_the_money_and_another_invoice_is_asked_for() {
    let scene = scene().await;
    let plan = Plan { to: scene.to.clone(), above_msat: Msat(1_000_000), max_fee_ppm: 10_000 };
    let payouts = scene.payouts();
    payouts.set_plan(Some(&plan)).unwrap();
    scene.market_node.inject(Fault::FailPayment);
    let failed = payouts.step(&mut |_| {}).await.unwrap_err();
    assert!(matches!(failed, PayoutError::Failed { .. }), "{failed}");
    assert_eq!((scene.left().await, scene.arrived().await), (Msat(50_000_000), Msat::ZERO));
    assert_eq!(payouts.step(&mut |_| {}).await.unwrap(), Step::Paid);
    assert_eq!((scene.invoices(), scene.arrived().await), (2, Msat(49_504_000)));

    // Nobody can say for a while: nothing else is begun.
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_yet_is_waited_for() {
    let scene = scene().await;
    let plan = Plan { to: scene.to.clone(), above_msat: Msat(1_000_000), max_fee_ppm: 10_000 };
    let payouts = scene.payouts();
    payouts.set_plan(Some(&plan)).unwrap();
    scene.market_node.inject(Fault::LoseAnswer);
    assert_eq!(payouts.step(&mut |_| {}).await.unwrap(), Step::Paid);
    let unknown = event(&scene.open.market, &scene.alice, |event| {
        matches!(event, Event::WithdrawalUnknown { .. }).then_some(())
    });
    unknown.await;
    assert_eq!((scene.invoices(), scene.arrived().await), (1, Msat(49_504_000)));
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_tricks_is_paid_nothing() {
    let network = DevNetwork::new([5; 32], || TimeMs(1_000));
    let ask = async |trick| {
        let (_, to) = payee(network.node("alice at home"), trick).await;
        match to.ask().await {
            Ok(offer) => offer.invoice(Msat(20_000)).await.unwrap_err(),
            Err(error) => error,
        }
    };
    let amount = ask(Trick::OtherAmount).await;
    assert!(amount.to_string().contains("over 21 sat instead of 20 sat"), "{amount}");
    let text = ask(Trick::OtherText).await;
    assert!(matches!(text, AddressError::Invoice { .. }), "{text}");
    let no = ask(Trick::SaysNo).await.to_string();
    assert!(no.contains("closed [2J today") && !no.contains('\u{1b}'), "{no}");
    let other = ask(Trick::NoPayRequest).await.to_string();
    assert!(other.contains("withdrawRequest"), "{other}");

    let (_, to) = payee(network.node("alice at home"), Trick::Honest).await;
    let offer = to.ask().await.unwrap();
    assert!(offer.invoice(Msat(20_000)).await.is_ok());
    let little = offer.invoice(Msat(9_999)).await.unwrap_err();
    assert!(matches!(little, AddressError::Amount { least: Msat(10_000), .. }), "{little}");
    assert_eq!(offer.fitting(Msat(70_000_999)).unwrap(), Msat(60_000_000));
}

#[test]
fn what_is_no_lightning_address_is_refused() {
    for text in [
        "alice",
        "@example.org",
        "alice@",
        "Alice@example.org",
        "a b@example.org",
        "alice@ex ample.org",
        "alice@example.org/x",
        "alice@me@example.org",
        "alice@example.org?x=1",
        "a/../b@example.org",
    ] {
        assert!(text.parse::<LightningAddress>().is_err(), "{text}");
    }
    let address: LightningAddress = "al.ice+1@Example.org".parse().unwrap();
    assert_eq!(address.to_string(), "al.ice+1@example.org");
}
