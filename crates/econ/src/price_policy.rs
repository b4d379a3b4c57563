//! What a provider asks: never less than an hour costs it plus its margin, and above that what others ask.
//!
//! With `t` dollars a kilowatt-hour, `w` watts at work and `w₀` when idle, a utilization `u`, a purchase price `p`, of which the
//! fraction `r` is left after `l` years, and a margin `m`:
//!
//! ```text
//! power = t/1000 · (w − w₀)               where the machine would be on anyway
//! power = t/1000 · (w + w₀ · (1 − u)/u)   where it is on for this alone: idle hours are paid by the busy ones
//! wear  = p · (1 − r) / (l · 8760 · u)       nothing where the owner counts it as paid for
//! floor = (power + wear) · (1 + m) / (1 − f)
//! ```
//!
//! where the market keeps the fraction `f` of what buyers pay.

use crate::{
    answer::{Answer, Cell, Figures, Table},
    cost::{amortized_usd_per_hour, electricity_usd_per_hour, idle_hours_per_earning_hour},
    money::{BtcRate, Usd},
    question::{
        BTC_USD, IDLE_WATTS, LIFE_YEARS, PRICE, Quantity, QuestionError, RESIDUAL, TARIFF, UTILIZATION, WATTS,
    },
};
use market::units::{Msat, Rounding, mul_div};
use rust_decimal::{Decimal, RoundingStrategy, dec, prelude::ToPrimitive};
use serde::Serialize;

/// Millisatoshi of a bitcoin.
const MSAT_PER_BTC: Decimal = dec!(100_000_000_000);

/// What the owner of a machine knows about its costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// What it draws at work, in watts.
    pub watts: Decimal,
    /// What it draws when idle, in watts; not more than `watts`.
    pub idle_watts: Decimal,
    /// Whether it would be on anyway: then idle hours cost nothing that this work has to earn.
    pub is_always_on: bool,
    /// What a kilowatt-hour costs; not negative.
    pub usd_per_kwh: Usd,
    /// What it cost to buy, or `None` where that counts as paid for.
    pub purchase: Option<Purchase>,
    /// The share of the time that it earns; above 0, at most 1.
    pub utilization: Decimal,
    /// What the owner wants above cost, as a fraction; not negative.
    pub margin: Decimal,
    /// What the market keeps of what buyers pay, as a fraction below one; `None` where no market is named.
    pub fee_rate: Option<Decimal>,
    /// The rate to satoshi.
    pub btc: BtcRate,
}

/// A machine that has to earn back what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Purchase {
    /// The price; not negative.
    pub price_usd: Usd,
    /// What is left of the price in the end, as a fraction of it.
    pub residual: Decimal,
    /// How long it lasts, in years.
    pub life_years: Decimal,
}

/// What an owner may want above cost.
pub const MARGIN: Quantity =
    Quantity { name: "the margin", unit: " (a fraction: 0.2 is 20 %)", least: dec!(0), most: dec!(100) };

/// What a market may keep.
pub const FEE: Quantity = Quantity {
    name: "the market's fee",
    unit: " (a fraction: 0.02 is 2 %)",
    least: dec!(0),
    most: dec!(0.99),
};

impl Costs {
    /// Whether all of it can be.
    pub fn check(&self) -> Result<(), QuestionError> {
        WATTS.check(self.watts)?;
        Quantity { most: self.watts, ..IDLE_WATTS }.check(self.idle_watts)?;
        TARIFF.check_usd(self.usd_per_kwh)?;
        UTILIZATION.check(self.utilization)?;
        MARGIN.check(self.margin)?;
        FEE.check(self.fee_rate.unwrap_or_default())?;
        BTC_USD.check(self.btc.usd_per_btc)?;
        let Some(bought) = &self.purchase else { return Ok(()) };
        PRICE.check_usd(bought.price_usd)?;
        RESIDUAL.check(bought.residual)?;
        LIFE_YEARS.check(bought.life_years).map(drop)
    }

