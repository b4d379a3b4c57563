//! A stand-in for LND, for tests alone: its REST interface as the published protocol files, and the sources of LND 0.21, have
//! it, over the play money of [`pay::dev`]. It is not LND: where the two differ, LND is right.

use super::wire::{self, Failure};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use data_encoding::{BASE64, BASE64URL, HEXLOWER};
use futures_util::{StreamExt, stream};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use pay::{
    CancelError, InvoiceError, InvoiceRequest, InvoiceState, LightningNode, PayError, PayRequest,
    PaymentState, Preimage, SettleError, bolt11, dev::DevNode,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

/// Everything that docs/lightning.md asks for.
pub(crate) const MACAROON: &[u8] = b"\x02\x01\x03lnd-full";
/// Reads only.
pub(crate) const MACAROON_THAT_READS: &[u8] = b"\x02\x01\x03lnd-readonly";

/// What is lost of the next request that it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A payment is taken on, and the connection ends before the answer.
    AnswerToSend,
    /// The connection ends before the payment is taken on.
    Send,
    /// An invoice is made, and the connection ends before the answer.
    AnswerToInvoice,
}

/// What the stand-in does instead of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It refuses everything with these words.
    Refusing(&'static str),
    /// It answers this to everything.
    Babbling(Vec<u8>),
}

struct Made {
    bolt11: String,
    memo: String,
    amount: Msat,
    created_s: u64,
    expiry_s: u64,
    cltv: u64,
    hold_ms: u64,
    add_index: u64,
}

struct Sent {
    index: u64,
    bolt11: String,
    amount: Msat,
}

