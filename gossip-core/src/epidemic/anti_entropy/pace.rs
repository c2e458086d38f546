//! Times of exchanges: one per interval, sooner if something is known to be missing.

use core::time::Duration;

use rand::{Rng, RngExt};

use crate::time::{Instant, micros};

/// Exchanges begun in quick succession until one has run to its end, so that a newcomer does not wait for an interval
/// because a datagram was lost. Limited, since a peer with an equal replica is silent.
const EAGER: u32 = 4;
/// Doublings by which the interval then grows to its full length. Other nodes come and go at the same time as this one,
/// and what it misses of that no peer misses.
const SETTLING: u32 = 3;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Option<Instant>,
    /// Number of exchanges still to begin without waiting for the interval.
    eager: u32,
    /// Number of times that the interval is halved.
    halvings: u32,
    /// True if nothing was missing at the last exchange, and nothing has disturbed the pace since.
    calm: bool,
}

impl Pace {
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, next: None, eager: EAGER, halvings: SETTLING, calm: false }
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Returns true if an exchange is due, and sets the time of the next one. `patience`: time to wait for an answer.
    pub(super) fn begins(&mut self, now: Instant, patience: Duration, rng: &mut impl Rng) -> bool {
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        let eager = self.next.is_none() || self.eager > 0;
        let interval = micros(if eager {
            self.eager = self.eager.saturating_sub(u32::from(self.next.is_some()));
            patience.min(self.interval)
        } else {
            let shortened = self.interval / (1 << self.halvings);
            self.calm = self.halvings == 0;
            self.halvings = self.halvings.saturating_sub(1);
            shortened
        });
        // Random, so that nodes that started together do not stay in step.
        let jittered = Duration::from_micros(rng.random_range(interval - interval / 4..=interval + interval / 4));
        self.next.replace(now + jittered).is_some()
    }

    /// Returns whether the exchange that begins may wait for a ping to ride on.
    pub(super) const fn is_calm(&self) -> bool {
        self.calm
    }

    /// Begins the next exchange soon: something is missing, and no peer has been asked for it.
    pub(super) fn hurry(&mut self, now: Instant, patience: Duration) {
        self.calm = false;
        (self.eager, self.halvings) = (EAGER, SETTLING);
        self.next = self.next.map(|next| next.min(now + patience));
    }

    /// Shortens the interval: where one item was missing, more may be, also at other peers.
    pub(super) fn note_difference(&mut self, now: Instant) {
        self.calm = false;
        let soon = now + self.interval / 4;
        self.next = self.next.map(|next| next.min(soon));
    }

    /// Shortens the interval because much changes at once. As after a start, it grows back to its full length.
    pub(super) fn unsettle(&mut self, now: Instant) {
        self.calm = false;
        self.halvings = SETTLING;
        let soon = now + self.interval / (1 << SETTLING);
        self.next = self.next.map(|next| next.min(soon));
    }

    /// Records that an exchange ran to its end.
    pub(super) const fn note_completed(&mut self) {
        self.eager = 0;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn exchanges_begin_around_the_interval_and_a_late_one_once() {
        const PATIENCE: Duration = Duration::from_millis(500);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let interval = Duration::from_secs(5);
        let mut pace = Pace::new(interval);
        let mut last = Instant::from_secs(1_000);
        let mut begins = |pace: &mut Pace, at| pace.begins(at, PATIENCE, &mut rng);
        assert!(!begins(&mut pace, last));
        assert!(pace.due().unwrap() <= last + PATIENCE * 5 / 4, "a newcomer does not wait for an interval");
        last = pace.due().unwrap();
        for n in 0..100 {
            assert!(!begins(&mut pace, last - Duration::from_micros(1)));
            assert!(begins(&mut pace, last));
            let next = pace.due().unwrap();
            let about = match n {
                0..4 => PATIENCE,
                4..7 => interval / (1 << (7 - n)),
                _ => interval,
            };
            let apart = next.since(last);
            assert!((about * 3 / 4..=about * 5 / 4).contains(&apart), "{n}: {apart:?}");
            last = next;
        }
        let late = last + Duration::from_secs(1_000);
        assert!(begins(&mut pace, late) && !begins(&mut pace, late));
    }

    #[test]
    fn in_unsettled_times_the_interval_is_short_and_grows() {
        let (mut rng, interval) = (Xoshiro256PlusPlus::seed_from_u64(1), Duration::from_secs(8));
        let mut pace = Pace::new(interval);
        pace.begins(Instant::from_secs(1_000), interval, &mut rng);
        for _ in 0..20 {
            let at = pace.due().unwrap();
            pace.begins(at, interval, &mut rng);
        }
        let mut last = pace.due().unwrap() - interval / 2;
        pace.unsettle(last);
        for halvings in (0..=3).rev() {
            let at = pace.due().unwrap();
            assert!(at.since(last) <= interval / (1 << halvings) * 5 / 4, "{halvings}");
            assert!(pace.begins(at, interval, &mut rng));
            last = at;
        }
        assert!(pace.due().unwrap().since(last) >= interval * 3 / 4);
    }

    #[test]
    fn a_difference_is_looked_at_soon_and_a_failure_at_once() {
        let (mut rng, interval) = (Xoshiro256PlusPlus::seed_from_u64(1), Duration::from_secs(8));
        let start = Instant::from_secs(1_000);
        let mut pace = Pace::new(interval);
        pace.begins(start, interval, &mut rng);
        pace.note_completed();
        pace.note_difference(start);
        assert_eq!(pace.due(), Some(start + interval / 4));
        pace.note_difference(start + interval / 8);
        assert_eq!(pace.due(), Some(start + interval / 4), "what is sooner stays");
        let mut at = start;
        for _ in 0..4 {
            at = pace.due().unwrap();
            pace.begins(at, interval, &mut rng);
        }
        assert!(pace.due().unwrap().since(at) >= interval * 3 / 4, "it has settled");
        pace.hurry(at, interval / 100);
        assert_eq!(pace.due(), Some(at + interval / 100));
        at = pace.due().unwrap();
        pace.begins(at, interval / 100, &mut rng);
        assert!(pace.due().unwrap().since(at) <= interval / 80);
    }
}
