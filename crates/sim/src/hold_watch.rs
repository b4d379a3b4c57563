//! Payments that providers hold: what is seen of them in the market's events, and what moved between the nodes.

use crate::{market_host::now_or_never, party::Party};
use market::{
    engine::{State, state::HoldPhase},
    event::Event,
    id::{LeaseId, PartyId},
    units::{Msat, TimeMs},
};
use node::api::PlacedEvent;
use pay::{InvoiceState, LightningNode, PaymentState};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What every party's Lightning node begins with.
pub(crate) const NODE_MONEY: Msat = Msat(1 << 40);
/// A hold that is open for longer after its verdict is stuck.
const STUCK_MS: u64 = 3_600_000;

/// Holds, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HoldTally {
    /// Leases that were funded by a hold.
    pub leases: u64,
    /// Slices that were claimed.
    pub claimed: u64,
    /// Slices that went back to the buyer.
    pub returned: u64,
    /// Slices that were earned, and not claimed by a provider that was away for too long.
    pub forgone: u64,
    /// The longest from a verdict to the end of its hold, in milliseconds.
    pub slowest_ms: u64,
    /// Prepayments of sessions.
    pub prepayments: u64,
}

impl HoldTally {
    pub(crate) fn add(&mut self, other: &HoldTally) {
        self.leases += other.leases;
        self.claimed += other.claimed;
        self.returned += other.returned;
        self.forgone += other.forgone;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
        self.prepayments += other.prepayments;
    }
}

/// Follows holds through the market's events.
#[derive(Debug, Default)]
pub(crate) struct HoldWatch {
    pub(crate) tally: HoldTally,
    unfunded: BTreeSet<LeaseId>,
    decided: BTreeMap<LeaseId, TimeMs>,
}

impl HoldWatch {
    /// Takes an event; the answer is what it breaks.
    pub(crate) fn take(&mut self, placed: &PlacedEvent) -> Option<String> {
        match &placed.event {
            Event::HoldDealt { lease, .. } => {
                self.unfunded.insert(*lease);
            }
            Event::HoldFunded { lease, .. } => {
                self.tally.leases += 1;
                self.unfunded.remove(lease);
            }
            Event::LeaseStarted { lease, .. } if self.unfunded.contains(lease) => {
                return Some(format!("{lease} works although nobody holds its payments"));
            }
            Event::HoldDecided { lease, .. } => {
                self.decided.insert(*lease, placed.at_ms);
            }
            Event::HoldOver { lease, .. } => {
                let since = self.decided.remove(lease).map_or(0, |since| placed.at_ms.since(since));
                self.tally.slowest_ms = self.tally.slowest_ms.max(since);
                if since > STUCK_MS {
                    return Some(format!("the hold of {lease} was stuck for {since} ms"));
                }
            }
            Event::SessionRefilled { .. } => self.tally.prepayments += 1,
            _ => {}
        }
        None
    }

    /// As if the provider had never said that it holds the payments: for proof that this is noticed.
    pub(crate) fn forget_funding(&mut self, placed: &PlacedEvent) {
        if let Event::HoldFunded { lease, .. } = placed.event {
            self.unfunded.insert(lease);
        }
    }

    /// At the end: what the market has released is what moved between the nodes, slice by slice, and nothing else did.
    pub(crate) fn compare(&mut self, state: &State, parties: &[Party]) -> Vec<String> {
        let node_of = |id| Some(&parties.iter().find(|party| party.id == Some(id))?.lightning);
        let mut wrong = Vec::new();
        let mut expected: BTreeMap<PartyId, u64> = BTreeMap::new();
        for (id, lease) in state.leases.iter() {
            let Some(hold) = &lease.hold else { continue };
            let HoldPhase::Over { released, in_time } = hold.phase else {
                wrong.push(format!("the hold of {id} is {:?}", hold.phase));
                continue;
            };
            let (Some(payee), Some(payer)) = (node_of(lease.party), node_of(lease.buyer)) else { continue };
            for (hash, slice) in hold.hashes.iter().zip(0..) {
                let invoice = now_or_never(payee.invoice(*hash)).and_then(Result::ok).flatten();
                let payment = now_or_never(payer.payment(*hash)).and_then(Result::ok).flatten();
                let took = matches!(invoice, Some(InvoiceState::Paid { .. }));
                let fee = match payment {
                    Some(PaymentState::Succeeded { fee, .. }) => Some(fee),
                    _ => None,
                };
                let is_earned = slice < released;
                // Who was away for too long has lost what it did not claim; nobody ever takes more than was released.
                if took != fee.is_some() || (took && !is_earned) || (is_earned && !took && in_time) {
                    wrong.push(format!(
                        "slice {slice} of {id}: {released} released, {invoice:?}, {payment:?}"
                    ));
                }
                match (took, is_earned) {
                    (true, _) => self.tally.claimed += 1,
                    (false, true) => self.tally.forgone += 1,
                    (false, false) => self.tally.returned += u64::from(hold.funded_msat > Msat::ZERO),
                }
                if let Some(fee) = fee {
                    let had = |party| expected.get(&party).copied().unwrap_or(NODE_MONEY.0);
                    let payer = had(lease.buyer) - hold.slice_msat.0 - fee.0;
                    expected.insert(lease.buyer, payer);
                    let payee = expected.get(&lease.party).copied().unwrap_or(NODE_MONEY.0);
                    expected.insert(lease.party, payee + hold.slice_msat.0);
                }
            }
        }
        for (party, has) in expected {
            let balance = node_of(party).and_then(|node| now_or_never(node.balance())).and_then(Result::ok);
            if balance.is_none_or(|balance| balance.spendable.0 + balance.in_flight.0 != has) {
                wrong.push(format!("the node of {party} should have {has} msat and has {balance:?}"));
            }
        }
        wrong.truncate(3);
        wrong
    }
}
