//! Trust in addresses: a token that was sent to an address comes back from there, so somebody receives there.
//!
//! A datagram names any sender, and any address. Three degrees follow from what it shows:
//!
//! - *stranger*: nothing. Its datagram changes nothing here, and is answered with no more bytes than it has;
//! - *known*: it is keyed by this node's pass, so its sender holds this node's record, or it answers this node's ping;
//! - *proved*: the datagram carries the token for its address. What is larger than its question needs that, also of members.
//!
//! There is one secret, from which all tokens are computed, so no state is kept for those who ask; one table of the tokens that
//! peers gave to this node, bounded; and one budget in bytes for everything that is larger than the question.
//!
//! | who | what he does | what he gets |
//! |---|---|---|
//! | stranger | sends anything | an ack or a challenge, no longer than the datagram; no state is kept |
//! | stranger | gives another's address | that address gets no more bytes than he sent |
//! | stranger | guesses tokens | 32 bits, made from the address and the time: after a billion datagrams, one in four |
//! | listener | repeats a token that he saw | it is good for one address, and for 5 to 10 minutes |
//! | member | asks for more than his share | nothing until his budget fills again; the budget of all bounds any number of ids |
//!
//! Knows addresses and numbers of bytes. Must not know messages, or what is asked for.

mod budget;

use alloc::collections::VecDeque;
use core::hash::Hasher;
use core::time::Duration;

use rand::{Rng, RngExt};
use siphasher::sip::SipHasher24;

use crate::address::{Address, MAX_ADDRESS};
use crate::time::Instant;
use budget::Budget;

/// Epoch of a token. It is valid for one to two epochs.
const EPOCH: Duration = Duration::from_secs(300);
/// Addresses that are spoken to as strangers although there is a record. Others learn by themselves that they restarted.
const OUTDATED: usize = 64;
/// Tokens of peers that are kept. For a forgotten one the peer challenges this node again.
const GIVEN: usize = 64;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Trust<A> {
    secret: (u64, u64),
    budget: Budget<A>,
    /// Tokens that peers gave to this node, the latest last.
    given: VecDeque<(A, u32)>,
    /// Addresses of members whose records may be of an earlier start: they are spoken to as strangers.
    outdated: VecDeque<A>,
}

impl<A: Address> Trust<A> {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self {
            secret: (rng.random(), rng.random()),
            budget: Budget::new(),
            given: VecDeque::new(),
            outdated: VecDeque::new(),
        }
    }

    /// Makes the token for `address`.
    pub(crate) fn token(&self, address: &A, now: Instant) -> u32 {
        self.at(address, now.floor_to(EPOCH))
    }

    /// Returns true if `token` was sent to `address` in this epoch or the last.
    pub(crate) fn proves(&self, address: &A, token: u32, now: Instant) -> bool {
        let epoch = now.floor_to(EPOCH);
        token == self.at(address, epoch) || token == self.at(address, epoch - EPOCH)
    }

    #[expect(clippy::cast_possible_truncation, reason = "32 of 64 uniform bits")]
    fn at(&self, address: &A, epoch: Instant) -> u32 {
        let mut buffer = [0; MAX_ADDRESS];
        // An address that is too long belongs to no member: all such get the same token.
        let address: &[u8] = postcard::to_slice(address, &mut buffer).map_or(&[], |bytes| bytes);
        let mut hasher = SipHasher24::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(&epoch.as_micros().to_le_bytes());
        hasher.write(address);
        hasher.finish() as u32
    }

    /// Keeps the token that a peer wants to see. Returns whether it is another one than before.
    pub(crate) fn keep(&mut self, peer: &A, token: u32) -> bool {
        if self.shown_to(peer) == Some(token) {
            return false;
        }
        self.given.retain(|(of, _)| of != peer);
        if self.given.len() == GIVEN {
            self.given.pop_front();
        }
        self.given.push_back((peer.clone(), token));
        true
    }

    /// Returns the token to be shown to a peer, if it gave one.
    pub(crate) fn shown_to(&self, peer: &A) -> Option<u32> {
        self.given.iter().find(|(of, _)| of == peer).map(|(_, token)| *token)
    }

    /// Speaks to this address as to a stranger from now on: its record may be of an earlier start, whose pass it does not
    /// know.
    pub(crate) fn note_outdated(&mut self, address: &A) {
        if !self.is_outdated(address) {
            if self.outdated.len() == OUTDATED {
                self.outdated.pop_front();
            }
            self.outdated.push_back(address.clone());
        }
    }

    /// Speaks to this address by its record again.
    pub(crate) fn note_current(&mut self, address: &A) {
        self.outdated.retain(|outdated| outdated != address);
    }

    /// Returns whether this address is spoken to as a stranger's.
    pub(crate) fn is_outdated(&self, address: &A) -> bool {
        self.outdated.contains(address)
    }

    /// Takes from the budget of `peer` for up to `wanted` pieces of `each` bytes. Returns the number granted.
    pub(crate) fn grant(&mut self, peer: &A, wanted: u32, each: usize, now: Instant) -> u32 {
        self.budget.take(peer, wanted, u32::try_from(each).unwrap_or(u32::MAX), now)
    }

    /// Takes `bytes` from the budget of `peer`. Returns false, and takes nothing, if it has fewer left.
    pub(crate) fn affords(&mut self, peer: &A, bytes: usize, now: Instant) -> bool {
        self.grant(peer, 1, bytes, now) == 1
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    const NOW: Instant = Instant::from_secs(1_700_000_000);

    fn trust(seed: u64) -> Trust<u32> {
        Trust::new(&mut Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    #[test]
    fn a_token_is_good_for_one_address_one_node_and_two_epochs() {
        let trust = trust(1);
        let token = trust.token(&7, NOW);
        assert!(trust.proves(&7, token, NOW) && trust.proves(&7, token, NOW + EPOCH));
        assert!(!trust.proves(&7, token, NOW + 2 * EPOCH));
        assert!(!trust.proves(&8, token, NOW));
        assert!(!self::trust(2).proves(&7, token, NOW));
    }

    #[test]
    fn tokens_of_peers_are_kept_up_to_a_bound() {
        let mut trust = trust(1);
        assert!(trust.keep(&1, 5) && !trust.keep(&1, 5) && trust.keep(&1, 6));
        assert_eq!(trust.shown_to(&1), Some(6));
        (2..1_000).for_each(|peer| _ = trust.keep(&peer, peer));
        assert_eq!((trust.shown_to(&1), trust.shown_to(&999)), (None, Some(999)));
        assert!(trust.given.len() <= GIVEN);
    }
}
