//! What the sender of an accepted statement is told.

use crate::{
    id::{AttemptId, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, TopupId, WithdrawalId},
    rejection::Rejection,
    units::TimeMs,
};
use serde::{Deserialize, Serialize};

/// The answer to a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done; there is nothing more to say.
    Done,
    /// The party that the key is now.
    Party(PartyId),
    /// The machine's id.
    Machine(MachineId),
    /// The top-up's id; its invoice follows.
    TopUp(TopupId),
    /// The withdrawal's id; its outcome follows.
    Withdrawal(WithdrawalId),
    /// The offer's id.
    Offer(OfferId),
    /// The order, its job, and the leases won at once.
    Order {
        /// The order.
        order: OrderId,
        /// The job.
        job: JobId,
        /// Leases won at once; an auction has none yet.
        leases: Vec<LeaseId>,
    },
    /// Tasks handed out, item by item.
    Claimed(Vec<Item<Vec<Grant>>>),
    /// Batch results, item by item.
    Items(Vec<Item<()>>),
}

/// What became of one item of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item<T> {
    /// It is done.
    Done(T),
    /// It was refused; the other items are not touched by that.
    Refused(Rejection),
}

impl<T> From<Result<T, Rejection>> for Item<T> {
    fn from(result: Result<T, Rejection>) -> Item<T> {
        match result {
            Ok(value) => Item::Done(value),
            Err(rejection) => Item::Refused(rejection),
        }
    }
}

/// A task that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The attempt, also the fencing token.
    pub attempt: AttemptId,
    /// The task's number.
    pub task: u32,
    /// When it must be committed.
    pub deadline_ms: TimeMs,
}
