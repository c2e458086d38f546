//! Clusters of two versions: nodes of format 2.0 among nodes of format 2.1, which no release has, while they change from one
//! to the other under every class of faults.
#![cfg(feature = "next")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::ops::Range;
use std::time::Duration;

use gossip_core::inspect::VersionFault;
use gossip_core::{Config, Event, Input, Instant, Node, NodeId, Snapshot};
use gossip_testkit::invariant::{Invariant, Violation, World};
use gossip_testkit::{Addr, Boot, Checker, Cluster, Command, Expectations, Failure, Machine, Swarm, Wrapper, id_of};

/// Order in which nodes change their version.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Order {
    /// Each start of a process is of one or the other.
    BackAndForth,
    /// Processes are old, and whoever restarts with memory is new.
    Rolling,
}

#[derive(Debug, Clone)]
struct Mix {
    node: Config,
    order: Order,
    fault: Option<VersionFault>,
}

/// A node of one version or the other.
struct Mixed {
    node: Node<Addr>,
    /// Shade of a node of format 2.1.
    shade: Option<u8>,
    order: Order,
    /// Datagrams refused because a field in them has to be understood.
    refused: u64,
}

impl Wrapper for Mixed {
    type Inner = Node<Addr>;
    type Config = Mix;
    type Memory = Snapshot<Addr>;

    fn inner(&self) -> &Node<Addr> {
        &self.node
    }

    fn inner_mut(&mut self) -> &mut Node<Addr> {
        &mut self.node
    }

    fn inner_config(mix: &Mix) -> &Config {
        &mix.node
    }

    fn boot(boot: &Boot<'_, Mix>, memory: Option<Snapshot<Addr>>) -> Self {
        let Mix { ref node, order, fault } = *boot.config;
        let next = match order {
            Order::BackAndForth => boot.seed & 1 == 0,
            Order::Rolling => memory.is_some(),
        };
        let mut node: Node<Addr> = Machine::boot(&boot.with_config(node), memory);
        let shade = next.then_some((boot.addr.0 * 7) as u8);
        if let Some(shade) = shade {
            node.speak_next(shade);
        }
        if let Some(fault) = fault {
            node.plant(fault);
        }
        Self { node, shade, order, refused: 0 }
    }

    fn remembers(boot: &Boot<'_, Mix>, memory: &Snapshot<Addr>) -> bool {
        <Node<Addr> as Machine>::remembers(&boot.with_config(&boot.config.node), memory)
    }

    fn into_memory(self) -> Snapshot<Addr> {
        self.node.into_memory()
    }

    /// Writes what may be of the kind of format 2.1 as that.
    fn command(&mut self, now: Instant, command: &Command) -> Result<(), String> {
        match command {
            Command::Put { name, value, own: false, time_to_live: None }
                if self.order == Order::Rolling && self.node.writes_kinds() =>
            {
                self.node.put_kind(now, name, value.as_bytes()).map(drop).map_err(|error| error.to_string())
            }
            command => Machine::command(&mut self.node, now, command),
        }
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        let handled = Machine::handle(&mut self.node, now, input);
        self.refused += u64::from(handled.as_ref().is_err_and(|error| error.contains("must be understood")));
        handled
    }
}

/// Live nodes that can reach each other hold the same fields of the same updates, whether or not they know them.
struct SameFields;

impl SameFields {
    fn fields(machine: &Mixed, cut: Instant) -> BTreeMap<String, String> {
        let shown = machine.node.updates(cut).map(|update| (update.to_string(), format!("{update:?}")));
        let whole = shown.filter(|(_, debug)| debug.contains("extra: Some"));
        whole.collect()
    }
}

