//! Secrets by reference: `env:NAME` or the path of a file. Secrets themselves stand in no option and no configuration.

use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};
use zeroize::Zeroizing;

/// Where a secret is to be found: `env:NAME` or the path of a file.
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
        let bytes = self.read_bytes()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::NotText(self.to_string()))?;
        let secret = Zeroizing::new(text.trim().to_owned());
        if secret.is_empty() { Err(SecretError::Empty(self.to_string())) } else { Ok(secret) }
    }

    /// The same of a secret that need not be text, as it is.
    pub fn read_bytes(&self) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let secret = match self {
            SecretRef::File(file) => read_private(file)?,
            SecretRef::Env(name) => self.variable(name)?,
        };
        if secret.is_empty() { Err(SecretError::Empty(self.to_string())) } else { Ok(secret) }
    }

    /// The same of something that everybody may know, such as a certificate: others may read the file.
    pub fn read_public(&self) -> Result<Vec<u8>, SecretError> {
        let failed = |file: &Path, source| SecretError::Io { file: file.to_owned(), source };
        match self {
            SecretRef::File(file) => fs::read(file).map_err(|source| failed(file, source)),
            SecretRef::Env(name) => Ok(self.variable(name)?.to_vec()),
        }
    }

    fn variable(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let value = std::env::var(name).map_err(|_| SecretError::NoVariable(name.to_owned()))?;
        Ok(Zeroizing::new(value.into_bytes()))
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
    /// It should be text.
    #[error("{0} is not text: check that it is the right one")]
    NotText(String),
    /// Others can read it.
    #[error("{file} can be read by other users (mode {mode:03o}): run `chmod 600 {file}`", file = file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file cannot be read.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads a file that nobody else can.
pub(crate) fn read_private(file: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |source: io::Error| SecretError::Io { file: file.to_owned(), source };
    refuse_exposed(file, &fs::metadata(file).map_err(failed)?)?;
    fs::read(file).map(Zeroizing::new).map_err(failed)
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
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_file_or_a_variable() {
        assert_eq!("env:SECRET".parse::<SecretRef>().unwrap(), SecretRef::Env("SECRET".into()));
        assert_eq!("a/file".parse::<SecretRef>().unwrap(), SecretRef::File("a/file".into()));
        assert!("env:".parse::<SecretRef>().is_err() && "".parse::<SecretRef>().is_err());
        let missing = SecretRef::Env("GRIST_NO_SUCH_SECRET".into()).read();
        assert!(matches!(missing, Err(SecretError::NoVariable(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_can_read_is_refused_and_a_certificate_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, " word\n").unwrap();
        let reference = SecretRef::File(file.clone());
        for (mode, is_private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            let read = reference.read();
            assert_eq!(read.is_ok(), is_private, "{mode:o}: {read:?}");
            assert_eq!(reference.read_public().unwrap(), b" word\n");
        }
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(reference.read().unwrap().as_str(), "word");
        assert_eq!(reference.read_bytes().unwrap().as_slice(), b" word\n");
    }
}
