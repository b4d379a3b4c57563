//! Reading a journal: entry by entry, each checked against the checksums and the hash chain.

use super::{
    ChainHead, Disk, DiskFile, Entry, Folder, Position, genesis,
    layout::{self, BadHeader, BadRecord, HEADER_BYTES, Header, RECORD_OVERHEAD_BYTES, decode_record},
};
use market::{id::Digest, key::PublicKey, units::TimeMs};
use std::{collections::VecDeque, io, path::Path, path::PathBuf};

/// How much is read from a file at once.
const WINDOW_BYTES: usize = 256 << 10;

/// Entries as they come from the disk. The first error is the last item.
pub type Entries = Box<dyn Iterator<Item = Result<Entry, ReadError>> + Send>;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Acknowledged entries are damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// A segment that another program version wrote, or that is no segment.
    #[error("{} is not a journal segment that can be read: {flaw}", file.display())]
    Header {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        flaw: BadHeader,
    },
    /// The journal of another venue.
    #[error(
        "{} belongs to the venue {found}, not to {expected}: use the folder or the key of the right market",
        file.display()
    )]
    OtherVenue {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: PublicKey,
        /// Whose it should be.
        expected: PublicKey,
    },
    /// The system could not read.
    #[error("cannot read {}: {source}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A place where acknowledged entries are damaged. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal is damaged at entry {position}, {} byte {offset}: {flaw}. Nothing was changed. Restore this file from \
     a copy and check it with `grist journal verify`; entries before {position} are sound", file.display()
)]
pub struct Corruption {
    /// The first entry that cannot be trusted.
    pub position: Position,
    /// The file.
    pub file: PathBuf,
    /// The offset in the file.
    pub offset: u64,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// What is wrong at a place in a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The bytes are not a record.
    #[error("{0}")]
    Record(#[from] BadRecord),
    /// The record is whole but does not continue the hash chain: something was changed, removed or put in.
    #[error("the record does not continue the hash chain")]
    Chain,
    /// The record is whole but its time is before the entry before it.
    #[error("time runs backwards")]
    Time,
    /// The record is whole but belongs to no group that can be here.
    #[error("the record belongs to another place in the file")]
    Group,
    /// Entries are not there.
    #[error("the next entry on disk is {next}: this segment is missing, or the one before it was cut")]
    Gap {
        /// The first entry that is there again.
        next: Position,
    },
    /// The segment says that it starts with another entry than its name.
    #[error("the segment was renamed: it starts with entry {0}")]
    Renamed(Position),
    /// The journal ends too early.
    #[error("the journal ends before entry {0}, which was there")]
    Short(Position),
}

/// Bytes after the last good record that were never acknowledged, unless the disk damaged its newest group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// How many bytes, unused space not counted.
    pub bytes: u64,
    /// The position that the first incomplete entry would have had.
    pub position: Position,
    /// The file.
    pub file: PathBuf,
    /// Where in the file the tail starts.
    pub offset: u64,
    /// What is wrong with the first record of the tail.
    pub flaw: Flaw,
}

/// What [`verify`] found in a sound journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many segments there are.
    pub segments: usize,
    /// How many entries.
    pub entries: u64,
    /// How many bytes of payload.
    pub payload_bytes: u64,
    /// Where it ends.
    pub head: ChainHead,
    /// The time of the last entry.
    pub last_at: TimeMs,
    /// An incomplete group at the end; the market cuts it when it starts.
    pub torn_tail: Option<TornTail>,
}

/// Reads a whole journal and checks every checksum, the hash chain and that nothing is missing in between. Changes
/// nothing and takes no lock, so that it runs beside a market. `progress` hears of every entry.
pub fn verify(folder: &Path, mut progress: impl FnMut(&Entry)) -> Result<Report, ReadError> {
    let mut walk = Walk::new(Folder::at(folder), Position::START.next(), None)?;
    let segments = walk.remaining.len();
    let (mut entries, mut payload_bytes) = (0, 0);
    while let Some(entry) = walk.step()? {
        entries += 1;
        payload_bytes += entry.payload.len() as u64;
        progress(&entry);
    }
    Ok(Report {
        segments,
        entries,
        payload_bytes,
        head: walk.head,
        last_at: walk.last_at,
        torn_tail: walk.torn_tail,
    })
}

/// The entries of a journal folder from a position on, without its lock. A torn tail is left out.
pub fn dump(folder: &Path, from: Position) -> Result<Entries, ReadError> {
    dump_disk(Folder::at(folder), from)
}

/// The same on any disk.
pub(crate) fn dump_disk<D: Disk>(disk: D, from: Position) -> Result<Entries, ReadError> {
    Ok(Box::new(Walk::new(disk, from, None)?.fused()))
}

/// What is at a place in a segment.
pub(super) enum Step {
    Entry(Entry),
    /// The file ends here.
    End,
    /// Something that is not the next record.
    Bad(Flaw),
}

