//! Distances between members, as network coordinates tell them.

use std::time::Duration;

use gossip_core::{Config, NodeId};

use super::agenda::{measure, pass};
use super::{Observed, Progress, Setting, Unfinished, possible, until_rest};
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::lab::Impossible;
use crate::sim::{Latency, Verdict};

/// The experiment: nodes join, ping each other for a while, and are asked for the round trips between all of them.
#[derive(Debug, Clone)]
pub struct Distances {
    /// Number of nodes, from 3 to 1,000: that of pairs is its square.
    pub nodes: u32,
    /// Number of sites over which the nodes are spread evenly, at least 1.
    pub sites: u32,
    /// Further latency of datagrams between the first two sites. It grows by half of that for each site farther away.
    pub between: Duration,
    /// Configuration of all nodes.
    pub config: Config,
    /// Latency of datagrams.
    pub latency: Latency,
    /// Probability that a datagram is lost, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
    /// Time after the last node has joined.
    pub time: Duration,
}

/// Estimates of all nodes.
#[derive(Debug, Clone, Default)]
pub struct Estimated {
    /// Share of pairs of nodes of which a third one can tell the distance.
    pub known: f64,
    /// Relative errors of these, in order.
    pub errors: Vec<f64>,
    /// Those of two nodes in one site.
    pub within: Vec<f64>,
    /// Those of two nodes in different sites.
    pub across: Vec<f64>,
    /// Bytes that a node sends in a second, in the last tenth of the time.
    pub bytes_per_node_second: f64,
}

impl Estimated {
    /// Error that this share of `errors` does not exceed; none of none.
    pub fn share(errors: &[f64], share: f64) -> Option<f64> {
        let at = (errors.len() as f64 * share).ceil() as usize;
        errors.get(at.max(1) - 1).copied()
    }
}

impl Distances {
    /// Largest cluster.
    pub const MOST: u32 = 1_000;

    /// Number of pulses, about.
    pub fn pulses(&self) -> u64 {
        700 + self.time.as_secs() * 10
    }

    /// Checks that this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &self.config, self.loss)?;
        let most = Self::MOST;
        Impossible::unless((3..=most).contains(&self.nodes), "nodes", format!("must be from 3 to {most}"))?;
        let sites = self.nodes;
        Impossible::unless((1..=sites).contains(&self.sites), "sites", format!("must be from 1 to {sites}"))?;
        Impossible::unless(self.time > Duration::ZERO, "time", "must be more than none")
    }

    /// Runs it.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster that does not come to rest.
    pub fn run(&self, seed: u64, progress: Progress<'_>) -> Result<Estimated, Unfinished> {
        self.check()?;
        let setting = Setting::new(self.config.clone());
        let mut cluster = Cluster::builder(self.nodes, setting).seed(seed).latency(self.latency).build();
        let (sites, between) = (self.sites, self.between);
        cluster.rule(move |datagram| match extra(sites, between, datagram.from.0, datagram.to.0) {
            Duration::ZERO => Verdict::Pass,
            extra => Verdict::Delay(extra),
        });
        until_rest(&mut cluster, progress)?;
        cluster.lose(self.loss);
        let last = self.time / 10;
        pass(&mut cluster, self.time - last, progress);
        let bytes_per_node_second = measure(&mut cluster, last, progress).bytes_per_node_second();
        let mut estimated = Estimated { bytes_per_node_second, ..self.compare(&cluster) };
        for errors in [&mut estimated.errors, &mut estimated.within, &mut estimated.across] {
            errors.sort_unstable_by(f64::total_cmp);
        }
        Ok(estimated)
    }

    /// Asks each node for the distances between all others.
    fn compare(&self, cluster: &Cluster<Observed>) -> Estimated {
        let mut estimated = Estimated::default();
        let mut pairs = 0_u64;
        for (asked, node) in cluster.live() {
            let others = || cluster.nodes().iter().filter(move |addr| **addr != asked);
            for (&Addr(from), &Addr(to)) in others().flat_map(|from| others().map(move |to| (from, to))) {
                if from >= to {
                    continue;
                }
                pairs += 1;
                let id = |node: u32| NodeId::new(u64::from(node));
                let Some(told) = node.node().distance_between(id(from), id(to)) else { continue };
                let extra = extra(self.sites, self.between, from, to);
                let is = 2 * (self.latency.base + self.latency.mean + extra);
                let error = told.abs_diff(is).as_secs_f64() / is.as_secs_f64();
                estimated.errors.push(error);
                let site = if extra == Duration::ZERO { &mut estimated.within } else { &mut estimated.across };
                site.push(error);
            }
        }
        estimated.known = estimated.errors.len() as f64 / pairs as f64;
        estimated
    }
}

/// Further latency between two nodes.
fn extra(sites: u32, between: Duration, from: u32, to: u32) -> Duration {
    let apart = (from % sites).abs_diff(to % sites);
    if apart == 0 { Duration::ZERO } else { between + between * (apart - 1) / 2 }
}
