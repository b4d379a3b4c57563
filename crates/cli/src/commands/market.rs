//! `grist market`: runs a market.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::{Home, read_named},
    lightning_node::lnd::{self, LndArgs},
    output::{Output, Tone},
};
use clap::Args;
use market::{id::PartyId, units::Msat};
use node::{
    config_file::{self, Money},
    http::{MarketConfig, Payments, Prices, ServeError, Tls, serve},
};
use pay::{lnd::LndAddress, secret::SecretRef};
use serde::Deserialize;
use serde_json::json;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

/// `grist market`. Every option can also stand in a file (`--config`), under the same name with `_` for `-`.
#[derive(Debug, Args)]
pub(crate) struct MarketArgs {
    /// A file with these options; what is given here as well wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// What a market can be told.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:7070]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Where everything is kept [default: `market` in the data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The host that others reach it under, for the address that it prints
    #[arg(long, value_name = "HOST")]
    public_host: Option<String>,
    /// The operator's certificate chain, PEM; without it a certificate is made that the address pins
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// What the market is called, for people
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The Lightning node behind it: dev (play money), ldk (in this process) or lnd:ADDRESS [default: dev]
    #[arg(long, visible_alias = "lightning", value_name = "NODE")]
    payments: Option<PaymentsKind>,
    /// What claiming a Lightning payment on the chain costs these days, in satoshi: holds come in slices of at least ten times that
    #[arg(long, value_name = "SAT")]
    claim_cost: Option<u64>,
    /// What a blob costs, for each MiB begun, those who have no part in it [default: 0sat, every registered party reads]
    #[arg(long, value_name = "AMOUNT")]
    price_blob_mib: Option<Money>,
    /// What an hour of the live stream of offers costs [default: 0sat]
    #[arg(long, value_name = "AMOUNT")]
    price_offer_stream: Option<Money>,
    /// The most to hold for one party, bond and open top-ups included [default: what the rules allow, 10 million sat]
    #[arg(long, value_name = "AMOUNT")]
    max_balance: Option<Money>,
    /// The folder of the node, made by `grist lightning init` [default: `lightning` in the data folder]
    #[arg(long, value_name = "DIR")]
    lightning_dir: Option<PathBuf>,
    /// The macaroon for --lightning lnd:ADDRESS: a file that only you can read, or env:NAME with it in hex
    #[arg(long, value_name = "FILE|env:NAME", env = "GRIST_LND_MACAROON", hide_env_values = true)]
    lnd_macaroon: Option<SecretRef>,
    /// The certificate of that LND, its tls.cert; no other is accepted
    #[arg(long, value_name = "FILE|env:NAME", env = "GRIST_LND_CERT", hide_env_values = true)]
    lnd_cert: Option<SecretRef>,
    /// Needed when that LND is on bitcoin's main network: you have read docs/lightning.md and can afford to lose what it has
    #[arg(long)]
    lnd_real_money: bool,
    /// Declare a party to be the operator's own: it is never drawn to check results
    #[arg(long, value_name = "PARTY")]
    declare_own: Vec<PartyId>,
}

/// The Lightning nodes that a market can have behind it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum PaymentsKind {
    /// Play money: real invoices and hashes, no real bitcoin.
    Dev,
    /// A real node in this process.
    Ldk,
    /// A real node elsewhere.
    Lnd(LndAddress),
}

/// A text that names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no Lightning node for a market: say dev, ldk or lnd:ADDRESS")]
struct BadPaymentsKind(String);

impl FromStr for PaymentsKind {
    type Err = BadPaymentsKind;

    fn from_str(text: &str) -> Result<PaymentsKind, BadPaymentsKind> {
        let bad = || BadPaymentsKind(text.to_owned());
        match text.split_once(':') {
            None if text == "dev" => Ok(PaymentsKind::Dev),
            None if text == "ldk" => Ok(PaymentsKind::Ldk),
            Some(("lnd", address)) => address.parse().map(PaymentsKind::Lnd).map_err(|_| bad()),
            Some(_) | None => Err(bad()),
        }
    }
}

impl TryFrom<String> for PaymentsKind {
    type Error = BadPaymentsKind;

