//! Measurements, in the words of Demers et al., section 1.4: residue, traffic, delay.

use std::time::Duration;

use serde::Serialize;

use crate::address::Addr;

/// Times at which nodes first knew something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// By node: none if it does not count; else when it knew, if it did.
    times: Vec<Option<Option<Duration>>>,
}

impl Spread {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { times: vec![None; nodes] }
    }

    pub(crate) fn expect(&mut self, node: Addr) {
        self.times[node.index()] = Some(None);
    }

    pub(crate) fn note(&mut self, node: Addr, at: Duration) {
        self.times[node.index()] = Some(Some(at));
    }

    pub(crate) fn lacks(&self, node: Addr) -> bool {
        self.times.get(node.index()) == Some(&Some(None))
    }

    /// Times at which nodes knew, in order.
    pub fn times(&self) -> Vec<Duration> {
        let mut times: Vec<_> = self.times.iter().filter_map(|time| time.flatten()).collect();
        times.sort_unstable();
        times
    }

    /// Number of nodes that should have known.
    pub fn nodes(&self) -> usize {
        self.times.iter().flatten().count()
    }

    /// The share of nodes that never knew.
    pub fn residue(&self) -> f64 {
        let nodes = self.nodes();
        if nodes == 0 { 0.0 } else { (nodes - self.times().len()) as f64 / nodes as f64 }
    }

    /// Mean time at which nodes knew.
    pub fn t_ave(&self) -> Option<Duration> {
        let times = self.times();
        let sum: Duration = times.iter().sum();
        sum.checked_div(u32::try_from(times.len()).ok()?)
    }

    /// Time at which the last node knew; none if one never did.
    pub fn t_last(&self) -> Option<Duration> {
        self.share(1.0)
    }

    /// Time at which this share of all nodes, from 0 to 1, knew; none if it never did.
    pub fn share(&self, share: f64) -> Option<Duration> {
        let needed = ((self.nodes() as f64 * share).ceil() as usize).max(1);
        self.times().get(needed - 1).copied()
    }

    /// Time at which a node knew.
    pub fn of(&self, node: Addr) -> Option<Duration> {
        self.times.get(node.index()).copied().flatten().flatten()
    }
}

/// Traffic in a span of time.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Nodes alive at its end.
    pub nodes: usize,
    /// Its length.
    pub time: Duration,
    /// Datagrams sent by all.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The largest datagram sent by anybody since the start.
    pub largest_ever: usize,
}

impl Usage {
    fn per_node_second(&self, what: u64) -> f64 {
        what as f64 / self.nodes as f64 / self.time.as_secs_f64()
    }

    /// Bytes per node and second.
    pub fn bytes_per_node_second(&self) -> f64 {
        self.per_node_second(self.bytes)
    }

    /// Datagrams per node and second.
    pub fn datagrams_per_node_second(&self) -> f64 {
        self.per_node_second(self.datagrams)
    }
}
