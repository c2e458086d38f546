//! Catching up: a replica that lacks nearly everything pulls ranges of the hash space, a window of pages at a time.
//!
//! The receiver drives, so that it is not flooded. It asks again for lost pages, and asks another peer for the rest if
//! one falls silent.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

use super::{AntiEntropy, Context, PageOutcome, Progress, descriptor_within};
use crate::absence::{Knowledge, Meeting};
use crate::address::Address;
use crate::epidemic::pull::{Question, RangeSet};
use crate::outbox::TrafficClass;
use crate::replica::{Cut, Range, Replica};
use crate::time::Instant;
use crate::update::Update;
use crate::wire::{Message, Page, Pull, PullRequest, encoded_len};

/// Datagrams that answer one pull, at most.
pub(super) const WINDOW: u8 = 32;
/// Ranges in one pull, at most.
const RANGES: usize = 12;
/// Retries of a pull that no page has answered.
const TRIES: u32 = 8;
/// Pages in a row that may bring nothing new. After that, sketches find the rest at less cost.
const STALE_PAGES: u32 = 64;
/// Pieces into which the missing ranges may fall, at most. Honest pages arrive nearly in order and leave few.
const PIECES: usize = 1_024;
/// Time to wait for another peer.
const ORPHANED: Duration = Duration::from_secs(60);

/// A fetch of ranges from one peer.
#[derive(Debug)]
pub(super) struct CatchUp<A> {
    pub(super) peer: A,
    cut: Cut,
    /// Knowledge that the peer claims, if it gives everything.
    knows: Knowledge,
    missing: RangeSet,
    /// The last pull.
    question: Question,
    /// True if the peer has fallen silent, and another is awaited.
    orphaned: bool,
    stale_pages: u32,
    /// True if any page has brought something new; true if any has brought something that arrives later.
    brought: (bool, bool),
    received: u64,
    expected: u64,
}

impl<A: Address> CatchUp<A> {
    /// Pulls a range in which the peer holds about `expected` items.
    pub(super) fn begin(peer: A, cut: Cut, range: Range, expected: u64, context: &mut Context<'_, A>) -> Self {
        let mut this = Self {
            peer,
            cut,
            knows: Knowledge::Unsaid,
            missing: [range.into()].into_iter().collect(),
            question: Question::repeated(context.now, 0),
            orphaned: false,
            stale_pages: 0,
            brought: (false, false),
            received: 0,
            expected,
        };
        this.ask(context);
        this
    }

    /// Adds another missing range. Returns `false` if it must come from another peer.
    pub(super) fn add(&mut self, peer: &A, range: Range, expected: u64) -> bool {
        let accepted = self.peer == *peer && self.missing.pieces() < PIECES;
        if accepted {
            self.missing.insert(range.into());
            self.expected = self.expected.saturating_add(expected);
        }
        accepted
    }

    /// Takes note of what the peer says of itself, which gives everything.
    pub(super) fn note_source(&mut self, knows: Knowledge) {
        self.knows = knows;
    }

    /// Continues with another peer.
    pub(super) fn resume(&mut self, peer: A, cut: Cut, context: &mut Context<'_, A>) {
        (self.peer, self.cut, self.knows) = (peer, cut, Knowledge::Unsaid);
        (self.orphaned, self.stale_pages) = (false, 0);
        self.question = Question::repeated(context.now, 0);
        self.ask(context);
    }

    fn ask(&mut self, context: &mut Context<'_, A>) {
        self.question.ask_again(context.now);
        let ranges =
            self.missing.iter().take(RANGES).filter_map(|range| Range::new(*range.start(), *range.end())).collect();
        let token = context.trust.shown_to(&self.peer).unwrap_or_default();
        let in_doubt = context.absence.is_in_doubt();
        let pull = Pull::Pages(PullRequest { cut: self.cut, token, window: WINDOW, in_doubt, ranges });
        context.outbox.message(TrafficClass::AntiEntropy, self.peer.clone(), pull);
    }

    /// Returns the time at which the peer has been silent for too long.
    pub(super) fn due(&self, patience: Duration) -> Instant {
        if self.orphaned { self.question.touched() + ORPHANED } else { self.question.due(patience) }
    }

    /// Asks again after too long a silence. Returns `false` to end the fetch.
    pub(super) fn ask_again(&mut self, context: &mut Context<'_, A>) -> bool {
        if self.orphaned {
            return false;
        }
        if self.question.tries() >= 2 {
            context.paths.doubt(context.now, &self.peer);
        }
        if self.question.tries() < TRIES {
            self.ask(context);
        } else {
            self.orphaned = true;
            self.question.touch(context.now);
        }
        true
    }

    /// Returns true if the peer has fallen silent.
    pub(super) const fn is_orphaned(&self) -> bool {
        self.orphaned
    }

    /// Records a page. Returns the round trip if this page shows it.
    pub(super) fn on_page(
        &mut self,
        covered: Range,
        PageOutcome { items, news, later }: PageOutcome,
        last: bool,
        context: &mut Context<'_, A>,
    ) -> Option<Duration> {
        // A page of another range does not extend the wait.
        if !self.missing.meets(&covered.into()) {
            return None;
        }
        let trip = self.question.answered(context.now);
        self.orphaned = false;
        self.stale_pages = if news == 0 { self.stale_pages + 1 } else { 0 };
        self.brought = (self.brought.0 || news > 0, self.brought.1 || later > 0);
        self.received += items as u64;
        // A page that would leave too many pieces will be asked for again.
        self.missing.remove(covered.into(), PIECES);
        // Pages are sent in the order of their hashes: what is missing before the last of them was overtaken by it, and is on its way.
        let overtaken = |range: &RangeInclusive<u64>| *range.end() < covered.first();
        if last && !self.is_done() && !self.missing.iter().all(|range| overtaken(&range)) {
            self.ask(context);
        }
        trip
    }

