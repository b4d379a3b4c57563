//! A disk in memory that forgets, tears, fills up and fails on demand, for simulations and tests.

use super::{Disk, DiskFile};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// What a power cut leaves of the writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    LoseUnsynced,
    /// Everything: the process died, the machine did not.
    KeepUnsynced,
    /// Some sectors, in any order, drawn from a seed.
    Torn {
        /// Which sectors.
        seed: u64,
    },
}

/// A disk in memory; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    /// The folder as programs see it: names of places in `files`.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    capacity_bytes: Option<u64>,
    failing_syncs: bool,
    crash_in_sync: Option<Crash>,
    syncs: u64,
    /// How often the power was cut; files that were opened before are closed.
    crashes: u64,
}

#[derive(Default)]
struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

/// A file on a [`SimulatedDisk`].
pub struct SimulatedFile {
    disk: SimulatedDisk,
    index: usize,
    opened_after_crashes: u64,
}

impl SimulatedDisk {
    /// An empty disk without limit.
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    /// Cuts the power. Whoever has a file open gets errors from then on; open the journal again to go on.
    pub fn crash(&self, crash: Crash) {
        self.state().crash(crash);
    }

    /// Cuts the power in the middle of the next sync, when some of its writes may have reached the disk.
    pub fn crash_in_next_sync(&self, crash: Crash) {
        self.state().crash_in_sync = Some(crash);
    }

    /// Limits how many bytes all files together may have; `None` lifts the limit.
    pub fn set_capacity(&self, capacity_bytes: Option<u64>) {
        self.state().capacity_bytes = capacity_bytes;
    }

    /// Lets every sync fail, or not. As on Linux, a failed sync forgets the writes it was for.
    pub fn set_failing_syncs(&self, failing: bool) {
        self.state().failing_syncs = failing;
    }

    /// How many syncs of files were asked for so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// The bytes of a file as programs see them.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let index = state.names.get(name)?;
        state.files.get(*index).map(|file| file.seen.clone())
    }

    /// Changes the bytes of a file behind everyone's back, durably, as a failing disk does.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let index = state.names.get(name).copied();
        if let Some(file) = index.and_then(|index| state.files.get_mut(index)) {
            change(&mut file.durable);
            file.seen = file.durable.clone();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, index: usize, state: &State) -> SimulatedFile {
        SimulatedFile { disk: self.clone(), index, opened_after_crashes: state.crashes }
    }
}

impl State {
    fn crash(&mut self, crash: Crash) {
        self.crashes += 1;
        let mut draws = match crash {
            Crash::Torn { seed } => seed,
            Crash::LoseUnsynced | Crash::KeepUnsynced => 0,
        };
        let mut survives = || match crash {
            Crash::LoseUnsynced => false,
            Crash::KeepUnsynced => true,
            Crash::Torn { .. } => draw(&mut draws) & 1 == 1,
        };
        for file in &mut self.files {
            for (offset, bytes) in std::mem::take(&mut file.unsynced) {
                for (sector_offset, sector) in sectors(offset, &bytes) {
                    if survives() {
                        put(&mut file.durable, sector_offset, sector);
                    }
                }
            }
            file.seen = file.durable.clone();
        }
        if survives() {
            self.durable_names = self.names.clone();
        } else {
            self.names = self.durable_names.clone();
        }
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<SimulatedFile> {
        let state = self.state();
        let index = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.opened(index, &state))
    }

    fn create(&self, name: &str) -> io::Result<SimulatedFile> {
        let mut state = self.state();
        let index = state.files.len();
        state.files.push(Contents::default());
        state.names.insert(name.to_owned(), index);
        Ok(self.opened(index, &state))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let index = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), index);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().names.remove(name).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.failing_syncs {
            return Err(io::Error::other("simulated failure of the disk"));
        }
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("simulated").join(name)
    }
}

impl SimulatedFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.crashes != self.opened_after_crashes {
            return Err(power_lost());
        }
        act(&mut state, self.index)
    }
}

impl DiskFile for SimulatedFile {
    fn len_bytes(&self) -> io::Result<u64> {
        self.with(|state, index| Ok(contents(state, index)?.seen.len() as u64))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|state, index| {
            let seen = &contents(state, index)?.seen;
            let rest = seen.get(offset as usize..).unwrap_or(&[]);
            let count = rest.len().min(buffer.len());
            buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            Ok(count)
        })
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|state, index| {
            let used: u64 =
                state.names.values().filter_map(|i| state.files.get(*i)).map(|f| f.seen.len() as u64).sum();
            let capacity_bytes = state.capacity_bytes;
            let file = contents(state, index)?;
            let growth = (offset + bytes.len() as u64).saturating_sub(file.seen.len() as u64);
            if capacity_bytes.is_some_and(|capacity| growth > 0 && used + growth > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            put(&mut file.seen, offset, bytes);
            file.unsynced.push((offset, bytes.to_vec()));
            Ok(())
        })
    }

    fn truncate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.sync()?;
        self.with(|state, index| {
            let file = contents(state, index)?;
            file.seen.truncate(len_bytes as usize);
            file.durable.truncate(len_bytes as usize);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state, index| {
            state.syncs += 1;
            if let Some(crash) = state.crash_in_sync.take() {
                state.crash(crash);
                return Err(power_lost());
            }
            let failing = state.failing_syncs;
            let file = contents(state, index)?;
            let unsynced = std::mem::take(&mut file.unsynced);
            if failing {
                return Err(io::Error::other("simulated failure of the disk"));
            }
            for (offset, bytes) in unsynced {
                put(&mut file.durable, offset, &bytes);
            }
            Ok(())
        })
    }
}

fn power_lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the simulated machine lost its power")
}

fn contents(state: &mut State, index: usize) -> io::Result<&mut Contents> {
    state.files.get_mut(index).ok_or(io::ErrorKind::NotFound.into())
}

/// Writes bytes at an offset; what lies between the old end and the offset becomes zeros.
fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if file.len() < end {
        file.resize(end, 0);
    }
    if let Some(place) = file.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

/// A write, cut at the boundaries of the disk's sectors.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = offset + at as u64;
        let room = (SECTOR_BYTES - start % SECTOR_BYTES) as usize;
        let sector = bytes.get(at..(at + room).min(bytes.len())).filter(|sector| !sector.is_empty())?;
        at += sector.len();
        Some((start, sector))
    })
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough randomness to tear with.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
