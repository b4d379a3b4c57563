//! A payer and a payee who share no channel, and a hub between them: it takes a fee, has limits, and can vanish.

use super::{
    chain::{Chain, free_port},
    nodes::{CHANNEL_SAT, fund, open, options, until},
    request,
};
use market::{id::PaymentHash, units::Msat};
use pay::{FailureReason, InvoiceState, LightningNode, PayRequest, PaymentState, Preimage, ldk::LdkNode};
use std::path::Path;

const AMOUNT: Msat = Msat(10_000_000);
/// More than a hub asks for that much.
const MAX_FEE: Msat = Msat(100_000);
const HOUR_MS: u64 = 3_600_000;

struct Hub {
    chain: Chain,
    _root: tempfile::TempDir,
    payer: LdkNode,
    hub: LdkNode,
    payee: LdkNode,
}

/// A node that others reach, and where.
async fn reachable(chain: &Chain, folder: &Path) -> (LdkNode, String) {
    let mut config = options(chain, folder);
    let port = free_port();
    config.listen = vec![([127, 0, 0, 1], port).into()];
    let node = LdkNode::open(config).await.unwrap();
    let address = format!("{}@127.0.0.1:{port}", node.info().await.unwrap().id);
    (node, address)
}

impl Hub {
    /// Its channels are announced: it forwards over no others.
    async fn start() -> Option<Hub> {
        let chain = Chain::start()?;
        let root = tempfile::tempdir().unwrap();
        let (hub, to_hub) = reachable(&chain, &root.path().join("hub")).await;
        let (payee, to_payee) = reachable(&chain, &root.path().join("payee")).await;
        let (payer, _) = reachable(&chain, &root.path().join("payer")).await;
        fund(&chain, &[&hub, &payee, &payer]).await;
        open(&chain, &payer, &hub, &to_hub, Msat::ZERO, true).await;
        open(&chain, &hub, &payee, &to_payee, Msat::ZERO, true).await;
        let this = Hub { chain, _root: root, payer, hub, payee };
        // What the network knows of a channel arrives some time after it can be used.
        until("the payer knows the way", async || this.send(Msat(1_000_000), MAX_FEE).await.is_ok()).await;
        until("all is calm", async || this.in_flight().await == Msat::ZERO).await;
        Some(this)
    }

    async fn in_flight(&self) -> Msat {
        self.payer.balance().await.unwrap().in_flight
    }

    async fn had(&self) -> u64 {
        self.payer.balance().await.unwrap().spendable.0
    }

    /// Pays a new invoice; the fee, or why not.
    async fn send(&self, amount: Msat, max_fee: Msat) -> Result<Msat, FailureReason> {
        let invoice = self.payee.create_invoice(request(amount.0)).await.unwrap();
        self.payer.pay(PayRequest { bolt11: invoice.bolt11, amount, max_fee }).await.unwrap();
        self.fate(invoice.payment_hash).await
    }

    async fn fate(&self, hash: PaymentHash) -> Result<Msat, FailureReason> {
        let state = async || self.payer.payment(hash).await.unwrap().unwrap();
        until("its fate is known", async || {
            !matches!(state().await, PaymentState::InFlight | PaymentState::Unknown)
        })
        .await;
        match state().await {
            PaymentState::Succeeded { fee, .. } => Ok(fee),
            PaymentState::Failed { reason } => Err(reason),
            PaymentState::InFlight | PaymentState::Unknown => unreachable!("it was decided"),
        }
    }

    /// A payment that the payee holds.
    async fn held(&self, secret: Preimage) -> PaymentHash {
        let hash = secret.payment_hash();
        let made = self.payee.create_hold_invoice(hash, HOUR_MS, request(AMOUNT.0)).await.unwrap();
        let pay = PayRequest { bolt11: made.bolt11, amount: AMOUNT, max_fee: MAX_FEE };
        self.payer.pay(pay).await.unwrap();
        until("it is held", async || {
            matches!(self.payee.invoice(hash).await.unwrap(), Some(InvoiceState::Held { .. }))
        })
        .await;
        hash
    }

    async fn stop(self) {
        for node in [&self.payer, &self.hub, &self.payee] {
            node.stop().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_takes_its_fee_and_what_is_above_a_limit_costs_nothing() {
    let Some(hub) = Hub::start().await else { return };
    let had = hub.had().await;
    let fee = hub.send(AMOUNT, MAX_FEE).await.unwrap();
    assert!(fee > Msat::ZERO && fee <= MAX_FEE, "{fee}");
    until("the channel has it", async || had - hub.had().await == AMOUNT.0 + fee.0).await;

    let had = hub.had().await;
    // One millisatoshi below what it asks for…
    assert_eq!(hub.send(AMOUNT, Msat(fee.0 - 1)).await, Err(FailureReason::NoRoute));
    // …and more than an announced channel takes at once.
    let too_much = Msat(CHANNEL_SAT * 1_000 / 10 + 1_000);
    assert_eq!(hub.send(too_much, MAX_FEE).await, Err(FailureReason::NoRoute));
    until("nothing was lost", async || hub.had().await == had).await;

    let secret = Preimage([0xe1; 32]);
    let hash = hub.held(secret).await;
    hub.payee.settle(secret).await.unwrap();
    assert_eq!(hub.fate(hash).await, Ok(fee), "a hold costs the same");
    hub.stop().await;
}

/// The hub is gone after the payment was accepted: the payee takes it from the chain, and the hub bears the loss unless it
/// comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_payee_claims_on_chain_what_a_dead_hub_owes() {
    let Some(hub) = Hub::start().await else { return };
    let secret = Preimage([0xe2; 32]);
    let hash = hub.held(secret).await;
    let had = hub.payee.wallet().await.unwrap().on_chain_total_sat;
    hub.hub.stop().await.unwrap();
    // It has the preimage, and nobody to give it to: that is for the chain.
    hub.payee.settle(secret).await.unwrap();
    let height = hub.chain.height();
    until("the claim is confirmed on chain", async || {
        hub.chain.mine(3);
        hub.payee.sync().await.unwrap();
        // Most of it: claiming costs something, too.
        hub.payee.wallet().await.unwrap().on_chain_total_sat > had + AMOUNT.0 / 1_000 / 2
    })
    .await;
    let came = hub.payee.wallet().await.unwrap().on_chain_total_sat - had;
    println!("claimed on chain {} blocks later: {came} sat came", hub.chain.height() - height);
    assert!(matches!(hub.payee.invoice(hash).await.unwrap(), Some(InvoiceState::Paid { .. })));
    hub.payer.stop().await.unwrap();
    hub.payee.stop().await.unwrap();
}
