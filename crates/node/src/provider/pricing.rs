//! Prices that follow the market and stay above cost, by the rules of [`econ::price_policy`].
//!
//! Where the owner says what the machine costs, nothing is sold at a loss: with `price = "auto"` the price of an hour is at
//! least its floor at the tariff of the hour, and offers end before a dearer tariff begins; with prices of the owner's own,
//! offers below the floor are withdrawn for as long as they would lose money.

use super::{
    Policy,
    agent::{Identity, Tally},
    config::{AutoPrice, ConfigError, ProvideConfig},
    hardware::Hardware,
    schedule::WeeklyHours,
};
use crate::{
    api::OfferView,
    client::{ClientError, Market, OfferQuery},
    config_file::Share,
};
use econ::{
    answer::Figures,
    catalogue::{Catalogue, Row},
    money::{BtcRate, Usd},
    price_policy::{Ask, Costs, Explanation, Purchase, fuel_cost, lease_floor},
    question::{
        LIFE_YEARS, PRICE, QuestionError, Tariff, UTILIZATION, WATTS, bitcoin, given, given_or_assumed,
    },
};
use jiff::{Span, civil::DateTime};
use market::{
    id::PartyId,
    resources::{Isolation, Resources},
    units::{Msat, PPM, Rate, Unit},
};
use rust_decimal::Decimal;
use serde::Deserialize;
use std::{collections::BTreeMap, convert::Infallible, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

/// How often prices are looked at.
pub const REPRICE_EVERY: Duration = Duration::from_secs(300);
/// How many offers are read to find the going price: the oldest ones, in pages of the market's size.
const OFFER_PAGES_MAX: usize = 5;
const OFFERS_PER_PAGE: u32 = 1_000;
/// Leases are offered for multiples of so many minutes where a dearer tariff limits them, and never for less.
const STEP_MINUTES: i64 = 15;
/// How many minutes later than it was posted an offer may be taken, and its lease begin: until the next look, and the time that the
/// market gives to start.
const SLACK_MINUTES: i64 = 10;
/// Tariffs repeat themselves after so many minutes.
const WEEK_MINUTES: i64 = 7 * 24 * 60;

/// What the owner says about costs, in `provide.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostsConfig {
    /// The machine, as `grist econ catalog show hardware` calls it: its draw and price are taken from there.
    pub hardware: Option<String>,
    /// Its draw at work, in watts.
    pub watts: Option<Decimal>,
    /// Its draw when idle, in watts.
    pub idle_watts: Option<Decimal>,
    /// Whether it would be on anyway.
    pub always_on: bool,
    /// The price of a kilowatt-hour.
    pub usd_per_kwh: Option<Decimal>,
    /// A region of the catalogue, instead of a price.
    pub region: Option<String>,
    /// Hours at which electricity costs something else.
    pub tariff_hours: Vec<TariffHours>,
    /// What the machine cost.
    pub price_usd: Option<Decimal>,
    /// What is left of that in the end.
    pub residual: Option<Share>,
    /// How long it lasts.
    pub life_years: Option<Decimal>,
    /// Whether it is paid for: only power counts.
    pub paid_for: bool,
    /// The share of the time that it earns.
    pub utilization: Option<Share>,
    /// What the owner wants above cost.
    pub margin: Option<Share>,
    /// What a bitcoin costs, in dollars.
    pub btc_usd: Option<Decimal>,
}

/// A tariff for some hours of the week.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffHours {
    /// Which hours, local time.
    pub hours: WeeklyHours,
    /// The price of a kilowatt-hour in them.
    pub usd_per_kwh: Decimal,
}

