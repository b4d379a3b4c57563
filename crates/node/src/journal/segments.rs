//! The embedded journal: appending to segments, and what happens when they are opened again.

use super::{
    ChainHead, Disk, DiskFile, Entries, Folder, Journal, JournalError, MAX_PAYLOAD_BYTES, Position,
    ReadError, SimulatedDisk, TornTail, genesis,
    layout::{self, HEADER_BYTES, Header, Record},
    read::{SegmentReader, Step, Walk, check_venue, list_segments},
    record_bytes,
};
use market::{key::PublicKey, units::TimeMs};
use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// The file whose lock says that a process writes the journal.
const LOCK_NAME: &str = "lock";
/// A segment that is not yet one.
const UNFINISHED_NAME: &str = "next.tmp";
/// A buffer that one large group blew up is given back.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

/// How large files become.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where the next segment starts. A group that is larger gets a segment of its own. At most 2 GiB.
    pub segment_bytes: u64,
    /// How much space is written ahead at once.
    pub extent_bytes: u64,
}

impl Default for Options {
    /// Segments of 64 MiB, extents of 4 MiB.
    fn default() -> Options {
        Options { segment_bytes: 64 << 20, extent_bytes: 4 << 20 }
    }
}

/// Why a journal does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process writes the journal in {}: stop it first", folder.display())]
    InUse {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// What is there cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The first segment or the cut could not be written.
    #[error(transparent)]
    Write(#[from] JournalError),
    /// The system refused.
    #[error("cannot open the journal in {}: {source}", folder.display())]
    Io {
        /// The journal's folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What opening a journal had to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cut an incomplete group of {cut_bytes} bytes after entry {at_position}, {} byte {offset} ({why}). A crash leaves such \
     a tail and nothing in it was acknowledged. If the machine did not crash, the disk may have damaged acknowledged \
     entries: compare with the newest receipt", file.display()
)]
pub struct Recovered {
    /// How many bytes were cut.
    pub cut_bytes: u64,
    /// The newest entry that is left.
    pub at_position: Position,
    /// The file that was cut.
    pub file: PathBuf,
    /// Its new length.
    pub offset: u64,
    /// What was wrong with the first record that was cut.
    pub why: String,
}

impl From<TornTail> for Recovered {
    fn from(tail: TornTail) -> Recovered {
        Recovered {
            cut_bytes: tail.bytes,
            at_position: Position(tail.position.0.saturating_sub(1)),
            file: tail.file,
            offset: tail.offset,
            why: tail.flaw.to_string(),
        }
    }
}

/// A journal in a folder of the file system.
pub type FileJournal = SegmentJournal<Folder>;
/// The same journal on a simulated disk with faults.
pub type MemoryJournal = SegmentJournal<SimulatedDisk>;

/// A journal of segments on any [`Disk`].
pub struct SegmentJournal<D: Disk> {
    disk: D,
    venue: PublicKey,
    options: Options,
    segment: Segment<D::File>,
    /// The records since the last sync.
    group: Vec<u8>,
    head: ChainHead,
    durable: Position,
    last_at: TimeMs,
    poisoned: bool,
    /// Held for as long as the journal is open.
    _lock: Option<File>,
}

/// The segment that grows.
struct Segment<F> {
    file: F,
    name: String,
    seed: u32,
    /// Where the durable records end and the next group starts.
    end: u64,
    /// Up to where the file is written and synced, with zeros where no record is yet.
    reserved: u64,
}

impl FileJournal {
    /// Opens the journal in a folder, made where it is missing. Cuts a torn tail and says so; refuses damage, the
    /// journal of another venue, and a folder that another process writes.
    ///
    /// Of the older segments only the names are looked at: replaying the journal with [`Journal::read`] checks them,
    /// as does [`super::verify`].
    pub fn open(
        folder: &Path,
        venue: PublicKey,
        options: Options,
    ) -> Result<(FileJournal, Option<Recovered>), OpenError> {
        let io_error = |source| OpenError::Io { folder: folder.to_owned(), source };
        let disk = Folder::create(folder).map_err(io_error)?;
        let lock = disk.create(LOCK_NAME).map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io_error(source)),
        }
        SegmentJournal::open_on(disk, venue, options, Some(lock))
    }
}

