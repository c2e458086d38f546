//! Ends of entries, and the time for which what has ended is kept as a death certificate.
//!
//! Everything here is a function of the entry: no node's clock or configuration makes two replicas differ in it.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Until;
use crate::config::LONGEST_CERTIFICATE;
use crate::time::Instant;

/// [`LONGEST_CERTIFICATE`] in seconds.
const LONGEST_KEEP: u32 = LONGEST_CERTIFICATE.as_secs() as u32;
/// Longest time to live of an entry.
pub(crate) const LONGEST_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// Last second that a cut can have, in the year 2106.
const LATEST_CUT: Instant = Instant::from_secs(u32::MAX as u64 - 2);
/// Furthest end that is admitted, counted from agreed time: clocks may be wrong by 35 days.
pub(crate) const FURTHEST_END: Duration = Duration::from_secs(400 * 86_400);

/// End of an entry that expires or was deleted. From its end on the entry is its own death certificate: while anybody
/// may hold what it has replaced.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Agreed time at which the value ends; of a deletion, at which it was made.
    pub at: Instant,
    /// Time for which the writer keeps death certificates (`τ`), in seconds: at most 90 days.
    pub keep: u32,
    /// Latest end of everything that this entry has replaced anywhere; [`NOTHING`](Self::NOTHING) unless that is later
    /// than `at`.
    pub covers: Until,
}

impl End {
    /// Value of `covers` of an entry that has replaced nothing that outlives it.
    pub const NOTHING: Until = Until::at(Instant::ORIGIN);

    /// Makes an end of an entry that has replaced nothing yet.
    pub(crate) fn new(at: Instant, keep: Duration) -> Self {
        let keep = u32::try_from(keep.as_secs()).unwrap_or(LONGEST_KEEP).min(LONGEST_KEEP);
        Self { at, keep, covers: Self::NOTHING }
    }

    /// Takes note of a replaced entry that ends then. Returns true if that changes anything.
    pub(crate) fn cover(&mut self, end: Until) -> bool {
        let news = end > self.covers && end.is_after(self.at);
        if news {
            self.covers = end;
        }
        news
    }

    /// Returns the time up to which an entry with this stamp is kept. What is stamped in the future is kept until then (up to the
    /// last second of a cut): otherwise a later write by a right clock would be smaller than what was forgotten.
    pub(crate) fn until(&self, stamp: Instant) -> Instant {
        let kept = self.at + Duration::from_secs(self.keep.into());
        self.covers.instant().map_or(kept, |end| end.min(kept)).max(stamp.min(LATEST_CUT)).max(self.at)
    }

    /// Returns whether a correct node can have written this.
    pub(crate) fn is_sound(&self) -> bool {
        self.keep <= LONGEST_KEEP && (self.covers == Self::NOTHING || self.covers.is_after(self.at))
    }
}
