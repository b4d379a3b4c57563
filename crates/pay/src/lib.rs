//! Lightning: one trait, several nodes behind it.
//!
//! [`LightningNode`] is what the market needs from a node: invoices that are paid at once or held, payments that
//! happen at most once, and honest answers about what is not known yet. [`dev`] is a whole network of nodes in this
//! process, with real BOLT11 invoices and real preimages, and play money. With feature `ldk` there is `ldk`, an embedded
//! node with real channels; with feature `lnd` there is `lnd`, a way to an LND elsewhere. [`conformance`] is the suite
//! of checks that every implementation has to pass.
//!
//! Three rules hold for everybody who pays through this crate:
//!
//! 1. Write down that a payment hash is about to be paid before [`LightningNode::pay`] is called.
//! 2. [`PaymentState::Unknown`], [`PaymentState::InFlight`] and an error of [`PayError::Unavailable`] are not
//!    failures: ask [`LightningNode::payment`] until it is one or the other.
//! 3. Events are hints to look again. They may come twice, late or never; the states are the truth.
//!
//! ```
//! use market::units::{Msat, TimeMs};
//! use pay::{InvoiceRequest, LightningNode, PayRequest, PaymentState, dev::DevNetwork};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let network = DevNetwork::new([1; 32], || TimeMs(1_750_000_000_000));
//! let (alice, bob) = (network.node("alice"), network.node("bob"));
//! network.issue(&alice, Msat(50_000_000))?;
//!
//! let request = InvoiceRequest { amount: Msat(1_000_000), description: "a top-up".into(), expires_in_ms: 600_000 };
//! let invoice = bob.create_invoice(request).await?;
//! let paid = alice.pay(PayRequest { bolt11: invoice.bolt11, amount: Msat(1_000_000), max_fee: Msat(5_000) }).await?;
//! assert!(matches!(paid, PaymentState::Succeeded { .. }));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod bolt11;
pub mod conformance;
pub mod dev;
#[cfg(any(feature = "ldk", feature = "lnd"))]
mod folder;
pub mod l402;
#[cfg(feature = "ldk")]
pub mod ldk;
#[cfg(feature = "lnd")]
pub mod lnd;
mod node;
pub mod secret;

pub use node::{
    CancelError, EventCursor, FailureReason, Invoice, InvoiceError, InvoiceRequest, InvoiceState,
    LightningNode, Network, NodeBalance, NodeEvent, NodeFuture, NodeInfo, PayError, PayRequest, PaymentState,
    Preimage, SettleError, Unavailable,
};
