//! Contacts besides probes and rumors: seeds until they answer, the dead and the forgotten now and then, so that partitions
//! heal however long they lasted and whoever died meanwhile.

use alloc::vec::Vec;
use core::hash::BuildHasherDefault;
use core::time::Duration;

use indexmap::{IndexMap, IndexSet};
use rand::{Rng, RngExt, seq};
use siphasher::sip::SipHasher13;

use super::Node;
use super::identity::Phase;
use crate::address::Address;
use crate::config::{Config, Membership};
use crate::event::Status;
use crate::id::NodeId;
use crate::outbox::{Intent, TrafficClass};
use crate::time::{Instant, micros};
use crate::update::{Record, Standing};

/// Calls of an isolated node in quick succession, before the pauses double up to the interval of healing.
const QUICK_CALLS: u32 = 16;
/// The first four calls are spaced an eighth, a quarter, a half and a whole timeout apart.
const QUICKEST: u32 = 4;

/// Protocol periods that a join has before silence is reported.
const PATIENCE: u32 = 3;

type Hasher = BuildHasherDefault<SipHasher13>;

/// Addresses to contact besides the members'.
#[derive(Debug)]
pub(super) struct Contacts<A> {
    /// Seeds, with the node that answered last at each.
    seeds: IndexMap<A, Option<NodeId>, Hasher>,
    /// Peers given by the application, if it gives them.
    given: IndexSet<A, Hasher>,
    /// Peers that the application gave and does not give any more, since when.
    unnamed: IndexMap<A, Instant, Hasher>,
    /// Addresses of members that this node knew before its absence. Called until anybody answers.
    former: Vec<A>,
    /// Addresses of members that were forgotten when their records ended: seeds of last resort.
    forgotten: Reservoir<A>,
    /// The one of them that was called last.
    called: Option<A>,
    /// Time of the next contact.
    next: Option<Instant>,
    /// Number of calls since the node is isolated, or was given seeds.
    calls: u32,
    /// The dead members that were tried last, with their addresses.
    tried: Vec<(NodeId, A)>,
    /// No further exchange out of turn before this time.
    next_bridge: Instant,
    /// True if there is nobody to talk to although there should be.
    lonely: bool,
    /// Time before which that is not reported: those who were called may still answer.
    patience: Instant,
    /// True if it was reported.
    isolated: bool,
}

impl<A> Default for Contacts<A> {
    fn default() -> Self {
        Self {
            seeds: IndexMap::default(),
            given: IndexSet::default(),
            unnamed: IndexMap::default(),
            former: Vec::new(),
            forgotten: Reservoir::default(),
            called: None,
            next: None,
            calls: 0,
            tried: Vec::new(),
            next_bridge: Instant::ORIGIN,
            lonely: false,
            patience: Instant::ORIGIN,
            isolated: false,
        }
    }
}

impl<A: Address> Contacts<A> {
    pub(super) fn due(&self) -> Option<Instant> {
        let reports = (self.lonely && !self.isolated).then_some(self.patience);
        self.next.into_iter().chain(reports).min()
    }

    pub(super) const fn is_lonely(&self) -> bool {
        self.lonely
    }

    /// Gives those who are called until `until` to answer.
    pub(super) fn wait_until(&mut self, until: Instant) {
        self.patience = until;
    }

    pub(super) const fn is_isolated(&self) -> bool {
        self.isolated
    }

    pub(super) fn set_seeds(&mut self, now: Instant, seeds: impl IntoIterator<Item = A>) {
        self.seeds = seeds.into_iter().map(|seed| (seed, None)).collect();
        (self.next, self.calls) = (Some(now), 0);
    }

    /// A node that was called has answered: the quick calls begin anew, since any of them may be lost.
    pub(super) const fn note_answered(&mut self) {
        self.calls = 0;
    }

    pub(super) fn set_next(&mut self, at: Instant) {
        self.next = Some(at);
    }

    pub(super) fn set_given(&mut self, now: Instant, peers: impl IntoIterator<Item = A>) {
        let before = core::mem::replace(&mut self.given, peers.into_iter().collect());
        let gone = before.into_iter().filter(|peer| !self.given.contains(peer));
        gone.for_each(|peer| _ = self.unnamed.entry(peer).or_insert(now));
        self.unnamed.retain(|peer, _| !self.given.contains(peer));
        (self.next, self.calls) = (Some(now), 0);
    }
}

impl<A: Address> Contacts<A> {
    /// Takes note of a member whose record has ended: it may live on the other side of a partition that lasts longer than
    /// the dead are remembered.
    pub(super) fn keep_forgotten(&mut self, record: &Record<A>, rng: &mut impl Rng) {
        // It was remembered for about as long as it had lived.
        let lived = record.until.instant().map_or(Duration::ZERO, |until| until.since(record.boot));
        self.forgotten.insert(record.address.clone(), lived, rng);
    }

