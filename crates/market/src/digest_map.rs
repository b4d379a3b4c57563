//! A map under digests and public keys, which are long, come in no order, and are mostly told apart by their first bytes.

use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, btree_map::Entry};

/// Values under keys of 32 bytes, for looking up and never for taking out.
///
/// A search compares numbers of eight bytes, and one whole key at its end. What it reads on its way is a quarter of a sorted
/// map of the keys themselves, and most of a search is waiting for memory. The number of a key is its first bytes; one that
/// another key has already is counted up until one is free. As nothing is taken out, a search ends at the first free
/// number. Whoever makes many keys with the same first bytes pays for it with the work of finding them.
///
/// In a snapshot it is a plain map, in the order of the keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    from = "BTreeMap<K, V>",
    bound(deserialize = "K: Deserialize<'de> + Ord + Copy + Into<[u8; 32]>, V: Deserialize<'de>")
)]
pub struct DigestMap<K, V> {
    /// Where the entry of a number is.
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
        let mut number = first_number(*key);
        loop {
            match self.entries.get(*self.places.get(&number)?)? {
                (other, value) if other == key => return Some(value),
                _ => number = number.wrapping_add(1),
            }
        }
    }

    /// Whether there is a value under a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Puts a value under a key, in place of what is there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let mut number = first_number(key);
        loop {
            match self.places.entry(number) {
                Entry::Vacant(free) => {
                    free.insert(self.entries.len());
                    self.entries.push((key, value));
                    return;
                }
                Entry::Occupied(taken) => {
                    let entry = &mut self.entries[*taken.get()];
                    if entry.0 == key {
                        entry.1 = value;
                        return;
                    }
                    number = number.wrapping_add(1);
                }
            }
        }
    }
}

fn first_number(key: impl Into<[u8; 32]>) -> u64 {
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = key.into();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
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
