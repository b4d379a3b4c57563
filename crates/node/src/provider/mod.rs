//! The provider: a machine that sells work.

pub mod agent;
mod policy;
mod secrets;

pub use policy::{Decline, Policy};
pub use secrets::Secrets;
