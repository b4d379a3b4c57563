//! `GET /v1/events`: what happens, as server-sent events. The id of an event is its place; a stream that comes back names
//! the last one it saw and misses nothing.

use super::{
    extract::Params,
    failure::Failure,
    metrics::Counted,
    shared::{App, Shared},
};
use crate::{
    api::{EventCursor, PlacedEvent},
    venue::{CursorGone, reads::Reader},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event as Message, Sse},
    },
};
use futures_util::stream;
use serde::Deserialize;
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::sync::OwnedSemaphorePermit;

/// How often a stream says that it is alive.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How many events are taken from memory at once.
const LOOK: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    after: Option<String>,
}

pub(super) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    Params(query): Params<EventsQuery>,
) -> Result<Response, Failure> {
    let reader = app.reader(&headers).await?;
    // A browser that reconnects says so in the header; its URL still names where it began.
    let last_seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let after = match last_seen.or(query.after) {
        Some(text) => text.parse::<EventCursor>().map_err(|error| Failure::bad_request(error.to_string()))?,
        None => {
            let position = app.read(crate::venue::Floor::durable).await?;
            EventCursor { position, index: u32::MAX }
        }
    };
    let permit = app.guards.stream()?;
    let counted = Counted::new(&app.metrics.streams);
    let stream = Stream {
        app,
        reader,
        after,
        ready: VecDeque::new(),
        is_over: false,
        _permit: permit,
        _counted: counted,
    };
    stream.look().map_err(|gone| Failure::new(StatusCode::GONE, "cursor_gone", gone.to_string()))?;
    let messages = stream::unfold(stream, |mut stream| async move {
        let message = stream.next().await?;
        Some((Ok::<_, Infallible>(message), stream))
    });
    let mut response = Sse::new(messages).into_response();
    let no_buffering = axum::http::HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", no_buffering);
    Ok(response)
}

struct Stream {
    app: App,
    reader: Reader,
    /// The last event that was looked at, shown to this reader or not.
    after: EventCursor,
    ready: VecDeque<Message>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Stream {
    async fn next(&mut self) -> Option<Message> {
        let mut durable = self.app.durable.clone();
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if self.is_over {
                return None;
            }
            durable.mark_unchanged();
            match self.look() {
                Ok(events) if events.is_empty() => {}
                Ok(events) => {
                    self.take(&events);
                    continue;
                }
                Err(gone) => {
                    // It read too slowly. It is told, and can begin again.
                    self.is_over = true;
                    return Some(Message::default().event("gone").data(gone.to_string()));
                }
            }
            tokio::select! {
                () = self.app.stopping.cancelled() => return None,
                changed = durable.changed() => changed.ok()?,
                () = tokio::time::sleep(ALIVE_EVERY) => {
                    return Some(Message::default().event("alive").id(self.after.to_string()).data(""));
                }
            }
        }
    }

    fn look(&self) -> Result<Vec<Arc<PlacedEvent>>, CursorGone> {
        let floor = self.app.floor.read().unwrap_or_else(PoisonError::into_inner);
        floor.recent().after(self.after, LOOK)
    }

    fn take(&mut self, events: &[Arc<PlacedEvent>]) {
        let shared: &Shared = &self.app;
        let floor = shared.floor.read().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            self.after = EventCursor::from(event.as_ref());
            if floor.may_see(self.reader, &event.event) {
                // Events are plain data: there is nothing that JSON could refuse.
                let message = Message::default().id(self.after.to_string()).json_data(event.as_ref());
                self.ready.extend(message.ok());
            }
        }
    }
}