    /// The least that an hour of the whole machine may bring.
    pub fn floor(&self) -> Result<Floor, QuestionError> {
        self.check()?;
        // The checked ranges leave no divisor zero and no sum too large; should they ever, the costs are out of range.
        let too_much = |given: Decimal| QuestionError::OutOfRange {
            what: "the floor".into(),
            given,
            accepted: "less than all bitcoin".into(),
        };
        let idle_hours = idle_hours_per_earning_hour(self.utilization).ok_or(too_much(self.utilization))?;
        let idle_watts = self.idle_watts * if self.is_always_on { Decimal::NEGATIVE_ONE } else { idle_hours };
        let power = electricity_usd_per_hour(self.watts + idle_watts, self.usd_per_kwh);
        let wear = match &self.purchase {
            Some(Purchase { price_usd, residual, life_years }) => {
                let wear =
                    amortized_usd_per_hour(*price_usd, *price_usd * *residual, *life_years, self.utilization);
                wear.ok_or(too_much(*life_years))?
            }
            None => Usd::ZERO,
        };
        let margin = (power + wear) * self.margin;
        let wanted = power + wear + margin;
        let kept = Decimal::ONE - self.fee_rate.unwrap_or_default();
        let usd_per_hour = wanted.per(kept).ok_or(too_much(kept))?;
        // Up: a floor that is rounded down would be below cost.
        let msat = (usd_per_hour.0 * MSAT_PER_BTC / self.btc.usd_per_btc)
            .round_dp_with_strategy(0, RoundingStrategy::AwayFromZero);
        let msat = msat.to_u64().map(Msat).filter(|msat| *msat <= Msat::MAX);
        Ok(Floor {
            power_usd_per_hour: power,
            wear_usd_per_hour: wear,
            margin_usd_per_hour: margin,
            fee_usd_per_hour: usd_per_hour - wanted,
            usd_per_hour,
            msat_per_hour: msat.ok_or(too_much(usd_per_hour.0))?,
        })
    }
}

/// The least that an hour of the whole machine may bring, and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Floor {
    /// Electricity.
    pub power_usd_per_hour: Usd,
    /// What the machine loses.
    pub wear_usd_per_hour: Usd,
    /// What the owner wants above that.
    pub margin_usd_per_hour: Usd,
    /// What the market keeps of it.
    pub fee_usd_per_hour: Usd,
    /// All of it.
    pub usd_per_hour: Usd,
    /// The same in millisatoshi, rounded up.
    pub msat_per_hour: Msat,
}

/// How the going price changes an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Ask {
    /// Nobody else sells the like: the floor.
    Alone {
        /// The price.
        msat: Msat,
    },
    /// Others ask less than it costs here: the floor, and buyers go there.
    AboveOthers {
        /// The price.
        msat: Msat,
        /// What they ask.
        going_msat: Msat,
    },
    /// Others ask more: their price, or less of it the longer no work came.
    WithOthers {
        /// The price.
        msat: Msat,
        /// What they ask.
        going_msat: Msat,
    },
    /// The owner named the price.
    Own {
        /// The price.
        msat: Msat,
    },
    /// The owner named the price, and at the tariff of the hour it would lose money: nothing is offered.
    Withdrawn {
        /// The price.
        msat: Msat,
    },
}

/// Hours without work after which half of what is asked above the floor is given up.
pub const IDLE_HALF_LIFE_HOURS: u64 = 1;

impl Ask {
    /// The price for a floor, the lowest price of each other party that sells the like, and whole hours without work.
    ///
    /// The going price is the lower median over parties, so that one party that asks nothing, or the moon, moves it little
    /// however many offers it posts. What is asked above the floor halves with every [`IDLE_HALF_LIFE_HOURS`] without
    /// work: a price that is only pretended holds nobody up for long.
    pub fn new(floor: Msat, mut of_others: Vec<Msat>, idle_hours: u64) -> Ask {
        of_others.sort_unstable();
        let Some(going) = of_others.get(of_others.len().saturating_sub(1) / 2).copied() else {
            return Ask::Alone { msat: floor };
        };
        if going < floor {
            return Ask::AboveOthers { msat: floor, going_msat: going };
        }
        let halvings = u32::try_from(idle_hours / IDLE_HALF_LIFE_HOURS).unwrap_or(u32::MAX);
        let above = going.saturating_sub(floor).0.checked_shr(halvings).unwrap_or(0);
        Ask::WithOthers { msat: Msat(floor.0.saturating_add(above)), going_msat: going }
    }

    /// A price of the owner's own, beside its floor.
    pub fn own(msat: Msat, floor: Msat) -> Ask {
        if msat < floor { Ask::Withdrawn { msat } } else { Ask::Own { msat } }
    }

    /// The price.
    pub fn msat(&self) -> Msat {
        match self {
            Ask::Alone { msat }
            | Ask::AboveOthers { msat, .. }
            | Ask::WithOthers { msat, .. }
            | Ask::Own { msat }
            | Ask::Withdrawn { msat } => *msat,
        }
    }

    /// Whether it is offered.
    pub fn stands(&self) -> bool {
        !matches!(self, Ask::Withdrawn { .. })
    }
}

/// The share of a machine's floor that one of `leases` equal leases bears. Up: together they bear all of it. At least the
/// smallest price that there is: work that costs nothing is still not given away.
pub fn lease_floor(machine: Msat, leases: u64) -> Msat {
    Msat(machine.0.div_ceil(leases.max(1))).max(Msat(1))
}

