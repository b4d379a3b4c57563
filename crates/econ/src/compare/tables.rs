//! A comparison, as tables and notes.

use super::{Charge, Comparison, Offer, Terms};
use crate::{
    answer::{Answer, Cell, Figures, Table},
    money::Usd,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

impl Answer for Comparison {
    fn title(&self) -> String {
        format!("{} × {} for {} hours", self.count, self.gpu, self.hours.normalize())
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.prices(), self.beside(), self.useful()];
        if self.offers.iter().any(|offer| offer.loss.is_some()) {
            tables.push(self.interruptions());
        }
        tables
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "Rent is price × accelerators × hours; where a machine has one price, whole machines are rented.".to_owned(),
            "What a network keeps is part of its price: the host gets less, the buyer pays no more.".to_owned(),
            "An hour of work costs price ÷ availability × the time that interruptions stretch it by. Hours in which it is not there are taken as paid. What is not known does not count: see the column.".to_owned(),
        ];
        if !self.has_all_prices {
            notes.push(
                "Not everybody's price of data is known: the ratio compares the rent alone.".to_owned(),
            );
        }
        if self.offers.iter().any(|offer| offer.loss.is_some()) {
            notes.push("With C hours to save, τ between savings, R to go on and an interruption every M hours (of one machine ÷ machines): lost ≈ C/τ + τ/(2M) + R/M, least at τ = √(2CM) (Young 1974); exactly, work takes M/τ · e^(R/M) · (e^((τ+C)/M) − 1) times as long (Daly 2006).".to_owned());
        }
        if self.offers.iter().any(|offer| offer.is_short) {
            notes.push("Offers with fewer accelerators than asked for are priced at their rate; they do not count as the cheapest.".to_owned());
        }
        if self.live_of_other_kinds > 0 {
            let count = self.live_of_other_kinds;
            notes.push(format!("Live offers with other accelerators or none, left out: {count}."));
        }
        notes.extend(self.disagreements());
        notes
    }
}

impl Comparison {
    /// A sentence for each provider about which sources state prices that do not overlap.
    fn disagreements(&self) -> Vec<String> {
        let mut by_name: BTreeMap<&str, Vec<&Offer>> = BTreeMap::new();
        // A spot price and a list price are two things; two list prices of one provider are two opinions.
        let listed = |offer: &&Offer| matches!(offer.terms, Terms::OnDemand | Terms::Network);
        for offer in self.offers.iter().filter(listed) {
            for name in offer.provider.split(" or ") {
                by_name.entry(name).or_default().push(offer);
            }
        }
        by_name.retain(|_, offers| offers.iter().any(|offer| offer.source != offers[0].source));
        let said = |offer: &&Offer| {
            let (low, high) = offer.gpu_usd_per_hour;
            let price = if low == high { low.to_string() } else { format!("{low} to {high}") };
            format!("{price} ({} {}; {}, {})", offer.gpu, offer.terms_words, offer.source, offer.as_of)
        };
        let sentence = |(name, offers): (&str, Vec<&Offer>)| {
            let said: Vec<String> = offers.iter().map(said).collect();
            format!("Sources differ about {name}: {}.", said.join(" against "))
        };
        by_name.into_iter().map(sentence).collect()
    }

    fn prices(&self) -> Table {
        let mut table = Table::new(
            "prices",
            "Rent, cheapest first",
            &[
                ("provider", "where"),
                ("gpu", "accelerator"),
                ("configuration", "what"),
                ("terms", "terms"),
                ("gpu_usd_per_hour_low", "$/h each"),
                ("gpu_usd_per_hour_high", "to"),
                ("rent_usd_low", "rent"),
                ("rent_usd_high", "to"),
                ("ratio", "× cheapest"),
                ("promise", "promised"),
                ("source", "says who"),
            ],
        );
        for offer in &self.offers {
            let [each_low, each_high] = range(offer.gpu_usd_per_hour, 2);
            let [rent_low, rent_high] = range(offer.rent_usd, 2);
            let rounded = if offer.is_approximate { ", rounded" } else { "" };
            table.row([
                Cell::text(&offer.provider),
                Cell::text(&offer.gpu),
                Cell::text(&offer.configuration),
                Cell::text(&offer.terms_words),
                each_low,
                each_high,
                rent_low,
                rent_high,
                offer.ratio.map_or(Cell::Missing, |ratio| Cell::Number(ratio, 2)),
                Cell::text(if offer.promise.is_empty() { "nothing known" } else { &offer.promise }),
                Cell::text(format!("{}, {}{rounded}", offer.source, offer.as_of)),
            ]);
        }
        table
    }

