//! What others would charge for a job.

use super::{Comparison, Question, ask, offers::is_model};
use crate::{catalogue::Catalogue, money::BtcRate, question::QuestionError};
use market::resources::Resources;
use rust_decimal::Decimal;
use serde::Serialize;

/// What clouds and networks would charge for a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// This.
    Priced(Box<Comparison>),
    /// The catalogue has no price for it.
    NotPriced {
        /// Why, in words.
        reason: String,
    },
}

/// What clouds and networks would charge for `hours` of a job that needs `need`. The catalogue prices accelerators alone,
/// with the processors and memory that come with them.
pub fn elsewhere(
    need: &Resources,
    hours: Decimal,
    bitcoin: Option<BtcRate>,
    catalogue: &Catalogue,
) -> Result<Elsewhere, QuestionError> {
    let Some(gpus) = &need.gpus else {
        let reason =
            "no price known: the catalogue has prices of accelerators alone, and this job needs none";
        return Ok(Elsewhere::NotPriced { reason: reason.to_owned() });
    };
    let model = gpus.model.to_string();
    let clouds = catalogue.cloud_prices.iter().map(|row| &row.gpu);
    let priced = clouds.chain(catalogue.market_prices.iter().map(|row| &row.gpu));
    let family = |priced: &String| {
        priced.split('-').find(|word| word.bytes().any(|byte| byte.is_ascii_digit())).map(str::to_owned)
    };
    let Some(gpu) = priced.filter(|priced| is_model(&model, priced)).find_map(family) else {
        let reason = format!("no price known: the catalogue has no price of the accelerator {model}");
        return Ok(Elsewhere::NotPriced { reason });
    };
    let question = Question { bitcoin, ..Question::new(gpu, gpus.count, hours) };
    ask(&question, catalogue).map(|comparison| Elsewhere::Priced(Box::new(comparison)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Usd;
    use market::resources::Gpus;
    use rust_decimal::dec;

    fn need(model: Option<&str>) -> Resources {
        let gpus = model.map(|model| Gpus { model: model.parse().unwrap(), count: 8, memory_mib: 81_920 });
        Resources { cpu_milli: 4_000, memory_mib: 8_192, gpus, ..Resources::default() }
    }

    fn of(model: Option<&str>) -> Elsewhere {
        elsewhere(&need(model), dec!(10), None, &Catalogue::embedded().unwrap()).unwrap()
    }

    #[test]
    fn a_job_with_accelerators_is_priced_at_clouds() {
        let Elsewhere::Priced(comparison) = of(Some("nvidia-h100-80gb-hbm3")) else { panic!("no price") };
        let cheapest = &comparison.offers[0];
        assert_eq!(cheapest.provider, "CoreWeave");
        assert_eq!(cheapest.rent_usd.0, Usd(dec!(492.4)));
    }

    #[test]
    fn a_job_that_nobody_prices_is_told_so() {
        for (model, told) in [(None, "accelerators alone"), (Some("apple-m4-max"), "apple-m4-max")] {
            let Elsewhere::NotPriced { reason } = of(model) else { panic!("a price") };
            assert!(reason.starts_with("no price known") && reason.contains(told), "{reason}");
        }
    }
}
