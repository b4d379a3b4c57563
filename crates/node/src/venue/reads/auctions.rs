//! Auctions as those who could bid in them see them.

use crate::api::{AuctionDue, WorkAuction};
use market::{
    engine::{
        State,
        state::{Machine, Order, OrderPhase},
    },
    id::{MachineId, OfferId, OrderId},
    matching::Wanted,
    units::Msat,
};

/// An auction as one machine sees it; `None` when none of its offers could take part.
pub(super) fn work_auction(
    state: &State,
    machine: MachineId,
    row: &Machine,
    id: OrderId,
) -> Option<WorkAuction> {
    let order = state.orders.get(id)?;
    let spec = &state.jobs.get(order.job)?.spec;
    let (offer, due) = match &order.phase {
        OrderPhase::Bidding { until, seals } => match seals.get(&machine) {
            Some(bid) => (bid.offer, AuctionDue::Wait),
            None => (matching_offer(state, row, order)?, AuctionDue::Bid { until_ms: *until }),
        },
        OrderPhase::Revealing { until, seals, bids } => match (seals.get(&machine), bids.get(&machine)) {
            (Some(bid), _) => (bid.offer, AuctionDue::Reveal { until_ms: *until }),
            (None, Some(bid)) => (bid.offer, AuctionDue::Wait),
            (None, None) => return None,
        },
        OrderPhase::Open | OrderPhase::Closed => return None,
    };
    let terms = market::order::OrderTerms { budget_msat: Msat::ZERO, ..order.terms.clone() };
    Some(WorkAuction { order: id, offer, terms, tasks: spec.tasks, limits: spec.limits.clone(), due })
}

/// The cheapest offer of a machine that could take part in an auction.
fn matching_offer(state: &State, machine: &Machine, order: &Order) -> Option<OfferId> {
    let wanted = Wanted::work(&order.terms);
    let offers = machine.offers.iter().map(|offer| (*offer, &state.offer(*offer).terms));
    let matching = offers.filter(|(_, terms)| wanted.mismatch(terms).is_none());
    matching.min_by_key(|(id, terms)| (market::matching::price_key(&terms.rate), *id)).map(|(id, _)| id)
}
