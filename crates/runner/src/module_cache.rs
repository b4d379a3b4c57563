//! Compiled modules, kept between runs of the program.

use crate::engine::CompiledModule;
use market::id::Digest;
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// How many compiled modules stay in memory.
const IN_MEMORY: usize = 16;
const KEY_FILE: &str = "key";
const MAC_BYTES: usize = 32;

/// A folder of compiled modules, by what they were compiled from and for.
///
/// Compiled code runs unchecked, so each file starts with a MAC (BLAKE3, keyed) over its name and its code. The key is made
/// at random with the folder and readable by its owner only. A file with another MAC is removed, counted and compiled
/// again: nothing that was compiled elsewhere is ever loaded.
#[derive(Debug)]
pub struct ModuleCache {
    folder: PathBuf,
    key: [u8; 32],
    max_bytes: u64,
    recent: Mutex<VecDeque<(Digest, CompiledModule)>>,
    rejected: AtomicU64,
}

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder or a file in it cannot be read or written.
    #[error("cannot use the module cache at `{}`: {source}; check the folder's permissions and free space", .path.display())]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The key file does not hold a key.
    #[error("`{}` is damaged; remove the folder, modules are then compiled again", .0.display())]
    Key(PathBuf),
    /// The system has no random numbers for a new key.
    #[error("the system gives no random numbers for the key of the module cache: {0}")]
    Random(String),
}

impl ModuleCache {
    /// Opens the cache in a folder, which is made where it does not exist, and keeps it below `max_bytes`.
    pub fn open(folder: &Path, max_bytes: u64) -> Result<ModuleCache, CacheError> {
        let failed = |source| CacheError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let key = read_or_make_key(&folder.join(KEY_FILE))?;
        Ok(ModuleCache {
            folder: folder.to_owned(),
            key,
            max_bytes,
            recent: Mutex::default(),
            rejected: AtomicU64::new(0),
        })
    }

    /// The compiled form of `wasm` for engines of that [`compatibility`](crate::Engine::compatibility); compiles and
    /// keeps it where it is not here yet. Trouble with the folder costs the compilation, not the task.
    pub fn get_or_compile<E>(
        &self,
        wasm: &[u8],
        compatibility: Digest,
        compile: impl FnOnce(&[u8]) -> Result<CompiledModule, E>,
    ) -> Result<CompiledModule, E> {
        let digest = Digest::of(wasm);
        match self.get(digest, compatibility) {
            Ok(Some(compiled)) => return Ok(compiled),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "reading the module cache failed"),
        }
        let compiled = compile(wasm)?;
        if let Err(error) = self.put(&compiled, compatibility) {
            tracing::warn!(%error, "writing the module cache failed");
        }
        Ok(compiled)
    }

    /// The compiled form of the module with that digest, if it is here.
    pub fn get(&self, wasm: Digest, compatibility: Digest) -> Result<Option<CompiledModule>, CacheError> {
        let name = entry_name(wasm, compatibility);
        if let Some(compiled) = self.recall(name) {
            return Ok(Some(compiled));
        }
        let path = self.entry_path(name);
        let failed = |source| CacheError::Folder { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let genuine =
            bytes.split_first_chunk::<MAC_BYTES>().filter(|(mac, code)| self.mac(name, code) == **mac);
        let Some((_, code)) = genuine else {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(path = %path.display(), "a cached module was not compiled here or is damaged; compiling again");
            fs::remove_file(&path).map_err(failed)?;
            return Ok(None);
        };
        let compiled = CompiledModule::trusted(wasm, code.into());
        // The time of the last use decides what goes first; without it the order is merely worse.
        let _ =
            File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        self.remember(name, &compiled);
        Ok(Some(compiled))
    }

    /// Keeps a compiled module, and removes those that were not used for longest while there are too many.
    pub fn put(&self, compiled: &CompiledModule, compatibility: Digest) -> Result<(), CacheError> {
        let name = entry_name(compiled.wasm(), compatibility);
        let path = self.entry_path(name);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(self.mac(name, compiled.code()).as_bytes())?;
            file.write_all(compiled.code())?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| CacheError::Folder { path: path.clone(), source })?;
        self.remember(name, compiled);
        self.evict().map_err(|source| CacheError::Folder { path: self.folder.clone(), source })
    }

    /// How many files were refused because of their MAC since the cache was opened.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    fn mac(&self, name: Digest, code: &[u8]) -> blake3::Hash {
        blake3::Hasher::new_keyed(&self.key).update(&name.0).update(code).finalize()
    }

    fn entry_path(&self, name: Digest) -> PathBuf {
        self.folder.join(format!("{name}.cwasm"))
    }

    fn recall(&self, name: Digest) -> Option<CompiledModule> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|(entry, _)| *entry == name).map(|(_, compiled)| compiled.clone())
    }

    fn remember(&self, name: Digest, compiled: &CompiledModule) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(entry, _)| *entry != name);
        recent.push_front((name, compiled.clone()));
        recent.truncate(IN_MEMORY);
    }

    fn evict(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
                entries.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        // The newest stays even when it is larger than the whole cache: it is about to be used.
        for (_, bytes, path) in entries.iter().rev().skip(1).rev() {
            if total <= self.max_bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

fn entry_name(wasm: Digest, compatibility: Digest) -> Digest {
    Digest::of_parts("gristmill module cache entry 1", &[&wasm.0, &compatibility.0])
}

fn read_or_make_key(path: &Path) -> Result<[u8; 32], CacheError> {
    let failed = |source| CacheError::Folder { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| CacheError::Key(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|error| CacheError::Random(error.to_string()))?;
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path).and_then(|mut file| file.write_all(&key)).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}
