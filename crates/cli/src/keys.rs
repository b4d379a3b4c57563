//! Secret keys in files, and as 24 words.
//!
//! A key file has one line: `grist-secret-key-1` and the 32 secret bytes in hex. It is made with mode 0600, and one that
//! others can read is refused.
//!
//! The recovery phrase is BIP-39 (<https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki>), English, 24 words:
//! the 32 secret bytes of the ed25519 key (RFC 8032) *are* the entropy that the words encode, with BIP-39's eight bits of
//! checksum. There is no passphrase and no further derivation: words to entropy is words to key.

use crate::{
    exit::{Exit, Failure},
    home::private_folder,
};
use bip39::{Language, Mnemonic};
use market::key::SecretKey;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What a key file starts with.
const MARK: &str = "grist-secret-key-1";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// No such file.
    #[error("there is no key in {}", .0.display())]
    Missing(PathBuf),
    /// Others can read it.
    #[error(
        "the key in {0} can be read by other users (mode {mode:03o}): run `chmod 600 {0}`, and if it may have been read \
         already, `grist party rotate`", file.display()
    )]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a key file.
    #[error("{} is not a key file: restore the key with `grist party restore`", .0.display())]
    Damaged(PathBuf),
    /// There is a key already.
    #[error("there is a key in {} already: it is kept; move it away first if you really want another", .0.display())]
    Exists(PathBuf),
    /// The words are wrong.
    #[error("these are not the 24 words of a recovery phrase: {0}")]
    Words(String),
    /// The file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No randomness.
    #[error("the system gives no random numbers for a new key: {0}")]
    Random(String),
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Failure {
        Failure::of(Exit::Key, error)
    }
}

/// A new key.
pub(crate) fn generate() -> Result<SecretKey, KeyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| KeyError::Random(e.to_string()))?;
    Ok(SecretKey::from_bytes(bytes))
}

/// Reads a key file.
pub(crate) fn read(file: &Path) -> Result<SecretKey, KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing(file.to_owned()),
        _ => KeyError::Io { file: file.to_owned(), source },
    };
    refuse_exposed(file, &fs::metadata(file).map_err(failed)?)?;
    let text = fs::read_to_string(file).map_err(failed)?;
    text.trim()
        .strip_prefix(MARK)
        .and_then(|hex| data_encoding::HEXLOWER.decode(hex.trim().as_bytes()).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .map(SecretKey::from_bytes)
        .ok_or_else(|| KeyError::Damaged(file.to_owned()))
}

/// Writes a key into a file that must not exist.
pub(crate) fn create(file: &Path, secret: &SecretKey) -> Result<(), KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists(file.to_owned()),
        _ => KeyError::Io { file: file.to_owned(), source },
    };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        private_folder(folder).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options.open(file).map_err(failed)?;
    let line = format!("{MARK} {}\n", data_encoding::HEXLOWER.encode(&secret.to_bytes()));
    opened.write_all(line.as_bytes()).and_then(|()| opened.sync_all()).map_err(failed)
}

/// The recovery phrase of a key.
pub(crate) fn words(secret: &SecretKey) -> Result<String, KeyError> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, &secret.to_bytes());
    mnemonic.map(|mnemonic| mnemonic.to_string()).map_err(|e| KeyError::Words(e.to_string()))
}

/// The key of a recovery phrase, in any case and with any space between the words.
pub(crate) fn from_words(text: &str) -> Result<SecretKey, KeyError> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    if words.len() != 24 {
        return Err(KeyError::Words(format!("there are {} words", words.len())));
    }
    let mnemonic =
        Mnemonic::parse_in_normalized(Language::English, &words.join(" ")).map_err(|e| match e {
            bip39::Error::UnknownWord(index) => {
                KeyError::Words(format!("word {} is not in the list", index + 1))
            }
            bip39::Error::InvalidChecksum => {
                KeyError::Words("the checksum is wrong, so at least one word is another one".into())
            }
            other => KeyError::Words(other.to_string()),
        })?;
    let bytes = mnemonic.to_entropy().try_into();
    bytes.map(SecretKey::from_bytes).map_err(|_| KeyError::Words("they encode too few bytes".into()))
}

#[cfg(unix)]
fn refuse_exposed(file: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Exposed { file: file.to_owned(), mode }) }
}

/// Elsewhere the folder's access list protects the file.
#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_its_key_and_back() {
        let secret = SecretKey::from_bytes([0x5a; 32]);
        let phrase = words(&secret).unwrap();
        assert_eq!(phrase.split(' ').count(), 24);
        assert_eq!(from_words(&phrase.to_uppercase()).unwrap().to_bytes(), secret.to_bytes());
    }

    #[test]
    fn the_phrase_of_a_known_key_is_the_one_of_the_standard() {
        // The test vector of BIP-39 for 32 zero bytes.
        let phrase = words(&SecretKey::from_bytes([0; 32])).unwrap();
        assert_eq!(phrase, format!("{} art", ["abandon"; 23].join(" ")));
    }

    #[test]
    fn wrong_words_are_told_apart() {
        let wrong = |text: &str| from_words(text).unwrap_err().to_string();
        let zeros = ["abandon"; 24].join(" ");
        assert!(wrong(&zeros).contains("checksum"), "{}", wrong(&zeros));
        assert!(wrong("abandon").contains("1 words"));
        assert!(wrong(&zeros.replacen("abandon", "grist", 1)).contains("word 1 "));
    }
}
