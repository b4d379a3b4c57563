//! Holds: leases funded by Lightning payments that the provider holds and cannot take before the verdict.
//!
//! Granted → the venue deals payment hashes → the provider puts them on invoices → the buyer pays them → the provider says
//! that it holds them → work → the lease is settled → the venue releases as many preimages as slices were earned → the
//! provider claims those, cancels the others and says so.
//!
//! The ledger mirrors the hold ([`Account::Holds`]), so that a lease pays for its tasks in the same way whatever funds it.
//! What is earned beyond whole slices, and the fee, come out of a reserve: see [`crate::funding`].

use super::{
    Actor, Engine,
    state::{Hold, HoldPhase, Lease, LeasePhase, Timer},
};
use crate::{
    effect::Effect,
    event::Event,
    funding::{BLOCK_MS, CLAIM_COSTS_PER_SLICE, Funding, HOLD_BLOCKS_MAX, divide, hold_span_ms, reserve},
    id::{LeaseId, OrderId, PartyId, PaymentHash},
    lease::CloseReason,
    ledger::Account,
    order::OrderTerms,
    preimage::Preimage,
    rejection::{Conflict, Entity, Rejection},
    reply::Reply,
    reputation::Observation,
    units::{Msat, Unit},
};

/// The longest invoice, in bytes.
const BOLT11_MAX_BYTES: usize = 4_096;

impl Engine {
    /// Whether an order that asks for holds can have them: slices worth claiming, and no lock longer than nodes accept.
    pub(super) fn check_holds(&self, terms: &OrderTerms, timeout_ms: u64) -> Result<(), Rejection> {
        let Some(Funding::Hold { slice_msat, slices }) = terms.funding else { return Ok(()) };
        let least = self.state.claim_cost_msat.times(CLAIM_COSTS_PER_SLICE)?;
        if slice_msat < least {
            return Err(Rejection::Flaw(format!(
                "a slice of {slice_msat} is not worth claiming on the chain: take {least} or more, fewer slices, or a session"
            )));
        }
        if hold_span_ms(&self.rules, terms.lease_max_ms, timeout_ms) > HOLD_BLOCKS_MAX * BLOCK_MS {
            return Err(Rejection::Flaw(format!(
                "a lease of {} s is too long for a hold, which ends after {HOLD_BLOCKS_MAX} blocks: shorten it, the next one is funded anew",
                terms.lease_max_ms / 1_000
            )));
        }
        let least = reserve(&self.rules, slice_msat, slices)?;
        if terms.budget_msat < least {
            return Err(Rejection::Flaw(format!(
                "the budget has to cover the reserve of one lease, a slice and the fee: {least}"
            )));
        }
        Ok(())
    }

    /// The hold that a new lease of an order needs, and the reserve for it; `None` when the escrow cannot spare the
    /// reserve, or one of the two may have no more in flight.
    pub(super) fn new_hold(&self, order: OrderId, party: PartyId, max_ms: u64) -> Option<(Hold, Msat)> {
        let row = self.state.order(order);
        let Some(Funding::Hold { slice_msat, slices }) = row.terms.funding else { return None };
        let kept = reserve(&self.rules, slice_msat, slices).ok()?;
        let timeout_ms = self.state.job(row.job).spec.limits.timeout_ms;
        let until = self.now().plus(hold_span_ms(&self.rules, max_ms, timeout_ms));
        let hold = Hold {
            slice_msat,
            slices,
            hashes: Vec::new(),
            until,
            funded_msat: Msat::ZERO,
            phase: HoldPhase::Asked,
        };
        let may_hold = |party| self.may_have_in_flight(party, hold.total_msat());
        let escrow = self.state.ledger.available(Account::Escrow(row.job));
        (escrow >= kept && may_hold(party) && may_hold(row.buyer)).then_some((hold, kept))
    }

    fn may_have_in_flight(&self, party: PartyId, more: Msat) -> bool {
        let row = self.state.party(party);
        let cap = self.rules.in_flight_cap_msat.0.checked_shr(row.hold_faults).unwrap_or(0);
        row.in_flight_msat.0.saturating_add(more.0) <= cap
    }

