//! The state of a venue. Only the engine changes it; everybody may read it. Each state of a thing carries only the data
//! that this state has.

use crate::{
    event::{JobOutcome, TaskOutcome, Verdict},
    id::{
        AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, PaymentHash, TopupId,
        TransferId, WithdrawalId,
    },
    job::JobSpec,
    key::PublicKey,
    lease::{CloseReason, Settlement},
    ledger::Ledger,
    name::Name,
    offer::OfferTerms,
    order::OrderTerms,
    reply::Reply,
    resources::Resources,
    table::Table,
    units::{Msat, Rate, TimeMs},
    verify::TaskResult,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    pub keys: BTreeMap<PublicKey, KeyOwner>,
    /// Standing offers.
    pub offers: Table<OfferId, Offer>,
    /// Standing offers of validators.
    pub audit_offers: BTreeSet<OfferId>,
    /// Orders.
    pub orders: Table<OrderId, Order>,
    /// Orders with slots that take offers.
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
    /// The terms.
    pub terms: OfferTerms,
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

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The order that it was placed with.
    pub order: OrderId,
    /// Whose it is.
    pub buyer: PartyId,
    /// What to run.
    pub spec: JobSpec,
    /// When it was placed.
    pub placed_at: TimeMs,
    /// How far it is.
    pub phase: JobPhase,
    /// Its tasks, by number.
    pub tasks: Tasks,
    /// The first task that was never handed out.
    pub next_fresh: u32,
    /// Tasks that wait to be handed out again.
    pub again: BTreeSet<u32>,
    /// Tasks whose replicas a party was drawn for and has not taken yet, with the turn of the draw.
    pub drawn: BTreeMap<PartyId, BTreeMap<u32, u32>>,
    /// Tasks that want replicas nobody could be drawn for.
    pub starved: BTreeSet<u32>,
    /// Tasks without an outcome.
    pub unfinished: u32,
    /// Attempts that are running.
    pub running: u32,
    /// Leases, closed ones included.
    pub leases: Vec<LeaseId>,
    /// Leases that are not closed.
    pub open_leases: u32,
    /// Machines that failed this job (lost, quit, never started, cheated): they get no further lease of it.
    pub avoid: BTreeSet<MachineId>,
    /// What was paid out of its escrow so far.
    pub paid_msat: Msat,
    /// Running mean of the time from claim to commit, in milliseconds.
    pub mean_task_ms: u64,
    /// Audit rounds; jobs that are not verified have none.
    pub audits: Option<Audits>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobPhase {
    /// It waits for its first lease, or runs.
    Active,
    /// It takes no more work; its leases are being settled.
    Ended {
        /// How.
        outcome: JobOutcome,
    },
    /// Everything is settled.
    Settled {
        /// How it ended.
        outcome: JobOutcome,
        /// What went back to the buyer.
        refunded_msat: Msat,
        /// Digest of the receipt's body.
        receipt: Digest,
        /// Where in the journal.
        position: u64,
        /// When.
        at: TimeMs,
    },
}

/// The tasks of a job. One that nobody has touched takes eight bytes: an order for a million tasks is a cheap thing to
/// place and must be a cheap thing to hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tasks(Vec<Option<Box<Task>>>);

impl Tasks {
    /// As many untouched tasks.
    pub(crate) fn untouched(count: u32) -> Tasks {
        Tasks((0..count).map(|_| None).collect())
    }

    /// A task, if the number is in range.
    pub fn get(&self, task: u32) -> Option<&Task> {
        self.0.get(task as usize).map(|row| row.as_deref().unwrap_or(&UNTOUCHED))
    }

    fn get_mut(&mut self, task: u32) -> Option<&mut Task> {
        self.0.get_mut(task as usize).map(|row| &mut **row.get_or_insert_default())
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Task> {
        self.0.iter().map(|row| row.as_deref().unwrap_or(&UNTOUCHED))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, which no job has.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

static UNTOUCHED: Task = Task {
    open: Vec::new(),
    votes: Vec::new(),
    needed: 0,
    wanted: 0,
    turn: 0,
    seed: None,
    replicas_until: None,
    failures: 0,
    outcome: None,
    judged: Vec::new(),
};

/// One task of a job.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Task {
    /// Attempts without a verdict.
    pub open: Vec<AttemptId>,
    /// Revealed results that wait for others.
    pub votes: Vec<Vote>,
    /// How many results have to agree; 0 before anybody took it.
    pub needed: u8,
    /// How many replicas are wanted and not handed out, whether somebody was drawn for them or not.
    pub wanted: u8,
    /// Draws made so far.
    pub turn: u32,
    /// Seed of the round that its commitment was in; none before that.
    pub seed: Option<Digest>,
    /// When the wait for replicas ends.
    pub replicas_until: Option<TimeMs>,
    /// Tries that led to nothing.
    pub failures: u8,
    /// How it ended.
    pub outcome: Option<TaskOutcome>,
    /// Attempts with a verdict, for the receipt.
    pub judged: Vec<JudgedAttempt>,
}

/// A revealed result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Whose.
    pub attempt: AttemptId,
    /// What.
    pub result: TaskResult,
}

/// An attempt that has its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedAttempt {
    /// Which.
    pub attempt: AttemptId,
    /// Under which lease.
    pub lease: LeaseId,
    /// What was found.
    pub verdict: Verdict,
    /// What it gave, when it was revealed.
    pub result: Option<TaskResult>,
    /// What it earned.
    pub paid_msat: Msat,
}

/// A try at a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// The job.
    pub job: JobId,
    /// The task's number.
    pub task: u32,
    /// The lease.
    pub lease: LeaseId,
    /// Who works under the lease.
    pub party: PartyId,
    /// When it was claimed.
    pub claimed_at: TimeMs,
    /// What it can cost at most, set aside; leases billed by time have none.
    pub reserved: Option<TransferId>,
    /// Whether it is a replica that was drawn.
    pub is_replica: bool,
    /// How far it is.
    pub phase: AttemptPhase,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptPhase {
    /// Somebody works on it.
    Running {
        /// Until then.
        deadline: TimeMs,
    },
    /// Its result is sealed.
    Committed {
        /// The seal.
        seal: Digest,
    },
    /// Its result is to be revealed.
    Open {
        /// The seal.
        seal: Digest,
        /// Until then.
        until: TimeMs,
    },
    /// Its result is among the task's votes.
    Revealed,
}

/// A lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {
    /// The order whose slot it fills.
    pub order: OrderId,
    /// The job whose tasks it runs.
    pub job: JobId,
    /// Who pays.
    pub buyer: PartyId,
    /// The machine.
    pub machine: MachineId,
    /// Its owner.
    pub party: PartyId,
    /// The hardware class, for reputation.
    pub class: Name,
    /// The price.
    pub rate: Rate,
    /// What it reserves on the machine.
    pub resources: Resources,
    /// Whether it runs replicas only.
    pub is_audit: bool,
    /// The longest that it may run, in milliseconds.
    pub max_ms: u64,
    /// For leases billed by time: what they can cost at most, set aside.
    pub reserved: Option<TransferId>,
    /// How far it is.
    pub phase: LeasePhase,
    /// Attempts without a verdict.
    pub open_attempts: BTreeSet<AttemptId>,
    /// The books so far.
    pub books: Settlement,
}

