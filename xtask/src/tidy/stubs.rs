//! What is there works; what is missing is named in the documentation, not left in the code.

use super::{Finding, Tree, rust};

// Put together, so that this file does not find itself.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        for (number, line) in (1..).zip(text.lines()) {
            let words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            for mark in words.filter(|word| MARKS.contains(word)) {
                findings.push(Finding::line(
                    path,
                    number,
                    format!("`{mark}`: do it, or name it in the docs"),
                ));
            }
        }
        for [name, bang] in rust::tokens(text).array_windows() {
            if bang.text == "!" && MACROS.contains(&name.text.as_str()) {
                findings.push(Finding::line(
                    path,
                    name.line,
                    format!("`{}!` does not belong here", name.text),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_stub_macros_are_found_and_words_that_contain_them_are_not() {
        let text =
            format!("// {}: later\nfn f() {{ todo!() }}\nfn todo() {{ PREFIX_{}; }}\n", MARKS[0], MARKS[2]);
        let found: Vec<_> =
            check(&Tree::of([("a.rs", &text)])).into_iter().map(|finding| finding.line).collect();
        assert_eq!(found, [1, 2]);
    }
}
