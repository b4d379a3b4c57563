//! What a miner of a token network earns: the emission, its split, and the slots that share it.
//!
//! Rewards are skewed. With `n` slots and an exponent `s`, the slot of rank `r` gets the share `r^−s ÷ Σ k^−s`, a rank-size
//! (Zipf) distribution: 0 is an even split, 1 gives the first twice what the second gets. What a network's own distribution
//! is has to be measured; the exponent is an input, not a finding. G. K. Zipf, "Human Behavior and the Principle of Least
//! Effort", 1949.

mod tables;

use crate::{
    answer::Figures,
    catalogue::Catalogue,
    money::{Usd, float},
    question::{self, Quantity, QuestionError},
};
use rust_decimal::{Decimal, dec, prelude::FromPrimitive};
use serde::Serialize;

/// Seconds of a day.
const SECONDS_PER_DAY: Decimal = dec!(86_400);
/// What the price falls to where no prices are asked about, as shares of it.
const FALL: [Decimal; 5] = [dec!(1), dec!(0.75), dec!(0.5), dec!(0.25), dec!(0.1)];
/// More slots than any subnet has.
const MOST_SLOTS: Decimal = dec!(100_000);

/// The time between two blocks.
const BLOCK_TIME: Quantity =
    Quantity { name: "the block time", unit: " s", least: dec!(0.001), most: SECONDS_PER_DAY };

/// What is asked. What is not given, the catalogue says.
#[derive(Debug, Clone)]
pub struct Question {
    /// The network, as the catalogue calls it.
    pub network: String,
    /// What a token costs.
    pub token_usd: Option<Decimal>,
    /// Prices to look at as it falls; none means 100, 75, 50, 25 and 10 % of it.
    pub prices_usd: Vec<Decimal>,
    /// Tokens emitted in a day, over all subnets.
    pub emission_per_day: Option<Decimal>,
    /// The share of the emission that the subnet gets, from 0 to 1; otherwise all subnets get the same.
    pub subnet_share: Option<Decimal>,
    /// How many miners share it, from 1 to 100,000.
    pub slots: Option<u32>,
    /// How skewed their rewards are, from 0 (even) to 10.
    pub exponent: Decimal,
    /// What a rented machine costs in a day, low and high.
    pub cloud_usd_per_day: Option<(Usd, Usd)>,
    /// What a machine of one's own costs in a day, low and high.
    pub own_usd_per_day: Option<(Usd, Usd)>,
}

impl Default for Question {
    /// Bittensor as the catalogue has it, with an exponent of 1.
    fn default() -> Question {
        Question {
            network: "Bittensor".to_owned(),
            token_usd: None,
            prices_usd: Vec::new(),
            emission_per_day: None,
            subnet_share: None,
            slots: None,
            exponent: Decimal::ONE,
            cloud_usd_per_day: None,
            own_usd_per_day: None,
        }
    }
}

/// What miners earn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mined {
    /// The network.
    pub network: String,
    /// What a token costs.
    pub token_usd: Decimal,
    /// How skewed rewards are.
    pub exponent: Decimal,
    /// Tokens a day: all of them, a subnet's, and its parts.
    pub emission: Emission,
    /// Tokens a day of each rank, the best first.
    pub ranks: Vec<Decimal>,
    /// Tokens a day of the average, the first and the median slot.
    pub tokens: Slots,
    /// A cost each: own hardware and cloud, low and high.
    pub costs: Vec<Cost>,
    /// What happens as the token falls.
    pub falling: Vec<Fall>,
    /// What it takes to begin, as sources claim: tokens to register (burned), tokens of stake.
    pub entry_tokens: ((Decimal, Decimal), (Decimal, Decimal)),
    /// What all this stands on.
    pub figures: Figures,
}

/// Tokens of a day, and who gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Emission {
    /// All subnets.
    pub total: Decimal,
    /// One subnet.
    pub subnet: Decimal,
    /// Its miners.
    pub miners: Decimal,
    /// Its validators.
    pub validators: Decimal,
    /// Its owner.
    pub owner: Decimal,
    /// How many miners share the part of the miners.
    pub slots: u32,
}

/// A figure for three slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// If all got the same.
    pub average: Decimal,
    /// The first.
    pub top: Decimal,
    /// The one in the middle.
    pub median: Decimal,
}

