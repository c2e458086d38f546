//! Messages of failure detection.

use core::time::Duration;

use super::Node;
use crate::address::Address;
use crate::id::NodeId;
use crate::outbox::TrafficClass;
use crate::time::Instant;
use crate::wire::Swim;

impl<A: Address> Node<A> {
    /// `clock`: the sender's wall clock.
    pub(super) fn on_swim(&mut self, (sender, clock): (NodeId, Instant), from: &A, message: Swim<A>) {
        match message {
            Swim::Ping { seq } => {
                self.unreached.withdraw(sender);
                self.outbox.message(TrafficClass::Ack, from.clone(), Swim::Ack { seq });
            }
            Swim::Ack { seq } => {
                if let Some(trip) = self.on_ack(sender, seq) {
                    self.round_trips.note(trip);
                    self.detector.note_trip(sender, trip);
                    self.note_reading(sender, clock, trip);
                    self.overlay.note_trip(sender, trip);
                }
            }
            Swim::PingReq(request) => self.detector.on_ping_req(self.now, from, request, &mut self.outbox),
            Swim::Nack { seq } => self.detector.on_nack(sender, seq),
            Swim::Unreached(report) => self.on_unreached(sender, report),
        }
    }

    /// Takes an ack in. Returns the round trip if the sender answered this node's own ping.
    pub(in crate::node) fn on_ack(&mut self, sender: NodeId, seq: u32) -> Option<Duration> {
        let (detector, mut context) = self.detector();
        let trip = detector.on_ack(sender, seq, &mut context);
        self.apply_findings(None);
        trip
    }
}
