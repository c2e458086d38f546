//! Messages between neighbours in the overlay.
//!
//! ```text
//! Link ──▶ Linked ──▶ Confirm        a link is made (or Full: it is not)
//! Flood, Again ──▶ Confirm           a body; an offer that repeats an unconfirmed body
//! Offers, Again ──▶ Graft ──▶ Flood  what the receiver lacks
//! Flood ──▶ Prune                    the receiver had it from another neighbour
//! Offers ──▶ Graft, Prune            the sender had it over a much shorter way: its link takes another's place
//! Part ──▶ Unlink                    both have more links than they need
//! ```
//! Whatever arrives over a link that the receiver does not have is answered with `Unlink`.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::rumor::Item;
use crate::address::Address;
use crate::id::NodeId;

/// Addresses in a `Full` at most.
pub(crate) const OTHERS: usize = 3;

/// A message of the overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) enum Overlay<A> {
    /// Asks for a link. `first`: the number of the sender's first numbered datagram over it; `alone`: the sender has no
    /// link and was refused three times.
    Link { first: u16, alone: bool },
    /// Accepts a link.
    Linked { first: u16 },
    /// Refuses a link, and names members that may have room.
    Full { others: Vec<NodeId> },
    /// Ends a link.
    Unlink,
    /// Proposes to end a link if the receiver has too many as well.
    Part,
    /// Tells that the sender has a link with the receiver; rides on probes.
    Neighbour,
    /// Bodies, numbered: to be confirmed. `hops`: the links over which they came to the sender, the most of any of them.
    Flood { number: u16, hops: u8, items: Vec<Item<A>> },
    /// Items that the sender holds, by their hashes; `hops` as of bodies.
    Offers { hops: u8, hashes: Hashes },
    /// Items whose bodies were sent and not confirmed, by their hashes; numbered. Empty: confirm only that you are there.
    Again { number: u16, hashes: Hashes },
    /// Received: `newest`, and of the 32 numbers before it all but those in `missing` (bit *i*: `newest - 1 - i`).
    Confirm { newest: u16, missing: u32 },
    /// Wanted: send these, and from now on bodies. None: only that.
    Graft { hashes: Hashes },
    /// From now on send offers only.
    Prune,
}

/// Hashes of items, eight bytes each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hashes(pub(crate) Vec<u64>);

impl Serialize for Hashes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&serde_bytes::Bytes>::deserialize(deserializer)?;
        let (hashes, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(serde::de::Error::invalid_length(bytes.len(), &"a multiple of eight bytes"));
        }
        Ok(Self(hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect()))
    }
}

impl<A: Address> Overlay<A> {
    /// Returns whether a correct node can have sent this.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Flood { items, .. } => items.iter().all(|item| item.is_sound() && !matches!(item, Item::Offer(_))),
            Self::Full { others } => others.len() <= OTHERS,
            _ => true,
        }
    }
}

impl<A> Overlay<A> {
    /// Counts the things to look at.
    pub(super) fn work(&self) -> usize {
        match self {
            Self::Flood { items, .. } => items.len(),
            Self::Offers { hashes, .. } | Self::Again { hashes, .. } | Self::Graft { hashes } => hashes.0.len(),
            Self::Full { others } => others.len(),
            _ => 0,
        }
    }
}
