//! What happened. Events are derived: the same journal gives the same events. They feed the public log, receipts,
//! live views and everything that follows a market.

use crate::{
    command::AbandonReason,
    funding::EncryptedResult,
    id::{
        AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, PaymentHash, TopupId,
        WithdrawalId,
    },
    key::PublicKey,
    lease::{CloseReason, Settlement},
    ledger::Posting,
    name::Name,
    offer::OfferTerms,
    order::OrderTerms,
    preimage::Preimage,
    units::{Msat, Rate, TimeMs},
    verify::TaskResult,
};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStructVariant};
use std::sync::Arc;

/// Something that happened. In JSON, an object with one field: the event's name in snake case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named for what they are, in the glossary's words")]
pub enum Event {
    /// A key became a party.
    PartyRegistered { party: PartyId, key: PublicKey, label: String },
    /// A party moved to another key.
    KeyRotated { party: PartyId, key: PublicKey },
    /// A party is the operator's own, by its own word.
    DeclaredOwn { party: PartyId },
    /// A machine belongs to a party now.
    MachineCertified { machine: MachineId, party: PartyId, key: PublicKey, label: String },
    /// A machine was taken away.
    MachineRevoked { machine: MachineId },
    /// A machine is no longer heard of.
    MachineLost { machine: MachineId },
    /// A lost machine is heard of again.
    MachineBack { machine: MachineId },

    /// Money moved, was set aside, or set free.
    Posted { posting: Posting },
    /// A top-up waits for its invoice.
    TopUpRequested { topup: TopupId, party: PartyId, amount_msat: Msat },
    /// A top-up can be paid.
    TopUpInvoiced {
        topup: TopupId,
        party: PartyId,
        bolt11: String,
        payment_hash: PaymentHash,
        expires_at_ms: TimeMs,
    },
    /// A top-up came in.
    TopUpReceived { topup: TopupId, party: PartyId, amount_msat: Msat },
    /// A top-up can no longer be paid.
    TopUpExpired { topup: TopupId, party: PartyId },
    /// A withdrawal is to be paid.
    WithdrawalRequested {
        withdrawal: WithdrawalId,
        party: PartyId,
        amount_msat: Msat,
        payment_hash: PaymentHash,
    },
    /// A withdrawal arrived.
    WithdrawalSent { withdrawal: WithdrawalId, party: PartyId, amount_msat: Msat, fee_msat: Msat },
    /// A withdrawal failed; the money is back.
    WithdrawalFailed { withdrawal: WithdrawalId, party: PartyId, reason: String },
    /// Nobody can say yet whether a withdrawal arrived; the money stays locked.
    WithdrawalUnknown { withdrawal: WithdrawalId, party: PartyId },
    /// A party's bond has this size now.
    BondChanged { party: PartyId, bond_msat: Msat },
    /// A party was proven to cheat and lost its bond.
    BondSlashed {
        party: PartyId,
        lease: LeaseId,
        bond_msat: Msat,
        to_buyer_msat: Msat,
        to_insurance_msat: Msat,
    },

    /// An offer stands.
    OfferPosted { offer: OfferId, machine: MachineId, party: PartyId, terms: Arc<OfferTerms> },
    /// An offer has other terms now.
    OfferChanged { offer: OfferId, terms: Arc<OfferTerms> },
    /// An offer is gone.
    OfferWithdrawn { offer: OfferId },

    /// An order was placed and its budget locked.
    OrderPlaced {
        order: OrderId,
        job: JobId,
        buyer: PartyId,
        name: String,
        tasks: u32,
        terms: Box<OrderTerms>,
    },
    /// A sealed bid came in.
    BidCommitted { order: OrderId, machine: MachineId, offer: OfferId },
    /// The window for sealed bids is closed; bids are revealed until then.
    BidsClosed { order: OrderId, reveal_until_ms: TimeMs },
    /// A bid was revealed. Losing prices are not published.
    BidRevealed { order: OrderId, machine: MachineId, rate: Rate },
    /// An auction is decided.
    AuctionCleared { order: OrderId, bids: u32, unrevealed: u32, won: u32 },

