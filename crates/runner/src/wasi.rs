//! WASI preview 1 on an in-memory filesystem.
//!
//! Written here instead of taken from a crate because a result has to be the same on every machine and nothing of the
//! host may be reachable: directories are sorted, times are fixed, clocks advance with fuel, random numbers come from
//! the task, every byte that a call moves costs fuel, and no call ever reaches the host's files, clocks or network.
//! Sockets and links answer `ENOTSUP`; `docs/adr/0003-own-wasi-preview-1.md` has the reasons and the alternatives.

mod abi;
mod calls;
mod descriptors;
mod filesystem;
mod guest;
mod path_calls;

use crate::{OutputBundle, Profile, TaskInput, run::Task};
use abi::Errno;
use descriptors::Descriptor;
use filesystem::Filesystem;
use std::sync::Arc;
use wasmtime::{Caller, Linker};

/// The import module of every function here.
const MODULE: &str = "wasi_snapshot_preview1";

const RANDOM_DOMAIN: &str = "gristmill wasi random numbers 1";

/// Why a call does not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The program gets this error code.
    Errno(Errno),
    /// The program ends.
    Stop(Stop),
}

/// Why a program ends inside a call, or because of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the program exited with code {0}")]
    Exit(i32),
    #[error("the program used up its fuel")]
    OutOfFuel,
    #[error("the program wrote more than its output limit")]
    Output,
    #[error("the program needed more memory than its limit")]
    Memory,
    #[error("the program took longer than its time limit")]
    Time,
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        Fault::Errno(errno)
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Fault {
        Fault::Stop(stop)
    }
}

/// The system that one task sees.
pub(crate) struct Wasi {
    files: Filesystem,
    descriptors: Vec<Option<Descriptor>>,
    max_descriptors: usize,
    args: Strings,
    env: Strings,
    stdin: Arc<[u8]>,
    random: blake3::OutputReader,
    clock_start_ns: u64,
    clock_ns_per_fuel: u64,
    /// How long the program meant to sleep so far.
    slept_ns: u64,
    fuel_at_start: u64,
    fuel_per_call: u64,
    fuel_per_byte: u64,
}

/// Arguments or variables as C wants them: one after the other, each with a zero byte at its end.
#[derive(Default)]
struct Strings {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Strings {
    fn add(&mut self, text: &str) {
        // `TaskInput::check` keeps all of them below `MAX_ARGUMENT_BYTES`.
        self.starts.push(self.bytes.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }
}

impl Wasi {
    /// The system for an input that passed [`TaskInput::check`].
    pub(crate) fn new(
        profile: &Profile,
        input: &TaskInput,
        max_output_bytes: u64,
        fuel: u64,
    ) -> Result<Wasi, Fault> {
        let mut args = Strings::default();
        input.args.iter().for_each(|arg| args.add(arg));
        let mut env = Strings::default();
        input.env.iter().for_each(|(name, value)| env.add(&format!("{name}={value}")));
        let mut random = blake3::Hasher::new_derive_key(RANDOM_DOMAIN);
        random.update(&input.seed.0);
        Ok(Wasi {
            files: Filesystem::new(input, profile.max_nodes, max_output_bytes)?,
            descriptors: Descriptor::standard(),
            max_descriptors: profile.max_descriptors as usize,
            args,
            env,
            stdin: input.stdin.clone(),
            random: random.finalize_xof(),
            clock_start_ns: profile.clock_start_ns,
            clock_ns_per_fuel: profile.clock_ns_per_fuel,
            slept_ns: 0,
            fuel_at_start: fuel,
            fuel_per_call: profile.fuel_per_host_call,
            fuel_per_byte: profile.fuel_per_host_byte,
        })
    }

    /// What the task leaves behind.
    pub(crate) fn into_bundle(self) -> Result<OutputBundle, Fault> {
        self.files.into_bundle()
    }

