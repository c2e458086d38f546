//! Clocks: the driver's wall clock and the members' readings.

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
        self.pass_to(now);
        let members = self.detector.members().peers() + 1;
        let wrong = self.clocks.set_wall(self.now, wall, members);
        self.note_wrong(wrong);
    }

    /// A member has answered after `trip`: takes its wall clock in.
    pub(super) fn note_reading(&mut self, sender: NodeId, clock: Instant, trip: Duration) {
        let Self { now, clocks, detector, .. } = self;
        let members = detector.members();
        // Who is suspected has not answered lately: what its clock said before may be long ago, and was perhaps set right since.
        let answers = |id: NodeId| members.get(id).is_some_and(|seen| seen.status == Status::Alive);
        let wrong = clocks.note_reading(*now, (sender, clock), trip, answers, members.peers() + 1);
        self.note_wrong(wrong);
    }

    /// Age of a sealed datagram by its sender's clock, counted from what that said when it last answered here. Without a key
    /// anybody can write any age.
    #[cfg_attr(
        not(feature = "encryption"),
        expect(unused_variables, clippy::unused_self, reason = "nothing is sealed")
    )]
    pub(super) fn age_of(&self, now: Instant, sender: NodeId, header: &Header) -> Duration {
        #[cfg(feature = "encryption")]
        if self.envelope.seals() {
            return self.clocks.behind(self.now.max(now), sender, header.clock()).unwrap_or_default();
        }
        Duration::ZERO
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
