//! Two LNDs, stood in for, and what speaks to them, under a clock that the test moves.

use super::server::{Fault, MACAROON, Serving, StandIn};
use data_encoding::HEXLOWER;
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use pay::{
    CancelError, EventCursor, FailureReason, Invoice, InvoiceError, InvoiceRequest, InvoiceState,
    LightningNode, NodeBalance, NodeEvent, NodeFuture, NodeInfo, PayError, PayRequest, PaymentState,
    Preimage, SettleError, Unavailable,
    conformance::Testbed,
    dev::{DevNetwork, DevNode, HangEnd},
    lnd::{LndConfig, LndNode, OpenError},
    secret::SecretRef,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Not so far back that an invoice of the test would be from before LND.
const START: u64 = 1_750_000_000_000;

/// The time, which the test moves.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    pub(crate) fn now(&self) -> TimeMs {
        TimeMs(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> impl Fn() -> TimeMs + Send + Sync + 'static {
        let time = self.clone();
        move || time.now()
    }
}

/// An LND, and what speaks to it.
pub(crate) struct Side {
    pub(crate) lnd: Arc<StandIn>,
    _serving: Serving,
    pub(crate) config: LndConfig,
    time: Time,
    node: RwLock<Option<LndNode>>,
}

impl Side {
    pub(crate) async fn start(dev: DevNode, time: &Time, folder: &Path) -> Side {
        let lnd = StandIn::new(dev, "regtest", time.clock());
        let serving = lnd.serve();
        let config = config(&serving, folder);
        let node = LndNode::open_with_clock(&config, time.clock()).await.unwrap();
        Side { lnd, _serving: serving, config, time: time.clone(), node: RwLock::new(Some(node)) }
    }

    pub(crate) fn node(&self) -> LndNode {
        self.node.read().unwrap().clone().expect("the node is open")
    }

    /// Ends what speaks to LND, and begins anew with what it wrote down.
    pub(crate) async fn restart(&self) {
        let node = self.node.write().unwrap().take().expect("the node is open");
        node.stop().await;
        drop(node);
        let node = self.open().await.unwrap();
        *self.node.write().unwrap() = Some(node);
    }

    /// One more that speaks to the same LND, with the same folder.
    pub(crate) async fn open(&self) -> Result<LndNode, OpenError> {
        LndNode::open_with_clock(&self.config, self.time.clock()).await
    }

    pub(crate) fn inject(&self, fault: Fault) {
        *self.lnd.fault.lock().unwrap() = Some(fault);
    }
}

/// Writes a secret where only its owner reads it.
pub(crate) fn secret(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, bytes).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    file
}

/// How to speak to a stand-in.
pub(crate) fn config(serving: &Serving, folder: &Path) -> LndConfig {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("tls.cert"), &serving.certificate).unwrap();
    LndConfig {
        address: serving.address.to_string().parse().unwrap(),
        macaroon: SecretRef::File(secret(folder, "hex.macaroon", HEXLOWER.encode(MACAROON).as_bytes())),
        certificate: SecretRef::File(folder.join("tls.cert")),
        dir: folder.join("lnd"),
        allow_real_money: false,
    }
}

/// A payer and a payee.
pub(crate) struct Bed {
    pub(crate) network: DevNetwork,
    pub(crate) time: Time,
    pub(crate) payer: Side,
    pub(crate) payee: Side,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn start() -> Bed {
        let time = Time(Arc::new(AtomicU64::new(START)));
        let network = DevNetwork::new([7; 32], time.clock());
        let (alice, bob) = (network.node("alice"), network.node("bob"));
        network.issue(&alice, Msat(100_000_000)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let payer = Side::start(alice, &time, &folder.path().join("payer")).await;
        let payee = Side::start(bob, &time, &folder.path().join("payee")).await;
        Bed { network, time, payer, payee, _folder: folder }
    }

    /// Lets time pass, and both sides look after what is theirs.
    pub(crate) async fn pass(&self, ms: u64) -> Result<(), Unavailable> {
        self.time.pass(ms);
        self.payer.node().tend().await?;
        self.payee.node().tend().await
    }
}

impl Testbed for Bed {
    fn payer(&self) -> &dyn LightningNode {
        &self.payer
    }

    fn payee(&self) -> &dyn LightningNode {
        &self.payee
    }

    fn pass_time(&self, ms: u64) -> NodeFuture<'_, (), Unavailable> {
        Box::pin(self.pass(ms))
    }

    fn hang_next_payment(&self, for_ms: u64) -> bool {
        self.payer.lnd.dev.inject(pay::dev::Fault::HangPayment { for_ms, then: HangEnd::Delivered });
        true
    }

    fn set_payee_reachable(&self, is_reachable: bool) -> NodeFuture<'_, bool, Unavailable> {
        if !is_reachable {
            self.payer.lnd.dev.inject(pay::dev::Fault::FailPayment);
        }
        Box::pin(std::future::ready(Ok(true)))
    }

    fn restart(&self) -> NodeFuture<'_, bool, Unavailable> {
        Box::pin(async {
            self.network.load(self.network.save());
            self.payer.restart().await;
            self.payee.restart().await;
            Ok(true)
        })
    }

    fn reason_of_expiry(&self) -> FailureReason {
        FailureReason::Rejected
    }
}

/// Hands every call to the node that is open at the moment.
macro_rules! delegate {
    ($self:ident, $call:expr) => {{
        let node = $self.node();
        Box::pin(async move { $call(&node).await })
    }};
}

impl LightningNode for Side {
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable> {
        delegate!(self, async |node: &LndNode| node.info().await)
    }

    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        delegate!(self, async |node: &LndNode| node.create_invoice(request.clone()).await)
    }

    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError> {
        delegate!(self, async |node: &LndNode| {
            node.create_hold_invoice(payment_hash, hold_ms, request.clone()).await
        })
    }

    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError> {
        delegate!(self, async |node: &LndNode| node.settle(preimage).await)
    }

    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError> {
        delegate!(self, async |node: &LndNode| node.cancel(payment_hash).await)
    }

    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        delegate!(self, async |node: &LndNode| node.invoice(payment_hash).await)
    }

    fn pay(&self, request: PayRequest) -> NodeFuture<'_, PaymentState, PayError> {
        delegate!(self, async |node: &LndNode| node.pay(request.clone()).await)
    }

    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable> {
        delegate!(self, async |node: &LndNode| node.payment(payment_hash).await)
    }

    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable> {
        delegate!(self, async |node: &LndNode| node.balance().await)
    }

    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable> {
        delegate!(self, async |node: &LndNode| node.events(after, limit).await)
    }
}
