//! Modules that are wrong or hostile end in a clear outcome, whatever they try.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod programs;

use programs::{ENGINE, finished, input, limits, load, program, run, start};
use runner::{
    Exhausted, ExitStatus, InvalidModule, Limits, LoadError, Outcome, OutputBundle, TaskInput, TrapKind,
    run_in_process,
};
use std::sync::Arc;

fn invalid(wasm: &[u8]) -> String {
    let compiled = match ENGINE.compile(wasm) {
        Err(InvalidModule(why)) => return why,
        Ok(compiled) => compiled,
    };
    match ENGINE.load(&compiled) {
        Err(LoadError::Invalid(InvalidModule(why))) => why,
        other => panic!("accepted: {:?}", other.map(drop)),
    }
}

/// Runs instructions that end in an error number and returns that number.
fn errno(instructions: &str) -> u32 {
    let wasm = start(&format!("(call $proc_exit {instructions})"));
    match finished(run(&wasm)).exit {
        ExitStatus::Code(code) => code as u32,
        other => panic!("{other}"),
    }
}

/// Opens a path below the directory `fd` and exits with the error number.
fn errno_of_opening(fd: u32, path: &str, create: bool) -> u32 {
    let wasm = program(&format!(
        r#"(data (i32.const 100) "{path}")
           (func (export "_start")
               (call $proc_exit (call $path_open (i32.const {fd}) (i32.const 0) (i32.const 100) (i32.const {len})
                   (i32.const {how}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 40))))"#,
        len = path.len(),
        how = u32::from(create),
        rights = if create { 1 << 6 } else { 1 << 1 },
    ));
    match finished(run(&wasm)).exit {
        ExitStatus::Code(code) => code as u32,
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_that_is_no_module_is_refused_with_the_reason() {
    assert!(invalid(b"#!/bin/sh\necho hello").contains("not a WebAssembly module"));
    assert!(invalid(b"").contains("not a WebAssembly module"));
    assert!(invalid(b"\0asm\x01\0\0\0\xff\xff\xff\xff\xff").contains("cannot be compiled"));
}

#[test]
fn a_truncated_module_is_refused() {
    let wasm = program(programs::HELLO);
    assert!(invalid(&wasm[..wasm.len() - 3]).contains("cannot be compiled"));
}

#[test]
fn a_module_that_imports_the_network_is_refused() {
    for import in
        [r#""wasi_snapshot_preview1" "sock_open""#, r#""env" "socket""#, r#""wasi_unstable" "fd_write""#]
    {
        let text = format!(r#"(module (import {import} (func (param i32))) (func (export "_start")))"#);
        let why = invalid(&wat::parse_str(text).unwrap());
        assert!(why.contains("which no task gets"), "{why}");
    }
    // Sockets that WASI itself declares exist, and do nothing.
    assert_eq!(errno("(call $sock_shutdown (i32.const 3) (i32.const 0))"), 58, "ENOTSUP");
}

#[test]
fn a_module_without_a_start_is_refused() {
    let why = invalid(&wat::parse_str(r#"(module (func (export "main")))"#).unwrap());
    assert!(why.contains("no function `_start`"), "{why}");
    let why = invalid(&wat::parse_str(r#"(module (func (export "_start") (param i32)))"#).unwrap());
    assert!(why.contains("no function `_start`"), "{why}");
}

#[test]
fn a_module_with_threads_or_large_memories_is_refused() {
    for text in ["(module (memory 1 1 shared))", "(module (memory i64 1))", "(module (memory 1) (memory 1))"]
    {
        assert!(invalid(&wat::parse_str(text).unwrap()).contains("cannot be compiled"), "{text}");
    }
}

#[test]
fn an_endless_loop_ends_with_its_fuel() {
    let result = finished(run(&program(programs::LOOP)));
    assert_eq!(result.exit, ExitStatus::OutOfFuel);
    assert_eq!(result.fuel_used, limits().fuel);
}

#[test]
fn an_endless_loop_ends_with_its_time() {
    let limits = Limits { fuel: u64::MAX / 2, wall_ms: 20, ..limits() };
    let outcome = run_in_process(&load(&program(programs::LOOP)), &input(), &limits);
    assert_eq!(outcome, Outcome::Inconclusive(Exhausted::Time));
}

#[test]
fn allocating_without_end_is_inconclusive() {
    // 100 GB in steps of 1 MB, and at once.
    let steps = start("(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))");
    assert_eq!(run(&steps), Outcome::Inconclusive(Exhausted::Memory));
    let at_once = start("(drop (memory.grow (i32.const 60000)))");
    assert_eq!(run(&at_once), Outcome::Inconclusive(Exhausted::Memory));
    // More than 32 bits can address is no allocation at all, but an error that the program sees.
    let beyond = start("(call $proc_exit (i32.eq (memory.grow (i32.const 1600000)) (i32.const -1)))");
    assert_eq!(finished(run(&beyond)).exit, ExitStatus::Code(1));
    let declared = wat::parse_str(r#"(module (memory 60000) (func (export "_start")))"#).unwrap();
    assert_eq!(run(&declared), Outcome::Inconclusive(Exhausted::Memory));
    let table = wat::parse_str(r#"(module (table 2000000 funcref) (func (export "_start")))"#).unwrap();
    assert_eq!(run(&table), Outcome::Inconclusive(Exhausted::Memory));
}

#[test]
fn printing_without_end_is_inconclusive() {
    for fd in [1, 2] {
        let wasm =
            start(&format!("(loop (call $print (i32.const {fd}) (i32.const 0) (i32.const 60000)) (br 0))"));
        assert_eq!(run(&wasm), Outcome::Inconclusive(Exhausted::Output));
    }
}

#[test]
fn recursion_without_end_is_inconclusive() {
    let wasm = program(r#"(func $deeper (export "_start") (call $deeper) (call $deeper))"#);
    assert_eq!(run(&wasm), Outcome::Inconclusive(Exhausted::Stack));
}

#[test]
fn a_trap_is_a_result_and_keeps_what_was_written() {
    let wasm = program(
        r#"(data (i32.const 100) "so far")
           (func (export "_start") (call $print (i32.const 1) (i32.const 100) (i32.const 6)) unreachable)"#,
    );
    let result = finished(run(&wasm));
    assert_eq!(result.exit, ExitStatus::Trapped(TrapKind::Unreachable));
    assert_eq!(OutputBundle::decode(&result.bundle, 1 << 20).unwrap().stdout, b"so far");
    let division = start("(drop (i32.div_u (i32.const 1) (i32.const 0)))");
    assert_eq!(finished(run(&division)).exit, ExitStatus::Trapped(TrapKind::IntegerDivisionByZero));
    let wild = start("(drop (i32.load (i32.const -4)))");
    assert_eq!(finished(run(&wild)).exit, ExitStatus::Trapped(TrapKind::MemoryOutOfBounds));
}

#[test]
fn files_of_the_host_do_not_exist() {
    const NOT_FOUND: u32 = 44;
    const NOT_CAPABLE: u32 = 76;
    for directory in [3, 4] {
        assert_eq!(errno_of_opening(directory, "/etc/passwd", false), NOT_CAPABLE);
        assert_eq!(errno_of_opening(directory, "../etc/passwd", false), NOT_CAPABLE);
        assert_eq!(errno_of_opening(directory, "etc/passwd", false), NOT_FOUND);
    }
}

#[test]
fn writing_outside_the_output_is_refused() {
    const NOT_CAPABLE: u32 = 76;
    const READ_ONLY: u32 = 69;
    const OK: u32 = 0;
    assert_eq!(errno_of_opening(4, "../escaped", true), NOT_CAPABLE);
    assert_eq!(errno_of_opening(4, "a/../../escaped", true), 44);
    assert_eq!(errno_of_opening(3, "new", true), READ_ONLY);
    assert_eq!(errno_of_opening(3, "apple", true), READ_ONLY);
    assert_eq!(errno_of_opening(3, "meshes/../../out/x", true), NOT_CAPABLE);
    assert_eq!(errno_of_opening(4, "fine", true), OK);
    assert_eq!(errno_of_opening(4, "C:evil", true), 25, "EILSEQ: no name for every system");
}

#[test]
fn wild_pointers_in_calls_are_errors_not_crashes() {
    const FAULT: u32 = 21;
    assert_eq!(errno("(call $random_get (i32.const 65000) (i32.const 1000))"), FAULT);
    assert_eq!(errno("(call $random_get (i32.const -1) (i32.const -1))"), FAULT);
    assert_eq!(errno("(call $fd_write (i32.const 1) (i32.const 65535) (i32.const 1) (i32.const 8))"), FAULT);
    assert_eq!(
        errno("(call $fd_write (i32.const 1) (i32.const 0) (i32.const 100000) (i32.const 8))"),
        28,
        "EINVAL"
    );
    assert_eq!(
        errno("(call $fd_write (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 8))"),
        8,
        "EBADF"
    );
}

#[test]
fn instructions_that_touch_many_bytes_cost_as_much() {
    let fill = start("(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0))");
    let result = finished(run(&fill));
    assert_eq!(result.exit, ExitStatus::OutOfFuel);
    let once = start("(memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))");
    assert!(finished(run(&once)).fuel_used >= 65536 / 16, "{:?}", finished(run(&once)));
}

#[test]
fn opening_without_end_stops_at_a_limit() {
    let wasm = program(
        r#"(data (i32.const 100) "apple")
           (func $open (result i32)
               (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 0) (i64.const 2)
                   (i64.const 0) (i32.const 0) (i32.const 40)))
           (func (export "_start") (local $errno i32)
               (loop (br_if 0 (i32.eqz (local.tee $errno (call $open)))))
               (call $proc_exit (local.get $errno)))"#,
    );
    assert_eq!(finished(run(&wasm)).exit, ExitStatus::Code(33), "EMFILE");
}

#[test]
fn inputs_that_no_program_can_be_given_are_refused() {
    let module = load(&program(programs::HELLO));
    let with = |change: fn(&mut TaskInput)| {
        let mut input = input();
        change(&mut input);
        match run_in_process(&module, &input, &limits()) {
            Outcome::Invalid(why) => why,
            other => panic!("accepted: {other:?}"),
        }
    };
    assert!(with(|input| drop(input.files.insert("../x".into(), Arc::from([])))).contains("`..`"));
    assert!(with(|input| drop(input.files.insert("/etc/x".into(), Arc::from([])))).contains("absolute"));
    assert!(with(|input| drop(input.files.insert("apple/pie".into(), Arc::from([])))).contains("directory"));
    assert!(with(|input| input.args.push("a\0b".into())).contains("zero byte"));
    assert!(with(|input| drop(input.env.insert("A=B".into(), String::new()))).contains("`=`"));
    assert!(with(|input| input.args.push("x".repeat(2 << 20))).contains("too long"));
}
