//! What travels between a market and those who use it, beside statements: the answers to reads.
//!
//! Mutations are statements ([`market::statement::Statement`]) and nothing else; everything here is read-only. Private
//! reads carry a [`ReadToken`].

mod paying;
mod tokens;
mod work;

pub use paying::{HoldView, SaleView};
pub use tokens::{BadRight, LeaseResult, LeaseRight, TokenGiven, TokenRequest, TokenView};
pub use work::{
    AuctionDue, HoldDue, WorkAttempt, WorkAuction, WorkDue, WorkHold, WorkLease, WorkLeasePhase, WorkOutput,
    WorkView,
};

use market::{
    event::{JobOutcome, TaskOutcome},
    id::{
        AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, PaymentHash, TopupId,
        WithdrawalId,
    },
    job::JobSpec,
    key::{PublicKey, SecretKey, Signature},
    lease::{CloseReason, Settlement},
    log::SignedHead,
    name::Name,
    offer::OfferTerms,
    order::OrderTerms,
    reply::Reply,
    resources::Resources,
    units::{Msat, Rate, TimeMs},
    verify::Deterrence,
};
use pay::{Network, Preimage};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

pub use market::event::PlacedEvent;

/// What a market says about itself (`GET /v1/venue`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueInfo {
    /// The venue's key: statements name it, addresses pin it.
    pub key: PublicKey,
    /// For people.
    pub name: String,
    /// Program version.
    pub version: String,
    /// The rules in force.
    pub rules_version: u32,
    /// Which Lightning node stands behind it (`dev`: play money).
    pub payments: String,
    /// Whose money it is for; invoices of another network are never paid or taken.
    pub network: Network,
    /// Whether the money is play money: everything but real bitcoin is.
    pub is_play_money: bool,
    /// Whether the market gives play money away (`/v1/dev/…`).
    pub has_faucet: bool,
    /// The most that the venue holds for one party.
    pub balance_cap_msat: Msat,
    /// What claiming one payment on the chain costs these days, by the operator's word: slices of holds are at least ten times
    /// that.
    #[serde(default)]
    pub claim_cost_msat: Msat,
    /// The operator's share of earnings, in parts per million.
    pub fee_ppm: u32,
    /// The largest blob that it takes, in bytes.
    pub blob_max_bytes: u64,
    /// What it owes all parties together…
    pub liabilities_msat: Msat,
    /// …and what its Lightning node holds: never less, or the market stops taking work.
    pub node_balance_msat: Msat,
    /// Whether the node holds what is owed, as far as the market has looked. While it does not, no money and no orders are taken.
    pub is_solvent: bool,
    /// The operator's money: what backs the market's own audit links.
    pub operator_msat: Msat,
    /// What it owes for links that it withheld and could not pay for; while that is anything, it takes no verified jobs.
    pub owes_msat: Msat,
    /// The venue's clock.
    pub now_ms: TimeMs,
    /// Position of the last durable journal entry.
    pub position: u64,
    /// The newest signed head of the public log.
    pub head: SignedHead,
}

/// The answer to an accepted statement (`POST /v1/statements`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Where it stands in the journal.
    pub position: u64,
    /// What its sender is told.
    pub reply: Reply,
    /// Whether it had been accepted before; the reply is the one from then.
    pub duplicate: bool,
    /// The newest head of the public log, to be echoed in the next statement.
    pub head: SignedHead,
}

/// The answer to anything that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// A stable word for programs.
    pub code: String,
    /// A sentence for people that says what to do.
    pub message: String,
}

/// The domain of read tokens.
pub const READ_DOMAIN: &str = "gristmill 2026 read token v1";

/// A short-lived right to read what a key may see: `Authorization: Grist KEY.EXPIRES_MS.SIGNATURE`, the signature over
/// venue key and expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadToken {
    /// Whose reads.
    pub key: PublicKey,
    /// Worth nothing after this time; at most an hour ahead.
    pub expires_at_ms: TimeMs,
    /// Over [`ReadToken::message`] under [`READ_DOMAIN`].
    pub signature: Signature,
}

impl ReadToken {
    /// The longest life of a token, in milliseconds.
    pub const MAX_LIFETIME_MS: u64 = 3_600_000;

