//! Rows that are found by a key and never move: an index of four-byte row numbers into one array. Tens of thousands of
//! rows are neither spread over the heap nor stored twice.
//!
//! Knows no keys: the caller supplies the hash of a row and the comparison. Grows by an eighth, since a table that
//! doubles is a quarter empty on average. A removed row's number is reused.

use alloc::vec::Vec;

use hashbrown::HashTable;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Table<T> {
    rows: Vec<Option<T>>,
    free: Vec<u32>,
    index: HashTable<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), free: Vec::new(), index: HashTable::new() }
    }
}

impl<T> Table<T> {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.rows.get(at as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.rows.get_mut(at as usize)?.as_mut()
    }

    /// Returns the number of the row that has this hash and that `is` accepts.
    pub(crate) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<u32> {
        self.index.find(hash, |at| self.get(*at).is_some_and(&is)).copied()
    }

    /// Adds a row that is not in the table yet. `rehash` returns the hash of a row.
    ///
    /// # Panics
    /// If there are 2^32 rows. The bounds of a configuration are far below that.
    pub(crate) fn insert(&mut self, hash: u64, row: T, rehash: impl Fn(&T) -> u64) -> u32 {
        let at = match self.free.pop() {
            Some(at) => {
                self.rows[at as usize] = Some(row);
                at
            }
            None => {
                let at = self.rows.len();
                if at == self.rows.capacity() {
                    self.rows.reserve_exact(at / 8 + 4);
                }
                self.rows.push(Some(row));
                u32::try_from(at).expect("fewer than 2^32 rows fit into memory")
            }
        };
        let Self { rows, index, .. } = self;
        index.insert_unique(hash, at, |at| rows[*at as usize].as_ref().map_or(0, &rehash));
        at
    }

    /// Removes the row with this number and hash.
    pub(crate) fn remove(&mut self, hash: u64, at: u32) -> Option<T> {
        let row = self.rows.get_mut(at as usize)?.take()?;
        if let Ok(found) = self.index.find_entry(hash, |place| *place == at) {
            found.remove();
        }
        self.free.push(at);
        Some(row)
    }

    /// Returns all rows with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.rows).filter_map(|(at, row)| Some((at, row.as_ref()?)))
    }

    /// Returns the rows from this number on, empty ones included, each with the number after it.
    pub(crate) fn rows_from(&self, at: u32) -> impl Iterator<Item = (u32, Option<&T>)> {
        let rows = self.rows.get(at as usize..).unwrap_or_default();
        (at..).zip(rows).map(|(at, row)| (at + 1, row.as_ref()))
    }

    /// Releases the memory of an empty table beyond `room` rows.
    pub(crate) fn shrink(&mut self, room: usize) {
        if self.index.is_empty() && self.rows.len() > room {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A bad hash on purpose, so that rows collide.
    const fn hash(key: u16) -> u64 {
        (key % 7) as u64
    }

    proptest! {
        #[test]
        fn a_row_is_found_where_it_was_put_until_it_is_removed(
            steps in proptest::collection::vec((any::<bool>(), 0_u16..40), 1..300)
        ) {
            let mut table = Table::default();
            let mut model = BTreeMap::new();
            for (adds, key) in steps {
                match (adds, model.get(&key).copied()) {
                    (true, None) => _ = model.insert(key, table.insert(hash(key), key, |key| hash(*key))),
                    (false, Some(at)) => {
                        prop_assert_eq!(table.remove(hash(key), at), Some(key));
                        model.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
                for key in 0..40 {
                    prop_assert_eq!(table.find(hash(key), |row| *row == key), model.get(&key).copied());
                }
                prop_assert_eq!(table.iter().map(|(at, key)| (*key, at)).collect::<BTreeMap<_, _>>(), model.clone());
                let rest = table.rows_from(3).filter_map(|(after, row)| Some((*row?, after - 1)));
                let expected = model.iter().filter(|(_, at)| **at >= 3).map(|(key, at)| (*key, *at));
                prop_assert_eq!(rest.collect::<BTreeMap<_, _>>(), expected.collect::<BTreeMap<_, _>>());
            }
        }
    }

    #[test]
    fn a_table_that_grows_has_little_room_to_spare() {
        let mut table = Table::default();
        for key in 0..10_000_u64 {
            table.insert(key, key, |key| *key);
            assert!(table.rows.capacity() <= table.len() + table.len() / 8 + 4);
        }
    }
}
