//! How often tokens with a limit were used. On disk before anybody relies on it.
//!
//! The file has a line a use: the counter in hex, when it can be forgotten, how many uses. It is written anew without what
//! has expired when it is opened, and when most of it is old.

use super::disk;
use crate::l402::UseLimit;
use market::{id::Digest, units::TimeMs};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// The file is not written anew before it has so many lines.
const LINES_MIN: usize = 4_096;

/// See the [module documentation](self).
#[derive(Debug)]
pub struct UseLog {
    counts: BTreeMap<Digest, Count>,
    max: usize,
    store: Option<Store>,
}

#[derive(Debug)]
struct Store {
    path: PathBuf,
    file: File,
    lines: usize,
    /// The length of what was written whole.
    bytes: u64,
    /// Whether there may be half a line behind that.
    is_torn: bool,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    used: u32,
    until: TimeMs,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum UseLogError {
    /// The file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line in its middle.
    #[error("{}: line {line} is not one of a log of uses: move the file away, and rotate the root keys", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The first line is 1.
        line: usize,
    },
}

/// Why a use was not counted, and so not granted.
#[derive(Debug, thiserror::Error)]
pub enum SpendError {
    /// It was the last.
    #[error("the token was used as often as it may be: {max} times")]
    Spent {
        /// How often that is.
        max: u32,
    },
    /// No room.
    #[error("as many tokens with limits are in use as can be remembered: try again later")]
    Full,
    /// The file.
    #[error("the use could not be written down: {0}")]
    Io(#[from] io::Error),
}

impl UseLog {
    /// A log that a restart forgets: for tests and benchmarks.
    pub fn in_memory(max: usize) -> UseLog {
        UseLog { counts: BTreeMap::new(), max, store: None }
    }

    /// Opens the log in a file, which is made where there is none. At most `max` counters are kept. A last line that was not
    /// written to its end was not relied on, and is cut.
    pub fn open(path: &Path, max: usize, now: TimeMs) -> Result<UseLog, UseLogError> {
        let failed = |source| UseLogError::Io { path: path.to_owned(), source };
        let mut text = String::new();
        disk::appended(path).and_then(|mut file| file.read_to_string(&mut text)).map_err(failed)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut counts = BTreeMap::new();
        for (number, line) in (1..).zip(whole.lines()) {
            let (counter, until, used) =
                read(line).ok_or_else(|| UseLogError::Damaged { path: path.to_owned(), line: number })?;
            add(&mut counts, counter, until, used);
        }
        let mut log = UseLog { counts, max, store: None };
        log.forget_expired(now);
        log.store = Some(log.written(path).map_err(failed)?);
        Ok(log)
    }

    /// Counts a use against all limits of a token, or against none of them. `until` is when the token expires: after that
    /// nobody needs the count. It is on disk when this returns.
    pub fn spend(&mut self, limits: &[UseLimit], until: TimeMs, now: TimeMs) -> Result<(), SpendError> {
        for limit in limits {
            if self.counts.get(&limit.counter).is_some_and(|count| count.used >= limit.max) {
                return Err(SpendError::Spent { max: limit.max });
            }
        }
        let new = limits.iter().filter(|limit| !self.counts.contains_key(&limit.counter)).count();
        if self.counts.len() + new > self.max {
            self.forget_expired(now);
            if self.counts.len() + new > self.max {
                return Err(SpendError::Full);
            }
        }
        if let Some(store) = &mut self.store {
            let lines: String = limits.iter().map(|limit| line(&limit.counter, until, 1)).collect();
            store.append(&lines, limits.len())?;
        }
        for limit in limits {
            add(&mut self.counts, limit.counter, until, 1);
        }
        let is_long = |store: &Store| store.lines > LINES_MIN && store.lines > 4 * self.counts.len();
        if let Some(path) = self.store.as_ref().filter(|store| is_long(store)).map(|store| store.path.clone())
        {
            self.forget_expired(now);
            self.store = Some(self.written(&path)?);
        }
        Ok(())
    }

    fn forget_expired(&mut self, now: TimeMs) {
        self.counts.retain(|_, count| now <= count.until);
    }

    /// Writes the file anew.
    fn written(&self, path: &Path) -> io::Result<Store> {
        let lines: String =
            self.counts.iter().map(|(counter, count)| line(counter, count.until, count.used)).collect();
        disk::replace(path, lines.as_bytes())?;
        Ok(Store {
            path: path.to_owned(),
            file: disk::appended(path)?,
            lines: self.counts.len(),
            bytes: lines.len() as u64,
            is_torn: false,
        })
    }
}

impl Store {
    fn append(&mut self, text: &str, lines: usize) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.bytes)?;
        }
        // On a full disk half a line may stand there; the next one must not stand behind it.
        self.is_torn = true;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.is_torn = false;
        self.bytes += text.len() as u64;
        self.lines += lines;
        Ok(())
    }
}

fn add(counts: &mut BTreeMap<Digest, Count>, counter: Digest, until: TimeMs, uses: u32) {
    let count = counts.entry(counter).or_insert(Count { used: 0, until });
    count.used = count.used.saturating_add(uses);
    count.until = count.until.max(until);
}

fn line(counter: &Digest, until: TimeMs, uses: u32) -> String {
    format!("{counter} {} {uses}\n", until.0)
}

fn read(line: &str) -> Option<(Digest, TimeMs, u32)> {
    let mut parts = line.split(' ');
    let read =
        (parts.next()?.parse().ok()?, TimeMs(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(read)
}
