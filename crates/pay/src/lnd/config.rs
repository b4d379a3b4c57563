//! What has to be known to speak to an LND: where it is, its certificate, and a macaroon.

use super::OpenError;
use crate::secret::SecretRef;
use data_encoding::HEXLOWER_PERMISSIVE;
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use std::{fmt, path::PathBuf, str::FromStr};
use zeroize::Zeroizing;

/// The REST port of an LND that was not told another.
const PORT: u16 = 8080;
/// What a macaroon of version 2 starts with (<https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt>); LND
/// makes no others.
const MACAROON_VERSION: u8 = 2;

/// What has to be known to speak to an LND.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LndConfig {
    /// Where its REST interface is.
    pub address: LndAddress,
    /// The macaroon, as LND writes it or in hex.
    pub macaroon: SecretRef,
    /// Its certificate (`tls.cert`), PEM. More than one is fine: while one replaces another, either is accepted.
    pub certificate: SecretRef,
    /// Where this side keeps what LND does not: a folder for one network.
    pub dir: PathBuf,
    /// Has to be set for a node on [`crate::Network::Bitcoin`]: what goes wrong there costs real money.
    pub allow_real_money: bool,
}

/// Where an LND's REST interface is: `HOST`, `HOST:PORT` or `https://HOST:PORT`. It is always TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LndAddress(reqwest::Url);

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address of an LND: write HOST:PORT of its REST interface, usually port 8080; it is always TLS"
)]
pub struct BadLndAddress(String);

impl FromStr for LndAddress {
    type Err = BadLndAddress;

    fn from_str(text: &str) -> Result<LndAddress, BadLndAddress> {
        let bad = || BadLndAddress(text.to_owned());
        let (place, had_scheme) = match text.strip_prefix("https://") {
            Some(place) => (place, true),
            None => (text, false),
        };
        let mut url: reqwest::Url = format!("https://{place}").parse().map_err(|_| bad())?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !is_bare || place.contains(['@', '\\']) || (!had_scheme && place.contains('/')) {
            return Err(bad());
        }
        // The URL forgets a port that is the scheme's own.
        if url.port().is_none() && !place.trim_end_matches('/').ends_with(":443") {
            url.set_port(Some(PORT)).map_err(|()| bad())?;
        }
        Ok(LndAddress(url))
    }
}

impl fmt::Display for LndAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port_or_known_default().unwrap_or(PORT);
        write!(f, "{}:{port}", self.0.host_str().unwrap_or_default())
    }
}

impl LndAddress {
    /// The address of a path, which begins with `/`.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_str().trim_end_matches('/'))
    }
}

/// What LND lets somebody in for. It is wiped from memory when dropped, and does not print itself.
pub(super) struct Macaroon(Zeroizing<Vec<u8>>);

impl fmt::Debug for Macaroon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Macaroon(secret)")
    }
}

impl Macaroon {
    pub(super) fn read(reference: &SecretRef) -> Result<Macaroon, OpenError> {
        let bytes = reference.read_bytes()?;
        let bytes = match bytes.first() {
            Some(&MACAROON_VERSION) => bytes,
            Some(_) | None => {
                let hex = bytes.trim_ascii();
                let decoded = HEXLOWER_PERMISSIVE.decode(hex).map(Zeroizing::new);
                decoded.map_err(|_| OpenError::NoMacaroon(reference.to_string()))?
            }
        };
        if bytes.first() == Some(&MACAROON_VERSION) {
            Ok(Macaroon(bytes))
        } else {
            Err(OpenError::NoMacaroon(reference.to_string()))
        }
    }

    /// As LND wants it in a request; marked, so that no log prints it.
    pub(super) fn header(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let hex = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(&self.0));
        let mut value = HeaderValue::from_str(&hex)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_address_is_a_host_and_a_port_and_always_tls() {
        for (text, shown) in [
            ("10.0.0.2:8080", "10.0.0.2:8080"),
            ("https://lnd.example:8443", "lnd.example:8443"),
            ("https://lnd.example:443/", "lnd.example:443"),
            ("localhost", "localhost:8080"),
            ("[::1]:10009", "[::1]:10009"),
        ] {
            assert_eq!(text.parse::<LndAddress>().unwrap().to_string(), shown);
        }
        let at = "lnd.example".parse::<LndAddress>().unwrap().at("/v1/getinfo");
        assert_eq!(at, "https://lnd.example:8080/v1/getinfo");
        for text in ["", "http://10.0.0.2:8080", "a/b", "https://a/b", "https://u:p@a", "a:b", "a?x", "a b"] {
            assert!(text.parse::<LndAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_macaroon_is_read_as_lnd_writes_it_or_in_hex_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let read = |bytes: &[u8]| {
            let file = folder.path().join("macaroon");
            fs::write(&file, bytes).unwrap();
            #[cfg(unix)]
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            Macaroon::read(&SecretRef::File(file))
        };
        for bytes in [&b"\x02\x01\x03lnd\xab"[..], b"0201036c6e64ab", b" 0201036C6E64AB\n"] {
            let macaroon = read(bytes).unwrap();
            let header = macaroon.header().unwrap();
            assert_eq!(header.to_str().unwrap(), "0201036c6e64ab");
            let shown = format!("{macaroon:?} {header:?}").to_lowercase();
            assert!(!shown.contains("6c6e64"), "{shown}");
        }
        for bytes in [&b"-----BEGIN CERTIFICATE-----"[..], b"0101", b"020", b" "] {
            assert!(matches!(read(bytes), Err(OpenError::NoMacaroon(_))), "{bytes:?}");
        }
        assert!(matches!(read(b""), Err(OpenError::Secret(_))));
    }
}
