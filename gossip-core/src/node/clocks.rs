//! What the driver and the members say of the time.

use core::time::Duration;

use super::Node;
use crate::address::Address;
use crate::clock::Wrong;
use crate::event::Status;
use crate::id::NodeId;
use crate::time::Instant;
use crate::wire::Header;

impl<A: Address> Node<A> {
    /// Tells this node what its wall clock says at `now`: UNIX time, as right as it is known. Stamps and ends of leases
    /// are made of it, so that they mean the same at every node and after a restart. Until it is told once, wall time is
    /// `now`.
    ///
    /// A driver calls it with every input or command; it costs next to nothing. The wall clock may step in either
    /// direction and be wrong by any amount: timers do not run on it.
    pub fn set_wall_clock(&mut self, now: Instant, wall: Instant) {
        self.now = self.now.max(now);
        let members = self.detector.members().peers() + 1;
        let wrong = self.clocks.set_wall(self.now, wall, members);
        self.note_wrong(wrong);
    }

    /// A member has answered after `trip`: takes its wall clock in.
    pub(super) fn note_reading(&mut self, sender: NodeId, clock: Instant, trip: Duration) {
        let Self { now, clocks, detector, .. } = self;
        let members = detector.members();
        let lives =
            |id: NodeId| members.get(id).is_some_and(|seen| matches!(seen.status, Status::Alive | Status::Suspect));
        let wrong = clocks.note_reading(*now, (sender, clock), trip, lives, members.peers() + 1);
        self.note_wrong(wrong);
    }

    /// How old a datagram is by its sender's clock, counted from what that said when it last answered here.
    pub(super) fn age_of(&self, now: Instant, header: &Header) -> Duration {
        self.clocks.behind(self.now.max(now), header.sender, header.clock).unwrap_or_default()
    }

    /// Agreed time.
    pub(super) fn agreed(&self) -> Instant {
        self.clocks.agreed(self.now)
    }

    fn note_wrong(&mut self, wrong: Option<Wrong>) {
        if let Some(Wrong { peers, own }) = wrong {
            self.events.clock_wrong(peers, own);
        }
    }
}