    /// A slot was won.
    LeaseGranted {
        lease: LeaseId,
        order: OrderId,
        job: JobId,
        machine: MachineId,
        party: PartyId,
        rate: Rate,
        claim_by_ms: TimeMs,
    },
    /// The provider is to put the lease's payment hashes on invoices.
    HoldDealt { lease: LeaseId, job: JobId, machine: MachineId },
    /// The buyer is to pay the lease's invoices.
    HoldInvoiced { lease: LeaseId, job: JobId },
    /// The provider holds the lease's payments, by its own word.
    HoldFunded { lease: LeaseId, job: JobId, amount_msat: Msat },
    /// The lease earned so much of its hold; the rest goes back to the buyer.
    HoldDecided { lease: LeaseId, job: JobId, released_msat: Msat, returned_msat: Msat },
    /// The provider can claim what was earned, and is to cancel the rest.
    HoldReleased { lease: LeaseId, job: JobId, machine: MachineId, claim_by_ms: TimeMs },
    /// Nothing is held for the lease any more, or nobody said so in time.
    HoldOver { lease: LeaseId, job: JobId, party: PartyId, in_time: bool },
    /// What claiming a payment on the chain costs these days.
    ClaimCostSet { amount_msat: Msat },
    /// A prepayment of a session was taken.
    SessionRefilled { job: JobId, amount_msat: Msat },
    /// A session runs low, and the buyer's balance has nothing for it.
    SessionLow { job: JobId, left_msat: Msat, wanted_msat: Msat },

    /// A result is verified, and the buyer is to pay for its key.
    SaleOpened {
        lease: LeaseId,
        job: JobId,
        attempt: AttemptId,
        task: u32,
        invoice_msat: Msat,
        until_ms: TimeMs,
    },
    /// The buyer has shown the key of a result: it has paid.
    ResultSold { lease: LeaseId, job: JobId, party: PartyId, attempt: AttemptId, price_msat: Msat },
    /// The buyer has shown no key in time: the provider gets the deposit, and the result stays closed.
    ResultUnsold { lease: LeaseId, job: JobId, party: PartyId, attempt: AttemptId, deposit_msat: Msat },
    /// The buyer says that a key opens something else.
    KeyDisputed { lease: LeaseId, job: JobId, attempt: AttemptId },
    /// A key opens something else than replicas vouched for. Whoever has the ciphertext can check it.
    KeyForged {
        lease: LeaseId,
        job: JobId,
        party: PartyId,
        attempt: AttemptId,
        encrypted: Box<EncryptedResult>,
        output: Digest,
        preimage: Preimage,
        #[serde(default)]
        opened: Option<Digest>,
    },

    /// The machine is ready.
    LeaseStarted { lease: LeaseId, job: JobId },
    /// The lease takes no more tasks; what is under verification is still decided.
    LeaseDraining { lease: LeaseId, job: JobId, reason: CloseReason },
    /// The lease is settled.
    LeaseClosed {
        lease: LeaseId,
        job: JobId,
        party: PartyId,
        class: Name,
        reason: CloseReason,
        settlement: Settlement,
    },

    /// Tasks were handed out.
    TasksClaimed { lease: LeaseId, job: JobId, attempts: Vec<(AttemptId, u32)> },
    /// Sealed results came in.
    ResultsCommitted { lease: LeaseId, job: JobId, attempts: Vec<AttemptId> },
    /// A batch of commitments waits for both audit links.
    RoundOpened { job: JobId, round: u32, root: Digest, reveal_by_ms: TimeMs },
    /// The seed of a batch is known.
    RoundSeeded { job: JobId, round: u32, seed: Digest, buyer_withheld: bool, venue_withheld: bool },
    /// The venue withheld its link of a round and has to pay for auditing it.
    VenueCharged { job: JobId, round: u32, amount_msat: Msat },
    /// The venue paid for links of a job that it withheld; so much it still owes for them.
    VenuePaid { job: JobId, amount_msat: Msat, owed_msat: Msat },
    /// Committed results are to be revealed now.
    RevealsOpened { lease: LeaseId, attempts: Vec<AttemptId>, until_ms: TimeMs },
    /// A result was revealed.
    ResultRevealed { attempt: AttemptId, lease: LeaseId, job: JobId, task: u32, result: TaskResult },
    /// An attempt has its verdict.
    AttemptJudged {
        attempt: AttemptId,
        lease: LeaseId,
        job: JobId,
        task: u32,
        verdict: Verdict,
        paid_msat: Msat,
    },
    /// A task that had an unverified result runs again: whoever gave it was proven to cheat.
    TaskReopened { job: JobId, task: u32 },
    /// A task is finished.
    TaskFinished { job: JobId, task: u32, outcome: TaskOutcome },

