//! The server's side: [`Gate`] sells and checks tokens, [`L402Layer`] puts it before any axum route.
//!
//! It lives here and not in `node`, because a route that somebody charges for need not be a market's; it is behind a cargo
//! feature, because whoever only pays needs no web framework.
//!
//! What a gate promises:
//!
//! - A route without a price is not touched.
//! - A token is good once its invoice is *settled* at the node. A preimage alone is not enough: whoever chose the hash knows
//!   it without having paid.
//! - A use is on disk before the request that it is for goes on, so a restart gives none back.
//! - Invoices that nobody pays are bounded, for each client and altogether, and the same client gets the same one again.
//! - Root keys change by themselves, and what an old one signed stays good as long as it was sold for.

mod disk;
mod gate;
mod key_file;
mod layer;
mod open_invoices;
#[cfg(test)]
mod tests;
mod uses;

pub use gate::{Gate, GateSettings, Need, NoChallenge, NodeTill, Product, Refused, Till};
pub use key_file::{KeyFile, KeyFileError};
pub use layer::{Charge, L402, L402Layer, Tariff, credential};
pub use open_invoices::OpenLimits;
pub use uses::{SpendError, UseLog, UseLogError};
