//! The folder that a node keeps: one network for good.

use crate::node::Network;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("another process runs the node in {}: stop it first, two would lose money", .0.display())]
    Busy(PathBuf),
    /// It belongs to another network.
    #[error("{dir} belongs to a node on {found}, not on {asked}: networks never mix, take another folder", dir = dir.display())]
    OtherNetwork {
        /// The folder.
        dir: PathBuf,
        /// What it belongs to.
        found: String,
        /// What was asked for.
        asked: Network,
    },
    /// Real money, and nobody said so.
    #[error("this node would hold real bitcoin: read about the risks, then allow real money")]
    RealMoney,
    /// A network that no real node is on.
    #[error("an embedded node cannot be on {0}: take bitcoin, testnet, signet or regtest")]
    NoSuchNetwork(Network),
    /// The file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes a folder that nobody else looks into.
pub(crate) fn create_private(dir: &Path) -> Result<(), FolderError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|source| FolderError::Io { path: dir.to_owned(), source })
}

/// Lets a folder belong to a network for good.
pub(crate) fn mark_network(dir: &Path, network: Network) -> Result<(), FolderError> {
    let path = dir.join("network");
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == network.to_string() => Ok(()),
        Ok(found) => Err(FolderError::OtherNetwork {
            dir: dir.to_owned(),
            found: found.trim().to_owned(),
            asked: network,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(&path, format!("{network}\n")).map_err(|source| FolderError::Io { path, source })
        }
        Err(source) => Err(FolderError::Io { path, source }),
    }
}
