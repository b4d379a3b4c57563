//! Texts from servers that are no markets: price feeds.

use super::{ClientError, innermost};
use futures_util::StreamExt;
use reqwest::Url;
use std::time::Duration;

/// How long a feed may take.
const FEED_TIMEOUT: Duration = Duration::from_secs(60);

/// The text behind an https address, or an http one on loopback; at most `bytes_max` bytes, in UTF-8.
pub async fn fetch_text(url: &str, bytes_max: u64) -> Result<String, ClientError> {
    let garbled = |reason: String| ClientError::Garbled { reason };
    let parsed: Url = url.parse().map_err(|e| garbled(format!("`{url}` is no address: {e}")))?;
    let is_loopback = matches!(parsed.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_loopback) {
        return Err(garbled(format!("`{url}` could be changed on its way: name an https address")));
    }
    // Somebody else in the process may have installed a provider; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().timeout(FEED_TIMEOUT).build();
    let http = http.map_err(|e| ClientError::Tls(innermost(&e)))?;
    let unreachable = |e: &reqwest::Error| garbled(format!("{url}: {}", innermost(e)));
    let response = http.get(parsed).send().await.and_then(reqwest::Response::error_for_status);
    let mut body = response.map_err(|e| unreachable(&e))?.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part.map_err(|e| unreachable(&e))?);
        if bytes.len() as u64 > bytes_max {
            return Err(garbled(format!("{url} is longer than {bytes_max} bytes")));
        }
    }
    String::from_utf8(bytes).map_err(|_| garbled(format!("{url} is no text in UTF-8")))
}
