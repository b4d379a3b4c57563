//! The methods of [`LightningNode`] as data, so that a node of a dev network can be used from another process.

use crate::node::{
    CancelError, EventCursor, Invoice, InvoiceError, InvoiceRequest, InvoiceState, LightningNode,
    NodeBalance, NodeEvent, NodeInfo, PayError, PayRequest, PaymentState, Preimage, SettleError, Unavailable,
};
use market::id::PaymentHash;
use serde::{Deserialize, Serialize};

/// The most events of one answer.
const EVENTS_MAX: usize = 1_000;

/// A call of a method of [`LightningNode`], each with what it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// [`LightningNode::info`].
    Info,
    /// [`LightningNode::create_invoice`].
    CreateInvoice(InvoiceRequest),
    /// [`LightningNode::create_hold_invoice`].
    CreateHoldInvoice {
        /// The hash that it is on.
        payment_hash: PaymentHash,
        /// How long a payment is held, in milliseconds.
        hold_ms: u64,
        /// What it says.
        request: InvoiceRequest,
    },
    /// [`LightningNode::settle`].
    Settle(Preimage),
    /// [`LightningNode::cancel`].
    Cancel(PaymentHash),
    /// [`LightningNode::invoice`].
    Invoice(PaymentHash),
    /// [`LightningNode::pay`].
    Pay(PayRequest),
    /// [`LightningNode::payment`].
    Payment(PaymentHash),
    /// [`LightningNode::balance`].
    Balance,
    /// [`LightningNode::events`].
    Events {
        /// Only those after this one.
        after: EventCursor,
        /// At most so many; no more than 1 000 in any case.
        limit: usize,
    },
}

/// What a [`Call`] gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Call::Info`].
    Info(Result<NodeInfo, Unavailable>),
    /// To [`Call::CreateInvoice`] and [`Call::CreateHoldInvoice`].
    Created(Result<Invoice, InvoiceError>),
    /// To [`Call::Settle`].
    Settled(Result<(), SettleError>),
    /// To [`Call::Cancel`].
    Cancelled(Result<(), CancelError>),
    /// To [`Call::Invoice`].
    Invoice(Result<Option<InvoiceState>, Unavailable>),
    /// To [`Call::Pay`].
    Paid(Result<PaymentState, PayError>),
    /// To [`Call::Payment`].
    Payment(Result<Option<PaymentState>, Unavailable>),
    /// To [`Call::Balance`].
    Balance(Result<NodeBalance, Unavailable>),
    /// To [`Call::Events`].
    Events(Result<Vec<(EventCursor, NodeEvent)>, Unavailable>),
}

impl Call {
    /// Makes the call at a node.
    pub async fn make(self, node: &dyn LightningNode) -> Answer {
        match self {
            Call::Info => Answer::Info(node.info().await),
            Call::CreateInvoice(request) => Answer::Created(node.create_invoice(request).await),
            Call::CreateHoldInvoice { payment_hash, hold_ms, request } => {
                Answer::Created(node.create_hold_invoice(payment_hash, hold_ms, request).await)
            }
            Call::Settle(preimage) => Answer::Settled(node.settle(preimage).await),
            Call::Cancel(payment_hash) => Answer::Cancelled(node.cancel(payment_hash).await),
            Call::Invoice(payment_hash) => Answer::Invoice(node.invoice(payment_hash).await),
            Call::Pay(request) => Answer::Paid(node.pay(request).await),
            Call::Payment(payment_hash) => Answer::Payment(node.payment(payment_hash).await),
            Call::Balance => Answer::Balance(node.balance().await),
            Call::Events { after, limit } => Answer::Events(node.events(after, limit.min(EVENTS_MAX)).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dev::tests::{Bed, now},
        node::FailureReason,
    };
    use market::units::Msat;

    /// As it arrives on the other side.
    fn sent<T: Serialize + for<'a> Deserialize<'a>>(value: &T) -> T {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }

    #[test]
    fn a_call_that_travelled_is_answered_as_the_method_is() {
        let bed = Bed::new();
        let request =
            InvoiceRequest { amount: Msat(1_000_000), description: "test".into(), expires_in_ms: 60_000 };
        let calls = [
            Call::Info,
            Call::CreateInvoice(request.clone()),
            Call::CreateHoldInvoice { payment_hash: PaymentHash([1; 32]), hold_ms: 5, request },
            Call::Settle(Preimage([2; 32])),
            Call::Cancel(PaymentHash([3; 32])),
            Call::Invoice(PaymentHash([1; 32])),
            Call::Pay(PayRequest { bolt11: "lnbcrt".into(), amount: Msat(1), max_fee: Msat(0) }),
            Call::Payment(PaymentHash([3; 32])),
            Call::Balance,
            Call::Events { after: EventCursor(u64::MAX), limit: 1 },
        ];
        for call in calls {
            assert_eq!(sent(&call), call);
            let answer = now(call.make(&bed.bob));
            assert_eq!(sent(&answer), answer);
        }
        let failed = Answer::Paid(Ok(PaymentState::Failed { reason: FailureReason::NoRoute }));
        assert_eq!(sent(&failed), failed);
    }
}
