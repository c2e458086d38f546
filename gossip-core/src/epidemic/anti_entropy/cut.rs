//! Cuts: the time at which two replicas compare what they hold.

use crate::time::Instant;

/// Rounds a clock down to a cut: whole seconds, so that replicas whose clocks are nearly equal use the same.
pub(super) fn cut_of(clock: Instant) -> u32 {
    u32::try_from(clock.as_micros() / 1_000_000).unwrap_or(NEVER - 1).min(NEVER - 1)
}

/// The instant of a cut.
pub(super) fn instant(cut: u32) -> Instant {
    if cut == NEVER { Instant::MAX } else { Instant::from_secs(u64::from(cut)) }
}

/// The cut of replicas whose clocks are too far apart to agree on what has ended: they compare what does not end.
pub(super) const NEVER: u32 = u32::MAX;
/// Largest difference between cuts otherwise, in seconds.
const APART: u32 = 600;

/// The cut at which a peer with this cut and this replica compare: the later one, which both can compute always, for
/// nobody has forgotten what lives at it.
pub(super) fn later(theirs: u32, own: u32) -> u32 {
    if theirs.abs_diff(own) > APART { NEVER } else { theirs.max(own) }
}

/// Returns whether a peer may ask for the set at this cut.
pub(super) fn is_fair(cut: u32, own: u32) -> bool {
    cut == NEVER || cut.abs_diff(own) <= APART
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_cuts_is_compared_and_what_never_ends_where_they_are_far_apart() {
        let own = cut_of(Instant::from_secs(1_700_000_000));
        for (theirs, compared) in [
            (own - 31, own),
            (own + APART, own + APART),
            (own - APART - 1, NEVER),
            (own + APART + 1, NEVER),
            (0, NEVER),
            (NEVER, NEVER),
        ] {
            assert_eq!(later(theirs, own), compared, "{theirs}");
            assert!(is_fair(compared, own));
        }
        assert!(!is_fair(own + APART + 1, own));
        assert_eq!(cut_of(Instant::MAX), NEVER - 1);
        assert_eq!(instant(NEVER), Instant::MAX);
    }
}
