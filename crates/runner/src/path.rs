//! Which file names a task may read and write: names that mean the same on every system.

/// The longest path below `/in` or `/out`, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;
/// The longest name of a single file or directory, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a path cannot name a task's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing, or nothing between two slashes.
    #[error("`{0}` has an empty name in it; write `directory/file`")]
    Empty(String),
    /// Starts with `/`.
    #[error("`{0}` is absolute; write it relative to `/in` or `/out`")]
    Absolute(String),
    /// Has `.` or `..` in it.
    #[error("`{0}` has `.` or `..` in it; write the path without them")]
    Dots(String),
    /// Longer than [`MAX_PATH_BYTES`], or a name longer than [`MAX_NAME_BYTES`].
    #[error(
        "a path of {0} bytes is too long; at most {MAX_PATH_BYTES} bytes, {MAX_NAME_BYTES} for each name"
    )]
    TooLong(usize),
    /// Has a character that some systems treat specially.
    #[error("`{0}` contains a backslash, a colon or a control character; rename the file")]
    Character(String),
}

/// Checks a path below `/in` or `/out`: relative, UTF-8, names separated by `/`, without `.` and `..`, and without
/// characters that could make it leave a folder on any system that a result is later unpacked on.
pub fn check_path(path: &str) -> Result<(), PathError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong(path.len()));
    }
    if path.starts_with('/') {
        return Err(PathError::Absolute(path.to_owned()));
    }
    path.split('/').try_for_each(check_name)
}

/// Checks one name of a path.
pub(crate) fn check_name(name: &str) -> Result<(), PathError> {
    match name {
        "" => Err(PathError::Empty(name.to_owned())),
        "." | ".." => Err(PathError::Dots(name.to_owned())),
        _ if name.len() > MAX_NAME_BYTES => Err(PathError::TooLong(name.len())),
        _ if name.chars().any(|c| c.is_control() || matches!(c, '\\' | ':')) => {
            Err(PathError::Character(name.escape_debug().to_string()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_leave_a_folder_are_refused() {
        for path in ["", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/", "a\\b", "C:a", "a\0b", "a\nb"] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        assert!(check_path(&"a/".repeat(600)).is_err());
        assert!(check_path(&"a".repeat(256)).is_err());
        for path in ["a", "a/b.png", ".hidden", "..a", "frame 1/ü.txt"] {
            assert_eq!(check_path(path), Ok(()), "{path:?}");
        }
    }
}
