//! Pauses between exchanges that change nothing: a refused update stays refused, and comparing costs bytes.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::time::Instant;

/// Pairs of fingerprints that are remembered.
const PAIRS: usize = 16;
/// Repetitions without a pause, since losses make exchanges fruitless as well.
const FREE: u32 = 3;
/// Doublings of the pause: the longest is 64 intervals.
const DOUBLINGS: u32 = 6;
/// Intervals between exchanges with a replica that cannot hold what it is sent.
const PARTIAL_INTERVALS: u32 = 16;

/// A pair of fingerprints whose exchange ran to its end. An exchange that changes something changes a fingerprint, so
/// the same pair seen again shows that it changed nothing.
#[derive(Debug)]
struct Pair {
    between: (u64, u64),
    times: u32,
    until: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Fruitless {
    interval: Duration,
    pairs: VecDeque<Pair>,
    /// Time of the last refusal of an update here.
    refused: Option<Instant>,
    /// No exchange with, or by, a partial replica before this time.
    next_partial: Instant,
}

impl Fruitless {
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, pairs: VecDeque::new(), refused: None, next_partial: Instant::ORIGIN }
    }

    /// Records that an exchange between these fingerprints ran to its end.
    pub(super) fn note_completed(&mut self, between: (u64, u64), now: Instant) {
        let times = match self.pairs.iter().position(|pair| pair.between == between) {
            Some(at) => self.pairs.remove(at).map_or(0, |pair| pair.times) + 1,
            None => 0,
        };
        let wait = if times < FREE { Duration::ZERO } else { self.interval * (1 << (times - FREE).min(DOUBLINGS)) };
        if self.pairs.len() == PAIRS {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair { between, times, until: now + wait });
    }

    /// Forgets all pairs, since the next exchange may change something.
    pub(super) fn forget_pairs(&mut self) {
        self.pairs.clear();
    }

    /// Records that an update was refused here because of a bound, and will be refused again.
    pub(super) const fn note_refused(&mut self, now: Instant) {
        self.refused = Some(now);
    }

    /// Forgets that updates were refused here: there is room for them.
    pub(super) const fn forget_refusals(&mut self) {
        (self.refused, self.next_partial) = (None, Instant::ORIGIN);
    }

    /// Returns true if updates were refused here lately.
    pub(super) fn is_partial(&self, now: Instant) -> bool {
        self.refused.is_some_and(|at| now.since(at) < self.interval * (2 * PARTIAL_INTERVALS))
    }

    /// Returns true if an exchange between these fingerprints may change something. `partial`: the peer refused updates
    /// lately. Fingerprints are no evidence then: they change all the time where others keep writing.
    pub(super) fn admits(&mut self, between: (u64, u64), partial: bool, now: Instant) -> bool {
        if self.pairs.iter().any(|pair| pair.between == between && now < pair.until) {
            return false;
        }
        if partial || self.is_partial(now) {
            if now < self.next_partial {
                return false;
            }
            self.next_partial = now + self.interval * PARTIAL_INTERVALS;
        }
        true
    }
}
