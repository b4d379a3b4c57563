//! Salts that nobody else can guess and that a restart does not lose: each is a keyed hash of what it is for.

use market::{
    id::{AttemptId, Digest, OrderId},
    key::SecretKey,
};
use std::fmt;

const ROOT_DOMAIN: &str = "gristmill 2026 machine salts v1";
const RESULT_DOMAIN: &str = "gristmill 2026 result salt v1";
const BID_DOMAIN: &str = "gristmill 2026 bid salt v1";

/// A machine's source of salts.
#[derive(Clone)]
pub struct Secrets(Digest);

impl Secrets {
    /// The salts that belong to a machine's key.
    pub fn of_machine(key: &SecretKey) -> Secrets {
        Secrets(Digest::of_parts(ROOT_DOMAIN, &[&key.to_bytes()]))
    }

    /// The salt of an attempt's seal.
    pub fn result_salt(&self, attempt: AttemptId) -> Digest {
        Digest::of_parts(RESULT_DOMAIN, &[&self.0.0, &attempt.0.to_le_bytes()])
    }

    /// The salt of a sealed bid.
    pub fn bid_salt(&self, order: OrderId) -> Digest {
        Digest::of_parts(BID_DOMAIN, &[&self.0.0, &order.0.to_le_bytes()])
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}
