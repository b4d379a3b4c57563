//! The provider's agent: everything that a machine decides, without I/O, clock or randomness.
//!
//! The agent is told what happened ([`Input`]) and says what to do ([`Action`]). It never waits: what takes time comes
//! back as another input. The same inputs at the same times give the same actions, so the simulation drives this very
//! code, and a test can replay anything.
//!
//! # What it relies on
//!
//! The market's [`WorkView`](crate::api::WorkView) names everything that is expected of the machine, every time. The
//! agent therefore treats its own knowledge as a cache: answers to statements move it on at once, and every view
//! corrects it. A view may be older than an answer that overtook it, so an attempt is corrected only by a view that was
//! *asked for* after the market last answered about it ([`attempts::Attempt::touched`]).
//!
//! Three things make a restart harmless: salts are derived from the machine's key ([`Secrets`]), results and
//! bids are kept on disk before their seals are sent ([`Action::Keep`]), and everything else is in the view.
//!
//! # How statements are batched
//!
//! At most one claim, one commit, one reveal and one give-back are on their way at any time; what becomes ready meanwhile
//! goes with the next. So the batch grows by itself with the load, and a lone task waits for nobody.

mod attempts;
mod auctions;
mod backoff;
mod leases;
mod offers;
mod results;
mod seam;
mod view;

pub use seam::{Action, Answer, Input, Kept, KeptKey, RequestId, RunEnd, WorkerFailure};

use super::{Decline, Policy, Secrets};
use crate::api::WorkAuction;
use attempts::{Attempts, Stage};
use backoff::Backoff;
use leases::Lease;
use market::{
    command::Command,
    id::{AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId},
    offer::OfferTerms,
    reply::{Item, Reply},
    units::{Rate, TimeMs},
    verify::TaskResult,
};
use offers::OfferSlot;
use std::collections::{BTreeMap, BTreeSet};

/// Who the machine is in the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The machine.
    pub machine: MachineId,
    /// Its owner: seals name the party.
    pub party: PartyId,
}

/// What the machine is willing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It takes work.
    Open,
    /// It finishes what it has and takes nothing new.
    Closed,
    /// The same, and its process ends afterwards.
    Draining,
}

/// A statement that is on its way.
#[derive(Debug, Clone, PartialEq)]
enum Request {
    Offer(OfferSlot),
    StartLease(LeaseId),
    QuitLease(LeaseId),
    Claim(LeaseId, u32),
    Commit(Vec<AttemptId>),
    Reveal(Vec<AttemptId>),
    Abandon(Vec<AttemptId>),
    Bid(OrderId),
}

/// What happened so far, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Leases that are not closed.
    pub leases: usize,
    /// Attempts without a verdict.
    pub attempts: usize,
    /// Runs that ended with a result.
    pub finished: u64,
    /// Runs that ended without one.
    pub inconclusive: u64,
    /// Results that were revealed and have their verdict.
    pub revealed: u64,
    /// Leases that were given back unbegun.
    pub declined: u64,
    /// Why the last of them was.
    pub declined_because: Option<Decline>,
}

/// The state machine. See the [module](self).
#[derive(Debug)]
pub struct Agent {
    identity: Identity,
    secrets: Secrets,
    policy: Policy,
    now: TimeMs,
    /// Counts inputs.
    turn: u64,
    /// The venue's clock less the agent's, in milliseconds.
    venue_ahead_ms: i64,
    mode: Mode,
    poll: Poll,
    requests: BTreeMap<RequestId, Request>,
    next_request: u64,
    standing: Vec<(OfferId, OfferTerms)>,
    offers: offers::Offers,
    auctions: Vec<WorkAuction>,
    bids: BTreeMap<OrderId, Rate>,
    bidding: Backoff,
    /// The turn in which the market last answered about a bid.
    bids_touched: u64,
    leases: BTreeMap<LeaseId, Lease>,
    /// Jobs whose lease was given back, so that it is not given back again and again.
    declined: BTreeSet<JobId>,
    attempts: Attempts,
    kept: BTreeMap<AttemptId, TaskResult>,
    outputs: results::Outputs,
    for_sale: results::ForSale,
    commits: results::Lane,
    reveals: results::Lane,
    give_backs: results::Lane,
    tally: Tally,
    actions: Vec<Action>,
    wake: Option<TimeMs>,
}

/// The long poll.
#[derive(Debug, Default)]
struct Poll {
    /// The turn in which the poll that is out was asked for.
    asked: Option<u64>,
    /// The revision of the last view.
    revision: Option<u64>,
    /// The next poll is answered at once: something in the last view could not be believed, or was refused.
    is_recheck: bool,
    /// When the last view came.
    answered_at: TimeMs,
    failures: Backoff,
}

