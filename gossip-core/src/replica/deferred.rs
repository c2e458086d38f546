//! The two large indexes of a replica, by hash and by name, are kept with every item, or made at once after many.
//!
//! Of a million items that come one after the other each finds its place in two trees and a sketch, which are in no
//! cache: that is more than half of the time that they take. Sorted, they take an eighth of it.

use core::mem;

use super::hashes::Hashes;
use super::store::Lives;
use super::{Replica, Slot, Stored};
use crate::address::Address;
use crate::update::Update;

impl<A: Address> Replica<A> {
    /// Gives up the indexes by hash and by name until [`index_all`](Self::index_all): meanwhile updates are merged and
    /// found by their keys only.
    pub(crate) fn defer_indexes(&mut self) {
        self.deferred = true;
        self.hashes = Hashes::new();
        self.names.clear();
    }

    /// Makes the indexes that were given up.
    pub(crate) fn index_all(&mut self) {
        if !mem::take(&mut self.deferred) {
            return;
        }
        let items = &self.items;
        let shown = items.slots().filter(|slot| self.is_shown(*slot));
        let hashes = shown.filter_map(|slot| Some((items.hash(slot)?, slot)));
        self.hashes = hashes.collect();
        let named = items.slots().filter_map(|slot| match items.other(slot)? {
            Stored { update: Update::Entry(entry), .. } => Some(((entry.name.clone(), entry.owner.into()), slot)),
            _ => None,
        });
        self.names = named.collect();
    }

    /// Returns the index by hash.
    pub(super) fn hashes(&self) -> &Hashes<Slot> {
        debug_assert!(!self.deferred, "nothing is looked up by hash while that index is given up");
        &self.hashes
    }

    /// Returns true if an item is in the reconciled set.
    pub(super) fn is_shown(&self, slot: Slot) -> bool {
        self.items.lives(slot).is_some_and(|lives| lives.leaves(self.certificates.kept).is_after(self.cut))
    }

    /// Puts an item into the reconciled set.
    pub(super) fn show(&mut self, hash: u64, slot: Slot, lives: Lives) {
        if !self.deferred {
            self.hashes.insert(hash, slot);
        }
        if lives.covers() {
            self.covering.add(hash);
        }
    }

    /// Takes an item out of the reconciled set.
    pub(super) fn hide(&mut self, hash: u64, lives: Lives) {
        self.hashes.remove(hash);
        if lives.covers() {
            self.covering.remove(hash);
        }
    }
}
