//! A cluster at rest.

use std::sync::Arc;
use std::time::Duration;

use gossip_core::{Config, Instant};

use super::agenda::{measure, pass, sum};
use super::introduce::introduce;
use super::observed::marked;
use super::{FINDING, Log, Observed, Progress, Setting, Unfinished, possible, until_rest};
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::command::Command;
use crate::lab::{Estimate, Impossible};
use crate::metrics::Usage;
use crate::sim::Latency;

/// Number of nodes, spread evenly, of which everything is written down.
const LOGGED: u32 = 4;
/// Largest cluster that joins one by one; of more nodes, that would take longer than all the rest.
const MOST_JOINING: u32 = 2_000;
/// Parts of the time at rest, each of which is a sample of its traffic.
const PARTS: u32 = 10;
/// Length of a value in bytes.
const VALUE: usize = 32;

/// The experiment. More than 2,000 nodes do not tell each other who they are: they start with what the first knows of
/// all, as after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// Number of nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// Number of entries that each holds, up to what the configuration allows.
    pub keys: u32,
    /// Duration of the experiment; more than none.
    pub time: Duration,
    /// Configuration of all nodes.
    pub config: Config,
    /// Latency of datagrams.
    pub latency: Latency,
}

/// Traffic and state of a cluster that has nothing to do.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rest {
    /// Traffic of all.
    pub usage: Usage,
    /// Bytes sent per node and second, over ten parts of the time.
    pub bytes_per_node_second: Estimate,
    /// The largest datagram of that time, where [`Usage::largest_ever`] is that of the start, too.
    pub largest: usize,
    /// Beginning of the measurement, by the nodes' clocks.
    pub from: Instant,
    /// End of the measurement.
    pub to: Instant,
    /// All that some of the nodes were called with.
    pub logs: Vec<Log>,
}

impl Idle {
    /// Number of pulses, about.
    pub fn pulses(&self) -> u64 {
        150 + self.time.as_secs() * 10
    }

    /// Checks that this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &self.config, 0.0)?;
        let entries = self.config.limits.entries;
        Impossible::unless(self.keys as usize <= entries, "keys", format!("must be from 0 to {entries}"))?;
        Impossible::unless(self.time > Duration::ZERO, "time", "must be more than none")
    }

    /// Runs it.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster that does not come to rest.
    pub fn run(&self, seed: u64, progress: Progress<'_>) -> Result<Rest, Unfinished> {
        self.check()?;
        // The first is the seed, and like no other.
        let mut logged: Vec<_> = (1..=LOGGED).map(|i| Addr((self.nodes * i / LOGGED).max(2) - 1)).collect();
        logged.dedup();
        let mut config = self.config.clone();
        // One node writes all the entries there are.
        config.limits.share = 100;
        let setting = Setting { logged: Arc::from(logged.clone()), ..Setting::new(config) };
        let mut cluster = Cluster::builder(self.nodes, setting).seed(seed).latency(self.latency).build();
        if self.nodes > MOST_JOINING {
            introduce(&mut cluster, |cluster| self.put(cluster), progress)?;
        } else {
            self.put(&mut cluster);
        }
        until_rest(&mut cluster, progress)?;
        // Until the last answer has come, the last exchange is over, and the nodes know where they are.
        let found = FINDING * self.config.probe.period;
        pass(&mut cluster, found.max(2 * self.config.anti_entropy.interval), progress);
        until_rest(&mut cluster, progress)?;

        let from = cluster.reading(0);
        let largest = std::rc::Rc::new(std::cell::Cell::new(0));
        let seen = largest.clone();
        cluster.tap(move |datagram| seen.set(seen.get().max(datagram.payload.len())));
        let part = (self.time / PARTS).max(Duration::from_micros(1));
        let parts: Vec<_> = (0..PARTS).map(|_| measure(&mut cluster, part, progress)).collect();
        let bytes_per_node_second = Estimate::of(parts.iter().map(Usage::bytes_per_node_second));
        let usage = sum(&parts);
        let to = cluster.reading(0);
        let take = |addr: Addr| cluster.with(addr.0, |node, _| node.take_log());
        let logs = logged.into_iter().filter_map(take).collect();
        Ok(Rest { usage, bytes_per_node_second, largest: largest.get(), from, to, logs })
    }

    /// The first that starts has it all; the others get it when they join.
    fn put(&self, cluster: &mut Cluster<Observed>) {
        if self.keys == 0 {
            return;
        }
        let (within, every) = (2 * cluster.expectations().period, Duration::from_millis(1));
        cluster.run_until(within, every, |cluster| cluster.get(0).is_some());
        for number in 0..self.keys {
            let command = Command::put(format!("key-{number:07}"), marked(number, VALUE));
            cluster.command(0, &command).expect("a short value is written by a node that has not left");
        }
    }
}
