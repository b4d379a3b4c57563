//! Reading files that somebody named.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// Opens an ordinary file. Others are refused before they are opened: a pipe waits until somebody writes into it, and a
/// device may never end.
pub fn open(file: &Path) -> io::Result<File> {
    let kind = fs::metadata(file)?.file_type();
    if kind.is_file() {
        return File::open(file);
    }
    let what = if kind.is_dir() { "a folder" } else { "a pipe or a device, which may never end" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}: name an ordinary file")))
}

/// Reads a text of at most `bytes_max` bytes from an ordinary file.
pub fn read_text(file: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    // The size that the system tells is not to be relied on: it may grow, and is 0 below `/proc`.
    open(file)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let text = format!("it has more than {bytes_max} bytes, the most that is read of such a file");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8");
    String::from_utf8(bytes).map_err(no_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read_text(&file, 5).unwrap(), "12345");
        assert_eq!(read_text(&file, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::write(&file, [0xff]).unwrap();
        assert_eq!(read_text(&file, 4).unwrap_err().to_string(), "it is no text in UTF-8");
        assert_eq!(read_text(&folder.path().join("no"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn folders_are_refused() {
        let error = read_text(tempfile::tempdir().unwrap().path(), 4).unwrap_err().to_string();
        assert_eq!(error, "it is a folder: name an ordinary file");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_before_they_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Nobody writes into it: opening it would wait for ever.
        for file in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = read_text(file, 4).unwrap_err().to_string();
            assert_eq!(error, "it is a pipe or a device, which may never end: name an ordinary file");
        }
    }
}
