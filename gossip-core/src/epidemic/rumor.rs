//! Rumor mongering (Demers et al., section 1.4): one hot list of what is being spread, its rounds, its feedback.
//!
//! Knows the replica's items by their keys, and the outbox. Must not know what a rumor means, nor who the members
//! are: it is given addresses.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasherDefault;
use core::mem;
use core::time::Duration;

use indexmap::IndexMap;
use rand::{Rng, RngExt};
use siphasher::sip::SipHasher13;

use super::interest::{Contact, Interest};
use super::transfer::carried;
use crate::address::Address;
use crate::config::{Exchange, Policy, Response};
use crate::outbox::{HotKey, Intent, Kind, Outbox};
use crate::replica::Replica;
use crate::time::{Instant, micros};
use crate::wire::{Item, Message};

/// How many rumor messages may wait for their feedback; what is not answered by then is forgotten.
const OUTSTANDING: usize = 64;
/// A feedback has a bit for each item.
const ITEMS: usize = 64;
/// The second round of a rumor comes no sooner than this after its first.
const SECOND_ROUND: Duration = Duration::from_millis(1);
/// How many offers are remembered as asked for.
const WANTED: usize = 4_096;
/// What one contact of a round may carry, in bytes and in rumors: the rest has its turn in the next.
const ROUND_BYTES: usize = 8_192;
const ROUND_RUMORS: usize = 256;

/// What is hot: who goes first on a datagram.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Membership = 0,
    Data = 1,
}

#[derive(Debug)]
struct Hot {
    subject: Subject,
    /// The hash of the item, for a fact.
    hash: u64,
    /// How many bytes it takes in a rumor message.
    len: usize,
    interest: Interest,
    /// Whether it has had the first round, in which it goes whole.
    introduced: bool,
    sends: u32,
    /// Tells apart rumors sent equally often, and a rumor from its successor.
    born: u64,
}

/// A rumor message that waits for its feedback.
#[derive(Debug)]
struct Outstanding<A> {
    number: u16,
    to: A,
    items: Vec<Sent>,
}

