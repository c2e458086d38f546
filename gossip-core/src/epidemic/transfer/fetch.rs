//! One value that is being fetched: bytes received, bytes missing, holders.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::Wanted;
use crate::address::Address;
use crate::epidemic::pull::{Question, RangeSet};
use crate::time::Instant;
use crate::wire::{FetchRequest, Pull, Span};

/// Chunks that answer one request, at most.
pub(super) const WINDOW: u8 = 32;
/// Parts named in one request, at most.
const SPANS: usize = 24;
/// Requests to a holder without any answer.
const TRIES: u32 = 8;
/// Pieces into which the missing bytes may fall, at most. Honest chunks arrive nearly in order and leave few.
const PIECES: usize = 256;
/// Time to wait for another holder.
const ORPHANED: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Fetch<A> {
    pub(super) wanted: Wanted<A>,
    value: Vec<u8>,
    missing: RangeSet,
    /// Parts of the last request, and the number of chunks in them.
    asked: Vec<Span>,
    window: u8,
    /// The last request; its tries are those of the holder that is asked.
    question: Question,
    /// True if the last chunk of a window has arrived, and only chunks that may have been overtaken are missing.
    straggling: bool,
}

impl<A: Address> Fetch<A> {
    pub(super) fn new(wanted: Wanted<A>, now: Instant) -> Self {
        let size = wanted.descriptor.size;
        Self {
            wanted,
            value: vec![0; size as usize],
            missing: size.checked_sub(1).map(|last| 0..=u64::from(last)).into_iter().collect(),
            asked: Vec::new(),
            window: 0,
            question: Question::repeated(now, 0),
            straggling: false,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.value.len()
    }

    /// Returns the holder that is asked.
    pub(super) fn holder(&self) -> Option<&A> {
        self.wanted.holders.front().map(|holder| &holder.peer)
    }

    fn tries(&self) -> u32 {
        self.wanted.holders.front().map_or(0, |holder| holder.tries)
    }

    /// Returns true if there is no holder to ask.
    pub(super) fn is_orphaned(&self) -> bool {
        self.wanted.holders.is_empty()
    }

    /// Returns true if nothing has arrived since the last request.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.question.is_open()
    }

    /// Returns the holder that is asked if it has not answered twice, or it has not and others neither: perhaps what is long does not
    /// arrive from there.
    pub(super) fn silent_holder(&self) -> Option<&A> {
        let holders = &self.wanted.holders;
        let in_all: u32 = holders.iter().map(|holder| holder.silences).sum();
        let silent = holders.front().filter(|holder| self.question.is_open() && (holder.silences >= 2 || in_all > 2));
        silent.map(|holder| &holder.peer)
    }

    pub(super) fn may_ask_again(&self) -> bool {
        self.tries() < TRIES
    }

    /// Returns the number of chunks that may be in flight: none from a holder that has not answered twice.
    pub(super) fn in_flight(&self) -> usize {
        if self.is_orphaned() || self.tries() > 2 { 0 } else { self.window.into() }
    }

    /// Prefers a holder that announces the value again while no other answers. Otherwise it would be asked only after
    /// all waits, which grow long under heavy loss.
    pub(super) fn prefers(&mut self, peer: &A, patience: Duration, now: Instant) -> bool {
        let holders = &mut self.wanted.holders;
        let at = holders.iter().position(|holder| holder.peer == *peer);
        let Some(at) = at.filter(|_| self.question.is_open() && now >= self.question.touched() + patience) else {
            return false;
        };
        holders.rotate_left(at);
        holders[0].tries = 0;
        true
    }

    /// Returns the next request and its receiver; none if there is no holder. `shown`: token that a peer wants to see.
    pub(super) fn ask(
        &mut self,
        chunk: usize,
        now: Instant,
        shown: impl Fn(&A) -> Option<u32>,
    ) -> Option<(A, Pull<A>)> {
        self.asked.clear();
        self.ask_for(&self.missing.clone(), chunk, now, shown)
    }

