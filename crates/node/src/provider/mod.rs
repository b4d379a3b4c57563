//! The provider: a machine that sells work.
//!
//! [`agent`] decides, [`Driver`] does. The agent is a state machine without I/O that the simulation runs as well; the driver
//! gives it a market, a disk and a [`Sandbox`]. A validator is the same machine with another role in its offers.

pub mod agent;
mod blob_cache;
pub mod check;
pub mod config;
mod driver;
mod fault;
pub mod hardware;
pub mod holds;
mod lease_worker;
mod policy;
pub mod power;
pub mod pricing;
mod provide;
mod sales;
mod sandbox;
pub mod schedule;
mod secrets;
mod vault;

pub use driver::{Driver, ProvideError};
pub use fault::Fault;
pub use policy::{Decline, Policy};
pub use provide::{Found, Provider, StartupError, identify, price, provide, validate};
pub use sales::SaleError;
pub use sandbox::{
    InProcess, Killer, ProcessSandbox, Program, Sandbox, StartError, TaskWorker, task_input, task_limits,
    task_result,
};
pub use secrets::Secrets;
pub use vault::VaultError;
