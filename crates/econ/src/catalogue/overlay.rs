//! A person's own figures laid over the catalogue: they replace or join what the program came with.

use super::{
    Catalogue,
    read::{self, Found, Place, Problem, REPLACES, TableError, YOU},
    rows::{Assumption, Row, TokenPrice, for_each_table},
    unknown,
};
use crate::date::AsOf;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use toml::de::{DeTable, DeValue};

/// Rows of any tables, to be laid over a [`Catalogue`].
///
/// A row takes the place of the catalogue's row with the same key and the same source; else it joins the table, before
/// the rows of others about the same thing, so that a lookup of one figure finds the person's own first. A row that
/// says `replaces` also takes out what others say about the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlay {
    pub(super) rows: Catalogue,
    /// The tables and keys of which nothing else is to stay.
    pub(super) replaced: BTreeSet<(&'static str, String)>,
}

/// Something that laying rows over a catalogue did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// The table.
    pub table: &'static str,
    /// What the row is about.
    pub key: String,
    /// Who says so.
    pub source: String,
    /// When.
    pub as_of: AsOf,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It took the place of another figure by the same source.
    Updated,
    /// It was there already.
    Unchanged,
    /// It is older than what the same source says here, and was left out.
    Older,
    /// It was taken out by a row that replaces it.
    Removed,
}

impl ChangeKind {
    /// It in a word.
    pub fn word(self) -> &'static str {
        match self {
            ChangeKind::Added => "added",
            ChangeKind::Updated => "updated",
            ChangeKind::Unchanged => "unchanged",
            ChangeKind::Older => "older",
            ChangeKind::Removed => "removed",
        }
    }
}

impl Catalogue {
    /// The names of the tables, which are also the names of their CSV files.
    pub fn tables() -> Vec<&'static str> {
        let mut names = Vec::new();
        for_each_table!(R => names.push(R::TABLE));
        names
    }

    /// Lays these rows over the catalogue. Doing it twice is doing it once.
    pub fn overlay(&mut self, overlay: &Overlay) -> Vec<Change> {
        let mut changes = Vec::new();
        for_each_table!(R => {
            take_out::<R>(self, overlay, &mut changes);
            lay::<R>(R::of_mut(self), R::of(&overlay.rows), false, &mut changes);
        });
        changes
    }
}

fn name<R: Row>(row: &R) -> (String, String) {
    (row.key(), row.provenance().source)
}

fn change<R: Row>(row: &R, kind: ChangeKind) -> Change {
    let crate::answer::Provenance { as_of, source } = row.provenance();
    Change { table: R::TABLE, key: row.key(), source, as_of, kind }
}

fn take_out<R: Row>(catalogue: &mut Catalogue, overlay: &Overlay, changes: &mut Vec<Change>) {
    let staying: BTreeSet<(String, String)> = R::of(&overlay.rows).iter().map(name).collect();
    R::of_mut(catalogue).retain(|row| {
        let is_replaced = overlay.replaced.contains(&(R::TABLE, row.key()));
        let stays = !is_replaced || staying.contains(&name(row));
        if !stays {
            changes.push(change(row, ChangeKind::Removed));
        }
        stays
    });
}

/// Updates rows by the same source in their place and puts the others before what stands about the same thing.
fn lay<R: Row>(base: &mut Vec<R>, rows: &[R], is_newest_kept: bool, changes: &mut Vec<Change>) {
    let places: BTreeMap<(String, String), usize> =
        base.iter().enumerate().map(|(place, row)| (name(row), place)).collect();
    let keys: BTreeSet<String> = base.iter().map(R::key).collect();
    let mut joining: BTreeMap<String, Vec<&R>> = BTreeMap::new();
    let mut fresh = Vec::new();
    for row in rows {
        let kind = match places.get(&name(row)).and_then(|&place| base.get_mut(place)) {
            Some(old) if old == row => ChangeKind::Unchanged,
            Some(old) if is_newest_kept && old.provenance().as_of > row.provenance().as_of => {
                ChangeKind::Older
            }
            Some(old) => {
                *old = row.clone();
                ChangeKind::Updated
            }
            None if keys.contains(&row.key()) => {
                joining.entry(row.key()).or_default().push(row);
                ChangeKind::Added
            }
            None => {
                fresh.push(row.clone());
                ChangeKind::Added
            }
        };
        changes.push(change(row, kind));
    }
    let mut laid: Vec<R> = Vec::with_capacity(base.len() + rows.len());
    for old in base.drain(..) {
        laid.extend(joining.remove(&old.key()).into_iter().flatten().cloned());
        laid.push(old);
    }
    laid.append(&mut fresh);
    *base = laid;
}

