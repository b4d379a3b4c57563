//! What a task gets, what it may use, and how it can end.

use crate::path::{self, PathError};
use market::{
    id::Digest,
    verify::{Exit, TaskResult},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// The most arguments, and the most environment variables, of a task.
pub const MAX_ARGUMENTS: usize = 4096;
/// The most bytes that arguments and environment together may have.
pub const MAX_ARGUMENT_BYTES: usize = 1 << 20;

/// Everything that a task can see. Two tasks with equal inputs have equal results.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskInput {
    /// The arguments, the program's name first.
    pub args: Vec<String>,
    /// The environment, complete: nothing is added to it.
    pub env: BTreeMap<String, String>,
    /// What standard input gives.
    pub stdin: Arc<[u8]>,
    /// The read-only files, by path below `/in`. Contents are shared, never copied.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Where the task's random numbers come from: the task's digest.
    pub seed: Digest,
}

/// Why an input cannot be given to a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A bad path of an input file.
    #[error("an input file has a bad path: {0}")]
    Path(#[from] PathError),
    /// A path is a file and also the directory of another.
    #[error("the input file `{0}` would also have to be a directory; rename it")]
    FileIsDirectory(String),
    /// More arguments or variables than allowed, or too long ones.
    #[error(
        "arguments and environment are too many or too long; at most {MAX_ARGUMENTS} of each and {MAX_ARGUMENT_BYTES} bytes together"
    )]
    TooManyArguments,
    /// An argument or a variable that the C interface cannot express.
    #[error("`{0}` has a zero byte, or is a variable whose name is empty or has `=` in it")]
    Argument(String),
    /// More files than the profile allows.
    #[error("{0} input files are more than the {1} files and directories of the execution profile")]
    TooManyFiles(usize, u32),
}

/// What a task may use. Fuel, memory and output are the job's and equal on every machine; wall time is the provider's
/// protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most linear memory, in bytes.
    pub memory_bytes: u64,
    /// The most output at any moment: standard output, standard error and files under `/out` together, in bytes.
    pub output_bytes: u64,
    /// The most fuel: about one unit per WebAssembly instruction, plus the profile's prices for calls of the system.
    pub fuel: u64,
    /// The most time on the wall, in milliseconds.
    pub wall_ms: u64,
}

/// How a run of a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It ran to its end, good or bad, and every honest machine would see the same.
    Finished(Finished),
    /// It ran into a limit that machines may reach at different points. Never held against the provider.
    Inconclusive(Exhausted),
    /// It could not start, whichever machine had tried: the job is at fault, and the message says why.
    Invalid(String),
}

/// The result of a run: everything but `peak_memory_bytes` and `wall_us` is what a seal commits to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How the program ended.
    pub exit: ExitStatus,
    /// The encoded [`OutputBundle`](crate::OutputBundle); also of a program that failed: what it wrote until then.
    #[serde(skip)]
    pub bundle: Vec<u8>,
    /// The digest of `bundle`.
    pub digest: Digest,
    /// The fuel that it used.
    pub fuel_used: u64,
    /// The most linear memory that it had.
    pub peak_memory_bytes: u64,
    /// How long it took, without loading the module, in microseconds.
    pub wall_us: u64,
}

/// How a program ended, the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It returned (0) or called `proc_exit` with this code.
    Code(i32),
    /// It did something that WebAssembly forbids.
    Trapped(TrapKind),
    /// It used up its fuel.
    OutOfFuel,
}

/// What a program did that WebAssembly forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrapKind {
    /// Ran the `unreachable` instruction: what a panic or an abort compiles to.
    Unreachable,
    /// Read or wrote outside its memory.
    MemoryOutOfBounds,
    /// Used a table outside its bounds.
    TableOutOfBounds,
    /// Called a function pointer that is null.
    IndirectCallToNull,
    /// Called a function pointer with another signature.
    BadSignature,
    /// An integer overflow, as of the smallest integer divided by -1.
    IntegerOverflow,
    /// An integer division by zero.
    IntegerDivisionByZero,
    /// A floating-point number that is no integer.
    BadConversionToInteger,
    /// Anything else, by wasmtime's number for it. The features of `wasm-1` have no other.
    Other(u8),
}

/// A limit that machines may reach at different points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exhausted {
    /// It asked for more memory than its limit, or than the machine had after all.
    Memory,
    /// It called too deep.
    Stack,
    /// It took longer than allowed.
    Time,
    /// It wrote more than allowed.
    Output,
}

