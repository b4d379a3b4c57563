//! A Lightning node that runs elsewhere: LND, over its REST interface (<https://lightning.engineering/api-docs/api/lnd/>).
//!
//! LND is trusted with the money and with the truth about it: what became of an invoice or a payment is asked there each time.
//! Beside it a small file ([`LndConfig::dir`]) remembers what LND does not: how long a payment may be held (LND itself ends a
//! hold by blocks only), whether an invoice was cancelled or ran out, and which payments were intended before LND was asked.
//! Several processes may use one LND, and one folder.
//!
//! The connection is TLS to a server with exactly the given certificate. The macaroon is read from where it is kept, shown to
//! that server only, and wiped from memory when the node is dropped; the copy that each request carries is not wiped.
//!
//! Everything needs a tokio runtime.

mod config;
mod core;
mod payee;
mod payer;
mod records;
mod rest;
mod tls;
mod wire;

pub use crate::folder::FolderError;
pub use config::{BadLndAddress, LndAddress, LndConfig};

use crate::{
    node::{
        CancelError, EventCursor, Invoice, InvoiceError, InvoiceRequest, InvoiceState, LightningNode,
        NodeBalance, NodeEvent, NodeFuture, NodeInfo, PayError, PayRequest, PaymentState, Preimage,
        SettleError, Unavailable,
    },
    secret::SecretError,
};
use core::{Core, system_clock};
use market::{id::PaymentHash, units::TimeMs};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::watch, task::JoinHandle};

/// Why there is no way to a node.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The macaroon or the certificate cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What is there is no macaroon.
    #[error(
        "{0} holds no macaroon: name the file that `lncli bakemacaroon --save_to` wrote, or its bytes in hex"
    )]
    NoMacaroon(String),
    /// What is there is no certificate.
    #[error("{0} holds no certificate: name LND's tls.cert")]
    NoCertificate(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// Somebody answers, but with another certificate.
    #[error(
        "the server at {address} does not show the certificate in {certificate}: if LND has made a new one, copy its \
         tls.cert again; else somebody else answers there"
    )]
    OtherCertificate {
        /// Where.
        address: String,
        /// Which certificate was expected.
        certificate: String,
    },
    /// LND answers, and lets nobody in, or not with this macaroon.
    #[error("{0}")]
    Denied(String),
    /// Nobody answers, or not as LND does.
    #[error(
        "no LND answers at {address} ({reason}): check that it runs, and that this is its REST address (restlisten)"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Something else is there.
    #[error("what answers at {0} is no LND: check the address")]
    NotLnd(String),
    /// It is on a chain that is not known here.
    #[error("this LND is on {0:?}, which is not supported: take bitcoin, testnet, signet, regtest or simnet")]
    NoSuchNetwork(String),
    /// The folder for the records.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The records.
    #[error(transparent)]
    Records(#[from] Unavailable),
}

/// A node that runs elsewhere. Clones are the same node.
#[derive(Clone)]
pub struct LndNode {
    core: Arc<Core>,
    stop: watch::Sender<bool>,
    keeper: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for LndNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LndNode({})", self.core.info)
    }
}

impl LndNode {
    /// Asks the node who it is, reads the records, and begins to look after holds and payments.
    pub async fn open(config: &LndConfig) -> Result<LndNode, OpenError> {
        LndNode::open_with_clock(config, system_clock).await
    }

    /// The same with a clock of one's own, for tests.
    pub async fn open_with_clock(
        config: &LndConfig,
        clock: impl Fn() -> TimeMs + Send + Sync + 'static,
    ) -> Result<LndNode, OpenError> {
        let core = Arc::new(Core::open(config, Arc::new(clock)).await?);
        let (stop, stopped) = watch::channel(false);
        let keeper = tokio::spawn(core::keep(Arc::downgrade(&core), stopped));
        Ok(LndNode { core, stop, keeper: Arc::new(Mutex::new(Some(keeper))) })
    }

    /// Looks after holds and payments once, now: gives back what was held for long enough, and asks for what is not decided.
    /// It happens by itself every second; whoever has a clock of its own can have it happen when that moves.
    pub async fn tend(&self) -> Result<(), Unavailable> {
        self.core.tend().await
    }

    /// Ends what looks after holds and payments. LND goes on.
    pub async fn stop(&self) {
        // The keeper may have gone already; then nobody listens.
        let _ = self.stop.send(true);
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            // It does not panic, and nothing is lost if it did.
            let _ = keeper.await;
        }
    }
}

impl LightningNode for LndNode {
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable> {
        Box::pin(async { Ok(self.core.info.clone()) })
    }

    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        Box::pin(async move { self.core.create_invoice(&request).await })
    }

    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError> {
        Box::pin(async move { self.core.create_hold_invoice(payment_hash, hold_ms, &request).await })
    }

    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError> {
        Box::pin(self.core.settle(preimage))
    }

    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError> {
        Box::pin(self.core.cancel(payment_hash))
    }

    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        Box::pin(self.core.invoice(payment_hash))
    }

    fn pay(&self, request: PayRequest) -> NodeFuture<'_, PaymentState, PayError> {
        Box::pin(self.core.pay(request))
    }

    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable> {
        Box::pin(self.core.payment(payment_hash))
    }

    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable> {
        Box::pin(self.core.balance())
    }

    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable> {
        Box::pin(self.core.records(move |turn| Ok(turn.events(after, limit))))
    }
}
