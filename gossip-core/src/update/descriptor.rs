//! Descriptors: they replace entries whose values are too large for a datagram.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Certificate, End, Entry, Extra, Format, KeyHash, Owner, Stamp, Update, digest};

/// An entry without its value, and the digest by which the value is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    pub(crate) owner: Option<Owner>,
    pub(crate) name: SmolStr,
    pub(crate) stamp: Stamp,
    pub(crate) ends: Option<End>,
    /// Length of the value in bytes.
    pub(crate) size: u32,
    /// Digest of the entry, as in its item's hash.
    #[serde(with = "digest")]
    pub(crate) digest: u128,
    /// Fields of later versions.
    pub(crate) extra: Option<Extra>,
}

impl Descriptor {
    /// Makes the descriptor of an entry. None if it has no value, or a larger one than any node holds.
    pub(crate) fn of(entry: &Entry, digest: u128) -> Option<Self> {
        let Entry { owner, name, stamp, ends, value, extra } = entry;
        let size = u32::try_from(value.as_ref()?.len()).ok()?;
        let (name, extra) = (name.clone(), extra.clone());
        Some(Self { owner: *owner, name, stamp: *stamp, ends: *ends, size, digest, extra })
    }

    /// Returns the first field in it that whoever reads this format has to know and does not.
    pub(crate) fn beyond(&self, reads: Format) -> Option<u8> {
        self.extra.as_ref()?.beyond(reads)
    }

    /// Returns a certificate of the same item, version and end: it wins and loses against the same updates as the
    /// value.
    pub(crate) fn outline<A>(&self, key: KeyHash) -> Update<A> {
        let Self { owner, stamp, ends, digest, .. } = *self;
        Update::Certificate(Certificate { key, owner, stamp, ends, digest })
    }

    /// Returns the entry with its value.
    pub(crate) fn entry(self, value: Arc<[u8]>) -> Entry {
        let Self { owner, name, stamp, ends, extra, .. } = self;
        Entry { owner, name, stamp, ends, value: Some(value), extra }
    }
}
