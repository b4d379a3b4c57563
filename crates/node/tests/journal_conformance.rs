//! What every journal has to do, run against the file journal and the simulated one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use market::{key::PublicKey, units::TimeMs};
use node::journal::{
    ChainHead, Entry, FileJournal, Journal, JournalError, MemoryJournal, OpenError, Options, Position,
    ReadError, SimulatedDisk, genesis, record_bytes,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const VENUE: PublicKey = PublicKey([7; 32]);
const SMALL: Options = Options { segment_bytes: 4_096, extent_bytes: 1_024 };

/// A place where a journal can be opened again and again.
trait Place {
    fn open(&self, venue: PublicKey) -> Result<Box<dyn Journal>, OpenError>;
}

impl Place for tempfile::TempDir {
    fn open(&self, venue: PublicKey) -> Result<Box<dyn Journal>, OpenError> {
        Ok(Box::new(FileJournal::open(self.path(), venue, SMALL)?.0))
    }
}

impl Place for SimulatedDisk {
    fn open(&self, venue: PublicKey) -> Result<Box<dyn Journal>, OpenError> {
        Ok(Box::new(MemoryJournal::open(self, venue, SMALL)?.0))
    }
}

fn for_every_journal(test: impl Fn(&dyn Place)) {
    test(&tempfile::tempdir().unwrap());
    test(&SimulatedDisk::new());
}

fn append(journal: &mut dyn Journal, at_ms: u64, payload: &[u8]) -> Position {
    journal.reserve(record_bytes(payload.len())).unwrap();
    journal.append(TimeMs(at_ms), payload)
}

fn read(journal: &dyn Journal, from: u64) -> Vec<Entry> {
    journal.read(Position(from)).collect::<Result<_, _>>().unwrap()
}

#[test]
fn entries_come_back_verbatim_after_a_restart() {
    for_every_journal(|place| {
        let payloads: Vec<Vec<u8>> = (1..=200).map(|n: usize| vec![n as u8; n]).collect();
        let head = {
            let mut journal = place.open(VENUE).unwrap();
            for (n, payload) in payloads.iter().enumerate() {
                assert_eq!(append(&mut *journal, 10 + n as u64 / 2, payload), Position(n as u64 + 1));
                if n % 7 == 0 {
                    assert_eq!(journal.sync().unwrap(), Position(n as u64 + 1));
                }
            }
            journal.sync().unwrap();
            journal.head()
        };
        let journal = place.open(VENUE).unwrap();
        assert_eq!(journal.head(), head);
        assert_eq!(journal.durable(), Position(200));
        assert_eq!(journal.last_at(), TimeMs(10 + 199 / 2));
        for from in [0, 1, 2, 99, 200, 201] {
            let entries = read(&*journal, from);
            assert_eq!(entries.len() as u64, 201 - from.max(1));
            for entry in &entries {
                let n = entry.position.0 as usize - 1;
                assert_eq!((&entry.payload, entry.at), (&payloads[n], TimeMs(10 + n as u64 / 2)));
            }
            assert!(entries.last().is_none_or(|last| last.chain == head.hash));
        }
    });
}

#[test]
fn every_journal_has_the_same_chain() {
    let heads = std::cell::RefCell::new(Vec::new());
    for_every_journal(|place| {
        let mut journal = place.open(VENUE).unwrap();
        assert_eq!(journal.head(), ChainHead { position: Position::START, hash: genesis(&VENUE) });
        append(&mut *journal, 1, b"one");
        append(&mut *journal, 1, b"two");
        heads.borrow_mut().push(journal.head());
    });
    let heads = heads.into_inner();
    assert_eq!(heads[0], heads[1]);
}

#[test]
fn entries_are_read_once_they_are_durable() {
    for_every_journal(|place| {
        let mut journal = place.open(VENUE).unwrap();
        append(&mut *journal, 1, b"one");
        assert_eq!((journal.durable(), journal.head().position), (Position(0), Position(1)));
        assert_eq!(read(&*journal, 1), []);
        journal.sync().unwrap();
        assert_eq!(read(&*journal, 1).len(), 1);
    });
}

#[test]
fn a_group_larger_than_a_segment_gets_its_own() {
    for_every_journal(|place| {
        let mut journal = place.open(VENUE).unwrap();
        append(&mut *journal, 1, b"small");
        let large = vec![9; 3 * SMALL.segment_bytes as usize];
        append(&mut *journal, 2, &large);
        append(&mut *journal, 3, b"small again");
        journal.sync().unwrap();
        drop(journal);
        let journal = place.open(VENUE).unwrap();
        let payloads: Vec<_> = read(&*journal, 1).into_iter().map(|entry| entry.payload).collect();
        assert_eq!(payloads, [b"small".to_vec(), large, b"small again".to_vec()]);
    });
}

#[test]
fn what_admission_has_to_guarantee_is_asserted() {
    for_every_journal(|place| {
        let mut journal = place.open(VENUE).unwrap();
        append(&mut *journal, 5, b"one");
        let mut refuses = |at_ms, payload: &[u8]| {
            catch_unwind(AssertUnwindSafe(|| journal.append(TimeMs(at_ms), payload))).is_err()
        };
        assert!(refuses(4, b"time runs backwards"));
        assert!(refuses(5, b""));
        assert!(refuses(5, &vec![1; 10_000]), "not reserved");
        assert!(!refuses(5, b"fine"));
    });
}

#[test]
fn the_journal_of_another_venue_is_refused() {
    for_every_journal(|place| {
        drop(place.open(VENUE).unwrap());
        let error = place.open(PublicKey([8; 32])).err().unwrap();
        assert!(matches!(error, OpenError::Read(ReadError::OtherVenue { .. })), "{error}");
    });
}

#[test]
fn two_processes_never_write_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = FileJournal::open(folder.path(), VENUE, SMALL).unwrap();
    let error = FileJournal::open(folder.path(), VENUE, SMALL).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(first);
    FileJournal::open(folder.path(), VENUE, SMALL).unwrap();
}

