//! The output of a task as one string of bytes: what replicas compare and buyers unpack.

use crate::path::{self, PathError};
use market::id::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// The most files that an [`OutputBundle`] may hold.
pub const MAX_FILES: usize = 16_384;

/// Starts every encoded bundle; the last byte is the version of the encoding.
const MAGIC: &[u8; 8] = b"GRISTOB\x01";

/// What a task wrote: its standard output and error and the files that it left under `/out`. Empty directories are
/// not part of it.
///
/// The encoding is eight bytes of magic and version followed by the [postcard](https://postcard.jamesmunns.com) form
/// of the three fields, files in the order of their names. There is exactly one encoding of a bundle, so equal
/// outputs have equal digests and unequal ones do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputBundle {
    /// Everything written to standard output.
    pub stdout: Vec<u8>,
    /// Everything written to standard error.
    pub stderr: Vec<u8>,
    /// Contents by path below `/out`.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Why bytes are not an output bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeBundleError {
    /// The first bytes are not those of a bundle.
    #[error("this is not an output bundle, or one of a newer version")]
    NotABundle,
    /// Larger than the caller allows.
    #[error("the output bundle has {size_bytes} bytes, more than the {limit_bytes} that are allowed")]
    TooLarge {
        /// The size.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// Truncated, damaged, or not in its one canonical form.
    #[error("the output bundle is damaged")]
    Damaged,
    /// More than [`MAX_FILES`] files.
    #[error("the output bundle has {0} files, more than the {MAX_FILES} that are allowed")]
    TooManyFiles(usize),
    /// A path that could leave the folder it is unpacked to.
    #[error("the output bundle names a file that must not be unpacked: {0}")]
    Path(#[from] PathError),
}

/// Why a bundle was not, or not completely, unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// A path that could leave the folder.
    #[error("the output names a file that must not be unpacked: {0}")]
    Path(#[from] PathError),
    /// Something that is not a plain directory is in the way, a symbolic link for instance.
    #[error("`{}` is not a plain directory; unpack into an empty folder", .0.display())]
    InTheWay(PathBuf),
    /// The system refused to write.
    #[error("cannot write `{}`: {source}", .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl OutputBundle {
    /// The one encoding of this bundle.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            stdout: Bytes(&self.stdout),
            stderr: Bytes(&self.stderr),
            files: self.files.iter().map(|(path, bytes)| (path.as_str(), Bytes(bytes))).collect(),
        };
        // A `Vec` takes any number of bytes and the three fields always serialize, so there is no error to report.
        postcard::to_extend(&wire, MAGIC.to_vec()).unwrap_or_default()
    }

    /// Reads an encoded bundle of at most `limit_bytes`; every path in the result passed [`check_path`](crate::check_path).
    pub fn decode(bytes: &[u8], limit_bytes: usize) -> Result<OutputBundle, DecodeBundleError> {
        if bytes.len() > limit_bytes {
            return Err(DecodeBundleError::TooLarge { size_bytes: bytes.len(), limit_bytes });
        }
        let body = bytes.strip_prefix(MAGIC).ok_or(DecodeBundleError::NotABundle)?;
        let wire: Wire<'_> = postcard::from_bytes(body).map_err(|_| DecodeBundleError::Damaged)?;
        if wire.files.len() > MAX_FILES {
            return Err(DecodeBundleError::TooManyFiles(wire.files.len()));
        }
        wire.files.keys().try_for_each(|path| path::check_path(path))?;
        let bundle = OutputBundle {
            stdout: wire.stdout.0.to_vec(),
            stderr: wire.stderr.0.to_vec(),
            files: wire.files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes.0.to_vec())).collect(),
        };
        // Refuses long varints, repeated or unsorted names and trailing bytes: one bundle, one encoding, one digest.
        if bundle.encode() != bytes {
            return Err(DecodeBundleError::Damaged);
        }
        Ok(bundle)
    }

    /// The digest that seals and verdicts name: [`Digest::of`] the encoded bundle.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.encode())
    }

    /// Writes the files below `folder`, which is made where it does not exist. Files of the same names are replaced;
    /// symbolic links in the way are never followed.
    pub fn extract(&self, folder: &Path) -> Result<(), ExtractError> {
        self.files.keys().try_for_each(|path| path::check_path(path))?;
        fs::create_dir_all(folder)
            .map_err(|source| ExtractError::Write { path: folder.to_owned(), source })?;
        for (path, bytes) in &self.files {
            let (parent, target) = make_parents(folder, path)?;
            // A rename replaces whatever has that name, a symbolic link included, instead of writing through it.
            let write = || -> io::Result<()> {
                let mut file = tempfile::NamedTempFile::new_in(&parent)?;
                file.write_all(bytes)?;
                file.persist(&target)?;
                Ok(())
            };
            write().map_err(|source| ExtractError::Write { path: target.clone(), source })?;
        }
        Ok(())
    }
}

/// Makes the directories between `folder` and the file `path` in it; returns the file's directory and its full path.
fn make_parents(folder: &Path, path: &str) -> Result<(PathBuf, PathBuf), ExtractError> {
    let mut parent = folder.to_owned();
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            let target = parent.join(name);
            return Ok((parent, target));
        }
        parent.push(name);
        match fs::symlink_metadata(&parent) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(ExtractError::InTheWay(parent)),
            Err(_) => {
                fs::create_dir(&parent)
                    .map_err(|source| ExtractError::Write { path: parent.clone(), source })?;
            }
        }
    }
    Err(ExtractError::Path(PathError::Empty(path.to_owned())))
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    stdout: Bytes<'a>,
    #[serde(borrow)]
    stderr: Bytes<'a>,
    #[serde(borrow)]
    files: BTreeMap<&'a str, Bytes<'a>>,
}

/// Bytes that serde copies as a whole; it would go through a plain slice one by one.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Bytes)
    }
}
