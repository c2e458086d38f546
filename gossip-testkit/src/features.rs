//! Features of a run: short numbers that stand for what happened in it, so that runs can be told apart by their kind.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Addr;
use crate::coin::{content, fold};
use crate::sim::Counters;

/// Successions of two steps of a node, counted.
#[derive(Debug, Default)]
pub(crate) struct Features {
    last: Vec<u64>,
    seen: BTreeMap<u64, u32>,
}

impl Features {
    /// Notes a step of a node: its kind, and whether it has changed what the node holds.
    pub(crate) fn step(&mut self, node: Addr, kind: u64, changed: bool) {
        if self.last.len() <= node.index() {
            self.last.resize(node.index() + 1, 0);
        }
        let step = fold([kind, changed.into()]);
        let last = std::mem::replace(&mut self.last[node.index()], step);
        *self.seen.entry(fold([last, step])).or_default() += 1;
    }

    /// Returns the features: each succession, counter and mark with the magnitude of its count.
    pub(crate) fn finish(self, counters: &Counters, marks: &BTreeSet<&'static str>) -> BTreeSet<u64> {
        let magnitude = |count: u64| u64::from(count.checked_ilog2().unwrap_or(0));
        let steps = self.seen.into_iter().map(|(step, count)| fold([1, step, magnitude(count.into())]));
        let counted = counters.iter().filter(|&(_, count)| count > 0);
        let counted = counted.map(|(name, count)| fold([2, content(name.as_bytes()), magnitude(count)]));
        let marks = marks.iter().map(|mark| fold([3, content(mark.as_bytes()), 0]));
        steps.chain(counted).chain(marks).collect()
    }
}
