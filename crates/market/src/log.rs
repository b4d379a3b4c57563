//! The public log: a Merkle tree over the market's public events (RFC 9162, section 2.1, with BLAKE3).
//!
//! The venue signs a [`Head`] (how many events, and the root over them) with each answer; every statement
//! names the newest head that its signer saw. Three things follow:
//!
//! - an [`InclusionProof`] shows that an event is in the log under a head, without the rest of the log;
//! - a [`ConsistencyProof`] shows that the log behind one head continues the log behind an older one;
//! - a venue that shows different logs to different people signs two heads that nothing can join, and
//!   [`is_fork`] turns those into evidence that convinces everybody.
//!
//! Hashing: `leaf = BLAKE3(0x00 ‖ event)`, `node = BLAKE3(0x01 ‖ left ‖ right)`, the empty log is
//! `BLAKE3("")`; a tree of `n` leaves splits at the largest power of two below `n`.
//!
//! Proofs are made here and checked by the crate `ct-merkle`; why is in
//! `docs/adr/0002-proofs-of-the-public-log.md`.

use crate::{
    id::Digest,
    key::{BadSignature, PublicKey, SecretKey, Signature},
    units::{MAX_SAFE_JSON_INTEGER, TimeMs},
};
use ct_merkle::RootHash;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a head's signature is made under.
const HEAD_DOMAIN: &str = "gristmill log head v1";

/// A state of the log: how many events, and the root over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Number of events.
    pub size: u64,
    /// Merkle tree hash over them.
    pub root: Digest,
}

impl Head {
    /// The head of a log without events.
    pub fn empty() -> Head {
        Head { size: 0, root: Digest::of(&[]) }
    }
}

/// A head that the venue vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The state of the log.
    pub head: Head,
    /// When the venue signed.
    pub at: TimeMs,
    /// Who signed.
    pub venue: PublicKey,
    /// The venue's signature over size, root and time.
    pub signature: Signature,
}

impl SignedHead {
    /// Signs a head as the venue.
    pub fn sign(head: Head, at: TimeMs, venue: &SecretKey) -> SignedHead {
        let signature = venue.sign(HEAD_DOMAIN, &head_message(&head, at));
        SignedHead { head, at, venue: venue.public(), signature }
    }

    /// Checks the signature. Whether `venue` is the right one is for the caller to compare.
    pub fn verify(&self) -> Result<(), BadSignature> {
        self.venue.verify(HEAD_DOMAIN, &head_message(&self.head, self.at), &self.signature)
    }
}

fn head_message(head: &Head, at: TimeMs) -> Vec<u8> {
    [&head.size.to_le_bytes()[..], &head.root.0, &at.0.to_le_bytes()].concat()
}

/// That an event is in the log: the siblings on its way to the root, from the leaf upwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// The event's position, from 0.
    pub index: u64,
    /// Size of the log under whose head the event is proven.
    pub size: u64,
    /// `PATH(index, D[size])` of RFC 9162, section 2.1.3.
    pub path: Vec<Digest>,
}

/// That the log behind `new` begins with the log behind `old`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// The older state.
    pub old: Head,
    /// The newer state.
    pub new: Head,
    /// `PROOF(old.size, D[new.size])` of RFC 9162, section 2.1.4.
    pub path: Vec<Digest>,
}

/// A proof that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// Made for other heads or another position.
    #[error("the proof is for another head: ask for one that ends at the head you hold")]
    OtherHead,
    /// Sizes or path lengths that no log has.
    #[error("the proof is malformed: no log of this size has such a path")]
    Malformed,
    /// The hashes lead to another root.
    #[error("the proof leads to another root: the log does not contain what it claims")]
    OtherRoot,
}

/// A size or position that the log has not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log has {size} events, {asked} is beyond its end")]
pub struct BeyondEnd {
    /// What was asked.
    pub asked: u64,
    /// What the log has.
    pub size: u64,
}

