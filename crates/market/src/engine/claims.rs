//! Handing out tasks. A lease first gets the replicas that its party was drawn for, then tasks that have to run again,
//! then fresh ones, and at the end, where the job wants it, a second try at what takes too long elsewhere.

use super::{
    Actor, Engine, batch_reply,
    state::{Attempt, AttemptPhase, Job, LeasePhase, Timer},
};
use crate::{
    command::{Claim, MAX_BATCH},
    event::{Event, JobOutcome},
    id::{AttemptId, JobId, LeaseId, PartyId, TransferId},
    ledger::Account,
    rejection::{Conflict, Entity, Rejection},
    reply::{Grant, Reply},
    units::{Msat, TimeMs, Unit},
};

/// Where the next task of a lease comes from.
enum Next {
    Replica(u32),
    Again(u32),
    Fresh(u32),
    Straggler(u32),
}

/// What claiming came to a halt over.
enum Halt {
    NothingLeft,
    OutOfFunds,
}

impl Engine {
    pub(super) fn claim_tasks(&mut self, actor: Actor, claims: &[Claim]) -> Result<Reply, Rejection> {
        if claims.is_empty() || claims.len() > MAX_BATCH {
            return Err(Rejection::Flaw(format!("a batch has 1 to {MAX_BATCH} items")));
        }
        let items = claims.iter().map(|claim| self.claim(actor, claim).into()).collect();
        batch_reply(items, Reply::Claimed)
    }