#[derive(Debug)]
struct Sent {
    key: HotKey,
    born: u64,
    /// If it was offered: by which hash. What is wanted is sent whether or not it is still hot by then.
    offered: Option<u64>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Rumors<A> {
    policy: Policy,
    limit: usize,
    hot: IndexMap<HotKey, Hot, BuildHasherDefault<SipHasher13>>,
    /// The hot ones by how often they were sent, per subject.
    order: [BTreeMap<(u32, u64), HotKey>; 2],
    born: u64,
    /// Hot, but not yet in a round; some cooled or heated anew since, told by when they were born.
    fresh: Vec<(u64, HotKey)>,
    /// Sent in one round.
    second: Vec<HotKey>,
    /// When the next prompt round begins: the first two rounds of a rumor do not wait for the interval.
    prompt_round: Option<Instant>,
    next_round: Option<Instant>,
    outstanding: VecDeque<Outstanding<A>>,
    number: u16,
    /// Offers that were asked for, until when nobody else is asked.
    wanted: BTreeMap<u64, Instant>,
    next_prune: Instant,
    dropped: u64,
}

impl<A: Address> Rumors<A> {
    pub(crate) fn new(policy: Policy, limit: usize, rng: &mut impl Rng) -> Self {
        Self {
            policy,
            limit,
            hot: IndexMap::default(),
            order: [BTreeMap::new(), BTreeMap::new()],
            born: 0,
            fresh: Vec::new(),
            second: Vec::new(),
            prompt_round: None,
            next_round: None,
            outstanding: VecDeque::new(),
            number: rng.random(),
            wanted: BTreeMap::new(),
            next_prune: Instant::ORIGIN,
            dropped: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hot.len()
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn is_hot(&self, key: &HotKey) -> bool {
        self.hot.contains_key(key)
    }

    /// Makes something hot, in the place of what was hot under its key. `len`: its size in a rumor message.
    pub(crate) fn heat(
        &mut self,
        now: Instant,
        key: HotKey,
        subject: Subject,
        hash: u64,
        len: usize,
        rng: &mut impl Rng,
    ) {
        self.cool(&key);
        if self.hot.len() >= self.limit {
            // The most often sent has had its share.
            let data = &self.order[Subject::Data as usize];
            let worn = data.last_key_value().or_else(|| self.order[0].last_key_value()).map(|(_, key)| *key);
            if let Some(worn) = worn {
                self.cool(&worn);
                self.dropped += 1;
            }
        }
        self.born += 1;
        let hot = Hot { subject, hash, len, interest: Interest::new(), introduced: false, sends: 0, born: self.born };
        self.order[subject as usize].insert((0, self.born), key);
        self.hot.insert(key, hot);
        if self.fresh.len() >= 2 * self.limit {
            // Nobody to tell, and written again and again.
            self.fresh.retain(|(born, key)| self.hot.get(key).is_some_and(|hot| hot.born == *born));
        }
        self.fresh.push((self.born, key));
        self.prompt_round.get_or_insert(now + self.policy.relay_delay);
        if self.next_round.is_none() {
            // A random phase, so that those who learned together do not speak together.
            let phase = rng.random_range(0..=micros(self.policy.interval));
            self.next_round = Some(now + self.policy.relay_delay + Duration::from_micros(phase));
        }
    }

    /// Loses interest.
    pub(crate) fn cool(&mut self, key: &HotKey) {
        if let Some(hot) = self.hot.swap_remove(key) {
            self.order[hot.subject as usize].remove(&(hot.sends, hot.born));
        }
    }

    /// Counts a send; interest ends with the last that is allowed.
    fn count_send(&mut self, key: &HotKey, max_sends: u32) {
        let Some(hot) = self.hot.get_mut(key) else { return };
        let order = &mut self.order[hot.subject as usize];
        order.remove(&(hot.sends, hot.born));
        hot.sends += 1;
        if hot.sends < max_sends {
            order.insert((hot.sends, hot.born), *key);
        } else {
            self.hot.swap_remove(key);
        }
    }

    fn contact(&mut self, key: &HotKey, contact: Contact, rng: &mut impl Rng) {
        let Some(hot) = self.hot.get_mut(key) else { return };
        hot.interest.contact(&self.policy, contact, rng);
        if !hot.interest.is_hot() {
            self.cool(key);
        }
    }

    // Rounds.

    /// When the next round begins.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.prompt_round.into_iter().chain(self.next_round).min()
    }

    /// How many partners the rounds that are due want.
    pub(crate) fn partners_wanted(&self, now: Instant) -> usize {
        let due = self.due().is_some_and(|due| due <= now);
        if due { self.policy.fanout as usize } else { 0 }
    }

    /// Begins pulling, which never ends: one asks whether or not one knows of anything.
    pub(crate) fn begin_pulling(&mut self, now: Instant) {
        if self.policy.exchange.pulls() {
            self.next_round.get_or_insert(now + self.policy.interval);
        }
    }

    /// Holds the rounds that are due with these partners. What is fresh goes whole, and a relay delay later it is
    /// offered to others: together they reach nearly everybody before the first interval is over.
    pub(crate) fn hold_rounds(&mut self, now: Instant, partners: &[A], outbox: &mut Outbox<A>) {
        if partners.is_empty() {
            let later = now + self.policy.interval;
            self.prompt_round = self.prompt_round.map(|at| at.max(later));
            self.next_round = self.next_round.map(|at| at.max(later));
            return;
        }
        let pushes = self.policy.exchange.pushes();
        let regular = self.next_round.is_some_and(|at| at <= now);
        // Before the fresh ones have had their round, or they would have two at once.
        let worn = if pushes && regular { self.worn_least() } else { Vec::new() };
        if self.prompt_round.is_some_and(|at| at <= now) {
            let second = mem::take(&mut self.second);
            if pushes && !second.is_empty() {
                self.contact_all(partners, &second, false, false, outbox);
            }
            let keys = self.introduce();
            if pushes && !keys.is_empty() {
                self.contact_all(partners, &keys, true, false, outbox);
            }
            self.second = keys;
            let more = !self.fresh.is_empty() || !self.second.is_empty();
            self.prompt_round = more.then(|| now + self.policy.relay_delay.max(SECOND_ROUND));
        }
        if regular {
            let pull = self.policy.exchange.pulls();
            if pull || !worn.is_empty() {
                self.contact_all(partners, &worn, false, pull, outbox);
            }
            // A late round is held once, not once for every one that was missed.
            self.next_round = (pull || !self.hot.is_empty()).then(|| now + self.policy.interval);
        }
    }

    /// What goes out for the first time: as much of what is fresh as a contact may carry, but at least one.
    fn introduce(&mut self) -> Vec<HotKey> {
        let mut room = ROUND_BYTES;
        let mut keys = Vec::new();
        let mut taken = 0;
        for (born, key) in &self.fresh {
            if let Some(hot) = self.hot.get_mut(key)
                && hot.born == *born
            {
                if !keys.is_empty() && (hot.len > room || keys.len() >= ROUND_RUMORS) {
                    break;
                }
                room = room.saturating_sub(hot.len);
                hot.introduced = true;
                keys.push(*key);
            }
            taken += 1;
        }
        self.fresh.drain(..taken);
        keys
    }

    fn contact_all(&self, partners: &[A], keys: &[HotKey], bodies: bool, pull: bool, outbox: &mut Outbox<A>) {
        let keys: Arc<[HotKey]> = keys.into();
        for to in partners {
            outbox.push(Kind::Rumor, to.clone(), Intent::Rumors { keys: keys.clone(), next: 0, bodies, pull });
        }
    }

    /// What is hot and has had its first round, least-sent first, as much as a contact may carry.
    fn worn_least(&self) -> Vec<HotKey> {
        let mut room = ROUND_BYTES;
        let mut keys = Vec::new();
        for key in self.order.iter().flat_map(|order| order.values()) {
            let Some(hot) = self.hot.get(key).filter(|hot| hot.introduced) else { continue };
            let len = hot.len.min(self.policy.offer_above);
            // One that is larger than a round has one of its own.
            if !keys.is_empty() && (len > room || keys.len() >= ROUND_RUMORS) {
                break;
            }
            room = room.saturating_sub(len);
            keys.push(*key);
        }
        keys
    }

    /// Answers one who asked what is hot here.
    pub(crate) fn answer_pull(&self, from: &A, outbox: &mut Outbox<A>) {
        let keys: Arc<[HotKey]> = self.order.iter().flat_map(|o| o.values()).copied().take(ROUND_RUMORS).collect();
        if !keys.is_empty() {
            outbox.push(Kind::Rumor, from.clone(), Intent::Rumors { keys, next: 0, bodies: false, pull: false });
        }
    }

    // Packing.

    /// A rumor message of at most `room` bytes with the keys from `next` on, and where the next message goes on.
    pub(crate) fn compose(
        &mut self,
        to: &A,
        (keys, next, bodies, pull): (&[HotKey], usize, bool, bool),
        room: usize,
        (replica, max_sends): (&Replica<A>, u32),
        rng: &mut impl Rng,
    ) -> (Option<Message<A>>, usize) {
        // Tag, number, two flags, and the count of the items.
        const HEAD: usize = 7;
        let mut left = room.saturating_sub(HEAD);
        let mut items = Vec::new();
        let mut sent = Vec::new();
        let mut at = next;
        while at < keys.len() && items.len() < ITEMS {
            let key = keys[at];
            let Some(hot) = self.hot.get(&key) else {
                at += 1;
                continue;
            };
            let offered = !bodies && hot.len > self.policy.offer_above;
            let len = if offered { 9 } else { hot.len } + 1;
            if len > left {
                break;
            }
            at += 1;
            let Some(item) = self.item(&key, hot, offered, replica) else {
                self.cool(&key);
                continue;
            };
            left -= len;
            sent.push(Sent { key, born: hot.born, offered: offered.then_some(hot.hash) });
            items.push((hot.interest.counter(), item));
        }
        if items.is_empty() && !(pull && next == 0) {
            return (None, at);
        }
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let feedback = self.policy.response == Response::Feedback;
        for Sent { key, .. } in &sent {
            if !feedback {
                self.contact(key, Contact::Unknown, rng);
            }
            self.count_send(key, max_sends);
        }
        if !sent.is_empty() {
            if self.outstanding.len() == OUTSTANDING {
                self.outstanding.pop_front();
            }
            self.outstanding.push_back(Outstanding { number, to: to.clone(), items: sent });
        }
        (Some(Message::Rumor { number, feedback, pull, items }), at)
    }

    /// What stands for a hot rumor in a message; none if the replica holds something else by now.
    fn item(&self, key: &HotKey, hot: &Hot, offered: bool, replica: &Replica<A>) -> Option<Item<A>> {
        match key {
            HotKey::Opinion(suspicion) => Some(Item::Suspicion(*suspicion)),
            HotKey::Fact(_) if offered => replica.key_of(hot.hash).map(|_| Item::Offer(hot.hash)),
            HotKey::Fact(_) => replica.by_hash(hot.hash).map(|update| carried(replica, update)),
        }
    }
}

// Hearing from others.
impl<A: Address> Rumors<A> {
    /// Takes note of an answer; the hashes of what is to be sent because an offer was wanted.
    pub(crate) fn feedback(
        &mut self,
        from: &A,
        (number, useful, spared): (u16, u64, u64),
        rng: &mut impl Rng,
    ) -> Vec<u64> {
        let known = |one: &Outstanding<A>| one.number == number && one.to == *from;
        let Some(at) = self.outstanding.iter().position(known) else { return Vec::new() };
        let Some(Outstanding { items, .. }) = self.outstanding.remove(at) else { return Vec::new() };
        let mut wanted = Vec::new();
        for (bit, Sent { key, born, offered }) in items.into_iter().enumerate() {
            let useful = useful >> bit & 1 == 1;
            if useful {
                wanted.extend(offered);
            }
            let same = self.hot.get(&key).is_some_and(|hot| hot.born == born);
            if same && self.policy.response == Response::Feedback && spared >> bit & 1 == 0 {
                self.contact(&key, if useful { Contact::Useful } else { Contact::Useless }, rng);
            }
        }
        wanted
    }

