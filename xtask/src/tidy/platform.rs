//! What only Linux has sits in the sandbox of `runner`, so that the rest builds elsewhere; `unsafe` sits in one file.

use super::{Finding, Tree, rust};

/// Where Linux-only code may be, and why.
const LINUX: [(&str, &str); 5] = [
    ("benches/", "measures this machine beside others"),
    ("crates/runner/src/sandbox.rs", "chooses the system's sandbox"),
    ("crates/runner/src/sandbox/", "is the sandbox"),
    ("crates/runner/tests/worker.rs", "tests what the sandbox reports"),
    ("crates/node/tests/journal_crash.rs", "fills a small file system up"),
];

/// Where `unsafe` may be, and why.
const UNSAFE: [(&str, &str); 1] =
    [("crates/runner/src/engine.rs", "loads machine code that was compiled here")];

/// Crates that speak to the kernel.
const KERNEL: [&str; 4] = ["landlock", "libc", "rustix", "seccompiler"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let tokens = rust::tokens(text);
        if !allowed(&LINUX, path) {
            let kernel = tokens.iter().filter(|token| KERNEL.contains(&token.text.as_str()));
            let target = tokens
                .windows(3)
                .filter(|window| window[0].text == "target_os" && window[2].text == "\"linux\"");
            let os = tokens.windows(4).filter(|window| window[0].text == "os" && window[3].text == "linux");
            for token in kernel.chain(target.map(|window| &window[0])).chain(os.map(|window| &window[3])) {
                let message =
                    format!("`{}`: what is Linux-only belongs into the sandbox of `runner`", token.text);
                findings.push(Finding::line(path, token.line, message));
            }
        }
        if !allowed(&UNSAFE, path) {
            for token in tokens.iter().filter(|token| token.text == "unsafe") {
                findings.push(Finding::line(path, token.line, "`unsafe` belongs into one file of `runner`"));
            }
        }
    }
    findings
}

fn allowed(places: &[(&str, &str)], path: &str) -> bool {
    places.iter().any(|(place, _)| path == *place || (place.ends_with('/') && path.starts_with(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_and_unsafe_code_are_found_outside_their_places() {
        let text =
            "use landlock::ABI;\n#[cfg(target_os = \"linux\")]\nuse std::os::linux::fs;\nunsafe { f() }\n";
        let tree = Tree::of([
            ("crates/node/src/a.rs", text),
            ("crates/runner/src/sandbox/linux.rs", "use landlock::ABI;\n"),
            ("crates/runner/src/engine.rs", "unsafe { f() }\n"),
            ("crates/runner/src/sandboxes.rs", "// landlock, unsafe\nuse std::os::unix::fs;\n"),
        ]);
        let mut found: Vec<_> =
            check(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect();
        found.sort();
        assert_eq!(found, [1, 2, 3, 4].map(|line| ("crates/node/src/a.rs".to_owned(), line)));
    }
}
