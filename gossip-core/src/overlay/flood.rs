//! The flood: news goes over eager links whole, over lazy ones as offers; what is missing is asked for.

use alloc::vec::Vec;
use core::time::Duration;

use rand::{Rng, RngExt};

use super::link::{BODIES, Link, WAITING, Window};
use super::recent::Recents;
use super::{Haste, Overlay};
use crate::address::Address;
use crate::outbox::HotKey;
use crate::time::{Instant, micros};
use crate::wire::{Hashes, Item, Message, Overlay as Said, Writer, encoded_len};

/// A duplicate makes a link lazy at once if none was made lazy for another item for this long: two items in flight would
/// cut each other's branches.
const PRUNE_PAUSE: Duration = Duration::from_millis(200);
/// Otherwise this many duplicates in a row do.
const DUPLICATES: u32 = 2;
/// An offer of an item that is here makes its link eager in the place of the one over which the item came, if it would have
/// come over this many links less.
const SHORTER: u8 = 4;
/// Offers in one datagram.
const OFFERS: usize = 256;
/// Bytes of a message of hashes or bodies without them: tags, number and length.
const HEAD: usize = 8;
/// Bytes that a datagram holds at most before its first body.
const BEFORE_BODY: usize = 24;

// News.
impl<A: Address> Overlay<A> {
    /// Spreads an item along the links. Returns whether there are any: if not, it is for others to spread.
    pub(crate) fn news(&mut self, now: Instant, item: u64, key: HotKey, haste: Haste, rng: &mut impl Rng) -> bool {
        // News begins here if it did not come over a link; what anti-entropy brought began anywhere.
        let hops = if haste == Haste::Offered { u8::MAX } else { 0 };
        let known = self.recents.spread(now, item, key, hops);
        if known == 0 && !self.links.iter().any(|link| link.eager && !link.doubted) {
            // Nobody would have the body before somebody asks.
            let best = self.links.iter_mut().filter(|link| !link.doubted);
            if let Some(best) = best.min_by_key(|link| link.trip.smoothed().unwrap_or(Duration::MAX)) {
                best.eager = true;
            }
        }
        let times = &self.times;
        let gather = if haste == Haste::Gathered { times.gather_members } else { times.gather };
        let lossy = self.evidence.is_lossy();
        let (near, distances) = (self.settings.near > 0, &self.distances);
        for link in self.links.iter_mut().filter(|link| known & link.bit() == 0) {
            // The body may be on its way to a far neighbour by another link, and from there an offer.
            let far = link.shortest.filter(|trip| near && !distances.is_near(*trip));
            let queued = if link.eager && haste != Haste::Offered {
                queue_body(link, item, false, now.max(link.last_body + gather))
            } else if let Some(trip) = far {
                // The two ends need not both offer: the second, as both agree, sees the offer of the first before.
                let second = (link.ours < link.theirs) == (item & 1 == 0);
                let from = now + if second { 3 * trip } else { trip };
                let due = from + Duration::from_micros(rng.random_range(0..=micros(times.offer_far)));
                link.offer(item, (from, due), false)
            } else if lossy {
                link.offer(item, (now + times.offer_lossy / 2, now + times.offer_lossy), true)
            } else {
                let [from, to] = times.offer;
                let due = Duration::from_micros(rng.random_range(micros(from)..=micros(to)));
                link.offer(item, (now + from, now + due), true)
            };
            self.counted.dropped += u64::from(!queued);
        }
        self.is_linked()
    }

    /// An item is not to be spread any more.
    pub(crate) fn cool(&mut self, item: u64) {
        self.recents.cool(item);
    }

    /// An item is here.
    pub(crate) fn got(&mut self, item: u64) {
        self.wanted.got(item);
    }

    /// Returns whether an item was seen lately, whatever became of it.
    pub(crate) fn has_seen(&self, item: u64) -> bool {
        self.recents.contains(item)
    }

    /// Returns whether a body of this item waits for a neighbour, or was not confirmed by one yet.
    pub(crate) fn is_spreading(&self, item: u64) -> bool {
        self.links.iter().any(|link| !link.doubted && link.unsettled().any(|unsettled| unsettled == item))
    }
}

fn queue_body<A>(link: &mut Link<A>, item: u64, asked: bool, due: Instant) -> bool {
    if link.bodies.len() >= WAITING {
        return false;
    }
    link.bodies.push_back((item, asked));
    link.bodies_due = Some(link.bodies_due.map_or(due, |at| at.min(due)));
    true
}

/// The most links over which any of these came: items that share a datagram share one number.
fn most_hops(recents: &Recents, items: &[u64]) -> u8 {
    items.iter().map(|item| recents.hops(*item)).max().unwrap_or(u8::MAX)
}

// Receiving.
impl<A: Address> Overlay<A> {
    /// A numbered datagram came: whether for the first time. None if there is no link.
    pub(crate) fn on_number(&mut self, now: Instant, from: &A, number: u16) -> Option<bool> {
        let at = self.position(from)?;
        let at = self.heard(at);
        Some(self.links[at].note_number(number, now, &self.times))
    }

