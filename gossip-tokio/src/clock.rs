//! The node's time: UNIX time at the start plus monotonic time since. Knows the clocks of the machine and no node.

use std::time::{Duration, Instant as Monotonic, SystemTime, UNIX_EPOCH};

use gossip_core::Instant;

/// How far the wall clock may run ahead of ours before ours follows. The monotonic clock stands still while the machine
/// sleeps; a step backwards of the wall clock is never followed.
const SLACK: Duration = Duration::from_secs(1);

/// Never runs backwards.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Monotonic,
    /// UNIX time of `started`; raised when the clock jumps: a timer that was set before is then late.
    pub(crate) origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Monotonic::now(), origin: wall() }
    }

    pub(crate) fn now(&mut self) -> Instant {
        self.read(self.started.elapsed(), wall())
    }

    fn read(&mut self, elapsed: Duration, wall: Instant) -> Instant {
        let wanted = wall - elapsed;
        if wanted.since(self.origin) > SLACK {
            self.origin = wanted;
        }
        self.origin + elapsed
    }
}

/// The wall clock; the origin before 1970.
fn wall() -> Instant {
    Instant::ORIGIN + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_unix_time() {
        let before = wall();
        let now = Clock::start().now();
        assert!((before..=wall()).contains(&now));
    }

    #[test]
    fn follows_the_wall_clock_forward_and_only_when_it_is_more_than_a_second_ahead() {
        let mut clock = Clock { started: Monotonic::now(), origin: Instant::from_secs(1_000) };
        let mut at = |elapsed, wall| {
            let now = clock.read(Duration::from_micros(elapsed), Instant::from_micros(wall));
            (now.as_micros(), clock.origin.as_micros())
        };
        assert_eq!(at(10, 1_000_900_010), (1_000_000_010, 1_000_000_000), "a drift is left alone");
        assert_eq!(at(20, 1_060_000_020), (1_060_000_020, 1_060_000_000), "a minute of sleep is not");
        assert_eq!(at(30, 5), (1_060_000_030, 1_060_000_000), "the wall clock was set back");
        assert_eq!(at(u64::MAX, u64::MAX).0, u64::MAX, "saturates");
    }
}