    /// Returns the next request after a window, for parts that were not in the last request, since those may only be
    /// late. None if there are no others.
    pub(super) fn ask_on(
        &mut self,
        chunk: usize,
        now: Instant,
        shown: impl Fn(&A) -> Option<u32>,
    ) -> Option<(A, Pull<A>)> {
        let mut others = self.missing.clone();
        for Span { from, to } in &self.asked {
            others.remove(u64::from(*from)..=u64::from(*to) - 1, usize::MAX);
        }
        self.straggling = others.is_empty();
        if self.straggling { None } else { self.ask_for(&others, chunk, now, shown) }
    }

    fn ask_for(
        &mut self,
        missing: &RangeSet,
        chunk: usize,
        now: Instant,
        shown: impl Fn(&A) -> Option<u32>,
    ) -> Option<(A, Pull<A>)> {
        self.straggling = false;
        let Some(holder) = self.wanted.holders.front_mut() else {
            self.question = Question::repeated(now, 0);
            return None;
        };
        (holder.tries, holder.silences) = (holder.tries + 1, holder.silences + 1);
        self.question = Question::repeated(now, holder.tries);
        self.asked.clear();
        let mut chunks = 0;
        for range in missing.iter().take(SPANS) {
            // Offsets of a value have 32 bits.
            let (from, to) = (*range.start() as u32, *range.end() as u32 + 1);
            let some = ((to - from) as usize).div_ceil(chunk).min(usize::from(WINDOW) - chunks);
            if some == 0 {
                break;
            }
            chunks += some;
            self.asked.push(Span { from, to: to.min(from + (some * chunk) as u32) });
        }
        self.window = chunks as u8;
        // If it is another one, the holder says so.
        let token = shown(&holder.peer).unwrap_or_default();
        let (item, missing) = (self.wanted.item, self.asked.clone());
        Some((holder.peer.clone(), Pull::Fetch(FetchRequest { item, token, window: self.window, missing })))
    }

    /// Returns the time at which the holder has been silent for too long.
    pub(super) fn due(&self, patience: Duration) -> Instant {
        if self.is_orphaned() {
            self.question.touched() + ORPHANED
        } else if self.straggling {
            // Half a round trip.
            self.question.touched() + patience / 8
        } else {
            self.question.due(patience)
        }
    }

    /// Records a silence: the next holder is asked, and a holder with many silences is not asked any more.
    pub(super) fn note_silence(&mut self, now: Instant) {
        self.question.touch(now);
        if !self.question.is_open() {
            return;
        }
        if !self.may_ask_again() {
            self.wanted.holders.pop_front();
        } else if !self.wanted.holders.is_empty() {
            self.wanted.holders.rotate_left(1);
        }
    }

    /// Returns the round trip if the bytes just received answer the only request.
    pub(super) fn trip(&self, now: Instant) -> Option<Duration> {
        self.question.trip(now)
    }

    /// Takes bytes in. Returns true if they can belong to the value, and the round trip if they show it.
    pub(super) fn take(&mut self, offset: u32, bytes: &[u8], now: Instant) -> (bool, Option<Duration>) {
        let Some(end) = u32::try_from(bytes.len()).ok().and_then(|len| offset.checked_add(len)) else {
            return (false, None);
        };
        if end as usize > self.value.len() {
            return (false, None);
        }
        // Bytes received before do not extend the wait for this holder.
        let taken = u64::from(offset)..=u64::from(end).saturating_sub(1);
        if bytes.is_empty() || !self.missing.meets(&taken) {
            return (true, None);
        }
        let trip = self.question.answered(now);
        if let Some(holder) = self.wanted.holders.front_mut() {
            (holder.tries, holder.silences) = (0, 0);
        }
        // A chunk that would leave too many pieces will be asked for again.
        if self.missing.remove(taken, PIECES) {
            self.value[offset as usize..end as usize].copy_from_slice(bytes);
        }
        (true, trip)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// Returns the number of missing bytes.
    #[cfg(test)]
    pub(super) fn missing(&self) -> u32 {
        self.missing.iter().map(|range| (range.end() - range.start() + 1) as u32).sum()
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.missing.pieces()
    }

    pub(super) fn into_parts(self) -> (Wanted<A>, Vec<u8>) {
        (self.wanted, self.value)
    }
}
