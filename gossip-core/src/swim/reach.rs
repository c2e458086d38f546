//! Members that send and are perhaps not reached: whether they answer at the addresses in their records.
//!
//! A member whose datagrams come from another address than its record names, or that denies being dead and answers no probe, is
//! pinged at the address in its record. If it stays silent, it is told so at the address where it was seen.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::id::NodeId;
use crate::time::Instant;

/// Members of which that is remembered: those that came last.
const CHECKS: usize = 32;
/// Pings before a member counts as not reached: one may be lost.
const PINGS: u32 = 2;
/// Pings of a member that denies being dead, before it is held as suspect: no second member has to say so.
const PINGS_ALONE: u32 = 4;
/// Pauses after a check before the next one of the same member.
const REST: u32 = 20;

/// Check of one member.
#[derive(Debug)]
struct Check<A> {
    id: NodeId,
    /// Address from which its datagrams come, if it is not that in its record.
    seen: Option<A>,
    /// Number of the last ping.
    seq: u32,
    /// One more than the pings so far; 0 if it is not being checked.
    pings: u32,
    /// Number of pings before it counts as not reached.
    tries: u32,
    /// Time of the next step; if it is not being checked, of the earliest next check.
    next: Instant,
}

/// Step of a check that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<A> {
    /// It is to be pinged at the address in its record.
    Ping(NodeId),
    /// It is silent there, while its datagrams come from this address.
    Unreached(NodeId, Option<A>),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reach<A> {
    checks: VecDeque<Check<A>>,
    /// Time within which a ping is answered.
    patience: Duration,
}

