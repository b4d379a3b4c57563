//! Price feeds: prices of clouds, markets, electricity and tokens as others publish them, in CSV or JSON.
//! `docs/price-feeds.md` describes both forms.

use super::{
    Catalogue,
    export::{ExportError, Format, Sheet},
    field::{Column, Rule},
    overlay::{Change, ChangeKind, Overlay},
    read::{self, Found, Place, Problem, TableError},
};
use crate::{
    amount::{Amount, Currency, Rates},
    answer::{Answer, Cell, Figures, Table},
    money::Usd,
};
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// The columns of a feed, which are also the names in a JSON entry.
pub const COLUMNS: &[Column] = &[
    Column { name: "kind", rule: Rule::Name },
    Column { name: "name", rule: Rule::Name },
    Column { name: "seller", rule: Rule::Words },
    Column { name: "terms", rule: Rule::Words },
    Column { name: "price", rule: Rule::Figure },
    Column { name: "low", rule: Rule::Figure },
    Column { name: "high", rule: Rule::Figure },
    Column { name: "currency", rule: Rule::Name },
    Column { name: "fee_rate", rule: Rule::Share },
    Column { name: "as_of", rule: Rule::Date },
    Column { name: "source", rule: Rule::Name },
];

/// The columns that every feed has; a price of a cloud or a market has a seller too.
const NEEDED: [&str; 4] = ["kind", "name", "currency", "as_of"];

/// What a price is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An hour of one accelerator at a cloud.
    Cloud,
    /// An hour of one accelerator at a market.
    Market,
    /// A kilowatt-hour in a region.
    Tariff,
    /// One token, or one bitcoin.
    Token,
}

/// A price of a feed, in the currency of its publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    found: Found,
    kind: Kind,
    price: Option<Decimal>,
    low: Option<Decimal>,
    high: Option<Decimal>,
    currency: Currency,
}

/// What reading a feed did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refresh {
    /// What became of each row, beside what was stored before.
    pub changes: Vec<Change>,
    /// The rows to store: what was stored before, and the feed's.
    #[serde(skip)]
    pub stored: Overlay,
    /// The rates by which its prices became dollars.
    pub figures: Figures,
}

/// Reads a feed and takes its rows over into `stored`, the person's own rows. `source` names the feed where it does
/// not name itself. Prices in bitcoin or tokens become dollars by the feed's own rates, else by the catalogue's.
pub fn refresh(
    text: &str,
    source: &str,
    catalogue: &Catalogue,
    stored: &Overlay,
    today: Date,
) -> Result<Refresh, TableError> {
    let entries: Vec<Entry> = found(text, source)?.into_iter().map(entry).collect::<Result<_, _>>()?;
    let (tokens, prices): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| entry.kind == Kind::Token);
    let mut catalogue = catalogue.clone();
    catalogue.overlay(stored);
    let mut figures = Figures::default();
    let mut rows = Overlay::default();
    let ordered = rounds(tokens.clone())?;
    check_circles(&tokens, &catalogue)?;
    for entries in ordered.into_iter().chain([prices]) {
        let read = in_dollars(&entries, &catalogue, &mut figures, today)?;
        catalogue.overlay(&read);
        rows.merge(&read);
    }
    let mut stored = stored.clone();
    let changes = stored.merge(&rows);
    Ok(Refresh { changes, stored, figures })
}

impl Refresh {
    /// The files to store, one for each table that has rows.
    pub fn files(&self) -> Result<Vec<Sheet>, ExportError> {
        self.stored.files(Format::Csv)
    }

    fn count(&self, kind: ChangeKind) -> usize {
        self.changes.iter().filter(|change| change.kind == kind).count()
    }
}

impl Answer for Refresh {
    fn title(&self) -> String {
        "What was taken over".to_owned()
    }

