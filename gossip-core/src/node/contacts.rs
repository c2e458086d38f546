//! Whom a node speaks to: random peers, seeds until they answer, the dead now and then, so that partitions heal.

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
use crate::wire::Trust;

/// How often one who is alone calls in quick succession, before it falls back to the pace of healing.
const QUICK_CALLS: u32 = 16;
/// The first of them come sooner than a time-out after one another: so many pauses grow to one by doubling.
const QUICKEST: u32 = 4;

type Hasher = BuildHasherDefault<SipHasher13>;

/// Addresses to speak to besides the members'.
#[derive(Debug)]
pub(super) struct Contacts<A> {
    /// Seeds, and who answered there last.
    seeds: IndexMap<A, Option<NodeId>, Hasher>,
    /// The peers that the application gave, where it does.
    given: IndexSet<A, Hasher>,
    /// Where members were before this node forgot them. Called until anybody answers.
    former: Vec<A>,
    /// When one may be contacted next.
    next: Option<Instant>,
    /// How often it has called since it is alone, or was told whom to call.
    calls: u32,
    /// The last dead member that was tried, and where.
    tried: Option<(NodeId, A)>,
    /// What one of those who were called is to be shown, so that it listens.
    challenge: Option<(A, u32)>,
    /// No exchange out of turn before this.
    next_bridge: Instant,
    isolated: bool,
}

impl<A> Default for Contacts<A> {
    fn default() -> Self {
        Self {
            seeds: IndexMap::default(),
            given: IndexSet::default(),
            former: Vec::new(),
            next: None,
            calls: 0,
            tried: None,
            challenge: None,
            next_bridge: Instant::ORIGIN,
            isolated: false,
        }
    }
}

impl<A: Address> Contacts<A> {
    pub(super) const fn due(&self) -> Option<Instant> {
        self.next
    }

    pub(super) const fn is_isolated(&self) -> bool {
        self.isolated
    }

    pub(super) fn set_seeds(&mut self, now: Instant, seeds: impl IntoIterator<Item = A>) {
        self.seeds = seeds.into_iter().map(|seed| (seed, None)).collect();
        (self.next, self.calls) = (Some(now), 0);
    }

    /// Whether the application named this address, or it was a member's before that was forgotten.
    pub(super) fn knows(&self, address: &A) -> bool {
        self.seeds.contains_key(address) || self.given.contains(address) || self.former.contains(address)
    }

    /// Somebody who was called answers, and wants to be shown this: that is shown at every further call, since any of
    /// them may be lost.
    pub(super) fn note_challenge(&mut self, from: &A, cookie: u32) {
        self.challenge = Some((from.clone(), cookie));
        self.calls = 0;
    }

    pub(super) fn set_next(&mut self, at: Instant) {
        self.next = Some(at);
    }

    pub(super) fn set_given(&mut self, now: Instant, peers: impl IntoIterator<Item = A>) {
        self.given = peers.into_iter().collect();
        (self.next, self.calls) = (Some(now), 0);
    }
}

impl<A: Address> Contacts<A> {
    /// A member is forgotten, but perhaps there is nobody else to ask.
    pub(super) fn remember(&mut self, record: &Record<A>) {
        if record.standing != Standing::Left && self.former.len() < FORMER {
            self.former.push(record.address.clone());
        }
    }
}

/// How many addresses of forgotten members are kept.
const FORMER: usize = 16;

/// A time around `time`, so that nodes do not stay in step: between three and five quarters of it.
fn jittered(time: Duration, rng: &mut impl Rng) -> Duration {
    let time = micros(time);
    Duration::from_micros(rng.random_range(time - time / 4..=time + time / 4))
}

impl<A: Address> Node<A> {
    /// Up to `count` different peers' addresses, at random.
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

    /// Whether nobody is there to speak to who should be.
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

    /// Tells the application if that has changed.
    pub(super) fn note_isolation(&mut self) {
        let isolated = self.identity.is_running() && self.lacks_peers();
        if isolated != self.contacts.isolated {
            self.contacts.isolated = isolated;
            self.events.isolated(isolated);
            if isolated {
                self.contacts.next = Some(self.now);
            } else {
                self.anti_entropy.look_again(self.now);
            }
        }
    }

    /// Leaves the first contacts to `join`: seeds and the dead come after an interval.
    pub(super) fn heal_later(&mut self) {
        self.contacts.set_next(self.now + self.config.healing.interval);
    }

