//! Work in progress: jobs, their tasks, the attempts at them, leases and audit rounds.

use super::{Hold, Sale, missing};
use crate::{
    event::{JobOutcome, TaskOutcome, Verdict},
    id::{AttemptId, Digest, JobId, LeaseId, MachineId, OrderId, PartyId, TransferId},
    job::JobSpec,
    lease::{CloseReason, Settlement},
    name::Name,
    resources::Resources,
    units::{Msat, Rate, TimeMs},
    verify::TaskResult,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    /// What was paid for it so far, out of its escrow or by holds.
    pub paid_msat: Msat,
    /// What the buyer's balance has put into its escrow so far: the whole budget, unless it is a session.
    pub funded_msat: Msat,
    /// Whether a session could not be refilled when it ran low.
    pub is_low: bool,
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
    failed_by: BTreeSet::new(),
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
    /// Parties whose tries came to nothing by their own doing: they get it again only when nobody else is there.
    pub failed_by: BTreeSet<PartyId>,
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
    /// The longest that it may run on the money that it has, in milliseconds.
    pub max_ms: u64,
    /// The longest that it may run at all, in milliseconds.
    pub limit_ms: u64,
    /// For leases billed by time: what they can cost at most, set aside.
    pub reserved: Option<TransferId>,
    /// The payments that fund it, where they wait with the provider.
    pub hold: Option<Hold>,
    /// Its results that are paid to decrypt.
    pub sales: BTreeMap<AttemptId, Sale>,
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
    /// Whether the buyer was declared the operator's own when it ordered: the venue pays it nothing for links withheld.
    pub is_operators: bool,
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