/// What a day costs a miner, beside what it brings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Whose machine.
    pub machine: &'static str,
    /// What it costs in a day.
    pub usd_per_day: Usd,
    /// What the average slot has left.
    pub average_net: Usd,
    /// What the first has left.
    pub top_net: Usd,
    /// What the median has left.
    pub median_net: Usd,
    /// The token price at which the average slot breaks even; absent where it gets nothing.
    pub average_breaks_even_usd: Option<Usd>,
    /// The token price at which the median breaks even.
    pub median_breaks_even_usd: Option<Usd>,
    /// How many slots earn what they cost.
    pub paying_slots: usize,
}

/// What slots get at a price of the token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fall {
    /// What a token costs.
    pub token_usd: Decimal,
    /// What the average slot gets in a day.
    pub average_usd: Usd,
    /// What the first gets.
    pub top_usd: Usd,
    /// What the median gets.
    pub median_usd: Usd,
    /// How many slots earn what they cost, for each of the costs.
    pub paying_slots: Vec<usize>,
}

/// Answers `question` from `catalogue`.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<Mined, QuestionError> {
    let mut figures = Figures::default();
    let token_usd = match question::given(question::TOKEN_USD, question.token_usd, &mut figures)? {
        Some(usd) => usd,
        None => {
            question::TOKEN_USD.check(catalogue.network(&question.network, "token_price", &mut figures)?)?
        }
    };
    let emission = emission(question, catalogue, &mut figures)?;
    if !(Decimal::ZERO..=Decimal::TEN).contains(&question.exponent) {
        let accepted = "from 0 (even) to 10".to_owned();
        let (what, given) = ("the exponent of the rewards".to_owned(), question.exponent);
        return Err(QuestionError::OutOfRange { what, given, accepted });
    }
    if question.exponent != Question::default().exponent {
        figures.given("exponent of the rewards", question.exponent);
    }
    let ranks = ranks(emission.miners, emission.slots, question.exponent);
    let tokens = Slots {
        average: emission.miners / Decimal::from(emission.slots),
        top: ranks.first().copied().unwrap_or_default(),
        median: median(&ranks),
    };
    let costs = costs(question, catalogue, &mut figures)?
        .map(|(machine, usd_per_day)| cost(machine, usd_per_day, token_usd, &tokens, &ranks));
    let falling = prices(question, token_usd)?
        .into_iter()
        .map(|token_usd| Fall {
            token_usd,
            average_usd: Usd(tokens.average * token_usd),
            top_usd: Usd(tokens.top * token_usd),
            median_usd: Usd(tokens.median * token_usd),
            paying_slots: costs.iter().map(|cost| paying(&ranks, token_usd, cost.usd_per_day)).collect(),
        })
        .collect();
    let claimed = |what: &str, figures: &mut Figures| {
        let (low, high) =
            question::claimed_range(&format!("{} {what}", question.network), catalogue, figures)?;
        Ok::<_, QuestionError>((question::TOKENS.check(low)?, question::TOKENS.check(high)?))
    };
    let entry_tokens = (claimed("registration", &mut figures)?, claimed("stake to compete", &mut figures)?);
    Ok(Mined {
        network: question.network.clone(),
        token_usd,
        exponent: question.exponent,
        emission,
        ranks,
        tokens,
        costs: costs.into(),
        falling,
        entry_tokens,
        figures,
    })
}

