//! Sealed results come in, are opened, or are given back.

use super::{
    Actor, Engine, batch_reply,
    state::{Attempt, AttemptPhase, Timer, Vote},
};
use crate::{
    command::{Abandon, AbandonReason, Commit, MAX_BATCH, Reveal},
    event::{Event, InconclusiveReason, RejectReason, Verdict},
    id::{AttemptId, Digest, JobId, LeaseId, PartyId},
    rejection::{Conflict, Entity, Rejection},
    reply::Reply,
    verify::seal,
};
use std::collections::BTreeMap;

impl Engine {
    pub(super) fn commit_results(&mut self, actor: Actor, commits: &[Commit]) -> Result<Reply, Rejection> {
        check_batch(commits.len())?;
        let mut committed: BTreeMap<(LeaseId, JobId), Vec<AttemptId>> = BTreeMap::new();
        let mut touched = Vec::new();
        let items = commits.iter().map(|commit| {
            self.commit(actor, commit).map(|(lease, job, task)| {
                committed.entry((lease, job)).or_default().push(commit.attempt);
                touched.push((job, task));
            })
        });
        let items: Vec<_> = items.map(Into::into).collect();
        let jobs: Vec<JobId> = committed.keys().map(|(_, job)| *job).collect();
        for ((lease, job), attempts) in committed {
            self.emit(Event::ResultsCommitted { lease, job, attempts });
        }
        for (job, task) in touched {
            self.advance_task(job, task);
        }
        for job in jobs {
            self.open_round(job);
        }
        batch_reply(items, Reply::Items)
    }

    fn commit(&mut self, actor: Actor, commit: &Commit) -> Result<(LeaseId, JobId, u32), Rejection> {
        let attempt = commit.attempt;
        let row = self.own_attempt(actor, attempt)?;
        let AttemptPhase::Running { deadline } = row.phase else {
            return Err(Rejection::Fenced { attempt });
        };
        if self.now() > deadline {
            return Err(Rejection::Fenced { attempt });
        }
        let (lease, job, task, is_replica, claimed_at) =
            (row.lease, row.job, row.task, row.is_replica, row.claimed_at);
        self.state.attempt_mut(attempt).phase = AttemptPhase::Committed { seal: commit.seal };
        self.state.job_mut(job).running -= 1;
        self.note_task_time(job, claimed_at);
        if !is_replica {
            self.supersede_duplicates(job, task, attempt);
            if let Some(audits) = &mut self.state.job_mut(job).audits {
                audits.backlog.push((attempt, commit.seal));
            }
        }
        Ok((lease, job, task))
    }

    /// The first commitment to a task wins; a second try at a straggler is void, without fault.
    fn supersede_duplicates(&mut self, job: JobId, task: u32, winner: AttemptId) {
        let open = self.state.job(job).task(task).open.clone();
        for other in open.into_iter().filter(|other| *other != winner) {
            let row = self.state.attempt(other);
            if matches!(row.phase, AttemptPhase::Running { .. }) && !row.is_replica {
                self.void_attempt(other, Verdict::Inconclusive { reason: InconclusiveReason::Superseded });
            }
        }
    }

    pub(super) fn reveal_results(&mut self, actor: Actor, reveals: &[Reveal]) -> Result<Reply, Rejection> {
        check_batch(reveals.len())?;
        let items = reveals.iter().map(|reveal| self.reveal(actor, reveal).into()).collect();
        batch_reply(items, Reply::Items)
    }

    fn reveal(&mut self, actor: Actor, reveal: &Reveal) -> Result<(), Rejection> {
        let attempt = reveal.attempt;
        let row = self.own_attempt(actor, attempt)?;
        let sealed = match row.phase {
            AttemptPhase::Open { seal, .. } => seal,
            AttemptPhase::Committed { .. } => {
                return Err(Rejection::conflict(Entity::Attempt(attempt), Conflict::NotOpen));
            }
            AttemptPhase::Running { .. } | AttemptPhase::Revealed => {
                return Err(Rejection::Fenced { attempt });
            }
        };
        let (job, task, lease) = (row.job, row.task, row.lease);
        if seal(task, attempt, row.party, &reveal.salt, &reveal.result) != sealed {
            return Err(Rejection::SealBroken { attempt });
        }
        self.check_offer(lease, attempt, &reveal.result, reveal.sale.as_ref())?;
        self.keep_offer(lease, attempt, reveal.result, reveal.sale.as_ref());
        self.state.attempt_mut(attempt).phase = AttemptPhase::Revealed;
        let vote = Vote { attempt, result: reveal.result };
        self.state.job_mut(job).task_mut(task).votes.push(vote);
        self.emit(Event::ResultRevealed { attempt, lease, job, task, result: reveal.result });
        self.advance_task(job, task);
        Ok(())
    }

