//! Items that were seen in the last seconds: which neighbours have them, over which way they came, and which are being spread.

use alloc::collections::VecDeque;
use core::hash::BuildHasherDefault;
use core::time::Duration;

use indexmap::IndexMap;
use siphasher::sip::SipHasher13;

use crate::outbox::HotKey;
use crate::time::Instant;

/// Time for which an item is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Room for so many is kept when none is remembered.
const KEPT: usize = 16;

/// An item.
#[derive(Debug)]
struct Recent {
    /// Its key while it is being spread.
    key: Option<HotKey>,
    /// A bit for each neighbour that has it, by the slots of links.
    known: u16,
    /// The slot of the link over which it came first.
    first: Option<u8>,
    /// The links over which it came; the most of all if that is not known.
    hops: u8,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Recents {
    items: IndexMap<u64, Recent, BuildHasherDefault<SipHasher13>>,
    /// In the order in which they were seen first.
    order: VecDeque<(Instant, u64)>,
    limit: usize,
}

impl Recents {
    pub(super) fn new(limit: usize) -> Self {
        Self { items: IndexMap::default(), order: VecDeque::new(), limit }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    pub(super) fn contains(&self, item: u64) -> bool {
        self.items.contains_key(&item)
    }

    /// The key of an item that is being spread.
    pub(super) fn key(&self, item: u64) -> Option<HotKey> {
        self.items.get(&item)?.key
    }

    /// The slot of the link over which an item came first.
    pub(super) fn first(&self, item: u64) -> Option<u8> {
        self.items.get(&item)?.first
    }

    /// The links over which an item came; none if it is not remembered.
    pub(super) fn hops(&self, item: u64) -> u8 {
        self.items.get(&item).map_or(u8::MAX, |recent| recent.hops)
    }

    /// Returns whether an item need not be sent to the neighbour with this bit: it has it, or nobody needs it any more.
    pub(super) fn is_settled(&self, item: u64, bit: u16) -> bool {
        self.items.get(&item).is_none_or(|recent| recent.key.is_none() || recent.known & bit != 0)
    }

    /// The neighbour with this bit has an item.
    pub(super) fn note_known(&mut self, item: u64, bit: u16) {
        if let Some(recent) = self.items.get_mut(&item) {
            recent.known |= bit;
        }
    }

    /// An item came over the link in `slot`, the last of so many; returns whether it was remembered before.
    pub(super) fn receive(&mut self, now: Instant, item: u64, slot: u8, hops: u8) -> bool {
        let before = self.contains(item);
        self.entry(now, item, u8::MAX).known |= 1 << slot;
        if !before {
            self.note_way(item, slot, hops);
        }
        before
    }

    /// An item came over this way, or would have come over it next time.
    pub(super) fn note_way(&mut self, item: u64, slot: u8, hops: u8) {
        if let Some(recent) = self.items.get_mut(&item) {
            (recent.first, recent.hops) = (Some(slot), hops);
        }
    }

    /// An item is being spread; returns the mask of neighbours that have it. `hops`: unless it came over a link.
    pub(super) fn spread(&mut self, now: Instant, item: u64, key: HotKey, hops: u8) -> u16 {
        let recent = self.entry(now, item, hops);
        recent.key = Some(key);
        recent.known
    }

    /// An item is not to be spread any more.
    pub(super) fn cool(&mut self, item: u64) {
        if let Some(recent) = self.items.get_mut(&item) {
            recent.key = None;
        }
    }

    fn entry(&mut self, now: Instant, item: u64, hops: u8) -> &mut Recent {
        if !self.items.contains_key(&item) {
            if self.items.len() >= self.limit
                && let Some((_, oldest)) = self.order.pop_front()
            {
                self.items.swap_remove(&oldest);
            }
            self.order.push_back((now, item));
        }
        self.items.entry(item).or_insert(Recent { key: None, known: 0, first: None, hops })
    }

    /// The latest items that are being spread, at most `most`.
    pub(super) fn latest(&self, most: usize) -> impl Iterator<Item = (u64, HotKey)> {
        let spread = |(_, item): &(Instant, u64)| Some((*item, self.items.get(item)?.key?));
        self.order.iter().rev().filter_map(spread).take(most)
    }

    /// Forgets what was seen long ago.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((seen, item)) = self.order.front()
            && now.since(*seen) >= REMEMBERED
        {
            self.items.swap_remove(item);
            self.order.pop_front();
        }
        if self.items.is_empty() {
            self.items.shrink_to(KEPT);
            self.order.shrink_to(KEPT);
        }
    }

    /// The slot of a link is free again.
    pub(super) fn free(&mut self, slot: u8) {
        for recent in self.items.values_mut() {
            recent.known &= !(1 << slot);
            recent.first = recent.first.filter(|first| *first != slot);
        }
    }
}