    /// Whether both counters are compared where both sides knew.
    pub(crate) fn minimizes(&self) -> bool {
        self.policy.minimization && self.policy.exchange == Exchange::PushPull
    }

    /// Both sides knew: with minimization only the smaller counter moves. Whether the asker's is spared.
    pub(crate) fn both_knew(&mut self, key: &HotKey, theirs: u8, rng: &mut impl Rng) -> bool {
        // One who is no longer infective here has nothing to move, and the larger counter.
        let Some(hot) = self.hot.get(key).filter(|_| self.minimizes()) else { return false };
        let spared = hot.interest.counter() < theirs;
        if hot.interest.moves(theirs) {
            self.contact(key, Contact::Useless, rng);
        }
        spared
    }

    /// Whether to ask for what was offered: not if somebody else was asked just now.
    pub(crate) fn wants(&mut self, now: Instant, hash: u64) -> bool {
        if self.wanted.get(&hash).is_some_and(|until| now < *until) {
            return false;
        }
        if self.wanted.len() >= WANTED && now >= self.next_prune {
            self.wanted.retain(|_, until| now < *until);
            self.next_prune = now + self.policy.interval;
        }
        if self.wanted.len() < WANTED {
            self.wanted.insert(hash, now + self.policy.interval);
        }
        true
    }

