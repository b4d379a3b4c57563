//! Keys and signatures (ed25519, RFC 8032).

use crate::id::{ParseIdError, hex32};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A public key: the identity of a party, a machine or a venue; hex in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

hex32!(PublicKey, "a public key of 64 lower-case hex digits");

/// An ed25519 signature, 64 bytes; hex in text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Signature)
            .ok_or_else(|| de::Error::custom("a signature is 128 lower-case hex digits"))
    }
}

/// A signature that does not fit the key and the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit the key and the message")]
pub struct BadSignature;

impl PublicKey {
    /// Checks a signature under a domain. Strict: refuses the malleable and small-order forms that RFC 8032 allows.
    pub fn verify(&self, domain: &str, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&in_domain(domain, message), &signature).map_err(|_| BadSignature)
    }

    /// The first ten hex digits, for people.
    pub fn short(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0[..5])
    }
}

/// A secret key. Never printed, never serialized; its bytes leave through [`SecretKey::to_bytes`] alone.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key with these secret bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> SecretKey {
        SecretKey(SigningKey::from_bytes(&bytes))
    }

    /// The secret bytes, for storing.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a message under a domain.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        Signature(self.0.sign(&in_domain(domain, message)).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().short())
    }
}

/// A signed message is `domain ‖ 0 ‖ message`, so that a signature for one purpose never serves another.
fn in_domain(domain: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(domain.len() + 1 + message.len());
    bytes.extend_from_slice(domain.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(message);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_serves_one_domain_only() {
        let secret = SecretKey::from_bytes([7; 32]);
        let signature = secret.sign("one", b"message");
        assert_eq!(secret.public().verify("one", b"message", &signature), Ok(()));
        assert_eq!(secret.public().verify("two", b"message", &signature), Err(BadSignature));
        assert_eq!(secret.public().verify("one", b"massage", &signature), Err(BadSignature));
    }

    #[test]
    fn a_secret_key_does_not_print_its_secret() {
        let secret = SecretKey::from_bytes([7; 32]);
        assert!(!format!("{secret:?}").contains(&data_encoding::HEXLOWER.encode(&[7; 32])));
    }
}
