//! `grist lightning` as far as it goes without a chain; `scripts/regtest` has the rest.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use program::Grist;

#[test]
fn a_command_that_needs_a_node_says_where_one_comes_from() {
    let said = Grist::new().run(&["lightning", "info"]);
    let (code, advice) =
        if cfg!(feature = "ldk") { (3, "grist lightning init") } else { (2, "--features ldk") };
    assert_eq!(said.code, code, "{said:?}");
    assert!(said.stderr.contains(advice) && said.stderr.lines().count() == 1, "{}", said.stderr);
}

#[test]
fn a_market_on_a_node_that_is_not_there_does_not_open() {
    let said = Grist::new().run(&["market", "--lightning", "ldk", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, if cfg!(feature = "ldk") { 3 } else { 2 }, "{said:?}");
    assert!(said.stderr.contains("Lightning node"), "{}", said.stderr);
}

#[cfg(feature = "ldk")]
mod with_a_node {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    const ESPLORA: [&str; 2] = ["--esplora", "http://127.0.0.1:9"];

    fn init<'a>(network: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["--json", "lightning", "init", "--network", network];
        args.extend(ESPLORA);
        args.extend(more);
        args
    }

    #[test]
    fn a_node_is_made_once_and_its_words_make_it_again() {
        let grist = Grist::new();
        let made = grist.run(&init("regtest", &[])).ok().json();
        let seed = made["seed"].as_str().unwrap();
        assert_eq!(fs::metadata(seed).unwrap().permissions().mode() & 0o777, 0o600);
        let again = grist.run(&init("regtest", &[]));
        assert_eq!(again.code, 9, "a seed is never replaced: {again:?}");

        let words = grist.run(&["--json", "lightning", "words", "--yes"]).ok().json();
        let words = words["words"].as_str().unwrap();
        assert_eq!(words.split(' ').count(), 24);
        let other = Grist::new();
        let paper = other.path("paper");
        fs::write(&paper, words).unwrap();
        fs::set_permissions(&paper, fs::Permissions::from_mode(0o600)).unwrap();
        other.run(&init("regtest", &["--words", paper.to_str().unwrap()])).ok();
        let restored = other.run(&["--json", "lightning", "words", "--yes"]).ok().json();
        assert_eq!(restored["words"], words);
    }

    #[test]
    fn nobody_gets_onto_mainnet_by_accident() {
        let grist = Grist::new();
        let said = grist.run(&init("bitcoin", &[]));
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stdout.contains("real bitcoin"), "{}", said.stdout);
        assert!(!grist.path("data").exists(), "nothing was made");
    }

    #[test]
    fn a_chain_that_does_not_answer_has_an_exit_code_of_its_own() {
        let grist = Grist::new();
        grist.run(&init("regtest", &[])).ok();
        let said = grist.run(&["lightning", "balance"]);
        assert_eq!(said.code, 5, "{said:?}");
        assert!(said.stderr.contains("chain source"), "{}", said.stderr);
    }
}
