//! What computing costs and earns: a dated catalogue of prices, the questions asked of it, and the rules by which
//! networks pay. Pure: figures, dates and seeds are arguments, the caller reads files and prints.
//!
//! Every question is a function from inputs and a [`catalogue::Catalogue`] to an [`answer::Answer`]: a typed result that
//! serializes to JSON, draws itself as tables, and names every figure that it used with its source and date.
//! Amounts are decimals, so that a comparison to the cent is exact; the Monte Carlo and the mechanisms use floats.
#![forbid(unsafe_code)]

pub mod amount;
pub mod answer;
pub mod breakeven;
pub mod catalogue;
pub mod checkpoint;
pub mod compare;
pub mod cost;
pub mod date;
#[cfg(test)]
mod drawn;
pub mod energy;
pub mod mechanism;
pub mod miner;
pub mod money;
pub mod network;
pub mod own_machine;
pub mod price_policy;
pub mod question;
pub mod rates;
pub mod rent_or_mine;
pub mod report;
pub mod simulate;
pub mod swarm;
#[cfg(test)]
mod wild;
