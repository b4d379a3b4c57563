//! What goes into the agent and what comes out of it.

use crate::{api::WorkView, provider::Policy};
use market::{
    command::{AbandonReason, Command},
    funding::SaleOffer,
    id::{AttemptId, Digest, LeaseId, OrderId},
    job::JobSpec,
    reply::Reply,
    resources::Resources,
    units::{Msat, Rate, TimeMs},
    verify::TaskResult,
};
use serde::{Deserialize, Serialize};

/// Numbers the statements of one run of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What the agent is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time has passed: [`super::Agent::next_wake`] is due.
    Time,
    /// The poll was answered.
    Work(Box<WorkView>),
    /// The poll failed.
    PollFailed,
    /// A statement was answered, or its sender gave up on an answer.
    Answered {
        /// Which.
        request: RequestId,
        /// How.
        answer: Answer,
    },
    /// A lease's worker is ready: its module is compiled, its inputs are there.
    WorkerReady {
        /// The lease.
        lease: LeaseId,
    },
    /// A lease's worker did not start, or ended by itself. Tasks that it had and did not report are lost.
    WorkerFailed {
        /// The lease.
        lease: LeaseId,
        /// Why.
        failure: WorkerFailure,
    },
    /// Runs of a lease's worker ended, in the order of [`Action::Run`].
    Ran {
        /// What became of each.
        runs: Vec<(AttemptId, RunEnd)>,
    },
    /// An upload ended.
    Uploaded {
        /// The output.
        output: Digest,
        /// Whether the market has it now.
        is_stored: bool,
    },
    /// A result was encrypted, or not.
    Encrypted {
        /// Whose result.
        attempt: AttemptId,
        /// What the market is told about it; `None` when it is to be tried again.
        offer: Option<SaleOffer>,
    },
    /// Whether the machine may take new work (quiet hours, its owner's own use). It may, until told otherwise.
    Open(bool),
    /// What the machine takes, and at which price, from now on.
    Policy(Box<Policy>),
    /// The process is to end: finish what runs, give back the rest.
    Drain,
}

/// What became of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It was accepted, now or before.
    Accepted(Reply),
    /// It was refused and will not be accepted later either.
    Refused {
        /// The stable word of the refusal.
        code: String,
    },
    /// Nobody knows: no answer came until the statement expired.
    Unknown,
}

/// Why a worker does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerFailure {
    /// The job is at fault: its module or an input cannot be used by anybody.
    Job(AbandonReason),
    /// This machine is at fault, or the market could not be reached; another try may help.
    Machine,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// With a result that any machine would give. Its output bundle lies with the driver under its digest.
    Finished {
        /// The result.
        result: TaskResult,
        /// How long it took, in microseconds.
        wall_us: u64,
    },
    /// Without a result, and for this reason.
    Inconclusive(AbandonReason),
    /// The worker's process died under it.
    Crashed,
    /// It had not begun when [`Action::Flush`] or [`Action::Stop`] came.
    NotBegun,
}

/// What the agent wants done. Actions of one call are carried out in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask the market for this machine's work; answer as [`Input::Work`] or [`Input::PollFailed`].
    Poll {
        /// The revision that the agent has seen; `None`: answer at once.
        revision: Option<u64>,
    },
    /// Sign and send a statement, again and again until it is answered or expired; answer as [`Input::Answered`].
    Submit {
        /// Which.
        request: RequestId,
        /// What to ask.
        command: Box<Command>,
    },
    /// Fetch a job's blobs, compile its module, start a worker; answer as [`Input::WorkerReady`] or
    /// [`Input::WorkerFailed`].
    StartWorker {
        /// The lease.
        lease: LeaseId,
        /// What it will run.
        spec: Box<JobSpec>,
        /// What it may use.
        resources: Resources,
    },
    /// End a worker and forget what it has.
    StopWorker {
        /// The lease.
        lease: LeaseId,
    },
    /// Run a task after those that the worker already has; answer as [`Input::Ran`].
    Run {
        /// The lease.
        lease: LeaseId,
        /// The attempt.
        attempt: AttemptId,
        /// The task's number.
        task: u32,
        /// No result is worth anything after this time, by the clock that the agent is given.
        until: TimeMs,
    },
    /// Nobody wants this result any more.
    Stop {
        /// The lease.
        lease: LeaseId,
        /// The attempt.
        attempt: AttemptId,
    },
    /// Report every run that has not begun as [`RunEnd::NotBegun`].
    Flush {
        /// The lease.
        lease: LeaseId,
    },
    /// Upload an output bundle; answer as [`Input::Uploaded`].
    Upload {
        /// Its digest.
        output: Digest,
    },
    /// Encrypt an output bundle, upload the ciphertext, make an invoice for the key and sign all of it; answer as
    /// [`Input::Encrypted`].
    Encrypt {
        /// Whose result.
        attempt: AttemptId,
        /// The digest of the bundle.
        output: Digest,
        /// What the invoice asks for.
        invoice_msat: Msat,
    },
    /// Write to disk, with the output bundles, before anything that follows: a restart must know it.
    Keep(Vec<Kept>),
    /// No restart has to know it any more.
    Forget(Vec<KeptKey>),
}

/// What must survive a restart of the machine's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// A result that is committed, or about to be.
    Result {
        /// The attempt.
        attempt: AttemptId,
        /// The result.
        result: TaskResult,
    },
    /// A sealed bid.
    Bid {
        /// The auction.
        order: OrderId,
        /// The price.
        rate: Rate,
    },
}

/// Names a [`Kept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptKey {
    /// The result of an attempt.
    Result(AttemptId),
    /// The bid in an auction.
    Bid(OrderId),
}

impl Kept {
    /// Its name.
    pub fn key(&self) -> KeptKey {
        match self {
            Kept::Result { attempt, .. } => KeptKey::Result(*attempt),
            Kept::Bid { order, .. } => KeptKey::Bid(*order),
        }
    }
}
