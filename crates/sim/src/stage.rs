//! What everybody in a world shares: time, the queue of what comes next, the network, and the count of what went wrong.

use crate::{plan::Plan, rng::Rng};
use market::{
    command::Command,
    id::{AttemptId, Digest, JobId, LeaseId, MachineId, PartyId, TopupId},
    key::PublicKey,
    statement::Statement,
    units::TimeMs,
    verify::{Exit, TaskResult},
};
use node::api::{Accepted, JobView, KeyView, TaskView, TopupView, WorkView};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    rc::Rc,
};

/// The time at which every world begins.
pub(crate) const EPOCH: TimeMs = TimeMs(1_800_000_000_000);

/// Somebody who talks to the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// A machine, counted over the world.
    Machine(usize),
    /// A party's client.
    Party(usize),
}

/// Which question of which life of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    /// Who asks.
    pub(crate) peer: Peer,
    /// Its life: a crash begins another.
    pub(crate) life: u32,
    /// Counts its questions.
    pub(crate) number: u64,
}

/// What is asked of the market.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// To accept a statement.
    Statement(Statement),
    /// A machine's work, once it has another revision.
    Work(MachineId, Option<u64>),
    /// A top-up.
    Topup(TopupId),
    /// A job.
    Job(JobId),
    /// The tasks of a job.
    Tasks(JobId),
    /// An output.
    Fetch(Digest),
    /// What a key is here.
    Key(PublicKey),
    /// To store an output.
    Blob(Digest),
}

/// What the market answers.
#[derive(Debug, Clone)]
pub(crate) enum Response {
    /// The statement was accepted.
    Accepted(Box<Accepted>),
    /// The statement was refused for good.
    Refused { code: String },
    /// Not now.
    Busy,
    /// A machine's work.
    Work(Box<WorkView>),
    /// A top-up.
    Topup(Box<TopupView>),
    /// A job.
    Job(Box<JobView>),
    /// What a key is here.
    Key(Option<KeyView>),
    /// The tasks of a job.
    Tasks(Vec<TaskView>),
    /// The output is stored, or here it is.
    Stored,
}

/// What happens at a machine.
#[derive(Debug, Clone)]
pub(crate) enum MachineEvent {
    /// Its process starts.
    Start,
    /// Its agent wanted to be called.
    Wake,
    /// A worker is ready, or not.
    Worker(LeaseId, bool),
    /// The first run of a worker's queue ends.
    RunEnds(LeaseId, AttemptId),
    /// The payments for its leases are looked at again.
    Holds,
}

/// What happens at a party's client.
#[derive(Debug, Clone)]
pub(crate) enum PartyEvent {
    /// It goes on with what it has to do first.
    Step,
    /// A job is to be placed.
    Place(usize),
    /// A job is looked at.
    Look(usize),
    /// A job is cancelled out of spite.
    Cancel(usize),
    /// Part of the balance is taken out.
    Withdraw,
    /// It tries to take its bond away.
    GrabBond,
    /// It moves to a new key.
    Rotate,
    /// It revokes its first machine.
    Revoke,
    /// Its process starts again after a crash.
    Start,
}

/// What comes next.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A question reaches the market.
    Asked(Ticket, Rc<Request>),
    /// An answer reaches its peer.
    Answered(Ticket, Rc<Response>),
    /// A peer looks whether it was answered.
    Retry(Ticket),
    /// The market takes in what has arrived.
    Admit { life: u32 },
    /// The market's disk is done.
    Sync { life: u32 },
    /// The Lightning node has an answer for the market.
    Own { life: u32, duty: String, command: Box<Command> },
    /// The market's process starts.
    MarketStarts,
    /// The market makes a snapshot, if it is up, and again after this time.
    Snapshot { every_ms: u64 },
    /// The operator switches to another version of the rules.
    Rules { version: u32 },
    /// A statement that was accepted is sent again, outside of the network.
    Replayed(Rc<Request>),
    /// Something at a machine.
    Machine { machine: usize, life: u32, event: MachineEvent },
    /// Something at a party's client.
    Party { party: usize, event: PartyEvent },
    /// The fault of this number strikes.
    Fault(usize),
    /// The disk has space again.
    DiskFreed,
    /// Nothing breaks any more.
    Heal,
}