impl Overlay {
    /// The rows of a CSV text for one table, with the names of the columns in the first line. Columns that may be empty
    /// may be left out, and so may `source`, which is then `you`; a column `replaces` may say `yes`.
    pub fn from_csv(table: &str, text: &str, today: Date) -> Result<Overlay, TableError> {
        let mut overlay = Overlay::default();
        let found = read::csv_rows(table, text)?;
        overlay.take(table, found, today)?;
        Ok(overlay)
    }

    /// The rows of a `prices.toml`: an array of tables for each table of the catalogue (`[[tariffs]]`), `[btc]` with
    /// `usd` and `as_of`, and `[token.TAO]` with the same for each token.
    pub fn from_toml(text: &str, today: Date) -> Result<Overlay, TableError> {
        let document =
            DeTable::parse(text).map_err(|error| whole(Problem::Syntax(toml_syntax(text, &error))))?;
        let mut overlay = Overlay::default();
        for (name, value) in document.get_ref() {
            let table = name.get_ref().as_ref();
            match (table, value.get_ref()) {
                ("btc", DeValue::Table(row)) => {
                    overlay.take_btc(toml_found(table, text, value.span().start, row)?, today)?;
                }
                ("token", DeValue::Table(tokens)) => overlay.take_tokens(text, tokens, today)?,
                (_, DeValue::Array(rows)) => {
                    let mut found = Vec::new();
                    for row in rows {
                        let DeValue::Table(cells) = row.get_ref() else {
                            return Err(at(table, Problem::Syntax("it is no list of tables".to_owned())));
                        };
                        found.push(toml_found(table, text, row.span().start, cells)?);
                    }
                    overlay.take(table, found, today)?;
                }
                _ => {
                    check_table(table)?;
                    let problem = format!("its rows are written as [[{table}]]");
                    return Err(at(table, Problem::Syntax(problem)));
                }
            }
        }
        Ok(overlay)
    }

    /// The rows of a JSON text: an object with a list of rows for each table, as [`super::export()`] writes it.
    pub fn from_json(text: &str, today: Date) -> Result<Overlay, TableError> {
        type Rows = Vec<BTreeMap<String, Box<RawValue>>>;
        let tables: BTreeMap<String, Rows> = serde_json::from_str(text)
            .map_err(|error| whole(Problem::Syntax(format!("no JSON tables: {error}"))))?;
        let mut overlay = Overlay::default();
        for (table, rows) in &tables {
            let mut found = Vec::new();
            for (number, row) in rows.iter().enumerate() {
                let place = Place::Entry(number + 1);
                let cells = read::json_cells(row);
                let cells = cells.map_err(|problem| TableError::new(table, place, problem))?;
                found.push(Found { place, columns_at: place, cells });
            }
            overlay.take(table, found, today)?;
        }
        Ok(overlay)
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == Catalogue::default()
    }

    /// Takes over the rows of another, the newer of each pair by the same source.
    pub fn merge(&mut self, other: &Overlay) -> Vec<Change> {
        let mut changes = Vec::new();
        for_each_table!(R => {
            lay::<R>(R::of_mut(&mut self.rows), R::of(&other.rows), true, &mut changes);
        });
        self.replaced.extend(other.replaced.iter().cloned());
        changes
    }

