//! One exchange, as its initiator sees it: which ranges were sketched, and which are still to be.
//!
//! A difference too large for one sketch is cut, range by range, from what is left of the hash space. How wide a range
//! may be follows from what those before it turned out to hold, so that the first estimate, which is rough, matters
//! only for the first few.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::replica::{CELLS, Range};
use crate::sketch::Cell;
use crate::time::Instant;

/// Sketches that may wait for an answer: one at first, for what is answered makes the next ones fit, two more
/// with every answer, and never more than that.
const FIRST_WINDOW: usize = 1;
const WINDOW: usize = 16;
/// Times that a sketch is sent before its range is given up, until the next exchange.
const TRIES: u32 = 6;
/// The longest wait for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What the first estimate is worth, in differences seen: its deviation is that of so many.
const SURENESS: u64 = 11;
/// Ranges that may wait to be sketched: what is divided a second time.
const QUEUE: usize = 1_024;
/// Sketches that an exchange may consist of, whatever is answered.
const SKETCHES: u64 = 16_384;
/// What a sketch has in any case, and for twenty differences more: decodes a number that is Poisson distributed about
/// the expected one, nineteen times out of twenty.
const CELLS_AT_LEAST: u64 = 12;
const CELLS_PER_20: u64 = 35;
/// Where the difference is estimated to be at most the first, so many are expected: of few the estimate says little. Nine
/// differences have 27 cells, which decode ten in 97 of 100 cases; more would cost more than what they save.
const TINY: (u64, u64) = (1, 5);
const SMALL: (u64, u64) = (16, 9);
/// The estimate where there is none.
pub(super) const UNKNOWN: u64 = SMALL.1;

/// How many cells it takes to decode about so many differences.
pub(super) fn cells_for(expected: u64, most: usize) -> usize {
    let cells = CELLS_AT_LEAST.saturating_add(expected.saturating_mul(CELLS_PER_20) / 20);
    usize::try_from(cells).map_or(most, |cells| cells.min(most))
}

/// How many differences a sketch of so many cells is expected to decode.
fn differences_in(cells: usize) -> u64 {
    ((cells as u64).saturating_sub(CELLS_AT_LEAST) * 20 / CELLS_PER_20).max(1)
}

/// A range and how many differences it probably has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) range: Range,
    pub(super) expected: u64,
    /// What the estimate of the whole said; 0 if this was estimated for itself.
    share: u64,
}

#[derive(Debug)]
struct Waiting {
    part: Part,
    first_sent: Instant,
    sent: Instant,
    tries: u32,
}

/// What came of looking for sketches to be sent again.
pub(super) enum Retry {
    /// These.
    Again(Vec<Part>),
    /// The peer is silent.
    Gone,
}

/// An exchange begun here that found a difference.
#[derive(Debug)]
pub(super) struct Exchange<A> {
    pub(super) peer: A,
    pub(super) cut: u32,
    /// What shows the peer that this address receives.
    pub(super) token: u32,
    /// Both fingerprints at its beginning.
    pub(super) between: (u64, u64),
    /// As many cells as a datagram holds.
    most_cells: usize,
    /// What is still to be cut into ranges; expects what the first estimate said.
    rest: Option<Part>,
    /// What was cut already.
    queue: VecDeque<Part>,
    waiting: Vec<Waiting>,
    window: usize,
    /// Of the ranges answered: what the first estimate said, and what they had.
    predicted: u64,
    found: u64,
    /// When the last answer came.
    answered: Instant,
    sketches_left: u64,
    /// Whether every range so far was answered.
    complete: bool,
}

impl<A> Exchange<A> {
    /// `estimate`: of the size of the difference.
    pub(super) fn new(
        peer: A,
        cut: u32,
        token: u32,
        between: (u64, u64),
        most_cells: usize,
        estimate: u64,
        now: Instant,
    ) -> Self {
        let expected = [TINY, SMALL].into_iter().find_map(|(most, expected)| (estimate <= most).then_some(expected));
        // Too much for one sketch, or not: an estimate that is too low by a quarter shall not cost a sketch.
        let expected = expected.unwrap_or(estimate.saturating_add(estimate / 4));
        let all = Part { range: Range::ALL, expected, share: 0 };
        let at_once = expected <= differences_in(most_cells);
        Self {
            peer,
            cut,
            token,
            between,
            most_cells,
            rest: (!at_once).then_some(Part { expected: estimate, ..all }),
            queue: at_once.then_some(all).into_iter().collect(),
            waiting: Vec::new(),
            window: FIRST_WINDOW,
            predicted: 0,
            found: 0,
            answered: now,
            sketches_left: SKETCHES,
            complete: true,
        }
    }

    /// What to sketch next, if the window of unanswered sketches has room and anything is left.
    pub(super) fn next(&mut self, now: Instant) -> Option<Part> {
        if self.waiting.len() >= self.window {
            return None;
        }
        let part = self.queue.pop_front().or_else(|| self.cut_off())?;
        if self.sketches_left == 0 {
            (self.queue, self.rest, self.complete) = (VecDeque::new(), None, false);
            return None;
        }
        self.sketches_left -= 1;
        self.waiting.push(Waiting { part, first_sent: now, sent: now, tries: 1 });
        Some(part)
    }

