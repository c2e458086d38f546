//! Invariants: the ones that every gossip protocol should keep, and the trait for your own.
//!
//! An invariant sees a run from outside: the datagrams, the events, and what the machines show. It must not know how
//! they work inside.

mod agreement;
mod conduct;
mod history;
mod session;

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use gossip_core::Instant;

use crate::address::Addr;
use crate::coin::log2;
use crate::machine::{Expectations, Machine, View};
use crate::plan::{Fault, FaultPlan, Window};
use crate::sim::{Datagram, Simulator, Traffic};

pub use agreement::{Agreement, NobodyBuried, SuspectedFirst};
pub use conduct::{BoundedMemory, DamageRefused, DatagramBudget, PendingDeadline, Silence};
pub use history::{DeliveredOnce, IncarnationsGrow, NoLostWrite, NoResurrection, NoStepBack};
pub use session::ReadYourWrites;

/// A violation of an invariant.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The message, for people.
    pub message: String,
    /// Two views that differ and should not, each with its owner.
    pub views: Option<Box<[(String, View); 2]>>,
    /// Nodes that it is about: of two, the trace tells from when on they held different items.
    pub nodes: Vec<Addr>,
}

impl Violation {
    /// Something is wrong that no two views show.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), views: None, nodes: Vec::new() }
    }

    /// Two views differ.
    pub fn between(message: impl Into<String>, left: (String, View), right: (String, View)) -> Self {
        Self { message: message.into(), views: Some(Box::new([left, right])), nodes: Vec::new() }
    }

    /// The same, about these nodes.
    pub fn about(mut self, nodes: impl IntoIterator<Item = Addr>) -> Self {
        self.nodes = nodes.into_iter().collect();
        self
    }
}

/// Something that must hold. A fresh one is made for every run; every method has nothing to say by default.
///
/// One of one's own, for every machine or for one:
///
/// ```
/// use gossip_core::{Config, Node};
/// use gossip_testkit::invariant::{Invariant, Violation, World};
/// use gossip_testkit::{Addr, Checker, Swarm};
///
/// /// Half-fetched values are few.
/// struct FewTransfers(usize);
///
/// impl Invariant<Node<Addr>> for FewTransfers {
///     fn name(&self) -> &'static str {
///         "few transfers"
///     }
///
///     fn stepped(&mut self, world: &World<'_, Node<Addr>>, node: Addr) -> Result<(), Violation> {
///         let (fetched, _) = world.machine(node).map_or((0, 0), Node::transfers);
///         if fetched <= self.0 {
///             return Ok(());
///         }
///         Err(Violation::new(format!("node {node} fetches {fetched} values at once")))
///     }
/// }
///
/// let checker = Checker::<Node<Addr>>::new(Config::lan()).invariant(|_limits| FewTransfers(16));
/// checker.sweep(&Swarm::default(), 0..20)?;
/// # Ok::<(), gossip_testkit::Failure>(())
/// ```
pub trait Invariant<M: Machine> {
    /// Its name in a failure.
    fn name(&self) -> &'static str;

    /// A process starts: its first, or with or without the memory of the one before.
    fn started(&mut self, _node: Addr, _memory: bool) {}

    /// A datagram is sent.
    ///
    /// # Errors
    /// If that shows something wrong. The same for all the methods below.
    fn sent(&mut self, _datagram: &Datagram<'_>) -> Result<(), Violation> {
        Ok(())
    }

    /// A machine tells its user something.
    fn event(&mut self, _at: Instant, _node: Addr, _event: &M::Event) -> Result<(), Violation> {
        Ok(())
    }

    /// A machine was called.
    fn stepped(&mut self, _world: &World<'_, M>, _node: Addr) -> Result<(), Violation> {
        Ok(())
    }

    /// A command was carried out, and not refused.
    fn commanded(&mut self, _world: &World<'_, M>, _node: Addr, _command: &M::Command) -> Result<(), Violation> {
        Ok(())
    }

