//! Orders and bids: how a buyer asks for capacity and how machines answer.

use crate::{
    funding::Funding,
    id::{Digest, MachineId, OrderId},
    name::Name,
    resources::{Attributes, Isolation, MAX_ATTRIBUTES, Resources},
    sparse::serialize_sparsely,
    units::{Msat, PPM, Rate},
};
use serde::{Deserialize, Serialize};

/// What the winners of an auction are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuctionPrice {
    /// Each winner is paid what it bid.
    First,
    /// Each slot of a winner is paid the highest bid that would still have won it: a losing score times the winner's own
    /// quality, up to the ceiling (see [`crate::auction`]); bidding one's true cost is then the best bid.
    Second,
}

/// How an order finds its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderKind {
    /// The best standing offers, now; slots left open take later offers.
    Ask,
    /// A reverse auction with sealed bids; standing offers take part at their public price.
    Auction {
        /// What winners are paid.
        price: AuctionPrice,
        /// How long sealed bids are taken, in milliseconds.
        window_ms: u64,
        /// How long bids are revealed after that, in milliseconds.
        reveal_ms: u64,
    },
}

/// What a machine must have to take part.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// What each lease reserves.
    pub resources: Resources,
    /// The weakest isolation that will do.
    pub isolation: Isolation,
    /// The region, if it matters.
    #[serde(default)]
    pub region: Option<Name>,
    /// Attributes that must be there with these values.
    #[serde(default)]
    pub attributes: Attributes,
    /// The lowest reputation of the party in the offer's hardware class, in parts per million.
    #[serde(default)]
    pub min_reputation_ppm: u32,
    /// The smallest bond of the party.
    #[serde(default)]
    pub min_bond_msat: Msat,
}

serialize_sparsely!(Needs {
    resources, isolation, region, attributes, min_reputation_ppm, min_bond_msat
} but region when there);

/// The terms of an order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderTerms {
    /// How leases are found.
    pub kind: OrderKind,
    /// How many leases are wanted.
    pub slots: u32,
    /// The highest price that is paid; its unit is the unit that offers must be priced in.
    pub ceiling: Rate,
    /// The most that the job may cost the buyer's balance, replicas and audits included. It is locked in escrow at once,
    /// unless `funding` says otherwise.
    pub budget_msat: Msat,
    /// What machines must have.
    pub needs: Needs,
    /// The longest that a lease may run, in milliseconds.
    pub lease_max_ms: u64,
    /// How the job is funded; none when the whole budget is locked at once.
    #[serde(default)]
    pub funding: Option<Funding>,
}

serialize_sparsely!(OrderTerms {
    kind, slots, ceiling, budget_msat, needs, lease_max_ms, funding
} but funding when there);

impl OrderTerms {
    /// The most slots of one order.
    pub const MAX_SLOTS: u32 = 10_000;
    /// The longest auction window or reveal window, in milliseconds.
    pub const MAX_WINDOW_MS: u64 = 86_400_000;

    /// The first thing that makes the terms unusable, in words.
    pub fn flaw(&self) -> Option<&'static str> {
        if self.slots == 0 || self.slots > Self::MAX_SLOTS {
            return Some("slots must be 1 to 10000");
        }
        if self.ceiling.per == 0 || self.ceiling.msat.0 == 0 {
            return Some("the ceiling must be a price above zero");
        }
        if self.budget_msat.0 == 0 {
            return Some("the budget is zero");
        }
        if self.lease_max_ms == 0 {
            return Some("a lease of zero length");
        }
        if !self.needs.resources.is_sane() {
            return Some("the resources are zero or far too large");
        }
        if self.needs.attributes.len() > MAX_ATTRIBUTES {
            return Some("more than 16 attributes");
        }
        if u64::from(self.needs.min_reputation_ppm) > PPM {
            return Some("a reputation above 1000000 ppm");
        }
        if let Some(flaw) = self.funding.and_then(|funding| funding.flaw(self.budget_msat)) {
            return Some(flaw);
        }
        match self.kind {
            OrderKind::Ask => None,
            OrderKind::Auction { window_ms, reveal_ms, .. } => {
                let fits = |ms| (1..=Self::MAX_WINDOW_MS).contains(&ms);
                (!fits(window_ms) || !fits(reveal_ms)).then_some("auction windows must be 1 ms to a day")
            }
        }
    }
}

/// The domain of bid seals.
const BID_SEAL_DOMAIN: &str = "gristmill 2026 bid seal v1";

/// The commitment to a bid: binds order, machine and price, hides the price.
pub fn bid_seal(order: OrderId, machine: MachineId, rate: &Rate, salt: &[u8; 32]) -> Digest {
    let unit = [rate.unit as u8];
    let (order, machine) = (order.0.to_le_bytes(), machine.0.to_le_bytes());
    let (msat, per) = (rate.msat.0.to_le_bytes(), rate.per.to_le_bytes());
    Digest::of_parts(BID_SEAL_DOMAIN, &[&order, &machine, &unit, &msat, &per, salt])
}
