//! Where tasks run: the seam between the provider and the runner. Production starts worker processes; tests and machines
//! that cannot isolate processes run tasks in this one.

use market::{
    command::AbandonReason,
    id::Digest,
    job::JobSpec,
    resources::Isolation,
    verify::{Exit, TaskResult},
};
use runner::{
    Enforcement, Engine, EngineError, Exhausted, ExitStatus, Finished, Limits, LoadError, Mechanism, Module,
    ModuleCache, Outcome, Profile, SpawnError, TaskInput, Worker, WorkerConfig, WorkerError, enforceable,
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// What a worker counts for finding its inputs, on top of their bytes: 256 for each file and for standard input.
const INPUTS_OVERHEAD_BYTES: u64 = (JobSpec::MAX_INPUTS as u64 + 1) * 256;

/// What a worker is started for.
#[derive(Debug, Clone)]
pub struct Program {
    /// The execution profile.
    pub profile: &'static Profile,
    /// The module.
    pub wasm: Arc<[u8]>,
    /// The most that a task may use.
    pub limits: Limits,
    /// Bytes of its input files.
    pub input_bytes: u64,
}

/// Starts workers. Calls block: they belong on threads of their own.
pub trait Sandbox: Send + Sync {
    /// How strongly it separates tasks from the machine.
    fn isolation(&self) -> Isolation;

    /// Starts a worker that is ready to run tasks of this program.
    fn start(&self, program: &Program) -> Result<Box<dyn TaskWorker>, StartError>;
}

/// Runs the tasks of one program, one at a time.
pub trait TaskWorker: Send {
    /// Runs a task. An error means that the worker is gone.
    fn run(&mut self, input: &TaskInput, limits: &Limits) -> Result<Outcome, WorkerError>;

    /// What ends the worker from another thread; the task that it runs fails.
    fn killer(&self) -> Killer;
}

/// Ends a worker.
pub type Killer = Box<dyn Fn() + Send + Sync>;

/// Why no worker starts.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The module cannot be run by anybody.
    #[error("the job's module cannot be run: {0}")]
    Module(String),
    /// This machine cannot start workers.
    #[error("no worker could be started: {0}")]
    Machine(String),
}

impl From<SpawnError> for StartError {
    fn from(error: SpawnError) -> StartError {
        StartError::Machine(error.to_string())
    }
}

impl From<WorkerError> for StartError {
    fn from(error: WorkerError) -> StartError {
        match error {
            WorkerError::Invalid(invalid) => StartError::Module(invalid.to_string()),
            other => StartError::Machine(other.to_string()),
        }
    }
}

impl From<LoadError> for StartError {
    fn from(error: LoadError) -> StartError {
        match error {
            LoadError::Invalid(invalid) => StartError::Module(invalid.to_string()),
            LoadError::Incompatible(_) => StartError::Machine(error.to_string()),
        }
    }
}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> StartError {
        StartError::Machine(error.to_string())
    }
}

/// One confined process for each worker.
pub struct ProcessSandbox {
    program: PathBuf,
    args: Vec<OsString>,
    cache: ModuleCache,
    enforcement: Enforcement,
    required: Vec<Mechanism>,
    compatibility: Mutex<BTreeMap<&'static str, Digest>>,
}

impl ProcessSandbox {
    /// Workers are `program` with `args`, which must call [`runner::worker::serve`]. What this system can enforce
    /// is required of every worker.
    pub fn new(program: PathBuf, args: Vec<OsString>, cache: ModuleCache) -> ProcessSandbox {
        let enforcement = enforceable();
        let wanted = WorkerConfig::new(Limits::default()).required;
        let required = wanted.into_iter().filter(|mechanism| enforcement.enforces(*mechanism)).collect();
        ProcessSandbox { program, args, cache, enforcement, required, compatibility: Mutex::default() }
    }

    /// What holds the workers in their place.
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    fn compatibility(&self, profile: &'static Profile) -> Result<Digest, EngineError> {
        let mut known = self.compatibility.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known.get(profile.name) {
            return Ok(*digest);
        }
        let digest = Engine::new(profile)?.compatibility();
        known.insert(profile.name, digest);
        Ok(digest)
    }
}

impl Sandbox for ProcessSandbox {
    fn isolation(&self) -> Isolation {
        let confining = WorkerConfig::new(Limits::default()).required;
        if self.enforcement.missing(&confining).is_empty() {
            Isolation::WasmConfined
        } else {
            Isolation::Wasm
        }
    }

