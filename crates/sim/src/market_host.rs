//! The market's process and machine: the production venue over a journal on a simulated disk, group commit with a disk that
//! takes its time, long polls, a blob store, a Lightning node, and power cuts.
//!
//! What the HTTP server does around the venue is done here in the same order: statements are checked, admitted in batches
//! and synced; answers leave after the sync; reads see what is durable; a poll waits until its machine's work has changed.

use crate::{
    caller::POLL_MS,
    checker::Checker,
    plan::Fault,
    stage::{Event, Request, Response, Stage, Ticket},
};
use market::{
    command::Command,
    id::{Digest, MachineId},
    key::SecretKey,
    statement::Statement,
    units::TimeMs,
};
use node::{
    journal::{
        Crash, Disk, MemoryJournal, Options, Position, SimulatedDisk,
        snapshot::{self, Snapshot},
    },
    venue::{
        Admitted, CheckedStatement, Floor, NoArchive, RecoverError, Refusal, Settings, Venue,
        check_statement, make_snapshot_on,
        payments::{self, Duty},
        reads::Touched,
    },
};
use pay::dev::DevNode;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Small files, so that a short history already has many.
pub(crate) const JOURNAL: Options = Options { segment_bytes: 1 << 19, extent_bytes: 1 << 16 };
/// Every event is kept, so that a recovered market can be compared with what it said before.
pub(crate) const SETTINGS: Settings =
    Settings { lost_after_ms: 15_000, recent_events: usize::MAX, withholds_links: false };
/// How often outstanding payments are looked at, in milliseconds.
const PAYMENTS_MS: u64 = 2_000;
/// A market that does not start so often in a row, on a sound disk, never will.
const STARTS_MAX: u32 = 10;

/// The value of a future that never waits, as those of the dev network do.
pub(crate) fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

struct Parked {
    ticket: Ticket,
    revision: Option<u64>,
    until: TimeMs,
}

/// See the [module](self).
pub(crate) struct MarketHost {
    /// Its disk.
    pub(crate) disk: SimulatedDisk,
    /// Its folder of snapshots.
    pub(crate) snapshots: SimulatedDisk,
    /// Its key.
    pub(crate) secret: SecretKey,
    /// The venue, while its process runs.
    pub(crate) venue: Option<Venue<MemoryJournal>>,
    /// Its Lightning node.
    pub(crate) node: DevNode,
    /// Statements taken in, by anybody.
    pub(crate) admitted: u64,
    settings: Settings,
    life: u32,
    inbox: Vec<(Ticket, Rc<Request>)>,
    own: Vec<CheckedStatement>,
    waiting: Vec<(Ticket, Digest, Result<Admitted, Refusal>)>,
    parked: BTreeMap<MachineId, Parked>,
    blobs: BTreeSet<Digest>,
    /// Payments that the node was asked about and has not answered.
    asked: BTreeSet<String>,
    payments_at: TimeMs,
    is_busy: bool,
    wakes_at: TimeMs,
    refused_starts: u32,
}

impl MarketHost {
    /// A market that is switched off.
    pub(crate) fn new(secret: SecretKey, node: DevNode, withholds_links: bool) -> MarketHost {
        MarketHost {
            settings: Settings { withholds_links, ..SETTINGS },
            disk: SimulatedDisk::new(),
            snapshots: SimulatedDisk::new(),
            secret,
            venue: None,
            node,
            admitted: 0,
            life: 0,
            inbox: Vec::new(),
            own: Vec::new(),
            waiting: Vec::new(),
            parked: BTreeMap::new(),
            blobs: BTreeSet::new(),
            asked: BTreeSet::new(),
            payments_at: TimeMs(0),
            is_busy: false,
            wakes_at: TimeMs(u64::MAX),
            refused_starts: 0,
        }
    }

