//! A payer and a payee with a channel between them, on a chain of their own.

use super::{
    chain::{Chain, PATIENCE, free_port},
    nodes::{CHANNEL_SAT, fund, open, options, until_usable},
};
use market::{id::PaymentHash, units::Msat};
use pay::{
    CancelError, EventCursor, FailureReason, Invoice, InvoiceError, InvoiceRequest, InvoiceState,
    LightningNode, NodeBalance, NodeEvent, NodeFuture, NodeInfo, PayError, PayRequest, PaymentState,
    Preimage, SettleError, Unavailable,
    conformance::Testbed,
    ldk::{LdkConfig, LdkNode, Peer},
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A node that can be stopped and started behind the caller's back.
pub(crate) struct Restartable {
    config: Mutex<LdkConfig>,
    node: RwLock<Option<LdkNode>>,
}

impl Restartable {
    pub(crate) async fn start(config: LdkConfig) -> Restartable {
        let node = LdkNode::open(config.clone()).await.unwrap();
        Restartable { config: Mutex::new(config), node: RwLock::new(Some(node)) }
    }

    pub(crate) fn node(&self) -> LdkNode {
        self.node.read().unwrap().clone().expect("the node runs")
    }

    /// Adds a peer to dial from the next start on.
    pub(crate) fn dial(&self, peer: Peer) {
        self.config.lock().unwrap().peers.push(peer);
    }

    pub(crate) async fn stop(&self) {
        let node = self.node.write().unwrap().take().expect("the node runs");
        node.stop().await.unwrap();
    }

    pub(crate) async fn start_again(&self) {
        let config = self.config.lock().unwrap().clone();
        // The folder is free once the last call on the old node has returned.
        let started = Instant::now();
        let node = loop {
            match LdkNode::open(config.clone()).await {
                Ok(node) => break node,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        *self.node.write().unwrap() = Some(node);
    }
}

/// Two nodes with a channel, the network between them under the test's control.
pub(crate) struct Bed {
    pub(crate) payer: Restartable,
    pub(crate) payee: Restartable,
    wire: Arc<Wire>,
    secrets: AtomicU64,
    pub(crate) chain: Chain,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn start() -> Option<Bed> {
        let chain = Chain::start()?;
        let folder = tempfile::tempdir().unwrap();
        let mut payee = options(&chain, &folder.path().join("payee"));
        let listen = free_port();
        payee.listen = vec![([127, 0, 0, 1], listen).into()];
        let payee = Restartable::start(payee).await;
        let payer = Restartable::start(options(&chain, &folder.path().join("payer"))).await;
        let wire = Wire::to(listen);
        let address = format!("{}@127.0.0.1:{}", payee.node().info().await.unwrap().id, wire.port);
        fund(&chain, &[&payer.node(), &payee.node()]).await;
        open(&chain, &payer.node(), &payee.node(), &address, Msat(CHANNEL_SAT / 2 * 1_000), false).await;
        payer.dial(address.parse().unwrap());
        Some(Bed { payer, payee, wire, secrets: AtomicU64::new(0), chain, _folder: folder })
    }

    /// Stops both in order, before their folders go.
    pub(crate) async fn stop(self) {
        self.payer.stop().await;
        self.payee.stop().await;
    }

    async fn connected(&self) {
        until_usable(&self.payer.node(), 1).await;
        until_usable(&self.payee.node(), 1).await;
    }
}

/// The checks share two nodes: a channel takes a while to open.
pub(crate) struct Turn<'a>(pub(crate) &'a Bed);

impl Testbed for Turn<'_> {
    fn payer(&self) -> &dyn LightningNode {
        &self.0.payer
    }

    fn payee(&self) -> &dyn LightningNode {
        &self.0.payee
    }

    fn pass_time(&self, ms: u64) -> NodeFuture<'_, (), Unavailable> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(())
        })
    }

    fn hang_next_payment(&self, for_ms: u64) -> bool {
        self.0.wire.hold_back(Duration::from_millis(for_ms));
        true
    }

    fn set_payee_reachable(&self, is_reachable: bool) -> NodeFuture<'_, bool, Unavailable> {
        Box::pin(async move {
            self.0.wire.set_cut(!is_reachable);
            if is_reachable {
                self.0.connected().await;
            } else {
                until_usable(&self.0.payer.node(), 0).await;
            }
            Ok(true)
        })
    }

    fn restart(&self) -> NodeFuture<'_, bool, Unavailable> {
        Box::pin(async {
            self.0.payer.stop().await;
            self.0.payee.stop().await;
            self.0.payee.start_again().await;
            self.0.payer.start_again().await;
            self.0.connected().await;
            Ok(true)
        })
    }

    fn secret(&self) -> Preimage {
        let mut secret = [0x5e; 32];
        secret[..8].copy_from_slice(&self.0.secrets.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Preimage(secret)
    }

    fn moment_ms(&self) -> u64 {
        4_000
    }

    fn reason_of_expiry(&self) -> FailureReason {
        FailureReason::Rejected
    }
}

