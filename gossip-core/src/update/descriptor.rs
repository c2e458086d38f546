//! What stands for an entry whose value is too large for a datagram.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Certificate, Entry, KeyHash, Owner, Stamp, Until, Update, digest};

/// Everything of an entry but its value, and how to know that when it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    pub(crate) owner: Option<Owner>,
    pub(crate) name: SmolStr,
    pub(crate) stamp: Stamp,
    pub(crate) expires: Until,
    pub(crate) until: Until,
    /// How many bytes the value has.
    pub(crate) size: u32,
    /// The digest of the entry, as in its item's hash.
    #[serde(with = "digest")]
    pub(crate) digest: u128,
}

impl Descriptor {
    /// None if there is no value, or none that any node holds.
    pub(crate) fn of(entry: &Entry, digest: u128) -> Option<Self> {
        let Entry { owner, name, stamp, expires, until, value } = entry;
        let size = u32::try_from(value.as_ref()?.len()).ok()?;
        Some(Self { owner: *owner, name: name.clone(), stamp: *stamp, expires: *expires, until: *until, size, digest })
    }

    /// The same item, version and end, as a certificate would have them: what the value wins against, or loses.
    pub(crate) fn outline<A>(&self, key: KeyHash) -> Update<A> {
        let Self { owner, stamp, until, digest, .. } = *self;
        Update::Certificate(Certificate { key, owner, stamp, until, digest })
    }

    /// The entry, with its value.
    pub(crate) fn entry(self, value: Arc<[u8]>) -> Entry {
        let Self { owner, name, stamp, expires, until, .. } = self;
        Entry { owner, name, stamp, expires, until, value: Some(value) }
    }
}
