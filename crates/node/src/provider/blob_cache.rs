//! Modules and input files, fetched once and shared by all leases.

use crate::client::{ClientError, Market};
use market::{id::Digest, key::SecretKey};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::SystemTime,
};

/// A folder of blobs of limited size.
#[derive(Debug)]
pub(super) struct BlobCache {
    folder: PathBuf,
    max_bytes: u64,
    /// One fetch at a time: two leases of a job want the same files.
    fetching: tokio::sync::Mutex<()>,
    shared: Mutex<BTreeMap<Digest, Weak<[u8]>>>,
}

/// Why a blob is not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlobError {
    /// Nobody can have it: the market does not have it, or other bytes under its name.
    #[error("blob {digest} cannot be had: {reason}")]
    Gone {
        /// Which.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// It may be had later.
    #[error(transparent)]
    Market(ClientError),
    /// The folder.
    #[error("the blob cache `{}`: {source}", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl BlobCache {
    pub(super) fn open(folder: PathBuf, max_bytes: u64) -> io::Result<BlobCache> {
        fs::create_dir_all(&folder)?;
        Ok(BlobCache { folder, max_bytes, fetching: tokio::sync::Mutex::default(), shared: Mutex::default() })
    }

    /// The blob, from memory, disk or market, with its digest checked.
    pub(super) async fn get(
        &self,
        market: &Market,
        secret: &SecretKey,
        digest: Digest,
    ) -> Result<Arc<[u8]>, BlobError> {
        let _one = self.fetching.lock().await;
        if let Some(bytes) = self.recall(digest) {
            return Ok(bytes);
        }
        let path = self.folder.join(digest.to_string());
        if let Some(bytes) = read(&path, digest) {
            // The time of the last use decides what goes first; without it the order is merely worse.
            let _ =
                fs::File::options().append(true).open(&path).and_then(|f| f.set_modified(SystemTime::now()));
            return Ok(self.remember(digest, bytes));
        }
        let gone = |reason: String| BlobError::Gone { digest, reason };
        match market.get_blob_file(secret, digest, &path).await {
            Ok(_) => {}
            Err(error @ ClientError::Refused { status: 404, .. }) => return Err(gone(error.to_string())),
            Err(error @ ClientError::BlobMismatch(_)) => return Err(gone(error.to_string())),
            Err(error) => return Err(BlobError::Market(error)),
        }
        self.evict(&path).map_err(|source| BlobError::Folder { path: self.folder.clone(), source })?;
        let bytes = read(&path, digest).ok_or_else(|| gone("it changed on the disk".into()))?;
        Ok(self.remember(digest, bytes))
    }

    fn recall(&self, digest: Digest) -> Option<Arc<[u8]>> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get(&digest)?.upgrade()
    }

    fn remember(&self, digest: Digest, bytes: Vec<u8>) -> Arc<[u8]> {
        let bytes: Arc<[u8]> = bytes.into();
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, weak| weak.strong_count() > 0);
        shared.insert(digest, Arc::downgrade(&bytes));
        bytes
    }

    /// Removes what was not used for longest while there is too much; the newest stays in any case.
    fn evict(&self, newest: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            entries.push((metadata.modified()?, metadata.len(), entry.path()));
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries.iter().filter(|(_, _, path)| path != newest) {
            if total <= self.max_bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

fn read(path: &Path, digest: Digest) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    (Digest::of(&bytes) == digest).then_some(bytes)
}