/// Reads one segment from its start.
pub(super) struct SegmentReader<F> {
    file: F,
    path: PathBuf,
    pub(super) header: Header,
    pub(super) seed: u32,
    /// The bytes of the file from `offset` on, as far as they were read.
    window: VecDeque<u8>,
    pub(super) offset: u64,
    pub(super) len_bytes: u64,
    pub(super) head: ChainHead,
    pub(super) last_at: TimeMs,
    group_offset: u64,
}

impl<F: DiskFile> SegmentReader<F> {
    pub(super) fn open<D: Disk<File = F>>(disk: &D, first: Position) -> Result<Self, ReadError> {
        let name = layout::segment_name(first);
        let path = disk.path(&name);
        let io_error = |source| ReadError::Io { file: path.clone(), source };
        let mut file = disk.open(&name).map_err(io_error)?;
        let len_bytes = file.len_bytes().map_err(io_error)?;
        let mut start = [0; HEADER_BYTES];
        let count = file.read_at(0, &mut start).map_err(io_error)?;
        let header = Header::decode(start.get(..count).unwrap_or(&[]))
            .map_err(|flaw| ReadError::Header { file: path.clone(), flaw })?;
        if header.first != first {
            let flaw = Flaw::Renamed(header.first);
            return Err(Corruption { position: first, file: path, offset: 0, flaw }.into());
        }
        let head = ChainHead { position: Position(first.0.saturating_sub(1)), hash: header.chain_before };
        Ok(SegmentReader {
            file,
            path,
            seed: header.checksum(),
            header,
            window: VecDeque::new(),
            offset: HEADER_BYTES as u64,
            len_bytes,
            head,
            last_at: TimeMs(0),
            group_offset: HEADER_BYTES as u64,
        })
    }

    pub(super) fn into_file(self) -> F {
        self.file
    }

    pub(super) fn corruption(&self, flaw: Flaw) -> Corruption {
        Corruption { position: self.head.position.next(), file: self.path.clone(), offset: self.offset, flaw }
    }

    fn io_error(&self, source: io::Error) -> ReadError {
        ReadError::Io { file: self.path.clone(), source }
    }

    /// Reads and checks the next record, and moves past it when it is good.
    pub(super) fn step(&mut self) -> Result<Step, ReadError> {
        if self.offset >= self.len_bytes {
            return Ok(Step::End);
        }
        self.fill(RECORD_OVERHEAD_BYTES)?;
        if let Err(BadRecord::Truncated { needed }) = decode_record(self.seed, self.window.make_contiguous())
        {
            self.fill(needed)?;
        }
        let record = match decode_record(self.seed, self.window.make_contiguous()) {
            Ok(record) => record,
            Err(flaw) => return Ok(Step::Bad(flaw.into())),
        };
        let group_offset = u64::from(record.group_offset);
        if group_offset != self.offset && group_offset != self.group_offset {
            return Ok(Step::Bad(Flaw::Group));
        }
        if record.at < self.last_at {
            return Ok(Step::Bad(Flaw::Time));
        }
        let position = self.head.position.next();
        if record.chain != layout::chain(&self.head.hash, record.at, record.payload) {
            return Ok(Step::Bad(Flaw::Chain));
        }
        let entry = Entry { position, at: record.at, payload: record.payload.to_vec(), chain: record.chain };
        let size = record.encoded_bytes();
        self.window.drain(..size as usize);
        self.offset += size;
        self.group_offset = group_offset;
        self.head = ChainHead { position, hash: entry.chain };
        self.last_at = entry.at;
        Ok(Step::Entry(entry))
    }

    /// Makes the window at least this long, as far as the file goes.
    fn fill(&mut self, wanted: usize) -> Result<(), ReadError> {
        if self.window.len() >= wanted {
            return Ok(());
        }
        let mut more = vec![0; wanted.max(WINDOW_BYTES) - self.window.len()];
        let at = self.offset + self.window.len() as u64;
        let count = self.file.read_at(at, &mut more).map_err(|e| self.io_error(e))?;
        self.window.extend(more.get(..count).unwrap_or(&[]));
        Ok(())
    }

    /// Judges what follows the last good record of the newest segment, where reading stopped for `flaw`: `None` for
    /// unused space, a torn tail, or damage.
    pub(super) fn judge_tail(&mut self, flaw: Flaw) -> Result<Option<TornTail>, ReadError> {
        // A whole record that is in the wrong place was not torn.
        let Flaw::Record(_) = flaw else { return Err(self.corruption(flaw).into()) };
        let mut tail = vec![0; self.len_bytes.saturating_sub(self.offset) as usize];
        let count = self.file.read_at(self.offset, &mut tail).map_err(|e| self.io_error(e))?;
        tail.truncate(count);
        let Some(last_used) = tail.iter().rposition(|byte| *byte != 0) else { return Ok(None) };
        if decode_record(self.seed, &tail).is_ok() {
            return Ok(None); // The market wrote it just now.
        }
        for start in 1..=last_used {
            let later = tail.get(start..).and_then(|bytes| decode_record(self.seed, bytes).ok());
            if later.is_some_and(|record| u64::from(record.group_offset) > self.offset) {
                return Err(self.corruption(flaw).into());
            }
        }
        Ok(Some(TornTail {
            bytes: last_used as u64 + 1,
            position: self.head.position.next(),
            file: self.path.clone(),
            offset: self.offset,
            flaw,
        }))
    }
}

