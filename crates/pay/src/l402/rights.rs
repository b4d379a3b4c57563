//! All caveats of a token together, for one service.

use super::{
    caveat::{BadCaveat, Caveat, Limit},
    token::Token,
};
use market::id::{Digest, LeaseId};
use std::collections::BTreeSet;

/// The domain of the names of use counters.
const USES_DOMAIN: &str = "gristmill 2026 l402 uses v1";

/// What a token is good for in one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// The tier.
    pub tier: u8,
    /// What may be done; anything where it is `None`.
    pub capabilities: Option<BTreeSet<String>>,
    /// Not after this time, in seconds since 1970-01-01 UTC.
    pub valid_until_s: Option<u64>,
    /// Only about this lease.
    pub lease: Option<LeaseId>,
    /// Only this path.
    pub path: Option<String>,
    /// Only a request whose body has this SHA-256.
    pub body_sha256: Option<[u8; 32]>,
    /// How often; each limit counts for itself.
    pub uses: Vec<UseLimit>,
}

/// At most so many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseLimit {
    /// What is counted: the token up to the caveat that sets the limit. All that were derived from there share the count, so
    /// that a narrower copy is no second token.
    pub counter: Digest,
    /// How many.
    pub max: u32,
}

/// Why a token gives no rights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// For something else.
    #[error("the token is not for the service `{0}`")]
    OtherService(String),
    /// A caveat takes back what one before it said.
    #[error("the caveat `{0}` allows more than one before it: a token can only become narrower")]
    Wider(String),
    /// A caveat without sense.
    #[error(transparent)]
    Bad(#[from] BadCaveat),
}

impl Rights {
    /// Reads the caveats in order. A later one of a kind may only narrow; those of other services and of unknown kinds are
    /// skipped.
    pub(super) fn of(token: &Token, service: &str) -> Result<Rights, RightsError> {
        let mut rights = Rights::default();
        let mut tier = None;
        let mut parts: Vec<&[u8]> = Vec::new();
        let identifier = token.identifier().to_bytes();
        parts.push(&identifier);
        for predicate in token.predicates() {
            parts.push(predicate);
            let Ok(text) = std::str::from_utf8(predicate) else { continue };
            let caveat = match Caveat::parse(text) {
                Ok(Some(caveat)) => caveat,
                Ok(None) => continue,
                // What is wrong with another service's caveats is that one's affair.
                Err(_) if !text.starts_with("services=") && !text.starts_with(&format!("{service}_")) => {
                    continue;
                }
                Err(bad) => return Err(bad.into()),
            };
            let narrows = match caveat {
                Caveat::Services(services) => {
                    let found = services.iter().find(|known| known.name == service);
                    let found = found.ok_or_else(|| RightsError::OtherService(service.to_owned()))?.tier;
                    found <= *tier.insert(tier.map_or(found, |before: u8| before.min(found)))
                }
                Caveat::Limit { service: other, .. } if other != service => true,
                Caveat::Limit { limit: Limit::MaxUses(max), .. } => {
                    let counter = Digest::of_parts(USES_DOMAIN, &parts);
                    let is_narrower = rights.uses.iter().all(|before| max <= before.max);
                    rights.uses.push(UseLimit { counter, max });
                    is_narrower
                }
                Caveat::Limit { limit, .. } => rights.narrow(limit),
            };
            if !narrows {
                return Err(RightsError::Wider(text.to_owned()));
            }
        }
        rights.tier = tier.ok_or_else(|| RightsError::OtherService(service.to_owned()))?;
        Ok(rights)
    }

    /// Takes a limit on; false when it is wider than one before.
    fn narrow(&mut self, limit: Limit) -> bool {
        match limit {
            Limit::Capabilities(new) => {
                let is_narrower = self.capabilities.as_ref().is_none_or(|before| new.is_subset(before));
                self.capabilities = Some(new);
                is_narrower
            }
            Limit::ValidUntil(new) => {
                let is_narrower = self.valid_until_s.is_none_or(|before| new <= before);
                self.valid_until_s = Some(new);
                is_narrower
            }
            Limit::Lease(new) => *self.lease.get_or_insert(new) == new,
            Limit::Path(new) => *self.path.get_or_insert_with(|| new.clone()) == new,
            Limit::BodySha256(new) => *self.body_sha256.get_or_insert(new) == new,
            // Counted by its caller, who knows the caveats before it.
            Limit::MaxUses(_) => true,
        }
    }

    /// Whether it may be done at all.
    pub fn allows(&self, capability: &str) -> bool {
        self.capabilities.as_ref().is_none_or(|words| words.contains(capability))
    }
}
