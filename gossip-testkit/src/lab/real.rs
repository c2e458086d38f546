//! Experiments with real nodes: [`gossip_core::Node`] in the simulator, byte for byte what is deployed.
//!
//! Knows clusters and what is asked of them; each experiment is a file. Must not know how results are printed, nor real
//! clocks: what costs processor time and memory is [replayed](Log) by whoever has them.

mod advise;
mod agenda;
mod detect;
mod distance;
mod heal;
mod idle;
mod introduce;
mod join;
mod live;
mod load;
mod median;
mod observed;
mod reconcile;
mod spread;
#[cfg(test)]
mod tests;
mod tree;

use std::time::Duration;

use gossip_core::Config;

use super::epidemic::Impossible;
use crate::cluster::Cluster;
use crate::sim::Latency;

pub use advise::{Advice, Advise, Answer, Verdict};
pub use detect::{Detect, Detection};
pub use distance::{Distances, Estimated};
pub use heal::{Heal, Restarted};
pub use idle::{Idle, Rest};
pub use join::{Join, Joined};
pub use live::{Detail, Frame, Live, Start, SubjectFrame};
pub use load::{Load, Loaded};
pub use observed::{Log, Observed, Setting};
pub use reconcile::{Reconcile, Reconciliation};
pub use spread::{Course, Spread};
pub use tree::Tree;

/// The largest cluster: so many members are what the presets allow.
pub const MAX_NODES: u32 = 100_000;
/// The most entries: likewise.
pub const MAX_KEYS: u32 = 4_000_000;
/// Largest loss: beyond it nothing is measured but luck.
pub const MAX_LOSS: f64 = 0.9;

/// Simulated time in which a cluster must come to rest, or the experiment is given up.
const PATIENCE: Duration = Duration::from_secs(600);
/// Protocol periods in which nodes that have started find their network coordinates: their first pings are long.
const FINDING: u32 = 30;
/// Interval at which a cluster is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A network, and the configuration made for it.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Preset {
    /// One machine: datagrams take 50 µs.
    Local,
    /// A local network: 1 ms.
    Lan,
    /// The internet: 60 ms.
    Wan,
}

impl Preset {
    /// Returns the preset of this name: `local`, `lan` or `wan`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Local, Self::Lan, Self::Wan].into_iter().find(|preset| preset.name() == name)
    }

    /// Name, as a configuration file spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    /// The configuration.
    pub fn config(self) -> Config {
        match self {
            Self::Local => Config::local(),
            Self::Lan => Config::lan(),
            Self::Wan => Config::wan(),
        }
    }

    /// Latency of datagrams.
    pub fn latency(self) -> Latency {
        let micros = |base, mean| Latency { base: Duration::from_micros(base), mean: Duration::from_micros(mean) };
        match self {
            Self::Local => micros(30, 20),
            Self::Lan => Latency::default(),
            Self::Wan => micros(30_000, 30_000),
        }
    }
}

/// A cluster that was to come to rest, and did not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("after {after:?} of simulated time {missing} of {nodes} nodes do not {what}")]
#[non_exhaustive]
pub struct Unsettled {
    /// Number of nodes.
    pub nodes: usize,
    /// Number of those that are to blame.
    pub missing: usize,
    /// The thing they should do.
    pub what: &'static str,
    /// Time for which that was waited for.
    pub after: Duration,
}

/// Reason why an experiment has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfinished {
    /// It cannot be; nothing was run.
    #[error(transparent)]
    Impossible(#[from] Impossible),
    /// Its cluster did not get where it begins, or ends.
    #[error(transparent)]
    Unsettled(#[from] Unsettled),
}

/// Checks the settings that all experiments with a cluster have.
fn possible(nodes: u32, config: &Config, loss: f64) -> Result<(), Impossible> {
    Impossible::unless((2..=MAX_NODES).contains(&nodes), "nodes", format!("must be from 2 to {MAX_NODES}"))?;
    Impossible::unless((0.0..=MAX_LOSS).contains(&loss), "loss", format!("must be from 0 to {MAX_LOSS}"))?;
    config.check().map_err(|error| Impossible { setting: "config", bound: format!("must be one: {error}") })
}

/// Called now and then while an experiment runs, so that those who wait see it move.
pub type Progress<'a> = &'a (dyn Fn() + Sync);

/// Runs until `done` is true of every node.
fn until_each(
    cluster: &mut Cluster<Observed>,
    every: Duration,
    what: &'static str,
    progress: Progress<'_>,
    mut done: impl FnMut(&Observed) -> bool,
) -> Result<Duration, Unsettled> {
    let mut missing = 0;
    let took = cluster.run_until(PATIENCE, every, |cluster| {
        progress();
        // Nodes that have not started yet are missing, too.
        missing = cluster.nodes().len() - cluster.live().filter(|(_, node)| done(node)).count();
        missing == 0
    });
    took.ok_or(Unsettled { nodes: cluster.nodes().len(), missing, what, after: PATIENCE })
}

/// Runs until everybody sees everybody, holds the same, and nobody has anything to tell.
fn until_rest(cluster: &mut Cluster<Observed>, progress: Progress<'_>) -> Result<(), Unsettled> {
    let nodes = cluster.nodes().len();
    let rest = cluster.expectations().period;
    loop {
        until_each(cluster, LOOK_INTERVAL, "see all", progress, |node| node.node().live_members() == nodes)?;
        until_each(cluster, LOOK_INTERVAL, "fall silent", progress, |node| node.node().hot_rumors() == 0)?;
        if cluster.agrees() && cluster.sees_all() {
            return Ok(());
        }
        if cluster.now() > gossip_core::Instant::ORIGIN + PATIENCE {
            return Err(Unsettled { nodes, missing: nodes, what: "agree", after: PATIENCE });
        }
        cluster.run_for(rest);
    }
}
