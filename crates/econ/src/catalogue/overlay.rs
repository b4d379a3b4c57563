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
    let mut joining: BTreeMap<String, Vec<&R>> = BTreeMap::new();
    let mut order = Vec::new();
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
            None => {
                order.push(row.key());
                joining.entry(row.key()).or_default().push(row);
                ChangeKind::Added
            }
        };
        changes.push(change(row, kind));
    }
    let mut laid: Vec<R> = Vec::with_capacity(base.len() + order.len());
    for old in base.drain(..) {
        laid.extend(joining.remove(&old.key()).into_iter().flatten().cloned());
        laid.push(old);
    }
    for key in order {
        laid.extend(joining.remove(&key).into_iter().flatten().cloned());
    }
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
