//! runner

mod bundle;
mod engine;
mod frame;
mod module_cache;
mod path;
mod profile;
mod run;
mod sandbox;
mod task;
mod wasi;
mod watchdog;
pub mod worker;

pub use bundle::{DecodeBundleError, ExtractError, MAX_FILES, OutputBundle};
pub use engine::{CompiledModule, Engine, EngineError, InvalidModule, LoadError, Module};
pub use module_cache::{CacheError, ModuleCache};
pub use path::{MAX_NAME_BYTES, MAX_PATH_BYTES, PathError, check_path};
pub use profile::Profile;
pub use run::run_in_process;
pub use sandbox::{Enforced, Enforcement, Mechanism, enforceable};
pub use task::{
    ExitStatus, Exhausted, Finished, InputError, Limits, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, Outcome, TaskInput,
    TrapKind,
};
pub use worker::{KillHandle, SpawnError, Worker, WorkerConfig, WorkerError};
