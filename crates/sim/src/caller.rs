//! Asks the market until it answers: what the client library does over HTTP, here over the simulated network.

use crate::{
    rng::Rng,
    stage::{Event, Peer, Request, Response, Stage, Ticket},
};
use market::{
    command::Command,
    key::{PublicKey, SecretKey},
    log::{Head, SignedHead},
    statement::{Payload, Statement},
    units::TimeMs,
};
use std::{collections::BTreeMap, rc::Rc};

/// How long a statement is good, in milliseconds.
const LIFETIME_MS: u64 = 60_000;
/// The first wait for an answer, in milliseconds.
const FIRST_WAIT_MS: u64 = 1_500;
/// The longest.
const LONGEST_WAIT_MS: u64 = 12_000;
/// How long the market lets a poll wait, in milliseconds.
pub(crate) const POLL_MS: u64 = 5_000;

/// Questions that are not answered, each with what it is for.
#[derive(Debug)]
pub(crate) struct Caller<P> {
    peer: Peer,
    life: u32,
    next: u64,
    calls: BTreeMap<u64, Call<P>>,
    /// The newest head that came with an answer.
    pub(crate) seen: Option<SignedHead>,
}

#[derive(Debug)]
struct Call<P> {
    purpose: P,
    request: Rc<Request>,
    wait_ms: u64,
    gives_up: TimeMs,
}

/// How a question ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With this answer.
    Answer(Rc<Response>),
    /// Nobody knows.
    Unknown,
}

impl<P> Caller<P> {
    /// Nothing is asked yet.
    pub(crate) fn new(peer: Peer) -> Caller<P> {
        Caller { peer, life: 0, next: 0, calls: BTreeMap::new(), seen: None }
    }

    /// Which life this is.
    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    /// A crash: answers to what was asked before mean nothing any more.
    pub(crate) fn forget(&mut self) {
        self.life += 1;
        self.calls.clear();
    }

    /// Asks, after a while.
    pub(crate) fn ask(&mut self, stage: &mut Stage, after_ms: u64, request: Request, purpose: P) {
        self.ask_shared(stage, after_ms, Rc::new(request), purpose);
    }

    /// Asks at once what is kept somewhere else, too.
    pub(crate) fn ask_again(&mut self, stage: &mut Stage, request: Rc<Request>, purpose: P) {
        self.ask_shared(stage, 0, request, purpose);
    }

    fn ask_shared(&mut self, stage: &mut Stage, after_ms: u64, request: Rc<Request>, purpose: P) {
        let number = self.next;
        self.next += 1;
        let is_poll = matches!(*request, Request::Work(..));
        let wait_ms = if is_poll { POLL_MS + FIRST_WAIT_MS } else { FIRST_WAIT_MS };
        // A poll is asked anew rather than again: its answer would be late.
        let patience_ms = if is_poll { wait_ms } else { LIFETIME_MS };
        let gives_up = stage.now.plus(after_ms + patience_ms);
        self.calls.insert(number, Call { purpose, request, wait_ms, gives_up });
        let ticket = Ticket { peer: self.peer, life: self.life, number };
        if after_ms > 0 {
            stage.after(after_ms, Event::Retry(ticket));
        } else {
            self.send(stage, ticket);
        }
    }

    /// Sends again what is not answered; says what nobody will answer.
    pub(crate) fn retry(&mut self, stage: &mut Stage, ticket: Ticket) -> Option<(P, Ended)> {
        if ticket.life != self.life {
            return None;
        }
        if stage.now >= self.calls.get(&ticket.number)?.gives_up {
            return self.calls.remove(&ticket.number).map(|call| (call.purpose, Ended::Unknown));
        }
        self.send(stage, ticket);
        None
    }

    fn send(&mut self, stage: &mut Stage, ticket: Ticket) {
        let Some(call) = self.calls.get_mut(&ticket.number) else { return };
        let wait_ms = call.wait_ms;
        call.wait_ms = (wait_ms * 2).min(LONGEST_WAIT_MS);
        stage.carry(self.peer, &Event::Asked(ticket, call.request.clone()));
        stage.after(wait_ms, Event::Retry(ticket));
    }

    /// Takes an answer; late and repeated ones are dropped.
    pub(crate) fn answered(&mut self, ticket: Ticket, response: Rc<Response>) -> Option<(P, Ended)> {
        if ticket.life != self.life || matches!(*response, Response::Busy) {
            return None;
        }
        if let Response::Accepted(accepted) = &*response
            && self.seen.is_none_or(|seen| seen.head.size < accepted.head.head.size)
        {
            self.seen = Some(accepted.head);
        }
        let call = self.calls.remove(&ticket.number)?;
        Some((call.purpose, Ended::Answer(response)))
    }

    /// The newest public head that was seen, for statements.
    pub(crate) fn seen(&self) -> Option<Head> {
        self.seen.map(|signed| signed.head)
    }
}

/// Signs a statement by a clock.
pub(crate) fn sign(
    key: &SecretKey,
    venue: PublicKey,
    clock: TimeMs,
    seen: Option<Head>,
    rng: &mut Rng,
    command: Command,
) -> Statement {
    let payload =
        Payload { v: 1, venue, not_after_ms: clock.plus(LIFETIME_MS), nonce: rng.next(), seen, command };
    // Commands are plain data: there is nothing that the encoder could refuse.
    Statement::sign(key, &payload).unwrap_or_else(|error| panic!("a command without JSON: {error}"))
}
