//! Worker processes: where strangers' modules are compiled and run.
//!
//! A worker is this program, or another that calls [`serve`], started again with an empty environment and two pipes.
//! The parent sends requests and keeps the time; the child answers from inside the sandbox. A child that hangs or dies
//! takes nothing with it but the task that it was running.

mod process;
mod serve;

use crate::{
    CompiledModule, Enforcement, Exhausted, InvalidModule, Limits, Mechanism, Outcome, Profile, TaskInput,
    sandbox::SandboxConfig,
};
use market::id::Digest;
pub use process::KillHandle;
use process::{Exchange, Message, Process};
use serde::{Deserialize, Serialize};
pub use serve::serve;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// What the parent waits for beyond the limits of a task: scheduling, reading inputs, writing outputs.
const GRACE: Duration = Duration::from_secs(5);
/// How long a worker may take to start, to load a module and to compile one.
const START_LIMIT: Duration = Duration::from_secs(30);
const COMPILE_LIMIT: Duration = Duration::from_secs(120);
/// The largest compiled module.
const MAX_COMPILED_BYTES: u64 = 512 << 20;
/// Memory of a worker besides that of its task: the compiler, code, stacks.
const OVERHEAD_BYTES: u64 = 1 << 30;

/// How a worker is set up.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The profile of everything that it runs.
    pub profile: &'static Profile,
    /// The most that any of its tasks may use.
    pub limits: Limits,
    /// The most input files that it keeps between tasks, in bytes.
    pub input_bytes: u64,
    /// How much nicer than this process it is, 0 to 19.
    pub nice: u8,
    /// What must hold it; it does not start where one of them is missing.
    pub required: Vec<Mechanism>,
}

/// One worker process. It runs one task at a time; use one for each lease.
#[derive(Debug)]
pub struct Worker {
    program: PathBuf,
    args: Vec<OsString>,
    config: WorkerConfig,
    process: Process,
    enforcement: Enforcement,
    loaded: BTreeSet<Digest>,
    blobs: Blobs,
    has_run: bool,
}

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program cannot be started.
    #[error("the worker `{}` cannot be started: {source}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It ended or said nothing sensible when it started.
    #[error("the worker did not start: {0}")]
    Worker(#[from] WorkerError),
    /// The machine cannot enforce what is required.
    #[error(
        "this machine cannot enforce what the work demands: {missing}; take other work, or do not require it"
    )]
    NotEnforced {
        /// What is missing, with the reasons.
        missing: String,
    },
}

/// Why a worker did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The process is gone, and the task with it. It can be started again with [`Worker::restart`].
    #[error("the worker process ended: {0}")]
    Died(String),
    /// It was killed through a [`KillHandle`].
    #[error("the worker process was killed on request")]
    Killed,
    /// It did not answer in time and was killed.
    #[error("the worker process did not answer in time and was killed")]
    Hung,
    /// It answered something else.
    #[error("the worker process answered with nonsense: {0}")]
    Nonsense(String),
    /// The limits of a task are higher than those of the worker.
    #[error("the task's limits are higher than those of the worker; start one with higher limits")]
    Limits,
    /// The input files of one task are more than the worker keeps.
    #[error("the input files have {needed_bytes} bytes, more than the {limit_bytes} that this worker takes")]
    Inputs {
        /// What the task brings.
        needed_bytes: u64,
        /// What the worker was set up for.
        limit_bytes: u64,
    },
    /// The module was not loaded before.
    #[error("the module is not loaded in this worker; call `load` first")]
    NotLoaded,
    /// It has run a task already, and what ran once in a process could change what it compiles.
    #[error("this worker has run tasks already; compile in a fresh one")]
    NotFresh,
    /// The module is at fault.
    #[error(transparent)]
    Invalid(#[from] InvalidModule),
}