    /// It has come.
    pub(crate) fn got(&mut self, hash: u64) {
        self.wanted.remove(&hash);
    }

    /// Puts what is hot, least-sent first, on a datagram that has room: blind sends. Membership goes first, but a
    /// third of the room is the data's while data waits.
    pub(crate) fn ride_along(
        &mut self,
        (replica, max_sends): (&Replica<A>, u32),
        room: usize,
        mut push: impl FnMut(&Message<A>) -> bool,
    ) {
        // How many rumors that do not fit are passed over before the datagram counts as full.
        const MISFITS: usize = 4;
        let [membership, data] = &self.order;
        let reserved = if data.is_empty() { 0 } else { room / 3 };
        let mut left = room;
        let mut sent = Vec::new();
        let mut stale = Vec::new();
        for (order, share) in [(membership, room - reserved), (data, room), (membership, room)] {
            let mut share = share.min(left);
            let mut misfits = 0;
            for key in order.values() {
                let Some(hot) = self.hot.get(key) else { continue };
                let len = hot.len + 1;
                if sent.contains(key) {
                    continue;
                }
                if len > share {
                    misfits += 1;
                    if misfits > MISFITS {
                        break;
                    }
                    continue;
                }
                let Some(item) = self.item(key, hot, false, replica) else {
                    stale.push(*key);
                    continue;
                };
                if push(&Message::Mail(item)) {
                    sent.push(*key);
                    share -= len;
                    left -= len;
                }
            }
        }
        for key in stale {
            self.cool(&key);
        }
        for key in sent {
            self.count_send(&key, max_sends);
        }
    }
}

#[cfg(test)]
mod tests;
