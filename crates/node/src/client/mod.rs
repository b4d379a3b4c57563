//! A market, as those who use it see it: what the agent, the buyer and the command line are built on.
//!
//! ```no_run
//! use market::{command::Command, key::SecretKey};
//! use node::client::Market;
//!
//! # async fn example(secret: SecretKey) -> Result<(), Box<dyn std::error::Error>> {
//! let market = Market::connect("http://127.0.0.1:7700").await?;
//! let accepted = market.submit(&secret, Command::RegisterParty { label: "alice".into() }).await?;
//! println!("{:?} at position {}", accepted.reply, accepted.position);
//! # Ok(())
//! # }
//! ```
//!
//! Everything is retried while the market does not answer. That is safe: reads change nothing, and a statement is sent
//! again as it is, so that the market knows it by its digest and tells the first answer again. Whoever waits can follow
//! that in [`Market::contact`].

mod address;
mod blobs;
mod contact;
mod dev_wallet;
mod events;
mod feed;
mod fetch;
mod heads;
mod offer_news;
mod paying;
mod payments;
mod reads;
mod tls;
mod token_jar;
mod tokens;

pub use address::{Address, AddressError};
pub use contact::Contact;
pub use dev_wallet::{DevWallet, FundError};
pub use feed::{FeedError, fetch_text};
pub use fetch::{FetchError, WebAnswer, WebRequest, fetch};
pub use heads::ForkEvidence;
pub use offer_news::{OfferFeed, OfferNews};
pub use paying::{Payer, PayingError, Wallet, paid_elsewhere};
pub use reads::OfferQuery;
pub use token_jar::{StoredToken, TokenJar, TokenPhase};
pub use tokens::LeaseReader;

use crate::api::{Accepted, ApiError, ReadToken, VenueInfo};
use backon::{BackoffBuilder, ExponentialBuilder};
use market::{
    command::Command,
    key::{PublicKey, SecretKey},
    log::Head,
    statement::{Payload, Statement},
    units::TimeMs,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a statement stays good, in milliseconds: longer than any retry lasts.
const STATEMENT_LIFETIME_MS: u64 = 120_000;
/// How long a read token is asked for, in milliseconds, and how much of it must be left for another use.
const TOKEN_LIFETIME_MS: u64 = 1_800_000;
const TOKEN_MARGIN_MS: u64 = 300_000;
/// How long the market may take for an ordinary answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a market that does not answer is asked again, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a market. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Market {
    inner: Arc<Inner>,
    patience: Duration,
    payer: Option<Arc<Payer>>,
}

#[derive(Debug)]
struct Inner {
    address: Address,
    base_url: String,
    http: reqwest::Client,
    venue: PublicKey,
    /// The venue's clock minus ours, in milliseconds.
    skew_ms: AtomicI64,
    heads: heads::Heads,
    line: contact::Line,
    tokens: Mutex<BTreeMap<PublicKey, ReadToken>>,
}

