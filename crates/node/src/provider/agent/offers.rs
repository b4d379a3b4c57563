//! Keeps exactly those offers standing that the policy wants, whatever happened before.

use super::{Agent, Backoff, Mode, Request};
use market::{
    command::Command,
    id::OfferId,
    offer::{OfferRole, OfferTerms},
    reply::Reply,
    units::Unit,
};
use std::collections::BTreeMap;

/// Two offers of one machine never have the same role and unit: the second is a duplicate.
pub(super) type OfferSlot = (OfferRole, Unit);

/// What is known about the own offers beyond the last view.
#[derive(Debug, Default)]
pub(super) struct Offers {
    /// The turn in which the market last answered about a slot: older views do not count.
    touched: BTreeMap<OfferSlot, u64>,
    /// The turn in which the last view was asked for; 0 before the first.
    seen: u64,
    backoff: Backoff,
}

impl Offers {
    pub(super) fn saw(&mut self, asked: u64) {
        self.seen = asked;
    }
}

fn slot(terms: &OfferTerms) -> OfferSlot {
    (terms.role, terms.rate.unit)
}

impl Agent {
    pub(super) fn reconcile_offers(&mut self) {
        if self.offers.seen == 0 || self.wait(self.offers.backoff) {
            return;
        }
        let wanted: Vec<OfferTerms> = match self.mode {
            Mode::Open => self.policy.offers.clone(),
            Mode::Closed | Mode::Draining => Vec::new(),
        };
        let mut slots: Vec<OfferSlot> =
            wanted.iter().map(slot).chain(self.standing.iter().map(|(_, terms)| slot(terms))).collect();
        slots.sort_unstable();
        slots.dedup();
        for this in slots {
            let is_fresh = self.offers.touched.get(&this).is_none_or(|touched| *touched < self.offers.seen);
            if is_fresh && !self.is_sent(|request| *request == Request::Offer(this)) {
                let standing: Vec<_> =
                    self.standing.iter().filter(|(_, terms)| slot(terms) == this).collect();
                let wanted = wanted.iter().find(|terms| slot(terms) == this);
                if let Some(command) = self.difference(wanted, &standing) {
                    self.submit(Request::Offer(this), command);
                }
            }
        }
    }

    /// The next step from what stands in a slot to what should: the oldest offer is kept and changed, others are
    /// withdrawn.
    fn difference(
        &self,
        wanted: Option<&OfferTerms>,
        standing: &[&(OfferId, OfferTerms)],
    ) -> Option<Command> {
        match (wanted, standing) {
            (None, []) => None,
            (Some(terms), []) => {
                Some(Command::PostOffer { machine: self.identity.machine, terms: Box::new(terms.clone()) })
            }
            (None, [(offer, _), ..]) | (Some(_), [_, (offer, _), ..]) => {
                Some(Command::WithdrawOffer { offer: *offer })
            }
            (Some(terms), [(offer, stands)]) => (terms != stands)
                .then(|| Command::ChangeOffer { offer: *offer, terms: Box::new(terms.clone()) }),
        }
    }

    pub(super) fn offer_answered(&mut self, slot: OfferSlot, reply: Option<Reply>) {
        self.offers.touched.insert(slot, self.turn);
        match reply {
            Some(_) => self.offers.backoff.reset(),
            None => self.offers.backoff.fail(self.now),
        }
        // The poll that is out may have been answered before; without another the slot would not be looked at again.
        self.poll.is_recheck = true;
    }
}
