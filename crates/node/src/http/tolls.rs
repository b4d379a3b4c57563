//! What a market charges for, with L402: downloads of blobs by those who have no part in them, and the live stream of offers.

use super::{
    config::Prices,
    failure::Failure,
    payments::Purse,
    shared::{App, Shared},
    writer,
};
use crate::{api::LeaseRight, venue::reads::Reader};
use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, Method, request::Parts},
    response::{IntoResponse, Response},
};
use market::{
    id::{Digest, LeaseId, PaymentHash},
    key::PublicKey,
    units::Msat,
};
use pay::{
    Invoice, InvoiceError, InvoiceRequest, InvoiceState, NodeFuture, Unavailable,
    l402::{
        Rights, Token,
        server::{
            Charge, Gate, GateSettings, KeyFile, KeyFileError, Need, Product, Tariff, Till, UseLog,
            UseLogError, credential,
        },
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// The service, as tokens call it.
const SERVICE: &str = "grist";
/// The most tokens with limited uses whose counts are kept.
const USES_MAX: usize = 200_000;
/// Prices of blobs are for so many bytes, the last part counted as a whole one.
const BLOB_UNIT_BYTES: u64 = 1 << 20;
/// How long a token for a blob lasts, in milliseconds, and how many requests it serves: a transfer that breaks off goes on
/// with another one.
const BLOB_LASTS_MS: u64 = 3_600_000;
const BLOB_USES: u32 = 16;
/// How long a token for the stream of offers lasts, in milliseconds.
const STREAM_LASTS_MS: u64 = 3_600_000;

/// Why nothing can be charged for.
#[derive(Debug, thiserror::Error)]
pub enum TollsError {
    /// The root keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The log of uses.
    #[error(transparent)]
    Uses(#[from] UseLogError),
}

/// The gate of a market, with its files in a folder.
pub(super) fn open(venue: &PublicKey, purse: Arc<Purse>, folder: &Path) -> Result<Arc<Gate>, TollsError> {
    let now = writer::now();
    let keys = KeyFile::open(&folder.join("l402-keys.json"), now)?;
    let uses = UseLog::open(&folder.join("l402-uses.log"), USES_MAX, now)?;
    let settings = GateSettings::new(SERVICE, &venue.to_string());
    Ok(Arc::new(Gate::new(settings, MarketTill(purse), keys, uses, writer::now)))
}

/// The market's node. Play money is written down before anybody relies on an invoice.
struct MarketTill(Arc<Purse>);

impl Till for MarketTill {
    fn invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        Box::pin(async move {
            let invoice = self.0.node.create_invoice(request).await?;
            self.0.save().map_err(|error| Unavailable(error.to_string()))?;
            Ok(invoice)
        })
    }

    fn state(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        self.0.node.invoice(payment_hash)
    }
}

/// The tariff of `/v1/blobs/{digest}`.
#[derive(Clone)]
pub(super) struct BlobTariff(pub(super) App);

impl Tariff for BlobTariff {
    async fn charge(&self, head: &mut Parts) -> Result<Charge, Response> {
        blob_charge(&self.0, head).await.map_err(IntoResponse::into_response)
    }
}

async fn blob_charge(app: &Shared, head: &mut Parts) -> Result<Charge, Failure> {
    let digest = head.uri.path().rsplit('/').next().and_then(|text| text.parse::<Digest>().ok());
    // Whatever else is wrong with the request is for its handler to say.
    let Some(digest) = digest.filter(|_| head.method == Method::GET) else { return Ok(Charge::Free) };
    let token = presented(&head.headers)?;
    if let Some(token) = token.as_ref().filter(|token| token.identifier().is_unpaid()) {
        let (lease, rights) = given(app, token, head.uri.path(), &[LeaseRight::Logs]).await?;
        if !app.read(|floor| floor.is_output_of(lease, digest)).await? {
            return Err(Failure::forbidden(format!("the blob is not what a task wrote under {lease}")));
        }
        head.extensions.insert(rights);
        return Ok(Charge::Free);
    }
    let Prices { blob_msat_per_mib, .. } = app.prices;
    let Some(bytes) = app.blobs.size(&digest, writer::now()).filter(|_| blob_msat_per_mib > Msat::ZERO)
    else {
        return Ok(Charge::Free);
    };
    let reader = reader(app, &head.headers, token.is_some()).await?;
    if let Some(party) = reader.party() {
        let has_part = app.blobs.is_of(&digest, party)
            || app.read(|floor| floor.has_part_in_blob(party, digest)).await?;
        if has_part {
            return Ok(Charge::Free);
        }
    }
    let units = bytes.div_ceil(BLOB_UNIT_BYTES).max(1);
    let price = Msat(blob_msat_per_mib.0.saturating_mul(units)).min(Msat::MAX);
    let product = Product {
        price,
        capability: "blob".to_owned(),
        path: Some(head.uri.path().to_owned()),
        lasts_ms: BLOB_LASTS_MS,
        max_uses: Some(BLOB_USES),
        about: format!("blob {}, {bytes} bytes", digest.short()),
    };
    Ok(Charge::Due { client: client(reader, head), product })
}

/// The tariff of `/v1/offers/stream`.
#[derive(Clone)]
pub(super) struct StreamTariff(pub(super) App);

impl Tariff for StreamTariff {
    async fn charge(&self, head: &mut Parts) -> Result<Charge, Response> {
        stream_charge(&self.0, head).await.map_err(IntoResponse::into_response)
    }
}

async fn stream_charge(app: &Shared, head: &mut Parts) -> Result<Charge, Failure> {
    if app.prices.offer_stream_msat == Msat::ZERO {
        return Ok(Charge::Free);
    }
    let token = presented(&head.headers)?;
    let reader = reader(app, &head.headers, token.is_some()).await?;
    let product = Product {
        price: app.prices.offer_stream_msat,
        capability: "offer-stream".to_owned(),
        path: Some(head.uri.path().to_owned()),
        lasts_ms: STREAM_LASTS_MS,
        max_uses: None,
        about: "an hour of live offers".to_owned(),
    };
    Ok(Charge::Due { client: client(reader, head), product })
}

/// The token that a request brings, bought or given.
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<Token>, Failure> {
    let found = credential(headers).map_err(|bad| Failure::bad_request(bad.to_string()))?;
    Ok(found.map(|credential| credential.token))
}

/// The lease that a given token is about, if it allows one of these. Counts a use where its uses are limited.
pub(super) async fn given(
    app: &Shared,
    token: &Token,
    path: &str,
    any_of: &[LeaseRight],
) -> Result<(LeaseId, Rights), Failure> {
    let refused = |error: pay::l402::server::Refused| Failure::forbidden(error.to_string());
    let rights = app.gate.rights(token).map_err(refused)?;
    let right = any_of.iter().find(|right| rights.allows(right.word())).or(any_of.first());
    let need = Need { capability: right.map_or("", |right| right.word()), path, lease: rights.lease };
    let rights = app.gate.admit_given(token, &need).map_err(refused)?;
    let lease = rights.lease.ok_or_else(|| Failure::forbidden("the token is about no lease"))?;
    app.gate.spend(&rights).await.map_err(refused)?;
    Ok((lease, rights))
}

/// Who asks; with a token that was bought, it does not matter who.
async fn reader(app: &Shared, headers: &HeaderMap, has_token: bool) -> Result<Reader, Failure> {
    if has_token { Ok(Reader::Anyone) } else { app.reader(headers).await }
}

/// For whom unpaid invoices are counted: a party, or an address. One household has one prefix of IPv6 addresses.
fn client(reader: Reader, head: &Parts) -> String {
    if let Some(party) = reader.party() {
        return party.to_string();
    }
    let address = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    match address {
        Some(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Some(address) => address.to_string(),
        None => String::new(),
    }
}
