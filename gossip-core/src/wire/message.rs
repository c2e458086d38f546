//! The messages, and how they are packed into a byte budget.

use alloc::vec::Vec;
use core::hash::Hasher;

use postcard::ser_flavors::Size;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::{HEADER, Overlay};
use crate::address::{Address, MAX_ADDRESS};
use crate::config::Exchange;
use crate::error::DatagramError;
use crate::id::NodeId;
use crate::replica::Range;
use crate::sketch::Sketch;
use crate::time::Instant;
use crate::update::{Descriptor, Entry, MAX_NAME, Standing, Until, Update};

/// That `accuser` suspects `about`: an opinion, so it is hot for a while and never reconciled.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Suspicion {
    pub(crate) about: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) accuser: NodeId,
}

impl Suspicion {
    /// Stands for it among the hashes of items.
    pub(crate) fn item_hash(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        for part in [self.about.get(), self.incarnation, self.accuser.get()] {
            hasher.write(&part.to_le_bytes());
        }
        hasher.finish()
    }
}

/// What a rumor message carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) enum Item<A> {
    Update(Update<A>),
    Suspicion(Suspicion),
    /// An update by the hash of its item: the body follows when wanted.
    #[serde(with = "postcard::fixint::le")]
    Offer(u64),
    /// An entry too large for a datagram, all but its value: that is fetched.
    Large(Descriptor),
}

/// What nodes say to one another. Each stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) enum Message<A> {
    /// Are you there?
    Ping { seq: u32 },
    /// I am.
    Ack { seq: u32 },
    /// Is this member there? Ask it for me.
    PingReq { seq: u32, target: NodeId, address: A },
    /// I asked, it has not answered yet.
    Nack { seq: u32 },
    /// A hot item that rides along, or direct mail: no answer is expected.
    Mail(Item<A>),
    /// Hot items, each with its counter (for minimization).
    Rumor {
        number: u16,
        /// Whether every item is to be answered for, or only what is wanted.
        feedback: bool,
        /// Whether the receiver is asked for what is hot there.
        pull: bool,
        items: Vec<(u8, Item<A>)>,
    },
    /// The answer to a rumor message, a bit for each item.
    Feedback {
        number: u16,
        /// It was news; of an offer: send it.
        useful: u64,
        /// It says nothing of interest: it was offered and is on its way from another, or it was known and the smaller
        /// counter is not the asker's (minimization).
        spared: u64,
    },
    /// What I hold, in short.
    Summary {
        /// Whole seconds: items that end at or before it are left out.
        cut: u32,
        count: u64,
        #[serde(with = "postcard::fixint::le")]
        fingerprint: u64,
        /// Whether I could not take in what I was sent lately: to compare often would be in vain.
        partial: bool,
        answer: Answer,
    },
    /// Coded symbols of what I hold in a range.
    Sketch { cut: u32, range: Range, count: u64, exchange: Exchange, tokens: Tokens, sketch: Sketch },
    /// The sketch of this range did not decode: how much I hold there, and by how much it differs, about.
    Split { range: Range, count: u64, estimate: u64 },
    /// The sketch of this range decoded: so many differences, and I want these, which I lack, unless the version that I
    /// hold is the newer one. (Not a `Want` of its own: one datagram fewer, and it is lost or not with the answer.)
    Decoded { range: Range, found: u64, want: Prefixes, rivals: Vec<Rival> },
    /// Send me what you hold in these ranges, up to so many datagrams.
    Pull { cut: u32, token: u32, window: u8, ranges: Vec<Range> },
    /// Everything that I hold in this range; the last that answers a pull says so.
    Page { range: Range, last: bool, updates: Vec<Update<A>>, large: Vec<Descriptor> },
    /// What you lack.
    Updates(Vec<Update<A>>),
    /// Of these keys you hold newer versions, by their short names: I want them.
    Want { token: u32, keys: Vec<Short> },
    /// I took nothing in of what you said: I do not know that you are at this address. If you are, send this back.
    Challenge {
        #[serde(with = "postcard::fixint::le")]
        cookie: u32,
    },
    /// I am.
    Proof {
        #[serde(with = "postcard::fixint::le")]
        cookie: u32,
    },
    /// What you lack and is too large for a datagram.
    Large(Vec<Descriptor>),
    /// Send me these bytes of the value of an item, up to so many datagrams.
    Fetch {
        #[serde(with = "postcard::fixint::le")]
        item: u64,
        token: u32,
        window: u8,
        missing: Vec<Span>,
    },
    /// What stands there from `offset` on; the last that answers a fetch says so.
    Chunk {
        #[serde(with = "postcard::fixint::le")]
        item: u64,
        offset: u32,
        last: bool,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// I do not hold this item's value, or not any more.
    Gone {
        #[serde(with = "postcard::fixint::le")]
        item: u64,
    },
    /// Fetch again, and show this: I do not know yet that your address receives.
    Prove {
        #[serde(with = "postcard::fixint::le")]
        item: u64,
        token: u32,
    },
    /// Between neighbours.
    Overlay(Overlay<A>),
}