    /// The process starts: the newest snapshot that is sound is taken, and the journal is recovered and replayed from there.
    pub(crate) fn start(&mut self, stage: &mut Stage, checker: &mut Checker) {
        if self.venue.is_some() {
            return;
        }
        self.disk.set_failing_syncs(false);
        let opened = MemoryJournal::open(&self.disk, self.secret.public(), JOURNAL);
        let (journal, torn) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // The disk is full, or the power fails again: the operator sees to it and starts the market again.
                stage.count("market start refused");
                self.disk.set_capacity(None);
                self.refused_starts += 1;
                if self.refused_starts > STARTS_MAX {
                    return checker.violation(format!("the journal does not open: {error}"));
                }
                return stage.after(1_000, Event::MarketStarts);
            }
        };
        if torn.is_some() {
            stage.count("torn tail cut");
        }
        let snapshot = self.newest_snapshot(stage);
        match Venue::open(journal, self.secret.clone(), self.settings, snapshot, stage.now, NoArchive) {
            Ok((venue, report)) => {
                if report.snapshot.is_some() {
                    stage.note("market started from a snapshot");
                }
                if let Some(why) = report.ignored {
                    checker.violation(format!("a sound snapshot is not used: {why}"));
                }
                checker.recovered(&venue.read(), report.snapshot.unwrap_or(0));
                self.venue = Some(venue);
                (self.is_busy, self.wakes_at, self.refused_starts) = (false, TimeMs(u64::MAX), 0);
                self.admit_after(stage, 1);
            }
            Err(error) => checker.violation(format!("the market does not recover: {error}")),
        }
    }

    /// The newest sound snapshot.
    pub(crate) fn newest_snapshot(&self, stage: &mut Stage) -> Option<Snapshot> {
        let found = snapshot::latest(&self.snapshots).ok()?;
        found.ignored.iter().for_each(|_| stage.note("damaged snapshot ignored"));
        found.newest
    }

    /// Makes a snapshot from the journal's files while the market runs, as production does; says whether the power failed.
    pub(crate) fn snapshot(&mut self, stage: &mut Stage, checker: &mut Checker) -> bool {
        let Some(venue) = &self.venue else { return false };
        let upto = Position(venue.read().durable());
        match make_snapshot_on(&self.disk, &self.snapshots, self.secret.public(), upto) {
            Ok(Some(_)) => stage.note("snapshot made"),
            Ok(None) => {}
            Err(RecoverError::Snapshot(_)) => return true,
            Err(error) => checker.violation(format!("no snapshot can be made: {error}")),
        }
        false
    }

    /// A statement that was accepted comes again, from a recording. It must change nothing and be answered as before.
    pub(crate) fn replayed(&mut self, stage: &mut Stage, checker: &mut Checker, statement: &Statement) {
        // A full disk is asked for space by every batch; that would be an effect, though not one of the statement.
        let Some(venue) = self.venue.as_mut().filter(|venue| !venue.is_full() && !self.is_busy) else {
            return;
        };
        let Some(position) = checker.position_of(&statement.digest()) else { return };
        let Ok(checked) = check_statement(statement, &venue.key()) else { return };
        let before = venue.read().position();
        let Ok(answers) = venue.admit(stage.now, vec![checked]) else { return self.dies(stage) };
        let is_same = match answers.first() {
            Some(Ok(admitted)) => admitted.duplicate && admitted.position == position,
            Some(Err(Refusal::Rejected(rejection))) => rejection.code() == "expired",
            // The disk has become full, and what was answered is forgotten.
            Some(Err(Refusal::DiskFull)) => true,
            None => false,
        };
        if !is_same || venue.read().position() != before {
            checker.violation(format!("the replay of entry {position} had an effect: {answers:?}"));
        }
        stage.note("statement replayed in vain");
    }

    /// The process ends; `crash` says what the disk keeps.
    pub(crate) fn crash(&mut self, stage: &mut Stage, crash: Crash, down_ms: u64) {
        if self.venue.take().is_none() {
            return;
        }
        stage.count("market crash");
        self.life += 1;
        self.inbox.clear();
        self.own.clear();
        self.waiting.clear();
        self.parked.clear();
        self.asked.clear();
        self.disk.crash(crash);
        self.snapshots.crash(crash);
        stage.after(down_ms, Event::MarketStarts);
    }

    /// A fault strikes the market.
    pub(crate) fn fault(&mut self, stage: &mut Stage, checker: &mut Checker, fault: Fault) {
        match fault {
            Fault::MarketPowerCut { torn, down_ms } => {
                let crash = if torn % 2 == 0 { Crash::LoseUnsynced } else { Crash::Torn { seed: torn } };
                self.crash(stage, crash, down_ms);
            }
            Fault::MarketKilled { down_ms } => self.crash(stage, Crash::KeepUnsynced, down_ms),
            Fault::MarketPowerCutInSync { torn, .. } => {
                stage.count("power cut in sync");
                self.disk.crash_in_next_sync(Crash::Torn { seed: torn });
            }
            Fault::SyncFails { .. } => {
                stage.count("sync fails");
                self.disk.set_failing_syncs(true);
            }
            Fault::DiskFull { for_ms } => {
                stage.count("disk full");
                self.disk.set_capacity(Some(0));
                stage.after(for_ms, Event::DiskFreed);
            }
            Fault::MarketPowerCutInSnapshot { torn, down_ms } => {
                self.snapshots.crash_in_next_sync(Crash::Torn { seed: torn });
                if self.snapshot(stage, checker) {
                    stage.count("power cut in snapshot");
                    self.crash(stage, Crash::LoseUnsynced, down_ms);
                }
            }
            Fault::SnapshotDamaged { byte } => self.damage_snapshot(stage, byte),
            Fault::MachineCrash { .. }
            | Fault::MachinePartition { .. }
            | Fault::PartyPartition { .. }
            | Fault::PartyCrash { .. } => {}
        }
    }

    fn damage_snapshot(&self, stage: &mut Stage, byte: u64) {
        let newest = self.snapshots.list().ok().and_then(|names| names.into_iter().max());
        let Some(name) = newest else { return };
        stage.count("snapshot damaged");
        self.snapshots.tamper(&name, |bytes| {
            let at = byte as usize % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
        });
    }

    /// A question arrives. A market that is down hears nothing.
    pub(crate) fn asked(&mut self, stage: &mut Stage, ticket: Ticket, request: Rc<Request>) {
        if self.venue.is_none() {
            return stage.count("market unreachable");
        }
        let is_read = !matches!(*request, Request::Statement(_));
        self.inbox.push((ticket, request));
        if is_read && !self.is_busy && self.inbox.len() == 1 {
            // Everything that was taken in is durable: a read need not wait.
            return self.answer_reads(stage);
        }
        self.admit_after(stage, 1);
    }

    /// The Lightning node has answered.
    pub(crate) fn own(&mut self, stage: &mut Stage, life: u32, duty: &str, command: Command) {
        if life != self.life {
            return;
        }
        self.asked.remove(duty);
        self.say(stage, command);
    }

    /// The operator says something.
    pub(crate) fn say(&mut self, stage: &mut Stage, command: Command) {
        if let Some(venue) = &mut self.venue {
            self.own.extend(venue.own_statement(stage.now, command));
            self.admit_after(stage, 1);
        }
    }

    fn admit_after(&mut self, stage: &mut Stage, ms: u64) {
        let at = stage.now.plus(ms);
        if !self.is_busy && at < self.wakes_at {
            self.wakes_at = at;
            stage.after(ms, Event::Admit { life: self.life });
        }
    }

    /// Takes in everything that has arrived.
    pub(crate) fn admit(&mut self, stage: &mut Stage, checker: &mut Checker, life: u32) {
        let Some(venue) = self.venue.as_mut().filter(|_| life == self.life && !self.is_busy) else { return };
        self.wakes_at = TimeMs(u64::MAX);
        let mut own = venue.chores(stage.now);
        own.append(&mut self.own);
        self.admitted += own.len() as u64;
        let Ok(_) = venue.admit(stage.now, own) else { return self.dies(stage) };
        let mut batch = Vec::new();
        let mut tickets = Vec::new();
        let mut reads = Vec::new();
        for (ticket, request) in std::mem::take(&mut self.inbox) {
            let Request::Statement(statement) = &*request else {
                reads.push((ticket, request));
                continue;
            };
            if !outputs_are_stored(&self.blobs, statement) {
                answer(stage, ticket, Response::Refused { code: "output_missing".into() });
                continue;
            }
            match check_statement(statement, &venue.key()) {
                Ok(checked) => {
                    tickets.push((ticket, statement.digest()));
                    batch.push(checked);
                }
                Err(error) => checker.violation(format!("a good statement is refused: {error}")),
            }
        }
        self.admitted += batch.len() as u64;
        let Ok(results) = venue.admit(stage.now, batch) else { return self.dies(stage) };
        let waiting =
            tickets.into_iter().zip(results).map(|((ticket, digest), result)| (ticket, digest, result));
        self.waiting.extend(waiting);
        self.inbox = reads;
        self.is_busy = true;
        let sync_ms = stage.rng.between(1, 6);
        stage.after(sync_ms, Event::Sync { life });
    }

    /// Everything that was taken in is durable, and everybody is told.
    pub(crate) fn sync(&mut self, stage: &mut Stage, checker: &mut Checker, life: u32) {
        let Some(venue) = self.venue.as_mut().filter(|_| life == self.life) else { return };
        let Ok(released) = venue.sync(stage.now) else { return self.dies(stage) };
        self.is_busy = false;
        checker.released(&released.events, &venue.read(), released.head);
        for (ticket, digest, result) in std::mem::take(&mut self.waiting) {
            let response = match result {
                Ok(admitted) => {
                    checker.acknowledged(&digest, &admitted);
                    Response::Accepted(Box::new(admitted.accepted(released.head)))
                }
                Err(Refusal::DiskFull) => {
                    stage.count("statement refused: disk full");
                    Response::Busy
                }
                Err(Refusal::Rejected(rejection)) => Response::Refused { code: rejection.code().to_owned() },
            };
            answer(stage, ticket, response);
        }
        self.answer_reads(stage);
        self.answer_polls(stage, &released.events);
        self.look_at_payments(stage, released.has_payments);
        self.rest(stage);
    }

    /// Until something is due.
    fn rest(&mut self, stage: &mut Stage) {
        let Some(venue) = &self.venue else { return };
        let due = if self.inbox.is_empty() && self.own.is_empty() {
            venue.next_chore(stage.now)
        } else {
            stage.now
        };
        // A full disk refuses the venue's own statements too: they are tried again, not at once.
        let soonest = if venue.is_full() { 200 } else { 1 };
        let ms = due.since(stage.now).clamp(soonest, 1_000);
        self.admit_after(stage, ms);
    }

    fn answer_reads(&mut self, stage: &mut Stage) {
        let Some(venue) = &mut self.venue else { return };
        for (ticket, request) in std::mem::take(&mut self.inbox) {
            if let Request::Work(machine, revision) = &*request {
                venue.heard(*machine, stage.now);
                let parked = Parked { ticket, revision: *revision, until: stage.now.plus(POLL_MS) };
                // When the machine has asked before, nobody waits for the older question any more.
                self.parked.insert(*machine, parked);
                let floor = venue.read();
                answer_poll(stage, &floor, &mut self.parked, *machine, true);
                continue;
            }
            let floor = venue.read();
            let response = match &*request {
                Request::Job(job) => floor.job(*job).map(|view| Response::Job(Box::new(view))),
                Request::Tasks(job) => floor.tasks(*job).map(Response::Tasks),
                Request::Fetch(digest) => self.blobs.contains(digest).then_some(Response::Stored),
                Request::Topup(topup) => floor.topup(*topup).map(|(_, view)| Response::Topup(Box::new(view))),
                Request::Key(key) => Some(Response::Key(floor.key(key))),
                Request::Blob(digest) => {
                    self.blobs.insert(*digest);
                    Some(Response::Stored)
                }
                // It came in since the last batch was made up.
                Request::Statement(_) => {
                    drop(floor);
                    self.inbox.push((ticket, request));
                    continue;
                }
                Request::Work(..) => None,
            };
            answer(stage, ticket, response.unwrap_or(Response::Refused { code: "unknown".into() }));
        }
    }

    fn answer_polls(&mut self, stage: &mut Stage, events: &[std::sync::Arc<node::api::PlacedEvent>]) {
        let Some(venue) = &self.venue else { return };
        let floor = venue.read();
        let mut touched = BTreeSet::new();
        for event in events {
            match floor.machines_touched(&event.event) {
                Touched::Some(machines) => touched.extend(machines),
                Touched::All => touched.extend(self.parked.keys().copied()),
            }
        }
        let late = self.parked.iter().filter(|(_, parked)| parked.until <= stage.now);
        touched.extend(late.map(|(machine, _)| *machine).collect::<Vec<_>>());
        for machine in touched {
            answer_poll(stage, &floor, &mut self.parked, machine, false);
        }
    }

    fn look_at_payments(&mut self, stage: &mut Stage, has_news: bool) {
        let Some(venue) = &self.venue else { return };
        if !has_news && stage.now < self.payments_at {
            return;
        }
        self.payments_at = stage.now.plus(PAYMENTS_MS);
        let duties = payments::outstanding(venue.read().state());
        for duty in duties {
            // One question at a time about each payment.
            if !self.asked.insert(name_of(&duty)) {
                continue;
            }
            match now_or_never(payments::carry_out(&self.node, &duty)).flatten() {
                Some(command) => {
                    let ms = stage.rng.between(1, 200);
                    stage.after(
                        ms,
                        Event::Own { life: self.life, duty: name_of(&duty), command: Box::new(command) },
                    );
                }
                None => drop(self.asked.remove(&name_of(&duty))),
            }
        }
    }

    /// The disk failed under the process, which has to end.
    fn dies(&mut self, stage: &mut Stage) {
        let down_ms = stage.rng.between(500, 20_000);
        // The simulated disk has crashed already when it was told to crash in a sync.
        self.crash(stage, Crash::LoseUnsynced, down_ms);
    }
}

