//! The venue's key.

use crate::durable_file;
use market::key::SecretKey;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file.
    #[error("the venue's key in {} cannot be used: {reason}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No randomness.
    #[error("the system gives no random numbers for a new key: {0}")]
    Random(String),
}

/// The venue's key: made, for its owner alone, where there is none.
pub fn venue_key(file: &Path) -> Result<SecretKey, KeyError> {
    let failed = |reason: String| KeyError::File { file: file.to_owned(), reason };
    match fs::read_to_string(file) {
        Ok(text) => {
            let bytes = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).ok();
            let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
            bytes
                .map(SecretKey::from_bytes)
                .ok_or_else(|| failed("it is not 64 lower-case hex digits".into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
            let text = format!("{}\n", data_encoding::HEXLOWER.encode(&bytes));
            let mut created = durable_file::private(file, fs::OpenOptions::new().create_new(true))
                .map_err(|error| failed(error.to_string()))?;
            created
                .write_all(text.as_bytes())
                .and_then(|()| created.sync_all())
                .map_err(|e| failed(e.to_string()))?;
            Ok(SecretKey::from_bytes(bytes))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}
