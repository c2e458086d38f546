//! One link: its numbers and confirmations, its round trip, and what waits to be sent over it.
//!
//! Must not know who the neighbour is, nor what an item says: items are hashes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::Times;
use crate::estimate::RoundTrip;
use crate::id::NodeId;
use crate::time::Instant;

/// Datagrams that may be unconfirmed on one link: what is sent beyond that is offered, and not numbered.
const UNCONFIRMED: usize = 64;
/// Times that an unconfirmed datagram is repeated before the link ends.
pub(super) const MOST_TRIES: u32 = 12;
/// Repetitions in a row without any sign of the neighbour, from which on all that is unconfirmed is repeated together: one
/// datagram asks as well as many.
const LATE: u32 = 3;
/// Items that are repeated together: their hashes fit the smallest datagram.
const TOGETHER: usize = 32;
/// The longest pause between two repetitions, unless a round trip takes longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Bodies in one datagram.
pub(super) const BODIES: usize = 10;
/// Numbers in a row that are older than the window remembers, after which it begins anew: a datagram of an earlier link
/// with the same neighbour has moved it.
const STRAYS: u32 = 3;
/// Items that wait on one link, per kind.
pub(super) const WAITING: usize = 1_024;

/// Numbers that were received: the newest, and which of the 32 before it are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) newest: u16,
    pub(super) missing: u32,
}

impl Window {
    /// Before the number `first` was received.
    pub(super) const fn before(first: u16) -> Self {
        Self { newest: first.wrapping_sub(1), missing: 0 }
    }

    /// Notes a number; returns whether it came for the first time, as far as is remembered.
    pub(super) fn note(&mut self, number: u16) -> bool {
        let ahead = number.wrapping_sub(self.newest);
        if ahead == 0 {
            return false;
        }
        if ahead < 1 << 15 {
            let shifted = if ahead >= 32 { 0 } else { self.missing << ahead };
            let skipped = if ahead > 32 { u32::MAX } else { (1_u32 << (ahead - 1)).wrapping_sub(1) };
            (self.newest, self.missing) = (number, shifted | skipped);
            return true;
        }
        let behind = self.newest.wrapping_sub(number) - 1;
        let bit = 1_u32.checked_shl(u32::from(behind)).unwrap_or(0);
        let fresh = self.missing & bit != 0;
        self.missing &= !bit;
        fresh
    }

    /// Returns whether `number` is older than all that are remembered.
    const fn is_past(self, number: u16) -> bool {
        let behind = self.newest.wrapping_sub(number);
        behind > 32 && behind <= 1 << 15
    }

    /// Returns whether this confirms `number`.
    pub(super) fn confirms(self, number: u16) -> bool {
        match self.newest.wrapping_sub(number) {
            0 => true,
            behind @ 1..=32 => self.missing >> (behind - 1) & 1 == 0,
            _ => false,
        }
    }
}

/// A numbered datagram that is not confirmed.
#[derive(Debug)]
struct Sent {
    number: u16,
    at: Instant,
    /// Its number and time before it was repeated.
    previous: Option<(u16, Instant)>,
    items: Vec<u64>,
    tries: u32,
    due: Instant,
}

/// An item to be offered.
#[derive(Debug, Clone, Copy)]
struct Offer {
    item: u64,
    /// Not before this, so that the body comes first where it can.
    from: Instant,
    due: Instant,
    /// It is offered once more in a lossy network.
    repeat: bool,
}

