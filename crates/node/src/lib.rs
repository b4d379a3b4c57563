//! The daemons of Gristmill: market server, provider agent, validator, buyer's client.

pub mod api;
pub mod buyer;
pub mod client;
pub mod config_file;
mod durable_file;
pub mod encrypted_result;
pub mod http;
pub mod journal;
pub mod payout;
pub mod provider;
pub mod venue;
