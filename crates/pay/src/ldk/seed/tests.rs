use super::*;
use std::fs;

/// The published example of BIP-39 for all-zero entropy.
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art";

fn private(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    file
}

#[test]
fn the_published_words_give_the_published_seed() {
    let seed = Seed::from_words(WORDS).unwrap();
    // BIP-39, without a passphrase; computed with the reference implementation.
    let hex = data_encoding::HEXLOWER.encode(seed.bytes().as_ref());
    assert!(hex.starts_with("408b285c123836004f4b8842c89324c1f01382450c0d439af345ba7fc49acf70"), "{hex}");
}

#[test]
fn an_encrypted_seed_opens_with_its_passphrase_only() {
    let folder = tempfile::tempdir().unwrap();
    let right = SecretRef::File(private(folder.path(), "right", "one"));
    let wrong = SecretRef::File(private(folder.path(), "wrong", "two"));
    let file = folder.path().join("seed");
    let seed = Seed::from_words(WORDS).unwrap();
    seed.create(&file, Some(&right)).unwrap();

    let stored = fs::read_to_string(&file).unwrap();
    assert!(stored.starts_with(AGE_MARK) && !stored.contains("abandon"), "{stored}");
    assert_eq!(*Seed::read(&file, Some(&right)).unwrap().words(), WORDS);
    assert!(matches!(Seed::read(&file, Some(&wrong)), Err(SeedError::WrongPassphrase { .. })));
    assert!(matches!(Seed::read(&file, None), Err(SeedError::Locked(_))));
    assert!(matches!(seed.create(&file, None), Err(SeedError::Exists(_))), "a seed is never replaced");
}

#[cfg(unix)]
#[test]
fn a_seed_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seed");
    Seed::from_words(WORDS).unwrap().create(&file, None).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert!(matches!(
        Seed::read(&file, None),
        Err(SeedError::Secret(SecretError::Exposed { mode: 0o640, .. }))
    ));
}

#[test]
fn a_seed_does_not_print_itself() {
    let seed = Seed::generate().unwrap();
    let words = seed.words();
    let shown = format!("{seed:?}");
    assert!(words.split(' ').filter(|word| word.len() > 4).all(|word| !shown.contains(word)), "{shown}");
    assert_ne!(*words, *Seed::generate().unwrap().words());
}

#[test]
fn wrong_words_are_refused() {
    for words in ["", "abandon", &WORDS.replace("art", "abandon"), &WORDS.replace("art", "gristmill")] {
        assert!(matches!(Seed::from_words(words), Err(SeedError::Words(_))), "{words}");
    }
    // Twelve words are a seed, but not one of 256 bits.
    let twelve =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    assert!(matches!(Seed::from_words(twelve), Err(SeedError::Words(_))));
}
