//! `grist econ mechanism`: the rules by which networks pay, run on the same market.

use crate::{
    answer,
    exit::{Exit, Failure},
    home::read_named,
    output::Output,
};
use clap::Subcommand;
use econ::mechanism::scenario::Scenario;
use node::config_file::TEXT_BYTES_MAX;
use std::path::{Path, PathBuf};

/// The scenario that runs where none is named; it explains itself.
const EXAMPLE: &str = include_str!("../../../../../examples/econ/scenario.toml");

/// `grist econ mechanism …`.
#[derive(Debug, Subcommand)]
pub(super) enum MechanismCommand {
    /// Run the same demand, supply and prices through each mechanism
    Run {
        /// The scenario [default: the one that `mechanism scenario` prints]
        #[arg(value_name = "SCENARIO.toml")]
        scenario: Option<PathBuf>,
    },
    /// Print a scenario with every setting explained, to begin with
    Scenario,
}

/// Runs mechanisms.
pub(super) fn run(command: MechanismCommand, csv: bool, output: &Output) -> Result<(), Failure> {
    match command {
        MechanismCommand::Run { scenario } => {
            output.note("running each mechanism through the years");
            answer::print(&self::scenario(scenario.as_deref())?.run(), csv, output)
        }
        MechanismCommand::Scenario => output.text(EXAMPLE),
    }
}

/// A scenario that was named, or the program's own.
pub(super) fn scenario(named: Option<&Path>) -> Result<Scenario, Failure> {
    let (text, name) = match named {
        Some(file) => (read_named(file, TEXT_BYTES_MAX)?, file.display().to_string()),
        None => (EXAMPLE.to_owned(), "the scenario of this program".to_owned()),
    };
    Scenario::parse(&text).map_err(|e| Failure::of(Exit::BadInput, e).during(name))
}
