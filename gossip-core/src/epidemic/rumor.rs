//! Rumor mongering (Demers et al., section 1.4): one hot list of what is being spread, its rounds, its feedback.
//!
//! Knows the replica's items by their keys, and the outbox. Must not know what a rumor means, nor who the members
//! are: it is given addresses.

mod hot;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use rand::{Rng, RngExt};

use super::interest::{Contact, Interest};
use super::transfer::carried;
use crate::address::Address;
use crate::config::{Exchange, Policy, Response};
use crate::outbox::{HotKey, HotSlot, Intent, Outbox, TrafficClass};
use crate::replica::Replica;
use crate::time::{Instant, micros};
use crate::wire::{Feedback, Item, Message, Round, Rumor};
use hot::{Hot, HotList};

/// How many rumor messages may wait for their feedback; what is not answered by then is forgotten.
const OUTSTANDING: usize = 64;
/// A feedback has a bit for each item.
const ITEMS: usize = 64;
/// The second round of a rumor comes no sooner than this after its first.
const SECOND_ROUND: Duration = Duration::from_millis(1);
/// In a round of more rumors than this all that are longer than an offer are offered. What is short is better sent again
/// whole, since an offer takes two more datagrams, each of which may be lost; but not where it comes by the hundred.
const CROWD: usize = 16;
/// How many bytes an offer takes, with its tag.
const OFFER: usize = 9;
/// Room for so many fresh rumors is kept when there are none.
const FRESH_KEPT: usize = 32;
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

/// A rumor message that waits for its feedback.
#[derive(Debug)]
struct Outstanding<A> {
    number: u16,
    to: A,
    items: Vec<Sent>,
}

