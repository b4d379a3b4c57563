//! Burn-mint equilibrium: buyers burn tokens worth their spending, providers are paid in minted ones.
//!
//! [`render`] mints by a schedule whatever was burned; [`akash`] mints what a settled dollar is worth at the time.

pub mod akash;
pub mod akash_network;
pub mod decimal18;
pub mod render;
pub mod render_network;
pub mod vault;
