//! Lifeguard's local health multiplier: a node that misses answers doubts itself first.

use core::time::Duration;

/// Local health, from 0 (healthy) to the configured bound. Scales the timeout of a probe and the probe schedule alike.
#[derive(Debug)]
pub(crate) struct Health {
    value: u32,
    most: u32,
}

impl Health {
    pub(crate) const fn new(most: u32) -> Self {
        Self { value: 0, most }
    }

    pub(crate) const fn value(&self) -> u32 {
        self.value
    }

    /// Records a success.
    pub(crate) fn better(&mut self) {
        self.value = self.value.saturating_sub(1);
    }

    /// Records `by` failures that may be this node's own fault.
    pub(crate) fn worse(&mut self, by: u32) {
        self.value = self.value.saturating_add(by).min(self.most);
    }

    pub(crate) fn scale(&self, time: Duration) -> Duration {
        time.saturating_mul(self.value + 1)
    }
}
