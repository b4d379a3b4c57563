//! The books of leases and jobs are closed: everybody is paid, and what is left goes back to the buyer.

use super::{
    Engine,
    state::{AttemptPhase, JobPhase, LeasePhase, OrderPhase, Sale, Sold, Timer},
};
use crate::{
    event::{Event, InconclusiveReason, JobOutcome, TaskOutcome, Verdict},
    id::{Digest, JobId, LeaseId},
    lease::CloseReason,
    ledger::Account,
    receipt::ReceiptBody,
    reputation::Observation,
    units::{Msat, PPM, Rounding},
};

/// How long a settled job stays in the state, in milliseconds: a day. Receipts are kept elsewhere, for ever.
const FORGET_AFTER_MS: u64 = 86_400_000;

impl Engine {
    /// How a job has ended whose tasks all have an outcome.
    pub(super) fn outcome_of(&self, job: JobId) -> JobOutcome {
        let all_done = self
            .state
            .job(job)
            .tasks
            .iter()
            .all(|task| matches!(task.outcome, Some(TaskOutcome::Done { .. })));
        if all_done { JobOutcome::Completed } else { JobOutcome::Partial }
    }

    /// The job takes no more work. What was committed is still judged and paid; what runs is void.
    pub(super) fn end_job(&mut self, job: JobId, outcome: JobOutcome) {
        let row = self.state.job_mut(job);
        if !row.is_active() {
            return;
        }
        row.phase = JobPhase::Ended { outcome };
        row.is_low = false;
        row.again.clear();
        row.starved.clear();
        row.drawn.clear();
        let order = row.order;
        self.state.sessions.remove(&job);
        self.change_order(order, |row| row.phase = OrderPhase::Closed);
        self.emit(Event::JobEnded { job, outcome });
        if outcome == JobOutcome::Cancelled {
            for lease in self.open_leases_of(job) {
                self.compensate(lease);
            }
        }
        self.wind_up_tasks(job);
        let reason = match outcome {
            JobOutcome::Completed | JobOutcome::Partial => CloseReason::Finished,
            JobOutcome::Cancelled => CloseReason::Dismissed,
            JobOutcome::OutOfFunds => CloseReason::OutOfFunds,
            JobOutcome::NoBids => CloseReason::Finished,
        };
        for lease in self.open_leases_of(job) {
            self.drain_lease(lease, reason);
        }
        self.settle_if_closed(job);
    }

    /// Tasks that nobody has committed a result to are cancelled; the others are judged by what there is, without
    /// further replicas, so that nobody who has worked goes unpaid because the buyer left.
    fn wind_up_tasks(&mut self, job: JobId) {
        for task in 0..self.state.job(job).spec.tasks {
            let row = self.state.job(job).task(task);
            if row.outcome.is_some() {
                continue;
            }
            for attempt in row.open.clone() {
                if matches!(self.state.attempt(attempt).phase, AttemptPhase::Running { .. }) {
                    self.void_attempt(attempt, Verdict::Inconclusive { reason: InconclusiveReason::Ended });
                }
            }
            let is_verified = self.state.job(job).audits.is_some();
            let row = self.state.job_mut(job).task_mut(task);
            if row.open.is_empty() {
                row.outcome = Some(TaskOutcome::Cancelled);
                self.state.job_mut(job).unfinished -= 1;
                continue;
            }
            row.wanted = 0;
            row.needed = row.needed.min(row.open.len() as u8).max(1);
            if is_verified && row.seed.is_none() {
                row.seed = Some(Digest([0; 32]));
            }
            self.advance_task(job, task);
        }
    }

    /// A buyer that ends work which is under way pays for the oldest running attempt of each lease in proportion to the
    /// time that it has taken, measured by the job's mean: cancelling is no way to waste others' work for free.
    pub(super) fn compensate(&mut self, lease: LeaseId) {
        let row = self.state.lease(lease);
        let running = row.open_attempts.iter().map(|id| (*id, self.state.attempt(*id)));
        let oldest = running
            .filter(|(_, attempt)| matches!(attempt.phase, AttemptPhase::Running { .. }))
            .min_by_key(|(id, attempt)| (attempt.claimed_at, *id));
        let Some((id, attempt)) = oldest else { return };
        let Some(transfer) = attempt.reserved else { return };
        let job = self.state.job(row.job);
        let mean_ms = if job.mean_task_ms > 0 { job.mean_task_ms } else { job.spec.limits.timeout_ms };
        let took_ms = self.now().since(attempt.claimed_at).min(mean_ms);
        let reserved = self.state.ledger.pending_amount(transfer).unwrap_or(Msat::ZERO);
        let due = reserved.scale(took_ms, mean_ms.max(1), Rounding::Down).unwrap_or(Msat::ZERO);
        let job = row.job;
        self.state.attempt_mut(id).reserved = None;
        self.post_reserved(transfer, due);
        let books = &mut self.state.lease_mut(lease).books;
        books.compensation_msat = Msat(books.compensation_msat.0 + due.0);
        let job = self.state.job_mut(job);
        job.paid_msat = Msat(job.paid_msat.0 + due.0);
    }