    /// A lease was granted that a hold funds.
    pub(super) fn begin_hold(&mut self, lease: LeaseId, kept: Msat) {
        let row = self.state.lease(lease);
        let Some(hold) = &row.hold else { return };
        let (job, machine, slices) = (row.job, row.machine, hold.slices);
        self.state.open_holds.insert((machine, lease));
        self.transfer_own(Account::Escrow(job), Account::Held(lease), kept);
        self.change_in_flight(lease, |in_flight, total| Msat(in_flight.0.saturating_add(total.0)));
        self.effect(Effect::DealHold { lease, slices });
    }

    fn change_in_flight(&mut self, lease: LeaseId, change: impl Fn(Msat, Msat) -> Msat) {
        let row = self.state.lease(lease);
        let Some(hold) = &row.hold else { return };
        let (party, buyer, total) = (row.party, row.buyer, hold.total_msat());
        for id in [party, buyer] {
            let row = self.state.party_mut(id);
            row.in_flight_msat = change(row.in_flight_msat, total);
        }
    }

    pub(super) fn deal_hold(&mut self, lease: LeaseId, hashes: &[PaymentHash]) -> Result<Reply, Rejection> {
        let row = self.lease_with_hold(lease)?;
        let hold = row.hold.as_ref().filter(|hold| hold.phase == HoldPhase::Asked);
        let Some(hold) = hold.filter(|_| row.phase.is_held()) else {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::NoSuchHold));
        };
        if hashes.len() != usize::from(hold.slices) {
            return Err(Rejection::Flaw(format!("the lease needs {} payment hashes", hold.slices)));
        }
        let (job, machine) = (row.job, row.machine);
        self.change_hold(lease, |hold| {
            hold.hashes = hashes.to_vec();
            hold.phase = HoldPhase::Dealt;
        });
        self.emit(Event::HoldDealt { lease, job, machine });
        Ok(Reply::Done)
    }

    pub(super) fn invoice_hold(
        &mut self,
        actor: Actor,
        lease: LeaseId,
        invoices: &[String],
    ) -> Result<Reply, Rejection> {
        let row = self.lease_with_hold(lease)?;
        self.check_controls(actor, row.machine)?;
        let hold = row.hold.as_ref().filter(|hold| hold.phase == HoldPhase::Dealt);
        let Some(hold) = hold.filter(|_| row.phase.is_held()) else {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::NoSuchHold));
        };
        let is_text =
            |invoice: &String| !invoice.is_empty() && invoice.len() <= BOLT11_MAX_BYTES && invoice.is_ascii();
        if invoices.len() != hold.hashes.len() || !invoices.iter().all(is_text) {
            return Err(Rejection::Flaw(format!(
                "the lease needs {} invoices of 1 to {BOLT11_MAX_BYTES} ASCII characters",
                hold.slices
            )));
        }
        let job = row.job;
        self.change_hold(lease, |hold| hold.phase = HoldPhase::Invoiced { invoices: invoices.to_vec() });
        self.emit(Event::HoldInvoiced { lease, job });
        Ok(Reply::Done)
    }

    pub(super) fn hold_funded(&mut self, actor: Actor, lease: LeaseId) -> Result<Reply, Rejection> {
        let row = self.lease_with_hold(lease)?;
        self.check_controls(actor, row.machine)?;
        let hold = row.hold.as_ref().filter(|hold| matches!(hold.phase, HoldPhase::Invoiced { .. }));
        let Some(hold) = hold.filter(|_| row.phase.is_held()) else {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::NoSuchHold));
        };
        let (job, party, rate, max_ms, amount_msat) =
            (row.job, row.party, row.rate, row.max_ms, hold.total_msat());
        self.transfer(Account::Holds, Account::Held(lease), amount_msat)?;
        if rate.unit == Unit::Ms {
            let most = rate.ceiling(max_ms).unwrap_or(amount_msat);
            match self.state.ledger.pend(Account::Held(lease), Account::Earnings(party), most) {
                Ok(posting) => {
                    self.post_event(posting);
                    self.state.lease_mut(lease).reserved = Some(posting.transfer);
                }
                Err(error) => panic!("{lease} is longer than its hold can pay: {error}"),
            }
        }
        let start_by = self.now().plus(self.rules.claim_grace_ms);
        self.change_hold(lease, |hold| {
            hold.funded_msat = amount_msat;
            hold.phase = HoldPhase::Funded;
        });
        self.state.lease_mut(lease).phase = LeasePhase::Granted { start_by };
        self.set_timer(start_by, Timer::LeaseStart(lease));
        self.emit(Event::HoldFunded { lease, job, amount_msat });
        Ok(Reply::Done)
    }

    /// The books of a lease are closed: its hold is divided, and the ledger forgets the part that lies elsewhere.
    pub(super) fn settle_hold(&mut self, lease: LeaseId, reason: CloseReason) {
        let row = self.state.lease(lease);
        let Some(hold) = &row.hold else { return };
        let (job, party, books) = (row.job, row.party, row.books);
        let (slice_msat, slices, funded_msat) = (hold.slice_msat, hold.slices, hold.funded_msat);
        let was_asked = matches!(hold.phase, HoldPhase::Asked | HoldPhase::Dealt);
        let mut earned = Msat(books.paid_msat.0 + books.compensation_msat.0);
        if reason == CloseReason::Cheated {
            self.claw_back(lease, Account::Held(lease), earned);
            earned = Msat::ZERO;
        }
        let division = divide(&self.rules, slice_msat, slices, earned);
        let released_msat = Msat(slice_msat.0 * u64::from(division.released));
        let returned_msat = funded_msat.saturating_sub(released_msat);
        let earnings = Account::Earnings(party);
        self.transfer_own(earnings, Account::Holds, released_msat);
        self.transfer_own(earnings, Account::Fees, division.fee_msat);
        self.collect_dues();
        self.transfer_own(earnings, Account::Available(party), division.rest_msat);
        self.transfer_own(Account::Held(lease), Account::Holds, returned_msat);
        let left = self.state.ledger.available(Account::Held(lease));
        self.transfer_own(Account::Held(lease), Account::Escrow(job), left);
        self.state.lease_mut(lease).books.fee_msat = division.fee_msat;
        if was_asked {
            return self.end_hold(lease, true); // Nobody can have paid anything.
        }
        let released = division.released;
        self.change_hold(lease, |hold| hold.phase = HoldPhase::Decided { released });
        self.emit(Event::HoldDecided { lease, job, released_msat, returned_msat });
        if released == 0 {
            self.let_claim(lease, &[]);
        } else {
            self.effect(Effect::ReleaseHold { lease, slices: released });
        }
    }

    pub(super) fn release_hold(
        &mut self,
        lease: LeaseId,
        preimages: &[Preimage],
    ) -> Result<Reply, Rejection> {
        let row = self.lease_with_hold(lease)?;
        let Some(Hold { hashes, phase: HoldPhase::Decided { released }, .. }) = &row.hold else {
            return Err(Rejection::conflict(Entity::Lease(lease), Conflict::NoSuchHold));
        };
        let opens = |(preimage, hash): (&Preimage, &PaymentHash)| preimage.payment_hash() == *hash;
        if preimages.len() != usize::from(*released) || !preimages.iter().zip(hashes).all(opens) {
            return Err(Rejection::BadPreimage { lease });
        }
        self.let_claim(lease, preimages);
        Ok(Reply::Done)
    }

    fn let_claim(&mut self, lease: LeaseId, preimages: &[Preimage]) {
        let row = self.state.lease(lease);
        let (job, machine) = (row.job, row.machine);
        let claim_by = self.now().plus(self.rules.hold_claim_ms);
        let preimages = preimages.to_vec();
        self.change_hold(lease, |hold| hold.phase = HoldPhase::Released { preimages, claim_by });
        self.set_timer(claim_by, Timer::HoldClaim(lease));
        self.emit(Event::HoldReleased { lease, job, machine, claim_by_ms: claim_by });
    }

    pub(super) fn hold_over(&mut self, actor: Actor, lease: LeaseId) -> Result<Reply, Rejection> {
        let row = self.lease_with_hold(lease)?;
        self.check_controls(actor, row.machine)?;
        match row.hold.as_ref().map(|hold| &hold.phase) {
            Some(HoldPhase::Released { .. }) => {
                self.end_hold(lease, true);
                Ok(Reply::Done)
            }
            _ => Err(Rejection::conflict(Entity::Lease(lease), Conflict::NoSuchHold)),
        }
    }

    /// A provider that says nothing about what it was to claim or cancel keeps the buyer's money, and the channels of those
    /// in between, locked until the payments expire.
    pub(super) fn hold_claim_is_due(&mut self, lease: LeaseId) {
        let Some(row) = self.state.leases.get(lease) else { return };
        let Some(Hold { phase: HoldPhase::Released { claim_by, .. }, .. }) = &row.hold else { return };
        if *claim_by > self.now() {
            return;
        }
        let (party, buyer, class) = (row.party, row.buyer, row.class.clone());
        self.state.party_mut(party).hold_faults += 1;
        let now = self.now();
        let standing = self.state.reputation.standing_mut(party, &class);
        standing.observe(now, buyer, Msat::ZERO, Observation::Late);
        self.end_hold(lease, false);
    }

    fn end_hold(&mut self, lease: LeaseId, in_time: bool) {
        self.forget_hold(lease);
        let row = self.state.lease(lease);
        let (job, party) = (row.job, row.party);
        let released = row.hold.as_ref().map_or(0, Hold::released);
        self.change_hold(lease, |hold| hold.phase = HoldPhase::Over { released, in_time });
        self.emit(Event::HoldOver { lease, job, party, in_time });
    }

    /// Nothing of a hold counts as in flight any more.
    pub(super) fn forget_hold(&mut self, lease: LeaseId) {
        let machine = self.state.lease(lease).machine;
        if self.state.open_holds.remove(&(machine, lease)) {
            self.change_in_flight(lease, Msat::saturating_sub);
        }
    }

    /// A lease whose hold cannot pay for another task ends once nothing of it is open; the next one is funded anew.
    pub(super) fn roll_hold(&mut self, lease: LeaseId) -> bool {
        let row = self.state.lease(lease);
        let is_used_up = row.hold.is_some() && row.open_attempts.is_empty();
        if is_used_up {
            self.drain_lease(lease, CloseReason::OutOfFunds);
        }
        is_used_up
    }

    pub(super) fn set_claim_cost(&mut self, amount_msat: Msat) -> Result<Reply, Rejection> {
        if amount_msat == self.state.claim_cost_msat {
            return Err(Rejection::Flaw("the claim cost is that already".into()));
        }
        amount_msat.times(CLAIM_COSTS_PER_SLICE)?;
        self.state.claim_cost_msat = amount_msat;
        self.emit(Event::ClaimCostSet { amount_msat });
        Ok(Reply::Done)
    }

    /// Where the money for a lease's work lies.
    pub(super) fn purse(&self, lease: LeaseId) -> Account {
        let row = self.state.lease(lease);
        if row.hold.is_some() { Account::Held(lease) } else { Account::Escrow(row.job) }
    }

    fn lease_with_hold(&self, lease: LeaseId) -> Result<&Lease, Rejection> {
        let row = self.state.leases.get(lease).ok_or(Rejection::Unknown(Entity::Lease(lease)))?;
        if row.hold.is_some() {
            return Ok(row);
        }
        Err(Rejection::conflict(Entity::Lease(lease), Conflict::NoSuchHold))
    }

    fn change_hold(&mut self, lease: LeaseId, change: impl FnOnce(&mut Hold)) {
        if let Some(hold) = &mut self.state.lease_mut(lease).hold {
            change(hold);
        }
    }
}
