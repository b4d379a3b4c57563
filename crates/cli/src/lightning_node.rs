//! The Lightning node of whoever runs a command: `--lightning`.

use crate::{
    exit::{Exit, Failure},
    keys::{self, KeyError},
    session::Session,
};
use node::{buyer::SharedNode, client::DevWallet};
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

/// Which node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeArg {
    /// A wallet of play money that the market keeps; its secret is in the configuration folder.
    Dev,
    /// A node in this program, kept in a folder.
    Ldk(PathBuf),
    /// An LND node, by its address.
    Lnd(String),
}

/// A text that names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no Lightning node: say dev, ldk:FOLDER or lnd:ADDRESS")]
pub(crate) struct BadNodeArg(String);

impl FromStr for NodeArg {
    type Err = BadNodeArg;

    fn from_str(text: &str) -> Result<NodeArg, BadNodeArg> {
        match text.split_once(':') {
            None if text == "dev" => Ok(NodeArg::Dev),
            Some(("ldk", folder)) if !folder.is_empty() => Ok(NodeArg::Ldk(folder.into())),
            Some(("lnd", address)) if !address.is_empty() => Ok(NodeArg::Lnd(address.to_owned())),
            Some(_) | None => Err(BadNodeArg(text.to_owned())),
        }
    }
}

impl fmt::Display for NodeArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeArg::Dev => f.write_str("your wallet of play money at the market"),
            NodeArg::Ldk(folder) => write!(f, "your node in {}", folder.display()),
            NodeArg::Lnd(address) => write!(f, "your LND node at {address}"),
        }
    }
}

/// The wallet of play money, made when there is none.
pub(crate) async fn dev_wallet(session: &Session) -> Result<DevWallet, Failure> {
    if !session.market.info().await?.is_play_money {
        let why = "this market has no play money: name a real node with --lightning";
        return Err(Failure::new(Exit::Usage, why));
    }
    let file = session.home.dev_wallet();
    let secret = match keys::read(&file) {
        Err(KeyError::Missing(_)) => {
            let secret = keys::generate()?;
            keys::create(&file, &secret)?;
            secret
        }
        read => read?,
    };
    Ok(DevWallet::new(session.market.clone(), secret.to_bytes()))
}

/// Opens the node.
pub(crate) async fn open(node: &NodeArg, session: &Session) -> Result<SharedNode, Failure> {
    match node {
        NodeArg::Dev => Ok(Arc::new(dev_wallet(session).await?)),
        NodeArg::Ldk(_) | NodeArg::Lnd(_) => Err(Failure::new(
            Exit::Usage,
            "this build of grist has no Lightning node but dev, of play money: pay invoices by hand, from any wallet",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_kind_and_place() {
        assert_eq!("dev".parse(), Ok(NodeArg::Dev));
        assert_eq!("ldk:/home/me/node".parse(), Ok(NodeArg::Ldk("/home/me/node".into())));
        assert_eq!("lnd:https://10.0.0.2:8080".parse(), Ok(NodeArg::Lnd("https://10.0.0.2:8080".into())));
        for text in ["", "ldk", "ldk:", "lnd:", "cln:x", "dev:x"] {
            assert!(text.parse::<NodeArg>().is_err(), "{text}");
        }
    }
}
