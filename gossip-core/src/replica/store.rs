//! Store of a replica's items, found by their keys.
//!
//! Member records are many, small and alike. They have a table of their own, whose rows hold a record and the hash of
//! its item, and nothing that follows from it. Knows no order of versions and no time.

use core::hash::{Hash, Hasher};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::cut::{Cut, NEVER};
use crate::address::Address;
use crate::table::Table;
use crate::time::Instant;
use crate::update::{ItemHasher, KeyHash, Record, Until, Update};

/// Position of an item: the row in its table, and in the lowest bit the table.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

impl Slot {
    pub(super) const MIN: Self = Self(0);
    pub(super) const MAX: Self = Self(u32::MAX);

    const fn member(at: u32) -> Self {
        Self(at << 1)
    }

    const fn other(at: u32) -> Self {
        Self(at << 1 | 1)
    }

    pub(super) const fn is_member(self) -> bool {
        self.0 & 1 == 0
    }

    const fn at(self) -> u32 {
        self.0 >> 1
    }
}

/// Position of the first item that is no record: see [`Store::slots_from`].
const OTHERS: u64 = 1 << 32;

#[derive(Debug)]
struct Known<A> {
    record: Record<A>,
    hash: u64,
}

/// Any item except a record.
#[derive(Debug)]
pub(super) struct Stored<A> {
    pub(super) key: KeyHash,
    pub(super) update: Update<A>,
    pub(super) hash: u64,
    /// End of the update, or of its owner's record if that is earlier.
    pub(super) until: Until,
}

impl<A: Address> Stored<A> {
    pub(super) fn lives(&self) -> Lives {
        Lives { ends: self.update.ends().min(self.until), until: self.until }
    }
}

/// End of what is visible of an item, and end of the certificate that it is from then on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lives {
    pub(super) ends: Until,
    until: Until,
}

impl Lives {
    pub(super) const EVER: Self = Self { ends: Until::NEVER, until: Until::NEVER };

    /// Returns true if it is kept for longer than it lives.
    pub(super) fn covers(self) -> bool {
        self.ends != self.until
    }

    /// Returns when it leaves a set in which certificates that are `kept` no longer than that do not count.
    pub(super) fn leaves(self, kept: Instant) -> Until {
        if self.until.is_after(kept) { self.until } else { self.ends }
    }