    fn try_from(text: String) -> Result<PaymentsKind, BadPaymentsKind> {
        text.parse()
    }
}

impl Options {
    fn or(self, file: Options) -> Options {
        let declare_own = if self.declare_own.is_empty() { file.declare_own } else { self.declare_own };
        Options {
            listen: self.listen.or(file.listen),
            data: self.data.or(file.data),
            public_host: self.public_host.or(file.public_host),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            name: self.name.or(file.name),
            payments: self.payments.or(file.payments),
            max_balance: self.max_balance.or(file.max_balance),
            claim_cost: self.claim_cost.or(file.claim_cost),
            price_blob_mib: self.price_blob_mib.or(file.price_blob_mib),
            price_offer_stream: self.price_offer_stream.or(file.price_offer_stream),
            lightning_dir: self.lightning_dir.or(file.lightning_dir),
            lnd_macaroon: self.lnd_macaroon.or(file.lnd_macaroon),
            lnd_cert: self.lnd_cert.or(file.lnd_cert),
            lnd_real_money: self.lnd_real_money || file.lnd_real_money,
            declare_own,
        }
    }
}

/// Runs a market until it is asked to end.
pub(crate) async fn run(args: MarketArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let options = match &args.config {
        Some(file) => args.options.or(read(file)?),
        None => args.options,
    };
    let data = match &options.data {
        Some(folder) => folder.clone(),
        None => Home::of(global)?.data("market"),
    };
    let purse = Purse::open(&options, &data, global, output).await?;
    let market = serve(config(&options, data.clone(), purse.payments())?).await.map_err(not_started)?;
    for party in &options.declare_own {
        let declared = market.declare_own(*party).await;
        declared.map_err(|e| Failure::of(Exit::Refused, e).during(format!("--declare-own {party}")))?;
    }
    if let Some(sat) = options.claim_cost {
        let amount_msat = Msat::from_sat(sat).ok_or_else(|| {
            Failure::new(Exit::BadInput, format!("--claim-cost {sat}: more than all bitcoin"))
        })?;
        let said = market.set_claim_cost(amount_msat).await;
        said.map_err(|e| Failure::of(Exit::Refused, e).during(format!("--claim-cost {sat}")))?;
    }
    let json = json!({
        "address": market.address(),
        "listen": market.listen(),
        "venue": market.venue(),
        "data": data,
        "payments": purse.word(),
        "lightning": purse.reachable_at(),
    });
    output.result(&json, || market.address().to_owned())?;
    output.note(&format!(
        "{} at {}\n  its page:  {}\n  its data:  {}\n{}  providers: grist provide --market {}\n  stop it:   Ctrl-C",
        output.tone(Tone::Strong, purse.greeting()),
        market.listen(),
        page(market.address()),
        data.display(),
        purse.reachable_at().iter().map(|at| format!("  its node:  {at}\n")).collect::<String>(),
        market.address(),
    ));
    let ended = market.run_until_signal().await.map_err(|e| Failure::of(Exit::Unexpected, e));
    purse.close().await?;
    ended
}

/// The Lightning node behind the market, which is stopped after it.
enum Purse {
    Dev,
    #[cfg(feature = "ldk")]
    Ldk(pay::ldk::LdkNode),
    Lnd(pay::lnd::LndNode),
}

impl Purse {
    async fn open(
        options: &Options,
        data: &Path,
        global: &Global,
        output: &Output,
    ) -> Result<Purse, Failure> {
        match options.payments.as_ref().unwrap_or(&PaymentsKind::Dev) {
            PaymentsKind::Dev | PaymentsKind::Lnd(_) if options.lightning_dir.is_some() => Err(Failure::new(
                Exit::BadInput,
                "a folder of a node is for --lightning ldk: give both or neither",
            )),
            PaymentsKind::Dev => Ok(Purse::Dev),
            PaymentsKind::Ldk => Purse::open_ldk(options, global, output).await,
            PaymentsKind::Lnd(address) => {
                let lnd = LndArgs {
                    lnd_macaroon: options.lnd_macaroon.clone(),
                    lnd_cert: options.lnd_cert.clone(),
                    lnd_real_money: options.lnd_real_money,
                };
                Ok(Purse::Lnd(lnd::open(address, &lnd, data.join("lnd"), output).await?))
            }
        }
    }