impl<A: Clone + PartialEq> Reach<A> {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { checks: VecDeque::new(), patience }
    }

    /// Begins a check of a member, unless it was checked a short while ago.
    pub(super) fn check(&mut self, now: Instant, id: NodeId, seen: Option<&A>) {
        if let Some(check) = self.checks.iter_mut().find(|check| check.id == id) {
            if seen.is_some() {
                check.seen = seen.cloned();
            }
            if check.pings == 0 && check.next <= now {
                check.next = now;
                (check.pings, check.tries) = (1, PINGS);
            }
            return;
        }
        if self.checks.len() == CHECKS {
            self.checks.pop_front();
        }
        self.checks.push_back(Check { id, seen: seen.cloned(), seq: 0, pings: 1, tries: PINGS, next: now });
    }

    /// Begins a check, at this time, of a member that denies being dead. `only`: it says nothing else, so that a check that runs
    /// goes on. Otherwise it may have another address.
    pub(super) fn check_again(&mut self, at: Instant, id: NodeId, only: bool) {
        if only && self.checks.iter().any(|check| check.id == id && check.tries == PINGS_ALONE && check.pings > 0) {
            return;
        }
        self.check(at, id, None);
        if let Some(check) = self.checks.iter_mut().find(|check| check.id == id) {
            (check.pings, check.tries, check.next) = (1, PINGS_ALONE, at);
        }
    }

    /// Takes the next step that is due. A ping is followed by [`pinged`](Self::pinged).
    pub(super) fn step(&mut self, now: Instant) -> Option<Step<A>> {
        let patience = self.patience;
        let check = self.checks.iter_mut().find(|check| check.pings > 0 && check.next <= now)?;
        if check.pings <= check.tries {
            check.pings += 1;
            check.next = now + patience;
            return Some(Step::Ping(check.id));
        }
        check.pings = 0;
        check.next = now + REST * patience;
        Some(Step::Unreached(check.id, check.seen.clone()))
    }

    /// Takes note of the number of the ping that a step asked for.
    pub(super) fn pinged(&mut self, id: NodeId, seq: u32) {
        if let Some(check) = self.checks.iter_mut().find(|check| check.id == id) {
            check.seq = seq;
        }
    }

    /// Lists the member that is to answer this ping.
    pub(super) fn awaited(&self, seq: u32) -> impl Iterator<Item = NodeId> + '_ {
        self.checks.iter().filter(move |check| check.seq == seq && check.pings > 0).map(|check| check.id)
    }

    /// Ends the check of a member that has answered. It may go on sending from another address.
    pub(super) fn reached(&mut self, id: NodeId) {
        if let Some(check) = self.checks.iter_mut().find(|check| check.id == id) {
            check.pings = 0;
        }
    }

    /// Returns the member whose datagrams come from this address, which is not that in its record.
    pub(super) fn seen_at(&self, address: &A) -> Option<NodeId> {
        self.checks.iter().find(|check| check.seen.as_ref() == Some(address)).map(|check| check.id)
    }

    pub(super) fn forget(&mut self, id: NodeId) {
        self.checks.retain(|check| check.id != id);
    }

    /// Returns the time of the next step.
    pub(super) fn due(&self) -> Option<Instant> {
        self.checks.iter().filter(|check| check.pings > 0).map(|check| check.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_secs(1_000);
    const PATIENCE: Duration = Duration::from_millis(500);

    fn id(number: u64) -> NodeId {
        NodeId::new(number)
    }

    #[test]
    fn a_member_is_pinged_twice_and_reported_once_and_then_left_alone_for_a_while() {
        let mut reach = Reach::new(PATIENCE);
        reach.check(START, id(1), Some(&9));
        assert_eq!(reach.step(START), Some(Step::Ping(id(1))));
        reach.pinged(id(1), 70);
        assert_eq!((reach.step(START), reach.due()), (None, Some(START + PATIENCE)));
        assert_eq!(reach.awaited(70).collect::<alloc::vec::Vec<_>>(), [id(1)]);
        // More of its datagrams change nothing.
        reach.check(START, id(1), Some(&9));
        assert_eq!(reach.step(START + PATIENCE), Some(Step::Ping(id(1))));
        assert_eq!(reach.step(START + 2 * PATIENCE), Some(Step::Unreached(id(1), Some(9))));
        assert_eq!((reach.due(), reach.seen_at(&9), reach.seen_at(&8)), (None, Some(id(1)), None));
        let again = START + (2 + REST) * PATIENCE;
        reach.check(again - PATIENCE, id(1), Some(&9));
        assert_eq!(reach.due(), None);
        reach.check(again, id(1), Some(&9));
        assert_eq!(reach.step(again), Some(Step::Ping(id(1))));
        reach.reached(id(1));
        assert_eq!((reach.due(), reach.step(again + PATIENCE)), (None, None));
        reach.check_again(again, id(1), true);
        assert_eq!(reach.step(again), Some(Step::Ping(id(1))));
    }

    #[test]
    fn one_that_denies_being_dead_is_pinged_four_times_however_often_it_does() {
        let (mut reach, at) = (Reach::<u8>::new(PATIENCE), |pings| START + pings * PATIENCE);
        for ping in 0..PINGS_ALONE {
            reach.check_again(at(ping), id(1), true);
            assert_eq!((reach.step(at(ping)), reach.step(at(ping))), (Some(Step::Ping(id(1))), None));
        }
        // It has another address now.
        reach.check_again(at(PINGS_ALONE), id(1), false);
        let steps: alloc::vec::Vec<_> = (4..10).filter_map(|ping| reach.step(at(ping))).collect();
        assert_eq!(steps[..4], [const { Step::Ping(NodeId::new(1)) }; 4]);
        assert_eq!(steps[4..], [Step::Unreached(id(1), None)]);
    }

    #[test]
    fn however_many_are_seen_elsewhere_few_are_remembered() {
        let mut reach = Reach::new(PATIENCE);
        (0..1_000).for_each(|n| reach.check(START, id(n), Some(&n)));
        let mut pinged = 0;
        while let Some(step) = reach.step(START) {
            assert!(matches!(step, Step::Ping(_)));
            pinged += 1;
        }
        assert_eq!((pinged, reach.seen_at(&0), reach.seen_at(&999)), (CHECKS, None, Some(id(999))));
        reach.forget(id(999));
        assert_eq!(reach.seen_at(&999), None);
    }
}
