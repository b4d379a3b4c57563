//! One module for each family of commands.

pub(crate) mod job;
pub(crate) mod journal;
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
pub(crate) mod wallet;

use crate::exit::{Exit, Failure};
use serde::de::DeserializeOwned;

/// Reads an answer that the market gives as plain JSON.
fn understood<T: DeserializeOwned>(answer: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(answer)
        .map_err(|e| Failure::of(Exit::Unexpected, e).during("the market's answer cannot be read"))
}
