//! Why an offer has no work, and what would have won.

use super::Reason;
use crate::{
    auction::{Candidate, by_score, highest_rate},
    engine::state::{Lease, Offer, Order, OrderPhase, Presence, State},
    id::{MachineId, OfferId, OrderId},
    matching::{PriceText, is_within, price_key},
    name::Name,
    offer::OfferRole,
    units::{Rate, TimeMs},
};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, fmt};

/// How many orders an answer looks at, the newest first.
const ORDERS_LOOKED_AT: usize = 100;
/// How many leases an answer looks at for the prices that are paid, the newest first.
const LEASES_LOOKED_AT: usize = 10_000;

/// Why an offer has no work, and what would have won.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyIdle {
    /// The offer.
    pub offer: OfferId,
    /// Its price.
    pub asks: Rate,
    /// Its hardware class.
    pub class: Name,
    /// What keeps its machine from all work.
    pub machine: Option<Reason>,
    /// Leases that its machine has, under whichever offer.
    pub leases: u32,
    /// Its chances at the newest orders, open and settled ones.
    pub orders: Vec<OrderChance>,
    /// What offers of its class and unit ask; none when there are no others.
    pub asked: Option<Prices>,
    /// What leases of its class and unit were granted at, the newest ones; none when there were none.
    pub paid: Option<Prices>,
}

/// The chance of an offer at one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderChance {
    /// The order.
    pub order: OrderId,
    /// Whether it still takes offers.
    pub is_open: bool,
    /// The chance.
    pub chance: Chance,
}

/// How an offer stands with an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chance {
    /// Its machine has, or had, a lease of the order.
    Leased,
    /// It cannot serve the order.
    Unfit(Reason),
    /// It takes part in an auction that is not decided, at its public price; a sealed bid may be lower.
    Bidding {
        /// Until when bids are taken or revealed.
        until: TimeMs,
    },
    /// Others were better.
    Outbid {
        /// The highest price at which it would have been better than the worst of them, by quality as it is today. After
        /// a second-price auction the winners may have bid less than they are paid, and less would have been needed.
        /// None: at no price.
        wins_at: Option<Rate>,
    },
    /// It fits, and there is no work left that nobody has taken.
    NoWorkLeft,
    /// It is a validator: it is drawn by lot when results are audited.
    DrawnByLot,
}

/// Prices of one unit, from the lowest to the highest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// Of how many.
    pub count: u32,
    /// The lowest.
    pub lowest: Rate,
    /// A quarter is not above it.
    pub lower_quartile: Rate,
    /// Half is not above it.
    pub median: Rate,
    /// Three quarters are not above it.
    pub upper_quartile: Rate,
    /// The highest.
    pub highest: Rate,
}

impl Prices {
    fn of(mut rates: Vec<Rate>) -> Option<Prices> {
        rates.sort_by_key(price_key);
        let at = |quarter: usize| rates.get((rates.len().checked_sub(1)?) * quarter / 4).copied();
        Some(Prices {
            count: u32::try_from(rates.len()).unwrap_or(u32::MAX),
            lowest: at(0)?,
            lower_quartile: at(1)?,
            median: at(2)?,
            upper_quartile: at(3)?,
            highest: at(4)?,
        })
    }
}

impl State {
    /// Why an offer has no work, and what would have won; `None` without such an offer.
    pub fn why_idle(&self, offer: OfferId) -> Option<WhyIdle> {
        let row = self.offers.get(offer)?;
        let machine = self.machine(row.machine);
        let gone = match machine.presence {
            Presence::Live => None,
            Presence::Lost { since } => Some(Reason::MachineLost { since }),
            Presence::Revoked => Some(Reason::MachineRevoked),
        };
        let orders = self.orders.iter().rev().take(ORDERS_LOOKED_AT).map(|(order, order_row)| OrderChance {
            order,
            is_open: !matches!(order_row.phase, OrderPhase::Closed),
            chance: self.chance(order_row, offer, row),
        });
        let is_peer = |unit, class: &Name| unit == row.terms.rate.unit && *class == row.terms.class;
        let asked = self.some_offers().filter(|(id, other)| {
            let is_live = self.machine(other.machine).presence == Presence::Live;
            let terms = &other.terms;
            *id != offer && is_live && terms.role == row.terms.role && is_peer(terms.rate.unit, &terms.class)
        });
        let leases = self.leases.iter().rev().take(LEASES_LOOKED_AT).map(|(_, lease)| lease);
        let paid = leases.filter(|lease| is_peer(lease.rate.unit, &lease.class));
        Some(WhyIdle {
            offer,
            asks: row.terms.rate,
            class: row.terms.class.clone(),
            machine: gone,
            leases: u32::try_from(machine.leases.len()).unwrap_or(u32::MAX),
            orders: orders.collect(),
            asked: Prices::of(asked.map(|(_, other)| other.terms.rate).collect()),
            paid: Prices::of(paid.map(|lease| lease.rate).collect()),
        })
    }

