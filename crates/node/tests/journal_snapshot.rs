//! Snapshots are caches: sound ones are found, damaged ones cost time and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use market::id::Digest;
use node::journal::{
    ChainHead, Crash, Disk, Folder, Position, SimulatedDisk,
    snapshot::{self, SnapshotMeta},
};

fn meta(position: u64) -> SnapshotMeta {
    SnapshotMeta {
        chain_head: ChainHead { position: Position(position), hash: Digest([1; 32]) },
        rules_version: 1,
        state_hash: Digest([2; 32]),
        format: 1,
    }
}

fn file(position: u64) -> String {
    format!("{position:020}.snap")
}

fn newest_position<D: Disk>(disk: &D) -> Option<u64> {
    snapshot::latest(disk).unwrap().newest.map(|found| found.meta.chain_head.position.0)
}

#[test]
fn the_newest_snapshot_is_found_and_two_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Folder::at(folder.path());
    assert_eq!(newest_position(&disk), None);
    for position in [10, 200, 3_000] {
        snapshot::write(&disk, &meta(position), format!("state at {position}").as_bytes()).unwrap();
    }
    let newest = snapshot::latest(&disk).unwrap().newest.unwrap();
    assert_eq!((newest.meta, newest.bytes), (meta(3_000), b"state at 3000".to_vec()));
    let mut names = disk.list().unwrap();
    names.sort();
    assert_eq!(names, [file(200), file(3_000)]);
}

#[test]
fn a_damaged_or_renamed_snapshot_is_reported_and_the_one_before_is_used() {
    let disk = SimulatedDisk::new();
    snapshot::write(&disk, &meta(10), b"ten").unwrap();
    snapshot::write(&disk, &meta(20), b"twenty").unwrap();
    disk.tamper(&file(20), |bytes| bytes[50] ^= 1);
    let found = snapshot::latest(&disk).unwrap();
    assert_eq!(found.newest.unwrap().bytes, b"ten");
    assert!(found.ignored[0].to_string().contains("its digest does not match"), "{}", found.ignored[0]);

    disk.rename(&file(10), &file(30)).unwrap();
    let found = snapshot::latest(&disk).unwrap();
    assert_eq!((found.newest, found.ignored.len()), (None, 2));
}

#[test]
fn a_crash_leaves_a_whole_snapshot_or_none() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new();
        snapshot::write(&disk, &meta(10), &[7; 5_000]).unwrap();
        disk.crash_in_next_sync(Crash::Torn { seed });
        assert!(snapshot::write(&disk, &meta(20), &[8; 5_000]).is_err());
        let found = snapshot::latest(&disk).unwrap();
        assert_eq!((found.newest.unwrap().meta, found.ignored), (meta(10), vec![]));
        snapshot::write(&disk, &meta(20), &[8; 5_000]).unwrap();
        assert_eq!(newest_position(&disk), Some(20));
    }
}
