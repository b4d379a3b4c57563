//! What somebody else has to do. An effect is data; its id comes from its place in the journal, and carrying it out
//! twice does no harm: the outcome comes back as another command, and a second one is refused.

use crate::{
    id::{AttemptId, JobId, LeaseId, PaymentHash, TopupId, WithdrawalId},
    units::Msat,
};
use serde::{Deserialize, Serialize};

/// Where an effect comes from: the position of its journal entry and its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    /// Journal position.
    pub position: u64,
    /// Place among the effects of that entry.
    pub index: u32,
}

/// Something to be done outside the market's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Make an invoice and say so with `top_up_invoiced`.
    CreateInvoice {
        /// For this top-up.
        topup: TopupId,
        /// Over this amount.
        amount_msat: Msat,
    },
    /// Pay an invoice and say what became of it with `withdrawal_outcome`. Never pay it when the payment hash was
    /// tried before and is not known to have failed.
    PayInvoice {
        /// For this withdrawal.
        withdrawal: WithdrawalId,
        /// The invoice.
        bolt11: String,
        /// Its payment hash.
        payment_hash: PaymentHash,
        /// Its amount.
        amount_msat: Msat,
        /// The most that routing may cost.
        max_fee_msat: Msat,
    },
    /// Anchor the venue's hash chain for a job, with `anchor_audits`.
    AnchorAudits {
        /// The job.
        job: JobId,
        /// How many rounds the chain must last for.
        rounds: u32,
    },
    /// Reveal the venue's link of a round, with `reveal_venue_link`, now that the batch is durable.
    RevealVenueLink {
        /// The job.
        job: JobId,
        /// The round.
        round: u32,
    },
    /// Deal payment hashes for a lease's hold, with `deal_hold`.
    DealHold {
        /// The lease.
        lease: LeaseId,
        /// How many.
        slices: u8,
    },
    /// Release the preimages that a lease has earned, with `release_hold`, now that the verdict is durable.
    ReleaseHold {
        /// The lease.
        lease: LeaseId,
        /// How many.
        slices: u8,
    },
    /// Decrypt a result with the key that a buyer disputes, and say with `judge_key` what it opens.
    JudgeKey {
        /// Under which lease it was sold.
        lease: LeaseId,
        /// Whose result.
        attempt: AttemptId,
    },
}
