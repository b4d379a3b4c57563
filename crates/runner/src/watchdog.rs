//! Interrupts programs that run for too long.

use std::{
    collections::BTreeSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Instant,
};

/// A thread that advances the epoch of an engine when a deadline passes; it sleeps while there is none. Every program
/// of the engine then looks at its own deadline.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
}

/// Takes its deadline back when it is dropped.
pub(crate) struct Deadline {
    shared: Arc<Shared>,
    key: (Instant, u64),
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    deadlines: BTreeSet<(Instant, u64)>,
    next_number: u64,
    /// When the thread will look again by itself; it is only woken for earlier deadlines.
    wakes_at: Option<Instant>,
    stopping: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchdog {
    /// Starts the thread and waits until it runs: a sandbox that is closed next forbids what threads do while they
    /// start. Fails where the system allows no more threads.
    pub(crate) fn start(engine: wasmtime::Engine) -> std::io::Result<Watchdog> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let watched = shared.clone();
        let (started, wait_for_start) = mpsc::channel();
        thread::Builder::new().name("watchdog".into()).spawn(move || {
            // Nobody can have stopped waiting.
            let _ = started.send(());
            watch(&watched, &engine);
        })?;
        wait_for_start.recv().map_err(std::io::Error::other)?;
        Ok(Watchdog { shared })
    }

    /// Interrupts the engine's programs at that time, unless the deadline is dropped before.
    pub(crate) fn set(&self, at: Instant) -> Deadline {
        let mut state = self.shared.lock();
        let key = (at, state.next_number);
        state.next_number += 1;
        state.deadlines.insert(key);
        if state.wakes_at.is_none_or(|wakes_at| at < wakes_at) {
            self.shared.changed.notify_one();
        }
        Deadline { shared: self.shared.clone(), key }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.shared.lock().deadlines.remove(&self.key);
    }
}

fn watch(shared: &Shared, engine: &wasmtime::Engine) {
    let mut state = shared.lock();
    while !state.stopping {
        let now = Instant::now();
        while let Some(&earliest) = state.deadlines.first()
            && earliest.0 <= now
        {
            state.deadlines.remove(&earliest);
            engine.increment_epoch();
        }
        state.wakes_at = state.deadlines.first().map(|(at, _)| *at);
        state = match state.wakes_at {
            None => shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let waited = shared.changed.wait_timeout(state, at.saturating_duration_since(now));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}
