//! One thread for each lease: it starts the lease's worker and runs the tasks that it is given, one after the other.

use super::{
    agent::{RunEnd, WorkerFailure},
    sandbox::{self, Killer, Program, Sandbox, StartError, TaskWorker, task_input, task_limits, task_result},
    vault::Vault,
};
use market::{
    command::AbandonReason,
    id::{AttemptId, Digest, LeaseId},
    job::JobSpec,
    units::TimeMs,
};
use runner::Outcome;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::mpsc::UnboundedSender;

/// The agent's clock: milliseconds since the driver started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(super) fn now(&self) -> TimeMs {
        TimeMs(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The moment of a time of this clock.
    pub(super) fn instant(&self, at: TimeMs) -> Instant {
        self.0 + std::time::Duration::from_millis(at.0)
    }
}

/// What a lease's thread reports. `generation` tells a worker from an earlier one of the same lease.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) lease: LeaseId,
    pub(super) generation: u64,
    pub(super) news: News,
}

#[derive(Debug)]
pub(super) enum News {
    Ready,
    Failed { failure: WorkerFailure, why: String },
    Ran(AttemptId, RunEnd),
}

/// A task to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) attempt: AttemptId,
    pub(super) task: u32,
    pub(super) until: TimeMs,
}

/// What a lease's thread needs.
pub(super) struct Setup {
    pub(super) lease: LeaseId,
    pub(super) generation: u64,
    pub(super) spec: Arc<JobSpec>,
    pub(super) program: Program,
    pub(super) blobs: BTreeMap<Digest, Arc<[u8]>>,
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) vault: Arc<Mutex<Vault>>,
    pub(super) clock: Clock,
    pub(super) reports: UnboundedSender<Report>,
}

/// The queue of a lease's thread.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    runs: VecDeque<Run>,
    running: Option<AttemptId>,
    is_stopped: bool,
    /// The task that runs was stopped on purpose: its worker is started again.
    is_killed: bool,
    killer: Option<Killer>,
}

impl Queue {
    pub(super) fn push(&self, run: Run) {
        self.state().runs.push_back(run);
        self.changed.notify_one();
    }

    /// Ends the thread and whatever it runs.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.is_stopped = true;
        state.runs.clear();
        if let Some(kill) = &state.killer {
            kill();
        }
        self.changed.notify_one();
    }

    /// Drops one run, or ends it.
    pub(super) fn cancel(&self, attempt: AttemptId) {
        let mut state = self.state();
        state.runs.retain(|run| run.attempt != attempt);
        if state.running == Some(attempt) {
            state.is_killed = true;
            if let Some(kill) = &state.killer {
                kill();
            }
        }
    }

    /// Takes out everything that has not begun.
    pub(super) fn flush(&self) -> Vec<AttemptId> {
        self.state().runs.drain(..).map(|run| run.attempt).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next run; `None` when the thread is to end.
    fn next(&self) -> Option<Run> {
        let mut state = self.state();
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some(run) = state.runs.pop_front() {
                state.running = Some(run.attempt);
                return Some(run);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs a lease's tasks until its queue is stopped or its worker dies. Blocks.
pub(super) fn serve(setup: &Setup, queue: &Queue) {
    let say = |news| {
        // Nobody listens any more when the driver has ended.
        let _ = setup.reports.send(Report { lease: setup.lease, generation: setup.generation, news });
    };
    let mut worker = match start(setup, queue) {
        Ok(worker) => worker,
        Err(error) => return say(failed(&error)),
    };
    say(News::Ready);
    while let Some(run) = queue.next() {
        let ended = attempt(setup, worker.as_mut(), run);
        let is_killed = {
            let mut state = queue.state();
            state.running = None;
            std::mem::take(&mut state.is_killed)
        };
        match ended {
            Ok(end) => say(News::Ran(run.attempt, end)),
            Err(_) if is_killed => match start(setup, queue) {
                Ok(fresh) => worker = fresh,
                Err(error) => return say(failed(&error)),
            },
            Err(why) => {
                say(News::Ran(run.attempt, RunEnd::Crashed));
                return say(News::Failed { failure: WorkerFailure::Machine, why });
            }
        }
    }
}

fn start(setup: &Setup, queue: &Queue) -> Result<Box<dyn TaskWorker>, StartError> {
    let worker = setup.sandbox.start(&setup.program)?;
    let killer = worker.killer();
    let mut state = queue.state();
    if state.is_stopped {
        killer();
    }
    state.killer = Some(killer);
    Ok(worker)
}

fn failed(error: &StartError) -> News {
    let failure = match error {
        StartError::Module(_) => WorkerFailure::Job(AbandonReason::Module),
        StartError::Machine(_) => WorkerFailure::Machine,
    };
    News::Failed { failure, why: error.to_string() }
}

/// Runs one task. An error means that the worker is gone.
fn attempt(setup: &Setup, worker: &mut dyn TaskWorker, run: Run) -> Result<RunEnd, String> {
    let started = Instant::now();
    let wall_ms = run.until.since(setup.clock.now()).min(setup.spec.limits.timeout_ms);
    if wall_ms == 0 {
        return Ok(RunEnd::Inconclusive(AbandonReason::Time));
    }
    let Some(input) = task_input(&setup.spec, run.task, &setup.blobs) else {
        return Ok(RunEnd::Inconclusive(AbandonReason::Input));
    };
    let limits = task_limits(&setup.spec, wall_ms);
    match worker.run(&input, &limits).map_err(|error| error.to_string())? {
        Outcome::Finished(finished) => {
            let result = task_result(&finished);
            let mut vault = setup.vault.lock().unwrap_or_else(PoisonError::into_inner);
            vault.put(run.attempt, result.output, &finished.bundle).map_err(|error| error.to_string())?;
            let wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            Ok(RunEnd::Finished { result, wall_us })
        }
        Outcome::Inconclusive(exhausted) => Ok(RunEnd::Inconclusive(sandbox::abandon_reason(exhausted))),
        Outcome::Invalid(_) => Ok(RunEnd::Inconclusive(AbandonReason::Module)),
    }
}
