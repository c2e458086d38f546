//! Time that is past for good: by monotonic time awake, so that no step of a clock makes anything old.

use core::time::Duration;

use crate::time::Instant;

/// Time for which agreed time has to be past an instant without a break.
const GRACE: Duration = Duration::from_secs(15 * 60);
/// The longest time between two looks that counts whole: in a longer one the process stood still.
const LOOK: Duration = Duration::from_secs(60);

/// Two instants that agreed time has been past for [`GRACE`] of time awake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Limit that counts time awake only.
    pub(crate) awake: Instant,
    /// Limit that counts time awake and in contact with others.
    pub(crate) in_touch: Instant,
}

/// Finds out what is [past](Past) for good.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    awake: Glass,
    in_touch: Glass,
    looked: Instant,
}

impl Settled {
    /// Looks at the time. `in_touch`: whether this node is in touch with others, or there are none.
    pub(crate) fn look(&mut self, now: Instant, agreed: Instant, in_touch: bool) -> Past {
        let since = now.since(self.looked);
        let passed = if since < LOOK / 4 { Duration::ZERO } else { since.min(LOOK) };
        if !passed.is_zero() {
            self.looked = now;
        }
        Past {
            awake: self.awake.run(agreed, passed),
            in_touch: self.in_touch.run(agreed, if in_touch { passed } else { Duration::ZERO }),
        }
    }

    /// Returns the time of the next look, if anything waits for it.
    pub(crate) fn due(&self) -> Instant {
        self.looked + LOOK
    }
}

/// The latest instant that agreed time has been past for [`GRACE`] of the time that counts.
#[derive(Debug, Default)]
struct Glass {
    settled: Instant,
    /// The next one, and for how long it has been past.
    candidate: Instant,
    past: Duration,
}

impl Glass {
    fn run(&mut self, agreed: Instant, passed: Duration) -> Instant {
        if agreed < self.candidate {
            self.settled = self.settled.min(agreed);
            (self.candidate, self.past) = (agreed, Duration::ZERO);
        } else {
            self.past += passed;
        }
        if self.past >= GRACE {
            self.settled = self.candidate;
            (self.candidate, self.past) = (agreed, Duration::ZERO);
        }
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_secs(1_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    /// Looks once a minute while agreed time is `ahead` of monotonic time. Returns the last answer.
    fn minutes(settled: &mut Settled, from: u32, to: u32, ahead: Duration, counts: bool) -> Instant {
        let at = |minute| START + minute * MINUTE;
        (from..to).map(|minute| settled.look(at(minute), at(minute) + ahead, counts).in_touch).last().unwrap()
    }

    #[test]
    fn what_is_past_for_a_quarter_of_an_hour_awake_is_settled() {
        let mut settled = Settled::default();
        assert!(minutes(&mut settled, 0, 14, Duration::ZERO, true) < START);
        let at = minutes(&mut settled, 14, 60, Duration::ZERO, true);
        assert!(at >= START + 25 * MINUTE && at <= START + 45 * MINUTE, "{at}");
    }

    #[test]
    fn a_step_forward_and_back_settles_nothing() {
        let (mut settled, week) = (Settled::default(), Duration::from_secs(7 * 86_400));
        minutes(&mut settled, 0, 60, Duration::ZERO, true);
        let ahead = minutes(&mut settled, 60, 74, week, true);
        assert!(ahead < START + 60 * MINUTE);
        assert!(minutes(&mut settled, 74, 120, Duration::ZERO, true) < START + 120 * MINUTE);
        // But one that lasts does, and when it is taken back what is to come is not past.
        assert!(minutes(&mut settled, 120, 170, week, true) > START + week);
        assert!(minutes(&mut settled, 170, 171, Duration::ZERO, true) <= START + 171 * MINUTE);
    }

    #[test]
    fn neither_sleep_nor_solitude_counts() {
        let mut settled = Settled::default();
        assert!(minutes(&mut settled, 0, 1_000, Duration::ZERO, false) < START);
        let mut settled = Settled::default();
        settled.look(START, START, true);
        let late = START + Duration::from_secs(30 * 86_400);
        assert!(settled.look(late, late, true).awake < START);
    }
}
