//! A folder or module is named after what it holds. These names hold anything, so they grow for ever.

use super::{Finding, Tree, rust};

const BANNED: [&str; 9] =
    ["utils", "util", "common", "helpers", "helper", "manager", "managers", "types", "misc"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        let stems = path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
        for stem in stems.filter(|stem| BANNED.contains(stem)) {
            findings.push(Finding::file(path, format!("`{stem}` says nothing: name it after what it holds")));
        }
        if path.ends_with(".rs") {
            for [keyword, name] in rust::tokens(text).array_windows() {
                if keyword.text == "mod" && BANNED.contains(&name.text.as_str()) {
                    let message = format!("`mod {}` says nothing: name it after what it holds", name.text);
                    findings.push(Finding::line(path, name.line, message));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_modules_with_empty_names_are_found() {
        let tree = Tree::of([
            ("crates/a/src/utils.rs", ""),
            ("crates/common/src/lib.rs", ""),
            ("crates/a/src/lib.rs", "mod units;\npub mod types {}\n"),
            ("crates/a/src/helpers_of_mine.rs", "// mod misc;\n"),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect();
        let expected =
            [("crates/a/src/lib.rs", 2), ("crates/a/src/utils.rs", 1), ("crates/common/src/lib.rs", 1)];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }
}
