//! Two replicas that differ: what it costs to find out in what.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::inspect::Update;
use gossip_core::{Config, Membership, Node};

use super::observed::{bodies, marked};
use super::{MAX_KEYS, Observed, PATIENCE, Progress, Setting, Unfinished, Unsettled, possible, until_each};
use crate::address::Addr;
use crate::cluster::Cluster;
use crate::command::Command;
use crate::lab::Impossible;
use crate::plan::Links;
use crate::sim::{Datagram, Latency};

/// Length of a value in bytes.
const VALUE: usize = 32;
/// Always the same, so that causes and effects can be told apart by their times.
const LATENCY: Duration = Duration::from_millis(1);
/// So old are the differences when the two meet again: too old to be told as rumors.
const AGE: Duration = Duration::from_secs(70);

/// The experiment.
#[derive(Debug, Clone)]
pub struct Reconcile {
    /// Number of entries of each replica; with half of the difference at most [`MAX_KEYS`](super::MAX_KEYS).
    pub items: u32,
    /// Number of those that only one has, both taken together; at most twice as many.
    pub difference: u32,
    /// Probability that a datagram is lost, up to [`MAX_LOSS`](super::MAX_LOSS).
    pub loss: f64,
    /// Configuration of both. Membership, direct mail and the share of one writer are set by the experiment.
    pub config: Config,
}

/// Cost of the reconciliation.
#[derive(Debug, Copy, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reconciliation {
    /// All bytes that were not encodings of updates.
    pub identification_bytes: u64,
    /// Those that were.
    pub update_bytes: u64,
    /// Datagrams of both.
    pub datagrams: u64,
    /// The longest chain of answers to answers, in pairs.
    pub round_trips: u32,
    /// Time from the first datagram.
    pub time: Duration,
    /// True if both hold the same in the end.
    pub equal: bool,
}

/// Notes of the tap.
#[derive(Debug, Default)]
struct Ledger {
    begun: Option<Duration>,
    bytes: u64,
    datagrams: u64,
    bodies: u64,
    /// Per node, what it has been sent: when it arrives, and its depth.
    under_way: [Vec<(Duration, u32)>; 2],
    /// Per node, the greatest depth that has arrived.
    depth: [u32; 2],
}

impl Ledger {
    fn note(&mut self, datagram: &Datagram<'_>) {
        self.begun.get_or_insert(datagram.at);
        self.bytes += datagram.payload.len() as u64;
        self.datagrams += 1;
        self.bodies += bodies(datagram.payload);
        let (from, to) = (datagram.from.index(), datagram.to.index());
        let depth = &mut self.depth[from];
        self.under_way[from].retain(|&(arrives, of)| {
            let arrived = arrives <= datagram.at;
            *depth = if arrived { of.max(*depth) } else { *depth };
            !arrived
        });
        self.under_way[to].push((datagram.at + LATENCY, self.depth[from] + 1));
    }

    fn deepest(&self) -> u32 {
        let under_way = self.under_way.iter().flatten().map(|&(_, depth)| depth);
        under_way.chain(self.depth).max().unwrap_or(0)
    }
}

impl Reconcile {
    /// Checks that this can be run.
    ///
    /// # Errors
    /// The first setting that cannot be, with its bound.
    pub fn check(&self) -> Result<(), Impossible> {
        let most = 2 * u64::from(self.items);
        let bound = format!("must be from 0 to {most}: twice the entries of each");
        Impossible::unless(u64::from(self.difference) <= most, "difference", bound)?;
        let most = MAX_KEYS - self.difference / 2;
        let bound = format!("must be from 0 to {most}: with half of the difference no more than {MAX_KEYS}");
        Impossible::unless(self.items <= most, "items", bound)?;
        possible(2, &self.config, self.loss)
    }

    /// Runs it.
    ///
    /// # Errors
    /// See [`check`](Self::check); two replicas that do not come to hold the same before anything is measured.
    pub fn run(&self, seed: u64, progress: Progress<'_>) -> Result<Reconciliation, Unfinished> {
        self.check()?;
        let mut config = self.config.clone();
        // Anti-entropy alone: nobody is probed, nothing is mailed.
        config.membership = Membership::Given;
        config.mail.fanout = 0;
        // One of the two writes nearly all.
        config.limits.share = 100;
        let latency = Latency { base: LATENCY, mean: Duration::ZERO };
        let second = Duration::from_secs(1);
        let cluster = Cluster::builder(2, Setting::new(config)).seed(seed).latency(latency);
        let mut cluster: Cluster<Observed> = cluster.start_within(second).build();
        cluster.run_for(2 * second);
        let one = self.difference.div_ceil(2);
        let shared = self.items.saturating_sub(one);
        write(&mut cluster, 0, 0..shared);
        cluster.run_for(second);
        until_same(&mut cluster, progress)?;
        until_each(&mut cluster, second, "fall silent", progress, |node| node.node().hot_rumors() == 0)?;

        cluster.cut(Links::new(0, 1), true);
        write(&mut cluster, 0, shared..shared + one);
        write(&mut cluster, 1, shared + one..self.difference + shared);
        cluster.run_for(AGE);
        let size = [0, 1].map(|node| update_size(cluster.node(node).node())).into_iter().max().unwrap_or(0);
        cluster.heal();
        cluster.lose(self.loss);

        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let noted = ledger.clone();
        cluster.tap(move |datagram| noted.borrow_mut().note(datagram));
        let done = |cluster: &Cluster<Observed>| {
            progress();
            ledger.borrow().begun.is_some() && cluster.agrees()
        };
        let equal = cluster.run_until(PATIENCE, LATENCY, done).is_some();
        let end = cluster.now().since(gossip_core::Instant::ORIGIN);
        // The last answers, before either begins anew.
        cluster.run_for(4 * LATENCY);
        let ledger = ledger.borrow();
        let update_bytes = ledger.bodies * size;
        Ok(Reconciliation {
            identification_bytes: ledger.bytes - update_bytes,
            update_bytes,
            datagrams: ledger.datagrams,
            round_trips: ledger.deepest().div_ceil(2),
            time: end.saturating_sub(ledger.begun.unwrap_or(end)),
            equal,
        })
    }
}

fn until_same(cluster: &mut Cluster<Observed>, progress: Progress<'_>) -> Result<(), Unsettled> {
    let same = cluster.run_until(PATIENCE, Duration::from_millis(100), |cluster| {
        progress();
        cluster.agrees()
    });
    same.map(drop).ok_or(Unsettled { nodes: 2, missing: 1, what: "hold the same", after: PATIENCE })
}

fn write(cluster: &mut Cluster<Observed>, node: u32, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let command = Command::put(format!("item-{number:08}"), marked(number, VALUE));
        cluster.command(node, &command).expect("a short value is written by a node that has not left");
    }
}

/// Number of bytes that the newest entry takes on the wire: all of them take as many, but for a varint of a counter.
fn update_size(node: &Node<Addr>) -> u64 {
    let newest = |update: &Update<Addr>| match update {
        Update::Entry(entry) => Some(entry.stamp),
        _ => None,
    };
    let newest =
        node.updates(gossip_core::Instant::ORIGIN).filter(|update| newest(update).is_some()).max_by_key(newest);
    newest.map_or(0, |update| {
        let size = postcard::serialize_with_flavor(&update, postcard::ser_flavors::Size::default());
        size.expect("an update that was written has an encoding") as u64
    })
}
