//! The secrets that tokens are signed with, and how they change.

use super::token::Token;
use data_encoding::HEXLOWER;
use libmacaroon::{MacaroonKey, Verifier};
use market::units::TimeMs;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, sync::LazyLock};

/// The most root keys that are good at once. A token is tried with each: their number bounds what one costs.
pub const ROOT_KEYS_MAX: usize = 8;

/// Takes every caveat: whether they hold is decided with all of them at hand, in [`super::Rights`].
static SIGNATURES: LazyLock<Verifier> = LazyLock::new(|| {
    let mut verifier = Verifier::default();
    verifier.satisfy_general(|_| true);
    verifier
});

/// A secret that tokens are signed with. It does not print itself.
#[derive(Clone)]
pub struct RootKey {
    secret: [u8; 32],
    derived: MacaroonKey,
}

impl RootKey {
    /// The key of 32 secret bytes. As in Go's `macaroon.v2` and in `pymacaroons`, tokens are signed with
    /// HMAC-SHA256("macaroons-key-generator", secret), not with the secret itself.
    pub fn new(secret: [u8; 32]) -> RootKey {
        RootKey { derived: MacaroonKey::generate(&secret), secret }
    }

    /// Whether this key signed the token. Signatures are compared in constant time.
    pub fn signed(&self, token: &Token) -> bool {
        SIGNATURES.verify(token.macaroon(), &self.derived, &[]).is_ok()
    }

    pub(super) fn macaroon_key(&self) -> &MacaroonKey {
        &self.derived
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(secret)")
    }
}

impl Serialize for RootKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.secret))
    }
}

impl<'de> Deserialize<'de> for RootKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RootKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        let secret = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        secret.map(RootKey::new).ok_or_else(|| de::Error::custom("a root key is 64 lower-case hex digits"))
    }
}

/// The key that signs now, and those before it that are still good.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKeys {
    current: RootKey,
    /// Since when it signs.
    since: TimeMs,
    /// The newest first, each with the time until which its tokens are good.
    retired: Vec<(RootKey, TimeMs)>,
}

/// Keys change faster than they expire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are {ROOT_KEYS_MAX} root keys that are still good: wait until one of them has expired")]
pub struct TooManyKeys;

impl RootKeys {
    /// One key, from now on.
    pub fn new(secret: [u8; 32], now: TimeMs) -> RootKeys {
        RootKeys { current: RootKey::new(secret), since: now, retired: Vec::new() }
    }

    /// The key that signs now.
    pub fn current(&self) -> &RootKey {
        &self.current
    }

    /// Since when it does.
    pub fn since(&self) -> TimeMs {
        self.since
    }

    /// Signs with another secret from now on. What the one before signed stays good for `overlap_ms`.
    pub fn rotate(&mut self, secret: [u8; 32], now: TimeMs, overlap_ms: u64) -> Result<(), TooManyKeys> {
        self.retired.retain(|(_, until)| now < *until);
        if self.retired.len() + 1 >= ROOT_KEYS_MAX {
            return Err(TooManyKeys);
        }
        let before = std::mem::replace(&mut self.current, RootKey::new(secret));
        self.retired.insert(0, (before, now.plus(overlap_ms)));
        self.since = now;
        Ok(())
    }

    /// Whether a key that is good now signed the token.
    pub fn signed(&self, token: &Token, now: TimeMs) -> bool {
        let retired = self.retired.iter().filter(|(_, until)| now < *until).map(|(key, _)| key);
        std::iter::once(&self.current).chain(retired).any(|key| key.signed(token))
    }
}