/// How far a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeasePhase {
    /// It waits for its machine.
    Granted {
        /// Void, without fault, after this time.
        start_by: TimeMs,
    },
    /// It runs.
    Running {
        /// Since when.
        started: TimeMs,
    },
    /// It takes no more tasks; its machine's capacity is free again; open attempts are still judged.
    Draining {
        /// Why it ends.
        reason: CloseReason,
        /// How long it ran, in milliseconds.
        ran_ms: u64,
    },
    /// It is settled.
    Closed {
        /// Why it ended.
        reason: CloseReason,
        /// When.
        at: TimeMs,
    },
}

/// The audit rounds of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Audits {
    /// The buyer's chain.
    pub buyer: KnownLink,
    /// The venue's chain, once it is anchored.
    pub venue: Option<KnownLink>,
    /// Number of the next round.
    pub next_round: u32,
    /// The round that waits for its links.
    pub open: Option<Round>,
    /// Commitments that the next round takes in.
    pub backlog: Vec<(AttemptId, Digest)>,
}

/// The newest link that is known of a hash chain.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct KnownLink {
    /// The link, at first the anchor.
    pub link: Digest,
    /// The round that the next link would be for if it followed at once.
    pub round: u32,
}

/// A batch of commitments that waits for both links.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// Its number.
    pub number: u32,
    /// The batch root.
    pub root: Digest,
    /// The attempts in it.
    pub attempts: Vec<AttemptId>,
    /// The buyer's link, once revealed.
    pub buyer_link: Option<Digest>,
    /// The venue's link, once revealed.
    pub venue_link: Option<Digest>,
    /// When the wait ends.
    pub until: TimeMs,
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

/// Statements that were accepted and may still arrive again, with what their senders were told.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Recent {
    /// By digest: position and answer.
    pub by_digest: BTreeMap<Digest, (u64, Reply)>,
    /// When they can be forgotten.
    pub by_expiry: BTreeSet<(TimeMs, Digest)>,
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
            keys: BTreeMap::new(),
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
        }
    }

    /// An attempt that the state refers to; panics when it is not there.
    pub fn attempt(&self, id: AttemptId) -> &Attempt {
        self.attempts.get(&id).unwrap_or_else(|| missing(id))
    }

    pub(crate) fn attempt_mut(&mut self, id: AttemptId) -> &mut Attempt {
        self.attempts.get_mut(&id).unwrap_or_else(|| missing(id))
    }
}

impl Machine {
    /// Whether its offers can win anything now: it is there, and not full.
    pub fn is_offering(&self) -> bool {
        self.presence == Presence::Live && self.free.cpu_milli > 0 && self.free.memory_mib > 0
    }
}

impl Job {
    /// A task of this job; panics when the number is out of range.
    pub fn task(&self, task: u32) -> &Task {
        self.tasks.get(task).unwrap_or_else(|| missing(format_args!("task {task}")))
    }

    pub(crate) fn task_mut(&mut self, task: u32) -> &mut Task {
        self.tasks.get_mut(task).unwrap_or_else(|| missing(format_args!("task {task}")))
    }

    /// Whether it still takes work.
    pub fn is_active(&self) -> bool {
        self.phase == JobPhase::Active
    }
}

impl AttemptPhase {
    /// Moves a deadline that lies before `until` to it.
    pub(crate) fn extend(&mut self, until: TimeMs) {
        match self {
            AttemptPhase::Running { deadline } => *deadline = (*deadline).max(until),
            AttemptPhase::Open { until: deadline, .. } => *deadline = (*deadline).max(until),
            AttemptPhase::Committed { .. } | AttemptPhase::Revealed => {}
        }
    }
}

impl LeasePhase {
    /// Whether it is settled.
    pub fn is_closed(&self) -> bool {
        matches!(self, LeasePhase::Closed { .. })
    }

    /// Whether it can still take tasks, now or once it is started.
    pub fn is_held(&self) -> bool {
        matches!(self, LeasePhase::Granted { .. } | LeasePhase::Running { .. })
    }
}
