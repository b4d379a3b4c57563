//! Files for their owner alone.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Opens a file that only its owner can read, for writing at its end.
pub(super) fn appended(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().create(true).append(true).read(true), path)
}

/// Puts a file in place of another in one step, durably.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    let mut file = private(OpenOptions::new().create(true).truncate(true).write(true), &unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}
