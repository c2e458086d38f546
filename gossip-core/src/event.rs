//! Events for the application, and the types in them.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use smol_str::SmolStr;

use crate::error::Bound;
use crate::id::NodeId;
use crate::query::QueryId;
use crate::time::Instant;
use crate::unicast::DeliveryId;
use crate::update::{About, Features, Formats, Payload, Shown, Stamp, Tags, text};

/// A value that is set aside: see [`Node::set_aside`](crate::Node::set_aside).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SetAside {
    /// Member whose share it is; none if anybody writes it.
    pub owner: Option<NodeId>,
    /// Name.
    pub name: SmolStr,
    /// Value.
    #[serde(serialize_with = "text")]
    pub value: Arc<[u8]>,
    /// Time and author of its write.
    pub stamp: Stamp,
}

/// A member's status, as this node sees it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It answers.
    Alive,
    /// It did not answer. It will be declared dead unless it refutes the suspicion in time.
    Suspect,
    /// It was declared dead.
    Dead,
    /// It left on purpose.
    Left,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        })
    }
}

/// A member, as this node sees it. Two are equal whatever their round trips: those are measurements.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Member<A> {
    /// Identity.
    pub id: NodeId,
    /// Address.
    pub address: A,
    /// Status in the view of this node.
    pub status: Status,
    /// Number of its latest claim to be alive: its start in microseconds, raised by every refutation.
    pub incarnation: u64,
    /// Time of its start, by its own clock.
    pub boot: Instant,
    pub(crate) about: Option<About>,
    pub(crate) rtt: Option<Duration>,
}

impl<A: PartialEq> PartialEq for Member<A> {
    fn eq(&self, other: &Self) -> bool {
        let Self { id, address, status, incarnation, boot, about, rtt: _ } = self;
        *id == other.id
            && *address == other.address
            && *status == other.status
            && *incarnation == other.incarnation
            && *boot == other.boot
            && *about == other.about
    }
}

impl<A: Eq> Eq for Member<A> {}

/// Round trip to a member, see [`Node::distance`](crate::Node::distance).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize)]
pub enum Distance {
    /// Measured by the pings that the member has answered here, and smoothed.
    Measured(Duration),
    /// Estimated by the coordinates of both: this node has no answer of it.
    Estimated(Duration),
}

impl Distance {
    /// Returns the round trip, measured or estimated.
    pub const fn round_trip(self) -> Duration {
        match self {
            Self::Measured(trip) | Self::Estimated(trip) => trip,
        }
    }

    /// Returns true if it was not measured.
    pub const fn is_estimate(self) -> bool {
        matches!(self, Self::Estimated(_))
    }
}

impl<A> Member<A> {
    /// Returns its name, if it has one: see [`Node::set_name`](crate::Node::set_name).
    pub fn name(&self) -> Option<&str> {
        self.about.as_ref().and_then(About::name)
    }

    /// Returns its tags: see [`Node::set_tags`](crate::Node::set_tags).
    pub fn tags(&self) -> &Tags {
        About::tags_of(self.about.as_ref())
    }

    /// Returns the smoothed round trip of the pings that it has answered here; none before the first, and of this node itself.
    /// [`Node::distance`](crate::Node::distance) estimates it where there is none.
    pub const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Returns true if it has this tag with this value: `members().filter(|member| member.has_tag("role", "db"))`.
    pub fn has_tag(&self, key: &str, value: &str) -> bool {
        self.tags().get(key) == Some(value)
    }
}

/// Shows name and tags as fields of their own, as far as there are any.
impl<A: Serialize> Serialize for Member<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, address, status, incarnation, boot, .. } = self;
        let (name, tags) = (self.name(), self.tags());
        let length = 5 + usize::from(name.is_some()) + usize::from(!tags.is_empty());
        let mut object = serializer.serialize_struct("Member", length)?;
        object.serialize_field("id", id)?;
        object.serialize_field("address", address)?;
        object.serialize_field("status", status)?;
        object.serialize_field("incarnation", incarnation)?;
        object.serialize_field("boot", boot)?;
        if let Some(name) = name {
            object.serialize_field("name", name)?;
        }
        if !tags.is_empty() {
            object.serialize_field("tags", tags)?;
        }
        object.end()
    }
}

/// A member that this node has a link with, along which news travels.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Neighbour {
    /// Its id.
    pub id: NodeId,
    /// It is sent bodies at once. If not, it is sent hashes, and asks for what it lacks.
    pub eager: bool,
    /// It has been silent for so long that another neighbour is sought beside it.
    pub doubted: bool,
}

/// Identifies a broadcast.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BroadcastId(pub Stamp);

