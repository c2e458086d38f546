//! Messages of rumor mongering.

use super::Node;
use crate::address::Address;
use crate::node::large::Described;
use crate::node::learn::Source;
use crate::outbox::{HotKey, Intent, TrafficClass};
use crate::wire::{Feedback, Item, Round, Rumor};

/// Budget for the answer to one pull of rumors, in bytes.
const HOT_LIST: usize = 8_192;

impl<A: Address> Node<A> {
    pub(super) fn on_rumor(&mut self, from: &A, message: Rumor<A>) {
        match message {
            Rumor::Mail(item) => self.on_mail(from, item),
            Rumor::Round(round) => self.on_round(from, round),
            Rumor::Feedback(feedback) => self.on_feedback(from, feedback),
        }
    }

    fn on_mail(&mut self, from: &A, item: Item<A>) {
        match item {
            Item::Update(update) => {
                self.learn(update, Source::Rumor, Some(from));
            }
            Item::Suspicion(suspicion) => {
                self.on_suspicion(suspicion, Some(from));
            }
            Item::Large(descriptor) => {
                self.hear_of(descriptor, Source::Rumor, from);
            }
            // Nobody offers by mail: there is no number to answer to.
            Item::Offer(_) => {}
        }
    }

    fn on_feedback(&mut self, from: &A, feedback: Feedback) {
        let hashes = self.rumors.feedback(from, feedback, &mut self.rng);
        if !hashes.is_empty() {
            self.outbox.push(TrafficClass::Rumor, from.clone(), Intent::Items { hashes, mail: true, next: 0 });
        }
    }

    /// Takes rumors in, and answers for each whether it was new, or, if it was an offer, whether it is wanted.
    fn on_round(&mut self, from: &A, Round { number, feedback, pull, items }: Round<A>) {
        let (mut useful, mut neutral) = (0_u64, 0_u64);
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
                    Described::Fetched => true,
                    Described::Later => {
                        neutral |= 1 << bit;
                        false
                    }
                    Described::Useless => false,
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
                    neutral |= 1 << bit;
                    false
                }
            };
            useful |= u64::from(news) << bit;
            if minimizes
                && !news
                && let Some(key) = known
            {
                neutral |= u64::from(self.rumors.both_knew(&key, counter, &mut self.rng)) << bit;
            }
        }
        if some && (feedback || useful != 0) {
            self.outbox.message(
                TrafficClass::Rumor,
                from.clone(),
                Rumor::Feedback(Feedback { number, useful, neutral }),
            );
        }
        if pull && self.trust.affords(from, HOT_LIST, self.now) {
            self.rumors.answer_pull(from, &mut self.outbox);
        }
    }
}
