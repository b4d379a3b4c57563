//! Equal tasks have equal results, to the byte and to the unit of fuel.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod programs;

use market::id::Digest;
use programs::{finished, input, limits, load, program};
use runner::{OutputBundle, run_in_process};

#[test]
fn the_same_task_gives_the_same_digest_and_fuel() {
    let wasm = program(programs::NOSY);
    let first = finished(run_in_process(&load(&wasm), &input(), &limits()));
    let second = finished(run_in_process(&load(&wasm), &input(), &limits()));
    assert_eq!((first.digest, first.fuel_used), (second.digest, second.fuel_used));
    assert_eq!(first.peak_memory_bytes, 4 * 65536);
}

/// The numbers are part of the profile: they are the same on every processor, in debug and in release builds.
#[test]
fn the_profile_fixes_digest_and_fuel_for_ever() {
    let result = finished(run_in_process(&load(&program(programs::NOSY)), &input(), &limits()));
    assert_eq!(
        (result.fuel_used, result.digest.to_string().as_str()),
        (2762, "1e409ca97ea704461b846d86ce2226d4f28e1afbdeeaa1efb87169e84dc1867d")
    );
}

#[test]
fn another_seed_gives_other_random_numbers_and_nothing_else() {
    let module = load(&program(programs::NOSY));
    let mut other = input();
    other.seed = Digest::of(b"another task");
    let first = finished(run_in_process(&module, &input(), &limits()));
    let second = finished(run_in_process(&module, &other, &limits()));
    assert_ne!(first.digest, second.digest);
    let stdout = |bundle: &[u8]| OutputBundle::decode(bundle, 1 << 20).unwrap().stdout;
    let (first, second) = (stdout(&first.bundle), stdout(&second.bundle));
    assert_eq!(first[..8], second[..8], "the clock");
    assert_ne!(first[8..72], second[8..72], "random numbers");
    assert_eq!(first[72..], second[72..], "everything else");
}

#[test]
fn directories_are_listed_in_the_order_of_names() {
    let result = finished(run_in_process(&load(&program(programs::NOSY)), &input(), &limits()));
    let stdout = OutputBundle::decode(&result.bundle, 1 << 20).unwrap().stdout;
    let listing = &stdout[80..];
    let position = |name: &[u8]| listing.windows(name.len()).position(|window| window == name).unwrap();
    let positions = [&b"apple"[..], b"mango", b"meshes", b"zebra"].map(position);
    assert!(positions.is_sorted(), "{positions:?}");
}

#[test]
fn nans_have_one_form() {
    let result = finished(run_in_process(&load(&program(programs::NOSY)), &input(), &limits()));
    let stdout = OutputBundle::decode(&result.bundle, 1 << 20).unwrap().stdout;
    assert_eq!(stdout[72..80], 0x7ff8_0000_0000_0000u64.to_le_bytes());
}
