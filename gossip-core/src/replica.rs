//! The replica: the newest update of each key, and the indexes by which it is found.
//!
//! Merging is "the larger version wins", so loss, duplication and reordering cannot hurt it. Knows nothing of peers,
//! mechanisms or bytes; time is what it is told.
//!
//! What two replicas must agree on is a function of the items stored and of a cut: an item is in the *reconciled set*
//! while the cut is before its end. Items stay stored for a grace after their end, so that the set can be computed at
//! the older cut of a peer whose clock is behind.

mod hashes;
mod lifetime;
mod parked;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::hash::{BuildHasherDefault, Hasher};
use core::time::Duration;

use indexmap::IndexMap;

use crate::address::Address;
use crate::id::NodeId;
use crate::sketch::Sketch;
use crate::time::Instant;
use crate::update::{Descriptor, Entry, ItemHasher, KeyHash, Owner, Record, Until, Update};
use crate::wire::encoded_len;

pub(crate) use hashes::{CELLS, Range};
use hashes::{Hashes, mark};
use parked::Parked;

/// A stored update with what was derived from it.
#[derive(Debug, Clone)]
struct Stored<A> {
    update: Update<A>,
    hash: u64,
    /// The end of the update, or of its owner's record if that comes first.
    until: Until,
}

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Merged<A> {
    /// It is the newest of its key; what it replaced, if anything.
    News { key: KeyHash, old: Option<Update<A>> },
    /// It waits for the record of its owner.
    Parked,
    /// It was here already.
    Known,
    /// A newer one is here.
    Outdated,
}

/// What has become of owned entries, by owner and by what the owner's record says.
enum Ownership {
    /// The owner's record is here, with the same life, until then.
    Current(Until),
    /// The owner, or this life of it, is not known yet.
    Ahead,
    /// The owner has started anew since.
    Past,
}

/// Keys are hashes already.
#[derive(Debug, Default, Clone)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "64 of 128 uniform bits are plenty")]
    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Replica<A> {
    pub(crate) hasher: ItemHasher,
    items: IndexMap<KeyHash, Stored<A>, BuildHasherDefault<Identity>>,
    hashes: Hashes<KeyHash>,
    /// Items that end, by their end.
    ending: BTreeSet<(Instant, KeyHash)>,
    /// Entries that will shrink to certificates, by when.
    shrinking: BTreeSet<(Instant, KeyHash)>,
    names: BTreeMap<(Arc<str>, Option<NodeId>), KeyHash>,
    owned: BTreeSet<(NodeId, KeyHash)>,
    /// The digests of entries that are too large to travel whole: they are asked for often, and to hash a megabyte takes
    /// a millisecond.
    large: BTreeMap<KeyHash, u128>,
    /// How long the encoding of an update may be that travels whole.
    whole: usize,
    parked: Parked<A>,
    members: usize,
    grace: Duration,
    shrink: Duration,
    /// Entries whose visible state may have changed since last asked.
    touched: Vec<(Option<NodeId>, Arc<str>)>,
}

impl<A: Address> Replica<A> {
    /// `grace`: how long an item is kept after its end; `shrink`: τ1 of death certificates.
    pub(crate) fn new(label: &str, grace: Duration, shrink: Duration, parked: usize) -> Self {
        Self {
            hasher: ItemHasher::new(label),
            items: IndexMap::default(),
            hashes: Hashes::new(),
            ending: BTreeSet::new(),
            shrinking: BTreeSet::new(),
            names: BTreeMap::new(),
            owned: BTreeSet::new(),
            large: BTreeMap::new(),
            whole: usize::MAX,
            parked: Parked::new(parked),
            members: 0,
            grace,
            shrink,
            touched: Vec::new(),
        }
    }

    /// Updates whose encoding is longer than `whole` bytes travel as descriptors.
    pub(crate) fn whole_up_to(mut self, whole: usize) -> Self {
        self.whole = whole;
        self
    }

    // Merging.

