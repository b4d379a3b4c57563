//! The state of a venue. Only the engine changes it; everybody may read it. Each state of a thing carries only the data
//! that this state has.

mod hold;
mod recent;
mod sale;
mod work;

pub use hold::{Hold, HoldPhase};
pub use recent::Recent;
pub use sale::{Offered, Sale, SaleOutcome, SalePhase, Sold};
pub use work::{
    Attempt, AttemptPhase, Audits, Job, JobPhase, JudgedAttempt, KnownLink, Lease, LeasePhase, Round, Task,
    Tasks, Vote,
};

use crate::{
    digest_map::DigestMap,
    id::{
        AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, PaymentHash, TopupId,
        TransferId, WithdrawalId,
    },
    key::PublicKey,
    ledger::{Account, Ledger},
    offer::OfferTerms,
    order::OrderTerms,
    resources::Resources,
    table::Table,
    units::{Msat, Rate, TimeMs},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Everything that the venue knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The venue's key.
    pub venue: PublicKey,
    /// The version of the rules in force.
    pub rules_version: u32,
    /// Position of the last command applied; the first is 1.
    pub position: u64,
    /// Time of the last command applied.
    pub now: TimeMs,
    /// Parties.
    pub parties: Table<PartyId, Party>,
    /// Machines.
    pub machines: Table<MachineId, Machine>,
    /// What every key that was ever registered is.
    pub keys: DigestMap<PublicKey, KeyOwner>,
    /// Standing offers.
    pub offers: Table<OfferId, Offer>,
    /// Standing offers of validators.
    pub audit_offers: BTreeSet<OfferId>,
    /// Orders.
    pub orders: Table<OrderId, Order>,
    /// Orders with a free slot that takes offers.
    pub open_orders: BTreeSet<OrderId>,
    /// The open order that was last tried on a tick.
    pub last_order_tried: OrderId,
    /// Jobs.
    pub jobs: Table<JobId, Job>,
    /// Leases.
    pub leases: Table<LeaseId, Lease>,
    /// Attempts that have no verdict yet.
    pub attempts: BTreeMap<AttemptId, Attempt>,
    /// The number of the last attempt.
    pub last_attempt: u64,
    /// Money.
    pub ledger: Ledger,
    /// Top-ups that wait for money.
    pub topups: Table<TopupId, Topup>,
    /// Withdrawals whose outcome is not known.
    pub withdrawals: Table<WithdrawalId, Withdrawal>,
    /// Payment hashes of all withdrawals that were not known to fail: none is used twice.
    pub payment_hashes: BTreeSet<PaymentHash>,
    /// Reputation.
    pub reputation: crate::reputation::Book,
    /// Statements that may still arrive again.
    pub recent: Recent,
    /// What is due when.
    pub timers: BTreeSet<(TimeMs, Timer)>,
    /// What the venue owes for audit links that it withheld, in the order in which it was charged.
    pub venue_debts: VecDeque<VenueDebt>,
    /// What the venue paid into the escrow of jobs for audit links that it withheld.
    pub venue_paid_msat: BTreeMap<JobId, Msat>,
    /// Leases whose hold is not over, by the machine that has to see to it.
    pub open_holds: BTreeSet<(MachineId, LeaseId)>,
    /// Jobs funded by sessions that still take work.
    pub sessions: BTreeSet<JobId>,
    /// What claiming one payment on the chain costs these days, by the venue's word.
    pub claim_cost_msat: Msat,
    /// Results whose keys a buyer disputes.
    pub disputes: BTreeSet<(LeaseId, AttemptId)>,
}

/// What the venue still owes for one audit link that it withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueDebt {
    /// The job.
    pub job: JobId,
    /// Whose job it is.
    pub buyer: PartyId,
    /// What is not paid yet.
    pub owed_msat: Msat,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOwner {
    /// The current key of a party.
    Party(PartyId),
    /// The key of a machine.
    Machine(MachineId),
    /// A key that a party has rotated away from, or of a revoked machine: worth nothing, and never registered again.
    Retired,
}

/// An owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Party {
    /// Its current key.
    pub key: PublicKey,
    /// For people.
    pub label: String,
    /// Whether the operator declared it its own.
    pub is_operators: bool,
    /// Its leases that are not closed.
    pub open_leases: u32,
    /// Its top-ups and withdrawals that are not settled.
    pub open_payments: u32,
    /// What hangs in holds that it pays or holds, of leases whose hold is not over.
    pub in_flight_msat: Msat,
    /// How often it neither claimed nor cancelled a hold in time. Each time halves what it may have in flight.
    pub hold_faults: u32,
    /// What its bond has to cover: the prices of results that it works on or has at sale.
    pub at_sale_msat: Msat,
}

