//! The calls that take a path.

use super::{
    Fault,
    abi::{self, Errno, FileType},
    descriptors::{Descriptor, OpenFile},
    filesystem::{Found, NodeId},
    guest::Guest,
};

type Answer = Result<(), Fault>;

impl Guest<'_> {
    #[expect(clippy::too_many_arguments, reason = "the system interface defines them")]
    pub(super) fn path_open(
        &mut self,
        fd: i32,
        _lookup: i32,
        path: i32,
        len: i32,
        how: i32,
        rights: i64,
        _inheriting: i64,
        flags: i32,
        opened: i32,
    ) -> Answer {
        let found = self.find(fd, path, len)?;
        let (readable, writable) = (rights & abi::RIGHT_FD_READ != 0, rights & abi::RIGHT_FD_WRITE != 0);
        let node = match found.node {
            Some(_) if how & abi::OPEN_CREATE != 0 && how & abi::OPEN_EXCLUSIVE != 0 => {
                return Err(Errno::Exists.into());
            }
            Some(node) => node,
            None if how & abi::OPEN_CREATE == 0 => return Err(Errno::NotFound.into()),
            None if found.must_be_directory => return Err(Errno::IsDirectory.into()),
            None => {
                let (directory, name) = found.place.ok_or(Errno::NotFound)?;
                self.wasi.files.create_file(directory, &name)?
            }
        };
        let descriptor = match self.wasi.files.kind(node)? {
            FileType::Directory if writable || how & (abi::OPEN_CREATE | abi::OPEN_TRUNCATE) != 0 => {
                // C asks for the right to write wherever it may need it; only a clear wish is refused.
                if how & abi::OPEN_DIRECTORY == 0 {
                    return Err(Errno::IsDirectory.into());
                }
                Descriptor::Directory { node, preopen: None, listing: Vec::new() }
            }
            FileType::Directory => Descriptor::Directory { node, preopen: None, listing: Vec::new() },
            FileType::RegularFile | FileType::Unknown => {
                if how & abi::OPEN_DIRECTORY != 0 {
                    return Err(Errno::NotDirectory.into());
                }
                if (writable || how & abi::OPEN_TRUNCATE != 0) && !self.wasi.files.is_writable(node)? {
                    return Err(Errno::ReadOnly.into());
                }
                if how & abi::OPEN_TRUNCATE != 0 {
                    self.wasi.files.resize(node, 0)?;
                }
                let append = flags & abi::FLAG_APPEND != 0;
                Descriptor::File(OpenFile { node, position: 0, append, readable, writable })
            }
        };
        let number = self.wasi.open(descriptor)?;
        self.write_u32(opened, number)
    }

    pub(super) fn path_create_directory(&mut self, fd: i32, path: i32, len: i32) -> Answer {
        let found = self.find(fd, path, len)?;
        match (found.node, found.place) {
            (Some(_), _) => Err(Errno::Exists.into()),
            (None, Some((directory, name))) => self.wasi.files.create_directory(directory, &name).map(drop),
            (None, None) => Err(Errno::NotFound.into()),
        }
    }

    pub(super) fn path_remove_directory(&mut self, fd: i32, path: i32, len: i32) -> Answer {
        self.remove(fd, path, len, true)
    }

    pub(super) fn path_unlink_file(&mut self, fd: i32, path: i32, len: i32) -> Answer {
        self.remove(fd, path, len, false)
    }

    fn remove(&mut self, fd: i32, path: i32, len: i32, directory: bool) -> Answer {
        let place = self.find(fd, path, len)?.place.ok_or(Errno::Invalid)?;
        self.wasi.files.unlink(&place, directory)
    }

    pub(super) fn path_rename(
        &mut self,
        fd: i32,
        path: i32,
        len: i32,
        new_fd: i32,
        new_path: i32,
        new_len: i32,
    ) -> Answer {
        let from = self.find(fd, path, len)?.place.ok_or(Errno::Invalid)?;
        let to = self.find(new_fd, new_path, new_len)?;
        let looked_at = self.wasi.files.rename(&from, &to.place.ok_or(Errno::Invalid)?)?;
        self.charge_bytes(looked_at)
    }

    pub(super) fn path_filestat_get(
        &mut self,
        fd: i32,
        _flags: i32,
        path: i32,
        len: i32,
        stat: i32,
    ) -> Answer {
        let node = self.find_existing(fd, path, len)?;
        self.put_filestat(node, stat)
    }

    /// Accepted and without effect: the times of all files are the same and fixed.
    #[expect(clippy::too_many_arguments, reason = "the system interface defines them")]
    pub(super) fn path_filestat_set_times(
        &mut self,
        fd: i32,
        _flags: i32,
        path: i32,
        len: i32,
        _accessed: i64,
        _modified: i64,
        _which: i32,
    ) -> Answer {
        self.find_existing(fd, path, len).map(drop)
    }

    /// There are no symbolic links.
    pub(super) fn path_readlink(
        &mut self,
        fd: i32,
        path: i32,
        len: i32,
        _buffer: i32,
        _buffer_len: i32,
        _used: i32,
    ) -> Answer {
        self.find_existing(fd, path, len)?;
        Err(Errno::Invalid.into())
    }

    pub(super) fn put_filestat(&mut self, node: NodeId, stat: i32) -> Answer {
        let files = &self.wasi.files;
        let record =
            abi::filestat(node.inode(), files.kind(node)?, files.size(node)?, self.wasi.clock_start_ns);
        self.write(stat, &record)
    }

    fn find(&mut self, fd: i32, path: i32, len: i32) -> Result<Found, Fault> {
        let start = self.wasi.directory(fd)?;
        let path = self.path(path, len)?;
        self.wasi.files.resolve(start, &path)
    }

    fn find_existing(&mut self, fd: i32, path: i32, len: i32) -> Result<NodeId, Fault> {
        self.find(fd, path, len)?.node.ok_or(Fault::Errno(Errno::NotFound))
    }
}
