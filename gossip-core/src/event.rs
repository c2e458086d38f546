//! What the application is told, and what it sees.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::error::Bound;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::Stamp;

/// A member's status, as this node sees it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is there.
    Alive,
    /// It did not answer; unless it refutes that in time, it will be declared dead.
    Suspect,
    /// It was declared dead.
    Dead,
    /// It said goodbye.
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

/// A member, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Member<A> {
    /// Who.
    pub id: NodeId,
    /// Where.
    pub address: A,
    /// How it seems to be.
    pub status: Status,
    /// How often it has said so: its start in microseconds, raised by every refutation.
    pub incarnation: u64,
    /// When it started, by its own clock.
    pub boot: Instant,
}

/// Identifies a broadcast.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BroadcastId(pub Stamp);

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Change {
    /// It has this value now.
    Written {
        /// The value.
        value: Arc<[u8]>,
        /// When and by whom it was written.
        stamp: Stamp,
    },
    /// It is gone: deleted, expired, or its owner is.
    Gone,
}

/// What has changed. States, not verbs: an application that polls late sees the latest, at most one event per member
/// and per entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Event<A> {
    /// A member joined, was suspected, recovered, died, left, or moved.
    Member {
        /// What the last event said of it; none if it is new.
        was: Option<Status>,
        /// What it is now.
        member: Member<A>,
    },
    /// A member that died or left long ago is forgotten.
    Reaped {
        /// Who.
        id: NodeId,
    },
    /// An entry has another value, also if it was written here.
    Entry {
        /// Whose it is; nobody's if shared.
        owner: Option<NodeId>,
        /// Its name.
        name: SmolStr,
        /// What became of it.
        change: Change,
    },
    /// A broadcast arrived; never one's own.
    Broadcast {
        /// Which.
        id: BroadcastId,
        /// What it says.
        payload: Arc<[u8]>,
    },
    /// This node lacks nearly all that a peer holds, and fetches it: how far that has come, now and then.
    CatchUp {
        /// Items that have come.
        received: u64,
        /// Items that are expected, about.
        expected: u64,
        /// Whether this is the end of it. Had the peers fallen silent, `received` is less than `expected`, and
        /// the next exchanges see to the rest.
        done: bool,
    },
    /// This node hears from nobody (`true`), or does again.
    Isolated(bool),
    /// Another live node has this node's id.
    IdentityConflict {
        /// Where the other one is.
        address: A,
    },
    /// This node's wall clock is further from most members' than [`max_ahead`](crate::Lifetimes::max_ahead), and it goes by
    /// theirs until its own is set. Of two members each goes by its own, and both say so. Said once, until it is right
    /// again.
    ClockWrong {
        /// The median of the members' clocks.
        peers: Instant,
        /// This node's wall clock.
        own: Instant,
    },
    /// This node refuses what is new, because it holds as much as it may. Said once, until there is room again; how
    /// much was refused is in [`Stats`](crate::Stats).
    Full {
        /// Of what.
        bound: Bound,
    },
    /// Datagrams of another cluster arrive here: a wrong label, or a wrong address, somewhere. At most once an hour.
    ForeignCluster {
        /// Where the latest came from.
        address: A,
    },
    /// This node's [`leave`](crate::Node::leave) is done.
    Left,
}