/// Things that the sandbox must prevent, to try whether it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forbidden {
    /// Open a file of the host.
    OpenFile,
    /// Open a network socket.
    OpenSocket,
    /// Start another process.
    StartProcess,
}

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Hello {
        profile: String,
        digest: Digest,
        sandbox: SandboxConfig,
    },
    /// The body is a WebAssembly module.
    Compile,
    /// The body is compiled code.
    Load {
        wasm: Digest,
    },
    /// The body is an input. Not answered.
    Put {
        blob: u64,
    },
    /// Not answered.
    Forget {
        blob: u64,
    },
    Run {
        module: Digest,
        task: WireTask,
        limits: Limits,
    },
    Try(Forbidden),
}

/// A task whose inputs were sent before.
#[derive(Debug, Serialize, Deserialize)]
struct WireTask {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    stdin: u64,
    files: BTreeMap<String, u64>,
    seed: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
enum Response {
    Ready(Enforcement),
    /// The body is compiled code.
    Compiled,
    Loaded,
    /// The body is the output bundle.
    Ended(Outcome),
    Tried {
        prevented: bool,
        how: String,
    },
    Invalid(String),
    Failed(String),
}

impl WorkerConfig {
    /// A worker under the newest profile, with everything required that keeps strangers' code away from the machine.
    pub fn new(limits: Limits) -> WorkerConfig {
        WorkerConfig {
            profile: Profile::newest(),
            limits,
            input_bytes: 256 << 20,
            nice: 10,
            required: vec![
                Mechanism::Files,
                Mechanism::SystemCalls,
                Mechanism::Resources,
                Mechanism::Privileges,
                Mechanism::Memory,
                Mechanism::Lifetime,
            ],
        }
    }

    fn sandbox(&self) -> SandboxConfig {
        // Output exists up to three times while it is bundled and sent.
        let data_bytes =
            [self.limits.memory_bytes, self.limits.output_bytes.saturating_mul(3), self.input_bytes]
                .into_iter()
                .fold(OVERHEAD_BYTES, u64::saturating_add);
        SandboxConfig { data_bytes, nice: self.nice }
    }
}

impl Worker {
    /// Starts `program` with `args`, which has to call [`serve`] with its standard input and output.
    pub fn spawn(program: &Path, args: &[OsString], config: WorkerConfig) -> Result<Worker, SpawnError> {
        let (process, enforcement) = start(program, args, &config)?;
        Ok(Worker {
            program: program.to_owned(),
            args: args.to_vec(),
            blobs: Blobs::new(config.input_bytes),
            config,
            process,
            enforcement,
            loaded: BTreeSet::new(),
            has_run: false,
        })
    }

    /// Starts the process again, with nothing loaded.
    pub fn restart(&mut self) -> Result<(), SpawnError> {
        self.process.handle().kill();
        (self.process, self.enforcement) = start(&self.program, &self.args, &self.config)?;
        self.loaded.clear();
        self.blobs = Blobs::new(self.config.input_bytes);
        self.has_run = false;
        Ok(())
    }

    /// What holds the process in its place.
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// Kills the process from any thread.
    pub fn handle(&self) -> KillHandle {
        self.process.handle()
    }

    /// Compiles a module inside the sandbox. Only a worker that has run nothing yet does, so that no task can put code
    /// into the cache.
    pub fn compile(&mut self, wasm: &Arc<[u8]>) -> Result<CompiledModule, WorkerError> {
        if self.has_run {
            return Err(WorkerError::NotFresh);
        }
        let message = Message { request: Request::Compile, body: wasm.clone() };
        match self.exchange(vec![message], COMPILE_LIMIT, MAX_COMPILED_BYTES)? {
            (Response::Compiled, code) => Ok(CompiledModule::trusted(Digest::of(wasm), code.into())),
            (Response::Invalid(why), _) => Err(InvalidModule(why).into()),
            (other, _) => Err(self.nonsense(other)),
        }
    }

