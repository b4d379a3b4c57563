//! Standing offers.

use super::{
    Actor, Engine,
    state::{Machine, Offer, Presence},
};
use crate::{
    event::Event,
    id::{MachineId, OfferId, OrderId},
    matching::Wanted,
    offer::{OfferRole, OfferTerms},
    rejection::{Conflict, Entity, Rejection},
    reply::Reply,
};
use std::sync::Arc;

/// The most standing offers of one machine.
const OFFERS_PER_MACHINE_MAX: usize = 256;
/// How many open orders are tried at once; the others follow with the next ticks.
const ORDERS_TRIED_MAX: usize = 32;

impl Engine {
    pub(super) fn post_offer(
        &mut self,
        actor: Actor,
        machine: MachineId,
        terms: &OfferTerms,
    ) -> Result<Reply, Rejection> {
        let row = self.state.machines.get(machine).ok_or(Rejection::Unknown(Entity::Machine(machine)))?;
        self.check_controls(actor, machine)?;
        if row.presence == Presence::Revoked {
            return Err(Rejection::conflict(Entity::Machine(machine), Conflict::Revoked));
        }
        if row.offers.len() >= OFFERS_PER_MACHINE_MAX {
            return Err(Rejection::conflict(Entity::Machine(machine), Conflict::Limit));
        }
        self.check_terms(machine, terms)?;
        let party = row.party;
        let terms = Arc::new(terms.clone());
        let offer = self.state.offers.push(Offer { machine, party, terms: terms.clone() });
        self.state.machine_mut(machine).offers.insert(offer);
        self.list_offer(offer);
        self.emit(Event::OfferPosted { offer, machine, party, terms });
        self.try_orders_for(offer);
        Ok(Reply::Offer(offer))
    }

    pub(super) fn change_offer(
        &mut self,
        actor: Actor,
        offer: OfferId,
        terms: &OfferTerms,
    ) -> Result<Reply, Rejection> {
        let row = self.state.offers.get(offer).ok_or(Rejection::Unknown(Entity::Offer(offer)))?;
        self.check_controls(actor, row.machine)?;
        self.check_terms(row.machine, terms)?;
        let terms = Arc::new(terms.clone());
        self.unlist_offer(offer);
        self.state.offer_mut(offer).terms = terms.clone();
        self.list_offer(offer);
        self.emit(Event::OfferChanged { offer, terms });
        self.try_orders_for(offer);
        Ok(Reply::Done)
    }

    pub(super) fn withdraw_offer(&mut self, actor: Actor, offer: OfferId) -> Result<Reply, Rejection> {
        let row = self.state.offers.get(offer).ok_or(Rejection::Unknown(Entity::Offer(offer)))?;
        self.check_controls(actor, row.machine)?;
        self.retract_offer(offer);
        Ok(Reply::Done)
    }

    pub(super) fn withdraw_all_offers(&mut self, machine: MachineId) {
        for offer in self.state.machine(machine).offers.clone() {
            self.retract_offer(offer);
        }
    }

    pub(super) fn retract_offer(&mut self, offer: OfferId) {
        self.unlist_offer(offer);
        let machine = self.state.offer(offer).machine;
        self.state.offers.remove(offer);
        self.state.machine_mut(machine).offers.remove(&offer);
        self.emit(Event::OfferWithdrawn { offer });
    }

    /// Puts an offer where orders find it, if its machine can take anything.
    pub(super) fn list_offer(&mut self, offer: OfferId) {
        let row = self.state.offer(offer);
        if !self.state.machine(row.machine).is_offering() {
            return;
        }
        self.index.insert(offer, &row.terms);
        if row.terms.role == OfferRole::Audit {
            self.state.audit_offers.insert(offer);
        }
    }

    /// Takes an offer away from where orders find it.
    pub(super) fn unlist_offer(&mut self, offer: OfferId) {
        let row = self.state.offer(offer);
        if self.state.machine(row.machine).is_offering() {
            self.index.remove(offer, &row.terms);
        }
        self.state.audit_offers.remove(&offer);
    }

    /// Changes a machine in a way that may make its offers appear or vanish: full machines are not searched.
    pub(super) fn change_machine(&mut self, machine: MachineId, change: impl FnOnce(&mut Machine)) {
        let was_offering = self.state.machine(machine).is_offering();
        let row = self.state.machine_mut(machine);
        change(row);
        if row.is_offering() == was_offering {
            return;
        }
        for offer in self.state.machine(machine).offers.clone() {
            if was_offering {
                let terms = &self.state.offer(offer).terms;
                self.index.remove(offer, terms);
                self.state.audit_offers.remove(&offer);
            } else {
                self.list_offer(offer);
            }
        }
    }

    fn check_terms(&self, machine: MachineId, terms: &OfferTerms) -> Result<(), Rejection> {
        if let Some(flaw) = terms.flaw() {
            return Err(Rejection::Flaw(flaw.into()));
        }
        if let Some(kind) = self.state.machine(machine).capacity.shortage(&terms.resources) {
            return Err(Rejection::Flaw(format!("the offer sells more {kind:?} than {machine} has")));
        }
        Ok(())
    }

    /// A new offer may be what open orders wait for.
    fn try_orders_for(&mut self, offer: OfferId) {
        let terms = &self.state.offer(offer).terms;
        if terms.role != OfferRole::Work {
            return;
        }
        let orders = self.state.open_orders.iter().copied().take(ORDERS_TRIED_MAX);
        let fits = |order: &OrderId| Wanted::work(&self.state.order(*order).terms).mismatch(terms).is_none();
        for order in orders.filter(fits).collect::<Vec<_>>() {
            self.fill_slots(order);
        }
    }

    /// Tries the next open orders in turn, so that each gets its chance with time, however many there are.
    pub(super) fn try_open_orders(&mut self) {
        let after = self.state.last_order_tried;
        let mut orders: Vec<_> =
            self.state.open_orders.range(OrderId(after.0 + 1)..).copied().take(ORDERS_TRIED_MAX).collect();
        if orders.is_empty() {
            orders = self.state.open_orders.iter().copied().take(ORDERS_TRIED_MAX).collect();
        }
        self.state.last_order_tried = orders.last().copied().unwrap_or(OrderId(0));
        for order in orders {
            self.fill_slots(order);
        }
    }
}
