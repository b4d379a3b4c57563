//! `lightning.toml`: what a node was made with. It is written by `grist lightning init` and can be edited.

use super::{Chain, InitArgs};
use crate::exit::{Exit, Failure};
use node::config_file;
use pay::{
    Network,
    ldk::{ChainSource, LdkConfig, Peer},
    secret::SecretRef,
};
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The name of the file in the node's folder.
const NAME: &str = "lightning.toml";

/// What stands in the file. Secrets do not: it names where they are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LightningFile {
    pub(super) network: Network,
    #[serde(default)]
    pub(super) allow_real_money: bool,
    pub(super) alias: String,
    pub(super) seed: PathBuf,
    pub(super) passphrase: Option<SecretRef>,
    #[serde(default)]
    pub(super) listen: Vec<SocketAddr>,
    #[serde(default)]
    pub(super) peers: Vec<Peer>,
    pub(super) mirror: Option<PathBuf>,
    pub(super) chain: ChainSource,
}

impl LightningFile {
    /// What the options of `init` say.
    pub(super) fn of(args: &InitArgs, dir: &Path) -> Result<LightningFile, Failure> {
        let usage = |error: &dyn std::error::Error| Failure::new(Exit::Usage, error.to_string());
        let secret = |text: &Option<String>| {
            text.as_deref().map(str::parse::<SecretRef>).transpose().map_err(|error| usage(&error))
        };
        // The file is read from anywhere later.
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| Failure::of(Exit::Usage, error).during(path.display()))
        };
        let peers = args.peer.iter().map(|peer| peer.parse()).collect::<Result<Vec<Peer>, _>>();
        Ok(LightningFile {
            network: args.network.into(),
            allow_real_money: args.real_money,
            alias: args.alias.clone(),
            seed: absolute(&dir.join("seed"))?,
            passphrase: secret(&args.passphrase)?,
            listen: args.listen.clone(),
            peers: peers.map_err(|error| usage(&error))?,
            mirror: args.mirror.as_deref().map(absolute).transpose()?,
            chain: chain(args, secret(&args.bitcoind_auth)?)?,
        })
    }

    /// Reads the file in a node's folder.
    pub(super) fn read(dir: &Path) -> Result<LightningFile, Failure> {
        let file = dir.join(NAME);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::new(
                    Exit::BadInput,
                    format!(
                        "there is no Lightning node in {}: make one with `grist lightning init`",
                        dir.display()
                    ),
                ));
            }
            Err(error) => return Err(Failure::of(Exit::BadInput, error).during(file.display())),
        };
        config_file::parse(&text).map_err(|error| Failure::of(Exit::BadInput, error).during(file.display()))
    }

    /// Writes the file; one that is there is kept.
    pub(super) fn create(&self, dir: &Path) -> Result<(), Failure> {
        let file = dir.join(NAME);
        let failed = |error: std::io::Error| Failure::of(Exit::BadInput, error).during(file.display());
        let text = toml::to_string(self).map_err(|error| Failure::of(Exit::Unexpected, error))?;
        let mut opened = std::fs::File::create_new(&file).map_err(failed)?;
        std::io::Write::write_all(&mut opened, text.as_bytes()).map_err(failed)
    }

    /// What the node has to be told.
    pub(super) fn config(self, dir: PathBuf) -> LdkConfig {
        LdkConfig {
            dir,
            network: self.network,
            allow_real_money: self.allow_real_money,
            seed: self.seed,
            passphrase: self.passphrase,
            chain: self.chain,
            listen: self.listen,
            alias: self.alias,
            peers: self.peers,
            mirror: self.mirror,
        }
    }
}

fn chain(args: &InitArgs, auth: Option<SecretRef>) -> Result<ChainSource, Failure> {
    match (&args.bitcoind, auth, &args.esplora) {
        (Some(address), Some(auth), _) => {
            let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            let (host, port) = parts.ok_or_else(|| {
                Failure::new(Exit::Usage, format!("--bitcoind: {address} is not HOST:PORT"))
            })?;
            Ok(ChainSource::Bitcoind { host: host.to_owned(), port, auth })
        }
        (Some(_), None, _) => {
            Err(Failure::new(Exit::Usage, "--bitcoind needs --bitcoind-auth: bitcoind lets nobody else in"))
        }
        (None, _, Some(url)) => Ok(ChainSource::Esplora { url: url.clone() }),
        (None, _, None) => {
            Err(Failure::new(Exit::Usage, "give --bitcoind or --esplora: a node has to see the chain"))
        }
    }
}

impl From<Chain> for Network {
    fn from(chain: Chain) -> Network {
        match chain {
            Chain::Bitcoin => Network::Bitcoin,
            Chain::Testnet => Network::Testnet,
            Chain::Signet => Network::Signet,
            Chain::Regtest => Network::Regtest,
        }
    }
}