impl MemoryJournal {
    /// Opens the journal on a simulated disk, as after a restart of the process.
    pub fn open(
        disk: &SimulatedDisk,
        venue: PublicKey,
        options: Options,
    ) -> Result<(MemoryJournal, Option<Recovered>), OpenError> {
        SegmentJournal::open_on(disk.clone(), venue, options, None)
    }
}

impl<D: Disk> SegmentJournal<D> {
    fn open_on(
        disk: D,
        venue: PublicKey,
        options: Options,
        lock: Option<File>,
    ) -> Result<(Self, Option<Recovered>), OpenError> {
        assert!(options.segment_bytes <= 1 << 31 && options.extent_bytes > 0, "impossible {options:?}");
        let Start { segment, head, last_at, recovered } = match list_segments(&disk)?.last() {
            Some(first) => reopen(&disk, *first, venue)?,
            None => {
                let head = ChainHead { position: Position::START, hash: genesis(&venue) };
                let segment = Segment::prepare(&disk, venue, head, options.extent_bytes)?.publish(&disk)?;
                Start { segment, head, last_at: TimeMs(0), recovered: None }
            }
        };
        let durable = head.position;
        let journal = SegmentJournal {
            disk,
            venue,
            options,
            segment,
            group: Vec::new(),
            head,
            durable,
            last_at,
            poisoned: false,
            _lock: lock,
        };
        Ok((journal, recovered))
    }

    /// Where the records end, those of the unsynced group included.
    fn end(&self) -> u64 {
        self.segment.end + self.group.len() as u64
    }

    /// Finishes the newest segment and starts another with room for `bytes`.
    fn roll(&mut self, bytes: u64) -> Result<(), JournalError> {
        self.write_group()?;
        let room = round_up(HEADER_BYTES as u64 + bytes, self.options.extent_bytes);
        // Prepared first: when there is no space for it, nothing has changed.
        let next = Segment::prepare(&self.disk, self.venue, self.head, room)?;
        let (end, path) = (self.segment.end, self.disk.path(&self.segment.name));
        self.segment.file.truncate(end).map_err(|source| JournalError::SyncFailed { file: path, source })?;
        self.segment.reserved = end;
        self.segment = next.publish(&self.disk)?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), JournalError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let segment = &mut self.segment;
        segment
            .file
            .write_at(segment.end, &self.group)
            .and_then(|()| segment.file.sync())
            .map_err(|source| JournalError::SyncFailed { file: self.disk.path(&segment.name), source })?;
        segment.end += self.group.len() as u64;
        self.group.clear();
        self.group.shrink_to(KEPT_BUFFER_BYTES);
        self.durable = self.head.position;
        Ok(())
    }

    fn poison_on_failure<T>(&mut self, result: Result<T, JournalError>) -> Result<T, JournalError> {
        self.poisoned |= matches!(result, Err(JournalError::SyncFailed { .. }));
        result
    }

    fn refuse_when_poisoned(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned) } else { Ok(()) }
    }
}

impl<D: Disk> Journal for SegmentJournal<D> {
    fn reserve(&mut self, bytes: u64) -> Result<(), JournalError> {
        self.refuse_when_poisoned()?;
        let wanted = self.end() + bytes;
        let has_entries = self.end() > HEADER_BYTES as u64;
        let result = if wanted <= self.segment.reserved {
            Ok(())
        } else if wanted > self.options.segment_bytes && has_entries {
            self.roll(bytes)
        } else {
            let upto = round_up(wanted, self.options.extent_bytes);
            self.segment.grow(&self.disk, upto)
        };
        self.poison_on_failure(result)
    }

    fn append(&mut self, at: TimeMs, payload: &[u8]) -> Position {
        assert!(
            !payload.is_empty() && payload.len() <= MAX_PAYLOAD_BYTES,
            "{} bytes of payload",
            payload.len()
        );
        assert!(at >= self.last_at, "time runs backwards: {at:?} after {:?}", self.last_at);
        assert!(
            self.end() + record_bytes(payload.len()) <= self.segment.reserved,
            "the space was not reserved"
        );
        let position = self.head.position.next();
        let chain = layout::chain(&self.head.hash, at, payload);
        let record = Record { at, group_offset: self.segment.end as u32, chain, payload };
        record.encode(self.segment.seed, &mut self.group);
        self.head = ChainHead { position, hash: chain };
        self.last_at = at;
        position
    }