    /// That has changed what it holds.
    fn changed(&mut self, _world: &World<'_, M>, _node: Addr, _before: &View, _after: &View) -> Result<(), Violation> {
        Ok(())
    }

    /// A protocol period has passed.
    fn checkpoint(&mut self, _world: &World<'_, M>) -> Result<(), Violation> {
        Ok(())
    }

    /// All invariants have been satisfied for a while: the run is over.
    fn finished(&mut self, _world: &World<'_, M>) -> Result<(), Violation> {
        Ok(())
    }

    /// Returns true if a run may end as far as this is concerned. It fails if that is not so by the
    /// [deadline](World::deadline) and the time to [settle](crate::Checker::settle) after it.
    fn satisfied(&self) -> bool {
        true
    }
}

/// Facts that the checker knows about a run besides the machines.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) plan: FaultPlan,
    pub(crate) quiet: Instant,
    pub(crate) settled: Option<Instant>,
    /// For each node the first of those that it is not cut off from for ever.
    pub(crate) groups: Vec<Addr>,
    /// True if it was measured that the cluster is silent. A cell, because invariants only look at a run.
    pub(crate) silent: Cell<bool>,
}

impl Facts {
    /// Returns the groups of nodes that stay connected: components of the links that are not cut for ever.
    pub(crate) fn groups(nodes: &[Addr], plan: &FaultPlan) -> Vec<Addr> {
        let slots = nodes.last().map_or(0, |last| last.index() + 1);
        let mut groups: Vec<Addr> = (0..slots as u32).map(Addr).collect();
        let lasts = |fault: &Fault| matches!(fault, Fault::Cut { during: Window { to: None, .. }, .. });
        if !plan.faults.iter().any(lasts) {
            // One, without a look at every pair.
            nodes.iter().for_each(|node| groups[node.index()] = nodes[0]);
            return groups;
        }
        for &a in nodes {
            for &b in nodes.iter().take_while(|&&b| b < a) {
                let (of_a, of_b) = (groups[a.index()], groups[b.index()]);
                if of_a != of_b && !plan.cut_for_ever(a, b) {
                    let (keep, merge) = (of_a.min(of_b), of_a.max(of_b));
                    groups.iter_mut().filter(|group| **group == merge).for_each(|group| *group = keep);
                }
            }
        }
        groups
    }
}

/// A run, as an invariant sees it.
pub struct World<'a, M: Machine> {
    pub(crate) simulator: &'a Simulator<M>,
    pub(crate) facts: &'a Facts,
}

