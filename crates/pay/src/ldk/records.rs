//! What the node remembers about invoices and payments beyond what LDK does, beside it in the same database.

use crate::node::{EventCursor, FailureReason, InvoiceState, NodeEvent, PaymentState, Preimage, Unavailable};
use ldk_node::{
    DynStore,
    lightning::{io, util::persist::KVStoreSync},
};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, sync::Arc};

const SPACE: &str = "grist";
const INVOICES: &str = "invoices";
const PAYMENTS: &str = "payments";
const EVENTS: &str = "events";
const NODE: &str = "node";
const RUN: &str = "run";
/// Events that are kept; they are hints, so older ones are missed by nobody who asks for states.
const EVENTS_KEPT: u64 = 10_000;

/// An invoice of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InvoiceRecord {
    pub(super) bolt11: String,
    pub(super) description: String,
    pub(super) amount: Msat,
    pub(super) made_at: TimeMs,
    pub(super) expires_at: TimeMs,
    pub(super) settlement: Settlement,
    pub(super) stage: InvoiceStage,
}

/// When the payment of an invoice is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Settlement {
    AtOnce { preimage: Preimage },
    Hold { hold_ms: u64 },
}

/// Where an invoice stands. What is done at LDK is written down first and done again after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InvoiceStage {
    Open,
    Held {
        held: Held,
    },
    /// The preimage is given away; the money is here once LDK says so.
    Claiming {
        held: Held,
        preimage: Preimage,
    },
    Paid {
        preimage: Preimage,
    },
    /// Closed. `gives_back` until LDK has been told to give back what had arrived.
    Closed {
        why: Closed,
        gives_back: bool,
    },
}

/// A payment that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) amount: Msat,
    pub(super) until: TimeMs,
    /// The block at which LDK gives it back, so that the payer does not have to close the channel.
    pub(super) until_block: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Closed {
    Cancelled,
    Expired,
}

/// A claim that LDK has not confirmed so many blocks after its deadline came too late.
const CLAIM_GRACE_BLOCKS: u32 = 6;

impl InvoiceRecord {
    /// What happens by itself: invoices and holds that have run out.
    pub(super) fn advance(&mut self, now: TimeMs, height: u32) -> bool {
        let closed = match self.stage {
            InvoiceStage::Open if now >= self.expires_at => Some(false),
            InvoiceStage::Held { held } if height >= held.until_block => Some(false),
            InvoiceStage::Held { held } if now >= held.until => Some(true),
            InvoiceStage::Claiming { held, .. } if height > held.until_block + CLAIM_GRACE_BLOCKS => {
                Some(false)
            }
            InvoiceStage::Open
            | InvoiceStage::Held { .. }
            | InvoiceStage::Claiming { .. }
            | InvoiceStage::Paid { .. }
            | InvoiceStage::Closed { .. } => None,
        };
        if let Some(gives_back) = closed {
            self.stage = InvoiceStage::Closed { why: Closed::Expired, gives_back };
        }
        closed.is_some()
    }

    pub(super) fn state(&self) -> InvoiceState {
        match self.stage {
            InvoiceStage::Open => InvoiceState::Open,
            InvoiceStage::Held { held } | InvoiceStage::Claiming { held, .. } => {
                InvoiceState::Held { until: held.until }
            }
            InvoiceStage::Paid { preimage } => InvoiceState::Paid { preimage },
            InvoiceStage::Closed { why: Closed::Cancelled, .. } => InvoiceState::Cancelled,
            InvoiceStage::Closed { why: Closed::Expired, .. } => InvoiceState::Expired,
        }
    }

    fn is_live(&self) -> bool {
        match self.stage {
            InvoiceStage::Open | InvoiceStage::Held { .. } | InvoiceStage::Claiming { .. } => true,
            InvoiceStage::Paid { .. } => false,
            InvoiceStage::Closed { gives_back, .. } => gives_back,
        }
    }
}

