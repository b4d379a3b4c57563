//! runner

mod bundle;
mod path;
mod profile;
mod task;

pub use bundle::{DecodeBundleError, ExtractError, MAX_FILES, OutputBundle};
pub use path::{MAX_NAME_BYTES, MAX_PATH_BYTES, PathError, check_path};
pub use profile::Profile;
pub use task::{
    Exhausted, ExitStatus, Finished, InputError, Limits, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, Outcome,
    TaskInput, TrapKind,
};
