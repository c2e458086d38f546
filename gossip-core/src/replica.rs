//! The replica: the newest update of each key, and the indexes by which it is found.
//!
//! Merging is "the larger version wins", so loss, duplication and reordering cannot hurt it. Knows nothing of peers,
//! mechanisms or bytes; time is what it is told.
//!
//! What two replicas must agree on is a function of the items stored and of a cut: an item is in the *reconciled set*
//! while the cut is before its end. What has ended is invisible and out of the set at once, and in again if the clock
//! steps back. Forgetting, which frees memory, is something else: it depends on how long the node has run, and on no clock, see
//! [`Replica::advance`].
//!
//! A [`Cut`] has two parts, and both replicas compare at the later of theirs:
//!
//! - `at`, a point of agreed time: what ends by then has ended. At [`NEVER`] only what never ends is compared.
//! - `kept`, a point up to which either of them may have forgotten certificates for want of room: certificates that are kept
//!   no longer than that are left out. At `NEVER` no certificate is compared.

mod certificates;
mod cut;
mod deferred;
mod forgotten;
mod hashes;
mod lifetime;
mod owned;
mod parked;
mod store;
mod usage;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Bound;
use core::time::Duration;

use smol_str::SmolStr;

use crate::address::Address;
use crate::id::NodeId;
use crate::sketch::Sketch;
use crate::time::Instant;
use crate::update::{Descriptor, Entry, ItemHasher, KeyHash, Owner, Record, Standing, Until, Update, Whose, hashes_of};

use certificates::Certificates;
pub use cut::CLOCKS_APART;
pub(crate) use cut::{Cut, NEVER, second};
use forgotten::ForgottenBroadcasts;
pub(crate) use hashes::{CELLS, Range};
use hashes::{Hashes, mark};
use owned::{OwnerState, Ownership};
use parked::Parked;
use store::{Lives, Slot, Store, Stored};
pub(crate) use usage::Room;
use usage::Usage;

/// Outcome of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Merged<A> {
    /// The update is the newest of its key, with this hash of its item; `old` is the update that it replaced.
    News { hash: u64, old: Option<Update<A>> },
    /// The update waits for the record of its owner.
    Parked,
    /// The update was here already.
    Known,
    /// A newer update is here, which now covers this one: its item has this hash.
    Covered { hash: u64 },
    /// A newer update is here.
    Outdated,
}

/// Number of items, and the sum of their marks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Total {
    count: u64,
    fingerprint: u64,
}

impl Total {
    const fn add(&mut self, hash: u64) {
        (self.count, self.fingerprint) = (self.count + 1, self.fingerprint.wrapping_add(mark(hash)));
    }

    const fn remove(&mut self, hash: u64) {
        (self.count, self.fingerprint) = (self.count - 1, self.fingerprint.wrapping_sub(mark(hash)));
    }
}

