//! Text files are clean. Rust files are rustfmt's.

use super::{Finding, Tree};

const ENDINGS: [&str; 10] =
    [".md", ".toml", ".sh", ".service", ".html", ".css", ".js", ".mjs", "justfile", ".ci/run"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| ENDINGS.iter().any(|ending| path.ends_with(ending))) {
        for (number, line) in (1..).zip(text.split('\n')) {
            if line.ends_with(char::is_whitespace) {
                findings.push(Finding::line(path, number, "space at the end of the line"));
            }
            if line.contains('\t') {
                findings.push(Finding::line(path, number, "a tab: use spaces"));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            findings.push(Finding::line(path, text.lines().count(), "no line break at the end of the file"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_tabs_and_missing_ends_are_found() {
        let tree = Tree::of([
            ("a.md", "clean\n\nend\n"),
            ("b.toml", "x = 1 \r\n"),
            ("c/justfile", "run:\n\tcargo run\n"),
            ("d.sh", "true"),
            ("e.obj", "v 1 2 3 \n"),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect();
        assert_eq!(
            found,
            [("b.toml", 1), ("c/justfile", 2), ("d.sh", 1)].map(|(path, line)| (path.to_owned(), line))
        );
    }
}
