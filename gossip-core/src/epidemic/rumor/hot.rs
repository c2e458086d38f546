//! The hot list: rumors being spread, found by slot, and in sending order: least often sent first, then longest
//! waiting.
//!
//! Knows how often each rumor was sent. Must not know rounds, policies or times. Every operation is O(1): in a storm of
//! rumors a node uses this list more than anything else.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::iter;

use siphasher::sip::SipHasher13;

use super::{Interest, Subject};
use crate::outbox::{HotKey, HotSlot};
use crate::table::Table;

/// No slot.
const NONE: u32 = u32::MAX;
/// Capacity that an empty list keeps; the memory that a storm took beyond it is released.
const KEPT: usize = 16;

/// A hot rumor.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) key: HotKey,
    pub(super) subject: Subject,
    /// Hash of the item, for a fact.
    pub(super) hash: u64,
    /// Length in a rumor message, in bytes.
    pub(super) len: usize,
    pub(super) interest: Interest,
    /// True after the first round, in which the rumor is sent whole.
    pub(super) introduced: bool,
    pub(super) sends: u32,
    generation: u64,
    /// Neighbours among the rumors sent equally often.
    previous: u32,
    next: u32,
}

/// Rumors of one subject that were sent equally often: a list linked through their neighbours.
#[derive(Debug, Copy, Clone)]
struct Line {
    first: u32,
    last: u32,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct HotList {
    rumors: Table<Hot>,
    /// Lines per subject, by the number of sends.
    lines: [Vec<Line>; 2],
    generation: u64,
}

impl HotList {
    pub(super) fn len(&self) -> usize {
        self.rumors.len()
    }

    /// Returns the slot of a key if it is hot.
    pub(super) fn find(&self, key: &HotKey) -> Option<HotSlot> {
        let at = self.rumors.find(hash(key), |hot| hot.key == *key)?;
        Some(HotSlot { slot: at, generation: self.rumors.get(at)?.generation })
    }

    /// Returns the rumor in a slot, unless it has cooled since or another rumor has taken the slot.
    pub(super) fn get(&self, at: HotSlot) -> Option<&Hot> {
        self.rumors.get(at.slot).filter(|hot| hot.generation == at.generation)
    }

    pub(super) fn get_mut(&mut self, at: HotSlot) -> Option<&mut Hot> {
        self.rumors.get_mut(at.slot).filter(|hot| hot.generation == at.generation)
    }

    /// Adds a rumor that is not hot yet.
    pub(super) fn insert(&mut self, key: HotKey, subject: Subject, hash: u64, len: usize) -> HotSlot {
        self.generation += 1;
        let hot = Hot {
            key,
            subject,
            hash,
            len,
            interest: Interest::new(),
            introduced: false,
            sends: 0,
            generation: self.generation,
            previous: NONE,
            next: NONE,
        };
        let at = self.rumors.insert(self::hash(&key), hot, |hot| self::hash(&hot.key));
        self.link(at);
        HotSlot { slot: at, generation: self.generation }
    }

    /// Removes a rumor.
    pub(super) fn remove(&mut self, at: HotSlot) {
        let Some(hot) = self.get(at) else { return };
        let hash = hash(&hot.key);
        self.unlink(at.slot);
        self.rumors.remove(hash, at.slot);
        self.rumors.shrink(KEPT);
    }

    /// Counts a send. Removes the rumor after the last that is allowed.
    pub(super) fn sent(&mut self, at: HotSlot, max_sends: u32) {
        if self.get(at).is_none() {
            return;
        }
        self.unlink(at.slot);
        let Some(hot) = self.rumors.get_mut(at.slot) else { return };
        hot.sends += 1;
        let goes_on = hot.sends < max_sends;
        self.link(at.slot);
        if !goes_on {
            self.remove(at);
        }
    }

    /// Lists the rumors on a subject in sending order.
    pub(super) fn in_order(&self, subject: Subject) -> impl Iterator<Item = (HotSlot, &Hot)> {
        self.lines[subject as usize].iter().flat_map(move |line| {
            let mut next = line.first;
            iter::from_fn(move || {
                let at = next;
                let hot = self.rumors.get(at)?;
                next = hot.next;
                Some((HotSlot { slot: at, generation: hot.generation }, hot))
            })
        })
    }

    /// Returns the last rumor in that order.
    pub(super) fn most_sent(&self, subject: Subject) -> Option<HotSlot> {
        let line = self.lines[subject as usize].iter().rfind(|line| line.last != NONE)?;
        Some(HotSlot { slot: line.last, generation: self.rumors.get(line.last)?.generation })
    }

