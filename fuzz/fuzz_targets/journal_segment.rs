//! Opens a journal whose only segment has any records: it is refused, or it goes on and can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use market::{key::PublicKey, units::TimeMs};
use node::journal::{
    Journal, MemoryJournal, Options, Position, SimulatedDisk, layout::HEADER_BYTES, record_bytes,
};

const VENUE: PublicKey = PublicKey([7; 32]);
const OPTIONS: Options = Options { segment_bytes: 64 << 10, extent_bytes: 4 << 10 };

fuzz_target!(|records: &[u8]| {
    let disk = SimulatedDisk::new();
    let (mut journal, _) =
        MemoryJournal::open(&disk, VENUE, OPTIONS).expect("an empty disk has an empty journal");
    journal.reserve(record_bytes(9)).expect("the disk has no limit");
    journal.append(TimeMs(1), b"statement");
    journal.sync().expect("the disk does not fail");
    drop(journal);
    // After a sound record, so that the input has to get past the chain as well.
    let start = HEADER_BYTES + record_bytes(9) as usize;
    disk.tamper("00000000000000000001.seg", |bytes| {
        bytes.truncate(start);
        bytes.extend_from_slice(records);
    });

    let Ok((mut journal, recovered)) = MemoryJournal::open(&disk, VENUE, OPTIONS) else { return };
    let used = records.iter().any(|byte| *byte != 0);
    assert!(
        journal.durable() > Position(1) || recovered.is_some() == used,
        "only unused space is cut in silence"
    );
    let (durable, at) = (journal.durable(), journal.last_at());
    journal.reserve(record_bytes(5)).expect("the disk has no limit");
    journal.append(at, b"after");
    journal.sync().expect("the disk does not fail");
    let entries: Vec<_> =
        journal.read(Position(1)).collect::<Result<_, _>>().expect("what opened can be read");
    assert_eq!(entries.len() as u64, durable.0 + 1);
});
