//! Puts at a steady rate, in a cluster that something happens to: when who knows, and what a put costs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::Config;

use super::agenda::{measure, pass};
use super::introduce::introduce;
use super::median::median;
use super::observed::bodies;
use super::spread::Sightings;
use super::{FINDING, Observed, Progress, Setting, Unfinished, Unsettled, possible, until_rest};
use crate::cluster::Cluster;
use crate::lab::{Impossible, trials};
use crate::plan::{Fault, Links, Window};
use crate::scenario::Dice;
use crate::sim::{Latency, Verdict};

/// Largest cluster that joins one by one; of more nodes, that takes longer than all the rest.
const MOST_JOINING: u32 = 300;
/// Puts before those that count: the first ones find no tree.
const WARM_UP: u32 = 5;
/// Time in which links are made, and those that are far replaced by near ones.
const LINKING: Duration = Duration::from_secs(60);
/// Time after the last put in which all must have all.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most puts.
const MOST_PUTS: u64 = 100_000;

/// The experiment.
#[derive(Debug, Clone)]
pub struct Load {
    /// Number of nodes, from 2 to [`MAX_NODES`](super::MAX_NODES).
    pub nodes: u32,
    /// Configuration of all nodes.
    pub config: Config,
    /// Latency of datagrams.
    pub latency: Latency,
    /// Probability that a datagram is lost, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
    /// Probability that a datagram arrives twice, up to 1.
    pub duplicate: f64,
    /// Share of the nodes that crash at the moment of the first put, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub kill: f64,
    /// Number of sites over which the nodes are spread evenly, at least 1.
    pub sites: u32,
    /// Further latency of datagrams between two sites.
    pub between: Duration,
    /// Puts in a second, by random nodes.
    pub rate: u32,
    /// Duration of that.
    pub time: Duration,
    /// Number of clusters in which it is done.
    pub runs: u32,
}

/// Course of all puts of all runs.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// Number of nodes that lived.
    living: usize,
    /// Per put, when nodes knew, in order.
    puts: Vec<Vec<Duration>>,
    /// Bytes sent per node and put, beyond what is sent at rest.
    pub bytes_per_node: f64,
    /// Datagrams likewise.
    pub datagrams_per_node: f64,
    /// Number of times the body was received, per node and put.
    pub copies_per_node: f64,
    /// Bodies sent from one site to another, per put.
    pub bodies_across: f64,
    /// Datagrams sent from one site to another, per put, beyond what is sent at rest.
    pub datagrams_across: f64,
    /// Time after the last put after which all held the same, in the slowest run; none if that never was.
    pub equal_after: Option<Duration>,
}

impl Loaded {
    /// Number of puts.
    pub fn puts(&self) -> usize {
        self.puts.len()
    }

    /// Time at which this share of the living knew, the median of all puts; none if most never got there.
    pub fn share(&self, share: f64) -> Option<Duration> {
        median(&self.puts, ((self.living as f64 * share).ceil() as usize).max(1))
    }

    /// Time at which the last of the living knew, of the slowest put; none if one never did.
    pub fn worst(&self) -> Option<Duration> {
        let last: Option<Vec<_>> = self.puts.iter().map(|put| put.get(self.living - 1).copied()).collect();
        last?.into_iter().max()
    }
}

/// Counts of one run.
#[derive(Default)]
struct Run {
    puts: Vec<Vec<Duration>>,
    bytes: f64,
    datagrams: f64,
    copies: u64,
    bodies_across: u64,
    datagrams_across: f64,
    equal_after: Option<Duration>,
}

impl Load {
    fn puts(&self) -> u64 {
        u64::from(self.rate) * self.time.as_secs()
    }

    fn living(&self) -> u32 {
        self.nodes - (f64::from(self.nodes) * self.kill) as u32
    }

    /// Number of pulses, about.
    pub fn pulses(&self) -> u64 {
        u64::from(self.runs) * (700 + self.puts())
    }

