//! An embedded Lightning node: real channels, real bitcoin where the operator allows it.
//!
//! [LDK Node](https://docs.rs/ldk-node) runs the channels, the chain wallet and gossip in this process, over SQLite. This
//! module puts a [`LightningNode`] on top: an intent is written down before money moves, a payment hash is paid at most
//! once, what nobody can tell after a crash is [`PaymentState::Unknown`], and invoices are settled by this module alone,
//! so that each can be held, cancelled or left to expire.
//!
//! Everything needs a tokio runtime with several threads.

mod config;
mod core;
mod mirror;
mod payee;
mod payer;
mod records;
mod seed;
mod wallet;

pub use crate::folder::FolderError;
pub use config::{BadPeer, ChainSource, LdkConfig, Peer};
pub use mirror::MirrorError;
pub use seed::{Seed, SeedError};
pub use wallet::{Channel, HistoryRow, Movement, OperatorError, PeerStatus, WalletBalance};

use crate::node::{
    CancelError, EventCursor, Invoice, InvoiceError, InvoiceRequest, InvoiceState, LightningNode,
    NodeBalance, NodeEvent, NodeFuture, NodeInfo, PayError, PayRequest, PaymentState, Preimage, SettleError,
    Unavailable,
};
use crate::secret::SecretError;
use core::Core;
use market::id::PaymentHash;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::watch, task::JoinHandle};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its seed.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// A secret other than the seed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Its mirror, or its database.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// Its records.
    #[error(transparent)]
    Records(#[from] Unavailable),
    /// The options make no node.
    #[error(
        "the Lightning node cannot be set up ({0}): check alias, addresses, and that the seed is this folder's"
    )]
    Build(String),
    /// It did not come up.
    #[error(
        "the Lightning node does not start ({0}): check that the chain source answers and the port is free"
    )]
    Start(String),
}

/// An embedded node. Clones are the same node; [`LdkNode::stop`] ends it in order.
#[derive(Clone)]
pub struct LdkNode {
    core: Arc<Core>,
    stop: watch::Sender<bool>,
    keeper: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for LdkNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LdkNode({})", self.core.info())
    }
}

impl LdkNode {
    /// Starts the node: takes its folder, reads the seed, catches up with the chain, connects to its peers, and takes up
    /// what a crash interrupted.
    pub async fn open(config: LdkConfig) -> Result<LdkNode, OpenError> {
        let core = tokio::task::spawn_blocking(move || Core::open(&config));
        let core = core.await.map_err(|error| OpenError::Start(error.to_string()))??;
        let (core, (stop, stopped)) = (Arc::new(core), watch::channel(false));
        let keeper = tokio::spawn(core::keep(core.clone(), stopped));
        Ok(LdkNode { core, stop, keeper: Arc::new(Mutex::new(Some(keeper))) })
    }

    /// Stops the node: finishes what is being written, says goodbye to its peers. Its folder is free once all clones are
    /// gone.
    pub async fn stop(&self) -> Result<(), OperatorError> {
        // The keeper may have gone already; then nobody listens.
        let _ = self.stop.send(true);
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            keeper.await.map_err(|error| OperatorError::Node(error.to_string()))?;
        }
        self.operate(|core| core.node.stop().map_err(OperatorError::of)).await
    }

    /// Runs something that waits for disk or network where it disturbs nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let core = self.core.clone();
        tokio::task::spawn_blocking(move || work(&core)).await.map_err(|error| Unavailable(error.to_string()))
    }
}

impl LightningNode for LdkNode {
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable> {
        Box::pin(async { Ok(self.core.info()) })
    }

    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        Box::pin(async { self.blocking(move |core| core.create_invoice(&request)).await? })
    }

    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError> {
        Box::pin(async move {
            self.blocking(move |core| core.create_hold_invoice(payment_hash, hold_ms, &request)).await?
        })
    }

    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError> {
        Box::pin(async move {
            self.blocking(move |core| core.claim(preimage)).await??;
            self.core.claimed(preimage.payment_hash()).await
        })
    }

    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError> {
        Box::pin(async move { self.blocking(move |core| core.cancel(payment_hash)).await? })
    }

    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        Box::pin(async move { self.blocking(move |core| core.invoice(payment_hash)).await? })
    }

    fn pay(&self, request: PayRequest) -> NodeFuture<'_, PaymentState, PayError> {
        Box::pin(async { self.blocking(move |core| core.pay(&request)).await? })
    }

    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable> {
        Box::pin(async move { self.blocking(move |core| core.payment(payment_hash)).await? })
    }

    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable> {
        Box::pin(async { self.blocking(Core::balance).await })
    }

    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable> {
        Box::pin(async move { self.blocking(move |core| core.records().events(after, limit)).await? })
    }
}
