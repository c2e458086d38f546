//! Rumors: the rounds in which they go out, and what is answered to those that come in.

use alloc::vec::Vec;

use super::Node;
use super::large::Heard;
use super::learn::Source;
use crate::address::Address;
use crate::outbox::{HotKey, TrafficClass};
use crate::wire::{Item, Message};

impl<A: Address> Node<A> {
    pub(super) fn tick_rumors(&mut self) {
        let wanted = self.rumors.partners_wanted(self.now);
        if wanted > 0 {
            let partners = self.random_peers(wanted);
            self.rumors.hold_rounds(self.now, &partners, &mut self.outbox);
        }
    }

    /// Takes rumors in and says of each whether it was news, or, of an offer, whether it is wanted.
    pub(super) fn on_rumor(
        &mut self,
        from: &A,
        number: u16,
        (feedback, pull): (bool, bool),
        items: Vec<(u8, Item<A>)>,
    ) {
        let (mut useful, mut spared) = (0_u64, 0_u64);
        let some = !items.is_empty();
        let minimizes = self.rumors.minimizes();
        for (bit, (counter, item)) in items.into_iter().enumerate() {
            let mut known = None;
            let news = match item {
                Item::Update(update) => {
                    known = minimizes.then(|| HotKey::Fact(self.replica.hasher.key(&update)));
                    self.learn(update, Source::Rumor, Some(from)).is_some()
                }
                Item::Large(descriptor) => match self.hear_of(descriptor, Source::Rumor, from) {
                    Heard::News => true,
                    Heard::Later => {
                        spared |= 1 << bit;
                        false
                    }
                    Heard::Nothing => false,
                },
                Item::Suspicion(suspicion) => {
                    known = Some(HotKey::Opinion(suspicion));
                    self.on_suspicion(suspicion, Some(from))
                }
                Item::Offer(hash) if self.replica.has_hash(hash) => {
                    known = minimizes.then(|| self.replica.key_of(hash)).flatten().map(HotKey::Fact);
                    false
                }
                Item::Offer(hash)
                    if !self.is_fetching(hash, from)
                        && self.rumors.wants(self.now, hash, self.anti_entropy.patience()) =>
                {
                    true
                }
                Item::Offer(_) => {
                    // It is on its way from somebody else: this contact was neither useful nor useless.
                    spared |= 1 << bit;
                    false
                }
            };
            useful |= u64::from(news) << bit;
            if minimizes
                && !news
                && let Some(key) = known
            {
                spared |= u64::from(self.rumors.both_knew(&key, counter, &mut self.rng)) << bit;
            }
        }
        if some && (feedback || useful != 0) {
            self.outbox.message(TrafficClass::Rumor, from.clone(), Message::Feedback { number, useful, spared });
        }
        if pull && self.anti_entropy.affords(from, self.now) {
            self.rumors.answer_pull(from, &mut self.outbox);
        }
    }
}
