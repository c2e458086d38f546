//! A cluster that forms through one seed.

use std::time::Duration;

use gossip_core::Config;

use super::{Observed, Progress, Setting, Unfinished, possible, until_each};
use crate::cluster::Cluster;
use crate::lab::Impossible;
use crate::sim::Latency;

/// Precision with which the end is found out.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The experiment: everybody starts within a protocol period and knows one address. It ends when everybody has seen all,
/// be it alive or suspected: where datagrams are lost, somebody is suspected all the time, and now and then taken for dead.
#[derive(Debug, Clone)]
pub struct Join {
    /// Number of nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// Configuration of all nodes.
    pub config: Config,
    /// Latency of datagrams.
    pub latency: Latency,
    /// Probability that a datagram is lost, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
}

/// Time and traffic that a cluster took to form.
#[derive(Debug, Copy, Clone, PartialEq)]
#[non_exhaustive]
pub struct Joined {
    /// Time until all had seen all, counted from when the first could start.
    pub time: Duration,
    /// Bytes sent until then, per node.
    pub bytes_per_node: f64,
    /// Datagrams sent until then, per node.
    pub datagrams_per_node: f64,
    /// Updates received until then, new ones and known ones, per node.
    pub updates_per_node: f64,
}

impl Join {
    /// Number of pulses, about.
    pub const PULSES: u64 = 500;

    /// Checks that this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &self.config, self.loss)
    }

    /// Runs it.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster in which not all see all in time.
    pub fn run(&self, seed: u64, progress: Progress<'_>) -> Result<Joined, Unfinished> {
        self.check()?;
        let setting = Setting::new(self.config.clone());
        let mut cluster: Cluster<Observed> =
            Cluster::builder(self.nodes, setting).seed(seed).latency(self.latency).build();
        cluster.lose(self.loss);
        let nodes = self.nodes as usize;
        let mut seen = vec![false; nodes];
        until_each(&mut cluster, LOOK_INTERVAL, "see all", progress, |node| {
            let seen = &mut seen[node.node().id().get() as usize];
            *seen |= node.node().live_members() == nodes;
            *seen
        })?;
        let time = cluster.now().since(gossip_core::Instant::ORIGIN);
        let per_node = |count: u64| count as f64 / f64::from(self.nodes);
        let counters = cluster.counters();
        let received = |node: &Observed| {
            let stats = node.node().stats();
            stats.updates_new + stats.updates_known
        };
        Ok(Joined {
            time,
            bytes_per_node: per_node(counters.bytes),
            datagrams_per_node: per_node(counters.datagrams),
            updates_per_node: per_node(cluster.live().map(|(_, node)| received(node)).sum()),
        })
    }
}
