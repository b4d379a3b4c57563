//! The stream of events, without gaps over reconnections.

use super::{ClientError, Market};
use crate::api::{EventCursor, PlacedEvent};
use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use market::key::SecretKey;
use reqwest::Method;
use std::time::Duration;

/// The market says something at least this often; a stream that is silent for longer is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// The longest pause before a stream that ended is opened again.
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl Market {
    /// Events after a cursor, from now on without one: the public ones, and with a key those that this key may see.
    /// Reconnects by itself and goes on where it was. An error is the last item: the market refused, or it did not answer
    /// for as long as the patience of this [`Market`].
    pub fn events(
        &self,
        after: Option<EventCursor>,
        reader: Option<&SecretKey>,
    ) -> impl Stream<Item = Result<PlacedEvent, ClientError>> + Send + use<> {
        let follower =
            Follower { market: self.clone(), reader: reader.cloned(), after, open: None, is_over: false };
        futures_util::stream::unfold(follower, |mut follower| async move {
            let item = follower.next().await?;
            Some((item, follower))
        })
    }
}

struct Follower {
    market: Market,
    reader: Option<SecretKey>,
    after: Option<EventCursor>,
    open: Option<BoxStream<'static, Option<Step>>>,
    is_over: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<PlacedEvent, ClientError>> {
        let market = self.market.clone();
        let mut tries = market.tries();
        while !self.is_over {
            match self.open.as_mut() {
                Some(stream) => match stream.next().await.flatten() {
                    Some(Step { after, event }) => {
                        self.after = Some(after);
                        if let Some(event) = event {
                            return Some(Ok(event));
                        }
                    }
                    None => {
                        self.open = None;
                        // A market that ends streams at once is not asked at once.
                        tries.pause(PAUSE_MAX).await;
                    }
                },
                None => match self.reopen().await {
                    Ok(stream) => {
                        tries.answered();
                        self.open = Some(stream);
                    }
                    Err(error) => {
                        if let Err(error) = tries.again(error).await {
                            self.is_over = true;
                            return Some(Err(error));
                        }
                    }
                },
            }
        }
        None
    }

    /// Opens the stream after the last event that was seen; without one, fixes "now" first, so that nothing is missed
    /// when the connection breaks before the first event.
    async fn reopen(&mut self) -> Result<BoxStream<'static, Option<Step>>, ClientError> {
        let after = match self.after {
            Some(after) => after,
            None => {
                let position = self.market.info().await?.position;
                *self.after.insert(EventCursor { position, index: u32::MAX })
            }
        };
        let path = format!("/v1/events?after={after}");
        let request = self.market.request(Method::GET, &path, self.reader.as_ref());
        let bytes = self.market.attempt(request).await?.bytes_stream();
        let events = tokio_stream::StreamExt::timeout(bytes.eventsource(), SILENCE_LIMIT);
        Ok(events.map(|item| read_message(&item.ok()?.ok()?)).boxed())
    }
}

/// An event, or a sign of life; both say how far the stream is.
struct Step {
    after: EventCursor,
    event: Option<PlacedEvent>,
}

/// Reads a message; `None` for one that ends the stream.
fn read_message(message: &eventsource_stream::Event) -> Option<Step> {
    let after = message.id.parse().ok()?;
    match message.event.as_str() {
        "message" => Some(Step { after, event: Some(serde_json::from_str(&message.data).ok()?) }),
        "alive" => Some(Step { after, event: None }),
        _ => None,
    }
}
