//! Statements: signed commands, the only way to change the market.
//!
//! The payload is kept exactly as it was sent (versioned JSON; unknown fields are refused), so that anybody can check
//! the signature for ever. It is signed under [`DOMAIN`] and names the venue, an expiry and the newest public head
//! that its signer had seen. The digest over payload and signer is the idempotency key.

use crate::{
    command::Command,
    id::Digest,
    key::{BadSignature, PublicKey, SecretKey, Signature},
    log::Head,
    units::{TimeMs, big_u64},
};
use serde::{Deserialize, Serialize};

/// The domain of statement signatures.
pub const DOMAIN: &str = "gristmill 2026 statement v1";
/// The largest payload, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;
/// How far ahead `not_after_ms` may lie, in milliseconds: the venue remembers digests that long.
pub const MAX_LIFETIME_MS: u64 = 600_000;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Format version; this is version 1.
    pub v: u32,
    /// The venue that it is meant for.
    pub venue: PublicKey,
    /// Worth nothing after this time.
    pub not_after_ms: TimeMs,
    /// Tells two statements with the same command apart.
    #[serde(with = "big_u64")]
    pub nonce: u64,
    /// The newest public head that the signer had seen; a fork of the public log becomes provable by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Head>,
    /// What is asked.
    pub command: Command,
}

/// A statement as it travels and as it is journaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The JSON text of a [`Payload`], verbatim.
    pub payload: String,
    /// Who signed.
    pub key: PublicKey,
    /// The signature of the payload under [`DOMAIN`].
    pub signature: Signature,
}

/// A statement that was checked, ready for the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Who signed.
    pub signer: PublicKey,
    /// The idempotency key.
    pub digest: Digest,
    /// Worth nothing after this time.
    pub not_after_ms: TimeMs,
    /// The newest public head that the signer had seen.
    pub seen: Option<Head>,
    /// What is asked.
    pub command: Command,
}

/// Why a statement is refused before its command is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementError {
    /// Larger than the limit.
    #[error("the statement's payload has {bytes} bytes, more than {MAX_PAYLOAD_BYTES}; split the batch")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the JSON of a payload.
    #[error("the statement cannot be read: {reason}")]
    Unreadable {
        /// What the reader says.
        reason: String,
    },
    /// A version from the future.
    #[error("statement version {v} is not known here; this venue reads version 1")]
    Version {
        /// The version.
        v: u32,
    },
    /// Meant for somebody else.
    #[error("the statement is for venue {venue}, not for this one")]
    WrongVenue {
        /// The venue that it names.
        venue: PublicKey,
    },
    /// The signature is wrong.
    #[error(
        "the signature does not fit: it was made with another key or the statement was changed on its way"
    )]
    BadSignature,
}

impl From<BadSignature> for StatementError {
    fn from(_: BadSignature) -> StatementError {
        StatementError::BadSignature
    }
}

impl Statement {
    /// Signs a payload.
    pub fn sign(secret: &SecretKey, payload: &Payload) -> Result<Statement, serde_json::Error> {
        let payload = serde_json::to_string(payload)?;
        let signature = secret.sign(DOMAIN, payload.as_bytes());
        Ok(Statement { payload, key: secret.public(), signature })
    }

    /// The idempotency key: payload and signer, not the signature.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(DOMAIN, &[&self.key.0, self.payload.as_bytes()])
    }

    /// Reads the payload and checks size, version, venue and signature.
    pub fn check(&self, venue: &PublicKey) -> Result<Checked, StatementError> {
        let payload = self.read()?;
        if payload.venue != *venue {
            return Err(StatementError::WrongVenue { venue: payload.venue });
        }
        self.key.verify(DOMAIN, self.payload.as_bytes(), &self.signature)?;
        Ok(self.checked(payload))
    }

    /// Reads a statement out of one's own journal, where it was checked before it was written.
    pub fn trust(&self) -> Result<Checked, StatementError> {
        let payload = self.read()?;
        Ok(self.checked(payload))
    }

    /// Reads the payload without checking who signed.
    pub fn read(&self) -> Result<Payload, StatementError> {
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(StatementError::TooLarge { bytes: self.payload.len() });
        }
        match serde_json::from_str::<Payload>(&self.payload) {
            Ok(payload) if payload.v == 1 => Ok(payload),
            Ok(Payload { v, .. }) => Err(StatementError::Version { v }),
            // A later format gets a clear answer rather than an unknown field.
            Err(error) => Err(match serde_json::from_str::<Version>(&self.payload) {
                Ok(Version { v }) if v != 1 => StatementError::Version { v },
                Ok(_) | Err(_) => StatementError::Unreadable { reason: error.to_string() },
            }),
        }
    }

    fn checked(&self, payload: Payload) -> Checked {
        Checked {
            signer: self.key,
            digest: self.digest(),
            not_after_ms: payload.not_after_ms,
            seen: payload.seen,
            command: payload.command,
        }
    }

    /// The bytes that are journaled: key, signature, payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.key.0[..], &self.signature.0[..], self.payload.as_bytes()].concat()
    }

    /// Reads what [`Statement::to_bytes`] wrote; `None` when the bytes cannot be a statement.
    pub fn from_bytes(bytes: &[u8]) -> Option<Statement> {
        let (key, rest) = bytes.split_first_chunk::<32>()?;
        let (signature, payload) = rest.split_first_chunk::<64>()?;
        let payload = std::str::from_utf8(payload).ok()?.to_owned();
        Some(Statement { payload, key: PublicKey(*key), signature: Signature(*signature) })
    }
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> SecretKey {
        SecretKey::from_bytes([1; 32])
    }

    fn venue() -> PublicKey {
        SecretKey::from_bytes([2; 32]).public()
    }

    fn payload() -> Payload {
        Payload {
            v: 1,
            venue: venue(),
            not_after_ms: TimeMs(5),
            nonce: u64::MAX,
            seen: None,
            command: Command::Tick,
        }
    }

    #[test]
    fn a_statement_survives_its_journey() {
        let statement = Statement::sign(&secret(), &payload()).unwrap();
        assert_eq!(Statement::from_bytes(&statement.to_bytes()), Some(statement.clone()));
        let json = serde_json::to_string(&statement).unwrap();
        let back: Statement = serde_json::from_str(&json).unwrap();
        assert_eq!(back.check(&venue()).unwrap().command, Command::Tick);
    }

    #[test]
    fn a_changed_or_misdirected_statement_is_refused() {
        let statement = Statement::sign(&secret(), &payload()).unwrap();
        let mut changed = statement.clone();
        changed.payload = changed.payload.replace("tick", "resume");
        assert_eq!(changed.check(&venue()), Err(StatementError::BadSignature));
        let other = SecretKey::from_bytes([3; 32]).public();
        assert_eq!(statement.check(&other), Err(StatementError::WrongVenue { venue: venue() }));
    }

    #[test]
    fn unknown_fields_and_versions_are_refused() {
        let mut statement = Statement::sign(&secret(), &payload()).unwrap();
        statement.payload = statement.payload.replace("\"v\":1", "\"v\":2");
        assert_eq!(statement.read(), Err(StatementError::Version { v: 2 }));
        statement.payload = statement.payload.replace("\"v\":2", "\"v\":2,\"extra\":0");
        assert_eq!(statement.read(), Err(StatementError::Version { v: 2 }));
        statement.payload = statement.payload.replace("\"v\":2", "\"v\":1");
        assert!(matches!(statement.read(), Err(StatementError::Unreadable { .. })));
        statement.payload.truncate(20);
        assert!(matches!(statement.read(), Err(StatementError::Unreadable { .. })));
    }
}
