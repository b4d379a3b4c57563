//! Leases and their settlement.

use crate::units::{Msat, big_u64};
use serde::{Deserialize, Serialize};

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The job is finished.
    Finished,
    /// The provider never started it: void, without fault.
    NeverStarted,
    /// The buyer ended it, or the job.
    Dismissed,
    /// The provider ended it.
    Quit,
    /// The machine was lost for longer than the grace period.
    Lost,
    /// The provider was proven to cheat.
    Cheated,
    /// It reached its longest time.
    Expired,
    /// The job's budget ran out.
    OutOfFunds,
}

/// The books of a closed lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// Cumulative usage in the unit of the lease's rate: accepted tasks, accepted fuel, or milliseconds.
    #[serde(with = "big_u64")]
    pub usage: u64,
    /// What the provider earned.
    pub paid_msat: Msat,
    /// What the buyer paid for work that was under way when it cancelled.
    pub compensation_msat: Msat,
    /// What had been earned and went back to the buyer, because the provider was proven to cheat.
    pub clawed_back_msat: Msat,
    /// The operator's fee, out of what was paid.
    pub fee_msat: Msat,
    /// Attempts whose results were accepted.
    pub accepted: u32,
    /// Attempts that were proven wrong.
    pub wrong: u32,
    /// Attempts that came too late, were not revealed, or were left in the minority.
    pub failed: u32,
    /// Attempts without a verdict either way.
    pub inconclusive: u32,
}
