//! One put in a cluster at rest: when who knows, and what that costs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::{Config, Event, Instant};

use super::agenda::pass;
use super::median::median;
use super::observed::marked;
use super::{FINDING, Observed, Progress, Setting, Unfinished, Unsettled, possible, until_rest};
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::command::Command;
use crate::lab::{Estimate, Impossible, trials};
use crate::scenario::Dice;
use crate::sim::Latency;

/// Time after a put in which the last node may learn of it.
const PATIENCE: Duration = Duration::from_secs(120);
/// A value that is worth offering by its hash.
const VALUE: usize = 64;
/// Clusters that put independently, and puts of each.
const CLUSTERS: u32 = 2;
const PUTS: u32 = 5;

/// The experiment.
#[derive(Debug, Clone)]
pub struct Spread {
    /// Number of nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// Configuration of all nodes.
    pub config: Config,
    /// Latency of datagrams.
    pub latency: Latency,
    /// Probability that a datagram is lost once the cluster is at rest, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
}

/// Course of several puts, one after another in two clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    nodes: usize,
    /// Per put, when nodes knew, in order; the one that put it at once.
    puts: Vec<Vec<Duration>>,
    /// Bytes sent per node and put, beyond what is sent at rest. Where datagrams are lost, suspicions come and go, and
    /// their traffic is the noise in this.
    pub bytes_per_node: Estimate,
    /// Datagrams likewise.
    pub datagrams_per_node: Estimate,
    /// Number of times the body was received, per node and put.
    pub copies_per_node: f64,
}

impl Course {
    /// Time at which this share of the nodes knew, the median of all puts; none if most never got there.
    pub fn share(&self, share: f64) -> Option<Duration> {
        median(&self.puts, ((self.nodes as f64 * share).ceil() as usize).max(1))
    }

    /// (time, share of nodes that know), all puts taken together.
    pub fn curve(&self) -> Vec<(Duration, f64)> {
        let mut times: Vec<_> = self.puts.concat();
        times.sort_unstable();
        let all = (self.nodes * self.puts.len()) as f64;
        times.into_iter().zip(1_u32..).map(|(time, known)| (time, f64::from(known) / all)).collect()
    }

    /// Times at which this share of the nodes knew: of the earliest put and of the latest. None if one never got there.
    pub fn range(&self, share: f64) -> Option<(Duration, Duration)> {
        let needed = ((self.nodes as f64 * share).ceil() as usize).max(1);
        let times: Option<Vec<_>> = self.puts.iter().map(|put| put.get(needed - 1).copied()).collect();
        times.and_then(|times| Some((*times.iter().min()?, *times.iter().max()?)))
    }

    fn of(nodes: u32, clusters: Vec<Cost>) -> Self {
        let per_node = |costs: Vec<f64>| Estimate::of(costs.into_iter().map(|cost| cost / f64::from(nodes)));
        let copies: u64 = clusters.iter().map(|cost| cost.copies).sum();
        let puts: Vec<_> = clusters.iter().flat_map(|cost| cost.puts.clone()).collect();
        Self {
            nodes: nodes as usize,
            bytes_per_node: per_node(clusters.iter().flat_map(|cost| cost.bytes.clone()).collect()),
            datagrams_per_node: per_node(clusters.iter().flat_map(|cost| cost.datagrams.clone()).collect()),
            copies_per_node: copies as f64 / f64::from(nodes) / puts.len() as f64,
            puts,
        }
    }
}

/// Costs of the puts of one cluster.
#[derive(Default)]
struct Cost {
    puts: Vec<Vec<Duration>>,
    bytes: Vec<f64>,
    datagrams: Vec<f64>,
    copies: u64,
}

impl Spread {
    /// Number of pulses, about.
    pub const PULSES: u64 = 300;