    /// Takes out the peers that the application has not given for so long.
    fn unnamed_for(&mut self, time: Duration, now: Instant) -> Vec<A> {
        let over = |since: Instant| since + time <= now;
        let gone = self.unnamed.iter().filter(|(_, since)| over(**since)).map(|(peer, _)| peer.clone()).collect();
        self.unnamed.retain(|_, since| !over(*since));
        gone
    }

    /// Keeps the address of a forgotten member: perhaps there is no other to ask.
    pub(super) fn remember(&mut self, record: &Record<A>) {
        if record.standing != Standing::Left && self.former.len() < FORMER {
            self.former.push(record.address.clone());
        }
    }
}

/// Addresses of members known before an absence that are kept.
const FORMER: usize = 16;
/// Addresses of forgotten members that are kept: different ones at different nodes.
const FORGOTTEN: usize = 32;

/// A bounded random sample of addresses (algorithm R of Vitter, 1985): each that was ever inserted has the same chance to be
/// in it, except that those who lived briefly give way to those who lived for more than twice as long.
#[derive(Debug)]
struct Reservoir<A> {
    kept: Vec<(A, Duration)>,
    inserted: u64,
}

impl<A> Default for Reservoir<A> {
    fn default() -> Self {
        Self { kept: Vec::new(), inserted: 0 }
    }
}

impl<A: PartialEq + Clone> Reservoir<A> {
    fn insert(&mut self, address: A, lived: Duration, rng: &mut impl Rng) {
        if self.kept.iter().any(|(kept, _)| *kept == address) {
            return;
        }
        self.inserted += 1;
        if self.kept.len() < FORGOTTEN {
            self.kept.push((address, lived));
            return;
        }
        let drawn = rng.random_range(0..self.inserted) < FORGOTTEN as u64;
        let at = rng.random_range(0..FORGOTTEN);
        let (_, other) = self.kept[at];
        if lived > 2 * other || (drawn && other <= 2 * lived) {
            self.kept[at] = (address, lived);
        }
    }

    fn pick(&self, rng: &mut impl Rng) -> Option<A> {
        (!self.kept.is_empty()).then(|| self.kept[rng.random_range(0..self.kept.len())].0.clone())
    }

    fn remove(&mut self, address: &A) {
        self.kept.retain(|(kept, _)| kept != address);
    }
}

/// Dead members that one living node contacts in an interval, at most.
const DEAD_AT_ONCE: usize = 8;
/// Intervals in which the living contact each of the dead once, while that takes no more than [`DEAD_AT_ONCE`].
const DEAD_ROUND: usize = 16;
/// While others are there, a departed member is contacted this much more rarely than a forgotten one.
const DEPARTED: usize = 8;

/// Returns a time between three and five quarters of `time`, so that nodes do not stay in step.
fn jittered(time: Duration, rng: &mut impl Rng) -> Duration {
    let time = micros(time);
    Duration::from_micros(rng.random_range(time - time / 4..=time + time / 4))
}

impl<A: Address> Node<A> {
    /// Returns the addresses of up to `count` different peers, chosen at random.
    pub(super) fn random_peers(&mut self, count: usize) -> Vec<A> {
        match self.config.membership {
            Membership::Probed => {
                let ids = self.detector.members().random(count, &mut self.rng);
                ids.filter_map(|id| self.replica.member(id).map(|record| record.address.clone())).collect()
            }
            Membership::Given => {
                let given = &self.contacts.given;
                let picked = seq::index::sample(&mut self.rng, given.len(), count.min(given.len()));
                let addresses = picked.into_iter().filter_map(|at| given.get_index(at));
                addresses.filter(|address| **address != self.identity.address).cloned().collect()
            }
        }
    }

    /// Returns true if there is no peer to choose.
    pub(super) fn is_alone(&self) -> bool {
        match self.config.membership {
            Membership::Probed => self.detector.members().peers() == 0,
            Membership::Given => self.contacts.given.iter().all(|address| *address == self.identity.address),
        }
    }

    /// Returns true if there is no peer to contact although there should be one.
    pub(super) fn lacks_peers(&self) -> bool {
        match self.config.membership {
            Membership::Probed => {
                let known =
                    self.contacts.seeds.keys().chain(&self.contacts.former).any(|seed| *seed != self.identity.address)
                        || self.detector.members().dead() > 0;
                self.detector.members().peers() == 0 && known
            }
            Membership::Given => self.detector.members().peers() == 0 && !self.contacts.given.is_empty(),
        }
    }

