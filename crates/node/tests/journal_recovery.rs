//! Torn tails are cut, damage is refused, and no acknowledged entry is ever lost to a crash.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use market::{key::PublicKey, units::TimeMs};
use node::journal::{
    Corruption, Crash, Entry, FileJournal, Flaw, Journal, MemoryJournal, OpenError, Options, Position,
    ReadError, Recovered, SimulatedDisk, dump, genesis,
    layout::{
        BadHeader, BadRecord, HEADER_BYTES, Header, RECORD_OVERHEAD_BYTES, Record, chain, decode_record,
    },
    record_bytes, verify,
};
use proptest::prelude::*;

const VENUE: PublicKey = PublicKey([7; 32]);
const OPTIONS: Options = Options { segment_bytes: 4_096, extent_bytes: 1_024 };
const FIRST: &str = "00000000000000000001.seg";
const RECORD: usize = RECORD_OVERHEAD_BYTES + 48;

fn payload(position: u64) -> Vec<u8> {
    format!("{position:048}").into_bytes()
}

/// Appends groups of the given sizes, each synced.
fn write_groups(journal: &mut dyn Journal, groups: &[u64]) {
    for size in groups {
        journal.reserve(size * record_bytes(48)).unwrap();
        for _ in 0..*size {
            let next = journal.head().position.next();
            journal.append(TimeMs(next.0), &payload(next.0));
        }
        journal.sync().unwrap();
    }
}

fn disk_with(groups: &[u64]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let (mut journal, _) = MemoryJournal::open(&disk, VENUE, OPTIONS).unwrap();
    write_groups(&mut journal, groups);
    disk
}

fn open(disk: &SimulatedDisk) -> Result<(MemoryJournal, Option<Recovered>), OpenError> {
    MemoryJournal::open(disk, VENUE, OPTIONS)
}

fn entries(journal: &dyn Journal) -> Result<Vec<Entry>, ReadError> {
    journal.read(Position(1)).collect()
}

fn corruption_on_open(disk: &SimulatedDisk) -> Corruption {
    match open(disk).map(|_| ()).unwrap_err() {
        OpenError::Read(ReadError::Corrupt(corruption)) => corruption,
        other => panic!("{other}"),
    }
}

fn corruption_on_read(disk: &SimulatedDisk) -> Corruption {
    match entries(&open(disk).unwrap().0).unwrap_err() {
        ReadError::Corrupt(corruption) => corruption,
        other => panic!("{other}"),
    }
}

/// Where a record of the first segment starts.
fn offset(position: u64) -> usize {
    HEADER_BYTES + (position as usize - 1) * RECORD
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let disk = disk_with(&[2, 1]);
    disk.tamper(FIRST, |bytes| bytes[offset(3) + 60..].fill(0));
    let (journal, recovered) = open(&disk).unwrap();
    let recovered = recovered.unwrap();
    assert_eq!((recovered.cut_bytes, recovered.at_position), (60, Position(2)));
    assert_eq!(recovered.offset, offset(3) as u64);
    assert!(recovered.to_string().contains("the checksum does not match"), "{recovered}");
    assert_eq!(entries(&journal).unwrap().len(), 2);
    drop(journal);
    assert_eq!(open(&disk).unwrap().1, None, "it is cut once");
}

#[test]
fn a_group_with_holes_is_a_torn_tail() {
    // The disk wrote the end of the newest group and not its start: good records follow a bad one.
    let disk = disk_with(&[2, 3]);
    disk.tamper(FIRST, |bytes| bytes[offset(3)..offset(4)].fill(0));
    let (journal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.unwrap().at_position, Position(2));
    assert_eq!(entries(&journal).unwrap().len(), 2);
}

#[test]
fn a_bad_record_before_a_later_group_is_refused_with_its_place() {
    for (flip, flaw) in
        [(4, BadRecord::Checksum), (60, BadRecord::Checksum), (3, BadRecord::Length(0x0100_0000 | 48))]
    {
        let disk = disk_with(&[2, 1, 1]);
        let before = disk.contents(FIRST);
        disk.tamper(FIRST, |bytes| bytes[offset(3) + flip] ^= 1);
        let tampered = disk.contents(FIRST);
        let corruption = corruption_on_open(&disk);
        assert_eq!((corruption.position, corruption.offset), (Position(3), offset(3) as u64));
        assert_eq!(corruption.flaw, Flaw::Record(flaw));
        let text = corruption.to_string();
        assert!(text.contains(FIRST) && text.contains("Restore this file"), "{text}");
        assert_eq!(disk.contents(FIRST), tampered, "nothing is changed");
        assert_ne!(disk.contents(FIRST), before);
    }
}

#[test]
fn zeros_before_a_later_group_are_refused() {
    let disk = disk_with(&[2, 1, 1]);
    disk.tamper(FIRST, |bytes| bytes[offset(3)..offset(4)].fill(0));
    assert_eq!(corruption_on_open(&disk).flaw, Flaw::Record(BadRecord::Blank));
}

