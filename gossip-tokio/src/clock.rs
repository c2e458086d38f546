//! The two clocks of the machine that a node needs. Knows no node.

use std::time::{SystemTime, UNIX_EPOCH};

use gossip_core::Instant;

/// Monotonic time: UNIX time at the start plus the time since, with that which the machine has slept. A step of the wall
/// clock does not move it.
#[derive(Debug)]
pub(crate) struct Clock {
    started: awake::Moment,
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: awake::Moment::now(), origin: wall() }
    }

    pub(crate) fn now(&self) -> Instant {
        self.origin + self.started.elapsed()
    }
}

/// The wall clock; the origin before 1970.
pub(crate) fn wall() -> Instant {
    Instant::ORIGIN + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The clock that counts sleep, which `std` has not where its own stands still meanwhile.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod awake {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    #[derive(Debug)]
    pub(super) struct Moment(Duration);

    impl Moment {
        pub(super) fn now() -> Self {
            let time = clock_gettime(ClockId::Boottime);
            let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
            Self(seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs()))
        }

        pub(super) fn elapsed(&self) -> Duration {
            Self::now().0.saturating_sub(self.0)
        }
    }
}

/// The monotonic clock of `std`. Where it stands still while the machine sleeps, the members' clocks seem to be that much
/// behind until they have answered again.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod awake {
    pub(super) use std::time::Instant as Moment;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_unix_time_and_goes_forward() {
        let before = wall();
        let clock = Clock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(before <= first && first <= second);
        assert!(second.abs_diff(wall()) < std::time::Duration::from_secs(60));
    }
}
