//! The stand-in's side of the wire: every field that LND 0.21 writes, empty or not, and none that it does not know.

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use data_encoding::{BASE64, BASE64URL};
use market::{id::PaymentHash, units::Msat};
use pay::{FailureReason, Preimage};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};

/// An error of the gateway.
#[derive(Debug)]
pub(crate) struct Failure {
    code: i32,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: i32, message: &str) -> Failure {
        Failure { code, message: message.to_owned() }
    }

    /// What an error of LND without a code becomes.
    pub(crate) fn unknown(message: &str) -> Failure {
        Failure::new(2, message)
    }

    fn http(&self) -> StatusCode {
        match self.code {
            3 => StatusCode::BAD_REQUEST,
            5 => StatusCode::NOT_FOUND,
            6 => StatusCode::CONFLICT,
            14 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn status(&self) -> Value {
        json!({ "code": self.code, "message": self.message, "details": [] })
    }

    pub(crate) fn unary(&self) -> Response {
        (self.http(), [(CONTENT_TYPE, "application/json")], self.status().to_string()).into_response()
    }

    /// Before the first line of a stream.
    pub(crate) fn stream(&self) -> Response {
        let body = json!({ "error": self.status() }).to_string();
        (self.http(), [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

pub(crate) fn unary(answer: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// A body as the gateway reads it: a field that it does not know is an error.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::new(3, &error.to_string()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvoice {
    #[serde(default, deserialize_with = "some_bytes")]
    pub(crate) hash: Option<[u8; 32]>,
    #[serde(default)]
    pub(crate) memo: String,
    #[serde(default, deserialize_with = "some_bytes", rename = "description_hash")]
    _description_hash: Option<[u8; 32]>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) value_msat: u64,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) expiry: u64,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) cltv_expiry: u64,
    #[serde(default, rename = "private")]
    _private: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettleInvoice {
    #[serde(deserialize_with = "bytes")]
    pub(crate) preimage: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelInvoice {
    #[serde(deserialize_with = "bytes")]
    pub(crate) payment_hash: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendPayment {
    pub(crate) payment_request: String,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) amt_msat: u64,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) fee_limit_msat: u64,
    #[serde(default, rename = "timeout_seconds")]
    _timeout_seconds: i32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Integer {
    Text(String),
    Number(u64),
}

fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Integer::deserialize(deserializer)? {
        Integer::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Integer::Number(number) => Ok(number),
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = BASE64.decode(text.as_bytes()).or_else(|_| BASE64URL.decode(text.as_bytes()));
    let wrong = || serde::de::Error::custom("no 32 bytes in base64");
    read.ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 32]>, D::Error> {
    bytes(deserializer).map(Some)
}

/// LND tells less apart than the dev network.
pub(crate) fn failure_reason(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::NoRoute | FailureReason::FeeTooHigh => "FAILURE_REASON_NO_ROUTE",
        FailureReason::InsufficientBalance => "FAILURE_REASON_INSUFFICIENT_BALANCE",
        FailureReason::Rejected | FailureReason::TimedOut => "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS",
    }
}

pub(crate) fn info(key: &str, alias: &str, network: &str) -> Value {
    json!({
        "version": "0.21.0-beta commit=v0.21.0-beta", "commit_hash": "", "identity_pubkey": key, "alias": alias,
        "color": "#3399ff", "num_pending_channels": 0, "num_active_channels": 1, "num_inactive_channels": 0,
        "num_peers": 1, "block_height": 800_000, "block_hash": "", "best_header_timestamp": "1750000000",
        "synced_to_chain": true, "synced_to_graph": true, "testnet": false,
        "chains": [{ "chain": "bitcoin", "network": network }], "uris": [], "features": {},
        "require_htlc_interceptor": false, "store_final_htlc_resolutions": false, "wallet_synced": true,
    })
}

pub(crate) fn balance(local: Msat, outgoing: Msat) -> Value {
    let amount = |msat: u64| json!({ "sat": (msat / 1_000).to_string(), "msat": msat.to_string() });
    json!({
        "balance": (local.0 / 1_000).to_string(), "pending_open_balance": "0",
        "local_balance": amount(local.0), "remote_balance": amount(50_000_000),
        "unsettled_local_balance": amount(0), "unsettled_remote_balance": amount(outgoing.0),
        "pending_open_local_balance": amount(0), "pending_open_remote_balance": amount(0),
        "custom_channel_data": "",
    })
}

/// What an invoice shows.
pub(crate) struct Shown<'a> {
    pub(crate) hash: PaymentHash,
    pub(crate) state: &'a str,
    pub(crate) preimage: Option<Preimage>,
    pub(crate) memo: &'a str,
    pub(crate) bolt11: &'a str,
    pub(crate) amount: Msat,
    pub(crate) paid: Msat,
    pub(crate) created_s: u64,
    pub(crate) expiry_s: u64,
    pub(crate) cltv: u64,
    pub(crate) add_index: u64,
    pub(crate) accepted_s: Option<u64>,
}

pub(crate) fn invoice(shown: &Shown<'_>) -> Value {
    let htlcs: Vec<Value> = shown.accepted_s.map_or(Vec::new(), |accepted_s| {
        vec![json!({
            "chan_id": "879609302220801", "htlc_index": "0", "amt_msat": shown.paid.0.to_string(),
            "accept_height": 800_000, "accept_time": accepted_s.to_string(), "resolve_time": "0",
            "expiry_height": 800_000 + shown.cltv, "state": "ACCEPTED", "custom_records": {},
            "mpp_total_amt_msat": shown.paid.0.to_string(), "amp": null, "custom_channel_data": "",
        })]
    });
    json!({
        "memo": shown.memo,
        "r_preimage": shown.preimage.map_or(String::new(), |preimage| BASE64.encode(&preimage.0)),
        "r_hash": BASE64.encode(&shown.hash.0),
        "value": (shown.amount.0 / 1_000).to_string(), "value_msat": shown.amount.0.to_string(),
        "settled": shown.state == "SETTLED", "creation_date": shown.created_s.to_string(), "settle_date": "0",
        "payment_request": shown.bolt11, "description_hash": "", "expiry": shown.expiry_s.to_string(),
        "fallback_addr": "", "cltv_expiry": shown.cltv.to_string(), "route_hints": [], "private": false,
        "add_index": shown.add_index.to_string(), "settle_index": "0", "amt_paid": shown.paid.0.to_string(),
        "amt_paid_sat": (shown.paid.0 / 1_000).to_string(), "amt_paid_msat": shown.paid.0.to_string(),
        "state": shown.state, "htlcs": htlcs, "features": {}, "is_keysend": false,
        "payment_addr": BASE64.encode(&[7; 32]), "is_amp": false, "amp_invoice_state": {}, "is_blinded": false,
        "blinded_path_config": null,
    })
}

#[expect(clippy::too_many_arguments, reason = "one for each field that changes")]
pub(crate) fn payment(
    hash: PaymentHash,
    amount: Msat,
    bolt11: &str,
    status: &str,
    preimage: &str,
    fee: Msat,
    index: u64,
    reason: &str,
) -> Value {
    json!({
        "payment_hash": hash.to_string(), "value": (amount.0 / 1_000).to_string(), "creation_date": "1750000000",
        "fee": (fee.0 / 1_000).to_string(), "payment_preimage": preimage,
        "value_sat": (amount.0 / 1_000).to_string(), "value_msat": amount.0.to_string(),
        "payment_request": bolt11, "status": status, "fee_sat": (fee.0 / 1_000).to_string(),
        "fee_msat": fee.0.to_string(), "creation_time_ns": "1750000000000000000", "htlcs": [],
        "payment_index": index.to_string(), "failure_reason": reason, "first_hop_custom_records": {},
    })
}