    /// Whether this very update is here.
    pub(crate) fn holds(&self, key: KeyHash, update: &Update<A>) -> bool {
        self.items.get(&key).is_some_and(|stored| stored.update == *update)
    }

    /// Takes an update in if it is news. The caller has admitted it: it is neither past its time nor from the future.
    pub(crate) fn merge(&mut self, update: Update<A>) -> Merged<A> {
        self.merge_keyed(self.hasher.key(&update), update)
    }

    /// [`merge`](Self::merge), where the hash of the update's key is at hand.
    pub(crate) fn merge_keyed(&mut self, key: KeyHash, update: Update<A>) -> Merged<A> {
        let until = match update.owner().map(|owner| self.ownership(owner)) {
            None => update.until(),
            Some(Ownership::Current(end)) => update.until().min(end),
            Some(Ownership::Past) => return Merged::Outdated,
            Some(Ownership::Ahead) => return self.park(key, update),
        };
        if let Some(stored) = self.items.get(&key) {
            match update.order(&stored.update, &self.hasher) {
                Ordering::Equal => return Merged::Known,
                Ordering::Less => return Merged::Outdated,
                Ordering::Greater => {}
            }
        }
        let lives = if let Update::Member(record) = &update { Some((record.id, record.life, until)) } else { None };
        let old = self.store(key, update, until);
        if let Some((id, life, until)) = lives {
            self.follow_owner(id, life, until);
        }
        Merged::News { key, old }
    }

    /// Whether an update would be news, and not have to wait for its owner.
    pub(crate) fn lacks(&self, key: KeyHash, update: &Update<A>) -> bool {
        let ready = update.owner().is_none_or(|owner| matches!(self.ownership(owner), Ownership::Current(_)));
        ready && self.get(key).is_none_or(|held| update.order(held, &self.hasher).is_gt())
    }

    fn park(&mut self, key: KeyHash, update: Update<A>) -> Merged<A> {
        match self.parked.get(key, &update) {
            Some(held) => match update.order(held, &self.hasher) {
                Ordering::Equal => Merged::Known,
                Ordering::Less => Merged::Outdated,
                Ordering::Greater => self.parked.insert(key, update),
            },
            None => self.parked.insert(key, update),
        }
    }

    fn ownership(&self, owner: Owner) -> Ownership {
        match self.member(owner.id).map(|record| record.life.cmp(&owner.life)) {
            Some(Ordering::Equal) => {
                let end = self.items.get(&self.hasher.member(owner.id)).map_or(Until::NEVER, |stored| stored.until);
                Ownership::Current(end)
            }
            Some(Ordering::Greater) => Ownership::Past,
            Some(Ordering::Less) | None => Ownership::Ahead,
        }
    }

    /// A member's record has changed: what it owns lives and dies with it.
    fn follow_owner(&mut self, id: NodeId, life: Instant, until: Until) {
        for key in self.owned_by(id) {
            let Some(stored) = self.items.get(&key) else { continue };
            let Some(owner) = stored.update.owner() else { continue };
            if owner.life != life {
                let removed = self.remove(key);
                // Of twins the one that started earlier may prevail for a while: what the other wrote waits again.
                if let Some(update) = removed.filter(|_| life < owner.life) {
                    self.parked.insert(key, update);
                }
            } else if stored.until != stored.update.until().min(until) {
                let update = stored.update.clone();
                let until = update.until().min(until);
                self.store(key, update, until);
            }
        }
        for update in self.parked.take(id, life) {
            self.merge(update);
        }
    }

    fn owned_by(&self, id: NodeId) -> Vec<KeyHash> {
        let first = (id, KeyHash::MIN);
        self.owned.range(first..=(id, KeyHash::MAX)).map(|(_, key)| *key).collect()
    }

