//! Auctions: sealed bids, reveals, clearing.

use super::{
    Actor, Engine,
    state::{OrderPhase, RevealedBid, SealedBid, Timer},
};
use crate::{
    auction::{Candidate, clear},
    event::{Event, JobOutcome},
    id::{Digest, OfferId, OrderId},
    matching::{Mismatch, Wanted, is_within},
    order::{OrderKind, bid_seal},
    rejection::{Conflict, Entity, Rejection},
    reply::Reply,
    units::Rate,
};
use std::collections::BTreeMap;

/// The most sealed bids of one auction.
const BIDS_MAX: usize = 10_000;
/// How many standing offers beyond the slots take part in an auction.
const STANDING_EXTRA: usize = 64;

impl Engine {
    pub(super) fn commit_bid(
        &mut self,
        actor: Actor,
        order: OrderId,
        offer: OfferId,
        seal: Digest,
    ) -> Result<Reply, Rejection> {
        let row = self.state.orders.get(order).ok_or(Rejection::Unknown(Entity::Order(order)))?;
        let bidder = self.state.offers.get(offer).ok_or(Rejection::Unknown(Entity::Offer(offer)))?;
        self.check_controls(actor, bidder.machine)?;
        let conflict = |is| Err(Rejection::conflict(Entity::Order(order), is));
        let OrderPhase::Bidding { until, seals } = &row.phase else {
            let is_auction = matches!(row.terms.kind, OrderKind::Auction { .. });
            return conflict(if is_auction { Conflict::WrongPhase } else { Conflict::NotAuction });
        };
        if self.now() >= *until {
            return conflict(Conflict::WrongPhase);
        }
        if seals.contains_key(&bidder.machine) {
            return conflict(Conflict::BidTwice);
        }
        if seals.len() >= BIDS_MAX {
            return conflict(Conflict::Limit);
        }
        // The bid may be below the standing price, so that the price alone is no reason to refuse it.
        let mismatch = Wanted::work(&row.terms).mismatch(&bidder.terms);
        let matches = matches!(mismatch, None | Some(Mismatch::Price { .. }));
        if !matches || !self.offer_can_serve(order, offer) {
            return conflict(Conflict::NoMatch);
        }
        let machine = bidder.machine;
        if let OrderPhase::Bidding { seals, .. } = &mut self.state.order_mut(order).phase {
            seals.insert(machine, SealedBid { offer, seal });
        }
        self.emit(Event::BidCommitted { order, machine, offer });
        Ok(Reply::Done)
    }

    pub(super) fn reveal_bid(
        &mut self,
        actor: Actor,
        order: OrderId,
        offer: OfferId,
        rate: &Rate,
        salt: &Digest,
    ) -> Result<Reply, Rejection> {
        let row = self.state.orders.get(order).ok_or(Rejection::Unknown(Entity::Order(order)))?;
        let bidder = self.state.offers.get(offer).ok_or(Rejection::Unknown(Entity::Offer(offer)))?;
        self.check_controls(actor, bidder.machine)?;
        let machine = bidder.machine;
        let conflict = |is| Err(Rejection::conflict(Entity::Order(order), is));
        let OrderPhase::Revealing { until, seals, .. } = &row.phase else {
            return conflict(Conflict::WrongPhase);
        };
        if self.now() >= *until {
            return conflict(Conflict::WrongPhase);
        }
        let expected = SealedBid { offer, seal: bid_seal(order, machine, rate, &salt.0) };
        let ceiling = &row.terms.ceiling;
        let fits = rate.unit == ceiling.unit && rate.per > 0 && rate.msat.0 > 0 && is_within(rate, ceiling);
        if seals.get(&machine) != Some(&expected) || !fits {
            return conflict(Conflict::BidMismatch);
        }
        let mut all_revealed = false;
        if let OrderPhase::Revealing { seals, bids, .. } = &mut self.state.order_mut(order).phase {
            seals.remove(&machine);
            bids.insert(machine, RevealedBid { offer, rate: *rate });
            all_revealed = seals.is_empty();
        }
        self.emit(Event::BidRevealed { order, machine, rate: *rate });
        if all_revealed {
            self.clear_auction(order);
        }
        Ok(Reply::Done)
    }

    /// The window of an auction has ended: from bidding to revealing, from revealing to clearing.
    pub(super) fn auction_window_ends(&mut self, order: OrderId) {
        let now = self.now();
        let Some(row) = self.state.orders.get_mut(order) else { return };
        let OrderKind::Auction { reveal_ms, .. } = row.terms.kind else { return };
        match &mut row.phase {
            OrderPhase::Bidding { seals, .. } if !seals.is_empty() => {
                let until = now.plus(reveal_ms);
                let seals = std::mem::take(seals);
                row.phase = OrderPhase::Revealing { until, seals, bids: BTreeMap::new() };
                self.set_timer(until, Timer::AuctionWindow(order));
                self.emit(Event::BidsClosed { order, reveal_until_ms: until });
            }
            OrderPhase::Bidding { .. } | OrderPhase::Revealing { .. } => self.clear_auction(order),
            OrderPhase::Open | OrderPhase::Closed => {}
        }
    }

    /// Decides an auction among the revealed bids and the standing offers of machines that did not bid.
    fn clear_auction(&mut self, order: OrderId) {
        let row = self.state.order_mut(order);
        let phase = std::mem::replace(&mut row.phase, OrderPhase::Open);
        let (job, slots, ceiling) = (row.job, row.terms.slots, row.terms.ceiling);
        let OrderKind::Auction { price, .. } = row.terms.kind else { return };
        let (bids, unrevealed) = match phase {
            OrderPhase::Revealing { bids, seals, .. } => (bids, seals),
            OrderPhase::Bidding { seals, .. } => (BTreeMap::new(), seals),
            OrderPhase::Open | OrderPhase::Closed => return,
        };
        self.state.open_orders.insert(order);
        let mut candidates = Vec::new();
        for (machine, bid) in &bids {
            if self.state.offers.get(bid.offer).is_some() && self.offer_can_serve(order, bid.offer) {
                candidates.push(self.candidate(bid.offer, *machine, bid.rate));
            }
        }
        for (_, offer) in self.best_offers(order, slots as usize + STANDING_EXTRA) {
            let row = self.state.offer(offer);
            // Whoever sealed a bid stands by that bid, and whoever did not reveal it has lost.
            if !bids.contains_key(&row.machine) && !unrevealed.contains_key(&row.machine) {
                candidates.push(self.candidate(offer, row.machine, row.terms.rate));
            }
        }
        let needs = self.state.order(order).terms.needs.resources.clone();
        let awards = clear(&candidates, slots, price, &ceiling, |candidate, already_awarded| {
            self.state.machine(candidate.machine).free.holds(&needs, already_awarded.saturating_add(1))
        });
        let mut won = 0;
        for award in &awards {
            won += u32::from(self.grant_lease(order, award.offer, award.rate, false).is_some());
        }
        let bids = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        let unrevealed = u32::try_from(unrevealed.len()).unwrap_or(u32::MAX);
        self.emit(Event::AuctionCleared { order, bids, unrevealed, won });
        if won == 0 {
            self.end_job(job, JobOutcome::NoBids);
        }
    }

    fn candidate(&self, offer: OfferId, machine: crate::id::MachineId, rate: Rate) -> Candidate {
        Candidate { machine, offer, rate, quality_ppm: self.quality_ppm(offer) }
    }
}
