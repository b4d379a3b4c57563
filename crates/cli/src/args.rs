//! The command line.

use crate::{
    commands,
    demo::{DemoArgs, DemoProviderArgs},
    exit::Exit,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use node::config_file::Money;
use std::path::PathBuf;

/// An open market for verified compute, paid over Lightning.
///
/// Buyers send jobs, providers run them in sandboxes, results are verified, and everybody is paid to the millisatoshi.
#[derive(Debug, Parser)]
#[command(
    name = "grist",
    bin_name = "grist",
    version,
    propagate_version = false,
    after_help = "See it all work on this machine: grist demo\nWhat exit codes mean: grist help exit-codes"
)]
pub(crate) struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The market: grist://KEY@HOST:PORT, https://HOST, or http://127.0.0.1:PORT
    #[arg(long, global = true, env = "GRIST_MARKET", hide_env_values = true, value_name = "ADDRESS")]
    pub(crate) market: Option<String>,
    /// The party's key file, instead of the one in the configuration folder
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Use another set of keys and settings
    #[arg(long, global = true, env = "GRIST_PROFILE", hide_env_values = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The most that this command may spend on what costs something to read [default: nothing]
    #[arg(
        long,
        global = true,
        env = "GRIST_MAX_PAY",
        hide_env_values = true,
        value_name = "AMOUNT",
        default_value = "0sat",
        hide_default_value = true
    )]
    pub(crate) max_pay: Money,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print what lies behind an error, and log more
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// When to use colors
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On terminals.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch the whole thing on this machine: a market, four providers, a buyer, a rendered film
    Demo(DemoArgs),
    /// Run a market
    Market(commands::market::MarketArgs),
    /// Sell this computer's work
    Provide(commands::provide::ProvideArgs),
    /// Check the work of others, as a hidden replica
    Validate(commands::provide::ProvideArgs),
    /// Run a job: price it, place it, follow it, fetch and check its results
    Run(commands::run::RunArgs),
    /// Show, follow and cancel jobs that were placed
    #[command(subcommand)]
    Job(commands::job::JobCommand),
    /// See what machines sell, and why they have work or not
    Offers(commands::offers::OffersArgs),
    /// See what you asked for, and why it is not served
    #[command(subcommand)]
    Order(commands::order::OrderCommand),
    /// See and end leases
    #[command(subcommand)]
    Lease(commands::order::LeaseCommand),
    /// Let somebody else read about a lease; see and check tokens
    #[command(subcommand)]
    Token(commands::token::TokenCommand),
    /// Fetch any address, and pay where it costs something (L402)
    Fetch(commands::fetch::FetchArgs),
    /// Fetch and check the signed story of a settled job
    #[command(subcommand)]
    Receipt(commands::receipt::ReceiptCommand),
    /// Money in, money out, the bond
    #[command(subcommand)]
    Wallet(commands::wallet::WalletCommand),
    /// Find out how a job's money should wait, and who can lose what
    #[command(subcommand)]
    Escrow(commands::escrow::EscrowCommand),
    /// The key that owns your money, bond and reputation
    #[command(subcommand)]
    Party(commands::party::PartyCommand),
    /// The computers of your party
    #[command(subcommand)]
    Machine(commands::machine::MachineCommand),
    /// Find out whether any of this pays: costs, prices, pay, mechanisms
    Econ(Box<commands::econ::EconArgs>),
    /// Check and replay a market's data folder, offline
    #[command(subcommand)]
    Journal(commands::journal::JournalCommand),
    /// Print shell completions
    Completions(commands::manual::CompletionsArgs),
    /// Write the manual pages into a folder
    Man(commands::manual::ManArgs),
    /// Print the version, the execution profiles and what sandboxes are made of here
    Version,
    /// Print what exit codes mean
    #[command(after_help = Exit::list())]
    ExitCodes,
    /// Run tasks for a provider; started by `grist provide`, not by hand
    #[command(hide = true)]
    Worker,
    /// Be one of the demo's providers; started by `grist demo`, not by hand
    #[command(hide = true)]
    DemoProvider(DemoProviderArgs),
}