/// The Merkle tree over all public events so far. Keeps hashes only, 64 bytes an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublicLog {
    /// `levels[k][i]` is the hash over the complete subtree of the events `i·2^k .. (i+1)·2^k`.
    levels: Vec<Vec<Digest>>,
}

impl PublicLog {
    /// A log without events.
    pub fn new() -> PublicLog {
        PublicLog::default()
    }

    /// Adds an event and returns its position.
    pub fn append(&mut self, event: &[u8]) -> u64 {
        let index = self.size();
        self.append_leaf(leaf_hash(event));
        index
    }

    /// Number of events.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The newest head.
    pub fn head(&self) -> Head {
        let size = self.size();
        if size == 0 { Head::empty() } else { Head { size, root: self.subtree(0, size) } }
    }

    /// The root as it was when the log had `size` events; about log₂ `size` hashes.
    pub fn root_at(&self, size: u64) -> Result<Digest, BeyondEnd> {
        self.reaches(size)?;
        Ok(if size == 0 { Head::empty().root } else { self.subtree(0, size) })
    }

    /// Whether the log passed through this head: what a statement's newest head has to be.
    pub fn passed_through(&self, head: &Head) -> bool {
        self.root_at(head.size) == Ok(head.root)
    }

    /// Proves that the event at `index` is in the log of the first `size` events.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<InclusionProof, BeyondEnd> {
        self.reaches(size)?;
        if index >= size {
            return Err(BeyondEnd { asked: index, size });
        }
        let (mut start, mut length, mut path) = (0, size, Vec::new());
        while length > 1 {
            let left = split(length);
            if index - start < left {
                path.push(self.subtree(start + left, length - left));
                length = left;
            } else {
                path.push(self.subtree(start, left));
                start += left;
                length -= left;
            }
        }
        path.reverse();
        Ok(InclusionProof { index, size, path })
    }

    /// Proves that the log of the first `new_size` events begins with that of the first `old_size`.
    pub fn consistency_proof(&self, old_size: u64, new_size: u64) -> Result<ConsistencyProof, BeyondEnd> {
        let new = Head { size: new_size, root: self.root_at(new_size)? };
        if old_size > new_size {
            return Err(BeyondEnd { asked: old_size, size: new_size });
        }
        let old = Head { size: old_size, root: self.root_at(old_size)? };
        let (mut start, mut length, mut path) = (0, new_size, Vec::new());
        // Down to the largest subtree that ends where the old log ends: it is in both logs.
        while old_size > 0 && start + length != old_size {
            let left = split(length);
            if old_size - start <= left {
                path.push(self.subtree(start + left, length - left));
                length = left;
            } else {
                path.push(self.subtree(start, left));
                start += left;
                length -= left;
            }
        }
        if start > 0 {
            // The verifier knows the old root, but this subtree only when it is the whole old log.
            path.push(self.subtree(start, length));
        }
        path.reverse();
        Ok(ConsistencyProof { old, new, path })
    }

    fn reaches(&self, size: u64) -> Result<(), BeyondEnd> {
        if size > self.size() { Err(BeyondEnd { asked: size, size: self.size() }) } else { Ok(()) }
    }

    fn append_leaf(&mut self, leaf: Digest) {
        let mut node = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(node);
            match nodes.as_slice() {
                [.., left, right] if nodes.len().is_multiple_of(2) => node = node_hash(left, right),
                _ => break,
            }
        }
    }

    /// The hash over `length > 0` events from `start`, where `start` is a multiple of the largest power of two
    /// that fits into `length`.
    fn subtree(&self, start: u64, length: u64) -> Digest {
        if length.is_power_of_two() {
            return self.levels[length.ilog2() as usize][(start / length) as usize];
        }
        let left = split(length);
        node_hash(&self.subtree(start, left), &self.subtree(start + left, length - left))
    }
}

