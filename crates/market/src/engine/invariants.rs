//! What must always hold. Cheap parts are asserted where the state changes; [`Engine::check_invariants`] recomputes all
//! of it from scratch, for tests, the simulation, and full audits on a replaying copy.

use super::{
    Engine,
    state::{AttemptPhase, HoldPhase, JobPhase, LeasePhase, Party, SalePhase, Sold},
};
use crate::{
    id::{JobId, LeaseId, MachineId, PartyId},
    ledger::{Account, LedgerViolation},
    units::{Msat, Unit},
};
use std::collections::BTreeMap;

/// A broken invariant: a bug in the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The ledger contradicts itself.
    #[error(transparent)]
    Ledger(#[from] LedgerViolation),
    /// Capacity was leased twice, or not given back.
    #[error("{0}: free capacity and leases are not its capacity")]
    Capacity(MachineId),
    /// A lease runs without money set aside.
    #[error("{0} runs unfunded")]
    Unfunded(LeaseId),
    /// A closed lease has open attempts, or an open one is not known to its machine.
    #[error("{0} and its surroundings disagree about whether it is open")]
    LeaseBooks(LeaseId),
    /// A result is sold and worked on at once, or neither.
    #[error("{0}: its sales are not what its attempts and the disputes say")]
    Sale(LeaseId),
    /// What a bond has to cover is not what the party has at sale.
    #[error("{0}: what its bond has to cover is not what it has at sale")]
    Cover(PartyId),
    /// The counters of a job are not what its tasks and leases add up to.
    #[error("{0}: its counters are not what its tasks and leases add up to")]
    JobBooks(JobId),
    /// A settled job has money left in escrow, or a job has paid more than was put in.
    #[error("{0}: its escrow is not what was put in less what it has paid")]
    Escrow(JobId),
    /// What the venue owes is not collected although there is money, or is kept on the books for nothing.
    #[error("{0}: what the venue has to pay for it is neither paid nor owed")]
    Dues(JobId),
}

