//! The report: one page with every answer, its charts and the figures behind them. It needs nothing else: no network, no
//! scripts, no fonts.

pub mod charts;
mod everything;
mod html;

use crate::answer::{Answer, Figures, Table};
use charts::Chart;
pub use charts::ChartError;
pub use everything::{Contents, ReportError, all, sections};
use jiff::civil::Date;

/// A part of the report: an answer, with its charts.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Where links to it lead, and how it is listed: `Break-even`.
    pub name: &'static str,
    /// The heading.
    pub title: String,
    /// Drawn above the tables.
    pub charts: Vec<Chart>,
    /// The result.
    pub tables: Vec<Table>,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// What it stands on.
    pub figures: Figures,
}

impl Section {
    /// An answer under a short name.
    pub fn of(name: &'static str, answer: &impl Answer) -> Section {
        Section {
            name,
            title: answer.title(),
            charts: Vec::new(),
            tables: answer.tables(),
            notes: answer.notes(),
            figures: answer.figures().clone(),
        }
    }

    /// With a chart more.
    pub fn with_chart(mut self, chart: Chart) -> Section {
        self.charts.push(chart);
        self
    }
}

/// The page, as it was on that day.
pub fn page(sections: &[Section], today: Date) -> Result<String, ChartError> {
    html::page(sections, today)
}
