//! What every question gives back: a typed result with tables for people and the figures that it stands on.

use crate::{
    catalogue::Row,
    date::AsOf,
    money::{BtcRate, Usd},
};
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeSet;

/// The answer to a question. It serializes to the JSON of `--json`; its tables are what a terminal, `--csv` and the
/// report show.
pub trait Answer: Serialize {
    /// What was asked, as a heading.
    fn title(&self) -> String;
    /// The result. At least one table; each with a `name` of its own.
    fn tables(&self) -> Vec<Table>;
    /// The figures that it stands on.
    fn figures(&self) -> &Figures;
    /// What a reader must know to read it right, a sentence each: assumptions, formulas, contradictions, what is left out.
    fn notes(&self) -> Vec<String>;
}

/// A figure that an answer used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Figure {
    /// What it is about, e.g. `Vast.ai RTX-4090 on-demand`.
    pub what: String,
    /// Its value with its unit, e.g. `0.13-0.40 usd/h`.
    pub value: String,
    /// Who says so; `you` for what was given on the command line.
    pub source: String,
    /// When it was so; absent for what was given on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<AsOf>,
}

/// The figures of an answer, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Figures(BTreeSet<Figure>);

impl Figures {
    /// Notes a figure from the catalogue.
    pub fn cite(&mut self, what: impl Into<String>, value: impl ToString, provenance: &Provenance) {
        self.0.insert(Figure {
            what: what.into(),
            value: value.to_string(),
            source: provenance.source.clone(),
            as_of: Some(provenance.as_of),
        });
    }

    /// Notes a row of the catalogue under its key.
    pub fn cite_row<R: Row>(&mut self, row: &R, value: impl ToString) {
        self.cite(row.key(), value, &row.provenance());
    }

    /// Notes a figure that the person gave.
    pub fn given(&mut self, what: impl Into<String>, value: impl ToString) {
        let (what, value, source) = (what.into(), value.to_string(), "you".to_owned());
        self.0.insert(Figure { what, value, source, as_of: None });
    }

    /// Notes the rate that turned dollars into satoshi.
    pub fn cite_rate(&mut self, rate: &BtcRate) {
        let provenance = Provenance { source: rate.source.clone(), as_of: rate.as_of };
        self.cite("bitcoin", format!("{} usd", rate.usd_per_btc), &provenance);
    }

    /// Takes over the figures of another answer.
    pub fn extend(&mut self, other: &Figures) {
        self.0.extend(other.0.iter().cloned());
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Figure> {
        self.0.iter()
    }

    /// A sentence for each source and date older than [`crate::date::STALE_AFTER_DAYS`] days.
    pub fn warnings(&self, today: Date) -> Vec<String> {
        let dated = self.0.iter().filter_map(|figure| Some((figure.as_of?, figure.source.as_str())));
        let stale: BTreeSet<_> = dated.filter(|(as_of, _)| as_of.is_stale(today)).collect();
        stale
            .into_iter()
            .map(|(as_of, source)| {
                format!("figures of {as_of} ({source}) are {} days old", as_of.age_days(today))
            })
            .collect()
    }
}

/// Where a row of the catalogue comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Provenance {
    /// When it was so.
    pub as_of: AsOf,
    /// Who says so.
    pub source: String,
}

/// A table: the same for a terminal, a CSV file and a page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// A short name for files and links: `electricity`.
    pub name: &'static str,
    /// The heading.
    pub title: String,
    /// The columns.
    pub columns: Vec<Column>,
    /// A row has a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The name in a CSV file, unit last: `net_usd_per_day`.
    pub key: &'static str,
    /// The heading for people: `net $/day`.
    pub heading: &'static str,
}

/// What stands in a [`Table`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Words.
    Text(String),
    /// Dollars, shown with so many digits; a file gets all of them.
    Usd(Usd, u32),
    /// Whole satoshi.
    Sats(i64),
    /// A number, shown with so many digits.
    Number(Decimal, u32),
    /// A fraction, shown as a percentage with so many digits.
    Percent(Decimal, u32),
    /// Not known, or not applicable.
    Missing,
}

impl Table {
    /// An empty table with these columns, each `(key, heading)`.
    pub fn new(
        name: &'static str,
        title: impl Into<String>,
        columns: &[(&'static str, &'static str)],
    ) -> Table {
        let columns = columns.iter().map(|&(key, heading)| Column { key, heading }).collect();
        Table { name, title: title.into(), columns, rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.name);
        self.rows.push(cells);
    }

    /// The table as CSV: the keys of its columns, then its rows, numbers unrounded.
    pub fn to_csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|column| column.key))?;
        for row in &self.rows {
            writer.write_record(row.iter().map(Cell::raw))?;
        }
        let bytes = writer.into_inner().map_err(|e| csv::Error::from(e.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// Whole satoshi, or [`Cell::Missing`].
    pub fn sats(sats: Option<i64>) -> Cell {
        sats.map_or(Cell::Missing, Cell::Sats)
    }

    /// As people read it; empty where nothing is known.
    pub fn shown(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Usd(amount, digits) => format!("{amount:.0$}", *digits as usize),
            Cell::Sats(sats) => sats.to_string(),
            Cell::Number(number, digits) => format!("{:.1$}", number.round_dp(*digits), *digits as usize),
            Cell::Percent(fraction, digits) => {
                let percent = fraction.saturating_mul(Decimal::ONE_HUNDRED).round_dp(*digits);
                format!("{percent:.0$} %", *digits as usize)
            }
            Cell::Missing => String::new(),
        }
    }

    /// As a program reads it: unrounded, without units; empty where nothing is known.
    pub fn raw(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Usd(amount, _) => amount.0.normalize().to_string(),
            Cell::Sats(sats) => sats.to_string(),
            Cell::Number(number, _) | Cell::Percent(number, _) => number.normalize().to_string(),
            Cell::Missing => String::new(),
        }
    }

    /// Whether it is set to the right.
    pub fn is_numeric(&self) -> bool {
        match self {
            Cell::Text(_) | Cell::Missing => false,
            Cell::Usd(..) | Cell::Sats(_) | Cell::Number(..) | Cell::Percent(..) => true,
        }
    }
}