    /// Returns true if it is in the set at a cut.
    pub(super) fn is_in(self, cut: Cut) -> bool {
        let compared = cut.kept != NEVER || !self.covers();
        compared && self.leaves(cut.kept()).is_after(cut.at())
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Store<A> {
    members: Table<Known<A>>,
    /// Rows of members by address, for what is sent there.
    addresses: HashTable<u32>,
    others: Table<Stored<A>>,
}

/// Members that are looked at for one address: two, where one has taken the place of another.
const ALIKE: usize = 16;

fn hash<A: Hash>(address: &A) -> u64 {
    let mut hasher = SipHasher13::new();
    address.hash(&mut hasher);
    hasher.finish()
}

impl<A: Address> Store<A> {
    pub(super) fn new() -> Self {
        Self { members: Table::default(), addresses: HashTable::new(), others: Table::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len() + self.others.len()
    }

    /// Returns the number of member records.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    pub(super) fn find(&self, key: KeyHash) -> Option<Slot> {
        match key.member() {
            Some(id) => self.members.find(key.short(), |known| known.record.id == id).map(Slot::member),
            None => self.others.find(key.short(), |stored| stored.key == key).map(Slot::other),
        }
    }

    /// Adds an item whose key is not in the store.
    pub(super) fn insert(&mut self, stored: Stored<A>, hasher: &ItemHasher) -> Slot {
        let short = stored.key.short();
        match stored.update {
            Update::Member(record) => {
                let place = hash(&record.address);
                let known = Known { record, hash: stored.hash };
                let at = self.members.insert(short, known, |known| hasher.member(known.record.id).short());
                let Self { members, addresses, .. } = self;
                let rehash = |at: &u32| members.get(*at).map_or(0, |known| hash(&known.record.address));
                addresses.insert_unique(place, at, rehash);
                Slot::member(at)
            }
            _ => Slot::other(self.others.insert(short, stored, |stored| stored.key.short())),
        }
    }

    /// Removes an item.
    pub(super) fn remove(&mut self, slot: Slot, hasher: &ItemHasher) -> Option<Stored<A>> {
        let key = self.key(slot, hasher)?;
        if slot.is_member() {
            let Known { record, hash } = self.members.remove(key.short(), slot.at())?;
            if let Ok(found) = self.addresses.find_entry(self::hash(&record.address), |at| *at == slot.at()) {
                found.remove();
            }
            Some(Stored { key, hash, until: record.until, update: Update::Member(record) })
        } else {
            self.others.remove(key.short(), slot.at())
        }
    }

    pub(super) fn key(&self, slot: Slot, hasher: &ItemHasher) -> Option<KeyHash> {
        match self.record(slot) {
            Some(record) => Some(hasher.member(record.id)),
            None => self.other(slot).map(|stored| stored.key),
        }
    }

    /// Returns the hash of an item.
    pub(super) fn hash(&self, slot: Slot) -> Option<u64> {
        if slot.is_member() {
            self.members.get(slot.at()).map(|known| known.hash)
        } else {
            self.other(slot).map(|stored| stored.hash)
        }
    }

    /// Returns the ends of an item, its own or its owner's.
    pub(super) fn lives(&self, slot: Slot) -> Option<Lives> {
        match self.record(slot) {
            Some(Record { until, .. }) => Some(Lives { ends: *until, until: *until }),
            None => self.other(slot).map(Stored::lives),
        }
    }

    pub(super) fn record(&self, slot: Slot) -> Option<&Record<A>> {
        self.members.get(slot.at()).filter(|_| slot.is_member()).map(|known| &known.record)
    }

    /// Lists the records with this address: mostly one.
    pub(super) fn at_address(&self, address: &A) -> impl Iterator<Item = &Record<A>> {
        let rows = self.addresses.iter_hash(hash(address)).take(ALIKE);
        let records = rows.filter_map(|at| self.members.get(*at)).map(|known| &known.record);
        records.filter(move |record| record.address == *address)
    }

    pub(super) fn other(&self, slot: Slot) -> Option<&Stored<A>> {
        self.others.get(slot.at()).filter(|_| !slot.is_member())
    }

    pub(super) fn other_mut(&mut self, slot: Slot) -> Option<&mut Stored<A>> {
        self.others.get_mut(slot.at()).filter(|_| !slot.is_member())
    }

    /// Returns a copy of the update, which shares its body.
    pub(super) fn update(&self, slot: Slot) -> Option<Update<A>> {
        match self.record(slot) {
            Some(record) => Some(Update::Member(record.clone())),
            None => self.other(slot).map(|stored| stored.update.clone()),
        }
    }

    /// Returns true if this very update is in the slot.
    pub(super) fn is(&self, slot: Slot, update: &Update<A>) -> bool {
        match update {
            Update::Member(record) => self.record(slot) == Some(record),
            _ => self.other(slot).is_some_and(|stored| stored.update == *update),
        }
    }

    /// Lists the slots from a position on, members first, each with the position after it. None stands for a row that is
    /// empty.
    pub(super) fn slots_from(&self, position: u64) -> impl Iterator<Item = (u64, Option<Slot>)> {
        // Rows are counted in 32 bits.
        let (member, other) = (position.min(OTHERS) as u32, position.saturating_sub(OTHERS) as u32);
        let members = (position < OTHERS).then(|| self.members.rows_from(member)).into_iter().flatten();
        let members = members.map(|(after, row)| (u64::from(after), row.map(|_| Slot::member(after - 1))));
        let others = self.others.rows_from(other);
        members.chain(others.map(|(after, row)| (OTHERS + u64::from(after), row.map(|_| Slot::other(after - 1)))))
    }

    /// Lists all slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let members = self.members.iter().map(|(at, _)| Slot::member(at));
        members.chain(self.others.iter().map(|(at, _)| Slot::other(at)))
    }
}