    /// Returns true if there is a rumor on a subject.
    pub(super) fn has(&self, subject: Subject) -> bool {
        self.lines[subject as usize].iter().any(|line| line.first != NONE)
    }

    /// Appends a rumor to its line.
    fn link(&mut self, at: u32) {
        let Self { rumors, lines, .. } = self;
        let Some(hot) = rumors.get_mut(at) else { return };
        let (lines, sends) = (&mut lines[hot.subject as usize], hot.sends as usize);
        if lines.len() <= sends {
            lines.resize(sends + 1, Line { first: NONE, last: NONE });
        }
        let line = &mut lines[sends];
        (hot.previous, hot.next) = (line.last, NONE);
        match rumors.get_mut(line.last) {
            Some(last) => last.next = at,
            None => line.first = at,
        }
        line.last = at;
    }

    /// Removes a rumor from its line.
    fn unlink(&mut self, at: u32) {
        let Self { rumors, lines, .. } = self;
        let Some(&Hot { subject, sends, previous, next, .. }) = rumors.get(at) else { return };
        let line = &mut lines[subject as usize][sends as usize];
        match rumors.get_mut(previous) {
            Some(hot) => hot.next = next,
            None => line.first = next,
        }
        match rumors.get_mut(next) {
            Some(hot) => hot.previous = previous,
            None => line.last = previous,
        }
    }
}

/// Keys of facts are hashes already.
fn hash(key: &HotKey) -> u64 {
    match key {
        HotKey::Fact(key) => key.short(),
        HotKey::Opinion(suspicion) => {
            let mut hasher = SipHasher13::new();
            suspicion.hash(&mut hasher);
            hasher.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::id::NodeId;
    use crate::wire::Suspicion;

    fn key(n: u8) -> HotKey {
        let id = NodeId::new(n.into());
        HotKey::Opinion(Suspicion { about: id, incarnation: 0, accuser: id })
    }

    proptest! {
        /// Compares with a list that is sorted whenever it is read: by sends, then by the time at which that number was
        /// reached.
        #[test]
        fn the_order_is_least_sent_first_whatever_happens(steps in proptest::collection::vec((0_u8..3, 0_u8..12), 1..200)) {
            let mut list = HotList::default();
            let mut model: Vec<(u32, usize, u8, HotSlot)> = Vec::new();
            for (step, (what, n)) in steps.into_iter().enumerate() {
                let subject = if n % 2 == 0 { Subject::Membership } else { Subject::Data };
                let held = model.iter().position(|(_, _, m, _)| *m == n);
                match (what, held) {
                    (0, None) => model.push((0, step, n, list.insert(key(n), subject, n.into(), 1))),
                    (1, Some(at)) => list.remove(model.remove(at).3),
                    (2, Some(at)) => {
                        list.sent(model[at].3, 4);
                        (model[at].0, model[at].1) = (model[at].0 + 1, step);
                        if model[at].0 == 4 {
                            model.remove(at);
                        }
                    }
                    _ => {}
                }
                model.sort_unstable();
                for subject in [Subject::Membership, Subject::Data] {
                    let listed: Vec<u8> = list.in_order(subject).map(|(_, hot)| hot.hash as u8).collect();
                    let of = |n: &u8| n.is_multiple_of(2) == (subject == Subject::Membership);
                    let expected: Vec<u8> = model.iter().map(|(_, _, n, _)| *n).filter(of).collect();
                    prop_assert_eq!(list.has(subject), !expected.is_empty());
                    let last = list.most_sent(subject).and_then(|place| list.get(place)).map(|hot| hot.hash as u8);
                    prop_assert_eq!((&listed, last), (&expected, expected.last().copied()));
                }
                prop_assert_eq!(list.len(), model.len());
                for (_, _, n, place) in &model {
                    prop_assert!(list.find(&key(*n)) == Some(*place) && list.get(*place).is_some());
                }
            }
        }
    }

    #[test]
    fn a_storm_leaves_no_room_taken() {
        let mut list = HotList::default();
        let places: Vec<HotSlot> = (0..200).map(|n| list.insert(key(n), Subject::Data, 0, 1)).collect();
        places.iter().for_each(|place| list.remove(*place));
        assert_eq!(list.rumors.iter().count(), 0);
        let again = list.insert(key(1), Subject::Data, 0, 1);
        assert_eq!(again.slot, 0, "begun anew");
        assert!(places.iter().all(|place| list.get(*place).is_none()) && list.get(again).is_some());
    }
}
