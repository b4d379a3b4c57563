//! `grist market`: the venue behind HTTP.
//!
//! ```no_run
//! use node::http::{MarketConfig, serve};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let market = serve(MarketConfig::new("/var/lib/grist")).await?;
//! println!("{}", market.address());
//! market.run_until_signal().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Handlers check signatures and read; one thread writes ([`writer`]). Payments, snapshots and the collection of
//! blobs run beside it.

mod archive;
mod blob_store;
mod blobs;
mod chores;
mod config;
mod events;
mod extract;
mod failure;
mod judging;
mod limits;
mod metrics;
mod offer_stream;
mod openapi;
mod pages;
mod payments;
mod pokes;
mod quotes;
mod receipts;
mod router;
mod running;
mod shared;
mod statements;
mod tls;
mod tokens;
mod tolls;
mod venue_key;
mod views;
mod work;
mod writer;

pub use blob_store::BlobLimits;
pub use config::{Limits, MarketConfig, Payments, Prices, Tls};
pub use payments::PurseError;
pub use running::{RunningMarket, ServeError, StopError, asked_to_end, serve};
pub use tls::TlsError;
pub use tolls::TollsError;
pub use venue_key::{KeyError, venue_key};
