//! `grist econ`: whether any of this pays.

mod catalog;
mod inputs;
mod mechanism;
mod outlook;
mod questions;
mod report;

use crate::{args::Global, exit::Failure, output::Output};
use clap::{Args, Subcommand};

/// `grist econ`.
#[derive(Debug, Args)]
pub(crate) struct EconArgs {
    #[command(subcommand)]
    command: EconCommand,
    /// Print the tables as CSV, numbers unrounded
    #[arg(long, global = true, conflicts_with = "json")]
    csv: bool,
}

/// `grist econ …`.
#[derive(Debug, Subcommand)]
enum EconCommand {
    /// The figures that all answers stand on, with their sources and dates
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// What an hour of a machine costs: power, wear, and the pay or tariff that breaks even
    Breakeven(questions::BreakevenArgs),
    /// What a network must pay for a machine, beside what rental markets pay
    Rates(questions::RatesArgs),
    /// What the same work costs at clouds, networks and a running market
    Compare(questions::CompareArgs),
    /// The same card mining or rented out
    RentOrMine(questions::RentOrMineArgs),
    /// What a miner of a token network earns, on average and at the median
    Miner(questions::MinerArgs),
    /// What a training coordinator pays a swarm, beside renting big cards
    Swarm(questions::SwarmArgs),
    /// What may come of a machine in the next months: Monte Carlo
    Simulate(outlook::SimulateArgs),
    /// Work for a joule and for a satoshi, where benchmarks say
    Energy(questions::EnergyArgs),
    /// Who pays a network, and for what: utilization, revenue, concentration of demand
    Network(outlook::NetworkArgs),
    /// What this machine draws, what it earned, what is left after power
    #[command(name = "self")]
    OwnMachine(outlook::SelfArgs),
    /// The rules by which networks pay, run on the same market
    #[command(subcommand)]
    Mechanism(mechanism::MechanismCommand),
    /// All answers on one page, with charts
    Report(report::ReportArgs),
}

/// Answers.
pub(crate) async fn run(args: EconArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let csv = args.csv;
    match args.command {
        EconCommand::Catalog(command) => catalog::run(command, csv, global, output).await,
        EconCommand::Breakeven(args) => questions::breakeven(args, csv, global, output),
        EconCommand::Rates(args) => questions::rates(args, csv, global, output),
        EconCommand::Compare(args) => questions::compare(args, csv, global, output).await,
        EconCommand::RentOrMine(args) => questions::rent_or_mine(args, csv, global, output),
        EconCommand::Miner(args) => questions::miner(args, csv, global, output),
        EconCommand::Swarm(args) => questions::swarm(args, csv, global, output),
        EconCommand::Simulate(args) => outlook::simulate(args, csv, global, output),
        EconCommand::Network(args) => outlook::network(args, csv, global, output).await,
        EconCommand::OwnMachine(args) => outlook::own_machine(args, csv, global, output).await,
        EconCommand::Energy(args) => questions::energy(args, csv, global, output),
        EconCommand::Report(args) => report::report(&args, global, output),
        EconCommand::Mechanism(command) => mechanism::run(command, csv, output),
    }
}
