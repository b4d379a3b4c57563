//! Blobs: named by their BLAKE3 digest, checked as they arrive, there in whole or not at all.
//!
//! A blob's file is `DI/GEST.PARTY`: the name says who brought it and is charged for it, also after a restart. Files
//! without a party are from before there were such names, and are nobody's charge.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use market::{
    id::{Digest, PartyId},
    units::TimeMs,
};
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem,
    path::Path,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How much is handed to the store at once.
const PART_BYTES: usize = 1 << 20;
/// How long an upload may stand still.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// What is stored where, and who brought it.
#[derive(Debug)]
pub(super) struct BlobStore {
    store: Arc<dyn ObjectStore>,
    limits: BlobLimits,
    index: Mutex<Index>,
}

/// How much may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLimits {
    /// The largest blob, in bytes.
    pub blob_max_bytes: u64,
    /// The most that one party may have stored, in bytes.
    pub party_quota_bytes: u64,
    /// How long a blob stays that no job needs, in milliseconds.
    pub unused_grace_ms: u64,
}

#[derive(Debug, Default)]
struct Index {
    blobs: BTreeMap<Digest, Stored>,
    used_bytes: BTreeMap<PartyId, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    bytes: u64,
    /// Who is charged for it.
    party: Option<PartyId>,
    /// When it was brought, or last asked for.
    wanted_at: TimeMs,
}

/// Why a blob was not stored or not given.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlobError {
    /// Larger than one may be.
    #[error("the blob is larger than the {max_bytes} bytes that this market takes: split it")]
    TooLarge { max_bytes: u64 },
    /// More than a party may have.
    #[error(
        "your stored blobs would exceed the {quota_bytes} bytes that one party may have here: wait until your jobs are over"
    )]
    Quota { quota_bytes: u64 },
    /// Other bytes than promised.
    #[error("the bytes have the digest {found}, not {expected}: nothing was stored")]
    Mismatch { expected: Digest, found: Digest },
    /// The sender stopped sending.
    #[error("the upload broke off ({0}): nothing was stored, send it again")]
    BrokenOff(String),
    /// No such blob.
    #[error("there is no blob {0}: upload it first")]
    Missing(Digest),
    /// A range outside of it.
    #[error("the blob has {bytes} bytes, the range lies outside")]
    Range { bytes: u64 },
    /// The store failed.
    #[error("the blob store failed: {0}")]
    Store(#[from] object_store::Error),
}

/// A blob on its way out.
pub(super) struct Opened {
    pub(super) bytes: u64,
    pub(super) range: Range<u64>,
    pub(super) content: BoxStream<'static, object_store::Result<Bytes>>,
}

/// Which part of a blob is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything.
    Whole,
    /// From an offset to an end, which may lie behind the blob's.
    Span { from: u64, to: u64 },
    /// The last bytes.
    Last(u64),
}

impl BlobStore {
    /// Opens a folder of blobs.
    pub(super) async fn open(
        folder: &std::path::Path,
        limits: BlobLimits,
        now: TimeMs,
    ) -> Result<BlobStore, BlobError> {
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        let (mut index, mut doubles) = (Index::default(), Vec::new());
        let mut objects = store.list(None);
        while let Some(object) = objects.try_next().await? {
            let Some((digest, party)) = read_path(&object.location) else { continue };
            if index.add(digest, Stored { bytes: object.size, party, wanted_at: now }).is_some() {
                doubles.push(object.location);
            }
        }
        drop(objects);
        for double in doubles {
            store.delete(&double).await?;
        }
        Ok(BlobStore { store: Arc::new(store), limits, index: Mutex::new(index) })
    }

    /// Whether a blob is there. Asking keeps it for another grace period.
    pub(super) fn has(&self, digest: &Digest, now: TimeMs) -> bool {
        self.size(digest, now).is_some()
    }

    /// The size of a blob. Asking keeps it for another grace period.
    pub(super) fn size(&self, digest: &Digest, now: TimeMs) -> Option<u64> {
        self.find(digest, now).map(|stored| stored.bytes)
    }

    /// Whether this party brought it.
    pub(super) fn is_of(&self, digest: &Digest, party: PartyId) -> bool {
        self.with(|index| index.blobs.get(digest).is_some_and(|stored| stored.party == Some(party)))
    }

    fn find(&self, digest: &Digest, now: TimeMs) -> Option<Stored> {
        self.with(|index| {
            let stored = index.blobs.get_mut(digest)?;
            stored.wanted_at = now;
            Some(*stored)
        })
    }

    /// Bytes of all blobs.
    pub(super) fn total_bytes(&self) -> u64 {
        self.with(|index| index.blobs.values().map(|stored| stored.bytes).sum())
    }

