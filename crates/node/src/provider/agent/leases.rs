//! Leases: starting them, keeping their workers busy, and leaving them.

use super::{
    Action, Agent, DECLINED_MAX, KeptKey, Mode, Request, RunEnd, WorkerFailure,
    attempts::{Attempt, Progress, Stage},
    backoff::Backoff,
};
use crate::api::{WorkLease, WorkLeasePhase, WorkOutput};
use market::{
    command::{AbandonReason, Claim, Command},
    id::{AttemptId, LeaseId},
    job::Verification,
    reply::{Grant, Item, Reply},
};
use std::collections::BTreeMap;

/// A lease of this machine.
#[derive(Debug)]
pub(super) struct Lease {
    view: WorkLease,
    worker: Worker,
    starting: Backoff,
    is_started: bool,
    /// It is to be ended as its provider.
    is_leaving: bool,
    is_quit: bool,
    control: Backoff,
    claims: Backoff,
    /// The most tasks of the next claim: grows with experience, so that a job of long tasks is not hoarded.
    claim_max: u64,
    /// Running mean of a task's time, in microseconds, once known.
    mean_us: Option<u64>,
}

/// A lease's worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    None,
    Starting,
    Ready,
    /// Nobody can run this job: its tasks are claimed and given back with the reason, so that its buyer learns it.
    Spoiled(AbandonReason),
}

/// A worker that failed this often in a row is not started again.
const WORKER_FAILURES_MAX: u32 = 4;
/// How many tasks of a spoiled job are given back at once.
const SPOILED_BATCH: u64 = 64;
/// An attempt is given back when workers died under it this often.
const CRASHES_MAX: u8 = 2;
/// How many tasks a lease may hold: the market's own limit.
const HELD_MAX: u64 = 4_096;

impl Lease {
    fn new(view: WorkLease) -> Lease {
        Lease {
            view,
            worker: Worker::None,
            starting: Backoff::default(),
            is_started: false,
            is_leaving: false,
            is_quit: false,
            control: Backoff::default(),
            claims: Backoff::default(),
            claim_max: 1,
            mean_us: None,
        }
    }

    /// Whether nothing has to be done for it any more, as far as the lease itself is concerned.
    pub(super) fn has_ended(&self) -> bool {
        self.is_quit || self.view.phase == WorkLeasePhase::Draining
    }

    pub(super) fn is_verified(&self) -> bool {
        self.view.spec.verification != Verification::None
    }

    fn is_running(&self) -> bool {
        match self.view.phase {
            WorkLeasePhase::Granted { .. } => self.is_started,
            WorkLeasePhase::Running => true,
            WorkLeasePhase::Unfunded | WorkLeasePhase::Draining => false,
        }
    }

    /// How many more tasks to claim when `held` are with the worker or wait for it: enough for `batch_ms`, asked for when half of
    /// that is left. A task that takes longer than this is claimed when the one before it is done.
    fn wish(&self, held: u64, batch_ms: u64) -> u64 {
        if let Worker::Spoiled(_) = self.worker {
            return if held == 0 { SPOILED_BATCH } else { 0 };
        }
        let Some(mean_us) = self.mean_us else { return u64::from(held == 0) };
        let (mean_us, batch_us) = (mean_us.max(1), batch_ms.saturating_mul(1_000));
        if held > 0 && held.saturating_mul(mean_us) >= batch_us / 2 {
            return 0;
        }
        let timeout_us = self.view.spec.limits.timeout_ms.saturating_mul(1_000);
        let useful = (batch_us / mean_us).min(timeout_us / 4 / mean_us);
        // Towards the end the rest is shared: never more than a quarter of what is left, unless that is next to nothing.
        let fair = (u64::from(self.view.claimable) / 4).max(batch_us / 10 / mean_us);
        useful
            .saturating_sub(held)
            .min(fair)
            .min(self.claim_max)
            .min(HELD_MAX.saturating_sub(held))
            .max(u64::from(held == 0))
    }
}

