//! What results prove: the state machine of a task, pay for accepted work, conviction of proven cheats.

use super::{
    Engine,
    state::{AttemptPhase, JudgedAttempt, LeasePhase, Sold, Task, Vote},
};
use crate::{
    event::{Event, Evidence, InconclusiveReason, RejectReason, TaskOutcome, Verdict},
    id::{AttemptId, JobId, LeaseId, PartyId},
    job::Verification,
    lease::CloseReason,
    ledger::Account,
    reputation::Observation,
    units::{Msat, PPM, Rounding, Unit},
    verify::{Judgement, TaskResult, judge},
};

/// How many attempts of a task are in which phase.
#[derive(Default)]
struct Open {
    running: usize,
    committed: usize,
    revealing: usize,
}

impl Engine {
    /// Brings a task as far as it can go. Called after everything that may matter to it.
    ///
    /// Claimed → committed → (seeded, replicas drawn, claimed, committed) → reveals open → revealed → judged.
    pub(super) fn advance_task(&mut self, job: JobId, task: u32) {
        let row = self.state.job(job);
        let task_row = row.task(task);
        if task_row.outcome.is_some() {
            return;
        }
        if task_row.open.is_empty() {
            self.retry_task(job, task);
            return;
        }
        let is_verified = row.audits.is_some();
        if is_verified && task_row.seed.is_none() {
            return;
        }
        let needed = if is_verified { task_row.needed } else { 1 };
        let asked = task_row.open.len() + usize::from(task_row.wanted);
        let missing = usize::from(needed).saturating_sub(asked);
        if missing > 0 {
            let more = u8::try_from(missing).unwrap_or(u8::MAX);
            self.want_replicas(job, task, more);
            return;
        }
        let open = self.count_open(task_row);
        if task_row.wanted > 0 || open.running > 0 || open.revealing > 0 {
            return;
        }
        if open.committed > 0 {
            self.open_reveals(job, task);
            return;
        }
        self.judge_task(job, task, needed);
    }

    fn count_open(&self, task: &Task) -> Open {
        let mut open = Open::default();
        for attempt in &task.open {
            match self.state.attempt(*attempt).phase {
                AttemptPhase::Running { .. } => open.running += 1,
                AttemptPhase::Committed { .. } => open.committed += 1,
                AttemptPhase::Open { .. } => open.revealing += 1,
                AttemptPhase::Revealed => {}
            }
        }
        open
    }

    fn want_replicas(&mut self, job: JobId, task: u32, more: u8) {
        let row = self.state.job_mut(job).task_mut(task);
        row.wanted = row.wanted.saturating_add(more);
        self.draw_replicas(job, task);
    }

    /// A task that nobody works on and that has no result: handed out again, or given up.
    fn retry_task(&mut self, job: JobId, task: u32) {
        self.reset_task(job, task);
        let row = self.state.job(job);
        if !row.is_active() {
            self.finish_task(job, task, TaskOutcome::Cancelled);
        } else if row.task(task).failures > row.spec.retries {
            let attempts = row.task(task).failures;
            self.finish_task(job, task, TaskOutcome::Failed { attempts });
        } else if task < row.next_fresh {
            self.state.job_mut(job).again.insert(task);
        }
    }

    /// Forgets what was found about a task so far, before it runs again.
    fn reset_task(&mut self, job: JobId, task: u32) {
        let row = self.state.job_mut(job);
        row.starved.remove(&task);
        row.drawn.retain(|_, tasks| {
            tasks.remove(&task);
            !tasks.is_empty()
        });
        let task = row.task_mut(task);
        task.votes.clear();
        task.needed = 0;
        task.wanted = 0;
        task.seed = None;
        task.replicas_until = None;
    }

    fn judge_task(&mut self, job: JobId, task: u32, needed: u8) {
        let row = self.state.job(job);
        let limit = match row.spec.verification {
            Verification::None => 1,
            Verification::Replicas { n, .. } => n,
            Verification::Audit { .. } => self.rules.audit_replicas_max,
        };
        let votes = row.task(task).votes.clone();
        let results: Vec<TaskResult> = votes.iter().map(|vote| vote.result).collect();
        match judge(&results, needed, limit.max(needed)) {
            Judgement::Agreed { result, convicts } => self.agree(job, task, &votes, result, convicts),
            Judgement::More(more) if row.is_active() => self.want_replicas(job, task, more),
            Judgement::More(_) | Judgement::Undecided => {
                self.leave_undecided(job, task, InconclusiveReason::Undecided);
            }
        }
    }

