//! What the driver counts, beside what the node counts.

use serde::Serialize;

/// What a node and its driver have counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// By the node.
    pub node: gossip_core::Stats,
    /// By its driver.
    pub driver: DriverStats,
}

/// What a driver has counted since the start.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DriverStats {
    /// How often the loop went round: a few times for each datagram, deadline or call, and never without one.
    pub turns: u64,
    /// How often its timer was set: when the node's deadline changed, and not otherwise.
    pub timers_set: u64,
    /// Datagrams dropped because the transport would have blocked.
    pub sends_dropped: u64,
    /// Datagrams dropped because the transport said that it could not send them.
    pub sends_failed: u64,
    /// Times that the transport could not receive.
    pub receives_failed: u64,
    /// Events dropped because the slowest reader was too far behind.
    pub events_dropped: u64,
}
