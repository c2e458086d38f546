//! Rumor mongering (Demers et al., section 1.4): the hot list, its rounds and its feedback.
//!
//! Knows the replica's items by their keys, and the outbox. Must not know the meaning of a rumor or the member list: it
//! is given addresses.

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

/// Rumor messages that may wait for their feedback. The oldest is forgotten for the newest.
const OUTSTANDING: usize = 64;
/// Items in one message: a feedback has a bit for each.
const ITEMS: usize = 64;
/// Shortest time between the first and the second round of a rumor.
const SECOND_ROUND: Duration = Duration::from_millis(1);
/// Rumors in a round above which all that are longer than an offer are offered. Short ones are better sent again whole,
/// since an offer takes two more datagrams, each of which may be lost; by the hundred they cost too much.
const MANY_RUMORS: usize = 16;
/// Bytes of an offer with its tag.
const OFFER: usize = 9;
/// Capacity that an empty list of rumors of the first round keeps.
const FIRST_KEPT: usize = 32;
/// Offers that are remembered as asked for.
const WANTED: usize = 4_096;
/// Intervals between two reviews of what was asked for. A peer that offers what it never sends causes no more of them.
const REVIEW: u32 = 10;
/// Bytes and rumors that one contact of a round may carry. The rest waits for the next round.
const ROUND_BYTES: usize = 8_192;
const ROUND_RUMORS: usize = 256;

/// Subject of a rumor: decides which goes first on a datagram.
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
    /// Hash by which it was offered, if it was. A wanted item is sent whether or not it is still hot then.
    offered: Option<u64>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Rumors<A> {
    policy: Policy,
    limit: usize,
    hot: HotList,
    /// Rumors that have not been in a round; some have cooled since.
    first: Vec<HotSlot>,
    /// Rumors that have been in one round.
    second: Arc<[HotSlot]>,
    /// Time of the next prompt round: the first two rounds of a rumor do not wait for the interval.
    prompt_round: Option<Instant>,
    next_round: Option<Instant>,
    /// Time of the round for which there was no partner. None is due until there is one.
    stalled: Option<Instant>,
    /// Slots by number of the message, modulo their number.
    outstanding: Vec<Option<Outstanding<A>>>,
    number: u16,
    /// Offers that were asked for, with the time until which no other peer is asked.
    wanted: BTreeMap<u64, Instant>,
    next_prune: Instant,
    /// Time of the next look for items that were asked for and have not come.
    review: Option<Instant>,
    /// No review is before this.
    next_review: Instant,
    dropped: u64,
}

impl<A: Address> Rumors<A> {
    pub(crate) fn new(policy: Policy, limit: usize, rng: &mut impl Rng) -> Self {
        Self {
            policy,
            limit,
            hot: HotList::default(),
            first: Vec::new(),
            second: Arc::from([]),
            prompt_round: None,
            next_round: None,
            stalled: None,
            outstanding: Vec::new(),
            number: rng.random(),
            wanted: BTreeMap::new(),
            next_prune: Instant::ORIGIN,
            review: None,
            next_review: Instant::ORIGIN,
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

    /// Makes an update hot, in place of an earlier one with its key. `len`: its length in a rumor message.
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
            // The rumor sent most often gives way.
            let most_sent = self.hot.most_sent(Subject::Data).or_else(|| self.hot.most_sent(Subject::Membership));
            if let Some(most_sent) = most_sent {
                self.hot.remove(most_sent);
                self.dropped += 1;
            }
        }
        let place = self.hot.insert(key, subject, hash, len);
        if self.first.len() >= 2 * self.limit {
            // There is no peer to send to, and the same keys are written again and again.
            self.first.retain(|place| self.hot.get(*place).is_some());
        }
        self.first.push(place);
        self.prompt_round.get_or_insert(now + self.policy.relay_delay);
        if self.next_round.is_none() {
            // A random phase, so that nodes that learned an update at the same time do not send it at the same time.
            let phase = rng.random_range(0..=micros(self.policy.interval));
            self.next_round = Some(now + self.policy.relay_delay + Duration::from_micros(phase));
        }
    }

    /// Removes a rumor from the hot list.
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

    /// Returns the time of the next round, or of the next look for what has not come. `alone`: there is no partner.
    pub(crate) fn due(&self, alone: bool) -> Option<Instant> {
        let contact = self.stalled.or_else(|| self.next_contact()).filter(|_| !alone || self.stalled.is_none());
        contact.into_iter().chain(self.review).min()
    }

    /// Waits for a partner, without a deadline, if a round is due.
    pub(crate) fn stall(&mut self, now: Instant) {
        if self.next_contact().is_some_and(|due| due <= now) {
            self.stalled.get_or_insert(now);
        }
    }