    /// Makes a compiled module ready to run.
    pub fn load(&mut self, compiled: &CompiledModule) -> Result<(), WorkerError> {
        if self.loaded.contains(&compiled.wasm()) {
            return Ok(());
        }
        let message =
            Message { request: Request::Load { wasm: compiled.wasm() }, body: compiled.shared_code() };
        match self.exchange(vec![message], START_LIMIT, 0)? {
            (Response::Loaded, _) => {
                self.loaded.insert(compiled.wasm());
                Ok(())
            }
            (Response::Invalid(why), _) => Err(InvalidModule(why).into()),
            (other, _) => Err(self.nonsense(other)),
        }
    }

    /// Runs a task of a loaded module. Inputs that an earlier task had (the same `Arc`) are not sent again.
    ///
    /// A worker that does not answer within the time limit is killed, which makes the attempt inconclusive; call
    /// [`restart`](Worker::restart) before the next.
    pub fn run(
        &mut self,
        module: Digest,
        input: &TaskInput,
        limits: &Limits,
    ) -> Result<Outcome, WorkerError> {
        let most = &self.config.limits;
        if limits.memory_bytes > most.memory_bytes || limits.output_bytes > most.output_bytes {
            return Err(WorkerError::Limits);
        }
        if !self.loaded.contains(&module) {
            return Err(WorkerError::NotLoaded);
        }
        if let Err(error) = input.check(self.config.profile.max_nodes) {
            return Ok(Outcome::Invalid(error.to_string()));
        }
        let (mut messages, task) = self.blobs.send(input)?;
        self.has_run = true;
        messages
            .push(Message { request: Request::Run { module, task, limits: *limits }, body: Arc::from([]) });
        // Names and lengths of files come on top of what the task wrote.
        let max_body_bytes = limits.output_bytes.saturating_add(32 << 20);
        match self.exchange(messages, limits.wall().saturating_add(GRACE), max_body_bytes) {
            Ok((Response::Ended(Outcome::Finished(mut finished)), bundle)) => {
                // The process is not trusted to hash its own output.
                finished.digest = Digest::of(&bundle);
                finished.bundle = bundle;
                Ok(Outcome::Finished(finished))
            }
            Ok((Response::Ended(outcome @ (Outcome::Inconclusive(_) | Outcome::Invalid(_))), _)) => {
                Ok(outcome)
            }
            Ok((other, _)) => Err(self.nonsense(other)),
            Err(WorkerError::Hung) => Ok(Outcome::Inconclusive(Exhausted::Time)),
            Err(error) => Err(error),
        }
    }

