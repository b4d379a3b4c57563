//! Reads the conformance vectors and compares with them.
//!
//! `GRIST_VECTORS` names another directory with files of the same names and form, to try more vectors.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// The content of one vector file.
pub(crate) fn read<T: DeserializeOwned>(name: &str) -> T {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let dir = std::env::var_os("GRIST_VECTORS").map_or(own, PathBuf::from);
    let path = dir.join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Fails when a number differs by more than `tolerance`.
#[allow(dead_code, reason = "each test crate includes this module, not each compares floats")]
pub(crate) fn assert_near(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}: lengths differ");
    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}[{at}]: {a}, expected {b} ± {tolerance}");
    }
}