impl Event {
    /// What kind of event it is, and whose.
    pub(crate) fn label(&self) -> (&'static str, u64) {
        let of = |ticket: &Ticket| match ticket.peer {
            Peer::Machine(machine) => machine as u64,
            Peer::Party(party) => party as u64 | 1 << 32,
        };
        match self {
            Event::Asked(ticket, _) => ("asked", of(ticket)),
            Event::Answered(ticket, _) => ("answered", of(ticket)),
            Event::Retry(ticket) => ("retry", of(ticket)),
            Event::Admit { life } => ("admit", (*life).into()),
            Event::Sync { life } => ("sync", (*life).into()),
            Event::Own { life, .. } => ("own", (*life).into()),
            Event::MarketStarts => ("market starts", 0),
            Event::Snapshot { .. } => ("snapshot", 0),
            Event::Rules { .. } => ("rules", 0),
            Event::Replayed(_) => ("replayed", 0),
            Event::Machine { machine, .. } => ("machine", *machine as u64),
            Event::Party { party, .. } => ("party", *party as u64),
            Event::Fault(number) => ("fault", *number as u64),
            Event::DiskFreed => ("disk freed", 0),
            Event::Heal => ("heal", 0),
        }
    }
}

#[derive(Debug)]
struct Next {
    at: TimeMs,
    sequence: u64,
    event: Event,
}

impl PartialEq for Next {
    fn eq(&self, other: &Next) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Next {}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Next) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Next) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// See the [module](self).
pub(crate) struct Stage {
    /// The true time.
    pub(crate) now: TimeMs,
    /// Chance.
    pub(crate) rng: Rng,
    /// Whether things still break.
    pub(crate) is_rough: bool,
    /// What went wrong, by name.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// What was done that is no fault, by name.
    pub(crate) deeds: BTreeMap<&'static str, u64>,
    /// Who is who: parties tell each other when they are registered.
    pub(crate) known: BTreeMap<usize, PartyId>,
    queue: BinaryHeap<Reverse<Next>>,
    sequence: u64,
    loss_ppm: u32,
    duplicate_ppm: u32,
    cut_off: BTreeMap<Peer, TimeMs>,
}

impl Stage {
    /// The stage of a plan, at the beginning of time.
    pub(crate) fn new(plan: &Plan) -> Stage {
        Stage {
            now: EPOCH,
            rng: Rng::new(plan.seed, 2),
            is_rough: true,
            faults: BTreeMap::new(),
            deeds: BTreeMap::new(),
            known: BTreeMap::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            loss_ppm: plan.loss_ppm,
            duplicate_ppm: plan.duplicate_ppm,
            cut_off: BTreeMap::new(),
        }
    }

    /// Something is to happen after a while.
    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Next { at: self.now.plus(ms), sequence: self.sequence, event }));
    }

    /// What happens next; time goes on to it.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let Reverse(next) = self.queue.pop()?;
        self.now = next.at;
        Some(next.event)
    }

    /// Counts a fault.
    pub(crate) fn count(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Counts something that is no fault.
    pub(crate) fn note(&mut self, deed: &'static str) {
        *self.deeds.entry(deed).or_default() += 1;
    }

    /// Cuts a peer off for a while.
    pub(crate) fn cut_off(&mut self, peer: Peer, for_ms: u64) {
        self.cut_off.insert(peer, self.now.plus(for_ms));
    }

    /// Nothing breaks any more.
    pub(crate) fn heal(&mut self) {
        self.is_rough = false;
        (self.loss_ppm, self.duplicate_ppm) = (0, 0);
        self.cut_off.clear();
    }

    /// Carries a message between a peer and the market: late, twice, out of order, or not at all.
    pub(crate) fn carry(&mut self, peer: Peer, event: &Event) {
        if self.cut_off.get(&peer).is_some_and(|until| self.now < *until) {
            return self.count("message cut off");
        }
        if self.rng.happens(self.loss_ppm) {
            return self.count("message lost");
        }
        let copies = if self.rng.happens(self.duplicate_ppm) { 2 } else { 1 };
        if copies == 2 {
            self.count("message duplicated");
        }
        for _ in 0..copies {
            let mut ms = self.rng.between(5, 60);
            if self.is_rough && self.rng.happens(20_000) {
                ms += self.rng.between(100, 8_000);
                self.count("message overtaken");
            }
            self.after(ms, event.clone());
        }
    }
}

/// What an honest machine finds: the job's module stands for the job.
pub(crate) fn truth(module: &Digest, task: u32) -> TaskResult {
    let output = Digest::of_parts("gristmill simulation truth", &[&module.0, &task.to_le_bytes()]);
    TaskResult { exit: Exit::Code(0), output, fuel: 900_000 + output.to_u64() % 100_000 }
}

/// What the liars of a group agree on.
pub(crate) fn lie(group: u64, module: &Digest, task: u32) -> TaskResult {
    let parts: [&[u8]; 3] = [&group.to_le_bytes(), &module.0, &task.to_le_bytes()];
    TaskResult { output: Digest::of_parts("gristmill simulation lie", &parts), ..truth(module, task) }
}
