//! Invoices of this node. All are made on a hash that LDK has no preimage for, so that none is settled behind our back: one
//! that is cancelled or expired stays unpaid.

use super::{
    core::{Core, now},
    records::{Closed, Held, InvoiceRecord, InvoiceStage, Settlement},
};
use crate::{
    bolt11,
    node::{
        CancelError, Invoice, InvoiceError, InvoiceRequest, InvoiceState, NodeEvent, Preimage, SettleError,
        Unavailable,
    },
};
use ldk_node::{
    lightning::ln::channelmanager::MIN_FINAL_CLTV_EXPIRY_DELTA,
    lightning_invoice::{Bolt11InvoiceDescription, Description},
    lightning_types::payment::{PaymentHash as LdkHash, PaymentPreimage},
};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use std::time::Duration;

/// One block of the bitcoin chain takes about ten minutes…
const BLOCK_MS: u64 = 600_000;
/// …but often less. A quarter more blocks than the hold takes, and these, keep it from being cut short.
const HOLD_MARGIN_BLOCKS: u64 = 6;
/// A payer's node looks for ways of at most 1008 blocks in all; a day of them is left for the hops between.
const FINAL_CLTV_MAX: u64 = 1_008 - 144;
/// How long a claim may take to be confirmed by LDK before the caller is told to ask again.
const CLAIM_PATIENCE: Duration = Duration::from_secs(10);
const INVOICE_LIFETIME_MAX_MS: u64 = 1_008 * BLOCK_MS;

impl Core {
    pub(super) fn create_invoice(&self, request: &InvoiceRequest) -> Result<Invoice, InvoiceError> {
        let mut preimage = Preimage([0; 32]);
        getrandom::fill(&mut preimage.0).map_err(|error| Unavailable(error.to_string()))?;
        self.add_invoice(preimage.payment_hash(), Settlement::AtOnce { preimage }, request)
    }

    pub(super) fn create_hold_invoice(
        &self,
        hash: PaymentHash,
        hold_ms: u64,
        request: &InvoiceRequest,
    ) -> Result<Invoice, InvoiceError> {
        self.add_invoice(hash, Settlement::Hold { hold_ms }, request)
    }

    fn add_invoice(
        &self,
        hash: PaymentHash,
        settlement: Settlement,
        request: &InvoiceRequest,
    ) -> Result<Invoice, InvoiceError> {
        let bad_request = |why: String| InvoiceError::BadRequest(why);
        if request.amount == Msat::ZERO || request.amount > Msat::MAX {
            return Err(bad_request(format!("{} is no amount to ask for", request.amount)));
        }
        if request.expires_in_ms == 0 || request.expires_in_ms > INVOICE_LIFETIME_MAX_MS {
            return Err(bad_request(format!("it can be open for 1 to {INVOICE_LIFETIME_MAX_MS} ms")));
        }
        let final_cltv = final_cltv(settlement)?;
        let description =
            Description::new(request.description.clone()).map_err(|error| bad_request(error.to_string()))?;
        let expires_in_s =
            u32::try_from(request.expires_in_ms.div_ceil(1_000)).map_err(|e| bad_request(e.to_string()))?;

        let mut records = self.records();
        if records.invoice(hash)?.is_some() {
            return Err(InvoiceError::HashInUse(hash));
        }
        let made = self
            .node
            .bolt11_payment()
            .receive_for_hash(
                request.amount.0,
                &Bolt11InvoiceDescription::Direct(description),
                expires_in_s,
                LdkHash(hash.0),
            )
            .map_err(|error| Unavailable(error.to_string()))?;
        let made = bolt11::with_final_cltv(made, final_cltv, &self.key)
            .map_err(|error| bad_request(error.to_string()))?;
        let expires_at = bolt11::decode(&made).map_err(|error| bad_request(error.to_string()))?.expires_at;
        let record = InvoiceRecord {
            bolt11: made.clone(),
            description: request.description.clone(),
            amount: request.amount,
            made_at: now(),
            expires_at,
            settlement,
            stage: InvoiceStage::Open,
        };
        records.put_invoice(hash, record)?;
        Ok(Invoice { bolt11: made, payment_hash: hash, expires_at })
    }

    pub(super) fn invoice(&self, hash: PaymentHash) -> Result<Option<InvoiceState>, Unavailable> {
        self.expire()?;
        Ok(self.records().invoice(hash)?.map(|record| record.state()))
    }