    /// Acts on a change of isolation, and reports it to the application: its beginning when those who were called have had
    /// time to answer, its end when one has.
    pub(super) fn note_isolation(&mut self) {
        let running = self.identity.is_running();
        let lonely = running && self.lacks_peers();
        if lonely != self.contacts.lonely {
            self.contacts.lonely = lonely;
            if lonely {
                self.contacts.next = Some(self.now);
            } else {
                self.anti_entropy.look_again(self.now);
            }
        }
        if !running {
            // A departure is no answer.
            self.contacts.isolated = false;
        } else if self.contacts.isolated && self.detector.members().peers() > 0 {
            self.contacts.isolated = false;
            self.events.isolated(false);
        } else if lonely && !self.contacts.isolated && self.now >= self.contacts.patience {
            self.contacts.isolated = true;
            self.events.isolated(true);
        }
    }

    /// Leaves those who are called time to answer before their silence is reported.
    pub(super) fn await_answers(&mut self) {
        self.contacts.wait_until(self.now + PATIENCE * self.config.probe.period);
    }

    /// Leaves the first contacts to `join`: seeds and dead members follow after an interval.
    pub(super) fn heal_later(&mut self) {
        self.contacts.set_next(self.now + self.config.healing.interval);
    }

    /// Contacts seeds and dead members if that is due.
    pub(super) fn tick_contacts(&mut self) {
        let lonely = self.lacks_peers();
        // A node that leaves before it has met a member has only the seeds to tell.
        let speaks = self.identity.is_running() || (lonely && self.identity.phase != Phase::Left);
        if self.contacts.next.is_some_and(|next| self.now < next) {
            return;
        }
        // Until one answers, since a join that is tried once is lost with one datagram. A node that stays isolated
        // falls back to the pace of all others in the end.
        self.contacts.calls = if lonely { self.contacts.calls.saturating_add(1) } else { 0 };
        let Config { probe, healing, .. } = &self.config;
        let pause = match self.contacts.calls {
            // An answer takes a small part of the timeout. The more were lost, the less it is a chance of the network.
            call @ 1..=QUICK_CALLS => (probe.timeout / (1 << QUICKEST.saturating_sub(call))).min(healing.interval),
            // Further and further apart: a seed may start a little later than this node.
            call @ 1.. => (probe.timeout * (1 << (call - QUICK_CALLS).min(16))).min(healing.interval),
            0 => healing.interval,
        };
        self.contacts.next = Some(self.now + jittered(pause, &mut self.rng));
        if !speaks {
            return;
        }
        if self.config.membership == Membership::Given {
            self.forget_unnamed();
            // Ids are learned on contact, so anti-entropy meets all given peers.
            if lonely {
                self.random_peers(3).iter().for_each(|peer| self.call(peer));
            }
            return;
        }
        self.contact_seeds(lonely);
        self.contact_dead();
        self.contact_forgotten();
    }

    /// Declares gone the peers that the application has not given for `reap_after`: nobody else finds that out.
    fn forget_unnamed(&mut self) {
        for peer in self.contacts.unnamed_for(self.config.lifetimes.reap_after, self.now) {
            let at = |id: &NodeId| self.replica.member(*id).is_some_and(|record| record.address == peer);
            let ids: Vec<NodeId> = self.detector.members().iter().map(|seen| seen.id).filter(at).collect();
            ids.into_iter().for_each(|id| self.forget(self.now, id));
        }
    }

    fn contact_seeds(&mut self, lonely: bool) {
        let n = self.detector.members().peers() + 1;
        let absent = |answered: &Option<NodeId>, address: &A| {
            !answered
                .and_then(|id| self.replica.member(id))
                .is_some_and(|record| record.standing == Standing::Alive && record.address == *address)
        };
        let seeds = self
            .contacts
            .seeds
            .iter()
            .filter(|(seed, answered)| **seed != self.identity.address && absent(answered, seed));
        let former = self.contacts.former.iter().filter(|_| lonely);
        let seeds: Vec<A> = seeds.map(|(seed, _)| seed).chain(former).cloned().collect();
        if !lonely {
            self.contacts.former.clear();
        }
        for seed in seeds {
            // All nodes together contact a lost seed about as often as three would.
            if lonely || self.rng.random_range(0..n) < 3 {
                self.call(&seed);
            }
        }
    }

    /// Contacts dead members now and then: they may be on the other side of a partition that has ended. The living share the
    /// work; where few are left among many dead, each does more, up to a bound.
    fn contact_dead(&mut self) {
        self.contacts.tried.clear();
        let (dead, alive) = (self.detector.members().dead(), self.detector.members().peers() + 1);
        if dead == 0 || self.rng.random_range(0..alive) >= dead {
            return;
        }
        let in_turn = dead.div_ceil(DEAD_ROUND * alive).min(DEAD_AT_ONCE);
        // A partition that has ended soon is that of the members that died last.
        if self.rng.random_ratio(1, 2)
            && let Some(id) = self.detector.members().recently_dead(alive.max(8), &mut self.rng)
        {
            self.contact_member(id);
        }
        for _ in 0..in_turn {
            if let Some(id) = self.detector.next_dead(&mut self.rng) {
                self.contact_member(id);
            }
        }
    }

