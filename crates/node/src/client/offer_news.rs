//! The live stream of offers.

use super::{ClientError, Market};
use crate::api::OfferView;
use eventsource_stream::Eventsource;
use futures_util::{StreamExt, stream::BoxStream};
use market::id::OfferId;
use reqwest::Method;
use serde::Deserialize;
use std::{future::ready, time::Duration};

/// The market says something at least this often; a stream that is silent for longer is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// Something about an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferNews {
    /// It stands, like this.
    Stands(Box<OfferView>),
    /// It does not stand any more.
    Gone(OfferId),
}

#[derive(Deserialize)]
struct Withdrawn {
    offer: OfferId,
}

impl Market {
    /// Every offer that stands, then every change, until the connection or what was paid for ends. Whoever goes on asks again,
    /// and begins with every offer that stands again. Where it costs something, the market's payer pays.
    pub async fn offer_news(&self) -> Result<OfferFeed, ClientError> {
        let response = self
            .retried(|| async { self.attempt(self.request(Method::GET, "/v1/offers/stream", None)).await })
            .await?;
        let events = tokio_stream::StreamExt::timeout(response.bytes_stream().eventsource(), SILENCE_LIMIT);
        let events = events.map(|item| item.ok()?.ok()).take_while(|event| ready(event.is_some()));
        Ok(OfferFeed(events.filter_map(|event| ready(event.as_ref().and_then(read))).boxed()))
    }
}

/// News about offers, as they come.
pub struct OfferFeed(BoxStream<'static, Result<OfferNews, ClientError>>);

impl OfferFeed {
    /// The next one; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Result<OfferNews, ClientError>> {
        self.0.next().await
    }
}

impl std::fmt::Debug for OfferFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OfferFeed")
    }
}

/// Reads a message; `None` for a sign of life.
fn read(message: &eventsource_stream::Event) -> Option<Result<OfferNews, ClientError>> {
    let garbled = |e: serde_json::Error| ClientError::Garbled { reason: e.to_string() };
    match message.event.as_str() {
        "offer" => Some(
            serde_json::from_str(&message.data)
                .map(|view| OfferNews::Stands(Box::new(view)))
                .map_err(garbled),
        ),
        "withdrawn" => {
            let gone = serde_json::from_str(&message.data);
            Some(gone.map(|Withdrawn { offer }| OfferNews::Gone(offer)).map_err(garbled))
        }
        "gone" => Some(Err(ClientError::Garbled { reason: message.data.clone() })),
        _ => None,
    }
}
