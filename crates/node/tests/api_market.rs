//! The market over HTTP: statements are accepted once, reads answer, restarts keep everything.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{command::Command, key::SecretKey, reply::Reply, units::Msat};
use node::{
    api::{KeyView, TopupPhase},
    client::Market,
    http::{MarketConfig, serve},
};
use support::{party, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_accepted_once_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    let alice = SecretKey::from_bytes([1; 32]);

    let statement = market.statement(&alice, Command::RegisterParty { label: "alice".into() }).unwrap();
    let first = market.send(&statement).await.unwrap();
    let again = market.send(&statement).await.unwrap();
    assert!(matches!(first.reply, Reply::Party(_)));
    assert_eq!((again.position, &again.reply, again.duplicate), (first.position, &first.reply, true));
    running.shutdown().await.unwrap();

    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    let after = market.send(&statement).await.unwrap();
    assert_eq!((after.position, after.duplicate), (first.position, true));
    let Some(KeyView::Party(id)) = market.key(&alice.public()).await.unwrap() else {
        panic!("alice is not a party")
    };
    assert_eq!(market.party(id).await.unwrap().label, "alice");
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_in_and_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    let alice = party(&market, 1).await;

    let asked = market.submit(&alice, Command::TopUp { amount_msat: Msat(50_000_000) }).await.unwrap();
    let Reply::TopUp(topup) = asked.reply else { panic!("{asked:?}") };
    let invoiced = until(async || {
        let view = market.topup(&alice, topup).await.unwrap();
        (view.phase == TopupPhase::Invoiced).then_some(view)
    })
    .await;
    market.dev_pay(&invoiced.bolt11.unwrap()).await.unwrap();
    until(async || (market.topup(&alice, topup).await.unwrap().phase == TopupPhase::Received).then_some(()))
        .await;
    assert_eq!(market.account(&alice).await.unwrap().available_msat, Msat(50_000_000));

    let invoice = market.dev_invoice(Msat(20_000_000)).await.unwrap();
    let command = Command::Withdraw {
        bolt11: invoice.bolt11,
        payment_hash: invoice.payment_hash,
        amount_msat: invoice.amount_msat,
        max_fee_msat: Msat(1_000_000),
    };
    market.submit(&alice, command).await.unwrap();
    let account = until(async || {
        let account = market.account(&alice).await.unwrap();
        (account.pending_msat == Msat::ZERO).then_some(account)
    })
    .await;
    assert!(
        account.available_msat <= Msat(30_000_000) && account.available_msat >= Msat(29_000_000),
        "{account:?}"
    );
    let info = market.info().await.unwrap();
    assert!(info.is_play_money && info.liabilities_msat <= info.node_balance_msat, "{info:?}");
    running.shutdown().await.unwrap();
}
