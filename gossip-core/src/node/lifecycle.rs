//! A life from its start to its end: what this node says of itself, and when it falls silent.

use core::time::Duration;

use super::Node;
use super::identity::Phase;
use super::learn::Source;
use crate::address::Address;
use crate::outbox::HotKey;
use crate::replica::Merged;
use crate::update::{KeyHash, LATEST, Standing, Until, Update};

impl<A: Address> Node<A> {
    pub(super) fn own_key(&self) -> KeyHash {
        self.replica.hasher.member(self.identity.id)
    }

    /// Returns the time at which a death or departure of now is forgotten. It is counted from the hour (or a shorter
    /// unit if `reap_after` is short), so that nodes that declare the same death agree, and is never in the past.
    pub(super) fn reaped_at(&self) -> Until {
        let reap_after = self.config.lifetimes.reap_after;
        let unit = Duration::from_secs(3_600).min(reap_after / 2);
        Until::at(self.agreed().floor_to(unit) + reap_after)
    }

    /// Begins a life: the first, or after a departure the next.
    pub(super) fn start(&mut self) {
        self.identity.start(self.agreed().min(LATEST));
        self.forget_links();
        self.publish_self(Standing::Alive);
        self.rumors.begin_pulling(self.now);
        self.anti_entropy.look_again(self.now);
        self.anti_entropy.begins(self.now, &mut self.rng);
        self.heal_later();
        self.await_answers();
    }

    /// Tells everybody what is true of this node.
    pub(super) fn publish_self(&mut self, standing: Standing) {
        let until = if standing == Standing::Alive { Until::NEVER } else { self.reaped_at() };
        let record = Update::Member(self.identity.record(standing, until));
        let key = self.own_key();
        let replaced = self.replica.hash_of(key);
        if let Merged::News { hash, .. } = self.replica.merge_keyed(key, record) {
            self.note_merged(hash, replaced);
            self.heat(key, Source::Own);
            self.mail(key);
        }
        self.schedule_links();
        self.note_touched();
    }

    pub(super) fn tick_leaving(&mut self) {
        let Phase::Leaving { deadline } = self.identity.phase else { return };
        // Until this node has a peer nobody has received its departure: seeds challenge it first.
        let heard = !self.lacks_peers();
        let own = self.own_key();
        let spreads = self.is_flooding(own) || self.rumors.is_hot(&HotKey::Fact(own));
        let spread = heard && !spreads && self.outbox.is_empty();
        let alone = heard && self.detector.members().peers() == 0;
        if spread || alone || self.now >= deadline {
            self.identity.phase = Phase::Left;
            self.outbox.clear();
            self.transfers.clear();
            self.events.left();
        }
    }
}
