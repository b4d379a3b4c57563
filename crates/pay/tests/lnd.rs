//! The node over LND's REST interface, against a stand-in for LND: TLS, macaroons, the published wire format, and play money
//! behind it. LND itself is not here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "lnd/bed.rs"]
mod bed;
#[path = "lnd/door.rs"]
mod door;
#[path = "lnd/lost.rs"]
mod lost;
#[path = "lnd/server.rs"]
mod server;
#[path = "lnd/wire.rs"]
mod wire;

use bed::Bed;
use market::units::Msat;
use pay::{
    EventCursor, FailureReason, Invoice, InvoiceError, InvoiceRequest, InvoiceState, LightningNode,
    NodeEvent, PayError, PayRequest, PaymentState, Preimage, bolt11, conformance,
};
use std::time::Duration;

const AMOUNT: Msat = Msat(1_000_000);
const MINUTE_MS: u64 = 60_000;

fn request(amount: Msat) -> InvoiceRequest {
    InvoiceRequest { amount, description: "test".into(), expires_in_ms: 60 * MINUTE_MS }
}

fn to_pay(invoice: &Invoice) -> PayRequest {
    PayRequest { bolt11: invoice.bolt11.clone(), amount: AMOUNT, max_fee: Msat(10_000) }
}

#[tokio::test]
async fn lnd_passes_the_conformance_suite() {
    let report = conformance::run(async || Bed::start().await).await;
    println!("{report}");
    assert!(report.failed.is_empty() && report.skipped.is_empty(), "{report}");
    assert_eq!(report.passed.len(), 23);
}

#[tokio::test]
async fn a_hold_is_given_back_with_nobody_looking() {
    let bed = Bed::start().await;
    let secret = Preimage([9; 32]);
    let invoice =
        bed.payee.create_hold_invoice(secret.payment_hash(), MINUTE_MS, request(AMOUNT)).await.unwrap();
    bed.payer.pay(to_pay(&invoice)).await.unwrap();
    bed.payee.node().tend().await.unwrap();
    bed.time.pass(2 * MINUTE_MS);
    // LND holds it for hours yet; only what looks after the node by itself gives it back. It has all the time it needs.
    let given_back = async {
        loop {
            match bed.payer.lnd.dev.payment(invoice.payment_hash).await.unwrap() {
                Some(PaymentState::InFlight) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => break other,
            }
        }
    };
    let state = tokio::time::timeout(Duration::from_secs(300), given_back).await.unwrap();
    assert_eq!(state, Some(PaymentState::Failed { reason: FailureReason::Rejected }));
}

#[tokio::test]
async fn a_hold_asks_for_the_blocks_that_it_takes() {
    let bed = Bed::start().await;
    for (first, hold_ms, blocks) in [(1, MINUTE_MS, 1 + 30), (2, 24 * 60 * MINUTE_MS, 144 + 36 + 30)] {
        let hash = Preimage([first; 32]).payment_hash();
        let made = bed.payee.create_hold_invoice(hash, hold_ms, request(AMOUNT)).await.unwrap();
        assert_eq!(bolt11::decode(&made.bolt11).unwrap().final_blocks, blocks);
    }
    let week = bed.payee.create_hold_invoice(
        Preimage([3; 32]).payment_hash(),
        7 * 1_440 * MINUTE_MS,
        request(AMOUNT),
    );
    assert!(matches!(week.await, Err(InvoiceError::BadRequest(why)) if why.contains("days at most")));
}

#[tokio::test]
async fn a_hash_that_others_used_at_this_lnd_is_in_use() {
    let bed = Bed::start().await;
    let hash = Preimage([9; 32]).payment_hash();
    bed.payee.lnd.dev.create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await.unwrap();
    for _ in 0..2 {
        let refused = bed.payee.create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await;
        assert_eq!(refused, Err(InvoiceError::HashInUse(hash)));
    }
    assert_eq!(bed.payee.invoice(hash).await.unwrap(), None, "it is not ours");
}

#[tokio::test]
async fn what_was_paid_with_another_tool_is_not_paid_again() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    bed.payer.lnd.dev.pay(to_pay(&invoice)).await.unwrap();
    let left = bed.payer.balance().await.unwrap();
    let known = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert!(matches!(known, Some(PaymentState::Succeeded { .. })), "{known:?}");
    let state = bed.payer.pay(to_pay(&invoice)).await.unwrap();
    assert_eq!(Some(state), known);
    assert_eq!(bed.payer.balance().await.unwrap(), left);
}

#[tokio::test]
async fn a_payment_that_failed_can_be_tried_again_and_fails_again() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    for _ in 0..3 {
        bed.payer.pay(PayRequest { max_fee: Msat::ZERO, ..to_pay(&invoice) }).await.unwrap();
        let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
        assert_eq!(state, Some(PaymentState::Failed { reason: FailureReason::NoRoute }));
    }
    bed.payer.pay(to_pay(&invoice)).await.unwrap();
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert!(matches!(state, Some(PaymentState::Succeeded { .. })), "{state:?}");
}

#[tokio::test]
async fn two_processes_share_a_node_and_what_is_remembered_beside_it() {
    let bed = Bed::start().await;
    let other = bed.payee.open().await.unwrap();
    let secret = Preimage([9; 32]);
    let hash = secret.payment_hash();
    let invoice = bed.payee.create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await.unwrap();
    assert_eq!(other.invoice(hash).await.unwrap(), Some(InvoiceState::Open));
    bed.payer.pay(to_pay(&invoice)).await.unwrap();
    let held = other.invoice(hash).await.unwrap();
    assert!(matches!(held, Some(InvoiceState::Held { .. })), "{held:?}");
    assert_eq!(bed.payee.invoice(hash).await.unwrap(), held);
    bed.payee.settle(secret).await.unwrap();
    assert_eq!(other.invoice(hash).await.unwrap(), Some(InvoiceState::Paid { preimage: secret }));
    let told = other.events(EventCursor::default(), 10).await.unwrap();
    let wanted = [
        NodeEvent::InvoiceHeld { payment_hash: hash, amount: AMOUNT },
        NodeEvent::InvoicePaid { payment_hash: hash, amount: AMOUNT },
    ];
    assert_eq!(told.iter().map(|(_, event)| *event).collect::<Vec<_>>(), wanted);
    assert_eq!(bed.payee.events(EventCursor(1), 10).await.unwrap(), told[1..]);
}

#[tokio::test]
async fn an_invoice_of_another_network_is_not_paid() {
    let bed = Bed::start().await;
    // The second example of the BOLT11 specification, on the main network.
    let bolt11 = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwz\
                  qfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0l\
                  p53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
    let refused =
        bed.payer.pay(PayRequest { bolt11: bolt11.into(), amount: Msat(250_000_000), max_fee: AMOUNT });
    assert!(matches!(refused.await, Err(PayError::WrongNetwork { .. })));
    assert!(!bed.payer.lnd.requests.lock().unwrap().iter().any(|path| path == "/v2/router/send"));
}
