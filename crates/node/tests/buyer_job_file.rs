//! Job files: what is read, and what people are told about mistakes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use market::{
    funding::Funding,
    id::Digest,
    job::Verification,
    order::{AuctionPrice, OrderKind},
    units::{Msat, Rate},
};
use node::{
    buyer::{JobFile, PreparedJob, job_file::Slices},
    config_file::Money,
};
use proptest::prelude::*;
use std::{fs, path::Path};

const WASM: &[u8] = b"\0asm\x01\0\0\0";

const GOOD: &str = r#"
name = "turntable"
module = "a.wasm"
args = ["--frame", "{task}"]
tasks = 24
input_folder = "scene"
inputs = ["*.obj", "deep/**/*.mtl", "plain.txt"]
stdin = "in.txt"
max_price = "1000 sat"
max_price_per_task = "12 sat"
slots = 4

[limits]
memory = "64MiB"
timeout = "30s"

[verify]
method = "replicas"
agree = 2
of = 3

[auction]
price = "second"
window = "2s"
reveal = "500ms"

[needs]
cpus = 0.5
min_bond = "100 sat"
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("a.wasm", WASM);
    write("in.txt", b"in");
    write("scene/m.obj", b"obj");
    write("scene/plain.txt", b"plain");
    write("scene/deep/er/m.mtl", b"mtl");
    write("scene/other.bin", b"other");
    folder
}

fn prepare(text: &str, folder: &Path) -> Result<PreparedJob, String> {
    let path = folder.join("job.toml");
    fs::write(&path, text).unwrap();
    JobFile::load(&path).map_err(|error| error.to_string())
}

#[test]
fn a_job_file_becomes_an_order_with_its_files() {
    let folder = folder();
    let job = prepare(GOOD, folder.path()).unwrap();
    let inputs: Vec<_> = job.spec.inputs.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
    assert_eq!(inputs, [("deep/er/m.mtl", 3), ("m.obj", 3), ("plain.txt", 5)]);
    assert_eq!(job.spec.module, Digest::of(WASM));
    assert_eq!(job.blobs.len(), 5);
    assert_eq!(job.spec.verification, Verification::Replicas { k: 2, n: 3, named: Vec::new() });
    assert_eq!((job.spec.max_parallel, job.spec.limits.memory_mib), (24, 64));
    let kind = OrderKind::Auction { price: AuctionPrice::Second, window_ms: 2_000, reveal_ms: 500 };
    assert_eq!(job.terms.kind, kind);
    assert_eq!(job.terms.ceiling, Rate::per_task(Msat(12_000)));
    assert_eq!(job.terms.needs.resources.cpu_milli, 500);
}

fn complaint(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    prepare(&GOOD.replace(from, to), folder().path()).unwrap_err().replace(['\n', '|'], " ")
}

#[test]
fn a_mistake_is_answered_with_what_to_do() {
    let typo = complaint("slots = 4", "slot = 4");
    assert!(typo.contains("line 11") && typo.contains("did you mean `slots`?"), "{typo}");
    let typo = complaint("memory = \"64MiB\"", "memroy = \"64MiB\"");
    assert!(typo.contains("did you mean `memory`?"), "{typo}");
    let amount = complaint("\"12 sat\"", "\"-12 sat\"");
    assert!(amount.contains("line 10") && amount.contains("`-12 sat` is not an amount"), "{amount}");
    let huge = complaint("tasks = 24", "tasks = 99999999999");
    assert!(huge.contains("line 5"), "{huge}");
    let two = complaint("slots = 4", "slots = 4\nmax_price_per_hour = \"1 sat\"");
    assert!(two.contains("in one way") && two.contains("2 given"), "{two}");
    let budget = complaint("\"1000 sat\"", "\"575 sat\"");
    assert!(budget.contains("max_price is 575 sat") && budget.contains("576 sat"), "{budget}");
    let verify = complaint("agree = 2", "agree = 1");
    assert!(verify.contains("2 <= k <= n"), "{verify}");
}

/// The good file with a table of funding and another highest price.
fn funded(max_price: &str, funding: &str) -> Result<PreparedJob, String> {
    let text = GOOD.replace("max_price = \"1000 sat\"", &format!("max_price = \"{max_price}\""));
    prepare(&format!("{text}\n[funding]\n{funding}\n"), folder().path())
}

#[test]
fn a_session_is_an_amount_or_a_time_at_the_price_of_an_hour() {
    let prepay = |funding: &str| match funded("1000 sat", funding).map(|job| job.terms.funding) {
        Ok(Some(Funding::Session { prepay_msat })) => Ok(prepay_msat),
        Ok(other) => panic!("{other:?}"),
        Err(why) => Err(why),
    };
    assert_eq!(prepay("session = \"50 sat\""), Ok(Msat(50_000)));
    assert_eq!(prepay("session = \"5000 sat\""), Ok(Msat(1_000_000)), "no more than the whole");
    let why = prepay("session = \"15m\"").unwrap_err();
    assert!(why.contains("needs max_price_per_hour"), "{why}");
    let by_hour = GOOD.replace("max_price_per_task = \"12 sat\"", "max_price_per_hour = \"40 sat\"");
    let text = by_hour.replace("tasks = 24", "lease_max = \"1h\"\ntasks = 24");
    let job = prepare(&format!("{text}\n[funding]\nsession = \"15m\"\n"), folder().path()).unwrap();
    assert_eq!(
        job.terms.funding,
        Some(Funding::Session { prepay_msat: Msat(40_000) }),
        "10 sat in each of 4 slots"
    );
}

