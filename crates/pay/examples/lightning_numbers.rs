//! Prints what two embedded nodes with one channel between them can do on this machine: real channels, real fsync, a
//! chain of their own.
//!
//! `GRIST_BITCOIND=… cargo run --release -p pay --features ldk --example lightning_numbers`; `scripts/regtest
//! --build-only` says where bitcoind is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails is none")]

#[path = "../tests/regtest/chain.rs"]
mod chain;
#[path = "../tests/regtest/nodes.rs"]
mod nodes;

use chain::{Chain, free_port};
use market::{preimage::Preimage, units::Msat};
use nodes::{fund, open, options, until};
use pay::{
    EventCursor, InvoiceRequest, InvoiceState, LightningNode, NodeEvent, PayRequest, PaymentState,
    ldk::LdkNode,
};
use std::time::{Duration, Instant};

const AMOUNT: Msat = Msat(1_000_000);
const SEQUENTIAL: u32 = 25;
const AT_ONCE: u32 = 25;
const HOLDS: u8 = 11;

#[tokio::main]
async fn main() {
    let Some(chain) = Chain::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let before_kib = resident_kib();
    let mut config = options(&chain, &root.path().join("payee"));
    let port = free_port();
    config.listen = vec![([127, 0, 0, 1], port).into()];
    let payee = LdkNode::open(config).await.unwrap();
    let payer = LdkNode::open(options(&chain, &root.path().join("payer"))).await.unwrap();
    let address = format!("{}@127.0.0.1:{port}", payee.info().await.unwrap().id);
    fund(&chain, &[&payer, &payee]).await;
    open(&chain, &payer, &payee, &address, Msat(500_000_000), false).await;

    let sequential = sequential(&payer, &payee).await;
    println!("payments one after another:  {:.1}/s", f64::from(SEQUENTIAL) / sequential.as_secs_f64());
    let together = together(&payer, &payee).await;
    println!("payments, {AT_ONCE} at once:      {:.1}/s", f64::from(AT_ONCE) / together.as_secs_f64());
    let (to_hold, to_claim) = holds(&payer, &payee).await;
    println!("hold: paid to held           {to_hold:?} (median of {HOLDS})");
    println!("hold: settled to payer knows {to_claim:?} (median of {HOLDS})");
    println!("memory of a node:            {:.1} MiB", (resident_kib() - before_kib) as f64 / 2.0 / 1_024.0);
    payer.stop().await.unwrap();
    payee.stop().await.unwrap();
}

fn request() -> InvoiceRequest {
    InvoiceRequest { amount: AMOUNT, description: "a number".into(), expires_in_ms: 600_000 }
}

async fn send(payer: &LdkNode, payee: &LdkNode) {
    let invoice = payee.create_invoice(request()).await.unwrap();
    let pay = PayRequest { bolt11: invoice.bolt11, amount: AMOUNT, max_fee: Msat::ZERO };
    payer.pay(pay).await.unwrap();
    arrival(payer, invoice.payment_hash).await;
}

async fn arrival(payer: &LdkNode, hash: market::id::PaymentHash) {
    loop {
        match payer.payment(hash).await.unwrap().unwrap() {
            PaymentState::Succeeded { .. } => return,
            PaymentState::Failed { reason } => panic!("{reason}"),
            PaymentState::InFlight | PaymentState::Unknown => {
                tokio::time::sleep(Duration::from_millis(1)).await
            }
        }
    }
}

async fn sequential(payer: &LdkNode, payee: &LdkNode) -> Duration {
    let started = Instant::now();
    for _ in 0..SEQUENTIAL {
        send(payer, payee).await;
    }
    started.elapsed()
}

async fn together(payer: &LdkNode, payee: &LdkNode) -> Duration {
    let started = Instant::now();
    let payments = (0..AT_ONCE).map(|_| {
        let (payer, payee) = (payer.clone(), payee.clone());
        tokio::spawn(async move { send(&payer, &payee).await })
    });
    for payment in payments.collect::<Vec<_>>() {
        payment.await.unwrap();
    }
    started.elapsed()
}

async fn holds(payer: &LdkNode, payee: &LdkNode) -> (Duration, Duration) {
    let (mut to_hold, mut to_claim) = (Vec::new(), Vec::new());
    for number in 0..HOLDS {
        let secret = Preimage([number; 32]);
        let hash = secret.payment_hash();
        let invoice = payee.create_hold_invoice(hash, 3_600_000, request()).await.unwrap();
        let started = Instant::now();
        let pay = PayRequest { bolt11: invoice.bolt11, amount: AMOUNT, max_fee: Msat::ZERO };
        payer.pay(pay).await.unwrap();
        while !matches!(payee.invoice(hash).await.unwrap(), Some(InvoiceState::Held { .. })) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        to_hold.push(started.elapsed());
        let started = Instant::now();
        payee.settle(secret).await.unwrap();
        arrival(payer, hash).await;
        to_claim.push(started.elapsed());
    }
    until("events say so, too", async || {
        let events = payee.events(EventCursor::default(), 1_000).await.unwrap();
        events.iter().filter(|(_, event)| matches!(event, NodeEvent::InvoiceHeld { .. })).count()
            == usize::from(HOLDS)
    })
    .await;
    (median(to_hold), median(to_claim))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What the kernel says that this process has in memory, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