    /// The job takes no more work; its settlement follows when its leases are closed.
    JobEnded { job: JobId, outcome: JobOutcome },
    /// The job is settled: everybody is paid, the rest of the budget is back with the buyer.
    JobSettled {
        job: JobId,
        buyer: PartyId,
        outcome: JobOutcome,
        paid_msat: Msat,
        refunded_msat: Msat,
        receipt: Digest,
    },

    /// Another version of the rules is in force.
    RulesActivated { version: u32 },
    /// The market is back after an outage.
    Resumed { grace_until_ms: TimeMs },
}

/// What was found about an attempt, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The result stands.
    Accepted {
        /// Share of full quality, in parts per million; bit-exact verification knows only 1 000 000.
        quality_ppm: u32,
        /// How many parties gave this result.
        agreeing: u8,
        /// Whether anybody checked it at all.
        verified: bool,
    },
    /// The result does not stand.
    Rejected {
        /// Why.
        reason: RejectReason,
        /// What the majority found, where there is one.
        #[serde(default)]
        evidence: Option<Box<Evidence>>,
    },
    /// Nobody can say; unpaid, without fault.
    Inconclusive {
        /// Why.
        reason: InconclusiveReason,
    },
}

impl Serialize for Verdict {
    /// As the derived one, but texts leave out evidence that there is not; see [`crate::sparse`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_text = serializer.is_human_readable();
        match self {
            Verdict::Accepted { quality_ppm, agreeing, verified } => {
                let mut row = serializer.serialize_struct_variant("Verdict", 0, "accepted", 3)?;
                row.serialize_field("quality_ppm", quality_ppm)?;
                row.serialize_field("agreeing", agreeing)?;
                row.serialize_field("verified", verified)?;
                row.end()
            }
            Verdict::Rejected { reason, evidence } => {
                let is_left_out = is_text && evidence.is_none();
                let fields = 2 - usize::from(is_left_out);
                let mut row = serializer.serialize_struct_variant("Verdict", 1, "rejected", fields)?;
                row.serialize_field("reason", reason)?;
                if is_left_out {
                    row.skip_field("evidence")?;
                } else {
                    row.serialize_field("evidence", evidence)?;
                }
                row.end()
            }
            Verdict::Inconclusive { reason } => {
                let mut row = serializer.serialize_struct_variant("Verdict", 2, "inconclusive", 1)?;
                row.serialize_field("reason", reason)?;
                row.end()
            }
        }
    }
}

/// Why a result was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Other parties agree on another result, after escalation: proven wrong.
    Wrong,
    /// Other parties agree on another result, without escalation: unpaid, not proven.
    Minority,
    /// The result was not revealed in time.
    NotRevealed,
    /// The attempt was not committed in time.
    Late,
    /// The lease was closed over a proven cheat; nothing else from it is trusted.
    LeaseCheated,
}

/// Why a result could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InconclusiveReason {
    /// The provider gave the attempt back.
    Abandoned(AbandonReason),
    /// Replicas disagree and no more can be asked.
    Undecided,
    /// Nobody could be found, or paid, to run the replicas in time.
    NoReplicas,
    /// The machine was lost.
    MachineLost,
    /// Another attempt finished the task first.
    Superseded,
    /// The job or the lease ended first.
    Ended,
    /// The venue says so, with its evidence in the journal.
    Venue,
}

