//! What a machine takes and at which price: pure decisions, made from numbers that its owner chose or that were measured.

use econ::price_policy::fuel_cost;
use market::{
    job::TaskLimits,
    matching::is_within,
    offer::OfferTerms,
    order::{AuctionPrice, OrderKind, OrderTerms},
    units::{Msat, PPM, Rate, Rounding, Unit, mul_div},
};
use std::collections::BTreeSet;

/// How a machine behaves in the market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The offers that should stand: at most one for each unit of price.
    pub offers: Vec<OfferTerms>,
    /// Fuel that one core burns in a second, as measured; 0 when it was not measured.
    pub fuel_per_second: u64,
    /// What an hour of one lease costs its owner (power, wear): no task is taken whose worst case costs more than it pays.
    pub cost_per_hour_msat: Msat,
    /// How far below the public price a sealed bid may go, in parts per million.
    pub discount_ppm: u32,
    /// How many bidders a first-price auction is assumed to have, this one included.
    pub assumed_bidders: u32,
    /// Execution profiles that the sandbox runs.
    pub profiles: BTreeSet<String>,
    /// How much work is claimed at once, in milliseconds.
    pub batch_ms: u64,
}

/// Why work is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Decline {
    /// The sandbox does not run the job's execution profile.
    #[error("this machine does not run the job's execution profile")]
    Profile,
    /// A task may time out before its fuel is burnt, and then nobody pays.
    #[error(
        "a task may use more fuel than this machine burns within the task's timeout, and would then be unpaid (its speed was \
         measured at the start: if it was busy then, start again)"
    )]
    Timeout,
    /// The worst case costs more than it pays.
    #[error("a task may cost this machine more than it pays")]
    Cost,
}

impl Policy {
    /// How much work is claimed at once, in milliseconds: long against a round trip to the market, short against the patience
    /// of whoever waits for the rest of the job.
    pub const BATCH_MS: u64 = 250;

    /// Why tasks with these limits under this profile at this price should be left to others, if they should.
    pub fn decline(&self, profile: &str, limits: &TaskLimits, rate: &Rate) -> Option<Decline> {
        if !self.profiles.contains(profile) {
            return Some(Decline::Profile);
        }
        self.risk(limits, rate)
    }

    /// Why tasks with these limits at this price could end unpaid or at a loss, if they could.
    pub fn risk(&self, limits: &TaskLimits, rate: &Rate) -> Option<Decline> {
        if self.burn_ms(limits.fuel).is_some_and(|ms| ms > limits.timeout_ms) {
            return Some(Decline::Timeout);
        }
        (rate.msat < self.cost(limits, rate.unit, rate.per)).then_some(Decline::Cost)
    }

    /// The price of a sealed bid, or `None` where the standing offer, which takes part at its public price anyway,
    /// is all that this machine wants to say.
    ///
    /// The floor is the public price less the discount, and never below cost. In a second-price auction the floor
    /// is the bid: winners are paid the first losing price, so bidding the true floor is the best that anybody can do
    /// (Vickrey 1961). In a first-price auction the bid is shaded towards the public price `h` by the equilibrium of
    /// `n` bidders whose floors `f` are spread evenly below it: `f + (h − f) ÷ n` (Krishna, Auction Theory, §2.3,
    /// turned around for buying).
    pub fn bid(&self, order: &OrderTerms, limits: &TaskLimits, own: &OfferTerms) -> Option<Rate> {
        let OrderKind::Auction { price, .. } = order.kind else { return None };
        let asked = own.rate;
        if asked.unit != order.ceiling.unit {
            return None;
        }
        let kept_ppm = PPM.saturating_sub(self.discount_ppm.into());
        // Up: a floor that is rounded down would be below what its owner allowed.
        let discounted = asked.msat.scale(kept_ppm, PPM, Rounding::Up).ok()?;
        let floor = discounted.max(self.cost(limits, asked.unit, asked.per)).max(Msat(1));
        let bid = match price {
            AuctionPrice::Second => floor,
            AuctionPrice::First => {
                let room = asked.msat.saturating_sub(floor).0;
                Msat(floor.0.saturating_add(room.div_ceil(u64::from(self.assumed_bidders.max(1)))))
            }
        };
        let rate = Rate { msat: bid, ..asked };
        (bid < asked.msat && is_within(&rate, &order.ceiling)).then_some(rate)
    }

    /// How long one core burns this fuel, in milliseconds; unknown without a measurement.
    fn burn_ms(&self, fuel: u64) -> Option<u64> {
        let is_measured = self.fuel_per_second > 0;
        is_measured.then(|| mul_div(fuel, 1_000, self.fuel_per_second, Rounding::Up).unwrap_or(u64::MAX))
    }

