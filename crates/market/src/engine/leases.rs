//! Leases: granted when a slot is won, started by the machine, drained when they end. Closing is in `settlement`.

use super::{
    Actor, Engine,
    state::{AttemptPhase, HoldPhase, Lease, LeasePhase, Timer},
};
use crate::{
    event::{Event, InconclusiveReason, Verdict},
    funding::{self, Funding},
    id::{LeaseId, OfferId, OrderId},
    lease::{CloseReason, Settlement},
    ledger::Account,
    rejection::{Conflict, Entity, NeedsSigner, Rejection},
    reply::Reply,
    units::{Msat, Rate, Rounding, Unit, mul_div},
};
use std::collections::{BTreeMap, BTreeSet};

/// A lease by time that could be paid for a shorter time than this is not granted, in milliseconds.
const USEFUL_LEASE_MS: u64 = 1_000;

/// How many leases of one job a machine may have whose payments never come together.
const FUNDING_TRIES_MAX: usize = 3;

impl Engine {
    /// Gives a slot (or an audit's replica work) to an offer. `None` when the escrow cannot fund a useful
    /// lease by time.
    pub(super) fn grant_lease(
        &mut self,
        order_id: OrderId,
        offer: OfferId,
        rate: Rate,
        is_audit: bool,
    ) -> Option<LeaseId> {
        let order = self.state.order(order_id);
        let (job, buyer, resources) = (order.job, order.buyer, order.terms.needs.resources.clone());
        let row = self.state.offer(offer);
        let (machine, party, class) = (row.machine, row.party, row.terms.class.clone());
        let limit_ms = order.terms.lease_max_ms.min(row.terms.lease_max_ms);
        let by_hold = !is_audit && matches!(order.terms.funding, Some(Funding::Hold { .. }));
        let max_ms = self.funded_ms(order_id, offer, &rate)?;
        let hold = if by_hold { Some(self.new_hold(order_id, party, max_ms)?) } else { None };
        let kept = hold.as_ref().map_or(Msat::ZERO, |(_, kept)| *kept);
        let mut reserved = None;
        if rate.unit == Unit::Ms && !by_hold {
            let amount = rate.ceiling(max_ms).ok().filter(|amount| amount.0 > 0)?;
            let posting =
                self.state.ledger.pend(Account::Escrow(job), Account::Earnings(party), amount).ok()?;
            self.post_event(posting);
            reserved = Some(posting.transfer);
        }
        let grace_ms = if by_hold { self.rules.hold_fund_ms } else { self.rules.claim_grace_ms };
        let start_by = self.now().plus(grace_ms);
        let free = self.state.machine(machine).free.minus(&resources);
        let lease = self.state.leases.push(Lease {
            order: order_id,
            job,
            buyer,
            machine,
            party,
            class,
            rate,
            resources,
            is_audit,
            max_ms,
            limit_ms,
            reserved,
            hold: hold.map(|(hold, _)| hold),
            sales: BTreeMap::new(),
            phase: LeasePhase::Granted { start_by },
            open_attempts: BTreeSet::new(),
            books: Settlement::default(),
        });
        let free = free.unwrap_or_else(|| panic!("{machine} is leased twice"));
        self.change_machine(machine, |row| row.free = free);
        self.state.machine_mut(machine).leases.insert(lease);
        self.state.party_mut(party).open_leases += 1;
        self.change_order(order_id, |row| row.held_slots += u32::from(!is_audit));
        let job_row = self.state.job_mut(job);
        job_row.leases.push(lease);
        job_row.open_leases += 1;
        self.set_timer(start_by, Timer::LeaseStart(lease));
        self.emit(Event::LeaseGranted {
            lease,
            order: order_id,
            job,
            machine,
            party,
            rate,
            claim_by_ms: start_by,
        });
        self.begin_hold(lease, kept);
        Some(lease)
    }

    /// How long a lease of this offer may last at this rate, in milliseconds. One by time never runs unfunded: all that it
    /// can cost is set aside, and it is no longer than that lasts. `None` when that is too short to be of use.
    pub(super) fn funded_ms(&self, order: OrderId, offer: OfferId, rate: &Rate) -> Option<u64> {
        let (id, order) = (order, self.state.order(order));
        let row = self.state.offer(offer);
        let max_ms = order.terms.lease_max_ms.min(row.terms.lease_max_ms);
        let by_hold = matches!(order.terms.funding, Some(Funding::Hold { .. }));
        if by_hold && self.new_hold(id, row.party, max_ms).is_none() {
            return None;
        }
        if rate.unit != Unit::Ms {
            return Some(max_ms);
        }
        let funds = match order.terms.funding {
            Some(Funding::Hold { slice_msat, slices }) => {
                let kept = funding::reserve(&self.rules, slice_msat, slices).ok()?;
                slice_msat.times(slices.into()).and_then(|held| held.plus(kept)).ok()?
            }
            Some(Funding::Session { .. } | Funding::Decrypt { .. }) | None => {
                self.state.ledger.available(Account::Escrow(order.job))
            }
        };
        let affordable_ms =
            mul_div(funds.0, rate.per, rate.msat.0.max(1), Rounding::Down).unwrap_or(u64::MAX);
        // What is left may pay for a moment only, which would be used up before the first task is done, and then for the
        // next moment, for ever.
        let useful_ms = self.state.job(order.job).mean_task_ms.max(USEFUL_LEASE_MS).min(max_ms);
        (affordable_ms >= useful_ms).then_some(max_ms.min(affordable_ms))
    }