    fn beside(&self) -> Table {
        let mut table = Table::new(
            "beside",
            "Beside the rent",
            &[
                ("provider", "where"),
                ("terms", "terms"),
                ("fee_rate", "network keeps"),
                ("buyer_fee_usd", "fee on top"),
                ("egress_usd", "egress"),
                ("storage_usd", "storage"),
                ("total_usd_low", "total of what is known"),
                ("total_usd_high", "to"),
            ],
        );
        for offer in &self.offers {
            let [low, high] = range(offer.total_usd, 2);
            table.row([
                Cell::text(&offer.provider),
                Cell::text(&offer.terms_words),
                offer.fee_rate.map_or_else(|| Cell::text("not known"), |rate| Cell::Percent(rate, 0)),
                match offer.buyer_fee {
                    Charge::Usd(usd) => Cell::Usd(usd, 2),
                    Charge::NotAsked | Charge::NotKnown => Cell::text("none known"),
                },
                charge(offer.egress),
                charge(offer.storage),
                low,
                high,
            ]);
        }
        table
    }

    fn useful(&self) -> Table {
        let mut table = Table::new(
            "useful",
            "An hour of work done by one accelerator",
            &[
                ("provider", "where"),
                ("terms", "terms"),
                ("availability_low", "there"),
                ("availability_high", "to"),
                ("lost", "lost to interruptions"),
                ("useful_usd_per_hour_low", "$/useful h"),
                ("useful_usd_per_hour_high", "to"),
                ("counts", "counts"),
            ],
        );
        for offer in &self.offers {
            let promised = offer.availability;
            let percent =
                |share: Option<Decimal>| share.map_or(Cell::Missing, |share| Cell::Percent(share, 2));
            let counts = match (promised, offer.loss) {
                (None, None) => "price alone",
                (Some(_), None) => "availability",
                (None, Some(_)) => "interruptions",
                (Some(_), Some(_)) => "availability, interruptions",
            };
            let [low, high] = match offer.useful_usd_per_hour {
                Some(useful) => range(useful, 3),
                None => [Cell::text("does not end"), Cell::Missing],
            };
            table.row([
                Cell::text(&offer.provider),
                Cell::text(&offer.terms_words),
                percent(promised.map(|promised| promised.low)),
                percent(promised.map(|promised| promised.high)),
                offer.loss.map_or_else(|| Cell::text("not known"), |loss| Cell::Percent(loss.share(), 2)),
                low,
                high,
                Cell::text(counts),
            ]);
        }
        table
    }

    fn interruptions(&self) -> Table {
        let mut table = Table::new(
            "interruptions",
            "Interruptions",
            &[
                ("provider", "where"),
                ("terms", "terms"),
                ("machines", "machines"),
                ("mtbf_hours", "one every h"),
                ("interval_hours", "saved every h"),
                ("young_hours", "best by Young"),
                ("daly_hours", "best by Daly"),
                ("first_order", "lost, first order"),
                ("lost", "lost, exactly"),
            ],
        );
        let lossy = self.offers.iter().filter_map(|offer| Some((offer, offer.loss?)));
        for (offer, loss) in lossy {
            table.row([
                Cell::text(&offer.provider),
                Cell::text(&offer.terms_words),
                Cell::Number(offer.machines.into(), 0),
                Cell::Number(loss.mtbf_hours, 2),
                Cell::Number(loss.interval_hours, 2),
                Cell::Number(loss.young_hours, 2),
                Cell::Number(loss.daly_hours, 2),
                Cell::Percent(loss.first_order, 2),
                Cell::Percent(loss.share(), 2),
            ]);
        }
        table
    }
}

/// Two cells of a range; the second stays empty where there is one price.
fn range((low, high): (Usd, Usd), digits: u32) -> [Cell; 2] {
    let high = if low == high { Cell::Missing } else { Cell::Usd(high, digits) };
    [Cell::Usd(low, digits), high]
}

fn charge(charge: Charge) -> Cell {
    match charge {
        Charge::NotAsked => Cell::text("none asked"),
        Charge::Usd(usd) => Cell::Usd(usd, 2),
        Charge::NotKnown => Cell::text("not known"),
    }
}
