//! What time does to a replica: values expire, certificates shrink, items are forgotten.

use alloc::vec::Vec;

use super::{Replica, Stored};
use crate::address::Address;
use crate::time::Instant;
use crate::update::{Certificate, Entry, Record, Update};

impl<A: Address> Replica<A> {
    /// When an entry is no more than its death certificate: its value when it expires, its name after τ1.
    pub(super) fn shrinks_at(&self, entry: &Entry) -> Option<Instant> {
        if entry.value.is_some() { entry.expires.instant() } else { Some(entry.stamp.time + self.shrink) }
    }

    /// When the next thing happens here, in hybrid-logical-clock time.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let ends = self.ending.first().map(|(end, _)| *end + self.grace);
        let shrinks = self.shrinking.first().map(|(at, _)| *at);
        ends.into_iter().chain(shrinks).min()
    }

    /// Lets time pass. Returns the records of the members that are forgotten.
    pub(crate) fn advance(&mut self, clock: Instant) -> Vec<Record<A>> {
        while let Some((at, slot)) = self.shrinking.first().copied()
            && at <= clock
        {
            self.shrinking.pop_first();
            let Some(stored) = self.items.other_mut(slot) else { continue };
            let Update::Entry(entry) = &stored.update else { continue };
            let digest = self.large.remove(&stored.key).unwrap_or_else(|| self.hasher.digest(&stored.update));
            let owner = entry.owner.map(|owner| owner.id);
            let (name, expires) = (entry.name.clone(), entry.value.is_some());
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
            self.names.remove(&(name.clone(), owner));
            // Of what was deleted before it is no news that it is gone.
            if expires {
                self.touched.push((owner, name));
            }
        }
        let mut forgotten = Vec::new();
        while let Some((end, slot)) = self.ending.first().copied()
            && end + self.grace <= clock
        {
            if let Some(Stored { update: Update::Member(record), .. }) = self.remove(slot) {
                for slot in self.owned_by(record.id) {
                    self.remove(slot);
                }
                forgotten.push(record);
            }
        }
        forgotten
    }
}
