//! Nodes with one mistake each: the suite has to find every one of them.

use super::*;
use crate::{
    bolt11,
    dev::tests::{Bed, now},
    node::{NodeBalance, NodeInfo},
};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    TakesUnknownForFailed,
    PaysWhateverTheInvoiceSays,
    ChargesForASecondPayment,
    ForgetsPayments,
    SettlesWithAnyPreimage,
    ForgetsToGiveBack,
    TellsNoEvents,
    ForgetsWhereEventsWere,
    CallsEveryFailureNoRoute,
}

struct Mistaken<N> {
    node: N,
    mistake: Mistake,
    charged: AtomicU64,
}

impl<N: LightningNode> LightningNode for Mistaken<N> {
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable> {
        self.node.info()
    }

    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        self.node.create_invoice(request)
    }

    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError> {
        self.node.create_hold_invoice(payment_hash, hold_ms, request)
    }

    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError> {
        Box::pin(async move {
            let settled = self.node.settle(preimage).await;
            if self.mistake == Mistake::SettlesWithAnyPreimage { Ok(()) } else { settled }
        })
    }

    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError> {
        let refusing = self.mistake == Mistake::ForgetsToGiveBack;
        Box::pin(async move { if refusing { Ok(()) } else { self.node.cancel(payment_hash).await } })
    }

    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        self.node.invoice(payment_hash)
    }

    fn pay(&self, mut request: PayRequest) -> NodeFuture<'_, PaymentState, PayError> {
        Box::pin(async move {
            let invoice = bolt11::decode(&request.bolt11)?;
            if self.mistake == Mistake::PaysWhateverTheInvoiceSays {
                request.amount = invoice.amount.unwrap_or(request.amount);
            }
            if self.mistake == Mistake::ChargesForASecondPayment
                && self.node.payment(invoice.payment_hash).await?.is_some()
            {
                self.charged.fetch_add(request.amount.0, Ordering::Relaxed);
            }
            let state = self.node.pay(request).await?;
            if self.mistake == Mistake::TakesUnknownForFailed && state == PaymentState::Unknown {
                return Ok(PaymentState::Failed { reason: FailureReason::NoRoute });
            }
            Ok(state)
        })
    }

    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable> {
        Box::pin(async move {
            let state = self.node.payment(payment_hash).await?;
            Ok(match (self.mistake, state) {
                (Mistake::ForgetsPayments, _) => None,
                (Mistake::CallsEveryFailureNoRoute, Some(PaymentState::Failed { .. })) => {
                    Some(PaymentState::Failed { reason: FailureReason::NoRoute })
                }
                (_, state) => state,
            })
        })
    }

    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable> {
        Box::pin(async move {
            let mut balance = self.node.balance().await?;
            balance.spendable.0 -= self.charged.load(Ordering::Relaxed);
            Ok(balance)
        })
    }

    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable> {
        let limit = if self.mistake == Mistake::TellsNoEvents { 0 } else { limit };
        let skips = u64::from(self.mistake == Mistake::ForgetsWhereEventsWere && limit == 1);
        self.node.events(EventCursor(after.0 + skips), limit)
    }
}

struct MistakenBed {
    bed: Bed,
    payer: Mistaken<crate::dev::DevNode>,
    payee: Mistaken<crate::dev::DevNode>,
}

impl Testbed for MistakenBed {
    fn payer(&self) -> &dyn LightningNode {
        &self.payer
    }

    fn payee(&self) -> &dyn LightningNode {
        &self.payee
    }

    fn pass_time(&self, ms: u64) -> NodeFuture<'_, (), Unavailable> {
        self.bed.pass_time(ms)
    }

    fn hang_next_payment(&self, for_ms: u64) -> bool {
        self.bed.hang_next_payment(for_ms)
    }

    fn set_payee_reachable(&self, is_reachable: bool) -> NodeFuture<'_, bool, Unavailable> {
        self.bed.set_payee_reachable(is_reachable)
    }

    fn restart(&self) -> NodeFuture<'_, bool, Unavailable> {
        self.bed.restart()
    }
}

fn failed_with(mistake: Mistake) -> Vec<&'static str> {
    let report = now(run(async || {
        let bed = Bed::new();
        let mistaken =
            |node: &crate::dev::DevNode| Mistaken { node: node.clone(), mistake, charged: AtomicU64::new(0) };
        MistakenBed { payer: mistaken(&bed.alice), payee: mistaken(&bed.bob), bed }
    }));
    report.failed.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn every_mistake_is_found() {
    for (mistake, found_by) in [
        (Mistake::TakesUnknownForFailed, "an_unknown_payment_is_not_paid_again"),
        (Mistake::PaysWhateverTheInvoiceSays, "an_amount_that_differs_is_refused"),
        (Mistake::ChargesForASecondPayment, "paying_twice_pays_once"),
        (Mistake::ForgetsPayments, "a_payment_arrives_and_is_proven"),
        (Mistake::SettlesWithAnyPreimage, "a_wrong_preimage_settles_nothing"),
        (Mistake::ForgetsToGiveBack, "cancelling_gives_back_what_is_held"),
        (Mistake::TellsNoEvents, "events_lead_to_the_states"),
        (Mistake::ForgetsWhereEventsWere, "events_can_be_read_again"),
        (Mistake::CallsEveryFailureNoRoute, "amounts_have_limits"),
    ] {
        let failed = failed_with(mistake);
        assert!(failed.contains(&found_by), "{mistake:?} fails only {failed:?}");
    }
}

#[test]
fn what_a_testbed_cannot_set_up_is_skipped_and_said() {
    struct Rigid(Bed);
    impl Testbed for Rigid {
        fn payer(&self) -> &dyn LightningNode {
            &self.0.alice
        }
        fn payee(&self) -> &dyn LightningNode {
            &self.0.bob
        }
        fn pass_time(&self, ms: u64) -> NodeFuture<'_, (), Unavailable> {
            self.0.pass_time(ms)
        }
        fn hang_next_payment(&self, _: u64) -> bool {
            false
        }
        fn set_payee_reachable(&self, _: bool) -> NodeFuture<'_, bool, Unavailable> {
            Box::pin(std::future::ready(Ok(false)))
        }
        fn restart(&self) -> NodeFuture<'_, bool, Unavailable> {
            Box::pin(std::future::ready(Ok(false)))
        }
    }
    let report = now(run(async || Rigid(Bed::new())));
    let text = report.to_string();
    let wanted = "20 passed, 3 skipped, 0 failed
skipped an_unknown_payment_is_not_paid_again
skipped an_unreachable_payee_costs_nothing
skipped a_hold_outlives_a_restart";
    assert_eq!(text, wanted);
}
