//! Exchanges of anti-entropy: when this node begins one, and what they work with.

use rand::RngExt;

use super::Node;
use crate::address::Address;
use crate::config::Membership;
use crate::epidemic::anti_entropy::{AntiEntropy, Context};

/// Where the members are given nobody is pinged, so nobody notices a restart: of so many exchanges one begins as between
/// strangers.
const GIVEN_AS_STRANGERS: u32 = 8;

impl<A: Address> Node<A> {
    /// Anti-entropy, and what it works with.
    pub(super) fn anti_entropy(&mut self) -> (&mut AntiEntropy<A>, Context<'_, A>) {
        let Self { now, clocks, replica, absence, outbox, anti_entropy, trust, paths, .. } = self;
        let (clock, mark) = (clocks.agreed(*now), clocks.hybrid(*now));
        (anti_entropy, Context { now: *now, clock, mark, replica, absence, outbox, trust, paths })
    }

    pub(super) fn tick_anti_entropy(&mut self) {
        if self.anti_entropy.begins(self.now, &mut self.rng) && self.identity.is_running() {
            // At rest a summary rides on the next ping: that goes to a member as random as any, and saves a header.
            if self.detector.pings_soon() && self.anti_entropy.is_calm() {
                self.anti_entropy.wait_for_ping();
            } else if let Some(peer) = self.random_peers(1).first() {
                if self.config.membership == Membership::Given && self.rng.random_ratio(1, GIVEN_AS_STRANGERS) {
                    self.trust.note_outdated(peer);
                }
                self.begin_exchange(peer);
            }
        }
        let (anti_entropy, mut context) = self.anti_entropy();
        anti_entropy.retry(&mut context);
    }

    /// Begins an exchange with the member that has been pinged just now, if one waits for that.
    pub(super) fn ride_on_ping(&mut self) {
        if let Some(pinged) = self.detector.pinged().cloned()
            && self.anti_entropy.rides_on_ping()
        {
            self.begin_exchange(&pinged);
        }
    }
}
