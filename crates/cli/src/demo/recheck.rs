//! The buyer runs every frame again, on its own, and compares to the byte. Buyers need not do that: it is here because a
//! demo that says "verified" should be checked by somebody who gains nothing by it.

use crate::exit::{Exit, Failure};
use indicatif::ProgressBar;
use market::{event::TaskOutcome, id::Digest, job::JobSpec};
use node::{
    api::TaskView,
    provider::{task_input, task_limits, task_result},
};
use runner::{Engine, Module, Outcome, Profile};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How long a frame may take here, in milliseconds.
const FRAME_MS: u64 = 120_000;
/// Stack of a thread that runs tasks, in bytes.
const STACK_BYTES: usize = 16 << 20;

/// Runs every task again on all cores. An error names the first frame that is wrong.
pub(super) fn recheck(
    spec: &JobSpec,
    blobs: &BTreeMap<Digest, Arc<[u8]>>,
    tasks: &[TaskView],
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let module = compile(spec, blobs)?;
    let next = AtomicUsize::new(0);
    let wrong: Mutex<Option<String>> = Mutex::new(None);
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(tasks.len().max(1));
    let work = || {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(text) = check_one(&module, spec, blobs, task) {
                *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                return;
            }
            bar.inc(1);
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores {
            let started = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
            if started.is_err() {
                work(); // No thread is to be had: this one does its share.
            }
        }
    });
    match wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(text) => Err(Failure::new(Exit::NotVerified, text)),
        None => Ok(()),
    }
}

fn compile(spec: &JobSpec, blobs: &BTreeMap<Digest, Arc<[u8]>>) -> Result<Module, Failure> {
    let unexpected = |text: String| Failure::new(Exit::Unexpected, text).during("checking the frames");
    let profile =
        Profile::find(&spec.profile).ok_or_else(|| unexpected("unknown execution profile".into()))?;
    let engine = Engine::new(profile).map_err(|e| unexpected(e.to_string()))?;
    let wasm = blobs.get(&spec.module).ok_or_else(|| unexpected("the module is missing".into()))?;
    let compiled = engine.compile(wasm).map_err(|e| unexpected(e.to_string()))?;
    engine.load(&compiled).map_err(|e| unexpected(e.to_string()))
}

fn check_one(
    module: &Module,
    spec: &JobSpec,
    blobs: &BTreeMap<Digest, Arc<[u8]>>,
    task: &TaskView,
) -> Result<(), String> {
    let Some(TaskOutcome::Done { result, .. }) = task.outcome else {
        return Err(format!("frame {} has no result", task.task));
    };
    let input = task_input(spec, task.task, blobs).ok_or("an input file is missing")?;
    match module.run(&input, &task_limits(spec, FRAME_MS)) {
        Outcome::Finished(finished) if task_result(&finished) == result && result.exit.is_success() => Ok(()),
        Outcome::Finished(finished) => {
            let (ours, theirs) = (finished.digest.short(), result.output.short());
            Err(format!(
                "frame {} is wrong: running it here gives {ours}…, the market delivered {theirs}…",
                task.task
            ))
        }
        Outcome::Inconclusive(exhausted) => {
            Err(format!("frame {} cannot be checked here: {exhausted:?}", task.task))
        }
        Outcome::Invalid(why) => Err(format!("frame {} cannot be run here: {why}", task.task)),
    }
}
