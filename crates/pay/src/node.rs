//! What the market needs from a Lightning node.

pub use market::preimage::Preimage;
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use serde::{Deserialize, Serialize};
use std::{fmt, pin::Pin};

/// What the methods of [`LightningNode`] return; boxed, so that a node can be used as `Arc<dyn LightningNode>`.
pub type NodeFuture<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A Lightning node. Every implementation passes [`crate::conformance`].
pub trait LightningNode: Send + Sync {
    /// Who the node is, and whether its money is real.
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable>;

    /// Makes an invoice that is settled as soon as it is paid.
    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError>;

    /// Makes an invoice on a hash whose preimage this node does not know. A payment of it is held until
    /// [`LightningNode::settle`] or [`LightningNode::cancel`]; after `hold_ms` it goes back to the payer by itself.
    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError>;

    /// Takes the payment that is held for the preimage's hash. Settling twice is settling once.
    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError>;

    /// Gives back the payment that is held, or closes the invoice before it is paid. Cancelling twice is cancelling
    /// once.
    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError>;

    /// What became of an invoice of this node; `None` for one that it never made.
    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable>;

    /// Pays an invoice, at most once for each payment hash: while a payment of that hash is under way or has
    /// succeeded, the answer is its state and nothing is sent. Only one that is known to have failed is tried anew.
    fn pay(&self, request: PayRequest) -> NodeFuture<'_, PaymentState, PayError>;

    /// What became of a payment by this node; `None` when it never took one with that hash.
    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable>;

    /// What the node can spend, and what is on its way out.
    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable>;

    /// Up to `limit` events after a cursor, oldest first. Returns at once, also with none. Events may repeat or be
    /// missing.
    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable>;
}

/// Which bitcoin network an invoice or a node belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Real money.
    Bitcoin,
    /// The public test network.
    Testnet,
    /// A private test network; the dev network uses it too.
    Regtest,
    /// A simulated test network.
    Simnet,
    /// The signed test network.
    Signet,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Network::Bitcoin => "bitcoin",
            Network::Testnet => "testnet",
            Network::Regtest => "regtest",
            Network::Simnet => "simnet",
            Network::Signet => "signet",
        })
    }
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The node's public key, in hex.
    pub id: String,
    /// The node's name for people.
    pub alias: String,
    /// The network that its money lives on.
    pub network: Network,
    /// Whether its money is worth nothing and says so wherever it shows.
    pub play_money: bool,
}

impl fmt::Display for NodeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.play_money { ", play money" } else { "" };
        write!(f, "{} ({}{warning}, {})", self.alias, self.network, self.id)
    }
}

/// What an invoice is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceRequest {
    /// How much, more than nothing.
    pub amount: Msat,
    /// What for; the payer sees it. Of more than 639 bytes an invoice holds the digest alone; not every node makes such invoices.
    pub description: String,
    /// How long it can be paid, in milliseconds; invoices count whole seconds, rounded up.
    pub expires_in_ms: u64,
}

/// An invoice that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// The invoice as the payer needs it.
    pub bolt11: String,
    /// What its payment is known by.
    pub payment_hash: PaymentHash,
    /// When it can no longer be paid.
    pub expires_at: TimeMs,
}

/// What became of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceState {
    /// It waits for its payment.
    Open,
    /// The payment has arrived and waits for [`LightningNode::settle`] or [`LightningNode::cancel`].
    Held {
        /// When it goes back to the payer by itself.
        until: TimeMs,
    },
    /// The money is here.
    Paid {
        /// What proves it.
        preimage: Preimage,
    },
    /// It was cancelled; a payment that was held went back.
    Cancelled,
    /// It was not paid, or not settled, in time. Final: a payment that had arrived by then is still [`InvoiceState::Held`] or
    /// [`InvoiceState::Paid`], and none arrives any more.
    Expired,
}

/// A payment to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayRequest {
    /// The invoice.
    pub bolt11: String,
    /// What is to arrive; has to be the invoice's amount if it names one.
    pub amount: Msat,
    /// The most that routing may cost on top.
    pub max_fee: Msat,
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// On its way, or held by the payee.
    InFlight,
    /// It arrived.
    Succeeded {
        /// What proves it.
        preimage: Preimage,
        /// What routing cost.
        fee: Msat,
    },
    /// It did not arrive and never will; the money is back.
    Failed {
        /// Why.
        reason: FailureReason,
    },
    /// The node cannot say. It may still arrive: ask again, and pay nothing in its place.
    Unknown,
}