/// A computer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Its owner.
    pub party: PartyId,
    /// Its key.
    pub key: PublicKey,
    /// For people.
    pub label: String,
    /// Everything that it has to sell.
    pub capacity: Resources,
    /// What no lease has reserved.
    pub free: Resources,
    /// Whether it is there.
    pub presence: Presence,
    /// Its standing offers.
    pub offers: BTreeSet<OfferId>,
    /// Its leases that are not closed.
    pub leases: BTreeSet<LeaseId>,
}

/// Whether a machine is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// It is heard of; its offers match.
    Live,
    /// It is not heard of; its offers do not match.
    Lost {
        /// Since when.
        since: TimeMs,
    },
    /// It was taken away for good.
    Revoked,
}

/// A standing offer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offer {
    /// The machine.
    pub machine: MachineId,
    /// Its owner.
    pub party: PartyId,
    /// The terms, shared with the event that published them.
    pub terms: Arc<OfferTerms>,
}

/// A buyer's order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The job that it is for.
    pub job: JobId,
    /// Who placed it.
    pub buyer: PartyId,
    /// The terms.
    pub terms: OrderTerms,
    /// How far it is.
    pub phase: OrderPhase,
    /// Leases that are not draining or closed.
    pub held_slots: u32,
}

/// How far an order is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum OrderPhase {
    /// Sealed bids are taken.
    Bidding {
        /// Until then.
        until: TimeMs,
        /// What came in.
        seals: BTreeMap<MachineId, SealedBid>,
    },
    /// Sealed bids are revealed.
    Revealing {
        /// Until then.
        until: TimeMs,
        /// What came in sealed and is not revealed.
        seals: BTreeMap<MachineId, SealedBid>,
        /// What was revealed.
        bids: BTreeMap<MachineId, RevealedBid>,
    },
    /// Free slots take the best standing offers.
    Open,
    /// It takes nothing more.
    Closed,
}

/// A bid that nobody can read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBid {
    /// The offer that it improves on.
    pub offer: OfferId,
    /// The commitment.
    pub seal: Digest,
}

/// A bid that was revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevealedBid {
    /// The offer that it improves on.
    pub offer: OfferId,
    /// The price.
    pub rate: Rate,
}

/// A top-up that waits for money.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Topup {
    /// Whose.
    pub party: PartyId,
    /// How much.
    pub amount_msat: Msat,
    /// Whether the invoice is said to have expired. Money that comes in all the same is still credited.
    pub is_expired: bool,
    /// The invoice, once it was made.
    pub invoice: Option<TopupInvoice>,
}

/// The invoice of a top-up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopupInvoice {
    /// The invoice, opaque.
    pub bolt11: String,
    /// Its payment hash.
    pub payment_hash: PaymentHash,
    /// When it can no longer be paid.
    pub expires_at_ms: TimeMs,
}

/// A withdrawal whose outcome is not known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Whose.
    pub party: PartyId,
    /// How much.
    pub amount_msat: Msat,
    /// The most that routing may cost.
    pub max_fee_msat: Msat,
    /// The invoice, opaque.
    pub bolt11: String,
    /// Its payment hash.
    pub payment_hash: PaymentHash,
    /// The amount, set aside.
    pub reserved: TransferId,
    /// The routing fee, set aside; none when none may be paid.
    pub reserved_fee: Option<TransferId>,
    /// Whether the node has said that it does not know.
    pub is_unknown: bool,
}

/// Something that is due at a time. A timer whose thing has moved on is ignored when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// The bidding or revealing window of an auction ends.
    AuctionWindow(OrderId),
    /// A granted lease was not started.
    LeaseStart(LeaseId),
    /// A lease reaches its longest time.
    LeaseEnd(LeaseId),
    /// A machine has been lost for too long.
    MachineLost(MachineId),
    /// An attempt was not committed, or not revealed.
    Attempt(AttemptId),
    /// A link of a round was withheld.
    Links(JobId, u32),
    /// A party did not take the replica that it was drawn for.
    ReplicaClaim(JobId, u32, u32),
    /// Draws that found nobody are to be tried again.
    Redraw(JobId),
    /// A task has waited for replicas for too long.
    ReplicaWait(JobId, u32),
    /// A settled job, its order and its leases can be forgotten.
    Forget(JobId),
    /// A running lease of a session has used up three quarters of what pays for it.
    Extend(LeaseId),
    /// A session has been without money for too long.
    SessionDry(JobId),
    /// A provider has not said that nothing is held for a lease any more.
    HoldClaim(LeaseId),
    /// A buyer has not shown the key of a result.
    Sale(LeaseId, AttemptId),
}

/// The state refers to a thing that is not there: a bug, and no reason to go on with other people's money.
fn missing(what: impl std::fmt::Display) -> ! {
    panic!("the state refers to {what}, which is not there")
}

