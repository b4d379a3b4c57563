//! A venue without I/O of its own: one journal, one writer. The server gives it a clock, a disk and connections; the
//! simulation gives it others, and runs the same code.
//!
//! # The order of things
//!
//! [`check_statement`] reads a statement and checks who signed; it is pure, so that many can be checked at once. The
//! writer takes what was checked in batches: [`Venue::admit`] reserves space in the journal, applies each statement
//! and appends those that were accepted; [`Venue::sync`] makes them durable. Only then are replies, events and
//! effects released. [`Venue::chores`] are the statements of the venue itself: ticks, liveness, links of its audit
//! chains. They go the same way.
//!
//! # Reading
//!
//! [`Venue::floor`] is shared with readers. Between `admit` and `sync` it is ahead of the disk: a reader notes
//! [`Floor::position`] with what it read, and gives the answer away once that position is durable.

mod deterrence;
mod events;
mod floor;
mod keeper;
mod liveness;
pub mod payments;
mod quote;
pub mod reads;
mod recovery;
mod rights;

pub use events::{CursorGone, RecentEvents};
pub use floor::{Diverged, Floor, Leaf};
pub use recovery::{RecoverError, RecoveryReport, Replayed, make_snapshot, make_snapshot_on, replay};

use crate::{
    api::{Accepted, PlacedEvent},
    journal::{Journal, JournalError, record_bytes, snapshot::Snapshot},
};
use keeper::Keeper;
use liveness::Liveness;
use market::{
    command::Command,
    effect::{Effect, EffectId},
    id::{JobId, MachineId},
    key::{PublicKey, SecretKey},
    log::SignedHead,
    receipt::Receipt,
    rejection::Rejection,
    reply::Reply,
    statement::{Checked, Payload, Statement, StatementError},
    units::TimeMs,
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How long the venue's own statements are good, in milliseconds.
const OWN_LIFETIME_MS: u64 = 60_000;

/// How a venue is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A machine that was not heard of for so long is lost, in milliseconds.
    pub lost_after_ms: u64,
    /// How many events are kept for streams that come back.
    pub recent_events: usize,
    /// A cheat, for tests and the simulation: the venue keeps its audit links to itself.
    pub withholds_links: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { lost_after_ms: 15_000, recent_events: 65_536, withholds_links: false }
    }
}

/// A statement whose form, addressee and signature are right.
#[derive(Debug, Clone)]
pub struct CheckedStatement {
    checked: Checked,
    bytes: Vec<u8>,
}

impl CheckedStatement {
    /// What is asked.
    pub fn command(&self) -> &Command {
        &self.checked.command
    }

    /// How large it is in the journal, in bytes.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Who asks.
    pub fn signer(&self) -> PublicKey {
        self.checked.signer
    }
}

/// Checks form, addressee and signature of a statement. Pure and slow (an ed25519 check), so that callers do it in
/// parallel.
pub fn check_statement(statement: &Statement, venue: &PublicKey) -> Result<CheckedStatement, StatementError> {
    let checked = statement.check(venue)?;
    Ok(CheckedStatement { checked, bytes: statement.to_bytes() })
}

/// Why a statement was not accepted. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The rules say no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// There is no space for it.
    #[error("this market is read-only, its disk is full: nothing is lost; send the statement again later")]
    DiskFull,
}

/// A statement that was accepted and is not yet durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Where it stands in the journal.
    pub position: u64,
    /// What its sender will be told.
    pub reply: Reply,
    /// Whether it had been accepted before.
    pub duplicate: bool,
}

impl Admitted {
    /// The answer, once it is durable.
    pub fn accepted(self, head: SignedHead) -> Accepted {
        Accepted { position: self.position, reply: self.reply, duplicate: self.duplicate, head }
    }
}

/// Keeps the entries of the public log, which the venue hashes and forgets.
pub trait Archive {
    /// How many it has. A snapshot that begins later is not used: the entries before it could not be made again.
    fn entries(&self) -> u64;

    /// Whether it has the receipt of a job. One that it lacks is made again by a replay that goes through the settlement.
    fn has_receipt(&self, job: JobId) -> bool;

    /// An entry that a replay went through; it may be there already.
    fn add(&mut self, leaf: Leaf);
}

/// Keeps nothing, and misses nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoArchive;

