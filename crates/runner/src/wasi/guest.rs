//! A program's memory during one call: every access is checked and paid for.

use super::{Fault, Stop, Wasi, abi::Errno};
use crate::run::Task;
use wasmtime::{Caller, Extern};

/// The most buffers in one vectored read or write; more are `EINVAL`, as on Linux.
const MAX_BUFFERS: u32 = 1024;

/// The program that makes a call: its memory, the task's state and the fuel that is left.
pub(super) struct Guest<'a> {
    memory: &'a mut [u8],
    pub(super) wasi: &'a mut Wasi,
    pub(super) fuel: u64,
}

/// A place and length in the program's memory.
#[derive(Clone, Copy)]
pub(super) struct Buffer {
    start: usize,
    len: usize,
}

impl Buffer {
    pub(super) fn new(start: i32, len: i32) -> Buffer {
        Buffer { start: start as u32 as usize, len: len as u32 as usize }
    }

    pub(super) fn len(self) -> usize {
        self.len
    }

    pub(super) fn take(self, len: usize) -> Buffer {
        Buffer { start: self.start, len: self.len.min(len) }
    }
}

/// Runs one call of the system interface: charges for it, and turns its error into the number that the program gets
/// or into the end of the program.
pub(super) fn call(
    mut caller: Caller<'_, Task>,
    body: impl FnOnce(&mut Guest<'_>) -> Result<(), Fault>,
) -> wasmtime::Result<i32> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let fuel = caller.get_fuel()?;
    let (memory, task) = match memory {
        Some(memory) => memory.data_and_store_mut(&mut caller),
        None => (Default::default(), caller.data_mut()),
    };
    let mut guest = Guest { memory, wasi: &mut task.wasi, fuel };
    let price = guest.wasi.fuel_per_call;
    let answer = guest.charge(price).and_then(|()| body(&mut guest));
    let fuel = guest.fuel;
    caller.set_fuel(fuel)?;
    match answer {
        Ok(()) => Ok(0),
        Err(Fault::Errno(errno)) => Ok(errno as i32),
        Err(Fault::Stop(stop)) => Err(wasmtime::Error::new(stop)),
    }
}

impl Guest<'_> {
    /// Takes fuel, or ends the program when there is not enough.
    fn charge(&mut self, fuel: u64) -> Result<(), Fault> {
        match self.fuel.checked_sub(fuel) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => {
                self.fuel = 0;
                Err(Stop::OutOfFuel.into())
            }
        }
    }

    /// Takes the fuel for handling so many bytes.
    pub(super) fn charge_bytes(&mut self, bytes: u64) -> Result<(), Fault> {
        self.charge(bytes.saturating_mul(self.wasi.fuel_per_byte))
    }

    /// Bytes that a call reads.
    pub(super) fn read(&mut self, buffer: Buffer) -> Result<&[u8], Fault> {
        Ok(self.read_with_wasi(buffer)?.0)
    }

    /// Bytes that a call reads, and the state that it reads them into.
    pub(super) fn read_with_wasi(&mut self, buffer: Buffer) -> Result<(&[u8], &mut Wasi), Fault> {
        let range = self.range(buffer)?;
        self.charge_bytes(buffer.len as u64)?;
        Ok((self.memory.get(range).ok_or(Errno::Fault)?, self.wasi))
    }

    /// Where a call writes, and the state that it writes from.
    pub(super) fn write_with_wasi(&mut self, buffer: Buffer) -> Result<(&mut [u8], &mut Wasi), Fault> {
        let range = self.range(buffer)?;
        self.charge_bytes(buffer.len as u64)?;
        Ok((self.memory.get_mut(range).ok_or(Errno::Fault)?, self.wasi))
    }

    /// Writes bytes to the start of a buffer, which must have room for all of them.
    pub(super) fn write(&mut self, at: i32, bytes: &[u8]) -> Result<(), Fault> {
        let buffer = Buffer { start: at as u32 as usize, len: bytes.len() };
        self.write_with_wasi(buffer)?.0.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write_u32(&mut self, at: i32, value: u32) -> Result<(), Fault> {
        self.write(at, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, at: i32, value: u64) -> Result<(), Fault> {
        self.write(at, &value.to_le_bytes())
    }

    /// Reads a record of fixed size.
    pub(super) fn record<const N: usize>(&mut self, at: u32) -> Result<[u8; N], Fault> {
        let buffer = Buffer { start: at as usize, len: N };
        self.read(buffer)?.try_into().map_err(|_| Fault::Errno(Errno::Fault))
    }

    /// Reads the list of buffers of a vectored call. All of them lie in memory.
    pub(super) fn buffers(&mut self, list: i32, count: i32) -> Result<Vec<Buffer>, Fault> {
        let count = count as u32;
        if count > MAX_BUFFERS {
            return Err(Errno::Invalid.into());
        }
        let mut buffers = Vec::with_capacity(count as usize);
        for index in 0..count {
            let at = (list as u32).checked_add(index * 8).ok_or(Errno::Fault)?;
            let [a, b, c, d, e, f, g, h] = self.record::<8>(at)?;
            let buffer = Buffer {
                start: u32::from_le_bytes([a, b, c, d]) as usize,
                len: u32::from_le_bytes([e, f, g, h]) as usize,
            };
            self.range(buffer)?;
            buffers.push(buffer);
        }
        Ok(buffers)
    }

    /// Reads a path.
    pub(super) fn path(&mut self, start: i32, len: i32) -> Result<String, Fault> {
        let buffer = Buffer::new(start, len);
        if buffer.len > crate::MAX_PATH_BYTES {
            return Err(Errno::NameTooLong.into());
        }
        let text = std::str::from_utf8(self.read(buffer)?).map_err(|_| Errno::IllegalBytes)?;
        if text.contains('\0') { Err(Errno::Invalid.into()) } else { Ok(text.to_owned()) }
    }

    fn range(&self, buffer: Buffer) -> Result<std::ops::Range<usize>, Fault> {
        let end = buffer.start.checked_add(buffer.len).ok_or(Errno::Fault)?;
        if end > self.memory.len() { Err(Errno::Fault.into()) } else { Ok(buffer.start..end) }
    }
}
