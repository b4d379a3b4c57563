//! Questions about the market that both sides ask: why no offer takes my order, and why nobody wants my offer. Answers
//! are about how things stand now; nothing here changes the state.
//!
//! A venue may have a million offers. An answer looks at no more than [`OFFERS_LOOKED_AT`] of them, spread evenly over
//! all, and says how many it looked at.

mod idle;
mod reason;

pub use idle::{Chance, OrderChance, Prices, WhyIdle};
pub use reason::Reason;

use crate::{
    engine::state::{Offer, OrderPhase, State},
    id::{OfferId, OrderId},
    matching::price_key,
    offer::OfferRole,
    order::OrderTerms,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// How many offers an answer looks at.
pub const OFFERS_LOOKED_AT: usize = 10_000;

/// How the standing offers compare with the terms of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// All standing offers.
    pub offers: u64,
    /// How many of them were looked at, spread evenly.
    pub looked_at: u32,
    /// How many of these can serve the order now.
    pub fit: u32,
    /// Why the others cannot, the most frequent reason first.
    pub reasons: Vec<ReasonCount>,
    /// Offers that come closest, near misses and low prices first.
    pub closest: Vec<Miss>,
}

/// How often a reason was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// The stable word of the reason, [`Reason::code`].
    pub code: String,
    /// How many of the offers that were looked at.
    pub offers: u32,
    /// The first of them.
    pub example: Miss,
}

/// An offer that cannot serve, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// The offer.
    pub offer: OfferId,
    /// The first thing that stands in the way.
    pub reason: Reason,
}

/// Why an order has no more leases than it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyOrder {
    /// The order.
    pub order: OrderId,
    /// How many leases it wants.
    pub slots: u32,
    /// How many it has.
    pub held_slots: u32,
    /// What it is doing about the rest.
    pub phase: Taking,
    /// How the standing offers compare.
    pub survey: Survey,
}

/// Whether an order takes offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taking {
    /// Sealed bids, until its window closes.
    Bids,
    /// The reveals of its bids.
    Reveals,
    /// The best standing offers.
    Offers,
    /// Nothing more.
    Nothing,
}

impl From<&OrderPhase> for Taking {
    fn from(phase: &OrderPhase) -> Taking {
        match phase {
            OrderPhase::Bidding { .. } => Taking::Bids,
            OrderPhase::Revealing { .. } => Taking::Reveals,
            OrderPhase::Open => Taking::Offers,
            OrderPhase::Closed => Taking::Nothing,
        }
    }
}

impl State {
    /// Why an order has no more leases than it has, with at most `limit` single offers; `None` without such an order.
    pub fn why_order(&self, order: OrderId, limit: usize) -> Option<WhyOrder> {
        let row = self.orders.get(order)?;
        Some(WhyOrder {
            order,
            slots: row.terms.slots,
            held_slots: row.held_slots,
            phase: Taking::from(&row.phase),
            survey: self.survey_with(limit, |offer| self.why_unfit(row, offer)),
        })
    }

    /// How the standing offers compare with the terms of an order that was not placed, with at most `limit` single offers.
    pub fn survey(&self, terms: &OrderTerms, limit: usize) -> Survey {
        self.survey_with(limit, |offer| self.why_unfit_for(terms, OfferRole::Work, offer))
    }

    fn survey_with(&self, limit: usize, why_unfit: impl Fn(OfferId) -> Option<Reason>) -> Survey {
        let mut survey = Survey {
            offers: self.offers.len() as u64,
            looked_at: 0,
            fit: 0,
            reasons: Vec::new(),
            closest: Vec::new(),
        };
        let mut counts: BTreeMap<&'static str, ReasonCount> = BTreeMap::new();
        let mut misses = Vec::new();
        for (offer, row) in self.some_offers() {
            survey.looked_at += 1;
            let Some(reason) = why_unfit(offer) else {
                survey.fit += 1;
                continue;
            };
            let code = reason.code();
            let miss = Miss { offer, reason };
            let count = counts.entry(code).or_insert_with(|| ReasonCount {
                code: code.into(),
                offers: 0,
                example: miss.clone(),
            });
            count.offers += 1;
            misses.push((!miss.reason.is_near_miss(), price_key(&row.terms.rate), miss));
        }
        survey.reasons = counts.into_values().collect();
        survey.reasons.sort_by_key(|count| std::cmp::Reverse(count.offers));
        misses.sort_by_key(|(is_far, price, miss)| (*is_far, *price, miss.offer));
        survey.closest = misses.into_iter().take(limit).map(|(_, _, miss)| miss).collect();
        survey
    }

    /// At most [`OFFERS_LOOKED_AT`] standing offers: every one, or every second, every third…
    fn some_offers(&self) -> impl Iterator<Item = (OfferId, &Offer)> {
        let step = self.offers.len().div_ceil(OFFERS_LOOKED_AT).max(1);
        self.offers.iter().step_by(step)
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Survey { offers, looked_at, fit, reasons, closest } = self;
        if *offers == 0 {
            return writeln!(f, "there are no standing offers");
        }
        writeln!(f, "{fit} of {looked_at} offers fit now; {offers} stand in all")?;
        for ReasonCount { offers, example: Miss { offer, reason }, .. } in reasons {
            writeln!(f, "{offers} like {offer}: {reason}")?;
        }
        if !closest.is_empty() {
            writeln!(f, "closest:")?;
        }
        closest.iter().try_for_each(|Miss { offer, reason }| writeln!(f, "  {offer}: {reason}"))
    }
}

impl fmt::Display for WhyOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let takes = match self.phase {
            Taking::Bids => "takes sealed bids",
            Taking::Reveals => "waits for bids to be revealed",
            Taking::Offers => "takes standing offers",
            Taking::Nothing => "takes nothing more",
        };
        writeln!(f, "{} has {} of {} leases and {takes}", self.order, self.held_slots, self.slots)?;
        self.survey.fmt(f)
    }
}

#[cfg(test)]
mod tests;
