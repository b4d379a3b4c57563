//! Time: ticks fire what is due, liveness says which machines are there, resume gives grace after an outage.

use super::{
    Engine,
    state::{LeasePhase, OrderPhase, Presence, Timer},
};
use crate::{
    event::{Event, InconclusiveReason},
    id::{JobId, LeaseId, MachineId, OfferId, PartyId},
    lease::CloseReason,
    rejection::{Conflict, Entity, Rejection},
    reply::Reply,
    rules::Rules,
};
use std::collections::BTreeSet;

/// The most timers that one tick fires; the next tick fires the rest.
const TIMERS_PER_TICK_MAX: usize = 10_000;

impl Engine {
    pub(super) fn tick(&mut self) -> Result<Reply, Rejection> {
        let now = self.now();
        for _ in 0..TIMERS_PER_TICK_MAX {
            let Some((_, timer)) = self.state.timers.first().filter(|(at, _)| *at <= now).copied() else {
                break;
            };
            self.state.timers.pop_first();
            self.fire(timer);
        }
        self.try_open_orders();
        Ok(Reply::Done)
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::AuctionWindow(order) => self.auction_window_ends(order),
            Timer::LeaseStart(lease) => {
                let now = self.now();
                if self.lease_is(
                    lease,
                    |phase| matches!(phase, LeasePhase::Granted { start_by } if *start_by <= now),
                ) {
                    self.drain_lease(lease, CloseReason::NeverStarted);
                }
            }
            Timer::LeaseEnd(lease) => self.lease_time_is_up(lease),
            Timer::MachineLost(machine) => self.machine_is_lost_for_good(machine),
            Timer::Attempt(attempt) => self.attempt_times_out(attempt),
            Timer::Links(job, round) => self.links_are_due(job, round),
            Timer::ReplicaClaim(job, task, turn) => self.replica_claim_is_due(job, task, turn),
            Timer::Redraw(job) => self.redraw_starved(job),
            Timer::ReplicaWait(job, task) => self.replica_wait_is_over(job, task),
            Timer::Forget(job) => self.forget_job(job),
            Timer::Extend(lease) => self.extend_lease(lease),
            Timer::SessionDry(job) => self.session_is_dry(job),
            Timer::HoldClaim(lease) => self.hold_claim_is_due(lease),
            Timer::Sale(lease, attempt) => self.sale_is_due(lease, attempt),
        }
    }

    /// A lease whose time was paid for longer meanwhile has another timer.
    fn lease_time_is_up(&mut self, lease: LeaseId) {
        self.extend_lease(lease);
        let now = self.now();
        let is_up = self.state.leases.get(lease).is_some_and(|row| match row.phase {
            LeasePhase::Running { started } => now.since(started) >= row.max_ms,
            LeasePhase::Granted { .. } | LeasePhase::Draining { .. } | LeasePhase::Closed { .. } => false,
        });
        if is_up {
            self.drain_lease(lease, CloseReason::Expired);
        }
    }

    fn lease_is(&self, lease: LeaseId, test: impl Fn(&LeasePhase) -> bool) -> bool {
        self.state.leases.get(lease).is_some_and(|row| test(&row.phase))
    }

    /// A task has waited for its replicas for too long: undecided, and run again while it may be.
    fn replica_wait_is_over(&mut self, job: JobId, task: u32) {
        let Some(row) = self.state.jobs.get(job) else { return };
        let task_row = row.task(task);
        let is_due =
            task_row.outcome.is_none() && task_row.replicas_until.is_some_and(|until| until <= self.now());
        if is_due && !task_row.open.is_empty() {
            self.leave_undecided(job, task, InconclusiveReason::NoReplicas);
        }
    }

    pub(super) fn liveness(&mut self, lost: &[MachineId], back: &[MachineId]) -> Result<Reply, Rejection> {
        let mut changed = false;
        let lost_at = self.now().plus(self.rules.lost_grace_ms);
        for machine in lost {
            if self.presence(*machine) == Some(Presence::Live) {
                let since = self.now();
                self.change_machine(*machine, |row| row.presence = Presence::Lost { since });
                self.set_timer(lost_at, Timer::MachineLost(*machine));
                self.emit(Event::MachineLost { machine: *machine });
                changed = true;
            }
        }
        let mut is_work_back = false;
        for machine in back {
            if matches!(self.presence(*machine), Some(Presence::Lost { .. })) {
                self.change_machine(*machine, |row| row.presence = Presence::Live);
                self.emit(Event::MachineBack { machine: *machine });
                (changed, is_work_back) = (true, true);
            }
        }
        if is_work_back {
            self.try_open_orders();
        }
        if changed {
            Ok(Reply::Done)
        } else {
            Err(Rejection::Flaw("no machine's presence changes by that".into()))
        }
    }

    fn presence(&self, machine: MachineId) -> Option<Presence> {
        self.state.machines.get(machine).map(|row| row.presence)
    }

    fn machine_is_lost_for_good(&mut self, machine: MachineId) {
        let grace = self.rules.lost_grace_ms;
        let Some(Presence::Lost { since }) = self.presence(machine) else { return };
        if self.now().since(since) < grace {
            return; // It came back and was lost again; that loss has a timer of its own.
        }
        for lease in self.state.machine(machine).leases.clone() {
            self.drain_lease(lease, CloseReason::Lost);
        }
    }

    /// The market was away. Nobody could keep a deadline meanwhile, so every one gets a fresh grace period.
    pub(super) fn resume(&mut self) -> Result<Reply, Rejection> {
        let grace_until_ms = self.now().plus(self.rules.resume_grace_ms);
        let timers: BTreeSet<_> = std::mem::take(&mut self.state.timers);
        self.state.timers = timers.into_iter().map(|(at, timer)| (at.max(grace_until_ms), timer)).collect();
        let orders: Vec<_> = self.state.orders.iter().map(|(order, _)| order).collect();
        for order in orders {
            match &mut self.state.order_mut(order).phase {
                OrderPhase::Bidding { until, .. } | OrderPhase::Revealing { until, .. } => {
                    *until = (*until).max(grace_until_ms);
                }
                OrderPhase::Open | OrderPhase::Closed => {}
            }
        }
        for attempt in self.state.attempts.values_mut() {
            attempt.phase.extend(grace_until_ms);
        }
        self.emit(Event::Resumed { grace_until_ms });
        Ok(Reply::Done)
    }

    pub(super) fn activate_rules(&mut self, version: u32) -> Result<Reply, Rejection> {
        let rules = Rules::version(version).ok_or(Rejection::Unknown(Entity::Rules(version)))?;
        if version == self.state.rules_version {
            return Err(Rejection::conflict(Entity::Rules(version), Conflict::Settled));
        }
        self.state.rules_version = version;
        self.rules = rules;
        self.emit(Event::RulesActivated { version });
        Ok(Reply::Done)
    }

    pub(super) fn offers_of(&self, party: PartyId) -> Vec<OfferId> {
        let machines = self.state.machines.iter().filter(|(_, machine)| machine.party == party);
        machines.flat_map(|(_, machine)| machine.offers.iter().copied()).collect()
    }
}
