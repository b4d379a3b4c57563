//! Sealed bids: made once, kept on disk, revealed in time.

use super::{Action, Agent, Kept, KeptKey, Mode, Request};
use crate::api::{AuctionDue, WorkAuction};
use market::{
    command::Command,
    id::OrderId,
    order::{OrderTerms, bid_seal},
    units::Rate,
};
use std::collections::BTreeSet;

impl Agent {
    pub(super) fn learn_auctions(&mut self, auctions: Vec<WorkAuction>, asked: u64) {
        if asked < self.bids_touched {
            // Older than the last answer: another look, rather than a bid that was made already.
            self.poll.is_recheck = true;
            return;
        }
        let open: BTreeSet<OrderId> = auctions.iter().map(|auction| auction.order).collect();
        // A commitment on its way may not be in this view yet.
        let is_over =
            |order: &OrderId| !open.contains(order) && !self.is_sent(|r| *r == Request::Bid(*order));
        let over: Vec<OrderId> = self.bids.keys().copied().filter(is_over).collect();
        for order in over {
            self.bids.remove(&order);
            self.actions.push(Action::Forget(vec![KeptKey::Bid(order)]));
        }
        self.auctions = auctions;
    }

    pub(super) fn bid(&mut self) {
        if self.mode != Mode::Open || self.wait(self.bidding) {
            return;
        }
        for auction in std::mem::take(&mut self.auctions) {
            if self.is_sent(|request| *request == Request::Bid(auction.order)) {
                self.auctions.push(auction);
                continue;
            }
            match auction.due {
                AuctionDue::Bid { .. } => self.commit_bid(&auction),
                AuctionDue::Reveal { .. } => self.reveal_bid(&auction),
                AuctionDue::Wait => {}
            }
            // What was acted on waits for the next view: the answer does not say more than that would.
        }
    }

    fn commit_bid(&mut self, auction: &WorkAuction) {
        let order = auction.order;
        // A bid that was kept before the last answer was lost has to be the same again.
        let Some(rate) = self.bids.get(&order).copied().or_else(|| self.price_of(&auction.terms, auction))
        else {
            return;
        };
        self.bids.insert(order, rate);
        self.actions.push(Action::Keep(vec![Kept::Bid { order, rate }]));
        let seal = bid_seal(order, self.identity.machine, &rate, &self.secrets.bid_salt(order).0);
        self.submit(Request::Bid(order), Command::CommitBid { order, offer: auction.offer, seal });
    }

    fn price_of(&self, terms: &OrderTerms, auction: &WorkAuction) -> Option<Rate> {
        let (_, own) = self.standing.iter().find(|(offer, _)| *offer == auction.offer)?;
        let rate = self.policy.bid(terms, &auction.limits, own)?;
        self.policy.risk(&auction.limits, &rate).is_none().then_some(rate)
    }

    fn reveal_bid(&mut self, auction: &WorkAuction) {
        let order = auction.order;
        // Without the price that was sealed there is nothing to reveal; an unrevealed bid only loses.
        let Some(rate) = self.bids.get(&order).copied() else { return };
        let salt = self.secrets.bid_salt(order);
        self.submit(Request::Bid(order), Command::RevealBid { order, offer: auction.offer, rate, salt });
    }
}
