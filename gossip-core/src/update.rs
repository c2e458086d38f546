//! Everything that spreads: a key, a version that is totally ordered for that key, and a body.
//!
//! Merging is "the larger version wins". Knows no store, no mechanism and no bytes of a datagram.

mod descriptor;
mod hash;
mod stamp;

use alloc::sync::Arc;
use core::cmp::{Ordering, Reverse};
use core::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::address::Address;
use crate::id::NodeId;
use crate::time::Instant;

pub(crate) use descriptor::Descriptor;
pub(crate) use hash::{ItemHasher, KeyHash, hashes_of, key_part};
pub use stamp::Stamp;

/// Latest instant that a stamp, an incarnation or the start of a life may have: the beginning of the year 2500. The same
/// at every node, so that what one takes all take.
pub(crate) const LATEST: Instant = Instant::from_secs(16_725_225_600);

/// The longest name of an entry, in bytes. Names of at most 23 bytes take no memory of their own.
pub const MAX_NAME: usize = 255;

/// When an update is past its time, in hybrid-logical-clock time. Absolute: it is part of the version, not counted
/// from receipt (what is counted from receipt circulates for ever).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Until(Instant);

impl Until {
    /// Not at all.
    pub const NEVER: Self = Self(Instant::MAX);

    /// At this instant.
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The instant, if there is one.
    pub fn instant(self) -> Option<Instant> {
        (self != Self::NEVER).then_some(self.0)
    }

    /// Whether an update that lives until `self` is in the reconciled set at `cut`.
    pub fn is_after(self, cut: Instant) -> bool {
        self == Self::NEVER || cut < self.0
    }
}

/// "Never" is one byte on the wire.
impl Serialize for Until {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_micros().wrapping_add(1).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|raw| Self(Instant::from_micros(raw.wrapping_sub(1))))
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instant() {
            Some(instant) => write!(f, "{instant}"),
            None => f.write_str("never"),
        }
    }
}

/// What is held for a fact about a member. Suspicion is an opinion, so it is not here.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It is a member.
    Alive,
    /// It was declared dead.
    Dead,
    /// It said goodbye.
    Left,
}

/// A fact about a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<A> {
    /// The member.
    pub id: NodeId,
    /// Which of its refutations this record knows; the first is the time of its start.
    pub incarnation: u64,
    /// When it started, by its own clock: what it owns dies with it.
    pub boot: Instant,
    /// Alive, dead or left.
    pub standing: Standing,
    /// `NEVER` while it is alive.
    pub until: Until,
    /// Where it is.
    pub address: A,
}

/// Whose an owned entry is.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The member.
    pub id: NodeId,
    /// Its life when it wrote.
    pub boot: Instant,
}

/// A named value, shared or owned by a member, or the certificate of its death.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose it is; nobody's if shared.
    pub owner: Option<Owner>,
    /// Its name.
    pub name: SmolStr,
    /// When it was written.
    pub stamp: Stamp,
    /// When the value is gone; `NEVER` for ordinary values and for deleted ones.
    pub expires: Until,
    /// When all of it may be forgotten; `NEVER` for ordinary values. What expires is its own death certificate from
    /// then on, or the value that it replaced would come back from a replica that was away.
    pub until: Until,
    /// The value; none is a death certificate (a tombstone).
    #[serde(with = "bytes::option")]
    pub value: Option<Arc<[u8]>>,
}

/// What is left of an entry that was deleted or has expired: the certificate of its death, shrunk to hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Hash of the key whose value was deleted.
    pub(crate) key: KeyHash,
    /// Whose the entry was.
    pub owner: Option<Owner>,
    /// When it was deleted, or written if it has expired.
    pub stamp: Stamp,
    /// When it may be forgotten.
    pub until: Until,
    /// The digest of the entry: both forms are one item.
    #[serde(with = "digest")]
    pub(crate) digest: u128,
}

/// A message to all, identified by its stamp, delivered once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broadcast {
    /// When and by whom it was sent.
    pub stamp: Stamp,
    /// The end of its window.
    pub until: Until,
    /// What it says.
    #[serde(with = "bytes")]
    pub payload: Arc<[u8]>,
}

/// What spreads: about a member, a named value, a message to all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize", deserialize = "A: Deserialize<'de>"))]
pub enum Update<A> {
    /// About a member.
    Member(Record<A>),
    /// A named value, or that it is deleted.
    Entry(Entry),
    /// That something, known only by its hash, is deleted.
    Certificate(Certificate),
    /// A message to all.
    Broadcast(Broadcast),
}

/// What the larger of wins, for one key. Incarnation and standing of a record; life and stamp of an entry.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version(u64, u64, u32, NodeId);

impl Version {
    /// What nearly always decides: all but the counter of a stamp, and who wrote it.
    pub(crate) const fn short(self) -> (u64, u64) {
        (self.0, self.1)
    }
}

impl<A> Update<A> {
    /// Who takes room with it: the owner, or whoever wrote it last. Records of members are nobody's.
    pub(crate) fn writer(&self) -> Option<NodeId> {
        match self {
            Self::Member(_) => None,
            Self::Entry(Entry { owner, stamp, .. }) | Self::Certificate(Certificate { owner, stamp, .. }) => {
                Some(owner.map_or(stamp.node, |owner| owner.id))
            }
            Self::Broadcast(broadcast) => Some(broadcast.stamp.node),
        }
    }