macro_rules! rows {
    ($($(#[$doc:meta])* $get:ident $get_mut:ident $table:ident $id:ty => $row:ty;)*) => {
        impl State {
            $(
                $(#[$doc])*
                pub fn $get(&self, id: $id) -> &$row {
                    self.$table.get(id).unwrap_or_else(|| missing(id))
                }

                pub(crate) fn $get_mut(&mut self, id: $id) -> &mut $row {
                    self.$table.get_mut(id).unwrap_or_else(|| missing(id))
                }
            )*
        }
    };
}

rows! {
    /// A party that the state refers to; panics when it is not there.
    party party_mut parties PartyId => Party;
    /// A machine that the state refers to; panics when it is not there.
    machine machine_mut machines MachineId => Machine;
    /// An offer that the state refers to; panics when it is not there.
    offer offer_mut offers OfferId => Offer;
    /// An order that the state refers to; panics when it is not there.
    order order_mut orders OrderId => Order;
    /// A job that the state refers to; panics when it is not there.
    job job_mut jobs JobId => Job;
    /// A lease that the state refers to; panics when it is not there.
    lease lease_mut leases LeaseId => Lease;
}

impl State {
    /// A venue without history.
    pub(crate) fn new(venue: PublicKey, rules_version: u32) -> State {
        State {
            venue,
            rules_version,
            position: 0,
            now: TimeMs(0),
            parties: Table::default(),
            machines: Table::default(),
            keys: DigestMap::default(),
            offers: Table::default(),
            audit_offers: BTreeSet::new(),
            orders: Table::default(),
            open_orders: BTreeSet::new(),
            last_order_tried: OrderId(0),
            jobs: Table::default(),
            leases: Table::default(),
            attempts: BTreeMap::new(),
            last_attempt: 0,
            ledger: Ledger::new(),
            topups: Table::default(),
            withdrawals: Table::default(),
            payment_hashes: BTreeSet::new(),
            reputation: crate::reputation::Book::new(),
            recent: Recent::default(),
            timers: BTreeSet::new(),
            venue_debts: VecDeque::new(),
            venue_paid_msat: BTreeMap::new(),
            open_holds: BTreeSet::new(),
            sessions: BTreeSet::new(),
            claim_cost_msat: Msat::ZERO,
            disputes: BTreeSet::new(),
        }
    }

    /// What the venue holds of a party beside its jobs: balance, withheld pay and bond.
    pub fn holdings(&self, party: PartyId) -> Msat {
        let posted = |account| self.ledger.balance(account).posted.0;
        let accounts = [Account::Available(party), Account::Earnings(party), Account::Bond(party)];
        Msat(accounts.into_iter().map(posted).fold(0, u64::saturating_add))
    }

    /// What a party may still pay in by top-ups that it asked for.
    pub fn open_topups(&self, party: PartyId) -> Msat {
        let open = self.topups.iter().filter(|(_, topup)| topup.party == party && !topup.is_expired);
        Msat(open.map(|(_, topup)| topup.amount_msat.0).fold(0, u64::saturating_add))
    }

    /// What the venue owes for audit links that it withheld.
    pub fn venue_owes(&self) -> Msat {
        sum(self.venue_debts.iter())
    }

    /// What the venue owes for the audit links of one job that it withheld.
    pub fn venue_owes_for(&self, job: JobId) -> Msat {
        sum(self.venue_debts.iter().filter(|debt| debt.job == job))
    }

    /// What the venue paid into the escrow of a job for audit links that it withheld.
    pub fn venue_paid(&self, job: JobId) -> Msat {
        self.venue_paid_msat.get(&job).copied().unwrap_or(Msat::ZERO)
    }

    /// An attempt that the state refers to; panics when it is not there.
    pub fn attempt(&self, id: AttemptId) -> &Attempt {
        self.attempts.get(&id).unwrap_or_else(|| missing(id))
    }

    pub(crate) fn attempt_mut(&mut self, id: AttemptId) -> &mut Attempt {
        self.attempts.get_mut(&id).unwrap_or_else(|| missing(id))
    }
}

fn sum<'a>(debts: impl Iterator<Item = &'a VenueDebt>) -> Msat {
    Msat(debts.map(|debt| debt.owed_msat.0).fold(0, u64::saturating_add)).min(Msat::MAX)
}

impl Order {
    /// Whether it has a free slot that the next matching offer gets.
    pub fn takes_offers(&self) -> bool {
        matches!(self.phase, OrderPhase::Open) && self.held_slots < self.terms.slots
    }
}

impl Machine {
    /// Whether its offers can win anything now: it is there, and not full.
    pub fn is_offering(&self) -> bool {
        self.presence == Presence::Live && self.free.cpu_milli > 0 && self.free.memory_mib > 0
    }
}