/// A datagram to be repeated.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) items: Vec<u64>,
    tries: u32,
    previous: Option<(u16, Instant)>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Link<A> {
    pub(super) peer: A,
    pub(super) id: NodeId,
    /// Place in the masks of items, below 16.
    pub(super) slot: u8,
    pub(super) eager: bool,
    /// The neighbour's first number: another one means that the neighbour began the link anew.
    pub(super) theirs: u16,
    pub(super) ours: u16,
    next: u16,
    unconfirmed: VecDeque<Sent>,
    /// The earliest of their times.
    repeat_due: Option<Instant>,
    pub(super) repeats: VecDeque<Repeat>,
    received: Window,
    /// Numbers in a row that were older than it remembers.
    strays: u32,
    confirm_due: Option<Instant>,
    /// Round trip of datagrams that are confirmed after up to `gather`.
    pub(super) trip: RoundTrip,
    /// The shortest measured, which tells near from far: a confirmation that waited for company does not.
    pub(super) shortest: Option<Duration>,
    /// Time at which it began here.
    pub(super) began: Instant,
    /// Time at which `Linked` was sent, until it is confirmed.
    pub(super) accepted: Option<Instant>,
    /// Items, and whether the neighbour asked for them.
    pub(super) bodies: VecDeque<(u64, bool)>,
    pub(super) bodies_due: Option<Instant>,
    pub(super) last_body: Instant,
    offers: Vec<Offer>,
    offers_due: Option<Instant>,
    pub(super) wants: Vec<u64>,
    /// The neighbour is to send bodies from now on, whether or not anything is wanted.
    pub(super) graft: bool,
    pub(super) prune: bool,
    /// Time at which an intent for this link was put into the outbox.
    pub(super) scheduled: Option<Instant>,
    /// Duplicates in a row.
    pub(super) duplicates: u32,
    /// Repetitions in a row without any sign of the neighbour.
    pub(super) silent: u32,
    /// Silent for so long that another link is sought beside it.
    pub(super) doubted: bool,
    /// The neighbour was asked to part.
    pub(super) parting: bool,
    /// It was drawn among all members, whatever its distance.
    pub(super) random: bool,
    /// Silent for too long: to be removed.
    pub(super) ended: bool,
}

impl<A> Link<A> {
    pub(super) fn new(peer: A, id: NodeId, slot: u8, (ours, theirs): (u16, u16), eager: bool) -> Self {
        Self {
            peer,
            id,
            slot,
            eager,
            theirs,
            ours,
            next: ours,
            unconfirmed: VecDeque::new(),
            repeat_due: None,
            repeats: VecDeque::new(),
            received: Window::before(theirs),
            strays: 0,
            confirm_due: None,
            trip: RoundTrip::default(),
            shortest: None,
            began: Instant::ORIGIN,
            accepted: None,
            bodies: VecDeque::new(),
            bodies_due: None,
            last_body: Instant::ORIGIN,
            offers: Vec::new(),
            offers_due: None,
            wants: Vec::new(),
            graft: false,
            prune: false,
            scheduled: None,
            duplicates: 0,
            silent: 0,
            doubted: false,
            parting: false,
            random: false,
            ended: false,
        }
    }

    pub(super) const fn bit(&self) -> u16 {
        1 << self.slot
    }

    /// Takes a measured round trip in.
    pub(super) fn note_trip(&mut self, trip: Duration) {
        self.trip.note(trip);
        self.shortest = Some(self.shortest.map_or(trip, |shortest| shortest.min(trip)));
    }

    /// Takes the round trip of probes of the neighbour in, as long as none was measured over the link itself.
    pub(super) fn learn_trip(&mut self, trip: Duration) {
        if self.trip.timeout().is_none() {
            self.note_trip(trip);
        }
    }

    /// Time after which an unconfirmed datagram is repeated.
    pub(super) fn timeout(&self, times: &Times) -> Duration {
        self.trip.timeout().unwrap_or(times.first_timeout).max(times.unit) + times.gather
    }

    /// Returns the time at which something is to be sent over it.
    pub(super) fn due(&self, times: &Times) -> Option<Instant> {
        // What is scheduled leaves with whatever is due by then, unless the outbox dropped the intent.
        match self.scheduled {
            Some(since) => Some(since + times.lost_intent),
            None => [self.bodies_due, self.offers_due, self.confirm_due, self.repeat_due].into_iter().flatten().min(),
        }
    }

    /// Any datagram from the neighbour over this link.
    pub(super) const fn heard(&mut self) {
        self.silent = 0;
        self.doubted = false;
    }

    // Receiving.

    /// Notes a numbered datagram, which is to be confirmed; returns whether it came for the first time.
    pub(super) fn note_number(&mut self, number: u16, now: Instant, times: &Times) -> bool {
        self.confirm_due.get_or_insert(now + times.gather);
        self.strays = if self.received.is_past(number) { self.strays + 1 } else { 0 };
        if self.strays < STRAYS {
            return self.received.note(number);
        }
        self.received = Window { newest: number, missing: u32::MAX };
        self.strays = 0;
        true
    }

    /// Returns what is to be confirmed, if anything is.
    pub(super) const fn take_confirmation(&mut self) -> Option<Window> {
        match self.confirm_due.take() {
            Some(_) => Some(self.received),
            None => None,
        }
    }

