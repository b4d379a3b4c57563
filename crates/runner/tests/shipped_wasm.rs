//! The module that the example ships is what its source compiles to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![cfg(unix)]

use std::{
    io::{self, Write as _},
    path::Path,
    process::Command,
};

/// The script's answer when it cannot tell: no compiler for WASI, or another version of Rust.
const CANNOT_TELL: i32 = 3;

#[test]
fn the_shipped_module_matches_its_source() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pathtrace/build.sh");
    let output = Command::new("sh")
        .arg(script)
        .arg("--check")
        .env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/pathtrace"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {}
        // Not by `eprintln!`, whose text the test harness keeps to itself when a test passes.
        Some(CANNOT_TELL) => {
            writeln!(io::stderr(), "NOT TESTED, examples/pathtrace/pathtrace.wasm may be old: {said}")
                .unwrap();
        }
        _ => panic!("{}: {said}", output.status),
    }
}