/// While a machine is busy, views are asked for no more often than this, in milliseconds: answers to its statements move it on.
const BUSY_POLL_MS: u64 = 50;
/// How many jobs are remembered as declined.
const DECLINED_MAX: usize = 1_024;

impl Agent {
    /// An agent that knows nothing but what an earlier run has kept.
    pub fn new(identity: Identity, secrets: Secrets, policy: Policy, kept: Vec<Kept>) -> Agent {
        let mut results = BTreeMap::new();
        let mut bids = BTreeMap::new();
        for item in kept {
            match item {
                Kept::Result { attempt, result } => drop(results.insert(attempt, result)),
                Kept::Bid { order, rate } => drop(bids.insert(order, rate)),
            }
        }
        Agent {
            identity,
            secrets,
            policy,
            now: TimeMs(0),
            turn: 0,
            venue_ahead_ms: 0,
            mode: Mode::Open,
            poll: Poll::default(),
            requests: BTreeMap::new(),
            next_request: 0,
            standing: Vec::new(),
            offers: offers::Offers::default(),
            auctions: Vec::new(),
            bids,
            bidding: Backoff::default(),
            bids_touched: 0,
            leases: BTreeMap::new(),
            declined: BTreeSet::new(),
            attempts: Attempts::default(),
            kept: results,
            outputs: results::Outputs::default(),
            for_sale: results::ForSale::default(),
            commits: results::Lane::default(),
            reveals: results::Lane::default(),
            give_backs: results::Lane::default(),
            tally: Tally::default(),
            actions: Vec::new(),
            wake: None,
        }
    }

    /// Who the machine is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Takes an input and says what to do, in order. `now` is any clock that does not run backwards.
    pub fn handle(&mut self, now: TimeMs, input: Input) -> Vec<Action> {
        self.now = self.now.max(now);
        self.turn += 1;
        self.wake = None;
        match input {
            Input::Time => {}
            Input::Work(view) => self.learn(*view),
            Input::PollFailed => {
                self.poll.asked = None;
                self.poll.failures.fail(self.now);
            }
            Input::Answered { request, answer } => self.answered(request, answer),
            Input::WorkerReady { lease } => self.worker_ready(lease),
            Input::WorkerFailed { lease, failure } => self.worker_failed(lease, failure),
            Input::Ran { runs } => self.ran(runs),
            Input::Uploaded { output, is_stored } => self.outputs.uploaded(output, is_stored, self.now),
            Input::Encrypted { attempt, offer } => self.for_sale.encrypted(attempt, offer, self.now),
            Input::Open(is_open) => self.open(is_open),
            Input::Policy(policy) => self.policy = *policy,
            Input::Drain => self.drain(),
        }
        self.decide();
        std::mem::take(&mut self.actions)
    }

    /// When to call with [`Input::Time`] if nothing else happens before.
    pub fn next_wake(&self) -> Option<TimeMs> {
        self.wake
    }

    /// Whether a drained agent has nothing left to do: the process can end without breaking a promise.
    pub fn is_drained(&self) -> bool {
        let has_work = self.attempts.in_stage(Stage::Revealed).count() < self.attempts.len();
        self.mode == Mode::Draining
            && self.standing.is_empty()
            && self.leases.values().all(Lease::has_ended)
            && !has_work
            && self.requests.is_empty()
    }

    /// What happened so far.
    pub fn tally(&self) -> Tally {
        Tally { leases: self.leases.len(), attempts: self.attempts.len(), ..self.tally }
    }

    /// Everything that can be done now is done. The order is the order of a task's life, so that what one step makes
    /// possible the next one does.
    fn decide(&mut self) {
        self.reconcile_offers();
        self.bid();
        self.tend_leases();
        self.run_queued();
        self.commit_finished();
        self.reveal_due();
        self.give_back();
        self.claim_more();
        // Last: whether to wait for a change depends on what was sent.
        self.keep_polling();
    }

    fn keep_polling(&mut self) {
        if self.poll.asked.is_some() || self.wait(self.poll.failures) {
            return;
        }
        // A poll that waits for a change may outlast the answer to one of these statements, and would then be too old to
        // say what became of it. Batches are left out: there are too many, and accepting them changes the view.
        let is_single_sent = self.is_sent(|request| match request {
            Request::Offer(_) | Request::Bid(_) | Request::StartLease(_) | Request::QuitLease(_) => true,
            Request::Claim(..) | Request::Commit(_) | Request::Reveal(_) | Request::Abandon(_) => false,
        });
        let is_recheck = self.poll.is_recheck || is_single_sent;
        let is_busy = self.attempts.len() > 0;
        let earliest = self.poll.answered_at.plus(BUSY_POLL_MS);
        if (is_busy || is_recheck) && self.poll.revision.is_some() && self.now < earliest {
            return self.wake_at(earliest);
        }
        self.poll.asked = Some(self.turn);
        self.poll.is_recheck = false;
        self.actions.push(Action::Poll { revision: self.poll.revision.filter(|_| !is_recheck) });
    }