    /// Puts an update in the place of what was there, in all indexes.
    fn store(&mut self, key: KeyHash, update: Update<A>, until: Until) -> Option<Update<A>> {
        let old = self.remove(key);
        let digest = self.hasher.digest(&update);
        let hash = self.hasher.item_of(key, &update, digest);
        self.hashes.insert(hash, key);
        if self.is_large(&update) {
            self.large.insert(key, digest);
        }
        if let Some(end) = until.instant() {
            self.ending.insert((end, key));
        }
        if let Some(owner) = update.owner() {
            self.owned.insert((owner.id, key));
        }
        match &update {
            Update::Member(_) => self.members += 1,
            Update::Entry(entry) => {
                let owner = entry.owner.map(|owner| owner.id);
                if let Some(at) = self.shrinks_at(entry) {
                    self.shrinking.insert((at, key));
                }
                self.names.insert((entry.name.clone(), owner), key);
                self.touched.push((owner, entry.name.clone()));
            }
            Update::Certificate(_) | Update::Broadcast(_) => {}
        }
        self.items.insert(key, Stored { update, hash, until });
        old
    }

    fn remove(&mut self, key: KeyHash) -> Option<Update<A>> {
        let Stored { update, hash, until } = self.items.swap_remove(&key)?;
        self.hashes.remove(hash);
        self.large.remove(&key);
        if let Some(end) = until.instant() {
            self.ending.remove(&(end, key));
        }
        if let Some(owner) = update.owner() {
            self.owned.remove(&(owner.id, key));
        }
        match &update {
            Update::Member(_) => self.members -= 1,
            Update::Entry(entry) => {
                let owner = entry.owner.map(|owner| owner.id);
                if let Some(at) = self.shrinks_at(entry) {
                    self.shrinking.remove(&(at, key));
                }
                self.names.remove(&(entry.name.clone(), owner));
                self.touched.push((owner, entry.name.clone()));
            }
            Update::Certificate(_) | Update::Broadcast(_) => {}
        }
        Some(update)
    }

