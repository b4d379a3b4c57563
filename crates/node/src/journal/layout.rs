//! Every byte of a segment. All integers are little-endian.
//!
//! A segment is a file `NNNNNNNNNNNNNNNNNNNN.seg`, named by the 20-digit position of its first entry. It starts
//! with a header of 88 bytes:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `GRISTJNL` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 8 | position of the first entry |
//! | 20 | 32 | public key of the venue |
//! | 52 | 32 | hash chain before the first entry |
//! | 84 | 4 | CRC-32 of the bytes 0..84 |
//!
//! Records follow without gaps. The newest segment ends in zeros (space that is reserved but unused); the older
//! ones end with their last record.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | length of the payload, 1 to 2^24 |
//! | 4 | 4 | CRC-32 of all other bytes of the record, started from the CRC-32 of the segment's header |
//! | 8 | 8 | time in milliseconds since 1970 |
//! | 16 | 4 | offset in the segment at which the record's group starts (the records of one sync) |
//! | 20 | 32 | hash chain after this entry |
//! | 52 | length | payload |
//!
//! The checksum starts from the header's so that a record of another segment, or bytes that somebody hid in a
//! payload, are not taken for a record of this one.
//!
//! The hash chain after an entry is the keyed BLAKE3 hash of `time ‖ payload`, its key being the chain before the
//! entry. The first key is [`genesis`], which names the venue; the position is implied by the length of the chain.

use super::Position;
use market::{id::Digest, key::PublicKey, units::TimeMs};

/// The first bytes of every segment.
pub const MAGIC: [u8; 8] = *b"GRISTJNL";
/// The version of this layout.
pub const FORMAT_VERSION: u32 = 1;
/// The size of a segment's header.
pub const HEADER_BYTES: usize = 88;
/// What a record needs beside its payload.
pub const RECORD_OVERHEAD_BYTES: usize = 52;
/// The longest payload.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 24;
const GENESIS_DOMAIN: &str = "gristmill journal genesis v1";

/// The bytes that an entry with a payload of this length takes.
pub fn record_bytes(payload_bytes: usize) -> u64 {
    (RECORD_OVERHEAD_BYTES + payload_bytes) as u64
}

/// The hash chain of a venue before its first entry.
pub fn genesis(venue: &PublicKey) -> Digest {
    Digest::of_parts(GENESIS_DOMAIN, &[&venue.0])
}

/// The hash chain after an entry.
pub fn chain(previous: &Digest, at: TimeMs, payload: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new_keyed(&previous.0);
    hasher.update(&at.0.to_le_bytes());
    hasher.update(payload);
    Digest(*hasher.finalize().as_bytes())
}

/// The file name of the segment that starts at a position.
pub(super) fn segment_name(first: Position) -> String {
    format!("{:020}.seg", first.0)
}

/// The position in a segment's file name; `None` for other files.
pub(super) fn parse_segment_name(name: &str) -> Option<Position> {
    let digits =
        name.strip_suffix(".seg").filter(|d| d.len() == 20 && d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().map(Position)
}

/// The start of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The position of the first entry.
    pub first: Position,
    /// Whose journal it is.
    pub venue: PublicKey,
    /// The hash chain before the first entry.
    pub chain_before: Digest,
}

/// Why the first bytes of a segment are not a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Fewer bytes than a header has.
    #[error("the file ends within its header")]
    Truncated,
    /// Something else than a segment.
    #[error("the file does not start with GRISTJNL")]
    Magic,
    /// Damaged bytes.
    #[error("the checksum of the header does not match")]
    Checksum,
    /// A layout that this program does not know.
    #[error("the format is version {0}, this program knows version {FORMAT_VERSION}: use a newer program")]
    Version(u32),
}

