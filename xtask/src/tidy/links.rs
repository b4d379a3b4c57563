//! What the documentation points to is there: relative links and images, and paths in `code`.

use super::{Finding, Tree};
use pulldown_cmark::{Event, Parser, Tag};

/// A path in code counts when it begins with one of these.
const FOLDERS: [&str; 9] =
    ["benches/", "crates/", "docs/", "examples/", "fuzz/", "packaging/", "scripts/", "xtask/", ".ci/"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (event, range) in Parser::new(text).into_offset_iter() {
            let (target, exists) = match &event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    (dest_url, link_exists(tree, path, dest_url))
                }
                Event::Code(code) => (code, code_exists(tree, code)),
                _ => continue,
            };
            if !exists {
                let line = text[..range.start].matches('\n').count() + 1;
                findings.push(Finding::line(path, line, format!("`{target}` is not there")));
            }
        }
    }
    findings
}

fn link_exists(tree: &Tree, from: &str, target: &str) -> bool {
    let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
    let file = target.split_once('#').map_or(target, |(file, _)| file);
    // Without a file it is a heading of the same page.
    is_elsewhere || file.is_empty() || resolve(from, file).is_some_and(|path| tree.has(&path))
}

/// A path from the root has to be there; the end of a path to a Rust file, like `engine/mod.rs`, has to fit a file.
fn code_exists(tree: &Tree, code: &str) -> bool {
    let is_path = code.chars().all(|letter| letter.is_alphanumeric() || "/._-".contains(letter));
    if !is_path {
        true
    } else if FOLDERS.iter().any(|folder| code.starts_with(folder)) {
        tree.has(code.trim_end_matches('/'))
    } else {
        let end = format!("/{code}");
        !code.ends_with(".rs") || tree.ending(&end).next().is_some()
    }
}

/// The path from the root, or `None` when it leaves the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        let tree = Tree::of([
            ("docs/page.md", text),
            ("docs/adr/0001-a.md", ""),
            ("README.md", ""),
            ("a/engine/mod.rs", ""),
        ]);
        check(&tree).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn links_to_nothing_are_found() {
        assert_eq!(found("see\n[a](missing.md)\n"), [2]);
        assert_eq!(found("![a](../docs/missing.png)"), [1]);
        assert_eq!(found("[a](../../README.md)"), [1], "outside of the repository");
        assert_eq!(found("[a][b]\n\n[b]: missing.md#part\n"), [1]);
    }

    #[test]
    fn links_to_something_pass() {
        assert_eq!(found("[a](../README.md#top) [b](adr/0001-a.md) [c](adr) [d](#here)"), [0; 0]);
        assert_eq!(found("[a](https://example.org/x.md) <mailto:a@example.org>"), [0; 0]);
        assert_eq!(found("```\n[a](missing.md)\n```\n"), [0; 0], "code is no link");
    }

    #[test]
    fn paths_in_code_are_followed_when_they_are_paths_of_the_repository() {
        assert_eq!(found("`docs/gone.md` and\n`crates/gone/`"), [1, 2]);
        assert_eq!(found("`engine/gone.rs` and\n`engine/mod.rs` and\n`od.rs`"), [1, 3]);
        assert_eq!(found("`docs/adr/` `docs/*.md` `frames/001.png` `docs/a b`"), [0; 0]);
    }
}