impl Agent {
    pub(super) fn learn_leases(&mut self, views: Vec<WorkLease>) {
        let mut before = std::mem::take(&mut self.leases);
        for view in views {
            let id = view.lease;
            let lease = match before.remove(&id) {
                Some(mut lease) => {
                    lease.view = view;
                    lease
                }
                None => {
                    let mut lease = Lease::new(view);
                    let is_granted =
                        matches!(lease.view.phase, WorkLeasePhase::Unfunded | WorkLeasePhase::Granted { .. });
                    let spec = &lease.view.spec;
                    let decline = self.policy.decline(&spec.profile, &spec.limits, &lease.view.rate);
                    if is_granted && decline.is_some() {
                        lease.is_leaving = true;
                        self.tally.declined += 1;
                        self.tally.declined_because = decline;
                    }
                    lease
                }
            };
            self.leases.insert(id, lease);
        }
        for (id, lease) in before {
            if lease.worker != Worker::None {
                self.actions.push(Action::StopWorker { lease: id });
            }
        }
    }

    /// What an attempt that was just handed out waits for.
    pub(super) fn first_step(&self, lease: LeaseId) -> Progress {
        match self.leases.get(&lease).map(|lease| lease.worker) {
            Some(Worker::Spoiled(reason)) => Progress::GivingUp(reason),
            Some(Worker::None | Worker::Starting | Worker::Ready) | None => Progress::Queued,
        }
    }

    /// Starts and stops workers, starts leases, leaves those that are to be left.
    pub(super) fn tend_leases(&mut self) {
        let ids: Vec<LeaseId> = self.leases.keys().copied().collect();
        for id in ids {
            let Some(lease) = self.leases.get(&id) else { continue };
            if (lease.is_leaving || self.mode != Mode::Open) && !lease.has_ended() {
                self.leave(id);
            }
            self.tend_worker(id);
            self.start(id);
        }
    }

    fn tend_worker(&mut self, id: LeaseId) {
        let has_queue = self.attempts.has(id, &[Stage::Queued]);
        let is_used = has_queue || self.attempts.has(id, &[Stage::Running]);
        let Some(lease) = self.leases.get(&id) else { return };
        let is_unfunded = lease.view.phase == WorkLeasePhase::Unfunded;
        let is_wanted =
            has_queue || !(is_unfunded || lease.has_ended() || lease.is_leaving || self.mode != Mode::Open);
        match lease.worker {
            Worker::None if is_wanted => {
                if self.wait(self.leases.get(&id).map(|lease| lease.starting).unwrap_or_default()) {
                    return;
                }
                let Some(lease) = self.leases.get_mut(&id) else { return };
                lease.worker = Worker::Starting;
                self.actions.push(Action::StartWorker {
                    lease: id,
                    spec: Box::new(lease.view.spec.clone()),
                    resources: lease.view.resources.clone(),
                });
            }
            Worker::Starting | Worker::Ready if !is_wanted && !is_used => {
                self.actions.push(Action::StopWorker { lease: id });
                if let Some(lease) = self.leases.get_mut(&id) {
                    lease.worker = Worker::None;
                }
            }
            Worker::None | Worker::Starting | Worker::Ready | Worker::Spoiled(_) => {}
        }
    }

    fn start(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get(&id) else { return };
        let is_granted = matches!(lease.view.phase, WorkLeasePhase::Granted { .. }) && !lease.is_started;
        let is_able = matches!(lease.worker, Worker::Ready | Worker::Spoiled(_)) && !lease.is_leaving;
        let is_sent = self.is_sent(|request| *request == Request::StartLease(id));
        if is_granted && is_able && !is_sent && !self.wait(lease.control) {
            self.submit(Request::StartLease(id), Command::StartLease { lease: id });
        }
    }

