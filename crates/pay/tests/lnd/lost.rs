//! Answers that are lost, and processes that end between a question and its answer.

use super::{AMOUNT, MINUTE_MS, bed::Bed, request, to_pay};
use crate::server::{Fault, Mood};
use market::units::Msat;
use pay::{
    FailureReason, InvoiceError, InvoiceState, LightningNode, NodeBalance, PayError, PayRequest,
    PaymentState, Preimage,
};

async fn sends(bed: &Bed) -> usize {
    let requests = bed.payer.lnd.requests.lock().unwrap();
    requests.iter().filter(|path| *path == "/v2/router/send").count()
}

#[tokio::test]
async fn a_payment_whose_answer_was_lost_is_found_after_a_restart_and_paid_once() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    bed.payer.inject(Fault::AnswerToSend);
    let lost = bed.payer.pay(to_pay(&invoice)).await;
    assert!(matches!(lost, Err(PayError::Unavailable(_))), "{lost:?}");
    bed.payer.restart().await;
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert!(matches!(state, Some(PaymentState::Succeeded { .. })), "{state:?}");
    assert_eq!(bed.payer.pay(to_pay(&invoice)).await.ok(), state);
    assert_eq!(sends(&bed).await, 1);
    assert_eq!(bed.payee.balance().await.unwrap(), NodeBalance { spendable: AMOUNT, in_flight: Msat::ZERO });
}

#[tokio::test]
async fn a_failure_whose_answer_was_lost_is_believed_when_lnd_shows_that_very_try() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    bed.payer.inject(Fault::AnswerToSend);
    let lost = bed.payer.pay(PayRequest { max_fee: Msat::ZERO, ..to_pay(&invoice) }).await;
    assert!(matches!(lost, Err(PayError::Unavailable(_))), "{lost:?}");
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert_eq!(state, Some(PaymentState::Failed { reason: FailureReason::NoRoute }));
    // The second try is lost on its way: what LND shows is the failure of the first, which says nothing.
    bed.payer.inject(Fault::Send);
    let lost = bed.payer.pay(to_pay(&invoice)).await;
    assert!(matches!(lost, Err(PayError::Unavailable(_))), "{lost:?}");
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert_eq!(state, Some(PaymentState::Unknown));
}

#[tokio::test]
async fn a_payment_that_never_reached_lnd_is_unknown_until_it_is_sent_again() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    bed.payer.inject(Fault::Send);
    assert!(bed.payer.pay(to_pay(&invoice)).await.is_err());
    bed.payer.restart().await;
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert_eq!(state, Some(PaymentState::Unknown));
    assert_eq!(
        bed.payer.pay(to_pay(&invoice)).await,
        Ok(PaymentState::Unknown),
        "nothing is sent in its place"
    );
    assert_eq!(sends(&bed).await, 1);
    bed.pass(2 * MINUTE_MS).await.unwrap();
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert!(matches!(state, Some(PaymentState::Succeeded { .. })), "{state:?}");
    assert_eq!(sends(&bed).await, 2);
}

#[tokio::test]
async fn while_a_request_may_be_on_its_way_no_failure_is_believed_before_the_invoice_expires() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    bed.payer.inject(Fault::Send);
    let cheap = PayRequest { max_fee: Msat::ZERO, ..to_pay(&invoice) };
    assert!(bed.payer.pay(cheap).await.is_err());
    bed.pass(2 * MINUTE_MS).await.unwrap();
    assert_eq!(sends(&bed).await, 2, "it was sent again, and failed");
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert_eq!(state, Some(PaymentState::Unknown), "the first request could still come");
    bed.pass(61 * MINUTE_MS).await.unwrap();
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert_eq!(state, Some(PaymentState::Unknown), "LND's clock may be behind");
    bed.pass(10 * MINUTE_MS).await.unwrap();
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert_eq!(state, Some(PaymentState::Failed { reason: FailureReason::NoRoute }));
}

#[tokio::test]
async fn a_payment_that_never_reached_lnd_has_failed_when_its_invoice_has_expired() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    bed.payer.inject(Fault::Send);
    assert!(bed.payer.pay(to_pay(&invoice)).await.is_err());
    // Nobody looked while it could be sent again.
    bed.time.pass(71 * MINUTE_MS);
    bed.payer.restart().await;
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert_eq!(state, Some(PaymentState::Failed { reason: FailureReason::NoRoute }));
    assert_eq!(sends(&bed).await, 1);
}

#[tokio::test]
async fn a_hold_invoice_whose_answer_was_lost_is_given_to_whoever_asks_again() {
    let bed = Bed::start().await;
    let secret = Preimage([9; 32]);
    let hash = secret.payment_hash();
    bed.payee.inject(Fault::AnswerToInvoice);
    let lost = bed.payee.create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await;
    assert!(matches!(lost, Err(InvoiceError::Unavailable(_))), "{lost:?}");
    assert_eq!(bed.payee.invoice(hash).await.unwrap(), None, "nobody was given it");
    bed.payee.restart().await;
    let invoice = bed.payee.create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await.unwrap();
    let again = bed.payee.create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await;
    assert_eq!(again, Err(InvoiceError::HashInUse(hash)));
    bed.payer.pay(to_pay(&invoice)).await.unwrap();
    bed.payee.settle(secret).await.unwrap();
    assert_eq!(bed.payee.invoice(hash).await.unwrap(), Some(InvoiceState::Paid { preimage: secret }));
}

#[tokio::test]
async fn a_cancel_that_a_crash_cut_short_is_finished() {
    let bed = Bed::start().await;
    let secret = Preimage([9; 32]);
    let hash = secret.payment_hash();
    let invoice = bed.payee.create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await.unwrap();
    bed.payer.pay(to_pay(&invoice)).await.unwrap();
    bed.payee.node().tend().await.unwrap();
    // LND goes away between the intent and its work, and comes back after a restart.
    *bed.payee.lnd.mood_at.lock().unwrap() = Some(("/v2/invoices/cancel", Mood::Refusing("wallet locked")));
    assert!(bed.payee.cancel(hash).await.is_err());
    *bed.payee.lnd.mood_at.lock().unwrap() = None;
    bed.payee.restart().await;
    bed.payee.node().tend().await.unwrap();
    assert_eq!(bed.payee.invoice(hash).await.unwrap(), Some(InvoiceState::Cancelled));
    let state = bed.payer.payment(hash).await.unwrap();
    assert_eq!(state, Some(PaymentState::Failed { reason: FailureReason::Rejected }));
}
