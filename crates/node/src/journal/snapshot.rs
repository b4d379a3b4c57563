//! Snapshots: caches of the market's state that make a start fast. The journal alone is the truth; a snapshot that is
//! damaged or missing costs time and nothing else.
//!
//! A snapshot is the file `NNNNNNNNNNNNNNNNNNNN.snap`, named by its position: magic `GRISTSNP`, the length of the
//! description (4 bytes, little-endian), the description ([`SnapshotMeta`] as JSON), the state, and the BLAKE3 digest of
//! all bytes before it (32 bytes).

use super::{ChainHead, Disk, DiskFile, Position};
use market::id::Digest;
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf};

const MAGIC: &[u8; 8] = b"GRISTSNP";
const DIGEST_BYTES: usize = 32;
const UNFINISHED_NAME: &str = "snapshot.tmp";
/// How many snapshots are kept: one more than the newest, in case that one is damaged.
const KEPT: usize = 2;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotMeta {
    /// The last entry that the state includes, and the hash chain after it. Use the snapshot only when the
    /// journal has the same hash there.
    pub chain_head: ChainHead,
    /// The rules that were active.
    pub rules_version: u32,
    /// The state's own hash.
    pub state_hash: Digest,
    /// The version of the state's encoding.
    pub format: u32,
}

/// A sound snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is of.
    pub meta: SnapshotMeta,
    /// The state, as it was written.
    pub bytes: Vec<u8>,
}

/// What was found in a folder of snapshots.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest sound one.
    pub newest: Option<Snapshot>,
    /// Newer ones that cannot be used, for the log.
    pub ignored: Vec<IgnoredSnapshot>,
}

/// A snapshot that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot {} was ignored: {why}. It is only a cache; it may be deleted", file.display())]
pub struct IgnoredSnapshot {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Writes a snapshot that is there in whole or not at all, and deletes all but the newest two.
pub fn write<D: Disk>(disk: &D, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
    let description = serde_json::to_vec(meta)?;
    let mut content = Vec::with_capacity(MAGIC.len() + 4 + description.len() + bytes.len() + DIGEST_BYTES);
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&(description.len() as u32).to_le_bytes());
    content.extend_from_slice(&description);
    content.extend_from_slice(bytes);
    let digest = Digest::of(&content);
    content.extend_from_slice(&digest.0);

    let mut file = disk.create(UNFINISHED_NAME)?;
    file.write_at(0, &content)?;
    file.sync()?;
    disk.rename(UNFINISHED_NAME, &name(meta.chain_head.position))?;
    disk.sync_names()?;
    for old in positions(disk)?.into_iter().skip(KEPT) {
        disk.remove(&name(old))?;
    }
    Ok(())
}

/// The newest sound snapshot. Damaged ones are skipped and reported.
pub fn latest<D: Disk>(disk: &D) -> io::Result<Found> {
    let mut found = Found::default();
    for position in positions(disk)? {
        let name = name(position);
        match decode(&read_file(disk, &name)?) {
            Ok(snapshot) if snapshot.meta.chain_head.position == position => {
                found.newest = Some(snapshot);
                break;
            }
            Ok(_) => {
                found.ignored.push(IgnoredSnapshot { file: disk.path(&name), why: "it was renamed".into() })
            }
            Err(why) => found.ignored.push(IgnoredSnapshot { file: disk.path(&name), why: why.to_string() }),
        }
    }
    Ok(found)
}

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// Too short, or something else.
    #[error("it is not a snapshot")]
    Magic,
    /// Damaged or incomplete bytes.
    #[error("its digest does not match")]
    Digest,
    /// A description that this program does not know.
    #[error("its description cannot be read: {0}")]
    Description(String),
}

/// Reads a snapshot. Never panics.
pub fn decode(content: &[u8]) -> Result<Snapshot, BadSnapshot> {
    if !content.starts_with(MAGIC) {
        return Err(BadSnapshot::Magic);
    }
    let (signed, digest) = content.split_last_chunk::<DIGEST_BYTES>().ok_or(BadSnapshot::Digest)?;
    if Digest::of(signed).0 != *digest {
        return Err(BadSnapshot::Digest);
    }
    let rest = signed.get(MAGIC.len()..).unwrap_or(&[]);
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(BadSnapshot::Magic)?;
    let (description, bytes) =
        rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(BadSnapshot::Magic)?;
    let meta = serde_json::from_slice(description).map_err(|e| BadSnapshot::Description(e.to_string()))?;
    Ok(Snapshot { meta, bytes: bytes.to_vec() })
}

fn name(position: Position) -> String {
    format!("{:020}.snap", position.0)
}

/// The positions of all snapshots, the newest first.
fn positions<D: Disk>(disk: &D) -> io::Result<Vec<Position>> {
    let names = disk.list()?;
    let digits = names.iter().filter_map(|name| name.strip_suffix(".snap"));
    let mut positions: Vec<_> = digits.filter_map(|digits| digits.parse().ok().map(Position)).collect();
    positions.sort_unstable_by(|a, b| b.cmp(a));
    Ok(positions)
}

fn read_file<D: Disk>(disk: &D, name: &str) -> io::Result<Vec<u8>> {
    let mut file = disk.open(name)?;
    let mut content = vec![0; file.len_bytes()? as usize];
    let count = file.read_at(0, &mut content)?;
    content.truncate(count);
    Ok(content)
}