/// Costs that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CostsError {
    /// A number that cannot be, or a name that the catalogue does not know.
    #[error(transparent)]
    Bad(#[from] QuestionError),
    /// Something is not said.
    #[error("the costs lack something: say {0}")]
    Missing(&'static str),
}

/// What a price for fuel is a price of.
const GIGA_FUEL: u64 = 1_000_000_000;
/// The margin where none is named.
const DEFAULT_MARGIN_PPM: u32 = 200_000;

impl CostsConfig {
    /// The costs, with what the catalogue knows where the owner says nothing, and the figures used.
    fn resolve(
        &self,
        catalogue: &Catalogue,
        fee_rate: Option<Decimal>,
    ) -> Result<(Costs, Figures), CostsError> {
        let mut figures = Figures::default();
        let hardware = self
            .hardware
            .as_deref()
            .map(|id| catalogue.hardware(id).map_err(QuestionError::from))
            .transpose()?;
        if let Some(row) = hardware {
            let value = format!("{} W, {}", row.train_watts.normalize(), row.price_usd);
            figures.cite(&row.name, value, &row.provenance());
        }
        let watts = given(WATTS, self.watts, &mut figures)?.or(hardware.map(|row| row.train_watts));
        let watts = watts.ok_or(CostsError::Missing(
            "`watts` (--watts), or `hardware` (--hardware) as the catalogue calls it",
        ))?;
        let tariff = match (self.usd_per_kwh, &self.region) {
            (Some(usd), _) => Tariff::UsdPerKwh(Usd(usd)),
            (None, Some(region)) => Tariff::Region(region.clone()),
            (None, None) => {
                return Err(CostsError::Missing(
                    "`usd_per_kwh` (--tariff), or a `region` of the catalogue in the file",
                ));
            }
        };
        let purchase = self.purchase(hardware.map(|row| row.price_usd), catalogue, &mut figures)?;
        let utilization = given_or_assumed(
            UTILIZATION,
            self.utilization.map(fraction),
            "utilization_for_amortization",
            catalogue,
            &mut figures,
        )?;
        let own_rate = self.btc_usd.map(|usd_per_btc| {
            catalogue.btc_rate().map(|rate| BtcRate { usd_per_btc, source: "you".into(), ..rate })
        });
        let btc =
            bitcoin(own_rate.transpose().map_err(QuestionError::from)?.as_ref(), catalogue, &mut figures)?;
        let usd_per_kwh = tariff.resolve(catalogue, &mut figures)?;
        let known_idle =
            hardware.and_then(|row| catalogue.idle_power(&row.id)).filter(|_| self.idle_watts.is_none());
        if let Some(row) = known_idle {
            figures.cite(
                format!("{} idle draw", row.key()),
                format!("{} W", row.idle_watts),
                &row.provenance(),
            );
        }
        let costs = Costs {
            watts,
            idle_watts: self.idle_watts.or(known_idle.map(|row| row.idle_watts)).unwrap_or(Decimal::ZERO),
            is_always_on: self.always_on,
            usd_per_kwh,
            purchase,
            utilization,
            margin: fraction(self.margin.unwrap_or(Share(DEFAULT_MARGIN_PPM))),
            fee_rate,
            btc,
        };
        costs.check()?;
        Ok((costs, figures))
    }

    /// What the machine cost, and how it loses its value; nothing where only power counts.
    fn purchase(
        &self,
        listed_usd: Option<Usd>,
        catalogue: &Catalogue,
        figures: &mut Figures,
    ) -> Result<Option<Purchase>, CostsError> {
        let price_usd = given(PRICE, self.price_usd, figures)?.map(Usd).or(listed_usd);
        if self.paid_for {
            return Ok(None);
        }
        let price_usd = price_usd.ok_or(CostsError::Missing(
            "what the machine cost with `price_usd` (--hardware-usd), or `paid_for = true` (--paid-for) where only power counts",
        ))?;
        let life_years = given_or_assumed(LIFE_YEARS, self.life_years, "hardware_life", catalogue, figures)?;
        let residual = self.residual.map_or(Decimal::ZERO, fraction);
        Ok(Some(Purchase { price_usd, residual, life_years }))
    }

    /// What electricity costs at a time of the week.
    fn tariff(&self, usual: Usd, at: DateTime) -> Usd {
        let special = self.tariff_hours.iter().find(|band| band.hours.contains(at));
        special.map_or(usual, |band| Usd(band.usd_per_kwh))
    }

    /// The tariff to reckon with from now on, and for how many minutes a lease may be offered before a dearer one begins;
    /// `None` where none does.
    fn outlook(&self, usual: Usd, now: DateTime) -> (Usd, Option<i64>) {
        let at = |minutes: i64| self.tariff(usual, now.saturating_add(Span::new().minutes(minutes)));
        // Even the shortest lease may begin late.
        let soon = STEP_MINUTES + SLACK_MINUTES;
        let tariff = (0..soon).map(at).fold(Usd::ZERO, Usd::max);
        let dearer = (soon..WEEK_MINUTES).find(|minutes| at(*minutes) > tariff);
        (tariff, dearer.map(|minutes| (minutes - SLACK_MINUTES) / STEP_MINUTES * STEP_MINUTES))
    }
}

fn fraction(share: Share) -> Decimal {
    Decimal::from(share.0) / Decimal::from(PPM)
}

/// Everything that a machine's prices depend on, except time and others.
#[derive(Debug, Clone)]
pub struct Pricing {
    config: ProvideConfig,
    hardware: Hardware,
    capacity: Resources,
    isolation: Isolation,
    fuel_per_second: u64,
    costs: Option<(CostsConfig, Costs, Figures)>,
}

impl Pricing {
    /// From what was chosen, found and measured. `fee_ppm` is what the market keeps, if one is known; `fuel_per_second` is 0
    /// where it is not known.
    pub fn new(
        config: ProvideConfig,
        catalogue: &Catalogue,
        fee_ppm: Option<u32>,
        hardware: Hardware,
        capacity: Resources,
        isolation: Isolation,
        fuel_per_second: u64,
    ) -> Result<Pricing, ConfigError> {
        config.rates()?;
        let costs = match (&config.costs, config.price) {
            (Some(said), _) => {
                let (costs, figures) = said.resolve(catalogue, fee_ppm.map(|ppm| fraction(Share(ppm))))?;
                for band in &said.tariff_hours {
                    Costs { usd_per_kwh: Usd(band.usd_per_kwh), ..costs.clone() }
                        .check()
                        .map_err(CostsError::from)?;
                }
                Some((said.clone(), costs, figures))
            }
            (None, Some(AutoPrice::Auto)) => return Err(ConfigError::NoCosts),
            (None, None) => None,
        };
        Ok(Pricing { config, hardware, capacity, isolation, fuel_per_second, costs })
    }

    /// Whether the prices change with time or with the market.
    pub fn is_moving(&self) -> bool {
        self.costs.is_some()
    }

    /// How the machine behaves now. `others` are offers of the market, its own among them; `idle_hours` are full hours
    /// without a lease.
    pub fn at(
        &self,
        now: DateTime,
        own: Option<PartyId>,
        others: &[OfferView],
        idle_hours: u64,
    ) -> Result<Priced, ConfigError> {
        let Some((said, costs, figures)) = &self.costs else {
            let policy = self.policy(&self.config.rates()?)?;
            return Ok(Priced { policy, explanation: None });
        };
        let (tariff, minutes) = said.outlook(costs.usd_per_kwh, now);
        let usual = costs.usd_per_kwh;
        let costs = Costs { usd_per_kwh: tariff, ..costs.clone() };
        let floor = costs.floor().map_err(CostsError::from)?;
        let leases = self.leases();
        let lease_floor_msat = lease_floor(floor.msat_per_hour, leases);
        let hour_floor = lease_floor_msat.max(self.config.cost_per_hour.0);
        let fuel_floor = fuel_cost(hour_floor, GIGA_FUEL, self.fuel_per_second);
        let going = |unit| self.going(unit, own, others);
        let named = |unit| self.named(unit);
        let (hour, giga_fuel) = match self.config.price {
            Some(AutoPrice::Auto) => (
                Some(Ask::new(hour_floor, going(Unit::Ms), idle_hours)),
                fuel_floor.map(|floor| Ask::new(floor, going(Unit::Fuel), idle_hours)),
            ),
            None => (
                named(Unit::Ms).map(|msat| Ask::own(msat, hour_floor)),
                // Without a speed nobody knows whether it pays.
                named(Unit::Fuel)
                    .map(|msat| fuel_floor.map_or(Ask::Withdrawn { msat }, |floor| Ask::own(msat, floor))),
            ),
        };
        let asked = |ask: &Option<Ask>| ask.filter(Ask::stands).map(|ask| ask.msat());
        let rates: Vec<Rate> = [
            // What a task costs depends on the task: the agent looks at each.
            named(Unit::Task).map(Rate::per_task),
            asked(&hour).map(Rate::per_hour),
            asked(&giga_fuel).map(Rate::per_giga_fuel),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut policy = self.policy(&rates)?;
        policy.cost_per_hour_msat = policy.cost_per_hour_msat.max(hour_floor);
        let until_dearer_ms =
            minutes.map(|minutes| u64::try_from(minutes).unwrap_or(0).saturating_mul(60_000));
        for offer in &mut policy.offers {
            offer.lease_max_ms = offer.lease_max_ms.min(until_dearer_ms.unwrap_or(u64::MAX));
        }
        let mut figures = figures.clone();
        if tariff != usual {
            figures.given("electricity now", format!("{} usd/kWh", tariff.0));
        }
        let explanation = Explanation { costs, floor, leases, lease_floor_msat, hour, giga_fuel, figures };
        Ok(Priced { policy, explanation: Some(explanation) })
    }

    /// The price that the owner named for this unit.
    fn named(&self, unit: Unit) -> Option<Msat> {
        let config = &self.config;
        let money = match unit {
            Unit::Task => config.price_per_task,
            Unit::Ms => config.price_per_hour,
            Unit::Fuel => config.price_per_giga_fuel,
        };
        money.map(|money| money.0)
    }

    fn policy(&self, rates: &[Rate]) -> Result<Policy, ConfigError> {
        self.config.policy(rates, &self.hardware, &self.capacity, self.isolation, self.fuel_per_second)
    }

    /// How many leases share the machine: a wasm task keeps one core busy; a GPU is leased whole.
    fn leases(&self) -> u64 {
        if self.capacity.gpus.is_some() { 1 } else { (self.capacity.cpu_milli / 1_000).max(1) }
    }

    /// The lowest price of each other party that sells the like in this unit now.
    fn going(&self, unit: Unit, own: Option<PartyId>, offers: &[OfferView]) -> Vec<Msat> {
        let cards =
            |resources: &Resources| resources.gpus.as_ref().map(|gpus| (gpus.model.clone(), gpus.count));
        let mut lowest: BTreeMap<PartyId, Msat> = BTreeMap::new();
        let likes = offers.iter().filter(|offer| {
            offer.is_live
                && Some(offer.party) != own
                && offer.terms.role == self.config.role
                && offer.terms.rate.unit == unit
                && cards(&offer.terms.resources) == cards(&self.capacity)
        });
        for offer in likes {
            let rate = &offer.terms.rate;
            let per = match unit {
                Unit::Ms => 3_600_000,
                Unit::Fuel => GIGA_FUEL,
                Unit::Task => 1,
            };
            // Prices that do not fit are no competition.
            let Ok(msat) = rate.msat.scale(per, rate.per, market::units::Rounding::Up) else { continue };
            let entry = lowest.entry(offer.party).or_insert(msat);
            *entry = msat.min(*entry);
        }
        lowest.into_values().collect()
    }
}

/// How a machine behaves now, and why.
#[derive(Debug, Clone)]
pub struct Priced {
    /// What it takes, and at which price.
    pub policy: Policy,
    /// The sum, where the costs are known.
    pub explanation: Option<Explanation>,
}

/// The offers that a going price is read from.
pub async fn read_offers(market: &Market) -> Result<Vec<OfferView>, ClientError> {
    let mut offers: Vec<OfferView> = Vec::new();
    for _ in 0..OFFER_PAGES_MAX {
        let after = offers.last().map(|offer| offer.offer);
        let page = market
            .offers(&OfferQuery { after, limit: Some(OFFERS_PER_PAGE), ..OfferQuery::default() })
            .await?;
        let is_last = page.len() < OFFERS_PER_PAGE as usize;
        offers.extend(page);
        if is_last {
            break;
        }
    }
    Ok(offers)
}

/// Keeps `policies` as the time, the market and the machine's own work want it. Never ends.
pub(super) async fn follow(
    pricing: Pricing,
    market: Market,
    identity: Identity,
    tally: watch::Receiver<Tally>,
    policies: watch::Sender<Policy>,
) -> Infallible {
    if !pricing.is_moving() {
        return std::future::pending().await;
    }
    let mut tick = tokio::time::interval(REPRICE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut busy_at, mut finished, mut others) = (Instant::now(), 0, Vec::new());
    loop {
        tick.tick().await;
        let seen = *tally.borrow();
        if seen.leases > 0 || seen.finished != finished {
            (busy_at, finished) = (Instant::now(), seen.finished);
        }
        let idle_hours = busy_at.elapsed().as_secs() / 3_600;
        // Without the market's offers those of the last time count: the tariff goes on all the same.
        match read_offers(&market).await {
            Ok(read) => others = read,
            Err(error) => tracing::warn!(%error, "the going price cannot be read; the last one counts"),
        }
        match pricing.at(jiff::Zoned::now().datetime(), Some(identity.party), &others, idle_hours) {
            Ok(priced) => {
                let is_new = policies.send_if_modified(|policy| {
                    let is_new = *policy != priced.policy;
                    if is_new {
                        *policy = priced.policy;
                    }
                    is_new
                });
                if is_new {
                    tracing::info!("prices have changed");
                }
            }
            Err(error) => tracing::warn!(%error, "no price can be made; the last one stands"),
        }
    }
}
