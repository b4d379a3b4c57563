//! The command line.

use crate::{
    answer::today,
    commands,
    demo::{DemoArgs, DemoProviderArgs},
    exit::Exit,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use econ::{
    catalogue::{Field, Rule},
    date::{AsOf, NotADate},
    money::BtcRate,
    question::BTC_USD,
};
use node::config_file::Money;
use rust_decimal::Decimal;
use std::{path::PathBuf, str::FromStr};

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
    /// Show dollars as well, by --fiat-rate or the rate in your own prices
    #[arg(long, global = true, value_name = "CURRENCY")]
    pub(crate) fiat: Option<FiatChoice>,
    /// What a bitcoin costs and since when, for --fiat: 100000@2026-11-20
    #[arg(long, global = true, value_name = "USD@DATE", requires = "fiat")]
    pub(crate) fiat_rate: Option<DatedRate>,
    /// When to use colors
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

/// A currency that is not bitcoin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FiatChoice {
    /// US dollars.
    Usd,
}

/// What a bitcoin costs, with the day that it cost so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatedRate(pub(crate) BtcRate);

impl FromStr for DatedRate {
    type Err = String;

    fn from_str(text: &str) -> Result<DatedRate, String> {
        let wrong = "write what a bitcoin costs in dollars, and since when: 100000@2026-11-20";
        let (usd, as_of) = text.split_once('@').ok_or(wrong)?;
        let usd_per_btc = Decimal::read(usd.trim(), Rule::Figure).ok_or(wrong)?;
        let usd_per_btc = BTC_USD.check(usd_per_btc).map_err(|error| error.to_string())?;
        let as_of: AsOf = as_of.trim().parse().map_err(|error: NotADate| error.to_string())?;
        if as_of.is_future(today()) {
            return Err(format!("{as_of} has not come yet"));
        }
        Ok(DatedRate(BtcRate { usd_per_btc, as_of, source: "you".into() }))
    }
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
    /// A Lightning node of your own: channels, invoices, payments
    Lightning(commands::lightning::LightningArgs),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_date_that_has_come_and_a_price_that_can_be() {
        let rate: DatedRate = "100000.5@2026-03".parse().unwrap();
        assert_eq!(
            (rate.0.usd_per_btc.to_string(), rate.0.as_of.to_string()),
            ("100000.5".into(), "2026-03".into())
        );
        for text in [
            "100000",
            "@2026-03-01",
            "0@2026-03-01",
            "-5@2026-03-01",
            "1e5@2026-03-01",
            "100000@2999-01-01",
            "100000@yesterday",
        ] {
            assert!(text.parse::<DatedRate>().is_err(), "{text}");
        }
    }
}
