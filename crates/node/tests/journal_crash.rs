//! Real processes that are killed, and a real disk that is full.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use market::{key::PublicKey, units::TimeMs};
use node::journal::{FileJournal, Journal, JournalError, Options, Position, record_bytes};
use std::sync::{Mutex, PoisonError};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

const VENUE: PublicKey = PublicKey([7; 32]);
const SMALL: Options = Options { segment_bytes: 64 << 10, extent_bytes: 16 << 10 };
const FOLDER_VARIABLE: &str = "JOURNAL_CRASH_TEST_FOLDER";

/// Between 1 and 3,000 bytes that depend on the position.
fn payload(position: u64) -> Vec<u8> {
    let length = 1 + position.wrapping_mul(0x9e37_79b9) % 3_000;
    (0..length).map(|n| (position + n) as u8).collect()
}

#[test]
#[ignore = "the other half of a_killed_process_loses_nothing_that_it_acknowledged, which starts it"]
fn appends_until_killed() {
    let Ok(folder) = std::env::var(FOLDER_VARIABLE) else { return };
    let (mut journal, _) = FileJournal::open(Path::new(&folder), VENUE, SMALL).unwrap();
    let mut out = std::io::stdout().lock();
    loop {
        let group: u64 = 1 + journal.head().position.0 % 7;
        journal.reserve(group * record_bytes(3_000)).unwrap();
        for _ in 0..group {
            let next = journal.head().position.next().0;
            journal.append(TimeMs(next), &payload(next));
        }
        writeln!(out, "acknowledged {}", journal.sync().unwrap()).unwrap();
    }
}

/// A process that is being started holds this one's files, locks included, for a moment: no journal is opened meanwhile.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "appends_until_killed", "--ignored", "--nocapture"])
            .env(FOLDER_VARIABLE, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut groups = 0;
        // The child goes on while it is being killed: what it still says counts.
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, position)) = line.split_once("acknowledged ") {
                acknowledged = position.parse().unwrap();
                groups += 1;
            }
            if groups == 1 + round * 3 % 17 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let (journal, _) = FileJournal::open(folder.path(), VENUE, SMALL).unwrap();
        assert!(journal.durable().0 >= acknowledged, "{} of {acknowledged}", journal.durable());
        let entries: Vec<_> = journal.read(Position(1)).map(Result::unwrap).collect();
        assert_eq!(entries.len() as u64, journal.durable().0);
        for (n, entry) in (1..).zip(&entries) {
            assert_eq!(entry.payload, payload(n));
        }
    }
    assert!(acknowledged > 100, "{acknowledged}");
}

/// A file system of 2 MiB, for as long as this lives.
#[cfg(target_os = "linux")]
struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(SmallDisk(folder)),
            other => {
                eprintln!("SKIPPED: a small file system cannot be mounted here: {other:?}");
                None
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_refuses_and_goes_on_when_space_is_freed() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.0.path();
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; 500 << 10]).unwrap();
    let journal_folder = folder.join("journal");
    let (mut journal, _) = FileJournal::open(&journal_folder, VENUE, SMALL).unwrap();
    let fill = |journal: &mut FileJournal| {
        loop {
            match journal.reserve(record_bytes(3_000)) {
                Ok(()) => {
                    let next = journal.head().position.next().0;
                    journal.append(TimeMs(next), &payload(next));
                    assert_eq!(journal.sync().unwrap(), Position(next));
                }
                Err(JournalError::Full { .. }) => break journal.durable().0,
                Err(other) => panic!("{other}"),
            }
        }
    };
    let first = fill(&mut journal);
    assert!(first > 300, "{first}");
    drop(journal);
    let (mut journal, recovered) = FileJournal::open(&journal_folder, VENUE, SMALL).unwrap();
    assert_eq!((journal.durable().0, recovered), (first, None), "it opens while the disk is full");
    std::fs::remove_file(&ballast).unwrap();
    let second = fill(&mut journal);
    assert!(second > first, "{second}");
    for (n, entry) in (1..=second).zip(journal.read(Position(1))) {
        assert_eq!(entry.unwrap().payload, payload(n));
    }
}
