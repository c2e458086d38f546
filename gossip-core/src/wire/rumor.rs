//! Messages of rumor mongering (Demers et al., section 1.4).
//!
//! ```text
//! writer ── Mail ──▶ peer                    (no answer)
//! peer   ── Round (updates, offers) ──▶ partner
//! peer   ◀── Feedback (was new, or is wanted) ── partner
//! peer   ── Mail (what was offered and is wanted) ──▶ partner
//! ```

use alloc::vec::Vec;
use core::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::sound::is_sound;
use crate::address::Address;
use crate::id::NodeId;
use crate::update::{Descriptor, Format, Update};

/// The family's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) enum Rumor<A> {
    /// Carries a hot item beside other messages, or direct mail. It is not answered.
    Mail(Item<A>),
    /// Carries what a rumor round sends to one partner.
    Round(Round<A>),
    /// Answers a round.
    Feedback(Feedback),
}

/// Content of a rumor message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) enum Item<A> {
    /// An update, whole.
    Update(Update<A>),
    /// A suspicion.
    Suspicion(Suspicion),
    /// The hash of an update's item: the receiver asks for the update if it lacks it.
    #[serde(with = "postcard::fixint::le")]
    Offer(u64),
    /// An entry too large for a datagram, without its value, which is fetched.
    Large(Descriptor),
}

/// Opinion of `accuser` that `about` has failed: it is hot for a while and never reconciled.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Suspicion {
    pub(crate) about: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) accuser: NodeId,
}

impl Suspicion {
    /// Hash that stands for the suspicion among the hashes of items.
    pub(crate) fn item_hash(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        for part in [self.about.get(), self.incarnation, self.accuser.get()] {
            hasher.write(&part.to_le_bytes());
        }
        hasher.finish()
    }
}

/// Items of one rumor round for one partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) struct Round<A> {
    /// Number that the feedback repeats.
    pub(crate) number: u16,
    /// True if every item is to be reported as known or new, false if only wanted offers are.
    pub(crate) feedback: bool,
    /// True if the receiver is to send its hot rumors.
    pub(crate) pull: bool,
    /// At most 64 items, each with its counter (for minimization).
    pub(crate) items: Vec<(u8, Item<A>)>,
}

/// Answer to a [`Round`]: bit `i` of each mask stands for item `i`.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Feedback {
    pub(crate) number: u16,
    /// The item was new; if it was an offer: it is wanted.
    pub(crate) useful: u64,
    /// The item counts for nothing: it was offered and is on its way from another peer, or it was known and the smaller
    /// counter is not the sender's (minimization).
    pub(crate) neutral: u64,
}

/// Items in one round, since feedback has a bit for each.
const ITEMS: usize = 64;

impl<A: Address> Rumor<A> {
    /// Returns whether a correct node can have sent this.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Mail(item) => item.is_sound(),
            Self::Round(Round { items, .. }) => items.len() <= ITEMS && items.iter().all(|(_, item)| item.is_sound()),
            Self::Feedback(_) => true,
        }
    }
}

impl<A> Rumor<A> {
    /// Counts the things to look at.
    pub(super) fn work(&self) -> usize {
        match self {
            Self::Mail(_) => 1,
            Self::Round(Round { items, .. }) => items.len(),
            Self::Feedback(_) => 0,
        }
    }
}

impl<A: Address> Item<A> {
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Update(update) => is_sound(update),
            Self::Suspicion(_) | Self::Offer(_) => true,
            Self::Large(descriptor) => descriptor.is_sound(),
        }
    }
}

impl<A> Item<A> {
    /// Returns the first field in it that whoever reads this format has to know and does not.
    pub(super) fn beyond(&self, reads: Format) -> Option<u8> {
        match self {
            Self::Update(update) => update.beyond(reads),
            Self::Large(descriptor) => descriptor.beyond(reads),
            Self::Suspicion(_) | Self::Offer(_) => None,
        }
    }
}
