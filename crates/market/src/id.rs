//! Names of things: venue-assigned integers with a readable form (`lease-42`), and digests.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, marker::PhantomData, str::FromStr};

/// A text that is not the readable form of the id or digest it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    pub(crate) text: String,
    pub(crate) expected: &'static str,
}

macro_rules! entity_ids {
    ($($(#[$doc:meta])* $name:ident => $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// What the readable form starts with.
            pub const PREFIX: &'static str = $prefix;
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                $name(number)
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> u64 {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "-"))
                    .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .map($name)
                    .ok_or_else(|| ParseIdError { text: text.to_owned(), expected: concat!("an id like ", $prefix, "-42") })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(readable(concat!($prefix, "-"), self.0, &mut [0; READABLE_MAX_BYTES]))
                } else {
                    serializer.serialize_u64(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Readable(PhantomData))
                } else {
                    u64::deserialize(deserializer).map($name)
                }
            }
        }
    )*};
}

entity_ids! {
    /// A party: an owner of money, bond and reputation.
    PartyId => "party";
    /// A machine of a party.
    MachineId => "machine";
    /// A standing offer of a machine.
    OfferId => "offer";
    /// A buyer's order.
    OrderId => "order";
    /// The job that an order places.
    JobId => "job";
    /// A lease of a machine's capacity to a job.
    LeaseId => "lease";
    /// One try at one task under a lease; grows over the whole venue, so that it serves as the fencing token.
    AttemptId => "attempt";
    /// A transfer in the ledger.
    TransferId => "transfer";
    /// A request to top up a balance.
    TopupId => "topup";
    /// A request to withdraw from a balance.
    WithdrawalId => "withdrawal";
}

/// A BLAKE3 digest, 32 bytes; 64 lower-case hex digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// A Lightning payment hash: SHA-256 of the preimage, 32 bytes; hex in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentHash(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of length-prefixed parts under a domain, so that no two lists of parts collide.
    pub fn of_parts(domain: &str, parts: &[&[u8]]) -> Digest {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Digest(blake3::derive_key(domain, &bytes))
    }

    /// The first eight bytes as a little-endian integer, for draws.
    pub fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// The first ten hex digits, for people.
    pub fn short(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0[..5])
    }
}

/// The longest readable form of an id: the longest prefix, a dash, and twenty digits.
const READABLE_MAX_BYTES: usize = 32;

/// The readable form of an id. Ids are in every line of statements, receipts and the log, and formatting one takes several
/// times as long as this.
fn readable<'t>(prefix: &str, number: u64, text: &'t mut [u8; READABLE_MAX_BYTES]) -> &'t str {
    let (mut start, mut rest) = (text.len(), number);
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let end_of_prefix = start;
    start -= prefix.len();
    text[start..end_of_prefix].copy_from_slice(prefix.as_bytes());
    str::from_utf8(&text[start..]).unwrap_or_else(|_| unreachable!("a prefix and digits are text"))
}

/// The hex digits of 32 bytes. Digests are most of what statements and receipts are made of: no allocation here.
pub(crate) fn hex<'t>(bytes: &[u8; 32], text: &'t mut [u8; 64]) -> &'t str {
    data_encoding::HEXLOWER.encode_mut_str(bytes, text)
}

/// Reads the readable form of something where the text stands, without copying it first.
pub(crate) struct Readable<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err = ParseIdError>> de::Visitor<'_> for Readable<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the readable form of an id or digest")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(de::Error::custom)
    }
}

macro_rules! hex32 {
    ($name:ident, $what:literal) => {
        impl From<$name> for [u8; 32] {
            fn from(value: $name) -> [u8; 32] {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 64];
                f.write_str($crate::id::hex(&self.0, &mut text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; 32];
                let is_hex = text.len() == 64
                    && data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
                is_hex
                    .then_some($name(bytes))
                    .ok_or_else(|| ParseIdError { text: text.to_owned(), expected: $what })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str($crate::id::hex(&self.0, &mut [0; 64]))
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str($crate::id::Readable(std::marker::PhantomData))
                } else {
                    <[u8; 32]>::deserialize(deserializer).map($name)
                }
            }
        }
    };
}

hex32!(Digest, "a digest of 64 lower-case hex digits");
hex32!(PaymentHash, "a payment hash of 64 lower-case hex digits");
pub(crate) use hex32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_and_write_their_readable_form() {
        assert_eq!(LeaseId(42).to_string(), "lease-42");
        assert_eq!("lease-42".parse::<LeaseId>(), Ok(LeaseId(42)));
        for text in ["lease-", "lease-+1", "job-1", "lease-99999999999999999999", "42"] {
            assert!(text.parse::<LeaseId>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_json_of_an_id_is_its_readable_form() {
        for number in [0, 7, 10, 99_999, u64::MAX] {
            let id = WithdrawalId(number);
            assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
        }
    }

    #[test]
    fn parts_are_length_prefixed() {
        assert_ne!(Digest::of_parts("d", &[b"ab", b"c"]), Digest::of_parts("d", &[b"a", b"bc"]));
    }
}