    /// Goes on with rounds, at the times that they would have had: nodes that meet do not all send at once.
    pub(crate) fn resume(&mut self, now: Instant) {
        let Some(stalled) = self.stalled.take() else { return };
        let interval = micros(self.policy.interval).max(1);
        let missed = micros(now.since(stalled)).div_ceil(interval).max(1);
        let next = stalled + Duration::from_micros(missed.saturating_mul(interval));
        self.prompt_round = self.prompt_round.map(|at| at.max(next));
        self.next_round = self.next_round.map(|at| at.max(next));
    }

    fn next_contact(&self) -> Option<Instant> {
        self.prompt_round.into_iter().chain(self.next_round).min()
    }

    /// Returns the number of partners for the rounds that are due.
    pub(crate) fn partners_wanted(&self, now: Instant) -> usize {
        let due = self.next_contact().is_some_and(|due| due <= now);
        if due { self.policy.fanout as usize } else { 0 }
    }

    /// Begins pulling, which never ends: a node that pulls asks whether or not it knows any rumor.
    pub(crate) fn begin_pulling(&mut self, now: Instant) {
        if self.policy.exchange.pulls() {
            self.next_round.get_or_insert(now + self.policy.interval);
        }
    }

    /// Holds the rounds that are due with these partners. Fresh rumors are sent whole, and offered to others a relay
    /// delay later: together this reaches nearly all members before the first interval is over.
    pub(crate) fn hold_rounds(&mut self, now: Instant, partners: &[A], outbox: &mut Outbox<A>) {
        if partners.is_empty() {
            let later = now + self.policy.interval;
            self.prompt_round = self.prompt_round.map(|at| at.max(later));
            self.next_round = self.next_round.map(|at| at.max(later));
            return;
        }
        let pushes = self.policy.exchange.pushes();
        let regular = self.next_round.is_some_and(|at| at <= now);
        // Selected before the rumors of the first round are sent, or they would have two rounds at once.
        let later_rounds = if pushes && regular { self.least_sent() } else { Arc::from([]) };
        let mut contacts = Vec::new();
        if self.prompt_round.is_some_and(|at| at <= now) {
            let second = mem::replace(&mut self.second, Arc::from([]));
            if pushes && !second.is_empty() {
                contacts.push((second, false, false));
            }
            let first = self.introduce();
            if pushes && !first.is_empty() {
                contacts.push((first.clone(), true, false));
            }
            self.second = first;
            let more = !self.first.is_empty() || !self.second.is_empty();
            self.prompt_round = more.then(|| now + self.policy.relay_delay.max(SECOND_ROUND));
        }
        if regular {
            let pull = self.policy.exchange.pulls();
            if pull || !later_rounds.is_empty() {
                contacts.push((later_rounds, false, pull));
            }
            // A late round is held once, not once for every one that was missed.
            self.next_round = (pull || self.hot.len() > 0).then(|| now + self.policy.interval);
        }
        // Partner by partner: messages to one of them share a datagram.
        for to in partners {
            for (rumors, bodies, pull) in &contacts {
                let intent = Intent::Rumors { rumors: rumors.clone(), next: 0, bodies: *bodies, pull: *pull };
                outbox.push(TrafficClass::Rumor, to.clone(), intent);
            }
        }
    }

