//! The attempts that the machine knows of, and how far each is.

use crate::api::WorkOutput;
use market::{
    command::AbandonReason,
    id::{AttemptId, LeaseId},
    units::TimeMs,
    verify::TaskResult,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An attempt of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// Its lease.
    pub(super) lease: LeaseId,
    /// The task's number.
    pub(super) task: u32,
    /// When it must be committed, by the agent's clock.
    pub(super) until: TimeMs,
    /// How often a worker died under it.
    pub(super) crashes: u8,
    /// The turn in which the market last answered about it: a view that was asked for earlier may be older than that.
    pub(super) touched: u64,
    /// What becomes of its output, as the last view said.
    pub(super) output: WorkOutput,
    /// How far it is.
    pub(super) progress: Progress,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for a worker.
    Queued,
    /// It is with its worker.
    Running,
    /// It is to be committed.
    Finished(TaskResult),
    /// The commitment is on its way.
    Committing(TaskResult),
    /// The market has the seal; the reveal is not open.
    Sealed(TaskResult),
    /// It is to be revealed, once the market has its output.
    Due(TaskResult),
    /// The reveal is on its way.
    Revealing(TaskResult),
    /// The market has the result.
    Revealed(TaskResult),
    /// The market refused something about it that it should not have; the next view says where it stands.
    Parked(TaskResult),
    /// It is to be given back.
    GivingUp(AbandonReason),
    /// Giving it back is on its way, or done; or it is sealed and its result is lost.
    GivenUp,
}

/// [`Progress`] without its data: what attempts are looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Queued,
    Running,
    Finished,
    Committing,
    Sealed,
    Due,
    Revealing,
    Revealed,
    Parked,
    GivingUp,
    GivenUp,
}

impl Progress {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Progress::Queued => Stage::Queued,
            Progress::Running => Stage::Running,
            Progress::Finished(_) => Stage::Finished,
            Progress::Committing(_) => Stage::Committing,
            Progress::Sealed(_) => Stage::Sealed,
            Progress::Due(_) => Stage::Due,
            Progress::Revealing(_) => Stage::Revealing,
            Progress::Revealed(_) => Stage::Revealed,
            Progress::Parked(_) => Stage::Parked,
            Progress::GivingUp(_) => Stage::GivingUp,
            Progress::GivenUp => Stage::GivenUp,
        }
    }

    /// The result, once there is one.
    pub(super) fn result(&self) -> Option<TaskResult> {
        match self {
            Progress::Finished(result)
            | Progress::Committing(result)
            | Progress::Sealed(result)
            | Progress::Due(result)
            | Progress::Revealing(result)
            | Progress::Revealed(result)
            | Progress::Parked(result) => Some(*result),
            Progress::Queued | Progress::Running | Progress::GivingUp(_) | Progress::GivenUp => None,
        }
    }
}

/// How many attempts that are over are remembered, so that an old answer does not bring them back.
const REMEMBERED: usize = 16_384;

/// All attempts, by id and by stage.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_id: BTreeMap<AttemptId, Attempt>,
    by_stage: BTreeSet<(Stage, LeaseId, AttemptId)>,
    over: BTreeSet<AttemptId>,
    over_in_order: VecDeque<AttemptId>,
}

impl Attempts {
    pub(super) fn get(&self, id: AttemptId) -> Option<&Attempt> {
        self.by_id.get(&id)
    }

    /// Whether it was dropped before.
    pub(super) fn is_over(&self, id: AttemptId) -> bool {
        self.over.contains(&id)
    }

    pub(super) fn insert(&mut self, id: AttemptId, attempt: Attempt) {
        self.by_stage.insert((attempt.progress.stage(), attempt.lease, id));
        self.by_id.insert(id, attempt);
    }

    /// Changes an attempt and keeps the index right.
    pub(super) fn update(&mut self, id: AttemptId, change: impl FnOnce(&mut Attempt)) {
        let Some(attempt) = self.by_id.get_mut(&id) else { return };
        let before = (attempt.progress.stage(), attempt.lease, id);
        change(attempt);
        let after = (attempt.progress.stage(), attempt.lease, id);
        if before != after {
            self.by_stage.remove(&before);
            self.by_stage.insert(after);
        }
    }

    /// Moves an attempt.
    pub(super) fn set(&mut self, id: AttemptId, progress: Progress) {
        self.update(id, |attempt| attempt.progress = progress);
    }

    /// Takes an attempt out for good.
    pub(super) fn drop(&mut self, id: AttemptId) -> Option<Attempt> {
        let attempt = self.by_id.remove(&id)?;
        self.by_stage.remove(&(attempt.progress.stage(), attempt.lease, id));
        self.over.insert(id);
        self.over_in_order.push_back(id);
        if self.over_in_order.len() > REMEMBERED
            && let Some(oldest) = self.over_in_order.pop_front()
        {
            self.over.remove(&oldest);
        }
        Some(attempt)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = AttemptId> {
        self.by_id.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Attempts in a stage, over all leases, in the order of lease and id.
    pub(super) fn in_stage(&self, stage: Stage) -> impl Iterator<Item = (LeaseId, AttemptId)> {
        let all = (stage, LeaseId(0), AttemptId(0))..=(stage, LeaseId(u64::MAX), AttemptId(u64::MAX));
        self.by_stage.range(all).map(|(_, lease, id)| (*lease, *id))
    }

    /// Attempts of a lease in a stage, oldest first.
    pub(super) fn of_lease(&self, stage: Stage, lease: LeaseId) -> impl Iterator<Item = AttemptId> {
        let all = (stage, lease, AttemptId(0))..=(stage, lease, AttemptId(u64::MAX));
        self.by_stage.range(all).map(|(_, _, id)| *id)
    }

    /// Whether a lease has attempts in any of these stages.
    pub(super) fn has(&self, lease: LeaseId, stages: &[Stage]) -> bool {
        stages.iter().any(|stage| self.of_lease(*stage, lease).next().is_some())
    }

    /// How many attempts of a lease are in any of these stages.
    pub(super) fn count(&self, lease: LeaseId, stages: &[Stage]) -> u64 {
        stages.iter().map(|stage| self.of_lease(*stage, lease).count() as u64).sum()
    }
}
