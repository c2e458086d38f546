//! Memory taken by the items that members write: in total, and each writer's share.

use alloc::collections::BTreeMap;

use crate::address::Address;
use crate::id::NodeId;
use crate::update::{Entry, Update};

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

    pub(super) fn add<A: Address>(&mut self, update: &Update<A>) {
        let Some(writer) = update.charged() else { return };
        let bytes = update.body_len();
        self.bytes += bytes;
        self.shared += usize::from(is_shared(update));
        let room = self.writers.entry(writer).or_default();
        room.items += 1;
        room.bytes += bytes;
    }

    pub(super) fn remove<A: Address>(&mut self, update: &Update<A>) {
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

/// Returns true if it is the value of a shared entry.
const fn is_shared<A>(update: &Update<A>) -> bool {
    matches!(update, Update::Entry(Entry { owner: None, value: Some(_), .. }))
}
