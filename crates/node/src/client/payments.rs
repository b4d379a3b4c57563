//! Money that is on its way: followed until it has arrived, or has not.

use super::{ClientError, Market};
use crate::api::{EventCursor, TopupPhase, TopupView, WithdrawalPhase, WithdrawalView};
use futures_util::StreamExt;
use market::{
    event::Event,
    id::{TopupId, WithdrawalId},
    key::SecretKey,
};
use std::pin::pin;

impl Market {
    /// Waits until a top-up can be paid, or has ended.
    pub async fn until_invoiced(&self, secret: &SecretKey, topup: TopupId) -> Result<TopupView, ClientError> {
        self.until_topup(secret, topup, |phase| phase != TopupPhase::Requested).await
    }

    /// Waits until a top-up has ended: the money is there, or its invoice can no longer be paid.
    pub async fn until_paid(&self, secret: &SecretKey, topup: TopupId) -> Result<TopupView, ClientError> {
        let is_over = |phase| matches!(phase, TopupPhase::Received | TopupPhase::Expired);
        self.until_topup(secret, topup, is_over).await
    }

    /// Waits until the market knows what became of a withdrawal. "Nobody can say yet" is not such an answer.
    pub async fn until_settled(
        &self,
        secret: &SecretKey,
        withdrawal: WithdrawalId,
    ) -> Result<WithdrawalView, ClientError> {
        self.until(
            secret,
            async || {
                let view = self.withdrawal(secret, withdrawal).await?;
                let is_over =
                    matches!(view.phase, WithdrawalPhase::Sent { .. } | WithdrawalPhase::Failed { .. });
                Ok(is_over.then_some(view))
            },
            |event| match event {
                Event::WithdrawalSent { withdrawal: of, .. }
                | Event::WithdrawalFailed { withdrawal: of, .. }
                | Event::WithdrawalUnknown { withdrawal: of, .. } => *of == withdrawal,
                _ => false,
            },
        )
        .await
    }

    async fn until_topup(
        &self,
        secret: &SecretKey,
        topup: TopupId,
        is_far: impl Fn(TopupPhase) -> bool,
    ) -> Result<TopupView, ClientError> {
        self.until(
            secret,
            async || {
                let view = self.topup(secret, topup).await?;
                Ok(is_far(view.phase).then_some(view))
            },
            |event| match event {
                Event::TopUpInvoiced { topup: of, .. }
                | Event::TopUpReceived { topup: of, .. }
                | Event::TopUpExpired { topup: of, .. } => *of == topup,
                _ => false,
            },
        )
        .await
    }

    /// Looks now, and again after each event that may have changed the answer. The events begin before the first look, so
    /// that nothing happens unseen in between.
    pub(crate) async fn until<T>(
        &self,
        secret: &SecretKey,
        look: impl AsyncFn() -> Result<Option<T>, ClientError>,
        concerns: impl Fn(&Event) -> bool,
    ) -> Result<T, ClientError> {
        let position = self.info().await?.position;
        let after = EventCursor { position, index: u32::MAX };
        let mut events = pin!(self.events(Some(after), Some(secret)));
        loop {
            if let Some(answer) = look().await? {
                return Ok(answer);
            }
            loop {
                match events.next().await.transpose()? {
                    Some(placed) if concerns(&placed.event) => break,
                    Some(_) => {}
                    None => return Err(ClientError::Garbled { reason: "its stream of events ended".into() }),
                }
            }
        }
    }
}
