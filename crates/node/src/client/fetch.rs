//! Requests to any server, paid for where they have to be.

use super::{
    innermost,
    paying::{Payer, PayingError},
};
use bytes::Bytes;
use reqwest::{
    Client, Method, Request, Response, Url,
    header::{HeaderName, HeaderValue},
    redirect,
};
use std::time::Duration;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A request to any server.
#[derive(Debug, Clone)]
pub struct WebRequest {
    /// The method.
    pub method: String,
    /// Where; https, or http on this computer.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an address that can be trusted with tokens.
    #[error("`{url}` cannot be asked: {reason}")]
    Address {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// It costs something.
    #[error(transparent)]
    Paying(#[from] PayingError),
    /// A method or header that is none.
    #[error("`{0}` cannot stand in a request")]
    Request(String),
    /// The answer ended too early.
    #[error("the answer broke off: {0}")]
    BrokenOff(String),
    /// TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
}

/// Sends a request, pays if it costs something, and gives the answer, whatever its status. Redirects are answers, too: a token
/// is for the server that sold it.
pub async fn fetch(payer: &Payer, request: WebRequest) -> Result<WebAnswer, FetchError> {
    let address = |reason: &str| FetchError::Address { url: request.url.clone(), reason: reason.to_owned() };
    let url: Url = request.url.parse().map_err(|_| address("it is no address"))?;
    let is_loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) {
        return Err(address(
            "a token could be read on its way; name an https address, or an http one on this computer",
        ));
    }
    // Somebody else in the process may have installed a provider; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Client::builder().connect_timeout(CONNECT_TIMEOUT).redirect(redirect::Policy::none());
    let http = if is_loopback { http.no_proxy() } else { http };
    let http = http.build().map_err(|e| FetchError::Tls(innermost(&e)))?;
    let method: Method = request.method.parse().map_err(|_| FetchError::Request(request.method))?;
    let mut ask = Request::new(method, url);
    for (name, value) in request.headers {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            (Ok(name), Ok(value)) => ask.headers_mut().append(name, value),
            _ => return Err(FetchError::Request(format!("{name}: {value}"))),
        };
    }
    if !request.body.is_empty() {
        *ask.body_mut() = Some(request.body.into());
    }
    Ok(WebAnswer(payer.send(&http, ask).await?))
}

/// An answer; its body arrives piece by piece.
#[derive(Debug)]
pub struct WebAnswer(Response);

impl WebAnswer {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// Its headers in the order of arrival; what is no UTF-8 with a replacement sign.
    pub fn headers(&self) -> impl Iterator<Item = (&str, String)> {
        let headers = self.0.headers().iter();
        headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    }

    /// The next piece of its body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.0.chunk().await.map_err(|e| FetchError::BrokenOff(innermost(&e)))
    }
}