    fn claim(&mut self, actor: Actor, claim: &Claim) -> Result<Vec<Grant>, Rejection> {
        let lease = claim.lease;
        let row = self.state.leases.get(lease).ok_or(Rejection::Unknown(Entity::Lease(lease)))?;
        self.check_controls(actor, row.machine)?;
        let job = row.job;
        if !matches!(row.phase, LeasePhase::Running { .. }) {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::NotRunning));
        }
        if self.state.job(job).audits.as_ref().is_some_and(|audits| audits.venue.is_none()) {
            return Err(Rejection::conflict(Entity::Job(job), Conflict::NotAnchored));
        }
        let room = self.rules.attempts_per_lease_max as usize;
        let room = room.saturating_sub(self.state.lease(lease).open_attempts.len()).min(claim.max as usize);
        if room == 0 {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::Limit));
        }
        let mut grants = Vec::new();
        let mut halt = Halt::NothingLeft;
        while grants.len() < room {
            match self.next_task(lease).map(|next| self.hand_out(lease, next)) {
                Some(Some(grant)) => grants.push(grant),
                Some(None) => {
                    halt = Halt::OutOfFunds;
                    break;
                }
                None => break,
            }
        }
        if !grants.is_empty() {
            self.refill(job, Msat::ZERO);
            let attempts = grants.iter().map(|grant| (grant.attempt, grant.task)).collect();
            self.emit(Event::TasksClaimed { lease, job, attempts });
            return Ok(grants);
        }
        let is_spent = matches!(halt, Halt::OutOfFunds);
        let price = self.price_of_attempt(lease).unwrap_or(Msat::ZERO);
        if is_spent && (self.refill(job, price) || self.roll_hold(lease) || self.end_if_out_of_funds(job)) {
            return Ok(grants);
        }
        Err(Rejection::conflict(Entity::Lease(lease), Conflict::NothingToClaim))
    }

    /// How many tasks a lease could claim now, roughly: for telling its machine whether to ask.
    pub fn claimable(&self, lease: LeaseId) -> u32 {
        let row = self.state.lease(lease);
        let job = self.state.job(row.job);
        let is_ready = job.audits.as_ref().is_none_or(|audits| audits.venue.is_some());
        if !matches!(row.phase, LeasePhase::Running { .. }) || !is_ready {
            return 0;
        }
        if job.is_low
            && self
                .price_of_attempt(lease)
                .is_none_or(|price| self.state.ledger.available(self.purse(lease)) < price)
        {
            return 0;
        }
        let drawn = job.drawn.get(&row.party).map_or(0, |tasks| tasks.len() as u32);
        if row.is_audit || !job.is_active() || !self.bond_covers_sale(lease) {
            return drawn;
        }
        let waiting = (job.spec.tasks - job.next_fresh) + job.again.len() as u32;
        let open = drawn + waiting.min(job.spec.max_parallel.saturating_sub(job.running));
        if open == 0 && self.straggler(lease).is_some() { 1 } else { open }
    }

    fn next_task(&self, lease: LeaseId) -> Option<Next> {
        let row = self.state.lease(lease);
        let job = self.state.job(row.job);
        if let Some((task, _)) = job.drawn.get(&row.party).and_then(|tasks| tasks.first_key_value()) {
            return Some(Next::Replica(*task));
        }
        let may_begin = !row.is_audit && job.is_active() && job.running < job.spec.max_parallel;
        if !may_begin || !self.bond_covers_sale(lease) {
            return None;
        }
        if let Some(task) = job.again.iter().copied().find(|task| self.may_retry(job, *task, row.party)) {
            return Some(Next::Again(task));
        }
        if job.next_fresh < job.spec.tasks {
            return Some(Next::Fresh(job.next_fresh));
        }
        self.straggler(lease).map(Next::Straggler)
    }

    /// Whether a party gets a task again: not when it has failed at it and somebody else is there who has not, so that
    /// no provider can use up a task's tries alone.
    fn may_retry(&self, job: &Job, task: u32, party: PartyId) -> bool {
        let failed_by = &job.task(task).failed_by;
        let others = || job.leases.iter().map(|lease| self.state.lease(*lease));
        !failed_by.contains(&party)
            || !others()
                .any(|lease| lease.phase.is_held() && !lease.is_audit && !failed_by.contains(&lease.party))
    }

    /// A task that runs for much too long under another party's lease, and that nobody else has.
    fn straggler(&self, lease: LeaseId) -> Option<u32> {
        let row = self.state.lease(lease);
        let job = self.state.job(row.job);
        if !job.spec.duplicate_stragglers || job.running == 0 || job.mean_task_ms == 0 {
            return None;
        }
        let too_long =
            (job.mean_task_ms * u64::from(self.rules.straggler_factor)).max(self.rules.straggler_min_ms);
        let others =
            job.leases.iter().map(|id| self.state.lease(*id)).filter(|other| other.party != row.party);
        let attempts = others.flat_map(|other| &other.open_attempts).map(|id| self.state.attempt(*id));
        let late = attempts.filter(|attempt| {
            matches!(attempt.phase, AttemptPhase::Running { .. })
                && !attempt.is_replica
                && self.now().since(attempt.claimed_at) > too_long
                && job.task(attempt.task).open.len() == 1
        });
        late.min_by_key(|attempt| (attempt.claimed_at, attempt.task)).map(|attempt| attempt.task)
    }

    /// Makes the attempt; `None` when the escrow cannot pay for it.
    fn hand_out(&mut self, lease: LeaseId, next: Next) -> Option<Grant> {
        let row = self.state.lease(lease);
        let (job, party) = (row.job, row.party);
        let is_replica = matches!(next, Next::Replica(_));
        let reserved = self.reserve_attempt(lease, is_replica)?;
        let task = match next {
            Next::Replica(task) => {
                self.take_draw(job, party, task);
                task
            }
            Next::Again(task) => {
                self.state.job_mut(job).again.remove(&task);
                task
            }
            Next::Fresh(task) => {
                self.state.job_mut(job).next_fresh += 1;
                task
            }
            Next::Straggler(task) => task,
        };
        let claimed_at = self.now();
        let deadline = claimed_at.plus(self.state.job(job).spec.limits.timeout_ms);
        let phase = AttemptPhase::Running { deadline };
        self.state.last_attempt += 1;
        let attempt = AttemptId(self.state.last_attempt);
        let row = Attempt { job, task, lease, party, claimed_at, reserved: reserved.0, is_replica, phase };
        self.state.attempts.insert(attempt, row);
        self.state.lease_mut(lease).open_attempts.insert(attempt);
        if !is_replica {
            self.begin_sale(lease, attempt, task);
        }
        let job_row = self.state.job_mut(job);
        job_row.running += 1;
        job_row.task_mut(task).open.push(attempt);
        self.set_timer(deadline, Timer::Attempt(attempt));
        Some(Grant { attempt, task, deadline_ms: deadline })
    }

    /// Sets aside what one attempt under this lease can cost; nothing for leases billed by time, a deposit where the result is
    /// sold.
    fn reserve_attempt(&mut self, lease: LeaseId, is_replica: bool) -> Option<Reserved> {
        let row = self.state.lease(lease);
        let amount = match self.sale_price(lease).filter(|_| !is_replica) {
            Some(price) => price.deposit_msat,
            None => self.price_of_attempt(lease)?,
        };
        if amount == Msat::ZERO {
            return Some(Reserved(None));
        }
        let (purse, earnings) = (self.purse(lease), Account::Earnings(row.party));
        let posting = self.state.ledger.pend(purse, earnings, amount).ok()?;
        self.post_event(posting);
        Some(Reserved(Some(posting.transfer)))
    }

    /// What one attempt under this lease can cost at most; nothing where time is billed.
    fn price_of_attempt(&self, lease: LeaseId) -> Option<Msat> {
        let row = self.state.lease(lease);
        match row.rate.unit {
            Unit::Ms => Some(Msat::ZERO),
            Unit::Task => row.rate.ceiling(1).ok(),
            Unit::Fuel => row.rate.ceiling(self.state.job(row.job).spec.limits.fuel).ok(),
        }
    }

    /// A job whose escrow cannot pay for another attempt ends once nothing is open that could still free money.
    fn end_if_out_of_funds(&mut self, job: JobId) -> bool {
        if self.waits_for_money(job) {
            return false;
        }
        let leases = self.open_leases_of(job);
        let is_idle = leases.iter().all(|lease| self.state.lease(*lease).open_attempts.is_empty());
        if is_idle && self.state.job(job).is_active() {
            self.end_job(job, JobOutcome::OutOfFunds);
            return true;
        }
        false
    }

    /// Keeps a running mean of how long the job's attempts take, for finding stragglers.
    pub(super) fn note_task_time(&mut self, job: JobId, claimed_at: TimeMs) {
        let took = self.now().since(claimed_at).max(1);
        let job = self.state.job_mut(job);
        job.mean_task_ms =
            if job.mean_task_ms == 0 { took } else { (job.mean_task_ms * 7 + took) / 8 }.max(1);
    }
}

/// What was set aside for an attempt.
struct Reserved(Option<TransferId>);
