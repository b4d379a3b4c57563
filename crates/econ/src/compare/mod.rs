//! What the same work costs at clouds, on networks and in a running market.

mod availability;
mod elsewhere;
mod offers;
mod tables;

use crate::{
    answer::Figures,
    catalogue::{Catalogue, unknown},
    checkpoint::{Habit, Loss},
    date::AsOf,
    money::{BtcRate, HOURS_PER_MONTH, Usd},
    question::{self, QuestionError},
};
pub use availability::Availability;
pub use elsewhere::{Elsewhere, elsewhere};
use market::{
    offer::{OfferRole, OfferTerms},
    units::Unit,
};
use rust_decimal::Decimal;
use serde::Serialize;
use std::{fmt, str::FromStr};

/// Milliseconds of an hour.
const MS_PER_HOUR: u64 = 3_600_000;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The accelerator; `A100` means every A100.
    pub gpu: String,
    /// How many, from 1 to 10,000,000.
    pub count: u32,
    /// For how many hours, from 0.001 to 10,000,000.
    pub hours: Decimal,
    /// Only these terms; none means all. Live offers are always shown.
    pub terms: Vec<Terms>,
    /// Data that leaves the cloud.
    pub egress_gb: Decimal,
    /// Data that is kept there all the hours.
    pub storage_gb: Decimal,
    /// Prices beside the rent that the catalogue does not have.
    pub extras: Vec<Extra>,
    /// How reliable providers are, where the catalogue does not say.
    pub reliability: Vec<Reliability>,
    /// How the work saves its state; needed where `reliability` speaks of interruptions.
    pub checkpoint: Option<Habit>,
    /// Offers of a running market.
    pub live: Vec<LiveOffer>,
    /// What a bitcoin costs, instead of the catalogue's assumption.
    pub bitcoin: Option<BtcRate>,
}

impl Question {
    /// So many of an accelerator for so many hours, all terms, nothing beside.
    pub fn new(gpu: impl Into<String>, count: u32, hours: Decimal) -> Question {
        Question {
            gpu: gpu.into(),
            count,
            hours,
            terms: Vec::new(),
            egress_gb: Decimal::ZERO,
            storage_gb: Decimal::ZERO,
            extras: Vec::new(),
            reliability: Vec::new(),
            checkpoint: None,
            live: Vec::new(),
            bitcoin: None,
        }
    }
}

/// How something is rented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Terms {
    /// By the hour, at a list price.
    OnDemand,
    /// For a year or more.
    Reserved,
    /// For less, and taken away when somebody pays more.
    Spot,
    /// From whoever offers: auctions, distributed nodes.
    Network,
    /// From a market that was asked just now.
    Live,
}

impl Terms {
    const ALL: [Terms; 5] = [Terms::OnDemand, Terms::Reserved, Terms::Spot, Terms::Network, Terms::Live];

    /// What commands call it.
    pub fn name(self) -> &'static str {
        match self {
            Terms::OnDemand => "on-demand",
            Terms::Reserved => "reserved",
            Terms::Spot => "spot",
            Terms::Network => "network",
            Terms::Live => "live",
        }
    }

    /// The kind of terms that a source's words mean.
    fn of_words(words: &str) -> Terms {
        match words {
            "on-demand" | "centralized" => Terms::OnDemand,
            words if words.starts_with("reserved") => Terms::Reserved,
            words if words.starts_with("spot") => Terms::Spot,
            _ => Terms::Network,
        }
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Terms {
    type Err = crate::catalogue::Unknown;
    fn from_str(text: &str) -> Result<Terms, Self::Err> {
        let names = || Terms::ALL.iter().map(|terms| terms.name().to_owned());
        let found = Terms::ALL.into_iter().find(|terms| terms.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| unknown("terms", text, names()))
    }
}

/// Prices beside the rent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Whose, as the catalogue writes it.
    pub provider: String,
    /// For a gigabyte that leaves.
    pub egress_usd_per_gb: Option<Usd>,
    /// For a gigabyte that is kept for 720 hours.
    pub storage_usd_per_gb_month: Option<Usd>,
    /// What a buyer pays on top of the rent, as a share of it.
    pub buyer_fee_rate: Option<Decimal>,
}

