//! Near and far: of the links of a node most go to near members, and one at least to a member that was drawn among all.
//!
//! A near member is drawn at random among the near ones, and never the nearest: those who choose the nearest make cliques. A
//! far link ends only if both sides have more far links than they need, so that no site loses its last one.

use core::time::Duration;

use rand::Rng;
use rand::seq::SliceRandom;

use alloc::vec::Vec;

use super::Overlay;
use super::link::Link;
use crate::address::Address;
use crate::id::NodeId;
use crate::time::Instant;

/// The first and the longest pause between two requests to near members.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(600)];

/// State of the search for near neighbours.
#[derive(Debug)]
pub(super) struct NearSeek {
    at: Instant,
    pause: Duration,
}

impl Default for NearSeek {
    fn default() -> Self {
        Self { at: Instant::ORIGIN, pause: PAUSES[0] }
    }
}

impl<A: Address> Overlay<A> {
    /// Takes the round trip to a member in.
    pub(crate) fn note_trip(&mut self, id: NodeId, trip: Duration) {
        if self.settings.near > 0 {
            self.distances.note(id, trip);
        }
        self.probed.note(trip);
        // What is repeated before its confirmation can have come has another number then: over a long path nothing would ever be
        // measured, and all be repeated a few times.
        let first_timeout = self.times.first_timeout;
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id).filter(|_| trip > first_timeout) {
            link.learn_trip(trip);
        }
    }

    pub(super) fn is_far(&self, link: &Link<A>) -> bool {
        self.settings.near > 0 && link.shortest.is_some_and(|trip| !self.distances.is_near(trip))
    }

    fn count_near(&self) -> usize {
        let near = |link: &&Link<A>| link.shortest.is_some_and(|trip| self.distances.is_near(trip));
        self.links.iter().filter(|link| !link.doubted).filter(near).count()
    }

    fn count_far(&self) -> usize {
        self.links.iter().filter(|link| !link.doubted && self.is_far(link)).count()
    }

    /// Near members that could be asked for a link, if this node has fewer near links than it should.
    pub(crate) fn near_candidates(&self, rng: &mut impl Rng) -> Vec<NodeId> {
        if !self.lacks_near() {
            return Vec::new();
        }
        let mut candidates: Vec<NodeId> = self.distances.near().filter(|id| !self.is_taken(*id)).collect();
        candidates.shuffle(rng);
        candidates
    }

    /// Returns whether this node has fewer near links than it should, and knows whom to ask.
    fn lacks_near(&self) -> bool {
        let near = self.settings.near as usize;
        near > 0 && self.count_near() < near && self.distances.near().any(|id| !self.is_taken(id))
    }

    /// Returns whether this node has only near links, none of them drawn among all members.
    fn lacks_random(&self) -> bool {
        self.settings.near > 0
            && self.distances.near().next().is_some()
            && self.count_near() >= self.settings.degree as usize
            && !self.links.iter().any(|link| link.random)
    }

    /// Returns whether the link at this place is far, and this node has more of those than it needs.
    pub(super) fn can_spare(&self, at: usize) -> bool {
        let needed = (self.settings.degree - self.settings.near).max(1) as usize;
        self.is_far(&self.links[at]) && self.count_far() > needed
    }

    /// Returns the place of a far link to be given up for a near one.
    pub(super) fn surplus(&self) -> Option<usize> {
        if !self.lacks_near() {
            return None;
        }
        (0..self.links.len()).find(|at| !self.links[*at].parting && self.can_spare(*at))
    }

    pub(super) fn near_due(&self) -> Option<Instant> {
        let seeks = (self.lacks_near() || self.lacks_random()) && !self.is_full();
        seeks.then_some(self.near_seek.at)
    }

    /// Returns whether one more link is to be asked for now, with a near member or a random one.
    pub(super) fn seeks_near(&mut self, now: Instant) -> bool {
        if self.near_due().is_none_or(|due| now < due) {
            return false;
        }
        let NearSeek { at, pause } = &mut self.near_seek;
        *at = now + *pause;
        *pause = (2 * *pause).min(PAUSES[1]);
        true
    }

    pub(super) fn found_near(&mut self) {
        self.near_seek = NearSeek::default();
    }
}
