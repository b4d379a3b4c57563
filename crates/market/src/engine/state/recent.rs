//! Statements that were accepted and may still arrive again.

use crate::{digest_map::DigestMap, id::Digest, reply::Reply, statement::Checked, units::TimeMs};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use std::collections::BTreeMap;

/// Statements that were accepted and may still arrive again, with what their senders were told.
///
/// They are kept by the moment at which they expire, which a digest covers: what can be forgotten is a whole moment, and
/// comes first. A snapshot has them as one map, by expiry and digest.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "BTreeMap<(TimeMs, Digest), (u64, Reply)>")]
pub struct Recent {
    moments: BTreeMap<TimeMs, DigestMap<Digest, (u64, Reply)>>,
}

impl Recent {
    /// Where a statement was accepted before, and what its sender was told.
    pub fn answer(&self, statement: &Checked) -> Option<&(u64, Reply)> {
        self.moments.get(&statement.not_after_ms)?.get(&statement.digest)
    }

    pub(crate) fn remember(&mut self, statement: &Checked, position: u64, reply: Reply) {
        let moment = self.moments.entry(statement.not_after_ms).or_default();
        moment.insert(statement.digest, (position, reply));
    }

    /// Forgets what has expired: it would be refused for that.
    pub(crate) fn forget_until(&mut self, now: TimeMs) {
        while let Some(oldest) = self.moments.first_entry().filter(|entry| *entry.key() < now) {
            oldest.remove();
        }
    }
}

impl From<BTreeMap<(TimeMs, Digest), (u64, Reply)>> for Recent {
    fn from(answers: BTreeMap<(TimeMs, Digest), (u64, Reply)>) -> Recent {
        let mut recent = Recent::default();
        for ((expires, digest), answer) in answers {
            recent.moments.entry(expires).or_default().insert(digest, answer);
        }
        recent
    }
}

impl Serialize for Recent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = self.moments.values().map(DigestMap::len).sum();
        let mut map = serializer.serialize_map(Some(count))?;
        for (expires, answers) in &self.moments {
            for (digest, answer) in answers.sorted() {
                map.serialize_entry(&(expires, digest), answer)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::Command, key::PublicKey};
    use proptest::{collection::vec, prelude::*};

    fn statement(expires: u64, head: u8, last: u8) -> Checked {
        let mut digest = [0; 32];
        (digest[0], digest[31]) = (head, last);
        Checked {
            signer: PublicKey([0; 32]),
            digest: Digest(digest),
            not_after_ms: TimeMs(expires),
            seen: None,
            command: Command::Tick,
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_a_plain_map_remembers(
            statements in vec((0..4u64, 0..3u8, 0..50u8), 0..200),
            now in 0..4u64,
        ) {
            let (mut recent, mut plain) = (Recent::default(), BTreeMap::new());
            for (position, (expires, head, last)) in (1..).zip(statements) {
                let statement = statement(expires, head, last);
                let key = (statement.not_after_ms, statement.digest);
                prop_assert_eq!(recent.answer(&statement), plain.get(&key));
                if recent.answer(&statement).is_none() {
                    recent.remember(&statement, position, Reply::Done);
                    plain.insert(key, (position, Reply::Done));
                }
            }
            recent.forget_until(TimeMs(now));
            plain.retain(|(expires, _), _| expires.0 >= now);
            let bytes = postcard::to_stdvec(&recent).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&plain).unwrap());
            let back: Recent = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(postcard::to_stdvec(&back).unwrap(), bytes);
        }
    }
}
