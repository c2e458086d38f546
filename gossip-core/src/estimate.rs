//! Estimates of round trips after RFC 6298, and the pauses between retries that follow from them.
//!
//! Knows durations and nothing else: the caller measures, and decides what to repeat.

use core::time::Duration;

use crate::time::micros;

/// Round-trip estimator: smoothed round-trip time and its variation, in microseconds (RFC 6298, section 2).
///
/// Karn's rule is the caller's: only a round trip whose question is known may be noted, which is always so where every
/// repetition has a number of its own.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoundTrip {
    smoothed: u64,
    variation: u64,
}

impl RoundTrip {
    /// Takes a measurement in. It changes the estimate by an eighth, and the variation by a quarter.
    pub(crate) fn note(&mut self, measured: Duration) {
        // A measurement of zero would count as none.
        let measured = micros(measured).clamp(1, u64::MAX / 16);
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (measured, measured / 2);
        } else {
            self.variation = (3 * self.variation + self.smoothed.abs_diff(measured)) / 4;
            self.smoothed = ((7 * self.smoothed + measured) / 8).max(1);
        }
    }

    /// The smoothed round trip. None before a measurement.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_micros(self.smoothed))
    }

    /// The retransmission time-out: the smoothed round trip and four times its variation. None before a measurement.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_micros(self.smoothed + 4 * self.variation))
    }
}

/// Histogram of round trips since the start: how many took at most so long.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RoundTrips {
    /// One more than bounds: the last is of those that took longer.
    counts: [u64; Self::BOUNDS.len() + 1],
    sum: Duration,
}

impl RoundTrips {
    /// Upper bounds of the buckets, in microseconds.
    const BOUNDS: [u64; 14] =
        [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000];

    pub(crate) fn note(&mut self, trip: Duration) {
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < micros(trip));
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(trip);
    }

    /// Lists the buckets, the shortest round trips first: the upper bound, which the last has not, and the number of round trips that
    /// took longer than the bound before and no longer than this one.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (Option<Duration>, u64)> + '_ {
        let bound = |at: usize| Self::BOUNDS.get(at).map(|bound| Duration::from_micros(*bound));
        self.counts.iter().enumerate().map(move |(at, count)| (bound(at), *count))
    }

    /// Returns the number of round trips.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all round trips.
    pub const fn sum(&self) -> Duration {
        self.sum
    }
}

/// Retry clock: pauses that double from the first to the longest, for a bounded number of retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
    left: u32,
}

impl Backoff {
    /// `first`: the pause before the first retry, which may be longer than the `longest` of those after it; `retries`: the
    /// number of retries.
    pub(crate) const fn new(first: Duration, longest: Duration, retries: u32) -> Self {
        Self { next: first, longest, left: retries }
    }

    /// Returns the pause before the next retry; none if there were enough.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.longest);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn the_first_measurement_and_the_next_are_those_of_the_rfc() {
        let mut trip = RoundTrip::default();
        assert_eq!(trip.timeout(), None);
        trip.note(ms(100));
        // R + 4 · R/2 (section 2.2).
        assert_eq!(trip.timeout(), Some(ms(300)));
        trip.note(ms(200));
        // RTTVAR = 3/4 · 50 + 1/4 · 100, SRTT = 7/8 · 100 + 1/8 · 200 (section 2.3).
        assert_eq!(trip.timeout(), Some(Duration::from_micros(112_500 + 4 * 62_500)));
    }

    #[test]
    fn each_round_trip_is_counted_in_its_bucket() {
        let mut trips = RoundTrips::default();
        [Duration::ZERO, Duration::from_micros(100), Duration::from_micros(101), ms(3_000), Duration::MAX]
            .into_iter()
            .for_each(|trip| trips.note(trip));
        let counts: Vec<_> = trips.buckets().filter(|(_, count)| *count > 0).collect();
        let micros = |micros| Some(Duration::from_micros(micros));
        assert_eq!(counts, [(micros(100), 2), (micros(200), 1), (None, 2)]);
        assert_eq!((trips.count(), trips.sum()), (5, Duration::MAX));
        let bounds: Vec<_> = trips.buckets().map(|(bound, _)| bound.unwrap_or(Duration::MAX)).collect();
        assert!(bounds.is_sorted());
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let mut backoff = Backoff::new(ms(20), ms(60), 5);
        let pauses: Vec<Duration> = core::iter::from_fn(|| backoff.next()).collect();
        assert_eq!(pauses, [20, 40, 60, 60, 60].map(ms));
        let mut slow = Backoff::new(ms(300), ms(60), 2);
        assert_eq!([slow.next(), slow.next(), slow.next()], [Some(ms(300)), Some(ms(60)), None]);
        assert_eq!(Backoff::new(ms(1), ms(1), 0).next(), None);
    }

    proptest! {
        #[test]
        fn a_steady_path_is_learned_whatever_was_before(
            before in proptest::collection::vec(0_u64..10_000_000, 0..20), steady in 1_u64..1_000_000
        ) {
            let mut trip = RoundTrip::default();
            before.iter().for_each(|time| trip.note(Duration::from_micros(*time)));
            (0..200).for_each(|_| trip.note(Duration::from_micros(steady)));
            let timeout = micros(trip.timeout().unwrap());
            prop_assert!(timeout.abs_diff(steady) <= steady / 50 + 64, "{timeout} for {steady}");
        }

        #[test]
        fn the_time_out_covers_a_path_that_varies(
            base in 1_000_u64..100_000, spread in 0_u64..50_000, draws in proptest::collection::vec(0_u64..=1_000, 200..400)
        ) {
            let mut trip = RoundTrip::default();
            let mut late = 0;
            for (at, draw) in draws.iter().enumerate() {
                let time = Duration::from_micros(base + spread * draw / 1_000);
                late += usize::from(at > 50 && trip.timeout().is_some_and(|timeout| timeout < time));
                trip.note(time);
            }
            // Uniform draws vary by a quarter of their spread in the mean, so four times that covers nearly all.
            prop_assert!(late <= draws.len() / 5, "{late} of {} come after the time-out", draws.len());
        }

        #[test]
        fn nothing_overflows(times in proptest::collection::vec(any::<u64>(), 1..50)) {
            let mut trip = RoundTrip::default();
            for time in times {
                trip.note(Duration::from_micros(time));
                prop_assert!(trip.timeout().is_some());
            }
        }

        #[test]
        fn retries_are_as_many_as_were_asked_for_and_never_hurry(
            first in 0_u64..1_000, longest in 0_u64..1_000, retries in 0_u32..40
        ) {
            let mut backoff = Backoff::new(ms(first), ms(longest), retries);
            let pauses: Vec<Duration> = core::iter::from_fn(|| backoff.next()).collect();
            prop_assert_eq!(pauses.len(), retries as usize);
            prop_assert!(pauses.iter().skip(1).all(|pause| *pause <= ms(longest)));
            prop_assert!(first > longest || pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