    /// Returns true if nothing is missing, or if sketches find the rest at less cost.
    pub(super) fn is_done(&self) -> bool {
        self.missing.is_empty() || self.stale_pages > STALE_PAGES
    }

    /// Returns true if nothing new has arrived, but something will.
    pub(super) const fn waits(&self) -> bool {
        matches!(self.brought, (false, true))
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.missing.pieces()
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        (self.received, self.expected.max(self.received))
    }
}

/// The part of anti-entropy that drives the fetch.
impl<A: Address> AntiEntropy<A> {
    /// Fetches a whole range in which the peer holds about `theirs` items.
    pub(super) fn catch_up(&mut self, from: &A, cut: Cut, range: Range, theirs: u64, context: &mut Context<'_, A>) {
        match &mut self.catch_up {
            Some(catch_up) if catch_up.is_orphaned() => catch_up.resume(from.clone(), cut, context),
            Some(catch_up) => {
                // A range that must come from another peer is found missing by the next exchange.
                catch_up.add(from, range, theirs);
            }
            None => {
                self.catch_up = Some(CatchUp::begin(from.clone(), cut, range, theirs, context));
                self.told = 0;
                self.news = self.progress_now(false);
            }
        }
    }

    /// Handles a page whose updates have been merged.
    pub(crate) fn on_page(
        &mut self,
        from: &A,
        range: Range,
        brought: PageOutcome,
        last: bool,
        context: &mut Context<'_, A>,
    ) {
        let Some(catch_up) = self.catch_up.as_mut().filter(|catch_up| catch_up.peer == *from) else { return };
        if let Some(time) = catch_up.on_page(range, brought, last, context) {
            self.patience.note(time);
        }
        if let Some(catch_up) = self.catch_up.as_ref().filter(|catch_up| catch_up.is_done()) {
            let fingerprint = context.replica.summary(catch_up.cut).1;
            self.fruitless_at = (catch_up.brought == (false, false)).then_some(fingerprint);
            if catch_up.missing.is_empty() {
                context.absence.complete(catch_up.knows, Meeting::Plain);
            }
            let waits = self.end_catch_up();
            // What the peer lacks has not been compared yet. But to ask at once would be to ask all the time if
            // everything missing is in flight and the pages brought nothing else.
            if !waits {
                self.begin(from, context);
            }
        } else if let Some(progress) = self.progress_now(false)
            // At most a hundred events per fetch, instead of one per page.
            && progress.received - self.told > progress.expected / 100
        {
            self.told = progress.received;
            self.news = Some(progress);
        }
    }

    /// Ends the fetch. Returns true if it brought only items that arrive later by other means.
    pub(super) fn end_catch_up(&mut self) -> bool {
        self.news = self.progress_now(true);
        self.catch_up.take().is_some_and(|catch_up| catch_up.waits())
    }

    fn progress_now(&self, done: bool) -> Option<Progress> {
        let (received, expected) = self.progress()?;
        Some(Progress { received, expected, done })
    }

    /// Returns the progress of a fetch: items received, items expected.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        self.catch_up.as_ref().map(CatchUp::progress)
    }
}

/// Returns true if fetching a whole range is cheaper than finding the difference. An item that both hold is fetched for
/// nothing, at about a hundred bytes; finding one difference takes about forty.
pub(super) fn is_cheaper_whole(both: u64, difference: u64) -> bool {
    both.saturating_mul(100) < difference.saturating_mul(40)
}

/// Chooses the end of a page between two neighbouring hashes: the value with the shortest encoding, see [`Range`].
fn boundary(last: u64, next: u64) -> u64 {
    let differing = (last ^ next).checked_ilog2().unwrap_or(0);
    // The common prefix, then a zero bit and only ones: not before `last`, since that has a zero in this place as well.
    ((next >> differing) << differing).saturating_sub(1)
}

/// Composes the next page of a pull, in at most `room` bytes, without what is withheld; `narrow`: the room of the empty datagram, if
/// the path is narrow. None if not even one update fits.
pub(crate) fn compose_page<A: Address>(
    replica: &Replica<A>,
    cut: Cut,
    ranges: &mut VecDeque<Range>,
    window: &mut u8,
    (room, narrow): (usize, Option<usize>),
    withheld: impl Fn(&Update<A>) -> bool,
) -> Option<Message<A>> {
    // Tag, range, flag and two counts, at their longest.
    const HEAD: usize = 1 + 20 + 1 + 4;
    let range = ranges.front().copied()?;
    let mut left = room.checked_sub(HEAD)?;
    let (mut updates, mut large) = (Vec::new(), Vec::new());
    let mut covered = range;
    let mut previous = None;
    for (hash, update) in replica.in_range(range, cut).filter(|(_, update)| !withheld(update)) {
        let descriptor = descriptor_within(replica, &update, narrow.map(|room| room.saturating_sub(HEAD)));
        let len = descriptor.as_ref().map_or_else(|| encoded_len(&update), encoded_len);
        if len > left {
            // The range is not exhausted: the rest begins between the last update that fits and this one.
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
    if let Some(rest) = covered.last().checked_add(1).and_then(|first| Range::new(first, range.last())) {
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
