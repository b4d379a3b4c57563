//! Limits on rate and concurrency, so that nobody takes the market away from the others.

use super::{config::Limits, failure::Failure, metrics::RequestLabel, shared::App};
use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use market::key::PublicKey;
use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much more a client on the same machine may ask for.
const LOOPBACK_FACTOR: u32 = 1_000;
/// How many seconds' worth may come at once.
const BURST_SECONDS: u32 = 4;

/// The guards at the door.
pub(super) struct Guards {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_local_address: DefaultKeyedRateLimiter<IpAddr>,
    by_key: DefaultKeyedRateLimiter<PublicKey>,
    requests: Arc<Semaphore>,
    polls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    timeout: Duration,
}

impl Guards {
    pub(super) fn new(limits: &Limits) -> Guards {
        let semaphore = |count: u32| Arc::new(Semaphore::new(count as usize));
        Guards {
            by_address: RateLimiter::keyed(quota(limits.requests_per_second)),
            by_local_address: RateLimiter::keyed(quota(
                limits.requests_per_second.saturating_mul(LOOPBACK_FACTOR),
            )),
            by_key: RateLimiter::keyed(quota(limits.statements_per_second)),
            requests: semaphore(limits.concurrent_requests),
            polls: semaphore(limits.polls),
            streams: semaphore(limits.streams),
            uploads: semaphore(limits.transfers),
            timeout: Duration::from_millis(limits.request_timeout_ms),
        }
    }

    /// Whether a key may hand in another statement.
    pub(super) fn admit_key(&self, key: &PublicKey) -> Result<(), Failure> {
        self.by_key.check_key(key).map_err(|_| {
            Failure::too_many("this key sends more statements than the market takes from one: put more into one batch, or wait")
        })
    }

    /// A place for a machine that waits for work.
    pub(super) fn poll(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.polls, "machines wait here for work")
    }

    /// A place for an event stream.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.streams, "event streams are open here")
    }

    /// A place for a transfer of a blob.
    pub(super) fn transfer(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.uploads, "blobs are being transferred")
    }

    /// Forgets who has not come for a while.
    pub(super) fn tidy(&self) {
        self.by_address.retain_recent();
        self.by_local_address.retain_recent();
        self.by_key.retain_recent();
    }

    fn admit_address(&self, address: IpAddr) -> Result<(), Failure> {
        let limiter = if address.is_loopback() { &self.by_local_address } else { &self.by_address };
        limiter.check_key(&address).map_err(|_| {
            Failure::too_many("this address sends more requests than the market takes from one: slow down")
        })
    }
}

fn quota(per_second: u32) -> Quota {
    let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(per_second.get().saturating_mul(BURST_SECONDS)).unwrap_or(per_second);
    Quota::per_second(per_second).allow_burst(burst)
}

fn place(semaphore: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Failure> {
    semaphore.clone().try_acquire_owned().map_err(|_| {
        Failure::unavailable("busy", format!("as many {what} as the market takes at once: try again"))
    })
}

/// Every request: counted, and limited by its address.
pub(super) async fn at_the_door(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = match app.guards.admit_address(peer.ip()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    let label = RequestLabel { route, status: response.status().as_u16() };
    app.metrics.requests.get_or_create(&label).inc();
    response
}

/// Ordinary requests: so many at once, for so long.
pub(super) async fn short(State(app): State<App>, request: Request, next: Next) -> Response {
    let _place = match place(&app.guards.requests, "requests are being served") {
        Ok(permit) => permit,
        Err(failure) => return failure.into_response(),
    };
    match tokio::time::timeout(app.guards.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::unavailable("timeout", "the request took too long: send it again").into_response(),
    }
}
