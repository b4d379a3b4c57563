//! The questions that are asked of any network: is it used, who pays, what does it pay out for that, and is it cheap.
//!
//! - utilization = hours that earned ÷ hours registered;
//! - revenue per emitted dollar = what buyers paid ÷ the worth of the tokens that were handed out;
//! - concentration of demand: the share of the largest buyer and of the ten largest, and the Herfindahl-Hirschman index,
//!   the sum of the squares of all shares in percent (10 000 is a single buyer, 10 000 ÷ n is n equal ones);
//! - own-account share: what the operator's own parties and providers themselves paid, out of all;
//! - cost against cloud: revenue ÷ hours that earned, beside the clouds' prices for the same accelerator.

mod csv_figures;
mod history;

use crate::{
    answer::{Answer, Cell, Figures, Provenance, Table},
    catalogue::{Catalogue, Row},
    money::Usd,
};
pub use csv_figures::{FiguresError, read_csv};
pub use history::{History, MachineHistory};
use rust_decimal::{Decimal, dec};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a network did over some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Which network.
    pub network: String,
    /// Hours for which machines were registered, all machines together; `None` where nobody says.
    pub registered_hours: Option<Decimal>,
    /// Those in which a machine had work that it was paid for.
    pub earning_hours: Option<Decimal>,
    /// What buyers paid, a row for each buyer.
    pub payments: Vec<Payment>,
    /// The worth of the tokens that were handed out over the same time; `None` where nobody says.
    pub emitted_usd: Option<Usd>,
    /// What an hour of its hardware costs.
    pub prices: Vec<HourPrice>,
    /// What was run.
    pub workloads: Vec<Workload>,
    /// Who says so, and when it was so.
    pub provenance: Provenance,
}

impl Activity {
    /// A network of which nothing is known yet.
    pub fn new(network: impl Into<String>, provenance: Provenance) -> Activity {
        Activity {
            network: network.into(),
            registered_hours: None,
            earning_hours: None,
            payments: Vec::new(),
            emitted_usd: None,
            prices: Vec::new(),
            workloads: Vec::new(),
            provenance,
        }
    }
}

/// What a buyer paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payment {
    /// Who.
    pub buyer: String,
    /// How much.
    pub usd: Usd,
    /// How much of it was on the network's own account: paid by the operator, or by a provider to itself. `None` where
    /// nobody says.
    pub own_account_usd: Option<Usd>,
}

/// What an hour of some hardware costs on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HourPrice {
    /// The accelerator or class.
    pub hardware: String,
    /// What buyers pay for an hour.
    pub usd_per_hour: Usd,
}

/// Something that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// What it is called.
    pub name: String,
    /// What was paid for it, where it is known.
    pub usd: Option<Usd>,
    /// Whether somebody outside wanted it: neither a benchmark nor on the network's own account.
    pub kind: WorkloadKind,
}

/// Who wanted a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// A buyer from outside.
    Real,
    /// The network itself, or one of its providers for itself.
    OwnAccount,
    /// Nobody: it measures the network.
    Benchmark,
}

impl WorkloadKind {
    fn as_str(self) -> &'static str {
        match self {
            WorkloadKind::Real => "real",
            WorkloadKind::OwnAccount => "own account",
            WorkloadKind::Benchmark => "benchmark",
        }
    }
}

/// How concentrated demand is; every share is a fraction of what all buyers paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Concentration {
    /// How many buyers paid something.
    pub buyers: usize,
    /// The largest.
    pub top_1: Decimal,
    /// The ten largest.
    pub top_10: Decimal,
    /// The Herfindahl-Hirschman index, 0 to 10 000.
    pub herfindahl: Decimal,
    /// What was paid on the network's own account; `None` where that is not known of every buyer.
    pub own_account: Option<Decimal>,
}

/// What can be said of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measures {
    /// What it was computed from.
    pub activity: Activity,
    /// Hours that earned ÷ hours registered.
    pub utilization: Option<Decimal>,
    /// What buyers paid.
    pub revenue_usd: Usd,
    /// Revenue ÷ worth of the tokens handed out. `None` where none are, or nobody says.
    pub revenue_per_emitted_usd: Option<Decimal>,
    /// Where demand comes from; `None` where nobody paid.
    pub concentration: Option<Concentration>,
    /// Its prices beside the clouds'.
    pub against_cloud: Vec<AgainstCloud>,
}

