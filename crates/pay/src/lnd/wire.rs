//! LND's REST interface as it looks on the wire: the fields that are used of `lnrpc`, `invoicesrpc` and `routerrpc`, as
//! <https://github.com/lightningnetwork/lnd/tree/master/lnrpc> publishes them.
//!
//! The gateway writes 64-bit integers as text, bytes in base64 and enums by name, and every field even when it is empty.

use crate::node::{FailureReason, Network, Preimage};
use data_encoding::{BASE64, HEXLOWER};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use serde::{Deserialize, Deserializer, Serialize, de};

/// `GET /v1/getinfo`.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    pub(super) identity_pubkey: String,
    #[serde(default)]
    pub(super) alias: String,
    pub(super) chains: Vec<Chain>,
}

/// The chain that a node is on.
#[derive(Debug, Deserialize)]
pub(super) struct Chain {
    pub(super) network: String,
}

impl Info {
    /// The node's network, or what it calls it.
    pub(super) fn network(&self) -> Result<Network, String> {
        match self.chains.first().map_or("", |chain| chain.network.as_str()) {
            "mainnet" => Ok(Network::Bitcoin),
            // Invoices of both look the same.
            "testnet" | "testnet4" => Ok(Network::Testnet),
            "signet" => Ok(Network::Signet),
            "regtest" => Ok(Network::Regtest),
            "simnet" => Ok(Network::Simnet),
            other => Err(other.to_owned()),
        }
    }
}

/// `GET /v1/balance/channels`.
#[derive(Debug, Deserialize)]
pub(super) struct ChannelBalance {
    pub(super) local_balance: Amount,
    /// Outgoing payments that are not decided; LND counts them as the other side's.
    pub(super) unsettled_remote_balance: Amount,
}

/// An amount.
#[derive(Debug, Deserialize)]
pub(super) struct Amount {
    #[serde(deserialize_with = "integer")]
    pub(super) msat: u64,
}

/// The body of `POST /v1/invoices` and, with a hash, of `POST /v2/invoices/hodl`.
#[derive(Debug, Serialize)]
pub(super) struct NewInvoice {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hash: Option<String>,
    pub(super) memo: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description_hash: Option<String>,
    pub(super) value_msat: String,
    pub(super) expiry: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cltv_expiry: Option<String>,
    pub(super) private: bool,
}

/// What both answer.
#[derive(Debug, Deserialize)]
pub(super) struct MadeInvoice {
    pub(super) payment_request: String,
}

/// `GET /v1/invoice/{hash in hex}`.
#[derive(Debug, Deserialize)]
pub(super) struct Invoice {
    pub(super) state: InvoiceState,
    pub(super) payment_request: String,
    #[serde(deserialize_with = "integer")]
    pub(super) value_msat: u64,
    #[serde(default)]
    r_preimage: String,
    #[serde(default, deserialize_with = "integer")]
    amt_paid_msat: u64,
    #[serde(default)]
    htlcs: Vec<InvoiceHtlc>,
}

/// What LND says of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum InvoiceState {
    Open,
    Accepted,
    Settled,
    Canceled,
}

/// A part of a payment that arrived.
#[derive(Debug, Deserialize)]
struct InvoiceHtlc {
    state: InvoiceHtlcState,
    /// In seconds.
    #[serde(deserialize_with = "integer")]
    accept_time: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum InvoiceHtlcState {
    Accepted,
    Settled,
    Canceled,
}

/// An invoice as LND sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeenInvoice {
    Open,
    /// All of it has arrived, the last part at this time, by LND's clock.
    Accepted {
        amount: Msat,
        at: TimeMs,
    },
    Settled {
        amount: Msat,
        preimage: Preimage,
    },
    Canceled,
}

impl Invoice {
    /// What it says in short; an error in words where it makes no sense.
    pub(super) fn seen(&self, hash: PaymentHash) -> Result<SeenInvoice, String> {
        let amount = Msat(self.amt_paid_msat);
        match self.state {
            InvoiceState::Open => Ok(SeenInvoice::Open),
            InvoiceState::Canceled => Ok(SeenInvoice::Canceled),
            InvoiceState::Accepted => {
                let accepted = self.htlcs.iter().filter(|htlc| htlc.state == InvoiceHtlcState::Accepted);
                let last = accepted.map(|htlc| htlc.accept_time).max();
                let last = last.ok_or("an accepted invoice without a payment")?;
                // It counts whole seconds; the last one may have been nearly over.
                Ok(SeenInvoice::Accepted { amount, at: TimeMs(last.saturating_add(1).saturating_mul(1_000)) })
            }
            InvoiceState::Settled => {
                let preimage = bytes32(BASE64.decode(self.r_preimage.as_bytes()).ok()).map(Preimage);
                let preimage = preimage.filter(|preimage| preimage.payment_hash() == hash);
                let preimage = preimage.ok_or("a settled invoice without its preimage")?;
                Ok(SeenInvoice::Settled { amount, preimage })
            }
        }
    }
}