impl Archive for NoArchive {
    fn entries(&self) -> u64 {
        u64::MAX
    }

    fn has_receipt(&self, _: JobId) -> bool {
        true
    }

    fn add(&mut self, _: Leaf) {}
}

/// What a sync set free.
#[derive(Debug, Clone)]
pub struct Released {
    /// Everything up to here is durable.
    pub position: u64,
    /// The newest head of the public log.
    pub head: SignedHead,
    /// What happened since the last sync.
    pub events: Vec<Arc<PlacedEvent>>,
    /// The entries of the public log since the last sync.
    pub leaves: Vec<Leaf>,
    /// The receipts of the jobs that were settled since the last sync.
    pub receipts: Vec<Receipt>,
    /// Whether payments are to be looked at.
    pub has_payments: bool,
}

/// The writer of a venue.
pub struct Venue<J> {
    floor: Arc<RwLock<Floor>>,
    journal: J,
    secret: SecretKey,
    keeper: Keeper,
    liveness: Liveness,
    staged: Staged,
    is_full: bool,
    /// Makes the venue's own statements differ.
    nonce: u64,
}

/// What waits for the next sync.
#[derive(Default)]
struct Staged {
    events: Vec<Arc<PlacedEvent>>,
    effects: Vec<(EffectId, Effect)>,
}

impl<J: Journal> Venue<J> {
    /// Opens a venue: takes the snapshot, where it fits, and replays the rest of the journal. The entries of the public log
    /// that the replay goes through are given to the archive. On a journal with history the venue says [`Command::Resume`] first of
    /// all, so that no deadline passed in its absence.
    pub fn open(
        journal: J,
        secret: SecretKey,
        settings: Settings,
        snapshot: Option<Snapshot>,
        now: TimeMs,
        archive: impl Archive,
    ) -> Result<(Venue<J>, RecoveryReport), RecoverError> {
        let (mut floor, report) =
            recovery::recover(&journal, &secret, settings.recent_events, snapshot, archive)?;
        floor.sign_head(now.max(journal.last_at()), &secret);
        let mut keeper = Keeper::new(&secret, settings.withholds_links);
        keeper.take_over(floor.engine().state());
        let liveness = Liveness::new(settings.lost_after_ms, now, floor.engine().state());
        if journal.durable().0 > 0 {
            keeper.demand(Command::Resume);
        }
        let venue = Venue {
            floor: Arc::new(RwLock::new(floor)),
            journal,
            secret,
            keeper,
            liveness,
            staged: Staged::default(),
            is_full: false,
            nonce: 0,
        };
        Ok((venue, report))
    }

    /// What readers share.
    pub fn floor(&self) -> Arc<RwLock<Floor>> {
        self.floor.clone()
    }