#[derive(Debug)]
struct Sent {
    place: HotSlot,
    /// If it was offered: by which hash. What is wanted is sent whether or not it is still hot by then.
    offered: Option<u64>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Rumors<A> {
    policy: Policy,
    limit: usize,
    hot: HotList,
    /// Hot, but not yet in a round; some have cooled since.
    fresh: Vec<HotSlot>,
    /// Sent in one round.
    second: Arc<[HotSlot]>,
    /// When the next prompt round begins: the first two rounds of a rumor do not wait for the interval.
    prompt_round: Option<Instant>,
    next_round: Option<Instant>,
    /// By their numbers, modulo its length.
    outstanding: Vec<Option<Outstanding<A>>>,
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
            hot: HotList::default(),
            fresh: Vec::new(),
            second: Arc::from([]),
            prompt_round: None,
            next_round: None,
            outstanding: Vec::new(),
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
        self.hot.find(key).is_some()
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
            let worn = self.hot.most_sent(Subject::Data).or_else(|| self.hot.most_sent(Subject::Membership));
            if let Some(worn) = worn {
                self.hot.remove(worn);
                self.dropped += 1;
            }
        }
        let place = self.hot.insert(key, subject, hash, len);
        if self.fresh.len() >= 2 * self.limit {
            // Nobody to tell, and written again and again.
            self.fresh.retain(|place| self.hot.get(*place).is_some());
        }
        self.fresh.push(place);
        self.prompt_round.get_or_insert(now + self.policy.relay_delay);
        if self.next_round.is_none() {
            // A random phase, so that those who learned together do not speak together.
            let phase = rng.random_range(0..=micros(self.policy.interval));
            self.next_round = Some(now + self.policy.relay_delay + Duration::from_micros(phase));
        }
    }

    /// Loses interest.
    pub(crate) fn cool(&mut self, key: &HotKey) {
        if let Some(place) = self.hot.find(key) {
            self.hot.remove(place);
        }
    }

    fn contact(&mut self, place: HotSlot, contact: Contact, rng: &mut impl Rng) {
        let Some(hot) = self.hot.get_mut(place) else { return };
        hot.interest.contact(&self.policy, contact, rng);
        if !hot.interest.is_hot() {
            self.hot.remove(place);
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
        let worn = if pushes && regular { self.worn_least() } else { Arc::from([]) };
        let mut contacts = Vec::new();
        if self.prompt_round.is_some_and(|at| at <= now) {
            let second = mem::replace(&mut self.second, Arc::from([]));
            if pushes && !second.is_empty() {
                contacts.push((second, false, false));
            }
            let fresh = self.introduce();
            if pushes && !fresh.is_empty() {
                contacts.push((fresh.clone(), true, false));
            }
            self.second = fresh;
            let more = !self.fresh.is_empty() || !self.second.is_empty();
            self.prompt_round = more.then(|| now + self.policy.relay_delay.max(SECOND_ROUND));
        }
        if regular {
            let pull = self.policy.exchange.pulls();
            if pull || !worn.is_empty() {
                contacts.push((worn, false, pull));
            }
            // A late round is held once, not once for every one that was missed.
            self.next_round = (pull || self.hot.len() > 0).then(|| now + self.policy.interval);
        }
        // Partner by partner: what goes to one of them shares a datagram.
        for to in partners {
            for (rumors, bodies, pull) in &contacts {
                let intent = Intent::Rumors { rumors: rumors.clone(), next: 0, bodies: *bodies, pull: *pull };
                outbox.push(TrafficClass::Rumor, to.clone(), intent);
            }
        }
    }

    /// What goes out for the first time: as much of what is fresh as a contact may carry, but at least one.
    fn introduce(&mut self) -> Arc<[HotSlot]> {
        let mut room = ROUND_BYTES;
        let mut places = Vec::new();
        let mut taken = 0;
        for place in &self.fresh {
            if let Some(hot) = self.hot.get_mut(*place) {
                if !places.is_empty() && (hot.len > room || places.len() >= ROUND_RUMORS) {
                    break;
                }
                room = room.saturating_sub(hot.len);
                hot.introduced = true;
                places.push(*place);
            }
            taken += 1;
        }
        self.fresh.drain(..taken);
        if self.fresh.is_empty() {
            self.fresh.shrink_to(FRESH_KEPT);
        }
        places.into()
    }

    /// What is hot and has had its first round, least-sent first, as much as a contact may carry.
    fn worn_least(&self) -> Arc<[HotSlot]> {
        let mut room = ROUND_BYTES;
        let mut places = Vec::new();
        for (place, hot) in self.in_order().filter(|(_, hot)| hot.introduced) {
            let len = hot.len.min(self.policy.offer_above);
            // One that is larger than a round has one of its own.
            if !places.is_empty() && (len > room || places.len() >= ROUND_RUMORS) {
                break;
            }
            room = room.saturating_sub(len);
            places.push(place);
        }
        places.into()
    }

    fn in_order(&self) -> impl Iterator<Item = (HotSlot, &Hot)> {
        self.hot.in_order(Subject::Membership).chain(self.hot.in_order(Subject::Data))
    }

    /// Answers one who asked what is hot here, where asking is the custom.
    pub(crate) fn answer_pull(&self, from: &A, outbox: &mut Outbox<A>) {
        if !self.policy.exchange.pulls() {
            return;
        }
        let rumors: Arc<[HotSlot]> = self.in_order().map(|(place, _)| place).take(ROUND_RUMORS).collect();
        if !rumors.is_empty() {
            outbox.push(
                TrafficClass::Rumor,
                from.clone(),
                Intent::Rumors { rumors, next: 0, bodies: false, pull: false },
            );
        }
    }

    // Packing.

    /// A rumor message of at most `room` bytes with the rumors from `next` on, and where the next message goes on.
    pub(crate) fn compose(
        &mut self,
        to: &A,
        (rumors, next, bodies, pull): (&[HotSlot], usize, bool, bool),
        room: usize,
        (replica, max_sends): (&Replica<A>, u32),
        rng: &mut impl Rng,
    ) -> (Option<Message<A>>, usize) {
        // Tag, number, two flags, and the count of the items.
        const HEAD: usize = 7;
        let mut left = room.saturating_sub(HEAD);
        let offer_above =
            if rumors.len() > CROWD { self.policy.offer_above.min(2 * OFFER) } else { self.policy.offer_above };
        let most = ITEMS.min(rumors.len() - next.min(rumors.len()));
        let (mut items, mut sent) = (Vec::with_capacity(most), Vec::with_capacity(most));
        let mut at = next;
        while at < rumors.len() && items.len() < ITEMS {
            let place = rumors[at];
            let Some(hot) = self.hot.get(place) else {
                at += 1;
                continue;
            };
            let offered = !bodies && hot.len > offer_above && matches!(hot.key, HotKey::Fact(_));
            let len = if offered { OFFER } else { hot.len } + 1;
            if len > left {
                break;
            }
            at += 1;
            let Some(item) = item(hot, offered, replica) else {
                self.hot.remove(place);
                continue;
            };
            left -= len;
            sent.push(Sent { place, offered: offered.then_some(hot.hash) });
            items.push((hot.interest.counter(), item));
        }
        if items.is_empty() && !(pull && next == 0) {
            return (None, at);
        }
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let feedback = self.policy.response == Response::Feedback;
        for Sent { place, .. } in &sent {
            if !feedback {
                self.contact(*place, Contact::Unknown, rng);
            }
            self.hot.sent(*place, max_sends);
        }
        if !sent.is_empty() {
            self.outstanding.resize_with(OUTSTANDING, || None);
            self.outstanding[usize::from(number) % OUTSTANDING] =
                Some(Outstanding { number, to: to.clone(), items: sent });
        }
        (Some(Message::Rumor(Rumor::Round(Round { number, feedback, pull, items }))), at)
    }
}

