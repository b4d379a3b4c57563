//! The Lightning node of whoever runs a command: `--lightning`.

pub(crate) mod lnd;

use crate::{
    commands::lightning,
    exit::{Exit, Failure},
    keys::{self, KeyError},
    output::Output,
    session::Session,
};
use lnd::LndArgs;
use node::{buyer::SharedNode, client::DevWallet};
use pay::lnd::{LndAddress, LndNode};
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};
#[cfg(feature = "ldk")]
use {market::units::Msat, pay::LightningNode, std::time::Duration};

/// How often a node is asked whether its payments are decided, and how long at the end of a command.
#[cfg(feature = "ldk")]
const LOOK_EVERY: Duration = Duration::from_millis(100);
#[cfg(feature = "ldk")]
const DECIDED_WITHIN: Duration = Duration::from_secs(15);

/// Which node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeArg {
    /// A wallet of play money that the market keeps; its secret is in the configuration folder.
    Dev,
    /// A node in this program, kept in a folder.
    Ldk(PathBuf),
    /// An LND node, by its address.
    Lnd(LndAddress),
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
            Some(("lnd", address)) => {
                address.parse().map(NodeArg::Lnd).map_err(|_| BadNodeArg(text.to_owned()))
            }
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
    if !session.market.info().await?.has_faucet {
        let why = "this market gives no play money away: name a real node with --lightning";
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

/// A node that is open, and has to be closed.
pub(crate) struct OwnNode {
    node: SharedNode,
    end: End,
}

/// What has to be ended with a node.
enum End {
    Nothing,
    #[cfg(feature = "ldk")]
    Ldk(pay::ldk::LdkNode),
    Lnd(LndNode),
}

impl OwnNode {
    /// Opens the node, which has to be on the network of the market.
    pub(crate) async fn open(
        node: &NodeArg,
        lnd: &LndArgs,
        session: &Session,
        output: &Output,
    ) -> Result<OwnNode, Failure> {
        let own = match node {
            NodeArg::Dev => OwnNode { node: Arc::new(dev_wallet(session).await?), end: End::Nothing },
            NodeArg::Ldk(folder) => OwnNode::open_inside(folder.clone(), output).await?,
            NodeArg::Lnd(address) => {
                let node = lnd::open(address, lnd, session.home.data("lnd"), output).await?;
                OwnNode { node: Arc::new(node.clone()), end: End::Lnd(node) }
            }
        };
        let here = own.node.info().await.map_err(|error| Failure::of(Exit::Unreachable, error))?.network;
        let there = session.market.info().await?.network;
        if here == there {
            return Ok(own);
        }
        own.close().await?;
        Err(Failure::new(
            Exit::Usage,
            format!("{node} is on {here} and the market on {there}: money never crosses"),
        ))
    }

    #[cfg(feature = "ldk")]
    async fn open_inside(folder: PathBuf, output: &Output) -> Result<OwnNode, Failure> {
        let node = lightning::open_node(folder, output).await?;
        Ok(OwnNode { node: Arc::new(node.clone()), end: End::Ldk(node) })
    }

    #[cfg(not(feature = "ldk"))]
    async fn open_inside(_: PathBuf, _: &Output) -> Result<OwnNode, Failure> {
        Err(lightning::no_node_inside())
    }

    /// The node, for whoever works with it.
    pub(crate) fn shared(&self) -> SharedNode {
        self.node.clone()
    }

    /// Waits until what the node sent is decided: a node in this program that stops before hears of it at its next start.
    #[cfg(feature = "ldk")]
    pub(crate) async fn until_decided(&self, output: &Output) {
        let End::Ldk(node) = &self.end else { return };
        let waiting = async {
            while LightningNode::balance(node).await.is_ok_and(|balance| balance.in_flight > Msat::ZERO) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if tokio::time::timeout(DECIDED_WITHIN, waiting).await.is_err() {
            output.warn("payments of your node are still under way: they are decided while it is online, see `grist lightning run`");
        }
    }

    /// A node elsewhere goes on by itself.
    #[cfg(not(feature = "ldk"))]
    pub(crate) async fn until_decided(&self, _: &Output) {}

    /// Stops what of the node runs in this program.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        match self.end {
            End::Nothing => Ok(()),
            #[cfg(feature = "ldk")]
            End::Ldk(node) => node.stop().await.map_err(|error| Failure::of(Exit::Unexpected, error)),
            End::Lnd(node) => {
                node.stop().await;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_kind_and_place() {
        assert_eq!("dev".parse(), Ok(NodeArg::Dev));
        assert_eq!("ldk:/home/me/node".parse(), Ok(NodeArg::Ldk("/home/me/node".into())));
        assert_eq!("lnd:https://10.0.0.2:8080".parse(), Ok(NodeArg::Lnd("10.0.0.2:8080".parse().unwrap())));
        for text in ["", "ldk", "ldk:", "lnd:", "lnd:http://x", "cln:x", "dev:x"] {
            assert!(text.parse::<NodeArg>().is_err(), "{text}");
        }
    }
}
