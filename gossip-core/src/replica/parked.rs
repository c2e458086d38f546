//! Owned entries whose owner is not known yet: invisible, not reconciled, bounded.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::Merged;
use crate::address::Address;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{KeyHash, Update};

/// Owner, boot and key: entries of future boots do not displace one another, or the order of arrival would matter.
type Place = (NodeId, Instant, KeyHash);

#[derive(Debug)]
pub(super) struct Parked<A> {
    updates: BTreeMap<Place, Update<A>>,
    /// Order of arrival; some are gone.
    order: VecDeque<Place>,
    /// Bytes of their values.
    bytes: usize,
    limit: usize,
    dropped: u64,
}

impl<A: Address> Parked<A> {
    pub(super) const fn new(limit: usize) -> Self {
        Self { updates: BTreeMap::new(), order: VecDeque::new(), bytes: 0, limit, dropped: 0 }
    }

    fn place(key: KeyHash, update: &Update<A>) -> Option<Place> {
        update.owner().map(|owner| (owner.id, owner.boot, key))
    }

    pub(super) fn get(&self, key: KeyHash, update: &Update<A>) -> Option<&Update<A>> {
        self.updates.get(&Self::place(key, update)?)
    }

    /// Parks an update.
    pub(super) fn insert(&mut self, key: KeyHash, update: Update<A>) -> Merged<A> {
        let Some(place) = Self::place(key, &update) else { return Merged::Outdated };
        self.bytes += update.body_len();
        match self.updates.insert(place, update) {
            Some(old) => self.bytes -= old.body_len(),
            None => self.order.push_back(place),
        }
        if self.order.len() > 2 * self.limit + 16 {
            self.order.retain(|place| self.updates.contains_key(place));
        }
        Merged::Parked
    }

    /// Drops the oldest that exceed the limit, or the room that is left for them.
    pub(super) fn fit(&mut self, entries: usize, bytes: usize) {
        while (self.updates.len() > self.limit.min(entries) || self.bytes > bytes)
            && let Some(oldest) = self.order.pop_front()
        {
            self.dropped += u64::from(self.remove(&oldest).is_some());
        }
    }

    fn remove(&mut self, place: &Place) -> Option<Update<A>> {
        let update = self.updates.remove(place)?;
        self.bytes -= update.body_len();
        Some(update)
    }

    /// Takes the updates that a member wrote in this boot, and drops those of earlier boots.
    pub(super) fn take(&mut self, owner: NodeId, boot: Instant) -> Vec<Update<A>> {
        let settled = (owner, Instant::ORIGIN, KeyHash::MIN)..=(owner, boot, KeyHash::MAX);
        let places: Vec<Place> = self.updates.range(settled).map(|(place, _)| *place).collect();
        places.iter().filter_map(|place| self.remove(place)).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.updates.len()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}
