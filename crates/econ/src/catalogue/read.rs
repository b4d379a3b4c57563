//! Reading tables from CSV, TOML and JSON: the same rows, the same checks, the same errors.

use super::{
    Unknown,
    field::{Column, Field, Rule},
    rows::Row,
};
use crate::{amount::AmountError, date::AsOf};
use jiff::civil::Date;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt};
use toml::de::{DeTable, DeValue};

/// A column that any table of a person may have: whether the row takes the place of what others say.
pub(super) const REPLACES: &str = "replaces";
/// Who says so, where a person's own row does not name a source.
pub const YOU: &str = "you";
/// A table has no more rows than this.
const MOST_ROWS: usize = 100_000;

/// Text of a table that cannot be accepted: where, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}{place}: {problem}")]
pub struct TableError {
    /// Which table.
    pub table: String,
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub problem: Box<Problem>,
}

impl TableError {
    pub(super) fn new(table: &str, place: Place, problem: Problem) -> TableError {
        TableError { table: shortened(table), place, problem: Box::new(problem) }
    }
}

/// Where something stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Anywhere.
    Whole,
    /// In this line, counted from 1.
    Line(u64),
    /// In this entry of a list, counted from 1.
    Entry(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Whole => Ok(()),
            Place::Line(line) => write!(f, ", line {line}"),
            Place::Entry(entry) => write!(f, ", entry {entry}"),
        }
    }
}

/// What is wrong with a table or a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not the format that it should be.
    #[error("{0}")]
    Syntax(String),
    /// A cell holds what its column does not accept.
    #[error("{column} is `{value}`; it takes {accepted}")]
    Value {
        /// Which column.
        column: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        accepted: String,
    },
    /// A column that has to be there is not.
    #[error("the column `{column}` is missing; the table has {}", .expected.join(", "))]
    MissingColumn {
        /// Which.
        column: &'static str,
        /// All columns of the table.
        expected: Vec<&'static str>,
    },
    /// A column that the table does not have.
    #[error("there is no column `{column}`{}", unknown_hint(.column, .nearest, .expected))]
    UnknownColumn {
        /// Which.
        column: String,
        /// The column that is most like it.
        nearest: Option<String>,
        /// All columns of the table.
        expected: Vec<&'static str>,
    },
    /// A table that the catalogue does not have.
    #[error("{0}")]
    UnknownTable(Unknown),
    /// A price that cannot be told in dollars.
    #[error("{0}")]
    Currency(AmountError),
    /// A column that is there twice.
    #[error("the column `{0}` is there twice")]
    RepeatedColumn(String),
    /// The columns of the row contradict one another.
    #[error("{0}")]
    Contradiction(String),
    /// Two rows of one file say the same thing by the same source.
    #[error("`{key}` by {source_name} was said before{first}; a source says a thing once")]
    Repeated {
        /// What both are about.
        key: String,
        /// Whose figure both are.
        source_name: String,
        /// Where the first stands.
        first: Place,
    },
    /// More rows than a table has.
    #[error("it has more than {MOST_ROWS} rows")]
    TooLong,
}

impl Problem {
    fn is_about_columns(&self) -> bool {
        match self {
            Problem::MissingColumn { .. } | Problem::UnknownColumn { .. } | Problem::RepeatedColumn(_) => {
                true
            }
            Problem::UnknownTable(_) | Problem::Currency(_) => false,
            Problem::Syntax(_) | Problem::Value { .. } | Problem::Contradiction(_) => false,
            Problem::Repeated { .. } | Problem::TooLong => false,
        }
    }
}

fn unknown_hint(column: &str, nearest: &Option<String>, expected: &[&str]) -> String {
    let names = expected.join(", ");
    match nearest {
        _ if matches!(column, "price" | "cost" | "rate") => {
            format!(": a price says its currency; the table has {names}")
        }
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; the table has {names}"),
    }
}

/// The texts of a row by column. A column that is not there reads as empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells(BTreeMap<String, String>);

