//! A map under digests and public keys, which are long, come in no order, and are mostly told apart by their first bytes.

use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// Values under keys of 32 bytes, for looking up and never for taking out.
///
/// A search compares numbers of eight bytes, and reads one whole key at its end: a sorted map of the keys themselves is
/// four times as large, and most of a search's time is waiting for memory. The number of a key is its first bytes; one
/// that another key has already is counted up until one is free. As nothing is taken out, a search ends at the first free
/// number. Whoever makes many keys with the same first bytes pays for it with the work of finding them.
///
/// In a snapshot it is a plain map, in the order of the keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "BTreeMap<K, V>", bound(deserialize = "K: Deserialize<'de> + Ord + Copy + Into<[u8; 32]>, V: Deserialize<'de>"))]
pub struct DigestMap<K, V> {
    places: BTreeMap<u64, usize>,
    /// In the order in which they came.
    entries: Vec<(K, V)>,
}

impl<K, V> Default for DigestMap<K, V> {
    fn default() -> Self {
        DigestMap { places: BTreeMap::new(), entries: Vec::new() }
    }
}

impl<K: Copy + Eq + Into<[u8; 32]>, V> DigestMap<K, V> {
    /// The value under a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = self.find(key).ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    /// Whether there is a value under a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Puts a value under a key, in place of what is there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(place) => self.entries[place].1 = value,
            Err(number) => {
                self.places.insert(number, self.entries.len());
                self.entries.push((key, value));
            }
        }
    }

    /// Where a key is, or the free number under which it belongs.
    fn find(&self, key: &K) -> Result<usize, u64> {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = (*key).into();
        let mut number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        while let Some(place) = self.places.get(&number) {
            if self.entries[*place].0 == *key {
                return Ok(*place);
            }
            number = number.wrapping_add(1);
        }
        Err(number)
    }
}

impl<K, V> DigestMap<K, V> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Copy + Ord, V> DigestMap<K, V> {
    /// All entries in the order of their keys, which takes sorting them.
    pub(crate) fn sorted(&self) -> Vec<(K, &V)> {
        let mut entries: Vec<_> = self.entries.iter().map(|(key, value)| (*key, value)).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }
}

impl<K: Copy + Eq + Into<[u8; 32]>, V> From<BTreeMap<K, V>> for DigestMap<K, V> {
    fn from(sorted: BTreeMap<K, V>) -> Self {
        let mut map = DigestMap::default();
        sorted.into_iter().for_each(|(key, value)| map.insert(key, value));
        map
    }
}

impl<K: Copy + Ord + Serialize, V: Serialize> Serialize for DigestMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.sorted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Digest;
    use proptest::{collection::vec, prelude::*};

    /// Digests that differ only at the end, as if somebody had searched for such, at the end of the numbers too.
    fn digest((head, last): (bool, u8)) -> Digest {
        let mut bytes = [if head { 255 } else { 0 }; 32];
        bytes[31] = last;
        Digest(bytes)
    }

    proptest! {
        #[test]
        fn it_is_a_map(entries in vec(((any::<bool>(), 0..20u8), any::<u32>()), 0..60)) {
            let (mut map, mut plain) = (DigestMap::default(), BTreeMap::new());
            for (key, value) in entries {
                let key = digest(key);
                prop_assert_eq!(map.get(&key), plain.get(&key));
                map.insert(key, value);
                plain.insert(key, value);
                prop_assert_eq!(map.get(&key), Some(&value));
            }
            prop_assert_eq!(map.len(), plain.len());
            let bytes = postcard::to_stdvec(&map).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&plain).unwrap());
            let back: DigestMap<Digest, u32> = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(postcard::to_stdvec(&back).unwrap(), bytes);
        }
    }
}
