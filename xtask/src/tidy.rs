//! The rules of this repository that neither rustfmt nor clippy know, one file a rule.
//!
//! Deliberately not here: the length of functions, `todo!`, `dbg!`, `unwrap` (clippy, see `clippy.toml` and the
//! workspace's lints) and the layout of Rust code (rustfmt).

mod decisions;
mod docs;
mod layers;
mod links;
mod names;
mod platform;
mod purity;
mod rust;
mod sizes;
mod stubs;
mod whitespace;

use anyhow::{Context as _, ensure};
use std::{collections::BTreeMap, fmt, fs, path::Path, process::Command};

/// One broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    /// Something about a file as a whole.
    fn file(path: &str, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line: 1, message: message.into() }
    }

    /// Something on a line; the first is 1.
    fn line(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The files of the repository: paths relative to its root, with `/`, and their text (empty for binary files).
#[derive(Debug)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// What git knows or would add; ignored files are nobody's business.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Tree> {
        let output = Command::new("git")
            // Who owns the folder does not matter for a list of names, and differs in containers.
            .args(["-c", "safe.directory=*"])
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("tidy asks git for the list of files, and git does not start")?;
        ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
        let list = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        let mut files = BTreeMap::new();
        for path in list.split_terminator('\0') {
            // A deleted file stays in git's list until the deletion is added.
            if let Ok(bytes) = fs::read(root.join(path)) {
                files.insert(path.to_owned(), String::from_utf8(bytes).unwrap_or_default());
            }
        }
        Ok(Tree(files))
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn ending(&self, suffix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| path.ends_with(suffix))
    }

    /// Whether there is such a file, or a folder with files.
    fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.0.contains_key(path)
            || self.0.range(folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&folder))
    }

    #[cfg(test)]
    fn of<const N: usize>(files: [(&str, &str); N]) -> Tree {
        Tree(files.map(|(path, text)| (path.to_owned(), text.to_owned())).into())
    }
}

/// Whether a file holds tests only.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests")
}

/// Every broken rule, in the order of files.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let rules = [
        sizes::check,
        names::check,
        whitespace::check,
        stubs::check,
        docs::check,
        purity::check,
        platform::check,
        layers::check,
        links::check,
        decisions::check,
    ];
    let mut findings: Vec<_> = rules.iter().flat_map(|rule| rule(tree)).collect();
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_exists_when_a_file_lies_in_it() {
        let tree = Tree::of([("docs/adr/0001-a.md", ""), ("docs-old.md", "")]);
        for path in ["", "docs", "docs/adr", "docs/adr/0001-a.md"] {
            assert!(tree.has(path), "{path}");
        }
        for path in ["doc", "docs/ad", "docs/adr/0001"] {
            assert!(!tree.has(path), "{path}");
        }
    }

    #[test]
    fn findings_come_in_the_order_of_files_and_name_the_line() {
        let tree = Tree::of([("b.md", "x \n"), ("a.md", "y\nx \n")]);
        let found: Vec<_> = check(&tree).iter().map(Finding::to_string).collect();
        assert_eq!(found, ["a.md:2: space at the end of the line", "b.md:1: space at the end of the line"]);
    }
}
