//! The cut at which two replicas compare: the later one, which both can compute always.

use crate::address::Address;
use crate::replica::{CLOCKS_APART, Cut, NEVER, Replica, second};
use crate::time::Instant;

/// Difference up to which they compare whatever ends meanwhile, in seconds: honest clocks are no further apart, and few exchanges
/// take longer. Beyond it a summary would buy a walk over all leases of ten minutes.
const CLOSE: u32 = 60;

const APART: u32 = CLOCKS_APART.as_secs() as u32;

/// The cut of a replica at agreed time.
pub(super) fn own<A: Address>(replica: &Replica<A>, clock: Instant) -> Cut {
    Cut { at: second(clock), kept: replica.kept() }
}

/// The cut at which a peer with this cut and this replica compare. Nobody has forgotten what lives at the later time, or pushed
/// out what is kept beyond the later bound.
pub(super) fn later<A: Address>(theirs: Cut, replica: &Replica<A>, clock: Instant) -> Cut {
    let own = own(replica, clock);
    let at = theirs.at.max(own.at);
    if theirs.at.abs_diff(own.at) > APART || is_costly_at(at, replica, own.at) {
        return Cut::LASTING;
    }
    let kept = theirs.kept.max(own.kept);
    Cut { at, kept: if replica.is_far(kept) { NEVER } else { kept } }
}

/// Returns whether a peer may ask for the set at this cut.
pub(super) fn is_fair<A: Address>(cut: Cut, replica: &Replica<A>, clock: Instant) -> bool {
    let now = second(clock);
    cut == Cut::LASTING || cut.at.abs_diff(now) <= APART && !is_costly_at(cut.at, replica, now)
}

fn is_costly_at<A: Address>(at: u32, replica: &Replica<A>, now: u32) -> bool {
    at.abs_diff(now) > CLOSE && replica.ends_many(at)
}

/// Returns whether the set at a cut is costly to sketch: all that ends, or all certificates are left out.
pub(super) const fn is_costly(cut: Cut) -> bool {
    cut.at == NEVER || cut.kept == NEVER
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::clock::Past;
    use crate::id::NodeId;
    use crate::update::{End, Entry, Stamp, Update};

    #[test]
    fn the_later_of_two_cuts_is_compared_and_what_never_ends_where_they_are_far_apart() {
        let clock = Instant::from_secs(1_700_000_000);
        let replica = Replica::<u16>::new("", Duration::ZERO, 0);
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
            assert!(is_fair(compared, &replica, clock));
        }
        assert!(!is_fair(cut(now + APART + 1, 0), &replica, clock));
        assert_eq!(second(Instant::from_micros(u64::MAX - 1)), NEVER - 1);
    }

    /// Leases that end within ten minutes.
    fn leases(number: u32, clock: Instant) -> Replica<u16> {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
        let mut replica = Replica::new("", Duration::ZERO, 0);
        replica.advance(clock, Past::default());
        for n in 0..number {
            let stamp = Stamp { time: clock, counter: n, node: NodeId::new(1) };
            let ends = Some(End::new(clock + second * (1 + n % 590), hour));
            let (name, value) = (std::format!("{n}").into(), Some([][..].into()));
            replica.merge(Update::Entry(Entry { owner: None, name, stamp, ends, value, extra: None }));
        }
        replica
    }

    #[test]
    fn no_cut_buys_a_walk_over_all_that_ends() {
        let clock = Instant::from_secs(1_700_000_000);
        let now = second(clock);
        let (few, many) = (leases(4_000, clock), leases(5_000, clock));
        let far = Cut { at: now + APART, kept: 0 };
        assert_eq!(later(far, &few, clock), far);
        assert!(is_fair(far, &few, clock));
        assert_eq!(later(far, &many, clock), Cut::LASTING, "its total is known");
        assert!(!is_fair(far, &many, clock), "nor does one that is asked for");
        let near = Cut { at: now + CLOSE, kept: 0 };
        assert_eq!(later(near, &many, clock), near, "clocks of honest nodes are no further apart");
        assert!(is_fair(near, &many, clock));
    }
}
