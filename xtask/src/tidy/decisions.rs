//! Each decision record has a number of its own, the same in its name and in its title.

use super::{Finding, Tree};
use std::collections::BTreeMap;

const FOLDER: &str = "docs/adr/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut owners = BTreeMap::new();
    for (path, text) in tree.files() {
        let Some(name) = path.strip_prefix(FOLDER) else { continue };
        let digits = name.split('-').next().filter(|digits| digits.len() == 4);
        let Some(number) = digits.and_then(|digits| digits.parse::<u32>().ok()) else {
            findings.push(Finding::file(path, "a decision is named like 0007-what-was-decided.md"));
            continue;
        };
        if !text.starts_with(&format!("# {number}. ")) {
            findings.push(Finding::file(path, format!("the title begins with `# {number}. `")));
        }
        if let Some(owner) = owners.insert(number, path) {
            findings.push(Finding::file(path, format!("{owner} has the number {number} already")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_names_titles_and_shared_numbers_are_found() {
        let tree = Tree::of([
            ("docs/adr/0001-good.md", "# 1. Good\n"),
            ("docs/adr/0002-one.md", "# 2. One\n"),
            ("docs/adr/0002-other.md", "# 2. Other\n"),
            ("docs/adr/0003-title.md", "# 4. Title\n"),
            ("docs/adr/notes.md", "# 5. Notes\n"),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["docs/adr/0002-other.md", "docs/adr/0003-title.md", "docs/adr/notes.md"]);
    }
}
