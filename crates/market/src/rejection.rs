//! Why a command is refused, in words that say what to do. A rejection changes nothing and is not journaled.

use crate::{
    id::{AttemptId, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, TopupId, WithdrawalId},
    ledger::Account,
    units::{Msat, Overflow, TimeMs},
};
use serde::{Deserialize, Serialize};

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The statement's time is over.
    #[error(
        "the statement was good until {not_after_ms:?} and it is {now_ms:?}: check the clock of the signing machine"
    )]
    Expired {
        /// Its own limit.
        not_after_ms: TimeMs,
        /// The venue's time.
        now_ms: TimeMs,
    },
    /// The statement's time ends too far ahead.
    #[error(
        "the statement is good for more than ten minutes from now ({now_ms:?}): check the clock of the signing machine"
    )]
    LifetimeTooLong {
        /// The venue's time.
        now_ms: TimeMs,
    },
    /// The statement was accepted before; nothing happened now.
    #[error("this statement was already accepted at position {position}")]
    Duplicate {
        /// Where.
        position: u64,
    },
    /// The head that the signer says it saw is not one of this venue's.
    #[error(
        "the statement names a public head of size {size} that this venue never published: one of the two has forked"
    )]
    UnknownHead {
        /// The size it names.
        size: u64,
    },
    /// The key belongs to nobody here.
    #[error("the signing key is not registered here: register a party, or certify this machine")]
    UnknownSigner,
    /// The key may not do that.
    #[error("the signing key may not do that: {needs}")]
    NotAllowed {
        /// Who may.
        needs: NeedsSigner,
    },
    /// No such thing.
    #[error("there is no {0}")]
    Unknown(Entity),
    /// A value that makes no sense.
    #[error("{0}")]
    Flaw(String),
    /// The state of the thing does not allow it.
    #[error("{what} {is}")]
    Conflict {
        /// The thing.
        what: Entity,
        /// Its state, and what to do.
        is: Conflict,
    },
    /// Not enough money.
    #[error("{account} has {available}, less than the {needed} needed: top up, or ask for less")]
    InsufficientFunds {
        /// Where.
        account: Account,
        /// What is there.
        available: Msat,
        /// What is needed.
        needed: Msat,
    },
    /// A balance would exceed what the venue is willing to hold for one party.
    #[error("the balance would exceed the venue's cap of {cap} for each party: withdraw first")]
    BalanceCap {
        /// The cap.
        cap: Msat,
    },
    /// Arithmetic does not fit.
    #[error("the amounts do not fit: {0}")]
    Overflow(String),
    /// An attempt of another machine, an old attempt, or one that is settled: late results are dropped.
    #[error(
        "{attempt} is not open under this key any more: its task was given to another attempt or is settled"
    )]
    Fenced {
        /// The attempt.
        attempt: AttemptId,
    },
    /// A result that does not open its seal.
    #[error("the result revealed for {attempt} does not open its seal")]
    SealBroken {
        /// The attempt.
        attempt: AttemptId,
    },
    /// No item of the batch could be done; the reasons, item by item.
    #[error("no item of the batch could be done; the first because {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Batch(Vec<Rejection>),
    /// The venue has not paid for audit links that it withheld.
    #[error(
        "the market owes {owed} for audit links that it withheld, and takes no verified job before that is paid: try later, or another market"
    )]
    VenueOwes {
        /// How much.
        owed: Msat,
    },
    /// The invoice of a withdrawal is that of an earlier one.
    #[error("this invoice is being paid or was paid already: make a new one")]
    InvoiceUsed,
    /// A preimage of another hash.
    #[error("a preimage for {lease} does not open its payment hash")]
    BadPreimage {
        /// The lease.
        lease: LeaseId,
    },
    /// An audit link that does not follow from the anchor.
    #[error("the audit link of {job} does not follow from the chain's anchor")]
    BadLink {
        /// The job.
        job: JobId,
    },
}

/// Who may do a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedsSigner {
    /// A registered party.
    #[error("it needs a registered party's key")]
    Party,
    /// The owner.
    #[error("it needs the key of its owner")]
    Owner,
    /// The machine or its owner.
    #[error("it needs the machine's key, or its owner's")]
    MachineOrOwner,
    /// The venue.
    #[error("it needs the venue's own key")]
    Venue,
}

