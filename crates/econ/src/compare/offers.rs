//! Rows of the catalogue and offers of a market, as offers for the work that is asked about.

use super::{Availability, Charge, LiveOffer, Offer, Question, Terms};
use crate::{
    answer::{Figures, Provenance},
    catalogue::{Catalogue, CloudPrice, MarketPrice, Row, is_gpu, unknown},
    money::{BtcRate, Usd},
    question::{self, QuestionError},
};
use market::units::Msat;
use rust_decimal::Decimal;

/// Two rows of a table of single prices that are the ends of one range.
const ENDS: [&str; 2] = ["low of range", "high of range"];

/// All that can be had on the terms asked for.
pub(super) fn all(
    question: &Question,
    catalogue: &Catalogue,
    bitcoin: &BtcRate,
    figures: &mut Figures,
) -> Result<Vec<Offer>, QuestionError> {
    let mut offers: Vec<Offer> = Vec::new();
    for row in catalogue.market_prices_of(&question.gpu) {
        figures.cite(row.key(), row.range_text(), &row.provenance());
        offers.push(market(row, question)?);
    }
    let clouds: Vec<&CloudPrice> = catalogue.cloud_prices_of(&question.gpu).collect();
    for row in &clouds {
        figures.cite(row.key(), format!("{} usd/h", row.gpu_usd_per_hour.0), &row.provenance());
        let is_high_end = |other: &&&CloudPrice| {
            other.configuration == ENDS[1] && other.provider == row.provider && other.source == row.source
        };
        match (row.configuration.as_str(), clouds.iter().find(is_high_end)) {
            (low, Some(high)) if low == ENDS[0] => {
                let range = cloud(row, high.gpu_usd_per_hour, question)?;
                // A source may state its range in two tables; once is enough.
                let is_same = |offer: &Offer| {
                    offer.provider == range.provider
                        && offer.source == range.source
                        && offer.gpu_usd_per_hour == range.gpu_usd_per_hour
                };
                if !offers.iter().any(is_same) {
                    offers.push(range);
                }
            }
            (high, _) if high == ENDS[1] => {}
            _ => offers.push(cloud(row, row.gpu_usd_per_hour, question)?),
        }
    }
    for offer in question.live.iter().filter(|offer| is_asked(offer, &question.gpu)) {
        let offer = live(offer, question, bitcoin)?;
        let provenance = Provenance { as_of: offer.as_of, source: offer.source.clone() };
        let value = format!("{} usd/h", offer.gpu_usd_per_hour.0.0.round_dp(4));
        figures.cite(format!("{} {}", offer.provider, offer.configuration), value, &provenance);
        offers.push(offer);
    }
    let is_live_only = !question.terms.is_empty() && question.terms.iter().all(|terms| *terms == Terms::Live);
    if is_live_only && !offers.iter().any(|offer| offer.terms == Terms::Live) {
        return Err(QuestionError::NoLiveOffer { gpu: question.gpu.clone() });
    }
    if offers.is_empty() {
        let clouds = catalogue.cloud_prices.iter().map(|row| row.gpu.clone());
        let mut known: Vec<String> =
            clouds.chain(catalogue.market_prices.iter().map(|row| row.gpu.clone())).collect();
        known.sort_unstable();
        known.dedup();
        return Err(unknown("price of the accelerator", &question.gpu, known.into_iter()).into());
    }
    let is_wanted = |offer: &Offer| {
        let terms = &question.terms;
        terms.is_empty() || terms.contains(&offer.terms) || offer.terms == Terms::Live
    };
    let terms: Vec<String> = offers.iter().map(|offer| offer.terms.name().to_owned()).collect();
    offers.retain(is_wanted);
    if offers.is_empty() {
        let asked: Vec<&str> = question.terms.iter().map(|terms| terms.name()).collect();
        let mut known = terms;
        known.sort_unstable();
        known.dedup();
        let kind = "price on these terms";
        return Err(unknown(kind, &asked.join(", "), known.into_iter()).into());
    }
    Ok(offers)
}

/// Whether a live offer has the accelerator that is asked for.
pub(super) fn is_asked(offer: &LiveOffer, gpu: &str) -> bool {
    offer.gpus > 0 && offer.gpu.as_ref().is_some_and(|model| is_gpu(model, gpu) || is_model(model, gpu))
}

/// Whether `model`, as a machine reports it (`nvidia-a100-sxm4-80gb`), is of the family that a price is stated for
/// (`A100-SXM-80`): one of its words is the family's first word with a digit.
pub(super) fn is_model(model: &str, priced: &str) -> bool {
    let family = words(priced).find(|word| word.bytes().any(|byte| byte.is_ascii_digit()));
    family.is_some_and(|family| words(model).any(|word| word == family))
}