/// One LND.
pub(crate) struct StandIn {
    pub(crate) dev: DevNode,
    clock: Box<dyn Fn() -> TimeMs + Send + Sync>,
    network: &'static str,
    pub(crate) mood: Mutex<Mood>,
    /// A mood that it has at one path only.
    pub(crate) mood_at: Mutex<Option<(&'static str, Mood)>>,
    pub(crate) fault: Mutex<Option<Fault>>,
    invoices: Mutex<BTreeMap<PaymentHash, Made>>,
    payments: Mutex<BTreeMap<PaymentHash, Sent>>,
    /// The paths of the requests so far.
    pub(crate) requests: Mutex<Vec<String>>,
    payments_begun: Mutex<u64>,
}

/// Where a stand-in listens, until this is dropped.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    /// Its certificate, PEM.
    pub(crate) certificate: String,
    handle: Handle<SocketAddr>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl StandIn {
    pub(crate) fn new(
        dev: DevNode,
        network: &'static str,
        clock: impl Fn() -> TimeMs + Send + Sync + 'static,
    ) -> Arc<StandIn> {
        Arc::new(StandIn {
            dev,
            clock: Box::new(clock),
            network,
            mood: Mutex::new(Mood::Well),
            mood_at: Mutex::default(),
            fault: Mutex::default(),
            invoices: Mutex::default(),
            payments: Mutex::default(),
            requests: Mutex::default(),
            payments_begun: Mutex::default(),
        })
    }

    /// Listens, with a certificate as LND makes them: signed by itself, and marked as an authority.
    pub(crate) fn serve(self: &Arc<StandIn>) -> Serving {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let handle = Handle::new();
        let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(tls)))
            .unwrap()
            .handle(handle.clone())
            .serve(self.router().into_make_service());
        tokio::spawn(server);
        Serving { address, certificate: certificate.pem(), handle }
    }

    fn router(self: &Arc<StandIn>) -> Router {
        let not_found = async || Failure::new(5, "Not Found").unary();
        Router::new()
            .route("/v1/getinfo", get(get_info))
            .route("/v1/balance/channels", get(channel_balance))
            .route("/v1/invoices", post(add_invoice))
            .route("/v2/invoices/hodl", post(add_hold_invoice))
            .route("/v1/invoice/{hash}", get(lookup_invoice))
            .route("/v2/invoices/settle", post(settle_invoice))
            .route("/v2/invoices/cancel", post(cancel_invoice))
            .route("/v2/router/send", post(send_payment))
            .route("/v2/router/track/{hash}", get(track_payment))
            .fallback(not_found)
            .layer(middleware::from_fn_with_state(self.clone(), door))
            .with_state(self.clone())
    }

    fn takes(&self, fault: Fault) -> bool {
        let mut waiting = self.fault.lock().unwrap();
        let strikes = *waiting == Some(fault);
        if strikes {
            *waiting = None;
        }
        strikes
    }

    fn remember(&self, hash: PaymentHash, made: Made) -> u64 {
        let mut invoices = self.invoices.lock().unwrap();
        let add_index = invoices.len() as u64 + 1;
        invoices.insert(hash, Made { add_index, ..made });
        add_index
    }

    async fn make(&self, asked: wire::NewInvoice) -> Result<(PaymentHash, Value), Failure> {
        let (amount, expiry_s) = (Msat(asked.value_msat), asked.expiry.max(1));
        if asked.memo.len() > 1_024 {
            return Err(Failure::unknown("memo too large"));
        }
        let request =
            InvoiceRequest { amount, description: asked.memo.clone(), expires_in_ms: expiry_s * 1_000 };
        let hold_ms = asked.cltv_expiry * 600_000;
        let made = match asked.hash {
            Some(_) if asked.cltv_expiry != 0 && asked.cltv_expiry < 24 => {
                return Err(Failure::unknown("CLTV delta must be greater than minimum of 24"));
            }
            Some(hash) => self.dev.create_hold_invoice(PaymentHash(hash), hold_ms, request).await,
            None => self.dev.create_invoice(request).await,
        };
        let made = made.map_err(|error| match error {
            InvoiceError::HashInUse(_) => Failure::unknown("invoice with payment hash already exists"),
            InvoiceError::BadRequest(why) => Failure::unknown(&why),
            InvoiceError::Unavailable(why) => Failure::new(14, &why.to_string()),
        })?;
        let hash = made.payment_hash;
        let bolt11 = made.bolt11;
        let add_index = self.remember(
            hash,
            Made {
                bolt11: bolt11.clone(),
                memo: asked.memo,
                amount,
                created_s: (self.clock)().0 / 1_000,
                expiry_s,
                cltv: asked.cltv_expiry,
                hold_ms,
                add_index: 0,
            },
        );
        let answer = json!({
            "r_hash": BASE64.encode(&hash.0),
            "payment_request": bolt11,
            "add_index": add_index.to_string(),
            "payment_addr": BASE64.encode(&[7; 32]),
        });
        Ok((hash, answer))
    }

    fn payment_line(&self, hash: PaymentHash, state: PaymentState) -> Value {
        let payments = self.payments.lock().unwrap();
        let (index, bolt11, amount) = payments
            .get(&hash)
            .map_or((1, "", Msat::ZERO), |sent| (sent.index, sent.bolt11.as_str(), sent.amount));
        let (status, preimage, fee, reason) = match state {
            PaymentState::InFlight | PaymentState::Unknown => {
                ("IN_FLIGHT", Preimage([0; 32]), Msat::ZERO, "FAILURE_REASON_NONE")
            }
            PaymentState::Succeeded { preimage, fee } => ("SUCCEEDED", preimage, fee, "FAILURE_REASON_NONE"),
            PaymentState::Failed { reason } => {
                ("FAILED", Preimage([0; 32]), Msat::ZERO, wire::failure_reason(reason))
            }
        };
        wire::payment(hash, amount, bolt11, status, &HEXLOWER.encode(&preimage.0), fee, index, reason)
    }
}

type Lnd = State<Arc<StandIn>>;

/// LND's door: macaroons, and whether it is at work at all.
async fn door(State(lnd): Lnd, headers: HeaderMap, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    lnd.requests.lock().unwrap().push(path.clone());
    let is_stream = path.starts_with("/v2/router/");
    let refuse = |message: &str| {
        let failure = Failure::unknown(message);
        if is_stream { failure.stream() } else { failure.unary() }
    };
    let at_path = lnd.mood_at.lock().unwrap().clone().filter(|(at, _)| *at == path);
    let mood = at_path.map_or_else(|| lnd.mood.lock().unwrap().clone(), |(_, mood)| mood);
    match mood {
        Mood::Well => {}
        Mood::Refusing(words) => return refuse(words),
        Mood::Babbling(bytes) => return bytes.into_response(),
    }
    let shown = headers.get("grpc-metadata-macaroon").map(|value| value.to_str().unwrap_or_default());
    let may_write = match shown {
        None => return refuse("expected 1 macaroon, got 0"),
        Some(hex) if hex == HEXLOWER.encode(MACAROON) => true,
        Some(hex) if hex == HEXLOWER.encode(MACAROON_THAT_READS) => false,
        Some(_) => return refuse("verification failed: signature mismatch after caveat verification"),
    };
    if request.method() == axum::http::Method::POST && !may_write {
        return refuse("permission denied");
    }
    next.run(request).await
}