    /// Checks that the experiment can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &self.config, self.loss)
    }

    /// Runs it.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster that does not come to rest before the first put.
    pub fn run(&self, seed: u64, progress: Progress<'_>) -> Result<Course, Unfinished> {
        self.check()?;
        let clusters = trials(CLUSTERS, seed, &|| (), |seed| self.cluster(seed, progress));
        Ok(Course::of(self.nodes, clusters.into_iter().collect::<Result<_, _>>()?))
    }

    /// After so many rounds a rumor is told by nobody who learned it before.
    fn rounds(&self) -> u32 {
        let most = self.config.rumor.lambda * (self.nodes.ilog2() + 2);
        most.div_ceil(self.config.rumor.fanout) + 2
    }

    fn cluster(&self, seed: u64, progress: Progress<'_>) -> Result<Cost, Unsettled> {
        let mut cluster = at_rest(self, seed, progress)?;
        let mut cost = Cost::default();
        let sightings = Sightings::watch(&mut cluster);
        let mut dice = Dice::new(seed);
        for number in 0..PUTS {
            let (start, before) = (cluster.now(), *cluster.counters());
            sightings.put(&mut cluster, number, self.nodes, &mut dice);
            let all = |sightings: &Sightings| sightings.times(number).len() == self.nodes as usize;
            cluster.run_until(PATIENCE, self.config.rumor.interval, |_| {
                progress();
                all(&sightings)
            });
            // Until nobody tells it any more; suspicions, where datagrams are lost, are told for ever.
            cluster.run_for(self.rounds() * self.config.rumor.interval);
            cost.puts.push(sightings.times(number));
            let after = *cluster.counters();
            // The same time at rest, right after it: where datagrams are lost, rest is not the same all the time.
            let rest = cluster.measure(cluster.now().since(start));
            cost.bytes.push((after.bytes - before.bytes) as f64 - rest.bytes as f64);
            cost.datagrams.push((after.datagrams - before.datagrams) as f64 - rest.datagrams as f64);
        }
        cost.copies = cluster.live().map(|(_, node)| node.bodies()).sum();
        Ok(cost)
    }
}

/// A cluster that has come to rest and from now on loses datagrams.
pub(super) fn at_rest(spread: &Spread, seed: u64, progress: Progress<'_>) -> Result<Cluster<Observed>, Unsettled> {
    let setting = Setting { count_bodies: true, ..Setting::new(spread.config.clone()) };
    let mut cluster = Cluster::builder(spread.nodes, setting).seed(seed).latency(spread.latency).build();
    until_rest(&mut cluster, progress)?;
    cluster.lose(spread.loss);
    // What is lost makes some suspect each other, and that is said as well: it is part of the rest.
    pass(&mut cluster, FINDING * spread.config.probe.period, progress);
    Ok(cluster)
}

/// Times at which each node saw each put.
#[derive(Clone, Default)]
pub(super) struct Sightings(Rc<RefCell<Vec<Seen>>>);

struct Seen {
    put: Instant,
    by: Vec<Option<Duration>>,
}

impl Sightings {
    pub(super) fn watch(cluster: &mut Cluster<Observed>) -> Self {
        let sightings = Self::default();
        let seen = sightings.clone();
        cluster.on_event(move |at, node, event| {
            if let Event::Entry { name, .. } = event
                && let Some(number) = name.strip_prefix("put-").and_then(|number| number.parse::<usize>().ok())
            {
                seen.note(number, at, node);
            }
        });
        sightings
    }

    fn note(&self, number: usize, at: Instant, node: Addr) {
        if let Some(seen) = self.0.borrow_mut().get_mut(number) {
            seen.by[node.index()].get_or_insert(at.since(seen.put));
        }
    }

    /// Lets a random one of the first `nodes` put something that nobody has seen. Returns it.
    pub(super) fn put(&self, cluster: &mut Cluster<Observed>, number: u32, nodes: u32, dice: &mut Dice) -> u32 {
        let node = dice.within(0..=u64::from(nodes) - 1) as u32;
        let put = cluster.now();
        self.0.borrow_mut().push(Seen { put, by: vec![None; cluster.nodes().len()] });
        self.note(number as usize, put, Addr(node));
        let command = Command::put(format!("put-{number}"), marked(number, VALUE));
        cluster.command(node, &command).expect("a short value is written by a node that has not left");
        node
    }

    /// Number of nodes that saw this put.
    pub(super) fn count(&self, number: u32) -> usize {
        self.0.borrow()[number as usize].by.iter().flatten().count()
    }

    /// Times at which nodes saw this put, in order.
    pub(super) fn times(&self, number: u32) -> Vec<Duration> {
        let seen = self.0.borrow();
        let mut times: Vec<_> = seen[number as usize].by.iter().flatten().copied().collect();
        times.sort_unstable();
        times
    }
}
