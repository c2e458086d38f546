//! Upkeep of links: asking for them, accepting and ending them, and restoring those that were lost.
//!
//! A node below its degree asks random members; one above it parts with a neighbour that is above it as well. A neighbour
//! lost by silence or death is asked again when it may be back, so that what a partition cut grows together.

use alloc::vec::Vec;
use core::time::Duration;

use rand::{Rng, RngExt};

use super::link::Link;
use super::{Overlay, TIPS, Times};
use crate::address::Address;
use crate::id::NodeId;
use crate::outbox::{Outbox, TrafficClass};
use crate::time::Instant;
use crate::wire::{Message, Overlay as Said};

/// Links at once, doubted ones included: items have a bit for each. Enough for twice the largest degree and one more.
const SLOTS: u8 = 16;
/// Requests for a link in a row that one member is sent.
const ASKS: u32 = 5;
/// Refusals after which a node without any link may take the place of another.
const REFUSALS: u32 = 3;
/// Lost neighbours that are remembered.
const LOST: usize = 8;
/// Tries of a lost neighbour that is not known to be dead, and the first and the longest pause between them.
const TRIES: u32 = 10;
const TRY_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// The longest pause of one who finds nobody with room.
const LONGEST_SEEK: Duration = Duration::from_secs(30);
/// Items that are offered over a new link.
const INTRODUCED: usize = 256;

/// A link that was asked for.
#[derive(Debug)]
pub(super) struct Asked<A> {
    peer: A,
    id: NodeId,
    first: u16,
    at: Instant,
    due: Instant,
    tries: u32,
    /// It is asked once only, since it may not be there.
    once: bool,
    /// It was drawn among all members.
    random: bool,
}

/// A neighbour that was lost.
#[derive(Debug)]
pub(super) struct Lost<A> {
    peer: A,
    id: NodeId,
    /// Time of the next try; none: not before it is alive again.
    due: Option<Instant>,
    tries: u32,
}

/// State of the search for neighbours.
#[derive(Debug)]
pub(super) struct Seek {
    at: Instant,
    pause: Duration,
    shortest: Duration,
    /// Refusals in a row.
    refusals: u32,
    /// The number of peers when it asked last.
    peers: usize,
    /// Earliest time at which a neighbour is asked to part.
    part_at: Instant,
    /// Number of times that one was, without a longer pause.
    parted: u32,
}

impl Seek {
    pub(super) fn new(times: &Times) -> Self {
        let pause = 2 * times.first_timeout;
        Self { at: Instant::ORIGIN, pause, shortest: pause, refusals: 0, peers: 0, part_at: Instant::ORIGIN, parted: 0 }
    }
}

/// Answer to a request for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Linked { first: u16 },
    Full,
}

// Upkeep.
impl<A: Address> Overlay<A> {
    /// Links that count: with neighbours that are not doubted.
    fn count(&self) -> usize {
        self.links.iter().filter(|link| !link.doubted).count()
    }

    fn missing(&self, peers: usize) -> usize {
        let degree = (self.settings.degree as usize).min(peers);
        let asked = self.asked.iter().filter(|asked| !asked.once).count();
        degree.saturating_sub(self.count() + asked)
    }

    /// The place of a neighbour that is to be asked to part: where there are too many links, or too many far ones.
    fn parts(&self) -> Option<usize> {
        let too_many = self.count() > self.settings.degree as usize;
        let any = || self.links.iter().position(|link| !link.parting).filter(|_| too_many);
        self.surplus().or_else(any)
    }

    pub(super) fn upkeep_due(&self, peers: usize) -> Option<Instant> {
        // More members than there were: perhaps one with room.
        let seek_at = if peers > self.seek.peers { Instant::ORIGIN } else { self.seek.at };
        let seeks = (self.missing(peers) > 0).then_some(seek_at);
        let parts = self.parts().map(|_| self.seek.part_at);
        let asked = self.asked.iter().map(|asked| asked.due).chain(self.near_due());
        asked.chain(self.lost.iter().filter_map(|lost| lost.due)).chain(seeks).chain(parts).min()
    }