/// A payment by this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PaymentRecord {
    pub(super) bolt11: String,
    pub(super) amount: Msat,
    pub(super) max_fee: Msat,
    pub(super) begun_at: TimeMs,
    /// How often it was tried; each try but the last is known to have failed.
    pub(super) tries: u32,
    /// In which run of the node it was tried last.
    pub(super) run: u64,
    /// No HTLC of it can be alive from this block on.
    pub(super) dead_at_block: u32,
    pub(super) stage: PaymentStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentStage {
    /// Written down before LDK was asked; whether LDK took it on is known only within the same run.
    Intended,
    Sent,
    Succeeded {
        preimage: Preimage,
        fee: Msat,
    },
    Failed {
        reason: FailureReason,
    },
}

impl PaymentRecord {
    pub(super) fn is_undecided(&self) -> bool {
        match self.stage {
            PaymentStage::Intended | PaymentStage::Sent => true,
            PaymentStage::Succeeded { .. } | PaymentStage::Failed { .. } => false,
        }
    }

    /// What can be said in run `run`; `is_seen` when a channel shows its HTLC.
    pub(super) fn state(&self, run: u64, is_seen: bool) -> PaymentState {
        match self.stage {
            PaymentStage::Intended | PaymentStage::Sent if self.run == run || is_seen => {
                PaymentState::InFlight
            }
            PaymentStage::Intended | PaymentStage::Sent => PaymentState::Unknown,
            PaymentStage::Succeeded { preimage, fee } => PaymentState::Succeeded { preimage, fee },
            PaymentStage::Failed { reason } => PaymentState::Failed { reason },
        }
    }
}

