//! The root keys in a file that only its owner can read.

use super::disk;
use crate::l402::{RootKeys, TooManyKeys};
use market::units::TimeMs;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Root keys and where they are kept.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    keys: RootKeys,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file.
    #[error("the root keys in {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not what it should be.
    #[error("the root keys in {} cannot be read: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No randomness.
    #[error("the system gives no random numbers for a new key: {0}")]
    Random(getrandom::Error),
    /// Too fast.
    #[error(transparent)]
    TooMany(#[from] TooManyKeys),
}

impl KeyFile {
    /// Reads the keys, or makes the first one.
    pub fn open(path: &Path, now: TimeMs) -> Result<KeyFile, KeyFileError> {
        match std::fs::read(path) {
            Ok(bytes) => {
                let damaged = |e: serde_json::Error| KeyFileError::Damaged {
                    path: path.to_owned(),
                    reason: e.to_string(),
                };
                Ok(KeyFile { keys: serde_json::from_slice(&bytes).map_err(damaged)?, path: path.to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = KeyFile { keys: RootKeys::new(fresh()?, now), path: path.to_owned() };
                file.save()?;
                Ok(file)
            }
            Err(source) => Err(KeyFileError::Io { path: path.to_owned(), source }),
        }
    }

    /// The keys.
    pub fn keys(&self) -> &RootKeys {
        &self.keys
    }

    /// Signs with a new key from now on, which is on disk before it is used.
    pub fn rotate(&mut self, now: TimeMs, overlap_ms: u64) -> Result<(), KeyFileError> {
        let before = self.keys.clone();
        self.keys.rotate(fresh()?, now, overlap_ms)?;
        self.save().inspect_err(|_| self.keys = before)
    }

    fn save(&self) -> Result<(), KeyFileError> {
        let failed = |source| KeyFileError::Io { path: self.path.clone(), source };
        let bytes = serde_json::to_vec(&self.keys).map_err(|e| failed(e.into()))?;
        disk::replace(&self.path, &bytes).map_err(failed)
    }
}

fn fresh() -> Result<[u8; 32], KeyFileError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(KeyFileError::Random)?;
    Ok(bytes)
}
