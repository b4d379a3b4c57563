//! Orders and their jobs; filling slots from standing offers.

use super::{
    Actor, Engine,
    state::{Audits, Job, JobPhase, KnownLink, Order, OrderPhase, Presence, Tasks, Timer},
};
use crate::{
    effect::Effect,
    event::{Event, JobOutcome},
    funding::{Funding, SalePrice},
    id::{Digest, JobId, LeaseId, OfferId, OrderId, PartyId},
    job::{JobSpec, Verification},
    ledger::Account,
    matching::{Wanted, price_key},
    order::{OrderKind, OrderTerms},
    rejection::{Conflict, Entity, NeedsSigner, Rejection},
    reply::Reply,
    rules::Rules,
    units::{Msat, PPM, Rate, Unit},
    verify::rounds_for,
};
use std::collections::{BTreeMap, BTreeSet};

/// How many offers are looked for at once where a prepayment may pay for one lease only and the next search is soon.
const SLOTS_PER_PREPAYMENT: u32 = 16;

impl Engine {
    pub(super) fn place_order(
        &mut self,
        actor: Actor,
        terms: &OrderTerms,
        spec: &JobSpec,
        audit_anchor: Option<Digest>,
    ) -> Result<Reply, Rejection> {
        let buyer = self.signing_party(actor)?;
        if let Some(flaw) = terms.flaw().or_else(|| spec.flaw()) {
            return Err(Rejection::Flaw(flaw.into()));
        }
        if terms.needs.resources.memory_mib < spec.limits.memory_mib {
            return Err(Rejection::Flaw("the order needs less memory than one task may use".into()));
        }
        let (order, job) = (self.state.orders.next_id(), self.state.jobs.next_id());
        if terms.budget_msat < smallest_budget(&self.rules, terms, spec)? {
            return Err(Rejection::conflict(Entity::Job(job), Conflict::BudgetTooSmall));
        }
        let is_verified = spec.verification != Verification::None;
        let is_operators = self.state.party(buyer).is_operators;
        let Some(audits) = new_audits(is_verified, audit_anchor, is_operators) else {
            return Err(Rejection::conflict(Entity::Job(job), Conflict::NeedsAnchor));
        };
        if is_verified {
            self.check_venue_paid()?;
        }
        self.check_holds(terms, spec.limits.timeout_ms)?;
        self.check_sales(terms, spec)?;
        let funded_msat = Self::first_funds(terms.funding, terms.budget_msat);
        self.transfer(Account::Available(buyer), Account::Escrow(job), funded_msat)?;
        if let Some(Funding::Session { .. }) = terms.funding {
            self.state.sessions.insert(job);
        }
        self.state.orders.push(Order {
            job,
            buyer,
            terms: terms.clone(),
            phase: OrderPhase::Open,
            held_slots: 0,
        });
        self.state.jobs.push(self.new_job(order, buyer, spec, audits, funded_msat));
        let mut public_terms = terms.clone();
        public_terms.budget_msat = Msat::ZERO;
        let (name, tasks) = (spec.name.clone(), spec.tasks);
        self.emit(Event::OrderPlaced { order, job, buyer, name, tasks, terms: Box::new(public_terms) });
        if is_verified {
            self.effect(Effect::AnchorAudits { job, rounds: rounds_for(spec.tasks) });
        }
        match terms.kind {
            OrderKind::Ask => {
                self.state.open_orders.insert(order);
                self.fill_slots(order);
            }
            OrderKind::Auction { window_ms, .. } => {
                let until = self.now().plus(window_ms);
                self.state.order_mut(order).phase = OrderPhase::Bidding { until, seals: BTreeMap::new() };
                self.set_timer(until, Timer::AuctionWindow(order));
            }
        }
        Ok(Reply::Order { order, job, leases: self.state.job(job).leases.clone() })
    }

    fn new_job(
        &self,
        order: OrderId,
        buyer: PartyId,
        spec: &JobSpec,
        audits: Option<Audits>,
        funded_msat: Msat,
    ) -> Job {
        Job {
            order,
            buyer,
            spec: spec.clone(),
            placed_at: self.now(),
            phase: JobPhase::Active,
            tasks: Tasks::untouched(spec.tasks),
            next_fresh: 0,
            again: BTreeSet::new(),
            drawn: BTreeMap::new(),
            starved: BTreeSet::new(),
            unfinished: spec.tasks,
            running: 0,
            leases: Vec::new(),
            open_leases: 0,
            avoid: BTreeSet::new(),
            paid_msat: Msat::ZERO,
            funded_msat,
            is_low: false,
            mean_task_ms: 0,
            audits,
        }
    }

