//! Everything that can be asked of the market. A command arrives inside a signed [`crate::statement`]; who signed it
//! decides whether it is allowed.

use crate::{
    funding::SaleOffer,
    id::{
        AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, PaymentHash, TopupId,
        WithdrawalId,
    },
    job::JobSpec,
    key::{PublicKey, Signature},
    offer::OfferTerms,
    order::OrderTerms,
    preimage::Preimage,
    resources::Resources,
    units::{Msat, Rate, TimeMs},
    verify::TaskResult,
};
use serde::{Deserialize, Serialize};

/// A command. The comment of each group says who may sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    // ---- a party (or, for the first, a key that wants to become one) ----
    /// Makes the signing key a party.
    RegisterParty {
        /// For people; 1 to 64 printable characters.
        label: String,
    },
    /// Moves the party to a new key; the old one is worth nothing afterwards.
    RotateKey {
        /// The new key.
        new_key: PublicKey,
        /// The new key's consent: signature of [`rotation_message`] under [`ROTATION_DOMAIN`].
        consent: Signature,
    },
    /// Adds a machine to the party.
    CertifyMachine {
        /// The machine's key.
        machine_key: PublicKey,
        /// The machine's consent: signature of [`certificate_message`] under [`CERTIFICATE_DOMAIN`].
        consent: Signature,
        /// For people; 1 to 64 printable characters.
        label: String,
        /// Everything that the machine has to sell.
        capacity: Resources,
    },
    /// Takes a machine away: its offers end, its leases are closed as withdrawn.
    RevokeMachine {
        /// Which.
        machine: MachineId,
    },
    /// Asks for an invoice; paying it raises the balance.
    TopUp {
        /// How much.
        amount_msat: Msat,
    },
    /// Pays an invoice out of the balance.
    Withdraw {
        /// The invoice, opaque to the market.
        bolt11: String,
        /// Its payment hash.
        payment_hash: PaymentHash,
        /// Its amount.
        amount_msat: Msat,
        /// The most that routing may cost on top.
        max_fee_msat: Msat,
    },
    /// Moves balance into the bond.
    LockBond {
        /// How much.
        amount_msat: Msat,
    },
    /// Moves bond back into the balance; refused while the party has open leases.
    UnlockBond {
        /// How much.
        amount_msat: Msat,
    },
    /// Gives balance to the operator, whose money backs the venue's audit links. It does not come back.
    FundVenue {
        /// How much.
        amount_msat: Msat,
    },
    /// Places an order for a job and locks its budget.
    PlaceOrder {
        /// The terms.
        terms: Box<OrderTerms>,
        /// The job.
        job: Box<JobSpec>,
        /// Last link of the buyer's hash chain, needed when results are verified (see [`crate::verify::Chain`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audit_anchor: Option<Digest>,
    },
    /// Ends the order and its job: what runs is paid by what was accepted, the rest is refunded.
    CancelJob {
        /// Which.
        job: JobId,
    },
    /// Ends one lease as its buyer.
    DismissLease {
        /// Which.
        lease: LeaseId,
    },
    /// The buyer's next link for an audit round.
    RevealBuyerLink(AuditLink),
    /// The preimage that the buyer got for its payment: the result is sold, and the deposit comes back.
    ShowKey {
        /// Under which lease it was sold.
        lease: LeaseId,
        /// Whose result.
        attempt: AttemptId,
        /// It opens the payment hash that the provider signed.
        preimage: Preimage,
    },
    /// The same, and that the key opens something else than replicas vouched for: the venue looks.
    DisputeKey {
        /// Under which lease it was sold.
        lease: LeaseId,
        /// Whose result.
        attempt: AttemptId,
        /// What was to be opened. It has to be stored at the venue.
        ciphertext: Digest,
        /// It opens the payment hash that the provider signed.
        preimage: Preimage,
    },

    // ---- a machine, or the party that owns it ----
    /// Posts an offer.
    PostOffer {
        /// Whose.
        machine: MachineId,
        /// The terms.
        terms: Box<OfferTerms>,
    },
    /// Changes an offer; running leases keep their terms.
    ChangeOffer {
        /// Which.
        offer: OfferId,
        /// The new terms.
        terms: Box<OfferTerms>,
    },
    /// Withdraws an offer; running leases go on.
    WithdrawOffer {
        /// Which.
        offer: OfferId,
    },
    /// Commits to a bid without showing it.
    CommitBid {
        /// The auction.
        order: OrderId,
        /// The offer that the bid improves on (its resources, isolation, class…).
        offer: OfferId,
        /// See [`crate::order::bid_seal`].
        seal: Digest,
    },
    /// Shows a bid after the window has closed.
    RevealBid {
        /// The auction.
        order: OrderId,
        /// The offer that was named in the commitment.
        offer: OfferId,
        /// The price.
        rate: Rate,
        /// The salt of the seal.
        salt: Digest,
    },
    /// Says that the machine is ready to run a lease's tasks.
    StartLease {
        /// Which.
        lease: LeaseId,
    },
    /// Ends a lease as its provider: unfinished attempts are given back.
    QuitLease {
        /// Which.
        lease: LeaseId,
    },
    /// The invoices that a lease's payment hashes were put on, one for each, in their order.
    InvoiceHold {
        /// Which lease.
        lease: LeaseId,
        /// The invoices, opaque to the market; the buyer checks hash, amount and expiry before it pays.
        invoices: Vec<String>,
    },
    /// Says that all payments of a lease's hold have arrived and wait.
    HoldFunded {
        /// Which lease.
        lease: LeaseId,
    },
    /// Says that nothing is held for a lease any more: what was released is claimed, the rest is cancelled.
    HoldOver {
        /// Which lease.
        lease: LeaseId,
    },
    /// Takes tasks. Items succeed or fail singly.
    ClaimTasks {
        /// At most [`MAX_BATCH`] items.
        claims: Vec<Claim>,
    },
    /// Commits to results without showing them. Items succeed or fail singly.
    CommitResults {
        /// At most [`MAX_BATCH`] items.
        commits: Vec<Commit>,
    },
    /// Shows committed results. Items succeed or fail singly.
    RevealResults {
        /// At most [`MAX_BATCH`] items.
        reveals: Vec<Reveal>,
    },
    /// Gives attempts back without a result. Items succeed or fail singly.
    AbandonAttempts {
        /// At most [`MAX_BATCH`] items.
        attempts: Vec<Abandon>,
    },

    // ---- the venue's own key ----
    /// The invoice of a top-up was made.
    TopUpInvoiced {
        /// Which top-up.
        topup: TopupId,
        /// The invoice.
        bolt11: String,
        /// Its payment hash.
        payment_hash: PaymentHash,
        /// When it can no longer be paid.
        expires_at_ms: TimeMs,
    },
    /// What became of a top-up's invoice.
    TopUpOutcome {
        /// Which top-up.
        topup: TopupId,
        /// What.
        outcome: TopUpOutcome,
    },
    /// What became of a withdrawal's payment.
    WithdrawalOutcome {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// What.
        outcome: WithdrawalOutcome,
    },
    /// Last link of the venue's hash chain for a job's audits.
    AnchorAudits {
        /// The job.
        job: JobId,
        /// The anchor.
        anchor: Digest,
    },
    /// The venue's next link for an audit round.
    RevealVenueLink(AuditLink),
    /// The payment hashes of a lease's hold, one for each slice.
    DealHold {
        /// Which lease.
        lease: LeaseId,
        /// The hashes. Only the venue knows what opens them.
        hashes: Vec<PaymentHash>,
    },
    /// The preimages of the slices that a lease has earned.
    ReleaseHold {
        /// Which lease.
        lease: LeaseId,
        /// They open the first of its payment hashes, in their order.
        preimages: Vec<Preimage>,
    },
    /// What claiming one payment on the chain costs these days: slices are at least ten times that.
    SetClaimCost {
        /// How much.
        amount_msat: Msat,
    },
    /// What a disputed key opens. Anybody who has the ciphertext can say so too.
    JudgeKey {
        /// Under which lease it was sold.
        lease: LeaseId,
        /// Whose result.
        attempt: AttemptId,
        /// The digest of what it opens; `None` when it opens nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opened: Option<Digest>,
    },
    /// Says that a committed attempt cannot be judged (its output is gone, say): unpaid, no fault.
    Verdict {
        /// Which.
        attempt: AttemptId,
        /// Why, in words.
        reason: String,
        /// Digest of the evidence.
        evidence: Digest,
    },
    /// Machines that were lost or came back. Only changes are told.
    Liveness {
        /// No longer heard of.
        lost: Vec<MachineId>,
        /// Heard of again.
        back: Vec<MachineId>,
    },
    /// The market was away and is back: every deadline gets a fresh grace period.
    Resume,
    /// Declares a party to be the operator's own: it is never drawn for replicas.
    DeclareOwn {
        /// Which.
        party: PartyId,
    },
    /// Switches to another version of the rules.
    ActivateRules {
        /// Which version.
        version: u32,
    },
    /// Time has passed.
    Tick,
}