    /// A body came, whatever becomes of it; returns whether it was seen before. `hops`: of its way to the neighbour.
    pub(crate) fn on_body(&mut self, now: Instant, from: &A, item: u64, hops: u8) -> bool {
        let Some(at) = self.position(from) else { return self.recents.contains(item) };
        self.wanted.got(item);
        self.recents.receive(now, item, self.links[at].slot, hops.saturating_add(1))
    }

    /// A body was news: its branch of the tree is kept.
    pub(crate) fn on_useful(&mut self, from: &A) {
        if let Some(at) = self.position(from) {
            let link = &mut self.links[at];
            (link.eager, link.duplicates) = (true, 0);
        }
    }

    /// A body was known: one of the two links over which it came is superfluous, perhaps.
    pub(crate) fn on_duplicate(&mut self, now: Instant, from: &A, item: u64) {
        let Some(at) = self.position(from) else { return };
        // Over the same link twice: a datagram was duplicated, or its confirmation lost.
        if self.recents.first(item) == Some(self.links[at].slot) {
            return;
        }
        let alone = !self.links.iter().enumerate().any(|(other, link)| other != at && link.eager && !link.doubted);
        let calm = self.is_calm(now, item);
        let link = &mut self.links[at];
        link.duplicates += 1;
        if alone || (!calm && link.duplicates < DUPLICATES) {
            return;
        }
        (link.eager, link.prune, link.duplicates) = (false, true, 0);
        self.last_prune = Some((item, now));
    }

    /// Returns whether no link was made lazy for another item lately.
    fn is_calm(&self, now: Instant, item: u64) -> bool {
        self.last_prune.is_none_or(|(of, when)| of == item || now.since(when) > PRUNE_PAUSE)
    }

    /// The neighbour at this place had an item, which is here, after so many hops. If its way was much the shorter one, its
    /// link takes the place of the one over which the item came: the tree of whoever wrote first is long for all others.
    fn shorten(&mut self, now: Instant, at: usize, item: u64, hops: u8) {
        let here = self.recents.hops(item);
        // What anti-entropy brought somewhere has come over no way that is worth knowing.
        if here == u8::MAX || here.saturating_sub(hops) <= SHORTER || !self.is_calm(now, item) {
            return;
        }
        let first = self.recents.first(item);
        let Some(longer) = self.links.iter().position(|link| Some(link.slot) == first).filter(|longer| *longer != at)
        else {
            return;
        };
        // A far link counts for more than any number of near ones.
        if self.is_far(&self.links[at]) {
            return;
        }
        let link = &mut self.links[longer];
        (link.eager, link.prune, link.duplicates) = (false, true, 0);
        let link = &mut self.links[at];
        (link.eager, link.graft, link.prune) = (true, true, false);
        self.recents.note_way(item, link.slot, hops + 1);
        self.last_prune = Some((item, now));
    }

    /// Takes a confirmation in. `confirmed` gets each of its items.
    pub(crate) fn on_confirm(
        &mut self,
        now: Instant,
        from: &A,
        (newest, missing): (u16, u32),
        mut confirmed: impl FnMut(u64),
    ) -> bool {
        let Some(at) = self.position(from) else { return false };
        let at = self.heard(at);
        let link = &mut self.links[at];
        // Only the answer to `Linked`: if that was lost, the next confirmation says nothing about the round trip.
        if let Some(accepted) = link.accepted.take()
            && newest == link.ours.wrapping_sub(1)
        {
            link.note_trip(now.since(accepted));
        }
        let (items, first_tries) = link.confirm(Window { newest, missing }, now);
        let bit = link.bit();
        for item in items {
            self.recents.note_known(item, bit);
            confirmed(item);
        }
        (0..first_tries).for_each(|_| self.evidence.note(true));
        true
    }

    /// The neighbour offers an item that came to it over so many links; `missing`: it is neither here nor on its way. No
    /// `hops`: it offers again what was sent and lost.
    pub(crate) fn on_offer(&mut self, now: Instant, from: &A, item: u64, missing: bool, hops: Option<u8>) {
        let Some(at) = self.position(from) else { return };
        let at = self.heard(at);
        let link = &mut self.links[at];
        let (slot, bit) = (link.slot, link.bit());
        let far = self.is_far(&self.links[at]);
        if !missing {
            self.recents.note_known(item, bit);
            self.shorten(now, at, item, hops.unwrap_or(u8::MAX));
            return;
        }
        let again = hops.is_none();
        let due = if again { now } else { now + self.patience(far) };
        if !self.wanted.offer(item, slot, due, (again, far)) {
            self.counted.dropped += 1;
        }
    }

    /// Time from an offer to the request for the item: its body may come over another link meanwhile. A near neighbour is
    /// not spared for the sake of a far one: so each site gets a body over few far links.
    fn patience(&self, far: bool) -> Duration {
        let links = self.links.iter().filter(|link| far || !self.is_far(link));
        let slowest = links.filter_map(|link| link.trip.smoothed()).max().unwrap_or_default();
        self.times.patience.max(slowest / 3)
    }