    /// Sends a statement.
    fn submit(&mut self, request: Request, command: Command) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.requests.insert(id, request);
        self.actions.push(Action::Submit { request: id, command: Box::new(command) });
    }

    /// Whether a statement like this is on its way.
    fn is_sent(&self, is_like: impl Fn(&Request) -> bool) -> bool {
        self.requests.values().any(is_like)
    }

    fn answered(&mut self, id: RequestId, answer: Answer) {
        let Some(request) = self.requests.remove(&id) else { return };
        if !matches!(answer, Answer::Accepted(_)) {
            // What was refused as a whole, or never answered, is looked at again: the view says what became of it.
            self.poll.is_recheck = true;
        }
        match request {
            Request::Commit(attempts) => return self.committed(&attempts, items(answer)),
            Request::Reveal(attempts) => return self.revealed(&attempts, items(answer)),
            Request::Abandon(attempts) => return self.abandoned(&attempts, items(answer)),
            Request::Offer(_)
            | Request::Bid(_)
            | Request::StartLease(_)
            | Request::QuitLease(_)
            | Request::Claim(..) => {}
        }
        let reply = match answer {
            Answer::Accepted(reply) => Some(reply),
            Answer::Refused { .. } | Answer::Unknown => None,
        };
        match request {
            Request::Offer(slot) => self.offer_answered(slot, reply),
            Request::Bid(_) => {
                self.bids_touched = self.turn;
                if reply.is_some() { self.bidding.reset() } else { self.bidding.fail(self.now) }
            }
            Request::StartLease(lease) => self.lease_started(lease, reply.is_some()),
            Request::QuitLease(lease) => self.lease_quit(lease, reply.is_some()),
            Request::Claim(lease, asked) => self.claimed(lease, asked, reply),
            Request::Commit(_) | Request::Reveal(_) | Request::Abandon(_) => {}
        }
    }

    fn open(&mut self, is_open: bool) {
        self.mode = match (self.mode, is_open) {
            (Mode::Draining, _) => Mode::Draining,
            (Mode::Open | Mode::Closed, true) => Mode::Open,
            (Mode::Open | Mode::Closed, false) => Mode::Closed,
        };
    }

    fn drain(&mut self) {
        self.mode = Mode::Draining;
        let leases: Vec<LeaseId> = self.leases.keys().copied().collect();
        for lease in leases {
            if self.attempts.has(lease, &[Stage::Running]) {
                self.actions.push(Action::Flush { lease });
            }
        }
    }

    /// Notes the wait and says whether there is one.
    fn wait(&mut self, backoff: Backoff) -> bool {
        let wait = backoff.wait(self.now);
        if let Some(until) = wait {
            self.wake_at(until);
        }
        wait.is_some()
    }

    fn wake_at(&mut self, at: TimeMs) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// A time of the venue by the agent's clock.
    fn local(&self, venue: TimeMs) -> TimeMs {
        TimeMs(venue.0.saturating_add_signed(self.venue_ahead_ms.saturating_neg()))
    }

    fn salt(&self, attempt: AttemptId) -> Digest {
        self.secrets.result_salt(attempt)
    }
}

/// What became of the items of a batch.
enum Items {
    /// Done or refused, one by one; a statement that was refused as a whole has refused them all.
    Known(Vec<bool>),
    /// Nobody can say.
    Unknown,
}

impl Items {
    /// Whether the item at a place was done; `None` when nobody can say.
    fn is_done(&self, index: usize) -> Option<bool> {
        match self {
            Items::Known(done) => Some(done.get(index).copied().unwrap_or(false)),
            Items::Unknown => None,
        }
    }

    /// Whether anything was done at all.
    fn has_worked(&self) -> bool {
        matches!(self, Items::Known(done) if done.contains(&true))
    }
}

fn items(answer: Answer) -> Items {
    match answer {
        Answer::Accepted(Reply::Items(items)) => {
            Items::Known(items.iter().map(|item| matches!(item, Item::Done(()))).collect())
        }
        // No other reply belongs to a batch; it says as little as none.
        Answer::Accepted(_) | Answer::Unknown => Items::Unknown,
        Answer::Refused { .. } => Items::Known(Vec::new()),
    }
}