    /// Nobody can say which result is right: all of them are unpaid, without fault, and the task runs again.
    pub(super) fn leave_undecided(&mut self, job: JobId, task: u32, reason: InconclusiveReason) {
        for attempt in self.state.job(job).task(task).open.clone() {
            self.void_attempt(attempt, Verdict::Inconclusive { reason });
        }
        self.state.job_mut(job).task_mut(task).failures += 1;
        self.advance_task(job, task);
    }

    /// Enough parties agree. They are paid; the others are not, and are convicted where that is proven.
    fn agree(&mut self, job: JobId, task: u32, votes: &[Vote], result: TaskResult, convicts: bool) {
        let mut agreeing: Vec<AttemptId> =
            votes.iter().filter(|v| v.result == result).map(|v| v.attempt).collect();
        // Whoever sells the result is the one that the task has it from.
        agreeing.sort_by_key(|attempt| !self.is_sold(*attempt));
        let is_to_be_had =
            !self.pays_to_decrypt(job) || agreeing.first().is_some_and(|first| self.is_sold(*first));
        let is_verified = agreeing.len() >= 2;
        let count = u8::try_from(agreeing.len()).unwrap_or(u8::MAX);
        let verdict = Verdict::Accepted { quality_ppm: PPM as u32, agreeing: count, verified: is_verified };
        let mut audit_cost = Msat::ZERO;
        for (nth, attempt) in agreeing.iter().enumerate() {
            let paid = self.accept_attempt(*attempt, &result, verdict.clone(), is_verified);
            if nth > 0 {
                audit_cost = audit_cost.plus(paid).unwrap_or(audit_cost);
            }
        }
        let reason = if convicts { RejectReason::Wrong } else { RejectReason::Minority };
        let (mut cheats, mut failed) = (Vec::new(), Vec::new());
        for vote in votes.iter().filter(|vote| vote.result != result) {
            let evidence = Evidence { claimed: Some(vote.result), agreed: result, by: agreeing.clone() };
            let row = self.state.attempt(vote.attempt);
            let lease = row.lease;
            failed.push(row.party);
            if convicts {
                self.disown_lease(lease);
                cheats.push(lease);
            }
            self.void_attempt(vote.attempt, Verdict::Rejected { reason, evidence: Some(Box::new(evidence)) });
        }
        match agreeing.first() {
            Some(first) if is_to_be_had => {
                self.record_outcome(job, task, TaskOutcome::Done { result, attempt: *first });
            }
            Some(_) | None => self.run_again_for_a_seller(job, task, failed),
        }
        for lease in cheats {
            self.convict(lease, audit_cost);
            // The cost of finding out is made good once, by the first of those who were wrong.
            audit_cost = Msat::ZERO;
        }
        self.end_if_finished(job);
    }

    /// The result is known by its digest, and nobody who has it sells it: replicas do not. Somebody else runs the task.
    fn run_again_for_a_seller(&mut self, job: JobId, task: u32, failed: Vec<PartyId>) {
        let row = self.state.job_mut(job).task_mut(task);
        row.failures = row.failures.saturating_add(1);
        row.failed_by.extend(failed);
        self.advance_task(job, task);
    }

    /// Pays for an accepted attempt: the bill for the lease's usage so far, less what was posted before.
    fn accept_attempt(
        &mut self,
        attempt: AttemptId,
        result: &TaskResult,
        verdict: Verdict,
        is_verified: bool,
    ) -> Msat {
        let row = self.state.attempt(attempt);
        let (lease_id, reserved) = (row.lease, row.reserved);
        if self.is_sold(attempt) {
            self.state.attempt_mut(attempt).reserved = None;
            self.open_sale(lease_id, attempt, is_verified, reserved);
            self.close_attempt(attempt, verdict, Some(*result), Msat::ZERO);
            return Msat::ZERO;
        }
        let lease = self.state.lease_mut(lease_id);
        let step = match lease.rate.unit {
            Unit::Task => 1,
            Unit::Fuel => result.fuel,
            Unit::Ms => 0,
        };
        lease.books.usage = lease.books.usage.saturating_add(step);
        lease.books.accepted += 1;
        let mut paid = Msat::ZERO;
        if let Some(transfer) = reserved {
            // What was sold is no part of this bill.
            let sold = Sold::of(lease.sales.values()).price_msat;
            let posted = lease.books.paid_msat.saturating_sub(sold);
            let bill = lease.rate.bill(lease.books.usage).unwrap_or(posted);
            let due = bill.saturating_sub(posted);
            // Fuel above the job's limit cannot have been used; what was set aside is the most that is ever paid.
            paid = due.min(self.state.ledger.pending_amount(transfer).unwrap_or(Msat::ZERO));
            let lease = self.state.lease_mut(lease_id);
            lease.books.paid_msat = Msat(lease.books.paid_msat.0 + paid.0);
            self.post_reserved(transfer, paid);
        }
        self.state.attempt_mut(attempt).reserved = None;
        let observation = if is_verified { Observation::Accepted } else { Observation::Inconclusive };
        self.observe(lease_id, paid, observation);
        self.close_attempt(attempt, verdict, Some(*result), paid);
        paid
    }