    /// Selects the rumors that come to their first round: as many as a contact may carry, but at least one.
    fn introduce(&mut self) -> Arc<[HotSlot]> {
        let mut room = ROUND_BYTES;
        let mut places = Vec::new();
        let mut taken = 0;
        for place in &self.first {
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
        self.first.drain(..taken);
        if self.first.is_empty() {
            self.first.shrink_to(FIRST_KEPT);
        }
        places.into()
    }

    /// Selects hot rumors after their first round, least often sent first, as many as a contact may carry.
    fn least_sent(&self) -> Arc<[HotSlot]> {
        let mut room = ROUND_BYTES;
        let mut places = Vec::new();
        for (place, hot) in self.in_order().filter(|(_, hot)| hot.introduced) {
            let len = hot.len.min(self.policy.offer_above);
            // A rumor that is larger than a round has one of its own.
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

    /// Answers a pull with the hot rumors, if the policy is to pull.
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

    /// Composes a rumor message of at most `room` bytes with the rumors from `next` on, and returns where the next message
    /// continues. `narrow`: the room of an empty datagram, if the path carries only short ones.
    pub(crate) fn compose(
        &mut self,
        to: &A,
        (rumors, next, bodies, pull): (&[HotSlot], usize, bool, bool),
        (room, narrow): (usize, Option<usize>),
        (replica, max_sends): (&Replica<A>, u32),
        rng: &mut impl Rng,
    ) -> (Option<Message<A>>, usize) {
        // Tag, number, two flags, and the count of the items.
        const HEAD: usize = 7;
        let mut left = room.saturating_sub(HEAD);
        let offer_above =
            if rumors.len() > MANY_RUMORS { self.policy.offer_above.min(2 * OFFER) } else { self.policy.offer_above };
        let most = ITEMS.min(rumors.len() - next.min(rumors.len()));
        let (mut items, mut sent) = (Vec::with_capacity(most), Vec::with_capacity(most));
        let mut at = next;
        while at < rumors.len() && items.len() < ITEMS {
            let place = rumors[at];
            let Some(hot) = self.hot.get(place) else {
                at += 1;
                continue;
            };
            // Over a narrow path also what does not fit: it is asked for, and then fetched in parts.
            let most =
                if bodies { narrow.map_or(usize::MAX, |room| room.saturating_sub(HEAD + 1)) } else { offer_above };
            let long = hot.len > most;
            let offered = long && matches!(hot.key, HotKey::Fact(_));
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

/// Returns the form of a hot rumor in a message; none if the replica holds something else now.
fn item<A: Address>(hot: &Hot, offered: bool, replica: &Replica<A>) -> Option<Item<A>> {
    match hot.key {
        HotKey::Opinion(suspicion) => Some(Item::Suspicion(suspicion)),
        // The item is looked up only if it is wanted, which is rare.
        HotKey::Fact(_) if offered => Some(Item::Offer(hot.hash)),
        HotKey::Fact(key) => replica.get_if(key, hot.hash).map(|update| carried(replica, update)),
    }
}

// Answers and offers of peers.
impl<A: Address> Rumors<A> {
    /// Records an answer. Returns the hashes of items to send because their offer was wanted.
    pub(crate) fn feedback(
        &mut self,
        from: &A,
        Feedback { number, useful, neutral }: Feedback,
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
            if self.policy.response == Response::Feedback && neutral >> bit & 1 == 0 {
                self.contact(place, if useful { Contact::Useful } else { Contact::Useless }, rng);
            }
        }
        wanted
    }

    /// Returns true if both counters are compared when both sides knew a rumor.
    pub(crate) fn minimizes(&self) -> bool {
        self.policy.minimization && self.policy.exchange == Exchange::PushPull
    }

    /// Records that both sides knew a rumor: with minimization only the smaller counter moves. Returns true if that is this
    /// node's, so that the asker's is to stay.
    pub(crate) fn both_knew(&mut self, key: &HotKey, theirs: u8, rng: &mut impl Rng) -> bool {
        // A node that has lost interest has no counter to move: its own counts as the larger one.
        let Some(place) = self.hot.find(key).filter(|_| self.minimizes()) else { return false };
        let Some(hot) = self.hot.get(place) else { return false };
        let neutral = hot.interest.counter() < theirs;
        if hot.interest.moves(theirs) {
            self.contact(place, Contact::Useless, rng);
        }
        neutral
    }

    /// Returns true if an offered item should be asked for: not if another peer was asked a moment ago. `patience`:
    /// time to wait for an answer.
    pub(crate) fn wants(&mut self, now: Instant, hash: u64, patience: Duration) -> bool {
        if self.wanted.get(&hash).is_some_and(|until| now < *until) {
            return false;
        }
        if self.wanted.len() >= WANTED && now >= self.next_prune {
            self.wanted.retain(|_, until| now < *until);
            self.next_prune = now + self.policy.interval;
        }
        if self.wanted.len() < WANTED {
            let until = now + patience.min(self.policy.interval);
            self.wanted.insert(hash, until);
            self.review.get_or_insert((until + self.policy.interval).max(self.next_review));
        }
        true
    }

    /// Records that an item has arrived.
    pub(crate) fn got(&mut self, hash: u64) {
        if self.wanted.remove(&hash).is_some() && self.wanted.is_empty() {
            self.review = None;
        }
    }

    /// Returns true if an item was asked for, has not come, and was not offered again for an interval: the request or the
    /// answer was lost, and the peers that have it may be done with it. Says so once for each item.
    pub(crate) fn has_missed(&mut self, now: Instant) -> bool {
        if self.review.is_none_or(|review| now < review) {
            return false;
        }
        let before = self.wanted.len();
        self.wanted.retain(|_, until| now < *until + self.policy.interval);
        let missed = self.wanted.len() < before;
        if missed {
            self.next_review = now + self.policy.interval * REVIEW;
        }
        let next = self.wanted.values().min().map(|until| *until + self.policy.interval);
        self.review = next.map(|next| next.max(self.next_review));
        missed
    }

    /// Fills a datagram that has room with hot rumors, least often sent first: blind sends. Membership goes first, but
    /// a third of the room is reserved for data while data waits.
    pub(crate) fn ride_along(
        &mut self,
        (replica, max_sends): (&Replica<A>, u32),
        room: usize,
        mut push: impl FnMut(&Message<A>) -> bool,
    ) {
        // Rumors that do not fit and are passed over before the datagram counts as full.
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
