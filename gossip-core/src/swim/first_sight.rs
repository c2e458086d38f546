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

#[derive(Debug)]
struct Asked<A> {
    /// Number of the ping.
    seq: u32,
    at: Instant,
    record: Record<A>,
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

    /// Keeps a record until the ping of this number is answered.
    pub(super) fn ask(&mut self, at: Instant, seq: u32, record: &Record<A>) {
        self.asked.push_back(Asked { seq, at, record: record.clone() });
    }

    /// Lists the members that were asked by this ping.
    pub(super) fn awaited(&self, seq: u32) -> impl Iterator<Item = NodeId> + '_ {
        self.asked.iter().filter(move |asked| asked.seq == seq).map(|asked| asked.record.id)
    }

    /// Takes out the record of a member that has answered.
    pub(super) fn answered(&mut self, sender: NodeId, seq: u32) -> Option<Record<A>> {
        let at = self.asked.iter().position(|asked| asked.seq == seq && asked.record.id == sender)?;
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
        first.ask(start, 70, &record(1));
        assert!(!first.wants(start, NodeId::new(1)) && first.wants(start, NodeId::new(2)));
        assert_eq!(first.awaited(70).collect::<alloc::vec::Vec<_>>(), [NodeId::new(1)]);
        assert_eq!(first.answered(NodeId::new(2), 70), None);
        assert_eq!(first.answered(NodeId::new(1), 71), None);
        assert_eq!(first.answered(NodeId::new(1), 70), Some(record(1)));
        assert_eq!(first.answered(NodeId::new(1), 70), None);
        first.ask(start, 72, &record(1));
        assert!(first.wants(start + second, NodeId::new(1)), "it was silent");
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
