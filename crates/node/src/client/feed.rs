//! Texts from servers that are no markets: price feeds.

use super::innermost;
use futures_util::StreamExt;
use reqwest::Url;
use std::time::Duration;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Not an address that can be trusted.
    #[error("`{url}` cannot be read: {reason}; name an https address, or an http one on this computer")]
    Address {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// No answer, or one that is no text.
    #[error("{url}: {reason}")]
    Answer {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// How long a feed may take.
const FEED_TIMEOUT: Duration = Duration::from_secs(60);

/// The text behind an https address, or an http one on loopback; at most `bytes_max` bytes, in UTF-8.
pub async fn fetch_text(url: &str, bytes_max: u64) -> Result<String, FeedError> {
    let address = |reason: String| FeedError::Address { url: url.to_owned(), reason };
    let answer = |reason: String| FeedError::Answer { url: url.to_owned(), reason };
    let parsed: Url = url.parse().map_err(|e| address(format!("{e}")))?;
    let is_loopback = matches!(parsed.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_loopback) {
        return Err(address("what it says could be changed on its way".to_owned()));
    }
    // Somebody else in the process may have installed a provider; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Whoever answers must not lead away from https.
    let http = reqwest::Client::builder().timeout(FEED_TIMEOUT).https_only(!is_loopback).build();
    let failed = |e: &reqwest::Error| answer(innermost(e));
    let response = http.map_err(|e| failed(&e))?.get(parsed).send().await;
    let response = response.and_then(reqwest::Response::error_for_status);
    let mut body = response.map_err(|e| failed(&e))?.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part.map_err(|e| failed(&e))?);
        if bytes.len() as u64 > bytes_max {
            return Err(answer(format!("longer than {bytes_max} bytes")));
        }
    }
    String::from_utf8(bytes).map_err(|_| answer("no text in UTF-8".to_owned()))
}