impl Engine {
    /// Recomputes every invariant. Linear in the size of the state.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        self.state.ledger.check()?;
        for (id, machine) in self.state.machines.iter() {
            let mut sum = machine.free.clone();
            for lease in machine.leases.iter().map(|lease| self.state.lease(*lease)) {
                if lease.phase.is_held() {
                    sum = sum.plus(&lease.resources);
                }
            }
            if sum != machine.capacity {
                return Err(Violation::Capacity(id));
            }
        }
        for (id, _) in self.state.leases.iter() {
            self.check_lease(id)?;
        }
        for (id, _) in self.state.jobs.iter() {
            self.check_job(id)?;
        }
        let has_income = self.state.ledger.available(Account::Fees) > Msat::ZERO;
        for debt in &self.state.venue_debts {
            let is_nothing = debt.owed_msat == Msat::ZERO;
            if has_income || is_nothing {
                return Err(Violation::Dues(debt.job));
            }
        }
        self.check_sale_cover()?;
        match self.state.venue_paid_msat.keys().find(|job| self.state.jobs.get(**job).is_none()) {
            Some(forgotten) => Err(Violation::Dues(*forgotten)),
            None => Ok(()),
        }
    }

    /// What the bonds of parties have to cover is what they have at sale.
    fn check_sale_cover(&self) -> Result<(), Violation> {
        let mut at_sale: BTreeMap<PartyId, Msat> = BTreeMap::new();
        for (id, lease) in self.state.leases.iter() {
            for (attempt, sale) in lease.sales.iter().filter(|(_, sale)| sale.outcome().is_none()) {
                let sum = at_sale.entry(lease.party).or_default();
                *sum = Msat(sum.0.saturating_add(sale.price.invoice_msat().0));
                let is_disputed = matches!(sale.phase, SalePhase::Disputed { .. });
                if lease.phase.is_closed()
                    || sale.is_open() == lease.open_attempts.contains(attempt)
                    || is_disputed != self.state.disputes.contains(&(id, *attempt))
                {
                    return Err(Violation::Sale(id));
                }
            }
        }
        let is_counted = |(id, party): (PartyId, &Party)| {
            party.at_sale_msat == at_sale.get(&id).copied().unwrap_or(Msat::ZERO)
        };
        match self.state.parties.iter().find(|row| !is_counted(*row)) {
            Some((party, _)) => Err(Violation::Cover(party)),
            None => Ok(()),
        }
    }

    fn check_lease(&self, id: LeaseId) -> Result<(), Violation> {
        let lease = self.state.lease(id);
        let is_listed = self.state.machine(lease.machine).leases.contains(&id);
        if lease.phase.is_closed() == is_listed
            || (lease.phase.is_closed() && !lease.open_attempts.is_empty())
        {
            return Err(Violation::LeaseBooks(id));
        }
        let is_funded = match &lease.hold {
            Some(hold) => hold.funded_msat == hold.total_msat(),
            None => lease.rate.unit != Unit::Ms || lease.reserved.is_some(),
        };
        let may_wait = lease.hold.is_some() && matches!(lease.phase, LeasePhase::Granted { .. });
        if lease.phase.is_held() && !is_funded && !may_wait {
            return Err(Violation::Unfunded(id));
        }
        let is_open = lease.hold.as_ref().is_some_and(|hold| !matches!(hold.phase, HoldPhase::Over { .. }));
        if is_open != self.state.open_holds.contains(&(lease.machine, id)) {
            return Err(Violation::LeaseBooks(id));
        }
        let purse = self.state.ledger.balance(Account::Held(id)).posted;
        if lease.phase.is_closed() && purse > Msat::ZERO {
            return Err(Violation::LeaseBooks(id));
        }
        for attempt in &lease.open_attempts {
            let attempt = self.state.attempt(*attempt);
            let owes = lease.rate.unit != Unit::Ms && !matches!(attempt.phase, AttemptPhase::Revealed);
            let is_free = lease.rate.ceiling(1).is_ok_and(|amount| amount == Msat::ZERO);
            if attempt.lease != id || (owes && attempt.reserved.is_none() && !is_free) {
                return Err(Violation::Unfunded(id));
            }
        }
        Ok(())
    }

    fn check_job(&self, id: JobId) -> Result<(), Violation> {
        let job = self.state.job(id);
        let unfinished = job.tasks.iter().filter(|task| task.outcome.is_none()).count();
        let leases = job.leases.iter().map(|lease| self.state.lease(*lease));
        let (mut open_leases, mut running, mut held, mut paid) = (0, 0, 0, 0u64);
        let (mut direct, mut kept) = (0u128, 0u128);
        for (lease_id, lease) in job.leases.iter().zip(leases) {
            kept += u128::from(self.state.ledger.balance(Account::Held(*lease_id)).posted.0);
            let hold = lease.hold.as_ref().map(|hold| hold.funded_msat.saturating_sub(hold.returned_msat()));
            direct += u128::from(hold.unwrap_or(Msat::ZERO).0);
            direct += u128::from(Sold::of(lease.sales.values()).direct_msat().0);
            open_leases += u32::from(!lease.phase.is_closed());
            held += u32::from(lease.phase.is_held() && !lease.is_audit);
            paid += lease.books.paid_msat.0 + lease.books.compensation_msat.0;
            let is_running = |attempt: &&crate::id::AttemptId| {
                matches!(self.state.attempt(**attempt).phase, AttemptPhase::Running { .. })
            };
            running += lease.open_attempts.iter().filter(is_running).count();
            if matches!(lease.phase, LeasePhase::Closed { .. }) && lease.reserved.is_some() {
                return Err(Violation::JobBooks(id));
            }
        }
        let order = self.state.order(job.order);
        let counted = (unfinished as u32, open_leases, running as u32, held, paid);
        if counted != (job.unfinished, job.open_leases, job.running, order.held_slots, job.paid_msat.0)
            || order.takes_offers() != self.state.open_orders.contains(&job.order)
        {
            return Err(Violation::JobBooks(id));
        }
        let escrow = self.state.ledger.balance(Account::Escrow(id)).posted;
        let refunded = match job.phase {
            JobPhase::Settled { refunded_msat, .. } => refunded_msat,
            JobPhase::Active | JobPhase::Ended { .. } => Msat::ZERO,
        };
        let funded = u128::from(job.funded_msat.0) + u128::from(self.state.venue_paid(id).0) + direct;
        if funded != u128::from(escrow.0) + kept + u128::from(paid) + u128::from(refunded.0)
            || job.funded_msat > order.terms.budget_msat
        {
            return Err(Violation::Escrow(id));
        }
        Ok(())
    }
}
