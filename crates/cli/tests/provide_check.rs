//! What a provider is told before it works.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use program::{Grist, market};
use serde_json::Value;

#[test]
fn the_check_runs_a_task_and_says_what_is_wrong() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let grist = Grist::at(&venue);
    let check = |args: &[&str]| {
        let said = grist.run(&[&["provide", "check", "--json"], args].concat());
        (said.code, said.stdout.lines().next().unwrap().parse::<Value>().unwrap())
    };
    let grade = |checks: &Value, name: &str| {
        let found = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {checks}"))["grade"].clone()
    };
    let (code, checks) = check(&["--price-per-task", "10sat"]);
    assert_eq!((code, grade(&checks, "speed")), (8, "ok".into()), "{checks}");
    assert!(checks.to_string().contains("grist machine add"), "{checks}");
    // What it says is done, and the machine works.
    grist.run(&["wallet", "topup", "1sat", "--pay"]).ok();
    grist.run(&["machine", "add"]).ok();
    let (code, checks) = check(&["--price-per-task", "10sat"]);
    assert_eq!(code, 0, "{checks}");
    let (code, checks) = check(&["--price-per-task", "10sat", "--max-cpus", "9999"]);
    assert_eq!((code, grade(&checks, "capacity")), (8, "fail".into()), "{checks}");
}

#[test]
fn a_provider_without_a_price_is_told_how_to_give_one() {
    let said = Grist::new().run(&["--market", "http://127.0.0.1:9", "provide"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("--price-per-task"), "{}", said.stderr);
}

#[test]
fn a_typo_in_the_settings_of_a_provider_is_answered_with_the_nearest_word() {
    let grist = Grist::new();
    std::fs::write(grist.path("provide.toml"), "max_cpu = 2\n").unwrap();
    let said = grist.run(&["--market", "http://127.0.0.1:9", "provide"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.stderr.contains("did you mean `max_cpus`?"), "{}", said.stderr);
}