/// The words of a model's name, in lower case; `rtx4090` is `4090`.
fn words(name: &str) -> impl Iterator<Item = String> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).map(|word| {
        let word = word.to_ascii_lowercase();
        word.strip_prefix("rtx").map(str::to_owned).unwrap_or(word)
    })
}

fn market(row: &MarketPrice, question: &Question) -> Result<Offer, QuestionError> {
    let high = row.usd_high.unwrap_or(row.usd_low);
    let offer = Offer {
        provider: row.network.clone(),
        gpu: row.gpu.clone(),
        configuration: String::new(),
        terms_words: row.terms.clone(),
        terms: Terms::of_words(&row.terms),
        fee_rate: row.fee_rate,
        promise: row.sla.clone(),
        availability: Availability::promised(&row.sla),
        ..rented((row.usd_low, high), 1, None, question, &row.key(), &row.provenance())?
    };
    Ok(offer)
}

fn cloud(row: &CloudPrice, high: Usd, question: &Question) -> Result<Offer, QuestionError> {
    let is_range = ENDS.contains(&row.configuration.as_str());
    let prices = (row.gpu_usd_per_hour, high);
    let rented = rented(prices, row.gpus, row.node_usd_per_hour, question, &row.key(), &row.provenance())?;
    Ok(Offer {
        provider: row.provider.clone(),
        gpu: row.gpu.clone(),
        configuration: if is_range { String::new() } else { row.configuration.clone() },
        terms_words: row.terms.clone(),
        terms: Terms::of_words(&row.terms),
        is_approximate: row.approximate == "yes",
        ..rented
    })
}

fn live(offer: &LiveOffer, question: &Question, bitcoin: &BtcRate) -> Result<Offer, QuestionError> {
    let provenance = Provenance { as_of: offer.as_of, source: offer.market.clone() };
    let price = bitcoin.usd_of(Msat(offer.msat_per_hour));
    let price = price.per(offer.gpus.into()).unwrap_or(price);
    if let Some(share) = offer.availability {
        question::AVAILABILITY.check_in(share, format!("the availability of {}", offer.offer))?;
    }
    let gpu = offer.gpu.clone().unwrap_or_default();
    Ok(Offer {
        provider: offer.market.clone(),
        configuration: format!("{}, {}x", offer.offer, offer.gpus),
        gpu,
        terms: Terms::Live,
        terms_words: Terms::Live.name().to_owned(),
        is_short: offer.gpus < question.count,
        availability: offer.availability.map(|share| Availability { low: share, high: share }),
        ..rented((price, price), 1, None, question, &offer.offer, &provenance)?
    })
}

/// The rent of what is asked for: so many accelerators, or as many whole machines as they need where a machine has one
/// price. What is particular to a row, the caller fills in.
fn rented(
    prices: (Usd, Usd),
    gpus: u32,
    node_usd_per_hour: Option<Usd>,
    question: &Question,
    what: &str,
    provenance: &Provenance,
) -> Result<Offer, QuestionError> {
    let check = |price: Usd| question::USD_PER_HOUR.check_in(price.0, format!("the price of {what}"));
    check(prices.0)?;
    check(prices.1)?;
    let gpus = gpus.max(1);
    let machines = question.count.div_ceil(gpus);
    let (paid_gpus, rent_usd) = match node_usd_per_hour {
        Some(node) => {
            let rent = Usd(check(node)?) * (Decimal::from(machines) * question.hours);
            (machines.saturating_mul(gpus), (rent, rent))
        }
        None => {
            let hours = Decimal::from(question.count) * question.hours;
            (question.count, (prices.0 * hours, prices.1 * hours))
        }
    };
    Ok(Offer {
        provider: String::new(),
        gpu: String::new(),
        configuration: String::new(),
        terms: Terms::Network,
        terms_words: String::new(),
        gpu_usd_per_hour: prices,
        paid_gpus,
        machines,
        is_short: false,
        rent_usd,
        fee_rate: None,
        buyer_fee: Charge::NotAsked,
        egress: Charge::NotAsked,
        storage: Charge::NotAsked,
        total_usd: rent_usd,
        ratio: None,
        promise: String::new(),
        availability: None,
        loss: None,
        useful_usd_per_hour: None,
        source: provenance.source.clone(),
        as_of: provenance.as_of,
        is_approximate: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_recognised_as_a_machine_reports_it() {
        for (model, priced) in [
            ("nvidia-a100-sxm4-80gb", "A100-SXM-80"),
            ("nvidia-h100-80gb-hbm3", "h100"),
            ("NVIDIA GeForce RTX 4090", "RTX-4090"),
            ("rtx4090", "RTX-4090"),
        ] {
            assert!(is_model(model, priced), "{model} {priced}");
        }
        for (model, priced) in
            [("nvidia-gb200", "B200-180"), ("nvidia-a100", "A10"), ("apple-m4", "RTX-4090")]
        {
            assert!(!is_model(model, priced), "{model} {priced}");
        }
    }
}
