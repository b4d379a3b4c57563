//! What a provider is told before it works.

mod program;

use program::{Grist, market};

#[test]
fn the_check_runs_a_task_and_says_what_is_wrong() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let grist = Grist::at(&venue);
    let said = grist.run(&["provide", "check", "--price-per-task", "10sat", "--json"]);
    let findings = said.json();
    let finding =
        |what: &str| findings.as_array().unwrap().iter().find(|f| f["what"] == what).unwrap().clone();
    assert_eq!(finding("worker")["ok"], true, "{findings}");
    assert_eq!(finding("market")["ok"], true);
    assert_eq!(finding("clock")["ok"], true);
    let without = grist.run(&["provide", "check"]);
    assert_eq!(without.code, 8, "{without:?}");
    assert!(without.stdout.contains("--price-per-task"), "{}", without.stdout);
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
