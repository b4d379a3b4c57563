//! Dependencies point inward, come from the table of the workspace, and every crate takes the workspace's lints.

use super::{Finding, Tree};
use toml::{Table, Value};

/// The crates, and those of ours that each may know. Whoever adds a crate decides here where it stands.
const CRATES: [(&str, &[&str]); 9] = [
    ("market", &[]),
    ("econ", &["market"]),
    ("train", &["market"]),
    ("pay", &["market"]),
    ("runner", &["market"]),
    ("node", &["market", "econ", "train", "pay", "runner"]),
    ("cli", &["market", "econ", "train", "pay", "runner", "node"]),
    ("sim", &["market", "pay", "runner", "node"]),
    ("xtask", &[]),
];

/// Everything that a pure crate may depend on: computation only, no runtime, no system. `jiff` is there for calendar dates;
/// that nobody asks it for the time is checked in the sources.
const PURE_DEPENDENCIES: [&str; 19] = [
    "blake3",
    "csv",
    "ct-merkle",
    "data-encoding",
    "ed25519-dalek",
    "ethnum",
    "jiff",
    "libm",
    "plotters",
    "postcard",
    "rand",
    "rand_chacha",
    "rust_decimal",
    "serde",
    "serde_json",
    "sha2",
    "strsim",
    "thiserror",
    "toml",
];
const PURE: [&str; 3] = ["market", "econ", "train"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let members = |path: &str| path.starts_with("crates/") || path.starts_with("xtask/");
    for (path, text) in tree.ending("/Cargo.toml").filter(|(path, _)| members(path)) {
        match text.parse::<Table>() {
            Ok(manifest) => {
                findings.extend(problems(&manifest).into_iter().map(|message| Finding::file(path, message)));
            }
            Err(error) => findings.push(Finding::file(path, error.message())),
        }
    }
    findings
}

fn problems(manifest: &Table) -> Vec<String> {
    let name =
        manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or("");
    let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == name) else {
        return vec![format!("`{name}` is no crate that the layers know: decide where it stands, in xtask")];
    };
    let mut problems = Vec::new();
    if !takes_from_workspace(manifest.get("lints")) {
        problems.push("the crate does not take the lints of the workspace".to_owned());
    }
    for (section, dependency, value) in dependencies(manifest) {
        if !takes_from_workspace(Some(value)) {
            problems.push(format!("`{dependency}` does not come from the table of the workspace"));
        }
        let ours = CRATES.iter().any(|(known, _)| *known == dependency);
        if ours && !allowed.contains(&dependency) {
            problems.push(format!("`{name}` may not know `{dependency}`: dependencies point inward"));
        }
        let pure = PURE.contains(&name) && section == "dependencies";
        if pure && !ours && !PURE_DEPENDENCIES.contains(&dependency) {
            problems.push(format!("`{name}` is pure; `{dependency}` is not among what pure crates may use"));
        }
    }
    problems
}

fn takes_from_workspace(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// Section, name and value of each dependency, those of single platforms included.
fn dependencies(manifest: &Table) -> Vec<(&str, &str, &Value)> {
    let platforms =
        manifest.get("target").and_then(Value::as_table).into_iter().flat_map(|targets| targets.values());
    let tables = std::iter::once(manifest).chain(platforms.filter_map(Value::as_table));
    let mut found = Vec::new();
    for table in tables {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(entries) = table.get(section).and_then(Value::as_table) {
                found.extend(entries.iter().map(|(name, value)| (section, name.as_str(), value)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(dependencies: &str) -> Vec<String> {
        let manifest = format!("[package]\nname = \"market\"\n[lints]\nworkspace = true\n{dependencies}");
        check(&Tree::of([("crates/market/Cargo.toml", &manifest)]))
            .into_iter()
            .map(|found| found.message)
            .collect()
    }

    #[test]
    fn a_sound_manifest_passes() {
        let sound =
            "[dependencies]\nserde = { workspace = true }\n[dev-dependencies]\ninsta = { workspace = true }";
        assert_eq!(problems_of(sound), [""; 0]);
    }

    #[test]
    fn a_dependency_that_points_outward_is_found_on_every_platform() {
        for section in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
            let found = problems_of(&format!("[{section}]\nnode = {{ workspace = true }}"));
            assert!(
                found.contains(&"`market` may not know `node`: dependencies point inward".into()),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_runtime_in_a_pure_crate_is_found() {
        let found = problems_of("[dependencies]\ntokio = { workspace = true }");
        assert_eq!(found, ["`market` is pure; `tokio` is not among what pure crates may use"]);
    }

    #[test]
    fn a_version_or_a_lint_of_ones_own_is_found() {
        assert_eq!(
            problems_of("[dev-dependencies]\ninsta = \"1\""),
            ["`insta` does not come from the table of the workspace"]
        );
        let manifest = "[package]\nname = \"pay\"\n";
        let found = check(&Tree::of([("crates/pay/Cargo.toml", manifest)]));
        assert_eq!(found[0].message, "the crate does not take the lints of the workspace");
    }

    #[test]
    fn an_unknown_crate_and_a_broken_manifest_are_found() {
        let tree = Tree::of([
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("crates/b/Cargo.toml", "[package\n"),
        ]);
        assert_eq!(check(&tree).len(), 2);
    }
}
