//! Time to wait for an answer: four of the round trips measured lately.

use core::time::Duration;

use crate::estimate::RoundTrip;

/// Shortest wait for an answer: a busy peer is not asked twice.
const SHORTEST: Duration = Duration::from_millis(20);
/// Longest wait for the first answer.
const LONGEST: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    trip: RoundTrip,
    now: Duration,
}

impl Patience {
    /// `first`: the wait until a round trip has been measured.
    pub(crate) fn new(first: Duration) -> Self {
        Self { trip: RoundTrip::default(), now: first }
    }

    /// Returns the time to wait.
    pub(crate) const fn get(&self) -> Duration {
        self.now
    }

    /// Takes a round trip in, at a weight of an eighth.
    pub(crate) fn note(&mut self, trip: Duration) {
        if self.trip.smoothed().is_none() {
            // As if this path had always taken a quarter of the first wait.
            self.trip.note(self.now / 4);
        }
        self.trip.note(trip);
        self.adjust();
    }

    /// Follows a peer whose round trip was just measured, and forgets those of others.
    pub(crate) fn follow(&mut self, trip: Duration) {
        self.trip = RoundTrip::default();
        self.trip.note(trip);
        self.adjust();
    }

    fn adjust(&mut self) {
        if let Some(smoothed) = self.trip.smoothed() {
            self.now = smoothed.saturating_mul(4).clamp(SHORTEST, LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_moves_towards_four_round_trips_within_its_bounds() {
        let mut patience = Patience::new(400 * MS);
        patience.note(180 * MS);
        assert_eq!(patience.get(), 440 * MS);
        patience.follow(50 * MS);
        assert_eq!(patience.get(), 200 * MS);
        (0..100).for_each(|_| patience.note(MS));
        assert_eq!(patience.get(), SHORTEST);
        patience.follow(Duration::from_secs(60));
        assert_eq!(patience.get(), LONGEST);
    }
}
