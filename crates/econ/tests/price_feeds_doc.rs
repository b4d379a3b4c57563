//! `docs/price-feeds.md` says what the program does: its examples are read, its columns are the tables'.

use econ::catalogue::{Catalogue, Overlay, feed::refresh, show};
use jiff::civil::{Date, date};

const PAGE: &str = include_str!("../../../docs/price-feeds.md");
const TODAY: Date = date(2026, 11, 20);

/// The example in this language; empty where there is none.
fn example(language: &str) -> &'static str {
    let parts = PAGE.split_once(&format!("```{language}\n")).and_then(|(_, rest)| rest.split_once("```"));
    parts.map_or("", |(example, _)| example)
}

#[test]
fn its_prices_toml_is_read() {
    let mut catalogue = Catalogue::embedded().unwrap();
    catalogue.overlay(&Overlay::from_toml(example("toml"), TODAY).unwrap());
    assert_eq!(catalogue.btc_rate().unwrap().usd_per_btc.to_string(), "91000");
    assert_eq!(catalogue.tariff("Home").unwrap().usd_per_kwh.0.to_string(), "0.2134");
}

#[test]
fn its_feeds_are_read() {
    let catalogue = Catalogue::embedded().unwrap();
    for (language, rows) in [("csv", 6), ("json", 3)] {
        let refreshed = refresh(example(language), "here", &catalogue, &Overlay::default(), TODAY).unwrap();
        assert_eq!(refreshed.changes.len(), rows, "{language}");
    }
}

#[test]
fn it_names_every_column_of_every_table() {
    let catalogue = Catalogue::embedded().unwrap();
    for table in Catalogue::tables() {
        let line = PAGE.lines().find(|line| line.starts_with(&format!("| `{table}.csv` |"))).unwrap();
        let named: String = line.split('|').nth(2).unwrap().chars().filter(|c| !"() ".contains(*c)).collect();
        let columns = show(&catalogue, table, "").unwrap().table.columns;
        let columns: Vec<&str> = columns.iter().map(|column| column.key).collect();
        assert_eq!(named, columns.join(","), "{table}");
    }
}
