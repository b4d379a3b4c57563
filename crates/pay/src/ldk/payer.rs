//! Payments by this node.
//!
//! LDK knows a payment by its hash and refuses a second one while it knows the first, in memory and, after a crash, from
//! what its channels still carry. That, and an intent written down first, is what at most once rests on: an intent of an
//! earlier run is offered to LDK again, which takes it on if no HTLC of it can exist, and else says that it is under way.

use super::{
    core::{Core, now},
    records::{PaymentRecord, PaymentStage},
};
use crate::{
    bolt11::{self, Bolt11},
    node::{FailureReason, NodeEvent, PayError, PayRequest, PaymentState, Preimage, Unavailable},
};
use ldk_node::{
    NodeError,
    lightning::{
        events::PaymentFailureReason,
        ln::channelmanager::PaymentId,
        routing::router::{DEFAULT_MAX_TOTAL_CLTV_EXPIRY_DELTA, RouteParametersConfig},
    },
    lightning_invoice::Bolt11Invoice,
    lightning_types::payment::PaymentPreimage,
};
use market::{id::PaymentHash, units::Msat};

/// After the last block at which an HTLC can end, this many for its end to be buried on chain.
const BURIED_BLOCKS: u32 = 144;

impl Core {
    pub(super) fn pay(&self, request: &PayRequest) -> Result<PaymentState, PayError> {
        let invoice = bolt11::decode(&request.bolt11)?;
        let hash = invoice.payment_hash;
        let before = {
            let mut records = self.records();
            let before = records.payment(hash)?;
            // Before anything else: a caller that asks again must learn what became of it, expired or not.
            if let Some(before) = before.as_ref().filter(|before| !has_failed(before)) {
                let (run, record) = (records.run, before.clone());
                drop(records);
                return Ok(self.state_of(hash, &record, run));
            }
            self.refuse(&invoice, request.amount)?;
            let record = self.intent(request, before.as_ref(), records.run);
            records.put_payment(hash, record)?;
            before
        };
        match self.offer(request) {
            Ok(()) | Err(NodeError::DuplicatePayment) => self.sent(hash)?,
            Err(NodeError::NotRunning) => {
                let why = Unavailable(NodeError::NotRunning.to_string());
                self.forget_intent(hash, before)?;
                return Err(why.into());
            }
            // LDK found no way, so nothing left.
            Err(NodeError::PaymentSendingFailed | NodeError::InvalidInvoice | NodeError::InvalidAmount) => {
                let reason = self.why_no_way(request.amount);
                self.fail(hash, reason)?;
            }
            Err(error) => return Err(Unavailable(error.to_string()).into()),
        }
        Ok(self.payment(hash)?.unwrap_or(PaymentState::Unknown))
    }

    pub(super) fn payment(&self, hash: PaymentHash) -> Result<Option<PaymentState>, Unavailable> {
        let (record, run) = {
            let records = self.records();
            (records.payment(hash)?, records.run)
        };
        Ok(record.map(|record| self.state_of(hash, &record, run)))
    }

    fn state_of(&self, hash: PaymentHash, record: &PaymentRecord, run: u64) -> PaymentState {
        let is_old = record.is_undecided() && record.run != run;
        record.state(run, is_old && self.carried().contains_key(&hash))
    }

    fn refuse(&self, invoice: &Bolt11, asked: Msat) -> Result<(), PayError> {
        if invoice.network != self.network {
            return Err(PayError::WrongNetwork { invoice: invoice.network, node: self.network });
        }
        if now() >= invoice.expires_at {
            return Err(PayError::Expired);
        }
        if asked == Msat::ZERO {
            return Err(PayError::ZeroAmount);
        }
        match invoice.amount {
            Some(amount) if amount != asked => Err(PayError::AmountMismatch { invoice: amount, asked }),
            Some(_) | None => Ok(()),
        }
    }

    fn intent(&self, request: &PayRequest, before: Option<&PaymentRecord>, run: u64) -> PaymentRecord {
        PaymentRecord {
            bolt11: request.bolt11.clone(),
            amount: request.amount,
            max_fee: request.max_fee,
            begun_at: now(),
            tries: before.map_or(1, |before| before.tries.saturating_add(1)),
            run,
            dead_at_block: self.height() + DEFAULT_MAX_TOTAL_CLTV_EXPIRY_DELTA + BURIED_BLOCKS,
            stage: PaymentStage::Intended,
        }
    }

    /// Hands a payment to LDK.
    fn offer(&self, request: &PayRequest) -> Result<(), NodeError> {
        let invoice: Bolt11Invoice = request.bolt11.parse().map_err(|_| NodeError::InvalidInvoice)?;
        let limits = RouteParametersConfig {
            max_total_routing_fee_msat: Some(request.max_fee.0),
            ..RouteParametersConfig::default()
        };
        let payments = self.node.bolt11_payment();
        match invoice.amount_milli_satoshis() {
            Some(_) => payments.send(&invoice, Some(limits)),
            None => payments.send_using_amount(&invoice, request.amount.0, Some(limits)),
        }
        .map(|_| ())
    }