#[test]
fn damage_in_an_older_segment_is_refused() {
    let disk = disk_with(&[1; 100]);
    disk.tamper(FIRST, |bytes| bytes[offset(3) + 60] ^= 1);
    let corruption = corruption_on_read(&disk);
    assert_eq!((corruption.position, corruption.flaw), (Position(3), Flaw::Record(BadRecord::Checksum)));
    disk.tamper(FIRST, |bytes| bytes[offset(3) + 60] ^= 1);
    disk.tamper(FIRST, |bytes| bytes.extend([0; 10]));
    assert_eq!(corruption_on_read(&disk).flaw, Flaw::Record(BadRecord::Blank));
}

#[test]
fn an_older_segment_that_was_cut_or_is_missing_is_refused() {
    use node::journal::Disk;
    let disk = disk_with(&[1; 100]);
    let second = disk.list().unwrap()[1].clone();
    let second_first = Position(second[..20].parse().unwrap());
    let third_first = Position(disk.list().unwrap()[2][..20].parse().unwrap());

    disk.tamper(FIRST, |bytes| bytes.truncate(offset(10)));
    let corruption = corruption_on_read(&disk);
    assert_eq!((corruption.position, corruption.flaw), (Position(10), Flaw::Gap { next: second_first }));

    let disk = disk_with(&[1; 100]);
    disk.remove(&second).unwrap();
    let corruption = corruption_on_read(&disk);
    assert_eq!((corruption.position, corruption.flaw), (second_first, Flaw::Gap { next: third_first }));
    disk.remove(FIRST).unwrap();
    assert_eq!(corruption_on_open(&disk).flaw, Flaw::Gap { next: third_first });
}

#[test]
fn a_renamed_segment_is_refused() {
    use node::journal::Disk;
    let disk = disk_with(&[1; 100]);
    let last = disk.list().unwrap().pop().unwrap();
    let first = Position(last[..20].parse().unwrap());
    disk.rename(&last, "00000000000000000500.seg").unwrap();
    assert_eq!(corruption_on_open(&disk).flaw, Flaw::Renamed(first));
}

#[test]
fn a_whole_record_that_breaks_the_chain_the_time_or_the_group_is_refused() {
    let header = Header { first: Position(1), venue: VENUE, chain_before: genesis(&VENUE) };
    let one = chain(&genesis(&VENUE), TimeMs(5), b"one");
    let first = Record { at: TimeMs(5), group_offset: 88, chain: one, payload: b"one" };
    let group_offset = HEADER_BYTES as u32 + first.encoded_bytes() as u32;
    let good = Record { at: TimeMs(5), group_offset, chain: chain(&one, TimeMs(5), b"two"), payload: b"two" };
    let early = chain(&one, TimeMs(4), b"two");
    let cases = [
        (None, good.clone()),
        (Some(Flaw::Chain), Record { payload: b"TWO", ..good.clone() }),
        (Some(Flaw::Time), Record { at: TimeMs(4), chain: early, ..good.clone() }),
        (Some(Flaw::Group), Record { group_offset: 90, ..good }),
    ];
    for (flaw, second) in cases {
        let disk = disk_with(&[1]);
        disk.tamper(FIRST, |bytes| {
            *bytes = header.encode();
            first.encode(header.checksum(), bytes);
            second.encode(header.checksum(), bytes);
        });
        match flaw {
            None => assert_eq!(open(&disk).unwrap().0.durable(), Position(2)),
            Some(flaw) => assert_eq!(corruption_on_open(&disk).flaw, flaw),
        }
    }
}

