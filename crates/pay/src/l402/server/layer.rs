//! The gate before a route: a tower layer for axum.

use super::gate::{Gate, Need, NoChallenge, Product, Refused};
use crate::{
    l402::{BadCredential, Credential, MACAROON_HEADERS, Rights},
    node::InvoiceError,
};
use axum::{
    Json,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bitcoin_hashes::{Hash, sha256};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// What a request costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// Nothing.
    Free,
    /// A token.
    Due {
        /// Who asks: invoices that are not paid are counted for each.
        client: String,
        /// What is asked for.
        product: Product,
    },
}

/// Says what requests cost. A closure from the head of a request to a [`Charge`] does.
pub trait Tariff: Clone + Send + Sync + 'static {
    /// What this request costs, or an answer to it in its place. What it finds out on the way can go into the extensions.
    fn charge(&self, request: &mut Parts) -> impl Future<Output = Result<Charge, Response>> + Send;
}

impl<F: Fn(&Parts) -> Charge + Clone + Send + Sync + 'static> Tariff for F {
    fn charge(&self, request: &mut Parts) -> impl Future<Output = Result<Charge, Response>> + Send {
        std::future::ready(Ok(self(request)))
    }
}

/// Lets requests pass that are free or bring a token, and answers the others with 402, a token and an invoice. What the token
/// allows is in the request's extensions, as [`Rights`].
#[derive(Debug, Clone)]
pub struct L402Layer<T> {
    gate: Arc<Gate>,
    tariff: T,
}

impl<T: Tariff> L402Layer<T> {
    /// A layer for [`axum::Router::route_layer`] and its kin.
    pub fn new(gate: Arc<Gate>, tariff: T) -> L402Layer<T> {
        L402Layer { gate, tariff }
    }
}

impl<S, T: Tariff> Layer<S> for L402Layer<T> {
    type Service = L402<S, T>;

    fn layer(&self, inner: S) -> L402<S, T> {
        L402 { inner, gate: self.gate.clone(), tariff: self.tariff.clone() }
    }
}

/// A service behind a [`L402Layer`].
#[derive(Debug, Clone)]
pub struct L402<S, T> {
    inner: S,
    gate: Arc<Gate>,
    tariff: T,
}

impl<S, T> Service<Request> for L402<S, T>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    T: Tariff,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that was asked whether it is ready goes with the request.
        let waiting = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, waiting);
        let (gate, tariff) = (self.gate.clone(), self.tariff.clone());
        Box::pin(async move {
            match pass(&gate, &tariff, request).await {
                Ok(request) => ready.call(request).await,
                Err(answer) => Ok(answer),
            }
        })
    }
}

/// The request, if it may go on; else the answer to it.
async fn pass(gate: &Gate, tariff: &impl Tariff, request: Request) -> Result<Request, Response> {
    let (mut head, mut body) = request.into_parts();
    let (client, product) = match tariff.charge(&mut head).await? {
        Charge::Free => return Ok(Request::from_parts(head, body)),
        Charge::Due { client, product } => (client, product),
    };
    let credential = credential(&head.headers)
        .map_err(|bad| failure(StatusCode::BAD_REQUEST, "bad_credential", bad.to_string()))?;
    let mut why = "a token is needed".to_owned();
    if let Some(credential) = credential {
        let need = Need { capability: &product.capability, path: head.uri.path(), lease: None };
        let refused = match gate.admit_paid(&credential, &need).await {
            Ok(rights) => match use_up(gate, &rights, &mut body).await {
                Ok(()) => {
                    head.extensions.insert(rights);
                    return Ok(Request::from_parts(head, body));
                }
                Err(refused) => refused,
            },
            Err(refused) => refused,
        };
        why = refused.to_string();
        if is_passing(&refused) {
            return Err(later(StatusCode::SERVICE_UNAVAILABLE, "busy", why));
        }
    }
    Err(payment_required(gate, &client, &product, &why).await)
}

/// Compares the body, where the token is for one, and counts the use.
async fn use_up(gate: &Gate, rights: &Rights, body: &mut Body) -> Result<(), Refused> {
    if let Some(promised) = rights.body_sha256 {
        let content = to_bytes(std::mem::take(body), gate.settings().body_max_bytes).await;
        let content = content.map_err(|_| Refused::Body)?;
        if sha256::Hash::hash(&content).to_byte_array() != promised {
            return Err(Refused::Body);
        }
        *body = Body::from(content);
    }
    gate.spend(rights).await
}

/// Whether another token would not help.
fn is_passing(refused: &Refused) -> bool {
    use super::uses::SpendError;
    matches!(refused, Refused::Unavailable(_) | Refused::Uses(SpendError::Full | SpendError::Io(_)))
}

/// The credential in a request's headers; of several the first that is one.
pub fn credential(headers: &HeaderMap) -> Result<Option<Credential>, BadCredential> {
    for value in headers.get_all(header::AUTHORIZATION) {
        if let Some(found) = value.to_str().ok().map(Credential::from_authorization).transpose()?.flatten() {
            return Ok(Some(found));
        }
    }
    let value = MACAROON_HEADERS.iter().find_map(|name| headers.get(*name));
    let Some(value) = value else { return Ok(None) };
    Credential::from_macaroon(value.to_str().map_err(|_| BadCredential::Hex)?).map(Some)
}

/// The answer to a request that has to be paid for.
async fn payment_required(gate: &Gate, client: &str, product: &Product, why: &str) -> Response {
    let challenge = match gate.challenge(client, product).await {
        Ok(challenge) => challenge,
        Err(error @ NoChallenge::TooManyOpen) => {
            return later(StatusCode::TOO_MANY_REQUESTS, "too_many_invoices", error.to_string());
        }
        Err(error @ (NoChallenge::Unavailable(_) | NoChallenge::Invoice(InvoiceError::Unavailable(_)))) => {
            return later(StatusCode::SERVICE_UNAVAILABLE, "node_unavailable", error.to_string());
        }
        Err(error @ (NoChallenge::Invoice(_) | NoChallenge::Token(_) | NoChallenge::Random(_))) => {
            return failure(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string());
        }
    };
    let message = format!(
        "this costs {} ({}): pay the invoice in the WWW-Authenticate header, and ask again with `Authorization: L402 \
         TOKEN:PREIMAGE`; {why}",
        product.price, product.about
    );
    let mut response = failure(StatusCode::PAYMENT_REQUIRED, "payment_required", message);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match HeaderValue::from_str(&challenge.header()) {
        Ok(value) => {
            headers.insert(header::WWW_AUTHENTICATE, value);
            response
        }
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()),
    }
}

fn failure(status: StatusCode, code: &str, message: String) -> Response {
    let error = std::collections::BTreeMap::from([("code", code.to_owned()), ("message", message)]);
    (status, Json(error)).into_response()
}

fn later(status: StatusCode, code: &str, message: String) -> Response {
    let mut response = failure(status, code, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