    /// Makes a token.
    pub fn sign(secret: &SecretKey, venue: &PublicKey, expires_at_ms: TimeMs) -> ReadToken {
        let signature = secret.sign(READ_DOMAIN, &ReadToken::message(venue, expires_at_ms));
        ReadToken { key: secret.public(), expires_at_ms, signature }
    }

    /// What is signed.
    pub fn message(venue: &PublicKey, expires_at_ms: TimeMs) -> Vec<u8> {
        [&venue.0[..], &expires_at_ms.0.to_le_bytes()].concat()
    }

    /// Reads the value of an `Authorization` header; `None` when it is not one of these tokens.
    pub fn from_header(value: &str) -> Option<ReadToken> {
        let mut parts = value.strip_prefix("Grist ")?.splitn(3, '.');
        let key = parts.next()?.parse().ok()?;
        let expires_at_ms = TimeMs(parts.next()?.parse().ok()?);
        let signature = data_encoding::HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
        Some(ReadToken { key, expires_at_ms, signature: Signature(signature) })
    }

    /// Whether the signature fits and the token is worth something at this time.
    pub fn is_valid(&self, venue: &PublicKey, now: TimeMs) -> bool {
        now < self.expires_at_ms
            && self.expires_at_ms.since(now) <= ReadToken::MAX_LIFETIME_MS
            && self
                .key
                .verify(READ_DOMAIN, &ReadToken::message(venue, self.expires_at_ms), &self.signature)
                .is_ok()
    }

    /// The value of the `Authorization` header.
    pub fn header(&self) -> String {
        format!("Grist {}.{}.{}", self.key, self.expires_at_ms.0, self.signature)
    }
}

/// The place of an event, `POSITION.INDEX` in text: the cursor of event streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventCursor {
    /// Position of the journal entry.
    pub position: u64,
    /// Place among the events of that entry.
    pub index: u32,
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.position, self.index)
    }
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cursor like 42.0 (journal position, place among the entry's events)")]
pub struct BadCursor(String);

impl FromStr for EventCursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<EventCursor, BadCursor> {
        let bad = || BadCursor(text.to_owned());
        let (position, index) = text.split_once('.').ok_or_else(bad)?;
        Ok(EventCursor {
            position: position.parse().map_err(|_| bad())?,
            index: index.parse().map_err(|_| bad())?,
        })
    }
}

impl From<&PlacedEvent> for EventCursor {
    fn from(event: &PlacedEvent) -> EventCursor {
        EventCursor { position: event.position, index: event.index }
    }
}

/// A standing offer with what is known about its owner (`GET /v1/offers`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferView {
    /// Which.
    pub offer: OfferId,
    /// Its machine.
    pub machine: MachineId,
    /// The machine's label.
    pub machine_label: String,
    /// Its owner.
    pub party: PartyId,
    /// The owner's label.
    pub party_label: String,
    /// The terms.
    pub terms: OfferTerms,
    /// What the machine has free now.
    pub free: Resources,
    /// Whether the machine is there.
    pub is_live: bool,
    /// Reputation of the owner in the offer's class, in parts per million.
    pub reputation_ppm: u32,
    /// Whether the owner is too new to be judged.
    pub is_unvetted: bool,
    /// The owner's bond.
    pub bond_msat: Msat,
}

/// A machine (`GET /v1/machines`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineView {
    /// Which.
    pub machine: MachineId,
    /// Its key.
    pub key: PublicKey,
    /// For people.
    pub label: String,
    /// Everything that it has to sell.
    pub capacity: Resources,
    /// What no lease has reserved.
    pub free: Resources,
    /// `live`, `lost` or `revoked`.
    pub presence: String,
    /// Its standing offers.
    pub offers: Vec<OfferId>,
    /// Its leases that are not closed.
    pub leases: Vec<LeaseId>,
}