/// What so much fuel costs at a price for an hour, at this speed; `None` when the speed is not known. Rounded up. What is asked
/// and what is declined both come from here, so that no machine declines its own price.
pub fn fuel_cost(hour: Msat, fuel: u64, fuel_per_second: u64) -> Option<Msat> {
    let fuel_per_hour = fuel_per_second.checked_mul(3_600).filter(|fuel| *fuel > 0)?;
    mul_div(hour.0, fuel, fuel_per_hour, Rounding::Up).map(Msat)
}

/// How a price came about, for `--explain-price`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The costs.
    pub costs: Costs,
    /// The floor of the whole machine.
    pub floor: Floor,
    /// How many leases share it.
    pub leases: u64,
    /// The floor of each.
    pub lease_floor_msat: Msat,
    /// The price of an hour of a lease, where one is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<Ask>,
    /// The price of 10⁹ fuel, where one is asked and the machine's speed is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub giga_fuel: Option<Ask>,
    /// The figures that it stands on.
    pub figures: Figures,
}

impl Answer for Explanation {
    fn title(&self) -> String {
        "What this machine asks, and why".into()
    }

    fn tables(&self) -> Vec<Table> {
        let columns = [("what", ""), ("usd_per_hour", "$/h"), ("sats_per_hour", "sat/h"), ("how", "how")];
        let mut table = Table::new("price", self.title(), &columns);
        let Costs {
            watts,
            idle_watts,
            is_always_on,
            usd_per_kwh,
            purchase,
            utilization,
            margin,
            fee_rate,
            btc,
        } = &self.costs;
        let mut row = |what: &str, amount: Usd, how: String| {
            table.row([
                Cell::text(what),
                Cell::Usd(amount, 5),
                Cell::sats(btc.sats(amount)),
                Cell::text(how),
            ]);
        };
        let idle = if *is_always_on {
            format!("({watts} W − {idle_watts} W that it draws anyway)")
        } else {
            format!("({watts} W + {idle_watts} W idle for each busy hour's share of the rest)")
        };
        row("power", self.floor.power_usd_per_hour, format!("{idle} × {:.4}/kWh", usd_per_kwh));
        let wear = match purchase {
            Some(Purchase { price_usd, residual, life_years }) => format!(
                "{price_usd} × (1 − {residual}) ÷ ({life_years} years × 8760 h × {utilization} of the time)"
            ),
            None => "counted as paid for".into(),
        };
        row("wear", self.floor.wear_usd_per_hour, wear);
        row("margin", self.floor.margin_usd_per_hour, format!("{margin} of both"));
        let fee = match fee_rate {
            Some(rate) => format!("{} % of what buyers pay", (*rate * Decimal::ONE_HUNDRED).normalize()),
            None => "no market is named: not counted".into(),
        };
        row("market's fee", self.floor.fee_usd_per_hour, fee);
        row("floor of the machine", self.floor.usd_per_hour, "never less".into());
        let per_lease = btc.usd_of(self.lease_floor_msat);
        row("floor of a lease", per_lease, format!("÷ {} leases at a time", self.leases));
        if let Some(hour) = &self.hour {
            let asked = btc.usd_of(hour.msat());
            row("asked for an hour of a lease", asked, because(hour));
        }
        vec![table]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let fuel = self.giga_fuel.map(|ask| format!("10^9 fuel: {}, {}.", ask.msat(), because(&ask)));
        fuel.into_iter().collect()
    }
}

