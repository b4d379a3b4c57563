//! Compiling and loading modules under a profile.

use crate::{
    Profile,
    run::{self, Task},
    wasi,
    watchdog::Watchdog,
};
use market::id::Digest;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};
use wasmtime::{ExternType, InstancePre, Linker, UnknownImportError};

/// Compiles and runs modules under one [`Profile`]. Cheap to clone; clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    profile: &'static Profile,
    engine: wasmtime::Engine,
    linker: Linker<Task>,
    watchdog: Watchdog,
}

/// Machine code of a module, compiled in this process, by a worker process of it, or taken from its module cache.
///
/// There is no public way to make one of other bytes: machine code from elsewhere would run unchecked.
#[derive(Clone)]
pub struct CompiledModule {
    wasm: Digest,
    code: Arc<[u8]>,
}

/// A module that is ready to run, any number of times and in several threads at once.
#[derive(Clone)]
pub struct Module {
    engine: Engine,
    instance: InstancePre<Task>,
}

/// The engine cannot work on this machine.
#[derive(Debug, thiserror::Error)]
#[error("wasmtime cannot start on this machine: {0}")]
pub struct EngineError(String);

/// The module is not one that tasks can run. The message says why, for the job's owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidModule(pub String);

/// Why compiled code cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The module is at fault.
    #[error(transparent)]
    Invalid(#[from] InvalidModule),
    /// The code is of another wasmtime, another profile or another processor: compile again.
    #[error("the compiled module does not fit this machine, compile it again: {0}")]
    Incompatible(String),
}

impl Engine {
    /// Starts an engine under a profile.
    pub fn new(profile: &'static Profile) -> Result<Engine, EngineError> {
        let failed = |error: wasmtime::Error| EngineError(format!("{error:#}"));
        let engine = wasmtime::Engine::new(&profile.engine_config()).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker).map_err(failed)?;
        let watchdog = Watchdog::start(engine.clone()).map_err(|error| EngineError(error.to_string()))?;
        Ok(Engine { shared: Arc::new(Shared { profile, engine, linker, watchdog }) })
    }

    /// The profile that it runs under.
    pub fn profile(&self) -> &'static Profile {
        self.shared.profile
    }

    /// Names what compiled code depends on besides the module: profile, wasmtime, its settings, processor. Code is only
    /// ever loaded by an engine with the same value.
    pub fn compatibility(&self) -> Digest {
        let mut hasher = DefaultHasher::new();
        self.shared.engine.precompile_compatibility_hash().hash(&mut hasher);
        let parts: [&[u8]; 2] = [&self.shared.profile.digest().0, &hasher.finish().to_le_bytes()];
        Digest::of_parts("gristmill compiled module 1", &parts)
    }

    /// Compiles a module to machine code. Strangers' modules are better compiled by a [`Worker`](crate::Worker).
    pub fn compile(&self, wasm: &[u8]) -> Result<CompiledModule, InvalidModule> {
        if !wasm.starts_with(b"\0asm") {
            return Err(InvalidModule(
                "this is not a WebAssembly module: its first bytes are not `\\0asm`".into(),
            ));
        }
        let code = self.shared.engine.precompile_module(wasm).map_err(|error| {
            InvalidModule(format!(
                "this WebAssembly module cannot be compiled under {}: {error:#}",
                self.profile().name
            ))
        })?;
        Ok(CompiledModule::trusted(Digest::of(wasm), code.into()))
    }

    /// Makes a compiled module ready to run, and checks that it is a program: every import is a function of WASI
    /// preview 1, and it exports `_start`.
    pub fn load(&self, compiled: &CompiledModule) -> Result<Module, LoadError> {
        let module = deserialize(&self.shared.engine, compiled)?;
        check_start(&module)?;
        let instance = self.shared.linker.instantiate_pre(&module);
        let instance = instance.map_err(|error| explain_link_error(&error))?;
        Ok(Module { engine: self.clone(), instance })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.engine
    }

    pub(crate) fn watchdog(&self) -> &Watchdog {
        &self.shared.watchdog
    }
}

impl std::fmt::Debug for CompiledModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CompiledModule({}, {} bytes)", self.wasm.short(), self.code.len())
    }
}

impl CompiledModule {
    /// Vouches for machine code: the caller got it from a compiler of ours, or checked its MAC.
    pub(crate) fn trusted(wasm: Digest, code: Arc<[u8]>) -> CompiledModule {
        CompiledModule { wasm, code }
    }

    /// The digest of the WebAssembly module.
    pub fn wasm(&self) -> Digest {
        self.wasm
    }

    /// The machine code.
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    pub(crate) fn shared_code(&self) -> Arc<[u8]> {
        self.code.clone()
    }
}

impl Module {
    /// The engine that it belongs to.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn instance(&self) -> &InstancePre<Task> {
        &self.instance
    }

    /// Runs a task in this process; see [`run_in_process`](crate::run_in_process).
    pub fn run(&self, input: &crate::TaskInput, limits: &crate::Limits) -> crate::Outcome {
        run::run_in_process(self, input, limits)
    }
}

#[expect(unsafe_code, reason = "the only way to load compiled code")]
fn deserialize(engine: &wasmtime::Engine, compiled: &CompiledModule) -> Result<wasmtime::Module, LoadError> {
    // SAFETY: wasmtime asks that the bytes come unchanged from its own compiler. A `CompiledModule` is only made of code
    // that this process, a worker that had run nothing else, or the MAC-checked cache of either has produced.
    unsafe { wasmtime::Module::deserialize(engine, compiled.code()) }
        .map_err(|error| LoadError::Incompatible(format!("{error:#}")))
}

/// Checks the entry point.
fn check_start(module: &wasmtime::Module) -> Result<(), InvalidModule> {
    match module.get_export("_start") {
        Some(ExternType::Func(start)) if start.params().len() == 0 && start.results().len() == 0 => Ok(()),
        _ => Err(InvalidModule(
            "the module has no function `_start`; compile it as a program (a command), not as a library"
                .into(),
        )),
    }
}

/// Says what is wrong with an import.
fn explain_link_error(error: &wasmtime::Error) -> InvalidModule {
    InvalidModule(match error.downcast_ref::<UnknownImportError>() {
        Some(import) => format!(
            "the module imports `{}.{}`, which no task gets; compile it for wasm32-wasip1, without network and threads",
            import.module(),
            import.name()
        ),
        None => format!("the module does not fit WASI preview 1: {error:#}"),
    })
}
