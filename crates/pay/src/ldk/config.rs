//! What an embedded node has to be told, and the folder that it keeps.

use crate::{
    folder::{self, FolderError},
    node::Network,
    secret::SecretRef,
};
use ldk_node::{
    bitcoin::{self, secp256k1::PublicKey},
    lightning::ln::msgs::SocketAddress,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// What an embedded node has to be told. [`LdkConfig::new`] has what most operators want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdkConfig {
    /// Where everything is kept: channels, payments, the log. One process at a time.
    pub dir: PathBuf,
    /// Which money it is about. The folder remembers it, and never serves another.
    pub network: Network,
    /// Has to be set on [`Network::Bitcoin`]: what goes wrong there costs real money.
    pub allow_real_money: bool,
    /// The file with the seed; see [`super::Seed`].
    pub seed: PathBuf,
    /// What opens the seed, if it is encrypted.
    pub passphrase: Option<SecretRef>,
    /// Where it looks at the chain.
    pub chain: ChainSource,
    /// Where it listens for other nodes; with none, it only dials.
    pub listen: Vec<SocketAddr>,
    /// What it is called, for people; at most 32 bytes.
    pub alias: String,
    /// The nodes that it connects to at once when it starts, and again when it loses them.
    pub peers: Vec<Peer>,
    /// A second folder, on another disk or machine, that everything is written to before it counts.
    pub mirror: Option<PathBuf>,
}

impl LdkConfig {
    /// A node in this folder, with the seed in it, that listens nowhere and has no mirror.
    pub fn new(dir: impl Into<PathBuf>, network: Network, chain: ChainSource) -> LdkConfig {
        let dir = dir.into();
        LdkConfig {
            seed: dir.join("seed"),
            dir,
            network,
            allow_real_money: false,
            passphrase: None,
            chain,
            listen: Vec::new(),
            alias: "gristmill".into(),
            peers: Vec::new(),
            mirror: None,
        }
    }
}

/// Where a node looks at the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainSource {
    /// A bitcoind of one's own.
    Bitcoind {
        /// Its RPC host.
        host: String,
        /// Its RPC port.
        port: u16,
        /// `USER:PASSWORD`; bitcoind's cookie file is one.
        auth: SecretRef,
    },
    /// An Esplora server, which learns what the node is interested in.
    Esplora {
        /// Its address, such as `https://blockstream.info/api`.
        url: String,
    },
}

/// Another node and where it listens: `KEY@HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Peer {
    pub(super) id: PublicKey,
    pub(super) address: SocketAddress,
}

/// A text that names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no node: write KEY@HOST:PORT, with the key in 66 hex digits")]
pub struct BadPeer(String);

impl FromStr for Peer {
    type Err = BadPeer;

    fn from_str(text: &str) -> Result<Peer, BadPeer> {
        let bad = || BadPeer(text.to_owned());
        let (id, address) = text.split_once('@').ok_or_else(bad)?;
        Ok(Peer { id: id.parse().map_err(|_| bad())?, address: address.parse().map_err(|_| bad())? })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

impl TryFrom<String> for Peer {
    type Error = BadPeer;

    fn try_from(text: String) -> Result<Peer, BadPeer> {
        text.parse()
    }
}

impl From<Peer> for String {
    fn from(peer: Peer) -> String {
        peer.to_string()
    }
}

/// A data folder, and its mirror, that are ours while this lives.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) network: bitcoin::Network,
    _locks: Vec<File>,
}

impl Folder {
    pub(super) fn open(config: &LdkConfig) -> Result<Folder, FolderError> {
        let network = match config.network {
            Network::Bitcoin if !config.allow_real_money => return Err(FolderError::RealMoney),
            Network::Bitcoin => bitcoin::Network::Bitcoin,
            Network::Testnet => bitcoin::Network::Testnet,
            Network::Signet => bitcoin::Network::Signet,
            Network::Regtest => bitcoin::Network::Regtest,
            Network::Simnet => return Err(FolderError::NoSuchNetwork(Network::Simnet)),
        };
        let mut locks = Vec::new();
        for dir in std::iter::once(&config.dir).chain(&config.mirror) {
            folder::create_private(dir)?;
            locks.push(lock(dir)?);
            folder::mark_network(dir, config.network)?;
        }
        Ok(Folder { network, _locks: locks })
    }
}

/// The lock goes with the process, however it ends.
fn lock(dir: &Path) -> Result<File, FolderError> {
    let path = dir.join("lock");
    let failed = |source| FolderError::Io { path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FolderError::Busy(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path, network: Network) -> LdkConfig {
        LdkConfig::new(dir, network, ChainSource::Esplora { url: "http://127.0.0.1:1".into() })
    }

    #[test]
    fn a_folder_serves_one_network_only() {
        let folder = tempfile::tempdir().unwrap();
        drop(Folder::open(&config(folder.path(), Network::Regtest)).unwrap());
        drop(Folder::open(&config(folder.path(), Network::Regtest)).unwrap());
        let refused = Folder::open(&config(folder.path(), Network::Signet)).unwrap_err();
        assert!(
            matches!(&refused, FolderError::OtherNetwork { found, .. } if found == "regtest"),
            "{refused}"
        );
    }

    #[test]
    fn a_folder_serves_one_process_only() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(&config(folder.path(), Network::Regtest)).unwrap();
        let second = Folder::open(&config(folder.path(), Network::Regtest));
        assert!(matches!(second, Err(FolderError::Busy(_))), "{second:?}");
        drop(first);
        Folder::open(&config(folder.path(), Network::Regtest)).unwrap();
    }

    #[test]
    fn a_mirror_serves_one_node_on_one_network() {
        let root = tempfile::tempdir().unwrap();
        let mirrored = |name: &str, network| LdkConfig {
            mirror: Some(root.path().join("mirror")),
            ..config(&root.path().join(name), network)
        };
        let first = Folder::open(&mirrored("first", Network::Regtest)).unwrap();
        let second = Folder::open(&mirrored("second", Network::Regtest));
        assert!(matches!(second, Err(FolderError::Busy(_))), "{second:?}");
        drop(first);
        let third = Folder::open(&mirrored("third", Network::Signet));
        assert!(matches!(third, Err(FolderError::OtherNetwork { .. })), "{third:?}");
    }

    #[test]
    fn real_money_has_to_be_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let careful = config(folder.path(), Network::Bitcoin);
        assert!(matches!(Folder::open(&careful), Err(FolderError::RealMoney)));
        assert!(!folder.path().join("network").exists(), "nothing was begun");
        Folder::open(&LdkConfig { allow_real_money: true, ..careful }).unwrap();
    }

    #[test]
    fn a_peer_reads_as_it_is_written() {
        let text = "02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619@127.0.0.1:9735";
        assert_eq!(text.parse::<Peer>().unwrap().to_string(), text);
        for bad in ["", "127.0.0.1:9735", "02ee@127.0.0.1:9735", &text[..text.len() - 5]] {
            assert!(bad.parse::<Peer>().is_err(), "{bad}");
        }
    }
}
