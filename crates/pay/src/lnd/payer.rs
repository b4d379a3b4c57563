//! Payments. LND knows a payment by its hash and refuses a second one while the first is under way or has succeeded. That,
//! and an intent that is written down first, is what at most once rests on.
//!
//! A request whose answer is lost may still be on its way to LND, and LND would try a payment again that has failed. So after
//! a lost answer a payment is called failed only when LND shows the failure of that very try, or when the invoice has expired:
//! LND takes on no payment of an expired invoice, however late the request arrives.

use super::{
    core::Core,
    records::{Attempt, PaymentRecord},
    rest::CallError,
    wire::{self, SeenPayment, SeenStatus},
};
use crate::{
    bolt11::{self, Bolt11},
    node::{FailureReason, NodeEvent, PayError, PayRequest, PaymentState, Unavailable},
};
use data_encoding::BASE64URL;
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use std::sync::Arc;

/// How long LND may look for ways.
const LOOKS_FOR_WAYS_S: u32 = 60;
/// By how much LND's clock may be behind ours.
const CLOCK_MARGIN_MS: u64 = 600_000;
/// After so long without a trace of it at LND, a payment is sent again. Longer than any request takes.
const SEND_AGAIN_AFTER_MS: u64 = 60_000;

impl Core {
    pub(super) async fn pay(self: &Arc<Core>, request: PayRequest) -> Result<PaymentState, PayError> {
        let invoice = bolt11::decode(&request.bolt11)?;
        let hash = invoice.payment_hash;
        let before = self.records(move |turn| Ok(turn.payment(hash))).await?;
        // Before anything else: a caller that asks again must learn what became of it, expired or not.
        let after = match &before {
            None => 0,
            Some(PaymentRecord::Failed { index, .. }) => *index,
            Some(_) => return Ok(self.payment(hash).await?.unwrap_or(PaymentState::Unknown)),
        };
        self.refuse(&invoice, request.amount)?;
        let attempt = Attempt {
            bolt11: request.bolt11,
            amount: request.amount,
            max_fee: request.max_fee,
            begun_at: self.now(),
            expires_at: invoice.expires_at,
            after,
            has_stray: false,
        };
        let (intended, expected) = (attempt.clone(), before.clone());
        let is_ours = self
            .records(move |turn| {
                let is_ours = turn.payment(hash) == expected;
                if is_ours {
                    turn.put_payment(hash, PaymentRecord::Sending(intended));
                }
                Ok(is_ours)
            })
            .await?;
        // Somebody else began the same payment in this moment.
        if !is_ours {
            return Ok(self.payment(hash).await?.unwrap_or(PaymentState::Unknown));
        }
        match self.send(&attempt).await {
            Ok(payment) => Ok(self.observe(hash, Some(payment)).await?),
            Err(error) if error.is_before_anything() => {
                self.take_back(hash, before).await?;
                Err(Unavailable::from(error).into())
            }
            Err(CallError::Refused(status)) => Ok(self.refused(hash, &attempt, &status.message).await?),
            Err(error) => Err(Unavailable::from(error).into()),
        }
    }

    pub(super) async fn payment(
        self: &Arc<Core>,
        hash: PaymentHash,
    ) -> Result<Option<PaymentState>, Unavailable> {
        match self.records(move |turn| Ok(turn.payment(hash))).await? {
            Some(PaymentRecord::Succeeded { preimage, fee }) => {
                Ok(Some(PaymentState::Succeeded { preimage, fee }))
            }
            Some(PaymentRecord::Failed { reason, .. }) => Ok(Some(PaymentState::Failed { reason })),
            Some(PaymentRecord::Sending(_) | PaymentRecord::Taken(_)) => {
                let payment = self.track(hash).await?;
                self.observe(hash, payment).await.map(Some)
            }
            // Perhaps LND was asked by others, or the records were lost.
            None => match self.track(hash).await? {
                Some(payment) => seen(hash, &payment).map(|seen| Some(seen.state())),
                None => Ok(None),
            },
        }
    }