    /// Gives the preimage of a held payment away; [`Core::claimed`] waits for the money.
    pub(super) fn claim(&self, preimage: Preimage) -> Result<(), SettleError> {
        self.expire()?;
        let hash = preimage.payment_hash();
        let mut records = self.records();
        let mut record = records.invoice(hash)?.ok_or(SettleError::WrongPreimage(hash))?;
        match record.stage {
            InvoiceStage::Open => Err(SettleError::NotPaidYet(hash)),
            InvoiceStage::Held { held } => {
                record.stage = InvoiceStage::Claiming { held, preimage };
                records.put_invoice(hash, record)?;
                drop(records);
                Ok(self.claim_at_ldk(hash, held, preimage)?)
            }
            InvoiceStage::Claiming { .. } | InvoiceStage::Paid { .. } => Ok(()),
            InvoiceStage::Closed { .. } => Err(SettleError::WentBack(hash)),
        }
    }

    pub(super) async fn claimed(&self, hash: PaymentHash) -> Result<(), SettleError> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                let stage = self.records().invoice(hash)?.map(|record| record.stage);
                match stage {
                    Some(InvoiceStage::Paid { .. }) => return Ok(()),
                    Some(InvoiceStage::Closed { .. }) => return Err(SettleError::WentBack(hash)),
                    Some(InvoiceStage::Open | InvoiceStage::Held { .. } | InvoiceStage::Claiming { .. })
                    | None => {}
                }
                changed.await;
            }
        };
        tokio::time::timeout(CLAIM_PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| Err(Unavailable("it is still claiming the payment".into()).into()))
    }

    pub(super) fn cancel(&self, hash: PaymentHash) -> Result<(), CancelError> {
        self.expire()?;
        let mut records = self.records();
        let mut record = records.invoice(hash)?.ok_or(CancelError::UnknownInvoice(hash))?;
        let gives_back = match record.stage {
            InvoiceStage::Open => false,
            InvoiceStage::Held { .. } => true,
            InvoiceStage::Claiming { .. } | InvoiceStage::Paid { .. } => {
                return Err(CancelError::AlreadySettled(hash));
            }
            InvoiceStage::Closed { .. } => return Ok(()),
        };
        record.stage = InvoiceStage::Closed { why: Closed::Cancelled, gives_back };
        records.put_invoice(hash, record)?;
        records.tell(NodeEvent::InvoiceClosed { payment_hash: hash })?;
        drop(records);
        if gives_back {
            self.give_back(hash)?;
        }
        self.changed.notify_waiters();
        Ok(())
    }

    /// Closes what has run out.
    pub(super) fn expire(&self) -> Result<(), Unavailable> {
        let (now, height) = (now(), self.height());
        let mut to_give_back = Vec::new();
        let mut records = self.records();
        for (hash, mut record) in records.live_invoices() {
            if !record.advance(now, height) {
                continue;
            }
            if let InvoiceStage::Closed { gives_back: true, .. } = record.stage {
                to_give_back.push(hash);
            }
            records.put_invoice(hash, record)?;
            records.tell(NodeEvent::InvoiceClosed { payment_hash: hash })?;
            self.changed.notify_waiters();
        }
        drop(records);
        to_give_back.into_iter().try_for_each(|hash| self.give_back(hash))
    }

    /// Does again at LDK what a crash may have kept from being done.
    pub(super) fn mend_invoices(&self) -> Result<(), Unavailable> {
        let live = self.records().live_invoices();
        for (hash, record) in live {
            match record.stage {
                InvoiceStage::Claiming { held, preimage } => self.claim_at_ldk(hash, held, preimage)?,
                InvoiceStage::Closed { gives_back: true, .. } => self.give_back(hash)?,
                InvoiceStage::Open
                | InvoiceStage::Held { .. }
                | InvoiceStage::Paid { .. }
                | InvoiceStage::Closed { .. } => {}
            }
        }
        Ok(())
    }

    /// LDK says that a payment arrived, perhaps again.
    pub(super) fn payment_arrived(
        &self,
        hash: PaymentHash,
        amount: Msat,
        until_block: Option<u32>,
    ) -> Result<(), Unavailable> {
        let (now, height) = (now(), self.height());
        let mut records = self.records();
        let Some(mut record) = records.invoice(hash)? else {
            drop(records);
            return self.fail_at_ldk(hash);
        };
        if record.advance(now, height) {
            records.put_invoice(hash, record.clone())?;
            records.tell(NodeEvent::InvoiceClosed { payment_hash: hash })?;
        }
        match record.stage {
            InvoiceStage::Open => {}
            // LDK asks again after a restart.
            InvoiceStage::Held { .. } | InvoiceStage::Paid { .. } => return Ok(()),
            InvoiceStage::Claiming { held, preimage } => {
                drop(records);
                return self.claim_at_ldk(hash, held, preimage);
            }
            InvoiceStage::Closed { .. } => {
                drop(records);
                return self.fail_at_ldk(hash);
            }
        }
        let until_block = until_block.unwrap_or(height);
        match record.settlement {
            Settlement::AtOnce { preimage } => {
                let held = Held { amount, until: record.expires_at, until_block };
                record.stage = InvoiceStage::Claiming { held, preimage };
                records.put_invoice(hash, record)?;
                drop(records);
                self.claim_at_ldk(hash, held, preimage)
            }
            Settlement::Hold { hold_ms } => {
                let until = TimeMs(now.0.saturating_add(hold_ms));
                record.stage = InvoiceStage::Held { held: Held { amount, until, until_block } };
                records.put_invoice(hash, record)?;
                records.tell(NodeEvent::InvoiceHeld { payment_hash: hash, amount })?;
                self.changed.notify_waiters();
                Ok(())
            }
        }
    }

    /// LDK says that the money is here, perhaps again.
    pub(super) fn payment_claimed(&self, hash: PaymentHash, amount: Msat) -> Result<(), Unavailable> {
        let mut records = self.records();
        let Some(mut record) = records.invoice(hash)? else {
            tracing::warn!(%hash, "a payment arrived that no invoice asked for");
            return Ok(());
        };
        if let InvoiceStage::Claiming { preimage, .. } = record.stage {
            record.stage = InvoiceStage::Paid { preimage };
            records.put_invoice(hash, record)?;
            records.tell(NodeEvent::InvoicePaid { payment_hash: hash, amount })?;
            self.changed.notify_waiters();
        }
        Ok(())
    }

    fn claim_at_ldk(&self, hash: PaymentHash, held: Held, preimage: Preimage) -> Result<(), Unavailable> {
        self.node
            .bolt11_payment()
            .claim_for_hash(LdkHash(hash.0), held.amount.0, PaymentPreimage(preimage.0))
            .map_err(|error| Unavailable(error.to_string()))
    }

    fn fail_at_ldk(&self, hash: PaymentHash) -> Result<(), Unavailable> {
        let failed = self.node.bolt11_payment().fail_for_hash(LdkHash(hash.0));
        failed.map_err(|error| Unavailable(error.to_string()))
    }

    /// Tells LDK, then that LDK has been told.
    fn give_back(&self, hash: PaymentHash) -> Result<(), Unavailable> {
        self.fail_at_ldk(hash)?;
        let mut records = self.records();
        if let Some(mut record) = records.invoice(hash)?
            && let InvoiceStage::Closed { why, gives_back: true } = record.stage
        {
            record.stage = InvoiceStage::Closed { why, gives_back: false };
            records.put_invoice(hash, record)?;
        }
        Ok(())
    }
}

