//! A Lightning node that something goes wrong with.

use market::id::PaymentHash;
use node::client::DevWallet;
use pay::{
    CancelError, EventCursor, Invoice, InvoiceError, InvoiceRequest, InvoiceState, LightningNode,
    NodeBalance, NodeEvent, NodeFuture, NodeInfo, PayError, PayRequest, PaymentState, Preimage, SettleError,
    Unavailable,
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::mpsc;

/// What goes wrong at a node.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    None,
    /// The process ends before so many payments are made, counted from 0: the call never comes back.
    EndsBefore(u32),
    /// …or right after.
    EndsAfter(u32),
    /// It makes its second hold invoice on a hash whose preimage it knows.
    OwnHash,
}

/// A node in trouble.
pub(crate) struct Node {
    inner: Arc<dyn LightningNode>,
    trouble: Trouble,
    paid: AtomicU32,
    made: AtomicU32,
    ended: mpsc::UnboundedSender<()>,
}

impl Node {
    pub(crate) fn new(inner: DevWallet, trouble: Trouble) -> (Arc<Node>, mpsc::UnboundedReceiver<()>) {
        let (ended, seen) = mpsc::unbounded_channel();
        let (paid, made) = Default::default();
        (Arc::new(Node { inner: Arc::new(inner), trouble, paid, made, ended }), seen)
    }

    async fn end(&self) {
        self.ended.send(()).unwrap();
        pending::<()>().await;
    }
}

impl LightningNode for Node {
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable> {
        self.inner.info()
    }

    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        self.inner.create_invoice(request)
    }

    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError> {
        let nth = self.made.fetch_add(1, Ordering::Relaxed);
        let hash = match self.trouble {
            Trouble::OwnHash if nth == 1 => Preimage([0xbd; 32]).payment_hash(),
            _ => payment_hash,
        };
        self.inner.create_hold_invoice(hash, hold_ms, request)
    }

    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError> {
        self.inner.settle(preimage)
    }

    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError> {
        self.inner.cancel(payment_hash)
    }

    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        self.inner.invoice(payment_hash)
    }

    fn pay(&self, request: PayRequest) -> NodeFuture<'_, PaymentState, PayError> {
        Box::pin(async move {
            let nth = self.paid.fetch_add(1, Ordering::Relaxed);
            if self.trouble == Trouble::EndsBefore(nth) {
                self.end().await;
            }
            let paid = self.inner.pay(request).await;
            if self.trouble == Trouble::EndsAfter(nth) {
                self.end().await;
            }
            paid
        })
    }

    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable> {
        self.inner.payment(payment_hash)
    }

    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable> {
        self.inner.balance()
    }

    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable> {
        self.inner.events(after, limit)
    }
}