    /// Tries whether the sandbox holds, by doing something forbidden in it. Says how it was prevented, which mostly ends
    /// the process, or in the error how it was not.
    pub fn try_forbidden(&mut self, forbidden: Forbidden) -> Result<String, String> {
        let message = Message { request: Request::Try(forbidden), body: Arc::from([]) };
        match self.exchange(vec![message], START_LIMIT, 0) {
            Err(WorkerError::Died(how)) => Ok(how),
            Ok((Response::Tried { prevented: true, how }, _)) => Ok(how),
            Ok((Response::Tried { prevented: false, how }, _)) => Err(how),
            Ok((other, _)) => Err(format!("unexpected answer: {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn exchange(
        &mut self,
        messages: Vec<Message>,
        limit: Duration,
        max_body_bytes: u64,
    ) -> Result<(Response, Vec<u8>), WorkerError> {
        self.process.exchange(Exchange { messages, max_body_bytes }, limit)
    }

    /// A process that breaks the protocol is not asked again.
    fn nonsense(&self, response: Response) -> WorkerError {
        self.process.handle().kill();
        match response {
            Response::Failed(why) => WorkerError::Nonsense(why),
            other => WorkerError::Nonsense(format!("{other:?}").chars().take(200).collect()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.handle().kill();
    }
}

fn start(
    program: &Path,
    args: &[OsString],
    config: &WorkerConfig,
) -> Result<(Process, Enforcement), SpawnError> {
    let mut process = Process::start(program, args)
        .map_err(|source| SpawnError::Start { program: program.to_owned(), source })?;
    let hello = Request::Hello {
        profile: config.profile.name.to_owned(),
        digest: config.profile.digest(),
        sandbox: config.sandbox(),
    };
    let exchange =
        Exchange { messages: vec![Message { request: hello, body: Arc::from([]) }], max_body_bytes: 0 };
    let enforcement = match process.exchange(exchange, START_LIMIT) {
        Ok((Response::Ready(enforcement), _)) => enforcement,
        Ok((other, _)) => return Err(WorkerError::Nonsense(format!("{other:?}")).into()),
        Err(error) => return Err(error.into()),
    };
    let missing = enforcement.missing(&config.required);
    if missing.is_empty() {
        return Ok((process, enforcement));
    }
    process.handle().kill();
    let lines = enforcement.mechanisms.iter().filter(|line| missing.contains(&line.mechanism));
    let missing =
        lines.map(|line| format!("{} ({})", line.mechanism, line.reason)).collect::<Vec<_>>().join(", ");
    Err(SpawnError::NotEnforced { missing })
}

/// The inputs that the process has. They are recognised by their address: it belongs to one content for as long as this
/// holds the `Arc`.
#[derive(Debug)]
struct Blobs {
    sent: BTreeMap<(usize, usize), Blob>,
    next: u64,
    bytes: u64,
    max_bytes: u64,
}

#[derive(Debug)]
struct Blob {
    number: u64,
    /// Keeps the address taken.
    _content: Arc<[u8]>,
}

impl Blobs {
    fn new(max_bytes: u64) -> Blobs {
        Blobs { sent: BTreeMap::new(), next: 0, bytes: 0, max_bytes }
    }

    /// The messages that send what is missing, and the task that names what is sent.
    fn send(&mut self, input: &TaskInput) -> Result<(Vec<Message>, WireTask), WorkerError> {
        let mut messages = Vec::new();
        let contents: BTreeMap<_, _> =
            input.files.values().chain([&input.stdin]).map(|bytes| (address(bytes), bytes)).collect();
        let needed_bytes: u64 = contents.values().map(|bytes| bytes.len() as u64).sum();
        if needed_bytes > self.max_bytes {
            return Err(WorkerError::Inputs { needed_bytes, limit_bytes: self.max_bytes });
        }
        // The limit is on contents: what it takes to find those of one task is on top.
        let all_bytes: u64 = contents.values().map(|bytes| blob_bytes(bytes)).sum();
        let missing = contents.iter().filter(|(address, _)| !self.sent.contains_key(address));
        let missing_bytes: u64 = missing.map(|(_, bytes)| blob_bytes(bytes)).sum();
        if self.bytes.saturating_add(missing_bytes) > self.max_bytes.max(all_bytes) {
            for blob in std::mem::take(&mut self.sent).into_values() {
                messages
                    .push(Message { request: Request::Forget { blob: blob.number }, body: Arc::from([]) });
            }
            self.bytes = 0;
        }
        let stdin = self.send_one(&input.stdin, &mut messages);
        let files =
            input.files.iter().map(|(path, bytes)| (path.clone(), self.send_one(bytes, &mut messages)));
        let files = files.collect();
        let task =
            WireTask { args: input.args.clone(), env: input.env.clone(), stdin, files, seed: input.seed };
        Ok((messages, task))
    }

    fn send_one(&mut self, bytes: &Arc<[u8]>, messages: &mut Vec<Message>) -> u64 {
        let address = address(bytes);
        if let Some(blob) = self.sent.get(&address) {
            return blob.number;
        }
        let blob = self.next;
        self.next += 1;
        self.bytes += blob_bytes(bytes);
        self.sent.insert(address, Blob { number: blob, _content: bytes.clone() });
        messages.push(Message { request: Request::Put { blob }, body: bytes.clone() });
        blob
    }
}

/// The same content has the same address for as long as it is kept.
fn address(bytes: &Arc<[u8]>) -> (usize, usize) {
    (bytes.as_ptr() as usize, bytes.len())
}

/// What an input takes in the worker: its bytes and what it takes to find them, or empty ones would pile up.
fn blob_bytes(bytes: &Arc<[u8]>) -> u64 {
    bytes.len() as u64 + 256
}