    /// Ends an attempt unpaid.
    pub(super) fn void_attempt(&mut self, attempt: AttemptId, verdict: Verdict) {
        let row = self.state.attempt(attempt);
        let (lease, job, task, reserved) = (row.lease, row.job, row.task, row.reserved);
        if matches!(row.phase, AttemptPhase::Running { .. }) {
            self.state.job_mut(job).running -= 1;
        }
        let mut price = Msat::ZERO;
        if let Some(transfer) = reserved {
            price = self.state.ledger.pending_amount(transfer).unwrap_or(Msat::ZERO);
            self.void_reserved(transfer);
        }
        let books = &mut self.state.lease_mut(lease).books;
        let observation = match &verdict {
            Verdict::Accepted { .. } => unreachable!("an accepted attempt is paid, not voided"),
            Verdict::Rejected { reason: RejectReason::Wrong, .. } => {
                books.wrong += 1;
                Observation::Wrong
            }
            Verdict::Rejected { reason: RejectReason::Late | RejectReason::NotRevealed, .. } => {
                books.failed += 1;
                Observation::Late
            }
            Verdict::Rejected { reason: RejectReason::Minority | RejectReason::LeaseCheated, .. } => {
                books.failed += 1;
                Observation::Inconclusive
            }
            Verdict::Inconclusive { reason: InconclusiveReason::MachineLost } => {
                books.inconclusive += 1;
                Observation::Lost
            }
            Verdict::Inconclusive { .. } => {
                books.inconclusive += 1;
                Observation::Inconclusive
            }
        };
        self.observe(lease, price, observation);
        let votes = &mut self.state.job_mut(job).task_mut(task).votes;
        let result = votes.iter().find(|vote| vote.attempt == attempt).map(|vote| vote.result);
        votes.retain(|vote| vote.attempt != attempt);
        self.close_attempt(attempt, verdict, result, Msat::ZERO);
    }

    fn close_attempt(
        &mut self,
        attempt: AttemptId,
        verdict: Verdict,
        result: Option<TaskResult>,
        paid_msat: Msat,
    ) {
        let Some(row) = self.state.attempts.remove(&attempt) else { return };
        let (lease, job, task) = (row.lease, row.job, row.task);
        let job_row = self.state.job_mut(job);
        job_row.paid_msat = Msat(job_row.paid_msat.0 + paid_msat.0);
        let task_row = job_row.task_mut(task);
        task_row.open.retain(|open| *open != attempt);
        task_row.judged.push(JudgedAttempt { attempt, lease, verdict: verdict.clone(), result, paid_msat });
        self.state.lease_mut(lease).open_attempts.remove(&attempt);
        self.drop_sale(lease, attempt);
        self.emit(Event::AttemptJudged { attempt, lease, job, task, verdict, paid_msat });
        self.close_if_drained(lease);
    }

    /// Tells reputation how a piece of work ended. Leases billed by time are weighed when they close.
    pub(super) fn observe(&mut self, lease: LeaseId, price: Msat, observation: Observation) {
        let row = self.state.lease(lease);
        let (party, buyer, class) = (row.party, row.buyer, row.class.clone());
        if observation == Observation::Inconclusive || party == buyer {
            return;
        }
        let fee = price.scale(self.rules.fee_ppm.into(), PPM, Rounding::Down).unwrap_or(Msat::ZERO);
        let now = self.now();
        self.state.reputation.standing_mut(party, &class).observe(now, buyer, fee, observation);
    }

    fn finish_task(&mut self, job: JobId, task: u32, outcome: TaskOutcome) {
        self.record_outcome(job, task, outcome);
        self.end_if_finished(job);
    }

