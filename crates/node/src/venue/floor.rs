//! The floor: the market as its journal gives it, with what follows from it for readers. The writer, a recovery and the
//! copy that makes snapshots all run it.

use super::events::RecentEvents;
use crate::{
    api::{EventCursor, PlacedEvent},
    venue::payments::RecentPayments,
};
use market::{
    engine::{Applied, Engine, State},
    event::{Audience, Event},
    id::{JobId, MachineId, OrderId},
    key::{PublicKey, SecretKey},
    log::{Head, PublicLog, SignedHead},
    order::OrderKind,
    receipt::{Receipt, ReceiptBody},
    rejection::Rejection,
    reply::Reply,
    statement::Checked,
    units::TimeMs,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// A statement of the journal that the rules refuse now: the journal was written under other rules than these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "entry {position} of the journal is refused on replay ({rejection}): this program's rules are not those it was written under"
)]
pub struct Diverged {
    /// The entry.
    pub position: u64,
    /// Why it is refused.
    pub rejection: Rejection,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotBody<S, L> {
    pub(super) state: S,
    pub(super) log: L,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Floor {
    engine: Engine,
    log: PublicLog,
    head: SignedHead,
    durable: u64,
    recent: RecentEvents,
    payments: RecentPayments,
    /// Auctions that take bids or reveals.
    auctions: BTreeSet<OrderId>,
    /// Jobs that were settled and whose receipts nobody took yet.
    settled: Vec<Settled>,
    /// Entries of the public log that nobody took yet.
    leaves: Vec<Leaf>,
}

/// An entry of the public log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its number, from 0.
    pub index: u64,
    /// The JSON of a [`PlacedEvent`], verbatim what was hashed.
    pub json: String,
}

impl Floor {
    pub(super) fn new(engine: Engine, log: PublicLog, secret: &SecretKey, recent_events: usize) -> Floor {
        let state = engine.state();
        let auctions = state
            .orders
            .iter()
            .filter(|(_, order)| super::reads::takes_bids(order))
            .map(|(id, _)| id)
            .collect();
        let position = state.position;
        // Nothing happened before the first entry.
        let start =
            if position == 0 { EventCursor::default() } else { EventCursor { position, index: u32::MAX } };
        // Says that nothing is published yet.
        let head = SignedHead::sign(Head::empty(), TimeMs(0), secret);
        Floor {
            head,
            durable: position,
            recent: RecentEvents::new(recent_events, start),
            payments: RecentPayments::of(engine.state()),
            auctions,
            settled: Vec::new(),
            leaves: Vec::new(),
            engine,
            log,
        }
    }

    /// The engine, for queries.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The state.
    pub fn state(&self) -> &State {
        self.engine.state()
    }

    /// The public log. Between admission and sync it may be ahead of the disk.
    pub fn log(&self) -> &PublicLog {
        &self.log
    }

    /// The newest head that is durable.
    pub fn head(&self) -> SignedHead {
        self.head
    }

    /// Position of the last entry that was applied.
    pub fn position(&self) -> u64 {
        self.state().position
    }

    /// Position of the last entry that is durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The last events that are durable.
    pub fn recent(&self) -> &RecentEvents {
        &self.recent
    }

    /// What became of payments that are over.
    pub fn payments(&self) -> &RecentPayments {
        &self.payments
    }

    /// Auctions that take bids or reveals.
    pub fn auctions(&self) -> &BTreeSet<OrderId> {
        &self.auctions
    }

    /// What the sender of a statement was told when it was accepted.
    pub(super) fn earlier_answer(&self, statement: &Checked) -> Option<(u64, Reply)> {
        self.state().recent.answer(statement).cloned()
    }

    /// The machine that has this key.
    pub(super) fn machine_of(&self, key: &PublicKey) -> Option<MachineId> {
        match self.state().keys.get(key)? {
            market::engine::state::KeyOwner::Machine(machine) => Some(*machine),
            market::engine::state::KeyOwner::Party(_) | market::engine::state::KeyOwner::Retired => None,
        }
    }

