//! Invoices. LND decides what becomes of them; what is added here is an end to every hold, and the reason why one was closed.

use super::{
    core::Core,
    records::{Closed, InvoiceRecord, InvoiceStage, Settlement},
    rest::CallError,
    wire::{self, SeenInvoice},
};
use crate::{
    bolt11,
    node::{
        CancelError, Invoice, InvoiceError, InvoiceRequest, InvoiceState, NodeEvent, Preimage, SettleError,
        Unavailable,
    },
};
use bitcoin_hashes::{Hash, sha256};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use std::sync::Arc;

/// One block of the bitcoin chain takes about ten minutes…
const BLOCK_MS: u64 = 600_000;
/// …but often less. A quarter more blocks than the hold takes, and these, keep it from being cut short.
const HOLD_MARGIN_BLOCKS: u64 = 6;
/// LND gives a held payment back 18 blocks before its end and takes none with less than 19, so that no channel has to be
/// closed (`DefaultHoldInvoiceExpiryDelta`, `DefaultFinalCltvRejectDelta`); and it makes no invoice with less than 24.
const LND_BLOCKS: u64 = 24;
/// A payer's node looks for ways of at most 1008 blocks in all; a day of them is left for the hops between.
const FINAL_CLTV_MAX: u64 = 1_008 - 144;
/// LND makes no invoice that is open for more than a year.
const INVOICE_LIFETIME_MAX_MS: u64 = 365 * 86_400_000;
/// The longest description that an invoice holds; of a longer one it holds the digest.
const DESCRIPTION_MAX_BYTES: usize = 639;

impl Core {
    pub(super) async fn create_invoice(
        self: &Arc<Core>,
        request: &InvoiceRequest,
    ) -> Result<Invoice, InvoiceError> {
        let asked = new_invoice(None, Settlement::AtOnce, request)?;
        let made: wire::MadeInvoice = self.rest.post("/v1/invoices", &asked).await.map_err(not_made)?;
        let invoice = self.checked(made.payment_request, request.amount)?;
        let record = InvoiceRecord {
            amount: request.amount,
            expires_at: invoice.expires_at,
            settlement: Settlement::AtOnce,
            stage: InvoiceStage::Open,
        };
        self.put_invoice(invoice.payment_hash, record).await?;
        Ok(invoice)
    }

    pub(super) async fn create_hold_invoice(
        self: &Arc<Core>,
        hash: PaymentHash,
        hold_ms: u64,
        request: &InvoiceRequest,
    ) -> Result<Invoice, InvoiceError> {
        let settlement = Settlement::Hold { hold_ms };
        let asked = new_invoice(Some(hash), settlement, request)?;
        let record = InvoiceRecord {
            amount: request.amount,
            expires_at: self.now().plus(request.expires_in_ms),
            settlement,
            stage: InvoiceStage::Asked,
        };
        // Before LND is asked: a payment that is held must have an end, whatever happens in between.
        let before = self
            .records(move |turn| {
                let before = turn.invoice(hash);
                if before.is_none_or(|before| before.stage == InvoiceStage::Asked) {
                    turn.put_invoice(hash, record);
                }
                Ok(before)
            })
            .await?;
        let bolt11 = match before.map(|before| before.stage) {
            Some(InvoiceStage::Asked) => match self.lookup(hash).await? {
                // Made by an earlier call that had no answer. Nobody has seen it.
                Some(made) if is_as_asked(&made, &asked) => made.payment_request,
                Some(_) => return Err(InvoiceError::HashInUse(hash)),
                None => self.ask_for_hold(hash, &asked).await?,
            },
            None => self.ask_for_hold(hash, &asked).await?,
            Some(_) => return Err(InvoiceError::HashInUse(hash)),
        };
        let invoice = self.checked(bolt11, request.amount)?;
        let record = InvoiceRecord { expires_at: invoice.expires_at, stage: InvoiceStage::Open, ..record };
        self.put_invoice(hash, record).await?;
        Ok(invoice)
    }