    pub(super) fn cancel_job(&mut self, actor: Actor, job: JobId) -> Result<Reply, Rejection> {
        let buyer = self.signing_party(actor)?;
        let row = self.state.jobs.get(job).ok_or(Rejection::Unknown(Entity::Job(job)))?;
        if row.buyer != buyer {
            return Err(Rejection::NotAllowed { needs: NeedsSigner::Owner });
        }
        if !row.is_active() {
            return Err(Rejection::conflict(Entity::Job(job), Conflict::Over));
        }
        self.end_job(job, JobOutcome::Cancelled);
        Ok(Reply::Done)
    }

    /// Changes an order in a way that may open or close it to offers: full orders are not tried on new ones.
    pub(super) fn change_order(&mut self, order: OrderId, change: impl FnOnce(&mut Order)) {
        let row = self.state.order_mut(order);
        change(row);
        if row.takes_offers() {
            self.state.open_orders.insert(order);
        } else {
            self.state.open_orders.remove(&order);
        }
    }

    /// Gives the free slots of an open order to the best standing offers: lowest price ÷ quality first. A session pays for
    /// more of them, one prepayment after another.
    pub(super) fn fill_slots(&mut self, order: OrderId) {
        while self.has_free_slot(order) {
            self.grant_free_slots(order);
            if !self.has_free_slot(order) || !self.refill_or_end(order) {
                return;
            }
        }
    }

    fn has_free_slot(&self, order: OrderId) -> bool {
        let row = self.state.order(order);
        row.takes_offers() && self.has_unclaimed_work(row.job)
    }

    fn grant_free_slots(&mut self, order: OrderId) {
        let row = self.state.order(order);
        let free = row.terms.slots.saturating_sub(row.held_slots);
        let wanted = match row.terms.funding {
            Some(Funding::Session { .. }) => free.min(SLOTS_PER_PREPAYMENT),
            Some(Funding::Hold { .. } | Funding::Decrypt { .. }) | None => free,
        };
        for (_, offer) in self.best_offers(order, wanted as usize) {
            let rate = self.state.offer(offer).terms.rate;
            while self.offer_can_serve(order, offer) {
                if self.grant_lease(order, offer, rate, false).is_none() {
                    break; // Leases granted before took what it would need; a cheaper offer may still be served.
                }
                let row = self.state.order(order);
                if row.held_slots >= row.terms.slots {
                    return;
                }
            }
        }
    }

    /// A further lease makes sense only while there are tasks that nobody has taken.
    fn has_unclaimed_work(&self, job: JobId) -> bool {
        let job = self.state.job(job);
        job.is_active()
            && (job.next_fresh < job.spec.tasks || !job.again.is_empty() || !job.starved.is_empty())
    }

    /// The best offers by score that the escrow can pay for, best first, at most `wanted`. Quality is at most 1, so a score
    /// is never below the price: the search in price order ends when the next price is above the worst score kept.
    pub(super) fn best_offers(&self, order: OrderId, wanted: usize) -> Vec<(u128, OfferId)> {
        let mut best: BTreeSet<(u128, OfferId)> = BTreeSet::new();
        for offer in self.offers_by_price(order) {
            let rate = &self.state.offer(offer).terms.rate;
            let price = price_key(rate);
            if best.len() >= wanted && best.last().is_some_and(|(worst, _)| price >= *worst) {
                break;
            }
            if self.offer_can_serve(order, offer) && self.funded_ms(order, offer, rate).is_some() {
                best.insert((self.score(offer, rate), offer));
                if best.len() > wanted {
                    best.pop_last();
                }
            }
        }
        best.into_iter().collect()
    }

    /// The live offers that match an order, cheapest first.
    fn offers_by_price(&self, order: OrderId) -> impl Iterator<Item = OfferId> {
        let wanted = Wanted::work(&self.state.order(order).terms);
        self.index.cheapest(wanted, self.rules.match_search_max as usize, move |id| {
            self.state.offers.get(id).map(|offer| offer.terms.as_ref())
        })
    }