    /// Leaves a lease: what waits for a worker is given back, and when nothing more is to be committed the lease is quit.
    fn leave(&mut self, id: LeaseId) {
        let queued: Vec<AttemptId> = self.attempts.of_lease(Stage::Queued, id).collect();
        for attempt in queued {
            self.attempts.set(attempt, Progress::GivingUp(AbandonReason::Stopping));
        }
        let open = [Stage::Running, Stage::Finished, Stage::Committing, Stage::Parked, Stage::GivingUp];
        let is_sent = self.is_sent(|request| match request {
            Request::QuitLease(lease) | Request::StartLease(lease) | Request::Claim(lease, _) => *lease == id,
            Request::Offer(_)
            | Request::Commit(_)
            | Request::Reveal(_)
            | Request::Abandon(_)
            | Request::Bid(_) => false,
        });
        let Some(lease) = self.leases.get(&id) else { return };
        if is_sent || self.attempts.has(id, &open) || self.wait(lease.control) {
            return;
        }
        let Some(lease) = self.leases.get_mut(&id) else { return };
        // A grant that was given back once may come again at once: the second time it just lapses, without fault.
        let is_granted = !lease.is_running();
        if is_granted && self.declined.contains(&lease.view.job) {
            return;
        }
        if is_granted {
            self.declined.insert(lease.view.job);
            if self.declined.len() > DECLINED_MAX {
                self.declined.pop_first();
            }
        }
        self.submit(Request::QuitLease(id), Command::QuitLease { lease: id });
    }