    fn tables(&self) -> Vec<Table> {
        let columns = [
            ("table", "table"),
            ("row", "row"),
            ("source", "source"),
            ("as_of", "as of"),
            ("change", "change"),
        ];
        let mut table = Table::new("changes", self.title(), &columns);
        for change in &self.changes {
            let as_of = change.as_of.to_string();
            table
                .row([change.table, &change.key, &change.source, &as_of, change.kind.word()].map(Cell::text));
        }
        vec![table]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let kinds = [ChangeKind::Added, ChangeKind::Updated, ChangeKind::Unchanged, ChangeKind::Older];
        let counts = kinds.map(|kind| format!("{} {}", self.count(kind), kind.word()));
        let mut notes = vec![format!("{} rows: {}.", self.changes.len(), counts.join(", "))];
        if self.count(ChangeKind::Older) > 0 {
            notes.push("A row that is older than what the same source said before was left out.".to_owned());
        }
        notes
    }
}

fn problem(place: Place, problem: Problem) -> TableError {
    TableError::new("feed", place, problem)
}

fn column_names() -> Vec<&'static str> {
    COLUMNS.iter().map(|column| column.name).collect()
}

/// The rows of a feed: JSON where it begins like it, else CSV.
fn found(text: &str, source: &str) -> Result<Vec<Found>, TableError> {
    let mut found = if text.trim_start().starts_with(['{', '[']) { json(text)? } else { csv(text)? };
    if found.is_empty() {
        // An empty answer of a broken publisher must not pass for a refresh.
        let text = "it has no prices; a feed has at least one row".to_owned();
        return Err(problem(Place::Whole, Problem::Syntax(text)));
    }
    for row in &mut found {
        row.set_default("source", source);
    }
    Ok(found)
}

/// The rows of a CSV feed. A page or a lone JSON value is CSV too, of columns that no feed has.
fn csv(text: &str) -> Result<Vec<Found>, TableError> {
    let names = column_names();
    if !read::csv_columns(text).iter().any(|column| names.contains(&column.as_str())) {
        let text = format!(
            "no feed, which is CSV whose first line names the columns {}, or JSON: a list of prices or {{\"prices\": [...]}}; this begins with `{}`",
            names.join(", "),
            read::shortened(text.trim_start())
        );
        return Err(problem(Place::Whole, Problem::Syntax(text)));
    }
    read::csv_rows("feed", text)
}

type Object = BTreeMap<String, Box<RawValue>>;

/// A JSON feed whose entries share a source, a date or a currency.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    #[serde(default)]
    source: String,
    #[serde(default)]
    as_of: String,
    #[serde(default)]
    currency: String,
    prices: Vec<Object>,
}

fn json(text: &str) -> Result<Vec<Found>, TableError> {
    let no_feed = |error: serde_json::Error| {
        let text = format!("no JSON feed, which is a list of prices or {{\"prices\": [...]}}: {error}");
        problem(Place::Whole, Problem::Syntax(text))
    };
    let shared = if text.trim_start().starts_with('[') {
        let prices = serde_json::from_str(text).map_err(no_feed)?;
        Shared { source: String::new(), as_of: String::new(), currency: String::new(), prices }
    } else {
        serde_json::from_str(text).map_err(no_feed)?
    };
    let defaults = [("source", &shared.source), ("as_of", &shared.as_of), ("currency", &shared.currency)];
    let mut found = Vec::new();
    for (number, object) in shared.prices.iter().enumerate() {
        let place = Place::Entry(number + 1);
        let cells = read::json_cells(object).map_err(|wrong| problem(place, wrong))?;
        let mut row = Found { place, columns_at: place, cells };
        for (column, text) in defaults {
            if !text.is_empty() {
                row.set_default(column, text.trim());
            }
        }
        found.push(row);
    }
    Ok(found)
}