    /// Offers could serve the job and its escrow can pay for none of them: a session takes its next prepayment, which is
    /// worth another try. Without one, a job by time, or by holds, ends once no lease is left that has time, and nothing is
    /// open that could still free money.
    fn refill_or_end(&mut self, order: OrderId) -> bool {
        let row = self.state.order(order);
        let job = row.job;
        let by_hold = matches!(row.terms.funding, Some(Funding::Hold { .. }));
        let needs_funds = row.terms.ceiling.unit == Unit::Ms || by_hold;
        if !needs_funds || !self.offers_by_price(order).any(|offer| self.offer_can_serve(order, offer)) {
            return false;
        }
        // Whatever is left: it pays for none of them.
        if self.refill(job, Msat::MAX) {
            return true;
        }
        let has_lease = self.open_leases_of(job).into_iter().any(|lease| {
            let row = self.state.lease(lease);
            row.phase.is_held() || !row.open_attempts.is_empty()
        });
        if !has_lease && !self.waits_for_money(job) {
            self.end_job(job, JobOutcome::OutOfFunds);
        }
        false
    }

    /// Price ÷ quality, comparable between offers of one unit.
    fn score(&self, offer: OfferId, rate: &Rate) -> u128 {
        let quality = u128::from(self.quality_ppm(offer).max(1));
        price_key(rate).saturating_mul(u128::from(PPM)) / quality
    }

    pub(super) fn quality_ppm(&self, offer: OfferId) -> u32 {
        let row = self.state.offer(offer);
        self.state.reputation.score(row.party, &row.terms.class, self.now()).quality_ppm
    }

    /// Whether everything but price and terms, which the index has checked, allows a lease of this offer now.
    pub(super) fn offer_can_serve(&self, order: OrderId, offer: OfferId) -> bool {
        let order = self.state.order(order);
        let offer = self.state.offer(offer);
        let needs = &order.terms.needs;
        let machine = self.state.machine(offer.machine);
        machine.presence == Presence::Live
            && machine.free.shortage(&needs.resources).is_none()
            && !self.state.job(order.job).avoid.contains(&offer.machine)
            && self.bond(offer.party) >= needs.min_bond_msat
            && (needs.min_reputation_ppm == 0 || {
                let score = self.state.reputation.score(offer.party, &offer.terms.class, self.now());
                score.score_ppm >= needs.min_reputation_ppm
            })
    }

    /// Leases of a job that are not closed.
    pub(super) fn open_leases_of(&self, job: JobId) -> Vec<LeaseId> {
        let leases = &self.state.job(job).leases;
        leases.iter().copied().filter(|lease| !self.state.lease(*lease).phase.is_closed()).collect()
    }
}

/// What one attempt of every task, with its replicas, may cost; for leases billed by time, every slot for its longest. Where
/// holds pay for the work, the budget is a reserve, which is checked with them; where results are paid to decrypt, it is
/// deposits and replicas.
fn smallest_budget(rules: &Rules, terms: &OrderTerms, spec: &JobSpec) -> Result<Msat, Rejection> {
    if let Some(Funding::Hold { .. }) = terms.funding {
        return Ok(Msat::ZERO);
    }
    let copies = match &spec.verification {
        Verification::None | Verification::Audit { .. } => 1,
        Verification::Replicas { k, .. } => u64::from(*k),
    };
    if let Some(Funding::Decrypt { deposit_ppm }) = terms.funding {
        let deposit = SalePrice::new(rules, &terms.ceiling, deposit_ppm)?.deposit_msat;
        let replicas = terms.ceiling.ceiling(1)?.times(copies.saturating_sub(1))?;
        return Ok(deposit.plus(replicas)?.times(spec.tasks.into())?);
    }
    Ok(match terms.ceiling.unit {
        Unit::Task => terms.ceiling.ceiling(u64::from(spec.tasks))?.times(copies)?,
        Unit::Fuel => terms.ceiling.ceiling(spec.limits.fuel)?.times(spec.tasks.into())?.times(copies)?,
        Unit::Ms => terms.ceiling.ceiling(terms.lease_max_ms)?.times(terms.slots.into())?,
    })
}

/// `None` when a verified job comes without an anchor.
#[expect(
    clippy::option_option,
    reason = "outer: whether the order is complete; inner: whether there are audits"
)]
fn new_audits(is_verified: bool, anchor: Option<Digest>, is_operators: bool) -> Option<Option<Audits>> {
    if !is_verified {
        return Some(None);
    }
    let buyer = KnownLink { link: anchor?, round: 0 };
    Some(Some(Audits { buyer, venue: None, is_operators, next_round: 0, open: None, backlog: Vec::new() }))
}