    async fn ask_for_hold(
        self: &Arc<Core>,
        hash: PaymentHash,
        asked: &wire::NewInvoice,
    ) -> Result<String, InvoiceError> {
        match self.rest.post::<wire::MadeInvoice>("/v2/invoices/hodl", asked).await {
            Ok(made) => Ok(made.payment_request),
            Err(error) => {
                let has_answered = error.is_before_anything() || matches!(error, CallError::Refused(_));
                if has_answered {
                    self.records(move |turn| {
                        turn.forget_invoice(hash);
                        Ok(())
                    })
                    .await?;
                }
                Err(if error.is_duplicate() { InvoiceError::HashInUse(hash) } else { not_made(error) })
            }
        }
    }

    /// What LND made, which has to be what was asked.
    fn checked(&self, bolt11: String, amount: Msat) -> Result<Invoice, Unavailable> {
        let strange = |why: String| Unavailable(format!("LND made a strange invoice: {why}"));
        let read = bolt11::decode(&bolt11).map_err(|error| strange(error.to_string()))?;
        if read.amount != Some(amount) || read.network != self.info.network {
            return Err(strange(format!("{:?} on {}", read.amount, read.network)));
        }
        Ok(Invoice { bolt11, payment_hash: read.payment_hash, expires_at: read.expires_at })
    }

    async fn put_invoice(
        self: &Arc<Core>,
        hash: PaymentHash,
        record: InvoiceRecord,
    ) -> Result<(), Unavailable> {
        self.records(move |turn| {
            turn.put_invoice(hash, record);
            Ok(())
        })
        .await
    }

    pub(super) async fn invoice(
        self: &Arc<Core>,
        hash: PaymentHash,
    ) -> Result<Option<InvoiceState>, Unavailable> {
        match self.invoice_record(hash).await? {
            Some(record) => record.state(),
            None => Ok(None),
        }
    }

    /// Where an invoice stands, after a look at LND, and after closing what has run out.
    pub(super) async fn invoice_record(
        self: &Arc<Core>,
        hash: PaymentHash,
    ) -> Result<Option<InvoiceRecord>, Unavailable> {
        let Some(record) = self.records(move |turn| Ok(turn.invoice(hash))).await? else { return Ok(None) };
        if !record.is_live() {
            return Ok(Some(record));
        }
        let record = self.look(hash).await?;
        match record.and_then(|record| record.due(self.now())) {
            Some(why) => self.close(hash, why).await,
            None => Ok(record),
        }
    }

    async fn look(self: &Arc<Core>, hash: PaymentHash) -> Result<Option<InvoiceRecord>, Unavailable> {
        let said = self.lookup(hash).await?;
        let seen = said.map(|invoice| invoice.seen(hash)).transpose();
        let seen = seen.map_err(|why| Unavailable(format!("LND says of invoice {hash}: {why}")))?;
        let now = self.now();
        self.records(move |turn| {
            let Some(record) = turn.invoice(hash) else { return Ok(None) };
            let Some((stage, event)) = record.after(hash, seen, now) else { return Ok(Some(record)) };
            let record = InvoiceRecord { stage, ..record };
            turn.put_invoice(hash, record);
            turn.tell(event);
            Ok(Some(record))
        })
        .await
    }

