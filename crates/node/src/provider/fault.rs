//! Faults on purpose, for tests and the demonstration: markets with real money refuse to be used with them.

use super::sandbox::{Killer, Program, Sandbox, StartError, TaskWorker};
use market::{id::Digest, resources::Isolation};
use runner::{Limits, Outcome, OutputBundle, TaskInput, WorkerError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// What is wrong with a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It returns a wrong output for every task.
    WrongResults,
    /// Its process ends in the middle of the task after so many.
    DieAfter(u32),
    /// It takes so many times as long as it could, in percent.
    Slow(u32),
    /// What it sells opens something else than it signed.
    WrongKeys,
}

/// A sandbox with a fault.
pub(super) struct Faulty {
    inner: Arc<dyn Sandbox>,
    fault: Fault,
    begun: Arc<AtomicU32>,
    death: CancellationToken,
}

impl Faulty {
    /// `death` is cancelled when the provider is to die.
    pub(super) fn new(inner: Arc<dyn Sandbox>, fault: Fault, death: CancellationToken) -> Faulty {
        Faulty { inner, fault, begun: Arc::default(), death }
    }
}

impl Sandbox for Faulty {
    fn isolation(&self) -> Isolation {
        self.inner.isolation()
    }

    fn start(&self, program: &Program) -> Result<Box<dyn TaskWorker>, StartError> {
        Ok(Box::new(FaultyWorker {
            inner: self.inner.start(program)?,
            fault: self.fault,
            begun: self.begun.clone(),
            death: self.death.clone(),
        }))
    }
}

struct FaultyWorker {
    inner: Box<dyn TaskWorker>,
    fault: Fault,
    begun: Arc<AtomicU32>,
    death: CancellationToken,
}

impl TaskWorker for FaultyWorker {
    fn run(&mut self, input: &TaskInput, limits: &Limits) -> Result<Outcome, WorkerError> {
        match self.fault {
            Fault::WrongResults => {
                let outcome = self.inner.run(input, limits)?;
                Ok(spoil(outcome))
            }
            Fault::DieAfter(tasks) => {
                if self.begun.fetch_add(1, Ordering::Relaxed) < tasks {
                    return self.inner.run(input, limits);
                }
                self.death.cancel();
                Err(WorkerError::Died("it was to die here".into()))
            }
            Fault::WrongKeys => self.inner.run(input, limits),
            Fault::Slow(percent) => {
                let started = Instant::now();
                let outcome = self.inner.run(input, limits)?;
                let extra = started.elapsed() * percent.saturating_sub(100) / 100;
                std::thread::sleep(extra.min(Duration::from_millis(limits.wall_ms)));
                Ok(outcome)
            }
        }
    }

    fn killer(&self) -> Killer {
        self.inner.killer()
    }
}

/// Another output than the right one: every file and standard output begin with a changed or an added byte.
fn spoil(outcome: Outcome) -> Outcome {
    let Outcome::Finished(mut finished) = outcome else { return outcome };
    let mut bundle = OutputBundle::decode(&finished.bundle, usize::MAX).unwrap_or_default();
    for bytes in bundle.files.values_mut().chain([&mut bundle.stdout]) {
        match bytes.last_mut() {
            Some(last) => *last ^= 1,
            None => bytes.push(b'?'),
        }
    }
    finished.bundle = bundle.encode();
    finished.digest = Digest::of(&finished.bundle);
    Outcome::Finished(finished)
}
