//! Death certificates, and the bound on their number.
//!
//! Over the bound those go that would be kept the shortest, so that all nodes with one bound let go of the same, and none that
//! was let go is taken in again: by arrival or by stamp, two nodes would give each other what they have no room for, for ever.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use super::cut::second;
use super::{Replica, Slot, Stored};
use crate::address::Address;
use crate::time::Instant;
use crate::update::{End, Update};

/// Part of the bound that is made free at a time: the bounds of two nodes are mostly equal then.
const LUMP: usize = 1_024;
/// Items between one's own cut and another that are looked at to compare there.
const NEAR: usize = 4_096;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Certificates {
    /// Certificates by the time up to which they are kept.
    kept_until: BTreeSet<(Instant, Slot)>,
    /// Certificates that are kept no longer than this, in whole seconds, were pushed out.
    pub(super) kept: Instant,
    pub(super) most: usize,
    pushed_out: u64,
    /// Latest end of what covered something and is forgotten.
    reach: Instant,
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            kept_until: BTreeSet::new(),
            kept: Instant::ORIGIN,
            most: usize::MAX,
            pushed_out: 0,
            reach: Instant::ORIGIN,
        }
    }
}

impl Certificates {
    /// Takes note that this is forgotten.
    pub(super) fn note_forgotten<A: Address>(&mut self, stored: &Stored<A>) {
        if let Some(ended) = stored.update.ends().instant().filter(|_| stored.update.covers() != End::NOTHING) {
            self.reach = self.reach.max(ended);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kept_until.len()
    }

    /// Adds what is in this slot, if it is a certificate.
    pub(super) fn add<A: Address>(&mut self, slot: Slot, stored: Option<&Stored<A>>) {
        if let Some(until) = stored.and_then(until) {
            self.kept_until.insert((until, slot));
        }
    }

    /// Removes what was in this slot.
    pub(super) fn remove<A: Address>(&mut self, slot: Slot, stored: &Stored<A>) {
        if let Some(until) = until(stored) {
            self.kept_until.remove(&(until, slot));
        }
    }
}

fn until<A: Address>(stored: &Stored<A>) -> Option<Instant> {
    stored.until.instant().filter(|_| stored.update.is_certificate())
}

impl<A: Address> Replica<A> {
    /// Pushes out the certificates that would be kept the shortest, while there are more than the bound.
    pub(super) fn shed(&mut self) {
        let Certificates { kept_until, kept: before, most, .. } = &self.certificates;
        let (before, over) = (*before, kept_until.len().saturating_sub(*most));
        if over == 0 {
            return;
        }
        let Some((last, _)) = kept_until.iter().nth(over - 1 + most / LUMP) else { return };
        let kept = (*last + Duration::from_micros(999_999)).floor_to(Duration::from_secs(1));
        let out: Vec<Slot> = kept_until.range(..=(kept, Slot::MAX)).map(|(_, slot)| *slot).collect();
        let touched = self.touched.len();
        for slot in out {
            if let Some(stored) = self.remove(slot) {
                self.certificates.note_forgotten(&stored);
            }
            self.certificates.pushed_out += 1;
        }
        // Nobody sees a certificate.
        self.touched.truncate(touched);
        self.certificates.kept = before.max(kept);
        // Values that would have been kept as certificates leave the set when they end.
        let between = (Bound::Excluded((before, Slot::MAX)), Bound::Included((before.max(kept), Slot::MAX)));
        let values: Vec<(Instant, Slot)> = self.ending.range(between).copied().collect();
        for (at, slot) in values {
            let (Some(lives), Some(hash)) = (self.items.lives(slot), self.items.hash(slot)) else { continue };
            let Some(leaves) = lives.leaves(kept).instant().filter(|leaves| *leaves != at) else { continue };
            self.ending.remove(&(at, slot));
            self.ending.insert((leaves, slot));
            if at > self.cut && leaves <= self.cut {
                self.hide(hash, lives);
            }
        }
    }

    /// Returns true if an update is in the reconciled set of this replica at agreed time, if it is the newest of its key.
    pub(crate) fn keeps(&self, update: &Update<A>, agreed: Instant) -> bool {
        let until = update.until();
        until.is_after(agreed) && (until.is_after(self.certificates.kept) || update.ends().is_after(agreed))
    }

    /// Returns the bound up to which certificates were pushed out, in whole seconds.
    pub(crate) fn kept(&self) -> u32 {
        second(self.certificates.kept)
    }

    /// Returns true if comparing certificates from this bound on would take a walk over very many of them.
    pub(crate) fn is_far(&self, kept: u32) -> bool {
        let from = self.cut.max(self.certificates.kept);
        self.ended(from, Instant::from_secs(kept.into())).nth(NEAR).is_some()
    }

    /// Returns true if comparing at this second would take a walk over very many items that leave the set meanwhile.
    pub(crate) fn ends_many(&self, until: u32) -> bool {
        let until = Instant::from_secs(until.into());
        self.ended(self.cut.min(until), self.cut.max(until)).nth(NEAR).is_some()
    }

    /// Returns the second after the latest deletion that is forgotten here.
    pub(crate) fn reach(&self) -> u32 {
        second(self.certificates.reach + Duration::from_micros(999_999))
    }

    /// Returns the number of certificates that were pushed out.
    pub(crate) const fn pushed_out(&self) -> u64 {
        self.certificates.pushed_out
    }
}
