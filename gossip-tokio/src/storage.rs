//! State of the stored data, as far as others than its writer see it. Knows requests and failures; must not know files.

use gossip_core::Instant;

/// State of the data behind the node's lock.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    /// True while a thread writes, false when it has ended; none if there is nothing to write to.
    pub(crate) keeps: Option<bool>,
    /// Number of the latest request to have everything on the disk, and of the latest that was met.
    pub(crate) wanted: u64,
    pub(crate) met: u64,
    /// Error that lasts, and since when.
    pub(crate) failure: Option<(String, Instant)>,
}
