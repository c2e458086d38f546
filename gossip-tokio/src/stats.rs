//! Counters of the driver, next to those of the node.

use gossip_core::TrafficClass;
use serde::Serialize;

/// Counters of a node and its driver since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Counters of the node.
    pub node: gossip_core::Stats,
    /// Counters of its driver.
    pub driver: DriverStats,
}

/// Counters of a driver since the start.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DriverStats {
    /// Turns of the loop: a few for each datagram, deadline or call, and none without one.
    pub turns: u64,
    /// Times that the timer was set: only when the node's deadline changed.
    pub timers_set: u64,
    /// Datagrams dropped because the transport would have blocked.
    pub sends_dropped: u64,
    /// Datagrams dropped because the transport reported that it could not send them.
    pub sends_failed: u64,
    /// Errors of the transport while receiving.
    pub receives_failed: u64,
    /// Events dropped because the slowest reader was too far behind.
    pub events_dropped: u64,
    /// Bytes handed to the transport as answers to probes. Datagrams count by their purpose, whatever else they carry.
    pub bytes_acks: u64,
    /// Bytes handed to the transport as probes.
    pub bytes_probes: u64,
    /// Bytes handed to the transport as messages to one member, receipts, and answers to queries.
    pub bytes_unicasts: u64,
    /// Bytes handed to the transport as news, and as answers to it.
    pub bytes_rumors: u64,
    /// Bytes handed to the transport as summaries and sketches.
    pub bytes_anti_entropy: u64,
    /// Bytes handed to the transport as items that a replica lacked.
    pub bytes_bulk: u64,
}

impl DriverStats {
    /// Counts a datagram for the transport by its purpose.
    pub(crate) fn count(&mut self, class: TrafficClass, length: usize) {
        let bytes = match class {
            TrafficClass::Ack => &mut self.bytes_acks,
            TrafficClass::Probe => &mut self.bytes_probes,
            TrafficClass::Unicast => &mut self.bytes_unicasts,
            TrafficClass::Rumor => &mut self.bytes_rumors,
            TrafficClass::AntiEntropy => &mut self.bytes_anti_entropy,
            TrafficClass::Bulk => &mut self.bytes_bulk,
            // A later purpose is no reason to count wrong.
            _ => return,
        };
        *bytes += length as u64;
    }
}
