//! Where sources disagree: the range, and who says what. Nothing is averaged.

use super::{Catalogue, rows::Row};
use crate::{answer::Provenance, date::AsOf, money::Usd};
use rust_decimal::Decimal;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// What one source says about a thing: a figure, or a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opinion {
    /// Its lowest figure.
    pub low: Decimal,
    /// Its highest figure; the same where it says only one.
    pub high: Decimal,
    /// Who says so.
    pub source: String,
    /// When.
    pub as_of: AsOf,
}

/// A thing that sources disagree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dispute {
    /// What it is about: `A100 at AWS, on-demand`.
    pub what: String,
    /// The unit of the figures.
    pub unit: &'static str,
    /// What each source says, at least two.
    pub opinions: Vec<Opinion>,
}

impl Dispute {
    /// The lowest figure that any source says.
    pub fn low(&self) -> Decimal {
        self.opinions.iter().map(|opinion| opinion.low).min().unwrap_or_default()
    }

    /// The highest figure that any source says.
    pub fn high(&self) -> Decimal {
        self.opinions.iter().map(|opinion| opinion.high).max().unwrap_or_default()
    }
}

impl fmt::Display for Opinion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.low == self.high {
            true => write!(f, "{} by {} ({})", self.low, self.source, self.as_of),
            false => write!(f, "{}-{} by {} ({})", self.low, self.high, self.source, self.as_of),
        }
    }
}

impl fmt::Display for Dispute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opinions: Vec<String> = self.opinions.iter().map(Opinion::to_string).collect();
        write!(f, "{}: {}-{} {}: {}", self.what, self.low(), self.high(), self.unit, opinions.join(", "))
    }
}

/// What is said about each thing, by thing and unit.
#[derive(Default)]
struct Opinions(BTreeMap<(String, &'static str), Vec<Opinion>>);

impl Opinions {
    fn add(&mut self, what: String, unit: &'static str, range: (Decimal, Decimal), by: Provenance) {
        let opinions = self.0.entry((what, unit)).or_default();
        let (low, high) = range;
        match opinions.iter_mut().find(|opinion| opinion.source == by.source && opinion.as_of == by.as_of) {
            Some(opinion) => {
                opinion.low = opinion.low.min(low);
                opinion.high = opinion.high.max(high);
            }
            None => opinions.push(Opinion { low, high, source: by.source, as_of: by.as_of }),
        }
    }

    fn add_one<R: Row>(&mut self, what: String, unit: &'static str, figure: Decimal, row: &R) {
        self.add(what, unit, (figure, figure), row.provenance());
    }
}

impl Catalogue {
    /// The things on which sources disagree, in order.
    pub fn disputes(&self) -> Vec<Dispute> {
        let mut opinions = Opinions::default();
        for row in &self.hardware {
            opinions.add_one(format!("{} training", row.id), "W", row.train_watts, row);
            opinions.add_one(format!("{} price", row.id), "usd", row.price_usd.0, row);
        }
        for row in &self.cloud_prices {
            for provider in row.provider.split(" or ") {
                let what = format!("{} at {provider}, {}", family(&row.gpu), row.terms);
                opinions.add_one(what, "usd/h", row.gpu_usd_per_hour.0, row);
            }
        }
        for row in &self.market_prices {
            for network in row.network.split(" or ") {
                let high = row.usd_high.or(row.usd_median).unwrap_or(row.usd_low);
                let what = format!("{} at {network}", family(&row.gpu));
                opinions.add(what, "usd/h", (row.usd_low.0, high.0), row.provenance());
            }
        }
        for row in &self.tariffs {
            opinions.add_one(format!("electricity, {}", row.region), "usd/kWh", row.usd_per_kwh.0, row);
        }
        for row in &self.mining {
            opinions.add_one(format!("mining {}", row.key()), "usd/day", row.gross_usd_per_day.0, row);
        }
        for row in &self.rentals {
            opinions.add_one(format!("renting out {}", row.key()), "usd/day", row.gross_usd_per_day.0, row);
        }
        for row in &self.networks {
            opinions.add_one(row.key(), "", row.value, row);
        }
        for row in &self.assumptions {
            opinions.add_one(row.key(), "", row.value, row);
        }
        for row in &self.tokens {
            let Usd(price) = row.usd;
            opinions.add_one(format!("one {}", row.token), "usd", price, row);
        }
        let disputes =
            opinions.0.into_iter().map(|((what, unit), opinions)| Dispute { what, unit, opinions });
        let differ = |dispute: &Dispute| {
            let ranges = dispute.opinions.windows(2);
            ranges.into_iter().any(|pair| (pair[0].low, pair[0].high) != (pair[1].low, pair[1].high))
        };
        disputes.filter(differ).collect()
    }
}

/// The accelerator without its memory and form: `A100` for `A100-SXM-80`, `RTX-4090` for itself.
fn family(gpu: &str) -> &str {
    let start = if gpu.starts_with("RTX-") { 4 } else { 0 };
    let end = gpu.get(start..).and_then(|rest| rest.find('-')).map_or(gpu.len(), |at| start + at);
    gpu.get(..end).unwrap_or(gpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Overlay;

    #[test]
    fn both_sides_of_each_disagreement_are_named() {
        let disputes = Catalogue::embedded().unwrap().disputes();
        let lines: Vec<String> = disputes.iter().map(Dispute::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
A100 at AWS, on-demand: 3.00-4.50 usd/h: 4.10 by economics (2026-03-12), 3.00-4.50 by surge (2026-02)
A100 at GCP, on-demand: 3.00-4.50 usd/h: 3.67 by economics (2026-03-12), 3.00-4.50 by surge (2026-02)
A100 at io.net: 0.60-3.33 usd/h: 3.33 by economics (2026-03-12), 0.60-1.00 by surge (2026-02)
");
    }

    #[test]
    fn a_person_who_disagrees_stands_beside_the_source_unless_they_replace_it() {
        let today = jiff::civil::date(2026, 11, 20);
        let text = |replaces| format!("region,usd_per_kwh,as_of,replaces\nTexas,0.11,2026-11,{replaces}");
        let disputes = |replaces| {
            let mut catalogue = Catalogue::embedded().unwrap();
            catalogue.overlay(&Overlay::from_csv("tariffs", &text(replaces), today).unwrap());
            let disputes = catalogue.disputes().into_iter();
            disputes
                .filter(|dispute| dispute.what.contains("Texas"))
                .map(|dispute| dispute.to_string())
                .collect()
        };
        let both: Vec<String> = disputes("no");
        insta::assert_snapshot!(both.join("\n"), @"electricity, Texas: 0.11-0.13 usd/kWh: 0.11 by you (2026-11), 0.13 by economics (2026-03-12)");
        let none: Vec<String> = disputes("yes");
        assert_eq!(none, [""; 0]);
    }
}
