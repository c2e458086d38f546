//! What is to be sent: intents, by class and in the order of their coming, turned into bytes only when polled.
//!
//! Bounded per class: when one is full its oldest intent is dropped and counted. Dropping is always safe, since
//! whatever is lost here could have been lost on the way.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::replica::Range;
use crate::time::Instant;
use crate::update::KeyHash;
use crate::wire::{Message, Suspicion};

/// What a datagram is sent for; others may ride along. In the order in which they are sent.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[non_exhaustive]
pub enum Kind {
    /// An answer to a probe.
    Ack,
    /// A probe, for oneself or for another.
    Probe,
    /// Direct mail, rumors and what answers them.
    Rumor,
    /// Summaries and sketches.
    AntiEntropy,
    /// What a replica lacked.
    Bulk,
}

const CLASSES: usize = 5;

/// What a hot rumor is about: a fact in the replica, or an opinion.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HotKey {
    Fact(KeyHash),
    Opinion(Suspicion),
}

/// Something to be said to somebody.
#[derive(Debug, Clone)]
pub(crate) enum Intent<A> {
    /// As it stands.
    Message(Message<A>),
    /// What the replica then holds of a key, whether it is hot or not.
    Fact(KeyHash),
    /// The hot rumors of a round, those before `next` already sent; `bodies`: none of them by its hash alone.
    Rumors { keys: Arc<[HotKey]>, next: usize, bodies: bool, pull: bool },
    /// Updates by the hashes of their items, those before `next` already sent; `mail`: as rumors that go on.
    Items { hashes: Vec<u64>, mail: bool, next: usize },
    /// What stands in these ranges, so many datagrams of it.
    Pages { cut: Instant, ranges: VecDeque<Range>, window: u8 },
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Outbox<A> {
    classes: [VecDeque<(A, Intent<A>)>; CLASSES],
    limit: usize,
    dropped: u64,
}

impl<A: PartialEq> Outbox<A> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { classes: [const { VecDeque::new() }; CLASSES], limit, dropped: 0 }
    }

    pub(crate) fn push(&mut self, kind: Kind, to: A, intent: Intent<A>) {
        let class = &mut self.classes[kind as usize];
        if class.len() >= self.limit {
            class.pop_front();
            self.dropped += 1;
        }
        class.push_back((to, intent));
    }

    pub(crate) fn message(&mut self, kind: Kind, to: A, message: Message<A>) {
        self.push(kind, to, Intent::Message(message));
    }

    /// What is to be sent next.
    pub(crate) fn pop(&mut self) -> Option<(Kind, A, Intent<A>)> {
        const KINDS: [Kind; CLASSES] = [Kind::Ack, Kind::Probe, Kind::Rumor, Kind::AntiEntropy, Kind::Bulk];
        KINDS.into_iter().find_map(|kind| {
            let (to, intent) = self.classes[kind as usize].pop_front()?;
            Some((kind, to, intent))
        })
    }

    /// What is next in its class and goes to `to` as well.
    pub(crate) fn pop_for(&mut self, to: &A) -> Option<(Kind, Intent<A>)> {
        const KINDS: [Kind; CLASSES] = [Kind::Ack, Kind::Probe, Kind::Rumor, Kind::AntiEntropy, Kind::Bulk];
        KINDS.into_iter().find_map(|kind| {
            let class = &mut self.classes[kind as usize];
            class
                .front()
                .is_some_and(|(next, _)| next == to)
                .then(|| class.pop_front())
                .flatten()
                .map(|(_, i)| (kind, i))
        })
    }

    /// Puts back what was not sent, or not all of it.
    pub(crate) fn put_back(&mut self, kind: Kind, to: A, intent: Intent<A>) {
        self.classes[kind as usize].push_front((to, intent));
    }

    /// Whether pages for this peer still wait: one pull at a time is answered.
    pub(crate) fn drop_pages(&mut self, to: &A) {
        self.classes[Kind::Bulk as usize]
            .retain(|(peer, intent)| peer != to || !matches!(intent, Intent::Pages { .. }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.classes.iter().all(VecDeque::is_empty)
    }

    pub(crate) fn clear(&mut self) {
        self.classes.iter_mut().for_each(VecDeque::clear);
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}
