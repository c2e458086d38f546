//! What the peers' clocks say of one's own.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use crate::address::Address;
use crate::id::NodeId;
use crate::time::Instant;

/// How many peers are listened to.
const PEERS: usize = 8;

/// How many it takes: one or two may be wrong themselves.
const QUORUM: usize = 3;

/// How far the last distinct peers' clocks were ahead.
#[derive(Debug, Default)]
pub(super) struct PeerClocks {
    last: VecDeque<(NodeId, Duration)>,
    /// How far this node's clock is behind, if most peers say that it is by more than the bound.
    behind: Duration,
}

impl PeerClocks {
    /// Takes note of a peer's clock; the median of the peers', if from now on they agree that one's own is wrong.
    pub(super) fn note(&mut self, peer: NodeId, clock: Instant, now: Instant, bound: Duration) -> Option<Instant> {
        let ahead = clock.since(now);
        match self.last.iter_mut().find(|(id, _)| *id == peer) {
            Some((_, last)) => *last = ahead,
            None => {
                if self.last.len() == PEERS {
                    self.last.pop_front();
                }
                self.last.push_back((peer, ahead));
            }
        }
        // The common case costs nothing: nobody is ahead, and nobody was.
        if ahead <= bound && self.behind.is_zero() {
            return None;
        }
        let was_right = self.behind.is_zero();
        let mut ahead: Vec<Duration> = self.last.iter().map(|(_, ahead)| *ahead).collect();
        ahead.sort_unstable();
        if ahead.len() < QUORUM {
            return None;
        }
        let median = ahead[(ahead.len() - 1) / 2];
        self.behind = if median > bound { median } else { Duration::ZERO };
        (was_right && !self.behind.is_zero()).then(|| now + self.behind)
    }

    /// The latest time that a stamp may have.
    pub(super) fn horizon(&self, now: Instant, bound: Duration) -> Instant {
        now + self.behind + bound
    }
}

impl<A: Address> Node<A> {
    /// The latest time that a stamp or an incarnation may have to be believed.
    pub(super) fn horizon(&self) -> Instant {
        self.peer_clocks.horizon(self.now, self.config.lifetimes.max_ahead)
    }

    pub(super) fn note_clock(&mut self, sender: NodeId, clock: Instant) {
        let bound = self.config.lifetimes.max_ahead;
        if let Some(median) = self.peer_clocks.note(sender, clock, self.now, bound) {
            self.events.clock_wrong(median, self.now);
            self.clock.observe(median, 0);
        }
        if clock <= self.peer_clocks.horizon(self.now, bound) {
            self.clock.observe(clock, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fast_clock_is_its_owners_trouble_and_a_majority_is_ones_own() {
        let (now, bound) = (Instant::from_secs(1_000), Duration::from_secs(10));
        let mut clocks = PeerClocks::default();
        for peer in 0..4 {
            assert_eq!(clocks.note(NodeId::new(peer), now, now, bound), None);
        }
        let fast = now + Duration::from_secs(100);
        for peer in 4..8 {
            assert_eq!(clocks.note(NodeId::new(peer), fast, now, bound), None, "four of eight are not most");
        }
        assert_eq!(clocks.horizon(now, bound), now + bound);
        assert_eq!(clocks.note(NodeId::new(0), fast, now, bound), Some(fast), "five of eight are");
        assert_eq!(clocks.note(NodeId::new(1), fast, now, bound), None, "said once");
        assert_eq!(clocks.horizon(now, bound), fast + bound);
    }
}