    fn contact_member(&mut self, id: NodeId) {
        let Some(address) = self.replica.member(id).map(|record| record.address.clone()) else { return };
        if address == self.identity.address {
            // An earlier incarnation of this process, under another id.
            self.detector.give_up(id);
            return;
        }
        let key = self.replica.hasher.member(id);
        self.outbox.push(TrafficClass::Probe, address.clone(), Intent::Fact(key));
        self.contacts.tried.push((id, address));
    }

    /// Contacts the address of a forgotten member, or one of the departed if all others are there: the last ways to the
    /// other half of a cluster that was apart for longer than its dead are remembered, or was told to forget. All nodes
    /// together contact about one in an interval.
    fn contact_forgotten(&mut self) {
        let members = self.detector.members();
        let (alive, dead, left) = (members.peers() + 1, members.dead(), members.left());
        if self.rng.random_range(0..alive) > 0 {
            return;
        }
        let address = self.contacts.forgotten.pick(&mut self.rng).or_else(|| {
            let rest = if alive == 1 { 1 } else { DEPARTED };
            let due = dead == 0 && left > 0 && self.rng.random_range(0..rest) == 0;
            let departed = due.then(|| self.detector.members().random_left(&mut self.rng)).flatten()?;
            self.replica.member(departed).map(|record| record.address.clone())
        });
        if let Some(address) = address.filter(|address| *address != self.identity.address) {
            self.contacts.called = Some(address.clone());
            self.call(&address);
        }
    }

    /// Introduces this node to an address and begins an exchange.
    pub(super) fn call(&mut self, address: &A) {
        self.outbox.push(TrafficClass::AntiEntropy, address.clone(), Intent::Fact(self.own_key()));
        self.begin_exchange(address);
    }

    /// Exchanges at once with a node from the other side of a partition, but not with every node of it.
    pub(super) fn bridge(&mut self, to: &A) {
        if self.now >= self.contacts.next_bridge {
            self.contacts.next_bridge = self.now + self.config.rumor.interval;
            self.begin_exchange(to);
        }
    }

    /// Returns true if this is a peer at its own address: one that answers probes, or that the application has named.
    pub(super) fn is_known(&self, sender: NodeId, from: &A) -> bool {
        match self.config.membership {
            Membership::Probed => {
                self.detector.members().get(sender).is_some_and(|seen| seen.status == Status::Alive)
                    && self.replica.member(sender).is_some_and(|record| record.address == *from)
            }
            Membership::Given => self.contacts.given.contains(from),
        }
    }

    /// Records which node answers at an address.
    pub(super) fn note_sender(&mut self, sender: NodeId, from: &A) {
        if let Some(answered) = self.contacts.seeds.get_mut(from) {
            *answered = Some(sender);
        }
        if let Some(at) = self.contacts.tried.iter().position(|(_, address)| address == from) {
            let (id, _) = self.contacts.tried.swap_remove(at);
            if id != sender && self.detector.members().get(id).is_some_and(|seen| seen.status == Status::Dead) {
                // Another node has this address now.
                self.detector.give_up(id);
            }
        }
        if self.contacts.called.as_ref() == Some(from) {
            self.contacts.called = None;
            self.contacts.forgotten.remove(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn of_the_forgotten_few_are_kept_and_those_who_lived_long_rather_than_those_who_did_not() {
        let (mut rng, hour) = (Xoshiro256PlusPlus::seed_from_u64(1), Duration::from_secs(3_600));
        let mut reservoir = Reservoir::default();
        (0..10_000_u32).for_each(|address| reservoir.insert(address, hour, &mut rng));
        assert_eq!(reservoir.kept.len(), FORGOTTEN);
        let middle = reservoir.kept.iter().filter(|(address, _)| (2_500..7_500).contains(address)).count();
        assert!((8..=24).contains(&middle), "{middle} of {FORGOTTEN} from the middle half");
        // The other half of a cluster, and again many that lived briefly.
        (20_000..20_020).for_each(|address| reservoir.insert(address, 24 * hour, &mut rng));
        (30_000..40_000).for_each(|address| reservoir.insert(address, hour, &mut rng));
        let long = reservoir.kept.iter().filter(|(address, _)| (20_000..20_020).contains(address)).count();
        assert!(long >= 10, "{long}");
        let one = reservoir.pick(&mut rng).unwrap();
        reservoir.remove(&one);
        assert!(reservoir.kept.len() == FORGOTTEN - 1 && reservoir.kept.iter().all(|(kept, _)| *kept != one));
    }
}