    fn sync(&mut self) -> Result<Position, JournalError> {
        self.refuse_when_poisoned()?;
        let result = self.write_group();
        self.poison_on_failure(result)?;
        Ok(self.durable)
    }

    fn head(&self) -> ChainHead {
        self.head
    }

    fn durable(&self) -> Position {
        self.durable
    }

    fn last_at(&self) -> TimeMs {
        self.last_at
    }

    fn read(&self, from: Position) -> Entries {
        match Walk::new(self.disk.clone(), from, Some(self.durable)) {
            Ok(walk) => Box::new(walk.fused()),
            Err(e) => Box::new(std::iter::once(Err(e))),
        }
    }
}

impl<F: DiskFile> Segment<F> {
    /// Writes the start of a segment under a name that is no segment's.
    fn prepare<D: Disk<File = F>>(
        disk: &D,
        venue: PublicKey,
        before: ChainHead,
        room_bytes: u64,
    ) -> Result<Self, JournalError> {
        let header = Header { first: before.position.next(), venue, chain_before: before.hash };
        let write_error = |source| write_error(disk.path(UNFINISHED_NAME), room_bytes, source);
        let end = HEADER_BYTES as u64;
        let mut segment = Segment {
            file: disk.create(UNFINISHED_NAME).map_err(write_error)?,
            name: UNFINISHED_NAME.to_owned(),
            seed: header.checksum(),
            end,
            reserved: 0,
        };
        let written = segment.file.write_at(0, &header.encode()).map_err(write_error).and_then(|()| {
            segment.reserved = end;
            segment.grow(disk, room_bytes)
        });
        if let Err(e) = written {
            // Its blocks may be what keeps the disk full. When even this fails, the next attempt replaces the file.
            let _ = disk.remove(UNFINISHED_NAME);
            return Err(e);
        }
        segment.name = layout::segment_name(header.first);
        Ok(segment)
    }

    /// Gives a prepared segment its name, durably.
    fn publish<D: Disk<File = F>>(self, disk: &D) -> Result<Self, JournalError> {
        disk.rename(UNFINISHED_NAME, &self.name)
            .and_then(|()| disk.sync_names())
            .map_err(|source| JournalError::SyncFailed { file: disk.path(&self.name), source })?;
        Ok(self)
    }

    /// Writes zeros up to an offset and syncs them, so that later writes need no new blocks.
    fn grow<D: Disk<File = F>>(&mut self, disk: &D, upto: u64) -> Result<(), JournalError> {
        let zeros = vec![0; upto.saturating_sub(self.reserved) as usize];
        self.file
            .write_at(self.reserved, &zeros)
            .and_then(|()| self.file.sync())
            .map_err(|source| write_error(disk.path(&self.name), zeros.len() as u64, source))?;
        self.reserved = upto;
        Ok(())
    }
}

/// Where a journal that was opened goes on.
struct Start<F> {
    segment: Segment<F>,
    head: ChainHead,
    last_at: TimeMs,
    recovered: Option<Recovered>,
}

/// Reads the newest segment to its end and cuts a torn tail.
fn reopen<D: Disk>(disk: &D, first: Position, venue: PublicKey) -> Result<Start<D::File>, OpenError> {
    let mut reader = SegmentReader::open(disk, first)?;
    check_venue(&reader, disk, venue)?;
    let torn_tail = loop {
        match reader.step()? {
            Step::Entry(_) => {}
            Step::End => break None,
            Step::Bad(flaw) => break reader.judge_tail(flaw)?,
        }
    };
    let (seed, end, head, last_at) = (reader.seed, reader.offset, reader.head, reader.last_at);
    let mut reserved = reader.len_bytes;
    let name = layout::segment_name(first);
    let mut file = reader.into_file();
    if torn_tail.is_some() {
        file.truncate(end).map_err(|source| JournalError::SyncFailed { file: disk.path(&name), source })?;
        reserved = end;
    }
    let segment = Segment { file, name, seed, end, reserved };
    Ok(Start { segment, head, last_at, recovered: torn_tail.map(Recovered::from) })
}

/// No space is a refusal; anything else leaves the disk in doubt.
fn write_error(file: PathBuf, needed_bytes: u64, source: io::Error) -> JournalError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            JournalError::Full { needed_bytes, file, source }
        }
        _ => JournalError::SyncFailed { file, source },
    }
}

fn round_up(bytes: u64, step: u64) -> u64 {
    bytes.div_ceil(step) * step
}
