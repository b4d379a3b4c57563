//! Pure crates: the same input gives the same output, to the byte, on every machine and for ever.

use super::{Finding, Tree, is_test, rust};

/// Folders of pure crates, and what each may use of what is forbidden: reports reckon in floats, and know durations.
const PURE: [(&str, &[&str]); 2] = [("crates/market", &[]), ("crates/econ", &["f64", "time"])];

/// Modules of `std` that reach outside, or whose answers change from run to run.
const MODULES: [&str; 8] = ["env", "fs", "io", "net", "os", "process", "thread", "time"];

/// Names that do the same, and floats, whose rounding is no rule for money.
const NAMES: [&str; 12] = [
    "HashMap",
    "HashSet",
    "Instant",
    "OsRng",
    "SystemTime",
    "Timestamp",
    "Zoned",
    "f32",
    "f64",
    "getrandom",
    "thread_rng",
    "tokio",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| !is_test(path)) {
        let Some((_, allowed)) = PURE.iter().find(|(folder, _)| path.starts_with(&format!("{folder}/src/")))
        else {
            continue;
        };
        let is_forbidden = |name: &str, among: &[&str]| among.contains(&name) && !allowed.contains(&name);
        let tokens = rust::tokens(text);
        for module in
            rust::std_modules(&tokens).into_iter().filter(|token| is_forbidden(&token.text, &MODULES))
        {
            let message = format!("`std::{}` in a pure crate: make it an argument", module.text);
            findings.push(Finding::line(path, module.line, message));
        }
        for name in tokens.iter().filter(|token| is_forbidden(&token.text, &NAMES)) {
            let message = format!("`{}` in a pure crate: use integers, ordered maps, arguments", name.text);
            findings.push(Finding::line(path, name.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_files_hash_maps_and_floats_are_found_in_pure_crates_only() {
        let text = "use std::{collections::HashMap, fs};\nlet now = std::time::now();\nlet x: f64;\n";
        let tree = Tree::of([
            ("crates/market/src/a.rs", text),
            ("crates/market/src/a/tests.rs", text),
            ("crates/market/tests/a.rs", text),
            ("crates/node/src/a.rs", text),
        ]);
        let findings = check(&tree);
        assert!(findings.iter().all(|finding| finding.path == "crates/market/src/a.rs"), "{findings:?}");
        let mut lines: Vec<_> = findings.into_iter().map(|finding| finding.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 1, 2, 3]);
    }
}