    /// Takes rows into a table; a row that names no source is the person's own.
    pub(super) fn take(&mut self, table: &str, mut found: Vec<Found>, today: Date) -> Result<(), TableError> {
        let table = check_table(table)?;
        for row in &mut found {
            row.set_default("source", YOU);
        }
        for_each_table!(R => if R::TABLE == table {
            for accepted in read::accept::<R>(&found, Some(today))? {
                if accepted.is_replacing {
                    self.replaced.insert((R::TABLE, accepted.row.key()));
                }
                R::of_mut(&mut self.rows).push(accepted.row);
            }
        });
        Ok(())
    }

    /// The price of a bitcoin: always takes the place of others, as there is one rate to reckon with.
    fn take_btc(&mut self, mut row: Found, today: Date) -> Result<(), TableError> {
        let columns = ["usd", "as_of", "source"];
        check_own("btc", &row, &columns)?;
        row.cells.rename("usd", "value");
        for (column, text) in [("key", "btc_usd"), ("unit", "usd"), (REPLACES, "yes")] {
            row.cells.set(column, text);
        }
        self.take(Assumption::TABLE, vec![row], today)
    }

    fn take_tokens(&mut self, text: &str, tokens: &DeTable<'_>, today: Date) -> Result<(), TableError> {
        let mut found = Vec::new();
        for (symbol, value) in tokens {
            let DeValue::Table(row) = value.get_ref() else {
                let problem =
                    format!("write [token.{}] with usd and as_of", read::shortened(symbol.get_ref()));
                return Err(at("token", Problem::Syntax(problem)));
            };
            let mut row = toml_found("token", text, value.span().start, row)?;
            check_own("token", &row, &["usd", "as_of", "source", REPLACES])?;
            row.cells.set("token", symbol.get_ref().as_ref());
            row.set_default(REPLACES, "yes");
            found.push(row);
        }
        self.take(TokenPrice::TABLE, found, today)
    }
}

fn whole(problem: Problem) -> TableError {
    at("prices", problem)
}

fn at(table: &str, problem: Problem) -> TableError {
    TableError::new(table, Place::Whole, problem)
}

fn toml_found(table: &str, text: &str, start: usize, row: &DeTable<'_>) -> Result<Found, TableError> {
    read::toml_row(text, start, row).map_err(|problem| at(table, problem))
}

fn toml_syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map_or(1, |before| before.lines().count().max(1));
    format!("no TOML: {} (line {line})", error.message())
}

/// The name of the table as the catalogue has it.
pub(super) fn check_table(name: &str) -> Result<&'static str, TableError> {
    let tables = Catalogue::tables();
    let known = tables.iter().find(|table| **table == name.replace('_', "-"));
    known.copied().ok_or_else(|| {
        let unknown = unknown("table", name, tables.iter().map(|&table| table.to_owned()));
        at(name, Problem::UnknownTable(unknown))
    })
}

