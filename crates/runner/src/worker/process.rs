//! The parent's side of the pipes: one thread that starts the process, talks to it, and learns how it ended.

use super::{Request, Response, WorkerError};
use crate::frame;
use std::{
    ffi::OsString,
    fmt, io,
    io::Read as _,
    path::Path,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

/// How long a process may take to end once it has closed its output.
const END_LIMIT: Duration = Duration::from_secs(1);
const END_STEP: Duration = Duration::from_millis(5);
/// How much of its last words is kept, in bytes.
const LAST_WORDS: u64 = 4096;

pub(super) struct Message {
    pub(super) request: Request,
    pub(super) body: Arc<[u8]>,
}

/// Messages of which the last one is answered.
pub(super) struct Exchange {
    pub(super) messages: Vec<Message>,
    pub(super) max_body_bytes: u64,
}

type Answer = Result<(Response, Vec<u8>), WorkerError>;

pub(super) struct Process {
    exchanges: Sender<Exchange>,
    answers: Receiver<Answer>,
    handle: KillHandle,
}

/// Kills a worker process; may be kept and used from any thread, also after the worker is gone.
#[derive(Clone)]
pub struct KillHandle {
    child: Arc<Mutex<Child>>,
    killed: Arc<AtomicBool>,
}

impl KillHandle {
    /// Kills the process at once. The task in it ends with [`WorkerError::Killed`].
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        self.kill_child();
    }

    fn kill_child(&self) {
        // An error means that the process is already gone.
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()
    }
}

impl fmt::Debug for KillHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KillHandle")
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

impl Process {
    /// Starts the program in a thread of its own, which lives as long as the process: Linux ends a process that asked
    /// for it with the thread that started it.
    pub(super) fn start(program: &Path, args: &[OsString]) -> io::Result<Process> {
        let mut command = Command::new(program);
        command.args(args).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (exchange_sender, exchange_receiver) = channel();
        let (answer_sender, answer_receiver) = channel();
        let (started_sender, started_receiver) = channel();
        thread::Builder::new().name("worker-pipes".into()).spawn(move || {
            let started = spawn(&mut command);
            let (handle, pipes) = match started {
                Ok(started) => started,
                Err(error) => return drop(started_sender.send(Err(error))),
            };
            if started_sender.send(Ok(handle.clone())).is_ok() {
                talk(pipes, &handle, &exchange_receiver, &answer_sender);
            }
        })?;
        let gone = |_| io::Error::other("the thread for its pipes ended");
        let handle = started_receiver.recv().map_err(gone)??;
        Ok(Process { exchanges: exchange_sender, answers: answer_receiver, handle })
    }

    pub(super) fn handle(&self) -> KillHandle {
        self.handle.clone()
    }

    /// Sends messages and waits for the answer; a process that takes longer is killed.
    pub(super) fn exchange(&mut self, exchange: Exchange, limit: Duration) -> Answer {
        let gone = || {
            if self.handle.killed.load(Ordering::Relaxed) {
                WorkerError::Killed
            } else {
                WorkerError::Died("it had ended before".into())
            }
        };
        self.exchanges.send(exchange).map_err(|_| gone())?;
        match self.answers.recv_timeout(limit) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
            Err(RecvTimeoutError::Timeout) => {
                self.handle.kill();
                Err(WorkerError::Hung)
            }
        }
    }
}

struct Pipes {
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

fn spawn(command: &mut Command) -> io::Result<(KillHandle, Pipes)> {
    let mut child = command.spawn()?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("its pipes are missing"));
    };
    let handle = KillHandle { child: Arc::new(Mutex::new(child)), killed: Arc::default() };
    Ok((handle, Pipes { stdin, stdout, stderr }))
}

/// Talks to the process until either side goes, and reaps it.
fn talk(mut pipes: Pipes, handle: &KillHandle, exchanges: &Receiver<Exchange>, answers: &Sender<Answer>) {
    while let Ok(exchange) = exchanges.recv() {
        match talk_once(&mut pipes, &exchange) {
            Ok(answer) => {
                if answers.send(Ok(answer)).is_err() {
                    break;
                }
            }
            Err(error) => {
                let end = end(pipes, handle, &error);
                // Nobody waits for the answer when the worker was dropped or has hung.
                let _ = answers.send(Err(end));
                return;
            }
        }
    }
    handle.kill();
    wait(handle);
}

fn talk_once(pipes: &mut Pipes, exchange: &Exchange) -> io::Result<(Response, Vec<u8>)> {
    for message in &exchange.messages {
        frame::write(&mut pipes.stdin, &message.request, &message.body)?;
    }
    frame::read(&mut pipes.stdout, exchange.max_body_bytes)
}

/// Says how the process ended.
fn end(pipes: Pipes, handle: &KillHandle, error: &io::Error) -> WorkerError {
    drop((pipes.stdin, pipes.stdout));
    let status = wait(handle);
    if handle.killed.load(Ordering::Relaxed) {
        return WorkerError::Killed;
    }
    let mut words = Vec::new();
    let _ = pipes.stderr.take(LAST_WORDS).read_to_end(&mut words);
    let words = String::from_utf8_lossy(&words);
    let words = words.trim();
    let how = match status {
        Some(status) => describe(status),
        None => format!("it broke the protocol ({error}) and was killed"),
    };
    WorkerError::Died(if words.is_empty() { how } else { format!("{how}; it said: {words}") })
}

/// Reaps the process; `None` when it had to be killed for that.
fn wait(handle: &KillHandle) -> Option<ExitStatus> {
    let mut waited = Duration::ZERO;
    while waited < END_LIMIT {
        if let Ok(Some(status)) = handle.try_wait() {
            return Some(status);
        }
        thread::sleep(END_STEP);
        waited += END_STEP;
    }
    handle.kill_child();
    let _ = handle.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    None
}

#[cfg(unix)]
fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    // The numbers of these signals are the same on all systems where workers are sandboxed.
    match status.signal() {
        Some(31) => "it made a forbidden system call and was killed by seccomp (SIGSYS)".into(),
        Some(9) => "it was killed (SIGKILL), by the system for lack of memory or by somebody else".into(),
        Some(6) => "it aborted (SIGABRT), most likely for lack of memory".into(),
        Some(signal) => format!("it was ended by signal {signal}"),
        None => status.to_string(),
    }
}

#[cfg(not(unix))]
fn describe(status: ExitStatus) -> String {
    status.to_string()
}
