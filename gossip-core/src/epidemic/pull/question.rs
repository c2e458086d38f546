//! Retry clock of one question to one peer.

use core::time::Duration;

use crate::time::Instant;

/// Longest wait for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A question to a peer: when it was asked, how many times, and whether an answer has come since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    /// Time at which it was last asked or answered.
    touched: Instant,
    /// Number of times that it was asked since the last answer.
    tries: u32,
    /// True if nothing has come since it was last asked.
    open: bool,
}

impl Question {
    /// Begins a question that is asked now, for the first time.
    pub(crate) const fn asked(now: Instant) -> Self {
        Self::repeated(now, 1)
    }

    /// Begins a question that is asked now, for the `tries`-th time.
    pub(crate) const fn repeated(now: Instant, tries: u32) -> Self {
        Self { touched: now, tries, open: true }
    }

    /// Records that it is asked again.
    pub(crate) const fn ask_again(&mut self, now: Instant) {
        *self = Self::repeated(now, self.tries + 1);
    }

    /// Records an answer, or the first part of one. Returns the round trip if it is certain which try was answered
    /// (Karn's rule).
    pub(crate) fn answered(&mut self, now: Instant) -> Option<Duration> {
        let trip = self.trip(now);
        *self = Self { touched: now, tries: 0, open: false };
        trip
    }

    /// Returns the round trip that an answer shows now, if it shows one.
    pub(crate) fn trip(&self, now: Instant) -> Option<Duration> {
        (self.open && self.tries == 1).then(|| now.since(self.touched))
    }

    /// Restarts the wait for the rest of an answer.
    pub(crate) const fn touch(&mut self, now: Instant) {
        self.touched = now;
    }

    /// Returns the number of times that it was asked since the last answer.
    pub(crate) const fn tries(&self) -> u32 {
        self.tries
    }

    /// Returns true if nothing has come since it was last asked.
    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    /// Returns the time of the last question or answer.
    pub(crate) const fn touched(&self) -> Instant {
        self.touched
    }

    /// Returns the time at which the peer has been silent for too long. Before any answer, the wait doubles with each try,
    /// so that a busy peer is not kept busy by repetitions. The parts of one answer follow each other closely.
    pub(crate) fn due(&self, patience: Duration) -> Instant {
        let doubled = || patience.saturating_mul(1 << self.tries.saturating_sub(1).min(8)).min(LONGEST_WAIT);
        self.touched + if self.open { doubled() } else { patience / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_secs(1_000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut question = Question::asked(NOW);
        let mut waits = std::vec::Vec::new();
        for _ in 0..12 {
            waits.push(question.due(100 * MS).since(NOW).as_millis());
            question.ask_again(NOW);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn only_the_answer_to_a_first_try_shows_the_round_trip() {
        let mut question = Question::asked(NOW);
        assert_eq!(question.answered(NOW + 7 * MS), Some(7 * MS));
        assert_eq!(question.answered(NOW + 9 * MS), None, "a further part of the answer");
        assert!(!question.is_open());
        assert_eq!(question.due(100 * MS), NOW + 59 * MS);
        question.ask_again(NOW + 60 * MS);
        question.ask_again(NOW + 90 * MS);
        assert_eq!((question.tries(), question.answered(NOW + 95 * MS)), (2, None));
    }
}