/// A price beside those of the clouds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgainstCloud {
    /// The accelerator or class.
    pub hardware: String,
    /// What an hour costs on the network.
    pub usd_per_hour: Usd,
    /// The lowest and the highest price of a cloud for an hour of it; `None` where the catalogue has no cloud with it.
    pub cloud_usd_per_hour: Option<(Usd, Usd)>,
    /// The network's price ÷ the lowest price of a cloud.
    pub ratio_to_cheapest_cloud: Option<Decimal>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// A network each.
    pub networks: Vec<Measures>,
    figures: Figures,
}

/// Measures each network.
pub fn ask(activities: Vec<Activity>, catalogue: &Catalogue) -> Network {
    let mut figures = Figures::default();
    let networks =
        activities.into_iter().map(|activity| measure(activity, catalogue, &mut figures)).collect();
    Network { networks, figures }
}

fn measure(activity: Activity, catalogue: &Catalogue, figures: &mut Figures) -> Measures {
    let revenue_usd = sum(activity.payments.iter().map(|payment| payment.usd));
    figures.cite(
        format!("{}: revenue", activity.network),
        format!("{} usd", revenue_usd.rounded(2).0),
        &activity.provenance,
    );
    let utilization = match (activity.earning_hours, activity.registered_hours) {
        (Some(earning), Some(registered)) => earning.checked_div(registered),
        _ => None,
    };
    let against_cloud =
        activity.prices.iter().map(|price| against_cloud(price, catalogue, figures)).collect();
    Measures {
        utilization,
        revenue_usd,
        revenue_per_emitted_usd: activity.emitted_usd.and_then(|emitted| revenue_usd.ratio(emitted)),
        concentration: concentration(&activity.payments, revenue_usd),
        against_cloud,
        activity,
    }
}

/// A sum that stays at the largest amount instead of overflowing.
fn sum(amounts: impl Iterator<Item = Usd>) -> Usd {
    Usd(amounts.fold(Decimal::ZERO, |sum, Usd(amount)| sum.saturating_add(amount)))
}

fn concentration(payments: &[Payment], revenue: Usd) -> Option<Concentration> {
    let mut shares: Vec<Decimal> = payments
        .iter()
        .filter_map(|payment| payment.usd.ratio(revenue))
        .filter(|share| !share.is_zero())
        .collect();
    shares.sort_unstable_by(|a, b| b.cmp(a));
    let mut paid: Vec<Usd> = payments.iter().map(|payment| payment.usd).collect();
    paid.sort_unstable_by(|a, b| b.cmp(a));
    let top_1 = *shares.first()?;
    let own: Option<Vec<Usd>> = payments.iter().map(|payment| payment.own_account_usd).collect();
    Some(Concentration {
        buyers: shares.len(),
        top_1,
        // One division: the sum of rounded shares may miss the whole by a hair.
        top_10: sum(paid.into_iter().take(10)).ratio(revenue)?,
        herfindahl: shares.iter().map(|share| share * share).sum::<Decimal>() * dec!(10_000),
        own_account: own.and_then(|own| sum(own.into_iter()).ratio(revenue)),
    })
}

fn against_cloud(price: &HourPrice, catalogue: &Catalogue, figures: &mut Figures) -> AgainstCloud {
    let mut range: Option<(Usd, Usd)> = None;
    for row in catalogue.cloud_prices_of(&price.hardware) {
        let usd = row.gpu_usd_per_hour;
        figures.cite(row.key(), format!("{} usd/h", usd.0), &row.provenance());
        range = Some(range.map_or((usd, usd), |(low, high)| (low.min(usd), high.max(usd))));
    }
    AgainstCloud {
        hardware: price.hardware.clone(),
        usd_per_hour: price.usd_per_hour,
        cloud_usd_per_hour: range,
        ratio_to_cheapest_cloud: range.and_then(|(low, _)| price.usd_per_hour.ratio(low)),
    }
}

fn percent(share: Option<Decimal>) -> Cell {
    share.map_or(Cell::Missing, |share| Cell::Percent(share, 1))
}

fn dollars(amount: Option<Usd>, digits: u32) -> Cell {
    amount.map_or(Cell::Missing, |amount| Cell::Usd(amount, digits))
}

