//! Whether a site stays infective: the loss of interest of Demers et al., section 1.4.
//!
//! Knows a policy and what came of each contact. Must not know what the rumor says, who was met, or what time it is:
//! the node runs it on real datagrams, the laboratory of the testkit on synchronous cycles, and the paper's tables are
//! thereby a test of the node's code.

use rand::{Rng, RngExt};

use crate::config::{LossOfInterest, Policy, Response};

/// What came of one contact in which a rumor was sent, as its sender sees it.
///
/// Ordered by what it says: where the contacts of a whole cycle count as one, as with pull, the largest counts: if
/// anybody needed the update the counter is reset, if nobody did one is added (Demers et al., section 1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// Nobody said: the policy is blind, or the answer was lost.
    Unknown,
    /// The other knew it already.
    Useless,
    /// The other did not know it.
    Useful,
}

/// One site's interest in one rumor: hot from when it is heard until contacts wear it out.
///
/// Two bytes, no clock, randomness from outside. What a contact does follows from the [`Policy`]:
///
/// | | counter | coin |
/// |---|---|---|
/// | feedback | lost after `k` useless contacts in a row; a useful one starts anew | lost with probability `1/k` at each useless contact |
/// | blind | lost after `k` contacts | lost with probability `1/k` at each contact |
///
/// The bound on sends (`lambda`) is not here: it is the sender's, and the paper has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    counter: u8,
    hot: bool,
}

impl Interest {
    /// Of a site that has just heard the rumor: infective.
    pub const fn new() -> Self {
        Self { counter: 0, hot: true }
    }

    /// Whether the site is infective; if not, it is removed, and for good.
    pub const fn is_hot(&self) -> bool {
        self.hot
    }

    /// The contacts that counted, in a row: what minimization compares. `u8::MAX` once removed, so that of two who
    /// knew, the one still infective has the smaller. Always 0 while hot with a coin.
    pub const fn counter(&self) -> u8 {
        if self.hot { self.counter } else { u8::MAX }
    }

    /// Whether a contact with one whose counter is `other` counts here, where both knew: with minimization only the
    /// smaller counter moves, both if they are equal (Demers et al., section 1.4, "Minimization"). Both sides compare
    /// the counters from before the contact.
    pub const fn moves(&self, other: u8) -> bool {
        self.counter() <= other
    }

    /// Takes note of a contact: one partner with push, all who asked within a cycle (the largest [`Contact`]) with
    /// pull; a cycle in which nobody asked is no contact. Under feedback an [`Unknown`](Contact::Unknown) one changes
    /// nothing, under a blind policy any counts. Draws from `rng` only for a coin.
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

/// [`Interest::new`].
impl Default for Interest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
