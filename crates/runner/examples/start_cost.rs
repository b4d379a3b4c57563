//! What it costs to start a task: `cargo run --release -p runner --example start_cost`.
//!
//! Needs the worker program of this package beside it (`cargo build --release -p runner` makes it).

use market::id::Digest;
use runner::{Engine, Limits, ModuleCache, Outcome, Profile, TaskInput, Worker, WorkerConfig};
use std::{error::Error, sync::Arc, time::Instant};

const ROUNDS: u32 = 2000;
const EMPTY: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(Profile::newest())?;
    let empty: Arc<[u8]> = wat::parse_str(EMPTY)?.into();
    let input = TaskInput::new(Digest::of(b"start cost"));
    let limits = Limits::default();
    // Another module can be named, to see what compiling and loading it costs.
    let named: Arc<[u8]> = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read(path)?.into(),
        None => empty.clone(),
    };

    let started = Instant::now();
    let compiled = engine.compile(&named)?;
    let (wasm_bytes, code_bytes) = (named.len(), compiled.code().len());
    println!("compile {wasm_bytes} bytes to {code_bytes}: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);

    let folder = tempfile::tempdir()?;
    ModuleCache::open(folder.path(), 1 << 30)?.put(&compiled, engine.compatibility())?;
    let started = Instant::now();
    let cache = ModuleCache::open(folder.path(), 1 << 30)?;
    let cached =
        cache.get(Digest::of(&named), engine.compatibility())?.ok_or("the module is not in the cache")?;
    engine.load(&cached)?;
    println!("load it from the cache: {:.2} ms", started.elapsed().as_secs_f64() * 1e3);

    let module = engine.load(&engine.compile(&empty)?)?;
    let mut times_us = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        check(&module.run(&input, &limits))?;
        times_us.push(started.elapsed().as_secs_f64() * 1e6);
    }
    print_times("an empty task in this process", &mut times_us);

    let program = std::env::current_exe()?;
    let program =
        program.parent().and_then(|folder| folder.parent()).ok_or("no folder")?.join("runner-worker");
    let mut config = WorkerConfig::new(limits);
    config.required.clear();
    let started = Instant::now();
    let mut worker = Worker::spawn(&program, &[], config)?;
    println!("start a worker process: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let compiled = worker.compile(&empty)?;
    worker.load(&compiled)?;
    times_us.clear();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        check(&worker.run(compiled.wasm(), &input, &limits)?)?;
        times_us.push(started.elapsed().as_secs_f64() * 1e6);
    }
    print_times("an empty task in the worker process", &mut times_us);
    Ok(())
}

fn check(outcome: &Outcome) -> Result<(), String> {
    match outcome {
        Outcome::Finished(finished) if finished.exit.success() => Ok(()),
        other => Err(format!("the empty task failed: {other:?}")),
    }
}

fn print_times(what: &str, times_us: &mut [f64]) {
    times_us.sort_by(f64::total_cmp);
    let at = |percent: usize| times_us.get(times_us.len() * percent / 100).copied().unwrap_or_default();
    println!("{what}: median {:.0} us, 99th percentile {:.0} us", at(50), at(99));
}
