//! One exchange, as its initiator sees it: the ranges that were sketched, and those still to be sketched.
//!
//! A difference too large for one sketch is cut, range by range, from the rest of the hash space. The width of a range
//! follows from the number of differences found in those before it, so that the first estimate, which is rough, matters
//! only for the first few ranges.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::absence::{Knowledge, Meeting};
use crate::config::MIN_DATAGRAM;
use crate::epidemic::pull::Question;
use crate::replica::{CELLS, Cut, Range};
use crate::sketch::Cell;
use crate::time::Instant;

/// Sketches that may wait for an answer: one at first, since every answer improves the next ones, and two more with
/// every answer, up to `WINDOW`.
const FIRST_WINDOW: usize = 1;
const WINDOW: usize = 16;
/// Times that a sketch is sent before its range is given up until the next exchange.
const TRIES: u32 = 6;
/// Weight of the first estimate: as reliable as having counted 11 differences.
const SURENESS: u64 = 11;
/// Ranges that may wait to be sketched, after they were divided a second time.
const QUEUE: usize = 1_024;
/// Sketches in one exchange, whatever is answered.
const SKETCHES: u64 = 16_384;
/// Cells of every sketch, and the expected differences that twenty more cells decode: enough for a Poisson distributed
/// number of differences in nineteen of twenty cases.
const CELLS_AT_LEAST: u64 = 12;
const CELLS_PER_20: u64 = 35;
/// An estimate of at most the first number is replaced by the second: small estimates are unreliable. Nine differences
/// get 27 cells, which decode ten in 97 of 100 cases. More cells would cost more than they save.
const UP_TO_ONE: (u64, u64) = (1, 5);
const UP_TO_SIXTEEN: (u64, u64) = (16, 9);
/// Estimate for a range of which nothing is known.
pub(super) const UNKNOWN: u64 = UP_TO_SIXTEEN.1;

/// Returns the number of cells that decodes about `expected` differences.
pub(super) fn cells_for(expected: u64, most: usize) -> usize {
    let cells = CELLS_AT_LEAST.saturating_add(expected.saturating_mul(CELLS_PER_20) / 20);
    usize::try_from(cells).map_or(most, |cells| cells.min(most))
}

/// Returns the number of differences that a sketch of `cells` cells is expected to decode.
fn differences_in(cells: usize) -> u64 {
    ((cells as u64).saturating_sub(CELLS_AT_LEAST) * 20 / CELLS_PER_20).max(1)
}

/// A range with its probable number of differences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) range: Range,
    pub(super) expected: u64,
    /// Share of the first estimate that falls to this range; 0 if the range was estimated by itself.
    share: u64,
}

#[derive(Debug)]
struct Waiting {
    part: Part,
    first_sent: Instant,
    question: Question,
}

/// Outcome of a search for sketches to retry.
pub(super) enum Retry {
    /// Sketches to send again.
    Again(Vec<Part>),
    /// The peer is silent.
    Gone,
}

/// An exchange begun here that found a difference.
#[derive(Debug)]
pub(super) struct Exchange<A> {
    pub(super) peer: A,
    pub(super) cut: Cut,
    /// Both fingerprints at the beginning.
    pub(super) between: (u64, u64),
    /// Knowledge that the peer claims, and what follows from it.
    pub(super) knows: Knowledge,
    pub(super) meeting: Meeting,
    /// Number of cells that a datagram to the peer holds.
    pub(super) most_cells: usize,
    /// The part of the hash space that is not cut into ranges yet; its expectation is that of the first estimate.
    rest: Option<Part>,
    /// Ranges that are cut and not sketched yet.
    queue: VecDeque<Part>,
    waiting: Vec<Waiting>,
    window: usize,
    /// Totals over the ranges answered: differences predicted by the first estimate, and differences found.
    predicted: u64,
    found: u64,
    /// Time of the last answer.
    answered: Instant,
    sketches_left: u64,
    /// True if every range so far was answered.
    complete: bool,
}