    /// Checks that this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        possible(self.nodes, &self.config, self.loss)?;
        let share = |share: f64, most: f64| (0.0..=most).contains(&share);
        Impossible::unless(share(self.duplicate, 1.0), "duplicate", "must be from 0 to 1")?;
        let most = super::MAX_LOSS;
        Impossible::unless(share(self.kill, most), "kill", format!("must be from 0 to {most}"))?;
        let sites = self.nodes;
        Impossible::unless((1..=sites).contains(&self.sites), "sites", format!("must be from 1 to {sites}"))?;
        let puts = self.puts();
        Impossible::unless((1..=MOST_PUTS).contains(&puts), "rate", format!("must make 1 to {MOST_PUTS} puts"))?;
        Impossible::unless(self.runs > 0, "runs", "must be at least 1")
    }

    /// Runs it.
    ///
    /// # Errors
    /// See [`check`](Self::check); a cluster that does not come to rest before the first put.
    pub fn run(&self, seed: u64, progress: Progress<'_>) -> Result<Loaded, Unfinished> {
        self.check()?;
        let runs = trials(self.runs, seed, &|| (), |seed| self.once(seed, progress));
        let runs: Vec<Run> = runs.into_iter().collect::<Result<_, Unsettled>>()?;
        let puts = (self.puts() * u64::from(self.runs)) as f64;
        let sum = |of: fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / puts;
        let living = self.living();
        Ok(Loaded {
            living: living as usize,
            bytes_per_node: sum(|run| run.bytes) / f64::from(living),
            datagrams_per_node: sum(|run| run.datagrams) / f64::from(living),
            copies_per_node: sum(|run| run.copies as f64) / f64::from(living),
            bodies_across: sum(|run| run.bodies_across as f64),
            datagrams_across: sum(|run| run.datagrams_across),
            equal_after: runs
                .iter()
                .map(|run| run.equal_after)
                .collect::<Option<Vec<_>>>()
                .and_then(|all| all.into_iter().max()),
            puts: runs.into_iter().flat_map(|run| run.puts).collect(),
        })
    }

    fn once(&self, seed: u64, progress: Progress<'_>) -> Result<Run, Unsettled> {
        let setting = Setting { count_bodies: true, ..Setting::new(self.config.clone()) };
        let mut cluster = Cluster::builder(self.nodes, setting).seed(seed).latency(self.latency).build();
        let (sites, between) = (self.sites, self.between);
        let across = move |from: u32, to: u32| from % sites != to % sites;
        if sites > 1 {
            cluster.rule(
                move |datagram| {
                    if across(datagram.from.0, datagram.to.0) { Verdict::Delay(between) } else { Verdict::Pass }
                },
            );
        }
        if self.nodes > MOST_JOINING {
            let period = self.config.probe.period;
            introduce(&mut cluster, |cluster| cluster.run_for(period), progress)?;
        }
        until_rest(&mut cluster, progress)?;
        pass(&mut cluster, LINKING, progress);
        cluster.lose(self.loss);
        let during = Window::since(Duration::ZERO);
        cluster.fault(Fault::Duplicate { on: Links::ALL, during, chance: self.duplicate.into() });
        pass(&mut cluster, FINDING * self.config.probe.period, progress);
        let crossed = Rc::new(Cell::new([0_u64; 2]));
        let seen = crossed.clone();
        cluster.tap(move |datagram| {
            if across(datagram.from.0, datagram.to.0) {
                let [datagrams, carried] = seen.get();
                seen.set([datagrams + 1, carried + bodies(datagram.payload)]);
            }
        });
        let rest = measure(&mut cluster, self.time.max(10 * self.config.probe.period), progress);
        let per_second = |count: u64| count as f64 / rest.time.as_secs_f64();
        let rest = [rest.bytes, rest.datagrams, crossed.get()[0]].map(per_second);

        let sightings = Sightings::watch(&mut cluster);
        let mut dice = Dice::new(seed);
        let living = self.living();
        for number in 0..WARM_UP {
            sightings.put(&mut cluster, number, living, &mut dice);
            pass(&mut cluster, self.config.probe.period, progress);
        }
        let received = |cluster: &Cluster<Observed>| cluster.live().map(|(_, node)| node.bodies()).sum::<u64>();
        (living..self.nodes).for_each(|node| cluster.crash(node));
        let (start, before) = (cluster.now(), *cluster.counters());
        let (copies, [datagrams, carried]) = (received(&cluster), crossed.get());
        let puts = self.puts() as u32;
        for number in WARM_UP..WARM_UP + puts {
            sightings.put(&mut cluster, number, living, &mut dice);
            let next = start + Duration::from_secs(1) * (number - WARM_UP + 1) / self.rate;
            cluster.run_for(next.since(cluster.now()));
            progress();
        }
        let end = cluster.now();
        let all =
            |sightings: &Sightings| (WARM_UP..WARM_UP + puts).all(|number| sightings.count(number) == living as usize);
        let every = self.config.rumor.interval / 10;
        cluster.run_until(PATIENCE, every, |cluster| {
            progress();
            all(&sightings) && cluster.agrees()
        });
        let equal_after = (all(&sightings) && cluster.agrees()).then(|| cluster.now().since(end));
        // Until nobody tells anything any more.
        pass(&mut cluster, self.config.probe.period, progress);
        let time = cluster.now().since(start).as_secs_f64();
        let after = *cluster.counters();
        let more = |after: u64, before: u64, rest: f64| (after - before) as f64 - rest * time;
        Ok(Run {
            puts: (WARM_UP..WARM_UP + puts).map(|number| sightings.times(number)).collect(),
            bytes: more(after.bytes, before.bytes, rest[0]),
            datagrams: more(after.datagrams, before.datagrams, rest[1]),
            copies: received(&cluster) - copies,
            bodies_across: crossed.get()[1] - carried,
            datagrams_across: more(crossed.get()[0], datagrams, rest[2]),
            equal_after,
        })
    }
}
