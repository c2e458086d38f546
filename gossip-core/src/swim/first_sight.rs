//! Members that are asked before they are believed.
//!
//! A node that was away for long may hold the record of a member that all others have forgotten since. Taken in, it would be
//! alive again for as long as it takes to find out that nobody answers.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::id::NodeId;
use crate::time::Instant;
use crate::update::Record;

/// Records that wait for an answer, at most. The others are shown again by the next exchange.
const ASKED: usize = 256;
/// Pings of one member until it counts as silent. Their numbers differ in the two lowest bits.
const TRIES: u32 = 4;
/// Parts of the time for an answer after which the first ping is repeated. The pauses double.
const FIRST_PAUSE: u32 = 8;

#[derive(Debug)]
struct Asked<A> {
    /// Number of the first ping.
    seq: u32,
    at: Instant,
    /// Number of pings so far, and time of the next one.
    tries: u32,
    next: Instant,
    record: Record<A>,
}

impl<A> Asked<A> {
    const fn was_asked_by(&self, seq: u32) -> bool {
        seq ^ self.seq < self.tries
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct FirstSight<A> {
    asked: VecDeque<Asked<A>>,
    /// Time for which an answer is waited for.
    patience: Duration,
}

impl<A: Clone> FirstSight<A> {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { asked: VecDeque::new(), patience }
    }

    /// Returns whether this member is to be asked: nobody waits for its answer yet, and there is room.
    pub(super) fn wants(&mut self, now: Instant, id: NodeId) -> bool {
        while self.asked.front().is_some_and(|asked| asked.at + self.patience <= now) {
            self.asked.pop_front();
        }
        self.asked.len() < ASKED && self.asked.iter().all(|asked| asked.record.id != id)
    }

    /// Keeps a record until a ping is answered. `random`: bits for their numbers. Returns the number of the first.
    pub(super) fn ask(&mut self, at: Instant, random: u32, record: &Record<A>) -> u32 {
        let seq = random & !(TRIES - 1);
        let next = at + self.patience / FIRST_PAUSE;
        self.asked.push_back(Asked { seq, at, tries: 1, next, record: record.clone() });
        seq
    }

    /// Returns the time of the next ping.
    pub(super) fn due(&self) -> Option<Instant> {
        self.asked.iter().filter(|asked| asked.tries < TRIES).map(|asked| asked.next).min()
    }

    /// Returns the address and the number of a ping that is to be repeated: one lost datagram would keep a member out until its
    /// record is shown again.
    pub(super) fn again(&mut self, now: Instant) -> Option<(A, u32)> {
        let pause = self.patience / FIRST_PAUSE;
        let asked = self.asked.iter_mut().find(|asked| asked.tries < TRIES && asked.next <= now)?;
        let seq = asked.seq | asked.tries;
        asked.next = now + pause * (1 << asked.tries);
        asked.tries += 1;
        Some((asked.record.address.clone(), seq))
    }

    /// Lists the members that were asked by this ping.
    pub(super) fn awaited(&self, seq: u32) -> impl Iterator<Item = NodeId> + '_ {
        self.asked.iter().filter(move |asked| asked.was_asked_by(seq)).map(|asked| asked.record.id)
    }

    /// Takes out the record of a member that has answered.
    pub(super) fn answered(&mut self, sender: NodeId, seq: u32) -> Option<Record<A>> {
        let at = self.asked.iter().position(|asked| asked.was_asked_by(seq) && asked.record.id == sender)?;
        self.asked.remove(at).map(|asked| asked.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::{Standing, Until};

    fn record(id: u64) -> Record<u16> {
        let (id, boot) = (NodeId::new(id), Instant::from_secs(1));
        let (standing, until) = (Standing::Alive, Until::NEVER);
        Record { id, incarnation: 7, boot, pass: 0, standing, until, address: 9, about: None }
    }

    #[test]
    fn a_member_is_asked_once_at_a_time_and_only_its_own_answer_counts() {
        let (start, second) = (Instant::from_secs(1_000), Duration::from_secs(1));
        let mut first = FirstSight::new(second);
        assert!(first.wants(start, NodeId::new(1)));
        assert_eq!(first.ask(start, 71, &record(1)), 68);
        assert!(!first.wants(start, NodeId::new(1)) && first.wants(start, NodeId::new(2)));
        assert_eq!(first.awaited(68).collect::<alloc::vec::Vec<_>>(), [NodeId::new(1)]);
        assert_eq!(first.answered(NodeId::new(2), 68), None);
        assert_eq!(first.answered(NodeId::new(1), 69), None, "not sent yet");
        assert_eq!(first.answered(NodeId::new(1), 68), Some(record(1)));
        assert_eq!((first.answered(NodeId::new(1), 68), first.due()), (None, None));
        first.ask(start, 72, &record(1));
        assert!(first.wants(start + second, NodeId::new(1)), "it was silent");
    }

    #[test]
    fn a_lost_ping_is_repeated_and_any_of_them_may_be_answered() {
        let (start, eighth) = (Instant::from_secs(1_000), Duration::from_millis(125));
        let mut first = FirstSight::new(8 * eighth);
        first.ask(start, 68, &record(1));
        let mut sent = alloc::vec![];
        while let Some(due) = first.due() {
            assert_eq!(first.again(due - Duration::from_millis(1)), None);
            let (address, seq) = first.again(due).unwrap();
            sent.push((due.since(start) / 125, address, seq));
        }
        let milli = Duration::from_millis(1);
        assert_eq!(sent, [(milli, 9, 69), (3 * milli, 9, 70), (7 * milli, 9, 71)]);
        assert_eq!(first.answered(NodeId::new(1), 72), None);
        assert_eq!(first.answered(NodeId::new(1), 70), Some(record(1)));
    }

    #[test]
    fn however_many_are_shown_few_are_asked() {
        let mut first = FirstSight::new(Duration::from_secs(1));
        let mut asked = 0;
        for id in 0..1_000 {
            if first.wants(Instant::from_secs(1), NodeId::new(id)) {
                first.ask(Instant::from_secs(1), 1, &record(id));
                asked += 1;
            }
        }
        assert_eq!(asked, ASKED);
    }
}
