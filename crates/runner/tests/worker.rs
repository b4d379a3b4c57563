//! Worker processes: the same results as in this process, from inside a sandbox that holds.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod programs;

use market::id::Digest;
use programs::{finished, input, limits, load, program};
use runner::{
    Exhausted, Limits, Mechanism, Outcome, SpawnError, Worker, WorkerConfig, WorkerError, enforceable,
    run_in_process, worker::Forbidden,
};
use std::{path::Path, sync::Arc};

fn config() -> WorkerConfig {
    let mut config = WorkerConfig::new(limits());
    // What this machine lacks is said, not demanded, so that the rest is tested on every system.
    let here = enforceable();
    config.required.retain(|&mechanism| here.enforces(mechanism));
    if !here.missing(&Mechanism::ALL).is_empty() {
        eprintln!("not everything can be tested on this machine:\n{here}");
    }
    config
}

fn spawn() -> Worker {
    Worker::spawn(Path::new(env!("CARGO_BIN_EXE_runner-worker")), &[], config()).unwrap()
}

/// A worker with a module compiled and loaded in it.
fn loaded(body: &str) -> (Worker, Digest) {
    let mut worker = spawn();
    let module = load_into(&mut worker, program(body));
    (worker, module)
}

fn load_into(worker: &mut Worker, wasm: Vec<u8>) -> Digest {
    let compiled = worker.compile(&wasm.into()).unwrap();
    worker.load(&compiled).unwrap();
    compiled.wasm()
}

#[test]
fn a_worker_gives_the_same_result_as_this_process() {
    let (mut worker, module) = loaded(programs::NOSY);
    let here = finished(run_in_process(&load(&program(programs::NOSY)), &input(), &limits()));
    for _ in 0..3 {
        let there = finished(worker.run(module, &input(), &limits()).unwrap());
        assert_eq!((there.digest, there.fuel_used, there.exit), (here.digest, here.fuel_used, here.exit));
        assert_eq!(there.bundle, here.bundle);
    }
}

#[test]
fn inputs_that_change_between_tasks_are_not_mixed_up() {
    let (mut worker, module) = loaded(programs::NOSY);
    let here = load(&program(programs::NOSY));
    let mut task = input();
    for number in 0..20u8 {
        task.stdin = Arc::from([number; 50]);
        task.files.insert("apple".into(), Arc::from([number; 50]));
        let there = finished(worker.run(module, &task, &limits()).unwrap());
        assert_eq!(there.digest, finished(run_in_process(&here, &task, &limits())).digest);
    }
}

#[test]
fn bad_modules_get_the_same_words_from_a_worker() {
    let mut worker = spawn();
    let refused = worker.compile(&Arc::from(*b"not wasm"));
    assert!(
        matches!(&refused, Err(WorkerError::Invalid(why)) if why.0.contains("not a WebAssembly module")),
        "{refused:?}"
    );
    let library: Arc<[u8]> = wat::parse_str("(module)").unwrap().into();
    let compiled = worker.compile(&library).unwrap();
    assert!(matches!(worker.load(&compiled), Err(WorkerError::Invalid(why)) if why.0.contains("_start")));
}

#[test]
fn limits_hold_in_a_worker() {
    let (mut worker, module) = loaded(programs::LOOP);
    let endless = Limits { fuel: u64::MAX / 2, wall_ms: 20, ..limits() };
    let outcome = worker.run(module, &input(), &endless).unwrap();
    assert_eq!(outcome, Outcome::Inconclusive(Exhausted::Time));
    assert!(matches!(
        worker.run(module, &input(), &Limits { memory_bytes: 1 << 40, ..limits() }),
        Err(WorkerError::Limits)
    ));
    assert!(matches!(worker.run(Digest::of(b"?"), &input(), &limits()), Err(WorkerError::NotLoaded)));
}

#[test]
fn a_task_gets_the_memory_that_it_was_promised_and_no_more() {
    let limits = Limits { memory_bytes: 1 << 30, ..limits() };
    let mut config = config();
    config.limits = limits;
    let mut worker = Worker::spawn(Path::new(env!("CARGO_BIN_EXE_runner-worker")), &[], config).unwrap();
    let touch = "(i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (i32.const 1))";
    let all =
        format!("(if (i32.eq (memory.grow (i32.const 16383)) (i32.const -1)) (then unreachable)) {touch}");
    for (instructions, fits) in
        [(all.clone(), true), (format!("{all} (drop (memory.grow (i32.const 1)))"), false)]
    {
        let compiled = load_into(&mut worker, programs::start(&instructions));
        match worker.run(compiled, &input(), &limits).unwrap() {
            Outcome::Finished(result) => assert!(fits && result.peak_memory_bytes == 1 << 30, "{result:?}"),
            outcome => assert!(!fits && outcome == Outcome::Inconclusive(Exhausted::Memory), "{outcome:?}"),
        }
        worker.restart().unwrap();
    }
}