/// How many blocks before the end a payment has to arrive, so that LDK lets it be held for so long.
fn final_cltv(settlement: Settlement) -> Result<u64, InvoiceError> {
    let least = u64::from(MIN_FINAL_CLTV_EXPIRY_DELTA);
    let blocks = match settlement {
        Settlement::AtOnce { .. } => least,
        Settlement::Hold { hold_ms: 0 } => {
            return Err(InvoiceError::BadRequest("a payment that is held is held for a while".into()));
        }
        Settlement::Hold { hold_ms } => {
            let blocks = hold_ms.div_ceil(BLOCK_MS);
            blocks.saturating_add(blocks / 4).saturating_add(HOLD_MARGIN_BLOCKS + least)
        }
    };
    if blocks > FINAL_CLTV_MAX {
        let days = (FINAL_CLTV_MAX - least - HOLD_MARGIN_BLOCKS) * 4 / 5 * BLOCK_MS / 86_400_000;
        return Err(InvoiceError::BadRequest(format!("a payment can be held for {days} days at most")));
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_hold_asks_for_more_blocks() {
        let blocks = |hold_ms| final_cltv(Settlement::Hold { hold_ms }).unwrap();
        assert_eq!(final_cltv(Settlement::AtOnce { preimage: Preimage([1; 32]) }).unwrap(), 42);
        assert_eq!(blocks(1), 42 + 6 + 1);
        assert_eq!(blocks(86_400_000), 42 + 6 + 144 + 36);
        for hold_ms in [0, 6 * 86_400_000, u64::MAX] {
            let refused = final_cltv(Settlement::Hold { hold_ms });
            assert!(matches!(refused, Err(InvoiceError::BadRequest(_))), "{hold_ms}");
        }
    }
}
