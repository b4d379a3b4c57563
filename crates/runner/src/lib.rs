//! runner

mod bundle;
mod engine;
mod path;
mod profile;
mod run;
mod task;
mod wasi;
mod watchdog;

pub use bundle::{DecodeBundleError, ExtractError, MAX_FILES, OutputBundle};
pub use engine::{CompiledModule, Engine, EngineError, InvalidModule, LoadError, Module};
pub use path::{MAX_NAME_BYTES, MAX_PATH_BYTES, PathError, check_path};
pub use profile::Profile;
pub use run::run_in_process;
pub use task::{
    ExitStatus, Exhausted, Finished, InputError, Limits, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, Outcome, TaskInput,
    TrapKind,
};
