//! Effects of time on a replica: values end, certificates shrink, items are forgotten.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::{Replica, Slot, Stored};
use crate::address::Address;
use crate::clock::Past;
use crate::time::Instant;
use crate::update::{Broadcast, Certificate, End, Entry, KeyHash, Record, Update};

/// Values that have ended of which the offer is remembered. What was offered before them is offered again when the peer's
/// older version is.
const OFFERED: usize = 64;

impl<A: Address> Replica<A> {
    /// Returns the time at which an entry becomes its death certificate: at its expiry, or after τ1.
    pub(super) fn shrinks_at(&self, entry: &Entry) -> Option<Instant> {
        let end = entry.ends?.at;
        Some(if entry.value.is_some() { end } else { end + self.shrink })
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

    /// The version of a key that is held here is offered to a peer, whether or not it has ended: its value can be asked for.
    pub(crate) fn offer(&mut self, key: KeyHash) {
        let Some(hash) = self.hash_of(key).filter(|hash| !self.has_hash(*hash)) else { return };
        let offer = (hash, key);
        if !self.offered.contains(&offer) {
            self.offered.truncate(OFFERED - 1);
            self.offered.push_front(offer);
        }
    }

    /// Returns the value of an item of the reconciled set, or of one that has ended and was [offered](Self::offer) lately.
    pub(crate) fn value(&self, hash: u64) -> Option<Arc<[u8]>> {
        let ended = || {
            let (_, key) = self.offered.iter().find(|(offered, _)| *offered == hash)?;
            self.get_if(*key, hash)
        };
        match self.by_hash(hash).or_else(ended)? {
            Update::Entry(Entry { value, .. }) => value,
            Update::Member(_) | Update::Certificate(_) | Update::Broadcast(_) => None,
        }
    }

    /// Moves the reconciled set to agreed time, which may step back: what has ended leaves it, what has not is in it again.
    /// Forgets what is `past` for good, which no step of a clock makes it: certificates of something that others may hold only
    /// while somebody else is there to remember them. Returns the members that are forgotten.
    pub(crate) fn advance(&mut self, agreed: Instant, past: Past) -> Vec<Record<A>> {
        let (from, to) = (self.cut.min(agreed), self.cut.max(agreed));
        let moved: Vec<(u64, Slot)> = self.ended(from, to).collect();
        for (hash, slot) in moved {
            let Some(lives) = self.items.lives(slot) else { continue };
            if self.cut < agreed {
                self.hide(hash, lives);
            } else {
                self.show(hash, slot, lives);
            }
        }
        let crossed = (Bound::Excluded((from, Slot::MAX)), Bound::Included((to, Slot::MAX)));
        let expired = (from < to).then(|| self.shrinking.range(crossed)).into_iter().flatten();
        for (_, slot) in expired {
            // The end of an entry that was deleted before is not new.
            if let Some(Stored { update: Update::Entry(entry), .. }) = self.items.other(*slot)
                && entry.value.is_some()
            {
                self.touched.push_back((entry.owner.into(), entry.name.clone()));
            }
        }
        self.cut = agreed;
        let forgotten = self.forget(past);
        self.shrink_until(past.awake);
        forgotten
    }

    /// Lets what has expired take no more room than its certificate, though the clock may step back yet.
    pub(crate) fn make_room(&mut self) {
        self.shrink_until(self.cut);
    }

    pub(super) fn shrink_until(&mut self, settled: Instant) {
        while let Some((at, slot)) = self.shrinking.first().copied()
            && at <= settled
        {
            self.shrinking.pop_first();
            let Some(stored) = self.items.other_mut(slot) else { continue };
            let Update::Entry(entry) = &stored.update else { continue };
            let digest = self.large.remove(&stored.key).unwrap_or_else(|| self.hasher.digest(&stored.update));
            let name = (entry.name.clone(), entry.owner.into());
            self.usage.remove(&stored.update);
            // The same item in fewer bytes: its hash stays.
            stored.update = Update::Certificate(Certificate {
                key: stored.key,
                owner: entry.owner,
                stamp: entry.stamp,
                ends: entry.ends,
                digest,
            });
            self.certificates.add(slot, self.items.other(slot));
            self.names.remove(&name);
        }
        self.shed();
    }

    fn forget(&mut self, past: Past) -> Vec<Record<A>> {
        let covers = |slot| self.items.other(slot).is_some_and(|stored| stored.update.covers() != End::NOTHING);
        let over = |(end, slot): &&(Instant, Slot)| *end <= past.in_touch || !covers(*slot);
        let ended = self.ending.range(..=(past.awake, Slot::MAX)).filter(over);
        let slots: Vec<Slot> = ended.map(|(_, slot)| *slot).collect();
        let mut forgotten = Vec::new();
        for slot in slots {
            let Some(stored) = self.remove(slot) else { continue };
            self.certificates.note_forgotten(&stored);
            match stored.update {
                Update::Member(record) => {
                    for slot in self.owned_by(record.id) {
                        self.remove(slot);
                    }
                    forgotten.push(record);
                }
                Update::Broadcast(broadcast) => self.forgotten.note(&broadcast),
                Update::Entry(_) | Update::Certificate(_) => {}
            }
        }
        forgotten
    }

    /// Returns whether a broadcast was perhaps here before, and is forgotten.
    pub(crate) fn has_forgotten(&self, broadcast: &Broadcast) -> bool {
        self.forgotten.has(broadcast)
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