fn emission(
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Emission, QuestionError> {
    let network = |key, figures: &mut Figures| catalogue.network(&question.network, key, figures);
    let total = match question::given_as(
        question::TOKENS,
        "the emission of a day",
        question.emission_per_day,
        figures,
    )? {
        Some(tokens) => tokens,
        None => {
            let seconds = BLOCK_TIME.check(network("block_time", figures)?)?;
            let tokens = question::TOKENS.check(network("emission_per_block", figures)?)?;
            tokens * (SECONDS_PER_DAY / seconds)
        }
    };
    let share = match question::given_as(
        question::FRACTION,
        "the share of the subnet",
        question.subnet_share,
        figures,
    )? {
        Some(share) => share,
        None => {
            let subnets = network("subnets", figures)?;
            Decimal::ONE / question::COUNT.check_in(subnets, "the number of subnets")?
        }
    };
    let slots = match question.slots {
        Some(slots) => {
            figures.given("miners of the subnet", slots);
            Decimal::from(slots)
        }
        None => network("miner_slots_per_subnet", figures)?,
    };
    if !(Decimal::ONE..=MOST_SLOTS).contains(&slots) {
        let accepted = format!("from 1 to {MOST_SLOTS}");
        return Err(QuestionError::OutOfRange {
            what: "the number of miners".to_owned(),
            given: slots,
            accepted,
        });
    }
    let subnet = total * share;
    let part = |key, figures: &mut Figures| {
        Ok::<_, QuestionError>(subnet * question::FRACTION.check_in(network(key, figures)?, key)?)
    };
    Ok(Emission {
        total,
        subnet,
        miners: part("share_miners", figures)?,
        validators: part("share_validators", figures)?,
        owner: part("share_owner", figures)?,
        slots: slots.trunc().try_into().unwrap_or(1),
    })
}

/// Tokens of each rank, the best first.
fn ranks(tokens: Decimal, slots: u32, exponent: Decimal) -> Vec<Decimal> {
    let exponent = float(exponent);
    let weights: Vec<f64> = (1..=slots).map(|rank| f64::from(rank).powf(-exponent)).collect();
    let sum: f64 = weights.iter().sum();
    let share = |weight: &f64| Decimal::from_f64(weight / sum).unwrap_or_default();
    weights.iter().map(|weight| tokens * share(weight)).collect()
}

fn median(ranks: &[Decimal]) -> Decimal {
    let at = |index: usize| ranks.get(index).copied().unwrap_or_default();
    let middle = ranks.len() / 2;
    if ranks.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / Decimal::TWO }
}

/// How many ranks get at least `usd_per_day`; they come best first.
fn paying(ranks: &[Decimal], token_usd: Decimal, usd_per_day: Usd) -> usize {
    ranks.partition_point(|tokens| *tokens * token_usd >= usd_per_day.0)
}

fn costs(
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<[(&'static str, Usd); 4], QuestionError> {
    let mut range = |given: Option<(Usd, Usd)>, name: &str, claim: &str| {
        let (low, high) = match given {
            Some((low, high)) => {
                figures.given(name, format!("{}-{} usd/day", low.0, high.0));
                (low.0, high.0)
            }
            None => question::claimed_range(&format!("{} {claim}", question.network), catalogue, figures)?,
        };
        question::USD_PER_DAY.check(low)?;
        question::USD_PER_DAY.check(high)?;
        Ok::<_, QuestionError>((Usd(low.min(high)), Usd(low.max(high))))
    };
    let own = range(question.own_usd_per_day, "own machine", "miner GPU cost own hardware")?;
    let cloud = range(question.cloud_usd_per_day, "rented machine", "miner GPU cost in the cloud")?;
    Ok([("own, low", own.0), ("own, high", own.1), ("cloud, low", cloud.0), ("cloud, high", cloud.1)])
}

fn cost(
    machine: &'static str,
    usd_per_day: Usd,
    token_usd: Decimal,
    tokens: &Slots,
    ranks: &[Decimal],
) -> Cost {
    let net = |tokens: Decimal| Usd(tokens * token_usd) - usd_per_day;
    Cost {
        machine,
        usd_per_day,
        average_net: net(tokens.average),
        top_net: net(tokens.top),
        median_net: net(tokens.median),
        average_breaks_even_usd: usd_per_day.per(tokens.average),
        median_breaks_even_usd: usd_per_day.per(tokens.median),
        paying_slots: paying(ranks, token_usd, usd_per_day),
    }
}

/// The prices to look at, highest first.
fn prices(question: &Question, token_usd: Decimal) -> Result<Vec<Decimal>, QuestionError> {
    let mut prices = question.prices_usd.clone();
    if prices.is_empty() {
        prices = FALL.map(|share| token_usd * share).to_vec();
    }
    for price in &prices {
        question::TOKEN_USD.check(*price)?;
    }
    prices.sort_unstable_by(|a, b| b.cmp(a));
    Ok(prices)
}

#[cfg(test)]
mod tests;