    pub(super) fn lease_started(&mut self, id: LeaseId, is_accepted: bool) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if is_accepted {
            lease.is_started = true;
            // The last view is from before the start, when nothing could be claimed.
            lease.view.claimable = lease.view.claimable.max(1);
            lease.control.reset();
        } else {
            lease.control.fail(self.now);
        }
    }

    pub(super) fn lease_quit(&mut self, id: LeaseId, is_accepted: bool) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if is_accepted {
            lease.is_quit = true;
        } else {
            lease.control.fail(self.now);
        }
    }

    pub(super) fn worker_ready(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&id)
            && lease.worker == Worker::Starting
        {
            lease.worker = Worker::Ready;
            lease.starting.reset();
        }
    }

    pub(super) fn worker_failed(&mut self, id: LeaseId, failure: WorkerFailure) {
        let lost: Vec<AttemptId> = self.attempts.of_lease(Stage::Running, id).collect();
        for attempt in lost {
            self.attempts.set(attempt, Progress::Queued);
        }
        let Some(lease) = self.leases.get_mut(&id) else { return };
        match failure {
            WorkerFailure::Job(reason) => {
                lease.worker = Worker::Spoiled(reason);
                let queued: Vec<AttemptId> = self.attempts.of_lease(Stage::Queued, id).collect();
                for attempt in queued {
                    self.attempts.set(attempt, Progress::GivingUp(reason));
                }
            }
            WorkerFailure::Machine => {
                lease.worker = Worker::None;
                lease.starting.fail(self.now);
                lease.is_leaving |= lease.starting.failures() >= WORKER_FAILURES_MAX;
            }
        }
    }

    /// Gives waiting attempts to their workers.
    pub(super) fn run_queued(&mut self) {
        let ready = self.leases.iter().filter(|(_, lease)| lease.worker == Worker::Ready);
        let ready: Vec<LeaseId> = ready.map(|(id, _)| *id).collect();
        for lease in ready {
            let queued: Vec<AttemptId> = self.attempts.of_lease(Stage::Queued, lease).collect();
            for id in queued {
                let Some(attempt) = self.attempts.get(id).copied() else { continue };
                let progress = if attempt.until <= self.now {
                    Progress::GivingUp(AbandonReason::Time)
                } else {
                    self.actions.push(Action::Run {
                        lease,
                        attempt: id,
                        task: attempt.task,
                        until: attempt.until,
                    });
                    Progress::Running
                };
                self.attempts.set(id, progress);
            }
        }
    }

    pub(super) fn claim_more(&mut self) {
        if self.mode != Mode::Open {
            return;
        }
        let ids: Vec<LeaseId> = self.leases.keys().copied().collect();
        for id in ids {
            let Some(lease) = self.leases.get(&id) else { continue };
            let is_able = matches!(lease.worker, Worker::Ready | Worker::Spoiled(_));
            let is_sent = self.is_sent(|request| matches!(request, Request::Claim(lease, _) if *lease == id));
            if !is_able || !lease.is_running() || lease.is_leaving || lease.view.claimable == 0 || is_sent {
                continue;
            }
            if self.wait(lease.claims) {
                continue;
            }
            let held = self.attempts.count(id, &[Stage::Queued, Stage::Running, Stage::GivingUp]);
            let wish = self.leases.get(&id).map_or(0, |lease| lease.wish(held, self.policy.batch_ms));
            if let Some(max) = u32::try_from(wish).ok().filter(|max| *max > 0) {
                let claims = vec![Claim { lease: id, max }];
                self.submit(Request::Claim(id, max), Command::ClaimTasks { claims });
            }
        }
    }

    pub(super) fn claimed(&mut self, id: LeaseId, asked: u32, reply: Option<Reply>) {
        let grants = match reply {
            Some(Reply::Claimed(items)) => items.into_iter().next().and_then(|item| match item {
                Item::Done(grants) => Some(grants),
                Item::Refused(_) => None,
            }),
            _ => None,
        };
        let granted = grants.as_ref().map_or(0, Vec::len);
        if let Some(lease) = self.leases.get_mut(&id) {
            let taken = u32::try_from(granted).unwrap_or(u32::MAX);
            // Fewer than asked for means that there are no more, whatever an older view says.
            lease.view.claimable = if taken < asked { 0 } else { lease.view.claimable.saturating_sub(taken) };
            lease.claim_max = lease.claim_max.saturating_mul(8).min(HELD_MAX);
            if granted == 0 { lease.claims.fail(self.now) } else { lease.claims.reset() }
        }
        if granted < asked as usize {
            self.poll.is_recheck = true;
        }
        for grant in grants.into_iter().flatten() {
            self.take_grant(id, grant);
        }
    }

    fn take_grant(&mut self, lease: LeaseId, grant: Grant) {
        // A view may have been faster than this answer.
        if self.attempts.is_over(grant.attempt) || self.attempts.get(grant.attempt).is_some() {
            return;
        }
        let attempt = Attempt {
            lease,
            task: grant.task,
            until: self.local(grant.deadline_ms),
            crashes: 0,
            touched: self.turn,
            output: WorkOutput::Upload,
            progress: self.first_step(lease),
        };
        self.attempts.insert(grant.attempt, attempt);
    }

    pub(super) fn ran(&mut self, runs: Vec<(AttemptId, RunEnd)>) {
        let mut times: BTreeMap<LeaseId, u64> = BTreeMap::new();
        for (id, end) in runs {
            let Some(attempt) = self.attempts.get(id).copied() else {
                // It was over before it ended: its output is of no use.
                self.actions.push(Action::Forget(vec![KeptKey::Result(id)]));
                continue;
            };
            if attempt.progress != Progress::Running {
                continue;
            }
            match end {
                RunEnd::Finished { result, wall_us } => {
                    self.attempts.set(id, Progress::Finished(result));
                    self.commits.offer(self.now);
                    self.tally.finished += 1;
                    let mean = times.entry(attempt.lease).or_insert(wall_us);
                    *mean = mean.saturating_mul(3).saturating_add(wall_us) / 4;
                }
                RunEnd::Inconclusive(reason) => {
                    self.attempts.set(id, Progress::GivingUp(reason));
                    self.tally.inconclusive += 1;
                }
                RunEnd::Crashed if attempt.crashes + 1 < CRASHES_MAX => {
                    self.attempts.update(id, |attempt| {
                        attempt.crashes += 1;
                        attempt.progress = Progress::Queued;
                    });
                }
                RunEnd::Crashed => self.attempts.set(id, Progress::GivingUp(AbandonReason::Stopping)),
                RunEnd::NotBegun => self.attempts.set(id, Progress::Queued),
            }
        }
        for (id, batch_us) in times {
            if let Some(lease) = self.leases.get_mut(&id) {
                let mean = lease
                    .mean_us
                    .map_or(batch_us, |mean| mean.saturating_mul(3).saturating_add(batch_us) / 4);
                lease.mean_us = Some(mean);
            }
        }
    }
}
