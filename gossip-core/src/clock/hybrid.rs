//! Hybrid logical clock (Kulkarni et al., 2014): time that never runs backwards and follows what was seen.

use crate::id::NodeId;
use crate::time::Instant;
use crate::update::Stamp;

/// The latest stamp that was seen or given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hybrid {
    time: Instant,
    counter: u32,
}

impl Hybrid {
    pub(crate) const fn at(time: Instant, counter: u32) -> Self {
        Self { time, counter }
    }

    /// The same clock, begun anew if it is past `latest`.
    pub(crate) fn up_to(self, latest: Instant) -> Self {
        if self.time > latest { Self::default() } else { self }
    }

    /// The later of `now` and everything seen.
    pub(crate) fn now(&self, now: Instant) -> Instant {
        self.time.max(now)
    }

    /// Follows a stamp. The caller has checked that it is not too far ahead.
    pub(crate) fn observe(&mut self, time: Instant, counter: u32) {
        (self.time, self.counter) = (self.time, self.counter).max((time, counter));
    }

    /// A stamp later than every one seen or given before.
    pub(crate) fn stamp(&mut self, now: Instant, node: NodeId) -> Stamp {
        if now > self.time {
            (self.time, self.counter) = (now, 0);
        } else if let Some(counter) = self.counter.checked_add(1) {
            self.counter = counter;
        } else {
            (self.time, self.counter) = (Instant::from_micros(self.time.as_micros().saturating_add(1)), 0);
        }
        Stamp { time: self.time, counter: self.counter, node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_later_than_every_one_before_whatever_the_clock_does() {
        let node = NodeId::new(1);
        let mut clock = Hybrid::default();
        let mut last = clock.stamp(Instant::from_secs(5), node);
        for now in [5, 4, 6, 1, 6, 6, 7] {
            let next = clock.stamp(Instant::from_secs(now), node);
            assert!(next > last);
            last = next;
        }
        clock.observe(Instant::from_secs(100), u32::MAX);
        let next = clock.stamp(Instant::from_secs(8), node);
        assert!(next.time > Instant::from_secs(100), "the counter overflows into time");
        assert_eq!(clock.now(Instant::from_secs(8)), next.time);
    }
}
