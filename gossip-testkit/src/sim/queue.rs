//! Queue of events in the order of simulated time; at one instant, in the order in which it was planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use gossip_core::Instant;

/// An event.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A datagram, by its number in flight, arrives.
    Arrival(u32),
    /// A node's deadline may have come.
    Wake(u32),
    /// A planned action, by its number.
    Action(u32),
}

/// The event queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64, Due)>>,
    planned: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Instant, due: Due) {
        self.planned += 1;
        self.heap.push(Reverse((at.as_micros(), self.planned, due)));
    }

    /// Time of the next event.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| Instant::from_micros(*at))
    }

    /// The next event, if it comes at `until` at the latest.
    pub(crate) fn pop(&mut self, until: Instant) -> Option<(Instant, Due)> {
        let next = self.heap.peek_mut()?;
        if next.0.0 > until.as_micros() {
            return None;
        }
        let Reverse((at, _, due)) = std::collections::binary_heap::PeekMut::pop(next);
        Some((Instant::from_micros(at), due))
    }
}
