//! The catalogue's own answers: what it has, and the rows of a table.

use super::{
    Catalogue,
    field::{Rule, decimal},
    overlay::check_table,
    rows::for_each_table,
};
use crate::{
    answer::{Answer, Cell, Column, Figures, Table},
    date::AsOf,
    money::Usd,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a table has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Which table.
    pub table: &'static str,
    /// How many rows.
    pub rows: usize,
    /// The date of its oldest row.
    pub oldest: Option<AsOf>,
    /// The date of its newest row.
    pub newest: Option<AsOf>,
    /// Who says what stands in it.
    pub sources: Vec<String>,
}

/// What the catalogue has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Each table.
    pub tables: Vec<Summary>,
    /// On how many things its sources disagree.
    pub disputes: usize,
    #[serde(skip)]
    figures: Figures,
}

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// The rows.
    pub table: Table,
    /// How many rows the filter left out.
    pub hidden: usize,
    #[serde(skip)]
    figures: Figures,
}

/// What the catalogue has, table by table.
pub fn list(catalogue: &Catalogue) -> Listing {
    let mut tables = Vec::new();
    for_each_table!(R => {
        let rows = R::of(catalogue);
        let dates = || rows.iter().map(|row| row.provenance().as_of);
        let sources: BTreeSet<String> = rows.iter().map(|row| row.provenance().source).collect();
        tables.push(Summary {
            table: R::TABLE,
            rows: rows.len(),
            oldest: dates().min(),
            newest: dates().max(),
            sources: sources.into_iter().collect(),
        });
    });
    Listing { tables, disputes: catalogue.disputes().len(), figures: Figures::default() }
}

/// The rows of a table in which a cell has the words of `filter`, in any case; all of them where it is empty.
pub fn show(catalogue: &Catalogue, table: &str, filter: &str) -> Result<Shown, super::TableError> {
    let name = check_table(table)?;
    let words = filter.trim().to_lowercase();
    let mut shown = Shown { table: Table::new(name, name, &[]), hidden: 0, figures: Figures::default() };
    for_each_table!(R => if R::TABLE == name {
        let columns = R::COLUMNS.iter().map(|column| Column { key: column.name, heading: column.name });
        shown.table.columns = columns.collect();
        for row in R::of(catalogue) {
            let texts = row.write();
            if texts.iter().any(|text| text.to_lowercase().contains(&words)) {
                let cells = R::COLUMNS.iter().zip(&texts).map(|(column, text)| cell(column.rule, text));
                shown.table.row(cells);
                shown.figures.cite(name, "rows", &row.provenance());
            } else {
                shown.hidden += 1;
            }
        }
    });
    Ok(shown)
}

fn cell(rule: Rule, text: &str) -> Cell {
    match decimal(text) {
        _ if text.is_empty() => Cell::Missing,
        Some(number) if rule == Rule::Price => Cell::Usd(Usd(number), number.scale()),
        Some(number) if rule.is_number() => Cell::Number(number, number.scale()),
        _ => Cell::text(text),
    }
}

impl Answer for Listing {
    fn title(&self) -> String {
        "The catalogue".to_owned()
    }

    fn tables(&self) -> Vec<Table> {
        let columns = [
            ("table", "table"),
            ("rows", "rows"),
            ("oldest", "oldest"),
            ("newest", "newest"),
            ("sources", "sources"),
        ];
        let mut table = Table::new("catalogue", self.title(), &columns);
        for summary in &self.tables {
            let date = |date: Option<AsOf>| date.map_or(Cell::Missing, |date| Cell::text(date.to_string()));
            table.row([
                Cell::text(summary.table),
                Cell::Number(summary.rows.into(), 0),
                date(summary.oldest),
                date(summary.newest),
                Cell::text(summary.sources.join(", ")),
            ]);
        }
        vec![table]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        vec![format!(
            "Sources disagree on {} things; `doubts` shows them, and what the arithmetic makes of the claims.",
            self.disputes
        )]
    }
}

impl Answer for Shown {
    fn title(&self) -> String {
        format!("The table `{}`", self.table.name)
    }

    fn tables(&self) -> Vec<Table> {
        vec![self.table.clone()]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        if self.hidden == 0 { Vec::new() } else { vec![format!("{} other rows.", self.hidden)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_listed_with_its_dates_and_sources() {
        let listing = list(&Catalogue::embedded().unwrap());
        insta::assert_snapshot!(listing.tables()[0].to_csv().unwrap(), @r#"
table,rows,oldest,newest,sources
hardware,7,2026-03-12,2026-03-12,economics
cloud-prices,12,2026-02,2026-03-12,"economics, surge"
market-prices,9,2026-02,2026-03-12,"economics, surge"
tariffs,8,2026-03-12,2026-05-30,"economics, mining-study"
mining,3,2026-03-12,2026-05-30,"economics, mining-study"
rentals,3,2026-05-30,2026-05-30,mining-study
networks,12,2026-03-12,2026-03-12,economics
claims,24,2026-02,2026-05-30,"economics, mining-study, surge"
assumptions,9,2026-03-12,2026-05-30,"economics, mining-study"
benchmarks,24,2024-05,2026-07,"Blender Open Data (macobserver.com), GPU-Benchmarks-on-LLM-Inference, geerlingguy/ai-benchmarks, llama.cpp scoreboard 15013 (quoted), llama.cpp scoreboard 4167 (quoted)"
idle-power,2,2023-06,2024-11-08,"Apple Support 102027, Apple Support 103253 (applech2.com)"
tokens,1,2026-03-12,2026-03-12,economics
"#);
    }

    #[test]
    fn a_table_is_shown_as_its_file_has_it() {
        let catalogue = Catalogue::embedded().unwrap();
        let csv = show(&catalogue, "market_prices", "io.net").unwrap().table.to_csv().unwrap();
        insta::assert_snapshot!(csv, @r"
gpu,network,usd_low,usd_median,usd_high,fee_rate,terms,sla,as_of,source
A100,io.net,3.33,,,,on-demand,,2026-03-12,economics
A100,io.net,0.6,,1,,consumer and prosumer GPUs,best effort,2026-02,surge
");
        assert!(show(&catalogue, "markets", "").unwrap_err().to_string().contains("market-prices"));
    }
}