    /// The neighbour lacks these.
    pub(crate) fn on_graft(&mut self, now: Instant, from: &A, items: &[u64]) -> bool {
        let Some(at) = self.position(from) else { return false };
        let at = self.heard(at);
        let link = &mut self.links[at];
        link.eager = true;
        for item in items {
            let queued = queue_body(link, *item, true, now);
            self.counted.dropped += u64::from(!queued);
        }
        true
    }

    /// The neighbour wants offers only.
    pub(crate) fn on_prune(&mut self, from: &A) -> bool {
        let Some(at) = self.position(from) else { return false };
        let at = self.heard(at);
        let link = &mut self.links[at];
        (link.eager, link.duplicates) = (false, 0);
        true
    }

    /// Asks for what was offered long enough ago.
    pub(super) fn tick_wanted(&mut self, now: Instant) {
        let (links, times) = (&self.links, &self.times);
        let timeout = |slot| {
            let link = links.iter().find(|link| link.slot == slot);
            link.map_or(times.first_timeout, |link| link.timeout(times))
        };
        for (item, slot) in self.wanted.ask(now, timeout) {
            if let Some(link) = self.links.iter_mut().find(|link| link.slot == slot) {
                link.wants.push(item);
                link.eager = true;
            }
        }
    }
}

// Sending.
impl<A: Address> Overlay<A> {
    /// Packs what waits for a neighbour. `body`: an item by its hash, and its key if it is being spread. Returns whether
    /// something is left for the next datagram.
    pub(crate) fn compose(
        &mut self,
        to: &A,
        now: Instant,
        mut body: impl FnMut(u64, Option<HotKey>) -> Option<Item<A>>,
        writer: &mut Writer<'_>,
    ) -> bool {
        let Some(at) = self.position(to) else { return false };
        let Self { links, recents, times, evidence, counted, .. } = self;
        let (link, recents) = (&mut links[at], &*recents);
        let bit = link.bit();
        link.scheduled = None;
        let said = |writer: &mut Writer<'_>, said: Said<A>| writer.push(&Message::Overlay(said));
        if link.prune && said(writer, Said::Prune) {
            link.prune = false;
        }
        if writer.room() >= HEAD
            && let Some(Window { newest, missing }) = link.take_confirmation()
        {
            said(writer, Said::Confirm { newest, missing });
        }
        // Bodies: those that are gathered for longer use a datagram that leaves anyway.
        if !link.bodies.is_empty() {
            let (mut items, mut hashes) = (Vec::new(), Vec::new());
            let mut room = writer.room().saturating_sub(HEAD);
            while items.len() < BODIES
                && let Some((item, asked)) = link.bodies.front().copied()
            {
                if asked || !recents.is_settled(item, bit) {
                    if link.is_full() {
                        // It is asked for if it is missing.
                        link.bodies.pop_front();
                        counted.dropped += u64::from(!link.offer(item, (now, now), true));
                        continue;
                    }
                    if let Some(whole) = body(item, recents.key(item)) {
                        let len = encoded_len(&whole);
                        if len > room && (!items.is_empty() || writer.used() > BEFORE_BODY) {
                            break;
                        }
                        if len <= room {
                            room -= len;
                            items.push(whole);
                            hashes.push(item);
                        } else {
                            counted.dropped += 1;
                        }
                    }
                }
                link.bodies.pop_front();
            }
            if !items.is_empty() {
                link.last_body = now;
                let hops = most_hops(recents, &hashes);
                let number = link.number(hashes, now, times);
                said(writer, Said::Flood { number, hops, items });
            }
        }
        if link.bodies.is_empty() {
            link.bodies_due = None;
        }
        // What is missing here.
        let room = writer.room().saturating_sub(HEAD) / 8;
        if (link.graft || !link.wants.is_empty()) && room > 0 {
            let hashes = link.wants.drain(..room.min(link.wants.len())).collect();
            link.graft = false;
            said(writer, Said::Graft { hashes: Hashes(hashes) });
        }
        // What was not confirmed.
        while let Some(repeat) = link.repeats.front()
            && HEAD + 8 * repeat.items.len() <= writer.room()
            && let Some(repeat) = link.repeats.pop_front()
        {
            let hashes = repeat.items.clone();
            let number = link.number_again(repeat, now, times);
            said(writer, Said::Again { number, hashes: Hashes(hashes) });
        }
        // Offers.
        let room = (writer.room().saturating_sub(HEAD) / 8).min(OFFERS);
        let again = evidence.is_lossy().then_some(times.offer_again);
        let hashes = link.take_offers(now, room, again, |item| recents.is_settled(item, bit));
        if !hashes.is_empty() {
            said(writer, Said::Offers { hops: most_hops(recents, &hashes), hashes: Hashes(hashes) });
        }
        link.is_ready(now)
    }
}