fn check_own(table: &str, row: &Found, columns: &[&'static str]) -> Result<(), TableError> {
    let error = |problem| TableError::new(table, row.place, problem);
    if let Some(column) = row.cells.columns().find(|column| !columns.contains(column)) {
        return Err(error(read::unknown_column(column, columns)));
    }
    for column in ["usd", "as_of"] {
        if row.cells.get(column).is_empty() {
            return Err(error(Problem::MissingColumn { column, expected: columns.to_vec() }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Format, import};
    use jiff::civil::date;
    use proptest::prelude::*;

    const TODAY: Date = date(2026, 11, 20);
    const PRICES: &str = r#"
[btc]
usd = 91000.50
as_of = 2026-11-20
source = "my exchange"

[token.TAO]
usd = 260
as_of = "2026-11-19"

[[tariffs]]
region = "Home"
usd_per_kwh = 0.2134567890123456789
as_of = "2026-11"

[[tariffs]]
region = "Texas"
usd_per_kwh = 0.11
as_of = "2026-11-01"
source = "my bill"

[[tariffs]]
region = "California"
usd_per_kwh = 0.35
as_of = "2026-11-01"
replaces = true

[[hardware]]
id = "rtx4090-system"
name = "RTX 4090 system"
kind = "nvidia"
train_watts = 320
train_watts_low = 300
train_watts_high = 340
price_usd = 1700
as_of = "2026-11-01"
source = "economics"
"#;

    fn laid(text: &str) -> (Catalogue, Vec<Change>) {
        let mut catalogue = Catalogue::embedded().unwrap();
        let changes = catalogue.overlay(&Overlay::from_toml(text, TODAY).unwrap());
        (catalogue, changes)
    }

    #[test]
    fn a_persons_rows_join_update_or_replace() {
        let (catalogue, _) = laid(PRICES);
        assert_eq!(catalogue.tariff("Home").unwrap().usd_per_kwh.0.to_string(), "0.2134567890123456789");
        let texas: Vec<_> = catalogue.tariffs.iter().filter(|row| row.region == "Texas").collect();
        assert_eq!(texas.iter().map(|row| row.source.as_str()).collect::<Vec<_>>(), ["my bill", "economics"]);
        let california = catalogue.tariffs.iter().filter(|row| row.region == "California");
        assert_eq!(california.map(|row| row.source.as_str()).collect::<Vec<_>>(), [YOU]);
        assert_eq!(catalogue.hardware.len(), 7, "same source: in the place of the old row");
        assert_eq!(catalogue.hardware("rtx4090-system").unwrap().train_watts, 320.into());
        let rate = catalogue.btc_rate().unwrap();
        assert_eq!(
            (rate.usd_per_btc.to_string().as_str(), rate.source.as_str()),
            ("91000.50", "my exchange")
        );
        assert_eq!(catalogue.token("TAO").unwrap().usd.to_string(), "$260.00");
    }

    #[test]
    fn the_order_of_rows_is_kept_where_nothing_is_said_of_them() {
        let (catalogue, _) = laid(PRICES);
        let regions: Vec<&str> = catalogue.tariffs.iter().map(|row| row.region.as_str()).collect();
        assert_eq!(regions[..2], ["US average residential", "Texas"]);
        assert_eq!(regions[regions.len() - 2..], ["Home", "California"]);
    }

    #[test]
    fn an_overlay_is_written_and_read_back() {
        let overlay = Overlay::from_toml(PRICES, TODAY).unwrap();
        for format in [Format::Csv, Format::Toml, Format::Json] {
            assert_eq!(import(&overlay.files(format).unwrap(), TODAY).unwrap(), overlay, "{format:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_csv_table_is_said() {
        let texts = [
            "region,usd_per_kwh\nHome,0.2",
            "region,usd_per_kwhr,as_of\nHome,0.2,2026-11",
            "region,price,as_of\nHome,0.2,2026-11",
            "region,usd_per_kwh,as_of\nHome,NaN,2026-11",
            "region,usd_per_kwh,as_of\nHome,-0.2,2026-11",
            "region,usd_per_kwh,as_of\nHome,0.2 eur,2026-11",
            "region,usd_per_kwh,as_of\nHome,0.2,2026-12-24",
            "region,usd_per_kwh,as_of\nHome,0.2,yesterday",
            "region,usd_per_kwh,as_of\nHome,0.2,2026-11\nHome,0.3,2026-11",
            "region,usd_per_kwh,as_of,region\nHome,0.2,2026-11,Home",
            "region,usd_per_kwh,as_of\nHome,0.2",
            "region,usd_per_kwh,as_of,replaces\nHome,0.2,2026-11,maybe",
        ];
        let errors = texts.map(|text| Overlay::from_csv("tariffs", text, TODAY).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
tariffs, line 1: the column `as_of` is missing; the table has region, usd_per_kwh, as_of, source
tariffs, line 1: there is no column `usd_per_kwhr`; did you mean `usd_per_kwh`?
tariffs, line 1: there is no column `price`: a price says its currency; the table has region, usd_per_kwh, as_of, source
tariffs, line 2: usd_per_kwh is `NaN`; it takes US dollars from 0 to below 1000000000, a plain number like 0.17
tariffs, line 2: usd_per_kwh is `-0.2`; it takes US dollars from 0 to below 1000000000, a plain number like 0.17
tariffs, line 2: usd_per_kwh is `0.2 eur`; it takes US dollars from 0 to below 1000000000, a plain number like 0.17
tariffs, line 2: as_of is `2026-12-24`; it takes a day that has come somewhere on earth: up to 2026-11-21
tariffs, line 2: as_of is `yesterday`; it takes 2026-03-12, or 2026-03 where only the month is known
tariffs, line 3: `Home` by you was said before, line 2; a source says a thing once
tariffs, line 1: the column `region` is there twice
tariffs, line 2: it has 2 cells, and the first line names 3 columns
tariffs, line 2: replaces is `maybe`; it takes yes or no
");
    }

    #[test]
    fn contradictions_between_columns_are_refused() {
        let hardware =
            "id,name,kind,train_watts,train_watts_low,train_watts_high,price_usd,as_of\nx,X,nvidia";
        let cloud = "gpu,provider,configuration,gpus,node_usd_per_hour,gpu_usd_per_hour,terms,approximate,as_of\nA100,Hill";
        let rental = "hardware,network,watts,gross_usd_per_day,utilization,as_of\nRTX 4090,Hill,450,2";
        let market = "gpu,network,usd_low,usd_median,usd_high,fee_rate,terms,as_of\nA100,Hill";
        let errors = [
            ("hardware", format!("{hardware},0,30,50,800,2026-11")),
            ("hardware", format!("{hardware},-45,30,50,800,2026-11")),
            ("hardware", format!("{hardware},60,30,50,800,2026-11")),
            ("hardware", format!("{hardware},1000000,30,50,800,2026-11")),
            ("cloud-prices", format!("{cloud},8x A100,8,20,4.1,on-demand,no,2026-11")),
            ("rentals", format!("{rental},1.3,2026-11")),
            ("rentals", format!("{rental},0,2026-11")),
            ("rentals", format!("{rental},130 %,2026-11")),
            ("market-prices", format!("{market},0.9,0.5,,,on-demand,2026-11")),
            ("market-prices", format!("{market},0.9,,,15,on-demand,2026-11")),
            ("networks", "network,key,value,unit,as_of\nBee,share_miners,41,fraction,2026-11".to_owned()),
            ("tarifs", String::new()),
        ]
        .map(|(table, text)| Overlay::from_csv(table, &text, TODAY).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
hardware, line 2: train_watts is `0`; it takes watts above 0 and below 1000000
hardware, line 2: train_watts is `-45`; it takes watts above 0 and below 1000000
hardware, line 2: train_watts 60 is more than train_watts_high 50
hardware, line 2: train_watts is `1000000`; it takes watts above 0 and below 1000000
cloud-prices, line 2: node_usd_per_hour 20 is not 8 × gpu_usd_per_hour, 32.8
rentals, line 2: utilization is `1.3`; it takes a fraction above 0, up to 1, which is all the time: write 0.65 for 65 %
rentals, line 2: utilization is `0`; it takes a fraction above 0, up to 1, which is all the time: write 0.65 for 65 %
rentals, line 2: utilization is `130 %`; it takes a fraction above 0, up to 1, which is all the time: write 0.65 for 65 %
market-prices, line 2: usd_low 0.9 is more than usd_median 0.5
market-prices, line 2: fee_rate is `15`; it takes a fraction from 0 to 1, which is 100 %: write 0.65 for 65 %
networks, line 2: share_miners is a fraction, and 41 is more than 1: write 0.65 for 65 %
tarifs: the catalogue has no table `tarifs`; did you mean `tariffs`?
");
    }

    #[test]
    fn what_is_wrong_with_prices_toml_is_said() {
        let texts = [
            "[btc]\nusd = 70000\n[[tariffs]\n",
            "[btc]\nusd = 70000",
            "[btc]\nusd = \"NaN\"\nas_of = 2026-11-20",
            "[btc]\nprice = 70000\nas_of = 2026-11-20",
            "[[tarifs]]\nregion = \"Home\"",
            "[tariffs]\nregion = \"Home\"",
            "\n\n[[tariffs]]\nregion = \"Home\"\nusd_per_kwh = nan\nas_of = \"2026-11\"",
            "[token]\nTAO = 200",
            "tariffs = [1, 2]",
        ];
        let errors = texts.map(|text| Overlay::from_toml(text, TODAY).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
prices: no TOML: unclosed array table, expected `]` (line 3)
btc, line 1: the column `as_of` is missing; the table has usd, as_of, source
assumptions, line 1: value is `NaN`; it takes a number from 0 to below 10^15
btc, line 1: there is no column `price`: a price says its currency; the table has usd, as_of, source
tarifs: the catalogue has no table `tarifs`; did you mean `tariffs`?
tariffs: its rows are written as [[tariffs]]
tariffs, line 3: usd_per_kwh is `nan`; it takes US dollars from 0 to below 1000000000, a plain number like 0.17
token: write [token.TAO] with usd and as_of
tariffs: it is no list of tables
");
    }

    fn tariffs() -> impl Strategy<Value = String> {
        let row = ("(Home|Texas|Idaho|Vermont)", 0u32..100_000, 1u8..=11, "(me|economics|bill)", "(yes|no)");
        prop::collection::btree_map("[A-D]", row, 0..6).prop_map(|rows| {
            let mut seen = BTreeSet::new();
            let rows = rows.into_values().filter(|row| seen.insert((row.0.clone(), row.3.clone())));
            let lines = rows.map(|(region, price, month, source, replaces)| {
                format!("{region},0.{price:05},2026-{month:02},{source},{replaces}\n")
            });
            format!("region,usd_per_kwh,as_of,source,replaces\n{}", lines.collect::<String>())
        })
    }

    proptest! {
        #[test]
        fn laying_twice_is_laying_once(first in tariffs(), second in tariffs()) {
            let overlay = Overlay::from_csv("tariffs", &first, TODAY).unwrap();
            let mut once = Catalogue::embedded().unwrap();
            once.overlay(&Overlay::from_csv("tariffs", &second, TODAY).unwrap());
            once.overlay(&overlay);
            let mut twice = once.clone();
            let changes = twice.overlay(&overlay);
            prop_assert_eq!(&twice, &once);
            prop_assert!(changes.iter().all(|change| change.kind == ChangeKind::Unchanged));
            prop_assert_eq!(import(&overlay.files(Format::Csv).unwrap(), TODAY).unwrap(), overlay);
        }

        #[test]
        fn merging_twice_is_merging_once(first in tariffs(), second in tariffs()) {
            let mut merged = Overlay::from_csv("tariffs", &first, TODAY).unwrap();
            let second = Overlay::from_csv("tariffs", &second, TODAY).unwrap();
            merged.merge(&second);
            let before = merged.clone();
            merged.merge(&second);
            prop_assert_eq!(merged, before);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = String::from_utf8_lossy(&bytes);
            for table in Catalogue::tables() {
                let _ = Overlay::from_csv(table, &text, TODAY);
            }
            let _ = (Overlay::from_toml(&text, TODAY), Overlay::from_json(&text, TODAY));
        }

        #[test]
        fn no_line_makes_it_panic(line in "[a-z0-9,.\"% -]{0,60}") {
            let text = format!("region,usd_per_kwh,as_of\n{line}");
            let _ = Overlay::from_csv("tariffs", &text, TODAY);
            let _ = Overlay::from_toml(&format!("[[tariffs]]\n{line}"), TODAY);
        }
    }
}
