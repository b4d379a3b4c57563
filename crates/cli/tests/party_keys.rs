//! A party's key, on disk and in words.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use program::Grist;

fn phrase(grist: &Grist) -> String {
    let json = grist.run(&["party", "backup", "--yes", "--json"]).ok().json();
    json["recovery_phrase"].as_str().unwrap().to_owned()
}

#[test]
fn a_party_comes_back_from_its_words() {
    let grist = Grist::new();
    let made = grist.run(&["party", "new", "--json"]).ok().json();
    assert_eq!(made["recovery_phrase"], phrase(&grist));
    let elsewhere = Grist::new();
    // As `backup` prints it for people, numbers and all.
    let printed = grist.run(&["party", "backup", "--yes"]).ok().stdout;
    let back = elsewhere.run_with(&["party", "restore", "--json"], &printed).ok().json();
    assert_eq!(back["key"], made["key"]);
    let (one, other) = (grist.path("party.key"), elsewhere.path("party.key"));
    assert_eq!(std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
}

#[test]
fn wrong_words_bring_nothing_back() {
    let grist = Grist::new();
    let said = grist.run_with(&["party", "restore"], &"abandon ".repeat(24));
    assert_eq!(said.code, 9, "{said:?}");
    assert!(said.stderr.contains("checksum"), "{}", said.stderr);
    assert!(!grist.path("party.key").exists());
}

#[test]
fn a_key_is_never_overwritten() {
    let grist = Grist::new();
    grist.run(&["party", "new"]).ok();
    let before = phrase(&grist);
    for args in [&["party", "new"][..], &["party", "restore"]] {
        let said = grist.run_with(args, &"abandon ".repeat(24));
        assert_eq!(said.code, 9, "{said:?}");
    }
    assert_eq!(phrase(&grist), before);
}

#[test]
fn the_phrase_is_not_shown_without_a_yes() {
    let grist = Grist::new();
    grist.run(&["party", "new"]).ok();
    let word = phrase(&grist).split(' ').next().unwrap().to_owned();
    let said = grist.run(&["party", "backup"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(!said.stdout.contains(&word), "{}", said.stdout);
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let grist = Grist::new();
    grist.run(&["party", "new"]).ok();
    let file = grist.path("party.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = grist.run(&["party", "backup", "--yes"]);
    assert_eq!(said.code, 9, "{said:?}");
    assert!(said.stderr.contains("chmod 600") && said.stderr.contains("640"), "{}", said.stderr);
}

#[test]
fn profiles_have_keys_of_their_own() {
    let grist = Grist::new();
    let one = grist.run(&["party", "new", "--json"]).ok().json();
    let other = grist.run(&["party", "new", "--profile", "second", "--json"]).ok().json();
    assert_ne!(one["key"], other["key"]);
    assert_eq!(grist.run(&["party", "new", "--profile", "../out"]).code, 2);
}
