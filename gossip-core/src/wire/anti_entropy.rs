//! Messages of anti-entropy (Demers et al., section 1.3).
//!
//! ```text
//! initiator ── Summary ──▶ responder         (silence if both hold the same)
//! initiator ◀── Summary (answer) ── responder
//! initiator ── Sketch ──▶ responder          (one for each range)
//! initiator ◀── Decoded, Updates, Large ── responder      or ◀── Split ──, and sketches of smaller ranges follow
//! initiator ── Updates, Large (wanted by Decoded) ──▶ responder
//! initiator ── Want (newer versions) ──▶ responder
//! initiator ◀── Updates, Large ── responder
//! ```

use alloc::vec::Vec;

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::sound::is_sound;
use crate::absence::Knowledge;
use crate::address::Address;
use crate::config::Exchange;
use crate::replica::{Cut, Range};
use crate::sketch::Sketch;
use crate::time::Instant;
use crate::update::{Descriptor, Update};

/// The family's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub(crate) enum Repair<A> {
    /// Describes the sender's set in short.
    Summary(Summary),
    /// Carries coded symbols of what the sender holds in a range.
    Sketch(Symbols),
    /// Answers a sketch that did not decode.
    Split(Split),
    /// Answers a sketch that decoded.
    Decoded(Decoded),
    /// Carries updates that the receiver lacks.
    Updates(Vec<Update<A>>),
    /// Carries descriptors of entries that the receiver lacks and that are too large for a datagram.
    Large(Vec<Descriptor>),
    /// Asks for the newer versions of some keys.
    Want(Want),
}

/// A set of items in short.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) cut: Cut,
    pub(crate) count: u64,
    #[serde(with = "postcard::fixint::le")]
    pub(crate) fingerprint: u64,
    pub(crate) state: State,
    pub(crate) answer: Answer,
}

/// State of a replica besides its set: a byte where nothing is wrong and nothing is said of the past.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// True if the sender refused updates lately, so that frequent comparing is useless.
    pub(crate) partial: bool,
    pub(crate) knows: Knowledge,
}

impl State {
    /// State of a question at rest.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { partial: false, knows: Knowledge::Unsaid };
}

/// One if partial, plus two times the kind of knowledge; then its parts.
impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let partial = u8::from(self.partial);
        match self.knows {
            Knowledge::Unsaid => (partial,).serialize(serializer),
            Knowledge::Complete { since, reach } => (partial | 2, since, reach).serialize(serializer),
            Knowledge::InDoubt(doubt) => (partial | 4, doubt).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = State;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a state")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut parts: S) -> Result<State, S::Error> {
                let short = || S::Error::invalid_length(1, &"a state");
                let first: u8 = parts.next_element()?.ok_or_else(short)?;
                let knows = match first >> 1 {
                    0 => Knowledge::Unsaid,
                    1 => {
                        let (since, reach) = parts.next_element()?.ok_or_else(short)?;
                        Knowledge::Complete { since, reach }
                    }
                    2 => Knowledge::InDoubt(parts.next_element()?.ok_or_else(short)?),
                    _ => return Err(S::Error::invalid_value(Unexpected::Unsigned(first.into()), &"a state")),
                };
                Ok(State { partial: first & 1 == 1, knows })
            }
        }

        deserializer.deserialize_tuple(2, Parts)
    }
}

/// Part of a summary that says whether it answers one. `token`: the receiver shows it when it asks for more than it sent.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The summary begins an exchange.
    No,
    /// Answer to a peer whose address has no record here: it is no longer than the question.
    Brief { token: u32 },
    /// Answer with the counts of the sender's first coded symbols, from which the receiver estimates the difference.
    Full { token: u32, counts: [u8; COUNTS] },
}

/// Counts in a full answer: enough for an estimate within a third.
pub(crate) const COUNTS: usize = 24;

/// Coded symbols of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Symbols {
    pub(crate) cut: Cut,
    pub(crate) range: Range,
    /// Items that the sender holds in the range.
    pub(crate) count: u64,
    pub(crate) exchange: Exchange,
    /// True if the sender is in doubt about what it holds.
    pub(crate) in_doubt: bool,
    pub(crate) tokens: Tokens,
    pub(crate) sketch: Sketch,
}

/// Proofs that each side's address receives: one for the receiver to keep, and the receiver's own given back.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) mine: u32,
    pub(crate) yours: u32,
}

/// Answer to a sketch that did not decode.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Split {
    pub(crate) range: Range,
    /// Items that the sender holds in the range.
    pub(crate) count: u64,
    /// Estimate of how many items differ.
    pub(crate) estimate: u64,
}

/// Answer to a sketch that decoded. It asks for what the sender lacks in the same message, so that it is lost or not
/// together with the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decoded {
    pub(crate) range: Range,
    /// Differences found.
    pub(crate) found: u64,
    /// Items that the sender lacks. The receiver leaves out those of which the sender holds the newer version.
    pub(crate) want: Prefixes,
    /// Keys of which both hold different versions.
    pub(crate) rivals: Vec<Rival>,
}

/// Request for the newer versions of some keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Want {
    pub(crate) token: u32,
    pub(crate) keys: Vec<Short>,
}

/// Short name of a key: the lower half of its hash.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Short(#[serde(with = "postcard::fixint::le")] pub(crate) u64);

/// Version that the sender holds of a key of which the receiver holds another.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rival {
    pub(crate) key: Short,
    /// See [`Version::short`](crate::update::Version::short).
    pub(crate) version: (u64, u64),
}

impl Rival {
    /// Returns when that version was written. Versions of members are not times: theirs lie in the far past.
    pub(crate) const fn written(&self) -> Instant {
        Instant::from_micros(self.version.1)
    }
}

/// Upper halves of item hashes, four bytes each. That finds the items among a few millions; where two begin alike, both
/// are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Prefixes(pub(crate) Vec<u32>);

impl Prefixes {
    pub(crate) fn of(hashes: &[u64]) -> Self {
        Self(hashes.iter().map(|hash| (hash >> 32) as u32).collect())
    }

    /// Ranges of the hash space in which the items lie.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range> {
        self.0.iter().filter_map(|prefix| {
            let first = u64::from(*prefix) << 32;
            Range::new(first, first | u64::from(u32::MAX))
        })
    }
}

impl Serialize for Prefixes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|prefix| prefix.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Prefixes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&serde_bytes::Bytes>::deserialize(deserializer)?;
        let (prefixes, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(D::Error::invalid_length(bytes.len(), &"a multiple of four bytes"));
        }
        Ok(Self(prefixes.iter().map(|prefix| u32::from_le_bytes(*prefix)).collect()))
    }
}

impl<A: Address> Repair<A> {
    /// Returns whether a correct node can have sent this.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Updates(updates) => updates.iter().all(is_sound),
            Self::Large(large) => large.iter().all(Descriptor::is_sound),
            Self::Summary(_) | Self::Sketch(_) | Self::Split(_) | Self::Decoded(_) | Self::Want(_) => true,
        }
    }
}

impl<A> Repair<A> {
    /// Counts the things to look at.
    pub(super) fn work(&self) -> usize {
        match self {
            Self::Updates(updates) => updates.len(),
            Self::Large(large) => large.len(),
            Self::Decoded(Decoded { want, rivals, .. }) => want.0.len() + rivals.len(),
            Self::Want(Want { keys, .. }) => keys.len(),
            Self::Summary(_) | Self::Sketch(_) | Self::Split(_) => 0,
        }
    }
}
