//! The rules of the exchange: pure, deterministic, no I/O.
//!
//! One call does everything: [`engine::Engine::apply`] takes the time and a command, checks it, changes the
//! state and returns the events that happened and the effects that somebody else has to carry out. Nothing in
//! this crate knows sockets, files, clocks or randomness; time and seeds are arguments, so the same journal
//! always gives the same market, to the byte.
#![forbid(unsafe_code)]

pub mod auction;
pub mod command;
pub mod digest_map;
pub mod effect;
pub mod engine;
pub mod event;
pub mod funding;
pub mod id;
pub mod job;
pub mod key;
pub mod lease;
pub mod ledger;
pub mod log;
pub mod matching;
pub mod name;
pub mod offer;
pub mod order;
pub mod preimage;
pub mod receipt;
pub mod rejection;
pub mod reply;
pub mod reputation;
pub mod resources;
pub mod rules;
mod sparse;
pub mod statement;
pub mod table;
pub mod units;
pub mod verify;
