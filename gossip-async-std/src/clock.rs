//! The node's time: UNIX time at the start plus monotonic time since. Knows the clocks of the machine and no node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Monotonic, SystemTime, UNIX_EPOCH};

use gossip_core::Instant;

/// How far the wall clock may run ahead of ours before ours follows, in microseconds. The monotonic clock stands
/// still while the machine sleeps; a step backwards of the wall clock is never followed.
const SLACK: u64 = 1_000_000;

/// Never runs backwards, whoever reads it.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Monotonic,
    /// UNIX time of `started` in microseconds; raised when the clock is anchored anew.
    origin: AtomicU64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Monotonic::now(), origin: AtomicU64::new(wall()) }
    }

    pub(crate) fn now(&self) -> Instant {
        self.read(micros(self.started.elapsed()), wall())
    }

    /// Changes when the clock jumps: a timer that was set before is then late.
    pub(crate) fn origin(&self) -> u64 {
        self.origin.load(Ordering::Relaxed)
    }

    fn read(&self, elapsed: u64, wall: u64) -> Instant {
        let mut origin = self.origin();
        let wanted = wall.saturating_sub(elapsed);
        if wanted > origin.saturating_add(SLACK) {
            origin = self.origin.fetch_max(wanted, Ordering::Relaxed).max(wanted);
        }
        Instant::from_micros(origin.saturating_add(elapsed))
    }
}

/// The wall clock in microseconds; zero before 1970.
fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(origin: u64) -> Clock {
        Clock { started: Monotonic::now(), origin: AtomicU64::new(origin) }
    }

    #[test]
    fn starts_at_unix_time() {
        let before = wall();
        let now = Clock::start().now().as_micros();
        assert!((before..=wall()).contains(&now));
    }

    #[test]
    fn follows_the_wall_clock_forward_and_only_when_it_is_more_than_a_second_ahead() {
        let clock = clock(1_000_000_000);
        let at = |elapsed, wall| clock.read(elapsed, wall).as_micros();
        assert_eq!(at(10, 1_000_900_010), 1_000_000_010, "a drift is left alone");
        assert_eq!(at(20, 1_060_000_020), 1_060_000_020, "a minute of sleep is not");
        assert_eq!(clock.origin(), 1_060_000_000);
        assert_eq!(at(30, 5), 1_060_000_030, "the wall clock was set back");
        assert_eq!(at(u64::MAX, u64::MAX), u64::MAX, "saturates");
    }
}
