//! Errors, sorted by blame: the peer's bytes, the caller, the configuration.

use alloc::string::String;
use core::fmt;

use serde::Serialize;

use crate::id::NodeId;

/// A fault in received bytes, by the peer or on the way. The whole datagram was refused; nothing changed but a counter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// Too short to be a datagram.
    #[error("a datagram of {length} bytes is shorter than the minimum, {shortest}")]
    TooShort {
        /// Bytes received.
        length: usize,
        /// Length of header and trailer alone.
        shortest: usize,
    },
    /// Longer than the cluster's `max_datagram`.
    #[error("a datagram of {length} bytes is longer than the cluster's `max_datagram`, {longest}")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// Configured bound.
        longest: usize,
    },
    /// Another version of the wire format.
    #[error("wire format version {found}, this node speaks version {spoken}")]
    Version {
        /// Version in the datagram.
        found: u8,
        /// Version that this node speaks.
        spoken: u8,
    },
    /// Another cluster's label.
    #[error("the datagram carries another cluster's label")]
    ForeignLabel,
    /// Sealed with a key that this node does not have, or plain where a key is set.
    #[error("key id {key} is not accepted here")]
    Key {
        /// Key id in the header; 0 is plain text.
        key: u8,
    },
    /// A message of a later version of the wire format that a node must understand or refuse.
    #[error("message {tag:#04x} of a later version must be understood")]
    NotUnderstood {
        /// The first byte of the message.
        tag: u8,
    },
    /// An ack that names no sender and answers no ping that this node still knows of: late, or not meant for it.
    #[error("an ack to no ping that is waited for")]
    Unasked,
    /// A sealed datagram that this node has received before, or may have: played back, doubled or badly delayed by the network.
    #[error("the sealed datagram was received before, or is too late to tell")]
    Replayed,
    /// The trailer does not belong to these bytes: damaged, cut or forged, or sent to an earlier start of this node.
    #[error("the integrity trailer does not match")]
    Integrity,
    /// The sender is not [admitted](crate::Node::set_admission).
    #[error("the sender is not admitted here")]
    NotAdmitted,
    /// The datagram is so old that its content may have been forgotten since: a replayed recording, or a sender whose
    /// clock is far behind.
    #[error("the datagram is {age:?} old by its sender's clock, at most {oldest:?} is accepted")]
    TooOld {
        /// Age by this node's clock.
        age: core::time::Duration,
        /// Bound: half of `lifetimes.reap_after` or of `lifetimes.certificate`, whichever is shorter.
        oldest: core::time::Duration,
    },
    /// The frame is intact, but its content is not a sequence of messages.
    #[error("malformed message at byte {offset}")]
    Malformed {
        /// Position at which the unreadable message begins.
        offset: usize,
    },
    /// This node has left the cluster and accepts nothing.
    #[error("this node has left")]
    Left,
}

/// A bound that a node has reached: see [`Limits`](crate::Limits).
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Bound {
    /// `limits.members`.
    Members,
    /// `limits.entries`.
    Entries,
    /// `limits.bytes`.
    Bytes,
    /// `limits.share`, of entries or of bytes.
    Share,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Members => "limits.members",
            Self::Entries => "limits.entries",
            Self::Bytes => "limits.bytes",
            Self::Share => "limits.share",
        })
    }
}

/// A fault of the caller: the write was refused, nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The name is too long.
    #[error("the name has {length} bytes, at most {longest} are accepted")]
    NameTooLong {
        /// Length of the name in bytes.
        length: usize,
        /// Bound.
        longest: usize,
    },
    /// The value, or the payload of a broadcast, is too large.
    #[error("the value has {size} bytes, at most {largest} are accepted")]
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// Bound: `limits.max_value`; for a broadcast, the room in a datagram.
        largest: usize,
    },
    /// The time to live would end before another member can learn the value.
    #[error("the time to live is {given:?}, at least {shortest:?} is needed")]
    TooShortLived {
        /// Requested time to live.
        given: core::time::Duration,
        /// Bound.
        shortest: core::time::Duration,
    },
    /// The time to live would end later than other members admit.
    #[error("the time to live is {given:?}, at most {longest:?} is admitted: write it again before it ends")]
    TooLongLived {
        /// Requested time to live.
        given: core::time::Duration,
        /// Bound: 365 days.
        longest: core::time::Duration,
    },
    /// The node has reached a bound on what it holds, in total or for this member.
    #[error("the node is full: it holds {held}, `{bound}` is {limit}")]
    Full {
        /// Bound that was reached.
        bound: Bound,
        /// Items or bytes held.
        held: usize,
        /// Largest permitted number.
        limit: usize,
    },
    /// The clock, or the version of this name that is held, is past the latest time that a stamp may have.
    #[error("a stamp of {time} seconds after 1970, at most {latest} is admitted: set the clock")]
    TooLate {
        /// The time that the stamp would have.
        time: crate::time::Instant,
        /// The bound: the beginning of the year 2500.
        latest: crate::time::Instant,
    },
    /// This node has started, and does not know yet what earlier boots of it have written of its shares. It learns that from
    /// others: see [`Node::knows_shares`](crate::Node::knows_shares).
    #[error("{}", if *.alone { "nobody is there to tell this node what it has written of its shares before: wait for others, or claim them" } else { "this node does not know yet what it has written of its shares before: try again in a moment" })]
    ShareUnknown {
        /// True if nobody is there to ask. If no earlier boot can have written any, or if all of it was restored,
        /// [`claim_shares`](crate::Node::claim_shares) says so.
        alone: bool,
    },
    /// The node has left the cluster.
    #[error("this node has left")]
    Left,
}

