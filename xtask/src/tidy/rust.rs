//! Rust source as tokens: comments, strings and layout do not matter to the rules that read it.

use proc_macro2::{TokenStream, TokenTree};

/// A token and where it stands; the first line is 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// The tokens of a file, brackets included. A file that is no Rust has none: the compiler says that better.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut flat = Vec::new();
    if let Ok(stream) = text.parse() {
        flatten(stream, &mut flat);
    }
    flat
}

fn flatten(stream: TokenStream, flat: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let source = |delimiter: char| Token { text: delimiter.to_string(), line };
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ('(', ')'),
                    proc_macro2::Delimiter::Brace => ('{', '}'),
                    proc_macro2::Delimiter::Bracket => ('[', ']'),
                    proc_macro2::Delimiter::None => (' ', ' '),
                };
                flat.push(source(open));
                flatten(group.stream(), flat);
                flat.push(source(close));
            }
            other => flat.push(Token { text: other.to_string(), line }),
        }
    }
}

/// The modules that are reached from `std`: `std::fs::read`, `use std::{fs, path::Path}`.
pub(super) fn std_modules(tokens: &[Token]) -> Vec<&Token> {
    let mut modules = Vec::new();
    for (at, window) in tokens.windows(4).enumerate() {
        let [root, colon, second_colon, next] = window else { continue };
        if root.text != "std" || colon.text != ":" || second_colon.text != ":" {
            continue;
        }
        if next.text == "{" {
            modules.extend(heads(&tokens[at + 4..]));
        } else {
            modules.push(next);
        }
    }
    modules
}

/// The first name of each path of a `use` group, whose opening brace was read.
fn heads(tokens: &[Token]) -> Vec<&Token> {
    let (mut depth, mut at_head, mut heads) = (0, true, Vec::new());
    for token in tokens {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," => at_head = depth == 0,
            _ if at_head => {
                heads.push(token);
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_names() {
        let tokens = tokens("// fs\nlet x = \"fs\"; /* fs */");
        assert!(tokens.iter().all(|token| token.text != "fs"), "{tokens:?}");
        assert_eq!(tokens[0], Token { text: "let".into(), line: 2 });
    }

    #[test]
    fn modules_of_std_are_found_in_paths_and_in_nested_groups() {
        let tokens = tokens("use std::{fmt, fs::{self, File}, net};\nfn f() { std::time::now() }");
        let found: Vec<_> = std_modules(&tokens).into_iter().map(|token| token.text.as_str()).collect();
        assert_eq!(found, ["fmt", "fs", "net", "time"]);
    }
}
