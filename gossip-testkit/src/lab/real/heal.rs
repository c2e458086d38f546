//! A cluster that was cut in two halves, and is whole again.

use std::time::Duration;

use gossip_core::{Config, Node};

use super::possible;
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::lab::Impossible;
use crate::sim::Latency;

/// Halves whose members are restarted while they are apart.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Restarted {
    /// Neither half.
    Neither,
    /// The first half.
    One,
    /// Both halves.
    Both,
}

/// The experiment: two halves of a settled cluster are cut apart until each has given the other up; members are restarted
/// one after another with their memory, as a deployment does; then the cut ends. Everybody joined through one more node.
#[derive(Debug, Clone)]
pub struct Heal {
    /// Number of nodes besides the seed, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// Configuration of every node.
    pub config: Config,
    /// Time that datagrams are under way.
    pub latency: Latency,
    /// Keeps the seed alive, on the side of the first half. If false, it crashes before the cut.
    pub seed_alive: bool,
    /// Halves that are restarted during the cut.
    pub restarted: Restarted,
}

impl Heal {
    /// Checks whether this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &self.config, 0.0)
    }

    /// The time within which the testkit expects every cluster to agree after its last fault: 8·log2 n + 90 periods.
    pub fn bound(&self) -> Duration {
        self.config.probe.period.mul_f64(8.0 * f64::from(self.nodes).log2() + 90.0)
    }

    /// Runs it. Returns the time from the end of the cut until all see all, or none if that takes more than twice the
    /// [bound](Self::bound).
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub fn run(&self, seed: u64) -> Result<Option<Duration>, Impossible> {
        self.check()?;
        let period = self.config.probe.period;
        let mut cluster: Cluster<Node<Addr>> =
            Cluster::builder(self.nodes + 1, self.config.clone()).seed(seed).latency(self.latency).build();
        cluster.run_until(60 * period, period / 10, Cluster::sees_all);
        let middle = 1 + self.nodes / 2;
        if !self.seed_alive {
            cluster.crash(0);
            cluster.run_for(60 * period);
        }
        cluster.partition(0..middle, middle..self.nodes + 1);
        cluster.run_for(120 * period);
        let restarted = match self.restarted {
            Restarted::Neither => 1..1,
            Restarted::One => 1..middle,
            Restarted::Both => 1..self.nodes + 1,
        };
        for node in restarted {
            cluster.crash(node);
            cluster.run_for(period);
            cluster.restart(node, true);
            cluster.run_for(4 * period);
        }
        cluster.heal();
        Ok(cluster.run_until(2 * self.bound(), period / 10, Cluster::sees_all))
    }
}