impl Invariant<Mixed> for SameFields {
    fn name(&self) -> &'static str {
        "same fields"
    }

    fn finished(&mut self, world: &World<'_, Mixed>) -> Result<(), Violation> {
        for group in world.groups() {
            let Some(((first, left), rest)) = group.split_first() else { continue };
            for (other, right) in rest {
                let cut = world.cut();
                let (here, there) = (Self::fields(left, cut), Self::fields(right, cut));
                if here != there {
                    let text = format!("nodes {first} and {other} hold {here:?} and {there:?}");
                    return Err(Violation::new(text).about([*first, *other]));
                }
                let both = [(left, *other, right.shade), (right, *first, left.shade)];
                for (at, of, shade) in both {
                    let seen = at.node.shade_of(id_of(world.id(of)));
                    if at.node.member(id_of(world.id(of))).is_some() && seen != shade {
                        return Err(Violation::new(format!("of {of} {seen:?} is seen, not {shade:?}")));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Nobody is sent what it does not understand, but whom nobody had met when the feature was taken up.
#[derive(Debug, Default)]
struct NobodyIsLeftOut {
    /// Nodes that another has met while nobody used the feature.
    met: BTreeSet<NodeId>,
    /// Somebody uses the feature.
    used: bool,
}

impl Invariant<Mixed> for NobodyIsLeftOut {
    fn name(&self) -> &'static str {
        "nobody is left out"
    }

    fn stepped(&mut self, world: &World<'_, Mixed>, node: Addr) -> Result<(), Violation> {
        match world.machine(node) {
            Some(machine) if machine.refused > 0 && self.met.contains(&id_of(world.id(node))) => {
                Err(Violation::new(format!("{node} refused a datagram")))
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, _at: Instant, node: Addr, event: &Event<Addr>) -> Result<(), Violation> {
        match event {
            Event::Member { member, .. } if !self.used && member.id != id_of(node) => drop(self.met.insert(member.id)),
            Event::Features { .. } => self.used = true,
            Event::Incompatible { id, .. } if [*id, id_of(node)].iter().all(|id| self.met.contains(id)) => {
                return Err(Violation::new(format!("{node} does not understand {id}")));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A planted fault is to be found, and not to be minimised or waited for.
fn checker(mix: Mix) -> Checker<Mixed> {
    let checker = Checker::new(mix.clone()).invariant(|_: &Expectations| SameFields);
    if mix.fault.is_some() { checker.settle(5).most_runs(1) } else { checker }
}

fn back_and_forth(fault: Option<VersionFault>) -> Checker<Mixed> {
    checker(Mix { node: Config::default(), order: Order::BackAndForth, fault })
}

fn every_class() -> Swarm {
    let mut swarm = Swarm::default();
    swarm.classes.retain(|class| *class != "skew");
    swarm.classes.extend(["clock", "twin", "narrow", "seedless", "deploy", "flap"]);
    swarm
}

/// Some of these stay alone for days, which takes long to simulate.
fn every_class_and_absences() -> Swarm {
    let mut swarm = every_class();
    swarm.classes.push("absence");
    swarm
}

fn rolling(fault: Option<VersionFault>) -> Checker<Mixed> {
    checker(Mix { node: Config::default(), order: Order::Rolling, fault }).invariant(|_| NobodyIsLeftOut::default())
}

/// Nobody is cut off or stands still before it has met the others, nor starts anew: two groups that never heard of each other
/// agree on features that the other lacks.
fn known_to_each_other() -> Swarm {
    let classes = vec!["loss", "duplicate", "delay", "deploy"];
    Swarm { nodes: 3..=8, writes: 8..=24, seconds: 60, classes, ..Swarm::default() }
}

#[test]
fn nodes_that_change_their_version_back_and_forth_lose_nothing() {
    println!("{}", back_and_forth(None).sweep(&every_class(), 0..150).unwrap());
}

#[test]
fn a_rolling_upgrade_ends_with_the_feature_that_all_have() {
    println!("{}", rolling(None).sweep(&known_to_each_other(), 0..60).unwrap());
}

/// Shares a number of scenarios out among the cores: three quarters back and forth, some of them with absences, or the last
/// quarter rolling.
fn on_all_cores(check: impl Fn(Range<u64>) + Sync) {
    let cases: u64 = std::env::var("GOSSIP_CASES").map_or(20_000, |cases| cases.parse().expect("a number"));
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let check = &check;
    std::thread::scope(|scope| {
        for core in 0..cores {
            scope.spawn(move || check(cases * core / cores..cases * (core + 1) / cores));
        }
    });
}

fn part(numbers: &Range<u64>, hundredths: u64) -> u64 {
    numbers.start + (numbers.end - numbers.start) * hundredths / 100
}

#[test]
#[ignore = "takes half an hour: three quarters of GOSSIP_CASES"]
fn as_many_scenarios_of_two_versions_back_and_forth_as_asked_for() {
    on_all_cores(|numbers| {
        let (absences, middle) = (part(&numbers, 1), part(&numbers, 75));
        println!("{}", back_and_forth(None).sweep(&every_class_and_absences(), numbers.start..absences).unwrap());
        println!("{}", back_and_forth(None).sweep(&every_class(), absences..middle).unwrap());
    });
}

#[test]
#[ignore = "takes minutes: a quarter of GOSSIP_CASES"]
fn as_many_scenarios_of_a_rolling_upgrade_as_asked_for() {
    on_all_cores(|numbers| {
        println!("{}", rolling(None).sweep(&known_to_each_other(), part(&numbers, 75)..numbers.end).unwrap());
    });
}

#[track_caller]
fn is_found(found: Result<gossip_testkit::Sweep, Failure>, by: &[&str]) {
    let failure = found.map(|sweep| sweep.to_string()).unwrap_err();
    println!("{failure}");
    assert!(by.contains(&failure.invariant()), "{failure}");
}

#[test]
fn an_old_node_that_drops_fields_is_found() {
    let fault = Some(VersionFault::DropsFields);
    is_found(
        back_and_forth(fault).sweep(&Swarm { nodes: 2..=4, ..every_class() }, 0..20),
        &["same fields", "silence when idle", "convergence: all live replicas hold the same"],
    );
}

#[test]
fn a_hash_without_the_fields_is_found() {
    let fault = Some(VersionFault::HidesFields);
    is_found(
        back_and_forth(fault).sweep(&Swarm { nodes: 2..=4, ..every_class() }, 0..20),
        &["same fields", "silence when idle", "convergence: all live replicas hold the same"],
    );
}

#[test]
fn a_feature_that_most_switch_on_is_found() {
    let fault = Some(VersionFault::Majority);
    is_found(rolling(fault).sweep(&known_to_each_other(), 0..60), &["nobody is left out"]);
}

/// Traffic at rest of a cluster of both versions, beside one of a single version.
#[test]
fn a_mixed_cluster_costs_what_a_pure_one_does() {
    let sent = |next: &[u32]| {
        let mix = Mix { node: Config::default(), order: Order::Rolling, fault: None };
        let mut cluster = Cluster::<Mixed>::builder(10, mix).seed(1).build();
        cluster.run_for(Duration::from_secs(10));
        for node in next {
            cluster.with(*node, |machine, _| machine.node.speak_next(7));
        }
        cluster.run_for(Duration::from_secs(60));
        cluster.measure(Duration::from_secs(300)).bytes
    };
    let (pure, mixed) = (sent(&[]), sent(&[1, 3, 5, 7]));
    assert!(mixed * 100 <= pure * 105, "{mixed} bytes, {pure} without the new version");
}