/// The most items of one batch.
pub const MAX_BATCH: usize = 4_096;

/// A link of an audit hash chain, for one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLink {
    /// The job.
    pub job: JobId,
    /// The round, counted from 0.
    pub round: u32,
    /// The link.
    pub link: Digest,
}

/// A wish for tasks under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The lease.
    pub lease: LeaseId,
    /// The most tasks to hand out.
    pub max: u32,
}

/// A sealed result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The attempt.
    pub attempt: AttemptId,
    /// See [`crate::verify::seal`].
    pub seal: Digest,
}

/// An opened seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reveal {
    /// The attempt.
    pub attempt: AttemptId,
    /// The salt of the seal.
    pub salt: Digest,
    /// The result.
    pub result: TaskResult,
    /// The encrypted output and the invoice for its key, where the job is paid to decrypt; none of a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale: Option<SaleOffer>,
}

/// An attempt given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abandon {
    /// The attempt.
    pub attempt: AttemptId,
    /// Why.
    pub reason: AbandonReason,
}

/// Why an attempt has no result. None of these is cheating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbandonReason {
    /// The machine ran out of memory.
    Memory,
    /// The stack overflowed.
    Stack,
    /// The wall clock ran out.
    Time,
    /// The task wrote more than its limit.
    Output,
    /// The module or an input could not be fetched, or did not have its digest.
    Input,
    /// The module is not one that the execution profile runs.
    Module,
    /// The provider is stopping or was interrupted.
    Stopping,
}