/// The positions at which the segments of a folder start, in order.
pub(super) fn list_segments<D: Disk>(disk: &D) -> Result<Vec<Position>, ReadError> {
    let names = disk.list().map_err(|source| ReadError::Io { file: disk.path(""), source })?;
    let mut firsts: Vec<_> = names.iter().filter_map(|name| layout::parse_segment_name(name)).collect();
    firsts.sort_unstable();
    if let Some(first) = firsts.first()
        && *first != Position(1)
    {
        return Err(gap(disk, Position(1), *first).into());
    }
    Ok(firsts)
}

fn gap<D: Disk>(disk: &D, position: Position, next: Position) -> Corruption {
    Corruption {
        position,
        file: disk.path(&layout::segment_name(position)),
        offset: 0,
        flaw: Flaw::Gap { next },
    }
}

/// Reads from segment to segment.
pub(super) struct Walk<D: Disk> {
    disk: D,
    from: Position,
    /// The last position to read, or everything.
    until: Option<Position>,
    remaining: VecDeque<Position>,
    segment: Option<SegmentReader<D::File>>,
    venue: Option<PublicKey>,
    head: ChainHead,
    last_at: TimeMs,
    torn_tail: Option<TornTail>,
}

impl<D: Disk> Walk<D> {
    pub(super) fn new(disk: D, from: Position, until: Option<Position>) -> Result<Self, ReadError> {
        let mut remaining = VecDeque::from(list_segments(&disk)?);
        // The segment that contains `from` is the last one that starts at or before it.
        while remaining.get(1).is_some_and(|second| *second <= from) {
            remaining.pop_front();
        }
        let head = ChainHead { position: Position::START, hash: Digest([0; 32]) };
        let (segment, venue, torn_tail) = (None, None, None);
        Ok(Walk { disk, from, until, remaining, segment, venue, head, last_at: TimeMs(0), torn_tail })
    }

    /// The next entry at or after `from`.
    fn step(&mut self) -> Result<Option<Entry>, ReadError> {
        if self.until.is_some_and(|until| until < self.from) {
            return Ok(None);
        }
        while self.until.is_none_or(|until| self.head.position < until) {
            if self.segment.is_none() && !self.open_next()? {
                return match self.until {
                    Some(until) => Err(self.short(until).into()),
                    None => Ok(None),
                };
            }
            let Some(segment) = &mut self.segment else { return Ok(None) };
            match segment.step()? {
                Step::Entry(entry) => {
                    (self.head, self.last_at) = (segment.head, segment.last_at);
                    if entry.position >= self.from {
                        return Ok(Some(entry));
                    }
                }
                Step::End => self.segment = None,
                Step::Bad(flaw) if self.remaining.is_empty() => {
                    self.torn_tail = segment.judge_tail(flaw)?;
                    self.segment = None;
                }
                Step::Bad(flaw) => return Err(segment.corruption(flaw).into()),
            }
        }
        Ok(None)
    }

    /// Opens the next segment and checks that it continues the last one; `false` after the newest.
    fn open_next(&mut self) -> Result<bool, ReadError> {
        let Some(first) = self.remaining.pop_front() else { return Ok(false) };
        let mut segment = SegmentReader::open(&self.disk, first)?;
        if let Some(venue) = self.venue {
            check_venue(&segment, &self.disk, venue)?;
            if first != self.head.position.next() {
                return Err(gap(&self.disk, self.head.position.next(), first).into());
            }
            if segment.header.chain_before != self.head.hash {
                return Err(segment.corruption(Flaw::Chain).into());
            }
            segment.last_at = self.last_at;
        } else if first == Position(1) && segment.header.chain_before != genesis(&segment.header.venue) {
            return Err(segment.corruption(Flaw::Chain).into());
        }
        self.head = segment.head;
        self.venue = Some(segment.header.venue);
        self.segment = Some(segment);
        Ok(true)
    }

    fn short(&self, until: Position) -> Corruption {
        let file = self.disk.path("");
        Corruption { position: self.head.position.next(), file, offset: 0, flaw: Flaw::Short(until) }
    }

    /// An iterator that ends after its first error.
    pub(super) fn fused(self) -> impl Iterator<Item = Result<Entry, ReadError>> + Send {
        let mut walk = Some(self);
        std::iter::from_fn(move || {
            let item = walk.as_mut()?.step().transpose();
            if !matches!(item, Some(Ok(_))) {
                walk = None;
            }
            item
        })
    }
}

/// Refuses the segment of another venue.
pub(super) fn check_venue<D: Disk>(
    segment: &SegmentReader<D::File>,
    disk: &D,
    expected: PublicKey,
) -> Result<(), ReadError> {
    let found = segment.header.venue;
    if found == expected {
        return Ok(());
    }
    Err(ReadError::OtherVenue {
        file: disk.path(&layout::segment_name(segment.header.first)),
        found,
        expected,
    })
}
