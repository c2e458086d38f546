//! A cluster to tell stories with: what happens is said line by line, as it happens.
//!
//! The imperative face of the simulator. For properties of random scenarios there is [`check`](crate::check()); this is
//! for a test that reads like a report of an incident, and for measurements. Nothing but time moves a cluster.

use std::fmt;
use std::time::Duration;

use gossip_core::{Instant, Node, Status};

use crate::address::Addr;
use crate::coin::{below, fold};
use crate::machine::{Expectations, Machine};
use crate::metrics::{Spread, Usage};
use crate::plan::{Chance, Fault, Links, Nodes, Window};
use crate::sim::{Action, Counters, Datagram, Latency, Settings, Simulator, Step, Traffic, Verdict, Watch};

/// Settings of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterBuilder<M: Machine> {
    nodes: u32,
    seed: u64,
    seeds: u32,
    start_within: Option<Duration>,
    latency: Latency,
    config: M::Config,
}

impl<M: Machine> ClusterBuilder<M> {
    /// Sets the seed of all randomness.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Everybody joins through the first `seeds` nodes. One unless said.
    pub fn seeds(mut self, seeds: u32) -> Self {
        self.seeds = seeds;
        self
    }

    /// Everybody starts within this time: a protocol period unless said.
    pub fn start_within(mut self, time: Duration) -> Self {
        self.start_within = Some(time);
        self
    }

    /// Datagrams take so long.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// The nodes are planned to start; time has not moved yet.
    pub fn build(self) -> Cluster<M> {
        let nodes: Vec<Addr> = (0..self.nodes).map(Addr).collect();
        let seeds = nodes.iter().copied().take(self.seeds as usize).collect();
        let settings = Settings { seed: self.seed, latency: self.latency, keyed: false };
        let mut simulator = Simulator::new(self.config, nodes.clone(), seeds, &settings);
        let within = self.start_within.unwrap_or(simulator.expectations().period).as_micros() as u64;
        for node in nodes {
            let at = below(fold([self.seed, u64::from(node.0)]), within.max(1));
            simulator.plan(Instant::from_micros(at), Action::Boot { node, memory: false });
        }
        Cluster { simulator, eyes: Eyes { tap: None, listener: None }, next: 0, cuts: Vec::new() }
    }
}