impl<A> Exchange<A> {
    /// `estimate`: size of the difference.
    pub(super) fn new(peer: A, cut: Cut, between: (u64, u64), most_cells: usize, estimate: u64, now: Instant) -> Self {
        let expected =
            [UP_TO_ONE, UP_TO_SIXTEEN].into_iter().find_map(|(most, expected)| (estimate <= most).then_some(expected));
        // Decides whether one sketch suffices. A quarter is added, so that a slightly low estimate does not cost a
        // second sketch.
        let expected = expected.unwrap_or(estimate.saturating_add(estimate / 4));
        let all = Part { range: Range::ALL, expected, share: 0 };
        let at_once = expected <= differences_in(most_cells);
        Self {
            peer,
            cut,
            between,
            knows: Knowledge::Unsaid,
            meeting: Meeting::Plain,
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

    /// Adds what the peer says of itself, and what follows from it.
    pub(super) fn with(self, knows: Knowledge, meeting: Meeting) -> Self {
        Self { knows, meeting, ..self }
    }

    /// Returns the next range to sketch, if the window of unanswered sketches has room and anything is left.
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
        self.waiting.push(Waiting { part, first_sent: now, question: Question::asked(now) });
        Some(part)
    }

    /// Cuts a range off the rest, as wide as a sketch can decode.
    fn cut_off(&mut self) -> Option<Part> {
        let rest = self.rest.take()?;
        let corrected =
            u128::from(rest.expected) * u128::from(SURENESS + self.found) / u128::from(SURENESS + self.predicted);
        // Too narrow a range costs little, a sketch of too wide a one is lost: the less is certain, the narrower the
        // range.
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

    /// Returns true if nothing is left and no answer is awaited.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.queue.is_empty() && self.rest.is_none()
    }

    /// Returns true if every range was answered.
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Matches an answer with the sketch that it answers: the range had about `found` differences. Returns the round
    /// trip if it is certain.
    pub(super) fn answer(&mut self, range: Range, found: u64, now: Instant) -> Option<(Part, Option<Duration>)> {
        let at = self.waiting.iter().position(|waiting| waiting.part.range == range)?;
        let Waiting { part, question, .. } = self.waiting.swap_remove(at);
        self.answered = now;
        self.window = (self.window + 2).min(WINDOW);
        if part.share > 0 {
            self.predicted = self.predicted.saturating_add(part.share);
            self.found = self.found.saturating_add(found.min(SKETCHES * SURENESS));
        }
        Some((part, question.trip(now)))
    }

    /// Divides a range that was too much for one sketch and has about `estimate` differences.
    pub(super) fn divide(&mut self, part: Part, estimate: u64) {
        // A sketch that failed to decode shows that there are more than it can decode.
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

    /// Gives up a range although it differs.
    pub(super) const fn leave_out(&mut self) {
        self.complete = false;
    }

    /// Returns true if a sketch is to be sent a third time that is no short one.
    pub(super) fn is_stuck(&self, now: Instant, patience: Duration) -> bool {
        let is_long = |part: &Part| cells_for(part.expected, self.most_cells) * Cell::LEN > MIN_DATAGRAM / 2;
        let lost = |waiting: &Waiting| waiting.question.tries() >= 2 && now >= waiting.question.due(patience);
        self.waiting.iter().any(|waiting| lost(waiting) && is_long(&waiting.part))
    }

    /// Returns the time of the next retry.
    pub(super) fn due(&self, patience: Duration) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.question.due(patience)).min()
    }

    /// Returns the sketches that were not answered in time.
    pub(super) fn retry(&mut self, now: Instant, patience: Duration) -> Retry {
        let mut again = Vec::new();
        let mut gone = false;
        let answered = self.answered;
        let before = self.waiting.len();
        self.waiting.retain_mut(|waiting| {
            if now < waiting.question.due(patience) {
                return true;
            }
            if waiting.question.tries() == TRIES {
                // One lost answer is bad luck. If none arrived meanwhile, the peer is gone.
                gone |= answered <= waiting.first_sent;
                return false;
            }
            waiting.question.ask_again(now);
            again.push(waiting.part);
            true
        });
        self.complete &= self.waiting.len() == before;
        if gone { Retry::Gone } else { Retry::Again(again) }
    }
}

/// Returns by how many items the first of two sets is larger.
pub(super) fn signed_difference(mine: u64, theirs: u64) -> i64 {
    i64::try_from(mine).unwrap_or(i64::MAX).saturating_sub(i64::try_from(theirs).unwrap_or(i64::MAX))
}

/// Returns the number of cells that a message of `room` bytes holds.
pub(super) fn most_cells(room: usize) -> usize {
    // Tag, cut, range, count, mode, tokens and the length of the cells, at their longest.
    const HEAD: usize = 1 + 10 + 20 + 5 + 1 + 10 + 2;
    ((room - HEAD) / Cell::LEN).min(CELLS)
}
