//! What a token is limited to, as text.
//!
//! The first three kinds are those of the protocol's specification. The others are named like them, so that readers who do
//! not know them skip them:
//!
//! ```text
//! services=NAME:TIER[,NAME:TIER…]
//! NAME_capabilities=WORD[,WORD…]
//! NAME_valid_until=SECONDS          since 1970-01-01 UTC
//! NAME_lease=lease-42               only about this lease
//! NAME_path=/v1/blobs/…             only this path
//! NAME_body_sha256=HEX              only a request with this body
//! NAME_max_uses=COUNT               so many requests
//! ```

use data_encoding::HEXLOWER;
use market::id::LeaseId;
use std::{collections::BTreeSet, fmt};

/// A limit that this crate knows. Its text is `Display`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caveat {
    /// The services that the token is good for.
    Services(Vec<Service>),
    /// A limit within one service.
    Limit {
        /// Which service; others skip it.
        service: String,
        /// What it may not go beyond.
        limit: Limit,
    },
}

/// A service at a tier; the lowest tier is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What was paid for, where a service comes in several sizes.
    pub tier: u8,
}

/// A limit within one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// Only these.
    Capabilities(BTreeSet<String>),
    /// Not after this time, in seconds since 1970-01-01 UTC.
    ValidUntil(u64),
    /// Only about this lease.
    Lease(LeaseId),
    /// Only this path.
    Path(String),
    /// Only a request whose body has this SHA-256.
    BodySha256([u8; 32]),
    /// Only so many requests, over everything that was derived from the token after this caveat.
    MaxUses(u32),
}

/// A caveat of a kind that is known, with a value that is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the caveat `{text}` needs {expected} behind the `=`")]
pub struct BadCaveat {
    text: String,
    expected: &'static str,
}

impl Limit {
    /// The caveat that sets this limit in a service.
    pub fn of(self, service: &str) -> Caveat {
        Caveat::Limit { service: service.to_owned(), limit: self }
    }

    fn read(kind: &str, value: &str) -> Option<Result<Limit, &'static str>> {
        let limit = match kind {
            "capabilities" => words(value).map(Limit::Capabilities).ok_or("words with commas between them"),
            "valid_until" => decimal(value).map(Limit::ValidUntil).ok_or("seconds since 1970"),
            "lease" => value.parse().map(Limit::Lease).map_err(|_| "a lease like lease-42"),
            "path" => Some(value)
                .filter(|path| path.starts_with('/'))
                .map(|path| Limit::Path(path.to_owned()))
                .ok_or("a path that begins with `/`"),
            "body_sha256" => HEXLOWER
                .decode(value.as_bytes())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .map(Limit::BodySha256)
                .ok_or("64 lower-case hex digits"),
            "max_uses" => decimal(value)
                .and_then(|count| u32::try_from(count).ok())
                .filter(|count| *count > 0)
                .map(Limit::MaxUses)
                .ok_or("a number of requests"),
            _ => return None,
        };
        Some(limit)
    }
}

impl Caveat {
    /// Reads a caveat; `None` for one of a kind that is not known here.
    pub fn parse(text: &str) -> Result<Option<Caveat>, BadCaveat> {
        const KINDS: [&str; 6] =
            ["_capabilities", "_valid_until", "_lease", "_path", "_body_sha256", "_max_uses"];
        let Some((condition, value)) = text.split_once('=') else { return Ok(None) };
        let bad = |expected| BadCaveat { text: text.to_owned(), expected };
        if condition == "services" {
            let services = value.split(',').map(service).collect::<Option<_>>();
            return services
                .map(|services| Some(Caveat::Services(services)))
                .ok_or_else(|| bad("services like `films:0`"));
        }
        let split = KINDS.iter().find_map(|kind| Some((condition.strip_suffix(kind)?, &kind[1..])));
        let Some((service, kind)) = split.filter(|(service, _)| is_name(service)) else { return Ok(None) };
        match Limit::read(kind, value) {
            None => Ok(None),
            Some(limit) => limit.map(|limit| Some(limit.of(service))).map_err(bad),
        }
    }
}

fn service(text: &str) -> Option<Service> {
    let (name, tier) = text.split_once(':')?;
    Some(Service { name: Some(name).filter(|name| is_name(name))?.to_owned(), tier: small(tier)? })
}

fn small(text: &str) -> Option<u8> {
    decimal(text)?.try_into().ok()
}

/// Digits alone: `str::parse` would take a sign as well.
fn decimal(text: &str) -> Option<u64> {
    Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn words(text: &str) -> Option<BTreeSet<String>> {
    text.split(',').map(|word| Some(word).filter(|word| is_name(word)).map(str::to_owned)).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caveat::Services(services) => {
                f.write_str("services=")?;
                joined(f, services.iter())
            }
            Caveat::Limit { service, limit } => match limit {
                Limit::Capabilities(words) => {
                    write!(f, "{service}_capabilities=")?;
                    joined(f, words.iter())
                }
                Limit::ValidUntil(seconds) => write!(f, "{service}_valid_until={seconds}"),
                Limit::Lease(lease) => write!(f, "{service}_lease={lease}"),
                Limit::Path(path) => write!(f, "{service}_path={path}"),
                Limit::BodySha256(hash) => write!(f, "{service}_body_sha256={}", HEXLOWER.encode(hash)),
                Limit::MaxUses(count) => write!(f, "{service}_max_uses={count}"),
            },
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tier)
    }
}

fn joined(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item: fmt::Display>) -> fmt::Result {
    for (number, item) in items.enumerate() {
        write!(f, "{}{item}", if number == 0 { "" } else { "," })?;
    }
    Ok(())
}