impl Network {
    fn measures_table(&self) -> Table {
        let mut table = Table::new(
            "measures",
            "Use, revenue and demand",
            &[
                ("network", "network"),
                ("utilization", "utilization"),
                ("revenue_usd", "revenue $"),
                ("revenue_per_emitted_usd", "revenue per emitted $"),
                ("buyers", "buyers"),
                ("top_1", "largest buyer"),
                ("top_10", "ten largest"),
                ("herfindahl", "Herfindahl"),
                ("own_account", "own account"),
                ("as_of", "as of"),
            ],
        );
        for measures in &self.networks {
            let demand = measures.concentration;
            table.row([
                Cell::text(&measures.activity.network),
                percent(measures.utilization),
                Cell::Usd(measures.revenue_usd, 2),
                measures.revenue_per_emitted_usd.map_or(Cell::Missing, |ratio| Cell::Number(ratio, 3)),
                Cell::Number(Decimal::from(demand.map_or(0, |demand| demand.buyers)), 0),
                percent(demand.map(|demand| demand.top_1)),
                percent(demand.map(|demand| demand.top_10)),
                demand.map_or(Cell::Missing, |demand| Cell::Number(demand.herfindahl, 0)),
                percent(demand.and_then(|demand| demand.own_account)),
                Cell::text(measures.activity.provenance.as_of.to_string()),
            ]);
        }
        table
    }

    fn prices_table(&self) -> Table {
        let mut table = Table::new(
            "against_cloud",
            "An hour of the same hardware, here and at a cloud",
            &[
                ("network", "network"),
                ("hardware", "hardware"),
                ("usd_per_hour", "$/h"),
                ("cloud_low_usd_per_hour", "cloud from $/h"),
                ("cloud_high_usd_per_hour", "to $/h"),
                ("ratio_to_cheapest_cloud", "of the cheapest cloud"),
            ],
        );
        for measures in &self.networks {
            for price in &measures.against_cloud {
                table.row([
                    Cell::text(&measures.activity.network),
                    Cell::text(&price.hardware),
                    Cell::Usd(price.usd_per_hour, 4),
                    dollars(price.cloud_usd_per_hour.map(|(low, _)| low), 2),
                    dollars(price.cloud_usd_per_hour.map(|(_, high)| high), 2),
                    percent(price.ratio_to_cheapest_cloud),
                ]);
            }
        }
        table
    }

    fn workloads_table(&self) -> Table {
        let mut table = Table::new(
            "workloads",
            "What was run",
            &[("network", "network"), ("workload", "workload"), ("kind", "kind"), ("paid_usd", "paid $")],
        );
        for measures in &self.networks {
            for workload in &measures.activity.workloads {
                table.row([
                    Cell::text(&measures.activity.network),
                    Cell::text(&workload.name),
                    Cell::text(workload.kind.as_str()),
                    dollars(workload.usd, 4),
                ]);
            }
        }
        table
    }
}

impl Answer for Network {
    fn title(&self) -> String {
        let names: BTreeMap<&str, ()> =
            self.networks.iter().map(|measures| (measures.activity.network.as_str(), ())).collect();
        format!("How {} is used, and by whom", names.into_keys().collect::<Vec<_>>().join(", "))
    }

    fn tables(&self) -> Vec<Table> {
        let tables = [self.measures_table(), self.prices_table(), self.workloads_table()];
        tables
            .into_iter()
            .enumerate()
            .filter(|(place, table)| *place == 0 || !table.rows.is_empty())
            .map(|(_, table)| table)
            .collect()
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "Utilization is hours that earned ÷ hours registered; hours in which a machine was switched off count as \
             registered."
                .to_owned(),
            "Herfindahl is the sum of the squared shares of all buyers in percent: 10 000 is a single buyer, above 2 500 is \
             called highly concentrated."
                .to_owned(),
            "Own account is what the operator's declared parties and providers for themselves paid. A network that hides \
             that it buys from itself is not found out this way."
                .to_owned(),
        ];
        for measures in &self.networks {
            let activity = &measures.activity;
            let network = &activity.network;
            match activity.emitted_usd {
                None => notes.push(format!("{network}: nobody says what its emitted tokens were worth.")),
                Some(usd) if usd == Usd::ZERO => {
                    notes.push(format!("{network} hands out no tokens: all pay is revenue."));
                }
                Some(_) => {}
            }
            if activity.workloads.iter().all(|workload| workload.kind != WorkloadKind::Real) {
                notes.push(format!("{network}: no workload is known that somebody outside wanted."));
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests;