    /// Repeats requests, tries lost neighbours, parts with superfluous ones; returns how many more links are to be asked
    /// for now.
    pub(crate) fn seeks(&mut self, now: Instant, peers: usize, outbox: &mut Outbox<A>, rng: &mut impl Rng) -> usize {
        self.repeat_requests(now, outbox);
        self.try_lost(now, outbox, rng);
        if self.seek.part_at <= now
            && let Some(at) = self.parts()
        {
            // More and more rarely: where distances vary by chance, what is far now is near the next time, and so for ever.
            if self.seek.part_at + LONGEST_SEEK < now {
                self.seek.parted = 0;
            }
            let doublings = self.seek.parted / (2 * self.settings.degree).max(1);
            self.seek.part_at = now + 10 * self.times.first_timeout * (1 << doublings.min(7));
            self.seek.parted += 1;
            let link = &mut self.links[at];
            link.parting = true;
            outbox.message(TrafficClass::Rumor, link.peer.clone(), Message::Overlay(Said::Part));
        }
        let missing = self.missing(peers);
        if peers > self.seek.peers {
            self.seek.pause = self.seek.shortest;
        } else if now < self.seek.at {
            return usize::from(self.seeks_near(now));
        }
        if missing == 0 {
            return usize::from(self.seeks_near(now));
        }
        self.seek.peers = peers;
        self.seek.at = now + self.seek.pause;
        self.seek.pause = (2 * self.seek.pause).min(LONGEST_SEEK);
        missing
    }

    /// A member that was named by one without room.
    pub(crate) fn tip(&mut self) -> Option<NodeId> {
        self.tips.pop_front()
    }

    /// Returns whether this member is a neighbour, or was asked to become one.
    pub(crate) fn is_taken(&self, id: NodeId) -> bool {
        self.links.iter().any(|link| link.id == id) || self.asked.iter().any(|asked| asked.id == id)
    }

    /// Returns whether there is a link with this peer.
    pub(crate) fn has_link(&self, peer: &A) -> bool {
        self.position(peer).is_some()
    }

    /// Asks a member for a link. `random`: it was drawn among all members.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        (id, peer, random): (NodeId, &A, bool),
        outbox: &mut Outbox<A>,
        rng: &mut impl Rng,
    ) {
        self.request(now, (id, peer), (false, random), outbox, rng);
    }

    fn request(
        &mut self,
        now: Instant,
        (id, peer): (NodeId, &A),
        (once, random): (bool, bool),
        outbox: &mut Outbox<A>,
        rng: &mut impl Rng,
    ) {
        let (first, due) = (rng.random(), now + self.answers_within());
        let alone = self.links.is_empty() && self.seek.refusals >= REFUSALS;
        self.asked.push(Asked { peer: peer.clone(), id, first, at: now, due, tries: 1, once, random });
        outbox.message(TrafficClass::Rumor, peer.clone(), Message::Overlay(Said::Link { first, alone }));
    }

    /// Time within which a request is answered. Given up before that, no request over a long path would ever make a link.
    pub(super) fn answers_within(&self) -> Duration {
        self.times.first_timeout.max(self.probed.timeout().unwrap_or_default())
    }

    fn repeat_requests(&mut self, now: Instant, outbox: &mut Outbox<A>) {
        let alone = self.links.is_empty() && self.seek.refusals >= REFUSALS;
        let (first_timeout, answers_within) = (self.times.first_timeout, self.answers_within());
        self.asked.retain_mut(|asked| {
            if now < asked.due {
                return true;
            }
            let message = |said| Message::Overlay(said);
            if asked.tries >= ASKS || asked.once {
                // Its answer may be lost, and then it has a link that is none.
                outbox.message(TrafficClass::Rumor, asked.peer.clone(), message(Said::Unlink));
                return false;
            }
            asked.due = now + (first_timeout * (1 << asked.tries)).max(answers_within);
            asked.tries += 1;
            let link = Said::Link { first: asked.first, alone };
            outbox.message(TrafficClass::Rumor, asked.peer.clone(), message(link));
            true
        });
    }

    fn try_lost(&mut self, now: Instant, outbox: &mut Outbox<A>, rng: &mut impl Rng) {
        let mut due = Vec::new();
        for lost in &mut self.lost {
            if lost.due.is_some_and(|at| at <= now) {
                let [first, longest] = TRY_PAUSES;
                lost.due = (lost.tries < TRIES).then(|| now + (first * (1 << lost.tries.min(5))).min(longest));
                lost.tries += 1;
                due.push((lost.id, lost.peer.clone()));
            }
        }
        for (id, peer) in due {
            if !self.is_taken(id) {
                self.request(now, (id, &peer), (true, true), outbox, rng);
            }
        }
    }

    pub(super) fn remember_lost(&mut self, now: Instant, id: NodeId, peer: A, seems_alive: bool) {
        self.lost.retain(|lost| lost.id != id);
        if self.lost.len() >= LOST {
            self.lost.pop_front();
        }
        let due = seems_alive.then(|| now + TRY_PAUSES[0]);
        self.lost.push_back(Lost { peer, id, due, tries: 0 });
    }

    // What is found out about members.

    /// A member has died.
    pub(crate) fn note_dead(&mut self, now: Instant, id: NodeId) {
        if let Some(at) = self.links.iter().position(|link| link.id == id) {
            let link = self.remove(at);
            self.remember_lost(now, id, link.peer, false);
        }
        self.distances.forget(id);
        self.asked.retain(|asked| asked.id != id);
        self.lost.iter_mut().filter(|lost| lost.id == id).for_each(|lost| lost.due = None);
    }

    /// A member has left, or is forgotten.
    pub(crate) fn note_gone(&mut self, id: NodeId) {
        if let Some(at) = self.links.iter().position(|link| link.id == id) {
            self.remove(at);
        }
        self.distances.forget(id);
        self.asked.retain(|asked| asked.id != id);
        self.lost.retain(|lost| lost.id != id);
    }

    /// A member that was dead is alive.
    pub(crate) fn note_back(&mut self, now: Instant, id: NodeId) {
        for lost in self.lost.iter_mut().filter(|lost| lost.id == id) {
            (lost.due, lost.tries) = (Some(now), 0);
        }
    }
}