    /// An invoice as LND has it.
    async fn lookup(&self, hash: PaymentHash) -> Result<Option<wire::Invoice>, Unavailable> {
        match self.rest.get(&format!("/v1/invoice/{hash}")).await {
            Ok(invoice) => Ok(Some(invoice)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Has LND cancel an invoice, and looks what came of it.
    async fn close(
        self: &Arc<Core>,
        hash: PaymentHash,
        why: Closed,
    ) -> Result<Option<InvoiceRecord>, Unavailable> {
        self.records(move |turn| {
            if let Some(record) = turn.invoice(hash).filter(InvoiceRecord::is_live)
                && !matches!(record.stage, InvoiceStage::Closing { .. })
            {
                turn.put_invoice(hash, InvoiceRecord { stage: InvoiceStage::Closing { why }, ..record });
            }
            Ok(())
        })
        .await?;
        let body = wire::CancelInvoice { payment_hash: wire::base64(&hash.0) };
        match self.rest.post::<wire::Empty>("/v2/invoices/cancel", &body).await {
            // Whatever it says of the invoice's state, the state itself is looked at.
            Ok(wire::Empty {}) | Err(CallError::Refused(_)) => self.look(hash).await,
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn settle(self: &Arc<Core>, preimage: Preimage) -> Result<(), SettleError> {
        let hash = preimage.payment_hash();
        let record = self.invoice_record(hash).await?.ok_or(SettleError::WrongPreimage(hash))?;
        match record.stage {
            InvoiceStage::Asked => return Err(SettleError::WrongPreimage(hash)),
            InvoiceStage::Open => return Err(SettleError::NotPaidYet(hash)),
            InvoiceStage::Paid { .. } => return Ok(()),
            InvoiceStage::Closed { .. } | InvoiceStage::Closing { .. } => {
                return Err(SettleError::WentBack(hash));
            }
            InvoiceStage::Held { .. } => {}
        }
        let body = wire::SettleInvoice { preimage: wire::base64(&preimage.0) };
        match self.rest.post::<wire::Empty>("/v2/invoices/settle", &body).await {
            Ok(wire::Empty {}) => {}
            Err(error) if error.says("still open") => return Err(SettleError::NotPaidYet(hash)),
            Err(error) if error.says("already canceled") => return Err(SettleError::WentBack(hash)),
            Err(error) => return Err(Unavailable::from(error).into()),
        }
        self.look(hash).await?;
        Ok(())
    }

    pub(super) async fn cancel(self: &Arc<Core>, hash: PaymentHash) -> Result<(), CancelError> {
        let mut record = self.invoice_record(hash).await?.ok_or(CancelError::UnknownInvoice(hash))?;
        if matches!(record.stage, InvoiceStage::Open | InvoiceStage::Held { .. }) {
            let closed = self.close(hash, Closed::Cancelled).await?;
            record = closed.ok_or(CancelError::UnknownInvoice(hash))?;
        }
        match record.stage {
            InvoiceStage::Asked => Err(CancelError::UnknownInvoice(hash)),
            InvoiceStage::Paid { .. } => Err(CancelError::AlreadySettled(hash)),
            InvoiceStage::Closed { .. } => Ok(()),
            InvoiceStage::Open | InvoiceStage::Held { .. } | InvoiceStage::Closing { .. } => {
                Err(still_closing().into())
            }
        }
    }
}

impl InvoiceRecord {
    /// What becomes of it when LND is seen to say this, and the event that tells so; `None` when nothing does.
    fn after(
        &self,
        hash: PaymentHash,
        seen: Option<SeenInvoice>,
        now: TimeMs,
    ) -> Option<(InvoiceStage, NodeEvent)> {
        let closed =
            |why| Some((InvoiceStage::Closed { why }, NodeEvent::InvoiceClosed { payment_hash: hash }));
        if !self.is_live() {
            return None;
        }
        match seen {
            Some(SeenInvoice::Settled { amount, preimage }) => {
                Some((InvoiceStage::Paid { preimage }, NodeEvent::InvoicePaid { payment_hash: hash, amount }))
            }
            Some(SeenInvoice::Canceled) | None => match self.stage {
                InvoiceStage::Closing { why } => closed(why),
                InvoiceStage::Open if now < self.expires_at => closed(Closed::Cancelled),
                InvoiceStage::Open | InvoiceStage::Held { .. } => closed(Closed::Expired),
                InvoiceStage::Asked | InvoiceStage::Paid { .. } | InvoiceStage::Closed { .. } => None,
            },
            Some(SeenInvoice::Accepted { amount, at }) => match (self.stage, self.settlement) {
                (InvoiceStage::Open, Settlement::Hold { hold_ms }) => {
                    // LND's clock may be ahead of ours.
                    let until = at.min(now.plus(1_000)).plus(hold_ms);
                    Some((
                        InvoiceStage::Held { until },
                        NodeEvent::InvoiceHeld { payment_hash: hash, amount },
                    ))
                }
                _ => None,
            },
            Some(SeenInvoice::Open) => None,
        }
    }

    /// Why it has to be closed now, if it has to be.
    pub(super) fn due(&self, now: TimeMs) -> Option<Closed> {
        match self.stage {
            InvoiceStage::Open if now >= self.expires_at => Some(Closed::Expired),
            InvoiceStage::Held { until } if now >= until => Some(Closed::Expired),
            InvoiceStage::Closing { why } => Some(why),
            InvoiceStage::Open
            | InvoiceStage::Held { .. }
            | InvoiceStage::Asked
            | InvoiceStage::Paid { .. }
            | InvoiceStage::Closed { .. } => None,
        }
    }

    fn state(&self) -> Result<Option<InvoiceState>, Unavailable> {
        match self.stage {
            InvoiceStage::Asked => Ok(None),
            InvoiceStage::Open => Ok(Some(InvoiceState::Open)),
            InvoiceStage::Held { until } => Ok(Some(InvoiceState::Held { until })),
            InvoiceStage::Closing { .. } => Err(still_closing()),
            InvoiceStage::Paid { preimage } => Ok(Some(InvoiceState::Paid { preimage })),
            InvoiceStage::Closed { why: Closed::Cancelled } => Ok(Some(InvoiceState::Cancelled)),
            InvoiceStage::Closed { why: Closed::Expired } => Ok(Some(InvoiceState::Expired)),
        }
    }
}

fn still_closing() -> Unavailable {
    Unavailable("LND has not cancelled the invoice yet".into())
}

/// What LND says when it makes no invoice.
fn not_made(error: CallError) -> InvoiceError {
    match error {
        CallError::Refused(status) => InvoiceError::BadRequest(status.message),
        error => Unavailable::from(error).into(),
    }
}

fn is_as_asked(made: &wire::Invoice, asked: &wire::NewInvoice) -> bool {
    made.state == wire::InvoiceState::Open && made.value_msat.to_string() == asked.value_msat
}

fn new_invoice(
    hash: Option<PaymentHash>,
    settlement: Settlement,
    request: &InvoiceRequest,
) -> Result<wire::NewInvoice, InvoiceError> {
    let bad_request = |why: String| Err(InvoiceError::BadRequest(why));
    if request.amount == Msat::ZERO || request.amount > Msat::MAX {
        return bad_request(format!("{} is no amount to ask for", request.amount));
    }
    if request.expires_in_ms == 0 || request.expires_in_ms > INVOICE_LIFETIME_MAX_MS {
        return bad_request(format!("it can be open for 1 to {INVOICE_LIFETIME_MAX_MS} ms"));
    }
    let is_long = request.description.len() > DESCRIPTION_MAX_BYTES;
    let digest = || wire::base64(sha256::Hash::hash(request.description.as_bytes()).as_byte_array());
    Ok(wire::NewInvoice {
        hash: hash.map(|hash| wire::base64(&hash.0)),
        memo: if is_long { String::new() } else { request.description.clone() },
        description_hash: is_long.then(digest),
        value_msat: request.amount.0.to_string(),
        expiry: request.expires_in_ms.div_ceil(1_000).to_string(),
        cltv_expiry: final_cltv(settlement)?.map(|blocks| blocks.to_string()),
        // A node whose channels are all unannounced could not be paid otherwise.
        private: true,
    })
}

/// How many blocks before the end a payment has to arrive, so that LND lets it be held for so long.
fn final_cltv(settlement: Settlement) -> Result<Option<u64>, InvoiceError> {
    let hold_ms = match settlement {
        Settlement::AtOnce => return Ok(None),
        Settlement::Hold { hold_ms: 0 } => {
            return Err(InvoiceError::BadRequest("a payment that is held is held for a while".into()));
        }
        Settlement::Hold { hold_ms } => hold_ms,
    };
    let blocks = hold_ms.div_ceil(BLOCK_MS);
    let blocks = blocks.saturating_add(blocks / 4).saturating_add(HOLD_MARGIN_BLOCKS + LND_BLOCKS);
    if blocks > FINAL_CLTV_MAX {
        let days = (FINAL_CLTV_MAX - LND_BLOCKS - HOLD_MARGIN_BLOCKS) * 4 / 5 * BLOCK_MS / 86_400_000;
        return Err(InvoiceError::BadRequest(format!("a payment can be held for {days} days at most")));
    }
    Ok(Some(blocks))
}

#[cfg(test)]
mod tests;
