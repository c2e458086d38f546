//! Updates, of which everything that spreads consists: a key, a version that is totally ordered for that key, and a
//! body.
//!
//! The larger version wins every merge. Knows no store, no mechanism and no bytes of a datagram.

mod about;
mod descriptor;
mod end;
mod fields;
mod filter;
mod formats;
mod hash;
mod owner;
mod payload;
mod stamp;

use alloc::sync::Arc;
use core::cmp::{Ordering, Reverse};
use core::fmt;

use serde::ser::SerializeTupleVariant as _;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::address::Address;
use crate::id::NodeId;
use crate::time::Instant;

pub(crate) use about::{About, check_member_name};
pub use about::{MAX_MEMBER_NAME, MAX_TAGS, Tags};
pub(crate) use descriptor::Descriptor;
pub use end::End;
pub(crate) use end::{FURTHEST_END, LONGEST_LIFE};
pub(crate) use fields::Extra;
pub use filter::{Asks, Filter, Topic};
pub use formats::{Features, Format, Formats};
#[cfg(feature = "next")]
pub(crate) use formats::{NEXT_FIELD, NEXT_KIND};
pub(crate) use hash::{ItemHasher, KeyHash, hashes_of, key_part};
pub use owner::Owner;
pub(crate) use owner::Whose;
pub use payload::Payload;
pub(crate) use payload::{Shown, text};
pub use stamp::Stamp;

/// Latest instant that a stamp, an incarnation or the start of a life may have: the beginning of the year 2500. The same
/// at every node, so that what one takes all take.
pub(crate) const LATEST: Instant = Instant::from_secs(16_725_225_600);

/// Longest name of an entry, in bytes. Names of at most 23 bytes take no memory of their own.
pub const MAX_NAME: usize = 255;

/// End of an update, in agreed time. It is absolute: an end counted from receipt would let the update circulate for ever.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Until(Instant);

impl Until {
    /// No end.
    pub const NEVER: Self = Self(Instant::MAX);

    /// Ends at this instant.
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Returns the instant, if there is one.
    pub fn instant(self) -> Option<Instant> {
        (self != Self::NEVER).then_some(self.0)
    }

    /// Returns true if an update with this end is in the reconciled set at `cut`.
    pub fn is_after(self, cut: Instant) -> bool {
        self == Self::NEVER || cut < self.0
    }
}

/// "Never" takes one byte on the wire.
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

/// State of a member as a fact. Suspicion is an opinion, and therefore not here.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It is a member.
    Alive,
    /// It was declared dead.
    Dead,
    /// It left on purpose.
    Left,
}

/// A fact about a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<A> {
    /// The member.
    pub id: NodeId,
    /// Begins as the time of its start, and grows with each of its refutations.
    pub incarnation: u64,
    /// Time of its start, by its own clock: its own entries die with this boot.
    pub boot: Instant,
    /// Random number of its start. Datagrams to it are keyed by this number, so that only a node that holds this record can write to
    /// it as a member.
    pub pass: u64,
    /// Alive, dead or left.
    pub standing: Standing,
    /// End of the record; `NEVER` while the member is alive.
    pub until: Until,
    /// Address of the member.
    pub address: A,
    /// Name, tags, formats and fields of later versions, if it has any.
    pub(crate) about: Option<About>,
}

impl<A: PartialEq> Record<A> {
    /// Returns whether it differs from an earlier one of the living member in nothing but the incarnation: the member denies
    /// being suspect or dead.
    pub(crate) fn only_denies(&self, earlier: &Self) -> bool {
        let Self { id, incarnation, boot, pass, standing, until, address, about } = self;
        *standing == Standing::Alive
            && earlier.incarnation < *incarnation
            && (earlier.id, earlier.boot, earlier.pass, earlier.standing) == (*id, *boot, *pass, *standing)
            && earlier.until == *until
            && earlier.address == *address
            && earlier.about == *about
    }
}

impl<A> Record<A> {
    /// Returns the member's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.about.as_ref().and_then(About::name)
    }

    /// Returns the member's tags.
    pub fn tags(&self) -> &Tags {
        About::tags_of(self.about.as_ref())
    }

    /// Returns the formats of the wire that the member reads and writes, and its features.
    pub fn formats(&self) -> Formats {
        About::formats_of(self.about.as_ref())
    }
}