    pub(super) fn start_lease(&mut self, actor: Actor, lease: LeaseId) -> Result<Reply, Rejection> {
        let row = self.state.leases.get(lease).ok_or(Rejection::Unknown(Entity::Lease(lease)))?;
        self.check_controls(actor, row.machine)?;
        if !matches!(row.phase, LeasePhase::Granted { .. }) {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::Over));
        }
        if row.hold.as_ref().is_some_and(|hold| hold.phase != HoldPhase::Funded) {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::NotFunded));
        }
        let (job, until) = (row.job, self.now().plus(row.max_ms));
        let started = self.now();
        self.state.lease_mut(lease).phase = LeasePhase::Running { started };
        self.set_timer(until, Timer::LeaseEnd(lease));
        self.plan_extension(lease);
        self.emit(Event::LeaseStarted { lease, job });
        self.redraw_starved(job);
        Ok(Reply::Done)
    }

    pub(super) fn quit_lease(&mut self, actor: Actor, lease: LeaseId) -> Result<Reply, Rejection> {
        let row = self.state.leases.get(lease).ok_or(Rejection::Unknown(Entity::Lease(lease)))?;
        self.check_controls(actor, row.machine)?;
        if !row.phase.is_held() {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::Over));
        }
        self.drain_lease(lease, CloseReason::Quit);
        Ok(Reply::Done)
    }

    pub(super) fn dismiss_lease(&mut self, actor: Actor, lease: LeaseId) -> Result<Reply, Rejection> {
        let buyer = self.signing_party(actor)?;
        let row = self.state.leases.get(lease).ok_or(Rejection::Unknown(Entity::Lease(lease)))?;
        if row.buyer != buyer {
            return Err(Rejection::NotAllowed { needs: NeedsSigner::Owner });
        }
        if !row.phase.is_held() {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::Over));
        }
        self.compensate(lease);
        self.drain_lease(lease, CloseReason::Dismissed);
        Ok(Reply::Done)
    }

    /// Ends a lease: no more tasks, capacity free, what runs is void, what is committed is still judged. The slot is
    /// filled again while the job needs it.
    pub(super) fn drain_lease(&mut self, lease: LeaseId, reason: CloseReason) {
        let now = self.now();
        let row = self.state.lease_mut(lease);
        let ran_ms = match row.phase {
            LeasePhase::Granted { .. } => 0,
            LeasePhase::Running { started } => now.since(started).min(row.max_ms),
            LeasePhase::Draining { .. } | LeasePhase::Closed { .. } => return,
        };
        row.phase = LeasePhase::Draining { reason, ran_ms };
        let (machine, order, job, is_audit) = (row.machine, row.order, row.job, row.is_audit);
        let resources = row.resources.clone();
        self.change_machine(machine, |row| row.free = row.free.plus(&resources));
        self.change_order(order, |row| row.held_slots -= u32::from(!is_audit));
        self.emit(Event::LeaseDraining { lease, job, reason });
        let failed = matches!(
            reason,
            CloseReason::Lost
                | CloseReason::NeverStarted
                | CloseReason::Quit
                | CloseReason::Cheated
                | CloseReason::Dismissed
        );
        if failed && !self.may_be_funded_again(lease) {
            self.state.job_mut(job).avoid.insert(machine);
        }
        self.void_running(lease, reason);
        self.give_up_draws(lease);
        self.close_if_drained(lease);
        if self.state.job(job).is_active() {
            self.fill_slots(order);
        }
    }

    /// Whether the machine may have another lease of the job: its payments never came together, which need not be its doing
    /// (an invoice that was lost in a crash cannot be made again), and it has not happened too often.
    fn may_be_funded_again(&self, lease: LeaseId) -> bool {
        let row = self.state.lease(lease);
        let is_unfunded = row.hold.as_ref().is_some_and(|hold| hold.funded_msat == Msat::ZERO);
        let leases = self.state.job(row.job).leases.iter().map(|lease| self.state.lease(*lease));
        is_unfunded && leases.filter(|other| other.machine == row.machine).count() < FUNDING_TRIES_MAX
    }

    /// Voids the attempts of a lease that are not committed; their tasks run elsewhere.
    fn void_running(&mut self, lease: LeaseId, reason: CloseReason) {
        let verdict = match reason {
            CloseReason::Lost => InconclusiveReason::MachineLost,
            CloseReason::Finished => InconclusiveReason::Superseded,
            CloseReason::NeverStarted
            | CloseReason::Dismissed
            | CloseReason::Quit
            | CloseReason::Cheated
            | CloseReason::Expired
            | CloseReason::OutOfFunds => InconclusiveReason::Ended,
        };
        for attempt in self.state.lease(lease).open_attempts.clone() {
            let row = self.state.attempt(attempt);
            if matches!(row.phase, AttemptPhase::Running { .. }) {
                let (job, task) = (row.job, row.task);
                self.void_attempt(attempt, Verdict::Inconclusive { reason: verdict });
                self.advance_task(job, task);
            }
        }
    }

    /// Replicas that the party was drawn for and can no longer take, because this was its last lease of the job, are
    /// drawn again.
    fn give_up_draws(&mut self, lease: LeaseId) {
        let row = self.state.lease(lease);
        let (job, party) = (row.job, row.party);
        let still_there = self.state.job(job).leases.iter().any(|other| {
            let other = self.state.lease(*other);
            other.party == party && other.phase.is_held()
        });
        if still_there {
            return;
        }
        let drawn = self.state.job_mut(job).drawn.remove(&party).unwrap_or_default();
        for task in drawn.into_keys() {
            self.draw_replicas(job, task);
        }
    }
}
