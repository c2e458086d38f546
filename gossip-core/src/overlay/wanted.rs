//! Items that were offered and are missing here: whom to ask, and when.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::time::Instant;

/// Items that may be missing at once; what is offered beyond that anti-entropy brings.
const MOST: usize = 4_096;
/// Requests for one item.
const MOST_ASKS: u32 = 12;

/// A missing item.
#[derive(Debug)]
struct Missing {
    due: Instant,
    /// The slots of the links over which it was offered; whoever is asked goes to the end.
    offered: Vec<u8>,
    /// A bit for each slot of a far link among them.
    far: u16,
    asks: u32,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Wanted {
    missing: BTreeMap<u64, Missing>,
    /// No item is due before this.
    due: Option<Instant>,
}

impl Wanted {
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// An item was offered over the link in `slot`; it is asked for at `due`, or when it was to be asked for already,
    /// whichever is sooner. `first`: this link is asked next; `far`: after all that are near. Returns whether it is
    /// remembered.
    pub(super) fn offer(&mut self, item: u64, slot: u8, due: Instant, (first, far): (bool, bool)) -> bool {
        if let Some(missing) = self.missing.get_mut(&item) {
            missing.offered.retain(|other| *other != slot || !first);
            if !missing.offered.contains(&slot) {
                missing.far |= u16::from(far) << slot;
                let last = missing.offered.len();
                let before = if far { None } else { missing.offered.iter().position(|at| missing.far >> at & 1 == 1) };
                missing.offered.insert(if first { 0 } else { before.unwrap_or(last) }, slot);
            }
            missing.due = missing.due.min(due);
        } else if self.missing.len() < MOST {
            self.missing.insert(item, Missing { due, offered: [slot].into(), far: u16::from(far) << slot, asks: 0 });
        } else {
            return false;
        }
        self.due = Some(self.due.map_or(due, |at| at.min(due)));
        true
    }

    /// An item has come.
    pub(super) fn got(&mut self, item: u64) {
        if self.missing.remove(&item).is_some() && self.missing.is_empty() {
            self.due = None;
        }
    }

    /// Items to be asked for now, each with the slot of the link. `timeout`: how long an answer takes over a link.
    pub(super) fn ask(&mut self, now: Instant, timeout: impl Fn(u8) -> Duration) -> Vec<(u64, u8)> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut asks = Vec::new();
        self.missing.retain(|item, missing| {
            if now < missing.due {
                return true;
            }
            if missing.offered.is_empty() || missing.asks >= MOST_ASKS {
                return false;
            }
            let slot = missing.offered.remove(0);
            missing.offered.push(slot);
            missing.asks += 1;
            missing.due = now + timeout(slot);
            asks.push((*item, slot));
            true
        });
        self.due = self.missing.values().map(|missing| missing.due).min();
        asks
    }

    /// The link in this slot is gone.
    pub(super) fn free(&mut self, slot: u8) {
        for missing in self.missing.values_mut() {
            missing.offered.retain(|other| *other != slot);
            missing.far &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_secs(1_000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn those_who_offer_are_asked_in_turn_until_it_comes() {
        let mut wanted = Wanted::default();
        let calm = (false, false);
        assert!(wanted.offer(9, 0, NOW + 4 * MS, calm) && wanted.offer(9, 1, NOW + 6 * MS, calm));
        assert!(wanted.ask(NOW + 3 * MS, |_| 5 * MS).is_empty());
        assert_eq!(wanted.ask(NOW + 4 * MS, |_| 5 * MS), [(9, 0)]);
        assert_eq!(wanted.due(), Some(NOW + 9 * MS));
        // One whose body was lost says so: it is asked at once, before the others.
        assert!(wanted.offer(9, 2, NOW + 5 * MS, (true, false)));
        assert_eq!(wanted.ask(NOW + 5 * MS, |_| 5 * MS), [(9, 2)]);
        wanted.free(1);
        assert_eq!(wanted.ask(NOW + 10 * MS, |_| 5 * MS), [(9, 0)]);
        wanted.got(9);
        assert!(wanted.due().is_none() && wanted.ask(NOW + 99 * MS, |_| MS).is_empty());
    }

    #[test]
    fn near_ones_are_asked_before_far_ones() {
        let mut wanted = Wanted::default();
        for (slot, far) in [(0, true), (1, false), (2, true), (3, false)] {
            assert!(wanted.offer(9, slot, NOW, (false, far)));
        }
        let asked: Vec<u8> = (0..5).flat_map(|at| wanted.ask(NOW + at * MS, |_| MS)).map(|(_, slot)| slot).collect();
        assert_eq!(asked, [1, 3, 0, 2, 1]);
    }

    #[test]
    fn nobody_is_asked_for_ever() {
        let mut wanted = Wanted::default();
        wanted.offer(9, 0, NOW, (false, false));
        let mut asks = 0;
        while let Some(due) = wanted.due() {
            asks += wanted.ask(due, |_| MS).len();
        }
        assert_eq!(asks, 12);
    }
}