    /// Takes a blob in and says its size.
    pub(super) async fn put<E: std::fmt::Display>(
        &self,
        party: PartyId,
        digest: Digest,
        announced_bytes: Option<u64>,
        content: impl Stream<Item = Result<Bytes, E>> + Unpin,
        now: TimeMs,
    ) -> Result<u64, BlobError> {
        if let Some(bytes) = self.size(&digest, now) {
            return Ok(bytes);
        }
        self.check_room(party, announced_bytes.unwrap_or(0))?;
        let path = path_of(&digest, Some(party));
        let mut upload = self.store.put_multipart(&path).await?;
        match self.receive(party, digest, content, upload.as_mut()).await {
            Ok(bytes) => {
                upload.complete().await?;
                let stored = Stored { bytes, party: Some(party), wanted_at: now };
                let earlier = self.with(|index| index.add(digest, stored));
                // Two may have brought it at once; the first is charged, and his file stays.
                if earlier.is_some_and(|earlier| earlier.party != Some(party)) {
                    self.store.delete(&path).await?;
                }
                Ok(bytes)
            }
            Err(error) => {
                upload.abort().await?;
                Err(error)
            }
        }
    }

    async fn receive<E: std::fmt::Display>(
        &self,
        party: PartyId,
        digest: Digest,
        mut content: impl Stream<Item = Result<Bytes, E>> + Unpin,
        upload: &mut dyn MultipartUpload,
    ) -> Result<u64, BlobError> {
        let (mut hasher, mut bytes, mut part) = (blake3::Hasher::new(), 0, Vec::new());
        loop {
            let chunk = tokio::time::timeout(STALL_LIMIT, content.next()).await;
            let chunk = chunk.map_err(|_| BlobError::BrokenOff("nothing came for half a minute".into()))?;
            let Some(chunk) = chunk.transpose().map_err(|e| BlobError::BrokenOff(e.to_string()))? else {
                break;
            };
            bytes += chunk.len() as u64;
            self.check_room(party, bytes)?;
            hasher.update(&chunk);
            part.extend_from_slice(&chunk);
            if part.len() >= PART_BYTES {
                upload.put_part(PutPayload::from(std::mem::take(&mut part))).await?;
            }
        }
        let found = Digest(*hasher.finalize().as_bytes());
        if found != digest {
            return Err(BlobError::Mismatch { expected: digest, found });
        }
        if !part.is_empty() {
            upload.put_part(PutPayload::from(part)).await?;
        }
        Ok(bytes)
    }

    /// Whether a party may bring so many bytes more.
    fn check_room(&self, party: PartyId, bytes: u64) -> Result<(), BlobError> {
        let BlobLimits { blob_max_bytes: max_bytes, party_quota_bytes: quota_bytes, .. } = self.limits;
        if bytes > max_bytes {
            return Err(BlobError::TooLarge { max_bytes });
        }
        let used = self.with(|index| index.used_bytes.get(&party).copied().unwrap_or(0));
        if used.saturating_add(bytes) > quota_bytes { Err(BlobError::Quota { quota_bytes }) } else { Ok(()) }
    }

    /// Opens a blob.
    pub(super) async fn get(&self, digest: Digest, part: Part, now: TimeMs) -> Result<Opened, BlobError> {
        let Stored { bytes, party, .. } = self.find(&digest, now).ok_or(BlobError::Missing(digest))?;
        let range = match part {
            Part::Whole => 0..bytes,
            Part::Span { from, to } => from..to.min(bytes),
            Part::Last(count) => bytes.saturating_sub(count)..bytes,
        };
        if part != Part::Whole && range.is_empty() {
            return Err(BlobError::Range { bytes });
        }
        let content = if range.is_empty() {
            futures_util::stream::empty().boxed()
        } else {
            let options =
                GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
            self.store.get_opts(&path_of(&digest, party), options).await?.into_stream()
        };
        Ok(Opened { bytes, range, content })
    }

    /// Deletes what is not in use and was not asked for within the grace period; says how many blobs went.
    pub(super) async fn collect(&self, in_use: &BTreeSet<Digest>, now: TimeMs) -> Result<usize, BlobError> {
        let unused = self.with(|index| {
            let is_unused = |stored: &Stored| now.since(stored.wanted_at) > self.limits.unused_grace_ms;
            let blobs =
                index.blobs.iter().filter(|(digest, stored)| is_unused(stored) && !in_use.contains(digest));
            let unused: Vec<Path> = blobs.map(|(digest, stored)| path_of(digest, stored.party)).collect();
            // Out of the index first: nobody is promised a blob that is being deleted.
            unused.iter().filter_map(read_path).for_each(|(digest, _)| index.remove(&digest));
            unused
        });
        for path in &unused {
            self.store.delete(path).await?;
        }
        Ok(unused.len())
    }

