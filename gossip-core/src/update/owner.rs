//! Owners of entries, and the namespaces that follow from them.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::time::Instant;

/// Owner of an entry, which alone writes its values.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The member.
    pub id: NodeId,
    /// Its boot when it wrote: the entry ends with that. [`EVERY_BOOT`](Self::EVERY_BOOT) if it is a share.
    pub boot: Instant,
}

impl Owner {
    /// Boot of the owner of a share, which outlives them all. No node starts then.
    pub const EVERY_BOOT: Instant = Instant::ORIGIN;

    /// Makes the owner of a share.
    pub const fn of_share(id: NodeId) -> Self {
        Self { id, boot: Self::EVERY_BOOT }
    }

    /// Returns true if what it owns is a share: it ends with no boot.
    pub fn has_share(&self) -> bool {
        self.boot == Self::EVERY_BOOT
    }
}

/// Namespace of an entry's name: one that all members share, and two of each member.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Whose {
    /// Names that anybody writes.
    Everyone,
    /// Names of what ends with a member's boot.
    Own(NodeId),
    /// Names of a member's shares.
    Share(NodeId),
}

impl From<Option<Owner>> for Whose {
    fn from(owner: Option<Owner>) -> Self {
        match owner {
            None => Self::Everyone,
            Some(owner) if owner.has_share() => Self::Share(owner.id),
            Some(owner) => Self::Own(owner.id),
        }
    }
}
