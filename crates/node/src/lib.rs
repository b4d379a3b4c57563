//! The daemons of Gristmill: market server, provider agent, validator, buyer's client.

pub mod api;
pub mod client;
pub mod journal;
pub mod venue;
pub mod provider;
