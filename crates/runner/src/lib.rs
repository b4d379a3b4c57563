//! Sandboxes that run untrusted work and meter it.
//!
//! A task is a WebAssembly program (WASI preview 1) with arguments, an environment, standard input and read-only files
//! below `/in`. What it writes to standard output, standard error and below `/out` is its result, as one
//! [`OutputBundle`] with one digest. It sees nothing of the machine: no host files, no network, no clock, no true
//! randomness. So two honest machines get the same bundle, the same exit status and the same fuel, and whoever
//! pays can compare them.
//!
//! ```
//! use market::id::Digest;
//! use runner::{Engine, ExitStatus, Limits, Outcome, OutputBundle, Profile, TaskInput};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let wasm = wat::parse_str(
//!     r#"(module
//!         (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
//!         (memory (export "memory") 1)
//!         (data (i32.const 0) "\10\00\00\00\06\00\00\00") ;; one buffer: 6 bytes at 16
//!         (data (i32.const 16) "hello\n")
//!         (func (export "_start")
//!             (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
//! )?;
//! let engine = Engine::new(Profile::newest())?;
//! let module = engine.load(&engine.compile(&wasm)?)?;
//! let outcome = module.run(&TaskInput::new(Digest::of(b"my task")), &Limits::default());
//! let Outcome::Finished(result) = outcome else { panic!("{outcome:?}") };
//! assert_eq!(result.exit, ExitStatus::Code(0));
//! assert_eq!(OutputBundle::decode(&result.bundle, 1 << 20)?.stdout, b"hello\n");
//! # Ok(())
//! # }
//! ```
//!
//! # The pieces
//!
//! - [`Profile`] names everything that has to be equal for results to be equal; jobs name a profile.
//! - [`Engine`] compiles and loads modules under a profile, [`ModuleCache`] keeps what was compiled.
//! - [`Worker`] compiles and runs strangers' modules in a process of its own, inside the sandbox of the system;
//!   [`Enforcement`] says what that sandbox is made of here. The program that workers are started from calls
//!   [`worker::serve`] first thing in `main`.
//! - [`run_in_process`] runs a task here and now: for a buyer who checks a result of their own job.
//!
//! # How a task ends
//!
//! [`Outcome::Finished`] is a result, even when the program failed: an exit code, a trap and used-up fuel are the same everywhere.
//! [`Outcome::Inconclusive`] is none: stack, memory, output and time end at different points on different machines or
//! are the buyer's to raise, and are never held against a provider. [`Outcome::Invalid`] says what is wrong with the job.
//!
//! Deliberately absent: networks, threads, other WASI versions, and any way to load machine code that was not
//! compiled here.

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
    Exhausted, ExitStatus, Finished, InputError, Limits, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, Outcome,
    TaskInput, TrapKind,
};
pub use worker::{KillHandle, SpawnError, Worker, WorkerConfig, WorkerError};
