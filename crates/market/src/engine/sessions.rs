//! Sessions: a job that is paid for by one prepayment after another, so that little of the buyer's money is ever locked.

use super::{
    Engine,
    state::{LeasePhase, Timer},
};
use crate::{
    event::{Event, JobOutcome},
    funding::Funding,
    id::{JobId, LeaseId, PartyId},
    ledger::Account,
    units::{Msat, Rounding, Unit, mul_div},
};

/// The next prepayment is taken when less than this share of one is left.
const LOW_SHARE: u64 = 4;

impl Engine {
    /// What an order's job takes from the buyer's balance when it is placed.
    pub(super) fn first_funds(funding: Option<Funding>, budget_msat: Msat) -> Msat {
        match funding {
            Some(Funding::Session { prepay_msat }) => prepay_msat,
            Some(Funding::Hold { .. } | Funding::Decrypt { .. }) | None => budget_msat,
        }
    }

    /// Takes the next prepayment when little is left, or less than `needed`, up to the budget, as far as the balance goes.
    /// Says whether that changed anything.
    pub(super) fn refill(&mut self, job: JobId, needed: Msat) -> bool {
        let row = self.state.job(job);
        let (buyer, terms) = (row.buyer, &self.state.order(row.order).terms);
        let Some(Funding::Session { prepay_msat }) = terms.funding else { return false };
        let left_msat = self.state.ledger.available(Account::Escrow(job));
        let wanted_msat = prepay_msat.min(terms.budget_msat.saturating_sub(row.funded_msat));
        let enough = needed.max(Msat(prepay_msat.0 / LOW_SHARE));
        if !row.is_active() || left_msat >= enough || wanted_msat == Msat::ZERO {
            return false;
        }
        let amount_msat = wanted_msat.min(self.state.ledger.available(Account::Available(buyer)));
        if amount_msat == Msat::ZERO {
            return self.tell_low(job, left_msat, wanted_msat);
        }
        self.transfer_own(Account::Available(buyer), Account::Escrow(job), amount_msat);
        let row = self.state.job_mut(job);
        row.funded_msat = Msat(row.funded_msat.0 + amount_msat.0);
        row.is_low = false;
        self.emit(Event::SessionRefilled { job, amount_msat });
        true
    }

    /// Said once for each time that it runs low; when nobody pays, the job ends.
    fn tell_low(&mut self, job: JobId, left_msat: Msat, wanted_msat: Msat) -> bool {
        if self.state.job(job).is_low {
            return false;
        }
        self.state.job_mut(job).is_low = true;
        self.set_timer(self.now().plus(self.rules.session_grace_ms), Timer::SessionDry(job));
        self.emit(Event::SessionLow { job, left_msat, wanted_msat });
        true
    }

    /// Money came in for a party: its sessions that ran low go on.
    pub(super) fn refill_sessions_of(&mut self, party: PartyId) {
        let is_waiting = |job: &JobId| {
            let row = self.state.job(*job);
            row.buyer == party && row.is_low
        };
        let waiting: Vec<JobId> = self.state.sessions.iter().copied().filter(is_waiting).collect();
        for job in waiting {
            self.refill(job, Msat::MAX);
            for lease in self.open_leases_of(job) {
                self.extend_lease(lease);
            }
            self.fill_slots(self.state.job(job).order);
        }
    }

    /// A job that has had nothing to pay with for too long, and works no more, ends.
    pub(super) fn session_is_dry(&mut self, job: JobId) {
        let Some(row) = self.state.jobs.get(job) else { return };
        if !row.is_active() || !row.is_low {
            return;
        }
        let works = self.open_leases_of(job).into_iter().any(|lease| {
            let row = self.state.lease(lease);
            !row.open_attempts.is_empty() || (row.rate.unit == Unit::Ms && row.phase.is_held())
        });
        if works {
            // It is paid for still; the wait begins when it is not.
            self.set_timer(self.now().plus(self.rules.session_grace_ms), Timer::SessionDry(job));
        } else {
            self.end_job(job, JobOutcome::OutOfFunds);
        }
    }

    /// Whether a job waits for its buyer to pay the next prepayment.
    pub(super) fn waits_for_money(&self, job: JobId) -> bool {
        let row = self.state.job(job);
        row.is_low && row.is_active()
    }

    /// Sets the timer at which a lease by time of a session is to be paid for longer: a quarter before it ends.
    pub(super) fn plan_extension(&mut self, lease: LeaseId) {
        let row = self.state.lease(lease);
        let LeasePhase::Running { started } = row.phase else { return };
        if !self.state.sessions.contains(&row.job) || row.max_ms >= row.limit_ms || row.rate.unit != Unit::Ms
        {
            return;
        }
        let left_ms = row.max_ms.saturating_sub(self.now().since(started));
        self.set_timer(self.now().plus(left_ms - left_ms / LOW_SHARE), Timer::Extend(lease));
    }

    /// Lets a lease by time of a session run for as long as the escrow pays, within its limit.
    pub(super) fn extend_lease(&mut self, lease: LeaseId) {
        let Some(row) = self.state.leases.get(lease) else { return };
        let LeasePhase::Running { started } = row.phase else { return };
        let Some(transfer) = row.reserved.filter(|_| self.state.sessions.contains(&row.job)) else { return };
        let (job, party, rate, max_ms, limit_ms) = (row.job, row.party, row.rate, row.max_ms, row.limit_ms);
        self.refill(job, Msat::ZERO);
        let set_aside = self.state.ledger.pending_amount(transfer).unwrap_or(Msat::ZERO);
        let most = self.state.ledger.available(Account::Escrow(job)).plus(set_aside).unwrap_or(set_aside);
        let paid_ms = mul_div(most.0, rate.per, rate.msat.0.max(1), Rounding::Down).unwrap_or(u64::MAX);
        let longer_ms = paid_ms.min(limit_ms);
        if longer_ms <= max_ms {
            return;
        }
        let amount = rate.ceiling(longer_ms).unwrap_or(most).min(most);
        self.void_reserved(transfer);
        let posting = self.state.ledger.pend(Account::Escrow(job), Account::Earnings(party), amount);
        let posting = posting.unwrap_or_else(|error| panic!("the escrow of {job} has {amount}: {error}"));
        self.post_event(posting);
        let row = self.state.lease_mut(lease);
        (row.reserved, row.max_ms) = (Some(posting.transfer), longer_ms);
        self.set_timer(started.plus(longer_ms), Timer::LeaseEnd(lease));
        self.plan_extension(lease);
    }
}