fn name_of<A>(update: &Update<A>) -> Option<(Whose, SmolStr)> {
    if let Update::Entry(entry) = update { Some((entry.owner.into(), entry.name.clone())) } else { None }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Replica<A> {
    pub(crate) hasher: ItemHasher,
    items: Store<A>,
    /// Hashes of the reconciled set at `cut`.
    hashes: Hashes<Slot>,
    cut: Instant,
    /// Number and fingerprint of the items that never end.
    lasting: Total,
    /// Number and fingerprint of the items in the reconciled set that are kept for longer than they live.
    covering: Total,
    /// Items that end, by the time at which they leave the reconciled set.
    ending: BTreeSet<(Instant, Slot)>,
    certificates: Certificates,
    forgotten: ForgottenBroadcasts,
    /// Entries that will shrink to certificates, by the time of that.
    shrinking: BTreeSet<(Instant, Slot)>,
    names: BTreeMap<(SmolStr, Whose), Slot>,
    /// True while `hashes` and `names` are empty, and made anew later.
    deferred: bool,
    /// Updates that end with their owner's boot, by owner.
    owned: BTreeSet<(NodeId, Slot)>,
    /// Shares, by owner.
    shares: BTreeSet<(NodeId, Slot)>,
    /// Digests of entries that are too large to be sent whole: they are asked for often, and hashing a megabyte takes a
    /// millisecond.
    large: BTreeMap<KeyHash, u128>,
    /// Values that have ended and were offered lately, by the hashes of their items.
    offered: VecDeque<(u64, KeyHash)>,
    /// Longest encoding of an update that is sent whole, in bytes.
    whole: usize,
    parked: Parked<A>,
    /// Entries, and bytes of their values, that are held at most; what is parked takes the room that is left.
    most: Room,
    usage: Usage,
    shrink: Duration,
    /// Entries whose visible state may have changed since the last call of `take_touched`.
    touched: VecDeque<(Whose, SmolStr)>,
}

impl<A: Address> Replica<A> {
    /// `shrink`: τ1 of death certificates; `parked`: how many entries of unknown owners are kept.
    pub(crate) fn new(label: &str, shrink: Duration, parked: usize) -> Self {
        Self {
            hasher: ItemHasher::new(label),
            items: Store::new(),
            hashes: Hashes::new(),
            cut: Instant::ORIGIN,
            lasting: Total::default(),
            covering: Total::default(),
            ending: BTreeSet::new(),
            certificates: Certificates::default(),
            forgotten: ForgottenBroadcasts::default(),
            shrinking: BTreeSet::new(),
            names: BTreeMap::new(),
            deferred: false,
            owned: BTreeSet::new(),
            shares: BTreeSet::new(),
            large: BTreeMap::new(),
            offered: VecDeque::new(),
            whole: usize::MAX,
            parked: Parked::new(parked),
            most: Room { items: usize::MAX, bytes: usize::MAX },
            usage: Usage::default(),
            shrink,
            touched: VecDeque::new(),
        }
    }

    /// Sets the length above which updates are sent as descriptors.
    pub(crate) fn whole_up_to(mut self, whole: usize) -> Self {
        self.whole = whole;
        self
    }

    /// Sets the entries and bytes that are held at most, including what is parked.
    pub(crate) fn holds_up_to(mut self, most: Room) -> Self {
        self.most = most;
        self
    }

    /// Sets how many death certificates are kept.
    pub(crate) fn certificates_up_to(mut self, most: usize) -> Self {
        self.certificates.most = most;
        self
    }

    // Merging.

    /// Returns true if this very update is here.
    pub(crate) fn holds(&self, key: KeyHash, update: &Update<A>) -> bool {
        self.items.find(key).is_some_and(|slot| self.items.is(slot, update))
    }

    /// Merges an update. The caller has admitted it: it is neither past its end nor from the future.
    pub(crate) fn merge(&mut self, update: Update<A>) -> Merged<A> {
        self.merge_keyed(self.hasher.key(&update), update)
    }

    /// Same as [`merge`](Self::merge) with a hash of the key that was computed before.
    pub(crate) fn merge_keyed(&mut self, key: KeyHash, mut update: Update<A>) -> Merged<A> {
        let end = match update.owner().map(|owner| self.ownership(owner)) {
            None => Until::NEVER,
            Some(Ownership::Current(end)) => end,
            Some(Ownership::Past) => return Merged::Outdated,
            Some(Ownership::Ahead) => return self.park(key, update),
        };
        let held = self.items.find(key);
        if let Some((slot, held)) = held.and_then(|slot| Some((slot, self.items.update(slot)?))) {
            match update.rank(&held, &self.hasher) {
                Ordering::Greater => {
                    update.cover(&held);
                }
                rank => return self.cover(slot, held, &update, rank),
            }
        }
        let until = update.until().min(end);
        let owner = OwnerState::of(&update);
        let name = name_of(&update);
        let before = held.and_then(|slot| self.visible(slot, self.cut)).and_then(|entry| entry.value.clone());
        let old = held.and_then(|slot| self.remove(slot)).map(|stored| stored.update);
        let (hash, slot) = self.store(key, update, until);
        // A write of the value that is there, or a renewed lease, changes nothing that an application sees.
        let after = self.visible(slot, self.cut).and_then(|entry| entry.value.clone());
        if let Some(name) = name.or_else(|| old.as_ref().and_then(name_of))
            && before != after
        {
            self.touched.push_back(name);
        }
        if let Some(owner) = owner {
            let showed = old.as_ref().and_then(OwnerState::of).is_some_and(|old| old.shows);
            self.follow_owner(owner, showed);
        }
        self.fit_parked();
        self.shed();
        Merged::News { hash, old }
    }

    /// Lets the update in a slot cover one that does not replace it.
    fn cover(&mut self, slot: Slot, mut held: Update<A>, update: &Update<A>, rank: Ordering) -> Merged<A> {
        if !held.cover(update) {
            return if rank.is_eq() && held.covers() == update.covers() { Merged::Known } else { Merged::Outdated };
        }
        let owned = held.owner().and_then(|owner| self.member(owner.id)).map_or(Until::NEVER, |record| record.until);
        let Some(Stored { key, .. }) = self.remove(slot) else { return Merged::Outdated };
        let until = held.until().min(owned);
        // What is visible of it does not change.
        let (hash, _) = self.store(key, held, until);
        Merged::Covered { hash }
    }

    /// Returns whether an update would replace an older one that is held here.
    pub(crate) fn replaces(&self, key: KeyHash, update: &Update<A>) -> bool {
        self.get(key).is_some_and(|held| update.order(&held, &self.hasher).is_gt())
    }

    /// Returns true if an update would be new, and would not have to wait for its owner.
    pub(crate) fn lacks(&self, key: KeyHash, update: &Update<A>) -> bool {
        let ready = update.owner().is_none_or(|owner| matches!(self.ownership(owner), Ownership::Current(_)));
        ready && self.get(key).is_none_or(|held| update.order(&held, &self.hasher).is_gt())
    }

    /// Lets what is parked give way to what is not.
    fn fit_parked(&mut self) {
        let entries = self.most.items.saturating_sub(self.counts().1);
        self.parked.fit(entries, self.most.bytes.saturating_sub(self.usage.bytes()));
    }

    fn park(&mut self, key: KeyHash, update: Update<A>) -> Merged<A> {
        let merged = self.park_newest(key, update);
        self.fit_parked();
        merged
    }

    fn park_newest(&mut self, key: KeyHash, mut update: Update<A>) -> Merged<A> {
        if let Some(held) = self.parked.get(key, &update) {
            let rank = update.rank(held, &self.hasher);
            if rank.is_gt() {
                update.cover(held);
            } else {
                let mut held = held.clone();
                if !held.cover(&update) {
                    return if rank.is_eq() { Merged::Known } else { Merged::Outdated };
                }
                update = held;
            }
        }
        self.parked.insert(key, update)
    }

    /// Adds an update of a key of which nothing is stored to all indexes. Returns the hash of its item, and its place.
    fn store(&mut self, key: KeyHash, update: Update<A>, until: Until) -> (u64, Slot) {
        let digest = self.hasher.digest(&update);
        let hash = self.hasher.item_of(key, &update, digest);
        if self.is_large(&update) {
            self.large.insert(key, digest);
        }
        self.usage.add(&update);
        let slot = self.items.insert(Stored { key, update, hash, until }, &self.hasher);
        let lives = self.items.lives(slot).unwrap_or(Lives::EVER);
        let leaves = lives.leaves(self.certificates.kept);
        if leaves.is_after(self.cut) {
            self.show(hash, slot, lives);
        }
        match leaves.instant() {
            Some(at) => {
                self.ending.insert((at, slot));
            }
            None => self.lasting.add(hash),
        }
        self.certificates.add(slot, self.items.other(slot));
        let Some(Stored { update, .. }) = self.items.other(slot) else { return (hash, slot) };
        if let Some(owner) = update.owner() {
            self.owned.insert((owner.id, slot));
        }
        if let Some(sharer) = update.sharer() {
            self.shares.insert((sharer, slot));
        }
        if let Update::Entry(entry) = update {
            if let Some(at) = self.shrinks_at(entry) {
                self.shrinking.insert((at, slot));
            }
            if !self.deferred {
                self.names.insert((entry.name.clone(), entry.owner.into()), slot);
            }
        }
        (hash, slot)
    }

    /// Removes an item from all indexes.
    fn remove(&mut self, slot: Slot) -> Option<Stored<A>> {
        let stored = self.items.remove(slot, &self.hasher)?;
        self.usage.remove(&stored.update);
        let lives = stored.lives();
        let leaves = lives.leaves(self.certificates.kept);
        if leaves.is_after(self.cut) {
            self.hide(stored.hash, lives);
        }
        self.large.remove(&stored.key);
        match leaves.instant() {
            Some(at) => {
                self.ending.remove(&(at, slot));
            }
            None => self.lasting.remove(stored.hash),
        }
        self.certificates.remove(slot, &stored);
        if let Some(owner) = stored.update.owner() {
            self.owned.remove(&(owner.id, slot));
        }
        if let Some(sharer) = stored.update.sharer() {
            self.shares.remove(&(sharer, slot));
        }
        if let Update::Entry(entry) = &stored.update {
            if let Some(at) = self.shrinks_at(entry) {
                self.shrinking.remove(&(at, slot));
            }
            self.names.remove(&(entry.name.clone(), entry.owner.into()));
        }
        Some(stored)
    }

    /// Takes a value out, as if it had never come here.
    pub(crate) fn take(&mut self, hash: u64) -> Option<(KeyHash, Entry)> {
        self.take_slot(self.hashes().get(hash)?)
    }

    /// Takes the value of a key out if its item has this hash and has not ended.
    pub(crate) fn take_if(&mut self, key: KeyHash, hash: u64) -> Option<(KeyHash, Entry)> {
        let slot = self.items.find(key).filter(|slot| self.items.hash(*slot) == Some(hash))?;
        if self.is_shown(slot) { self.take_slot(slot) } else { None }
    }

    fn take_slot(&mut self, slot: Slot) -> Option<(KeyHash, Entry)> {
        let Stored { key, update, .. } = self.remove(slot)?;
        let Update::Entry(entry) = update else { return None };
        self.touched.push_back((entry.owner.into(), entry.name.clone()));
        Some((key, entry))
    }

    // Look-up.

    /// Returns the newest update of a key, whether or not it is in the reconciled set.
    pub(crate) fn get(&self, key: KeyHash) -> Option<Update<A>> {
        self.items.update(self.items.find(key)?)
    }

    /// Returns true if an update of a key is held.
    pub(crate) fn has(&self, key: KeyHash) -> bool {
        self.items.find(key).is_some()
    }

    /// Returns the update of a key if its item has this hash.
    pub(crate) fn get_if(&self, key: KeyHash, hash: u64) -> Option<Update<A>> {
        let slot = self.items.find(key).filter(|slot| self.items.hash(*slot) == Some(hash))?;
        self.items.update(slot)
    }

    /// Returns the update whose item has this hash.
    pub(crate) fn by_hash(&self, hash: u64) -> Option<Update<A>> {
        self.items.update(self.hashes().get(hash)?)
    }

    /// Returns the hash of the item of this key.
    pub(crate) fn hash_of(&self, key: KeyHash) -> Option<u64> {
        self.items.hash(self.items.find(key)?)
    }

    /// Returns the item whose key's hash begins with these 64 bits.
    pub(crate) fn by_short(&self, short: u64) -> Option<(u64, Update<A>)> {
        // Few others have hashes with the same prefix, unless their names were made for it: then the item is not found.
        const ALIKE: usize = 64;
        let (first, last) = hashes_of(short);
        let mut alike = self.hashes().iter_range(Range::new(first, last)?).take(ALIKE);
        let is_it = |slot: Slot| self.items.key(slot, &self.hasher).is_some_and(|key| key.short() == short);
        let (hash, slot) = alike.find(|(_, slot)| is_it(*slot))?;
        Some((hash, self.items.update(slot)?))
    }

    pub(crate) fn key_of(&self, hash: u64) -> Option<KeyHash> {
        self.items.key(self.hashes().get(hash)?, &self.hasher)
    }

    /// Returns true if an item has this hash.
    pub(crate) fn has_hash(&self, hash: u64) -> bool {
        self.hashes().contains(hash)
    }

    fn is_large(&self, update: &Update<A>) -> bool {
        // Tags, lengths, owner, stamp and end, at their longest.
        const REST: usize = 80;
        let Update::Entry(Entry { name, value: Some(value), .. }) = update else { return false };
        value.len().saturating_add(name.len() + REST) > self.whole
    }

    /// Returns the descriptor of an update of this replica, if it is too large to be sent whole.
    pub(crate) fn descriptor(&self, update: &Update<A>) -> Option<Descriptor> {
        let Update::Entry(entry) = update else { return None };
        if !self.is_large(update) {
            return None;
        }
        Descriptor::of(entry, *self.large.get(&self.hasher.key(update))?)
    }

    /// Returns the record of a member.
    pub(crate) fn member(&self, id: NodeId) -> Option<&Record<A>> {
        self.items.record(self.items.find(self.hasher.member(id))?)
    }

    /// Lists the members that died or left, those first that are forgotten first.
    pub(crate) fn gone(&self) -> impl Iterator<Item = (Instant, NodeId)> + '_ {
        self.usage.gone()
    }

    /// Lists the records of members with this address: mostly one.
    pub(crate) fn members_at(&self, address: &A) -> impl Iterator<Item = &Record<A>> {
        self.items.at_address(address)
    }

    /// Returns an entry that has a value at `clock`.
    pub(crate) fn entry(&self, whose: Whose, name: &str, clock: Instant) -> Option<&Entry> {
        self.visible(self.items.find(self.hasher.entry(whose, name))?, clock)
    }

    fn visible(&self, slot: Slot, clock: Instant) -> Option<&Entry> {
        let stored = self.items.other(slot)?;
        let Update::Entry(entry) = &stored.update else { return None };
        let lives = entry.value.is_some() && stored.lives().ends.is_after(clock);
        // Metadata is visible while its member lives, and kept for longer: a death may be refuted.
        let lives_now = |owner: Owner| self.member(owner.id).is_some_and(|record| record.standing == Standing::Alive);
        let shown = |owner: Owner| owner.has_share() || lives_now(owner);
        (lives && entry.owner.is_none_or(shown)).then_some(entry)
    }

    /// Lists entries that have a value at `clock`, by name from `first` on, then by kind and owner.
    pub(crate) fn entries_from(&self, first: SmolStr, clock: Instant) -> impl Iterator<Item = &Entry> {
        debug_assert!(!self.deferred, "nothing is listed by name while that index is given up");
        self.names.range((first, Whose::Everyone)..).filter_map(move |(_, slot)| self.visible(*slot, clock))
    }

    /// Returns the number of member records, and of entries and broadcasts that are not parked.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let members = self.items.members();
        (members, self.items.len() - members - self.certificates.len())
    }

    /// Returns the bytes of all values that are not parked.
    pub(crate) const fn bytes(&self) -> usize {
        self.usage.bytes()
    }

    /// Returns the number of shared entries that have a value, those included that have expired a short while ago.
    pub(crate) const fn shared(&self) -> usize {
        self.usage.shared()
    }

    /// Returns the memory taken by a writer's items.
    pub(crate) fn room_of(&self, writer: NodeId) -> Room {
        self.usage.of(writer)
    }

    /// Takes the next entry whose visible state may have changed.
    pub(crate) fn next_touched(&mut self) -> Option<(Whose, SmolStr)> {
        self.touched.pop_front()
    }

    #[cfg(test)]
    pub(crate) fn take_touched(&mut self) -> impl Iterator<Item = (Whose, SmolStr)> {
        self.touched.drain(..)
    }

    pub(crate) fn parked_dropped(&self) -> u64 {
        self.parked.dropped()
    }

    // Reconciliation.

    /// Returns the number of items in the reconciled set at a cut, and its fingerprint. The cost follows the items that
    /// ended between the cut and the last [`advance`](Self::advance), and the certificates between both bounds on those.
    pub(crate) fn summary(&self, cut: impl Into<Cut>) -> (u64, u64) {
        let mut cut = cut.into();
        if cut.at == NEVER {
            return (self.lasting.count, self.lasting.fingerprint);
        }
        let mut total = Total { count: self.hashes().len() as u64, fingerprint: self.hashes().fingerprint() };
        let plain = cut.kept == NEVER;
        if plain {
            // No walk over all that covers something: its total is known.
            total.count -= self.covering.count;
            total.fingerprint = total.fingerprint.wrapping_sub(self.covering.fingerprint);
            cut.kept = 0;
        }
        let covers = |slot| self.items.lives(slot).is_some_and(Lives::covers);
        for (here, hash, _) in self.differing(cut).filter(|(_, _, slot)| !plain || !covers(*slot)) {
            if here { total.remove(hash) } else { total.add(hash) }
        }
        (total.count, total.fingerprint)
    }

    /// Returns the number of items in a range of the set at a cut.
    pub(crate) fn count(&self, range: Range, cut: Cut) -> u64 {
        let differing = self.differing(cut).filter(|(_, hash, _)| range.contains(*hash));
        differing.fold(self.hashes().count(range), |count, (here, ..)| if here { count - 1 } else { count + 1 })
    }

    /// Returns coded symbols of a range of the set at a cut.
    pub(crate) fn sketch(&self, range: Range, cells: usize, cut: Cut) -> Sketch {
        let mut sketch = self.hashes().sketch(range, cells.min(CELLS));
        for (here, hash, _) in self.differing(cut).filter(|(_, hash, _)| range.contains(*hash)) {
            if here { sketch.remove(hash) } else { sketch.add(hash) }
        }
        sketch
    }

    /// The hashes of all that has not ended, within a range.
    pub(crate) fn hashes_in(&self, range: Range) -> impl Iterator<Item = u64> {
        self.hashes().iter_range(range).map(|(hash, _)| hash)
    }

    /// Lists the updates in a range of the set at a cut, by hash.
    pub(crate) fn in_range(&self, range: Range, cut: impl Into<Cut>) -> impl Iterator<Item = (u64, Update<A>)> {
        let cut = self.at_least(cut.into());
        let again = self.differing(cut).filter(|(here, hash, _)| !here && range.contains(*hash));
        let mut again: Vec<(u64, Slot)> = again.map(|(_, hash, slot)| (hash, slot)).collect();
        again.sort_unstable();
        let mut again = again.into_iter().peekable();
        let is_in = move |slot: Slot| self.items.lives(slot).is_some_and(|lives| lives.is_in(cut));
        let mut live = self.hashes().iter_range(range).filter(move |(_, slot)| is_in(*slot)).peekable();
        let merged = core::iter::from_fn(move || match (live.peek(), again.peek()) {
            (Some((first, _)), Some((second, _))) if second < first => again.next(),
            (Some(_), _) => live.next(),
            (None, _) => again.next(),
        });
        merged.filter_map(|(hash, slot)| self.items.update(slot).map(|update| (hash, update)))
    }

    /// A cut, with this replica's own bound on certificates if that is later.
    fn at_least(&self, cut: Cut) -> Cut {
        Cut { kept: cut.kept.max(second(self.certificates.kept)), ..cut }
    }

    /// Lists the items that are in one only of the set at a cut and the set that is indexed, with true if it is the indexed one.
    fn differing(&self, cut: Cut) -> impl Iterator<Item = (bool, u64, Slot)> {
        let cut = self.at_least(cut);
        let is_in = move |slot: Slot| self.items.lives(slot).is_some_and(|lives| lives.is_in(cut));
        let later = self.cut.max(cut.at());
        // Where certificates are not compared, values that have not ended and will become certificates are not either.
        let unkept = if cut.kept == NEVER { later } else { later.max(self.certificates.kept) };
        let ended = self.ended(self.cut, cut.at()).map(|(hash, slot)| (true, hash, slot));
        let unkept = self.ended(unkept, cut.kept()).filter(move |(_, slot)| !is_in(*slot));
        let again = self.ended(cut.at(), self.cut).filter(move |(_, slot)| is_in(*slot));
        ended.chain(unkept.map(|(hash, slot)| (true, hash, slot))).chain(again.map(|(hash, slot)| (false, hash, slot)))
    }

    /// Lists the items that leave the set after `from` and not after `to`; none if `to` is earlier.
    fn ended(&self, from: Instant, to: Instant) -> impl Iterator<Item = (u64, Slot)> {
        let range = (Bound::Excluded((from, Slot::MAX)), Bound::Included((from.max(to), Slot::MAX)));
        // A range that begins and ends in the same place has no sense to a tree, and nothing in it.
        let some = (from < to).then(|| self.ending.range(range)).into_iter().flatten();
        some.filter_map(|(_, slot)| Some((self.items.hash(*slot)?, *slot)))
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
