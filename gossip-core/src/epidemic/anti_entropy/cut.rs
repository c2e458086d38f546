//! Cuts: the time at which two replicas compare what they hold.

use crate::time::Instant;

/// A cut is in whole seconds, so that replicas whose clocks are nearly equal use the same.
pub(super) fn cut_of(clock: Instant) -> u32 {
    u32::try_from(clock.as_micros() / 1_000_000).unwrap_or(NEVER - 1).min(NEVER - 1)
}

pub(super) fn instant(cut: u32) -> Instant {
    if cut == NEVER { Instant::MAX } else { Instant::from_secs(u64::from(cut)) }
}

/// The cut of replicas whose clocks are too far apart to agree on what has ended: they compare what does not end.
pub(super) const NEVER: u32 = u32::MAX;
/// How far apart cuts may be otherwise, in seconds.
pub(super) const APART: u32 = 600;

/// The cut at which a peer with this cut and this replica compare: the later one, which both can compute always, for
/// nobody has forgotten what lives at it.
pub(super) fn later(theirs: u32, own: u32) -> u32 {
    if theirs.abs_diff(own) > APART { NEVER } else { theirs.max(own) }
}

/// Whether a peer may ask for the set at this cut.
pub(super) fn is_fair(cut: u32, own: u32) -> bool {
    cut == NEVER || cut.abs_diff(own) <= APART
}
