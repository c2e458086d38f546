//! When to leave a difference alone for a while: what was refused stays refused, and comparing is not free.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::time::Instant;

/// Pairs of fingerprints that are remembered.
const PAIRS: usize = 16;
/// Losses make exchanges fruitless as well: the first few repetitions are free.
const FREE: u32 = 3;
/// The longest wait is 64 intervals.
const DOUBLINGS: u32 = 6;
/// Exchanges with a replica that cannot hold what it is sent: one in so many intervals.
const PARTIAL_INTERVALS: u32 = 16;

/// A pair of fingerprints whose exchange ran to its end. One that changes something changes a fingerprint: the same
/// pair seen again, it did not.
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
    /// When an update was refused here for the last time.
    refused: Option<Instant>,
    /// No exchange with, or of, a partial replica before this.
    next_partial: Instant,
}

impl Fruitless {
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, pairs: VecDeque::new(), refused: None, next_partial: Instant::ORIGIN }
    }

    /// An exchange between these fingerprints has run to its end.
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

    /// What comes of the next exchange is open again.
    pub(super) fn forget_pairs(&mut self) {
        self.pairs.clear();
    }

    /// An update was refused here, and will be again: a limit.
    pub(super) const fn note_refused(&mut self, now: Instant) {
        self.refused = Some(now);
    }

    /// Whether updates were refused here lately.
    pub(super) fn is_partial(&self, now: Instant) -> bool {
        self.refused.is_some_and(|at| now.since(at) < self.interval * (2 * PARTIAL_INTERVALS))
    }

    /// Whether an exchange between these may change something; `partial`: whether the peer refused updates lately.
    /// Where others keep writing, fingerprints change all the time and say nothing about that.
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
