//! Clock of a node: what it reads when simulated time is `t`. It may be off and it may drift.

use gossip_core::Instant;

/// Reading of a right clock when a simulation starts: long after the origin, so that a clock can be behind.
pub(crate) const EPOCH: u64 = 1_000_000_000_000;

/// A clock, linear since its last change.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    changed: u64,
    reading: u64,
    drift_ppm: i32,
}

impl Clock {
    /// A clock that is right.
    pub(crate) const fn right() -> Self {
        Self { changed: 0, reading: EPOCH, drift_ppm: 0 }
    }

    /// From `now` on the clock is `offset_micros` off, and drifts by so many microseconds a second.
    pub(crate) fn set(&mut self, now: Instant, offset_micros: i64, drift_ppm: i32) {
        self.changed = now.as_micros();
        self.reading = (EPOCH + self.changed).saturating_add_signed(offset_micros);
        self.drift_ppm = drift_ppm.max(-900_000);
    }

    /// Returns its reading at `now`.
    pub(crate) fn read(&self, now: Instant) -> Instant {
        let passed = now.as_micros() - self.changed;
        let mut reading = self.reading + passed;
        if self.drift_ppm != 0 {
            let drifted = i128::from(passed) * i128::from(self.drift_ppm) / 1_000_000;
            reading = reading.saturating_add_signed(drifted as i64);
        }
        Instant::from_micros(reading)
    }

    /// The first simulated time at which it reads `reading` or later.
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
        let mut clock = Clock::right();
        for (offset, drift) in [(0, 0), (-5_000_000, 0), (3, 200), (1_000_000, -300), (7, 100_000)] {
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
}
