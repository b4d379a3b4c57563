//! The archive: the entries of the public log, and the receipts. Derived from the journal and kept in files of their own,
//! because the market forgets what is over. A thread of its own writes, so that the writer never waits for it.
//!
//! Nothing is lost in a crash: what was not written yet is made again by the replay of the journal, and no snapshot is
//! made of anything that is not archived ([`Archived`]), since a replay begins after the snapshot.

use crate::durable_file;
use crate::venue::{Archive, Leaf};
use market::{id::JobId, receipt::Receipt};
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};
use tokio::sync::watch;

/// Every so many entries the place in the file is kept in memory.
const MARK_EVERY: u64 = 256;
/// The most bytes of one answer.
const READ_MAX_BYTES: u64 = 8 << 20;

/// The entries of the public log in a file, one a line.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: BufWriter<File>,
    marks: Arc<Mutex<Marks>>,
    offset: u64,
}

/// Where in the file which entry is.
#[derive(Debug, Default)]
struct Marks {
    /// The offset of every [`MARK_EVERY`]th entry.
    offsets: Vec<u64>,
    /// How many entries there are.
    entries: u64,
}

/// Reads what a [`LogFile`] writes.
#[derive(Debug, Clone)]
pub(super) struct LogReader {
    path: PathBuf,
    marks: Arc<Mutex<Marks>>,
}

impl LogFile {
    /// Opens the file and finds its entries; an unfinished line is cut.
    pub(super) fn open(path: &Path) -> io::Result<LogFile> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut marks = Marks::default();
        let (mut offset, mut line, mut reader) = (0, Vec::new(), BufReader::new(&file));
        loop {
            line.clear();
            let count = reader.read_until(b'\n', &mut line)? as u64;
            if line.last() != Some(&b'\n') {
                break;
            }
            marks.note(offset);
            offset += count;
        }
        file.set_len(offset)?;
        let marks = Arc::new(Mutex::new(marks));
        let mut log = LogFile { path: path.to_owned(), file: BufWriter::new(file), marks, offset };
        log.file.seek(SeekFrom::Start(offset))?;
        Ok(log)
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> u64 {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).entries
    }

    /// Adds an entry. One that is there already is left out: a replay goes through old ones again.
    pub(super) fn append(&mut self, leaf: &Leaf) -> io::Result<()> {
        let entries = self.entries();
        if leaf.index < entries {
            return Ok(());
        }
        if leaf.index > entries {
            return Err(io::Error::other(format!(
                "{} ends before entry {}",
                self.path.display(),
                leaf.index
            )));
        }
        self.file.write_all(leaf.json.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).note(self.offset);
        self.offset += leaf.json.len() as u64 + 1;
        Ok(())
    }

    /// Cuts what comes after so many entries. Only a journal that lost acknowledged entries makes that necessary.
    pub(super) fn cut(&mut self, entries: u64) -> io::Result<()> {
        self.flush()?;
        let mut reader = BufReader::new(File::open(&self.path)?);
        let (mut marks, mut offset, mut line) = (Marks::default(), 0, Vec::new());
        while marks.entries < entries {
            line.clear();
            marks.note(offset);
            offset += reader.read_until(b'\n', &mut line)? as u64;
        }
        self.file.get_ref().set_len(offset)?;
        self.file.seek(SeekFrom::Start(offset))?;
        self.offset = offset;
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner) = marks;
        Ok(())
    }

    /// Lets readers see what was added.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// A reader of the same file.
    pub(super) fn reader(&self) -> LogReader {
        LogReader { path: self.path.clone(), marks: self.marks.clone() }
    }
}

/// Takes in what a replay goes through.
pub(super) struct Refill<'a> {
    pub(super) log: &'a mut LogFile,
    pub(super) receipts: &'a Path,
    pub(super) failure: &'a mut Option<io::Error>,
}

impl Archive for Refill<'_> {
    fn entries(&self) -> u64 {
        self.log.entries()
    }

    fn has_receipt(&self, job: JobId) -> bool {
        receipt_file(self.receipts, job).exists()
    }

    fn add(&mut self, leaf: Leaf) {
        if let Err(error) = self.log.append(&leaf) {
            self.failure.get_or_insert(error);
        }
    }
}

impl Marks {
    fn note(&mut self, offset: u64) {
        if self.entries.is_multiple_of(MARK_EVERY) {
            self.offsets.push(offset);
        }
        self.entries += 1;
    }
}

