//! Proofs of an address, and the budget of each peer.

use super::AntiEntropy;
use crate::address::Address;
use crate::time::Instant;

/// Budget for the answer to one pull of rumors, in kilobytes.
const PULL_UNITS: u32 = 8;

impl<A: Address> AntiEntropy<A> {
    /// Makes the token that `address` is to send back, to prove that it receives.
    pub(crate) fn token(&self, address: &A, now: Instant) -> u32 {
        self.tokenizer.token(address, now)
    }

    /// Returns true if `address` has received a token that was sent to it not long ago.
    pub(crate) fn proves(&self, address: &A, token: u32, now: Instant) -> bool {
        self.tokenizer.proves(address, token, now)
    }

    /// Takes from a peer's budget for an answer of one item. Returns false if the budget is used up.
    pub(crate) fn affords_one(&mut self, peer: &A, now: Instant) -> bool {
        self.buckets.take(peer, 1, now) == 1
    }

    /// Takes from a peer's budget for an answer longer than its request. Returns false if the budget is used up.
    pub(crate) fn affords(&mut self, peer: &A, now: Instant) -> bool {
        self.buckets.take(peer, PULL_UNITS, now) == PULL_UNITS
    }
}
