//! A cluster at rest.

use std::sync::Arc;
use std::time::Duration;

use gossip_core::{Config, Instant};

use super::acquaint::acquaint;
use super::agenda::{measure, pass};
use super::observed::marked;
use super::{Log, Observed, Pulse, Setting, Unfinished, possible, until_rest};
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::lab::Impossible;
use crate::metrics::Usage;
use crate::node::Command;
use crate::sim::Latency;

/// Of so many nodes, spread evenly, everything is written down.
const LOGGED: u32 = 4;
/// So many nodes join one by one; where there are more, that would take longer than all the rest.
const MOST_JOINING: u32 = 2_000;
/// How long a value is.
const VALUE: usize = 32;

/// The experiment. More than 2,000 nodes do not tell each other who they are: they start with what the first knows of
/// all, as after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// How many nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// How many entries each holds, up to what the configuration allows.
    pub keys: u32,
    /// How long it is looked at; something.
    pub time: Duration,
    /// How they are configured.
    pub config: Config,
    /// How long datagrams are under way.
    pub latency: Latency,
}

/// What a cluster does that has nothing to do.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rest {
    /// What it sent.
    pub usage: Usage,
    /// The largest datagram of that time, where [`Usage::largest_ever`] is that of the start, too.
    pub largest: usize,
    /// When it began to be looked at, by the nodes' clocks.
    pub from: Instant,
    /// When that ended.
    pub to: Instant,
    /// All that some of the nodes were called with.
    pub logs: Vec<Log>,
}

impl Idle {
    /// How often the pulse is felt, about.
    pub fn pulses(&self) -> u64 {
        150 + self.time.as_secs() * 10
    }

    /// Whether this can be run.
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
    pub fn run(&self, seed: u64, pulse: Pulse<'_>) -> Result<Rest, Unfinished> {
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
            acquaint(&mut cluster, |cluster| self.put(cluster), pulse)?;
        } else {
            self.put(&mut cluster);
        }
        until_rest(&mut cluster, pulse)?;
        // Until the last answer has come and the last exchange is over.
        pass(&mut cluster, 2 * self.config.anti_entropy.interval, pulse);
        until_rest(&mut cluster, pulse)?;

        let from = cluster.reading(0);
        let largest = std::rc::Rc::new(std::cell::Cell::new(0));
        let seen = largest.clone();
        cluster.tap(move |datagram| seen.set(seen.get().max(datagram.payload.len())));
        let usage = measure(&mut cluster, self.time, pulse);
        let to = cluster.reading(0);
        let take = |addr: Addr| cluster.with(addr.0, |node, _| node.take_log());
        let logs = logged.into_iter().filter_map(take).collect();
        Ok(Rest { usage, largest: largest.get(), from, to, logs })
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