impl Header {
    /// The bytes of the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.venue.0);
        bytes.extend_from_slice(&self.chain_before.0);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header from the start of a segment. Never panics.
    pub fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        let mut rest = bytes;
        let magic: [u8; 8] = take(&mut rest).ok_or(BadHeader::Truncated)?;
        if magic != MAGIC {
            return Err(BadHeader::Magic);
        }
        let version = take(&mut rest).map(u32::from_le_bytes).ok_or(BadHeader::Truncated)?;
        if version != FORMAT_VERSION {
            return Err(BadHeader::Version(version));
        }
        let header = Header {
            first: take(&mut rest).map(u64::from_le_bytes).map(Position).ok_or(BadHeader::Truncated)?,
            venue: take(&mut rest).map(PublicKey).ok_or(BadHeader::Truncated)?,
            chain_before: take(&mut rest).map(Digest).ok_or(BadHeader::Truncated)?,
        };
        let checksum = take(&mut rest).map(u32::from_le_bytes).ok_or(BadHeader::Truncated)?;
        if checksum != header.checksum() {
            return Err(BadHeader::Checksum);
        }
        Ok(header)
    }

    /// The CRC-32 at the end of the header, from which the checksums of the segment's records start.
    pub fn checksum(&self) -> u32 {
        let bytes = self.encode();
        crc32fast::hash(bytes.get(..HEADER_BYTES - 4).unwrap_or(&[]))
    }
}

/// One record; borrows its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The writer's time.
    pub at: TimeMs,
    /// Where in the segment the group starts that this record was synced with.
    pub group_offset: u32,
    /// The hash chain after this entry.
    pub chain: Digest,
    /// The entry.
    pub payload: &'a [u8],
}

/// Why some bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// The length is zero, as in unused space.
    #[error("there is no record")]
    Blank,
    /// Fewer bytes than the record has.
    #[error("the record has {needed} bytes and the file ends before that")]
    Truncated {
        /// How many bytes the record has as far as it is known.
        needed: usize,
    },
    /// No record is that long.
    #[error("a length of {0} bytes is impossible")]
    Length(u32),
    /// Damaged or incomplete bytes.
    #[error("the checksum does not match")]
    Checksum,
}

impl<'a> Record<'a> {
    /// The size of the record.
    pub fn encoded_bytes(&self) -> u64 {
        record_bytes(self.payload.len())
    }

    /// Appends the record's bytes. `seed` is the checksum of the segment's header. The payload has to be within
    /// [`MAX_PAYLOAD_BYTES`].
    pub fn encode(&self, seed: u32, out: &mut Vec<u8>) {
        let length = (self.payload.len() as u32).to_le_bytes();
        let mut fields = [0; RECORD_OVERHEAD_BYTES - 8];
        let (at, rest) = fields.split_at_mut(8);
        let (group, chain) = rest.split_at_mut(4);
        at.copy_from_slice(&self.at.0.to_le_bytes());
        group.copy_from_slice(&self.group_offset.to_le_bytes());
        chain.copy_from_slice(&self.chain.0);
        out.extend_from_slice(&length);
        out.extend_from_slice(&checksum(seed, &length, &fields, self.payload).to_le_bytes());
        out.extend_from_slice(&fields);
        out.extend_from_slice(self.payload);
    }
}

/// Reads the record at the start of `bytes`, which may go on after it. Never panics. `seed` is the checksum of the
/// segment's header. A good record may still break the hash chain: that is the reader's to check.
pub fn decode_record(seed: u32, bytes: &[u8]) -> Result<Record<'_>, BadRecord> {
    let fields_missing = BadRecord::Truncated { needed: RECORD_OVERHEAD_BYTES };
    let mut rest = bytes;
    let length_bytes: [u8; 4] = take(&mut rest).ok_or(fields_missing.clone())?;
    let length = u32::from_le_bytes(length_bytes);
    if length == 0 {
        return Err(BadRecord::Blank);
    }
    if length as usize > MAX_PAYLOAD_BYTES {
        return Err(BadRecord::Length(length));
    }
    let stored = take(&mut rest).map(u32::from_le_bytes).ok_or(fields_missing.clone())?;
    let fields: [u8; RECORD_OVERHEAD_BYTES - 8] = take(&mut rest).ok_or(fields_missing.clone())?;
    let needed = RECORD_OVERHEAD_BYTES + length as usize;
    let payload = rest.get(..length as usize).ok_or(BadRecord::Truncated { needed })?;
    if stored != checksum(seed, &length_bytes, &fields, payload) {
        return Err(BadRecord::Checksum);
    }
    let mut rest = &fields[..];
    Ok(Record {
        at: take(&mut rest).map(u64::from_le_bytes).map(TimeMs).ok_or(fields_missing.clone())?,
        group_offset: take(&mut rest).map(u32::from_le_bytes).ok_or(fields_missing.clone())?,
        chain: take(&mut rest).map(Digest).ok_or(fields_missing)?,
        payload,
    })
}

fn checksum(seed: u32, length: &[u8], fields: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(length);
    hasher.update(fields);
    hasher.update(payload);
    hasher.finalize()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}