    fn chance(&self, order: &Order, offer: OfferId, row: &Offer) -> Chance {
        let leases = || self.job(order.job).leases.iter().map(|lease| self.lease(*lease));
        if leases().any(|lease| lease.machine == row.machine) {
            return Chance::Leased;
        }
        if let Some(reason) = self.why_unfit(order, offer) {
            return Chance::Unfit(reason);
        }
        if row.terms.role == OfferRole::Audit {
            return Chance::DrawnByLot;
        }
        match order.phase {
            OrderPhase::Bidding { until, .. } | OrderPhase::Revealing { until, .. } => {
                return Chance::Bidding { until };
            }
            OrderPhase::Open | OrderPhase::Closed => {}
        }
        let winners = leases().filter(|lease| !lease.is_audit).map(|lease| self.winner(lease));
        match winners.max_by(by_score) {
            Some(worst)
                if order.held_slots >= order.terms.slots || matches!(order.phase, OrderPhase::Closed) =>
            {
                let own = self.entrant(row.machine, offer, row);
                Chance::Outbid { wins_at: price_to_win(&own, &worst, &order.terms.ceiling) }
            }
            Some(_) | None => Chance::NoWorkLeft,
        }
    }

    fn entrant(&self, machine: MachineId, offer: OfferId, row: &Offer) -> Candidate {
        let quality_ppm = self.reputation.score(row.party, &row.terms.class, self.now).quality_ppm;
        Candidate { machine, offer, rate: row.terms.rate, quality_ppm }
    }

    /// The holder of a lease as it took part. Its offer is not remembered: only the machine breaks ties.
    fn winner(&self, lease: &Lease) -> Candidate {
        let quality_ppm = self.reputation.score(lease.party, &lease.class, self.now).quality_ppm;
        Candidate { machine: lease.machine, offer: OfferId(u64::MAX), rate: lease.rate, quality_ppm }
    }
}

/// The highest price at which a candidate is better than a rival.
fn price_to_win(own: &Candidate, rival: &Candidate, ceiling: &Rate) -> Option<Rate> {
    let wins = |rate: &Rate| {
        is_within(rate, ceiling) && by_score(&Candidate { rate: *rate, ..*own }, rival) == Ordering::Less
    };
    Some(highest_rate(&own.rate, wins)).filter(|rate| rate.msat.0 > 0)
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Chance::Leased => f.write_str("its machine has a lease of it"),
            Chance::Unfit(reason) => reason.fmt(f),
            Chance::Bidding { .. } => f.write_str(
                "takes part at its public price while the auction runs; a sealed bid may be lower",
            ),
            Chance::Outbid { wins_at: Some(rate) } => {
                write!(f, "was outbid; {} would have won", PriceText(rate))
            }
            Chance::Outbid { wins_at: None } => {
                f.write_str("was outbid, and no price would have made up for its quality")
            }
            Chance::NoWorkLeft => f.write_str("fits, and every task of it is taken"),
            Chance::DrawnByLot => f.write_str("fits, and is drawn by lot when results are audited"),
        }
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prices { count, lowest, median, highest, .. } = self;
        let [lowest, median, highest] = [lowest, median, highest].map(PriceText);
        write!(f, "{lowest} to {highest}, {median} in the middle, {count} in all")
    }
}

impl fmt::Display for WhyIdle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} asks {}; its machine has {} leases", self.offer, PriceText(&self.asks), self.leases)?;
        if let Some(reason) = &self.machine {
            writeln!(f, "it gets no work at all: {reason}")?;
        }
        if !self.orders.iter().any(|order| order.is_open) {
            writeln!(f, "there are no open orders")?;
        }
        for OrderChance { order, is_open, chance } in &self.orders {
            writeln!(f, "  {order}{}: {chance}", if *is_open { "" } else { " (over)" })?;
        }
        match &self.asked {
            Some(prices) => writeln!(f, "others of class {} ask {prices}", self.class)?,
            None => writeln!(f, "nobody else offers class {} in this unit", self.class)?,
        }
        match &self.paid {
            Some(prices) => writeln!(f, "leases of this class were granted at {prices}"),
            None => writeln!(f, "no lease of this class was granted lately"),
        }
    }
}
