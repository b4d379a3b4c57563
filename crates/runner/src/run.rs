//! Running a task: a fresh store, the meter, and the many ways to end.

use crate::{
    Exhausted, ExitStatus, Finished, Limits, Module, Outcome, TaskInput, TrapKind,
    wasi::{Fault, Stop, Wasi},
};
use market::id::Digest;
use std::time::Instant;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

/// What a store holds: the system that the program sees and its limits.
pub(crate) struct Task {
    pub(crate) wasi: Wasi,
    meter: Meter,
}

/// Limits and measures memory and tables.
struct Meter {
    max_memory_bytes: u64,
    max_table_elements: u64,
    memory_bytes: u64,
    peak_memory_bytes: u64,
    table_elements: u64,
}

/// Runs a task in this process: for tests, for a buyer who checks a result, and for machines that cannot isolate
/// processes. The caller's thread needs 2 MiB of stack. Strangers' tasks belong in a [`Worker`](crate::Worker).
pub fn run_in_process(module: &Module, input: &TaskInput, limits: &Limits) -> Outcome {
    let started = Instant::now();
    let engine = module.engine();
    let profile = engine.profile();
    if let Err(error) = input.check(profile.max_nodes) {
        return Outcome::Invalid(error.to_string());
    }
    let wasi = match Wasi::new(profile, input, limits.output_bytes, limits.fuel) {
        Ok(wasi) => wasi,
        Err(_) => {
            let nodes = profile.max_nodes;
            return Outcome::Invalid(format!(
                "the input has more files and directories than the {nodes} allowed"
            ));
        }
    };
    let meter = Meter {
        max_memory_bytes: limits.memory_bytes,
        max_table_elements: profile.table_elements,
        memory_bytes: 0,
        peak_memory_bytes: 0,
        table_elements: 0,
    };
    let mut store = Store::new(engine.wasmtime(), Task { wasi, meter });
    store.limiter(|task| &mut task.meter);
    let wall_end = started.checked_add(limits.wall());
    let deadline = wall_end.map(|end| engine.watchdog().set(end));
    store.epoch_deadline_callback(move |_| {
        if wall_end.is_some_and(|end| Instant::now() >= end) {
            return Err(wasmtime::Error::new(Stop::Time));
        }
        Ok(UpdateDeadline::Continue(1))
    });
    store.set_epoch_deadline(1);
    let ended = store.set_fuel(limits.fuel).and_then(|()| execute(module, &mut store));
    drop(deadline);
    let exit = match ended {
        Ok(()) => Ok(ExitStatus::Code(0)),
        Err(error) => classify(&error),
    };
    match exit {
        Ok(exit) => finish(store, exit, limits, started),
        Err(exhausted) => Outcome::Inconclusive(exhausted),
    }
}

fn execute(module: &Module, store: &mut Store<Task>) -> wasmtime::Result<()> {
    let instance = module.instance().instantiate(&mut *store)?;
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
    start.call(&mut *store, ())
}

/// Sorts the end of a program into what every machine would see and what depends on the machine.
fn classify(error: &wasmtime::Error) -> Result<ExitStatus, Exhausted> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match *stop {
            Stop::Exit(code) => Ok(ExitStatus::Code(code)),
            Stop::OutOfFuel => Ok(ExitStatus::OutOfFuel),
            Stop::Output => Err(Exhausted::Output),
            Stop::Memory => Err(Exhausted::Memory),
            Stop::Time => Err(Exhausted::Time),
        };
    }
    let kind = match error.downcast_ref::<Trap>() {
        // A program that passed its checks fails to start only where the machine lacks memory for it.
        None => return Err(Exhausted::Memory),
        Some(Trap::StackOverflow) => return Err(Exhausted::Stack),
        Some(Trap::Interrupt) => return Err(Exhausted::Time),
        Some(Trap::OutOfFuel) => return Ok(ExitStatus::OutOfFuel),
        Some(Trap::UnreachableCodeReached) => TrapKind::Unreachable,
        Some(Trap::MemoryOutOfBounds) => TrapKind::MemoryOutOfBounds,
        Some(Trap::TableOutOfBounds) => TrapKind::TableOutOfBounds,
        Some(Trap::IndirectCallToNull) => TrapKind::IndirectCallToNull,
        Some(Trap::BadSignature) => TrapKind::BadSignature,
        Some(Trap::IntegerOverflow) => TrapKind::IntegerOverflow,
        Some(Trap::IntegerDivisionByZero) => TrapKind::IntegerDivisionByZero,
        Some(Trap::BadConversionToInteger) => TrapKind::BadConversionToInteger,
        Some(other) => TrapKind::Other(*other as u8),
    };
    Ok(ExitStatus::Trapped(kind))
}

fn finish(store: Store<Task>, exit: ExitStatus, limits: &Limits, started: Instant) -> Outcome {
    let fuel_left = match exit {
        // Which instruction came last differs by a few units; what was paid for is all of it.
        ExitStatus::OutOfFuel => 0,
        ExitStatus::Code(_) | ExitStatus::Trapped(_) => store.get_fuel().unwrap_or(0),
    };
    let task = store.into_data();
    let bundle = match task.wasi.into_bundle() {
        Ok(bundle) => bundle.encode(),
        Err(Fault::Errno(_) | Fault::Stop(_)) => return Outcome::Inconclusive(Exhausted::Output),
    };
    Outcome::Finished(Finished {
        exit,
        digest: Digest::of(&bundle),
        bundle,
        fuel_used: limits.fuel.saturating_sub(fuel_left),
        peak_memory_bytes: task.meter.peak_memory_bytes,
        wall_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    })
}

impl ResourceLimiter for Meter {
    /// Going over the limit ends the task instead of failing `memory.grow`: programs hide a failed allocation behind
    /// all kinds of crashes, and the buyer should read that memory was the reason.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.max_memory_bytes {
            return Err(wasmtime::Error::new(Stop::Memory));
        }
        self.memory_bytes = total;
        self.peak_memory_bytes = self.peak_memory_bytes.max(total);
        Ok(true)
    }

    /// The machine has less memory than it promised.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Stop::Memory))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let total = self.table_elements.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.max_table_elements {
            return Err(wasmtime::Error::new(Stop::Memory));
        }
        self.table_elements = total;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Stop::Memory))
    }
}
