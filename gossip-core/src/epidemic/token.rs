//! Proofs that an address receives: a token that was sent there comes back. Keeps no state for those that ask.

use core::hash::Hasher;
use core::time::Duration;

use rand::{Rng, RngExt};
use siphasher::sip::SipHasher24;

use crate::address::{Address, MAX_ADDRESS};
use crate::time::Instant;

/// Epoch of a token. It is valid for one to two epochs.
const EPOCH: Duration = Duration::from_secs(300);

/// Makes tokens and verifies them.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    secret: (u64, u64),
}

impl Tokenizer {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self { secret: (rng.random(), rng.random()) }
    }

    /// Makes the token for `address`.
    pub(crate) fn token<A: Address>(&self, address: &A, now: Instant) -> u32 {
        self.at(address, now.floor_to(EPOCH))
    }

    /// Returns true if `token` was sent to `address` in this epoch or the last.
    pub(crate) fn proves<A: Address>(&self, address: &A, token: u32, now: Instant) -> bool {
        let epoch = now.floor_to(EPOCH);
        token == self.at(address, epoch) || token == self.at(address, epoch - EPOCH)
    }

    #[expect(clippy::cast_possible_truncation, reason = "32 of 64 uniform bits")]
    fn at<A: Address>(&self, address: &A, epoch: Instant) -> u32 {
        let mut buffer = [0; MAX_ADDRESS];
        // An address that is too long belongs to no member: all such get the same token.
        let address: &[u8] = postcard::to_slice(address, &mut buffer).map_or(&[], |bytes| bytes);
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(&epoch.as_micros().to_le_bytes());
        hasher.write(address);
        hasher.finish() as u32
    }
}
