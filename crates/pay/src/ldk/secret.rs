//! Secrets by reference, and the seed of a node.
//!
//! A seed file holds 24 words of BIP-39 (<https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki>), either as they
//! are or, with a passphrase, in an age file (<https://age-encryption.org/v1>, scrypt) that `age --decrypt` opens too. It
//! is made with mode 0600, and one that others can read is refused.

use age::secrecy::SecretString;
use bip39::{Language, Mnemonic};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};
use zeroize::Zeroizing;

/// What an age file starts with.
const AGE_MARK: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
/// Bytes of chance behind 24 words.
const ENTROPY_BYTES: usize = 32;

/// Where a secret is to be found: `env:NAME` or the path of a file. Secrets themselves stand in no option and no
/// configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// In a file; space around it does not count.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

impl FromStr for SecretRef {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<SecretRef, SecretError> {
        match text.strip_prefix("env:") {
            Some("") => Err(SecretError::NoName),
            Some(name) => Ok(SecretRef::Env(name.to_owned())),
            None if text.is_empty() => Err(SecretError::NoName),
            None => Ok(SecretRef::File(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::File(file) => write!(f, "{}", file.display()),
            SecretRef::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = SecretError;

    fn try_from(text: String) -> Result<SecretRef, SecretError> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> String {
        reference.to_string()
    }
}

impl SecretRef {
    /// The secret, which must not be empty. A file that others can read is refused.
    pub fn read(&self) -> Result<Zeroizing<String>, SecretError> {
        let text = match self {
            SecretRef::File(file) => read_private(file)?,
            SecretRef::Env(name) => {
                Zeroizing::new(std::env::var(name).map_err(|_| SecretError::NoVariable(name.clone()))?)
            }
        };
        let secret = Zeroizing::new(text.trim().to_owned());
        if secret.is_empty() { Err(SecretError::Empty(self.to_string())) } else { Ok(secret) }
    }
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The reference names nothing.
    #[error("a secret is named by a file or by env:NAME")]
    NoName,
    /// No such variable.
    #[error("the environment has no {0}: set it to the secret")]
    NoVariable(String),
    /// Nothing in it.
    #[error("{0} is empty: put the secret there")]
    Empty(String),
    /// Others can read it.
    #[error("{file} can be read by other users (mode {mode:03o}): run `chmod 600 {file}`", file = file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
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
    /// A file cannot be read or written.
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
    pub fn generate() -> Result<Seed, SecretError> {
        let mut entropy = Zeroizing::new([0; ENTROPY_BYTES]);
        getrandom::fill(entropy.as_mut()).map_err(|e| SecretError::Random(e.to_string()))?;
        Mnemonic::from_entropy_in(Language::English, entropy.as_ref())
            .map(Seed)
            .map_err(|e| SecretError::Words(e.to_string()))
    }

    /// The seed of words that were written down.
    pub fn from_words(text: &str) -> Result<Seed, SecretError> {
        let words = text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
        let words = Zeroizing::new(words.join(" "));
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &words);
        let mnemonic = mnemonic.map_err(|e| SecretError::Words(e.to_string()))?;
        match mnemonic.word_count() {
            24 => Ok(Seed(mnemonic)),
            count => Err(SecretError::Words(format!("there are {count} words"))),
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
    pub fn read(file: &Path, passphrase: Option<&SecretRef>) -> Result<Seed, SecretError> {
        let text = read_private(file)?;
        if !text.starts_with(AGE_MARK) {
            return Seed::from_words(&text);
        }
        let passphrase = passphrase.ok_or_else(|| SecretError::Locked(file.to_owned()))?.read()?;
        let identity = age::scrypt::Identity::new(SecretString::from(passphrase.as_str()));
        let wrong = |reason: String| SecretError::WrongPassphrase { file: file.to_owned(), reason };
        let plain = age::decrypt(&identity, text.as_bytes()).map_err(|e| wrong(e.to_string()))?;
        let plain = Zeroizing::new(plain);
        Seed::from_words(std::str::from_utf8(&plain).map_err(|e| wrong(e.to_string()))?)
    }

    /// Writes the seed into a file that must not exist, encrypted if there is a passphrase.
    pub fn create(&self, file: &Path, passphrase: Option<&SecretRef>) -> Result<(), SecretError> {
        let words = self.words();
        let text = match passphrase {
            None => Zeroizing::new(format!("{}\n", words.as_str())),
            Some(reference) => {
                let passphrase = reference.read()?;
                let recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.as_str()));
                let armored = age::encrypt_and_armor(&recipient, words.as_bytes());
                Zeroizing::new(armored.map_err(|e| SecretError::Encrypt(e.to_string()))?)
            }
        };
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => SecretError::Exists(file.to_owned()),
            _ => SecretError::Io { file: file.to_owned(), source },
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut opened = options.open(file).map_err(failed)?;
        opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()).map_err(failed)
    }
}

fn read_private(file: &Path) -> Result<Zeroizing<String>, SecretError> {
    let failed = |source: io::Error| SecretError::Io { file: file.to_owned(), source };
    refuse_exposed(file, &fs::metadata(file).map_err(failed)?)?;
    fs::read_to_string(file).map(Zeroizing::new).map_err(failed)
}

#[cfg(unix)]
fn refuse_exposed(file: &Path, metadata: &fs::Metadata) -> Result<(), SecretError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SecretError::Exposed { file: file.to_owned(), mode }) }
}

/// Elsewhere the folder's access list protects the file.
#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::Metadata) -> Result<(), SecretError> {
    Ok(())
}

#[cfg(test)]
mod tests;
