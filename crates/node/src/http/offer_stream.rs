//! `GET /v1/offers/stream`: standing offers, live. A stream begins with every offer that stands, so whoever comes back needs
//! no cursor; after that it tells each offer that has changed, and each that is gone.

use super::{events::ALIVE_EVERY, failure::Failure, metrics::Counted, shared::App, writer};
use crate::{api::EventCursor, venue::Floor};
use axum::{
    Extension,
    extract::State,
    http::HeaderValue,
    response::{
        IntoResponse, Response,
        sse::{Event as Message, Sse},
    },
};
use futures_util::stream;
use market::{
    event::Event,
    id::{LeaseId, MachineId, OfferId, PartyId},
    units::TimeMs,
};
use pay::l402::Rights;
use serde_json::json;
use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    sync::PoisonError,
    time::Duration,
};
use tokio::sync::OwnedSemaphorePermit;

/// How much is taken from memory at once: offers, and events.
const LOOK: usize = 256;

pub(super) async fn offers(
    State(app): State<App>,
    bought: Option<Extension<Rights>>,
) -> Result<Response, Failure> {
    let position = app.read(Floor::durable).await?;
    let permit = app.guards.stream()?;
    let counted = Counted::new(&app.metrics.streams);
    let ends_at =
        bought.and_then(|Extension(rights)| rights.valid_until_s).map(|until_s| TimeMs(until_s * 1_000));
    let stream = Stream {
        app,
        after: EventCursor { position, index: u32::MAX },
        told: Some(OfferId(0)),
        ready: VecDeque::new(),
        ends_at,
        is_over: false,
        _permit: permit,
        _counted: counted,
    };
    let messages = stream::unfold(stream, |mut stream| async move {
        let message = stream.next().await?;
        Some((Ok::<_, Infallible>(message), stream))
    });
    let mut response = Sse::new(messages).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Stream {
    app: App,
    /// The last event that was looked at.
    after: EventCursor,
    /// While the standing offers are told: the last one that was.
    told: Option<OfferId>,
    ready: VecDeque<Message>,
    /// When what was paid for is over.
    ends_at: Option<TimeMs>,
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
            let left =
                self.ends_at.map_or(ALIVE_EVERY, |end| Duration::from_millis(end.since(writer::now())));
            if self.is_over || left.is_zero() {
                return None;
            }
            durable.mark_unchanged();
            if self.look() {
                continue;
            }
            tokio::select! {
                () = self.app.stopping.cancelled() => return None,
                changed = durable.changed() => changed.ok()?,
                () = tokio::time::sleep(left.min(ALIVE_EVERY)) => {
                    return Some(Message::default().event("alive").data(""));
                }
            }
        }
    }

    /// Takes what there is to tell; says whether there was anything to look at.
    fn look(&mut self) -> bool {
        let app = self.app.clone();
        let floor = app.floor.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = self.told {
            let page: Vec<OfferId> =
                floor.state().offers.iter_after(told.0).take(LOOK).map(|(offer, _)| offer).collect();
            self.told = page.last().copied();
            self.ready.extend(page.iter().filter_map(|offer| message(&floor, *offer)));
            return true;
        }
        match floor.recent().after(self.after, LOOK) {
            Ok(events) => {
                let mut touched = BTreeSet::new();
                for event in &events {
                    self.after = EventCursor::from(event.as_ref());
                    offers_touched(&floor, &event.event, &mut touched);
                }
                self.ready.extend(touched.iter().filter_map(|offer| message(&floor, *offer)));
                !events.is_empty()
            }
            Err(gone) => {
                // It read too slowly. It is told, and can begin again.
                self.is_over = true;
                self.ready.push_back(Message::default().event("gone").data(gone.to_string()));
                true
            }
        }
    }
}

/// An offer as it is now. Views are plain data: there is nothing that JSON could refuse.
fn message(floor: &Floor, offer: OfferId) -> Option<Message> {
    match floor.offer(offer) {
        Some(view) => Message::default().event("offer").json_data(view).ok(),
        None => Message::default().event("withdrawn").json_data(json!({ "offer": offer })).ok(),
    }
}

/// The offers that look otherwise after an event: their terms, what is free, whether the machine is there, the bond.
fn offers_touched(floor: &Floor, event: &Event, touched: &mut BTreeSet<OfferId>) {
    let state = floor.state();
    let mut of_machine = |machine: MachineId| {
        touched.extend(state.machines.get(machine).into_iter().flat_map(|row| row.offers.iter().copied()));
    };
    let mut of_lease = |lease: LeaseId| {
        if let Some(lease) = state.leases.get(lease) {
            of_machine(lease.machine);
        }
    };
    match event {
        Event::OfferPosted { offer, .. }
        | Event::OfferChanged { offer, .. }
        | Event::OfferWithdrawn { offer } => {
            touched.insert(*offer);
        }
        Event::LeaseGranted { lease, .. } | Event::LeaseClosed { lease, .. } => of_lease(*lease),
        Event::MachineRevoked { machine }
        | Event::MachineLost { machine }
        | Event::MachineBack { machine } => {
            of_machine(*machine);
        }
        Event::BondChanged { party, .. } | Event::BondSlashed { party, .. } => {
            machines_of(floor, *party).for_each(of_machine);
        }
        _ => {}
    }
}

fn machines_of(floor: &Floor, party: PartyId) -> impl Iterator<Item = MachineId> {
    floor.state().machines.iter().filter(move |(_, row)| row.party == party).map(|(machine, _)| machine)
}