    // Sending.

    pub(super) fn is_full(&self) -> bool {
        self.unconfirmed.len() >= UNCONFIRMED
    }

    #[cfg(test)]
    pub(super) fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Items that were sent and neither confirmed nor given up, with those that wait as bodies.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = u64> {
        let sent = self.unconfirmed.iter().flat_map(|sent| &sent.items);
        let repeats = self.repeats.iter().flat_map(|repeat| &repeat.items);
        sent.chain(repeats).copied().chain(self.bodies.iter().map(|(item, _)| *item))
    }

    /// The number for a datagram that carries these items' bodies.
    pub(super) fn number(&mut self, items: Vec<u64>, now: Instant, times: &Times) -> u16 {
        let number = self.take_number();
        let due = now + self.timeout(times);
        self.unconfirmed.push_back(Sent { number, at: now, previous: None, items, tries: 0, due });
        self.repeat_due = Some(self.repeat_due.map_or(due, |at| at.min(due)));
        number
    }

    /// The number for a datagram that repeats what was not confirmed.
    pub(super) fn number_again(&mut self, repeat: Repeat, now: Instant, times: &Times) -> u16 {
        let number = self.take_number();
        let Repeat { items, tries, previous } = repeat;
        let timeout = self.timeout(times);
        let pause = timeout * (1 << tries.min(10));
        let due = now + pause.min(LONGEST_PAUSE.max(timeout));
        let together = self.unconfirmed.iter().map(|sent| sent.due).filter(|due| *due > now).max();
        let due = together.filter(|_| self.silent >= LATE).unwrap_or(due);
        self.unconfirmed.push_back(Sent { number, at: now, previous, items, tries, due });
        self.repeat_due = Some(self.repeat_due.map_or(due, |at| at.min(due)));
        number
    }