/// A job (`GET /v1/jobs/{job}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Which.
    pub job: JobId,
    /// Its order.
    pub order: OrderId,
    /// What was ordered.
    pub terms: OrderTerms,
    /// What to run.
    pub spec: JobSpec,
    /// When it was placed.
    pub placed_at_ms: TimeMs,
    /// `bidding`, `revealing`, `waiting`, `running`, `settling` or `settled`.
    pub phase: String,
    /// How it ended, once it has.
    pub outcome: Option<JobOutcome>,
    /// Tasks with a result.
    pub tasks_done: u32,
    /// Tasks that ended without one.
    pub tasks_failed: u32,
    /// Attempts that are running.
    pub running: u32,
    /// What is locked for it now.
    pub escrow_msat: Msat,
    /// What was paid out of it.
    pub paid_msat: Msat,
    /// What came back, once it is settled.
    pub refunded_msat: Option<Msat>,
    /// What the market added, because it withheld audit links.
    pub venue_paid_msat: Msat,
    /// Its leases.
    pub leases: Vec<LeaseView>,
    /// The number of the round whose link is expected from the buyer.
    pub round_waiting_for_buyer: Option<u32>,
    /// The payments that fund its leases, where holds do.
    #[serde(default)]
    pub holds: Vec<HoldView>,
    /// What a session needs before it goes on, when it has run low and the buyer's balance is empty.
    #[serde(default)]
    pub session_needs_msat: Option<Msat>,
    /// Its results that are paid to decrypt, from the moment that they are verified.
    #[serde(default)]
    pub sales: Vec<SaleView>,
}

/// A task (`GET /v1/jobs/{job}/tasks`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// Its number.
    pub task: u32,
    /// How it ended, once it has.
    pub outcome: Option<TaskOutcome>,
    /// Attempts without a verdict.
    pub open_attempts: Vec<AttemptId>,
    /// Tries that led to nothing.
    pub failures: u8,
}

/// A lease (`GET /v1/leases/{lease}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// Which.
    pub lease: LeaseId,
    /// The job whose tasks it runs.
    pub job: JobId,
    /// The machine.
    pub machine: MachineId,
    /// The machine's label.
    pub machine_label: String,
    /// Its owner.
    pub party: PartyId,
    /// The hardware class.
    pub class: Name,
    /// The price.
    pub rate: Rate,
    /// Whether it runs hidden replicas only.
    pub is_audit: bool,
    /// `granted`, `running`, `draining` or `closed`.
    pub phase: String,
    /// Why it ended, once it has.
    pub reason: Option<CloseReason>,
    /// The books so far; final once it is closed.
    pub books: Settlement,
    /// What stands against cheating on the next task under it, as things are now. Of the pay that is withheld from its
    /// owner only that of this lease is counted.
    pub deterrence: Deterrence,
}

/// A party's money (`GET /v1/account`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Whose.
    pub party: PartyId,
    /// For people.
    pub label: String,
    /// What can be spent or withdrawn.
    pub available_msat: Msat,
    /// What is set aside (withdrawals on their way).
    pub pending_msat: Msat,
    /// What was earned and is withheld until audits resolve.
    pub withheld_msat: Msat,
    /// The bond.
    pub bond_msat: Msat,
    /// What is locked for jobs.
    pub escrow_msat: Msat,
}

/// A top-up (`GET /v1/topups/{topup}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopupView {
    /// Which.
    pub topup: TopupId,
    /// How much.
    pub amount_msat: Msat,
    /// The invoice to pay, once it was made.
    pub bolt11: Option<String>,
    /// Its payment hash.
    pub payment_hash: Option<PaymentHash>,
    /// When it can no longer be paid.
    pub expires_at_ms: Option<TimeMs>,
    /// How far it is.
    pub phase: TopupPhase,
}

/// How far a top-up is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopupPhase {
    /// Its invoice is being made.
    Requested,
    /// Its invoice can be paid.
    Invoiced,
    /// The money is in the balance.
    Received,
    /// It was not paid in time, or no invoice could be made.
    Expired,
}

/// A withdrawal (`GET /v1/withdrawals/{withdrawal}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawalView {
    /// Which.
    pub withdrawal: WithdrawalId,
    /// How much.
    pub amount_msat: Msat,
    /// How far it is.
    pub phase: WithdrawalPhase,
}

/// How far a withdrawal is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalPhase {
    /// It is being paid.
    Pending,
    /// The node cannot say whether it arrived; the money stays locked until it can.
    Unknown,
    /// It arrived.
    Sent {
        /// What routing cost.
        fee_msat: Msat,
    },
    /// It failed; the money is back in the balance.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a key is here (`GET /v1/keys/{key}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyView {
    /// The current key of a party.
    Party(PartyId),
    /// The key of a machine.
    Machine {
        /// Which.
        machine: MachineId,
        /// Its owner.
        party: PartyId,
    },
    /// Worth nothing any more.
    Retired,
}

