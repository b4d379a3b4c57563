//! The secrets that Lightning payments are claimed with.

use crate::id::PaymentHash;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, fmt};

/// The secret whose SHA-256 is a payment hash. Knowing it proves the payment, so it does not print itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Preimage(pub [u8; 32]);

impl Preimage {
    /// The payment hash that this preimage opens.
    pub fn payment_hash(&self) -> PaymentHash {
        PaymentHash(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Preimage(of {})", self.payment_hash())
    }
}

impl Serialize for Preimage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Preimage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Preimage, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Preimage).ok_or_else(|| de::Error::custom("a preimage is 64 lower-case hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preimage_opens_its_hash_and_does_not_print_itself() {
        // SHA-256 of 32 zero bytes, as any `sha256sum` says.
        let hash = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        let preimage = Preimage([0; 32]);
        assert_eq!(preimage.payment_hash().to_string(), hash);
        assert_eq!(format!("{preimage:?}"), format!("Preimage(of {hash})"));
    }
}