/// A connection that can be held back or cut.
struct Wire {
    port: u16,
    state: Mutex<WireState>,
}

#[derive(Default)]
struct WireState {
    is_cut: bool,
    held_until: Option<Instant>,
    open: Vec<TcpStream>,
}

impl Wire {
    fn to(target: u16) -> Arc<Wire> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Arc::new(Wire { port, state: Mutex::default() });
        let accepting = wire.clone();
        std::thread::spawn(move || {
            for inward in listener.incoming().map_while(Result::ok) {
                if accepting.state.lock().unwrap().is_cut {
                    continue;
                }
                let Ok(outward) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let streams = [inward.try_clone().unwrap(), outward.try_clone().unwrap()];
                accepting.state.lock().unwrap().open.extend(streams);
                accepting.clone().carry(inward.try_clone().unwrap(), outward.try_clone().unwrap());
                accepting.clone().carry(outward, inward);
            }
        });
        wire
    }

    fn carry(self: Arc<Wire>, mut from: TcpStream, mut to: TcpStream) {
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            let copied: io::Result<()> = loop {
                match from.read(&mut bytes) {
                    Ok(0) => break Ok(()),
                    Ok(count) => {
                        self.wait();
                        if let Err(error) = to.write_all(&bytes[..count]) {
                            break Err(error);
                        }
                    }
                    Err(error) => break Err(error),
                }
            };
            // Either side may have gone first.
            let _ = (copied, from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }

    fn wait(&self) {
        while let Some(until) = self.state.lock().unwrap().held_until
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn hold_back(&self, time: Duration) {
        self.state.lock().unwrap().held_until = Some(Instant::now() + time);
    }

    fn set_cut(&self, is_cut: bool) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = is_cut;
        for stream in state.open.drain(..).filter(|_| is_cut) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Hands every call to the node that runs at the moment.
macro_rules! delegate {
    ($self:ident, $call:expr) => {{
        let node = $self.node();
        Box::pin(async move { $call(&node).await })
    }};
}

impl LightningNode for Restartable {
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable> {
        delegate!(self, async |node: &LdkNode| node.info().await)
    }

    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        delegate!(self, async |node: &LdkNode| node.create_invoice(request.clone()).await)
    }

    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError> {
        delegate!(self, async |node: &LdkNode| {
            node.create_hold_invoice(payment_hash, hold_ms, request.clone()).await
        })
    }

    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError> {
        delegate!(self, async |node: &LdkNode| node.settle(preimage).await)
    }

    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError> {
        delegate!(self, async |node: &LdkNode| node.cancel(payment_hash).await)
    }

    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        delegate!(self, async |node: &LdkNode| node.invoice(payment_hash).await)
    }

    fn pay(&self, request: PayRequest) -> NodeFuture<'_, PaymentState, PayError> {
        delegate!(self, async |node: &LdkNode| node.pay(request.clone()).await)
    }

    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable> {
        delegate!(self, async |node: &LdkNode| node.payment(payment_hash).await)
    }

    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable> {
        delegate!(self, async |node: &LdkNode| node.balance().await)
    }

    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable> {
        delegate!(self, async |node: &LdkNode| node.events(after, limit).await)
    }
}