/// A party, as everybody may see it (`GET /v1/parties/{party}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyView {
    /// Which.
    pub party: PartyId,
    /// Its current key.
    pub key: PublicKey,
    /// For people.
    pub label: String,
    /// Whether the operator declared it its own.
    pub is_operators: bool,
    /// The bond.
    pub bond_msat: Msat,
    /// Reputation by hardware class.
    pub reputation: Vec<ClassScore>,
}

/// Reputation in one hardware class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The class.
    pub class: Name,
    /// The score, in parts per million.
    pub score_ppm: u32,
    /// Whether there is too little to judge by.
    pub is_unvetted: bool,
    /// Verified results accepted since the last one that was proven wrong; sets the audit rate.
    pub valid_in_a_row: u32,
}

/// The market at a glance, without anything private (`GET /v1/board`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// Position of the last entry that is in it.
    pub position: u64,
    /// The venue's clock.
    pub now_ms: TimeMs,
    /// Parties, machines, offers and leases that are there.
    pub counts: BoardCounts,
    /// Standing offers, the newest first; at most 100.
    pub offers: Vec<OfferView>,
    /// Jobs, the newest first; at most 50.
    pub jobs: Vec<BoardJob>,
    /// Leases that are not closed, the newest first; at most 100.
    pub leases: Vec<LeaseView>,
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BoardCounts {
    /// Registered parties.
    pub parties: u64,
    /// Machines that were not revoked.
    pub machines: u64,
    /// Standing offers.
    pub offers: u64,
    /// Jobs that are not settled.
    pub open_jobs: u64,
    /// Leases that are not closed.
    pub open_leases: u64,
}

/// A job as everybody may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardJob {
    /// Which.
    pub job: JobId,
    /// For people.
    pub name: String,
    /// Its buyer.
    pub buyer: PartyId,
    /// The buyer's label.
    pub buyer_label: String,
    /// How many tasks it has.
    pub tasks: u32,
    /// Tasks with a result.
    pub tasks_done: u32,
    /// Tasks that ended without one.
    pub tasks_failed: u32,
    /// Attempts that are running.
    pub running: u32,
    /// As in [`JobView::phase`].
    pub phase: String,
    /// What was paid out so far.
    pub paid_msat: Msat,
}

/// What a job would cost on the live offers (`POST /v1/quotes`), before anything is spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteRequest {
    /// The terms.
    pub terms: OrderTerms,
    /// The job.
    pub job: JobSpec,
}

/// The answer to a [`QuoteRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Offers that would win, best first.
    pub offers: Vec<OfferView>,
    /// Live offers that match.
    pub matching: u32,
    /// What the dearest of these offers asks for a task, where that can be said beforehand.
    pub asked_msat: Option<Msat>,
    /// What a task of its costs, without replicas. In an auction at second price that is more than it asks: the first losing
    /// price, and the ceiling where nobody loses.
    pub task_msat: Option<Msat>,
    /// What the job would cost if every task cost that and nothing went wrong, expected replicas and audits included.
    /// Machines may bid other prices than their offers ask.
    pub expected_msat: Option<Msat>,
    /// What it can cost at most: the budget.
    pub at_most_msat: Msat,
    /// What would stand against cheating on any task, at the weakest of these offers (of the terms alone where there is
    /// none): the least share of audits, and nothing withheld yet.
    pub deterrence: Deterrence,
    /// What the market owes for audit links that it withheld; while that is anything, it takes no verified jobs.
    pub venue_owes_msat: Msat,
    /// Why offers did not match, with how many, for the reader who got none.
    pub mismatches: Vec<(String, u32)>,
}

/// The body of a blob's upload answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobStored {
    /// The digest of what was stored.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// Paid with play money (`POST /v1/dev/pay`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevPayment {
    /// What proves it; `None` while the payment is on its way.
    pub preimage: Option<Preimage>,
}

/// A play-money invoice of the outside world (`POST /v1/dev/invoice`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevInvoice {
    /// The invoice.
    pub bolt11: String,
    /// Its payment hash.
    pub payment_hash: PaymentHash,
    /// Its amount.
    pub amount_msat: Msat,
}