/// Whether a summary answers one. `token`: what to show when asking for more than was sent.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It asks.
    No,
    /// To a stranger, who is not told more than it has said.
    Brief { token: u32 },
    /// With the counts of my first coded symbols: from them and its own, the asker sees by how much both differ, about.
    Full { token: u32, counts: [u8; COUNTS] },
}

/// Enough for an estimate within a third.
pub(crate) const COUNTS: usize = 24;

/// The short name of a key.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Short(#[serde(with = "postcard::fixint::le")] pub(crate) u64);

/// The version that I hold of a key of which you hold another.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rival {
    pub(crate) key: Short,
    /// See [`Version::short`](crate::update::Version::short).
    pub(crate) version: (u64, u64),
}

impl Rival {
    /// When that version was written; of members, whose versions are not times, long ago.
    pub(crate) const fn written(&self) -> Instant {
        Instant::from_micros(self.version.1)
    }
}

/// A proof that each side's address receives: mine for you, and yours given back.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) mine: u32,
    pub(crate) yours: u32,
}

/// Bytes of a value: from one offset up to another.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// The first halves of item hashes, four bytes each: enough to find the items among a few millions, and where two
/// begin alike, both are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Prefixes(pub(crate) Vec<u32>);

impl Prefixes {
    pub(crate) fn of(hashes: &[u64]) -> Self {
        Self(hashes.iter().map(|hash| (hash >> 32) as u32).collect())
    }

    /// Where the items are.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range> {
        self.0.iter().filter_map(|prefix| {
            let first = u64::from(*prefix) << 32;
            Range::new(first, first | u64::from(u32::MAX))
        })
    }
}

impl Serialize for Prefixes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|prefix| prefix.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Prefixes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&serde_bytes::Bytes>::deserialize(deserializer)?;
        let (prefixes, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(serde::de::Error::invalid_length(bytes.len(), &"a multiple of four bytes"));
        }
        Ok(Self(prefixes.iter().map(|prefix| u32::from_le_bytes(*prefix)).collect()))
    }
}

/// How many bytes a value takes on the wire.
pub(crate) fn encoded_len<T: Serialize>(value: &T) -> usize {
    // The size flavor cannot run out of room, and none of our types fails to serialize.
    postcard::serialize_with_flavor(value, Size::default()).unwrap_or(usize::MAX)
}