/// How reliable something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reliability {
    /// A provider, or the name of terms (`spot`), or `all`; the first that is meant most closely counts.
    pub of: String,
    /// Hours between interruptions of one machine, from 0.001.
    pub mtbf_hours: Option<Decimal>,
    /// The share of the time that it is there, from 0.001 to 1; instead of what is promised.
    pub availability: Option<Decimal>,
}

/// An offer of a running market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOffer {
    /// The market, as people know it.
    pub market: String,
    /// The offer's name there.
    pub offer: String,
    /// The model of its accelerators; absent where it has none.
    pub gpu: Option<String>,
    /// How many accelerators it has.
    pub gpus: u32,
    /// What an hour of the whole costs, in millisatoshi.
    pub msat_per_hour: u64,
    /// The share of the time that it was there, as the market measured it.
    pub availability: Option<Decimal>,
    /// When it was read.
    pub as_of: AsOf,
}

impl LiveOffer {
    /// An offer of work on these terms, if it is priced by time: what a task or its fuel comes to in an hour is not known
    /// before.
    pub fn new(market: &str, offer: impl fmt::Display, terms: &OfferTerms, as_of: AsOf) -> Option<LiveOffer> {
        let msat = match (terms.role, terms.rate.unit) {
            (OfferRole::Work, Unit::Ms) => terms.rate.ceiling(MS_PER_HOUR).ok()?,
            (OfferRole::Work, Unit::Task | Unit::Fuel) | (OfferRole::Audit, _) => return None,
        };
        let gpus = terms.resources.gpus.as_ref();
        Some(LiveOffer {
            market: market.to_owned(),
            offer: offer.to_string(),
            gpu: gpus.map(|gpus| gpus.model.to_string()),
            gpus: gpus.map_or(0, |gpus| gpus.count),
            msat_per_hour: msat.0,
            availability: None,
            as_of,
        })
    }
}

/// What the same work costs, cheapest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What was asked for.
    pub gpu: String,
    /// How many.
    pub count: u32,
    /// For how long.
    pub hours: Decimal,
    /// What a bitcoin costs.
    pub bitcoin: BtcRate,
    /// How the work saves its state.
    pub checkpoint: Option<Habit>,
    /// Whether the ratios compare everything that is asked for, or the rent alone because other prices are not known.
    pub has_all_prices: bool,
    /// Who offers it.
    pub offers: Vec<Offer>,
    /// Live offers that have other accelerators, or none.
    pub live_of_other_kinds: usize,
    /// What all this stands on.
    pub figures: Figures,
}

/// Who offers it, and for how much.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Offer {
    /// A cloud, a network, a market.
    pub provider: String,
    /// Its accelerator, in its words.
    pub gpu: String,
    /// What is rented.
    pub configuration: String,
    /// The kind of terms.
    pub terms: Terms,
    /// The terms in the source's words.
    pub terms_words: String,
    /// An accelerator for an hour, low and high.
    pub gpu_usd_per_hour: (Usd, Usd),
    /// How many accelerators have to be paid: whole machines.
    pub paid_gpus: u32,
    /// How many machines those are; one that stops stops the work.
    pub machines: u32,
    /// Whether it has fewer accelerators than asked for. The price is for as many as asked, at its rate.
    pub is_short: bool,
    /// The rent for the whole time, low and high.
    pub rent_usd: (Usd, Usd),
    /// What the market keeps of the rent; it is part of the price.
    pub fee_rate: Option<Decimal>,
    /// What a buyer pays on top.
    pub buyer_fee: Charge,
    /// For data that leaves.
    pub egress: Charge,
    /// For data that is kept.
    pub storage: Charge,
    /// All of it that is known, low and high.
    pub total_usd: (Usd, Usd),
    /// How many times the cheapest; absent where the cheapest is free.
    pub ratio: Option<Decimal>,
    /// What is promised, in the source's words; empty where nothing is.
    pub promise: String,
    /// What was promised, measured or given.
    pub availability: Option<Availability>,
    /// What interruptions cost, where it was given how often they come.
    pub loss: Option<Loss>,
    /// An hour of work done by one accelerator, low and high; absent where the work does not end.
    pub useful_usd_per_hour: Option<(Usd, Usd)>,
    /// Who says so.
    pub source: String,
    /// When.
    pub as_of: AsOf,
    /// Whether the source rounds.
    pub is_approximate: bool,
}

