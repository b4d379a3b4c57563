//! Files that people write: TOML, with units as people write them and errors that say what was probably meant.

mod read;
mod units;

pub use read::{open, read_text};
pub use units::{BadUnit, ByteSize, Cores, Count, Money, Share, Span};

use serde::de::DeserializeOwned;

/// The largest file that a person writes, in bytes.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;

/// A file that cannot be read as what it should be. The text points at the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FileError {
    text: String,
}

/// Reads a configuration text. Unknown fields are errors that name the nearest known one.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| {
        let mut text = error.to_string().trim_end().to_owned();
        if let Some(nearest) = nearest(error.message()) {
            text.push_str(&format!("\ndid you mean `{nearest}`?"));
        }
        FileError { text }
    })
}

/// The known word nearest to the unknown one, out of serde's message: "unknown field `x`, expected one of `a`, `b`".
fn nearest(message: &str) -> Option<&str> {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = words.split_first().filter(|_| message.starts_with("unknown "))?;
    let scored = known.iter().map(|word| (strsim::damerau_levenshtein(unknown, word), *word));
    let (distance, word) = scored.min()?;
    // Further away than a third of the word it is a guess, not a hint.
    (distance * 3 <= unknown.len().max(word.len()) + 2).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct File {
        max_price: Option<Money>,
        tasks: Option<u32>,
    }

    #[test]
    fn a_typo_is_answered_with_the_line_and_the_nearest_word() {
        let error = parse::<File>("tasks = 3\nmax_prize = \"3 sat\"\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.ends_with("did you mean `max_price`?"), "{error}");
        let error = parse::<File>("colour = 3").unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn a_bad_amount_is_shown_where_it_stands() {
        let error = parse::<File>("\n\nmax_price = \"3 cents\"").unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("`3 cents`"), "{error}");
    }
}
