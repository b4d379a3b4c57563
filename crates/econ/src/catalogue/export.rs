//! The catalogue as files, and back without loss.

use super::{
    Catalogue,
    overlay::{Overlay, check_table},
    read::{Place, Problem, REPLACES, TableError},
    rows::{Row, for_each_table},
};
use jiff::civil::Date;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How a catalogue is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A CSV file for each table that has rows.
    Csv,
    /// One `prices.toml`.
    Toml,
    /// One `catalogue.json`: an object with a list of rows for each table.
    Json,
}

/// A file by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Its name: `tariffs.csv`, `prices.toml`, `catalogue.json`.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// A catalogue that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The CSV writer refused.
    #[error("the catalogue cannot be written as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The JSON writer refused.
    #[error("the catalogue cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The catalogue as files. Numbers are written digit for digit, in all three formats.
pub fn export(catalogue: &Catalogue, format: Format) -> Result<Vec<Sheet>, ExportError> {
    Overlay { rows: catalogue.clone(), ..Overlay::default() }.files(format)
}

/// Reads files as [`export`] writes them, or as a person does. Names tell what they hold.
pub fn import(files: &[Sheet], today: Date) -> Result<Overlay, TableError> {
    let mut overlay = Overlay::default();
    for Sheet { name, text } in files {
        let read = match name.rsplit_once('.') {
            Some((_, "toml")) => Overlay::from_toml(text, today)?,
            Some((_, "json")) => Overlay::from_json(text, today)?,
            Some((table, "csv")) => Overlay::from_csv(check_table(table)?, text, today)?,
            _ => {
                let problem = "a file is named after its table (tariffs.csv) or ends in .toml or .json";
                return Err(TableError::new(name, Place::Whole, Problem::Syntax(problem.to_owned())));
            }
        };
        overlay.merge(&read);
    }
    Ok(overlay)
}

impl Overlay {
    /// Its rows as files. [`import`] reads them back to the same overlay.
    pub fn files(&self, format: Format) -> Result<Vec<Sheet>, ExportError> {
        let sheet = |name: &str, text| vec![Sheet { name: name.to_owned(), text }];
        match format {
            Format::Csv => self.csv_files(),
            Format::Toml => Ok(sheet("prices.toml", self.toml())),
            Format::Json => Ok(sheet("catalogue.json", self.json()?)),
        }
    }

    fn is_replacing<R: Row>(&self, row: &R) -> bool {
        self.replaced.contains(&(R::TABLE, row.key()))
    }

    fn csv_files(&self) -> Result<Vec<Sheet>, ExportError> {
        let mut files = Vec::new();
        for_each_table!(R => if !R::of(&self.rows).is_empty() {
            files.push(Sheet { name: format!("{}.csv", R::TABLE), text: self.csv::<R>()? });
        });
        Ok(files)
    }