#[test]
fn inputs_that_fill_a_worker_to_the_byte_are_taken() {
    let fitting = |input_bytes| WorkerConfig { input_bytes, ..config() };
    let task = input();
    let bytes = task.files.values().chain([&task.stdin]).map(|bytes| bytes.len() as u64).sum();
    for (input_bytes, fits) in [(bytes, true), (bytes - 1, false)] {
        let path = Path::new(env!("CARGO_BIN_EXE_runner-worker"));
        let mut worker = Worker::spawn(path, &[], fitting(input_bytes)).unwrap();
        let module = load_into(&mut worker, program(programs::HELLO));
        for _ in 0..2 {
            assert_eq!(worker.run(module, &task, &limits()).is_ok(), fits, "{input_bytes} of {bytes} bytes");
        }
    }
}

#[test]
fn inputs_larger_than_a_worker_takes_are_refused() {
    let (mut worker, module) = loaded(programs::HELLO);
    let mut task = input();
    task.files.insert("huge".into(), vec![0; 257 << 20].into());
    assert!(matches!(worker.run(module, &task, &limits()), Err(WorkerError::Inputs { .. })));
    assert!(worker.run(module, &input(), &limits()).is_ok());
}

#[test]
fn a_worker_killed_in_the_middle_of_a_task_can_be_restarted() {
    let (mut worker, module) = loaded(programs::LOOP);
    let handle = worker.handle();
    let killer = std::thread::spawn(move || handle.kill());
    let endless = Limits { fuel: u64::MAX / 2, ..limits() };
    assert!(matches!(worker.run(module, &input(), &endless), Err(WorkerError::Killed)));
    killer.join().unwrap();
    assert!(matches!(worker.run(module, &input(), &endless), Err(WorkerError::Killed)));

    worker.restart().unwrap();
    let module = load_into(&mut worker, program(programs::HELLO));
    assert!(finished(worker.run(module, &input(), &limits()).unwrap()).exit.success());
}

#[test]
fn a_worker_that_has_run_a_task_does_not_compile() {
    let (mut worker, module) = loaded(programs::HELLO);
    worker.run(module, &input(), &limits()).unwrap();
    assert!(matches!(worker.compile(&program(programs::NOSY).into()), Err(WorkerError::NotFresh)));
}

#[test]
fn the_sandbox_prevents_files_sockets_and_processes() {
    let expected = [
        (Forbidden::OpenFile, "Permission denied"),
        (Forbidden::OpenSocket, "SIGSYS"),
        (Forbidden::StartProcess, "SIGSYS"),
    ];
    for (forbidden, word) in expected {
        let mut worker = spawn();
        if !worker.enforcement().enforces(Mechanism::SystemCalls) {
            eprintln!("not tested, this machine does not filter system calls:\n{}", worker.enforcement());
            return;
        }
        // It works until it does something forbidden.
        worker.compile(&program(programs::HELLO).into()).unwrap();
        let how = worker.try_forbidden(forbidden).unwrap();
        assert!(how.contains(word), "{forbidden:?}: {how}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_reports_everything_that_holds_it() {
    let worker = spawn();
    for mechanism in Mechanism::ALL {
        assert_eq!(
            worker.enforcement().enforces(mechanism),
            enforceable().enforces(mechanism),
            "{}",
            worker.enforcement()
        );
    }
}

#[test]
fn a_program_that_is_no_worker_is_reported() {
    let missing = Worker::spawn(Path::new("/nonexistent/worker"), &[], config());
    assert!(matches!(missing, Err(SpawnError::Start { .. })));
    if Path::new("/bin/false").exists() {
        let wrong = Worker::spawn(Path::new("/bin/false"), &[], config());
        assert!(matches!(wrong, Err(SpawnError::Worker(WorkerError::Died(_)))), "{wrong:?}");
    }
}
