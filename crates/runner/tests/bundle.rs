//! Bundles: one encoding, strict decoding, safe unpacking.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use runner::{DecodeBundleError, ExtractError, MAX_FILES, OutputBundle};
use std::fs;

fn bundles() -> impl Strategy<Value = OutputBundle> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let files = proptest::collection::btree_map("[a-z]{1,8}(/[a-zA-Z0-9._ -]{1,8}x){0,3}", bytes(), 0..8);
    (bytes(), bytes(), files).prop_map(|(stdout, stderr, files)| OutputBundle { stdout, stderr, files })
}

proptest! {
    #[test]
    fn a_bundle_survives_its_encoding(bundle in bundles()) {
        let encoded = bundle.encode();
        prop_assert_eq!(OutputBundle::decode(&encoded, encoded.len()).unwrap(), bundle);
    }

    #[test]
    fn junk_is_refused_without_a_panic(mut junk in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(OutputBundle::decode(&junk, 1000).is_err());
        junk.splice(..0, *b"GRISTOB\x01");
        if let Ok(bundle) = OutputBundle::decode(&junk, 1000) {
            prop_assert_eq!(bundle.encode(), junk, "only the canonical encoding is taken");
        }
    }

    #[test]
    fn a_changed_bundle_is_never_taken_for_the_same(bundle in bundles(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut encoded = bundle.encode();
        let at = at.index(encoded.len());
        encoded[at] ^= flip;
        prop_assert_ne!(OutputBundle::decode(&encoded, encoded.len()), Ok(bundle));
    }
}

fn with_file(path: &str) -> OutputBundle {
    let mut bundle = OutputBundle::default();
    bundle.files.insert(path.into(), b"content".to_vec());
    bundle
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["/etc/passwd", "../x", "a/../../x", "a\\..\\x", "C:x", "", "a//b"] {
        let bundle = with_file(path);
        assert!(
            matches!(OutputBundle::decode(&bundle.encode(), 1000), Err(DecodeBundleError::Path(_))),
            "{path}"
        );
        assert!(matches!(bundle.extract(folder.path()), Err(ExtractError::Path(_))), "{path}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn too_large_bundles_and_too_many_files_are_refused() {
    let encoded = with_file("a").encode();
    assert!(matches!(OutputBundle::decode(&encoded, 10), Err(DecodeBundleError::TooLarge { .. })));
    let mut many = OutputBundle::default();
    many.files.extend((0..=MAX_FILES).map(|number| (number.to_string(), Vec::new())));
    assert_eq!(
        OutputBundle::decode(&many.encode(), 1 << 20),
        Err(DecodeBundleError::TooManyFiles(MAX_FILES + 1))
    );
}

#[test]
fn unpacking_writes_and_replaces_files() {
    let folder = tempfile::tempdir().unwrap();
    with_file("frames/0001.png").extract(folder.path()).unwrap();
    with_file("frames/0001.png").extract(folder.path()).unwrap();
    assert_eq!(fs::read(folder.path().join("frames/0001.png")).unwrap(), b"content");
}

#[cfg(unix)]
#[test]
fn unpacking_never_follows_a_symbolic_link() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("frames")).unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join("file")).unwrap();
    assert!(matches!(with_file("frames/victim").extract(folder.path()), Err(ExtractError::InTheWay(_))));
    with_file("file").extract(folder.path()).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"content");
}
