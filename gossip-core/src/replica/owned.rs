//! Entries that members own: there with their owners' records and gone with their lives, or shares, which outlive them.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Replica, Slot, Stored};
use crate::address::Address;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{Entry, Owner, Record, Standing, Until, Update, Whose};

/// State of owned entries, by owner and the owner's record.
pub(super) enum Ownership {
    /// The owner's record is here, with the same boot, until then.
    Current(Until),
    /// The owner, or this boot of it, is not known yet.
    Ahead,
    /// The owner has restarted since.
    Past,
}

/// Part of a member's record that decides about the entries that the member owns.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnerState {
    id: NodeId,
    boot: Instant,
    until: Until,
    /// True while the member's entries are visible: its record says that it is alive.
    pub(super) shows: bool,
}

impl OwnerState {
    pub(super) fn of<A>(update: &Update<A>) -> Option<Self> {
        let Update::Member(Record { id, boot, until, standing, .. }) = update else { return None };
        Some(Self { id: *id, boot: *boot, until: *until, shows: *standing == Standing::Alive })
    }
}

impl<A: Address> Replica<A> {
    pub(super) fn ownership(&self, owner: Owner) -> Ownership {
        let Some(record) = self.member(owner.id) else { return Ownership::Ahead };
        match record.boot.cmp(&owner.boot) {
            Ordering::Equal => Ownership::Current(record.until),
            Ordering::Greater => Ownership::Past,
            Ordering::Less => Ownership::Ahead,
        }
    }

    /// Applies a change of a member's record to the entries that the member owns. `showed`: true if they were visible before.
    pub(super) fn follow_owner(&mut self, OwnerState { id, boot, until, shows }: OwnerState, showed: bool) {
        for slot in self.owned_by(id) {
            let Some(stored) = self.items.other(slot) else { continue };
            let Some(owner) = stored.update.owner() else { continue };
            let stays = owner.boot == boot;
            if showed != (stays && shows)
                && let Update::Entry(entry) = &stored.update
                && entry.value.is_some()
            {
                self.touched.push_back((Whose::Own(id), entry.name.clone()));
            }
            let until = stored.update.until().min(until);
            if stays && stored.until == until {
                continue;
            }
            let Some(Stored { key, update, .. }) = self.remove(slot) else { continue };
            if stays {
                // Only its end has changed.
                self.store(key, update, until);
            } else if boot < owner.boot {
                // Of twins the one that started earlier may prevail for a while: the other's entries wait again.
                self.parked.insert(key, update);
            }
        }
        for update in self.parked.take(id, boot) {
            self.merge(update);
        }
    }

    /// Forgets a member before its record ends, and what it owns.
    pub(crate) fn forget_member(&mut self, id: NodeId) -> Option<Record<A>> {
        let slot = self.items.find(self.hasher.member(id))?;
        let showed = self.items.record(slot).is_some_and(|record| record.standing == Standing::Alive);
        for slot in self.owned_by(id) {
            if let Some(Stored { update: Update::Entry(entry), .. }) = self.remove(slot)
                && showed
                && entry.value.is_some()
            {
                self.touched.push_back((Whose::Own(id), entry.name));
            }
        }
        if let Update::Member(record) = self.remove(slot)?.update { Some(record) } else { None }
    }

    pub(super) fn owned_by(&self, id: NodeId) -> Vec<Slot> {
        self.owned.range((id, Slot::MIN)..=(id, Slot::MAX)).map(|(_, slot)| *slot).collect()
    }

    /// Lists the entries that a member owns.
    pub(crate) fn owned(&self, id: NodeId) -> impl Iterator<Item = Update<A>> {
        let slots = self.owned.range((id, Slot::MIN)..=(id, Slot::MAX));
        slots.filter_map(|(_, slot)| self.items.update(*slot))
    }

    /// Lists the shares of a member that have a value at `clock`.
    pub(crate) fn shares_of(&self, id: NodeId, clock: Instant) -> impl Iterator<Item = &Entry> {
        let slots = self.shares.range((id, Slot::MIN)..=(id, Slot::MAX));
        slots.filter_map(move |(_, slot)| self.visible(*slot, clock))
    }
}
