//! Catching up: a replica that lacks nearly everything pulls ranges of the hash space, a window of pages at a time.
//!
//! The receiver drives, so nobody is flooded: it asks again for what did not arrive, and, when a peer falls silent,
//! asks another one for the rest.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::exchange::wait;
use super::{AntiEntropy, Brought, Context, Progress, instant};
use crate::address::Address;
use crate::outbox::TrafficClass;
use crate::replica::{Range, Replica};
use crate::time::Instant;
use crate::wire::{Message, Page, Pull, PullRequest, encoded_len};

/// Datagrams that one pull is answered with, at most.
pub(super) const WINDOW: u8 = 32;
/// Ranges that one pull names.
const RANGES: usize = 12;
/// Times that a pull is repeated without any page having come.
const TRIES: u32 = 8;
/// Pages in a row that may bring nothing new: then sketches find the rest at less cost.
const STALE_PAGES: u32 = 64;
/// Pieces that what is missing may fall into: honest pages come nearly in order and leave few.
const PIECES: usize = 1_024;
/// How long another peer is waited for.
const ORPHANED: Duration = Duration::from_secs(60);

/// What is being fetched from whom.
#[derive(Debug)]
pub(super) struct CatchUp<A> {
    pub(super) peer: A,
    cut: u32,
    token: u32,
    missing: VecDeque<Range>,
    /// When the last pull was sent, or answered.
    asked: Instant,
    /// Pulls since the last page.
    tries: u32,
    /// Whether no page has come since the last pull.
    fresh: bool,
    /// Whether the peer has fallen silent, and another one is waited for.
    orphaned: bool,
    stale_pages: u32,
    /// Whether any page has brought anything new, and anything that comes later.
    brought: (bool, bool),
    received: u64,
    expected: u64,
}

impl<A: Address> CatchUp<A> {
    /// Pulls a range, in which the peer holds about `expected` items.
    pub(super) fn begin(
        peer: A,
        (cut, token): (u32, u32),
        range: Range,
        expected: u64,
        context: &mut Context<'_, A>,
    ) -> Self {
        let mut this = Self {
            peer,
            cut,
            token,
            missing: VecDeque::from([range]),
            asked: context.now,
            tries: 0,
            fresh: true,
            orphaned: false,
            stale_pages: 0,
            brought: (false, false),
            received: 0,
            expected,
        };
        this.ask(context);
        this
    }

    /// Another range that is missing; `false` if it is not to be had from the same peer.
    pub(super) fn add(&mut self, peer: &A, range: Range, expected: u64) -> bool {
        let accepted = self.peer == *peer && self.missing.len() < PIECES;
        if accepted {
            self.missing.push_back(range);
            self.expected = self.expected.saturating_add(expected);
        }
        accepted
    }

    /// Goes on with another peer.
    pub(super) fn resume(&mut self, peer: A, (cut, token): (u32, u32), context: &mut Context<'_, A>) {
        (self.peer, self.cut, self.token) = (peer, cut, token);
        (self.orphaned, self.tries, self.stale_pages) = (false, 0, 0);
        self.ask(context);
    }

    fn ask(&mut self, context: &mut Context<'_, A>) {
        self.asked = context.now;
        self.tries += 1;
        self.fresh = true;
        let ranges: Vec<Range> = self.missing.iter().copied().take(RANGES).collect();
        let pull = Pull::Pages(PullRequest { cut: self.cut, token: self.token, window: WINDOW, ranges });
        context.outbox.message(TrafficClass::AntiEntropy, self.peer.clone(), pull);
    }

    /// When too long nothing has come.
    pub(super) fn due(&self, patience: Duration) -> Instant {
        self.asked
            + if self.orphaned {
                ORPHANED
            } else if self.fresh {
                wait(patience, self.tries)
            } else {
                // The pages of a window come one after the other.
                patience / 2
            }
    }