async fn get_info(State(lnd): Lnd) -> Response {
    let info = lnd.dev.info().await.unwrap();
    wire::unary(&wire::info(&info.id, &info.alias, lnd.network))
}

async fn channel_balance(State(lnd): Lnd) -> Response {
    let balance = lnd.dev.balance().await.unwrap();
    wire::unary(&wire::balance(balance.spendable, balance.in_flight))
}

async fn add_invoice(State(lnd): Lnd, body: Bytes) -> Response {
    let made = match wire::read::<wire::NewInvoice>(&body) {
        Ok(asked) if asked.hash.is_some() => Err(Failure::new(3, "unknown field \"hash\"")),
        Ok(asked) => lnd.make(asked).await,
        Err(failure) => Err(failure),
    };
    answer_made(&lnd, made)
}

async fn add_hold_invoice(State(lnd): Lnd, body: Bytes) -> Response {
    let made = match wire::read::<wire::NewInvoice>(&body) {
        Ok(asked) if asked.hash.is_none() => Err(Failure::unknown("invalid hash length of 0, want 32")),
        Ok(asked) => lnd.make(asked).await,
        Err(failure) => Err(failure),
    };
    answer_made(&lnd, made)
}

fn answer_made(lnd: &StandIn, made: Result<(PaymentHash, Value), Failure>) -> Response {
    match made {
        Ok(_) if lnd.takes(Fault::AnswerToInvoice) => cut_off(),
        Ok((_, answer)) => wire::unary(&answer),
        Err(failure) => failure.unary(),
    }
}

async fn lookup_invoice(State(lnd): Lnd, Path(hash): Path<String>) -> Response {
    let Ok(hash) = hash.parse::<PaymentHash>() else {
        return Failure::unknown("payment hash must be exactly 32 bytes").unary();
    };
    let state = lnd.dev.invoice(hash).await.unwrap();
    let invoices = lnd.invoices.lock().unwrap();
    let (Some(state), Some(made)) = (state, invoices.get(&hash)) else {
        return Failure::new(5, "unable to locate invoice").unary();
    };
    let (word, preimage, paid, accepted_s) = match state {
        InvoiceState::Open => ("OPEN", None, Msat::ZERO, None),
        InvoiceState::Held { until } => {
            ("ACCEPTED", None, made.amount, Some((until.0 - made.hold_ms) / 1_000))
        }
        InvoiceState::Paid { preimage } => ("SETTLED", Some(preimage), made.amount, None),
        InvoiceState::Cancelled | InvoiceState::Expired => ("CANCELED", None, Msat::ZERO, None),
    };
    wire::unary(&wire::invoice(&wire::Shown {
        hash,
        state: word,
        preimage,
        memo: &made.memo,
        bolt11: &made.bolt11,
        amount: made.amount,
        paid,
        created_s: made.created_s,
        expiry_s: made.expiry_s,
        cltv: made.cltv,
        add_index: made.add_index,
        accepted_s,
    }))
}

async fn settle_invoice(State(lnd): Lnd, body: Bytes) -> Response {
    let asked = match wire::read::<wire::SettleInvoice>(&body) {
        Ok(asked) => asked,
        Err(failure) => return failure.unary(),
    };
    match lnd.dev.settle(Preimage(asked.preimage)).await {
        Ok(()) => wire::unary(&json!({})),
        Err(SettleError::WrongPreimage(_)) => Failure::unknown("unable to locate invoice").unary(),
        Err(SettleError::NotPaidYet(_)) => Failure::unknown("invoice still open").unary(),
        Err(SettleError::WentBack(_)) => Failure::unknown("invoice already canceled").unary(),
        Err(SettleError::Unavailable(why)) => Failure::new(14, &why.to_string()).unary(),
    }
}

async fn cancel_invoice(State(lnd): Lnd, body: Bytes) -> Response {
    let asked = match wire::read::<wire::CancelInvoice>(&body) {
        Ok(asked) => asked,
        Err(failure) => return failure.unary(),
    };
    match lnd.dev.cancel(PaymentHash(asked.payment_hash)).await {
        Ok(()) => wire::unary(&json!({})),
        Err(CancelError::UnknownInvoice(_)) => Failure::unknown("unable to locate invoice").unary(),
        Err(CancelError::AlreadySettled(_)) => Failure::unknown("invoice already settled").unary(),
        Err(CancelError::Unavailable(why)) => Failure::new(14, &why.to_string()).unary(),
    }
}

