//! The mechanism lab.
pub mod yuma;
