//! What the venue pays for audit links that it withheld.
//!
//! Who withholds a link pays for auditing the whole batch. A buyer's budget is locked before anybody works. The venue pays
//! at once, from the operator's income into the job's escrow, the most that the replicas of the batch may cost
//! (by time: each for the whole timeout of a task); what the
//! escrow does not need of it comes back to the buyer with the rest of the budget. No account goes below zero: what the
//! income lacks is owed. Until that is paid, all income goes there, the oldest charge first, and the venue takes no new
//! job whose audits it would have a hand in. The operator can put money in ([`FundVenue`]), before or afterwards.
//!
//! Why not a bond of the operator for every job: `docs/adr/0005-the-venue-owes-for-withheld-links.md`.
//!
//! [`FundVenue`]: crate::command::Command::FundVenue

use super::{
    Engine,
    state::{JobPhase, VenueDebt},
};
use crate::{
    event::Event,
    id::{JobId, PartyId},
    ledger::Account,
    rejection::Rejection,
    units::Msat,
    verify::task_usage_max,
};

impl Engine {
    /// The venue withheld its link of a round that asks for so many replicas. It owes itself nothing: a job of a party that
    /// was declared its own when it ordered is at that party's cost. A later declaration changes nothing, or it would be a
    /// way out.
    pub(super) fn charge_venue(&mut self, job: JobId, round: u32, replicas: u64) {
        let row = self.state.job(job);
        let terms = &self.state.order(row.order).terms;
        let usage = task_usage_max(terms.ceiling.unit, &row.spec.limits);
        let price = terms.ceiling.ceiling(usage).and_then(|replica| replica.times(replicas));
        // More than its budget the buyer could not have paid either.
        let amount_msat = price.map_or(terms.budget_msat, |price| price.min(terms.budget_msat));
        let is_operators = row.audits.as_ref().is_some_and(|audits| audits.is_operators);
        if amount_msat == Msat::ZERO || is_operators {
            return;
        }
        self.state.venue_debts.push_back(VenueDebt { job, buyer: row.buyer, owed_msat: amount_msat });
        self.emit(Event::VenueCharged { job, round, amount_msat });
        self.collect_dues();
    }

    /// Pays what the venue owes, the oldest charge first, as far as the operator's money goes. Called whenever there may be
    /// more of either.
    pub(super) fn collect_dues(&mut self) {
        while let Some(mut debt) = self.state.venue_debts.pop_front() {
            let amount_msat = self.state.ledger.available(Account::Fees).min(debt.owed_msat);
            debt.owed_msat = debt.owed_msat.saturating_sub(amount_msat);
            if debt.owed_msat > Msat::ZERO {
                self.state.venue_debts.push_front(debt);
            }
            if amount_msat == Msat::ZERO {
                return;
            }
            self.pay_due(debt.job, debt.buyer, amount_msat);
        }
    }

    fn pay_due(&mut self, job: JobId, buyer: PartyId, amount_msat: Msat) {
        let is_open =
            self.state.jobs.get(job).is_some_and(|row| !matches!(row.phase, JobPhase::Settled { .. }));
        if is_open {
            self.transfer_own(Account::Fees, Account::Escrow(job), amount_msat);
            let paid_msat = self.state.venue_paid_msat.entry(job).or_insert(Msat::ZERO);
            *paid_msat = Msat(paid_msat.0.saturating_add(amount_msat.0));
        } else {
            self.transfer_own(Account::Fees, Account::Available(buyer), amount_msat);
        }
        let owed_msat = self.state.venue_owes_for(job);
        self.emit(Event::VenuePaid { job, amount_msat, owed_msat });
    }

    /// A venue that owes for links it withheld gets no further seed to have a hand in.
    pub(super) fn check_venue_paid(&self) -> Result<(), Rejection> {
        match self.state.venue_owes() {
            Msat::ZERO => Ok(()),
            owed => Err(Rejection::VenueOwes { owed }),
        }
    }
}
