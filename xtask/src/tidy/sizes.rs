//! A file has one idea: it stays short enough to be read at once.

use super::{Finding, Tree, is_test};

const LINES_MAX: usize = 600;
const TEST_LINES_MAX: usize = 800;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let (lines, max) = (text.lines().count(), if is_test(path) { TEST_LINES_MAX } else { LINES_MAX });
        if lines > max {
            findings.push(Finding::file(path, format!("{lines} lines, more than {max}: split it by ideas")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_and_tests_may_be_longer() {
        let long = "//\n".repeat(601);
        let longer = "//\n".repeat(801);
        let tree = Tree::of([
            ("crates/a/src/long.rs", &long),
            ("crates/a/src/short.rs", &long[3..]),
            ("crates/a/src/x/tests.rs", &long),
            ("crates/a/tests/longer.rs", &longer),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["crates/a/src/long.rs", "crates/a/tests/longer.rs"]);
    }
}
