//! Outbox: intents to send, per class and in order of arrival, turned into bytes only when polled.
//!
//! Classes are ranked, except for bulk: if it were strictly last, a constant load of rumors would starve a newcomer.
//! While other classes wait, bulk gets one datagram in four and delays each of them by at most one datagram.
//!
//! Bounded per class and per peer, so that one peer's requests do not take the others' room. A peer's share counts the intents
//! of all classes. Where it is used up, the peer loses for a new intent
//!
//! 1. its oldest of the same class;
//! 2. if there is none, its oldest of the lowest class below, so that no ack waits behind rumors;
//! 3. if there is none either, the new one.
//!
//! Where the class is full as well, its oldest intent goes, whoever it is for. What is dropped is counted, and that is always safe: any
//! datagram could have been lost on the way. Intents become bytes in `node/transmit.rs`.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hash};

use indexmap::IndexMap;
use siphasher::sip::SipHasher13;

use crate::replica::{Cut, Range};
use crate::update::KeyHash;
use crate::wire::{Message, Span, Suspicion};

/// Purpose of a datagram; messages of other classes may share it. In sending order, except for bulk, which gets one
/// datagram in four while others wait.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[non_exhaustive]
pub enum TrafficClass {
    /// Answer to a probe.
    Ack,
    /// Probe, for this node or on behalf of another.
    Probe,
    /// Messages to one member, receipts, and answers to queries.
    Unicast,
    /// Direct mail, rumors, and answers to them.
    Rumor,
    /// Summaries and sketches.
    AntiEntropy,
    /// Items that a replica lacked.
    Bulk,
}

/// Datagrams of other classes that are sent before one of bulk.
const BEFORE_BULK: u32 = 3;

/// Capacity that an empty class keeps, in intents.
const KEPT: usize = 4;
const CLASSES: [TrafficClass; 6] = [
    TrafficClass::Ack,
    TrafficClass::Probe,
    TrafficClass::Unicast,
    TrafficClass::Rumor,
    TrafficClass::AntiEntropy,
    TrafficClass::Bulk,
];

/// Subject of a hot rumor: a fact in the replica, or an opinion.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HotKey {
    Fact(KeyHash),
    Opinion(Suspicion),
}

/// Position of a rumor in the hot list.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HotSlot {
    pub(crate) slot: u32,
    /// Generation: distinguishes this rumor from a later one in the same slot.
    pub(crate) generation: u64,
}

/// An intent to send something to a peer.
#[derive(Debug, Clone)]
pub(crate) enum Intent<A> {
    /// A message as it stands.
    Message(Message<A>),
    /// Messages in a datagram of their own with nothing else, as between strangers: for an address that is not proved, or
    /// may have another pass than its record says.
    Bare(Vec<Message<A>>),
    /// A message that shares its datagram with nothing, of whatever length.
    Alone(Message<A>),
    /// An echo that makes its datagram as long as this.
    Echo { seq: u32, length: usize },
    /// The token that a peer gave, and this node's record: an answer to its challenge.
    Introduction { cookie: u32 },
    /// The replica's update of a key at the time of sending, whether it is hot or not.
    Fact(KeyHash),
    /// The hot rumors of a round. Those before `next` are already sent. `bodies`: none of them by its hash alone.
    Rumors { rumors: Arc<[HotSlot]>, next: usize, bodies: bool, pull: bool },
    /// Everything that waits for this neighbour in the overlay.
    Link,
    /// Updates by the hashes of their items. Those before `next` are already sent. `mail`: as rumors that are relayed.
    Items { hashes: Vec<u64>, mail: bool, next: usize },
    /// At most `window` datagrams of the items in these ranges. `all`: also those in doubt.
    Pages { cut: Cut, ranges: VecDeque<Range>, window: u8, all: bool },
    /// At most `window` datagrams of these parts of an item's value.
    Chunks { item: u64, missing: VecDeque<Span>, window: u8 },
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Outbox<A> {
    classes: [VecDeque<(A, Intent<A>)>; CLASSES.len()],
    /// Number of intents that wait for each peer.
    waiting: IndexMap<A, usize, BuildHasherDefault<SipHasher13>>,
    limit: usize,
    per_peer: usize,
    /// Number of datagrams of other classes sent since bulk has been waiting.
    passed: u32,
    dropped: u64,
}

impl<A: Eq + Hash + Clone> Outbox<A> {
    /// `limit`: number of intents that may wait in a class. One peer may have an eighth of it, but at least 16.
    pub(crate) fn new(limit: usize) -> Self {
        let classes = [const { VecDeque::new() }; CLASSES.len()];
        Self { classes, waiting: IndexMap::default(), limit, per_peer: (limit / 8).max(16), passed: 0, dropped: 0 }
    }

