//! The numbers of WASI preview 1: error codes, flags and record layouts.
//!
//! Source: `wasi_snapshot_preview1.witx` of the WebAssembly/WASI repository.

/// An error code that a program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Errno {
    BadDescriptor = 8,
    Exists = 20,
    Fault = 21,
    FileTooLarge = 22,
    IllegalBytes = 25,
    Invalid = 28,
    IsDirectory = 31,
    TooManyOpen = 33,
    NameTooLong = 37,
    NotFound = 44,
    NoSpace = 51,
    NotDirectory = 54,
    NotEmpty = 55,
    NotSupported = 58,
    ReadOnly = 69,
    NotSeekable = 70,
    NotCapable = 76,
}

/// What kind of thing a descriptor or directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FileType {
    /// Standard streams: not a character device, so that C buffers output in blocks instead of lines.
    Unknown = 0,
    Directory = 3,
    RegularFile = 4,
}

pub(crate) const OPEN_CREATE: i32 = 1;
pub(crate) const OPEN_DIRECTORY: i32 = 2;
pub(crate) const OPEN_EXCLUSIVE: i32 = 4;
pub(crate) const OPEN_TRUNCATE: i32 = 8;

pub(crate) const FLAG_APPEND: i32 = 1;

pub(crate) const RIGHT_FD_READ: i64 = 1 << 1;
pub(crate) const RIGHT_FD_WRITE: i64 = 1 << 6;
/// Every right there is; what is allowed is decided by what the descriptor is.
pub(crate) const RIGHTS_ALL: u64 = (1 << 30) - 1;
/// Every right but to seek and to tell, as streams have.
pub(crate) const RIGHTS_STREAM: u64 = RIGHTS_ALL & !(1 << 2) & !(1 << 5);

pub(crate) const CLOCK_REALTIME: i32 = 0;
pub(crate) const CLOCK_THREAD_CPU: i32 = 3;
pub(crate) const CLOCK_ABSOLUTE: u16 = 1;

pub(crate) const WHENCE_SET: i32 = 0;
pub(crate) const WHENCE_CURRENT: i32 = 1;
pub(crate) const WHENCE_END: i32 = 2;

pub(crate) const FDSTAT_BYTES: usize = 24;
pub(crate) const FILESTAT_BYTES: usize = 64;
pub(crate) const DIRENT_BYTES: usize = 24;
pub(crate) const SUBSCRIPTION_BYTES: u32 = 48;
pub(crate) const EVENT_BYTES: usize = 32;
pub(crate) const EVENT_CLOCK: u8 = 0;

/// The `fdstat` record.
pub(crate) fn fdstat(kind: FileType, flags: u16, rights: u64) -> [u8; FDSTAT_BYTES] {
    let mut record = [0; FDSTAT_BYTES];
    record[0] = kind as u8;
    record[2..4].copy_from_slice(&flags.to_le_bytes());
    record[8..16].copy_from_slice(&rights.to_le_bytes());
    record[16..24].copy_from_slice(&rights.to_le_bytes());
    record
}

/// The `filestat` record; all three times are the same.
pub(crate) fn filestat(inode: u64, kind: FileType, size: u64, time_ns: u64) -> [u8; FILESTAT_BYTES] {
    let mut record = [0; FILESTAT_BYTES];
    record[8..16].copy_from_slice(&inode.to_le_bytes());
    record[16] = kind as u8;
    record[24..32].copy_from_slice(&1u64.to_le_bytes());
    record[32..40].copy_from_slice(&size.to_le_bytes());
    for time in record[40..64].chunks_exact_mut(8) {
        time.copy_from_slice(&time_ns.to_le_bytes());
    }
    record
}

/// The `dirent` record that precedes each name.
pub(crate) fn dirent(next: u64, inode: u64, name_bytes: usize, kind: FileType) -> [u8; DIRENT_BYTES] {
    let mut record = [0; DIRENT_BYTES];
    record[0..8].copy_from_slice(&next.to_le_bytes());
    record[8..16].copy_from_slice(&inode.to_le_bytes());
    record[16..20].copy_from_slice(&(name_bytes as u32).to_le_bytes());
    record[20] = kind as u8;
    record
}

/// The `event` record of a subscription that is ready.
pub(crate) fn event(userdata: [u8; 8], kind: u8) -> [u8; EVENT_BYTES] {
    let mut record = [0; EVENT_BYTES];
    record[0..8].copy_from_slice(&userdata);
    record[10] = kind;
    record
}