type Tap = Box<dyn FnMut(&Datagram<'_>)>;
type Listener<E> = Box<dyn FnMut(Instant, Addr, &E)>;

/// Closures of the user that watch a run.
struct Eyes<E> {
    tap: Option<Tap>,
    listener: Option<Listener<E>>,
}

impl<M: Machine> Watch<M> for Eyes<M::Event> {
    fn sent(&mut self, datagram: &Datagram<'_>) {
        if let Some(tap) = &mut self.tap {
            tap(datagram);
        }
    }

    fn event(&mut self, at: Instant, node: Addr, event: &M::Event) {
        if let Some(listener) = &mut self.listener {
            listener(at, node, event);
        }
    }
}

/// A fault or a rule that is in force, so that it can be taken back.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Handle(u32);

/// A cluster in virtual time, to tell stories with and to measure.
///
/// What happens is said line by line, as it happens; nothing but time moves it. For properties of random scenarios there
/// is [`check`](crate::check()).
pub struct Cluster<M: Machine = Node<Addr>> {
    simulator: Simulator<M>,
    eyes: Eyes<M::Event>,
    next: u32,
    cuts: Vec<Handle>,
}

impl<M: Machine> fmt::Debug for Cluster<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("now", &self.now()).field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl<M: Machine<Config: Default>> Cluster<M> {
    /// Makes a cluster of `nodes` nodes in the default configuration.
    pub fn new(nodes: u32, seed: u64) -> Self {
        Self::builder(nodes, M::Config::default()).seed(seed).build()
    }
}

impl<M: Machine> Cluster<M> {
    /// Returns a builder for a cluster of `nodes` nodes.
    pub fn builder(nodes: u32, config: M::Config) -> ClusterBuilder<M> {
        ClusterBuilder { nodes, seed: 0, seeds: 1, start_within: None, latency: Latency::default(), config }
    }

    // What there is to see.

    /// Simulated time.
    pub fn now(&self) -> Instant {
        self.simulator.now()
    }

    /// Expectations of the machines, among them their protocol period.
    pub fn expectations(&self) -> &Expectations {
        self.simulator.expectations()
    }

    /// Every node that there ever was.
    pub fn nodes(&self) -> &[Addr] {
        self.simulator.present()
    }

    /// The nodes that run and have not left. Those that stand still are among them, other than in
    /// [`World::live`](crate::invariant::World::live): here they are asked what they hold.
    pub fn live(&self) -> impl Iterator<Item = (Addr, &M)> {
        self.simulator.live()
    }

    /// A node that runs.
    ///
    /// # Panics
    /// If none does.
    pub fn node(&self, node: u32) -> &M {
        self.simulator.machine(Addr(node)).unwrap_or_else(|| panic!("no process runs at node {node}"))
    }

    /// A node, if it runs.
    pub fn get(&self, node: u32) -> Option<&M> {
        self.simulator.machine(Addr(node))
    }

    /// Returns the reading of a node's monotonic clock.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn reading(&self, node: u32) -> Instant {
        self.simulator.reading(Addr(node))
    }

    /// Counts of what happened so far.
    pub fn counters(&self) -> &Counters {
        &self.simulator.counters
    }

    /// Traffic of a node so far.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn traffic(&self, node: u32) -> Traffic {
        self.simulator.traffic(Addr(node))
    }

    /// A hash of all that happened so far.
    pub fn trace(&self) -> u64 {
        self.simulator.trace.hash()
    }

    /// From now on the last `lines` lines of what happens are kept.
    pub fn record(&mut self, lines: usize) {
        self.simulator.trace.record(lines);
    }

    /// The lines kept, which are then kept no more.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.simulator.trace.take_lines()
    }

    /// Shows every datagram that is sent from now on to a closure. When that was, [it says itself](Datagram::at): as the time
    /// since the start.
    pub fn tap(&mut self, tap: impl FnMut(&Datagram<'_>) + 'static) {
        self.eyes.tap = Some(Box::new(tap));
    }

    /// Shows every event from now on to a closure: when ([`now`](Self::now) at that moment, not what the node's clock says),
    /// whose, what.
    pub fn on_event(&mut self, listener: impl FnMut(Instant, Addr, &M::Event) + 'static) {
        self.eyes.listener = Some(Box::new(listener));
    }

    // What users and operators do.

    /// A node's user says something. One that stands still does it all the same, though what it wants sent waits until it
    /// goes on; in a scenario, nobody can talk to a process that stands still.
    ///
    /// # Errors
    /// Why the machine refused it.
    ///
    /// # Panics
    /// If the node does not run.
    pub fn command(&mut self, node: u32, command: &M::Command) -> Result<(), String> {
        self.with(node, |machine, now| machine.command(now, command))
    }

    /// Calls a machine directly, with what its clock says; then takes all that it wants sent, unless it stands still.
    ///
    /// # Panics
    /// If the node does not run.
    pub fn with<R>(&mut self, node: u32, f: impl FnOnce(&mut M, Instant) -> R) -> R {
        self.simulator.call(Addr(node), &mut self.eyes, f).unwrap_or_else(|| panic!("no process runs at node {node}"))
    }

    fn act(&mut self, action: Action<M::Command>) {
        self.simulator.act(action, &mut self.eyes);
    }

    /// One more node starts.
    pub fn add(&mut self) -> Addr {
        let node = self.simulator.add_node();
        self.act(Action::Boot { node, memory: false });
        node
    }

    /// Nodes that start from now on join through these.
    pub fn set_seeds(&mut self, seeds: impl IntoIterator<Item = u32>) {
        self.simulator.set_seeds(seeds.into_iter().map(Addr).collect());
    }

    /// Delivers what is sent to this address, at which there is no node, to a node from now on: it receives at another address
    /// than it sends from.
    pub fn forward(&mut self, address: u32, node: u32) {
        self.simulator.forward(Addr(address), Addr(node));
    }

    // What goes wrong.

    /// A process dies.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn crash(&mut self, node: u32) {
        self.act(Action::Crash(Addr(node)));
    }

    /// Another takes its place; it crashes first if it still runs.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn restart(&mut self, node: u32, memory: bool) {
        if self.get(node).is_some() {
            self.crash(node);
        }
        self.act(Action::Boot { node: Addr(node), memory });
    }

    /// A process dies, and one that has the id of another takes its place: that of the node itself makes it itself again.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn twin(&mut self, node: u32, of: u32) {
        self.act(Action::Replace { node: Addr(node), id: Addr(of) });
    }

    /// A process stands still.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn pause(&mut self, node: u32) {
        self.act(Action::Pause(Addr(node)));
    }

    /// It goes on.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn resume(&mut self, node: u32) {
        self.act(Action::Resume(Addr(node)));
    }

    /// A clock is so many microseconds off and drifts, from now on.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn skew(&mut self, node: u32, offset: i64, drift_ppm: i32) {
        self.act(Action::Skew { node: Addr(node), offset, drift_ppm });
    }

    /// A fault of the network is there until [`clear`](Self::clear)ed; its window does not count.
    ///
    /// # Panics
    /// If it is a fault of a process or a clock: those have methods of their own. If it is a single lost datagram: how
    /// often each was sent is not counted here; a [rule](Self::rule) can lose it.
    pub fn fault(&mut self, fault: Fault) -> Handle {
        match fault {
            Fault::Crash { .. }
            | Fault::Pause { .. }
            | Fault::Twin { .. }
            | Fault::Move { .. }
            | Fault::Misplace { .. }
            | Fault::Guest { .. }
            | Fault::Shorten { .. }
            | Fault::Set { .. }
            | Fault::Damage { .. }
            | Fault::Skew { .. } => {
                panic!("`{fault}` is no fault of the network")
            }
            Fault::LoseExactly { .. } => panic!("`{fault}` is for scenarios: here a rule can lose a datagram"),
            _ => {}
        }
        let handle = self.handle();
        self.act(Action::Begin { id: handle.0, fault });
        handle
    }

    fn handle(&mut self) -> Handle {
        self.next += 1;
        Handle(self.next)
    }

    /// Every datagram is lost with this probability, on top of what is lost already.
    pub fn lose(&mut self, chance: impl Into<Chance>) -> Handle {
        self.fault(Fault::Loss { on: Links::ALL, during: ALWAYS, chance: chance.into() })
    }

    /// Loses what is longer than `longest` bytes, between all.
    pub fn narrow(&mut self, longest: u16) -> Handle {
        self.fault(Fault::Narrow { on: Links::ALL, during: ALWAYS, longest })
    }

    /// Nothing gets from one side to the other, nor back.
    pub fn partition(&mut self, one: impl Into<Nodes>, other: impl Into<Nodes>) -> Handle {
        self.cut(Links::new(one, other), true)
    }

    /// Nothing gets through these links, nor back if it is cut both ways.
    pub fn cut(&mut self, on: Links, both_ways: bool) -> Handle {
        let handle = self.fault(Fault::Cut { on, both_ways, during: ALWAYS });
        self.cuts.push(handle);
        handle
    }

    /// Every partition ends.
    pub fn heal(&mut self) {
        for handle in std::mem::take(&mut self.cuts) {
            self.clear(handle);
        }
    }

    /// A rule of one's own decides about every datagram.
    pub fn rule(&mut self, rule: impl FnMut(&Datagram<'_>) -> Verdict + 'static) -> Handle {
        let handle = self.handle();
        self.simulator.network().add_rule(handle.0, Box::new(rule));
        handle
    }

    /// A fault or a rule is over.
    pub fn clear(&mut self, handle: Handle) {
        self.act(Action::End { id: handle.0 });
        self.simulator.network().remove_rule(handle.0);
    }

    // Time passes.

    /// For so long.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now() + time;
        self.simulator.run_until(until, &mut self.eyes);
    }

    /// For so many protocol periods.
    pub fn run_rounds(&mut self, rounds: u32) {
        self.run_for(rounds * self.expectations().period);
    }

    /// Until something is true, which is looked at every `every` (a microsecond at least); how long that took. None if it is not within `within`.
    pub fn run_until(
        &mut self,
        within: Duration,
        every: Duration,
        mut is_true: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now();
        // Simulated time counts microseconds: a fraction of one never passes, and time that does not move ends nothing.
        let within = Duration::from_micros(u64::try_from(within.as_micros()).unwrap_or(u64::MAX));
        let every = every.max(Duration::from_micros(1));
        loop {
            if is_true(self) {
                return Some(self.now().since(start));
            }
            if self.now().since(start) >= within {
                return None;
            }
            self.run_for(every.min(within.saturating_sub(self.now().since(start))));
        }
    }

    /// Measures when each node first satisfies `knows`, until all do or `within` has passed. Those that run now or have not
    /// started yet count. Costs nothing for the nodes that do nothing: each is asked when it was called.
    pub fn spread(&mut self, within: Duration, mut knows: impl FnMut(&M) -> bool) -> Spread {
        let start = self.now();
        let mut spread = Spread::new(self.nodes().len());
        let mut missing = 0;
        for &node in self.nodes() {
            match self.simulator.machine(node) {
                Some(machine) if knows(machine) => spread.note(node, Duration::ZERO),
                None if self.simulator.boots(node) > 0 => {}
                _ => {
                    spread.expect(node);
                    missing += 1;
                }
            }
        }
        while missing > 0
            && let Some(Step { touched, .. }) = self.simulator.step(start + within, &mut self.eyes)
        {
            let Some(node) = touched else { continue };
            if spread.lacks(node) && self.simulator.machine(node).is_some_and(&mut knows) {
                spread.note(node, self.now().since(start));
                missing -= 1;
            }
        }
        spread
    }

    /// Measures what all nodes together send in this time.
    pub fn measure(&mut self, time: Duration) -> Usage {
        let before = *self.counters();
        self.run_for(time);
        let after = *self.counters();
        let largest = self.nodes().iter().map(|&node| self.simulator.traffic(node).largest).max();
        Usage {
            nodes: self.live().count(),
            time,
            datagrams: after.datagrams - before.datagrams,
            bytes: after.bytes - before.bytes,
            largest_ever: largest.unwrap_or(0),
        }
    }

    // What should be true.

    fn all_started(&self) -> bool {
        self.nodes().iter().all(|&node| self.simulator.boots(node) > 0)
    }

    /// Returns true if every node has started and all live ones hold the same items.
    pub fn agrees(&self) -> bool {
        if !self.all_started() {
            return false;
        }
        let cut = self.simulator.cut();
        let mut prints = self.live().map(|(_, machine)| machine.fingerprint(cut));
        prints.next().is_none_or(|first| prints.all(|other| other == first))
    }

    /// Returns true if every node has started and every live one sees every live one alive. (Nodes times nodes are looked at.)
    pub fn sees_all(&self) -> bool {
        if !self.all_started() {
            return false;
        }
        let alive = |machine: &M, of| machine.opinion(of) == Some(Status::Alive);
        self.live().all(|(_, machine)| self.live().all(|(of, _)| alive(machine, of)))
    }

    /// Lets time pass until all live nodes hold the same items; how long that took.
    ///
    /// # Panics
    /// If they do not within `within`, with what differs.
    #[track_caller]
    pub fn assert_converges_within(&mut self, within: Duration) -> Duration {
        let every = self.expectations().period / 10;
        match self.run_until(within, every, Self::agrees) {
            Some(time) => time,
            None => panic!("not all nodes hold the same after {within:?}:\n{}", self.disagreement()),
        }
    }

    /// Two nodes that hold different items, and what differs. Empty if there are none.
    pub fn disagreement(&self) -> String {
        let cut = self.simulator.cut();
        let Some((first, machine)) = self.live().next() else { return String::new() };
        let other = self.live().find(|(_, other)| other.fingerprint(cut) != machine.fingerprint(cut));
        let Some((other, different)) = other else { return String::new() };
        let lines = machine.view(cut).difference(&different.view(cut));
        format!("- node {first}\n+ node {other}\n{}", lines.join("\n"))
    }
}

