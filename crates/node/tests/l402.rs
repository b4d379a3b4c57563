//! What a market charges for, who pays nothing, what a client pays by itself, and rights that are handed on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{
    command::Command,
    event::JobOutcome,
    id::{Digest, LeaseId},
    job::Verification,
    key::SecretKey,
    units::{Msat, TimeMs},
};
use node::{
    api::{LeaseRight, TokenRequest},
    client::{
        ClientError, FetchError, LeaseReader, Market, OfferNews, Payer, PayingError, TokenJar, TokenPhase,
        Wallet, WebRequest, fetch, paid_elsewhere,
    },
    http::{Payments, Prices},
};
use pay::{
    LightningNode, PayRequest, PaymentState, Preimage,
    dev::{DevNetwork, DevNode, Fault},
    l402::{Limit, Token},
};
use std::{sync::Arc, time::Duration};
use support::{
    OpenMarket, job,
    machine::{Machine, offers_stand},
    order, party,
};

const PRICE: Msat = Msat(2_000);
const FUNDS: Msat = Msat(1_000_000);

async fn paid_market(set: impl FnOnce(&mut node::http::MarketConfig)) -> OpenMarket {
    OpenMarket::with(|config| {
        config.prices = Prices { blob_msat_per_mib: PRICE, offer_stream_msat: PRICE };
        set(config);
    })
    .await
}

fn jar(open: &OpenMarket) -> TokenJar {
    TokenJar::new(open.path("tokens"))
}

fn faucet(open: &OpenMarket, limit: u64) -> Arc<Payer> {
    Arc::new(Payer::new(Msat(limit), jar(open), Wallet::PlayMoney(open.market.clone())))
}

fn get(url: &str) -> WebRequest {
    WebRequest { method: "GET".into(), url: url.into(), headers: Vec::new(), body: Vec::new() }
}