/// Packs messages into a buffer, each whole or not at all.
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> Writer<'a> {
    /// Over the messages' part of a datagram.
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    /// Appends a message; `false`, and nothing is changed, if it does not fit.
    pub(crate) fn push<A: Address>(&mut self, message: &Message<A>) -> bool {
        let room = &mut self.buffer[self.used..];
        match postcard::to_slice(message, room) {
            Ok(written) => {
                self.used += written.len();
                true
            }
            Err(_) => false,
        }
    }

    pub(crate) fn room(&self) -> usize {
        self.buffer.len() - self.used
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

/// Reads all messages of a datagram into `messages`, or none.
pub(crate) fn read<A: Address>(mut body: &[u8], messages: &mut Vec<Message<A>>) -> Result<(), DatagramError> {
    messages.clear();
    let length = body.len();
    while !body.is_empty() {
        let offset = HEADER + length - body.len();
        match postcard::take_from_bytes::<Message<A>>(body) {
            Ok((message, rest)) if message.is_sound() => {
                messages.push(message);
                body = rest;
            }
            _ => {
                messages.clear();
                return Err(DatagramError::Malformed { offset });
            }
        }
    }
    Ok(())
}

impl<A: Address> Message<A> {
    /// Whether this can have been sent by a node that keeps the rules: what decodes may still be nonsense.
    fn is_sound(&self) -> bool {
        match self {
            Self::Mail(item) => item.is_sound(),
            Self::PingReq { address, .. } => encoded_len(address) <= MAX_ADDRESS,
            // The answer has a bit for each.
            Self::Rumor { items, .. } => items.len() <= 64 && items.iter().all(|(_, item)| item.is_sound()),
            Self::Page { updates, large, .. } => updates.iter().all(is_sound) && large.iter().all(Descriptor::is_sound),
            Self::Updates(updates) => updates.iter().all(is_sound),
            Self::Overlay(Overlay::Flood { items, .. }) => {
                items.iter().all(|item| item.is_sound() && !matches!(item, Item::Offer(_)))
            }
            Self::Large(large) => large.iter().all(Descriptor::is_sound),
            Self::Fetch { missing, .. } => missing.iter().all(|span| span.from < span.to),
            Self::Chunk { offset, bytes, .. } => {
                !bytes.is_empty() && u32::try_from(bytes.len()).is_ok_and(|len| offset.checked_add(len).is_some())
            }
            Self::Ping { .. }
            | Self::Ack { .. }
            | Self::Nack { .. }
            | Self::Feedback { .. }
            | Self::Summary { .. }
            | Self::Sketch { .. }
            | Self::Split { .. }
            | Self::Decoded { .. }
            | Self::Want { .. }
            | Self::Pull { .. }
            | Self::Challenge { .. }
            | Self::Proof { .. }
            | Self::Gone { .. }
            | Self::Overlay(_)
            | Self::Prove { .. } => true,
        }
    }
}

impl<A: Address> Item<A> {
    fn is_sound(&self) -> bool {
        match self {
            Self::Update(update) => is_sound(update),
            Self::Suspicion(_) | Self::Offer(_) => true,
            Self::Large(descriptor) => descriptor.is_sound(),
        }
    }
}

impl Descriptor {
    fn is_sound(&self) -> bool {
        let Self { name, expires, until, size, .. } = self;
        *size > 0 && name.len() <= MAX_NAME && are_sound(true, *expires, *until)
    }
}

/// Whether an update can have been written by a node that keeps the rules.
fn is_sound<A: Address>(update: &Update<A>) -> bool {
    match update {
        Update::Member(record) => {
            let ends = record.until != Until::NEVER;
            ends == (record.standing != Standing::Alive) && encoded_len(&record.address) <= MAX_ADDRESS
        }
        Update::Entry(entry) => {
            let Entry { name, expires, until, value, .. } = entry;
            name.len() <= MAX_NAME && are_sound(value.is_some(), *expires, *until)
        }
        Update::Certificate(certificate) => {
            certificate.until != Until::NEVER && certificate.key.is_entry(certificate.owner.is_some())
        }
        Update::Broadcast(broadcast) => broadcast.until != Until::NEVER,
    }
}

/// Whether an entry, with a value or without one, may end so.
fn are_sound(written: bool, expires: Until, until: Until) -> bool {
    // What is deleted or expires ends; what lives for ever does not.
    let mortal = !written || expires != Until::NEVER;
    // Not part of a certificate's digest: two that differ in nothing else would be one item.
    (written || expires == Until::NEVER)
        && mortal == (until != Until::NEVER)
        && (expires == Until::NEVER || expires <= until)
}
