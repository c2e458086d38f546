//! Messages by which addresses are proved.

use super::Node;
use crate::address::Address;
use crate::wire::Trust;

impl<A: Address> Node<A> {
    pub(super) fn on_trust(&mut self, from: &A, message: Trust) {
        match message {
            Trust::Challenge { cookie } => self.on_challenge(from, cookie),
            // It has been looked at before anything else of its datagram.
            Trust::Proof { .. } => {}
        }
    }
}