    fn with<R>(&self, f: impl FnOnce(&mut Index) -> R) -> R {
        f(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Index {
    /// Notes a blob, unless it is there already: then it says what is there.
    fn add(&mut self, digest: Digest, stored: Stored) -> Option<Stored> {
        if let Some(earlier) = self.blobs.get(&digest) {
            return Some(*earlier);
        }
        if let Some(party) = stored.party {
            *self.used_bytes.entry(party).or_default() += stored.bytes;
        }
        self.blobs.insert(digest, stored);
        None
    }

    fn remove(&mut self, digest: &Digest) {
        let Some(stored) = self.blobs.remove(digest) else { return };
        if let Some(used) = stored.party.and_then(|party| self.used_bytes.get_mut(&party)) {
            *used = used.saturating_sub(stored.bytes);
        }
    }
}

/// Two digits as a folder, so that no folder grows too large.
fn path_of(digest: &Digest, party: Option<PartyId>) -> Path {
    let text = digest.to_string();
    let name = match party {
        Some(party) => format!("{}.{party}", &text[2..]),
        None => text[2..].to_owned(),
    };
    Path::from_iter([&text[..2], &name])
}

fn read_path(path: &Path) -> Option<(Digest, Option<PartyId>)> {
    let name = path.parts().map(|part| part.as_ref().to_owned()).collect::<String>();
    match name.split_once('.') {
        Some((digest, party)) => Some((digest.parse().ok()?, Some(party.parse().ok()?))),
        None => Some((name.parse().ok()?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const LIMITS: BlobLimits =
        BlobLimits { blob_max_bytes: 100, party_quota_bytes: 100, unused_grace_ms: 1_000 };

    async fn put(store: &BlobStore, content: &'static [u8], now: TimeMs) -> Result<Digest, BlobError> {
        put_as(store, PartyId(1), content, now).await
    }

    async fn put_as(
        store: &BlobStore,
        party: PartyId,
        content: &'static [u8],
        now: TimeMs,
    ) -> Result<Digest, BlobError> {
        let stream = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from_static(content))]);
        let digest = Digest::of(content);
        store.put(party, digest, None, stream, now).await.map(|_| digest)
    }

    #[tokio::test]
    async fn a_restart_forgets_neither_a_blob_nor_whom_it_is_charged_to() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path(), LIMITS, TimeMs(0)).await.unwrap();
        let first = put(&store, &[1; 70], TimeMs(0)).await.unwrap();
        put_as(&store, PartyId(2), &[2; 70], TimeMs(0)).await.unwrap();
        // As older versions wrote it.
        let (old, text) = (Digest::of(&[3; 70]), Digest::of(&[3; 70]).to_string());
        std::fs::create_dir_all(folder.path().join(&text[..2])).unwrap();
        std::fs::write(folder.path().join(&text[..2]).join(&text[2..]), [3; 70]).unwrap();

        let store = BlobStore::open(folder.path(), LIMITS, TimeMs(0)).await.unwrap();
        assert!(store.has(&first, TimeMs(0)) && store.has(&old, TimeMs(0)));
        for party in [1, 2] {
            let refused = put_as(&store, PartyId(party), &[4; 31], TimeMs(0)).await;
            assert!(matches!(refused, Err(BlobError::Quota { .. })), "{refused:?}");
            put_as(&store, PartyId(party), &[5; 30], TimeMs(0)).await.unwrap();
        }
        // What nobody needs makes room again.
        assert_eq!(store.collect(&BTreeSet::new(), TimeMs(1_001)).await.unwrap(), 4);
        put(&store, &[4; 100], TimeMs(1_001)).await.unwrap();
        assert_eq!(store.total_bytes(), 100);
        assert_eq!(walk(folder.path()).len(), 1);
    }

    #[tokio::test]
    async fn a_blob_goes_when_no_job_needs_it_and_nobody_asked_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path(), LIMITS, TimeMs(0)).await.unwrap();
        let used = put(&store, &[1; 40], TimeMs(0)).await.unwrap();
        let wanted = put(&store, &[2; 40], TimeMs(0)).await.unwrap();
        let unused = put(&store, &[3; 10], TimeMs(0)).await.unwrap();
        assert!(matches!(put(&store, &[4; 40], TimeMs(0)).await, Err(BlobError::Quota { .. })));

        assert!(store.has(&wanted, TimeMs(500)));
        assert_eq!(store.collect(&BTreeSet::from([used]), TimeMs(1_001)).await.unwrap(), 1);
        let kept = [used, wanted, unused].map(|digest| store.has(&digest, TimeMs(1_001)));
        assert_eq!(kept, [true, true, false]);
        assert!(matches!(store.get(unused, Part::Whole, TimeMs(1_001)).await, Err(BlobError::Missing(_))));
        // What went makes room again, and what is there is found after a restart.
        put(&store, &[5; 20], TimeMs(1_001)).await.unwrap();
        let store = BlobStore::open(folder.path(), LIMITS, TimeMs(2_000)).await.unwrap();
        assert_eq!((store.total_bytes(), store.has(&unused, TimeMs(2_000))), (100, false));
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path(), LIMITS, TimeMs(0)).await.unwrap();
        let digest = Digest::of(&[1; 40]);
        let chunks = [Ok(Bytes::from_static(&[1; 20])), Err("the connection is gone")];
        let broken = store.put(PartyId(1), digest, None, futures_util::stream::iter(chunks), TimeMs(0)).await;
        assert!(matches!(broken, Err(BlobError::BrokenOff(_))), "{broken:?}");
        let files: Vec<_> = walk(folder.path());
        assert!(files.is_empty(), "{files:?}");
    }

    fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }
}
