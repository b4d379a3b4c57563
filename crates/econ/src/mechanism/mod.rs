//! The mechanism lab.
pub mod burn_mint;
pub mod emission;
pub mod yuma;