    pub(crate) fn push(&mut self, class: TrafficClass, to: A, intent: Intent<A>) {
        let own = class as usize;
        if self.waiting.get(&to).is_some_and(|waiting| *waiting >= self.per_peer) {
            // Linear searches, but only for a peer that has used up its share, and in bounded queues.
            let oldest = |class: usize| {
                let at = self.classes[class].iter().position(|(peer, _)| *peer == to)?;
                Some((class, at))
            };
            let Some(found) = oldest(own).or_else(|| (own + 1..self.classes.len()).rev().find_map(oldest)) else {
                self.dropped += 1;
                return;
            };
            self.drop_at(found);
        }
        if self.classes[own].len() >= self.limit {
            self.drop_at((own, 0));
        }
        self.count(&to);
        self.classes[own].push_back((to, intent));
    }

    /// Drops the intent at a place of a class.
    fn drop_at(&mut self, (class, at): (usize, usize)) {
        if let Some((peer, _)) = self.classes[class].remove(at) {
            self.dropped += 1;
            self.uncount(&peer);
        }
    }

    fn count(&mut self, peer: &A) {
        if let Some(waiting) = self.waiting.get_mut(peer) {
            *waiting += 1;
        } else {
            self.waiting.insert(peer.clone(), 1);
        }
    }