impl LogReader {
    /// Up to `limit` entries from `start` on, each the JSON that was hashed; fewer when they are large.
    pub(super) fn read(&self, start: u64, limit: u64) -> io::Result<Vec<String>> {
        let offset = {
            let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
            usize::try_from(start / MARK_EVERY).ok().and_then(|mark| marks.offsets.get(mark).copied())
        };
        let Some(offset) = offset else { return Ok(Vec::new()) };
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let lines = BufReader::new(file.take(READ_MAX_BYTES)).split(b'\n');
        let mut entries = Vec::new();
        for line in
            lines.skip((start % MARK_EVERY) as usize).take(usize::try_from(limit).unwrap_or(usize::MAX))
        {
            // What is not JSON is the line that is being written, or that the limit cut.
            match String::from_utf8(line?) {
                Ok(line) if serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok() => {
                    entries.push(line)
                }
                Ok(_) | Err(_) => break,
            }
        }
        Ok(entries)
    }
}

/// What the archive is given after each sync.
pub(super) struct Delivery {
    /// Up to where the journal is durable.
    pub(super) position: u64,
    pub(super) leaves: Vec<Leaf>,
    pub(super) receipts: Vec<Receipt>,
}

/// How far the archive is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Archived {
    /// What the journal gives up to here is in the archive.
    pub(super) position: u64,
    /// What it gives up to here was handed to the archive. Where that is further, the archive cannot be written at the
    /// moment; it is tried again with each delivery.
    pub(super) tried: u64,
}

/// Starts the archive's thread. It ends when nobody can deliver anything any more.
pub(super) fn start(
    log: LogFile,
    receipts: PathBuf,
) -> io::Result<(Sender<Delivery>, watch::Receiver<Archived>, JoinHandle<()>)> {
    let (sender, deliveries) = channel();
    let (archived, seen) = watch::channel(Archived::default());
    let archivist = Archivist { log, receipts, archived };
    let thread =
        std::thread::Builder::new().name("archive".into()).spawn(move || archivist.run(&deliveries))?;
    Ok((sender, seen, thread))
}

/// The archive's thread.
struct Archivist {
    log: LogFile,
    receipts: PathBuf,
    archived: watch::Sender<Archived>,
}

impl Archivist {
    fn run(mut self, deliveries: &Receiver<Delivery>) {
        let mut backlog = VecDeque::new();
        for delivery in deliveries {
            let Archived { mut position, tried } = *self.archived.borrow();
            let was_failing = position < tried;
            let tried = delivery.position;
            backlog.push_back(delivery);
            while let Some(next) = backlog.front() {
                if let Err(error) = self.write(next) {
                    if !was_failing {
                        tracing::error!(%error, "the archive cannot be written: free space on its disk; nothing is lost");
                    }
                    break;
                }
                position = next.position;
                backlog.pop_front();
            }
            self.archived.send_replace(Archived { position, tried });
        }
    }

    fn write(&mut self, delivery: &Delivery) -> io::Result<()> {
        delivery.leaves.iter().try_for_each(|leaf| self.log.append(leaf))?;
        self.log.flush()?;
        delivery.receipts.iter().try_for_each(|receipt| store(&self.receipts, receipt))
    }
}

/// Writes a receipt, unless it is there from before: the first one stays, since a replay makes the same story with a
/// later head.
fn store(folder: &Path, receipt: &Receipt) -> io::Result<()> {
    let file = receipt_file(folder, receipt.body.job);
    if file.exists() { Ok(()) } else { durable_file::replace(&file, &serde_json::to_vec(receipt)?) }
}

/// Where a receipt is.
pub(super) fn receipt_file(folder: &Path, job: JobId) -> PathBuf {
    folder.join(format!("{job}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(index: u64) -> Leaf {
        Leaf { index, json: format!("{{\"n\":{index}}}") }
    }

    #[test]
    fn entries_are_found_again_by_number_and_an_unfinished_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("public-log.jsonl");
        let mut log = LogFile::open(&path).unwrap();
        (0..1_000).for_each(|index| log.append(&leaf(index)).unwrap());
        log.flush().unwrap();
        drop(log);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"n\":10").unwrap();

        let mut log = LogFile::open(&path).unwrap();
        assert_eq!(log.entries(), 1_000);
        log.append(&leaf(999)).unwrap();
        log.append(&leaf(1_000)).unwrap();
        log.flush().unwrap();
        assert_eq!(log.reader().read(998, 10).unwrap(), [leaf(998).json, leaf(999).json, leaf(1_000).json]);
        assert_eq!(log.reader().read(255, 2).unwrap(), [leaf(255).json, leaf(256).json]);
        assert!(log.reader().read(5_000, 1).unwrap().is_empty());
        assert!(log.append(&leaf(1_002)).is_err());
    }
}