    fn refuse(&self, invoice: &Bolt11, asked: Msat) -> Result<(), PayError> {
        if invoice.network != self.info.network {
            return Err(PayError::WrongNetwork { invoice: invoice.network, node: self.info.network });
        }
        if self.now() >= invoice.expires_at {
            return Err(PayError::Expired);
        }
        if asked == Msat::ZERO {
            return Err(PayError::ZeroAmount);
        }
        match invoice.amount {
            Some(amount) if amount != asked => Err(PayError::AmountMismatch { invoice: amount, asked }),
            Some(_) | None => Ok(()),
        }
    }

    /// Hands a payment to LND. It goes on when the connection is left.
    async fn send(&self, attempt: &Attempt) -> Result<wire::Payment, CallError> {
        let names_amount = bolt11::decode(&attempt.bolt11).is_ok_and(|invoice| invoice.amount.is_some());
        let body = wire::SendPayment {
            payment_request: attempt.bolt11.clone(),
            amt_msat: (!names_amount).then(|| attempt.amount.0.to_string()),
            fee_limit_msat: attempt.max_fee.0.to_string(),
            timeout_seconds: LOOKS_FOR_WAYS_S,
        };
        self.rest.first_after("/v2/router/send", &body).await
    }

    /// A payment as LND has it.
    async fn track(&self, hash: PaymentHash) -> Result<Option<wire::Payment>, Unavailable> {
        let path = format!("/v2/router/track/{}", BASE64URL.encode(&hash.0));
        match self.rest.first_of(&path).await {
            Ok(payment) => Ok(Some(payment)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// LND refused to take a payment on. Either it has it already, or nothing was begun.
    async fn refused(
        self: &Arc<Core>,
        hash: PaymentHash,
        attempt: &Attempt,
        message: &str,
    ) -> Result<PaymentState, Unavailable> {
        let payment = self.track(hash).await?;
        let seen = payment.as_ref().map(|payment| seen(hash, payment)).transpose()?;
        let is_there = attempt.of_this_try(seen, false).is_some();
        if is_there || attempt.has_stray {
            return self.observe(hash, payment).await;
        }
        tracing::warn!(%hash, reason = message, "LND does not take a payment on");
        let (reason, index) = (FailureReason::NoRoute, attempt.after);
        self.records(move |turn| {
            if turn.payment(hash).is_some_and(|record| record.attempt().is_some()) {
                turn.put_payment(hash, PaymentRecord::Failed { reason, index });
                turn.tell(NodeEvent::PaymentFailed { payment_hash: hash, reason });
            }
            Ok(())
        })
        .await?;
        Ok(PaymentState::Failed { reason })
    }

    /// Nothing was sent: the record is as it was.
    async fn take_back(
        self: &Arc<Core>,
        hash: PaymentHash,
        before: Option<PaymentRecord>,
    ) -> Result<(), Unavailable> {
        self.records(move |turn| {
            match before {
                Some(before) => turn.put_payment(hash, before),
                None => turn.forget_payment(hash),
            }
            Ok(())
        })
        .await
    }

    /// Writes down what LND says of a payment, and says what that means.
    async fn observe(
        self: &Arc<Core>,
        hash: PaymentHash,
        payment: Option<wire::Payment>,
    ) -> Result<PaymentState, Unavailable> {
        let seen = payment.map(|payment| seen(hash, &payment)).transpose()?;
        let now = self.now();
        self.records(move |turn| {
            let Some(record) = turn.payment(hash) else {
                return Ok(seen.map_or(PaymentState::Unknown, |seen| seen.state()));
            };
            let Some(after) = record.after(seen, now) else { return Ok(record.state(seen)) };
            if let Some(event) = after.event(hash) {
                turn.tell(event);
            }
            turn.put_payment(hash, after.clone());
            Ok(after.state(seen))
        })
        .await
    }

    /// Looks at a payment that nobody knows the end of, and sends it again if LND shows no trace of it.
    pub(super) async fn mend(self: &Arc<Core>, hash: PaymentHash) -> Result<(), Unavailable> {
        self.payment(hash).await?;
        let now = self.now();
        let attempt = self
            .records(move |turn| {
                let Some(PaymentRecord::Sending(attempt)) = turn.payment(hash) else { return Ok(None) };
                let is_time = now.since(attempt.begun_at) >= SEND_AGAIN_AFTER_MS && now < attempt.expires_at;
                if !is_time {
                    return Ok(None);
                }
                let again = Attempt { begun_at: now, has_stray: true, ..attempt };
                turn.put_payment(hash, PaymentRecord::Sending(again.clone()));
                Ok(Some(again))
            })
            .await?;
        let Some(attempt) = attempt else { return Ok(()) };
        match self.send(&attempt).await {
            Ok(payment) => self.observe(hash, Some(payment)).await.map(|_| ()),
            Err(CallError::Refused(status)) => {
                self.refused(hash, &attempt, &status.message).await.map(|_| ())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn seen(hash: PaymentHash, payment: &wire::Payment) -> Result<SeenPayment, Unavailable> {
    payment.seen(hash).map_err(|why| Unavailable(format!("LND says of payment {hash}: {why}")))
}

impl SeenPayment {
    fn state(self) -> PaymentState {
        match self.status {
            SeenStatus::InFlight => PaymentState::InFlight,
            SeenStatus::Succeeded { preimage, fee } => PaymentState::Succeeded { preimage, fee },
            SeenStatus::Failed { reason } => PaymentState::Failed { reason },
            SeenStatus::Unknown => PaymentState::Unknown,
        }
    }
}

impl Attempt {
    /// From when on LND takes no request for it on.
    fn dead_at(&self) -> TimeMs {
        self.expires_at.plus(CLOCK_MARGIN_MS)
    }

    /// What LND says of this try; `None` while it shows only the one before, which failed. Once LND has taken this one on,
    /// it is all that LND shows, under a new number or the old one.
    fn of_this_try(&self, seen: Option<SeenPayment>, was_taken: bool) -> Option<SeenPayment> {
        seen.filter(|seen| match seen.status {
            SeenStatus::Failed { .. } => was_taken || seen.index != self.after,
            SeenStatus::InFlight | SeenStatus::Succeeded { .. } | SeenStatus::Unknown => true,
        })
    }
}

impl PaymentRecord {
    /// What becomes of it when LND is seen to say this; `None` when nothing does.
    fn after(&self, seen: Option<SeenPayment>, now: TimeMs) -> Option<PaymentRecord> {
        let attempt = self.attempt()?;
        let was_taken = matches!(self, PaymentRecord::Taken(_));
        match attempt.of_this_try(seen, was_taken) {
            Some(SeenPayment { status: SeenStatus::Succeeded { preimage, fee }, .. }) => {
                Some(PaymentRecord::Succeeded { preimage, fee })
            }
            Some(SeenPayment { status: SeenStatus::Failed { reason }, index }) => {
                let is_over = !attempt.has_stray || now >= attempt.dead_at();
                is_over.then_some(PaymentRecord::Failed { reason, index })
            }
            Some(SeenPayment { status: SeenStatus::InFlight, .. }) => {
                (!was_taken).then(|| PaymentRecord::Taken(attempt.clone()))
            }
            Some(SeenPayment { status: SeenStatus::Unknown, .. }) => None,
            // What LND had and has no more was deleted there; how it ended, nobody can say.
            None if was_taken => None,
            None => (now >= attempt.dead_at())
                .then_some(PaymentRecord::Failed { reason: FailureReason::NoRoute, index: attempt.after }),
        }
    }

    fn state(&self, seen: Option<SeenPayment>) -> PaymentState {
        match self {
            PaymentRecord::Succeeded { preimage, fee } => {
                PaymentState::Succeeded { preimage: *preimage, fee: *fee }
            }
            PaymentRecord::Failed { reason, .. } => PaymentState::Failed { reason: *reason },
            PaymentRecord::Sending(_) | PaymentRecord::Taken(_) => match seen.map(|seen| seen.status) {
                Some(SeenStatus::InFlight) => PaymentState::InFlight,
                Some(SeenStatus::Succeeded { .. } | SeenStatus::Failed { .. } | SeenStatus::Unknown)
                | None => PaymentState::Unknown,
            },
        }
    }

    fn event(&self, hash: PaymentHash) -> Option<NodeEvent> {
        match self {
            PaymentRecord::Succeeded { fee, .. } => {
                Some(NodeEvent::PaymentSucceeded { payment_hash: hash, fee: *fee })
            }
            PaymentRecord::Failed { reason, .. } => {
                Some(NodeEvent::PaymentFailed { payment_hash: hash, reason: *reason })
            }
            PaymentRecord::Sending(_) | PaymentRecord::Taken(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