    fn start(&self, program: &Program) -> Result<Box<dyn TaskWorker>, StartError> {
        let compatibility = self.compatibility(program.profile)?;
        let config = WorkerConfig {
            profile: program.profile,
            input_bytes: program.input_bytes.saturating_add(INPUTS_OVERHEAD_BYTES),
            required: self.required.clone(),
            ..WorkerConfig::new(program.limits)
        };
        let mut worker = Worker::spawn(&self.program, &self.args, config)?;
        let compile = |_: &[u8]| worker.compile(&program.wasm);
        let compiled = self.cache.get_or_compile(&program.wasm, compatibility, compile)?;
        worker.load(&compiled)?;
        Ok(Box::new(ProcessWorker { worker, module: compiled.wasm() }))
    }
}

struct ProcessWorker {
    worker: Worker,
    module: Digest,
}

impl TaskWorker for ProcessWorker {
    fn run(&mut self, input: &TaskInput, limits: &Limits) -> Result<Outcome, WorkerError> {
        self.worker.run(self.module, input, limits)
    }

    fn killer(&self) -> Killer {
        let handle = self.worker.handle();
        Box::new(move || handle.kill())
    }
}

/// Tasks run in this process: for tests, and where processes cannot be started. The module is still sandboxed by
/// WebAssembly, but nothing else holds it.
#[derive(Debug, Clone, Copy, Default)]
pub struct InProcess;

impl Sandbox for InProcess {
    fn isolation(&self) -> Isolation {
        Isolation::Wasm
    }

    fn start(&self, program: &Program) -> Result<Box<dyn TaskWorker>, StartError> {
        let engine = Engine::new(program.profile)?;
        let compiled =
            engine.compile(&program.wasm).map_err(|invalid| StartError::Module(invalid.to_string()))?;
        Ok(Box::new(InProcessWorker(engine.load(&compiled)?)))
    }
}

struct InProcessWorker(Module);

impl TaskWorker for InProcessWorker {
    fn run(&mut self, input: &TaskInput, limits: &Limits) -> Result<Outcome, WorkerError> {
        Ok(self.0.run(input, limits))
    }

    /// A task in this process ends at its time limit only.
    fn killer(&self) -> Killer {
        Box::new(|| {})
    }
}

const SEED_DOMAIN: &str = "gristmill 2026 task seed v1";

/// What a task of a job sees: the same on every machine, and again when the buyer runs it to check. `blobs` holds
/// the job's input files and its standard input.
pub fn task_input(spec: &JobSpec, task: u32, blobs: &BTreeMap<Digest, Arc<[u8]>>) -> Option<TaskInput> {
    let mut args = vec![spec.name.clone()];
    args.extend(spec.args_of(task));
    let files = spec.inputs.iter().map(|file| Some((file.path.clone(), blobs.get(&file.blob)?.clone())));
    let stdin = match &spec.stdin {
        Some(digest) => blobs.get(digest)?.clone(),
        None => Arc::from([]),
    };
    Some(TaskInput {
        args,
        env: spec.env_of(task),
        stdin,
        files: files.collect::<Option<_>>()?,
        seed: Digest::of_parts(SEED_DOMAIN, &[&spec.module.0, &task.to_le_bytes()]),
    })
}

/// The limits of a job's tasks, with this much time.
pub fn task_limits(spec: &JobSpec, wall_ms: u64) -> Limits {
    let limits = &spec.limits;
    Limits {
        memory_bytes: limits.memory_mib.saturating_mul(1 << 20),
        output_bytes: limits.output_bytes,
        fuel: limits.fuel,
        wall_ms,
    }
}

/// What the market is told of a run that ended.
pub fn task_result(finished: &Finished) -> TaskResult {
    let exit = match finished.exit {
        ExitStatus::Code(code) => Exit::Code(code),
        ExitStatus::Trapped(_) => Exit::Trap,
        ExitStatus::OutOfFuel => Exit::OutOfFuel,
    };
    TaskResult { exit, output: finished.digest, fuel: finished.fuel_used }
}

/// Why an attempt has no result.
pub(super) fn abandon_reason(exhausted: Exhausted) -> AbandonReason {
    match exhausted {
        Exhausted::Memory => AbandonReason::Memory,
        Exhausted::Stack => AbandonReason::Stack,
        Exhausted::Time => AbandonReason::Time,
        Exhausted::Output => AbandonReason::Output,
    }
}