fn entry(found: Found) -> Result<Entry, TableError> {
    let at = |wrong: Problem| found.error("feed", wrong);
    let names = column_names();
    let has = |column: &str| found.cells.columns().any(|name| name == column);
    if let Some(name) = found.cells.columns().find(|name| !names.contains(name)) {
        return Err(at(read::unknown_column(name, &names)));
    }
    if let Some(column) = NEEDED.into_iter().find(|column| !has(column)) {
        return Err(at(Problem::MissingColumn { column, expected: names }));
    }
    let cells = &found.cells;
    let kind = match cells.read::<String>("kind", Rule::Name, COLUMNS).map_err(at)?.as_str() {
        "cloud" => Kind::Cloud,
        "market" => Kind::Market,
        "tariff" => Kind::Tariff,
        "token" => Kind::Token,
        other => {
            let (column, value) = ("kind".to_owned(), read::shortened(other));
            return Err(at(Problem::Value {
                column,
                value,
                accepted: "cloud, market, tariff or token".to_owned(),
            }));
        }
    };
    if matches!(kind, Kind::Cloud | Kind::Market) && !has("seller") {
        return Err(at(Problem::MissingColumn { column: "seller", expected: names }));
    }
    let number = |column| cells.read::<Option<Decimal>>(column, Rule::Figure, COLUMNS).map_err(at);
    let (price, low, high) = (number("price")?, number("low")?, number("high")?);
    if cells.get("currency").is_empty() {
        let accepted = "the currency of the price: usd, usdc, btc, sat, msat or a token".to_owned();
        return Err(at(Problem::Value { column: "currency".to_owned(), value: String::new(), accepted }));
    }
    let currency: Currency = cells.get("currency").parse().map_err(|error| at(Problem::Currency(error)))?;
    if kind == Kind::Token && symbol(cells.get("name")) == base(&currency) {
        let token = read::shortened(cells.get("name"));
        return Err(at(Problem::Contradiction(format!(
            "the price of `{token}` is in {currency}, which is the token itself; give it in usd or in another token"
        ))));
    }
    if price.is_none() && (low.is_none() || kind != Kind::Market) {
        return Err(at(Problem::MissingColumn { column: "price", expected: names }));
    }
    Ok(Entry { kind, price, low, high, currency, found })
}

/// The token in which a currency is counted: satoshi are bitcoin.
fn base(currency: &Currency) -> String {
    match currency {
        Currency::Usd => "USD".to_owned(),
        Currency::Btc | Currency::Sat | Currency::Msat => "BTC".to_owned(),
        Currency::Stablecoin(symbol) | Currency::Token(symbol) => symbol.clone(),
    }
}

/// The token that a feed names so.
fn symbol(name: &str) -> String {
    name.parse().map_or_else(|_| name.to_uppercase(), |currency| base(&currency))
}

/// Prices of tokens, each in a round after those of the tokens in which it is counted: a price in bitcoin becomes
/// dollars by the rate that the same feed gives.
fn rounds(mut tokens: Vec<&Entry>) -> Result<Vec<Vec<&Entry>>, TableError> {
    let mut rounds = Vec::new();
    while let Some(first) = tokens.first() {
        let name = |entry: &Entry| symbol(entry.found.cells.get("name"));
        let left: BTreeSet<String> = tokens.iter().map(|entry| name(entry)).collect();
        // All prices of a token wait together, so that one that is said twice is found.
        let waiting: BTreeSet<String> = tokens
            .iter()
            .filter(|entry| left.contains(&base(&entry.currency)))
            .map(|entry| name(entry))
            .collect();
        if waiting.len() == left.len() {
            let names: Vec<String> = waiting.iter().map(|name| read::shortened(name)).collect();
            let text = format!("{} are priced in one another; give one of them in usd", names.join(", "));
            return Err(first.found.error("feed", Problem::Contradiction(text)));
        }
        let (later, ready) = tokens.into_iter().partition(|entry| waiting.contains(&name(entry)));
        rounds.push(ready);
        tokens = later;
    }
    Ok(rounds)
}

/// Prices of tokens that rest on one another over several feeds: no refresh would ever bring a dollar in, and each would
/// carry on what the last one got wrong.
fn check_circles(tokens: &[&Entry], catalogue: &Catalogue) -> Result<(), TableError> {
    let own: BTreeMap<String, String> =
        tokens.iter().map(|entry| (symbol(entry.found.cells.get("name")), base(&entry.currency))).collect();
    for entry in tokens {
        let mut way = vec![symbol(entry.found.cells.get("name"))];
        loop {
            let last = &way[way.len() - 1];
            let Some(next) = own.get(last).cloned().or_else(|| catalogue.priced_in(last)) else { break };
            let is_circle = next == way[0];
            if !is_circle && way.contains(&next) {
                break; // Another token's circle, which is not this one's.
            }
            way.push(next);
            if is_circle {
                let way: Vec<String> = way.iter().map(|name| read::shortened(name)).collect();
                let text = format!(
                    "with what other feeds said, {} is priced in itself ({}); give one of them in usd",
                    way[0],
                    way.join(" in ")
                );
                return Err(entry.found.error("feed", Problem::Contradiction(text)));
            }
        }
    }
    Ok(())
}

