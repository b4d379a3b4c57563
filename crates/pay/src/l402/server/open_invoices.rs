//! Invoices that were asked for and are not paid. Each costs the node something, so they are bounded, and who asks for the
//! same again gets the same again.

use crate::l402::Challenge;
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use std::collections::BTreeMap;

/// How many invoices may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenLimits {
    /// For one client.
    pub per_client: usize,
    /// Altogether.
    pub total: usize,
}

/// Whose, and for what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) client: String,
    pub(super) capability: String,
    pub(super) path: Option<String>,
    pub(super) price: Msat,
}

/// An invoice that can be paid.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) challenge: Challenge,
    pub(super) payment_hash: PaymentHash,
    pub(super) expires_at: TimeMs,
}

/// What is in a slot.
#[derive(Debug)]
enum Held {
    /// The node is being asked for an invoice. Whoever asked may have gone: after this time nobody waits for the answer.
    Asking { until: TimeMs },
    /// Here it is.
    Open(Open),
}

/// What asking for a slot gives.
#[derive(Debug)]
pub(super) enum Place {
    /// There is an invoice already.
    Taken(Open),
    /// It is free, and the caller's until it fills or frees it.
    Yours,
    /// No invoice now.
    None,
}

/// How long a node may take to make an invoice.
const ASKING_MS: u64 = 60_000;

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct OpenInvoices {
    slots: BTreeMap<Slot, Held>,
    by_hash: BTreeMap<PaymentHash, Slot>,
    per_client: BTreeMap<String, usize>,
}

impl OpenInvoices {
    /// Looks for an invoice that can be paid until `needed_until` at least, or for room for a new one.
    pub(super) fn ask(
        &mut self,
        slot: &Slot,
        limits: OpenLimits,
        now: TimeMs,
        needed_until: TimeMs,
    ) -> Place {
        match self.slots.get(slot) {
            Some(Held::Asking { until }) if now < *until => return Place::None,
            Some(Held::Open(open)) if open.expires_at >= needed_until => return Place::Taken(open.clone()),
            Some(Held::Asking { .. } | Held::Open(_)) => self.free(slot),
            None => {}
        }
        let of_client = |this: &OpenInvoices| this.per_client.get(&slot.client).copied().unwrap_or(0);
        let is_full =
            |this: &OpenInvoices| this.slots.len() >= limits.total || of_client(this) >= limits.per_client;
        if is_full(self) {
            self.forget_expired(now);
            if is_full(self) {
                return Place::None;
            }
        }
        self.slots.insert(slot.clone(), Held::Asking { until: now.plus(ASKING_MS) });
        *self.per_client.entry(slot.client.clone()).or_default() += 1;
        Place::Yours
    }

    /// Puts an invoice into a slot that is the caller's.
    pub(super) fn fill(&mut self, slot: &Slot, open: Open) {
        if let Some(held) = self.slots.get_mut(slot) {
            self.by_hash.insert(open.payment_hash, slot.clone());
            *held = Held::Open(open);
        }
    }

    /// Makes room: the invoice was paid, has gone, or was never made.
    pub(super) fn free(&mut self, slot: &Slot) {
        let Some(held) = self.slots.remove(slot) else { return };
        if let Held::Open(open) = held {
            self.by_hash.remove(&open.payment_hash);
        }
        if let Some(count) = self.per_client.get_mut(&slot.client) {
            *count -= 1;
            if *count == 0 {
                self.per_client.remove(&slot.client);
            }
        }
    }

    /// The invoice of this hash is settled.
    pub(super) fn settled(&mut self, payment_hash: &PaymentHash) {
        if let Some(slot) = self.by_hash.remove(payment_hash) {
            self.free(&slot);
        }
    }

    fn forget_expired(&mut self, now: TimeMs) {
        let is_over = |held: &Held| match held {
            Held::Asking { until } => *until <= now,
            Held::Open(open) => open.expires_at <= now,
        };
        let over = self.slots.iter().filter(|(_, held)| is_over(held));
        let gone: Vec<Slot> = over.map(|(slot, _)| slot.clone()).collect();
        gone.iter().for_each(|slot| self.free(slot));
    }
}
