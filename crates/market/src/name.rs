//! Short names in a safe alphabet, and the texts that people choose.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// A short machine-readable word: 1 to 64 of `a-z 0-9 . _ -`, starting with a letter or digit. Regions, hardware
/// classes, GPU models, attribute keys and values are names, so that two spellings of one thing are rare.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// A text that is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to 64 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit")]
pub struct BadName(String);

impl Name {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name made from any text: lower-cased, everything outside the alphabet turned into `-`. `None` when nothing
    /// usable is left.
    pub fn slug(text: &str) -> Option<Name> {
        let mut out = String::new();
        for c in text.chars().flat_map(char::to_lowercase) {
            let safe = if is_name_char(c) { c } else { '-' };
            if !(safe == '-' && (out.is_empty() || out.ends_with('-'))) && out.len() < Name::MAX_BYTES {
                out.push(safe);
            }
        }
        out.trim_matches(|c| c == '-' || c == '.' || c == '_').parse().ok()
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
}

impl FromStr for Name {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Name, BadName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if starts_well && text.len() <= Name::MAX_BYTES && text.chars().all(is_name_char) {
            Ok(Name(text.into()))
        } else {
            Err(BadName(text.chars().take(80).collect()))
        }
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_alphabet() {
        for good in ["a", "eu-west", "rtx-4090", "0.1_b"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "ä", "a b", "a/b", &"a".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slug_of_anything_is_a_name_or_nothing() {
        assert_eq!(Name::slug("NVIDIA GeForce RTX 4090").unwrap().as_str(), "nvidia-geforce-rtx-4090");
        assert_eq!(Name::slug("***"), None);
    }
}
