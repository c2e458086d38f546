//! Catching up: a replica that lacks nearly everything pulls ranges of the hash space, a window of pages at a time.
//!
//! The receiver drives, so nobody is flooded: it asks again for what did not arrive.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::Context;
use crate::address::Address;
use crate::outbox::Kind;
use crate::replica::{Range, Replica};
use crate::time::Instant;
use crate::wire::{Message, encoded_len};

/// Datagrams that one pull is answered with, at most.
pub(super) const WINDOW: u8 = 32;
/// Ranges that one pull names.
const RANGES: usize = 8;
/// Times that a pull is repeated without any page having come.
const TRIES: u32 = 8;
/// Pieces that what is missing may fall into: honest pages come nearly in order and leave few.
const PIECES: usize = 1_024;

/// What is being fetched from whom.
#[derive(Debug)]
pub(super) struct CatchUp<A> {
    pub(super) peer: A,
    /// When the last pull was sent, or answered.
    pub(super) asked: Instant,
    cut: u32,
    token: u32,
    missing: VecDeque<Range>,
    tries: u32,
    fresh: bool,
    received: u64,
    expected: u64,
}

impl<A: Address> CatchUp<A> {
    pub(super) fn begin(
        peer: A,
        cut: u32,
        token: u32,
        expected: u64,
        range: Range,
        context: &mut Context<'_, A>,
    ) -> Self {
        let missing = VecDeque::from([range]);
        let mut this =
            Self { peer, asked: context.now, cut, token, missing, tries: 0, fresh: true, received: 0, expected };
        this.ask(context);
        this
    }

    /// Another range that is missing, if it is to be had from the same peer.
    pub(super) fn add(&mut self, peer: &A, range: Range) {
        if self.peer == *peer {
            self.missing.push_back(range);
        }
    }

    fn ask(&mut self, context: &mut Context<'_, A>) {
        self.asked = context.now;
        self.fresh = true;
        let ranges: Vec<Range> = self.missing.iter().copied().take(RANGES).collect();
        let pull = Message::Pull { cut: self.cut, token: self.token, window: WINDOW, ranges };
        context.outbox.message(Kind::AntiEntropy, self.peer.clone(), pull);
    }

    /// Nothing came for too long; `false` to give up on this peer.
    pub(super) fn ask_again(&mut self, context: &mut Context<'_, A>) -> bool {
        self.tries += 1;
        if self.tries < TRIES {
            self.ask(context);
        }
        self.tries < TRIES
    }

    /// Takes note of a page; the round trip, if this page tells it.
    pub(super) fn on_page(
        &mut self,
        covered: Range,
        items: usize,
        last: bool,
        context: &mut Context<'_, A>,
    ) -> Option<Duration> {
        // A page of something else is no reason to go on waiting.
        if !self.missing.iter().any(|range| range.first() <= covered.last() && covered.first() <= range.last()) {
            return None;
        }
        let trip = (self.fresh && self.tries == 0).then(|| context.now.since(self.asked));
        self.fresh = false;
        self.tries = 0;
        self.asked = context.now;
        self.received += items as u64;
        let parts: VecDeque<Range> = self.missing.iter().flat_map(|range| without(*range, covered)).collect();
        // Otherwise it is as if the page had not come: it will be asked for again.
        if parts.len() <= PIECES.max(self.missing.len()) {
            self.missing = parts;
        }
        if last && !self.missing.is_empty() {
            self.ask(context);
        }
        trip
    }

    pub(super) fn is_done(&self) -> bool {
        self.missing.is_empty()
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.missing.len()
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        (self.received, self.expected.max(self.received))
    }
}

/// What is left of a range.
fn without(range: Range, covered: Range) -> impl Iterator<Item = Range> {
    let before = covered.first().checked_sub(1).and_then(|last| Range::new(range.first(), last.min(range.last())));
    let after = covered.last().checked_add(1).and_then(|first| Range::new(first.max(range.first()), range.last()));
    before.into_iter().chain(after)
}

/// The next page of a pull, of at most `room` bytes; none if not even one update fits.
pub(crate) fn compose_page<A: Address>(
    replica: &Replica<A>,
    cut: Instant,
    ranges: &mut VecDeque<Range>,
    window: &mut u8,
    room: usize,
) -> Option<Message<A>> {
    // Tag, range, flag and count, at their longest.
    const HEAD: usize = 1 + 20 + 1 + 2;
    let range = ranges.front().copied()?;
    let mut left = room.checked_sub(HEAD)?;
    let mut updates = Vec::new();
    let mut covered = range;
    for (hash, update) in replica.in_range(range, cut) {
        let len = encoded_len(update);
        if len > left {
            if updates.is_empty() {
                return None;
            }
            // The range is not exhausted: its rest begins with this one. It cannot be the range's first.
            covered = Range::new(range.first(), hash - 1)?;
            break;
        }
        left -= len;
        updates.push(update.clone());
    }
    ranges.pop_front();
    if let Some(rest) = without(range, covered).last() {
        ranges.push_front(rest);
    }
    *window = window.saturating_sub(1);
    Some(Message::Page { range: covered, last: *window == 0 || ranges.is_empty(), updates })
}