// Messages.
impl<A: Address> Overlay<A> {
    /// Somebody asks for a link.
    pub(crate) fn on_link(
        &mut self,
        now: Instant,
        (id, from): (NodeId, &A),
        (theirs, alone): (u16, bool),
        outbox: &mut Outbox<A>,
        rng: &mut impl Rng,
    ) -> Answer {
        if let Some(at) = self.position(from) {
            let link = &mut self.links[at];
            if link.theirs == theirs && link.id == id {
                link.accepted = link.accepted.map(|_| now);
                let first = link.ours;
                self.heard(at);
                return Answer::Linked { first };
            }
            // It began anew, and does not know of this link.
            self.remove(at);
        }
        if self.is_full() {
            if !alone || self.links.len() < 2 {
                return Answer::Full;
            }
            let displaced = self.remove(rng.random_range(0..self.links.len()));
            outbox.message(TrafficClass::Rumor, displaced.peer, Message::Overlay(Said::Unlink));
        }
        // Both asked one another: the number that was sent already stays.
        let asked = self.asked.iter().position(|asked| asked.peer == *from).map(|at| self.asked.swap_remove(at));
        let ours = asked.map_or_else(|| rng.random(), |asked| asked.first);
        match self.establish(now, (id, from), (ours, theirs)) {
            Some(link) => {
                link.accepted = Some(now);
                Answer::Linked { first: ours }
            }
            None => Answer::Full,
        }
    }

    /// A link was accepted.
    pub(crate) fn on_linked(&mut self, now: Instant, (id, from): (NodeId, &A), theirs: u16, outbox: &mut Outbox<A>) {
        if let Some(at) = self.position(from) {
            if self.links[at].theirs == theirs {
                self.heard(at);
                return;
            }
            self.remove(at);
        }
        let asked = self.asked.iter().position(|asked| asked.peer == *from).map(|at| self.asked.swap_remove(at));
        // Others may have asked meanwhile, and taken the room that there was.
        let Some(asked) = asked.filter(|_| !self.is_full()) else {
            outbox.message(TrafficClass::Rumor, from.clone(), Message::Overlay(Said::Unlink));
            return;
        };
        let trip = (asked.tries == 1).then(|| now.since(asked.at));
        if let Some(link) = self.establish(now, (id, from), (asked.first, theirs)) {
            link.random = asked.random;
            trip.into_iter().for_each(|trip| link.note_trip(trip));
            // The neighbour measures its round trip by this.
            let confirm = Said::Confirm { newest: theirs.wrapping_sub(1), missing: 0 };
            outbox.message(TrafficClass::Rumor, from.clone(), Message::Overlay(confirm));
            if let Some(trip) = trip {
                self.note_trip(id, trip);
            }
            // If it is far after all, the next is asked later: where distances vary by chance, links would come and go for ever.
            if self.position(from).is_some_and(|at| !self.is_far(&self.links[at])) {
                self.found_near();
            }
        }
    }

