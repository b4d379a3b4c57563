//! The cache gives back what was compiled here, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod programs;

use market::id::Digest;
use programs::{ENGINE, program};
use runner::{CompiledModule, InvalidModule, ModuleCache};
use std::{convert::Infallible, fs, path::PathBuf};

fn entries(folder: &std::path::Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "cwasm")).collect();
    paths.sort();
    paths
}

fn never(_: &[u8]) -> Result<CompiledModule, Infallible> {
    panic!("compiled again")
}

#[test]
fn a_module_is_compiled_once_and_found_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = program(programs::HELLO);
    let cache = ModuleCache::open(folder.path(), 1 << 30).unwrap();
    let compiled = cache.get_or_compile(&wasm, ENGINE.compatibility(), |wasm| ENGINE.compile(wasm)).unwrap();
    cache.get_or_compile(&wasm, ENGINE.compatibility(), never).unwrap();
    let reopened = ModuleCache::open(folder.path(), 1 << 30).unwrap();
    let found = reopened.get_or_compile(&wasm, ENGINE.compatibility(), never).unwrap();
    assert_eq!(found.code(), compiled.code());
    assert!(ENGINE.load(&found).is_ok());
    assert!(reopened.get(Digest::of(&wasm), Digest::of(b"another processor")).unwrap().is_none());
}

#[test]
fn a_file_with_a_wrong_mac_is_removed_reported_and_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = program(programs::HELLO);
    let compile = |wasm: &[u8]| ENGINE.compile(wasm);
    ModuleCache::open(folder.path(), 1 << 30)
        .unwrap()
        .get_or_compile(&wasm, ENGINE.compatibility(), compile)
        .unwrap();
    let [path] = &entries(folder.path())[..] else { panic!("one entry") };
    let genuine = fs::read(path).unwrap();
    let mut in_code = genuine.clone();
    *in_code.last_mut().unwrap() ^= 1;
    let mut in_mac = genuine.clone();
    in_mac[0] ^= 1;
    for damaged in [in_code, in_mac, genuine[..10].to_vec(), Vec::new()] {
        fs::write(path, damaged).unwrap();
        let cache = ModuleCache::open(folder.path(), 1 << 30).unwrap();
        assert!(cache.get(Digest::of(&wasm), ENGINE.compatibility()).unwrap().is_none());
        assert_eq!(cache.rejected(), 1);
        assert!(!path.exists());
        cache.get_or_compile(&wasm, ENGINE.compatibility(), compile).unwrap();
        assert_eq!(fs::read(path).unwrap(), genuine);
    }
}

#[test]
fn a_file_of_another_cache_or_another_module_is_refused() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (hello, nosy) = (program(programs::HELLO), program(programs::NOSY));
    let compile = |wasm: &[u8]| ENGINE.compile(wasm);
    for folder in [&here, &there] {
        let cache = ModuleCache::open(folder.path(), 1 << 30).unwrap();
        cache.get_or_compile(&hello, ENGINE.compatibility(), compile).unwrap();
    }
    fs::copy(&entries(there.path())[0], &entries(here.path())[0]).unwrap();
    let cache = ModuleCache::open(here.path(), 1 << 30).unwrap();
    assert!(cache.get(Digest::of(&hello), ENGINE.compatibility()).unwrap().is_none());

    cache.get_or_compile(&hello, ENGINE.compatibility(), compile).unwrap();
    let hello_path = entries(here.path()).remove(0);
    cache.get_or_compile(&nosy, ENGINE.compatibility(), compile).unwrap();
    let nosy_path = entries(here.path()).into_iter().find(|path| *path != hello_path).unwrap();
    fs::copy(hello_path, nosy_path).unwrap();
    let cache = ModuleCache::open(here.path(), 1 << 30).unwrap();
    assert!(cache.get(Digest::of(&nosy), ENGINE.compatibility()).unwrap().is_none(), "under another name");
}

#[test]
fn the_cache_stays_below_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ModuleCache::open(folder.path(), 1).unwrap();
    for body in [programs::HELLO, programs::NOSY] {
        cache.get_or_compile(&program(body), ENGINE.compatibility(), |wasm| ENGINE.compile(wasm)).unwrap();
        assert_eq!(entries(folder.path()).len(), 1, "only the newest stays");
    }
}

#[test]
fn what_cannot_be_compiled_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ModuleCache::open(folder.path(), 1 << 30).unwrap();
    let result = cache.get_or_compile(b"junk", ENGINE.compatibility(), |wasm| ENGINE.compile(wasm));
    assert!(matches!(result, Err(InvalidModule(_))));
    assert_eq!(entries(folder.path()), Vec::<PathBuf>::new());
}

#[cfg(unix)]
#[test]
fn the_key_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    ModuleCache::open(folder.path(), 1).unwrap();
    assert_eq!(fs::metadata(folder.path().join("key")).unwrap().permissions().mode() & 0o777, 0o600);
}
