//! A Lightning node of play money, kept by a market for whoever knows its secret.

use super::{ClientError, Market, REQUEST_TIMEOUT};
use market::{
    id::{Digest, PaymentHash},
    units::Msat,
};
use pay::{
    CancelError, EventCursor, Invoice, InvoiceError, InvoiceRequest, InvoiceState, LightningNode,
    NodeBalance, NodeEvent, NodeFuture, NodeInfo, PayError, PayRequest, PaymentState, Preimage, SettleError,
    Unavailable,
    dev::{Answer, Call},
};
use reqwest::Method;
use serde_json::json;
use std::fmt;

/// How long an invoice of [`DevWallet::fund`] can be paid, in milliseconds.
const FUNDING_LIFETIME_MS: u64 = 600_000;

/// A node in the play-money network of a market, used over HTTP. Its money is worth nothing, and the market that keeps it
/// could take it: it is for trying things.
///
/// A call is sent once. No answer is [`Unavailable`], and the call may have been taken: whoever pays has rules for that.
#[derive(Clone)]
pub struct DevWallet {
    market: Market,
    secret: Digest,
}

impl fmt::Debug for DevWallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevWallet(play money at {})", self.market.address())
    }
}

/// Why a wallet got no play money.
#[derive(Debug, thiserror::Error)]
pub enum FundError {
    /// It made no invoice.
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
    /// The market did not pay it.
    #[error(transparent)]
    Market(#[from] ClientError),
}

impl DevWallet {
    /// The wallet that this secret names, a new one if there is none. Only markets with dev payments have any.
    pub fn new(market: Market, secret: [u8; 32]) -> DevWallet {
        DevWallet { market, secret: Digest(secret) }
    }

    /// Has the market pay play money into the wallet.
    pub async fn fund(&self, amount: Msat) -> Result<(), FundError> {
        let request =
            InvoiceRequest { amount, description: "play money".into(), expires_in_ms: FUNDING_LIFETIME_MS };
        let invoice = self.create_invoice(request).await?;
        self.market.dev_pay(&invoice.bolt11).await?;
        Ok(())
    }

    async fn ask(&self, call: Call) -> Result<Answer, Unavailable> {
        let body = json!({ "wallet": self.secret, "call": call });
        let request =
            self.market.request(Method::POST, "/v1/dev/lightning", None).timeout(REQUEST_TIMEOUT).json(&body);
        let answer = async { self.market.decode(self.market.attempt(request).await?).await };
        answer.await.map_err(|error: ClientError| Unavailable(error.to_string()))
    }
}

/// Asks, and takes the one answer that belongs to the call.
macro_rules! ask {
    ($wallet:expr, $call:expr, $answer:ident) => {
        Box::pin(async move {
            match $wallet.ask($call).await? {
                Answer::$answer(result) => result,
                other => Err(Unavailable(format!("it answered something else: {other:?}")).into()),
            }
        })
    };
}

impl LightningNode for DevWallet {
    fn info(&self) -> NodeFuture<'_, NodeInfo, Unavailable> {
        ask!(self, Call::Info, Info)
    }

    fn create_invoice(&self, request: InvoiceRequest) -> NodeFuture<'_, Invoice, InvoiceError> {
        ask!(self, Call::CreateInvoice(request), Created)
    }

    fn create_hold_invoice(
        &self,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: InvoiceRequest,
    ) -> NodeFuture<'_, Invoice, InvoiceError> {
        ask!(self, Call::CreateHoldInvoice { payment_hash, hold_ms, request }, Created)
    }

    fn settle(&self, preimage: Preimage) -> NodeFuture<'_, (), SettleError> {
        ask!(self, Call::Settle(preimage), Settled)
    }

    fn cancel(&self, payment_hash: PaymentHash) -> NodeFuture<'_, (), CancelError> {
        ask!(self, Call::Cancel(payment_hash), Cancelled)
    }

    fn invoice(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<InvoiceState>, Unavailable> {
        ask!(self, Call::Invoice(payment_hash), Invoice)
    }

    fn pay(&self, request: PayRequest) -> NodeFuture<'_, PaymentState, PayError> {
        ask!(self, Call::Pay(request), Paid)
    }

    fn payment(&self, payment_hash: PaymentHash) -> NodeFuture<'_, Option<PaymentState>, Unavailable> {
        ask!(self, Call::Payment(payment_hash), Payment)
    }

    fn balance(&self) -> NodeFuture<'_, NodeBalance, Unavailable> {
        ask!(self, Call::Balance, Balance)
    }

    fn events(
        &self,
        after: EventCursor,
        limit: usize,
    ) -> NodeFuture<'_, Vec<(EventCursor, NodeEvent)>, Unavailable> {
        ask!(self, Call::Events { after, limit }, Events)
    }
}