    /// What the monotonic clock shows when so much fuel is left.
    fn now_ns(&self, fuel_left: u64) -> u64 {
        let used = self.fuel_at_start.saturating_sub(fuel_left);
        used.saturating_mul(self.clock_ns_per_fuel).saturating_add(self.slept_ns)
    }
}

/// Defines functions that are methods of `Guest` with the same names.
macro_rules! link {
    ($linker:ident: $($name:ident($($argument:ident: $kind:ty),*);)*) => {$(
        $linker.func_wrap(MODULE, stringify!($name), |caller: Caller<'_, Task>, $($argument: $kind),*| {
            guest::call(caller, |guest| guest.$name($($argument),*))
        })?;
    )*};
}

/// Defines functions that exist so that programs link, and always answer `ENOTSUP`.
macro_rules! link_unsupported {
    ($linker:ident: $($name:ident($($kind:ty),*);)*) => {$(
        $linker.func_wrap(MODULE, stringify!($name), |caller: Caller<'_, Task>, $(_: $kind),*| {
            guest::call(caller, |_| Err(Errno::NotSupported.into()))
        })?;
    )*};
}

/// Gives a linker all functions of WASI preview 1.
pub(crate) fn add_to_linker(linker: &mut Linker<Task>) -> wasmtime::Result<()> {
    link! { linker:
        args_get(pointers: i32, bytes: i32);
        args_sizes_get(count: i32, size: i32);
        environ_get(pointers: i32, bytes: i32);
        environ_sizes_get(count: i32, size: i32);
        clock_res_get(clock: i32, resolution: i32);
        clock_time_get(clock: i32, precision: i64, time: i32);
        random_get(buffer: i32, len: i32);
        sched_yield();
        poll_oneoff(subscriptions: i32, events: i32, count: i32, ready: i32);

        fd_advise(fd: i32, offset: i64, len: i64, advice: i32);
        fd_allocate(fd: i32, offset: i64, len: i64);
        fd_close(fd: i32);
        fd_datasync(fd: i32);
        fd_fdstat_get(fd: i32, stat: i32);
        fd_fdstat_set_flags(fd: i32, flags: i32);
        fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64);
        fd_filestat_get(fd: i32, stat: i32);
        fd_filestat_set_size(fd: i32, size: i64);
        fd_filestat_set_times(fd: i32, accessed: i64, modified: i64, flags: i32);
        fd_pread(fd: i32, buffers: i32, count: i32, offset: i64, read: i32);
        fd_prestat_get(fd: i32, prestat: i32);
        fd_prestat_dir_name(fd: i32, buffer: i32, len: i32);
        fd_pwrite(fd: i32, buffers: i32, count: i32, offset: i64, written: i32);
        fd_read(fd: i32, buffers: i32, count: i32, read: i32);
        fd_readdir(fd: i32, buffer: i32, len: i32, cookie: i64, used: i32);
        fd_renumber(from: i32, to: i32);
        fd_seek(fd: i32, offset: i64, whence: i32, position: i32);
        fd_sync(fd: i32);
        fd_tell(fd: i32, position: i32);
        fd_write(fd: i32, buffers: i32, count: i32, written: i32);

        path_create_directory(fd: i32, path: i32, len: i32);
        path_filestat_get(fd: i32, flags: i32, path: i32, len: i32, stat: i32);
        path_filestat_set_times(fd: i32, flags: i32, path: i32, len: i32, accessed: i64, modified: i64, which: i32);
        path_open(
            fd: i32, lookup: i32, path: i32, len: i32, how: i32, rights: i64, inheriting: i64, flags: i32, opened: i32
        );
        path_readlink(fd: i32, path: i32, len: i32, buffer: i32, buffer_len: i32, used: i32);
        path_remove_directory(fd: i32, path: i32, len: i32);
        path_rename(fd: i32, path: i32, len: i32, new_fd: i32, new_path: i32, new_len: i32);
        path_unlink_file(fd: i32, path: i32, len: i32);
    }
    link_unsupported! { linker:
        path_link(i32, i32, i32, i32, i32, i32, i32);
        path_symlink(i32, i32, i32, i32, i32);
        proc_raise(i32);
        sock_accept(i32, i32, i32);
        sock_recv(i32, i32, i32, i32, i32, i32);
        sock_send(i32, i32, i32, i32, i32);
        sock_shutdown(i32, i32);
    }
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Stop::Exit(code)))
    })?;
    Ok(())
}