    /// Nothing came for too long; `false` to end it.
    pub(super) fn ask_again(&mut self, context: &mut Context<'_, A>) -> bool {
        if self.orphaned {
            return false;
        }
        if self.tries < TRIES {
            self.ask(context);
        } else {
            self.orphaned = true;
            self.asked = context.now;
        }
        true
    }

    /// Whether the peer has fallen silent.
    pub(super) const fn is_orphaned(&self) -> bool {
        self.orphaned
    }

    /// Takes note of a page; the round trip, if this page tells it.
    pub(super) fn on_page(
        &mut self,
        covered: Range,
        Brought { items, news, later }: Brought,
        last: bool,
        context: &mut Context<'_, A>,
    ) -> Option<Duration> {
        // A page of something else is no reason to go on waiting.
        if !self.missing.iter().any(|range| range.first() <= covered.last() && covered.first() <= range.last()) {
            return None;
        }
        let trip = (self.fresh && self.tries == 1).then(|| context.now.since(self.asked));
        (self.fresh, self.tries, self.orphaned) = (false, 0, false);
        self.asked = context.now;
        self.stale_pages = if news == 0 { self.stale_pages + 1 } else { 0 };
        self.brought = (self.brought.0 || news > 0, self.brought.1 || later > 0);
        self.received += items as u64;
        let parts: VecDeque<Range> = self.missing.iter().flat_map(|range| without(*range, covered)).collect();
        // Otherwise it is as if the page had not come: it will be asked for again.
        if parts.len() <= PIECES.max(self.missing.len()) {
            self.missing = parts;
        }
        if last && !self.is_done() {
            self.ask(context);
        }
        trip
    }

    /// Whether nothing is missing, or what is missing is better found out by sketches.
    pub(super) fn is_done(&self) -> bool {
        self.missing.is_empty() || self.stale_pages > STALE_PAGES
    }

    /// Whether nothing new has come, but something will.
    pub(super) const fn waits(&self) -> bool {
        matches!(self.brought, (false, true))
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.missing.len()
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        (self.received, self.expected.max(self.received))
    }
}

/// Catching up, as anti-entropy drives it.
impl<A: Address> AntiEntropy<A> {
    /// Fetches a range whole, where the peer holds so many items.
    pub(super) fn catch_up(
        &mut self,
        from: &A,
        proof: (u32, u32),
        range: Range,
        theirs: u64,
        context: &mut Context<'_, A>,
    ) {
        match &mut self.catch_up {
            Some(catch_up) if catch_up.is_orphaned() => catch_up.resume(from.clone(), proof, context),
            Some(catch_up) => {
                // What is not to be had from the same peer is found missing by the next exchange.
                catch_up.add(from, range, theirs);
            }
            None => {
                self.catch_up = Some(CatchUp::begin(from.clone(), proof, range, theirs, context));
                self.told = 0;
                self.news = self.progress_now(false);
            }
        }
    }

    /// A page has come, and its updates were taken in.
    pub(crate) fn on_page(
        &mut self,
        from: &A,
        range: Range,
        brought: Brought,
        last: bool,
        context: &mut Context<'_, A>,
    ) {
        let Some(catch_up) = self.catch_up.as_mut().filter(|catch_up| catch_up.peer == *from) else { return };
        if let Some(time) = catch_up.on_page(range, brought, last, context) {
            self.answered_after(time);
        }
        if let Some(catch_up) = self.catch_up.as_ref().filter(|catch_up| catch_up.is_done()) {
            let print = context.replica.summary(instant(catch_up.cut)).1;
            self.in_vain = (catch_up.brought == (false, false)).then_some(print);
            let waits = self.end_catch_up();
            // What the peer lacks has not been looked at yet. But while what is missing is on its way, and nothing else
            // was, to ask at once would be to ask all the time.
            if !waits {
                self.begin(from, context);
            }
        } else if let Some(progress) = self.progress_now(false)
            // A hundred events of a long way, not one for each page.
            && progress.received - self.told > progress.expected / 100
        {
            self.told = progress.received;
            self.news = Some(progress);
        }
    }

