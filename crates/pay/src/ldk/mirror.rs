//! A copy of a node's database that is never older than what its peers have seen.
//!
//! An old copy of channel state must never be run: the node would publish a state that its peer can punish by taking
//! everything. So a backup made now and then is worth nothing. A mirror is a second database, on another disk or machine,
//! that every write goes to *before* it counts. At start the mirror is the truth and the node's own folder a working copy
//! of it, so that an old copy put in place of the folder does no harm. Each start is counted in both; a mirror that missed
//! one is refused.

use crate::folder::FolderError;
use ldk_node::{
    io::sqlite_store::{KV_TABLE_NAME, SQLITE_DB_FILE_NAME, SqliteStore},
    lightning::{
        io,
        util::persist::{KVStore, KVStoreSync},
    },
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    pin::Pin,
};

/// Why a mirror cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// It is empty, and should not be.
    #[error(
        "the mirror in {} is empty, but this node had one: mount it; if it is lost for good, start once without a mirror",
        .0.display()
    )]
    Missing(PathBuf),
    /// It missed a start of the node.
    #[error(
        "the mirror in {mirror} is older than the node's folder (start {mirror_run} against {folder_run}): it must never be \
         run; if the folder is right, start once without a mirror and then with an empty one",
        mirror = mirror.display()
    )]
    Old {
        /// The mirror.
        mirror: PathBuf,
        /// The last start that it saw.
        mirror_run: u64,
        /// The last start that the folder saw.
        folder_run: u64,
    },
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A database.
    #[error("the database in {}: {source}", dir.display())]
    Database {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// It cannot be copied.
    #[error("the database of {} cannot be copied: {source}", from.display())]
    Copy {
        /// The folder.
        from: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Opens the database in a folder.
pub(super) fn open_store(dir: &Path) -> Result<SqliteStore, MirrorError> {
    SqliteStore::new(dir.to_owned(), Some(SQLITE_DB_FILE_NAME.into()), Some(KV_TABLE_NAME.into()))
        .map_err(|source| MirrorError::Database { dir: dir.to_owned(), source })
}

/// Two databases that are written as one.
pub(super) struct Mirrored {
    mirror: SqliteStore,
    own: SqliteStore,
}

impl Mirrored {
    /// Brings the two together, then opens both. Both folders are there, and nobody else's.
    pub(super) fn open(dir: &Path, mirror: &Path) -> Result<Mirrored, MirrorError> {
        match (last_run(mirror)?, last_run(dir)?) {
            (None, None) => {}
            (None, Some(_)) if mirrored_before(dir) => return Err(MirrorError::Missing(mirror.to_owned())),
            (None, Some(_)) => copy(dir, mirror)?,
            (Some(mirror_run), Some(folder_run)) if mirror_run < folder_run => {
                return Err(MirrorError::Old { mirror: mirror.to_owned(), mirror_run, folder_run });
            }
            (Some(_), Some(_) | None) => copy(mirror, dir)?,
        }
        let remember = dir.join(MIRRORED);
        fs::write(&remember, "").map_err(|source| FolderError::Io { path: remember, source })?;
        Ok(Mirrored { mirror: open_store(mirror)?, own: open_store(dir)? })
    }
}

/// The file that remembers that a folder has a mirror.
const MIRRORED: &str = "mirrored";

fn mirrored_before(dir: &Path) -> bool {
    dir.join(MIRRORED).exists()
}

/// Forgets a mirror that is not used any more; the next one may be empty.
pub(super) fn forget(dir: &Path) -> Result<(), FolderError> {
    let path = dir.join(MIRRORED);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(FolderError::Io { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// How often the node was started, as the database in this folder knows it; `None` where there is none.
fn last_run(dir: &Path) -> Result<Option<u64>, MirrorError> {
    if !dir.join(SQLITE_DB_FILE_NAME).exists() {
        return Ok(None);
    }
    super::records::last_run(&open_store(dir)?)
        .map_err(|source| MirrorError::Database { dir: dir.to_owned(), source })
}

/// Under another name first: a copy that was cut short is not taken for one.
fn copy(from: &Path, to: &Path) -> Result<(), MirrorError> {
    let (target, partial) = (to.join(SQLITE_DB_FILE_NAME), to.join("ldk_node_data.partial"));
    // What SQLite has still to undo or to apply belongs to the file that is replaced.
    let leftovers = ["-journal", "-wal", "-shm"].map(|end| to.join(format!("{SQLITE_DB_FILE_NAME}{end}")));
    let copied = fs::copy(from.join(SQLITE_DB_FILE_NAME), &partial)
        .and_then(|_| File::open(&partial)?.sync_all())
        .and_then(|()| leftovers.iter().filter(|path| path.exists()).try_for_each(fs::remove_file))
        .and_then(|()| fs::rename(&partial, &target))
        .and_then(|()| File::open(to)?.sync_all());
    copied.map_err(|source| MirrorError::Copy { from: from.to_owned(), source })
}

impl KVStoreSync for Mirrored {
    fn read(&self, space: &str, subspace: &str, key: &str) -> io::Result<Vec<u8>> {
        KVStoreSync::read(&self.own, space, subspace, key)
    }

    fn write(&self, space: &str, subspace: &str, key: &str, bytes: Vec<u8>) -> io::Result<()> {
        KVStoreSync::write(&self.mirror, space, subspace, key, bytes.clone())?;
        KVStoreSync::write(&self.own, space, subspace, key, bytes)
    }

    fn remove(&self, space: &str, subspace: &str, key: &str, lazy: bool) -> io::Result<()> {
        KVStoreSync::remove(&self.mirror, space, subspace, key, lazy)?;
        KVStoreSync::remove(&self.own, space, subspace, key, lazy)
    }

    fn list(&self, space: &str, subspace: &str) -> io::Result<Vec<String>> {
        KVStoreSync::list(&self.own, space, subspace)
    }
}

type StoreFuture<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Both writes are begun when the method is called, which is what fixes their order, and done when both are.
fn both(mirror: StoreFuture<()>, own: StoreFuture<()>) -> StoreFuture<()> {
    Box::pin(async move {
        mirror.await?;
        own.await
    })
}

impl KVStore for Mirrored {
    fn read(&self, space: &str, subspace: &str, key: &str) -> StoreFuture<Vec<u8>> {
        KVStore::read(&self.own, space, subspace, key)
    }

    fn write(&self, space: &str, subspace: &str, key: &str, bytes: Vec<u8>) -> StoreFuture<()> {
        let mirror = KVStore::write(&self.mirror, space, subspace, key, bytes.clone());
        both(mirror, KVStore::write(&self.own, space, subspace, key, bytes))
    }

    fn remove(&self, space: &str, subspace: &str, key: &str, lazy: bool) -> StoreFuture<()> {
        let mirror = KVStore::remove(&self.mirror, space, subspace, key, lazy);
        both(mirror, KVStore::remove(&self.own, space, subspace, key, lazy))
    }

    fn list(&self, space: &str, subspace: &str) -> StoreFuture<Vec<String>> {
        KVStore::list(&self.own, space, subspace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ldk::records::Records;
    use std::sync::Arc;

    /// Starts a node's records, as a node does, and writes something.
    fn run(dir: &Path, mirror: &Path, value: &str) -> Result<u64, MirrorError> {
        let store = Arc::new(Mirrored::open(dir, mirror)?);
        KVStoreSync::write(&*store, "test", "", "value", value.into()).unwrap();
        Ok(Records::open(store).unwrap().run)
    }

    fn value(dir: &Path) -> String {
        let bytes = KVStoreSync::read(&open_store(dir).unwrap(), "test", "", "value").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (dir, mirror) = (root.path().join("node"), root.path().join("mirror"));
        fs::create_dir(&dir).unwrap();
        fs::create_dir(&mirror).unwrap();
        (root, dir, mirror)
    }

    #[test]
    fn a_lost_folder_comes_back_from_the_mirror() {
        let (_root, dir, mirror) = folders();
        assert_eq!(run(&dir, &mirror, "first").unwrap(), 1);
        assert_eq!(run(&dir, &mirror, "second").unwrap(), 2);
        fs::remove_dir_all(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        drop(Mirrored::open(&dir, &mirror).unwrap());
        assert_eq!(value(&dir), "second");
    }

    #[test]
    fn an_old_copy_of_the_folder_is_not_run() {
        let (_root, dir, mirror) = folders();
        run(&dir, &mirror, "old").unwrap();
        let database = dir.join(SQLITE_DB_FILE_NAME);
        let old = fs::read(&database).unwrap();
        run(&dir, &mirror, "new").unwrap();
        fs::write(&database, old).unwrap();
        drop(Mirrored::open(&dir, &mirror).unwrap());
        assert_eq!(value(&dir), "new");
    }

    #[test]
    fn a_mirror_that_missed_a_start_is_refused() {
        let (_root, dir, mirror) = folders();
        run(&dir, &mirror, "first").unwrap();
        drop(Records::open(Arc::new(open_store(&dir).unwrap())).unwrap());
        let refused = run(&dir, &mirror, "second").unwrap_err();
        assert!(matches!(refused, MirrorError::Old { mirror_run: 1, folder_run: 2, .. }), "{refused}");
    }

    #[test]
    fn a_mirror_that_is_not_mounted_is_noticed() {
        let (_root, dir, mirror) = folders();
        run(&dir, &mirror, "first").unwrap();
        fs::remove_dir_all(&mirror).unwrap();
        fs::create_dir(&mirror).unwrap();
        assert!(matches!(run(&dir, &mirror, "second"), Err(MirrorError::Missing(_))));
        // Said to be lost for good: a new one begins with what the folder has.
        forget(&dir).unwrap();
        run(&dir, &mirror, "third").unwrap();
        assert_eq!(value(&mirror), "third");
    }
}
