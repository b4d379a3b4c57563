//! Figures of other networks, from a CSV file. Each row is one figure:
//!
//! | column | what stands there |
//! |---|---|
//! | `network` | which network |
//! | `figure` | `registered_hours`, `earning_hours`, `payment`, `emission`, `price` or `workload` |
//! | `name` | for `payment` the buyer, for `price` the accelerator, for `workload` what was run; else empty |
//! | `value` | a number, not negative; may be empty for `workload` |
//! | `unit` | `h` for hours; `usd` for money; `usd/h` for `price` |
//! | `kind` | `outside` or `own` for `payment`; `real`, `own` or `benchmark` for `workload`; else empty. Empty for `payment`: nobody says |
//! | `as_of` | `2026-03-12` or `2026-03` |
//! | `source` | who says so |
//!
//! Rows of a network with the same figure and name are added up, but for `price`.

use super::{Activity, HourPrice, Payment, Workload, WorkloadKind};
use crate::{answer::Provenance, catalogue::csv_problem, date::AsOf, money::Usd};
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Deserialize;
use std::collections::BTreeMap;

const COLUMNS: [&str; 8] = ["network", "figure", "name", "value", "unit", "kind", "as_of", "source"];
const FIGURES: [&str; 6] = ["registered_hours", "earning_hours", "payment", "emission", "price", "workload"];
/// More is a slip; it also keeps sums far from the end of the decimals.
const MOST: i64 = 1_000_000_000_000_000;

/// Why a file of figures cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    /// Not a CSV file.
    #[error("{0}")]
    Csv(String),
    /// A column is missing.
    #[error(
        "the column `{0}` is missing; the columns are network, figure, name, value, unit, kind, as_of, source"
    )]
    MissingColumn(&'static str),
    /// A column that is not among them.
    #[error("{0}")]
    UnknownColumn(String),
    /// A row says something that makes no sense.
    #[error("line {line}: {what}")]
    BadRow {
        /// Which line of the file.
        line: u64,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// There is nothing in it.
    #[error("the file has no rows below its header")]
    Empty,
}

#[derive(Deserialize)]
struct Figure {
    network: String,
    figure: String,
    name: String,
    value: String,
    unit: String,
    kind: String,
    as_of: AsOf,
    source: String,
}

/// Reads figures. `today` is there to refuse dates in the future.
pub fn read_csv(text: &str, today: Date) -> Result<Vec<Activity>, FiguresError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(bad_csv)?.clone();
    if let Some(missing) = COLUMNS.into_iter().find(|column| !headers.iter().any(|header| header == *column))
    {
        return Err(FiguresError::MissingColumn(missing));
    }
    if let Some(unknown) = headers.iter().find(|header| !COLUMNS.contains(header)) {
        return Err(FiguresError::UnknownColumn(no_such(
            "column",
            &unknown.replace(char::is_control, "\u{fffd}"),
            &COLUMNS,
        )));
    }
    let mut networks: BTreeMap<String, Activity> = BTreeMap::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(bad_csv)? {
        let line = record.position().map_or(0, csv::Position::line);
        let bad_row = |what| FiguresError::BadRow { line, what };
        // What is read is printed: escapes would steer the terminal.
        let mut cells = headers.iter().zip(&record);
        if let Some((column, _)) = cells.find(|(_, text)| text.chars().any(char::is_control)) {
            return Err(bad_row(format!("{column} has a control character; write it as plain words")));
        }
        let figure: Figure =
            record.deserialize(Some(&headers)).map_err(|error| bad_row(csv_problem(&error)))?;
        let value = figure.checked_value(today).map_err(bad_row)?;
        let activity = networks.entry(figure.network.clone()).or_insert_with(|| figure.first_of_network());
        figure.add_to(activity, value).map_err(bad_row)?;
    }
    if networks.is_empty() {
        return Err(FiguresError::Empty);
    }
    Ok(networks.into_values().collect())
}

/// The line is said where the reader knows it.
fn bad_csv(error: csv::Error) -> FiguresError {
    let what = csv_problem(&error);
    match error.position() {
        Some(position) => FiguresError::BadRow { line: position.line(), what },
        None => FiguresError::Csv(what),
    }
}