    const fn take_number(&mut self) -> u16 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        number
    }

    /// Takes a confirmation in: the confirmed items, and how many first tries it answers.
    pub(super) fn confirm(&mut self, window: Window, now: Instant) -> (Vec<u64>, u32) {
        let (mut items, mut first_tries, mut trip) = (Vec::new(), 0, None);
        self.unconfirmed.retain_mut(|sent| {
            let previous = sent.previous.filter(|(number, _)| window.confirms(*number));
            let confirmed = if window.confirms(sent.number) { Some((sent.number, sent.at)) } else { previous };
            let Some((number, at)) = confirmed else { return true };
            if number == window.newest {
                trip = Some(now.since(at));
            }
            first_tries += u32::from(sent.tries == 0);
            items.append(&mut sent.items);
            false
        });
        trip.into_iter().for_each(|trip| self.note_trip(trip));
        self.repeats.retain_mut(|repeat| {
            let confirmed = repeat.previous.is_some_and(|(number, _)| window.confirms(number));
            if confirmed {
                items.append(&mut repeat.items);
            }
            !confirmed
        });
        self.repeat_due = self.unconfirmed.iter().map(|sent| sent.due).min();
        (items, first_tries)
    }

    /// Moves what was not confirmed in time to what is to be repeated, without the items that `is_settled`, and gives up
    /// what was repeated [too often](MOST_TRIES). Returns how many first tries had no answer, and whether any was given up.
    pub(super) fn expire(&mut self, now: Instant, is_settled: impl Fn(u64) -> bool) -> (u32, bool) {
        if self.repeat_due.is_none_or(|due| now < due) {
            return (0, false);
        }
        let (mut first_tries, mut exhausted, mut most) = (0, false, 0);
        let (repeats, is_late) = (&mut self.repeats, self.silent >= LATE);
        self.unconfirmed.retain_mut(|sent| {
            if now < sent.due {
                return true;
            }
            first_tries += u32::from(sent.tries == 0);
            let tries = sent.tries + 1;
            most = most.max(tries);
            sent.items.retain(|item| !is_settled(*item));
            let items = core::mem::take(&mut sent.items);
            if tries > MOST_TRIES {
                exhausted = true;
            } else if let Some(other) = repeats.back_mut().filter(|_| is_late)
                && other.items.len() + items.len() <= TOGETHER
            {
                // A confirmation of one of the earlier tries is none of the other's items.
                other.items.extend(items);
                (other.tries, other.previous) = (other.tries.max(tries), None);
            } else {
                repeats.push_back(Repeat { items, tries, previous: Some((sent.number, sent.at)) });
            }
            false
        });
        self.silent = self.silent.saturating_add(u32::from(most > 0));
        self.repeat_due = self.unconfirmed.iter().map(|sent| sent.due).min();
        (first_tries, exhausted)
    }

    /// Asks the neighbour to confirm that it is there, unless something is unconfirmed already.
    pub(super) fn check(&mut self) -> bool {
        let idle = self.unconfirmed.is_empty() && self.repeats.is_empty();
        if idle {
            self.repeats.push_back(Repeat { items: Vec::new(), tries: 0, previous: None });
        }
        idle
    }

    // Offers.

    /// Offers an item between `from` and `due`.
    pub(super) fn offer(&mut self, item: u64, (from, due): (Instant, Instant), repeat: bool) -> bool {
        if self.offers.len() >= WAITING {
            return false;
        }
        self.offers.push(Offer { item, from, due, repeat });
        self.offers_due = Some(self.offers_due.map_or(due, |at| at.min(due)));
        true
    }

    /// Takes up to `most` of the items to be offered now, without those that are `settled`; in noisy times they are offered
    /// once more after `again`.
    pub(super) fn take_offers(
        &mut self,
        now: Instant,
        most: usize,
        again: Option<Duration>,
        settled: impl Fn(u64) -> bool,
    ) -> Vec<u64> {
        if self.offers.is_empty() {
            return Vec::new();
        }
        let mut taken = Vec::new();
        let mut repeated = Vec::new();
        let is_due = self.offers_due.is_some_and(|due| due <= now);
        self.offers.retain(|offer| {
            if settled(offer.item) {
                return false;
            }
            if !is_due || now < offer.from || taken.len() >= most {
                return true;
            }
            taken.push(offer.item);
            if let Some(again) = again.filter(|_| offer.repeat) {
                let at = now + again;
                repeated.push(Offer { item: offer.item, from: at, due: at, repeat: false });
            }
            false
        });
        self.offers.append(&mut repeated);
        self.offers_due = self.offers.iter().map(|offer| offer.due).min();
        taken
    }

    /// Returns whether anything is to be sent now.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        let due = [self.bodies_due, self.offers_due, self.confirm_due].into_iter().flatten().any(|due| due <= now);
        due || self.prune || self.graft || !self.wants.is_empty() || !self.repeats.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;

    proptest! {
        /// Against a set of all numbers: what is confirmed was received, and what is fresh was not.
        #[test]
        fn a_window_confirms_what_was_received_and_nothing_else(first in any::<u16>(), steps in proptest::collection::vec(0_u16..60, 1..200)) {
            let mut window = Window::before(first);
            let mut received = BTreeSet::new();
            let mut newest = -1_i64;
            for step in steps {
                // Up to 40 behind the newest, and up to 19 ahead of it.
                let offset = (newest + i64::from(step) - 40).max(0);
                let number = first.wrapping_add(u16::try_from(offset).unwrap());
                let fresh = window.note(number);
                let remembered = offset >= newest - 32;
                prop_assert_eq!(fresh, remembered && !received.contains(&offset));
                if remembered {
                    received.insert(offset);
                }
                newest = newest.max(offset);
                for behind in 0..=newest.min(32) {
                    let number = first.wrapping_add(u16::try_from(newest - behind).unwrap());
                    prop_assert_eq!(window.confirms(number), received.contains(&(newest - behind)));
                }
                prop_assert!(!window.confirms(window.newest.wrapping_add(1)));
            }
        }
    }

    const NOW: Instant = Instant::from_secs(1_000);
    const MS: Duration = Duration::from_millis(1);

    fn link() -> Link<u32> {
        Link::new(1, NodeId::new(1), 0, (65_535, 7), true)
    }

    #[test]
    fn what_is_not_confirmed_is_repeated_at_doubling_pauses_and_its_first_confirmation_still_counts() {
        let times = Times::new(5 * MS);
        let mut link = link();
        assert_eq!(link.number(std::vec![1, 2], NOW, &times), 65_535);
        let timeout = link.timeout(&times);
        assert_eq!(link.expire(NOW + timeout - MS, |_| false), (0, false));
        assert_eq!(link.expire(NOW + timeout, |item| item == 2), (1, false));
        let repeat = link.repeats.pop_front().unwrap();
        assert_eq!(repeat.items, [1]);
        assert_eq!(link.number_again(repeat, NOW + timeout, &times), 0, "numbers wrap");
        assert_eq!(link.repeat_due, Some(NOW + 3 * timeout));
        // The confirmation of the first try comes late: the round trip was longer than believed.
        let (items, first_tries) = link.confirm(Window { newest: 65_535, missing: 0 }, NOW + 2 * timeout);
        assert_eq!((items, first_tries), (std::vec![1], 0));
        assert_eq!(link.trip.smoothed(), Some(2 * timeout));
        assert!(!link.has_unconfirmed() && link.repeat_due.is_none());
    }

    // Numbers begin anywhere: one of an earlier link can be far ahead, and then none was ever confirmed again.
    #[test]
    fn a_datagram_of_an_earlier_link_does_not_make_all_later_ones_old() {
        let times = Times::new(5 * MS);
        let mut link = link();
        assert!(link.note_number(7, NOW, &times) && link.note_number(20_000, NOW, &times));
        for (number, confirmed) in [(8, false), (9, false), (10, true), (12, true), (11, true)] {
            assert_eq!(link.note_number(number, NOW, &times), confirmed, "{number}");
            assert_eq!(link.take_confirmation().is_some_and(|window| window.confirms(number)), confirmed, "{number}");
        }
        let window = link.received;
        assert!(!window.confirms(9) && !window.confirms(13), "{window:?}");
    }

    #[test]
    fn what_a_silent_neighbour_does_not_confirm_is_repeated_together() {
        let times = Times::new(5 * MS);
        let mut link = link();
        for item in 1..=5 {
            link.number(std::vec![item], NOW + u32::try_from(item).unwrap() * MS, &times);
        }
        let (mut now, mut repeated) = (NOW, Vec::new());
        while now < NOW + Duration::from_secs(5) {
            now = link.repeat_due.unwrap();
            link.expire(now, |_| false);
            while let Some(repeat) = link.repeats.pop_front() {
                repeated.push((now, repeat.items.len()));
                link.number_again(repeat, now, &times);
            }
        }
        assert_eq!(repeated.last().map(|(_, items)| *items), Some(5));
        assert!(repeated.iter().filter(|(at, _)| at.since(NOW) > Duration::from_secs(1)).count() <= 5, "{repeated:?}");
        let latest = link.next.wrapping_sub(1);
        assert_eq!(link.confirm(Window { newest: latest, missing: u32::MAX }, now).0.len(), 5);
    }

    #[test]
    fn a_neighbour_that_never_confirms_is_given_up() {
        let times = Times::new(5 * MS);
        let (mut link, mut now) = (link(), NOW);
        link.number(std::vec![1], now, &times);
        let mut exhausted = false;
        while !exhausted {
            now = link.repeat_due.unwrap();
            exhausted = link.expire(now, |_| false).1;
            if let Some(repeat) = link.repeats.pop_front() {
                link.number_again(repeat, now, &times);
            }
        }
        assert_eq!(link.silent, MOST_TRIES + 1);
        assert!(now.since(NOW) < 15 * LONGEST_PAUSE);
    }

    #[test]
    fn an_offer_waits_for_its_time_and_goes_with_others() {
        let mut link = link();
        assert!(
            link.offer(1, (NOW + 10 * MS, NOW + 12 * MS), false) && link.offer(2, (NOW + 10 * MS, NOW + 30 * MS), true)
        );
        assert!(
            link.offer(3, (NOW + 11 * MS, NOW + 30 * MS), false)
                && link.offer(4, (NOW + 20 * MS, NOW + 25 * MS), false)
        );
        assert_eq!(link.offers_due, Some(NOW + 12 * MS));
        assert!(link.take_offers(NOW + 11 * MS, 99, None, |_| false).is_empty());
        assert_eq!(link.take_offers(NOW + 12 * MS, 99, Some(40 * MS), |item| item == 3), [1, 2]);
        assert_eq!(link.take_offers(NOW + 25 * MS, 99, Some(40 * MS), |_| false), [4]);
        assert_eq!(link.offers_due, Some(NOW + 52 * MS), "once more");
        assert_eq!(link.take_offers(NOW + 52 * MS, 99, Some(40 * MS), |_| false), [2]);
        assert_eq!(link.offers_due, None);
    }
}
