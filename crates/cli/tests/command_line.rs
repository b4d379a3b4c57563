//! What the program says when it is asked about itself, or asked wrongly.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use program::Grist;

#[test]
fn the_help_lists_every_command() {
    let said = Grist::new().run(&["--help"]).ok();
    insta::assert_snapshot!(said.stdout);
}

#[test]
fn a_command_with_a_typo_is_answered_with_the_nearest_one() {
    let said = Grist::new().run(&["offer"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("'offers'"), "{}", said.stderr);
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let grist = Grist::new();
    let said = grist.run(&["--json", "wallet", "balance"]);
    let error = &said.json()["error"];
    assert_eq!((said.code, error["exit_code"].as_i64(), error["code"].as_str()), (2, Some(2), Some("usage")));
    assert!(error["message"].as_str().unwrap().contains("--market"));
    assert_eq!(said.stderr, "");
    let said = grist.run(&["--json", "walet"]);
    assert_eq!(said.json()["error"]["exit_code"], 2);
}

#[test]
fn every_exit_code_is_documented_in_the_help() {
    let grist = Grist::new();
    let listed = grist.run(&["exit-codes"]).ok().stdout;
    let help = grist.run(&["help", "exit-codes"]).ok().stdout;
    for line in listed.lines() {
        let meaning = line.trim().trim_start_matches(|c: char| c.is_ascii_digit()).trim();
        let first = meaning.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        assert!(help.contains(&first), "`{first}` is not in:\n{help}");
    }
    assert!(listed.contains("130"));
}

#[test]
fn a_market_that_is_not_there_has_an_exit_code_of_its_own() {
    // Port 9 (discard) is closed on every ordinary machine.
    let said = Grist::new().run(&["--market", "http://127.0.0.1:9", "offers"]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.stderr.contains("does not answer"), "{}", said.stderr);
}

#[test]
fn plain_http_to_another_machine_is_refused() {
    let said = Grist::new().run(&["--market", "http://example.org", "offers"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("unencrypted"), "{}", said.stderr);
}

#[test]
fn completions_and_manual_pages_are_generated() {
    let grist = Grist::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = grist.run(&["completions", shell]).ok().stdout;
        assert!(script.contains("grist") && script.contains("wallet"), "{shell}");
    }
    let folder = grist.path("man");
    grist.run(&["man", folder.to_str().unwrap()]).ok();
    let page = std::fs::read_to_string(folder.join("grist-wallet-topup.1")).unwrap();
    assert!(page.contains(".TH"), "{page}");
    assert!(!folder.join("grist-worker.1").exists(), "the internal command has no page");
}

#[test]
fn the_version_names_the_execution_profiles() {
    let json = Grist::new().run(&["version", "--json"]).ok().json();
    assert_eq!(json["profiles"][0]["name"], "wasm-1");
    assert_eq!(json["profiles"][0]["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn a_typo_in_the_settings_is_found() {
    let grist = Grist::new();
    std::fs::write(grist.path("config.toml"), "markt = \"http://127.0.0.1:1\"").unwrap();
    let said = grist.run(&["offers"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.stderr.contains("config.toml") && said.stderr.contains("`market`"), "{}", said.stderr);
}

#[test]
fn a_job_file_with_a_typo_is_answered_with_the_nearest_word() {
    let grist = Grist::new();
    let job = grist.path("job.toml");
    std::fs::write(&job, "name = \"x\"\nmodul = \"x.wasm\"\n").unwrap();
    let said = grist.run(&["--market", "http://127.0.0.1:9", "run", job.to_str().unwrap(), "--dry-run"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.stderr.contains("did you mean `module`?"), "{}", said.stderr);
}

#[test]
fn no_escape_codes_reach_a_pipe() {
    let said = Grist::new().run(&["version"]).ok();
    assert!(!said.stdout.contains('\u{1b}') && !said.stderr.contains('\u{1b}'));
    let said = Grist::new().run(&["wallet", "balance"]);
    assert!(!said.stderr.contains('\u{1b}'), "{}", said.stderr);
}
