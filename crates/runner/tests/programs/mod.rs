//! Small programs that the tests run.
#![allow(dead_code, reason = "each test file uses some of them")]

use market::id::Digest;
use runner::{Engine, Finished, Limits, Module, Outcome, Profile, TaskInput, run_in_process};
use std::sync::{Arc, LazyLock};

pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Profile::newest()).unwrap());

/// A program of the given body, with the imports that the tests need and one page of memory. `$print` writes bytes to
/// a descriptor.
pub(crate) fn program(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sock_shutdown" (func $sock_shutdown (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (memory (export "memory") 1)
            (func $print (param $fd i32) (param $at i32) (param $len i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $len))
                (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
            {body})"#
    );
    wat::parse_str(text).unwrap()
}

/// A program whose `_start` is the given instructions.
pub(crate) fn start(instructions: &str) -> Vec<u8> {
    program(&format!(r#"(func (export "_start") {instructions})"#))
}

pub(crate) const HELLO: &str = r#"
    (data (i32.const 100) "hello\n")
    (func (export "_start") (call $print (i32.const 1) (i32.const 100) (i32.const 6)))"#;

/// Uses the clock, random numbers, memory, stdin, a directory and floating point, and prints all of it.
pub(crate) const NOSY: &str = r#"
    (func (export "_start")
        (drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 1000)))
        (drop (call $random_get (i32.const 1008) (i32.const 64)))
        (drop (memory.grow (i32.const 3)))
        (f64.store (i32.const 1072) (f64.div (f64.const 0) (f64.const 0)))
        (drop (call $fd_readdir (i32.const 3) (i32.const 1080) (i32.const 500) (i64.const 0) (i32.const 16)))
        (i32.store (i32.const 0) (i32.const 2000))
        (i32.store (i32.const 4) (i32.const 100))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 2100)))
        (call $print (i32.const 1) (i32.const 1000) (i32.const 1200)))"#;

pub(crate) const LOOP: &str = r#"(func (export "_start") (loop (br 0)))"#;

pub(crate) fn load(wasm: &[u8]) -> Module {
    ENGINE.load(&ENGINE.compile(wasm).unwrap()).unwrap()
}

pub(crate) fn limits() -> Limits {
    Limits { memory_bytes: 16 << 20, output_bytes: 1 << 20, fuel: 50_000_000, wall_ms: 60_000 }
}

/// An input with a little of everything.
pub(crate) fn input() -> TaskInput {
    let mut input = TaskInput::new(Digest::of(b"task"));
    input.args = vec!["program".into(), "argument".into()];
    input.env.insert("NAME".into(), "value".into());
    input.stdin = Arc::from(*b"from stdin");
    for name in ["zebra", "apple", "mango"] {
        input.files.insert(name.into(), Arc::from(name.as_bytes()));
    }
    input.files.insert("meshes/cube.obj".into(), Arc::from(*b"v 0 0 0"));
    input
}

pub(crate) fn run(wasm: &[u8]) -> Outcome {
    run_in_process(&load(wasm), &input(), &limits())
}

pub(crate) fn finished(outcome: Outcome) -> Finished {
    match outcome {
        Outcome::Finished(finished) => finished,
        other => panic!("not finished: {other:?}"),
    }
}
