//! The child's side: a loop that answers requests, in a sandbox.

use super::{Forbidden, Request, Response, WireTask};
use crate::{
    CompiledModule, Engine, LoadError, Module, Outcome, Profile, TaskInput, frame, run_in_process,
    sandbox::{self, Enforcement, SandboxConfig},
};
use market::id::Digest;
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    process::ExitCode,
    sync::Arc,
    thread,
};

/// The stack of the thread that compiles and runs: deep enough for the compiler on strange modules.
const STACK_BYTES: usize = 16 << 20;
/// The largest body of a request. Requests come from the parent, which is trusted.
const MAX_REQUEST_BYTES: u64 = u32::MAX as u64;

/// Serves one [`Worker`](super::Worker) over the pipes that it was started with, until the parent closes them. Call it
/// first thing in `main` of the program that workers are started from: it restricts the whole process.
pub fn serve(mut input: impl Read + Send, mut output: impl Write + Send) -> ExitCode {
    let Ok((Request::Hello { profile, digest, sandbox: config }, _)) = frame::read(&mut input, 0) else {
        eprintln!("this is an internal command: a worker is started by the provider, not by hand");
        return ExitCode::from(2);
    };
    let Some(profile) = Profile::find(&profile).filter(|profile| profile.digest() == digest) else {
        let refusal =
            Response::Failed(format!("this program has no execution profile `{profile}` of that digest"));
        return exit_code(frame::write(&mut output, &refusal, &[]));
    };
    let mut report = Enforcement::default();
    sandbox::enter(&config, &mut report);
    let served = thread::scope(|scope| {
        let serve = || Server::start(profile, &config, report, &mut output)?.run(&mut input, &mut output);
        let thread = thread::Builder::new().name("runner".into()).stack_size(STACK_BYTES);
        thread
            .spawn_scoped(scope, serve)?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the worker panicked")))
    });
    exit_code(served)
}

fn exit_code(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Server {
    engine: Engine,
    modules: BTreeMap<Digest, Module>,
    blobs: BTreeMap<u64, Arc<[u8]>>,
}

impl Server {
    fn start(
        profile: &'static Profile,
        config: &SandboxConfig,
        mut report: Enforcement,
        output: &mut impl Write,
    ) -> io::Result<Server> {
        let engine = Engine::new(profile).map_err(io::Error::other)?;
        sandbox::lock(config, &mut report);
        frame::write(output, &Response::Ready(report), &[])?;
        Ok(Server { engine, modules: BTreeMap::new(), blobs: BTreeMap::new() })
    }

    fn run(mut self, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
        loop {
            let (request, body) = match frame::read(input, MAX_REQUEST_BYTES) {
                Ok(request) => request,
                // The parent closed the pipe: the lease is over.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            };
            if let Some((response, body)) = self.answer(request, body) {
                frame::write(output, &response, &body)?;
            }
        }
    }

    fn answer(&mut self, request: Request, body: Vec<u8>) -> Option<(Response, Vec<u8>)> {
        Some(match request {
            Request::Hello { .. } => (Response::Failed("the worker has already started".into()), Vec::new()),
            Request::Compile => match self.engine.compile(&body) {
                Ok(compiled) => (Response::Compiled, compiled.code().to_vec()),
                Err(invalid) => (Response::Invalid(invalid.0), Vec::new()),
            },
            Request::Load { wasm } => (self.load(wasm, body), Vec::new()),
            Request::Put { blob } => {
                self.blobs.insert(blob, body.into());
                return None;
            }
            Request::Forget { blob } => {
                self.blobs.remove(&blob);
                return None;
            }
            Request::Run { module, task, limits } => match (self.modules.get(&module), self.input(task)) {
                (None, _) => (Response::Failed("the module is not loaded".into()), Vec::new()),
                (_, None) => (Response::Failed("an input of the task is not here".into()), Vec::new()),
                (Some(module), Some(input)) => match run_in_process(module, &input, &limits) {
                    Outcome::Finished(mut finished) => {
                        let bundle = std::mem::take(&mut finished.bundle);
                        (Response::Ended(Outcome::Finished(finished)), bundle)
                    }
                    outcome @ (Outcome::Inconclusive(_) | Outcome::Invalid(_)) => {
                        (Response::Ended(outcome), Vec::new())
                    }
                },
            },
            Request::Try(forbidden) => (try_forbidden(forbidden), Vec::new()),
        })
    }

    fn load(&mut self, wasm: Digest, code: Vec<u8>) -> Response {
        // The parent vouches for the code: it checked the MAC or has it from a worker that had run nothing.
        match self.engine.load(&CompiledModule::trusted(wasm, code.into())) {
            Ok(module) => {
                self.modules.insert(wasm, module);
                Response::Loaded
            }
            Err(LoadError::Invalid(invalid)) => Response::Invalid(invalid.0),
            Err(error @ LoadError::Incompatible(_)) => Response::Failed(error.to_string()),
        }
    }

    fn input(&self, task: WireTask) -> Option<TaskInput> {
        let WireTask { args, env, stdin, files, seed } = task;
        let files = files.into_iter().map(|(path, blob)| Some((path, self.blobs.get(&blob)?.clone())));
        Some(TaskInput {
            args,
            env,
            stdin: self.blobs.get(&stdin)?.clone(),
            files: files.collect::<Option<_>>()?,
            seed,
        })
    }
}

/// Does what the sandbox must prevent, and says what came of it.
fn try_forbidden(forbidden: Forbidden) -> Response {
    let (what, result) = match forbidden {
        Forbidden::OpenFile => ("opening a file", std::fs::File::open("/etc/passwd").map(drop)),
        Forbidden::OpenSocket => ("opening a socket", std::net::TcpListener::bind("127.0.0.1:0").map(drop)),
        Forbidden::StartProcess => {
            ("starting a process", std::process::Command::new("true").status().map(drop))
        }
    };
    match result {
        Ok(()) => Response::Tried { prevented: false, how: format!("{what} succeeded") },
        Err(error) => Response::Tried {
            prevented: error.kind() == io::ErrorKind::PermissionDenied,
            how: format!("{what}: {error}"),
        },
    }
}
