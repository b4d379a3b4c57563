//! The journal: the ordered record of every statement that was accepted. Replaying it gives the same market.
//!
//! ```
//! use market::{key::PublicKey, units::TimeMs};
//! use node::journal::{FileJournal, Journal, Options, Position, record_bytes};
//!
//! let folder = std::env::temp_dir().join(format!("journal-example-{}", std::process::id()));
//! let venue = PublicKey([7; 32]);
//! let (mut journal, recovered) = FileJournal::open(&folder, venue, Options::default())?;
//! assert!(recovered.is_none());
//! journal.reserve(record_bytes(b"statement".len()))?; // before the engine changes anything
//! journal.append(TimeMs(1_000), b"statement");
//! assert_eq!(journal.sync()?, Position(1)); // from here on the entry survives a power cut
//! # drop(journal);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The order of things
//!
//! The one writer calls [`Journal::reserve`] for a group of statements, applies them, [`Journal::append`]s those
//! that were accepted and calls [`Journal::sync`] once for all of them (group commit). Replies and effects are
//! released after `sync`. A full disk shows in `reserve`, before anything was applied. A failed sync poisons the
//! journal for ever and the process has to end: nobody can know what is on the disk then, and a second fsync
//! would report success for pages that the kernel has already dropped.
//!
//! # On disk
//!
//! A folder of segments ([`layout`] has every byte). A segment grows by extents of zeros that are written and
//! synced ahead of use: a full disk shows there, and a sync then overwrites blocks that the file already owns
//! instead of changing metadata. Segments are written once, never reused.
//!
//! # After a crash
//!
//! Only the group that was being written can be incomplete, and nothing in it was acknowledged. The disk may have
//! kept its sectors in any order, so good records after a bad one are possible *within* this group. Each record
//! therefore names the offset at which its group starts. A good record of a later group proves that the bad one
//! was durable before: that is damage, and it is refused ([`Corruption`]). Everything else is a torn tail, which
//! is cut and reported ([`Recovered`]). One case stays undecidable from the file alone: damage within the very
//! last group looks like a torn tail. The report says so; a receipt or a snapshot that names a later position
//! than the journal has proves the loss.

mod disk;
pub mod layout;
mod read;
mod segments;
mod simulated;
pub mod snapshot;

pub use disk::{Disk, DiskFile, Folder};
pub use layout::{MAX_PAYLOAD_BYTES, genesis, record_bytes};
pub(crate) use read::dump_disk;
pub use read::{Corruption, Entries, Flaw, ReadError, Report, TornTail, dump, verify};
pub use segments::{FileJournal, MemoryJournal, OpenError, Options, Recovered, SegmentJournal};
pub use simulated::{Crash, SimulatedDisk};

use market::{id::Digest, units::TimeMs};
use serde::{Deserialize, Serialize};
use std::{fmt, io, path::PathBuf};

/// The place of an entry in the journal. The first entry is 1; 0 is the place before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first entry.
    pub const START: Position = Position(0);

    /// The place after this one.
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The newest entry and the hash of everything up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainHead {
    /// The place of the newest entry.
    pub position: Position,
    /// The hash chain after it ([`layout::chain`]).
    pub hash: Digest,
}

/// One entry, as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// The writer's time.
    pub at: TimeMs,
    /// What was appended, verbatim.
    pub payload: Vec<u8>,
    /// The hash chain after this entry.
    pub chain: Digest,
}

/// An append-only record with one writer.
pub trait Journal: Send {
    /// Makes sure that `bytes` more (a sum of [`record_bytes`]) can be appended and synced without running out of
    /// space. Call it before anything is applied. Reservations do not add up: the newest one counts.
    fn reserve(&mut self, bytes: u64) -> Result<(), JournalError>;

    /// Adds an entry to the group that the next [`Journal::sync`] makes durable, and says its place.
    ///
    /// # Panics
    ///
    /// When the caller broke a rule that admission has to guarantee: the space was not reserved, `at` is before
    /// [`Journal::last_at`], or the payload is empty or longer than [`MAX_PAYLOAD_BYTES`].
    fn append(&mut self, at: TimeMs, payload: &[u8]) -> Position;

    /// Writes everything appended and waits until the disk has it. Returns the place of the newest durable entry.
    /// After an error the process has to end.
    fn sync(&mut self) -> Result<Position, JournalError>;

    /// The newest entry, synced or not.
    fn head(&self) -> ChainHead;

    /// The newest entry that survives a power cut.
    fn durable(&self) -> Position;

    /// The time of the newest entry; the writer's clock must not fall behind it.
    fn last_at(&self) -> TimeMs;

    /// The durable entries from `from` on, checked against the hash chain as they are read. Entries that become
    /// durable later are not included.
    fn read(&self, from: Position) -> Entries;
}

/// Why the journal takes no more.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no space for the reservation. Nothing is lost and nothing was applied.
    #[error(
        "no space for {needed_bytes} more bytes of journal at {}: new commands are refused until space is freed",
        file.display()
    )]
    Full {
        /// How many bytes the journal wanted to add.
        needed_bytes: u64,
        /// The file that could not grow.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A write or fsync failed, so that nobody knows what the disk holds.
    #[error(
        "writing the journal at {} failed: this process must end now; start it again once the disk is sound, \
         the journal will recover every acknowledged entry", file.display()
    )]
    SyncFailed {
        /// The file that could not be written.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A sync failed earlier.
    #[error("the journal failed earlier and takes nothing more: this process must end and start again")]
    Poisoned,
}
