//! Broadcasts that are forgotten: of each writer how late they were.
//!
//! A broadcast is forgotten some time after its end, and not taken in again since that is past. But time may turn back, where
//! many clocks are wrong and come and go, and whoever goes by others than this node did may hold it still. It is taken in then
//! as anything is, and nobody hears of it a second time.

use alloc::collections::BTreeMap;

use crate::id::NodeId;
use crate::update::{Broadcast, Stamp, Until};

/// Writers that are remembered.
const WRITERS: usize = 1_024;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct ForgottenBroadcasts(BTreeMap<NodeId, (Stamp, Until)>);

impl ForgottenBroadcasts {
    /// Takes note that a broadcast is forgotten.
    pub(super) fn note(&mut self, Broadcast { stamp, until, .. }: &Broadcast) {
        let (latest, end) = self.0.entry(stamp.node).or_insert((*stamp, *until));
        (*latest, *end) = ((*latest).max(*stamp), (*end).max(*until));
        if self.0.len() > WRITERS
            && let Some(first) = self.0.iter().min_by_key(|(_, (stamp, _))| *stamp).map(|(writer, _)| *writer)
        {
            self.0.remove(&first);
        }
    }

    /// Returns whether a broadcast was perhaps here and is forgotten: its writer has sent one that was no earlier, and one that
    /// lasted no shorter, and those are.
    pub(super) fn has(&self, Broadcast { stamp, until, .. }: &Broadcast) -> bool {
        self.0.get(&stamp.node).is_some_and(|(latest, end)| stamp <= latest && until <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    fn broadcast(writer: u64, at: u64, until: u64) -> Broadcast {
        let stamp = Stamp { time: Instant::from_secs(at), counter: 0, node: NodeId::new(writer) };
        Broadcast { stamp, until: Until::at(Instant::from_secs(until)), asks: None, payload: [][..].into() }
    }

    #[test]
    fn what_is_forgotten_is_known_and_what_is_later_or_lasts_longer_or_is_of_another_is_not() {
        let mut forgotten = ForgottenBroadcasts::default();
        forgotten.note(&broadcast(1, 20, 30));
        forgotten.note(&broadcast(1, 10, 25));
        for (sample, has) in [
            (broadcast(1, 20, 30), true),
            (broadcast(1, 10, 25), true),
            (broadcast(1, 15, 30), true),
            (broadcast(1, 21, 30), false),
            (broadcast(1, 15, 31), false),
            (broadcast(2, 15, 25), false),
        ] {
            assert_eq!(forgotten.has(&sample), has, "{sample:?}");
        }
    }

    #[test]
    fn however_many_write_few_are_remembered_those_whose_broadcasts_were_the_latest() {
        let mut forgotten = ForgottenBroadcasts::default();
        let samples = || (0..3_000).map(|writer| broadcast(writer, writer, 5_000));
        samples().for_each(|sample| forgotten.note(&sample));
        let known: alloc::vec::Vec<u64> =
            samples().filter(|sample| forgotten.has(sample)).map(|sample| sample.stamp.node.get()).collect();
        assert!(known.iter().copied().eq(3_000 - WRITERS as u64..3_000), "{known:?}");
    }
}