impl Figure {
    /// The value of a row that makes sense; else what is wrong with it.
    fn checked_value(&self, today: Date) -> Result<Option<Decimal>, String> {
        if self.network.is_empty() {
            return Err("the network has no name".to_owned());
        }
        if self.as_of.is_future(today) {
            return Err(format!(
                "{} lies in the future; a figure is at the newest of {}",
                self.as_of,
                AsOf::newest(today)
            ));
        }
        let unit = match self.figure.as_str() {
            "registered_hours" | "earning_hours" => "h",
            "payment" | "emission" | "workload" => "usd",
            "price" => "usd/h",
            other => return Err(no_such("figure", other, &FIGURES)),
        };
        if matches!(self.figure.as_str(), "payment" | "price" | "workload") && self.name.is_empty() {
            return Err(format!(
                "a {} needs a name: the buyer, the accelerator, or what was run",
                self.figure
            ));
        }
        if self.value.is_empty() {
            let may_be_empty = self.figure == "workload";
            return if may_be_empty { Ok(None) } else { Err(format!("{} has no value", self.figure)) };
        }
        if self.unit != unit {
            let given = if self.unit.is_empty() { "none is given" } else { &format!("not `{}`", self.unit) };
            return Err(format!("the unit of {} has to be `{unit}`; {given}", self.figure));
        }
        let value = self.value.parse().ok();
        let value = value.filter(|value| (Decimal::ZERO..=Decimal::from(MOST)).contains(value));
        value
            .map(Some)
            .ok_or_else(|| format!("the value `{}` has to be a number from 0 to {MOST}", self.value))
    }

    fn first_of_network(&self) -> Activity {
        Activity::new(&self.network, Provenance { as_of: self.as_of, source: self.source.clone() })
    }

    fn add_to(&self, activity: &mut Activity, value: Option<Decimal>) -> Result<(), String> {
        activity.provenance.as_of = activity.provenance.as_of.min(self.as_of);
        if !activity.provenance.source.split(", ").any(|source| source == self.source) {
            activity.provenance.source = format!("{}, {}", activity.provenance.source, self.source);
        }
        let usd = value.map(Usd);
        let value = value.unwrap_or_default();
        let added = |sum: Option<Decimal>| Some(sum.unwrap_or_default().saturating_add(value));
        match self.figure.as_str() {
            "registered_hours" => activity.registered_hours = added(activity.registered_hours),
            "earning_hours" => activity.earning_hours = added(activity.earning_hours),
            "emission" => activity.emitted_usd = added(activity.emitted_usd.map(|usd| usd.0)).map(Usd),
            "price" => {
                let price = HourPrice { hardware: self.name.clone(), usd_per_hour: Usd(value) };
                activity.prices.push(price);
            }
            "payment" => add_payment(&mut activity.payments, &self.name, value, self.is_own()?),
            _ => {
                activity.workloads.push(Workload {
                    name: self.name.clone(),
                    usd,
                    kind: self.workload_kind()?,
                });
            }
        }
        match (activity.earning_hours, activity.registered_hours) {
            (Some(earning), Some(registered)) if earning > registered => Err(format!(
                "{earning} h that earned are more than the {registered} h registered; list the latter first"
            )),
            _ => Ok(()),
        }
    }

    fn is_own(&self) -> Result<Option<bool>, String> {
        match self.kind.as_str() {
            "own" => Ok(Some(true)),
            "outside" => Ok(Some(false)),
            "" => Ok(None),
            other => Err(format!("the kind of a payment is `own`, `outside` or empty, not `{other}`")),
        }
    }

    fn workload_kind(&self) -> Result<WorkloadKind, String> {
        match self.kind.as_str() {
            "real" => Ok(WorkloadKind::Real),
            "own" => Ok(WorkloadKind::OwnAccount),
            "benchmark" => Ok(WorkloadKind::Benchmark),
            other => Err(format!("the kind of a workload is `real`, `own` or `benchmark`, not `{other}`")),
        }
    }
}

fn add_payment(payments: &mut Vec<Payment>, buyer: &str, usd: Decimal, is_own: Option<bool>) {
    let own = is_own.map(|is_own| if is_own { usd } else { Decimal::ZERO });
    match payments.iter_mut().find(|payment| payment.buyer == buyer) {
        Some(payment) => {
            payment.usd = Usd(payment.usd.0.saturating_add(usd));
            let both = payment.own_account_usd.zip(own);
            payment.own_account_usd = both.map(|(Usd(before), own)| Usd(before.saturating_add(own)));
        }
        None => {
            payments.push(Payment { buyer: buyer.to_owned(), usd: Usd(usd), own_account_usd: own.map(Usd) })
        }
    }
}

fn no_such(kind: &str, asked: &str, known: &[&str]) -> String {
    let nearest =
        known.iter().max_by(|a, b| strsim::jaro_winkler(a, asked).total_cmp(&strsim::jaro_winkler(b, asked)));
    let hint = nearest.filter(|name| strsim::jaro_winkler(name, asked) > 0.8);
    match hint {
        Some(name) => format!("there is no {kind} `{asked}`; did you mean `{name}`?"),
        None => format!("there is no {kind} `{asked}`; there are {}", known.join(", ")),
    }
}