/// The body of `POST /v2/invoices/settle`.
#[derive(Serialize)]
pub(super) struct SettleInvoice {
    pub(super) preimage: String,
}

/// The body of `POST /v2/invoices/cancel`.
#[derive(Debug, Serialize)]
pub(super) struct CancelInvoice {
    pub(super) payment_hash: String,
}

/// An answer without fields.
#[derive(Debug, Deserialize)]
pub(super) struct Empty {}

/// The body of `POST /v2/router/send`.
#[derive(Debug, Serialize)]
pub(super) struct SendPayment {
    pub(super) payment_request: String,
    /// Only for an invoice that names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amt_msat: Option<String>,
    pub(super) fee_limit_msat: String,
    /// How long LND looks for ways, not how long a payment may be under way.
    pub(super) timeout_seconds: u32,
}

/// A line of the answers of `POST /v2/router/send` and `GET /v2/router/track/{hash in base64url}`.
#[derive(Debug, Deserialize)]
pub(super) struct Payment {
    status: PaymentStatus,
    #[serde(default)]
    payment_preimage: String,
    #[serde(default, deserialize_with = "signed")]
    fee_msat: i64,
    #[serde(default, deserialize_with = "integer")]
    payment_index: u64,
    #[serde(default)]
    failure_reason: PaymentFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum PaymentStatus {
    Unknown,
    Initiated,
    InFlight,
    Succeeded,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum PaymentFailure {
    #[default]
    #[serde(rename = "FAILURE_REASON_NONE")]
    None,
    #[serde(rename = "FAILURE_REASON_TIMEOUT")]
    Timeout,
    #[serde(rename = "FAILURE_REASON_NO_ROUTE")]
    NoRoute,
    #[serde(rename = "FAILURE_REASON_ERROR")]
    Error,
    #[serde(rename = "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS")]
    IncorrectPaymentDetails,
    #[serde(rename = "FAILURE_REASON_INSUFFICIENT_BALANCE")]
    InsufficientBalance,
    #[serde(rename = "FAILURE_REASON_CANCELED")]
    Canceled,
}

/// A payment as LND sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeenPayment {
    /// Which try it is: LND counts all payments, and a hash that failed and is tried again gets a new number.
    pub(super) index: u64,
    pub(super) status: SeenStatus,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeenStatus {
    InFlight,
    Succeeded {
        preimage: Preimage,
        fee: Msat,
    },
    Failed {
        reason: FailureReason,
    },
    /// LND itself cannot say.
    Unknown,
}

impl Payment {
    /// What it says in short; an error in words where it makes no sense.
    pub(super) fn seen(&self, hash: PaymentHash) -> Result<SeenPayment, String> {
        let status = match self.status {
            PaymentStatus::Unknown => SeenStatus::Unknown,
            PaymentStatus::Initiated | PaymentStatus::InFlight => SeenStatus::InFlight,
            PaymentStatus::Failed => SeenStatus::Failed { reason: self.failure_reason.meaning() },
            PaymentStatus::Succeeded => {
                let preimage = bytes32(HEXLOWER.decode(self.payment_preimage.as_bytes()).ok()).map(Preimage);
                let preimage = preimage.filter(|preimage| preimage.payment_hash() == hash);
                let preimage = preimage.ok_or("a payment that succeeded without its preimage")?;
                let fee = u64::try_from(self.fee_msat).map_err(|_| "a fee below zero")?;
                SeenStatus::Succeeded { preimage, fee: Msat(fee) }
            }
        };
        Ok(SeenPayment { index: self.payment_index, status })
    }
}

impl PaymentFailure {
    /// A payee that refuses and one that let a hold expire give the same answer. LND also calls it a timeout when it ran out
    /// of time to look for ways, and no route when every way costs more than allowed.
    fn meaning(self) -> FailureReason {
        match self {
            PaymentFailure::IncorrectPaymentDetails => FailureReason::Rejected,
            PaymentFailure::InsufficientBalance => FailureReason::InsufficientBalance,
            PaymentFailure::None
            | PaymentFailure::Timeout
            | PaymentFailure::NoRoute
            | PaymentFailure::Error
            | PaymentFailure::Canceled => FailureReason::NoRoute,
        }
    }
}

/// A line of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamLine<T> {
    pub(super) result: Option<T>,
    pub(super) error: Option<Status>,
}

/// What the gateway says instead of an answer (`google.rpc.Status`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) code: i32,
    pub(super) message: String,
}

/// Bytes as they stand in a body.
pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

fn bytes32(bytes: Option<Vec<u8>>) -> Option<[u8; 32]> {
    bytes?.try_into().ok()
}

/// An integer as text; JSON's own are taken, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Integer {
    Text(String),
    Number(i64),
}

fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    match Integer::deserialize(deserializer)? {
        Integer::Text(text) => text.parse().map_err(de::Error::custom),
        Integer::Number(number) => Ok(number),
    }
}

fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    u64::try_from(signed(deserializer)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests;