    /// Reads the floor.
    pub fn read(&self) -> RwLockReadGuard<'_, Floor> {
        self.floor.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Floor> {
        self.floor.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The venue's key.
    pub fn key(&self) -> PublicKey {
        self.secret.public()
    }

    /// Whether the last batch found no space in the journal.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The journal.
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// Applies a batch. What was accepted must not be told to anybody before [`Venue::sync`]. After an error the process
    /// has to end.
    pub fn admit(
        &mut self,
        now: TimeMs,
        batch: Vec<CheckedStatement>,
    ) -> Result<Vec<Result<Admitted, Refusal>>, JournalError> {
        let now = now.max(self.journal.last_at());
        let bytes = batch.iter().map(|statement| record_bytes(statement.bytes.len())).sum();
        self.is_full = match self.journal.reserve(bytes) {
            Ok(()) => false,
            Err(JournalError::Full { .. }) => true,
            Err(fatal @ (JournalError::SyncFailed { .. } | JournalError::Poisoned)) => return Err(fatal),
        };
        let floor = self.floor.clone();
        let mut floor = floor.write().unwrap_or_else(PoisonError::into_inner);
        Ok(batch.into_iter().map(|statement| self.admit_one(&mut floor, now, &statement)).collect())
    }

    fn admit_one(
        &mut self,
        floor: &mut Floor,
        now: TimeMs,
        statement: &CheckedStatement,
    ) -> Result<Admitted, Refusal> {
        let checked = &statement.checked;
        if let Some((position, reply)) = floor.earlier_answer(checked) {
            return Ok(Admitted { position, reply, duplicate: true });
        }
        if let Some(seen) = checked.seen.filter(|seen| !floor.log().passed_through(seen)) {
            return Err(Rejection::UnknownHead { size: seen.size }.into());
        }
        if self.is_full {
            return Err(Refusal::DiskFull);
        }
        let (applied, events) = floor.apply(now, checked)?;
        let position = self.journal.append(now, &statement.bytes);
        assert_eq!(position.0, applied.position, "the journal and the engine count alike");
        if let Some(machine) = floor.machine_of(&checked.signer) {
            self.liveness.heard(machine, now);
        }
        self.staged.events.extend(events);
        self.staged.effects.extend(applied.effects);
        Ok(Admitted { position: applied.position, reply: applied.reply, duplicate: false })
    }

    /// Makes everything that was admitted durable and sets it free. After an error the process has to end: nobody knows
    /// what the disk holds.
    pub fn sync(&mut self, now: TimeMs) -> Result<Released, JournalError> {
        let position = self.journal.sync()?.0;
        let staged = std::mem::take(&mut self.staged);
        let has_payments = staged.effects.iter().any(|(_, effect)| payments::concerns(effect));
        let (head, leaves, receipts) = {
            let mut floor = self.write();
            floor.release(position, &staged.events);
            let head = floor.sign_head(now.max(self.journal.last_at()), &self.secret);
            (head, floor.take_leaves(), floor.take_receipts(&self.secret))
        };
        for (_, effect) in &staged.effects {
            self.keeper.take(effect);
        }
        Ok(Released { position, head, events: staged.events, leaves, receipts, has_payments })
    }

    /// Admits a batch and syncs it: for callers with one thread.
    pub fn commit(
        &mut self,
        now: TimeMs,
        batch: Vec<CheckedStatement>,
    ) -> Result<(Vec<Result<Accepted, Refusal>>, Released), JournalError> {
        let admitted = self.admit(now, batch)?;
        let released = self.sync(now)?;
        let answers =
            admitted.into_iter().map(|item| item.map(|admitted| admitted.accepted(released.head))).collect();
        Ok((answers, released))
    }

    /// What the venue itself has to say now. Ask again after each batch and at [`Venue::next_chore`]; what is refused
    /// comes up again.
    pub fn chores(&mut self, now: TimeMs) -> Vec<CheckedStatement> {
        let floor = self.floor.clone();
        let floor = floor.read().unwrap_or_else(PoisonError::into_inner);
        let state = floor.engine().state();
        let mut commands = self.keeper.answers(now, state);
        commands.extend(self.liveness.changes(now, state));
        // On a full disk the tick finds out whether there is space again.
        if self.is_full || floor.engine().next_timer().is_some_and(|due| due <= now) {
            commands.push(Command::Tick);
        }
        commands.into_iter().filter_map(|command| self.own_statement(now, command)).collect()
    }

    /// When [`Venue::chores`] has something to say at the latest, if nothing happens before.
    pub fn next_chore(&self, now: TimeMs) -> TimeMs {
        let timer = self.read().engine().next_timer();
        let own = self.liveness.next_look(now).min(self.keeper.next_answer().unwrap_or(TimeMs(u64::MAX)));
        timer.map_or(own, |timer| timer.min(own))
    }

    /// Signs a command as the venue. `None` when it cannot be encoded, which no command of the venue is.
    pub fn own_statement(&mut self, now: TimeMs, command: Command) -> Option<CheckedStatement> {
        self.nonce += 1;
        let payload = Payload {
            v: 1,
            venue: self.key(),
            not_after_ms: now.max(self.journal.last_at()).plus(OWN_LIFETIME_MS),
            // Positions differ from run to run, the count within a run.
            nonce: (self.journal.head().position.0 << 20) | (self.nonce & 0xf_ffff),
            seen: None,
            command,
        };
        let statement = Statement::sign(&self.secret, &payload).ok()?;
        let bytes = statement.to_bytes();
        Some(CheckedStatement { checked: statement.trust().ok()?, bytes })
    }

    /// A machine gave a sign of life.
    pub fn heard(&mut self, machine: MachineId, now: TimeMs) {
        self.liveness.heard(machine, now);
    }
}
