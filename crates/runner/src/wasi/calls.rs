//! The calls on the process and on open descriptors.

use super::{
    Fault, Strings, Wasi,
    abi::{self, Errno, FileType},
    descriptors::Descriptor,
    guest::{Buffer, Guest},
};

type Answer = Result<(), Fault>;

/// The most subscriptions of one `poll_oneoff`.
const MAX_SUBSCRIPTIONS: u32 = 1024;

// Arguments, environment, clocks, random numbers.
impl Guest<'_> {
    pub(super) fn args_get(&mut self, pointers: i32, bytes: i32) -> Answer {
        self.put_strings(pointers, bytes, |wasi| &wasi.args)
    }

    pub(super) fn args_sizes_get(&mut self, count: i32, size: i32) -> Answer {
        self.put_string_sizes(count, size, |wasi| &wasi.args)
    }

    pub(super) fn environ_get(&mut self, pointers: i32, bytes: i32) -> Answer {
        self.put_strings(pointers, bytes, |wasi| &wasi.env)
    }

    pub(super) fn environ_sizes_get(&mut self, count: i32, size: i32) -> Answer {
        self.put_string_sizes(count, size, |wasi| &wasi.env)
    }

    fn put_strings(&mut self, pointers: i32, bytes: i32, which: impl Fn(&Wasi) -> &Strings) -> Answer {
        let count = which(self.wasi).starts.len();
        let mut list = Vec::with_capacity(count * 4);
        for &start in &which(self.wasi).starts {
            let pointer = (bytes as u32).checked_add(start).ok_or(Errno::Fault)?;
            list.extend_from_slice(&pointer.to_le_bytes());
        }
        self.write(pointers, &list)?;
        let all = Buffer::new(bytes, which(self.wasi).bytes.len() as i32);
        let (memory, wasi) = self.write_with_wasi(all)?;
        memory.copy_from_slice(&which(wasi).bytes);
        Ok(())
    }

    fn put_string_sizes(&mut self, count: i32, size: i32, which: impl Fn(&Wasi) -> &Strings) -> Answer {
        let strings = which(self.wasi);
        let (strings, bytes) = (strings.starts.len() as u32, strings.bytes.len() as u32);
        self.write_u32(count, strings)?;
        self.write_u32(size, bytes)
    }

    pub(super) fn clock_res_get(&mut self, clock: i32, resolution: i32) -> Answer {
        check_clock(clock)?;
        self.write_u64(resolution, 1)
    }

    pub(super) fn clock_time_get(&mut self, clock: i32, _precision: i64, time: i32) -> Answer {
        let now_ns = self.clock_ns(clock)?;
        self.write_u64(time, now_ns)
    }

    fn clock_ns(&self, clock: i32) -> Result<u64, Fault> {
        check_clock(clock)?;
        let now_ns = self.wasi.now_ns(self.fuel);
        let start_ns = if clock == abi::CLOCK_REALTIME { self.wasi.clock_start_ns } else { 0 };
        Ok(now_ns.saturating_add(start_ns))
    }

    pub(super) fn random_get(&mut self, buffer: i32, len: i32) -> Answer {
        let (memory, wasi) = self.write_with_wasi(Buffer::new(buffer, len))?;
        wasi.random.fill(memory);
        Ok(())
    }

    pub(super) fn sched_yield(&mut self) -> Answer {
        Ok(())
    }

    /// Answers at once. Descriptors are always ready; where only clocks are waited for, time jumps to the earliest.
    pub(super) fn poll_oneoff(&mut self, subscriptions: i32, events: i32, count: i32, ready: i32) -> Answer {
        let count = count as u32;
        if count == 0 || count > MAX_SUBSCRIPTIONS {
            return Err(Errno::Invalid.into());
        }
        let mut ready_events = Vec::new();
        let mut clocks = Vec::new();
        for index in 0..count {
            let at =
                (subscriptions as u32).checked_add(index * abi::SUBSCRIPTION_BYTES).ok_or(Errno::Fault)?;
            let record: [u8; abi::SUBSCRIPTION_BYTES as usize] = self.record(at)?;
            let [a, b, c, d, e, f, g, h, kind, ..] = record;
            let userdata = [a, b, c, d, e, f, g, h];
            if kind == abi::EVENT_CLOCK {
                clocks.push((self.wait_ns(&record)?, userdata));
            } else {
                ready_events.push(abi::event(userdata, kind));
            }
        }
        if ready_events.is_empty() {
            let shortest_ns = clocks.iter().map(|(wait_ns, _)| *wait_ns).min().unwrap_or(0);
            self.wasi.slept_ns = self.wasi.slept_ns.saturating_add(shortest_ns);
            let due = clocks.iter().filter(|(wait_ns, _)| *wait_ns == shortest_ns);
            ready_events.extend(due.map(|(_, userdata)| abi::event(*userdata, abi::EVENT_CLOCK)));
        }
        self.write(events, ready_events.as_flattened())?;
        self.write_u32(ready, ready_events.len() as u32)
    }

    /// How long a clock subscription waits from now.
    fn wait_ns(&self, record: &[u8; abi::SUBSCRIPTION_BYTES as usize]) -> Result<u64, Fault> {
        let number = |at: usize| {
            let bytes = record.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).ok_or(Fault::Errno(Errno::Fault))
        };
        let (clock, timeout_ns, flags) = (number(16)? as u32, number(24)?, number(40)? as u16);
        let now_ns = self.clock_ns(clock as i32)?;
        let absolute = flags & abi::CLOCK_ABSOLUTE != 0;
        Ok(if absolute { timeout_ns.saturating_sub(now_ns) } else { timeout_ns })
    }
}