impl Cells {
    /// The text in a column.
    pub(super) fn get(&self, column: &str) -> &str {
        self.0.get(column).map_or("", String::as_str)
    }

    pub(super) fn set(&mut self, column: &str, text: impl Into<String>) {
        self.0.insert(column.to_owned(), text.into());
    }

    pub(super) fn rename(&mut self, column: &str, to: &str) {
        if let Some(text) = self.0.remove(column) {
            self.0.insert(to.to_owned(), text);
        }
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value in the column of a table with these columns, under the column's rule.
    pub(super) fn read<F: Field>(
        &self,
        column: &'static str,
        rule: Rule,
        columns: &[Column],
    ) -> Result<F, Problem> {
        let is_needed = !F::IS_OPTIONAL && rule != Rule::Words;
        if is_needed && !self.0.contains_key(column) {
            return Err(Problem::MissingColumn { column, expected: names_of(columns) });
        }
        let text = self.get(column);
        F::read(text, rule).ok_or_else(|| refused(column, text, rule))
    }
}

pub(super) fn refused(column: &str, text: &str, rule: Rule) -> Problem {
    let value = shortened(text);
    Problem::Value { column: column.to_owned(), value, accepted: rule.accepted().to_owned() }
}

/// The start of a text, without what would steer a terminal.
pub(super) fn shortened(text: &str) -> String {
    let start: String = text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if start.len() < text.len() { format!("{start}…") } else { start }
}

/// A row as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) place: Place,
    /// Where its columns are named.
    pub(super) columns_at: Place,
    pub(super) cells: Cells,
}

impl Found {
    /// Puts a text where the row has none.
    pub(super) fn set_default(&mut self, column: &str, text: &str) {
        if self.cells.get(column).is_empty() {
            self.cells.set(column, text);
        }
    }

    /// The error that this is wrong with the row, where it stands.
    pub(super) fn error(&self, table: &str, problem: Problem) -> TableError {
        let place = if problem.is_about_columns() { self.columns_at } else { self.place };
        TableError::new(table, place, problem)
    }
}

/// A row that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accepted<R> {
    pub(super) row: R,
    /// Whether it takes the place of what others say.
    pub(super) is_replacing: bool,
}

fn csv_reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes())
}

/// The columns that the first line of a CSV text names; none where that line is no CSV.
pub(super) fn csv_columns(text: &str) -> Vec<String> {
    let mut reader = csv_reader(text);
    reader.headers().map(|header| header.iter().map(str::to_owned).collect()).unwrap_or_default()
}

/// What is wrong with a CSV text; where, the error knows besides.
pub(crate) fn csv_problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} cells, and the first line names {expected_len} columns")
        }
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        _ => format!("no CSV: {error}"),
    }
}

/// The rows of a CSV text, with the names of its columns in its first line.
pub(super) fn csv_rows(table: &str, text: &str) -> Result<Vec<Found>, TableError> {
    let at = |place, problem| TableError::new(table, place, problem);
    let syntax = |error: csv::Error| {
        let place = error.position().map_or(Place::Whole, |position| Place::Line(position.line()));
        at(place, Problem::Syntax(csv_problem(&error)))
    };
    let mut reader = csv_reader(text);
    let header = reader.headers().map_err(syntax)?.clone();
    let mut found = Vec::new();
    for record in reader.records() {
        let record = record.map_err(syntax)?;
        let place = record.position().map_or(Place::Whole, |position| Place::Line(position.line()));
        let mut cells = Cells::default();
        for (name, text) in header.iter().zip(&record) {
            cells.set(name, text);
        }
        found.push(Found { place, columns_at: Place::Line(1), cells });
        if found.len() > MOST_ROWS {
            return Err(at(Place::Whole, Problem::TooLong));
        }
    }
    let mut names: Vec<&str> = header.iter().collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(at(Place::Line(1), Problem::RepeatedColumn(shortened(twice[0]))));
    }
    Ok(found)
}

