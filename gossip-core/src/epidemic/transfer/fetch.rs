//! One value that is being fetched: what has come of it, what is missing, who is asked.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::Wanted;
use crate::address::Address;
use crate::epidemic::anti_entropy::wait;
use crate::time::Instant;
use crate::wire::{FetchRequest, Pull, Span};

/// Chunks that one request is answered with, at most.
pub(super) const WINDOW: u8 = 32;
/// Parts that one request names.
const SPANS: usize = 24;
/// Times that a holder is asked without anything having come.
const TRIES: u32 = 8;
/// Pieces that what is missing may fall into: honest chunks come nearly in order and leave few.
const PIECES: usize = 256;
/// How long another holder is waited for.
const ORPHANED: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Fetch<A> {
    pub(super) wanted: Wanted<A>,
    value: Vec<u8>,
    /// In order, apart from one another.
    missing: VecDeque<Span>,
    /// What was asked for last, and how many chunks that is.
    asked: Vec<Span>,
    window: u8,
    /// When a chunk came, or was asked for, last.
    touched: Instant,
    /// Whether nothing has come since the last request.
    fresh: bool,
    /// Whether the last chunk of a window has come, and nothing is left to ask for but what may have been overtaken.
    straggling: bool,
}

impl<A: Address> Fetch<A> {
    pub(super) fn new(wanted: Wanted<A>, now: Instant) -> Self {
        let size = wanted.descriptor.size;
        Self {
            wanted,
            value: vec![0; size as usize],
            missing: VecDeque::from([Span { from: 0, to: size }]),
            asked: Vec::new(),
            window: 0,
            touched: now,
            fresh: true,
            straggling: false,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.value.len()
    }

    /// Who is asked.
    pub(super) fn holder(&self) -> Option<&A> {
        self.wanted.holders.front().map(|holder| &holder.peer)
    }

    fn tries(&self) -> u32 {
        self.wanted.holders.front().map_or(0, |holder| holder.tries)
    }

    /// Whether there is nobody to ask.
    pub(super) fn is_orphaned(&self) -> bool {
        self.wanted.holders.is_empty()
    }

    pub(super) fn may_ask_again(&self) -> bool {
        self.tries() < TRIES
    }

    /// How many chunks are perhaps on their way: none from one who has not answered twice.
    pub(super) fn in_flight(&self) -> usize {
        if self.is_orphaned() || self.tries() > 2 { 0 } else { self.window.into() }
    }

    /// A holder says so once more: if nobody answers just now it is the one to ask, rather than when all waits are over,
    /// which grow long where much is lost.
    pub(super) fn prefers(&mut self, peer: &A, patience: Duration, now: Instant) -> bool {
        let holders = &mut self.wanted.holders;
        let at = holders.iter().position(|holder| holder.peer == *peer);
        let Some(at) = at.filter(|_| self.fresh && now >= self.touched + patience) else { return false };
        holders.rotate_left(at);
        holders[0].tries = 0;
        true
    }

    /// The next request, and to whom; none if there is nobody. `proof`: what a peer wants to be shown.
    pub(super) fn ask(&mut self, chunk: usize, now: Instant, proof: impl Fn(&A) -> u32) -> Option<(A, Pull<A>)> {
        self.asked.clear();
        self.ask_for(self.missing.clone(), chunk, now, proof)
    }

    /// The next request when a window is over: for what was not asked for just now, since that may only be late. None if
    /// there is nothing else.
    pub(super) fn ask_on(&mut self, chunk: usize, now: Instant, proof: impl Fn(&A) -> u32) -> Option<(A, Pull<A>)> {
        let mut others = self.missing.clone();
        for asked in &self.asked {
            others = others.into_iter().flat_map(|span| without(span, *asked)).collect();
        }
        self.straggling = others.is_empty();
        if self.straggling { None } else { self.ask_for(others, chunk, now, proof) }
    }

    fn ask_for(
        &mut self,
        spans: VecDeque<Span>,
        chunk: usize,
        now: Instant,
        proof: impl Fn(&A) -> u32,
    ) -> Option<(A, Pull<A>)> {
        (self.touched, self.fresh, self.straggling) = (now, true, false);
        let holder = self.wanted.holders.front_mut()?;
        holder.tries += 1;
        self.asked.clear();
        let mut chunks = 0;
        for Span { from, to } in spans.into_iter().take(SPANS) {
            let some = ((to - from) as usize).div_ceil(chunk).min(usize::from(WINDOW) - chunks);
            if some == 0 {
                break;
            }
            chunks += some;
            self.asked.push(Span { from, to: to.min(from + (some * chunk) as u32) });
        }
        self.window = chunks as u8;
        let token = proof(&holder.peer);
        let (item, missing) = (self.wanted.item, self.asked.clone());
        Some((holder.peer.clone(), Pull::Fetch(FetchRequest { item, token, window: self.window, missing })))
    }

    /// When too long nothing has come.
    pub(super) fn due(&self, patience: Duration) -> Instant {
        self.touched
            + if self.is_orphaned() {
                ORPHANED
            } else if self.fresh {
                wait(patience, self.tries())
            } else if self.straggling {
                // Half a round trip.
                patience / 8
            } else {
                // The chunks of a window come one after the other.
                patience / 2
            }
    }

    /// Nothing has come: another holder has its turn, and who has had many is asked no more.
    pub(super) fn note_silence(&mut self, now: Instant) {
        self.touched = now;
        if !self.fresh {
            return;
        }
        if !self.may_ask_again() {
            self.wanted.holders.pop_front();
        } else if !self.wanted.holders.is_empty() {
            self.wanted.holders.rotate_left(1);
        }
    }

    /// The round trip, if what has come just now is the answer to the only request.
    pub(super) fn trip(&self, now: Instant) -> Option<Duration> {
        (self.fresh && self.tries() == 1).then(|| now.since(self.touched))
    }

    /// Takes bytes in: whether they can belong to the value, and the round trip, if they tell it.
    pub(super) fn take(&mut self, offset: u32, bytes: &[u8], now: Instant) -> (bool, Option<Duration>) {
        let Some(end) = u32::try_from(bytes.len()).ok().and_then(|len| offset.checked_add(len)) else {
            return (false, None);
        };
        if end as usize > self.value.len() {
            return (false, None);
        }
        // What was here already is no reason to go on waiting for this holder.
        if !self.missing.iter().any(|span| span.from < end && offset < span.to) {
            return (true, None);
        }
        let trip = self.trip(now);
        (self.touched, self.fresh) = (now, false);
        if let Some(holder) = self.wanted.holders.front_mut() {
            holder.tries = 0;
        }
        let taken = Span { from: offset, to: end };
        let left: VecDeque<Span> = self.missing.iter().flat_map(|span| without(*span, taken)).collect();
        // Otherwise it is as if it had not come: it will be asked for again.
        if left.len() <= PIECES.max(self.missing.len()) {
            self.value[offset as usize..end as usize].copy_from_slice(bytes);
            self.missing = left;
        }
        (true, trip)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// How many bytes are missing.
    #[cfg(test)]
    pub(super) fn missing(&self) -> u32 {
        self.missing.iter().map(|span| span.to - span.from).sum()
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.missing.len()
    }

    pub(super) fn into_parts(self) -> (Wanted<A>, Vec<u8>) {
        (self.wanted, self.value)
    }
}

/// What is left of a span.
fn without(span: Span, taken: Span) -> impl Iterator<Item = Span> {
    let before = Span { from: span.from, to: span.to.min(taken.from) };
    let after = Span { from: span.from.max(taken.to), to: span.to };
    [before, after].into_iter().filter(|span| span.from < span.to)
}
