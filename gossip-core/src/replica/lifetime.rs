//! Effects of time on a replica: values end, certificates shrink, items are forgotten.

use alloc::vec::Vec;
use core::ops::Bound;

use super::{Replica, Slot, Stored};
use crate::address::Address;
use crate::clock::Past;
use crate::time::Instant;
use crate::update::{Certificate, Entry, Record, Update};

impl<A: Address> Replica<A> {
    /// Returns the time at which an entry becomes its death certificate: at its expiry, or after τ1.
    pub(super) fn shrinks_at(&self, entry: &Entry) -> Option<Instant> {
        if entry.value.is_some() { entry.expires.instant() } else { Some(entry.stamp.time + self.shrink) }
    }

    /// Returns the agreed time of the next end.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let after = (Bound::Excluded((self.cut, Slot::MAX)), Bound::Unbounded);
        let next = |(at, _): &(Instant, Slot)| *at;
        let ends = self.ending.range(after).next().map(next);
        let expires = self.shrinking.range(after).next().map(next);
        ends.into_iter().chain(expires).min()
    }

    /// Agreed time at the last [`advance`](Self::advance).
    pub(crate) const fn cut(&self) -> Instant {
        self.cut
    }

    /// Returns true if an item has ended that is neither forgotten nor shrunk.
    pub(crate) fn has_ended(&self) -> bool {
        let past = |first: Option<&(Instant, Slot)>| first.is_some_and(|(at, _)| *at <= self.cut);
        past(self.ending.first()) || past(self.shrinking.first())
    }

    /// Moves the reconciled set to agreed time, which may step back: what has ended leaves it, what has not is in it again.
    /// Forgets what is `past` for good, which no step of a clock makes it: entries only while somebody else is there who may
    /// remember them. Returns the members that are forgotten.
    pub(crate) fn advance(&mut self, agreed: Instant, past: Past) -> Vec<Record<A>> {
        let (from, to) = (self.cut.min(agreed), self.cut.max(agreed));
        let moved: Vec<(u64, Slot)> = self.ended(from, to).collect();
        for (hash, slot) in moved {
            if self.cut < agreed {
                self.hashes.remove(hash);
            } else {
                self.hashes.insert(hash, slot);
            }
        }
        let crossed = (Bound::Excluded((from, Slot::MAX)), Bound::Included((to, Slot::MAX)));
        let expired = (from < to).then(|| self.shrinking.range(crossed)).into_iter().flatten();
        for (_, slot) in expired {
            // The end of an entry that was deleted before is not new.
            if let Some(Stored { update: Update::Entry(entry), .. }) = self.items.other(*slot)
                && entry.value.is_some()
            {
                self.touched.push((entry.owner.map(|owner| owner.id), entry.name.clone()));
            }
        }
        self.cut = agreed;
        self.shrink_until(past.awake);
        self.forget(past)
    }

    /// Lets what has expired take no more room than its certificate, though the clock may step back yet.
    pub(crate) fn make_room(&mut self) {
        self.shrink_until(self.cut);
    }

    fn shrink_until(&mut self, settled: Instant) {
        while let Some((at, slot)) = self.shrinking.first().copied()
            && at <= settled
        {
            self.shrinking.pop_first();
            let Some(stored) = self.items.other_mut(slot) else { continue };
            let Update::Entry(entry) = &stored.update else { continue };
            let digest = self.large.remove(&stored.key).unwrap_or_else(|| self.hasher.digest(&stored.update));
            let name = (entry.name.clone(), entry.owner.map(|owner| owner.id));
            self.usage.remove(&stored.update);
            // The same item in fewer bytes: its hash stays.
            stored.update = Update::Certificate(Certificate {
                key: stored.key,
                owner: entry.owner,
                stamp: entry.stamp,
                until: entry.until,
                digest,
            });
            self.usage.add(&stored.update);
            self.names.remove(&name);
        }
    }

    fn forget(&mut self, past: Past) -> Vec<Record<A>> {
        let over = |(end, slot): &&(Instant, Slot)| slot.is_member() || *end <= past.in_touch;
        let ended = self.ending.range(..=(past.awake, Slot::MAX)).filter(over);
        let slots: Vec<Slot> = ended.map(|(_, slot)| *slot).collect();
        let mut forgotten = Vec::new();
        for slot in slots {
            if let Some(Stored { update: Update::Member(record), .. }) = self.remove(slot) {
                for slot in self.owned_by(record.id) {
                    self.remove(slot);
                }
                forgotten.push(record);
            }
        }
        forgotten
    }

    /// Lists what is stored from a position on, each with the position after it; none stands for an empty place.
    pub(crate) fn stored_from(&self, position: u64) -> impl Iterator<Item = (u64, Option<Update<A>>)> {
        self.items.slots_from(position).map(|(after, slot)| (after, slot.and_then(|slot| self.items.update(slot))))
    }

    /// Everything that is stored, what has ended included.
    pub(crate) fn stored(&self) -> impl Iterator<Item = Update<A>> {
        self.items.slots().filter_map(|slot| self.items.update(slot))
    }
}