/// One table of a TOML text: `text` is the whole of it, for the line numbers.
pub(super) fn toml_row(text: &str, start: usize, table: &DeTable<'_>) -> Result<Found, Problem> {
    let before = text.as_bytes().get(..start).unwrap_or_default();
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let mut cells = Cells::default();
    for (name, value) in table {
        let name = name.get_ref().as_ref();
        let written = match value.get_ref() {
            DeValue::String(text) => text.trim().to_owned(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
            DeValue::Datetime(date) => date.to_string(),
            DeValue::Array(_) | DeValue::Table(_) => {
                return Err(Problem::Syntax(format!("`{}` is no single value", shortened(name))));
            }
        };
        cells.set(name, written);
    }
    let place = Place::Line(u64::try_from(line).unwrap_or(u64::MAX));
    Ok(Found { place, columns_at: place, cells })
}

/// A row of a JSON text: an object of texts, numbers, booleans and nulls.
pub(super) fn json_cells(object: &BTreeMap<String, Box<RawValue>>) -> Result<Cells, Problem> {
    let mut cells = Cells::default();
    for (name, value) in object {
        let raw = value.get();
        let text = match raw {
            "null" => String::new(),
            "true" => "yes".to_owned(),
            "false" => "no".to_owned(),
            _ if raw.starts_with('"') => serde_json::from_str::<String>(raw)
                .map_err(|error| Problem::Syntax(format!("`{}`: {error}", shortened(name))))?
                .trim()
                .to_owned(),
            _ if raw.starts_with(['[', '{']) => {
                return Err(Problem::Syntax(format!("`{}` is no single value", shortened(name))));
            }
            number => number.to_owned(),
        };
        cells.set(name, text);
    }
    Ok(cells)
}

/// Reads and checks what was found. `today` refuses dates in the future; without it they pass.
pub(super) fn accept<R: Row>(found: &[Found], today: Option<Date>) -> Result<Vec<Accepted<R>>, TableError> {
    let mut accepted = Vec::new();
    let mut seen: BTreeMap<(String, String), Place> = BTreeMap::new();
    for row in found {
        let at = |problem: Problem| row.error(R::TABLE, problem);
        let Found { place, cells, .. } = row;
        check_columns::<R>(cells.columns()).map_err(at)?;
        let row = R::read(cells).map_err(at)?;
        check_whole(&row, today).map_err(at)?;
        let is_replacing = match cells.get(REPLACES) {
            "" | "no" | "false" => false,
            "yes" | "true" => true,
            other => return Err(at(refused(REPLACES, other, Rule::YesNo))),
        };
        let name = (row.key(), row.provenance().source);
        if let Some(&first) = seen.get(&name) {
            let (key, source_name) = name;
            return Err(at(Problem::Repeated { key, source_name, first }));
        }
        seen.insert(name, *place);
        accepted.push(Accepted { row, is_replacing });
    }
    Ok(accepted)
}

fn check_whole<R: Row>(row: &R, today: Option<Date>) -> Result<(), Problem> {
    if let Some(contradiction) = row.contradiction() {
        return Err(Problem::Contradiction(contradiction));
    }
    let as_of = row.provenance().as_of;
    match today.filter(|today| as_of.is_future(*today)) {
        Some(today) => Err(Problem::Value {
            column: "as_of".to_owned(),
            value: as_of.to_string(),
            accepted: format!("a day that has come somewhere on earth: up to {}", AsOf::newest(today)),
        }),
        None => Ok(()),
    }
}

/// Whether a table has all of these columns.
pub(super) fn check_columns<'a, R: Row>(names: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    for name in names {
        if name != REPLACES && !R::COLUMNS.iter().any(|column| column.name == name) {
            return Err(unknown_column(name, &names_of(R::COLUMNS)));
        }
    }
    Ok(())
}

fn names_of(columns: &[Column]) -> Vec<&'static str> {
    columns.iter().map(|column| column.name).collect()
}

pub(super) fn unknown_column(name: &str, expected: &[&'static str]) -> Problem {
    let nearest = super::unknown("column", name, expected.iter().map(|&name| name.to_owned())).nearest;
    Problem::UnknownColumn { column: shortened(name), nearest, expected: expected.to_vec() }
}