/// A price beside the rent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// It was not asked for.
    NotAsked,
    /// It costs this.
    Usd(Usd),
    /// Nobody states it.
    NotKnown,
}

impl Charge {
    fn of(amount: Decimal, price: Option<Usd>) -> Charge {
        match price {
            _ if amount.is_zero() => Charge::NotAsked,
            Some(price) => Charge::Usd(price * amount),
            None => Charge::NotKnown,
        }
    }

    fn usd(self) -> Usd {
        match self {
            Charge::Usd(usd) => usd,
            Charge::NotAsked | Charge::NotKnown => Usd::ZERO,
        }
    }
}

/// Answers `question` from `catalogue`.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<Comparison, QuestionError> {
    question::COUNT.check_in(question.count.into(), "the number of accelerators")?;
    question::HOURS.check(question.hours)?;
    question::GIGABYTES.check(question.egress_gb)?;
    question::GIGABYTES.check(question.storage_gb)?;
    let mut figures = Figures::default();
    let bitcoin = question::bitcoin(question.bitcoin.as_ref(), catalogue, &mut figures)?;
    let mut offers = offers::all(question, catalogue, &bitcoin, &mut figures)?;
    add_extras(&mut offers, question, &mut figures)?;
    add_reliability(&mut offers, question, &mut figures)?;
    let has_all_prices = offers
        .iter()
        .all(|offer| ![offer.egress, offer.storage, offer.buyer_fee].contains(&Charge::NotKnown));
    let cost = |offer: &Offer| if has_all_prices { offer.total_usd } else { offer.rent_usd };
    offers.sort_by_key(|offer| (cost(offer), offer.provider.clone(), offer.terms_words.clone()));
    let cheapest = offers.iter().filter(|offer| !offer.is_short).map(|offer| cost(offer).0).min();
    for offer in &mut offers {
        let cost = if has_all_prices { offer.total_usd } else { offer.rent_usd };
        offer.ratio = cheapest.and_then(|cheapest| cost.0.ratio(cheapest));
    }
    let live_of_other_kinds =
        question.live.iter().filter(|live| !offers::is_asked(live, &question.gpu)).count();
    Ok(Comparison {
        gpu: question.gpu.clone(),
        count: question.count,
        hours: question.hours,
        bitcoin,
        checkpoint: question.checkpoint,
        has_all_prices,
        offers,
        live_of_other_kinds,
        figures,
    })
}