/// Change of an entry. A value that is text is shown and serialized as text.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Change {
    /// It has a new value.
    Written {
        /// New value.
        #[serde(serialize_with = "text")]
        value: Arc<[u8]>,
        /// Time and author of the write.
        stamp: Stamp,
    },
    /// It is gone: it was deleted, it expired, or its owner died or left.
    Gone,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written { value, stamp } => {
                f.debug_struct("Written").field("value", &Shown(value)).field("stamp", stamp).finish()
            }
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// A change that the application can observe. Events are states: an application that polls late receives only the
/// latest state, at most one event per member and per entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Event<A> {
    /// A member joined, was suspected, recovered, died, left, or moved.
    Member {
        /// Status in the previous event about this member; none if it is new.
        was: Option<Status>,
        /// Present state.
        member: Member<A>,
    },
    /// A member that died or left long ago is forgotten.
    Reaped {
        /// Identity of the member.
        id: NodeId,
    },
    /// An entry has another value, also if it was written here. A write of the value that is there is no event.
    Entry {
        /// Owner of the entry; none if it is shared.
        owner: Option<NodeId>,
        /// Name of the entry.
        name: SmolStr,
        /// New state.
        change: Change,
    },
    /// A member's share has another value, also if it was written here. A write of the value that is there is no event.
    Share {
        /// Member whose share it is.
        owner: NodeId,
        /// Name of the share.
        name: SmolStr,
        /// New state.
        change: Change,
    },
    /// Two boots of this member have written one share without knowing of each other: the later value is kept, and this is the
    /// other. Fold it into the one that is there, and write that.
    ShareLost {
        /// Name of the share.
        name: SmolStr,
        /// Value that was lost.
        value: Payload,
        /// Time of its write.
        stamp: Stamp,
    },
    /// A broadcast of another member arrived.
    Broadcast {
        /// Identity of the broadcast.
        id: BroadcastId,
        /// Content.
        payload: Payload,
    },
    /// A message of another member, sent to this one alone.
    Unicast {
        /// Its sender.
        from: NodeId,
        /// Content.
        payload: Payload,
    },
    /// A message that wanted a receipt got one, or was given up: its time was over, or the member died, left or was forgotten. One
    /// that was given up may have arrived all the same.
    Delivered {
        /// Message: see [`Node::send_acknowledged`](crate::Node::send_acknowledged).
        id: DeliveryId,
        /// Its receiver.
        to: NodeId,
        /// True if there is a receipt.
        received: bool,
    },
    /// A query asks this member: [`Node::answer`](crate::Node::answer) it, or decline.
    Query {
        /// Identity of the query.
        id: QueryId,
        /// Content.
        payload: Payload,
    },
    /// A query of this node has answers to [fetch](crate::Node::poll_answer), or has ended.
    Answers {
        /// Identity of the query.
        query: QueryId,
    },
    /// Progress of catching up: this node lacks nearly all that a peer holds, and fetches it.
    CatchUp {
        /// Number of items received.
        received: u64,
        /// Approximate number of items expected.
        expected: u64,
        /// True for the last event of this fetch. If the peers fell silent, `received` is less than `expected`, and the
        /// next exchanges fetch the rest.
        done: bool,
    },
    /// This node lost contact to all others (`true`), or has contact again (`false`). A join has three protocol periods
    /// before the first is said; the second is said when another member answers.
    Isolated(bool),
    /// Another live node has this node's id.
    IdentityConflict {
        /// Address of the other node.
        address: A,
    },
    /// This node's wall clock is further from most members' than [`max_ahead`](crate::Lifetimes::max_ahead), and it goes by
    /// theirs until its own is set. Of two members each goes by its own, and both say so. Said once, until it is right
    /// again.
    ClockWrong {
        /// Median of the members' clocks.
        peers: Instant,
        /// This node's wall clock.
        own: Instant,
    },
    /// After an absence of this node, others did not hold so many of its values, and had forgotten deletions of that time: the
    /// values are [set aside](crate::Node::set_aside).
    SetAside {
        /// Number of values.
        count: u64,
    },
    /// Other members do not reach this node at the address that it advertises: they hold it suspect or dead. Said once, until
    /// they reach it again.
    Unreachable {
        /// Address that this node advertises.
        advertised: A,
        /// Address from which its datagrams come to the others.
        seen: A,
    },
    /// A path to a member loses all datagrams that are longer than this; both send each other shorter ones from now on. Several
    /// that are found before this is polled make one event.
    NarrowPath {
        /// Address of the member.
        address: A,
        /// Length in bytes up to which datagrams arrive.
        longest: usize,
    },
    /// This node refuses new items because it has reached a bound. Reported once, until there is room again;
    /// [`Stats`](crate::Stats) counts what was refused.
    Full {
        /// Bound that was reached.
        bound: Bound,
    },
    /// Datagrams of another cluster arrive here, because of a wrong label or a wrong address. Reported at most once per
    /// hour.
    ForeignCluster {
        /// Source of the latest datagram.
        address: A,
    },
    /// Datagrams arrive here that are sealed with a key that this node does not have, or that are plain while it requires a
    /// key. Reported at most once per hour.
    UnknownKey {
        /// Number of the key; 0 is plain.
        key: u8,
        /// Source of the latest datagram.
        address: A,
    },
    /// Datagrams of a version of the wire format arrive here that this node does not understand. Reported at most once per
    /// hour.
    UnknownVersion {
        /// Version in the datagram; that of this node, if only a message in it is of a later one.
        version: u8,
        /// Source of the latest datagram.
        address: A,
    },
    /// Datagrams of this cluster arrive here that are longer than this node's [`max_datagram`](crate::Config::max_datagram):
    /// some node has a larger one. They are refused, and their senders asked for shorter ones. Reported at most once per hour.
    LargerDatagrams {
        /// Length of the latest datagram in bytes, as far as it was received.
        length: usize,
        /// This node's `max_datagram`.
        longest: usize,
        /// Source of the latest datagram.
        address: A,
    },
    /// A member runs a version that this node cannot be in a cluster with: the two read no common format of the wire, or one lacks a
    /// feature that the other uses. Reported once for each such member; it is told the same.
    Incompatible {
        /// Identity of the member.
        id: NodeId,
        /// Formats that it reads, and its features.
        formats: Formats,
    },
    /// All members have these features, and this node uses them from now on, for ever: the last node was upgraded.
    Features(Features),
    /// This node's [`leave`](crate::Node::leave) is done.
    Left,
}