    /// Settles a draining lease once nothing of it is open.
    pub(super) fn close_if_drained(&mut self, lease: LeaseId) {
        let row = self.state.lease(lease);
        let LeasePhase::Draining { reason, ran_ms } = row.phase else { return };
        if !row.open_attempts.is_empty() || row.sales.values().any(Sale::is_open) {
            return;
        }
        let (job, party, machine, class) = (row.job, row.party, row.machine, row.class.clone());
        let now = self.now();
        self.state.lease_mut(lease).phase = LeasePhase::Closed { reason, at: now };
        self.bill_time(lease, reason, ran_ms);
        self.pay_out(lease, reason);
        self.state.machine_mut(machine).leases.remove(&lease);
        self.state.party_mut(party).open_leases -= 1;
        self.state.job_mut(job).open_leases -= 1;
        let settlement = self.state.lease(lease).books;
        self.emit(Event::LeaseClosed { lease, job, party, class, reason, settlement });
        self.settle_if_closed(job);
    }

    /// The bill of a lease by time, posted once: rate × milliseconds that it ran.
    fn bill_time(&mut self, lease: LeaseId, reason: CloseReason, ran_ms: u64) {
        let row = self.state.lease_mut(lease);
        let Some(transfer) = row.reserved.take() else { return };
        if reason == CloseReason::Cheated {
            self.void_reserved(transfer);
            return;
        }
        row.books.usage = ran_ms;
        let bill = row.rate.bill(ran_ms).unwrap_or(Msat::ZERO);
        let paid = bill.min(self.state.ledger.pending_amount(transfer).unwrap_or(Msat::ZERO));
        let row = self.state.lease_mut(lease);
        row.books.paid_msat = paid;
        let (job, party, buyer, class) = (row.job, row.party, row.buyer, row.class.clone());
        let is_verified = row.books.accepted > 0 && self.state.job(job).audits.is_some();
        self.post_reserved(transfer, paid);
        let job = self.state.job_mut(job);
        job.paid_msat = Msat(job.paid_msat.0 + paid.0);
        if is_verified && party != buyer {
            let (fee, now) = (self.fee_of(paid), self.now());
            self.state.reputation.standing_mut(party, &class).observe(now, buyer, fee, Observation::Accepted);
        }
    }

    /// What was withheld goes to the provider, less the operator's fee, or back to the escrow of a cheated buyer.
    fn pay_out(&mut self, lease: LeaseId, reason: CloseReason) {
        let row = self.state.lease(lease);
        if row.hold.is_some() {
            return self.settle_hold(lease, reason);
        }
        let (job, party, books) = (row.job, row.party, row.books);
        // What was sold for keys was paid to the provider directly; here lies the fee alone.
        let sold = Sold::of(row.sales.values());
        let earned = Msat(books.paid_msat.0 + books.compensation_msat.0).saturating_sub(sold.price_msat);
        let earnings = Account::Earnings(party);
        let is_cheat = reason == CloseReason::Cheated;
        let fee = if is_cheat { Msat::ZERO } else { self.fee_of(earned) };
        let fees = Msat(fee.0 + sold.fee_msat.0);
        self.transfer_own(earnings, Account::Fees, fees);
        self.collect_dues();
        if is_cheat {
            self.claw_back(lease, Account::Escrow(job), earned);
            self.state.lease_mut(lease).books.paid_msat = sold.price_msat;
        } else {
            self.transfer_own(earnings, Account::Available(party), earned.saturating_sub(fee));
        }
        self.state.lease_mut(lease).books.fee_msat = fees;
    }

    /// What a proven cheat had earned goes back to where it came from.
    pub(super) fn claw_back(&mut self, lease: LeaseId, to: Account, earned: Msat) {
        let row = self.state.lease(lease);
        let (job, party) = (row.job, row.party);
        self.transfer_own(Account::Earnings(party), to, earned);
        let job = self.state.job_mut(job);
        job.paid_msat = job.paid_msat.saturating_sub(earned);
        let books = &mut self.state.lease_mut(lease).books;
        (books.clawed_back_msat, books.paid_msat, books.compensation_msat) = (earned, Msat::ZERO, Msat::ZERO);
    }

    /// The operator's fee, rounded down: the remainder stays with the provider.
    fn fee_of(&self, earned: Msat) -> Msat {
        earned.scale(self.rules.fee_ppm.into(), PPM, Rounding::Down).unwrap_or(Msat::ZERO)
    }

    /// Settles an ended job once all its leases are closed: the rest of the budget goes back to the buyer.
    pub(super) fn settle_if_closed(&mut self, job: JobId) {
        let row = self.state.job(job);
        let JobPhase::Ended { outcome } = row.phase else { return };
        if row.open_leases > 0 || row.unfinished > 0 {
            return;
        }
        let (buyer, paid_msat) = (row.buyer, row.paid_msat);
        let refunded_msat = self.state.ledger.available(Account::Escrow(job));
        self.transfer_own(Account::Escrow(job), Account::Available(buyer), refunded_msat);
        let (position, at) = (self.state.position + 1, self.now());
        let body = ReceiptBody::of(&self.state, job, outcome, refunded_msat);
        let receipt = body.digest();
        self.state.job_mut(job).phase = JobPhase::Settled { outcome, refunded_msat, receipt, position, at };
        self.set_timer(at.plus(FORGET_AFTER_MS), Timer::Forget(job));
        self.emit(Event::JobSettled { job, buyer, outcome, paid_msat, refunded_msat, receipt });
    }

    /// A job that was settled long ago leaves the state, with its order and its leases.
    pub(super) fn forget_job(&mut self, job: JobId) {
        let Some(row) = self.state.jobs.remove(job) else { return };
        self.state.venue_paid_msat.remove(&job);
        self.state.orders.remove(row.order);
        for lease in row.leases {
            self.forget_hold(lease);
            self.state.leases.remove(lease);
        }
    }
}
