//! Clocks of a node at a simulated time: the wall clock, which may be off, step and drift, and the monotonic clock, which
//! drifts with it and never steps.

use gossip_core::Instant;

/// Reading of a right clock when a simulation starts: long after the origin, so that a clock can be behind.
pub(crate) const EPOCH: u64 = 1_000_000_000_000;

/// Two clocks of one oscillator, linear since the last change of either.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    changed: u64,
    reading: u64,
    wall: u64,
    drift_ppm: i32,
}

impl Clock {
    /// A clock that is right.
    pub(crate) const fn right() -> Self {
        Self { changed: 0, reading: EPOCH, wall: EPOCH, drift_ppm: 0 }
    }

    /// From `now` on the wall clock is `offset_micros` off, and both drift by so many microseconds a second.
    pub(crate) fn set(&mut self, now: Instant, offset_micros: i64, drift_ppm: i32) {
        self.reading = self.read(now).as_micros();
        self.changed = now.as_micros();
        self.wall = (EPOCH + self.changed).saturating_add_signed(offset_micros);
        self.drift_ppm = drift_ppm.max(-900_000);
    }

    /// Returns the reading of the monotonic clock at `now`.
    pub(crate) fn read(&self, now: Instant) -> Instant {
        Instant::from_micros(self.reading.saturating_add(self.passed(now)))
    }

    /// Reads the wall clock at `now`.
    pub(crate) fn wall(&self, now: Instant) -> Instant {
        Instant::from_micros(self.wall.saturating_add(self.passed(now)))
    }

    /// Microseconds that the oscillator counted since the last change.
    fn passed(&self, now: Instant) -> u64 {
        let passed = now.as_micros() - self.changed;
        let drifted = i128::from(passed) * i128::from(self.drift_ppm) / 1_000_000;
        passed.saturating_add_signed(drifted as i64)
    }

    /// The first simulated time at which the monotonic clock reads `reading` or later.
    pub(crate) fn when(&self, reading: Instant) -> Instant {
        let Some(ahead) = reading.as_micros().checked_sub(self.reading) else {
            return Instant::from_micros(self.changed);
        };
        if self.drift_ppm == 0 {
            return Instant::from_micros(self.changed.saturating_add(ahead));
        }
        let rate = 1_000_000 + i128::from(self.drift_ppm);
        let passed = i128::from(ahead) * 1_000_000 / rate;
        let mut at = self.changed.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX));
        // Both ways round down: a microsecond or two are missing at most.
        while self.read(Instant::from_micros(at)) < reading && at < u64::MAX {
            at += 1;
        }
        Instant::from_micros(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_reached_when_it_says() {
        for (offset, drift) in [(0, 0), (-5_000_000, 0), (3, 200), (1_000_000, -300), (7, 100_000)] {
            let mut clock = Clock::right();
            clock.set(Instant::from_secs(10), offset, drift);
            for later in [0, 1, 999, 1_000_000, 123_456_789] {
                let reading = Instant::from_micros(clock.read(Instant::from_secs(10)).as_micros() + later);
                let at = clock.when(reading);
                assert!(clock.read(at) >= reading);
                let before = Instant::from_micros(at.as_micros() - 1);
                assert!(later == 0 || clock.read(before) < reading, "{offset} {drift} {later}");
            }
        }
    }

    #[test]
    fn the_wall_clock_steps_and_the_monotonic_clock_does_not() {
        let (mut clock, at) = (Clock::right(), Instant::from_secs);
        clock.set(at(10), 3_600_000_000, 20_000);
        assert_eq!(clock.read(at(10)).as_micros(), EPOCH + 10_000_000);
        assert_eq!(clock.wall(at(60)).as_micros(), EPOCH + 3_600_000_000 + 61_000_000);
        clock.set(at(60), -5, 0);
        assert_eq!(clock.read(at(60)).as_micros(), EPOCH + 61_000_000);
        assert_eq!(clock.wall(at(61)).as_micros(), EPOCH + 61_000_000 - 5);
    }
}
