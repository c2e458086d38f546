//! Round trips to members, for networks whose paths are longer than the protocol period.
//!
//! Counts answers to a ping that was sent once, also those that come after the period. A member that stood still answers late,
//! too: therefore the shorter of its last two round trips counts, and where nothing is known of a member the median of the
//! others.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::NodeId;

/// Members whose round trips are remembered: those measured last.
const MEMBERS: usize = 32;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// The last two round trips of each.
    trips: VecDeque<(NodeId, [Duration; 2])>,
}

impl Paths {
    /// Takes a round trip in.
    pub(super) fn note(&mut self, id: NodeId, trip: Duration) {
        let at = self.trips.iter().position(|(known, _)| *known == id);
        let [last, _] = at.and_then(|at| self.trips.remove(at)).map_or([trip; 2], |(_, trips)| trips);
        if self.trips.len() == MEMBERS {
            self.trips.pop_front();
        }
        self.trips.push_back((id, [trip, last]));
    }

    /// Returns the round trip to a member, or that of most members if nothing is known of it. None before the first answer.
    pub(super) fn to(&self, id: NodeId) -> Option<Duration> {
        let known = self.trips.iter().find(|(known, _)| *known == id);
        known.map_or_else(|| self.median(), |(_, trips)| Some(shorter(*trips)))
    }

    /// Returns the median of the round trips. None before the first answer.
    pub(super) fn median(&self) -> Option<Duration> {
        let mut all: Vec<Duration> = self.trips.iter().map(|(_, trips)| shorter(*trips)).collect();
        let middle = all.len().checked_sub(1)? / 2;
        Some(*all.select_nth_unstable(middle).1)
    }

    /// Returns whether most round trips are longer than this.
    pub(super) fn are_longer(&self, than: Duration) -> bool {
        2 * self.trips.iter().filter(|(_, trips)| shorter(*trips) > than).count() > self.trips.len()
    }
}

fn shorter([last, before]: [Duration; 2]) -> Duration {
    last.min(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn one_late_answer_makes_no_long_path_and_two_do() {
        let (mut paths, id) = (Paths::default(), NodeId::new(1));
        assert_eq!(paths.to(id), None);
        paths.note(id, MILLI);
        paths.note(id, 8_000 * MILLI);
        assert_eq!(paths.to(id), Some(MILLI), "it stood still");
        paths.note(id, 2_000 * MILLI);
        assert_eq!(paths.to(id), Some(2_000 * MILLI));
        paths.note(id, MILLI);
        assert_eq!(paths.to(id), Some(MILLI));
    }

    #[test]
    fn of_a_member_that_was_never_measured_the_median_of_the_others_holds() {
        let mut paths = Paths::default();
        for (id, millis) in [(1, 1), (2, 1_200), (3, 1_300), (4, 9_000)] {
            paths.note(NodeId::new(id), millis * MILLI);
        }
        assert_eq!(paths.to(NodeId::new(9)), Some(1_200 * MILLI));
        assert_eq!(paths.to(NodeId::new(4)), Some(9_000 * MILLI));
        assert_eq!([1, 1_199, 1_200].map(|millis| paths.are_longer(millis * MILLI)), [true, true, false]);
    }

    #[test]
    fn few_members_are_remembered() {
        let mut paths = Paths::default();
        (0..1_000).for_each(|id| paths.note(NodeId::new(id), MILLI * u32::try_from(id).unwrap()));
        assert_eq!(paths.trips.len(), MEMBERS);
        assert_eq!(paths.to(NodeId::new(999)), Some(999 * MILLI));
    }
}