async fn body(payer: &Payer, url: &str) -> Result<Vec<u8>, FetchError> {
    let mut answer = fetch(payer, get(url)).await?;
    assert_eq!(answer.status(), 200);
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A blob of Alice's, and where it is.
async fn blob(open: &OpenMarket) -> (SecretKey, Digest, String) {
    let alice = party(&open.market, 1).await;
    let digest = open.market.put_blob(&alice, vec![7; 1_000]).await.unwrap();
    (alice, digest, format!("{}/v1/blobs/{digest}", open.running.address()))
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_pay_for_a_blob_once_and_its_owner_does_not() {
    let open = paid_market(|_| {}).await;
    let (alice, digest, url) = blob(&open).await;
    open.market.get_blob(&alice, digest, 1_000).await.expect("it is hers");
    let bob = party(&open.market, 2).await;
    let read = async |market: &Market| market.get_blob(&bob, digest, 1_000).await;
    let refused = read(&open.market).await.unwrap_err();
    assert_eq!(refused.code(), Some("payment_required"), "{refused}");

    let mean = faucet(&open, 1_999);
    let refused = read(&open.market.with_payer(mean.clone())).await.unwrap_err();
    let ClientError::Paying(PayingError::Price { price, left, .. }) = &refused else { panic!("{refused}") };
    assert_eq!((*price, *left), (PRICE, Msat(1_999)));
    assert!(refused.to_string().contains("--max-pay"), "{refused}");

    let payer = faucet(&open, 2_000);
    let paying = open.market.with_payer(payer.clone());
    assert_eq!(read(&paying).await.unwrap().len(), 1_000);
    assert_eq!(read(&paying).await.unwrap().len(), 1_000);
    assert_eq!((payer.spent().await, mean.spent().await), (PRICE, Msat::ZERO), "paid for once");
    // The token stays good for others who use the same jar, and for somebody who is not registered.
    assert_eq!(body(&faucet(&open, 0), &url).await.unwrap(), vec![7; 1_000]);
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_costs_anything_unless_the_operator_says_so() {
    let open = OpenMarket::new().await;
    let (_, digest, url) = blob(&open).await;
    let bob = party(&open.market, 2).await;
    open.market.get_blob(&bob, digest, 1_000).await.expect("registered parties read");
    let answer = fetch(&faucet(&open, 9_000), get(&url)).await.unwrap();
    assert_eq!(answer.status(), 401, "others do not, not for money either");
    let mut news = open.market.offer_news().await.unwrap();
    let machine = Machine::new(&open.market, 3).await;
    let running = machine.start(&open.market, 5_000);
    assert!(matches!(news.next().await.unwrap().unwrap(), OfferNews::Stands(_)));
    running.stop().await;
    open.close().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let open = paid_market(|_| {}).await;
    let (_, _, url) = blob(&open).await;
    body(&faucet(&open, 9_000), &url).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let jar = jar(&open);
    assert_eq!(mode(jar.folder()), 0o700);
    for entry in std::fs::read_dir(jar.folder()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let stored = jar.all().unwrap();
    assert_eq!(stored.len(), 1);
    assert!(!format!("{stored:?}").contains(&stored[0].token));
    open.close().await;
}

/// A market and a buyer with nodes on one network.
async fn with_nodes() -> (OpenMarket, DevNetwork, DevNode) {
    let now = || TimeMs(u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    let network = DevNetwork::new([9; 32], now);
    let node = network.node("market");
    let open = paid_market(|config| config.payments = Payments::Node(Arc::new(node))).await;
    let buyer = network.node("buyer");
    network.issue(&buyer, FUNDS).unwrap();
    (open, network, buyer)
}

async fn gone(buyer: &DevNode) -> Msat {
    FUNDS.minus(buyer.balance().await.unwrap().spendable).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_answer_was_lost_is_found_and_not_made_again() {
    let (open, network, buyer) = with_nodes().await;
    let (_, _, url) = blob(&open).await;
    let payer = || Payer::new(Msat(9_000), jar(&open), Wallet::Node(Arc::new(buyer.clone())));
    buyer.inject(Fault::LoseAnswer);
    let lost = body(&payer(), &url).await.unwrap_err();
    assert!(matches!(lost, FetchError::Paying(PayingError::Undecided { .. })), "{lost}");
    let stored = jar(&open).all().unwrap();
    assert!(matches!(stored[0].phase, TokenPhase::Paying), "{stored:?}");
    let spent = gone(&buyer).await;
    assert!(spent >= PRICE, "the money is on its way");
    // As after a crash: another process, the same jar.
    let second = payer();
    assert_eq!(body(&second, &url).await.unwrap(), vec![7; 1_000]);
    assert_eq!(gone(&buyer).await, spent, "paid once");
    assert_eq!(second.spent().await, spent, "and counted");
    network.check().unwrap();
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_failed_costs_nothing_and_is_made_anew() {
    let (open, _network, buyer) = with_nodes().await;
    let (_, _, url) = blob(&open).await;
    let payer = Payer::new(Msat(9_000), jar(&open), Wallet::Node(Arc::new(buyer.clone())));
    buyer.inject(Fault::FailPayment);
    let failed = body(&payer, &url).await.unwrap_err();
    assert!(matches!(failed, FetchError::Paying(PayingError::Failed { .. })), "{failed}");
    assert_eq!((gone(&buyer).await, jar(&open).all().unwrap().len()), (Msat::ZERO, 0));
    assert_eq!(body(&payer, &url).await.unwrap().len(), 1_000);
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_wallet_the_invoice_is_told_and_can_be_paid_elsewhere() {
    let (open, _network, buyer) = with_nodes().await;
    let (_, _, url) = blob(&open).await;
    let nobody = Payer::new(Msat(9_000), jar(&open), Wallet::None);
    for _ in 0..2 {
        let told = body(&nobody, &url).await.unwrap_err();
        assert!(told.to_string().contains("lnbcrt"), "{told}");
    }
    let stored = jar(&open).get(&url).unwrap().unwrap();
    assert_eq!(stored.phase, TokenPhase::Offered);
    let request = PayRequest { bolt11: stored.invoice, amount: PRICE, max_fee: Msat(5_000) };
    let PaymentState::Succeeded { preimage, .. } = buyer.pay(request).await.unwrap() else { panic!() };
    assert!(paid_elsewhere(&jar(&open), Preimage([1; 32])).unwrap().is_none());
    assert!(paid_elsewhere(&jar(&open), preimage).unwrap().is_some());
    let nobody = Payer::new(Msat::ZERO, jar(&open), Wallet::None);
    assert_eq!(body(&nobody, &url).await.unwrap().len(), 1_000);
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_could_read_gets_no_money() {
    let payer = Payer::new(Msat(9_000), TokenJar::new("nowhere"), Wallet::None);
    for url in ["http://films.example/a", "ftp://127.0.0.1/a", "films"] {
        let refused = fetch(&payer, get(url)).await.unwrap_err();
        assert!(matches!(refused, FetchError::Address { .. }), "{url}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_read_with_a_token_that_was_handed_on() {
    let open = paid_market(|_| {}).await;
    let market = open.market.clone();
    let machine = Machine::new(&market, 2).await;
    let running = machine.start(&market, 5_000);
    offers_stand(&market, 1).await;
    let (buyer, secret, id) = order(&open, &job(&open.path(""), 3, Verification::None)).await;
    let outcome = tokio::time::timeout(Duration::from_secs(120), buyer.follow(id, None, |_| {})).await;
    assert_eq!(outcome.unwrap().unwrap(), JobOutcome::Completed);
    let lease = market.job(&secret, id).await.unwrap().leases[0].lease;

    let request =
        |can: &[LeaseRight]| TokenRequest { can: can.to_vec(), valid_until_ms: market.now().plus(3_600_000) };
    let token = market.lease_token(&secret, lease, &request(&LeaseRight::ALL)).await.unwrap();
    let view = market.token(&token).await.unwrap();
    assert_eq!((view.lease, view.is_bought, view.can.len()), (Some(lease), false, 2));
    let holder = LeaseReader::Holder(token.clone());
    let results = market.lease_results(&holder, lease).await.unwrap();
    assert!(!results.is_empty());
    let own = market.lease_results(&LeaseReader::Party(secret.clone()), lease).await.unwrap();
    assert_eq!(own, results);
    let output = results[0].result.unwrap().output;
    // Blobs cost something here, but not whoever was given this right.
    let bundle = market.lease_output(&holder, output, 1 << 20).await.unwrap();
    assert_eq!(Digest::of(&bundle), output);

    let status = Limit::Capabilities(["status".to_owned()].into()).of("grist");
    let narrower = LeaseReader::Holder(token.narrowed(&status).unwrap());
    assert_eq!(market.lease_results(&narrower, lease).await.unwrap(), results);
    assert_refused(market.lease_output(&narrower, output, 1 << 20).await, 403);
    let once = LeaseReader::Holder(token.narrowed(&Limit::MaxUses(1).of("grist")).unwrap());
    assert_eq!(market.lease_results(&once, lease).await.unwrap(), results);
    assert_refused(market.lease_results(&once, lease).await, 403);
    let wider = token
        .narrowed(&status)
        .unwrap()
        .narrowed(&Limit::Capabilities(["logs".to_owned()].into()).of("grist"));
    assert_refused(market.lease_results(&LeaseReader::Holder(wider.unwrap()), lease).await, 403);
    assert_refused(market.lease_results(&holder, LeaseId(lease.0 + 1_000)).await, 404);
    let forged = Token::mint(&pay::l402::RootKey::new([1; 32]), "x", token.identifier(), &[]).unwrap();
    assert_refused(market.token(&forged).await, 403);
    let other = LeaseReader::Holder(token);
    assert_refused(market.lease_output(&other, Digest::of(b"something else"), 9).await, 403);

    let stranger = party(&market, 5).await;
    assert_refused(market.lease_token(&stranger, lease, &request(&[LeaseRight::Logs])).await, 404);
    assert_refused(market.lease_results(&LeaseReader::Party(stranger), lease).await, 404);
    let provider = market.lease_token(&machine.party, lease, &request(&[LeaseRight::Status])).await;
    assert!(provider.is_ok(), "{provider:?}");
    running.stop().await;
    open.close().await;
}

fn assert_refused<T: std::fmt::Debug>(result: Result<T, ClientError>, wanted: u16) {
    match result {
        Err(ClientError::Refused { status, .. }) if status == wanted => {}
        other => panic!("not refused with {wanted}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_offers_begins_with_what_stands_and_tells_what_changes() {
    let open = paid_market(|_| {}).await;
    let machines = [Machine::new(&open.market, 2).await, Machine::new(&open.market, 3).await];
    let first = machines[0].start(&open.market, 5_000);
    offers_stand(&open.market, 1).await;
    let refused = open.market.offer_news().await.unwrap_err();
    assert_eq!(refused.code(), Some("payment_required"), "{refused}");
    let payer = faucet(&open, 9_000);
    let mut news = open.market.with_payer(payer.clone()).offer_news().await.unwrap();
    let mut next = async |wanted: &str| {
        let next = tokio::time::timeout(Duration::from_secs(20), news.next()).await;
        next.unwrap_or_else(|_| panic!("no news of {wanted}")).unwrap().unwrap()
    };
    let OfferNews::Stands(standing) = next("what stands").await else { panic!("nothing stands") };
    let second = machines[1].start(&open.market, 6_000);
    let came = loop {
        match next("the second machine").await {
            OfferNews::Stands(offer) if offer.offer != standing.offer => break offer.offer,
            OfferNews::Stands(_) => {}
            OfferNews::Gone(offer) => panic!("{offer} is gone"),
        }
    };
    open.market.submit(&machines[1].party, Command::WithdrawOffer { offer: came }).await.unwrap();
    while next("its end").await != OfferNews::Gone(came) {}
    second.stop().await;
    assert_eq!(payer.spent().await, PRICE);
    first.stop().await;
    open.close().await;
}
