//! The cut at which two replicas compare: the later one, which both can compute always.

use crate::address::Address;
use crate::replica::{Cut, NEVER, Replica, second};
use crate::time::Instant;

/// Largest difference between the times of two cuts, in seconds. Replicas whose clocks are further apart compare what does not end.
const APART: u32 = 600;

/// The cut of a replica at agreed time.
pub(super) fn own<A: Address>(replica: &Replica<A>, clock: Instant) -> Cut {
    Cut { at: second(clock), kept: replica.kept() }
}

/// The cut at which a peer with this cut and this replica compare. Nobody has forgotten what lives at the later time, or pushed
/// out what is kept beyond the later bound.
pub(super) fn later<A: Address>(theirs: Cut, replica: &Replica<A>, clock: Instant) -> Cut {
    let own = own(replica, clock);
    if theirs.at.abs_diff(own.at) > APART {
        return Cut::LASTING;
    }
    let kept = theirs.kept.max(own.kept);
    Cut { at: theirs.at.max(own.at), kept: if replica.is_far(kept) { NEVER } else { kept } }
}

/// Returns whether a peer may ask for the set at this cut.
pub(super) fn is_fair(cut: Cut, clock: Instant) -> bool {
    cut == Cut::LASTING || cut.at.abs_diff(second(clock)) <= APART
}

/// Returns whether the set at a cut is costly to sketch: all that ends, or all certificates are left out.
pub(super) const fn is_costly(cut: Cut) -> bool {
    cut.at == NEVER || cut.kept == NEVER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_cuts_is_compared_and_what_never_ends_where_they_are_far_apart() {
        let clock = Instant::from_secs(1_700_000_000);
        let replica = Replica::<u16>::new("", core::time::Duration::ZERO, 0);
        let now = second(clock);
        let cut = |at, kept| Cut { at, kept };
        for (theirs, compared) in [
            (cut(now - 31, 0), cut(now, 0)),
            (cut(now + APART, 7), cut(now + APART, 7)),
            (cut(now, NEVER), cut(now, NEVER)),
            (cut(now - APART - 1, 0), Cut::LASTING),
            (cut(now + APART + 1, 0), Cut::LASTING),
            (cut(0, 0), Cut::LASTING),
            (Cut::LASTING, Cut::LASTING),
        ] {
            assert_eq!(later(theirs, &replica, clock), compared, "{theirs:?}");
            assert!(is_fair(compared, clock));
        }
        assert!(!is_fair(cut(now + APART + 1, 0), clock));
        assert_eq!(second(Instant::from_micros(u64::MAX - 1)), NEVER - 1);
    }
}