impl<M: Machine> fmt::Debug for World<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("now", &self.now()).field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl<M: Machine> World<'_, M> {
    /// Simulated time.
    pub fn now(&self) -> Instant {
        self.simulator.now()
    }

    /// Expectations of the machines.
    pub fn expectations(&self) -> &Expectations {
        self.simulator.expectations()
    }

    /// The faults of this run.
    pub fn plan(&self) -> &FaultPlan {
        &self.facts.plan
    }

    /// Every node of the scenario, whether it runs or not.
    pub fn nodes(&self) -> &[Addr] {
        self.simulator.present()
    }

    /// A node's machine, if a process runs.
    pub fn machine(&self, node: Addr) -> Option<&M> {
        self.simulator.machine(node)
    }

    /// Returns the node whose id a node's processes have: itself, or while it is a twin that of another.
    pub fn id(&self, node: Addr) -> Addr {
        self.simulator.id(node)
    }

    /// The nodes that run, are not standing still and have not left.
    pub fn live(&self) -> impl Iterator<Item = (Addr, &M)> {
        self.simulator.live().filter(|&(node, _)| !self.simulator.is_paused(node))
    }

    /// The parts into which the network stays cut for ever, without what is not alive. One, mostly.
    pub fn groups(&self) -> Vec<Vec<(Addr, &M)>> {
        let mut groups: Vec<(Addr, Vec<(Addr, &M)>)> = Vec::new();
        for (node, machine) in self.live() {
            let first = self.facts.groups[node.index()];
            match groups.iter_mut().find(|(group, _)| *group == first) {
                Some((_, members)) => members.push((node, machine)),
                None => groups.push((first, vec![(node, machine)])),
            }
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }

    /// A cut at which all live machines can be compared: the latest of their clocks, or the end of time if these are further
    /// apart than [`Expectations::clocks_apart`](crate::Expectations::clocks_apart).
    pub fn cut(&self) -> Instant {
        self.simulator.cut()
    }

    /// A node's own cut: its logical clock.
    pub fn cut_of(&self, node: Addr) -> Instant {
        let reading = self.simulator.reading(node);
        self.machine(node).map_or(reading, |machine| machine.clock(reading))
    }

    /// Returns the reading of a node's clock.
    pub fn reading(&self, node: Addr) -> Instant {
        self.simulator.reading(node)
    }

    /// Returns true if nothing more is to come: no write, and no fault that ends.
    pub fn is_quiet(&self) -> bool {
        self.now() >= self.facts.quiet
    }

    /// Time by which the nodes must agree: 8·log2 n + 90 protocol periods after the last write and the last fault that ends, and
    /// one more for each per cent of loss that does not. Where round trips are longer than a period for good, ten more for each period
    /// of them: an exchange takes several. Where ids come and go, ten more for each node: at its bound on members each
    /// finds out in turn who is gone, and nobody else remembers that.
    pub fn deadline(&self) -> Instant {
        let nodes = self.nodes().len() as u32;
        let mut periods = 8.0 * log2(nodes) + 90.0 + f64::from(self.facts.plan.lasting_loss().as_ppm()) / 1e4;
        let trip = 2.0 * self.facts.plan.lasting_distance().as_secs_f64() / self.expectations().period.as_secs_f64();
        if trip > 1.0 {
            periods += 10.0 * trip;
        }
        if self.facts.plan.guests().next().is_some() {
            periods += 10.0 * f64::from(nodes);
        }
        self.facts.quiet + Duration::from_micros((self.expectations().period.as_micros() as f64 * periods) as u64)
    }

    /// Since when all invariants have been satisfied with nothing more to come.
    pub fn settled(&self) -> Option<Instant> {
        self.facts.settled
    }

    /// Traffic of a node.
    pub fn traffic(&self, node: Addr) -> Traffic {
        self.simulator.traffic(node)
    }

    /// Commands given so far.
    pub fn commands(&self) -> u64 {
        self.simulator.counters.commands + self.simulator.counters.commands_refused
    }
}

/// Makes invariants for a run.
pub(crate) type Maker<M> = Box<dyn Fn(&Expectations) -> Box<dyn Invariant<M>>>;

/// All that come with the testkit.
pub(crate) fn standard<M: Machine>() -> Vec<Maker<M>> {
    vec![
        Box::new(|limits| Box::new(DatagramBudget::new(limits.max_datagram))),
        Box::new(|_| Box::new(PendingDeadline::default())),
        Box::new(|_| Box::new(DeliveredOnce::default())),
        Box::new(|_| Box::<NoStepBack>::default()),
        Box::new(|_| Box::new(ReadYourWrites)),
        Box::new(|_| Box::new(NoResurrection::default())),
        Box::new(|_| Box::new(IncarnationsGrow::default())),
        Box::new(|_| Box::new(BoundedMemory)),
        Box::new(|_| Box::new(DamageRefused)),
        Box::new(|_| Box::new(Agreement::default())),
        Box::new(|_| Box::new(NobodyBuried::default())),
        Box::new(|limits| Box::new(SuspectedFirst::new(limits.membership))),
        Box::new(|_| Box::new(NoLostWrite::default())),
        Box::new(|_| Box::new(Silence::default())),
    ]
}