/// How often the node was started, as a database knows it.
pub(super) fn last_run(store: &impl KVStoreSync) -> io::Result<Option<u64>> {
    match store.read(SPACE, NODE, RUN) {
        Ok(bytes) => {
            let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            serde_json::from_slice(&bytes).map(Some).map_err(damaged)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The records, those that something can still happen to also in memory.
pub(super) struct Records {
    store: Arc<DynStore>,
    /// Counts the starts of the node.
    pub(super) run: u64,
    live_invoices: BTreeMap<PaymentHash, InvoiceRecord>,
    undecided_payments: BTreeMap<PaymentHash, PaymentRecord>,
    first_event: u64,
    last_event: u64,
}

impl Records {
    /// Reads the records and begins a new run.
    pub(super) fn open(store: Arc<DynStore>) -> Result<Records, Unavailable> {
        let mut records = Records {
            store,
            run: 0,
            live_invoices: BTreeMap::new(),
            undecided_payments: BTreeMap::new(),
            first_event: 1,
            last_event: 0,
        };
        records.run = records.read::<u64>(NODE, RUN)?.unwrap_or(0) + 1;
        records.write(NODE, RUN, &records.run)?;
        for (hash, record) in records.invoices()? {
            if record.is_live() {
                records.live_invoices.insert(hash, record);
            }
        }
        for (hash, record) in records.payments()? {
            if record.is_undecided() {
                records.undecided_payments.insert(hash, record);
            }
        }
        let places: Vec<u64> = records.keys(EVENTS)?.iter().filter_map(|key| key.parse().ok()).collect();
        records.first_event = places.iter().copied().min().unwrap_or(1);
        records.last_event = places.iter().copied().max().unwrap_or(0);
        Ok(records)
    }

    pub(super) fn invoice(&self, hash: PaymentHash) -> Result<Option<InvoiceRecord>, Unavailable> {
        match self.live_invoices.get(&hash) {
            Some(record) => Ok(Some(record.clone())),
            None => self.read(INVOICES, &hash.to_string()),
        }
    }

    pub(super) fn put_invoice(
        &mut self,
        hash: PaymentHash,
        record: InvoiceRecord,
    ) -> Result<(), Unavailable> {
        self.write(INVOICES, &hash.to_string(), &record)?;
        if record.is_live() {
            self.live_invoices.insert(hash, record);
        } else {
            self.live_invoices.remove(&hash);
        }
        Ok(())
    }

    pub(super) fn live_invoices(&self) -> Vec<(PaymentHash, InvoiceRecord)> {
        self.live_invoices.iter().map(|(hash, record)| (*hash, record.clone())).collect()
    }

    pub(super) fn payment(&self, hash: PaymentHash) -> Result<Option<PaymentRecord>, Unavailable> {
        match self.undecided_payments.get(&hash) {
            Some(record) => Ok(Some(record.clone())),
            None => self.read(PAYMENTS, &hash.to_string()),
        }
    }

    pub(super) fn put_payment(
        &mut self,
        hash: PaymentHash,
        record: PaymentRecord,
    ) -> Result<(), Unavailable> {
        self.write(PAYMENTS, &hash.to_string(), &record)?;
        if record.is_undecided() {
            self.undecided_payments.insert(hash, record);
        } else {
            self.undecided_payments.remove(&hash);
        }
        Ok(())
    }

    pub(super) fn undecided_payments(&self) -> Vec<(PaymentHash, PaymentRecord)> {
        self.undecided_payments.iter().map(|(hash, record)| (*hash, record.clone())).collect()
    }

    /// All invoices, in no particular order.
    pub(super) fn invoices(&self) -> Result<Vec<(PaymentHash, InvoiceRecord)>, Unavailable> {
        self.all(INVOICES)
    }

    /// All payments, in no particular order.
    pub(super) fn payments(&self) -> Result<Vec<(PaymentHash, PaymentRecord)>, Unavailable> {
        self.all(PAYMENTS)
    }

    pub(super) fn tell(&mut self, event: NodeEvent) -> Result<(), Unavailable> {
        let place = self.last_event + 1;
        self.write(EVENTS, &place.to_string(), &event)?;
        self.last_event = place;
        if place - self.first_event >= EVENTS_KEPT {
            let oldest = self.first_event.to_string();
            KVStoreSync::remove(&*self.store, SPACE, EVENTS, &oldest, true).map_err(unavailable)?;
            self.first_event += 1;
        }
        Ok(())
    }

    pub(super) fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> Result<Vec<(EventCursor, NodeEvent)>, Unavailable> {
        let from = after.0.saturating_add(1).max(self.first_event);
        let mut events = Vec::new();
        for place in (from..=self.last_event).take(limit) {
            if let Some(event) = self.read(EVENTS, &place.to_string())? {
                events.push((EventCursor(place), event));
            }
        }
        Ok(events)
    }

    fn all<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<(PaymentHash, T)>, Unavailable> {
        let mut found = Vec::new();
        for key in self.keys(kind)? {
            let hash = key.parse().map_err(|_| Unavailable(format!("{key} is no payment hash")))?;
            if let Some(record) = self.read(kind, &key)? {
                found.push((hash, record));
            }
        }
        Ok(found)
    }

    fn keys(&self, kind: &str) -> Result<Vec<String>, Unavailable> {
        KVStoreSync::list(&*self.store, SPACE, kind).map_err(unavailable)
    }

    fn read<T: DeserializeOwned>(&self, kind: &str, key: &str) -> Result<Option<T>, Unavailable> {
        match KVStoreSync::read(&*self.store, SPACE, kind, key) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| Unavailable(format!("its record {kind}/{key} is damaged: {e}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn write<T: Serialize>(&self, kind: &str, key: &str, value: &T) -> Result<(), Unavailable> {
        let bytes = serde_json::to_vec(value).map_err(|e| Unavailable(e.to_string()))?;
        KVStoreSync::write(&*self.store, SPACE, kind, key, bytes).map_err(unavailable)
    }
}

fn unavailable(error: io::Error) -> Unavailable {
    Unavailable(format!("its database fails: {error}"))
}

#[cfg(test)]
mod tests;