/// Encoding of a record. The start is told as its distance from the incarnation, which mostly is small.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Record")]
struct Encoded<A> {
    id: NodeId,
    incarnation: u64,
    since_boot: u64,
    #[serde(with = "postcard::fixint::le")]
    pass: u64,
    standing: Standing,
    until: Until,
    address: A,
    #[serde(with = "about::encoded")]
    about: Option<About>,
}

impl<A: Serialize> Serialize for Record<A> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self { id, incarnation, boot, pass, standing, until, ref address, ref about } = self;
        let (since_boot, about) = (incarnation.wrapping_sub(boot.as_micros()), about.clone());
        Encoded { id, incarnation, since_boot, pass, standing, until, address, about }.serialize(serializer)
    }
}

impl<'de, A: Deserialize<'de>> Deserialize<'de> for Record<A> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Encoded { id, incarnation, since_boot, pass, standing, until, address, about } =
            Encoded::<A>::deserialize(deserializer)?;
        let boot = Instant::from_micros(incarnation.wrapping_sub(since_boot));
        Ok(Self { id, incarnation, boot, pass, standing, until, address, about })
    }
}

/// A named value, shared by all or owned by one member, or the certificate that it was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Owner; none if anybody writes it.
    pub owner: Option<Owner>,
    /// Its name.
    pub name: SmolStr,
    /// Time and author of the write.
    pub stamp: Stamp,
    /// End of the value: none unless it expires or is deleted.
    pub ends: Option<End>,
    /// Value; none in a death certificate (a tombstone).
    #[serde(with = "bytes::option")]
    pub value: Option<Arc<[u8]>>,
    /// Fields of later versions, if there are any: the update is of another kind on the wire then.
    #[serde(skip)]
    pub(crate) extra: Option<Extra>,
}

/// Rest of an entry that was deleted or has expired: its death certificate, shrunk to hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Hash of the key whose value was deleted.
    pub(crate) key: KeyHash,
    /// Owner of the entry.
    pub owner: Option<Owner>,
    /// Time and author of the deletion, or of the write if the entry has expired.
    pub stamp: Stamp,
    /// End of the entry; it always has one.
    pub ends: Option<End>,
    /// Digest of the whole entry, so that the whole and the shrunk form have the same hash.
    #[serde(with = "digest")]
    pub(crate) digest: u128,
}

/// A message to all, identified by its stamp, delivered once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broadcast {
    /// Time and author.
    pub stamp: Stamp,
    /// End of its window.
    pub until: Until,
    /// Members that are to answer, if it is a query: the update is of another kind on the wire then.
    #[serde(skip)]
    pub asks: Option<Arc<Asks>>,
    /// Content.
    #[serde(with = "bytes")]
    pub payload: Arc<[u8]>,
}

/// An update: a fact about a member, a named value, a message to all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Kind<A>", bound(deserialize = "A: Deserialize<'de>"))]
pub enum Update<A> {
    /// Record of a member.
    Member(Record<A>),
    /// Named value, or its deletion.
    Entry(Entry),
    /// Deletion of an entry of which only the hash is known.
    Certificate(Certificate),
    /// A message to all.
    Broadcast(Broadcast),
}

/// Kinds of updates on the wire: an entry with fields has one of its own, and so has a broadcast that asks, so that the others pay nothing
/// for them.
#[derive(Deserialize)]
#[serde(rename = "Update", bound(deserialize = "A: Deserialize<'de>"))]
enum Kind<A> {
    Member(Record<A>),
    Entry(Entry),
    Certificate(Certificate),
    Broadcast(Broadcast),
    Extended(Entry, Extra),
    Asking(Broadcast, Asks),
}

impl<A> From<Kind<A>> for Update<A> {
    fn from(kind: Kind<A>) -> Self {
        match kind {
            Kind::Member(record) => Self::Member(record),
            Kind::Entry(entry) => Self::Entry(entry),
            Kind::Certificate(certificate) => Self::Certificate(certificate),
            Kind::Broadcast(broadcast) => Self::Broadcast(broadcast),
            Kind::Extended(entry, extra) => Self::Entry(Entry { extra: Some(extra), ..entry }),
            Kind::Asking(broadcast, asks) => Self::Broadcast(Broadcast { asks: Some(Arc::new(asks)), ..broadcast }),
        }
    }
}