    /// Applies a statement and puts its public events into the log.
    pub(super) fn apply(
        &mut self,
        now: TimeMs,
        statement: &Checked,
    ) -> Result<(Applied, Vec<Arc<PlacedEvent>>), Rejection> {
        let mut applied = self.engine.apply(now, statement)?;
        let (position, at_ms) = (applied.position, self.state().now);
        let events = std::mem::take(&mut applied.events).into_iter().zip(0..);
        let events = events.map(|(event, index)| {
            let placed = Arc::new(PlacedEvent { position, index, at_ms, event });
            if placed.event.audience() == Audience::Public {
                let json = leaf(&placed);
                let index = self.log.append(json.as_bytes());
                self.settled.extend(settled(self.engine.state(), &placed, &json, index));
                self.leaves.push(Leaf { index, json });
            }
            self.note(&placed.event);
            placed
        });
        let events = events.collect();
        Ok((applied, events))
    }

    /// The entries of the public log since this was asked last.
    pub(super) fn take_leaves(&mut self) -> Vec<Leaf> {
        std::mem::take(&mut self.leaves)
    }

    /// Lets go of what a copy has no use for.
    pub(super) fn drop_outputs(&mut self) {
        self.leaves.clear();
        self.settled.clear();
    }

    /// The jobs that were settled since this was asked last, and have no receipts yet.
    pub(super) fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    /// These jobs get their receipts with the next ones.
    pub(super) fn owe_receipts(&mut self, settled: Vec<Settled>) {
        self.settled.extend(settled);
    }

    /// The receipts of the jobs that were settled since this was asked last, under the newest head.
    pub(super) fn take_receipts(&mut self, secret: &SecretKey) -> Vec<Receipt> {
        let (log, head) = (&self.log, self.head);
        let settled = std::mem::take(&mut self.settled);
        let receipts = settled.into_iter().filter_map(|Settled { body, leaf, index }| {
            let inclusion = log.inclusion_proof(index, head.head.size).ok()?;
            Some(Receipt::sign(body, secret, leaf, inclusion, head))
        });
        receipts.collect()
    }

    fn note(&mut self, event: &Event) {
        self.payments.note(event);
        match event {
            Event::OrderPlaced { order, terms, .. } if matches!(terms.kind, OrderKind::Auction { .. }) => {
                self.auctions.insert(*order);
            }
            Event::AuctionCleared { order, .. } => {
                self.auctions.remove(order);
            }
            Event::JobEnded { job, .. } => {
                if let Some(job) = self.engine.state().jobs.get(*job) {
                    self.auctions.remove(&job.order);
                }
            }
            _ => {}
        }
    }

    /// Everything up to `position` is durable: readers may see it.
    pub(super) fn release(&mut self, position: u64, events: &[Arc<PlacedEvent>]) {
        self.durable = position;
        for event in events {
            self.recent.push(event.clone());
        }
    }

    /// Signs the head of everything that is durable, where it is not signed yet.
    pub(super) fn sign_head(&mut self, now: TimeMs, secret: &SecretKey) -> SignedHead {
        let head = self.log.head();
        if head != self.head.head {
            self.head = SignedHead::sign(head, now, secret);
        }
        self.head
    }

    /// The state and the log, for a snapshot.
    pub(super) fn to_snapshot(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(&SnapshotBody { state: self.state(), log: &self.log })
    }
}

/// A job whose receipt waits for the head that proves it.
#[derive(Debug)]
pub(super) struct Settled {
    body: ReceiptBody,
    leaf: String,
    index: u64,
}

impl Settled {
    /// The job.
    pub(super) fn job(&self) -> JobId {
        self.body.job
    }
}

/// The story of a job, at the moment of its settlement: later the market forgets it.
fn settled(state: &State, placed: &PlacedEvent, leaf: &str, index: u64) -> Option<Settled> {
    let Event::JobSettled { job, outcome, refunded_msat, .. } = &placed.event else { return None };
    let mut body = ReceiptBody::of(state, *job, *outcome, *refunded_msat);
    // It counts the entry that is being applied; by now that one is in.
    body.position = placed.position;
    Some(Settled { body, leaf: leaf.to_owned(), index })
}

/// What stands in the public log for an event: the JSON of its [`PlacedEvent`], fields in the order of their declaration.
fn leaf(event: &PlacedEvent) -> String {
    // Events are made of strings, integers and maps with string keys: there is nothing that JSON could refuse.
    serde_json::to_string(event).unwrap_or_else(|error| panic!("an event without JSON: {error}"))
}