async fn send_payment(State(lnd): Lnd, body: Bytes) -> Response {
    if lnd.takes(Fault::Send) {
        return cut_off();
    }
    match begin_payment(&lnd, &body).await {
        Ok(_) if lnd.takes(Fault::AnswerToSend) => cut_off(),
        Ok((hash, state)) => {
            // What LND tells first is that it has begun.
            let begun = lnd.payment_line(hash, PaymentState::InFlight);
            stream_of(vec![begun, lnd.payment_line(hash, state)], state)
        }
        Err(failure) => failure.stream(),
    }
}

async fn begin_payment(lnd: &StandIn, body: &Bytes) -> Result<(PaymentHash, PaymentState), Failure> {
    let asked = wire::read::<wire::SendPayment>(body)?;
    let invoice = bolt11::decode(&asked.payment_request).map_err(|e| Failure::unknown(&e.to_string()))?;
    let amount = match (invoice.amount, asked.amt_msat) {
        (Some(amount), 0) => amount,
        (Some(_), _) => {
            let why = "amount must not be specified when paying a non-zero amount invoice";
            return Err(Failure::unknown(why));
        }
        (None, 0) => {
            return Err(Failure::unknown("amount must be specified when paying a zero amount invoice"));
        }
        (None, asked) => Msat(asked),
    };
    let hash = invoice.payment_hash;
    match lnd.dev.payment(hash).await.unwrap() {
        Some(PaymentState::InFlight | PaymentState::Unknown) => {
            return Err(Failure::new(6, "payment is in transition"));
        }
        Some(PaymentState::Succeeded { .. }) => return Err(Failure::new(6, "invoice is already paid")),
        Some(PaymentState::Failed { .. }) | None => {}
    }
    let request =
        PayRequest { bolt11: asked.payment_request.clone(), amount, max_fee: Msat(asked.fee_limit_msat) };
    let state = lnd.dev.pay(request).await.map_err(|error| match error {
        PayError::Expired => Failure::unknown("invoice expired. Valid until 2025-06-15 15:06:40 +0000 UTC"),
        PayError::BadInvoice(_)
        | PayError::WrongNetwork { .. }
        | PayError::AmountMismatch { .. }
        | PayError::ZeroAmount => Failure::unknown(&error.to_string()),
        PayError::Unavailable(why) => Failure::new(14, &why.to_string()),
    })?;
    let mut begun = lnd.payments_begun.lock().unwrap();
    *begun += 1;
    let sent = Sent { index: *begun, bolt11: asked.payment_request, amount };
    lnd.payments.lock().unwrap().insert(hash, sent);
    Ok((hash, state))
}

async fn track_payment(State(lnd): Lnd, Path(hash): Path<String>) -> Response {
    let bytes = BASE64URL.decode(hash.as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let Some(hash) = bytes.map(PaymentHash) else {
        return Failure::new(3, "type mismatch, parameter: payment_hash").stream();
    };
    match lnd.dev.payment(hash).await.unwrap() {
        Some(state) => stream_of(vec![lnd.payment_line(hash, state)], state),
        None => Failure::new(5, "payment isn't initiated").stream(),
    }
}

/// Lines of a stream, which ends when the payment has.
fn stream_of(lines: Vec<Value>, state: PaymentState) -> Response {
    let is_final = match state {
        PaymentState::Succeeded { .. } | PaymentState::Failed { .. } => true,
        PaymentState::InFlight | PaymentState::Unknown => false,
    };
    let lines = lines
        .into_iter()
        .map(|line| Ok::<_, io::Error>(Bytes::from(format!("{}\n", json!({ "result": line })))));
    let lines = stream::iter(lines.collect::<Vec<_>>());
    let body =
        if is_final { Body::from_stream(lines) } else { Body::from_stream(lines.chain(stream::pending())) };
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The connection ends in the middle of the answer.
fn cut_off() -> Response {
    let broken = stream::iter([Err::<Bytes, _>(io::Error::other("the connection is cut"))]);
    (StatusCode::OK, Body::from_stream(broken)).into_response()
}
