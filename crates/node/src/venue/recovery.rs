//! From a journal back to the market: the newest snapshot that fits, and the rest replayed.

use super::{Archive, Diverged, Floor, floor::SnapshotBody};
use crate::api::PlacedEvent;
use crate::journal::{
    ChainHead, Disk, Entries, Entry, Folder, Journal, Position, ReadError, dump, dump_disk,
    snapshot::{self, Snapshot, SnapshotMeta},
};
use market::{
    engine::{Engine, State, Violation},
    id::Digest,
    key::{PublicKey, SecretKey},
    log::{Head, PublicLog},
    statement::Statement,
};
use std::{io, path::Path, sync::Arc};

/// The version of a snapshot's encoding: of the state's, the log's, and what holds both.
const SNAPSHOT_FORMAT: u32 = 5;

/// What a recovery did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Position of the snapshot that was used.
    pub snapshot: Option<u64>,
    /// Why a snapshot that was there was not used.
    pub ignored: Option<String>,
    /// How many entries were replayed.
    pub replayed: u64,
}

/// Why a venue does not come back.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal does not replay.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// An entry that is no statement.
    #[error(
        "entry {position} of the journal holds no statement ({reason}): it was written by another program"
    )]
    NotAStatement {
        /// The entry.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// The state contradicts itself after the replay.
    #[error("the replayed market contradicts itself: {0}")]
    Violation(String),
    /// The state could not be encoded.
    #[error("the state could not be encoded: {0}")]
    Encode(#[from] postcard::Error),
    /// A snapshot could not be written.
    #[error("the snapshot could not be written: {0}")]
    Snapshot(#[from] io::Error),
    /// Nobody owns the folder yet.
    #[error("there is no journal in this folder: a market that has accepted nothing has nothing to replay")]
    Empty,
}

impl From<Violation> for RecoverError {
    fn from(violation: Violation) -> RecoverError {
        RecoverError::Violation(violation.to_string())
    }
}

/// What a replay arrived at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// How many entries.
    pub entries: u64,
    /// The end of the journal's chain.
    pub chain_head: Option<ChainHead>,
    /// Hash over the whole state.
    pub state_hash: Digest,
    /// The public log.
    pub public_head: Head,
}

/// Replays a journal folder from its first entry, beside a running market or without one. `see` is shown every event.
pub fn replay(
    folder: &Path,
    venue: PublicKey,
    mut see: impl FnMut(&PlacedEvent),
) -> Result<Replayed, RecoverError> {
    // The replayed copy signs nothing that anybody sees.
    let mut floor = Floor::new(Engine::new(venue), PublicLog::new(), &throwaway_key(), 1);
    let (mut entries, mut chain_head) = (0, None);
    for entry in dump(folder, Position::START.next())? {
        let entry = entry?;
        replay_entry(&mut floor, &entry)?.iter().for_each(|event| see(event));
        floor.drop_outputs();
        entries += 1;
        chain_head = Some(ChainHead { position: entry.position, hash: entry.chain });
    }
    floor.engine().check_invariants()?;
    Ok(Replayed {
        entries,
        chain_head,
        state_hash: floor.engine().state_hash()?,
        public_head: floor.log().head(),
    })
}

/// Makes a snapshot of a journal folder on a copy, beside the running market: the newest snapshot, and what was journaled
/// since up to `upto`. Says its position; `None` when nothing was journaled since the last one.
pub fn make_snapshot(
    journal: &Path,
    snapshots: &Path,
    venue: PublicKey,
    upto: Position,
) -> Result<Option<Position>, RecoverError> {
    make_snapshot_on(&Folder::at(journal), &Folder::create(snapshots)?, venue, upto)
}

/// The same on any disks.
pub fn make_snapshot_on<D: Disk>(
    journal: &D,
    snapshots: &D,
    venue: PublicKey,
    upto: Position,
) -> Result<Option<Position>, RecoverError> {
    let found = snapshot::latest(snapshots)?;
    let (mut floor, mut head) = match found
        .newest
        .map(|snapshot| restore(&snapshot, venue, &throwaway_key(), 1))
    {
        Some(Ok((floor, head))) => (floor, Some(head)),
        Some(Err(_)) | None => (Floor::new(Engine::new(venue), PublicLog::new(), &throwaway_key(), 1), None),
    };
    let from = head.map_or(Position::START, |head| head.position).next();
    let mut is_news = false;
    for entry in dump_disk(journal.clone(), from)? {
        let entry = entry?;
        if entry.position > upto {
            break;
        }
        replay_entry(&mut floor, &entry)?;
        floor.drop_outputs();
        head = Some(ChainHead { position: entry.position, hash: entry.chain });
        is_news = true;
    }
    let Some(chain_head) = head.filter(|_| is_news) else { return Ok(None) };
    // A full check costs time that the writer does not have; the copy does.
    floor.engine().check_invariants()?;
    let meta = SnapshotMeta {
        chain_head,
        rules_version: floor.state().rules_version,
        state_hash: floor.engine().state_hash()?,
        format: SNAPSHOT_FORMAT,
    };
    snapshot::write(snapshots, &meta, &floor.to_snapshot()?)?;
    Ok(Some(chain_head.position))
}

/// The floor at the end of a journal.
pub(super) fn recover<J: Journal>(
    journal: &J,
    secret: &SecretKey,
    recent_events: usize,
    snapshot: Option<Snapshot>,
    mut archive: impl Archive,
) -> Result<(Floor, RecoveryReport), RecoverError> {
    let mut report = RecoveryReport { snapshot: None, ignored: None, replayed: 0 };
    let venue = secret.public();
    let restored = snapshot.and_then(|snapshot| {
        let fits = restore(&snapshot, venue, secret, recent_events)
            .and_then(|(floor, head)| fits_journal(journal, head).map(|()| floor))
            .and_then(|floor| fits_archive(&archive, floor));
        fits.map_err(|why| report.ignored = Some(why)).ok()
    });
    let mut floor = match restored {
        Some(floor) => {
            report.snapshot = Some(floor.position());
            floor
        }
        None => Floor::new(Engine::new(venue), PublicLog::new(), secret, recent_events),
    };
    let rest = journal.read(Position(floor.position()).next());
    replay_rest(&mut floor, rest, &mut report, &mut archive)?;
    Ok((floor, report))
}

fn replay_rest(
    floor: &mut Floor,
    entries: Entries,
    report: &mut RecoveryReport,
    archive: &mut impl Archive,
) -> Result<(), RecoverError> {
    let mut owed = Vec::new();
    for entry in entries {
        let entry = entry?;
        let events = replay_entry(floor, &entry)?;
        floor.release(entry.position.0, &events);
        floor.take_leaves().into_iter().for_each(|leaf| archive.add(leaf));
        owed.extend(floor.take_settled().into_iter().filter(|settled| !archive.has_receipt(settled.job())));
        report.replayed += 1;
    }
    floor.owe_receipts(owed);
    Ok(())
}

fn replay_entry(floor: &mut Floor, entry: &Entry) -> Result<Vec<Arc<PlacedEvent>>, RecoverError> {
    let position = entry.position.0;
    let not_a_statement = |reason: String| RecoverError::NotAStatement { position, reason };
    let statement =
        Statement::from_bytes(&entry.payload).ok_or_else(|| not_a_statement("too short".into()))?;
    let checked = statement.trust().map_err(|error| not_a_statement(error.to_string()))?;
    let (_, events) =
        floor.apply(entry.at, &checked).map_err(|rejection| Diverged { position, rejection })?;
    Ok(events)
}

/// Reads a snapshot. An error says in words why it cannot be used.
fn restore(
    snapshot: &Snapshot,
    venue: PublicKey,
    secret: &SecretKey,
    recent_events: usize,
) -> Result<(Floor, ChainHead), String> {
    let meta = &snapshot.meta;
    if meta.format != SNAPSHOT_FORMAT {
        return Err(format!("its format is {}, this program reads {SNAPSHOT_FORMAT}", meta.format));
    }
    let body: SnapshotBody<State, PublicLog> =
        postcard::from_bytes(&snapshot.bytes).map_err(|error| format!("it cannot be read: {error}"))?;
    if body.state.venue != venue {
        return Err("it belongs to another venue".into());
    }
    let engine = Engine::restore(body.state)
        .map_err(|version| format!("rules version {version} is not known here"))?;
    match engine.state_hash() {
        Ok(hash) if hash == meta.state_hash && engine.state().position == meta.chain_head.position.0 => {}
        Ok(_) => return Err("its state is not the one that it describes".into()),
        Err(error) => return Err(format!("its state cannot be hashed: {error}")),
    }
    Ok((Floor::new(engine, body.log, secret, recent_events), meta.chain_head))
}

/// Whether the journal has the snapshot's entry, with the same history before it.
fn fits_journal<J: Journal>(journal: &J, head: ChainHead) -> Result<(), String> {
    match journal.read(head.position).next() {
        Some(Ok(entry)) if entry.position == head.position && entry.chain == head.hash => Ok(()),
        Some(Ok(_)) => Err("its history is not the journal's".into()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the journal ends before it".into()),
    }
}

/// Whether the archive has everything that was published before the snapshot.
fn fits_archive(archive: &impl Archive, floor: Floor) -> Result<Floor, String> {
    if floor.log().size() <= archive.entries() {
        Ok(floor)
    } else {
        Err("the archive of the public log ends before it; it is made again from the whole journal".into())
    }
}

/// A key for copies whose heads nobody sees.
fn throwaway_key() -> SecretKey {
    SecretKey::from_bytes([0; 32])
}