// Open descriptors.
impl Guest<'_> {
    pub(super) fn fd_advise(&mut self, fd: i32, _offset: i64, _len: i64, _advice: i32) -> Answer {
        self.wasi.file(fd).map(drop)
    }

    pub(super) fn fd_allocate(&mut self, fd: i32, offset: i64, len: i64) -> Answer {
        let end = (offset as u64).checked_add(len as u64).ok_or(Errno::FileTooLarge)?;
        let node = self.wasi.file(fd)?.node;
        if end > self.wasi.files.size(node)? { self.fd_filestat_set_size(fd, end as i64) } else { Ok(()) }
    }

    pub(super) fn fd_close(&mut self, fd: i32) -> Answer {
        self.wasi.close(fd)
    }

    pub(super) fn fd_datasync(&mut self, fd: i32) -> Answer {
        self.wasi.descriptor(fd).map(drop)
    }

    pub(super) fn fd_sync(&mut self, fd: i32) -> Answer {
        self.wasi.descriptor(fd).map(drop)
    }

    pub(super) fn fd_fdstat_get(&mut self, fd: i32, stat: i32) -> Answer {
        let record = match self.wasi.descriptor(fd)? {
            Descriptor::Stdin { .. } | Descriptor::Stdout | Descriptor::Stderr => {
                abi::fdstat(FileType::Unknown, 0, abi::RIGHTS_STREAM)
            }
            Descriptor::File(file) => {
                let mut rights = abi::RIGHTS_ALL;
                if !file.readable {
                    rights &= !(abi::RIGHT_FD_READ as u64);
                }
                if !file.writable {
                    rights &= !(abi::RIGHT_FD_WRITE as u64);
                }
                abi::fdstat(FileType::RegularFile, u16::from(file.append), rights)
            }
            Descriptor::Directory { .. } => abi::fdstat(FileType::Directory, 0, abi::RIGHTS_ALL),
        };
        self.write(stat, &record)
    }

    pub(super) fn fd_fdstat_set_flags(&mut self, fd: i32, flags: i32) -> Answer {
        match self.wasi.descriptor(fd)? {
            Descriptor::File(file) => file.append = flags & abi::FLAG_APPEND != 0,
            Descriptor::Stdin { .. }
            | Descriptor::Stdout
            | Descriptor::Stderr
            | Descriptor::Directory { .. } => {}
        }
        Ok(())
    }

    /// Rights are what the descriptor is; a program that wants fewer has to restrain itself.
    pub(super) fn fd_fdstat_set_rights(&mut self, fd: i32, _base: i64, _inheriting: i64) -> Answer {
        self.wasi.descriptor(fd).map(drop)
    }

    pub(super) fn fd_filestat_get(&mut self, fd: i32, stat: i32) -> Answer {
        let node = match self.wasi.descriptor(fd)? {
            Descriptor::Stdin { .. } | Descriptor::Stdout | Descriptor::Stderr => None,
            Descriptor::File(file) => Some(file.node),
            Descriptor::Directory { node, .. } => Some(*node),
        };
        match node {
            Some(node) => self.put_filestat(node, stat),
            None => self.write(stat, &abi::filestat(0, FileType::Unknown, 0, self.wasi.clock_start_ns)),
        }
    }

    pub(super) fn fd_filestat_set_size(&mut self, fd: i32, size: i64) -> Answer {
        let file = *self.wasi.file(fd)?;
        if !file.writable {
            return Err(Errno::BadDescriptor.into());
        }
        let grown = self.wasi.files.resize(file.node, size as u64)?;
        self.charge_bytes(grown)
    }

    /// Accepted and without effect: the times of all files are the same and fixed.
    pub(super) fn fd_filestat_set_times(&mut self, fd: i32, _a: i64, _m: i64, _flags: i32) -> Answer {
        self.wasi.descriptor(fd).map(drop)
    }

    pub(super) fn fd_prestat_get(&mut self, fd: i32, prestat: i32) -> Answer {
        let name_bytes = self.preopen(fd)?.len() as u64;
        // The record is a tag, zero for a directory, and the length of its name.
        self.write_u64(prestat, name_bytes << 32)
    }

    pub(super) fn fd_prestat_dir_name(&mut self, fd: i32, buffer: i32, len: i32) -> Answer {
        let name = self.preopen(fd)?;
        if name.len() > len as u32 as usize {
            Err(Errno::NameTooLong.into())
        } else {
            self.write(buffer, name.as_bytes())
        }
    }

    fn preopen(&mut self, fd: i32) -> Result<&'static str, Fault> {
        match self.wasi.descriptor(fd)? {
            Descriptor::Directory { preopen: Some(name), .. } => Ok(name),
            Descriptor::Directory { preopen: None, .. }
            | Descriptor::Stdin { .. }
            | Descriptor::Stdout
            | Descriptor::Stderr
            | Descriptor::File(_) => Err(Errno::BadDescriptor.into()),
        }
    }

    pub(super) fn fd_read(&mut self, fd: i32, buffers: i32, count: i32, read: i32) -> Answer {
        let buffers = self.buffers(buffers, count)?;
        let total = match self.wasi.descriptor(fd)? {
            Descriptor::Stdin { position } => {
                let start = *position;
                let total = self.read_stream(start, &buffers)?;
                if let Descriptor::Stdin { position } = self.wasi.descriptor(fd)? {
                    *position += total;
                }
                total
            }
            Descriptor::File(file) => {
                let position = file.position;
                let total = self.read_file(fd, position, &buffers)?;
                self.wasi.file(fd)?.position += total as u64;
                total
            }
            Descriptor::Stdout | Descriptor::Stderr => return Err(Errno::BadDescriptor.into()),
            Descriptor::Directory { .. } => return Err(Errno::IsDirectory.into()),
        };
        self.write_u32(read, total as u32)
    }

    pub(super) fn fd_pread(&mut self, fd: i32, buffers: i32, count: i32, offset: i64, read: i32) -> Answer {
        let buffers = self.buffers(buffers, count)?;
        let total = self.read_file(fd, offset as u64, &buffers)?;
        self.write_u32(read, total as u32)
    }

    fn read_stream(&mut self, start: usize, buffers: &[Buffer]) -> Result<usize, Fault> {
        let mut total = 0;
        for buffer in buffers {
            let left = self.wasi.stdin.len().saturating_sub(start + total);
            let (memory, wasi) = self.write_with_wasi(buffer.take(left))?;
            let from = wasi.stdin.get(start + total..).unwrap_or_default();
            memory.copy_from_slice(from.get(..memory.len()).unwrap_or_default());
            total += memory.len();
        }
        Ok(total)
    }

    fn read_file(&mut self, fd: i32, start: u64, buffers: &[Buffer]) -> Result<usize, Fault> {
        let file = *self.wasi.file(fd)?;
        if !file.readable {
            return Err(Errno::BadDescriptor.into());
        }
        let size = self.wasi.files.size(file.node)?;
        let start = start.min(size) as usize;
        let mut total = 0;
        for buffer in buffers {
            let left = size as usize - start - total;
            let (memory, wasi) = self.write_with_wasi(buffer.take(left))?;
            let from = wasi.files.bytes(file.node)?.get(start + total..).unwrap_or_default();
            memory.copy_from_slice(from.get(..memory.len()).unwrap_or_default());
            total += memory.len();
        }
        Ok(total)
    }

    pub(super) fn fd_write(&mut self, fd: i32, buffers: i32, count: i32, written: i32) -> Answer {
        let buffers = self.buffers(buffers, count)?;
        let mut total = 0;
        match self.wasi.descriptor(fd)? {
            Descriptor::Stdout => {
                for buffer in buffers {
                    let (bytes, wasi) = self.read_with_wasi(buffer)?;
                    wasi.files.write_stdout(bytes)?;
                    total += buffer.len();
                }
            }
            Descriptor::Stderr => {
                for buffer in buffers {
                    let (bytes, wasi) = self.read_with_wasi(buffer)?;
                    wasi.files.write_stderr(bytes)?;
                    total += buffer.len();
                }
            }
            Descriptor::File(file) => {
                let file = *file;
                let position = if file.append { self.wasi.files.size(file.node)? } else { file.position };
                total = self.write_file(fd, position, &buffers)?;
                self.wasi.file(fd)?.position = position + total as u64;
            }
            Descriptor::Stdin { .. } => return Err(Errno::BadDescriptor.into()),
            Descriptor::Directory { .. } => return Err(Errno::IsDirectory.into()),
        }
        self.write_u32(written, total as u32)
    }

    pub(super) fn fd_pwrite(
        &mut self,
        fd: i32,
        buffers: i32,
        count: i32,
        offset: i64,
        written: i32,
    ) -> Answer {
        let buffers = self.buffers(buffers, count)?;
        let total = self.write_file(fd, offset as u64, &buffers)?;
        self.write_u32(written, total as u32)
    }

    fn write_file(&mut self, fd: i32, start: u64, buffers: &[Buffer]) -> Result<usize, Fault> {
        let file = *self.wasi.file(fd)?;
        if !file.writable {
            return Err(Errno::BadDescriptor.into());
        }
        let mut total = 0;
        for &buffer in buffers.iter().filter(|buffer| buffer.len() > 0) {
            let position = start.checked_add(total as u64).ok_or(Errno::FileTooLarge)?;
            let (bytes, wasi) = self.read_with_wasi(buffer)?;
            let gap = wasi.files.write(file.node, position, bytes)?;
            self.charge_bytes(gap)?;
            total += buffer.len();
        }
        Ok(total)
    }

    pub(super) fn fd_seek(&mut self, fd: i32, offset: i64, whence: i32, position: i32) -> Answer {
        let file = *self.wasi.file(fd)?;
        let base = match whence {
            abi::WHENCE_SET => 0,
            abi::WHENCE_CURRENT => file.position,
            abi::WHENCE_END => self.wasi.files.size(file.node)?,
            _ => return Err(Errno::Invalid.into()),
        };
        let target = base.checked_add_signed(offset).filter(|&target| target <= i64::MAX as u64);
        let target = target.ok_or(Errno::Invalid)?;
        self.wasi.file(fd)?.position = target;
        self.write_u64(position, target)
    }

    pub(super) fn fd_tell(&mut self, fd: i32, position: i32) -> Answer {
        let at = self.wasi.file(fd)?.position;
        self.write_u64(position, at)
    }

    pub(super) fn fd_renumber(&mut self, from: i32, to: i32) -> Answer {
        self.wasi.renumber(from, to)
    }

    /// Lists a directory in the order of the names. A cookie is the index of the next name.
    pub(super) fn fd_readdir(&mut self, fd: i32, buffer: i32, len: i32, cookie: i64, used: i32) -> Answer {
        let node = self.wasi.directory(fd)?;
        if cookie == 0 {
            let names = self.wasi.files.list(node)?;
            self.charge_bytes(names.iter().map(|(name, ..)| name.len() as u64).sum())?;
            if let Descriptor::Directory { listing, .. } = self.wasi.descriptor(fd)? {
                *listing = names;
            }
        }
        let room = len as u32 as usize;
        let mut bytes = Vec::new();
        if let Descriptor::Directory { listing, .. } = self.wasi.descriptor(fd)? {
            let start = usize::try_from(cookie).unwrap_or(usize::MAX);
            for (index, (name, inode, kind)) in listing.iter().enumerate().skip(start) {
                if bytes.len() >= room {
                    break;
                }
                bytes.extend_from_slice(&abi::dirent(index as u64 + 1, *inode, name.len(), *kind));
                bytes.extend_from_slice(name.as_bytes());
            }
        }
        // A cut last entry fills the buffer to the brim, which tells the program to come back.
        bytes.truncate(room);
        self.write(buffer, &bytes)?;
        self.write_u32(used, bytes.len() as u32)
    }
}

fn check_clock(clock: i32) -> Result<(), Fault> {
    if (abi::CLOCK_REALTIME..=abi::CLOCK_THREAD_CPU).contains(&clock) {
        Ok(())
    } else {
        Err(Errno::Invalid.into())
    }
}
