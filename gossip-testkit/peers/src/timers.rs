//! Timers of a protocol that asks its driver to call it back.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::Instant;

#[derive(Debug)]
pub struct Timers<T> {
    due: BTreeMap<(Instant, u64), T>,
    set: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), set: 0 }
    }
}

impl<T> Timers<T> {
    pub fn set(&mut self, at: Instant, timer: T) {
        self.set += 1;
        self.due.insert((at, self.set), timer);
    }

    pub fn after(&mut self, now: Instant, time: Duration, timer: T) {
        self.set(now + time, timer);
    }

    /// The next timer that is due by `now`, if there is one.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        self.due.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }

    pub fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }
}