#[test]
fn of_a_hold_only_the_reserve_and_the_checks_lie_at_the_market() {
    let hold = "hold = { slice = \"100 sat\", slices = 2 }";
    let job = funded("2000 sat", hold).unwrap();
    assert_eq!(job.terms.funding, Some(Funding::Hold { slice_msat: Msat(100_000), slices: 2 }));
    // Four slots with a slice and 2 % of three slices each, and each of 24 tasks a second time at 12 sat.
    assert_eq!(job.terms.budget_msat, Msat(4 * 106_123 + 24 * 12_000));
    assert_eq!(job.holds_max_msat, Msat(2_000_000 - 712_492));
    let why = funded("1000 sat", hold).unwrap_err();
    assert!(why.contains("hold 800 sat") && why.contains("raise max_price to 1512.492 sat"), "{why}");
    let many = funded("9000 sat", "hold = { slice = \"100 sat\", slices = 9 }").unwrap_err();
    assert!(many.contains("1 to 8 slices"), "{many}");
}

#[test]
fn of_what_is_paid_to_decrypt_only_deposits_and_checks_lie_at_the_market() {
    let job = funded("1000 sat", "decrypt = true").unwrap();
    assert_eq!(job.terms.funding, Some(Funding::Decrypt { deposit_ppm: 250_000 }));
    // A quarter of 12 sat for each of 24 tasks, and each a second time at 12 sat.
    assert_eq!(job.terms.budget_msat, Msat(24 * (3_000 + 12_000)));
    assert_eq!(job.holds_max_msat, Msat(1_000_000 - 360_000));
    assert_eq!(job.terms.needs.min_bond_msat, Msat(100_000), "the file demands more than a key costs");
    let text = GOOD.replace("min_bond = \"100 sat\"", "") + "\n[funding]\ndecrypt = true\n";
    let job = prepare(&text, folder().path()).unwrap();
    assert_eq!(job.terms.needs.min_bond_msat, Msat(11_760), "12 sat less 2 %");
    let why = funded("600 sat", "decrypt = true").unwrap_err();
    assert!(why.contains("may cost 282.240 sat") && why.contains("raise max_price to 642.240 sat"), "{why}");
    let twice = funded("9000 sat", "decrypt = true\nsession = \"50 sat\"").unwrap_err();
    assert!(twice.contains("one of them"), "{twice}");
}

#[test]
fn a_mistake_in_the_funding_is_answered_with_what_to_do() {
    let typo = funded("1000 sat", "sesion = \"50 sat\"").unwrap_err();
    assert!(typo.contains("did you mean `session`?"), "{typo}");
    let typo = funded("1000 sat", "hold = { slice = \"100 sat\", slises = 2 }").unwrap_err();
    assert!(typo.contains("did you mean `slices`?"), "{typo}");
    let text = funded("1000 sat", "session = \"a while\"").unwrap_err();
    assert!(text.contains("`a while` is not a prepayment"), "{text}");
    let both =
        funded("9000 sat", "session = \"50 sat\"\nhold = { slice = \"100 sat\", slices = 2 }").unwrap_err();
    assert!(both.contains("one of them"), "{both}");
    assert_eq!("4x100000sat".parse(), Ok(Slices { slice: Money(Msat(100_000_000)), slices: 4 }));
    assert!("4*1sat".parse::<Slices>().is_err() && "x1sat".parse::<Slices>().is_err());
}

#[test]
fn missing_and_wrong_files_are_named() {
    let missing = complaint("a.wasm", "b.wasm");
    assert!(missing.contains("cannot read") && missing.contains("b.wasm"), "{missing}");
    let text = complaint("a.wasm", "in.txt");
    assert!(text.contains("in.txt` is not a WebAssembly module: compile"), "{text}");
    let none = complaint("*.obj", "*.stl");
    assert!(none.contains("`*.stl` matches no file in"), "{none}");
    let gone = complaint("plain.txt", "plan.txt");
    assert!(gone.contains("plan.txt"), "{gone}");
}

#[test]
fn a_component_is_told_from_a_module() {
    let folder = folder();
    fs::write(folder.path().join("a.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    let error = prepare(GOOD, folder.path()).unwrap_err();
    assert!(error.contains("not a WebAssembly module but a component"), "{error}");
}

#[test]
fn a_job_file_cannot_send_files_from_elsewhere() {
    let outside = complaint("in.txt", "../secret");
    assert!(outside.contains("secret"), "{outside}");
    let parent = complaint("plain.txt", "../in.txt");
    assert!(parent.contains("`../in.txt` cannot be the name of an input file"), "{parent}");
    #[cfg(unix)]
    {
        let folder = folder();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("key"), b"secret").unwrap();
        fs::remove_file(folder.path().join("scene/plain.txt")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("key"), folder.path().join("scene/plain.txt"))
            .unwrap();
        let error = prepare(GOOD, folder.path()).unwrap_err();
        assert!(error.contains("only files in that folder are sent"), "{error}");
    }
}

#[test]
fn the_example_in_the_documentation_is_a_job_file() {
    let docs = include_str!("../src/buyer/job_file.rs");
    let text: Vec<&str> = docs
        .lines()
        .skip_while(|line| !line.contains("```toml"))
        .skip(1)
        .take_while(|line| !line.contains("```"))
        .map(|line| line.trim_start_matches("//!"))
        .collect();
    JobFile::parse(&text.join("\n")).unwrap();
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(cut in 0..GOOD.len(), insert in "\\PC{0,20}") {
        let mut text = GOOD.to_owned();
        while !text.is_char_boundary(cut) {
            text.push(' ');
        }
        text.insert_str(cut, &insert);
        let _ = JobFile::parse(&text);
        let _ = JobFile::parse(&text[..cut]);
    }
}
