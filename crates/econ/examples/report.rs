//! Writes the report to standard output, with the mechanisms on a scenario if one is named:
//! `cargo run -p econ --example report examples/econ/scenario.toml > report.html`

use econ::{catalogue::Catalogue, mechanism::scenario::Scenario, report};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut contents = report::Contents::default();
    if let Some(path) = std::env::args().nth(1) {
        contents.scenario = Some(Scenario::parse(&std::fs::read_to_string(path)?)?);
    }
    let today = jiff::Zoned::now().date();
    print!("{}", report::all(&contents, &Catalogue::embedded()?, today)?);
    Ok(())
}
