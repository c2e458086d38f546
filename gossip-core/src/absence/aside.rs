//! Values that were set aside: out of the set, invisible, and kept until the application decides.

use alloc::collections::BTreeMap;

use crate::replica::Room;
use crate::update::{Entry, KeyHash};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Aside {
    /// Values, each with the hash of its item.
    items: BTreeMap<KeyHash, (u64, Entry)>,
    keys: BTreeMap<u64, KeyHash>,
    bytes: usize,
    most: Room,
}

impl Aside {
    /// `most`: values, and bytes of them, that are kept at most.
    pub(crate) const fn new(most: Room) -> Self {
        Self { items: BTreeMap::new(), keys: BTreeMap::new(), bytes: 0, most }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there is room for another value.
    pub(crate) fn has_room(&self, entry: &Entry) -> bool {
        self.items.len() < self.most.items && self.bytes + bytes(entry) <= self.most.bytes
    }

    /// Adds a value, if none of its key is there that is newer. The caller has seen that there is room.
    pub(crate) fn insert(&mut self, key: KeyHash, hash: u64, entry: Entry) {
        if self.items.get(&key).is_some_and(|(_, held)| held.stamp > entry.stamp) {
            return;
        }
        self.remove(key);
        self.bytes += bytes(&entry);
        self.keys.insert(hash, key);
        self.items.insert(key, (hash, entry));
    }

    pub(crate) fn remove(&mut self, key: KeyHash) {
        if let Some((hash, entry)) = self.items.remove(&key) {
            self.bytes -= bytes(&entry);
            self.keys.remove(&hash);
        }
    }

    pub(crate) fn get(&self, key: KeyHash) -> Option<&Entry> {
        self.items.get(&key).map(|(_, entry)| entry)
    }

    /// Returns the value whose item has this hash.
    pub(crate) fn by_hash(&self, hash: u64) -> Option<&Entry> {
        self.get(*self.keys.get(&hash)?)
    }

    /// Lists the values from the item with a hash on, each with its own.
    pub(crate) fn iter_from(&self, hash: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.keys.range(hash..).filter_map(|(hash, key)| Some((*hash, self.get(*key)?)))
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.most);
    }
}

fn bytes(entry: &Entry) -> usize {
    entry.value.as_ref().map_or(0, |value| value.len())
}
