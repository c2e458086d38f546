//! Rounds in which rumors go out.

use super::Node;
use crate::address::Address;

impl<A: Address> Node<A> {
    pub(super) fn tick_rumors(&mut self) {
        if self.is_alone() {
            self.rumors.stall(self.now);
        } else {
            self.rumors.resume(self.now);
            self.hold_rounds();
        }
        // Some peer has it, and most others have it by now: the next exchange brings it, and need not wait for its time.
        if self.rumors.has_missed(self.now) {
            self.anti_entropy.look_again(self.now);
        }
    }

    fn hold_rounds(&mut self) {
        let wanted = self.rumors.partners_wanted(self.now);
        if wanted > 0 {
            let partners = self.random_peers(wanted);
            self.rumors.hold_rounds(self.now, &partners, &mut self.outbox);
        }
    }
}
