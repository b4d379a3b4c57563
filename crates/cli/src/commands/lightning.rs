//! `grist lightning`: a Lightning node of one's own, in this program.
//!
//! Each command starts the node, does one thing and stops it; `grist lightning run` keeps it there, and so does
//! `grist market --lightning ldk`. Two at once are refused.

#[cfg(feature = "ldk")]
mod file;
#[cfg(feature = "ldk")]
mod node;

use crate::{args::Global, exit::Failure, output::Output};
use ::node::config_file::{Money, Span};
use clap::{Args, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

#[cfg(feature = "ldk")]
pub(crate) use node::open as open_node;

/// `grist lightning`.
#[derive(Debug, Args)]
pub(crate) struct LightningArgs {
    /// The node's folder [default: `lightning` in the data folder]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: LightningCommand,
}

/// What to do with the node.
#[derive(Debug, Subcommand)]
pub(crate) enum LightningCommand {
    /// Make a node: its folder, its seed, its settings
    Init(Box<InitArgs>),
    /// Keep the node online until Ctrl-C: only then can it be paid
    Run,
    /// Show who the node is and how far it sees the chain
    Info,
    /// Show the 24 words that the node's keys follow from, to be written on paper
    Words {
        /// Do not ask whether anybody is looking
        #[arg(long, short)]
        yes: bool,
    },
    /// Get an address for money on chain
    Address,
    /// Show all the money: in channels, on chain, in channels that close
    Balance,
    /// List the nodes that it connects to
    Peers,
    /// Connect to a node, and again whenever it is lost
    Connect {
        /// `KEY@HOST:PORT`
        peer: String,
    },
    /// Open a channel
    Open(OpenArgs),
    /// Close a channel
    Close {
        /// Its id, from `grist lightning channels`
        channel: String,
        /// Without the peer: costs more, and the money is locked for a while
        #[arg(long)]
        force: bool,
    },
    /// List the channels
    Channels,
    /// Make an invoice
    Invoice(InvoiceArgs),
    /// Pay an invoice
    Pay(PayArgs),
    /// List invoices and payments, oldest first
    History,
}

/// `grist lightning init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Which money
    #[arg(long, value_name = "NETWORK")]
    network: Chain,
    /// Needed for --network bitcoin: you have read docs/lightning.md and can afford to lose what you put in
    #[arg(long)]
    real_money: bool,
    /// Look at the chain through your own bitcoind's RPC
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "esplora", required_unless_present = "esplora")]
    bitcoind: Option<String>,
    /// Where `USER:PASSWORD` for bitcoind is: a file, such as its .cookie, or env:NAME
    #[arg(long, value_name = "FILE|env:NAME", requires = "bitcoind")]
    bitcoind_auth: Option<String>,
    /// Look at the chain through an Esplora server, which learns what you are interested in
    #[arg(long, value_name = "URL")]
    esplora: Option<String>,
    /// Encrypt the seed with a passphrase that is found there, now and at each start
    #[arg(long, value_name = "FILE|env:NAME")]
    passphrase: Option<String>,
    /// Take the 24 words in this file rather than new ones
    #[arg(long, value_name = "FILE|env:NAME")]
    words: Option<String>,
    /// Listen for other nodes
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<SocketAddr>,
    /// What the node is called
    #[arg(long, value_name = "NAME", default_value = "gristmill")]
    alias: String,
    /// A node to connect to at each start, `KEY@HOST:PORT`
    #[arg(long, value_name = "PEER")]
    peer: Vec<String>,
    /// Write everything to this folder too, on another disk or machine: the only backup of channels that is safe
    #[arg(long, value_name = "DIR")]
    mirror: Option<PathBuf>,
}

/// The chains that a real node can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chain {
    /// Real money.
    Bitcoin,
    /// The public test network.
    Testnet,
    /// The signed test network.
    Signet,
    /// A test network of your own.
    Regtest,
}

/// `grist lightning open`.
#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// `KEY@HOST:PORT`
    peer: String,
    /// How large, paid from the money on chain: `500000sat`
    amount: Money,
    /// Give this much of it to the peer
    #[arg(long, value_name = "AMOUNT")]
    push: Option<Money>,
    /// Tell the network, to carry payments of others
    #[arg(long)]
    announce: bool,
    /// Stay until the channel can be used, about an hour on a real chain
    #[arg(long)]
    wait: bool,
}

/// `grist lightning invoice`.
#[derive(Debug, Args)]
pub(crate) struct InvoiceArgs {
    /// How much
    amount: Money,
    /// What for; the payer sees it
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// How long it can be paid
    #[arg(long, value_name = "TIME", default_value = "1h")]
    expires_in: Span,
    /// Stay online until it is paid
    #[arg(long)]
    wait: bool,
}

/// `grist lightning pay`.
#[derive(Debug, Args)]
pub(crate) struct PayArgs {
    /// The invoice
    #[arg(value_name = "BOLT11")]
    invoice: String,
    /// How much, if the invoice leaves it open
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<Money>,
    /// The most that routing may cost on top [default: 1 % of the amount, at least 5 sat]
    #[arg(long, value_name = "AMOUNT")]
    max_fee: Option<Money>,
}

/// Runs `grist lightning …`.
#[cfg(feature = "ldk")]
pub(crate) async fn run(args: &LightningArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => crate::home::Home::of(global)?.data("lightning"),
    };
    node::run(&args.command, dir, output).await
}

/// Says which build can do it.
#[cfg(not(feature = "ldk"))]
pub(crate) async fn run(_: &LightningArgs, _: &Global, _: &Output) -> Result<(), Failure> {
    Err(no_node_inside())
}

/// Why this build cannot do it.
#[cfg(not(feature = "ldk"))]
pub(crate) fn no_node_inside() -> Failure {
    Failure::new(
        crate::exit::Exit::Usage,
        "this build has no Lightning node inside: take a release, or build with `cargo build --release --features ldk`",
    )
}