/// Why a market could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The market says no, and why.
    #[error("{error}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Code and sentence.
        error: ApiError,
        /// How long the market asks to wait before the next try.
        retry_after: Option<Duration>,
    },
    /// No answer.
    #[error("the market at {address} does not answer ({reason}): check the address and whether it runs")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What went wrong on the way.
        reason: String,
    },
    /// It costs something.
    #[error(transparent)]
    Paying(#[from] PayingError),
    /// The address cannot be one.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
    /// An answer that cannot be read.
    #[error("the market's answer cannot be read ({reason}): does it run another version?")]
    Garbled {
        /// What the reader says.
        reason: String,
    },
    /// A head that is not under the venue's signature.
    #[error("the market showed a head of its public log that it did not sign: do not trust it")]
    UnsignedHead,
    /// The venue forked its log.
    #[error(
        "the market showed two different histories: it signed heads of {} and {} events that cannot belong to one log. Stop \
         trading there and publish the evidence", .0.one.head.size, .0.other.head.size
    )]
    Fork(Box<ForkEvidence>),
    /// It cannot show that a head continues an earlier one.
    #[error(
        "the market cannot prove that its log of {} events continues the one of {} events it showed before: do not trust it",
        new.size, old.size
    )]
    NoProof {
        /// The earlier head.
        old: Head,
        /// The later one.
        new: Head,
    },
    /// The statement could not be written down.
    #[error("the statement could not be encoded: {0}")]
    Encode(String),
    /// A blob that is not what its digest says.
    #[error("the market sent other bytes than those of blob {0}: try again, or fetch it elsewhere")]
    BlobMismatch(market::id::Digest),
    /// A local file.
    #[error("{}: {source}", file.display())]
    File {
        /// Which.
        file: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ClientError {
    /// The market's code, when it was a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            ClientError::Refused { error, .. } => Some(&error.code),
            _ => None,
        }
    }

    /// Whether trying again later can help.
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Refused { status, .. } => matches!(status, 408 | 429 | 500 | 502..=504),
            ClientError::Unreachable { .. } => true,
            _ => false,
        }
    }

    /// Whether the market cannot be used at the moment, rather than not for this.
    pub fn is_outage(&self) -> bool {
        match self {
            ClientError::Refused { status, .. } => matches!(status, 500 | 502..=504),
            ClientError::Unreachable { .. } => true,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Market {
    /// Connects to a market and checks that it is the one that the address names.
    pub async fn connect(address: &str) -> Result<Market, ClientError> {
        Market::connect_to(address.parse()?, PATIENCE).await
    }

    /// As [`Market::connect`], asking a market that does not answer for as long as `patience`.
    pub async fn connect_to(address: Address, patience: Duration) -> Result<Market, ClientError> {
        let http = http_client(&address)?;
        let base_url = address.base_url();
        let unknown = Inner {
            base_url,
            http,
            venue: address.venue().unwrap_or(PublicKey([0; 32])),
            address,
            skew_ms: AtomicI64::new(0),
            heads: heads::Heads::default(),
            line: contact::Line::default(),
            tokens: Mutex::default(),
        };
        let mut market = Market { inner: Arc::new(unknown), patience, payer: None };
        let info = market.fetch_info().await?;
        if market.inner.address.venue().is_some_and(|venue| venue != info.key) {
            return Err(ClientError::Garbled {
                reason: format!("it is venue {}, not the one of the address", info.key),
            });
        }
        // Nobody else holds it yet.
        if let Some(inner) = Arc::get_mut(&mut market.inner) {
            inner.venue = info.key;
        }
        market.watch_head(info.head).await?;
        Ok(market)
    }

    /// The same market, with another patience for when it does not answer.
    pub fn with_patience(&self, patience: Duration) -> Market {
        Market { patience, ..self.clone() }
    }

    /// The same market, with somebody who pays for what costs something. Without one, that is refused.
    pub fn with_payer(&self, payer: Arc<Payer>) -> Market {
        Market { payer: Some(payer), ..self.clone() }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// The venue's key.
    pub fn venue(&self) -> PublicKey {
        self.inner.venue
    }

    /// The venue's clock, as far as it is known here.
    pub fn now(&self) -> TimeMs {
        let skew = self.inner.skew_ms.load(Ordering::Relaxed);
        TimeMs(local_now_ms().saturating_add_signed(skew))
    }

    /// What the market says about itself. Corrects the clock.
    pub async fn info(&self) -> Result<VenueInfo, ClientError> {
        let info = self.fetch_info().await?;
        self.watch_head(info.head).await?;
        Ok(info)
    }

    async fn fetch_info(&self) -> Result<VenueInfo, ClientError> {
        let asked_ms = local_now_ms();
        let info: VenueInfo = self.get("/v1/venue", None).await?;
        let middle_ms = asked_ms.midpoint(local_now_ms());
        self.inner.skew_ms.store(info.now_ms.0.wrapping_sub(middle_ms).cast_signed(), Ordering::Relaxed);
        Ok(info)
    }

    /// Signs a command and sends it until there is an answer.
    pub async fn submit(&self, secret: &SecretKey, command: Command) -> Result<Accepted, ClientError> {
        let statement = self.statement(secret, command)?;
        let result = self.send(&statement).await;
        if matches!(&result, Err(e) if matches!(e.code(), Some("expired" | "lifetime_too_long"))) {
            // Our clock is off: the next statement will be right.
            self.fetch_info().await?;
        }
        result
    }

    /// Signs a command without sending it, so that it can be stored first and sent again after a crash.
    pub fn statement(&self, secret: &SecretKey, command: Command) -> Result<Statement, ClientError> {
        let payload = Payload {
            v: 1,
            venue: self.venue(),
            not_after_ms: self.now().plus(STATEMENT_LIFETIME_MS),
            nonce: random_u64()?,
            seen: self.newest_head().map(|signed| signed.head),
            command,
        };
        Statement::sign(secret, &payload).map_err(|e| ClientError::Encode(e.to_string()))
    }

    /// Sends a statement until there is an answer. Sending one again is safe.
    pub async fn send(&self, statement: &Statement) -> Result<Accepted, ClientError> {
        let accepted: Accepted = self.post("/v1/statements", statement, None).await?;
        self.watch_head(accepted.head).await?;
        Ok(accepted)
    }

    /// A token for the private reads of a key, reused while it lasts.
    pub fn read_token(&self, secret: &SecretKey) -> ReadToken {
        let now = self.now();
        let mut tokens = self.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = tokens.get(&secret.public()).filter(|t| t.expires_at_ms.since(now) > TOKEN_MARGIN_MS);
        if let Some(token) = cached {
            return token.clone();
        }
        let token = ReadToken::sign(secret, &self.venue(), now.plus(TOKEN_LIFETIME_MS));
        tokens.insert(token.key, token.clone());
        token
    }

    fn heads(&self) -> &heads::Heads {
        &self.inner.heads
    }

    fn request(&self, method: Method, path: &str, reader: Option<&SecretKey>) -> RequestBuilder {
        let request = self.inner.http.request(method, format!("{}{path}", self.inner.base_url));
        match reader {
            Some(secret) => request.header(header::AUTHORIZATION, self.read_token(secret).header()),
            None => request,
        }
    }

    /// Sends a request once; anything but success is an error.
    async fn attempt(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = match &self.payer {
            None => request.send().await.map_err(|e| self.unreachable(&e))?,
            Some(payer) => {
                // Boxed, because play money is paid through a market.
                let request = request.build().map_err(|e| self.unreachable(&e))?;
                Box::pin(payer.send(&self.inner.http, request)).await.map_err(|error| match error {
                    PayingError::Unreachable { reason, .. } => {
                        ClientError::Unreachable { address: self.inner.address.to_string(), reason }
                    }
                    other => other.into(),
                })?
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(response.headers());
        let body = response.bytes().await.map_err(|e| self.unreachable(&e))?;
        Err(refusal(status, &body, retry_after))
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable { address: self.inner.address.to_string(), reason: innermost(error) }
    }

    async fn retried<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut tries = self.tries();
        loop {
            match ask().await {
                Err(error) => tries.again(error).await?,
                Ok(answer) => {
                    tries.answered();
                    return Ok(answer);
                }
            }
        }
    }

    fn tries(&self) -> contact::Tries<'_, impl Iterator<Item = Duration> + use<>> {
        let delays = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .without_max_times()
            .with_total_delay(Some(self.patience))
            .with_jitter();
        contact::Tries::new(&self.inner.line, delays.build())
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        reader: Option<&SecretKey>,
    ) -> Result<T, ClientError> {
        self.retried(|| async {
            let request = self.request(Method::GET, path, reader).timeout(REQUEST_TIMEOUT);
            self.decode(self.attempt(request).await?).await
        })
        .await
    }

    async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        reader: Option<&SecretKey>,
    ) -> Result<T, ClientError> {
        self.retried(|| async {
            let request = self.request(Method::POST, path, reader).timeout(REQUEST_TIMEOUT).json(body);
            self.decode(self.attempt(request).await?).await
        })
        .await
    }

    async fn decode<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let body = response.bytes().await.map_err(|e| self.unreachable(&e))?;
        serde_json::from_slice(&body).map_err(|e| ClientError::Garbled { reason: e.to_string() })
    }
}

fn http_client(address: &Address) -> Result<reqwest::Client, ClientError> {
    // Somebody else in the process may have installed a provider; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).tcp_nodelay(true);
    let builder = match address {
        Address::Loopback { .. } => builder.no_proxy(),
        Address::Https { .. } => builder,
        Address::Pinned { venue, .. } => {
            let config = tls::pinned(venue)
                .ok_or_else(|| ClientError::Tls("the address holds no possible key".into()))?
                .map_err(|e| ClientError::Tls(e.to_string()))?;
            builder.no_proxy().tls_backend_preconfigured(config)
        }
    };
    builder.build().map_err(|e| ClientError::Tls(innermost(&e)))
}

/// Reads `Retry-After` in seconds (RFC 9110, section 10.2.3); its other form, a date, is not used by markets.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(contact::RETRY_AFTER_MAX))
}

fn refusal(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> ClientError {
    let error = serde_json::from_slice(body).unwrap_or_else(|_| ApiError {
        code: format!("http_{}", status.as_u16()),
        message: format!("the market answered {status}"),
    });
    ClientError::Refused { status: status.as_u16(), error, retry_after }
}

/// The cause at the bottom says more than "error sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn local_now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn random_u64() -> Result<u64, ClientError> {
    getrandom::u64().map_err(|e| ClientError::Encode(format!("the system gives no random numbers: {e}")))
}