    fn record_outcome(&mut self, job: JobId, task: u32, outcome: TaskOutcome) {
        self.reset_task(job, task);
        let row = self.state.job_mut(job);
        row.again.remove(&task);
        row.task_mut(task).outcome = Some(outcome);
        row.unfinished -= 1;
        self.emit(Event::TaskFinished { job, task, outcome });
    }

    fn end_if_finished(&mut self, job: JobId) {
        let row = self.state.job(job);
        if row.unfinished > 0 {
            return;
        }
        if row.is_active() {
            self.end_job(job, self.outcome_of(job));
        } else {
            self.settle_if_closed(job);
        }
    }

    /// A party was proven to cheat. Its bond is lost: first what it cost the buyer goes to the buyer, the rest into the
    /// insurance account, which is nobody's income, but for what other buyers may have paid for keys that are not checked
    /// yet. All its leases end; what they had earned and was still withheld goes
    /// back to the buyers, and tasks whose results rest on the cheat's word alone run again.
    pub(super) fn convict(&mut self, lease: LeaseId, cost: Msat) {
        let row = self.state.lease(lease);
        let (party, buyer) = (row.party, row.buyer);
        let kept_msat = self.owed_to_buyers(&self.open_leases_of_party(party));
        let bond_msat = self.bond(party);
        let to_buyer_msat = bond_msat.min(cost);
        let to_insurance_msat = bond_msat.saturating_sub(to_buyer_msat).saturating_sub(kept_msat);
        let bond_msat = Msat(to_buyer_msat.0 + to_insurance_msat.0);
        self.transfer_own(Account::Bond(party), Account::Available(buyer), to_buyer_msat);
        self.transfer_own(Account::Bond(party), Account::Insurance, to_insurance_msat);
        self.emit(Event::BondSlashed { party, lease, bond_msat, to_buyer_msat, to_insurance_msat });
        self.emit_bond(party);
        for offer in self.offers_of(party) {
            self.retract_offer(offer);
        }
        for lease in self.open_leases_of_party(party) {
            self.end_cheats_lease(lease);
        }
    }

    fn open_leases_of_party(&self, party: PartyId) -> Vec<LeaseId> {
        let machines = self.state.machines.iter().filter(|(_, machine)| machine.party == party);
        machines.flat_map(|(_, machine)| machine.leases.iter().copied()).collect()
    }

    fn end_cheats_lease(&mut self, lease: LeaseId) {
        if self.state.lease(lease).phase.is_closed() {
            return;
        }
        let job = self.state.lease(lease).job;
        self.disown_lease(lease);
        let mut touched = Vec::new();
        for attempt in self.state.lease(lease).open_attempts.clone() {
            touched.push(self.state.attempt(attempt).task);
            self.void_attempt(
                attempt,
                Verdict::Rejected { reason: RejectReason::LeaseCheated, evidence: None },
            );
        }
        for task in touched {
            self.advance_task(job, task);
        }
        self.drain_lease(lease, CloseReason::Cheated);
    }

    /// Before anything of a cheat's lease is closed: whatever reason it was draining for, it now ends as cheated, and
    /// what rests on its word alone is not believed.
    fn disown_lease(&mut self, lease: LeaseId) {
        let row = self.state.lease_mut(lease);
        if let LeasePhase::Draining { reason, .. } = &mut row.phase {
            *reason = CloseReason::Cheated;
        }
        self.reopen_unverified(lease);
    }

    /// Tasks whose results rest on this lease's word alone run again.
    fn reopen_unverified(&mut self, lease: LeaseId) {
        let job = self.state.lease(lease).job;
        let row = self.state.job_mut(job);
        if !row.is_active() {
            return;
        }
        let rests_on_it = |task: &Task| {
            let Some(TaskOutcome::Done { attempt, .. }) = task.outcome else { return false };
            task.judged.iter().any(|judged| {
                let unverified = matches!(judged.verdict, Verdict::Accepted { verified: false, .. });
                judged.attempt == attempt && judged.lease == lease && unverified
            })
        };
        let numbers =
            row.tasks.iter().zip(0..).filter(|(task, _)| rests_on_it(task)).map(|(_, number)| number);
        let numbers: Vec<u32> = numbers.collect();
        for task in &numbers {
            row.task_mut(*task).outcome = None;
            row.unfinished += 1;
            row.again.insert(*task);
        }
        for task in numbers {
            self.emit(Event::TaskReopened { job, task });
        }
    }
}