#[test]
fn a_sync_costs_one_sync_of_the_disk() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = MemoryJournal::open(&disk, VENUE, Options::default()).unwrap();
    let before = disk.syncs();
    for n in 1..=100 {
        append(&mut journal, n, b"statement");
        append(&mut journal, n, b"statement");
        journal.sync().unwrap();
        journal.sync().unwrap();
    }
    assert_eq!(disk.syncs() - before, 100);
}

#[test]
fn a_failed_sync_poisons_the_journal_for_ever() {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = MemoryJournal::open(&disk, VENUE, SMALL).unwrap();
    append(&mut journal, 1, b"acknowledged");
    journal.sync().unwrap();
    append(&mut journal, 2, b"not acknowledged");
    disk.set_failing_syncs(true);
    assert!(matches!(journal.sync(), Err(JournalError::SyncFailed { .. })));
    disk.set_failing_syncs(false);
    assert!(matches!(journal.sync(), Err(JournalError::Poisoned)));
    assert!(matches!(journal.reserve(1), Err(JournalError::Poisoned)));
    assert_eq!(journal.durable(), Position(1));
    disk.crash(node::journal::Crash::LoseUnsynced);
    let (journal, recovered) = MemoryJournal::open(&disk, VENUE, SMALL).unwrap();
    assert_eq!((journal.durable(), recovered), (Position(1), None));
}

#[test]
fn a_full_disk_refuses_reservations_and_loses_nothing() {
    let disk = SimulatedDisk::new();
    disk.set_capacity(Some(10_000));
    let (mut journal, _) = MemoryJournal::open(&disk, VENUE, SMALL).unwrap();
    let payload = [5; 300];
    let mut accepted = 0;
    let error = loop {
        if let Err(error) = journal.reserve(record_bytes(payload.len())) {
            break error;
        }
        journal.append(TimeMs(1), &payload);
        journal.sync().unwrap();
        accepted += 1;
    };
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    assert!(accepted > 10, "{accepted}");
    assert!(matches!(journal.reserve(record_bytes(300)), Err(JournalError::Full { .. })), "still full");
    assert_eq!(read(&journal, 1).len(), accepted);

    disk.set_capacity(None);
    append(&mut journal, 2, b"space was freed");
    journal.sync().unwrap();
    drop(journal);
    let (journal, recovered) = MemoryJournal::open(&disk, VENUE, SMALL).unwrap();
    assert_eq!((journal.durable().0 as usize, recovered), (accepted + 1, None));
}