    /// Cuts a range off what is left, as wide as a sketch can decode.
    fn cut_off(&mut self) -> Option<Part> {
        let rest = self.rest.take()?;
        let corrected =
            u128::from(rest.expected) * u128::from(SURENESS + self.found) / u128::from(SURENESS + self.predicted);
        // Too narrow a range costs little, too wide a one is sketched in vain: the less is certain, the narrower.
        let corrected = corrected + corrected / u128::from(5 + self.predicted / 8);
        let parts = corrected.div_ceil(u128::from(differences_in(self.most_cells))).max(1);
        let parts = u64::try_from(parts).unwrap_or(u64::MAX);
        let range = rest.range.split(parts).next()?;
        let share = (rest.expected / parts).max(1);
        self.rest = Range::new(range.last().wrapping_add(1), rest.range.last())
            .filter(|_| range.last() < rest.range.last())
            .map(|range| Part { range, expected: rest.expected.saturating_sub(share), share: 0 });
        let expected = u64::try_from(corrected).unwrap_or(u64::MAX) / parts;
        Some(Part { range, expected, share })
    }

    /// Whether nothing is left, and nothing waits.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.queue.is_empty() && self.rest.is_none()
    }

    /// Whether every range was answered.
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The answer to one of the sketches that wait, if it is one: the range had about so many differences. How long
    /// the answer took, if that is certain.
    pub(super) fn answer(&mut self, range: Range, found: u64, now: Instant) -> Option<(Part, Option<Duration>)> {
        let at = self.waiting.iter().position(|waiting| waiting.part.range == range)?;
        let Waiting { part, sent, tries, .. } = self.waiting.swap_remove(at);
        self.answered = now;
        self.window = (self.window + 2).min(WINDOW);
        if part.share > 0 {
            self.predicted = self.predicted.saturating_add(part.share);
            self.found = self.found.saturating_add(found.min(SKETCHES * SURENESS));
        }
        Some((part, (tries == 1).then(|| now.since(sent))))
    }

    /// A range was too much for one sketch, and has about so many differences.
    pub(super) fn divide(&mut self, part: Part, estimate: u64) {
        // That it did not decode says something as well.
        let cells = cells_for(part.expected, self.most_cells);
        let estimate = estimate.max(cells as u64 * 5 / 9);
        if part.range == Range::ALL && cells < self.most_cells {
            (self.predicted, self.found) = (0, 0);
            self.rest = Some(Part { range: part.range, expected: estimate, share: 0 });
            return;
        }
        if part.range.halves().is_none() {
            return;
        }
        let parts = estimate.div_ceil(differences_in(self.most_cells)).clamp(2, QUEUE as u64);
        let room = QUEUE.saturating_sub(self.queue.len());
        self.complete &= parts <= room as u64;
        let expected = estimate / parts;
        self.queue.extend(part.range.split(parts).take(room).map(|range| Part { range, expected, share: 0 }));
    }

    /// A range that is not to be looked into any more, though it differs.
    pub(super) const fn leave_out(&mut self) {
        self.complete = false;
    }

    /// When something is to be sent again.
    pub(super) fn due(&self, patience: Duration) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.sent + wait(patience, waiting.tries)).min()
    }

    /// What was not answered in time.
    pub(super) fn retry(&mut self, now: Instant, patience: Duration) -> Retry {
        let mut again = Vec::new();
        let mut gone = false;
        let answered = self.answered;
        let before = self.waiting.len();
        self.waiting.retain_mut(|waiting| {
            if now < waiting.sent + wait(patience, waiting.tries) {
                return true;
            }
            if waiting.tries == TRIES {
                // One may have had bad luck; if none was answered meanwhile, the peer is gone.
                gone |= answered <= waiting.first_sent;
                return false;
            }
            waiting.tries += 1;
            waiting.sent = now;
            again.push(waiting.part);
            true
        });
        self.complete &= self.waiting.len() == before;
        if gone { Retry::Gone } else { Retry::Again(again) }
    }
}

/// How long to wait for an answer: twice as long each time, or a busy peer would be kept busy with repetitions.
pub(in crate::epidemic) fn wait(patience: Duration, tries: u32) -> Duration {
    (patience * (1 << tries.saturating_sub(1).min(8))).min(LONGEST_WAIT)
}

/// By how many items the first of two sets is larger.
pub(super) fn apart(mine: u64, theirs: u64) -> i64 {
    i64::try_from(mine).unwrap_or(i64::MAX).saturating_sub(i64::try_from(theirs).unwrap_or(i64::MAX))
}

/// How many cells a message of `room` bytes holds.
pub(super) fn most_cells(room: usize) -> usize {
    // Tag, cut, range, count, mode, tokens and the length of the cells, at their longest.
    const HEAD: usize = 1 + 5 + 20 + 5 + 1 + 10 + 2;
    ((room - HEAD) / Cell::LEN).min(CELLS)
}