    pub(super) fn abandon_attempts(
        &mut self,
        actor: Actor,
        attempts: &[Abandon],
    ) -> Result<Reply, Rejection> {
        check_batch(attempts.len())?;
        let items =
            attempts.iter().map(|item| self.abandon(actor, item.attempt, item.reason).into()).collect();
        batch_reply(items, Reply::Items)
    }

    fn abandon(&mut self, actor: Actor, attempt: AttemptId, reason: AbandonReason) -> Result<(), Rejection> {
        let row = self.own_attempt(actor, attempt)?;
        if matches!(row.phase, AttemptPhase::Revealed) {
            return Err(Rejection::Fenced { attempt });
        }
        let (job, task, is_replica, party) = (row.job, row.task, row.is_replica, row.party);
        self.void_attempt(attempt, Verdict::Inconclusive { reason: InconclusiveReason::Abandoned(reason) });
        self.note_failure(job, task, party, is_replica);
        self.advance_task(job, task);
        Ok(())
    }

    /// The venue says that a committed attempt cannot be judged.
    pub(super) fn venue_verdict(&mut self, attempt: AttemptId) -> Result<Reply, Rejection> {
        let row = self.state.attempts.get(&attempt).ok_or(Rejection::Unknown(Entity::Attempt(attempt)))?;
        let (job, task) = (row.job, row.task);
        match row.phase {
            AttemptPhase::Committed { .. } | AttemptPhase::Open { .. } => {}
            AttemptPhase::Running { .. } | AttemptPhase::Revealed => {
                return Err(Rejection::Fenced { attempt });
            }
        }
        self.void_attempt(attempt, Verdict::Inconclusive { reason: InconclusiveReason::Venue });
        self.advance_task(job, task);
        Ok(Reply::Done)
    }

    /// An attempt has run out of time: not committed, or not revealed.
    pub(super) fn attempt_times_out(&mut self, attempt: AttemptId) {
        let Some(row) = self.state.attempts.get(&attempt) else { return };
        let (job, task, is_replica, party) = (row.job, row.task, row.is_replica, row.party);
        let reason = match row.phase {
            AttemptPhase::Running { .. } => RejectReason::Late,
            AttemptPhase::Open { .. } => RejectReason::NotRevealed,
            AttemptPhase::Committed { .. } | AttemptPhase::Revealed => return,
        };
        self.void_attempt(attempt, Verdict::Rejected { reason, evidence: None });
        self.note_failure(job, task, party, is_replica);
        self.advance_task(job, task);
    }

    /// A try came to nothing by the party's own doing. Replicas do not count against the task: whoever is drawn for one
    /// could otherwise make it fail.
    fn note_failure(&mut self, job: JobId, task: u32, party: PartyId, is_replica: bool) {
        let task = self.state.job_mut(job).task_mut(task);
        task.failed_by.insert(party);
        task.failures = task.failures.saturating_add(u8::from(!is_replica));
    }

    /// Opens the reveal of every committed attempt of a task.
    pub(super) fn open_reveals(&mut self, job: JobId, task: u32) {
        let until = self.now().plus(self.rules.reveal_grace_ms);
        for attempt in self.state.job(job).task(task).open.clone() {
            let row = self.state.attempt_mut(attempt);
            if let AttemptPhase::Committed { seal } = row.phase {
                row.phase = AttemptPhase::Open { seal, until };
                let lease = row.lease;
                self.set_timer(until, Timer::Attempt(attempt));
                self.emit(Event::RevealsOpened { lease, attempts: vec![attempt], until_ms: until });
            }
        }
    }

    /// An attempt without a verdict that the signer works on. Everything else is fenced off.
    fn own_attempt(&self, actor: Actor, attempt: AttemptId) -> Result<&Attempt, Rejection> {
        let row = self.state.attempts.get(&attempt).ok_or(Rejection::Fenced { attempt })?;
        self.check_controls(actor, self.state.lease(row.lease).machine)?;
        Ok(row)
    }

    /// The seals of a batch, for its root.
    pub(super) fn sealed(&self, attempts: &[(AttemptId, Digest)]) -> Vec<(AttemptId, Digest)> {
        attempts.iter().filter(|(attempt, _)| self.state.attempts.contains_key(attempt)).copied().collect()
    }
}

fn check_batch(items: usize) -> Result<(), Rejection> {
    if items == 0 || items > MAX_BATCH {
        return Err(Rejection::Flaw(format!("a batch has 1 to {MAX_BATCH} items")));
    }
    Ok(())
}