/// A thing, for telling which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the entities")]
pub enum Entity {
    Party(PartyId),
    Machine(MachineId),
    Offer(OfferId),
    Order(OrderId),
    Job(JobId),
    Lease(LeaseId),
    Attempt(AttemptId),
    TopUp(TopupId),
    Withdrawal(WithdrawalId),
    /// A key.
    Key,
    /// A version of the rules.
    Rules(u32),
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Entity::Party(id) => id.fmt(f),
            Entity::Machine(id) => id.fmt(f),
            Entity::Offer(id) => id.fmt(f),
            Entity::Order(id) => id.fmt(f),
            Entity::Job(id) => id.fmt(f),
            Entity::Lease(id) => id.fmt(f),
            Entity::Attempt(id) => id.fmt(f),
            Entity::TopUp(id) => id.fmt(f),
            Entity::Withdrawal(id) => id.fmt(f),
            Entity::Key => f.write_str("key"),
            Entity::Rules(version) => write!(f, "rules version {version}"),
        }
    }
}

/// The state that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// Registered before.
    #[error("is already registered: use the existing one, or make a new key")]
    KeyTaken,
    /// Certified by another party.
    #[error("already belongs to another party: that party has to revoke it first")]
    OwnedByAnother,
    /// The consent does not fit.
    #[error("has not consented: the consent's signature does not fit the key, the venue and the party")]
    NoConsent,
    /// Revoked.
    #[error("was revoked: certify a machine with a new key")]
    Revoked,
    /// Still has leases.
    #[error("has open leases: wait until they are settled")]
    HasLeases,
    /// Gone.
    #[error("is over")]
    Over,
    /// In an earlier or later phase.
    #[error(
        "is not taking this now: sealed bids are taken while the window is open, reveals after it has closed"
    )]
    WrongPhase,
    /// Nothing to bid on.
    #[error("is not an auction")]
    NotAuction,
    /// The offer does not meet the order's needs.
    #[error("does not match: ask why with `grist offers --why`")]
    NoMatch,
    /// Bid twice.
    #[error("has a bid of this machine already")]
    BidTwice,
    /// Does not open the seal, or is above the ceiling.
    #[error(
        "has no sealed bid of this machine that this price and salt open, or the price is above the ceiling"
    )]
    BidMismatch,
    /// Not started, or ended.
    #[error("is not running")]
    NotRunning,
    /// The venue or the buyer did not anchor its audits yet.
    #[error("waits for the venue's audit anchor: try again in a moment")]
    NotAnchored,
    /// Already anchored.
    #[error("has its audit anchor already")]
    Anchored,
    /// No such round.
    #[error("has no open audit round with this number that waits for this link")]
    NoSuchRound,
    /// A result before its time.
    #[error("is not to be revealed yet")]
    NotOpen,
    /// Nothing to hand out.
    #[error("has no task to hand out now: wait for one")]
    NothingToClaim,
    /// Too many.
    #[error("is at its limit: wait until some of it is settled")]
    Limit,
    /// The payment was settled in another way.
    #[error("has this outcome or another already")]
    Settled,
    /// Needs a buyer's anchor.
    #[error("needs the buyer's audit anchor, because its results are verified")]
    NeedsAnchor,
    /// Not funded yet.
    #[error("is not funded yet: its work begins once the provider holds all payments for it")]
    NotFunded,
    /// Not at this point of a hold.
    #[error("has no hold that waits for this")]
    NoSuchHold,
    /// Not at this point of a sale.
    #[error("has no encrypted result that waits for this")]
    NoSuchSale,
    /// More in flight than allowed.
    #[error("would have more in flight in holds than it may: wait until some are claimed or cancelled")]
    InFlight,
    /// Budget too small.
    #[error(
        "has a budget below what one attempt of every task may cost: raise the budget or lower the ceiling"
    )]
    BudgetTooSmall,
}

impl From<Overflow> for Rejection {
    fn from(overflow: Overflow) -> Rejection {
        Rejection::Overflow(overflow.to_string())
    }
}

impl Rejection {
    /// A conflict about a thing.
    pub fn conflict(what: Entity, is: Conflict) -> Rejection {
        Rejection::Conflict { what, is }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::Expired { .. } => "expired",
            Rejection::LifetimeTooLong { .. } => "lifetime_too_long",
            Rejection::Duplicate { .. } => "duplicate",
            Rejection::UnknownHead { .. } => "unknown_head",
            Rejection::UnknownSigner => "unknown_signer",
            Rejection::NotAllowed { .. } => "not_allowed",
            Rejection::Unknown(_) => "unknown",
            Rejection::Flaw(_) => "flaw",
            Rejection::Conflict { .. } => "conflict",
            Rejection::InsufficientFunds { .. } => "insufficient_funds",
            Rejection::BalanceCap { .. } => "balance_cap",
            Rejection::Overflow(_) => "overflow",
            Rejection::Fenced { .. } => "fenced",
            Rejection::SealBroken { .. } => "seal_broken",
            Rejection::Batch(_) => "batch",
            Rejection::BadPreimage { .. } => "bad_preimage",
            Rejection::BadLink { .. } => "bad_link",
            Rejection::VenueOwes { .. } => "venue_owes",
            Rejection::InvoiceUsed => "invoice_used",
        }
    }
}
