//! A table of entities under dense, venue-assigned ids: one vector, no hashing, the same order everywhere. Rows are boxed, so
//! that a row that is gone leaves eight bytes behind.

use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// Rows under ids that are handed out one after the other, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table<K, V> {
    rows: Vec<Option<Box<V>>>,
    live: usize,
    #[serde(skip)]
    key: PhantomData<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { rows: Vec::new(), live: 0, key: PhantomData }
    }
}

impl<K: From<u64> + Into<u64> + Copy, V> Table<K, V> {
    /// The id that the next row gets.
    pub fn next_id(&self) -> K {
        K::from(self.rows.len() as u64 + 1)
    }

    /// Adds a row and says its id.
    pub fn push(&mut self, row: V) -> K {
        let id = self.next_id();
        self.rows.push(Some(Box::new(row)));
        self.live += 1;
        id
    }

    /// The row, if it is there.
    pub fn get(&self, id: K) -> Option<&V> {
        self.rows.get(index(id)?)?.as_deref()
    }

    /// The row, for changing.
    pub fn get_mut(&mut self, id: K) -> Option<&mut V> {
        self.rows.get_mut(index(id)?)?.as_deref_mut()
    }

    /// Takes a row out for good; its id is not used again.
    pub fn remove(&mut self, id: K) -> Option<V> {
        let row = self.rows.get_mut(index(id)?)?.take();
        self.live -= usize::from(row.is_some());
        row.map(|row| *row)
    }

    /// How many rows are there.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether no row is there.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// All rows by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &V)> {
        self.rows.iter().enumerate().filter_map(|(i, row)| Some((K::from(i as u64 + 1), row.as_deref()?)))
    }

    /// The rows with an id above `after`, by id.
    pub fn iter_after(&self, after: u64) -> impl Iterator<Item = (K, &V)> {
        let start = usize::try_from(after).unwrap_or(usize::MAX).min(self.rows.len());
        self.rows[start..]
            .iter()
            .enumerate()
            .filter_map(move |(i, row)| Some((K::from((start + i) as u64 + 1), row.as_deref()?)))
    }
}

fn index<K: Into<u64>>(id: K) -> Option<usize> {
    usize::try_from(id.into()).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_never_reused() {
        let mut table: Table<u64, char> = Table::default();
        assert_eq!((table.push('a'), table.push('b')), (1, 2));
        assert_eq!(table.remove(1), Some('a'));
        assert_eq!((table.push('c'), table.get(1), table.get(0), table.len()), (3, None, None, 2));
        assert_eq!(table.iter().collect::<Vec<_>>(), [(2, &'b'), (3, &'c')]);
        assert_eq!(table.iter_after(2).collect::<Vec<_>>(), [(3, &'c')]);
    }
}