    fn uncount(&mut self, peer: &A) {
        if let Some(waiting) = self.waiting.get_mut(peer) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.swap_remove(peer);
            }
        }
    }

    pub(crate) fn message(&mut self, class: TrafficClass, to: A, message: impl Into<Message<A>>) {
        self.push(class, to, Intent::Message(message.into()));
    }

    /// Takes the intent for the next datagram.
    pub(crate) fn pop(&mut self) -> Option<(TrafficClass, A, Intent<A>)> {
        let waits = |class: &TrafficClass| !self.classes[*class as usize].is_empty();
        let bulk_waits = waits(&TrafficClass::Bulk);
        let its_turn = bulk_waits && self.passed >= BEFORE_BULK;
        let class = if its_turn { TrafficClass::Bulk } else { CLASSES.into_iter().find(waits)? };
        self.passed = if bulk_waits && class != TrafficClass::Bulk { self.passed + 1 } else { 0 };
        let (to, intent) = self.pop_from(class)?;
        Some((class, to, intent))
    }

    /// Takes the next intent of a class if it goes to `to` as well.
    pub(crate) fn pop_for(&mut self, to: &A) -> Option<(TrafficClass, Intent<A>)> {
        let is_next = |class: &TrafficClass| self.classes[*class as usize].front().is_some_and(|(next, _)| next == to);
        let class = CLASSES.into_iter().find(is_next)?;
        let (_, intent) = self.pop_from(class)?;
        Some((class, intent))
    }

    fn pop_from(&mut self, class: TrafficClass) -> Option<(A, Intent<A>)> {
        let queue = &mut self.classes[class as usize];
        let next = queue.pop_front()?;
        if queue.is_empty() {
            queue.shrink_to(KEPT);
        }
        self.uncount(&next.0);
        Some(next)
    }

    /// Puts back an intent that was not sent, or not completely.
    pub(crate) fn put_back(&mut self, class: TrafficClass, to: A, intent: Intent<A>) {
        self.count(&to);
        self.classes[class as usize].push_front((to, intent));
    }

    /// Drops pages that still wait for this peer: only its latest pull is answered.
    pub(crate) fn drop_pages(&mut self, to: &A) {
        self.drop_bulk(to, |intent| matches!(intent, Intent::Pages { .. }));
    }

    /// Drops chunks of this item that still wait for this peer: its latest request names all that it lacks.
    pub(crate) fn drop_chunks(&mut self, to: &A, item: u64) {
        self.drop_bulk(to, |intent| matches!(intent, Intent::Chunks { item: of, .. } if *of == item));
    }

    fn drop_bulk(&mut self, to: &A, stale: impl Fn(&Intent<A>) -> bool) {
        let class = &mut self.classes[TrafficClass::Bulk as usize];
        let before = class.len();
        class.retain(|(peer, intent)| peer != to || !stale(intent));
        for _ in class.len()..before {
            self.uncount(to);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.classes.iter().all(VecDeque::is_empty)
    }

    pub(crate) fn clear(&mut self) {
        self.classes.iter_mut().for_each(VecDeque::clear);
        self.waiting.clear();
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Swim;

    fn ping(seq: u32) -> Intent<u32> {
        Intent::Message(Message::Swim(Swim::Ping { seq }))
    }

    #[test]
    fn bulk_has_a_share_while_others_wait_and_delays_none_by_more_than_a_datagram() {
        let mut outbox = Outbox::new(256);
        let mut sent = Vec::new();
        for seq in 0..400 {
            // Rumors arrive as fast as datagrams leave, and every seventh round there is a probe.
            outbox.push(TrafficClass::Rumor, 1, ping(seq));
            outbox.push(TrafficClass::Rumor, 2, ping(seq));
            outbox.push(TrafficClass::Bulk, 3, ping(seq));
            let probes = seq % 7 == 0;
            if probes {
                outbox.push(TrafficClass::Probe, 4, ping(seq));
            }
            let first = outbox.pop().map(|(class, ..)| class);
            sent.extend(first);
            if probes && first != Some(TrafficClass::Probe) {
                let second = outbox.pop().map(|(class, ..)| class);
                assert_eq!((first, second), (Some(TrafficClass::Bulk), Some(TrafficClass::Probe)));
                sent.extend(second);
            }
        }
        let bulk = sent.iter().filter(|class| **class == TrafficClass::Bulk).count();
        assert!((sent.len() / 5..=sent.len() / 3).contains(&bulk), "{bulk} of {}", sent.len());
        assert!(!sent.windows(2).any(|pair| pair == [TrafficClass::Bulk; 2]), "never two in a row while others wait");
    }

    #[test]
    fn bulk_has_all_when_nobody_else_waits_and_owes_nothing_for_it() {
        let mut outbox = Outbox::new(256);
        for seq in 0..9 {
            outbox.push(TrafficClass::Bulk, 3, ping(seq));
        }
        assert!((0..4).all(|_| matches!(outbox.pop(), Some((TrafficClass::Bulk, ..)))));
        for seq in 0..4 {
            outbox.push(TrafficClass::Rumor, 1, ping(seq));
        }
        let kinds: Vec<TrafficClass> = (0..5).filter_map(|_| Some(outbox.pop()?.0)).collect();
        assert_eq!(
            kinds,
            [TrafficClass::Rumor, TrafficClass::Rumor, TrafficClass::Rumor, TrafficClass::Bulk, TrafficClass::Rumor]
        );
    }

    #[test]
    fn a_peer_that_makes_room_in_a_lower_class_makes_none_in_a_full_one() {
        let mut outbox = Outbox::new(16);
        (0..16).for_each(|seq| outbox.push(TrafficClass::Bulk, 0, ping(seq)));
        (0..16).for_each(|seq| outbox.push(TrafficClass::Probe, 1 + seq, ping(seq)));
        outbox.push(TrafficClass::Probe, 0, ping(0));
        let waiting = |class: TrafficClass| outbox.classes[class as usize].len();
        assert_eq!((waiting(TrafficClass::Bulk), waiting(TrafficClass::Probe), outbox.dropped()), (15, 16, 2));
    }

    #[test]
    fn one_peer_takes_a_share_of_the_room_and_no_more() {
        let mut outbox = Outbox::new(256);
        outbox.push(TrafficClass::Probe, 2, ping(0));
        for seq in 0..100 {
            outbox.push(TrafficClass::Probe, 1, ping(seq));
        }
        assert_eq!((outbox.classes[TrafficClass::Probe as usize].len(), outbox.dropped()), (33, 68));
        assert!(matches!(outbox.pop(), Some((TrafficClass::Probe, 2, _))), "the other's still waits");
        let first = outbox.pop();
        assert!(
            matches!(first, Some((_, 1, Intent::Message(Message::Swim(Swim::Ping { seq: 68 }))))),
            "the oldest made room"
        );
        while outbox.pop_for(&1).is_some() {}
        assert!(outbox.is_empty() && outbox.waiting.is_empty(), "what is sent is not counted any more");
    }

    #[test]
    fn a_peer_that_has_used_up_its_share_still_gets_its_acks() {
        let mut outbox = Outbox::new(256);
        for seq in 0..40 {
            let class = if seq % 2 == 0 { TrafficClass::Bulk } else { TrafficClass::Rumor };
            outbox.push(class, 1, ping(seq));
        }
        assert_eq!(outbox.waiting[&1], 32);
        let bulk = outbox.classes[TrafficClass::Bulk as usize].len();
        outbox.push(TrafficClass::Ack, 1, ping(100));
        assert_eq!(outbox.classes[TrafficClass::Bulk as usize].len(), bulk - 1, "the lowest class makes room");
        assert!(matches!(outbox.pop(), Some((TrafficClass::Ack, 1, _))));
        // What is lowest makes no room among higher classes for itself.
        let mut outbox = Outbox::new(256);
        for seq in 0..32 {
            outbox.push(TrafficClass::Ack, 1, ping(seq));
        }
        outbox.push(TrafficClass::Bulk, 1, ping(100));
        assert_eq!((outbox.classes[TrafficClass::Ack as usize].len(), outbox.dropped()), (32, 1));
    }
}
