//! Every crate begins by saying what it is.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let roots = |path: &str| {
        path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.contains("/src/bin/")
    };
    let mute = tree.ending(".rs").filter(|(path, text)| roots(path) && !text.starts_with("//!"));
    mute.map(|(path, _)| Finding::file(path, "a crate begins with `//!` and what it is")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_a_header_is_found() {
        let tree = Tree::of([
            ("crates/a/src/lib.rs", "//! What it is.\n"),
            ("crates/b/src/lib.rs", "pub mod x;\n"),
            ("crates/b/src/x.rs", "fn f() {}\n"),
            ("crates/c/src/main.rs", "fn main() {}\n"),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["crates/b/src/lib.rs", "crates/c/src/main.rs"]);
    }
}
