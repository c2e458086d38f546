//! Loss of interest (Demers et al., section 1.4): decides how long a site stays infective.
//!
//! Knows a policy and the outcome of each contact. Must not know the content of the rumor, the peers or the time: the
//! node runs it on real datagrams, the testkit's laboratory on synchronous cycles, and the paper's tables thereby test
//! the node's code.

use rand::{Rng, RngExt};

use crate::config::{LossOfInterest, Policy, Response};

/// Outcome of one contact in which a rumor was sent, as its sender sees it.
///
/// Ordered by weight. Where the contacts of a whole cycle count as one, as with pull, the largest counts: if any peer
/// needed the update the counter is reset, otherwise one is added (Demers et al., section 1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// Not reported: the policy is blind, or the answer was lost.
    Unknown,
    /// The peer knew the rumor already.
    Useless,
    /// The peer did not know the rumor.
    Useful,
}

/// Interest of one site in one rumor: hot from its arrival until the policy ends it.
///
/// Takes two bytes, has no clock, and draws randomness from outside. The effect of a contact follows from the
/// [`Policy`]:
///
/// | | counter | coin |
/// |---|---|---|
/// | feedback | lost after `k` useless contacts in a row; a useful one starts anew | lost with probability `1/k` at each useless contact |
/// | blind | lost after `k` contacts | lost with probability `1/k` at each contact |
///
/// The bound on sends (`lambda`) is not here: the sender applies it, and the paper has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    counter: u8,
    hot: bool,
}

impl Interest {
    /// Interest of a site that has just received the rumor: infective.
    pub const fn new() -> Self {
        Self { counter: 0, hot: true }
    }

    /// Returns true while the site is infective. A site that is not is removed for good.
    pub const fn is_hot(&self) -> bool {
        self.hot
    }

    /// Number of contacts in a row that counted: the value that minimization compares. `u8::MAX` once removed, so that
    /// of two sites that knew the rumor the infective one has the smaller value. Always 0 while hot with a coin.
    pub const fn counter(&self) -> u8 {
        if self.hot { self.counter } else { u8::MAX }
    }

    /// Returns true if a contact with a site whose counter is `other` counts here, given that both knew the rumor. With
    /// minimization only the smaller counter moves, or both if they are equal (Demers et al., section 1.4,
    /// "Minimization"). Both sides compare their counters from before the contact.
    pub const fn moves(&self, other: u8) -> bool {
        self.counter() <= other
    }

    /// Records a contact: one partner with push, all that asked within a cycle (the largest [`Contact`]) with pull. A
    /// cycle in which no peer asked is no contact. With feedback an [`Unknown`](Contact::Unknown) contact changes
    /// nothing; with a blind policy every contact counts. Draws from `rng` only for a coin.
    pub fn contact(&mut self, policy: &Policy, contact: Contact, rng: &mut impl Rng) {
        let counts = match (policy.response, contact) {
            (Response::Blind, _) | (Response::Feedback, Contact::Useless) => true,
            (Response::Feedback, Contact::Unknown) => false,
            (Response::Feedback, Contact::Useful) => {
                self.counter = 0;
                false
            }
        };
        if !counts || !self.hot {
            return;
        }
        self.hot = match policy.loss_of_interest {
            LossOfInterest::Counter => {
                self.counter = self.counter.saturating_add(1);
                u32::from(self.counter) < policy.k
            }
            LossOfInterest::Coin => !rng.random_ratio(1, policy.k.max(1)),
        };
    }
}

/// Same as [`Interest::new`].
impl Default for Interest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