/// The leaves alone are written: the rest follows from them, so that what is read cannot contradict itself.
impl Serialize for PublicLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.levels.first().map_or(&[][..], Vec::as_slice).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicLog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PublicLog, D::Error> {
        let mut log = PublicLog::new();
        for leaf in Vec::<Digest>::deserialize(deserializer)? {
            log.append_leaf(leaf);
        }
        Ok(log)
    }
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

fn leaf_hash(event: &[u8]) -> Digest {
    Digest(*blake3::Hasher::new().update(&[0x00]).update(event).finalize().as_bytes())
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest(*blake3::Hasher::new().update(&[0x01]).update(&left.0).update(&right.0).finalize().as_bytes())
}

/// Checks that `event` is at `proof.index` in the log behind `head`.
pub fn verify_inclusion(head: &Head, event: &[u8], proof: &InclusionProof) -> Result<(), BadProof> {
    if proof.size != head.size {
        return Err(BadProof::OtherHead);
    }
    // The bound also keeps the checker's arithmetic from overflowing.
    if proof.index >= proof.size || proof.size > MAX_SAFE_JSON_INTEGER {
        return Err(BadProof::Malformed);
    }
    let path = ct_merkle::InclusionProof::<blake3::Hasher>::from_bytes(bytes_of(&proof.path));
    root_hash(head).verify_inclusion(&event, proof.index, &path).map_err(|error| match error {
        ct_merkle::InclusionVerifError::IncorrectHash => BadProof::OtherRoot,
        _ => BadProof::Malformed,
    })
}

/// Checks that the log behind `new` begins with the log behind `old`.
pub fn verify_consistency(old: &Head, new: &Head, proof: &ConsistencyProof) -> Result<(), BadProof> {
    if (proof.old, proof.new) != (*old, *new) {
        return Err(BadProof::OtherHead);
    }
    if old.size > new.size || new.size > MAX_SAFE_JSON_INTEGER {
        return Err(BadProof::Malformed);
    }
    if old.size == 0 {
        // RFC 9162 defines no proof from the empty log: every log begins with it.
        let empty = Head::empty();
        let new_is_sound = new.size > 0 || *new == empty;
        return if !proof.path.is_empty() {
            Err(BadProof::Malformed)
        } else if *old == empty && new_is_sound {
            Ok(())
        } else {
            Err(BadProof::OtherRoot)
        };
    }
    let path = ct_merkle::ConsistencyProof::<blake3::Hasher>::try_from_bytes(bytes_of(&proof.path))
        .map_err(|_| BadProof::Malformed)?;
    root_hash(new).verify_consistency(&root_hash(old), &path).map_err(|error| match error {
        ct_merkle::ConsistencyVerifError::VerificationFailure => BadProof::OtherRoot,
        _ => BadProof::Malformed,
    })
}

fn root_hash(head: &Head) -> RootHash<blake3::Hasher> {
    RootHash::new(head.root.0.into(), head.size)
}

fn bytes_of(path: &[Digest]) -> Vec<u8> {
    path.iter().flat_map(|digest| digest.0).collect()
}

/// Whether two signed heads prove that their venue shows different logs to different people.
///
/// Two heads of one size with different roots prove it by themselves. For different sizes, `proof` has to lead
/// from some other root of the smaller size to the larger head: by the hash's collision resistance a log has
/// one root at each size, so the larger log does not begin with the smaller one. A proof that merely fails is
/// no evidence: anybody can make one. A venue that refuses to give a proof is not caught by this, only seen.
pub fn is_fork(a: &SignedHead, b: &SignedHead, proof: Option<&ConsistencyProof>) -> bool {
    if a.venue != b.venue || a.verify().is_err() || b.verify().is_err() {
        return false;
    }
    let (older, newer) = if a.head.size <= b.head.size { (&a.head, &b.head) } else { (&b.head, &a.head) };
    if older.size == newer.size {
        return older.root != newer.root;
    }
    proof.is_some_and(|proof| {
        proof.old.size == older.size
            && proof.old.root != older.root
            && verify_consistency(&proof.old, newer, proof).is_ok()
    })
}

#[cfg(test)]
mod tests;