    /// A link was refused.
    pub(crate) fn on_full(&mut self, now: Instant, from: &A, others: &[NodeId]) {
        let Some(asked) = self.asked.iter().position(|asked| asked.peer == *from) else { return };
        let asked = self.asked.swap_remove(asked);
        self.distances.forget(asked.id);
        if asked.once {
            self.lost.retain(|lost| lost.id != asked.id);
            return;
        }
        self.seek.refusals = self.seek.refusals.saturating_add(1);
        for other in others {
            if self.tips.len() < TIPS && !self.tips.contains(other) {
                self.tips.push_back(*other);
            }
        }
        if self.seek.refusals <= 2 * REFUSALS {
            self.seek.at = self.seek.at.min(now + self.times.unit);
        }
    }

    /// The neighbour has ended the link, or never had one.
    pub(crate) fn on_unlink(&mut self, now: Instant, from: &A) {
        let Some(at) = self.position(from) else { return };
        let recent = now - self.answers_within();
        let link = &mut self.links[at];
        if link.began > recent && !link.parting {
            // Said before the neighbour can have known of this link, it is about an earlier one: where paths are long, two
            // that ask one another would end each other's links for ever. It is asked whether it has this one.
            link.check();
            return;
        }
        self.release(at);
        self.seek.at = self.seek.at.min(now + self.seek.shortest);
    }

    /// The neighbour has more links than it needs; returns whether the link is ended.
    pub(crate) fn on_part(&mut self, from: &A) -> bool {
        let Some(at) = self.position(from) else { return true };
        if self.count() > self.settings.degree as usize || self.can_spare(at) {
            self.release(at);
            return true;
        }
        self.heard(at);
        false
    }

    /// The sender says that it is a neighbour; returns whether it is not.
    pub(crate) fn on_neighbour(&mut self, from: &A) -> bool {
        if let Some(at) = self.position(from) {
            self.heard(at);
            return false;
        }
        !self.asked.iter().any(|asked| asked.peer == *from)
    }

    /// Notes that the neighbour at this place is there. If it was doubted, and another has taken its place, the newest
    /// link ends. Returns its place afterwards.
    pub(super) fn heard(&mut self, at: usize) -> usize {
        self.links[at].heard();
        if self.count() <= self.settings.degree as usize + 1 {
            return at;
        }
        let newest = (0..self.links.len()).rev().find(|other| *other != at && !self.links[*other].doubted);
        let Some(newest) = newest else { return at };
        let peer = self.release(newest);
        self.ended.push(peer);
        at - usize::from(newest < at)
    }

    /// Removes a link, and hands what it has not brought yet to rumor mongering.
    fn release(&mut self, at: usize) -> A {
        let link = self.remove(at);
        let recents = &self.recents;
        self.orphans.extend(link.unsettled().filter_map(|item| recents.key(item)));
        link.peer
    }

    /// Returns whether there are as many links as may be.
    pub(super) fn is_full(&self) -> bool {
        self.count() > self.settings.degree as usize
    }

    fn establish(&mut self, now: Instant, (id, from): (NodeId, &A), numbers: (u16, u16)) -> Option<&mut Link<A>> {
        if self.links.len() > 2 * self.settings.degree as usize
            && let Some(doubted) = self.links.iter().position(|link| link.doubted)
        {
            let link = self.remove(doubted);
            self.remember_lost(now, link.id, link.peer, true);
        }
        let slot = self.free_slot()?;
        // The first duplicate makes it lazy: of several ways the shortest stays.
        let mut link = Link::new(from.clone(), id, slot, numbers, true);
        (link.began, link.shortest) = (now, self.distances.trip(id));
        for (item, _) in self.recents.latest(INTRODUCED) {
            link.offer(item, (now, now), false);
        }
        self.lost.retain(|lost| lost.id != id);
        (self.seek.pause, self.seek.refusals) = (self.seek.shortest, 0);
        self.links.push(link);
        self.links.last_mut()
    }

    fn free_slot(&self) -> Option<u8> {
        (0..SLOTS).find(|slot| !self.links.iter().any(|link| link.slot == *slot))
    }

    pub(super) fn remove(&mut self, at: usize) -> Link<A> {
        let link = self.links.remove(at);
        self.recents.free(link.slot);
        self.wanted.free(link.slot);
        if self.count() <= self.settings.degree as usize {
            self.links.iter_mut().for_each(|link| link.parting = false);
        }
        link
    }
}