/// A fault of the caller: a message to a member, a query, or an answer to one was not sent. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The receiver is no member that is alive or suspected.
    #[error("{id} is no living member")]
    NoMember {
        /// Receiver that was given.
        id: NodeId,
    },
    /// The message does not fit a datagram.
    #[error("the message has {size} bytes, a datagram has room for {largest}")]
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// Room that `max_datagram` leaves.
        largest: usize,
    },
    /// Too many messages without receipt, or too many queries.
    #[error("{held} are under way, at most {limit} may be")]
    Busy {
        /// Number under way.
        held: usize,
        /// Bound.
        limit: usize,
    },
    /// The query was answered before, is over, or was never asked here.
    #[error("the query waits for no answer of this node")]
    NotOpen,
    /// The node was made without a keyring.
    #[error("this node has no keyring")]
    NoKeyring,
    /// The query was refused as a write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The node has left the cluster.
    #[error("this node has left")]
    Left,
}

/// A fault of the caller: a name or tags that a member cannot have. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AboutError {
    /// The name is too long.
    #[error("the member's name has {length} bytes, at most {longest} are accepted")]
    NameTooLong {
        /// Length in bytes.
        length: usize,
        /// Bound: [`MAX_MEMBER_NAME`](crate::MAX_MEMBER_NAME).
        longest: usize,
    },
    /// The tags are too long.
    #[error("the tags have {length} bytes, at most {longest} are accepted")]
    TagsTooLong {
        /// Length of all keys and values in bytes.
        length: usize,
        /// Bound: [`MAX_TAGS`](crate::MAX_TAGS).
        longest: usize,
    },
    /// A name, key or value has a control character.
    #[error("{text:?} has a control character")]
    Control {
        /// Name, key or value.
        text: String,
    },
    /// The key of a tag is empty.
    #[error("the key of a tag is empty")]
    EmptyKey,
    /// The record does not fit a datagram.
    #[error("the member's record takes {size} bytes with this, a datagram has room for {largest}")]
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// Room that `max_datagram` leaves.
        largest: usize,
    },
}

/// A fault of the caller: a typed value was not written, nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// The value has no encoding.
    #[error("the value of {name:?} cannot be encoded: {reason}")]
    Encode {
        /// Name of the entry.
        name: &'static str,
        /// Reason, in postcard's words.
        reason: String,
    },
    /// The node refused to write it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A fault of the entry's author: the bytes do not encode a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {length} bytes of {name:?} do not encode the expected type: {reason}")]
#[non_exhaustive]
pub struct DecodeError {
    /// Name of the entry, or the prefix that was asked for.
    pub name: &'static str,
    /// Length of the value in bytes.
    pub length: usize,
    /// Reason, in postcard's words.
    pub reason: String,
}

/// A fault of the caller, or of the storage that kept the snapshot: nothing was restored, nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The snapshot was taken in another cluster.
    #[error("the snapshot is of another cluster, {label:?}")]
    ForeignLabel {
        /// Label of that cluster.
        label: String,
    },
}

/// A fault in the configuration: no node was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that cannot work.
    #[error("{field} is {value}, it must be {bound}")]
    OutOfBounds {
        /// Name of the field.
        field: &'static str,
        /// Value of the field.
        value: String,
        /// Accepted values.
        bound: String,
    },
    /// The node's address is too long: every datagram must have room for it.
    #[error("the address takes {length} bytes, at most {longest} are accepted")]
    AddressTooLong {
        /// Encoded length in bytes.
        length: usize,
        /// Bound.
        longest: usize,
    },
    /// The node's address does not survive encoding: peers would answer to another address.
    #[error("the address {address} changes when it is encoded and decoded")]
    AddressChanges {
        /// The address.
        address: String,
    },
}
