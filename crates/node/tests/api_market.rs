//! The market over HTTP: statements are accepted once, reads answer, restarts keep everything.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{
    command::Command,
    event::Event,
    job::Verification,
    key::SecretKey,
    order::{AuctionPrice, OrderKind, OrderTerms},
    reply::Reply,
    units::Msat,
};
use node::{
    api::{KeyView, QuoteRequest},
    buyer::PreparedJob,
    client::ClientError,
    http::{MarketConfig, Payments, serve},
};
use pay::{InvoiceRequest, LightningNode, PayRequest, dev::DevNetwork};
use std::{sync::Arc, time::Duration};
use support::{
    OpenMarket, event, fund, invoice, job,
    machine::{certify, policy},
    order, party, received,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_accepted_once_and_survives_a_restart() {
    let open = OpenMarket::new().await;
    let alice = SecretKey::from_bytes([1; 32]);
    let register = Command::RegisterParty { label: "alice".into() };
    let statement = open.market.statement(&alice, register).unwrap();
    let first = open.market.send(&statement).await.unwrap();
    let again = open.market.send(&statement).await.unwrap();
    assert!(matches!(first.reply, Reply::Party(_)));
    assert_eq!((again.position, &again.reply, again.duplicate), (first.position, &first.reply, true));

    let open = open.restart(async |_| {}).await;
    let after = open.market.send(&statement).await.unwrap();
    assert_eq!((after.position, after.duplicate), (first.position, true));
    let Some(KeyView::Party(id)) = open.market.key(&alice.public()).await.unwrap() else {
        panic!("alice is not a party")
    };
    assert_eq!(open.market.party(id).await.unwrap().label, "alice");
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_in_and_comes_out() {
    let open = OpenMarket::new().await;
    let market = &open.market;
    let alice = party(market, 1).await;
    fund(market, &alice, Msat(50_000_000)).await;
    assert_eq!(market.account(&alice).await.unwrap().available_msat, Msat(50_000_000));

    let invoice = market.dev_invoice(Msat(20_000_000)).await.unwrap();
    let command = Command::Withdraw {
        bolt11: invoice.bolt11,
        payment_hash: invoice.payment_hash,
        amount_msat: invoice.amount_msat,
        max_fee_msat: Msat(1_000_000),
    };
    market.submit(&alice, command).await.unwrap();
    let fee = event(market, &alice, |event| match event {
        Event::WithdrawalSent { fee_msat, .. } => Some(fee_msat),
        _ => None,
    });
    let fee = fee.await;
    let account = market.account(&alice).await.unwrap();
    assert_eq!(account.available_msat, Msat(30_000_000).saturating_sub(fee));
    assert!(fee <= Msat(1_000_000) && account.pending_msat == Msat::ZERO, "{account:?}");
    let info = market.info().await.unwrap();
    assert!(info.is_play_money && info.liabilities_msat <= info.node_balance_msat, "{info:?}");
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_holds_less_than_it_owes_takes_no_money_and_no_work() {
    let network = DevNetwork::new([5; 32], || market::units::TimeMs(1_000));
    let (node, world) = (network.node("market"), network.node("world"));
    network.issue(&world, Msat(900_000_000)).unwrap();
    let open = OpenMarket::with(|config| config.payments = Payments::Node(Arc::new(node.clone()))).await;
    let market = open.market.with_patience(Duration::ZERO);
    let alice = party(&market, 1).await;
    let bolt11 = invoice(&market, &alice, Msat(50_000_000)).await;
    let pays = |bolt11, amount| PayRequest { bolt11, amount, max_fee: Msat(5_000_000) };
    world.pay(pays(bolt11, Msat(50_000_000))).await.unwrap();
    received(&market, &alice, Msat(50_000_000)).await;

    // The operator helps himself.
    let request =
        InvoiceRequest { amount: Msat(40_000_000), description: String::new(), expires_in_ms: 60_000 };
    let stolen = world.create_invoice(request).await.unwrap();
    node.pay(pays(stolen.bolt11, Msat(40_000_000))).await.unwrap();
    // The purse is looked at before the next invoice is made.
    invoice(&market, &alice, Msat(6_000_000)).await;
    let more = market.submit(&alice, Command::TopUp { amount_msat: Msat(7_000_000) }).await.unwrap_err();
    assert_eq!(more.code(), Some("insolvent"), "{more}");
    let PreparedJob { terms, spec, .. } = job(&open.path(""), 1, Verification::None);
    let place = Command::PlaceOrder { terms: Box::new(terms), job: Box::new(spec), audit_anchor: None };
    let work = market.submit(&alice, place.clone()).await.unwrap_err();
    assert_eq!(work.code(), Some("insolvent"), "{work}");
    assert!(work.to_string().contains("holds less than the market owes"), "{work}");
    // Whoever can still be paid may go.
    let bond = market.submit(&alice, Command::LockBond { amount_msat: Msat(1_000) }).await;
    assert!(bond.is_ok(), "{bond:?}");
    let health = reqwest::get(format!("{}/healthz", open.running.address())).await.unwrap();
    assert_eq!(health.status().as_u16(), 503);
    assert!(!market.info().await.unwrap().is_solvent);

    // He puts it back; the next thing that is paid shows it.
    network.issue(&node, Msat(60_000_000)).unwrap();
    let request =
        InvoiceRequest { amount: Msat(2_000_000), description: String::new(), expires_in_ms: 60_000 };
    let out = world.create_invoice(request).await.unwrap();
    let command = Command::Withdraw {
        bolt11: out.bolt11,
        payment_hash: out.payment_hash,
        amount_msat: Msat(2_000_000),
        max_fee_msat: Msat(100_000),
    };
    market.submit(&alice, command).await.unwrap();
    event(&market, &alice, |event| matches!(event, Event::WithdrawalSent { .. }).then_some(())).await;
    assert!(market.info().await.unwrap().is_solvent);
    let again = market.submit(&alice, place).await.unwrap_err();
    assert_eq!(again.code(), Some("input_missing"), "orders are looked at again: {again}");
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_holds_more_at_a_market_than_its_operator_wants_to_answer_for() {
    let open = OpenMarket::with(|config| config.max_balance = Some(Msat(10_000_000))).await;
    let market = &open.market;
    assert_eq!(market.info().await.unwrap().balance_cap_msat, Msat(10_000_000));
    let alice = party(market, 1).await;
    fund(market, &alice, Msat(6_000_000)).await;
    // The bond counts, and so does what is asked for and not paid yet.
    market.submit(&alice, Command::LockBond { amount_msat: Msat(5_000_000) }).await.unwrap();
    invoice(market, &alice, Msat(1_000_000)).await;
    let refused = market.submit(&alice, Command::TopUp { amount_msat: Msat(3_001_000) }).await.unwrap_err();
    assert_eq!(refused.code(), Some("balance_cap"));
    assert!(refused.to_string().contains("Top up at most 3000 sat, or withdraw first"), "{refused}");
    assert!(market.submit(&alice, Command::TopUp { amount_msat: Msat(3_000_000) }).await.is_ok());
    let other = party(market, 2).await;
    assert!(market.submit(&other, Command::TopUp { amount_msat: Msat(10_000_000) }).await.is_ok());
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_says_what_winners_are_paid_and_not_what_they_ask() {
    let open = OpenMarket::new().await;
    let market = &open.market;
    for (seed, msat) in [(1, 1_000), (2, 2_000), (3, 5_000)] {
        let owner = party(market, seed).await;
        let (machine, _) = certify(market, &owner, seed + 100, 1).await;
        let terms = Box::new(policy(msat).offers.remove(0));
        market.submit(&owner, Command::PostOffer { machine, terms }).await.unwrap();
    }
    let PreparedJob { spec, terms, .. } = job(&open.path(""), 4, Verification::None);
    let budget = terms.budget_msat;
    let quote = async |kind, slots| {
        let terms = OrderTerms { kind, slots, ..terms.clone() };
        let quote = market.quote(&QuoteRequest { terms, job: spec.clone() }).await.unwrap();
        assert_eq!((quote.matching, quote.at_most_msat), (3, budget));
        (quote.offers.len(), [quote.asked_msat, quote.task_msat, quote.expected_msat].map(Option::unwrap))
    };
    let auction = |price| OrderKind::Auction { price, window_ms: 1, reveal_ms: 1 };
    let amounts = |asked, task| [asked, task, 4 * task].map(Msat);
    assert_eq!(quote(OrderKind::Ask, 2).await, (2, amounts(2_000, 2_000)));
    assert_eq!(quote(auction(AuctionPrice::First), 2).await, (2, amounts(2_000, 2_000)));
    assert_eq!(
        quote(auction(AuctionPrice::Second), 2).await,
        (2, amounts(2_000, 5_000)),
        "the first that loses"
    );
    assert_eq!(quote(auction(AuctionPrice::Second), 3).await, (3, amounts(5_000, 10_000)), "nobody loses");
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_a_crash_left_unwritten_is_there_after_a_restart() {
    let open = OpenMarket::new().await;
    let (_, secret, id) = order(&open, &job(&open.path(""), 3, Verification::None)).await;
    open.market.submit(&secret, Command::CancelJob { job: id }).await.unwrap();
    let first = open.market.receipt(&secret, id).await.unwrap().expect("a settled job has a receipt at once");

    // As if the process had ended between the journal's sync and the archive's write.
    let open = open
        .restart(async |data| {
            std::fs::remove_file(data.join(format!("receipts/{id}.json"))).unwrap();
            std::fs::remove_file(data.join("public-log.jsonl")).unwrap();
        })
        .await;
    let again = open.market.receipt(&secret, id).await.unwrap().expect("the replay makes it again");
    again.verify(Some(&open.market.venue())).unwrap();
    assert_eq!((&again.body, &again.leaf), (&first.body, &first.leaf));
    // One that was written stays as it is.
    let open = open.restart(async |_| {}).await;
    assert_eq!(open.market.receipt(&secret, id).await.unwrap(), Some(again));
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_could_not_be_written_is_written_as_soon_as_it_can_be() {
    let open = OpenMarket::new().await;
    let (_, secret, id) = order(&open, &job(&open.path(""), 3, Verification::None)).await;
    let receipts = open.path("market/receipts");
    std::fs::remove_dir(&receipts).unwrap();
    open.market.submit(&secret, Command::CancelJob { job: id }).await.unwrap();
    assert_eq!(open.market.receipt(&secret, id).await.unwrap(), None);
    std::fs::create_dir(&receipts).unwrap();
    party(&open.market, 2).await;
    let receipt = open.market.receipt(&secret, id).await.unwrap().expect("it is made up for");
    receipt.verify(Some(&open.market.venue())).unwrap();
    open.close().await;
}

#[tokio::test]
async fn a_market_that_is_dropped_leaves_nothing_running() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (folder, before) = (tempfile::tempdir().unwrap(), tasks());
    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let listen = running.listen();
    assert!(tasks() > before);
    drop(running);
    while tasks() > before {
        tokio::task::yield_now().await;
    }
    std::net::TcpListener::bind(listen).expect("nobody listens there any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_is_declared_the_operators_own_once() {
    let open = OpenMarket::new().await;
    party(&open.market, 1).await;
    let id = market::id::PartyId(1);
    open.running.declare_own(id).await.unwrap();
    assert!(open.market.party(id).await.unwrap().is_operators);
    let open = open.restart(async |_| {}).await;
    let before = open.market.info().await.unwrap().position;
    open.running.declare_own(id).await.unwrap();
    assert_eq!(open.market.info().await.unwrap().position, before);
    let unknown = open.running.declare_own(market::id::PartyId(9)).await.unwrap_err();
    assert!(unknown.to_string().contains("party-9"), "{unknown}");
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_as_long_as_the_market_asks_it_to() {
    let open = OpenMarket::with(|config| config.limits.statements_per_second = 1).await;
    let alice = party(&open.market, 1).await;
    for _ in 0..5 {
        let refused =
            open.market.submit(&alice, Command::LockBond { amount_msat: Msat(1) }).await.unwrap_err();
        assert!(matches!(refused, ClientError::Refused { status: 402, .. }), "{refused}");
    }
    let url = format!("{}/metrics", open.running.address());
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    let told: u64 = metrics
        .lines()
        .filter(|line| line.contains("/v1/statements") && line.contains("status=\"429\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    // Four may come at once; the others are told to wait for a second, and wait for it: an impatient client asks several
    // times within each.
    assert!((1..=2).contains(&told), "{told}: {metrics}");
    open.close().await;
}