    /// Contacts seeds and the dead, if it is time to.
    pub(super) fn tick_contacts(&mut self) {
        let lonely = self.lacks_peers();
        // One who leaves before it got to know anybody has only the seeds to say goodbye to.
        let speaks = self.identity.is_running() || (lonely && self.identity.phase != Phase::Left);
        if self.contacts.next.is_some_and(|next| self.now < next) {
            return;
        }
        // Until one answers: a join that is tried once is lost with one datagram. But whoever stays alone calls no more
        // often than anybody else in the end.
        self.contacts.calls = if lonely { self.contacts.calls.saturating_add(1) } else { 0 };
        let Config { probe, healing, .. } = &self.config;
        let pause = match self.contacts.calls {
            // An answer takes a small part of the time-out; the more were lost, the less is it the network's whim.
            call @ 1..=QUICK_CALLS => (probe.timeout / (1 << QUICKEST.saturating_sub(call))).min(healing.interval),
            _ => healing.interval,
        };
        self.contacts.next = Some(self.now + jittered(pause, &mut self.rng));
        if !speaks {
            return;
        }
        if self.config.membership == Membership::Given {
            // Ids are learned on contact, so there is nobody to find: anti-entropy meets them all.
            if lonely {
                self.random_peers(3).iter().for_each(|peer| self.call(peer));
            }
            return;
        }
        self.contact_seeds(lonely);
        self.contact_dead();
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
            // All of them together contact a lost seed about as often as three would.
            if lonely || self.rng.random_range(0..n) < 3 {
                self.call(&seed);
            }
        }
    }

    /// One dead member now and then: it may be on the other side of a partition that has ended.
    fn contact_dead(&mut self) {
        let (dead, alive) = (self.detector.members().dead(), self.detector.members().peers() + 1);
        if dead == 0 || self.rng.random_range(0..alive) >= dead {
            return;
        }
        let Some(id) = self.detector.members().random_dead(alive.max(8), &mut self.rng) else { return };
        let Some(address) = self.replica.member(id).map(|record| record.address.clone()) else { return };
        if address == self.identity.address {
            // An earlier self, under another id.
            self.detector.give_up(id);
            return;
        }
        let key = self.replica.hasher.member(id);
        self.outbox.push(TrafficClass::Probe, address.clone(), Intent::Fact(key));
        self.contacts.tried = Some((id, address));
    }

    /// Introduces this node and begins an exchange.
    pub(super) fn call(&mut self, address: &A) {
        if let Some((_, cookie)) = self.contacts.challenge.as_ref().filter(|(of, _)| of == address) {
            let proof = Trust::Proof { cookie: *cookie };
            self.outbox.message(TrafficClass::AntiEntropy, address.clone(), proof);
        }
        self.outbox.push(TrafficClass::AntiEntropy, address.clone(), Intent::Fact(self.own_key()));
        self.begin_exchange(address);
    }

    /// Somebody from the other side of a partition answers: exchanges at once what either side lacks, but not with
    /// everybody who does.
    pub(super) fn bridge(&mut self, to: &A) {
        if self.now >= self.contacts.next_bridge {
            self.contacts.next_bridge = self.now + self.config.rumor.interval;
            self.begin_exchange(to);
        }
    }

    /// Whether this is a peer at its own address: one that answers probes, or that the application has named.
    pub(super) fn is_known(&self, sender: NodeId, from: &A) -> bool {
        match self.config.membership {
            Membership::Probed => {
                self.detector.members().get(sender).is_some_and(|seen| seen.status == Status::Alive)
                    && self.replica.member(sender).is_some_and(|record| record.address == *from)
            }
            Membership::Given => self.contacts.given.contains(from),
        }
    }

    /// Notes who answers where.
    pub(super) fn note_sender(&mut self, sender: NodeId, from: &A) {
        if let Some(answered) = self.contacts.seeds.get_mut(from) {
            *answered = Some(sender);
        }
        if let Some((id, address)) = &self.contacts.tried
            && address == from
        {
            if *id != sender && self.detector.members().get(*id).is_some_and(|seen| seen.status == Status::Dead) {
                // Somebody else lives there now.
                self.detector.give_up(*id);
            }
            self.contacts.tried = None;
        }
    }
}