/// Written as `Kind` is read.
impl<A: Serialize> Serialize for Update<A> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NAME: &str = "Update";
        match self {
            Self::Member(record) => serializer.serialize_newtype_variant(NAME, 0, "Member", record),
            Self::Entry(entry) => match &entry.extra {
                None => serializer.serialize_newtype_variant(NAME, 1, "Entry", entry),
                Some(extra) => {
                    let mut both = serializer.serialize_tuple_variant(NAME, 4, "Extended", 2)?;
                    both.serialize_field(entry)?;
                    both.serialize_field(extra)?;
                    both.end()
                }
            },
            Self::Certificate(certificate) => serializer.serialize_newtype_variant(NAME, 2, "Certificate", certificate),
            Self::Broadcast(broadcast) => match &broadcast.asks {
                None => serializer.serialize_newtype_variant(NAME, 3, "Broadcast", broadcast),
                Some(asks) => {
                    let mut both = serializer.serialize_tuple_variant(NAME, 5, "Asking", 2)?;
                    both.serialize_field(broadcast)?;
                    both.serialize_field(&**asks)?;
                    both.end()
                }
            },
        }
    }
}

/// Version of an update; the larger wins for one key. Incarnation and standing of a record; boot and stamp of an entry.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version(u64, u64, u32, NodeId);

impl Version {
    /// Returns the part that nearly always decides: all except the counter of a stamp and its author.
    pub(crate) const fn short(self) -> (u64, u64) {
        (self.0, self.1)
    }
}

impl<A> Update<A> {
    /// Returns the member that is charged for its memory: the owner, or the last author. Records belong to nobody, and
    /// certificates have a bound of their own.
    pub(crate) fn charged(&self) -> Option<NodeId> {
        self.writer().filter(|_| !self.is_certificate())
    }

    /// Returns true if this is a death certificate, shrunk or not.
    pub(crate) const fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificate(_) | Self::Entry(Entry { value: None, .. }))
    }

    /// Returns the first field that a reader has to know and that one of this format does not.
    pub(crate) fn beyond(&self, reads: Format) -> Option<u8> {
        match self {
            Self::Member(record) => record.about.as_ref()?.beyond(reads),
            Self::Entry(entry) => entry.extra.as_ref()?.beyond(reads),
            Self::Certificate(_) | Self::Broadcast(_) => None,
        }
    }

    /// Returns the owner, or the last author. Records have none.
    pub(crate) fn writer(&self) -> Option<NodeId> {
        match self {
            Self::Member(_) => None,
            Self::Entry(Entry { owner, stamp, .. }) | Self::Certificate(Certificate { owner, stamp, .. }) => {
                Some(owner.map_or(stamp.node, |owner| owner.id))
            }
            Self::Broadcast(broadcast) => Some(broadcast.stamp.node),
        }
    }

    /// Returns the length of its value or payload in bytes.
    pub(crate) fn body_len(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.value.as_ref().map_or(0, |value| value.len()),
            Self::Broadcast(broadcast) => broadcast.payload.len(),
            Self::Member(_) | Self::Certificate(_) => 0,
        }
    }
}

impl<A: Address> Update<A> {
    /// Returns the time until which this update is kept, visible or as the death certificate that it becomes.
    pub fn until(&self) -> Until {
        match self {
            Self::Member(Record { until, .. }) | Self::Broadcast(Broadcast { until, .. }) => *until,
            Self::Entry(Entry { stamp, ends, .. }) | Self::Certificate(Certificate { stamp, ends, .. }) => {
                ends.map_or(Until::NEVER, |end| Until::at(end.until(stamp.time)))
            }
        }
    }

    /// Returns the time until which this update is visible.
    pub fn ends(&self) -> Until {
        match self {
            Self::Member(Record { until, .. }) | Self::Broadcast(Broadcast { until, .. }) => *until,
            Self::Entry(Entry { ends, .. }) | Self::Certificate(Certificate { ends, .. }) => {
                ends.map_or(Until::NEVER, |end| Until::at(end.at))
            }
        }
    }

    /// Returns the latest end of all that this update has replaced: it *covers* them.
    pub(crate) fn covers(&self) -> Until {
        match self {
            Self::Entry(Entry { ends: Some(end), .. }) | Self::Certificate(Certificate { ends: Some(end), .. }) => {
                end.covers
            }
            _ => End::NOTHING,
        }
    }