/// The rows of the catalogue that these entries say.
fn in_dollars(
    entries: &[&Entry],
    catalogue: &Catalogue,
    figures: &mut Figures,
    today: Date,
) -> Result<Overlay, TableError> {
    let mut tables: BTreeMap<&str, Vec<Found>> = BTreeMap::new();
    for entry in entries {
        let at = |wrong: Problem| problem(entry.found.place, wrong);
        let mut usd = |value: Option<Decimal>| match value {
            Some(value) => {
                let rates = Rates::of(catalogue).map_err(|unknown| at(Problem::Currency(unknown.into())))?;
                let amount = Amount { value, currency: entry.currency.clone() };
                rates.usd(&amount, figures).map(Some).map_err(|error| at(Problem::Currency(error)))
            }
            None => Ok(None),
        };
        let (price, low, high) = (usd(entry.price)?, usd(entry.low)?, usd(entry.high)?);
        let (table, row) = entry.row(price, low, high);
        tables.entry(table).or_default().push(row);
    }
    let mut overlay = Overlay::default();
    for (table, rows) in tables {
        overlay.take(table, rows, today)?;
    }
    Ok(overlay)
}

impl Entry {
    /// The entry as a row of the catalogue.
    fn row(&self, price: Option<Usd>, low: Option<Usd>, high: Option<Usd>) -> (&'static str, Found) {
        let mut row = Found { cells: read::Cells::default(), ..self.found.clone() };
        let said = |column: &str| self.found.cells.get(column).to_owned();
        let text = |price: Option<Usd>| price.map(|usd| usd.0.normalize().to_string()).unwrap_or_default();
        let terms = if said("terms").is_empty() { "on-demand".to_owned() } else { said("terms") };
        let is_bitcoin = said("name").eq_ignore_ascii_case("btc");
        let priced_in = Some(base(&self.currency)).filter(|base| base != "USD").unwrap_or_default();
        let (table, cells) = match self.kind {
            Kind::Cloud => {
                let one = format!("1x {}", said("name"));
                let price = text(price);
                (
                    "cloud-prices",
                    vec![
                        ("gpu", said("name")),
                        ("provider", said("seller")),
                        ("configuration", one),
                        ("gpus", "1".to_owned()),
                        ("gpu_usd_per_hour", price),
                        ("terms", terms),
                        ("approximate", "no".to_owned()),
                    ],
                )
            }
            Kind::Market => {
                let median = price.filter(|_| low.is_some() || high.is_some());
                (
                    "market-prices",
                    vec![
                        ("gpu", said("name")),
                        ("network", said("seller")),
                        ("usd_low", text(low.or(price))),
                        ("usd_median", text(median)),
                        ("usd_high", text(high)),
                        ("fee_rate", said("fee_rate")),
                        ("terms", terms),
                    ],
                )
            }
            Kind::Tariff => ("tariffs", vec![("region", said("name")), ("usd_per_kwh", text(price))]),
            Kind::Token if is_bitcoin => {
                let cells = vec![
                    ("key", "btc_usd".to_owned()),
                    ("value", text(price)),
                    ("unit", "usd".to_owned()),
                    ("priced_in", priced_in),
                ];
                ("assumptions", cells)
            }
            Kind::Token => {
                let token = said("name").to_uppercase();
                ("tokens", vec![("token", token), ("usd", text(price)), ("priced_in", priced_in)])
            }
        };
        for (column, text) in cells.into_iter().chain([("as_of", said("as_of")), ("source", said("source"))])
        {
            row.cells.set(column, text);
        }
        (table, row)
    }
}

#[cfg(test)]
mod tests;