/// The result that an attempt was measured against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What this attempt gave.
    pub claimed: Option<TaskResult>,
    /// What the others agree on.
    pub agreed: TaskResult,
    /// The attempts that agree.
    pub by: Vec<AttemptId>,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutcome {
    /// It has a result (which may be a failing exit of the buyer's own program).
    Done {
        /// The result.
        result: TaskResult,
        /// Who gave it.
        attempt: AttemptId,
    },
    /// No attempt led to a result.
    Failed {
        /// How many were made.
        attempts: u8,
    },
    /// The job ended first.
    Cancelled,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// Every task has a result.
    Completed,
    /// Some tasks have none.
    Partial,
    /// The buyer ended it.
    Cancelled,
    /// The budget ran out.
    OutOfFunds,
    /// The auction found no lease.
    NoBids,
}

/// Who may see an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Everybody: it goes into the public log.
    Public,
    /// The venue and the buyer of this job. Providers are told of their own attempts, never of others' results.
    Job(JobId),
    /// One party.
    Party(PartyId),
    /// One machine and its party.
    Machine(MachineId),
    /// The venue alone.
    Venue,
}

impl Event {
    /// Who may see it. Public are the facts that reputation and receipts rest on, without specs, invoices, secrets or
    /// losing prices.
    pub fn audience(&self) -> Audience {
        match self {
            Event::PartyRegistered { .. }
            | Event::KeyRotated { .. }
            | Event::DeclaredOwn { .. }
            | Event::MachineCertified { .. }
            | Event::MachineRevoked { .. }
            | Event::MachineLost { .. }
            | Event::MachineBack { .. }
            | Event::BondChanged { .. }
            | Event::BondSlashed { .. }
            | Event::OfferPosted { .. }
            | Event::OfferChanged { .. }
            | Event::OfferWithdrawn { .. }
            | Event::OrderPlaced { .. }
            | Event::BidCommitted { .. }
            | Event::BidsClosed { .. }
            | Event::AuctionCleared { .. }
            | Event::LeaseGranted { .. }
            | Event::LeaseStarted { .. }
            | Event::HoldFunded { .. }
            | Event::HoldDecided { .. }
            | Event::HoldOver { .. }
            | Event::ClaimCostSet { .. }
            | Event::ResultSold { .. }
            | Event::ResultUnsold { .. }
            | Event::KeyForged { .. }
            | Event::LeaseDraining { .. }
            | Event::LeaseClosed { .. }
            | Event::RoundOpened { .. }
            | Event::RoundSeeded { .. }
            | Event::VenueCharged { .. }
            | Event::VenuePaid { .. }
            | Event::JobEnded { .. }
            | Event::JobSettled { .. }
            | Event::RulesActivated { .. }
            | Event::Resumed { .. } => Audience::Public,
            Event::HoldInvoiced { job, .. }
            | Event::SessionRefilled { job, .. }
            | Event::SessionLow { job, .. }
            | Event::SaleOpened { job, .. }
            | Event::KeyDisputed { job, .. }
            | Event::TasksClaimed { job, .. }
            | Event::ResultsCommitted { job, .. }
            | Event::ResultRevealed { job, .. }
            | Event::AttemptJudged { job, .. }
            | Event::TaskReopened { job, .. }
            | Event::TaskFinished { job, .. } => Audience::Job(*job),
            Event::RevealsOpened { .. } | Event::Posted { .. } => Audience::Venue,
            Event::HoldDealt { machine, .. }
            | Event::HoldReleased { machine, .. }
            | Event::BidRevealed { machine, .. } => Audience::Machine(*machine),
            Event::TopUpRequested { party, .. }
            | Event::TopUpInvoiced { party, .. }
            | Event::TopUpReceived { party, .. }
            | Event::TopUpExpired { party, .. }
            | Event::WithdrawalRequested { party, .. }
            | Event::WithdrawalSent { party, .. }
            | Event::WithdrawalFailed { party, .. }
            | Event::WithdrawalUnknown { party, .. } => Audience::Party(*party),
        }
    }
}

/// An event with its place in the journal. Its JSON, for public events, is what the public log's leaves are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedEvent {
    /// Position of the journal entry.
    pub position: u64,
    /// Place among the events of that entry.
    pub index: u32,
    /// The entry's time.
    pub at_ms: TimeMs,
    /// What happened.
    pub event: Event,
}