fn because(ask: &Ask) -> String {
    match ask {
        Ask::Alone { .. } => "nobody else sells the like: the floor".into(),
        Ask::AboveOthers { going_msat, .. } => {
            format!("the floor; others ask {going_msat}, which would be a loss here")
        }
        Ask::WithOthers { going_msat, .. } => {
            format!("others ask {going_msat}; what is above the floor halves with every idle hour")
        }
        Ask::Own { .. } => "your own price".into(),
        Ask::Withdrawn { .. } => "your own price; it is below the floor now, and nothing is offered".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn costs() -> Costs {
        Costs {
            watts: dec!(450),
            idle_watts: dec!(50),
            is_always_on: false,
            usd_per_kwh: Usd(dec!(0.16)),
            purchase: Some(Purchase {
                price_usd: Usd(dec!(2500)),
                residual: Decimal::ZERO,
                life_years: dec!(3),
            }),
            utilization: dec!(0.5),
            margin: dec!(0.2),
            fee_rate: Some(Decimal::ZERO),
            btc: BtcRate {
                usd_per_btc: dec!(70_000),
                as_of: "2026-03-12".parse().unwrap(),
                source: "test".into(),
            },
        }
    }

    #[test]
    fn the_floor_is_power_wear_and_margin() {
        let floor = costs().floor().unwrap();
        assert_eq!(floor.power_usd_per_hour, Usd(dec!(0.080)), "450 W, and an idle hour for each busy one");
        assert_eq!(floor.wear_usd_per_hour.rounded(6), Usd(dec!(0.190259)));
        assert_eq!(floor.usd_per_hour, (floor.power_usd_per_hour + floor.wear_usd_per_hour) * dec!(1.2));
        assert_eq!(floor.msat_per_hour, Msat(463_301), "0.32431 dollars at 70,000 a bitcoin, rounded up");
    }

    #[test]
    fn a_machine_that_is_on_anyway_asks_for_its_extra_draw_only() {
        let costs = Costs { is_always_on: true, purchase: None, margin: Decimal::ZERO, ..costs() };
        assert_eq!(costs.floor().unwrap().usd_per_hour, Usd(dec!(0.064)));
    }

    #[test]
    fn costs_that_cannot_be_are_refused_with_their_range() {
        let error = |costs: Costs| costs.floor().unwrap_err().to_string();
        assert_eq!(
            error(Costs { watts: dec!(-1), ..costs() }),
            "the power is -1; it has to be from 0.1 to 1000000 W"
        );
        assert_eq!(
            error(Costs { utilization: dec!(1.3), ..costs() }),
            "the utilization is 1.3; it has to be from 0.001 to 1 (a fraction: 0.45 is 45 %)"
        );
        assert_eq!(
            error(Costs { idle_watts: dec!(451), ..costs() }),
            "the idle power is 451; it has to be from 0 to 450 W"
        );
    }

    #[test]
    fn one_party_alone_moves_the_going_price_of_three_little() {
        let floor = Msat(10);
        let others = |extreme| vec![Msat(extreme), Msat(50), Msat(60)];
        assert_eq!(Ask::new(floor, others(u64::MAX), 0).msat(), Msat(60));
        assert_eq!(Ask::new(floor, others(0), 0).msat(), Msat(50));
    }

    #[test]
    fn idle_hours_bring_the_price_down_to_the_floor_and_no_further() {
        let at = |hours| Ask::new(Msat(100), vec![Msat(180)], hours).msat();
        assert_eq!([at(0), at(1), at(2), at(1_000)], [Msat(180), Msat(140), Msat(120), Msat(100)]);
    }

    #[test]
    fn fuel_is_priced_by_the_speed_that_was_measured() {
        assert_eq!(fuel_cost(Msat(3_600_000), 1_000_000_000, 500_000_000), Some(Msat(2_000)));
        assert_eq!(fuel_cost(Msat(3_600_000), 1_000_000_000, 0), None);
    }

    #[test]
    fn what_the_market_keeps_is_asked_on_top() {
        let costs = Costs { margin: Decimal::ZERO, fee_rate: Some(dec!(0.02)), ..costs() };
        let floor = costs.floor().unwrap();
        let kept = floor.usd_per_hour * dec!(0.98);
        assert_eq!(kept.rounded(12), (floor.power_usd_per_hour + floor.wear_usd_per_hour).rounded(12));
    }

    #[test]
    fn work_that_costs_nothing_is_not_given_away() {
        let free = Costs { usd_per_kwh: Usd::ZERO, purchase: None, ..costs() };
        assert_eq!(lease_floor(free.floor().unwrap().msat_per_hour, 4), Msat(1));
    }

    proptest! {
        #[test]
        fn an_ask_is_never_below_the_floor(floor in 0u64..1 << 60, others in proptest::collection::vec(any::<u64>(), 0..9), hours: u64) {
            let others = others.into_iter().map(Msat).collect();
            prop_assert!(Ask::new(Msat(floor), others, hours).msat() >= Msat(floor));
        }

        #[test]
        fn a_dearer_tariff_never_lowers_the_floor(cents in 0u32..1_000, more in 0u32..1_000) {
            let at = |cents: u32| Costs { usd_per_kwh: Usd(Decimal::new(cents.into(), 2)), ..costs() }.floor().unwrap();
            prop_assert!(at(cents + more).msat_per_hour >= at(cents).msat_per_hour);
        }

        #[test]
        fn no_cost_makes_the_floor_panic(
            watts: i64, idle: i64, tariff: i64, price: i64, residual: i64, life: i64, scale in 0u32..28, use_ in 0i64..20_000, margin: i32,
        ) {
            let number = |n: i64| Decimal::new(n, scale);
            let costs = Costs {
                watts: number(watts),
                idle_watts: number(idle),
                usd_per_kwh: Usd(number(tariff)),
                purchase: Some(Purchase { price_usd: Usd(number(price)), residual: number(residual), life_years: number(life) }),
                utilization: Decimal::new(use_, 4),
                margin: Decimal::new(margin.into(), 3),
                ..costs()
            };
            if let Ok(floor) = costs.floor() {
                prop_assert!(floor.usd_per_hour.0 >= Decimal::ZERO);
            }
        }
    }
}
