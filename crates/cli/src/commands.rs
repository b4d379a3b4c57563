//! One module for each family of commands.

pub(crate) mod econ;
pub(crate) mod escrow;
pub(crate) mod fetch;
pub(crate) mod job;
pub(crate) mod journal;
pub(crate) mod lightning;
pub(crate) mod machine;
pub(crate) mod manual;
pub(crate) mod market;
pub(crate) mod offers;
pub(crate) mod order;
pub(crate) mod party;
pub(crate) mod provide;
pub(crate) mod receipt;
pub(crate) mod results;
pub(crate) mod run;
pub(crate) mod token;
pub(crate) mod wallet;