    /// What `per` units cost this machine's owner at worst, rounded up so that nothing is taken at a loss.
    fn cost(&self, limits: &TaskLimits, unit: Unit, per: u64) -> Msat {
        let ms = match unit {
            Unit::Ms => per,
            Unit::Task => {
                let task_ms = self.burn_ms(limits.fuel).unwrap_or(limits.timeout_ms).min(limits.timeout_ms);
                task_ms.saturating_mul(per)
            }
            Unit::Fuel => {
                return fuel_cost(self.cost_per_hour_msat, per, self.fuel_per_second).unwrap_or(Msat::ZERO);
            }
        };
        self.cost_per_hour_msat.scale(ms, 3_600_000, Rounding::Up).unwrap_or(Msat::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{
        offer::OfferRole,
        order::Needs,
        resources::{Isolation, Resources},
    };

    fn policy() -> Policy {
        Policy {
            offers: Vec::new(),
            fuel_per_second: 1_000_000_000,
            cost_per_hour_msat: Msat(3_600_000),
            discount_ppm: 400_000,
            assumed_bidders: 4,
            profiles: BTreeSet::from(["wasm-1".to_owned()]),
            batch_ms: 250,
        }
    }

    fn limits() -> TaskLimits {
        TaskLimits { memory_mib: 64, output_bytes: 1 << 20, fuel: 2_000_000_000, timeout_ms: 10_000 }
    }

    fn resources() -> Resources {
        Resources { cpu_milli: 1_000, memory_mib: 64, ..Resources::default() }
    }

    fn offer(rate: Rate) -> OfferTerms {
        OfferTerms {
            role: OfferRole::Work,
            rate,
            resources: resources(),
            isolation: Isolation::Wasm,
            region: "eu".parse().unwrap(),
            class: "x".parse().unwrap(),
            attributes: Default::default(),
            lease_max_ms: 1,
            holds: None,
            sales: None,
        }
    }

    fn auction(price: AuctionPrice, ceiling: Rate) -> OrderTerms {
        OrderTerms {
            kind: OrderKind::Auction { price, window_ms: 1, reveal_ms: 1 },
            slots: 1,
            ceiling,
            budget_msat: Msat(1),
            needs: Needs {
                resources: resources(),
                isolation: Isolation::Wasm,
                region: None,
                attributes: Default::default(),
                min_reputation_ppm: 0,
                min_bond_msat: Msat::ZERO,
            },
            lease_max_ms: 1,
            funding: None,
        }
    }

    #[test]
    fn a_second_price_bid_is_the_floor_and_a_first_price_bid_is_shaded() {
        let own = offer(Rate::per_task(Msat(10_000)));
        let bid = |price| policy().bid(&auction(price, Rate::per_task(Msat(9_000))), &limits(), &own);
        assert_eq!(bid(AuctionPrice::Second), Some(Rate::per_task(Msat(6_000))));
        assert_eq!(bid(AuctionPrice::First), Some(Rate::per_task(Msat(7_000))));
    }

    #[test]
    fn no_bid_goes_below_cost_or_above_the_ceiling() {
        let own = offer(Rate::per_task(Msat(10_000)));
        let dear = Policy { cost_per_hour_msat: Msat(4 * 3_600_000), ..policy() };
        let bid = dear.bid(&auction(AuctionPrice::Second, Rate::per_task(Msat(9_000))), &limits(), &own);
        assert_eq!(bid, Some(Rate::per_task(Msat(8_000))), "two seconds at four sat a second");
        let low = auction(AuctionPrice::Second, Rate::per_task(Msat(5_999)));
        assert_eq!(policy().bid(&low, &limits(), &own), None);
        let honest = Policy { discount_ppm: 0, ..policy() };
        assert_eq!(
            honest.bid(&auction(AuctionPrice::Second, Rate::per_task(Msat(9_000))), &limits(), &own),
            None
        );
    }

    #[test]
    fn work_that_could_end_unpaid_is_declined() {
        let pay = Rate::per_task(Msat(2_000));
        assert_eq!(policy().decline("wasm-1", &limits(), &pay), None);
        assert_eq!(policy().decline("wasm-9", &limits(), &pay), Some(Decline::Profile));
        let endless = TaskLimits { fuel: u64::MAX, ..limits() };
        assert_eq!(policy().decline("wasm-1", &endless, &pay), Some(Decline::Timeout));
        assert_eq!(policy().decline("wasm-1", &limits(), &Rate::per_task(Msat(1_999))), Some(Decline::Cost));
        assert_eq!(
            policy().decline("wasm-1", &limits(), &Rate::per_hour(Msat(3_599_999))),
            Some(Decline::Cost)
        );
        let unmeasured = Policy { fuel_per_second: 0, ..policy() };
        assert_eq!(unmeasured.decline("wasm-1", &limits(), &Rate::per_task(Msat(10_000))), None);
    }
}