/// In force until it is taken back.
const ALWAYS: Window = Window::since(Duration::ZERO);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_all_the_time_is_looked_at_every_microsecond() {
        let (mut cluster, within) = (Cluster::<Node<Addr>>::new(2, 1), Duration::from_micros(50));
        let mut looks = 0;
        let found = cluster.run_until(within, Duration::ZERO, |_| {
            looks += 1;
            false
        });
        assert_eq!((found, looks, cluster.now()), (None, 51, Instant::from_micros(50)));
    }

    #[test]
    fn a_memory_of_any_age_is_taken() {
        let mut config = gossip_core::Config::default();
        let secs = Duration::from_secs;
        (config.lifetimes.certificate, config.lifetimes.shrink) = (secs(200), secs(20));
        config.lifetimes.reap_after = secs(400);
        let mut cluster = Cluster::<Node<Addr>>::builder(2, config).build();
        cluster.run_rounds(5);
        cluster.record(100);
        cluster.restart(1, true);
        cluster.crash(1);
        cluster.run_for(secs(300));
        // Members of the same age have been forgotten by now.
        cluster.restart(1, true);
        let Counters { restarts_with_memory, restarts_without_memory, .. } = *cluster.counters();
        assert_eq!((restarts_with_memory, restarts_without_memory), (2, 0));
    }

    #[test]
    fn what_is_said_to_one_who_stands_still_leaves_when_it_goes_on() {
        let mut cluster = Cluster::<Node<Addr>>::new(2, 1);
        cluster.run_rounds(5);
        let before = cluster.traffic(0).sent;
        cluster.pause(0);
        cluster.command(0, &crate::Command::broadcast("hello")).unwrap();
        assert_eq!(cluster.traffic(0).sent, before);
        cluster.resume(0);
        assert!(cluster.traffic(0).sent > before, "before time has passed");
    }

    #[test]
    #[should_panic(expected = "here a rule can lose a datagram")]
    fn a_datagram_is_not_lost_by_its_count() {
        let lost = Fault::LoseExactly { from: Addr(0), to: Addr(1), content: 0, occurrence: 0 };
        Cluster::<Node<Addr>>::new(2, 1).fault(lost);
    }
}
