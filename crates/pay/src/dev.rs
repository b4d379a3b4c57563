//! A Lightning network in this process, with play money.
//!
//! Invoices are real BOLT11 (regtest), signed by each node's own key; preimages, hold, settle, cancel, expiry and fees
//! follow the rules of the real network. Nothing leaves the process and the money is worth nothing. Given the same seed,
//! clock and calls, everything happens in the same way, faults included; the whole state can be [saved](DevNetwork::save)
//! and [restored](DevNetwork::restore).

mod call;
mod fault;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use call::{Answer, Call};
pub use fault::{Chaos, Fault, HangEnd};
pub use state::{DevState, FeePolicy, Imbalance, IssueError};

use crate::node::{
    CancelError, EventCursor, Invoice, InvoiceError, InvoiceRequest, InvoiceState, LightningNode,
    NodeBalance, NodeEvent, NodeFuture, NodeInfo, PayError, PayRequest, PaymentState, Preimage, SettleError,
    Unavailable,
};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use state::{NodeIndex, State};
use std::{
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Clock = dyn Fn() -> TimeMs + Send + Sync;

/// A network of [`DevNode`]s. Clones are the same network.
#[derive(Clone)]
pub struct DevNetwork {
    state: Arc<Mutex<State>>,
    clock: Arc<Clock>,
}

impl DevNetwork {
    /// A network without nodes. Keys, preimages and chance all come from the seed.
    pub fn new(seed: [u8; 32], clock: impl Fn() -> TimeMs + Send + Sync + 'static) -> DevNetwork {
        DevNetwork { state: Arc::new(Mutex::new(State::new(seed))), clock: Arc::new(clock) }
    }

    /// The network that was saved, with all balances, invoices and payments under way.
    pub fn restore(saved: DevState, clock: impl Fn() -> TimeMs + Send + Sync + 'static) -> DevNetwork {
        DevNetwork { state: Arc::new(Mutex::new(saved.into())), clock: Arc::new(clock) }
    }

    /// Goes back to what was saved, as a restart does.
    pub fn load(&self, saved: DevState) {
        *self.lock() = saved.into();
    }

    /// Everything there is to know about the network, keys included.
    pub fn save(&self) -> DevState {
        self.lock().clone().into()
    }

    /// The node of this name, a new one if there is none.
    pub fn node(&self, name: &str) -> DevNode {
        let index = self.lock().node_named(name);
        DevNode { network: self.clone(), index }
    }

    /// Whether there is a node of this name.
    pub fn has_node(&self, name: &str) -> bool {
        self.lock().has_node(name)
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.lock().node_count()
    }

    /// Makes play money out of nothing and gives it to a node.
    pub fn issue(&self, node: &DevNode, amount: Msat) -> Result<(), IssueError> {
        self.lock().issue(node.index, amount)
    }

    /// What routing costs from now on.
    pub fn set_fees(&self, fees: FeePolicy) {
        self.lock().fees = fees;
    }

    /// What goes wrong by chance from now on.
    pub fn set_chaos(&self, chaos: Chaos) {
        self.lock().mischief.chaos = chaos;
    }

    /// Checks that all play money that was issued is still there: in balances, in flight or spent on routing.
    pub fn check(&self) -> Result<(), Imbalance> {
        self.lock().check()
    }

    /// When something will happen by itself next (an expiry, a payment that comes loose), if ever.
    pub fn next_deadline(&self) -> Option<TimeMs> {
        self.lock().next_deadline()
    }

    /// The state as of now. A panic elsewhere cannot leave it half changed: nothing in it panics or waits.
    fn lock(&self) -> MutexGuard<'_, State> {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(now);
        state
    }
}

impl fmt::Debug for DevNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevNetwork(play money)")
    }
}

/// One node of a [`DevNetwork`]. Clones are the same node.
#[derive(Clone)]
pub struct DevNode {
    network: DevNetwork,
    index: NodeIndex,
}

impl DevNode {
    /// Lets something go wrong, once: the first thing that the fault fits. Faults wait in line.
    pub fn inject(&self, fault: Fault) {
        self.network.lock().mischief.inject(self.index, fault);
    }

    /// The network that the node belongs to.
    pub fn network(&self) -> &DevNetwork {
        &self.network
    }
}

impl fmt::Debug for DevNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevNode({})", self.network.lock().info(self.index))
    }
}

impl LightningNode for DevNode {
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable> {
        Box::pin(ready(Ok(self.network.lock().info(self.index))))
    }

    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        Box::pin(ready(self.network.lock().create_invoice(self.index, &request)))
    }

    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError> {
        Box::pin(ready(self.network.lock().create_hold_invoice(self.index, payment_hash, hold_ms, &request)))
    }

    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError> {
        Box::pin(ready(self.network.lock().settle(self.index, preimage)))
    }

    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError> {
        Box::pin(ready(self.network.lock().cancel(self.index, payment_hash)))
    }

    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        Box::pin(ready(Ok(self.network.lock().invoice(self.index, payment_hash))))
    }

    fn pay(&self, request: PayRequest) -> NodeFuture<'_, PaymentState, PayError> {
        Box::pin(ready(self.network.lock().pay(self.index, &request)))
    }

    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable> {
        Box::pin(ready(Ok(self.network.lock().payment(self.index, payment_hash))))
    }

    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable> {
        Box::pin(ready(Ok(self.network.lock().balance(self.index))))
    }

    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable> {
        Box::pin(ready(Ok(self.network.lock().events(self.index, after, limit))))
    }
}