/// Why a payment failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// No way to the payee.
    #[error("no route to the payee was found")]
    NoRoute,
    /// The cheapest way costs more than allowed.
    #[error("routing would cost more than the fee limit")]
    FeeTooHigh,
    /// The node has too little.
    #[error("the node's balance is too low")]
    InsufficientBalance,
    /// The payee does not know the invoice, has cancelled it, or has been paid.
    #[error("the payee refused the payment")]
    Rejected,
    /// The payee held the payment and did not settle in time.
    #[error("the payee held the payment and let it expire")]
    TimedOut,
}

/// What a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeBalance {
    /// What can be spent.
    pub spendable: Msat,
    /// What is locked in payments that are not decided, fees included.
    pub in_flight: Msat,
}

/// A place in a node's events; the start is `EventCursor::default()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventCursor(pub u64);

/// Something happened to an invoice or a payment: a hint to ask for its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeEvent {
    /// A payment arrived and is held.
    InvoiceHeld {
        /// Of this invoice.
        payment_hash: PaymentHash,
        /// This much.
        amount: Msat,
    },
    /// An invoice was paid.
    InvoicePaid {
        /// This one.
        payment_hash: PaymentHash,
        /// This much.
        amount: Msat,
    },
    /// An invoice was cancelled or expired.
    InvoiceClosed {
        /// This one.
        payment_hash: PaymentHash,
    },
    /// A payment of this node arrived.
    PaymentSucceeded {
        /// This one.
        payment_hash: PaymentHash,
        /// What routing cost.
        fee: Msat,
    },
    /// A payment of this node failed.
    PaymentFailed {
        /// This one.
        payment_hash: PaymentHash,
        /// Why.
        reason: FailureReason,
    },
}

/// The node gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the Lightning node gave no answer ({0}): check that it runs, then ask again")]
pub struct Unavailable(pub String);

/// Why no invoice was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceError {
    /// The request makes no invoice.
    #[error("no invoice can say this: {0}")]
    BadRequest(String),
    /// A hash serves one invoice only: whoever saw its preimage once could take the second payment.
    #[error("there is already an invoice on payment hash {0}: take a new preimage")]
    HashInUse(PaymentHash),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nothing was settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SettleError {
    /// No hold invoice of this node has the preimage's hash.
    #[error("no hold invoice of this node is on the preimage's hash {0}: the preimage is wrong")]
    WrongPreimage(PaymentHash),
    /// The invoice has not been paid yet.
    #[error("nothing is held for payment hash {0} yet: wait for the payment")]
    NotPaidYet(PaymentHash),
    /// Too late.
    #[error("the payment of {0} went back to the payer: it was cancelled or has expired")]
    WentBack(PaymentHash),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nothing was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CancelError {
    /// No invoice of this node has that hash.
    #[error("this node has no invoice on payment hash {0}")]
    UnknownInvoice(PaymentHash),
    /// The money is here.
    #[error("the invoice on {0} is settled: money that was taken goes back by a new payment only")]
    AlreadySettled(PaymentHash),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a payment was not taken on. But for [`PayError::Unavailable`], nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PayError {
    /// Not a BOLT11 invoice.
    #[error(transparent)]
    BadInvoice(#[from] crate::bolt11::BadInvoice),
    /// An invoice for other money.
    #[error("the invoice is for {invoice}, this node is on {node}: ask for an invoice on {node}")]
    WrongNetwork {
        /// The invoice's network.
        invoice: Network,
        /// The node's network.
        node: Network,
    },
    /// Too late.
    #[error("the invoice has expired: ask the payee for a new one")]
    Expired,
    /// The invoice names another amount.
    #[error("the invoice asks for {invoice}, but {asked} was to be paid: compare the two before you pay")]
    AmountMismatch {
        /// What the invoice says.
        invoice: Msat,
        /// What was asked.
        asked: Msat,
    },
    /// Nothing to pay.
    #[error("a payment has to be more than nothing")]
    ZeroAmount,
    /// The node gave no answer, and may have taken the payment on: ask [`LightningNode::payment`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
