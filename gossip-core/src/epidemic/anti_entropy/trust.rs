//! What an address has proved, and what it may still ask for.

use super::AntiEntropy;
use crate::address::Address;
use crate::time::Instant;

/// What the hot rumors come to that one who pulls is told, in kilobytes.
const PULL_UNITS: u32 = 8;

impl<A: Address> AntiEntropy<A> {
    /// What `address` is to send back, to prove that it receives.
    pub(crate) fn token(&self, address: &A, now: Instant) -> u32 {
        self.tokenizer.token(address, now)
    }

    /// Whether `address` has received what was sent there not long ago.
    pub(crate) fn proves(&self, address: &A, token: u32, now: Instant) -> bool {
        self.tokenizer.proves(address, token, now)
    }

    /// Whether a peer may be answered with one item.
    pub(crate) fn affords_one(&mut self, peer: &A, now: Instant) -> bool {
        self.buckets.take(peer, 1, now) == 1
    }

    /// Whether a peer may be answered at more length than it asked, once.
    pub(crate) fn affords(&mut self, peer: &A, now: Instant) -> bool {
        self.buckets.take(peer, PULL_UNITS, now) == PULL_UNITS
    }
}