    /// How many bytes its value or payload has.
    pub(crate) fn body_len(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.value.as_ref().map_or(0, |value| value.len()),
            Self::Broadcast(broadcast) => broadcast.payload.len(),
            Self::Member(_) | Self::Certificate(_) => 0,
        }
    }
}

impl<A: Address> Update<A> {
    /// When this is past its time.
    pub fn until(&self) -> Until {
        match self {
            Self::Member(record) => record.until,
            Self::Entry(entry) => entry.until,
            Self::Certificate(certificate) => certificate.until,
            Self::Broadcast(broadcast) => broadcast.until,
        }
    }

    /// Whose this is, if it is owned.
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Entry(Entry { owner, .. }) | Self::Certificate(Certificate { owner, .. }) => *owner,
            Self::Member(_) | Self::Broadcast(_) => None,
        }
    }

    /// When and by whom it was written; records of members have no stamp.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Member(_) => None,
            Self::Entry(Entry { stamp, .. })
            | Self::Certificate(Certificate { stamp, .. })
            | Self::Broadcast(Broadcast { stamp, .. }) => Some(*stamp),
        }
    }

    /// The latest time that this claims to have been written at.
    pub(crate) fn written(&self) -> Instant {
        match self {
            Self::Member(record) => Instant::from_micros(record.incarnation).max(record.boot),
            Self::Entry(Entry { owner, stamp, .. }) | Self::Certificate(Certificate { owner, stamp, .. }) => {
                owner.map_or(stamp.time, |owner| owner.boot.max(stamp.time))
            }
            Self::Broadcast(broadcast) => broadcast.stamp.time,
        }
    }

    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Member(record) => Version(record.incarnation, record.standing as u64, 0, NodeId::new(0)),
            Self::Entry(Entry { owner, stamp, .. }) | Self::Certificate(Certificate { owner, stamp, .. }) => {
                let boot = owner.map_or(0, |owner| owner.boot.as_micros());
                Version(boot, stamp.time.as_micros(), stamp.counter, stamp.node)
            }
            // Immutable: two with one stamp, by twins, are told apart by their digest alone.
            Self::Broadcast(_) => Version(0, 0, 0, NodeId::new(0)),
        }
    }

    /// The order of two updates of one key: equal only if their bytes are (a shrunk certificate counts as what it
    /// was). Of two deaths at one incarnation the one that ends earlier wins, so that many who time out together agree.
    pub(crate) fn order(&self, other: &Self, hasher: &ItemHasher) -> Ordering {
        (self.version(), Reverse(self.until()))
            .cmp(&(other.version(), Reverse(other.until())))
            .then_with(|| hasher.digest(self).cmp(&hasher.digest(other)))
    }
}

/// One line for people.
impl<A: fmt::Debug> fmt::Display for Update<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owned = |f: &mut fmt::Formatter<'_>, owner: &Option<Owner>| match owner {
            Some(owner) => write!(f, "of {} ", owner.id),
            None => Ok(()),
        };
        let until = match self {
            Self::Member(Record { id, incarnation, standing, until, address, .. }) => {
                write!(f, "member {id} {standing:?}@{incarnation} at {address:?}")?;
                until
            }
            Self::Entry(Entry { owner, name, stamp, until, value, .. }) => {
                write!(f, "entry {name:?} ")?;
                owned(f, owner)?;
                match value {
                    Some(value) => write!(f, "= \"{}\" {stamp}", value.escape_ascii())?,
                    None => write!(f, "deleted {stamp}")?,
                }
                until
            }
            Self::Certificate(Certificate { key, owner, stamp, until, .. }) => {
                write!(f, "certificate {key:?} ")?;
                owned(f, owner)?;
                write!(f, "{stamp}")?;
                until
            }
            Self::Broadcast(Broadcast { stamp, until, payload }) => {
                write!(f, "broadcast {stamp} \"{}\"", payload.escape_ascii())?;
                until
            }
        };
        match until.instant() {
            Some(until) => write!(f, " until {until}"),
            None => Ok(()),
        }
    }
}

/// Sixteen bytes, where a varint would spend nineteen.
mod digest {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        digest.to_le_bytes().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        <[u8; 16]>::deserialize(deserializer).map(u128::from_le_bytes)
    }
}

/// Shared bytes as serde bytes: one copy in, none out.
pub(crate) mod bytes {
    use alloc::sync::Arc;
    use core::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Arc<[u8]>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Arc::from(bytes))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
                let mut bytes = alloc::vec::Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Arc::from(bytes))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }

    /// The same behind an `Option`.
    pub(crate) mod option {
        use super::{Arc, Deserializer, Serializer};
        use serde::{Deserialize, Serialize};

        #[derive(Serialize, Deserialize)]
        struct Shared(#[serde(with = "super")] Arc<[u8]>);

        pub(crate) fn serialize<S: Serializer>(bytes: &Option<Arc<[u8]>>, serializer: S) -> Result<S::Ok, S::Error> {
            bytes.clone().map(Shared).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<[u8]>>, D::Error> {
            Option::<Shared>::deserialize(deserializer).map(|shared| shared.map(|Shared(bytes)| bytes))
        }
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
