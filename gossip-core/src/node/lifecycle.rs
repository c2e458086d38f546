//! A life from its start to its end: what this node says of itself, and when it falls silent.

use core::time::Duration;

use rand::RngExt;

use super::Node;
use super::identity::Phase;
use super::learn::Source;
use crate::address::Address;
use crate::outbox::HotKey;
use crate::replica::Merged;
use crate::time::Instant;
use crate::update::{KeyHash, LATEST, Standing, Until, Update};

/// Longest unit in which deaths are dated.
const HOUR: Duration = Duration::from_secs(3_600);
/// Halvings of `reap_after` for members that lived briefly.
const HALVINGS: u32 = 5;

/// Returns the time for which a dead member is remembered that has `lived` so long: `reap_after`, or a half, a quarter, down to
/// a 32nd of it, but no less than it lived. A member that was there for long is missed for long, while the memory of ids that
/// live for minutes would be most of what a newcomer fetches.
fn memory_of(lived: Duration, reap_after: Duration) -> Duration {
    let halvings = (1..=HALVINGS).take_while(|halvings| reap_after / (1 << halvings) >= lived).count();
    reap_after / (1 << halvings)
}

/// Returns the unit of time in which deaths are dated that are remembered for `kept`.
fn dated_by(kept: Duration) -> Duration {
    HOUR.min(kept / 2)
}

/// Returns the shortest time for which any node remembers a dead member that has `lived` so long, or longer.
pub(super) fn shortest_memory(lived: Duration, reap_after: Duration) -> Duration {
    let kept = memory_of(lived, reap_after);
    // The memory begins at a multiple of the unit, which may be that much before the death.
    kept - dated_by(kept)
}

impl<A: Address> Node<A> {
    pub(super) fn own_key(&self) -> KeyHash {
        self.replica.hasher.member(self.identity.id)
    }

    /// Returns the time at which a death or departure of now is forgotten, of a member that started at `boot`. It is counted
    /// from the hour (or a shorter unit if the memory is short), so that nodes that declare the same death agree, and is
    /// never in the past.
    pub(super) fn reaped_at(&self, boot: Instant) -> Until {
        let agreed = self.agreed();
        let kept = memory_of(agreed.since(boot), self.config.lifetimes.reap_after);
        Until::at(agreed.floor_to(dated_by(kept)) + kept)
    }

    /// Begins a life: the first, or after a departure the next.
    pub(super) fn start(&mut self) {
        let pass: u64 = self.rng.random();
        // No two starts may have the same, even if one is given the same seed.
        #[cfg(feature = "encryption")]
        let pass = pass ^ self.envelope.salt();
        self.identity.start(self.agreed().min(LATEST), pass);
        self.begin_contact();
        self.envelope.set_pass(self.identity.pass);
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
        let until = if standing == Standing::Alive { Until::NEVER } else { self.reaped_at(self.identity.boot) };
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
            self.end_messages();
            self.events.left();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_remembered_for_as_long_as_they_lived_within_bounds() {
        let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(24 * 3_600));
        assert_eq!(memory_of(Duration::ZERO, day), day / 32);
        assert_eq!(memory_of(hour, day), hour * 3 / 2);
        assert_eq!(memory_of(6 * hour, day), 6 * hour);
        assert_eq!(memory_of(7 * hour, day), 12 * hour);
        assert_eq!(memory_of(13 * hour, day), day);
        assert_eq!(memory_of(100 * day, day), day);
        assert_eq!(shortest_memory(Duration::ZERO, day), day / 64);
        assert_eq!(shortest_memory(100 * day, day), 23 * hour);
    }
}