    /// Forgets what does not satisfy `keep`, and all that waits for its owner.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Update<A>) -> bool) {
        let gone: Vec<KeyHash> =
            self.items.iter().filter(|(_, stored)| !keep(&stored.update)).map(|(key, _)| *key).collect();
        for key in gone {
            self.remove(key);
        }
        self.parked.clear();
    }

    // Looking up.

    /// The newest update of a key, whether or not it is in the reconciled set.
    pub(crate) fn get(&self, key: KeyHash) -> Option<&Update<A>> {
        self.items.get(&key).map(|stored| &stored.update)
    }

    /// The update whose item has this hash.
    pub(crate) fn by_hash(&self, hash: u64) -> Option<&Update<A>> {
        self.get(self.hashes.get(hash)?)
    }

    /// The hash of the item of this key.
    pub(crate) fn hash_of(&self, key: KeyHash) -> Option<u64> {
        self.items.get(&key).map(|stored| stored.hash)
    }

    pub(crate) fn key_of(&self, hash: u64) -> Option<KeyHash> {
        self.hashes.get(hash)
    }

    fn is_large(&self, update: &Update<A>) -> bool {
        // The length of the value says it nearly always, and costs nothing.
        const REST: usize = 512;
        let Update::Entry(Entry { value: Some(value), .. }) = update else { return false };
        value.len().saturating_add(REST) > self.whole && encoded_len(update) > self.whole
    }

    /// What stands for an update of this replica's on the wire, if it is too large to travel whole.
    pub(crate) fn descriptor(&self, update: &Update<A>) -> Option<Descriptor> {
        let Update::Entry(entry) = update else { return None };
        if !self.is_large(update) {
            return None;
        }
        Descriptor::of(entry, *self.large.get(&self.hasher.key(update))?)
    }

    /// What is known of a member.
    pub(crate) fn member(&self, id: NodeId) -> Option<&Record<A>> {
        match self.get(self.hasher.member(id))? {
            Update::Member(record) => Some(record),
            Update::Entry(_) | Update::Certificate(_) | Update::Broadcast(_) => None,
        }
    }

    /// What a member owns.
    pub(crate) fn owned(&self, id: NodeId) -> impl Iterator<Item = &Update<A>> {
        self.owned.range((id, KeyHash::MIN)..=(id, KeyHash::MAX)).filter_map(|(_, key)| self.get(*key))
    }

    /// An entry that has a value at `clock`.
    pub(crate) fn entry(&self, owner: Option<NodeId>, name: &str, clock: Instant) -> Option<&Entry> {
        self.visible(self.hasher.entry(owner, name), clock)
    }

    fn visible(&self, key: KeyHash, clock: Instant) -> Option<&Entry> {
        let stored = self.items.get(&key)?;
        match &stored.update {
            Update::Entry(entry) => {
                let lives = entry.value.is_some() && entry.expires.is_after(clock) && stored.until.is_after(clock);
                lives.then_some(entry)
            }
            Update::Member(_) | Update::Certificate(_) | Update::Broadcast(_) => None,
        }
    }

    /// Entries that have a value at `clock`, by name from `first` on, then by owner.
    pub(crate) fn entries_from(&self, first: Arc<str>, clock: Instant) -> impl Iterator<Item = &Entry> {
        self.names.range((first, None)..).filter_map(move |(_, key)| self.visible(*key, clock))
    }

    /// How many items are members, and how many are not (those that wait for their owner included).
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.members, self.items.len() - self.members + self.parked.len())
    }

    /// Whose visible state may have changed since the last call.
    pub(crate) fn take_touched(&mut self) -> impl Iterator<Item = (Option<NodeId>, Arc<str>)> {
        self.touched.drain(..)
    }

    pub(crate) fn parked_dropped(&self) -> u64 {
        self.parked.dropped()
    }

    // Reconciling.

    /// How many items are in the reconciled set at `cut`, and its fingerprint.
    pub(crate) fn summary(&self, cut: Instant) -> (u64, u64) {
        let total = (self.hashes.len() as u64, self.hashes.fingerprint());
        self.ended(cut).fold(total, |(count, print), hash| (count - 1, print.wrapping_sub(mark(hash))))
    }

    /// Whether the set at `cut` can still be computed: what had ended by then may be forgotten otherwise.
    pub(crate) fn reaches_back_to(&self, cut: Instant, clock: Instant) -> bool {
        clock <= cut + self.grace
    }

    /// How many items of the set at `cut` are in a range.
    pub(crate) fn count(&self, range: Range, cut: Instant) -> u64 {
        self.hashes.count(range) - self.ended(cut).filter(|hash| range.contains(*hash)).count() as u64
    }

    /// Coded symbols of the set at `cut`, within a range.
    pub(crate) fn sketch(&self, range: Range, cells: usize, cut: Instant) -> Sketch {
        let mut sketch = self.hashes.sketch(range, cells.min(CELLS));
        for hash in self.ended(cut).filter(|hash| range.contains(*hash)) {
            sketch.remove(hash);
        }
        sketch
    }

    /// The hashes of all that is stored, within a range.
    pub(crate) fn hashes_in(&self, range: Range) -> impl Iterator<Item = u64> {
        self.hashes.iter_range(range).map(|(hash, _)| hash)
    }

    /// The set at `cut`, within a range, by hash.
    pub(crate) fn in_range(&self, range: Range, cut: Instant) -> impl Iterator<Item = (u64, &Update<A>)> {
        self.hashes.iter_range(range).filter_map(move |(hash, key)| {
            let stored = self.items.get(&key)?;
            stored.until.is_after(cut).then_some((hash, &stored.update))
        })
    }

    /// Stored items that are past their end at `cut`: those of the grace, so few.
    fn ended(&self, cut: Instant) -> impl Iterator<Item = u64> {
        self.ending.range(..=(cut, KeyHash::MAX)).filter_map(|(_, key)| self.hash_of(*key))
    }
}

#[cfg(test)]
mod tests;
