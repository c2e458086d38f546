//! Messages by which addresses are proved.

use super::Node;
use crate::address::Address;
use crate::id::NodeId;
use crate::outbox::{Intent, TrafficClass};
use crate::wire::Trust;

impl<A: Address> Node<A> {
    pub(super) fn on_trust(&mut self, sender: NodeId, from: &A, message: Trust) {
        match message {
            Trust::Challenge { cookie } => self.on_challenge(sender, from, cookie),
            // It has been looked at before anything else of its datagram.
            Trust::Proof { .. } => {}
        }
    }

    /// Answers a challenge: a peer ignored or did not answer a datagram, since it was not shown the token for this node's
    /// address.
    fn on_challenge(&mut self, sender: NodeId, from: &A, cookie: u32) {
        let is_new = self.trust.keep(from, cookie);
        if self.lacks_peers() {
            self.contacts.note_answered();
            self.call(from);
        } else if self.transfers.asks(from) {
            if is_new {
                self.ask_again(from);
            }
        } else if is_new && self.replica.member(sender).is_none() {
            // Its record is wanted in return: the token goes along, and a challenge.
            self.outbox.push(TrafficClass::Ack, from.clone(), Intent::Fact(self.own_key()));
        } else {
            // Not challenged again: two that cannot hold each other's records would go on for ever.
            self.outbox.push(TrafficClass::Ack, from.clone(), Intent::Introduction { cookie });
        }
    }
}
