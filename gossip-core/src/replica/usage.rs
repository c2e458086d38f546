//! Memory taken by the items that members write: in total, and each writer's share; and who gives way where there is no room for
//! more members.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::id::NodeId;
use crate::time::Instant;
use crate::update::{Entry, Standing, Update};

/// Items, and the bytes of their values.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

/// See the [module](self).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    bytes: usize,
    /// Shared entries that have a value.
    shared: usize,
    writers: BTreeMap<NodeId, Room>,
    /// Members that died or left, by the time at which they are forgotten.
    gone: BTreeSet<(Instant, NodeId)>,
}

impl Usage {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn shared(&self) -> usize {
        self.shared
    }

    pub(super) fn of(&self, writer: NodeId) -> Room {
        self.writers.get(&writer).copied().unwrap_or_default()
    }

    pub(super) fn gone(&self) -> impl Iterator<Item = (Instant, NodeId)> + '_ {
        self.gone.iter().copied()
    }

    pub(super) fn add<A: Address>(&mut self, update: &Update<A>) {
        self.gone.extend(gone(update));
        let Some(writer) = update.charged() else { return };
        let bytes = update.body_len();
        self.bytes += bytes;
        self.shared += usize::from(is_shared(update));
        let room = self.writers.entry(writer).or_default();
        room.items += 1;
        room.bytes += bytes;
    }

    pub(super) fn remove<A: Address>(&mut self, update: &Update<A>) {
        if let Some(gone) = gone(update) {
            self.gone.remove(&gone);
        }
        let Some(writer) = update.charged() else { return };
        let bytes = update.body_len();
        self.bytes -= bytes;
        self.shared -= usize::from(is_shared(update));
        if let Some(room) = self.writers.get_mut(&writer) {
            room.items -= 1;
            room.bytes -= bytes;
            if room.items == 0 {
                self.writers.remove(&writer);
            }
        }
    }
}

/// Returns the time at which a member that died or left is forgotten, and its id.
fn gone<A>(update: &Update<A>) -> Option<(Instant, NodeId)> {
    match update {
        Update::Member(record) if record.standing != Standing::Alive => Some((record.until.instant()?, record.id)),
        _ => None,
    }
}

/// Returns true if it is the value of a shared entry.
const fn is_shared<A>(update: &Update<A>) -> bool {
    matches!(update, Update::Entry(Entry { owner: None, value: Some(_), .. }))
}