    /// Takes note of an update of this key that loses against this one: this one is kept, as a certificate, for as long as the
    /// loser could come back. Returns true if that changes anything; an update that never ends is kept for ever anyway.
    pub(crate) fn cover(&mut self, loser: &Self) -> bool {
        let end = loser.covers().max(loser.ends());
        match self {
            Self::Entry(Entry { ends: Some(own), .. }) | Self::Certificate(Certificate { ends: Some(own), .. }) => {
                own.cover(end)
            }
            _ => false,
        }
    }

    /// Returns the owner with whose boot this ends; a share has none.
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Entry(Entry { owner, .. }) | Self::Certificate(Certificate { owner, .. }) => {
                owner.filter(|owner| !owner.has_share())
            }
            Self::Member(_) | Self::Broadcast(_) => None,
        }
    }

    /// Returns the member whose share this is, or the death certificate of.
    pub fn sharer(&self) -> Option<NodeId> {
        match self {
            Self::Entry(Entry { owner, .. }) | Self::Certificate(Certificate { owner, .. }) => {
                owner.filter(Owner::has_share).map(|owner| owner.id)
            }
            Self::Member(_) | Self::Broadcast(_) => None,
        }
    }

    /// Returns time and author of the write; records of members have none.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Member(_) => None,
            Self::Entry(Entry { stamp, .. })
            | Self::Certificate(Certificate { stamp, .. })
            | Self::Broadcast(Broadcast { stamp, .. }) => Some(*stamp),
        }
    }

    /// Returns the latest time at which this claims to have been written.
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
                // The boot of a share counts as zero, as that of an entry without an owner: shares outlive restarts.
                let boot = owner.map_or(0, |owner| owner.boot.as_micros());
                Version(boot, stamp.time.as_micros(), stamp.counter, stamp.node)
            }
            // Immutable: only the digest distinguishes two broadcasts with one stamp, sent by twins.
            Self::Broadcast(_) => Version(0, 0, 0, NodeId::new(0)),
        }
    }

    /// Orders two updates of one key: by [`rank`](Self::rank), and of equal ones by what they cover, since two of the same write
    /// may have replaced different ones. They are equal only if their bytes are (a shrunk certificate counts as the entry it was).
    pub(crate) fn order(&self, other: &Self, hasher: &ItemHasher) -> Ordering {
        self.rank(other, hasher).then_with(|| self.covers().cmp(&other.covers()))
    }

    /// Orders two updates of one key, except by what they cover: the larger wins every merge. Of equal versions the one that ends
    /// earlier wins: where two nodes declare one death at slightly different times, all keep the same record.
    pub(crate) fn rank(&self, other: &Self, hasher: &ItemHasher) -> Ordering {
        (self.version(), Reverse(self.ends()))
            .cmp(&(other.version(), Reverse(other.ends())))
            .then_with(|| hasher.digest(self).cmp(&hasher.digest(other)))
    }
}

/// One line of text.
impl<A: Address> fmt::Display for Update<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owned = |f: &mut fmt::Formatter<'_>, owner: &Option<Owner>| match owner {
            Some(owner) if owner.has_share() => write!(f, "share of {} ", owner.id),
            Some(owner) => write!(f, "of {} ", owner.id),
            None => Ok(()),
        };
        match self {
            Self::Member(Record { id, incarnation, standing, address, .. }) => {
                write!(f, "member {id} {standing:?}@{incarnation} at {address:?}")?;
            }
            Self::Entry(Entry { owner, name, stamp, value, .. }) => {
                write!(f, "entry {name:?} ")?;
                owned(f, owner)?;
                match value {
                    Some(value) => write!(f, "= \"{}\" {stamp}", value.escape_ascii())?,
                    None => write!(f, "deleted {stamp}")?,
                }
            }
            Self::Certificate(Certificate { key, owner, stamp, .. }) => {
                write!(f, "certificate {key:?} ")?;
                owned(f, owner)?;
                write!(f, "{stamp}")?;
            }
            Self::Broadcast(Broadcast { stamp, payload, .. }) => {
                write!(f, "broadcast {stamp} \"{}\"", payload.escape_ascii())?;
            }
        }
        if let Some(ends) = self.ends().instant() {
            write!(f, " ends {ends}")?;
        }
        match self.until() {
            until if until == self.ends() => Ok(()),
            until => write!(f, " kept until {until:?}"),
        }
    }
}

/// Sixteen bytes; a varint would take nineteen.
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