    /// Whether it has brought nothing but what comes later.
    pub(super) fn end_catch_up(&mut self) -> bool {
        self.news = self.progress_now(true);
        self.catch_up.take().is_some_and(|catch_up| catch_up.waits())
    }

    fn progress_now(&self, done: bool) -> Option<Progress> {
        let (received, expected) = self.progress()?;
        Some(Progress { received, expected, done })
    }

    /// Whether pages are being pulled, and how far that has come: items received, items expected.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        self.catch_up.as_ref().map(CatchUp::progress)
    }
}

/// Whether to fetch a range whole is cheaper than to find out what is missing: an item that both hold is fetched in
/// vain, at some hundred bytes, a difference takes some forty to find out.
pub(super) fn is_cheaper_whole(both: u64, difference: u64) -> bool {
    both.saturating_mul(100) < difference.saturating_mul(40)
}

/// What is left of a range.
fn without(range: Range, covered: Range) -> impl Iterator<Item = Range> {
    let before = covered.first().checked_sub(1).and_then(|last| Range::new(range.first(), last.min(range.last())));
    let after = covered.last().checked_add(1).and_then(|first| Range::new(first.max(range.first()), range.last()));
    before.into_iter().chain(after)
}

/// Where to end a page between two neighbouring hashes: at what takes the fewest bytes, see [`Range`].
fn boundary(last: u64, next: u64) -> u64 {
    let differing = (last ^ next).checked_ilog2().unwrap_or(0);
    // What both begin with, and then no bit and all bits: not before `last`, for that has no bit there either.
    ((next >> differing) << differing).saturating_sub(1)
}

/// The next page of a pull, of at most `room` bytes; none if not even one update fits.
pub(crate) fn compose_page<A: Address>(
    replica: &Replica<A>,
    cut: Instant,
    ranges: &mut VecDeque<Range>,
    window: &mut u8,
    room: usize,
) -> Option<Message<A>> {
    // Tag, range, flag and two counts, at their longest.
    const HEAD: usize = 1 + 20 + 1 + 4;
    let range = ranges.front().copied()?;
    let mut left = room.checked_sub(HEAD)?;
    let (mut updates, mut large) = (Vec::new(), Vec::new());
    let mut covered = range;
    let mut previous = None;
    for (hash, update) in replica.in_range(range, cut) {
        let descriptor = replica.descriptor(&update);
        let len = descriptor.as_ref().map_or_else(|| encoded_len(&update), encoded_len);
        if len > left {
            // The range is not exhausted: its rest begins between the last that fits and this one.
            covered = Range::new(range.first(), boundary(previous?, hash))?;
            break;
        }
        left -= len;
        previous = Some(hash);
        match descriptor {
            Some(descriptor) => large.push(descriptor),
            None => updates.push(update),
        }
    }
    ranges.pop_front();
    if let Some(rest) = without(range, covered).last() {
        ranges.push_front(rest);
    }
    *window = window.saturating_sub(1);
    Some(Message::Pull(Pull::Page(Page { range: covered, last: *window == 0 || ranges.is_empty(), updates, large })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_between_its_neighbours_and_short() {
        let mut hash = 1_u64;
        for _ in 0..1_000 {
            let next = hash.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(99);
            let (low, high) = (hash.min(next), hash.max(next));
            let end = boundary(low, high);
            assert!(low <= end && end < high, "{low} {end} {high}");
            hash = next;
        }
        assert_eq!(boundary(4, 5), 4);
        assert_eq!(boundary(0, u64::MAX), u64::MAX / 2);
        let (low, high) = (0x1234_5678_9abc_def0, 0x1234_9678_9abc_def0);
        let range = Range::new(0x1230_0000_0000_0000, boundary(low, high)).unwrap();
        assert!(encoded_len(&range) <= 6, "{}", encoded_len(&range));
    }
}