fn name_of(duty: &Duty) -> String {
    match duty {
        Duty::Invoice { topup, .. } => format!("invoice {topup}"),
        Duty::Watch { topup, .. } => format!("watch {topup}"),
        Duty::Pay { withdrawal, .. } => format!("pay {withdrawal}"),
    }
}

/// A result can be revealed only once its output is stored and hashed.
fn outputs_are_stored(blobs: &BTreeSet<Digest>, statement: &Statement) -> bool {
    if !statement.payload.contains("reveal_results") {
        return true;
    }
    match statement.read().map(|payload| payload.command) {
        Ok(Command::RevealResults { reveals }) => {
            reveals.iter().all(|reveal| blobs.contains(&reveal.result.output))
        }
        _ => true,
    }
}

fn answer(stage: &mut Stage, ticket: Ticket, response: Response) {
    stage.carry(ticket.peer, &Event::Answered(ticket, Rc::new(response)));
}

/// Answers a poll when the work has changed or the poll has waited long enough.
fn answer_poll(
    stage: &mut Stage,
    floor: &Floor,
    parked: &mut BTreeMap<MachineId, Parked>,
    machine: MachineId,
    is_new: bool,
) {
    let Some(poll) = parked.get(&machine) else { return };
    let Some(view) = floor.work(machine) else { return };
    let is_late = !is_new && poll.until <= stage.now;
    if poll.revision != Some(view.revision) || is_late {
        let ticket = poll.ticket;
        parked.remove(&machine);
        answer(stage, ticket, Response::Work(Box::new(view)));
    }
}