    #[cfg(feature = "ldk")]
    async fn open_ldk(options: &Options, global: &Global, output: &Output) -> Result<Purse, Failure> {
        let dir = match &options.lightning_dir {
            Some(dir) => dir.clone(),
            None => Home::of(global)?.data("lightning"),
        };
        Ok(Purse::Ldk(super::lightning::open_node(dir, output).await?))
    }

    #[cfg(not(feature = "ldk"))]
    async fn open_ldk(_: &Options, _: &Global, _: &Output) -> Result<Purse, Failure> {
        Err(super::lightning::no_node_inside())
    }

    fn payments(&self) -> Payments {
        match self {
            Purse::Dev => Payments::Dev,
            #[cfg(feature = "ldk")]
            Purse::Ldk(node) => Payments::Node(Arc::new(node.clone())),
            Purse::Lnd(node) => Payments::Node(Arc::new(node.clone())),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Purse::Dev => "dev",
            #[cfg(feature = "ldk")]
            Purse::Ldk(_) => "ldk",
            Purse::Lnd(_) => "lnd",
        }
    }

    fn greeting(&self) -> &'static str {
        match self {
            Purse::Dev => "the market is open, with play money,",
            #[cfg(feature = "ldk")]
            Purse::Ldk(_) => "the market is open, with a Lightning node of its own,",
            Purse::Lnd(_) => "the market is open, with your LND node behind it,",
        }
    }

    /// Where other nodes open channels to it.
    fn reachable_at(&self) -> Vec<String> {
        match self {
            Purse::Dev => Vec::new(),
            #[cfg(feature = "ldk")]
            Purse::Ldk(node) => node.reachable_at(),
            // LND tells its operator.
            Purse::Lnd(_) => Vec::new(),
        }
    }

    async fn close(self) -> Result<(), Failure> {
        match self {
            Purse::Dev => Ok(()),
            #[cfg(feature = "ldk")]
            Purse::Ldk(node) => node.stop().await.map_err(|e| Failure::of(Exit::Unexpected, e)),
            Purse::Lnd(node) => {
                node.stop().await;
                Ok(())
            }
        }
    }
}

fn read(file: &std::path::Path) -> Result<Options, Failure> {
    let text = read_named(file, config_file::TEXT_BYTES_MAX)?;
    config_file::parse(&text).map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))
}

fn config(options: &Options, data: PathBuf, payments: Payments) -> Result<MarketConfig, Failure> {
    let mut config = MarketConfig::new(data);
    config.listen = options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7070)));
    config.public_host = options.public_host.clone();
    config.max_balance = options.max_balance.map(|money| money.0);
    if let Some(name) = &options.name {
        config.name.clone_from(name);
    }
    config.tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificates), Some(key)) => {
            Tls::Files { certificates: certificates.clone(), key: key.clone() }
        }
        (None, None) => Tls::Auto,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Failure::new(
                Exit::BadInput,
                "tls_cert and tls_key belong together: give both or neither",
            ));
        }
    };
    config.prices = Prices {
        blob_msat_per_mib: options.price_blob_mib.map_or(Msat::ZERO, |money| money.0),
        offer_stream_msat: options.price_offer_stream.map_or(Msat::ZERO, |money| money.0),
    };
    config.payments = payments;
    Ok(config)
}

/// Where a browser finds the market.
fn page(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, host)) => format!("https://{host}"),
        None => address.to_owned(),
    }
}

fn not_started(error: ServeError) -> Failure {
    let exit = match &error {
        ServeError::Journal(_) | ServeError::Recover(_) => Exit::NotVerified,
        ServeError::Key(_) => Exit::Key,
        ServeError::Folder { .. } | ServeError::Tls(_) | ServeError::Listen { .. } => Exit::BadInput,
        ServeError::Purse(_) | ServeError::Tolls(_) | ServeError::Blobs(_) | ServeError::Rules(_) => {
            Exit::Unexpected
        }
    };
    Failure::of(exit, error)
}
