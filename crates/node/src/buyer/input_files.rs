//! The files that a job file names: found, measured and hashed.

use crate::config_file::open;
use glob::{MatchOptions, Pattern};
use market::{id::Digest, job::is_safe_path};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// A file of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its digest.
    pub(super) digest: Digest,
    /// Its size.
    pub(super) bytes: u64,
}

/// Why a file of a job cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputFileError {
    /// It is not there, or may not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The module is something else.
    #[error(
        "`{}` is not a WebAssembly module{}: compile the program for wasm32-wasip1", path.display(),
        if *is_component { " but a component" } else { "" }
    )]
    NotWasm {
        /// Which.
        path: PathBuf,
        /// Whether it is a WebAssembly component.
        is_component: bool,
    },
    /// A pattern that finds nothing.
    #[error("`{pattern}` matches no file in `{}`", folder.display())]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A pattern that cannot be one.
    #[error("`{pattern}` is not a pattern for input files: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A file somewhere else.
    #[error("`{name}` is not in `{}`: only files in that folder are sent", folder.display())]
    Outside {
        /// Its name.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A name that tasks could not be given everywhere.
    #[error(
        "`{name}` cannot be the name of an input file: use relative names without `..`, control characters, `:` and `\\`"
    )]
    Name {
        /// The name.
        name: String,
    },
}

/// How deep folders are searched.
const DEPTH_MAX: usize = 32;

/// A WebAssembly module.
pub(super) fn module(path: &Path) -> Result<FoundFile, InputFileError> {
    let failed = |source| InputFileError::Read { path: path.to_owned(), source };
    let mut head = [0; 8];
    let mut opened = open(path).map_err(failed)?;
    let is_long = io::Read::read_exact(&mut opened, &mut head).is_ok();
    // Magic, then version 1; components have the same magic and another version.
    let is_wasm = head.starts_with(b"\0asm");
    if !is_long || !is_wasm || head[4..] != [1, 0, 0, 0] {
        return Err(InputFileError::NotWasm { path: path.to_owned(), is_component: is_wasm && is_long });
    }
    file(path)
}

/// Any file.
pub(super) fn file(path: &Path) -> Result<FoundFile, InputFileError> {
    let failed = |source| InputFileError::Read { path: path.to_owned(), source };
    let mut opened = open(path).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut opened, &mut hasher).map_err(failed)?;
    Ok(FoundFile { path: path.to_owned(), digest: Digest(*hasher.finalize().as_bytes()), bytes })
}

/// A file that lies in a folder, by its name relative to it.
///
/// Only what lies there can be sent to strangers: a job file from somewhere else must not be able to name other files of
/// its buyer, neither by `..` nor through a symbolic link.
pub(super) fn inside(folder: &Path, name: &str) -> Result<FoundFile, InputFileError> {
    let path = folder.join(name);
    let failed = |source| InputFileError::Read { path: path.clone(), source };
    let home = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let home =
        home.canonicalize().map_err(|source| InputFileError::Read { path: home.to_owned(), source })?;
    if !path.canonicalize().map_err(failed)?.starts_with(home) {
        return Err(InputFileError::Outside { name: name.to_owned(), folder: folder.to_owned() });
    }
    file(&path)
}

/// The files in a folder that match one of the patterns, by their names relative to it.
pub(super) fn matching(
    folder: &Path,
    patterns: &[String],
) -> Result<BTreeMap<String, FoundFile>, InputFileError> {
    let is_plain = |pattern: &&String| !pattern.contains(['*', '?', '[']);
    let mut chosen: BTreeSet<String> = patterns.iter().filter(is_plain).cloned().collect();
    let mut names = Vec::new();
    if !patterns.iter().all(|pattern| is_plain(&pattern)) {
        list(folder, "", 0, &mut names)?;
    }
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    for pattern in patterns.iter().filter(|pattern| !is_plain(pattern)) {
        let compiled = Pattern::new(pattern).map_err(|error| InputFileError::Pattern {
            pattern: pattern.clone(),
            reason: error.to_string(),
        })?;
        let mut matches = names.iter().filter(|name| compiled.matches_with(name, options)).peekable();
        if matches.peek().is_none() {
            return Err(InputFileError::NoMatch { pattern: pattern.clone(), folder: folder.to_owned() });
        }
        chosen.extend(matches.cloned());
    }
    let mut found = BTreeMap::new();
    for name in chosen {
        if !is_safe_path(&name) {
            return Err(InputFileError::Name { name });
        }
        found.insert(name.clone(), inside(folder, &name)?);
    }
    Ok(found)
}

/// The files below a folder, as `a/b` names. Symbolic links are not followed: they lead elsewhere.
fn list(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) -> Result<(), InputFileError> {
    let failed = |source| InputFileError::Read { path: folder.to_owned(), source };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        if kind.is_dir() && depth < DEPTH_MAX {
            list(&entry.path(), &format!("{name}/"), depth + 1, names)?;
        } else if kind.is_file() {
            names.push(name);
        }
    }
    Ok(())
}
