//! Errors, sorted by who is at fault: the peer's bytes, the caller, the configuration.

use alloc::string::String;
use core::fmt;

use serde::Serialize;

/// The peer's bytes are at fault (or somebody between). The datagram was refused whole: nothing changed but a counter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// Too short to be a datagram.
    #[error("{length} bytes are no datagram, the shortest has {shortest}")]
    TooShort {
        /// Bytes received.
        length: usize,
        /// Header and trailer alone.
        shortest: usize,
    },
    /// Longer than the cluster's `max_datagram`.
    #[error("{length} bytes are more than the cluster's datagrams have, {longest}")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// The configured bound.
        longest: usize,
    },
    /// Another version of the wire format.
    #[error("wire format {found}, this node speaks {spoken}")]
    Version {
        /// What the datagram says.
        found: u8,
        /// What this node speaks.
        spoken: u8,
    },
    /// Another cluster's label.
    #[error("another cluster's datagram")]
    ForeignLabel,
    /// Sealed with a key that this node does not have, or plain where a key is set.
    #[error("key {key} is not accepted here")]
    Key {
        /// The key id in the header; 0 is plain.
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
    /// The trailer does not belong to these bytes: damaged, cut or forged.
    #[error("the integrity trailer does not match")]
    Integrity,
    /// Its sender is not [admitted](crate::Node::set_admission).
    #[error("its sender is not admitted here")]
    NotAdmitted,
    /// What it says may have been forgotten since: a recording that is played back, or a sender whose clock stands far
    /// behind.
    #[error("{age:?} old by its sender's clock, at most {oldest:?} are admitted")]
    TooOld {
        /// By this node's clock.
        age: core::time::Duration,
        /// Half of `lifetimes.reap_after` or of `lifetimes.certificate`, whichever is shorter.
        oldest: core::time::Duration,
    },
    /// Whole, but not a sequence of messages.
    #[error("malformed message at byte {offset}")]
    Malformed {
        /// Where the message that could not be read begins.
        offset: usize,
    },
    /// This node has left the cluster and listens no more.
    #[error("this node has left")]
    Left,
}

/// What a node may have reached the end of: see [`Limits`](crate::Limits).
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
    /// `limits.share`, of either.
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

/// The caller is at fault: the write was refused, nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The name is too long.
    #[error("a name of {length} bytes, at most {longest} are admitted")]
    NameTooLong {
        /// Its length in bytes.
        length: usize,
        /// The bound.
        longest: usize,
    },
    /// The value, or the payload of a broadcast, is too large.
    #[error("a value of {size} bytes, at most {largest} are admitted")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The bound: `limits.max_value`; for a broadcast what fits a datagram.
        largest: usize,
    },
    /// A time to live that has passed before anybody can learn the value.
    #[error("a time to live of {given:?}, at least {shortest:?} is needed")]
    TooShortLived {
        /// What was asked for.
        given: core::time::Duration,
        /// The bound.
        shortest: core::time::Duration,
    },
    /// The node holds as much as it may, or as much of this member's as it may.
    #[error("the node is full: {bound} is {limit}, {held} are held")]
    Full {
        /// What there is no more room in.
        bound: Bound,
        /// Items or bytes held.
        held: usize,
        /// How many may be.
        limit: usize,
    },
    /// The node has left the cluster.
    #[error("this node has left")]
    Left,
}

/// The caller is at fault: a typed value was not written, nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// The value has no encoding.
    #[error("the value of {name:?} cannot be encoded: {reason}")]
    Encode {
        /// The entry's name.
        name: &'static str,
        /// Why, in postcard's words.
        reason: String,
    },
    /// The node refused to write it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Whoever wrote the entry is at fault: its bytes are no value of the type that is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {length} bytes of {name:?} are not of the type that is expected: {reason}")]
#[non_exhaustive]
pub struct DecodeError {
    /// The entry's name; with a prefix, that.
    pub name: &'static str,
    /// How many bytes it has.
    pub length: usize,
    /// What is wrong with them.
    pub reason: String,
}

/// The caller, or whatever kept the snapshot, is at fault: nothing was restored, nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The snapshot is older than death certificates become: what is deleted by now might come back from it.
    #[error("the snapshot is {age:?} old, at most {oldest:?} are admitted")]
    TooOld {
        /// How old it is.
        age: core::time::Duration,
        /// `lifetimes.certificate`.
        oldest: core::time::Duration,
    },
    /// By the clock of now, the snapshot is yet to be taken: stamps that follow it would be refused everywhere.
    #[error("the snapshot is {ahead:?} ahead of the clock, at most {furthest:?} are admitted")]
    FromTheFuture {
        /// By how much.
        ahead: core::time::Duration,
        /// The bound.
        furthest: core::time::Duration,
    },
    /// The snapshot was taken in another cluster.
    #[error("a snapshot of another cluster, {label:?}")]
    ForeignLabel {
        /// That cluster's label.
        label: String,
    },
}

/// The configuration is at fault: no node was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that cannot work.
    #[error("{field} is {value}, it must be {bound}")]
    OutOfBounds {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be accepted.
        bound: String,
    },
    /// The node's address is longer than every datagram has room for.
    #[error("the address takes {length} bytes, at most {longest} are admitted")]
    AddressTooLong {
        /// Its encoded length.
        length: usize,
        /// The bound.
        longest: usize,
    },
    /// The node's address does not survive encoding: peers would answer to another one.
    #[error("the address {address} does not survive encoding")]
    AddressChanges {
        /// The address.
        address: String,
    },
}