#[test]
fn a_damaged_header_or_a_newer_format_is_refused() {
    for (byte, expected) in [(0, BadHeader::Magic), (8, BadHeader::Version(0)), (30, BadHeader::Checksum)] {
        let disk = disk_with(&[1]);
        disk.tamper(FIRST, |bytes| bytes[byte] ^= 1);
        match open(&disk).map(|_| ()).unwrap_err() {
            OpenError::Read(ReadError::Header { flaw, .. }) => assert_eq!(flaw, expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_record_hidden_in_a_payload_is_not_taken_for_one() {
    // A payload that holds a whole record of a later group of some other segment.
    let record = Record { at: TimeMs(9), group_offset: 5_000, chain: genesis(&VENUE), payload: b"forged" };
    let mut forged = Vec::new();
    record.encode(0x1234_5678, &mut forged);
    let disk = SimulatedDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    journal.reserve(record_bytes(forged.len())).unwrap();
    journal.append(TimeMs(1), &forged);
    journal.sync().unwrap();
    disk.tamper(FIRST, |bytes| bytes[HEADER_BYTES + 4] ^= 1);
    assert_eq!(open(&disk).unwrap().1.unwrap().at_position, Position(0));
}

#[test]
fn verify_reports_what_is_there_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(folder.path(), VENUE, OPTIONS).unwrap();
    write_groups(&mut journal, &[1; 100]);
    let mut seen = Vec::new();
    let report = verify(folder.path(), |entry| seen.push(entry.position.0)).unwrap();
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
    assert_eq!((report.entries, report.payload_bytes, report.head), (100, 4_800, journal.head()));
    assert!(report.segments > 2 && report.torn_tail.is_none(), "{report:?}");

    let dumped: Vec<_> = dump(folder.path(), Position(50)).unwrap().map(Result::unwrap).collect();
    assert_eq!(dumped.len(), 51);
    assert_eq!(dumped[0].payload, payload(50));

    drop(journal);
    let newest = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().path());
    let newest = newest.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used] ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    let report = verify(folder.path(), |_| {}).unwrap();
    assert_eq!((report.entries, report.torn_tail.unwrap().position), (99, Position(100)));
    assert_eq!(std::fs::read(&newest).unwrap(), bytes);
}

#[test]
fn the_bytes_of_version_1_never_change() {
    let header = Header { first: Position(3), venue: VENUE, chain_before: genesis(&VENUE) };
    let hash = chain(&genesis(&VENUE), TimeMs(1_700_000_000_000), b"statement");
    let record =
        Record { at: TimeMs(1_700_000_000_000), group_offset: 88, chain: hash, payload: b"statement" };
    let mut bytes = header.encode();
    assert_eq!(bytes.len(), HEADER_BYTES);
    record.encode(header.checksum(), &mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("journal_golden/segment_v1.hex").trim());
    assert_eq!(Header::decode(&bytes), Ok(header.clone()));
    assert_eq!(decode_record(header.checksum(), &bytes[HEADER_BYTES..]), Ok(record));
}

proptest! {
    #[test]
    fn no_crash_loses_an_acknowledged_entry(
        groups in prop::collection::vec(1u64..20, 1..12),
        syncs_before_the_crash in 0usize..12,
        crash in prop_oneof![
            Just(Crash::LoseUnsynced), Just(Crash::KeepUnsynced), any::<u64>().prop_map(|seed| Crash::Torn { seed })
        ],
    ) {
        let disk = SimulatedDisk::new();
        let (mut journal, _) = open(&disk).unwrap();
        let mut acknowledged = Position::START;
        for (n, size) in groups.iter().enumerate() {
            if n == syncs_before_the_crash {
                disk.crash_in_next_sync(crash);
            }
            if journal.reserve(size * record_bytes(48)).is_err() {
                break;
            }
            for _ in 0..*size {
                let next = journal.head().position.next();
                journal.append(TimeMs(next.0), &payload(next.0));
            }
            match journal.sync() {
                Ok(position) => acknowledged = position,
                Err(_) => break,
            }
        }
        drop(journal);
        disk.crash(crash);
        let (mut journal, _) = open(&disk).unwrap();
        prop_assert!(journal.durable() >= acknowledged, "{} of {acknowledged}", journal.durable());
        write_groups(&mut journal, &[3]);
        drop(journal);
        let (journal, recovered) = open(&disk).unwrap();
        prop_assert_eq!(recovered, None);
        for (n, entry) in (1..).zip(entries(&journal).unwrap()) {
            prop_assert_eq!(entry.payload, payload(n));
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed(place: prop::sample::Index, change in 1u8..) {
        use node::journal::Disk;
        let disk = disk_with(&[1; 60]);
        let sound = entries(&open(&disk).unwrap().0).unwrap();
        let lengths: Vec<_> =
            disk.list().unwrap().into_iter().map(|name| (disk.contents(&name).unwrap().len(), name)).collect();
        let mut place = place.index(lengths.iter().map(|(length, _)| length).sum());
        for (length, name) in lengths {
            if place < length {
                disk.tamper(&name, |bytes| bytes[place] ^= change);
                break;
            }
            place -= length;
        }
        if let Ok((journal, recovered)) = open(&disk)
            && let Ok(entries) = entries(&journal)
        {
            // Only the newest group can be cut, and this is reported.
            prop_assert!(recovered.is_some());
            prop_assert!(entries.len() >= 59);
            prop_assert_eq!(&sound[..entries.len()], &entries[..]);
        }
    }

    #[test]
    fn decoding_any_bytes_never_panics(seed: u32, bytes: Vec<u8>) {
        let _ = decode_record(seed, &bytes);
        let _ = Header::decode(&bytes);
        let _ = node::journal::snapshot::decode(&bytes);
    }

    #[test]
    fn records_survive_encoding_and_no_changed_byte_does(
        seed: u32, at: u64, group_offset: u32, hash: [u8; 32],
        payload in prop::collection::vec(any::<u8>(), 1..200),
        place: prop::sample::Index, change in 1u8..,
    ) {
        let chain = market::id::Digest(hash);
        let record = Record { at: TimeMs(at), group_offset, chain, payload: &payload };
        let mut bytes = Vec::new();
        record.encode(seed, &mut bytes);
        prop_assert_eq!(bytes.len() as u64, record.encoded_bytes());
        prop_assert_eq!(decode_record(seed, &bytes), Ok(record));
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        prop_assert!(decode_record(seed, &bytes).is_err());
    }
}