/// What stands for a hot rumor in a message; none if the replica holds something else by now.
fn item<A: Address>(hot: &Hot, offered: bool, replica: &Replica<A>) -> Option<Item<A>> {
    match hot.key {
        HotKey::Opinion(suspicion) => Some(Item::Suspicion(suspicion)),
        // It is looked up if it is wanted, which is rare.
        HotKey::Fact(_) if offered => Some(Item::Offer(hot.hash)),
        HotKey::Fact(key) => replica.get_if(key, hot.hash).map(|update| carried(replica, update)),
    }
}

// Hearing from others.
impl<A: Address> Rumors<A> {
    /// Takes note of an answer; the hashes of what is to be sent because an offer was wanted.
    pub(crate) fn feedback(
        &mut self,
        from: &A,
        Feedback { number, useful, spared }: Feedback,
        rng: &mut impl Rng,
    ) -> Vec<u64> {
        let known = |one: &mut Outstanding<A>| one.number == number && one.to == *from;
        let asked = self.outstanding.get_mut(usize::from(number) % OUTSTANDING);
        let Some(Outstanding { items, .. }) = asked.and_then(|one| one.take_if(known)) else { return Vec::new() };
        let mut wanted = Vec::new();
        for (bit, Sent { place, offered }) in items.into_iter().enumerate() {
            let useful = useful >> bit & 1 == 1;
            if useful {
                wanted.extend(offered);
            }
            if self.policy.response == Response::Feedback && spared >> bit & 1 == 0 {
                self.contact(place, if useful { Contact::Useful } else { Contact::Useless }, rng);
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
        let Some(place) = self.hot.find(key).filter(|_| self.minimizes()) else { return false };
        let Some(hot) = self.hot.get(place) else { return false };
        let spared = hot.interest.counter() < theirs;
        if hot.interest.moves(theirs) {
            self.contact(place, Contact::Useless, rng);
        }
        spared
    }

    /// Whether to ask for what was offered: not if somebody else was asked just now. `patience`: how long an answer may
    /// take.
    pub(crate) fn wants(&mut self, now: Instant, hash: u64, patience: Duration) -> bool {
        if self.wanted.get(&hash).is_some_and(|until| now < *until) {
            return false;
        }
        if self.wanted.len() >= WANTED && now >= self.next_prune {
            self.wanted.retain(|_, until| now < *until);
            self.next_prune = now + self.policy.interval;
        }
        if self.wanted.len() < WANTED {
            self.wanted.insert(hash, now + patience.min(self.policy.interval));
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
        let reserved = if self.hot.has(Subject::Data) { room / 3 } else { 0 };
        let mut left = room;
        let mut sent = Vec::new();
        let mut stale = Vec::new();
        let turns = [(Subject::Membership, room - reserved), (Subject::Data, room), (Subject::Membership, room)];
        for (subject, share) in turns {
            let mut share = share.min(left);
            let mut misfits = 0;
            for (place, hot) in self.hot.in_order(subject) {
                let len = hot.len + 1;
                if sent.contains(&place) {
                    continue;
                }
                if len > share {
                    misfits += 1;
                    if misfits > MISFITS {
                        break;
                    }
                    continue;
                }
                let Some(item) = item(hot, false, replica) else {
                    stale.push(place);
                    continue;
                };
                if push(&Message::Rumor(Rumor::Mail(item))) {
                    sent.push(place);
                    share -= len;
                    left -= len;
                }
            }
        }
        for place in stale {
            self.hot.remove(place);
        }
        for place in sent {
            self.hot.sent(place, max_sends);
        }
    }
}

#[cfg(test)]
mod tests;