    /// An event may have come first.
    fn sent(&self, hash: PaymentHash) -> Result<(), Unavailable> {
        let mut records = self.records();
        let run = records.run;
        match records.payment(hash)? {
            Some(record) if record.is_undecided() => {
                records.put_payment(hash, PaymentRecord { run, stage: PaymentStage::Sent, ..record })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn fail(&self, hash: PaymentHash, reason: FailureReason) -> Result<(), Unavailable> {
        let mut records = self.records();
        match records.payment(hash)? {
            Some(record) if record.is_undecided() => {
                records
                    .put_payment(hash, PaymentRecord { stage: PaymentStage::Failed { reason }, ..record })?;
                records.tell(NodeEvent::PaymentFailed { payment_hash: hash, reason })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Nothing was sent: the record is as it was, a failure of no way if it was not.
    fn forget_intent(&self, hash: PaymentHash, before: Option<PaymentRecord>) -> Result<(), Unavailable> {
        match before {
            Some(before) => self.records().put_payment(hash, before),
            None => self.fail(hash, FailureReason::NoRoute),
        }
    }

    fn why_no_way(&self, amount: Msat) -> FailureReason {
        if self.balance().spendable < amount {
            FailureReason::InsufficientBalance
        } else {
            FailureReason::NoRoute
        }
    }

    /// LDK says that a payment arrived, perhaps again.
    pub(super) fn payment_sent(
        &self,
        hash: PaymentHash,
        preimage: PaymentPreimage,
        fee: Msat,
    ) -> Result<(), Unavailable> {
        let mut records = self.records();
        let Some(record) = records.payment(hash)? else {
            tracing::warn!(%hash, "a payment succeeded that nobody asked for");
            return Ok(());
        };
        if matches!(record.stage, PaymentStage::Succeeded { .. }) {
            return Ok(());
        }
        // Whatever was said before: the preimage is the proof.
        let stage = PaymentStage::Succeeded { preimage: Preimage(preimage.0), fee };
        records.put_payment(hash, PaymentRecord { stage, ..record })?;
        records.tell(NodeEvent::PaymentSucceeded { payment_hash: hash, fee })
    }

    /// LDK says that a payment failed, perhaps again.
    pub(super) fn payment_failed(
        &self,
        hash: PaymentHash,
        reason: Option<PaymentFailureReason>,
    ) -> Result<(), Unavailable> {
        let is_of_an_earlier_try = {
            let records = self.records();
            let record = records.payment(hash)?;
            record.is_some_and(|record| record.tries > 1 && record.run != records.run)
        };
        if is_of_an_earlier_try {
            // A crash can bring back the failure of a try before the last. Only the chain can say then that the last
            // one is over.
            tracing::warn!(%hash, "a failure is not believed, because it may be of an earlier try");
            return Ok(());
        }
        self.fail(hash, meaning(reason))
    }

    /// Takes up the payments of earlier runs.
    pub(super) fn mend_payments(&self) -> Result<(), Unavailable> {
        let (run, undecided) = {
            let records = self.records();
            (records.run, records.undecided_payments())
        };
        let (carried, height) = (self.carried(), self.height());
        for (hash, record) in undecided.into_iter().filter(|(_, record)| record.run != run) {
            if carried.contains_key(&hash) {
                continue;
            }
            if height >= record.dead_at_block {
                self.fail(hash, FailureReason::TimedOut)?;
                continue;
            }
            let is_open = bolt11::decode(&record.bolt11).is_ok_and(|invoice| now() < invoice.expires_at);
            if is_open {
                self.offer_again(hash, &record)?;
            }
        }
        Ok(())
    }

    /// LDK Node's list of payments may say "pending" of what LDK never took on; LDK itself knows.
    fn offer_again(&self, hash: PaymentHash, record: &PaymentRecord) -> Result<(), Unavailable> {
        let failed = |error: NodeError| Unavailable(error.to_string());
        self.node.remove_payment(&PaymentId(hash.0)).map_err(failed)?;
        let request =
            PayRequest { bolt11: record.bolt11.clone(), amount: record.amount, max_fee: record.max_fee };
        match self.offer(&request) {
            Ok(()) | Err(NodeError::DuplicatePayment) => self.sent(hash),
            // No way, now. That says nothing about what was sent before.
            Err(error) => {
                tracing::debug!(%hash, %error, "what became of a payment is still unknown");
                Ok(())
            }
        }
    }

    /// What is done now and then, and first of all after a start.
    pub(super) fn mend(&self, is_first: bool) -> Result<(), Unavailable> {
        if is_first {
            self.mend_invoices()?;
        }
        self.mend_payments()
    }
}

fn has_failed(record: &PaymentRecord) -> bool {
    matches!(record.stage, PaymentStage::Failed { .. })
}

/// A payee that refuses and one that let a hold expire give the same answer (BOLT 4, `incorrect_or_unknown_payment_details`).
fn meaning(reason: Option<PaymentFailureReason>) -> FailureReason {
    match reason {
        Some(PaymentFailureReason::RecipientRejected | PaymentFailureReason::InvoiceRequestRejected) => {
            FailureReason::Rejected
        }
        Some(PaymentFailureReason::PaymentExpired | PaymentFailureReason::InvoiceRequestExpired) => {
            FailureReason::TimedOut
        }
        Some(
            PaymentFailureReason::UserAbandoned
            | PaymentFailureReason::RetriesExhausted
            | PaymentFailureReason::RouteNotFound
            | PaymentFailureReason::UnexpectedError
            | PaymentFailureReason::UnknownRequiredFeatures
            | PaymentFailureReason::BlindedPathCreationFailed,
        )
        | None => FailureReason::NoRoute,
    }
}
