//! Messages of failure detection.

use super::Node;
use crate::address::Address;
use crate::id::NodeId;
use crate::outbox::TrafficClass;
use crate::wire::Swim;

impl<A: Address> Node<A> {
    pub(super) fn on_swim(&mut self, sender: NodeId, from: &A, message: Swim<A>) {
        match message {
            Swim::Ping { seq } => self.outbox.message(TrafficClass::Ack, from.clone(), Swim::Ack { seq }),
            Swim::Ack { seq } => {
                self.note_answer();
                self.on_ack(sender, seq);
            }
            Swim::PingReq(request) => self.detector.on_ping_req(self.now, from, request, &mut self.outbox),
            Swim::Nack { seq } => self.detector.on_nack(sender, seq),
        }
    }

    pub(in crate::node) fn on_ack(&mut self, sender: NodeId, seq: u32) {
        self.detector.on_ack(self.now, sender, seq, &mut self.outbox);
    }
}