impl TaskInput {
    /// A task without arguments, environment, standard input and files.
    pub fn new(seed: Digest) -> TaskInput {
        TaskInput {
            args: Vec::new(),
            env: BTreeMap::new(),
            stdin: Arc::from([]),
            files: BTreeMap::new(),
            seed,
        }
    }

    /// Checks that the input can be given to a program under a profile that allows `max_nodes` files and directories.
    pub fn check(&self, max_nodes: u32) -> Result<(), InputError> {
        let texts = self.args.iter().chain(self.env.keys()).chain(self.env.values());
        let total: usize = texts.clone().map(|text| text.len() + 1).sum();
        if self.args.len() > MAX_ARGUMENTS || self.env.len() > MAX_ARGUMENTS || total > MAX_ARGUMENT_BYTES {
            return Err(InputError::TooManyArguments);
        }
        let bad_text = texts.into_iter().find(|text| text.contains('\0'));
        let bad_name = self.env.keys().find(|name| name.is_empty() || name.contains('='));
        if let Some(text) = bad_text.or(bad_name) {
            return Err(InputError::Argument(text.escape_debug().to_string()));
        }
        if self.files.len() > max_nodes as usize / 2 {
            return Err(InputError::TooManyFiles(self.files.len(), max_nodes));
        }
        self.files.keys().try_for_each(|path| path::check_path(path))?;
        for path in self.files.keys() {
            let mut parents = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
            if let Some(parent) = parents.find(|parent| self.files.contains_key(*parent)) {
                return Err(InputError::FileIsDirectory(parent.to_owned()));
            }
        }
        Ok(())
    }
}

impl Limits {
    /// The wall-clock limit.
    pub fn wall(&self) -> Duration {
        Duration::from_millis(self.wall_ms)
    }
}

impl Default for Limits {
    /// 1 GiB of memory, 64 MiB of output, 100 giga-fuel and ten minutes.
    fn default() -> Limits {
        Limits { memory_bytes: 1 << 30, output_bytes: 64 << 20, fuel: 100_000_000_000, wall_ms: 600_000 }
    }
}

impl ExitStatus {
    /// Whether the program says that it succeeded.
    pub fn success(self) -> bool {
        self == ExitStatus::Code(0)
    }
}

/// The market only asks whether a program trapped; how it did is for the buyer.
impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match status {
            ExitStatus::Code(code) => Exit::Code(code),
            ExitStatus::Trapped(_) => Exit::Trap,
            ExitStatus::OutOfFuel => Exit::OutOfFuel,
        }
    }
}

impl From<&Finished> for TaskResult {
    fn from(finished: &Finished) -> TaskResult {
        TaskResult { exit: finished.exit.into(), output: finished.digest, fuel: finished.fuel_used }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "exited with code {code}"),
            ExitStatus::Trapped(kind) => write!(f, "trapped: {kind}"),
            ExitStatus::OutOfFuel => f.write_str("ran out of fuel"),
        }
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrapKind::Unreachable => f.write_str("panicked or aborted (`unreachable`)"),
            TrapKind::MemoryOutOfBounds => f.write_str("used memory outside its bounds"),
            TrapKind::TableOutOfBounds => f.write_str("used a table outside its bounds"),
            TrapKind::IndirectCallToNull => f.write_str("called a null function pointer"),
            TrapKind::BadSignature => f.write_str("called a function pointer of another type"),
            TrapKind::IntegerOverflow => f.write_str("integer overflow"),
            TrapKind::IntegerDivisionByZero => f.write_str("integer division by zero"),
            TrapKind::BadConversionToInteger => f.write_str("converted a float that is no integer"),
            TrapKind::Other(number) => write!(f, "trap number {number}"),
        }
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exhausted::Memory => "needed more memory than its limit",
            Exhausted::Stack => "needed more stack than the execution profile allows",
            Exhausted::Time => "took longer than its time limit",
            Exhausted::Output => "wrote more than its output limit",
        })
    }
}

impl fmt::Debug for TaskInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: BTreeMap<_, _> = self.files.iter().map(|(path, bytes)| (path, bytes.len())).collect();
        f.debug_struct("TaskInput")
            .field("args", &self.args)
            .field("env", &self.env)
            .field("stdin_bytes", &self.stdin.len())
            .field("file_bytes", &files)
            .field("seed", &self.seed)
            .finish()
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("exit", &self.exit)
            .field("bundle_bytes", &self.bundle.len())
            .field("digest", &self.digest)
            .field("fuel_used", &self.fuel_used)
            .field("peak_memory_bytes", &self.peak_memory_bytes)
            .field("wall_us", &self.wall_us)
            .finish()
    }
}
