//! Counters of the driver, next to those of the node.

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
}
