//! The seed of a node.
//!
//! A seed file holds 24 words of BIP-39 (<https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki>), either as they
//! are or, with a passphrase, in an age file (<https://age-encryption.org/v1>, scrypt) that `age --decrypt` opens too. It
//! is made with mode 0600, and one that others can read is refused.

use crate::secret::{SecretError, SecretRef, read_private};
use age::secrecy::SecretString;
use bip39::{Language, Mnemonic};
use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What an age file starts with.
const AGE_MARK: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
/// Bytes of chance behind 24 words.
const ENTROPY_BYTES: usize = 32;

/// Why a seed cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The file, or its passphrase.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is a seed already.
    #[error("there is a seed in {} already: it is kept; move it away if you really want another", .0.display())]
    Exists(PathBuf),
    /// Not the words of a seed.
    #[error("these are not 24 words of BIP-39: {0}")]
    Words(String),
    /// It is encrypted, and no passphrase was named.
    #[error("the seed in {} is encrypted: say where its passphrase is", .0.display())]
    Locked(PathBuf),
    /// The passphrase does not open it.
    #[error("the seed in {file} cannot be decrypted ({reason}): check the passphrase", file = file.display())]
    WrongPassphrase {
        /// The file.
        file: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// It cannot be encrypted.
    #[error("the seed cannot be encrypted: {0}")]
    Encrypt(String),
    /// No randomness.
    #[error("the system gives no random numbers for a seed: {0}")]
    Random(String),
    /// The file cannot be written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The words from which all keys of a node follow. They are wiped from memory when dropped, and do not print themselves.
pub struct Seed(Mnemonic);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(24 words)")
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl Seed {
    /// A new seed from the system's randomness.
    pub fn generate() -> Result<Seed, SeedError> {
        let mut entropy = Zeroizing::new([0; ENTROPY_BYTES]);
        getrandom::fill(entropy.as_mut()).map_err(|e| SeedError::Random(e.to_string()))?;
        Mnemonic::from_entropy_in(Language::English, entropy.as_ref())
            .map(Seed)
            .map_err(|e| SeedError::Words(e.to_string()))
    }

    /// The seed of words that were written down.
    pub fn from_words(text: &str) -> Result<Seed, SeedError> {
        let words = text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
        let words = Zeroizing::new(words.join(" "));
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &words);
        let mnemonic = mnemonic.map_err(|e| SeedError::Words(e.to_string()))?;
        match mnemonic.word_count() {
            24 => Ok(Seed(mnemonic)),
            count => Err(SeedError::Words(format!("there are {count} words"))),
        }
    }

    /// The words, to be written on paper.
    pub fn words(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string())
    }

    /// The 64 bytes that BIP-39 makes of the words, without a further passphrase.
    pub fn bytes(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.to_seed_normalized(""))
    }

    /// Reads a seed file.
    pub fn read(file: &Path, passphrase: Option<&SecretRef>) -> Result<Seed, SeedError> {
        let bytes = read_private(file)?;
        let not_text = |_| SecretError::NotText(file.display().to_string());
        let text = std::str::from_utf8(&bytes).map_err(not_text)?;
        if !text.starts_with(AGE_MARK) {
            return Seed::from_words(text);
        }
        let passphrase = passphrase.ok_or_else(|| SeedError::Locked(file.to_owned()))?.read()?;
        let identity = age::scrypt::Identity::new(SecretString::from(passphrase.as_str()));
        let wrong = |reason: String| SeedError::WrongPassphrase { file: file.to_owned(), reason };
        let plain = age::decrypt(&identity, text.as_bytes()).map_err(|e| wrong(e.to_string()))?;
        let plain = Zeroizing::new(plain);
        Seed::from_words(std::str::from_utf8(&plain).map_err(|e| wrong(e.to_string()))?)
    }

    /// Writes the seed into a file that must not exist, encrypted if there is a passphrase.
    pub fn create(&self, file: &Path, passphrase: Option<&SecretRef>) -> Result<(), SeedError> {
        let words = self.words();
        let text = match passphrase {
            None => Zeroizing::new(format!("{}\n", words.as_str())),
            Some(reference) => {
                let passphrase = reference.read()?;
                let recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.as_str()));
                let armored = age::encrypt_and_armor(&recipient, words.as_bytes());
                Zeroizing::new(armored.map_err(|e| SeedError::Encrypt(e.to_string()))?)
            }
        };
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => SeedError::Exists(file.to_owned()),
            _ => SeedError::Io { file: file.to_owned(), source },
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut opened = options.open(file).map_err(failed)?;
        opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
