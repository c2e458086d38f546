//! Messages of pulling: pages of a set, chunks of a large value. The receiver drives, the holder keeps no session.
//!
//! ```text
//! newcomer ── Pull (ranges, window) ──▶ holder
//! newcomer ◀── Page, Page, … Page (last) ── holder
//!
//! receiver ── Fetch (parts of a value, window) ──▶ holder
//! receiver ◀── Chunk, Chunk, … Chunk (last) ── holder    or ◀── Gone ──
//!                                                        or ◀── Challenge ── (family trust), and a fetch with the token
//! ```

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::sound::is_sound;
use crate::address::Address;
use crate::replica::{Cut, Range};
use crate::update::{Descriptor, Update};

/// The family's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) enum Pull<A> {
    /// Asks for all that the receiver holds in some ranges.
    Pages(PullRequest),
    /// Answers a pull.
    Page(Page<A>),
    /// Asks for parts of a value.
    Fetch(FetchRequest),
    /// Answers a fetch.
    Chunk(Chunk),
    /// Answers a fetch: the sender does not hold this item's value.
    Gone {
        #[serde(with = "postcard::fixint::le")]
        item: u64,
    },
}

/// Request for the items in `ranges`, at most `window` datagrams of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PullRequest {
    pub(crate) cut: Cut,
    pub(crate) token: u32,
    pub(crate) window: u8,
    /// True if the sender is in doubt itself: what the receiver is in doubt about is sent to no other.
    pub(crate) in_doubt: bool,
    pub(crate) ranges: Vec<Range>,
}

/// All that the sender holds in a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) struct Page<A> {
    pub(crate) range: Range,
    /// True on the last page that answers the pull.
    pub(crate) last: bool,
    pub(crate) updates: Vec<Update<A>>,
    pub(crate) large: Vec<Descriptor>,
}

/// Request for parts of a value, at most `window` datagrams of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchRequest {
    #[serde(with = "postcard::fixint::le")]
    pub(crate) item: u64,
    pub(crate) token: u32,
    pub(crate) window: u8,
    pub(crate) missing: Vec<Span>,
}

/// Bytes of a value from `offset` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    #[serde(with = "postcard::fixint::le")]
    pub(crate) item: u64,
    pub(crate) offset: u32,
    /// True on the last chunk that answers the fetch.
    pub(crate) last: bool,
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}

/// Bytes of a value from one offset up to another.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl<A: Address> Pull<A> {
    /// Returns whether a correct node can have sent this.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Page(Page { updates, large, .. }) => {
                updates.iter().all(is_sound) && large.iter().all(Descriptor::is_sound)
            }
            Self::Fetch(FetchRequest { missing, .. }) => missing.iter().all(|span| span.from < span.to),
            Self::Chunk(Chunk { offset, bytes, .. }) => {
                !bytes.is_empty() && u32::try_from(bytes.len()).is_ok_and(|len| offset.checked_add(len).is_some())
            }
            Self::Pages(_) | Self::Gone { .. } => true,
        }
    }
}

impl<A> Pull<A> {
    /// Counts the things to look at.
    pub(super) fn work(&self) -> usize {
        match self {
            Self::Pages(PullRequest { ranges, .. }) => ranges.len(),
            Self::Page(Page { updates, large, .. }) => updates.len() + large.len(),
            Self::Fetch(FetchRequest { missing, .. }) => missing.len(),
            Self::Chunk(_) | Self::Gone { .. } => 0,
        }
    }
}