/// What became of the invoice of a top-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TopUpOutcome {
    /// It was paid.
    Received {
        /// How much came in.
        amount_msat: Msat,
    },
    /// It expired, or could not be made.
    Expired,
}

/// What became of the payment of a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WithdrawalOutcome {
    /// It arrived.
    Sent {
        /// What routing cost.
        fee_msat: Msat,
    },
    /// It is known to have failed: the money is back in the balance.
    Failed {
        /// Why, in words.
        reason: String,
    },
    /// Nobody can say yet: the money stays locked until somebody can.
    Unknown,
}

/// The domain of a machine's consent to belong to a party.
pub const CERTIFICATE_DOMAIN: &str = "gristmill 2026 machine certificate v1";
/// The domain of a new key's consent to take over a party.
pub const ROTATION_DOMAIN: &str = "gristmill 2026 key rotation v1";

/// What a machine signs to belong to a party: venue key and party key.
pub fn certificate_message(venue: &PublicKey, party_key: &PublicKey) -> Vec<u8> {
    [venue.0, party_key.0].concat()
}

/// What a new key signs to take over a party: venue key and old key.
pub fn rotation_message(venue: &PublicKey, old_key: &PublicKey) -> Vec<u8> {
    [venue.0, old_key.0].concat()
}

/// Whether a text can label a party or a machine: 1 to 64 printable characters.
pub fn is_label(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}
