//! Programs of wasi-libc and of the Rust standard library find the system that they expect.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod programs;

use insta::assert_snapshot;
use programs::{finished, input, limits, load};
use runner::{ExitStatus, Finished, OutputBundle, Worker, WorkerConfig, run_in_process};
use std::{fs, path::Path, process::Command};

/// Compiles a program, or says why it could not.
fn compiled(mut compiler: Command, output: &Path) -> Option<Vec<u8>> {
    match compiler.output() {
        Ok(result) if result.status.success() => Some(fs::read(output).unwrap()),
        Ok(result) => {
            eprintln!("not tested, no compiler for WASI here: {}", String::from_utf8_lossy(&result.stderr));
            None
        }
        Err(error) => {
            eprintln!("not tested, no compiler for WASI here: {compiler:?}: {error}");
            None
        }
    }
}

/// Runs a program twice in this process and once in a worker, with the same result.
fn run_everywhere(wasm: &[u8]) -> (Finished, OutputBundle) {
    let module = load(wasm);
    let first = finished(run_in_process(&module, &input(), &limits()));
    let second = finished(run_in_process(&module, &input(), &limits()));
    assert_eq!((first.digest, first.fuel_used), (second.digest, second.fuel_used));
    let mut config = WorkerConfig::new(limits());
    config.required.clear();
    let mut worker = Worker::spawn(Path::new(env!("CARGO_BIN_EXE_runner-worker")), &[], config).unwrap();
    let compiled = worker.compile(&wasm.into()).unwrap();
    worker.load(&compiled).unwrap();
    let third = finished(worker.run(compiled.wasm(), &input(), &limits()).unwrap());
    assert_eq!((first.digest, first.fuel_used), (third.digest, third.fuel_used), "in a worker");
    let bundle = OutputBundle::decode(&first.bundle, 1 << 20).unwrap();
    assert_eq!(String::from_utf8_lossy(&bundle.stderr), "");
    (first, bundle)
}

#[test]
fn a_c_program_finds_the_filesystem_that_it_expects() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("files.wasm");
    let mut clang = Command::new("clang");
    clang.args(["--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-o"]).arg(&output);
    clang.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/files.c"));
    let Some(wasm) = compiled(clang, &output) else { return };
    let (result, bundle) = run_everywhere(&wasm);
    assert_eq!(result.exit, ExitStatus::Code(7));
    assert_eq!(bundle.files.keys().collect::<Vec<_>>(), ["frames/renamed.txt"]);
    assert!(bundle.files["frames/renamed.txt"].ends_with(b"999\nthe end\n"));
    assert_snapshot!(String::from_utf8(bundle.stdout).unwrap(), @"
    argc 2, argv[1] argument, NAME value
    stdin: from stdin
    /in/apple
    /in/mango
    /in/meshes/
    /in/zebra
    /in/meshes/cube.obj
    input: v 0 0 0, third byte 0
    mkdir: ok
    stat: ok
    size 3898, time 1735689600
    rename: ok
    rename a directory into itself: Invalid argument
    rmdir of a full directory: Directory not empty
    mkdir: ok
    rmdir: ok
    pwrite: ok
    ftruncate: ok
    pread: ok
    unlink: ok
    write below /in: Read-only file system
    write to an input: Read-only file system
    open ../: Capabilities insufficient
    open a host file: Capabilities insufficient
    symlink: Not supported
    /out/frames/
    slept 3600 s
    ");
}

#[test]
fn a_rust_program_finds_the_system_that_it_expects() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("everyday.wasm");
    let mut rustc = Command::new("rustc");
    rustc.args(["--target=wasm32-wasip1", "--edition=2024", "-O", "-o"]).arg(&output);
    rustc.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/everyday.rs"));
    let Some(wasm) = compiled(rustc, &output) else { return };
    let (result, bundle) = run_everywhere(&wasm);
    assert_eq!(result.exit, ExitStatus::Code(3));
    assert_eq!(bundle.files.keys().collect::<Vec<_>>(), ["a/b/c/file", "moved"]);
    // Everything but the order of a hash map, which changes with the compiler.
    let stdout = String::from_utf8(bundle.stdout).unwrap();
    let lines: Vec<_> = stdout.lines().filter(|line| !line.starts_with("hash order")).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    args ["program", "argument"], NAME Ok("value")
    stdin: from stdin
    /in/apple 5
    /in/mango 5
    /in/meshes 0
    /in/zebra 5
    input: v 0 0 0
    exists: true
    host: Err(NotFound)
    input: Err(ReadOnlyFilesystem)
    network: Err(Unsupported)
    thread: Err(Unsupported)
    slept 60
    since 1970: 1735689660
    "#);
}
