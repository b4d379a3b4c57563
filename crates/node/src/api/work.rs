//! The work of a machine, as the market tells it.

use market::{
    id::{AttemptId, JobId, LeaseId, OfferId, OrderId, PaymentHash},
    job::{JobSpec, TaskLimits},
    offer::OfferTerms,
    order::OrderTerms,
    preimage::Preimage,
    resources::Resources,
    units::{Msat, Rate, TimeMs},
};
use serde::{Deserialize, Serialize};

/// What a machine has to do (`GET /v1/work`): all of it, every time, so that a machine that forgot everything or missed
/// an answer goes on where it should. Long poll: `revision` of the last answer in, an answer as soon as it differs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkView {
    /// Changes whenever anything below changes.
    pub revision: u64,
    /// The venue's clock.
    pub now_ms: TimeMs,
    /// Leases that are not closed.
    pub leases: Vec<WorkLease>,
    /// Attempts of this machine without a verdict.
    pub attempts: Vec<WorkAttempt>,
    /// Auctions that one of its offers could bid in.
    pub auctions: Vec<WorkAuction>,
    /// Its standing offers.
    pub offers: Vec<(OfferId, OfferTerms)>,
    /// Payments for its leases that its owner's Lightning node has to see to.
    #[serde(default)]
    pub holds: Vec<WorkHold>,
    /// Its encrypted results that are verified and not sold yet: payments for them are to be taken.
    #[serde(default)]
    pub sales: Vec<AttemptId>,
}

/// The payments that fund a lease, as the provider has to see to them. See [`market::funding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkHold {
    /// The lease that they fund.
    pub lease: LeaseId,
    /// What each invoice asks for.
    pub slice_msat: Msat,
    /// The payment hash of each.
    pub hashes: Vec<PaymentHash>,
    /// How long payments have to be held at least.
    pub until_ms: TimeMs,
    /// What is expected.
    pub due: HoldDue,
}

/// What is expected of a provider for a lease's payments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldDue {
    /// Put the hashes on invoices and say so with `invoice_hold`.
    Invoice,
    /// Wait until all are paid and held, and say so with `hold_funded`.
    Fund,
    /// Nothing: they are held, or the market's part comes next.
    Wait,
    /// Claim with these preimages, cancel the others, and say so with `hold_over`.
    Claim {
        /// They open the first hashes, in their order.
        preimages: Vec<Preimage>,
        /// Until then.
        by_ms: TimeMs,
    },
}

/// A lease as its machine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkLease {
    /// Which.
    pub lease: LeaseId,
    /// The job whose tasks it runs.
    pub job: JobId,
    /// What to run.
    pub spec: JobSpec,
    /// The price.
    pub rate: Rate,
    /// What it reserves.
    pub resources: Resources,
    /// How far it is.
    pub phase: WorkLeasePhase,
    /// Tasks that it could claim now.
    pub claimable: u32,
}

/// How far a lease is, as far as its machine has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkLeasePhase {
    /// Its payments are not held yet: nothing to be done for it but that.
    Unfunded,
    /// To be started before this time.
    Granted {
        /// The time.
        start_by_ms: TimeMs,
    },
    /// Running.
    Running,
    /// No more claims; open attempts are still to be committed and revealed where they can be.
    Draining,
}

/// An attempt as its machine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkAttempt {
    /// Which.
    pub attempt: AttemptId,
    /// Its lease.
    pub lease: LeaseId,
    /// Its task.
    pub task: u32,
    /// What is expected of the machine.
    pub due: WorkDue,
    /// What becomes of the output when the result is revealed.
    #[serde(default)]
    pub output: WorkOutput,
}

/// What becomes of an output when its result is revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkOutput {
    /// It is uploaded as it is.
    #[default]
    Upload,
    /// It stays with the machine: a replica vouches for a result that another sells.
    Keep,
    /// It is encrypted and sold: the ciphertext is uploaded, with an invoice for its key.
    Sell {
        /// What the invoice asks for.
        invoice_msat: Msat,
    },
}

/// What is expected of the machine for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkDue {
    /// Run it and commit to the result by then.
    Commit {
        /// The time.
        by_ms: TimeMs,
    },
    /// Wait: the commitment is in, the reveal is not open yet.
    Wait,
    /// Upload the output and reveal the result by then.
    Reveal {
        /// The time.
        by_ms: TimeMs,
    },
    /// Nothing: revealed, the verdict is out.
    Judging,
}

/// An auction that a machine could bid in, or has bid in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkAuction {
    /// Which.
    pub order: OrderId,
    /// The offer of this machine that matches.
    pub offer: OfferId,
    /// The terms (the budget is not told: it is zero here).
    pub terms: OrderTerms,
    /// How many tasks there are.
    pub tasks: u32,
    /// The limits of each task.
    pub limits: TaskLimits,
    /// What is expected of the machine.
    pub due: AuctionDue,
}

/// What is expected of a machine in an auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuctionDue {
    /// A sealed bid can be made until then.
    Bid {
        /// The time.
        until_ms: TimeMs,
    },
    /// The sealed bid is in; it is revealed later.
    Wait,
    /// The sealed bid must be revealed until then.
    Reveal {
        /// The time.
        until_ms: TimeMs,
    },
}