    fn csv<R: Row>(&self) -> Result<String, csv::Error> {
        let rows = R::of(&self.rows);
        let has_replacing = rows.iter().any(|row| self.is_replacing(row));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names = R::COLUMNS.iter().map(|column| column.name);
        writer.write_record(names.chain(has_replacing.then_some(REPLACES)))?;
        for row in rows {
            let mark = if self.is_replacing(row) { "yes" } else { "no" };
            writer.write_record(row.write().into_iter().chain(has_replacing.then(|| mark.to_owned())))?;
        }
        let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn toml(&self) -> String {
        let mut text = String::new();
        for_each_table!(R => for row in R::of(&self.rows) {
            text.push_str(&format!("[[{}]]\n", R::TABLE));
            for (column, cell) in R::COLUMNS.iter().zip(row.write()) {
                if cell.is_empty() {
                    continue;
                }
                let value = if column.rule.is_number() { cell } else { toml::Value::String(cell).to_string() };
                text.push_str(&format!("{} = {value}\n", column.name));
            }
            if self.is_replacing(row) {
                text.push_str("replaces = true\n");
            }
            text.push('\n');
        });
        text
    }

    fn json(&self) -> Result<String, serde_json::Error> {
        let mut tables: BTreeMap<&str, Vec<BTreeMap<&str, Box<RawValue>>>> = BTreeMap::new();
        for_each_table!(R => for row in R::of(&self.rows) {
            let mut object = BTreeMap::new();
            for (column, cell) in R::COLUMNS.iter().zip(row.write()) {
                if !cell.is_empty() {
                    let text = if column.rule.is_number() { cell } else { serde_json::to_string(&cell)? };
                    object.insert(column.name, RawValue::from_string(text)?);
                }
            }
            if self.is_replacing(row) {
                object.insert(REPLACES, RawValue::from_string("true".to_owned())?);
            }
            tables.entry(R::TABLE).or_default().push(object);
        });
        serde_json::to_string_pretty(&tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{MarketPrice, Tariff},
        money::Usd,
    };
    use jiff::civil::date;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    const TODAY: Date = date(2026, 11, 20);

    fn round_trip(catalogue: &Catalogue, format: Format) -> Catalogue {
        let mut read = Catalogue::default();
        read.overlay(&import(&export(catalogue, format).unwrap(), TODAY).unwrap());
        read
    }

    #[test]
    fn what_is_exported_is_imported_as_it_was() {
        let catalogue = Catalogue::embedded().unwrap();
        for format in [Format::Csv, Format::Toml, Format::Json] {
            assert_eq!(round_trip(&catalogue, format), catalogue, "{format:?}");
        }
    }

    /// Words as a row may hold them: no control characters, no space at the ends.
    fn words() -> impl Strategy<Value = String> {
        let text = prop_oneof![
            "[a-zA-Z0-9 ,;\"'\\\\#=\\[\\]{}]{1,20}",
            "\\PC{1,20}",
            "null|true|yes|NaN|0[.]1|2026-01"
        ];
        text.prop_map(|text| text.trim().to_owned()).prop_filter("some", |text| !text.is_empty())
    }

    fn price() -> impl Strategy<Value = Usd> {
        (0u64..400_000_000_000_000, 6u32..26)
            .prop_map(|(number, scale)| Usd(Decimal::from_i128_with_scale(number.into(), scale)))
    }

    fn market_price() -> impl Strategy<Value = MarketPrice> {
        let texts = (words(), words(), words(), prop::option::of(words()), words());
        (texts, price(), prop::option::of(price()), 1i16..2027, 1i8..13).prop_map(
            |(texts, low, more, year, month)| {
                let (gpu, network, terms, sla, source) = texts;
                MarketPrice {
                    gpu,
                    network,
                    usd_low: low,
                    usd_median: None,
                    usd_high: more.map(|more| low + more),
                    fee_rate: more.map(|_| Decimal::new(15, 2)),
                    terms,
                    sla: sla.unwrap_or_default(),
                    as_of: format!("{year:04}-{month:02}").parse().unwrap(),
                    source,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn any_rows_are_exported_and_imported_as_they_were(rows in prop::collection::vec(market_price(), 0..5), tariff in (words(), price())) {
            let mut catalogue = Catalogue::default();
            for row in rows.into_iter().filter(|row| !row.as_of.is_future(TODAY)) {
                let is_new = |old: &MarketPrice| (old.key(), &old.source) != (row.key(), &row.source);
                if catalogue.market_prices.iter().all(is_new) {
                    catalogue.market_prices.push(row);
                }
            }
            let (region, usd_per_kwh) = tariff;
            let (as_of, source) = ("2026-11-20".parse().unwrap(), "you".to_owned());
            catalogue.tariffs.push(Tariff { region, usd_per_kwh, as_of, source });
            for format in [Format::Csv, Format::Toml, Format::Json] {
                prop_assert_eq!(round_trip(&catalogue, format), catalogue.clone());
            }
        }
    }
}
