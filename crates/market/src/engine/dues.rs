//! What the venue pays for audit links that it withheld.
//!
//! Who withholds a link pays for auditing the whole batch. A buyer's budget is locked before anybody works. The venue pays
//! at once, from the operator's income into the job's escrow, the most that the replicas of the batch may cost; what the
//! escrow does not need of it comes back to the buyer with the rest of the budget. No account goes below zero: what the
//! income lacks is owed. Until that is paid, all income goes there, the oldest job first, and the venue takes no new
//! job whose audits it would have a hand in. The operator can put money in ([`FundVenue`]), before or afterwards.
//!
//! Why not a bond of the operator for every job: `docs/adr/0005-the-venue-owes-for-withheld-links.md`.
//!
//! [`FundVenue`]: crate::command::Command::FundVenue

use super::{
    Engine,
    state::{JobPhase, VenueDue},
};
use crate::{
    event::Event, id::JobId, ledger::Account, rejection::Rejection, units::Msat, verify::task_usage,
};

impl Engine {
    /// The venue withheld its link of a round that asks for so many replicas.
    pub(super) fn charge_venue(&mut self, job: JobId, round: u32, replicas: u64) {
        let row = self.state.job(job);
        let terms = &self.state.order(row.order).terms;
        let usage = task_usage(terms.ceiling.unit, &row.spec.limits, row.mean_task_ms);
        let price = terms.ceiling.ceiling(usage).and_then(|replica| replica.times(replicas));
        // More than its budget the buyer could not have paid either.
        let amount_msat = price.map_or(terms.budget_msat, |price| price.min(terms.budget_msat));
        if amount_msat == Msat::ZERO {
            return;
        }
        let new = VenueDue { buyer: row.buyer, paid_msat: Msat::ZERO, owed_msat: Msat::ZERO };
        let due = self.state.venue_dues.entry(job).or_insert(new);
        due.owed_msat = Msat(due.owed_msat.0.saturating_add(amount_msat.0)).min(Msat::MAX);
        self.emit(Event::VenueCharged { job, round, amount_msat });
        self.collect_dues();
    }

    /// Pays what the venue owes, the oldest job first, as far as the operator's money goes. Called whenever there may be
    /// more of either.
    pub(super) fn collect_dues(&mut self) {
        let owing = self.state.venue_dues.iter().filter(|(_, due)| due.owed_msat > Msat::ZERO);
        for (job, due) in owing.map(|(job, due)| (*job, *due)).collect::<Vec<_>>() {
            let amount_msat = self.state.ledger.available(Account::Fees).min(due.owed_msat);
            if amount_msat == Msat::ZERO {
                return;
            }
            self.pay_due(job, due, amount_msat);
        }
    }

    fn pay_due(&mut self, job: JobId, due: VenueDue, amount_msat: Msat) {
        let owed_msat = due.owed_msat.saturating_sub(amount_msat);
        let is_open =
            self.state.jobs.get(job).is_some_and(|row| !matches!(row.phase, JobPhase::Settled { .. }));
        if is_open {
            self.transfer_own(Account::Fees, Account::Escrow(job), amount_msat);
            let paid_msat = Msat(due.paid_msat.0.saturating_add(amount_msat.0));
            self.state.venue_dues.insert(job, VenueDue { paid_msat, owed_msat, ..due });
        } else {
            self.transfer_own(Account::Fees, Account::Available(due.buyer), amount_msat);
            self.state.venue_dues.insert(job, VenueDue { owed_msat, ..due });
        }
        if self.state.jobs.get(job).is_none() {
            self.forget_due(job);
        }
        self.emit(Event::VenuePaid { job, amount_msat, owed_msat });
    }

    /// A venue that owes for links it withheld gets no further seed to have a hand in.
    pub(super) fn check_venue_paid(&self) -> Result<(), Rejection> {
        match self.state.venue_owes() {
            Msat::ZERO => Ok(()),
            owed => Err(Rejection::VenueOwes { owed }),
        }
    }

    /// A job leaves the state; what is still owed for it stays.
    pub(super) fn forget_due(&mut self, job: JobId) {
        if self.state.venue_dues.get(&job).is_some_and(|due| due.owed_msat == Msat::ZERO) {
            self.state.venue_dues.remove(&job);
        }
    }
}
