//! Where a market is: `grist://KEY@HOST:PORT`, `https://HOST[:PORT]`, or `http://127.0.0.1:PORT` on this machine.

use market::key::PublicKey;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// The address of a market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TLS whose certificate carries the venue's own key: whoever has the address cannot be led to another market.
    Pinned {
        /// The venue's key.
        venue: PublicKey,
        /// `HOST:PORT`.
        authority: String,
    },
    /// TLS with a certificate that the system trusts.
    Https {
        /// `HOST[:PORT]`.
        authority: String,
    },
    /// No TLS: loopback only.
    Loopback {
        /// `HOST:PORT`.
        authority: String,
    },
}

/// A text that is no address of a market.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// None of the three forms.
    #[error(
        "`{0}` is not the address of a market: use grist://KEY@HOST:PORT (what `grist market` prints), https://HOST, or \
         http://127.0.0.1:PORT on the same machine"
    )]
    Form(String),
    /// Plain HTTP to somewhere else.
    #[error(
        "`{0}` would send read tokens over the network unencrypted: use the grist://KEY@HOST:PORT address that the market \
         prints"
    )]
    Unencrypted(String),
}

impl Address {
    /// What request paths are appended to.
    pub fn base_url(&self) -> String {
        match self {
            Address::Pinned { authority, .. } | Address::Https { authority } => {
                format!("https://{authority}")
            }
            Address::Loopback { authority } => format!("http://{authority}"),
        }
    }

    /// The venue's key, where the address names it.
    pub fn venue(&self) -> Option<PublicKey> {
        match self {
            Address::Pinned { venue, .. } => Some(*venue),
            Address::Https { .. } | Address::Loopback { .. } => None,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let form = || AddressError::Form(text.to_owned());
        let (scheme, rest) = text.trim_end_matches('/').split_once("://").ok_or_else(form)?;
        match scheme {
            "grist" => {
                let (key, authority) = rest.split_once('@').ok_or_else(form)?;
                let venue = key.parse().map_err(|_| form())?;
                let has_port =
                    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                if has_port && is_authority(authority) {
                    Ok(Address::Pinned { venue, authority: authority.to_owned() })
                } else {
                    Err(form())
                }
            }
            "https" if is_authority(rest) => Ok(Address::Https { authority: rest.to_owned() }),
            "http" if is_authority(rest) => {
                if is_loopback(rest) {
                    Ok(Address::Loopback { authority: rest.to_owned() })
                } else {
                    Err(AddressError::Unencrypted(text.to_owned()))
                }
            }
            _ => Err(form()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Pinned { venue, authority } => write!(f, "grist://{venue}@{authority}"),
            Address::Https { authority } => write!(f, "https://{authority}"),
            Address::Loopback { authority } => write!(f, "http://{authority}"),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn is_authority(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(':') && !text.contains(['/', '?', '#', '@', ' '])
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_write_their_text() {
        let key = "ab".repeat(32);
        for text in [
            &format!("grist://{key}@example.org:7700"),
            "https://example.org",
            "http://127.0.0.1:7700",
            "http://[::1]:80",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), *text);
        }
    }

    #[test]
    fn plain_http_leads_nowhere_but_to_this_machine() {
        assert!(matches!("http://example.org".parse::<Address>(), Err(AddressError::Unencrypted(_))));
        assert!(matches!(
            "http://127.0.0.1.example.org:80".parse::<Address>(),
            Err(AddressError::Unencrypted(_))
        ));
        for text in [
            "",
            "example.org",
            "grist://example.org:1",
            "grist://00@h:1",
            "ftp://x",
            "https://",
            "https://u@h",
        ] {
            assert!(matches!(text.parse::<Address>(), Err(AddressError::Form(_))), "{text}");
        }
    }
}