fn add_extras(offers: &mut [Offer], question: &Question, figures: &mut Figures) -> Result<(), QuestionError> {
    for extra in &question.extras {
        let is_known = offers.iter().any(|offer| offer.provider.eq_ignore_ascii_case(&extra.provider));
        if !is_known {
            let known = offers.iter().map(|offer| offer.provider.clone());
            return Err(unknown("provider", &extra.provider, known).into());
        }
        let prices =
            [("egress", extra.egress_usd_per_gb), ("storage for a month", extra.storage_usd_per_gb_month)];
        for (what, price) in prices.into_iter().filter_map(|(what, price)| Some((what, price?))) {
            question::USD_PER_GB.check_usd(price)?;
            figures.given(format!("{} {what}", extra.provider), format!("{} usd/GB", price.0));
        }
        if let Some(rate) = extra.buyer_fee_rate {
            question::FRACTION.check_in(rate, "the fee")?;
            figures.given(format!("{} fee on top", extra.provider), rate);
        }
    }
    for offer in offers {
        let extra = question.extras.iter().find(|extra| extra.provider.eq_ignore_ascii_case(&offer.provider));
        let months = question.hours / HOURS_PER_MONTH;
        offer.egress = Charge::of(question.egress_gb, extra.and_then(|extra| extra.egress_usd_per_gb));
        offer.storage =
            Charge::of(question.storage_gb * months, extra.and_then(|extra| extra.storage_usd_per_gb_month));
        let fee = extra.and_then(|extra| extra.buyer_fee_rate);
        offer.buyer_fee = fee.map_or(Charge::NotAsked, |rate| Charge::Usd(offer.rent_usd.0 * rate));
        let rate = fee.unwrap_or_default() + Decimal::ONE;
        let beside = offer.egress.usd() + offer.storage.usd();
        offer.total_usd = (offer.rent_usd.0 * rate + beside, offer.rent_usd.1 * rate + beside);
    }
    Ok(())
}

fn add_reliability(
    offers: &mut [Offer],
    question: &Question,
    figures: &mut Figures,
) -> Result<(), QuestionError> {
    for row in &question.reliability {
        if !offers.iter().any(|offer| closeness(row, offer) > 0) {
            let names =
                offers.iter().flat_map(|offer| [offer.provider.clone(), offer.terms.name().to_owned()]);
            return Err(unknown("provider or terms", &row.of, names).into());
        }
        if let Some(hours) = row.mtbf_hours {
            question::MTBF.check(hours)?;
            figures.given(format!("time between interruptions, {}", row.of), format!("{hours} h"));
        }
        if let Some(share) = row.availability {
            question::AVAILABILITY.check(share)?;
            figures.given(format!("availability, {}", row.of), share);
        }
    }
    for offer in offers {
        let mut rows: Vec<&Reliability> =
            question.reliability.iter().filter(|row| closeness(row, offer) > 0).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(closeness(row, offer)));
        if let Some(share) = rows.iter().find_map(|row| row.availability) {
            offer.availability = Some(Availability { low: share, high: share });
        }
        if let Some(mtbf_hours) = rows.iter().find_map(|row| row.mtbf_hours) {
            let habit = question.checkpoint.as_ref().ok_or(QuestionError::Missing {
                missing: "how long a checkpoint takes",
                because: "to reckon with interruptions",
            })?;
            offer.loss = Some(Loss::expected(habit, mtbf_hours, offer.machines)?);
        }
        offer.useful_usd_per_hour = useful(offer, question);
    }
    Ok(())
}

/// How closely `row` means `offer`: its provider 3, its terms 2, everything 1, something else 0.
fn closeness(row: &Reliability, offer: &Offer) -> u8 {
    if row.of.eq_ignore_ascii_case(&offer.provider) {
        3
    } else if row.of.eq_ignore_ascii_case(offer.terms.name()) {
        2
    } else {
        u8::from(row.of.eq_ignore_ascii_case("all"))
    }
}

/// What an hour of work costs: `price ÷ availability × stretch`. What is not known does not count, and is named.
fn useful(offer: &Offer, question: &Question) -> Option<(Usd, Usd)> {
    let stretch = match offer.loss {
        Some(loss) => loss.stretch?,
        None => Decimal::ONE,
    };
    let hours = Decimal::from(question.count) * question.hours;
    let sure = Availability { low: Decimal::ONE, high: Decimal::ONE };
    let availability = offer.availability.unwrap_or(sure);
    let low = offer.rent_usd.0.per(hours * availability.high)? * stretch;
    let high = offer.rent_usd.1.per(hours * availability.low)? * stretch;
    Some((low, high))
}

#[cfg(test)]
mod tests;
