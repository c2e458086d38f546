//! Distances: which members are near, as round trips have shown.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::id::NodeId;

/// Members whose round trips are remembered.
const REMEMBERED: usize = 32;
/// A member is near if its round trip is within so many times the shortest, and a little more.
const TIMES_SHORTEST: u32 = 3;
const MORE: Duration = Duration::from_millis(1);

/// The members with the shortest round trips, the latest last.
#[derive(Debug, Default)]
pub(super) struct Distances {
    known: VecDeque<(NodeId, Duration)>,
    shortest: Option<Duration>,
}

impl Distances {
    /// Takes the latest round trip to a member in. Where there is no room, the farthest gives way.
    pub(super) fn note(&mut self, id: NodeId, trip: Duration) {
        self.forget(id);
        self.known.push_back((id, trip));
        if self.known.len() > REMEMBERED
            && let Some((farthest, _)) = (0..).zip(&self.known).max_by_key(|(_, (_, trip))| *trip)
        {
            self.known.remove(farthest);
        }
        self.shortest = self.known.iter().map(|(_, trip)| *trip).min();
    }

    /// Forgets a member: it is gone, or has no room for a link. It is known again after the next round trip.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.known.retain(|(known, _)| *known != id);
    }

    /// The latest round trip to a member, if it is among the shortest.
    pub(super) fn trip(&self, id: NodeId) -> Option<Duration> {
        self.known.iter().find(|(known, _)| *known == id).map(|(_, trip)| *trip)
    }

    /// Returns whether a round trip is that of a near member. All are, until something else is known.
    pub(super) fn is_near(&self, trip: Duration) -> bool {
        self.shortest.is_none_or(|shortest| trip <= TIMES_SHORTEST * shortest + MORE)
    }

    /// The near members.
    pub(super) fn near(&self) -> impl Iterator<Item = NodeId> {
        self.known.iter().filter(|(_, trip)| self.is_near(*trip)).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn near_is_what_is_not_much_farther_than_the_nearest() {
        let ms = Duration::from_millis;
        let mut distances = Distances::default();
        assert!(distances.is_near(ms(1_000)));
        for (id, trip) in [(1, 60), (2, 1), (3, 4), (4, 5), (1, 61)] {
            distances.note(NodeId::new(id), ms(trip));
        }
        assert_eq!(distances.near().map(NodeId::get).collect::<Vec<_>>(), [2, 3]);
        assert_eq!([1, 9].map(|id| distances.trip(NodeId::new(id))), [Some(ms(61)), None]);
        assert!(distances.is_near(ms(4)) && !distances.is_near(ms(5)));
        (10..100).for_each(|id| distances.note(NodeId::new(id), ms(4)));
        assert_eq!(distances.known.len(), REMEMBERED);
        assert!(distances.known.iter().all(|(_, trip)| *trip <= ms(4)), "the farthest give way");
        distances.forget(NodeId::new(2));
        assert!(distances.near().all(|id| id.get() != 2));
    }
}
