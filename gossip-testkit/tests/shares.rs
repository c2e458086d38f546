//! Shares: counters and sets that outlive their members, and what entries of members' own would lose.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use gossip_core::{Config, Input, Instant, Node, NodeId, Typed, TypedError};
use gossip_testkit::laws::{self, Step};
use gossip_testkit::{
    Addr, Boot, Checker, Cluster, Command, Counters, Dice, Machine, Outgoing, Scenario, Swarm, Window, Wrapper, check,
    id_of,
};
use serde::{Deserialize, Serialize};

const COUNT: Typed<u64> = Typed::new("visits");

/// The counter as it was over entries of the members' own.
fn count_own(node: &mut Node<Addr>, now: Instant) -> Result<(), TypedError> {
    let so_far = COUNT.get_own(node, node.id()).ok().flatten().unwrap_or(0);
    COUNT.put_own(node, now, &(so_far + 1)).map(drop)
}

fn counted_own(node: &Node<Addr>) -> u64 {
    COUNT.entries_named(node).filter_map(|(_, count)| count.ok()).sum()
}

fn count(node: &mut Node<Addr>, now: Instant) -> Result<(), TypedError> {
    let so_far = COUNT.get_share(node, node.id()).ok().flatten().unwrap_or(0);
    COUNT.put_share(node, now, &(so_far + 1)).map(drop)
}

fn counted(node: &Node<Addr>) -> u64 {
    COUNT.shares_named(node).filter_map(|(_, count)| count.ok()).sum()
}

/// A counter of a member, one process after the other: of this one's tags.
type Tag = (NodeId, u32);

/// The set as it was: entries of the members' own, and tags that begin anew with each start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Set {
    added: BTreeSet<(String, Tag)>,
    removed: BTreeSet<Tag>,
}

const TAGS: Typed<Set> = Typed::new("tags");

fn all_own(node: &Node<Addr>) -> Set {
    let mut all = Set::default();
    for set in TAGS.entries_named(node).filter_map(|(_, set)| set.ok()) {
        all.added.extend(set.added);
        all.removed.extend(set.removed);
    }
    all
}

fn elements(set: &Set) -> BTreeSet<String> {
    set.added.iter().filter(|(_, tag)| !set.removed.contains(tag)).map(|(element, _)| element.clone()).collect()
}

const NAMES: [&str; 2] = ["x", "y"];

/// Even operations add, odd ones remove.
fn change_own(node: &mut Node<Addr>, now: Instant, operation: u64) -> Result<(), TypedError> {
    let name = NAMES[operation as usize / 2];
    let mut own = TAGS.get_own(node, node.id()).ok().flatten().unwrap_or_default();
    if operation.is_multiple_of(2) {
        let next = own.added.iter().map(|(_, (_, number))| number + 1).max().unwrap_or(0);
        own.added.insert((name.to_owned(), (node.id(), next)));
    } else {
        let known = all_own(node).added;
        own.removed.extend(known.iter().filter(|(element, _)| element == name).map(|(_, tag)| *tag));
    }
    TAGS.put_own(node, now, &own).map(drop)
}

fn ideal(elements: &mut BTreeSet<String>, operation: u64) {
    let name = NAMES[operation as usize / 2].to_owned();
    if operation.is_multiple_of(2) {
        elements.insert(name)
    } else {
        elements.remove(&name)
    };
}

#[test]
fn a_fold_over_own_entries_loses_what_a_process_wrote_with_the_process() {
    let lost = laws::outlives(1, |node, now, _| count_own(node, now), counted_own, |total, _| *total += 1).unwrap_err();
    println!("{lost}");
    assert!(matches!(lost.steps[..], [Step::Does { .. }, Step::Restarts { .. } | Step::IsAway { .. }]), "{lost}");
    assert_eq!((lost.is, lost.ought), (0, 1));
    let lost = laws::outlives(4, change_own, |node| elements(&all_own(node)), ideal).unwrap_err();
    println!("{lost}");
    assert!((2..=3).contains(&lost.steps.len()), "{lost}");
}

// A planted bug: a process that writes before others have told it what the one before it had written.
#[test]
fn a_fold_over_shares_that_does_not_wait_for_them_loses_what_it_does_not_know() {
    let eager = |node: &mut Node<Addr>, now, _| {
        node.claim_shares();
        count(node, now)
    };
    let lost = laws::outlives(1, eager, counted, |total, _| *total += 1).unwrap_err();
    println!("{lost}");
    let [
        Step::Does { .. },
        Step::Restarts { memory: false, .. } | Step::IsAway { memory: false, .. },
        Step::Does { .. },
    ] = lost.steps[..]
    else {
        panic!("{lost}")
    };
    assert_eq!((lost.is, lost.ought), (1, 2));
    laws::outlives(1, |node, now, _| count(node, now), counted, |total, _| *total += 1).unwrap();
}

// The two stories of the set, told: an element that was removed is back, and one that is added anew is never seen.
#[test]
fn in_a_set_over_own_entries_what_was_removed_is_back_after_a_restart() {
    let restart = |node| Step::Restarts { node, memory: true };
    let steps = [
        Step::Does { node: 0, operation: 0 },
        Step::Does { node: 1, operation: 1 },
        restart(1),
        restart(0),
        Step::Does { node: 0, operation: 2 },
    ];
    let lost = laws::after(&steps, change_own, |node| elements(&all_own(node)), ideal).unwrap_err();
    assert_eq!((lost.steps.len(), lost.is), (3, BTreeSet::from(["x".to_owned()])), "x is back");
    let steps = [steps[0], steps[1], steps[3], steps[4]];
    let lost = laws::after(&steps, change_own, |node| elements(&all_own(node)), ideal).unwrap_err();
    assert_eq!(
        (lost.steps.len(), lost.is),
        (4, BTreeSet::new()),
        "y is never seen: its tag was given to x, and removed"
    );
}

// Totals 15, 15, 15 became 10, 10, 10.
#[test]
fn totals_stay_through_every_kind_of_restart_and_a_departure_that_all_have_forgotten() {
    let mut cluster = Cluster::<Node<Addr>>::builder(3, Config::default()).seed(5).seeds(3).build();
    cluster.run_rounds(30);
    for at in 0..3 {
        cluster.with(at, |node, now| (0..5).try_for_each(|_| count(node, now))).unwrap();
    }
    cluster.run_rounds(10);
    let totals = |cluster: &Cluster| cluster.live().map(|(_, node)| counted(node)).collect::<Vec<_>>();
    assert_eq!(totals(&cluster), [15, 15, 15]);
    for memory in [true, false] {
        cluster.restart(2, memory);
        cluster.run_rounds(15);
        assert_eq!(totals(&cluster), [15, 15, 15], "memory: {memory}");
    }
    cluster.crash(2);
    cluster.run_for(Duration::from_secs(25 * 3_600));
    assert_eq!(totals(&cluster), [15, 15]);
    cluster.restart(2, false);
    cluster.run_rounds(20);
    assert_eq!(totals(&cluster), [15, 15, 15]);
    cluster.command(1, &Command::Leave).unwrap();
    cluster.run_rounds(10);
    cluster.crash(1);
    cluster.run_for(Duration::from_secs(26 * 3_600));
    assert!(cluster.live().all(|(_, node)| node.member(id_of(Addr(1))).is_none()), "it is forgotten as a member");
    assert_eq!(totals(&cluster), [15, 15]);
    cluster.with(0, count).unwrap();
    cluster.run_rounds(10);
    assert_eq!(totals(&cluster), [16, 16]);
    // Until somebody says that it is gone for good, also of an id that nobody remembers.
    cluster.command(0, &Command::Forget(Addr(1))).unwrap();
    cluster.run_rounds(10);
    assert_eq!(totals(&cluster), [11, 11]);
}

// A newcomer that has lost its memory together with another one may meet that first: who was there before knows better.
#[test]
fn two_of_three_that_lost_their_memory_at_once_learn_their_shares_from_the_third() {
    for seed in 0..20 {
        let mut cluster = Cluster::<Node<Addr>>::builder(3, Config::default()).seed(seed).seeds(3).build();
        cluster.run_rounds(30);
        for at in 0..3 {
            cluster.with(at, count).unwrap();
        }
        cluster.run_rounds(10);
        cluster.restart(0, false);
        cluster.restart(1, false);
        for at in 0..2 {
            let knows = |cluster: &Cluster<Node<Addr>>| cluster.node(at).knows_shares();
            cluster.run_until(Duration::from_secs(60), Duration::from_millis(50), knows).expect("others tell it");
            cluster.with(at, count).unwrap();
        }
        cluster.run_rounds(20);
        assert!(cluster.live().all(|(_, node)| counted(node) == 5 && node.stats().shares_lost == 0), "seed {seed}");
    }
}

/// The entries of random scenarios as shares, but for leases.
fn shared_out(mut scenario: Scenario<Command>) -> Scenario<Command> {
    for write in &mut scenario.writes {
        match &write.command {
            Command::Put { name, value, time_to_live: None, .. } => {
                write.command = Command::PutShare { name: name.clone(), value: value.clone() };
            }
            Command::Delete { name, .. } => write.command = Command::DeleteShare { name: name.clone() },
            _ => {}
        }
    }
    scenario
}

/// Checks as many scenarios, or as GOSSIP_CASES says. Returns how many, and what happened in them.
fn sweep(cases: u64, scenario: impl Fn(u64) -> Scenario<Command>) -> (u64, Counters) {
    let cases = std::env::var("GOSSIP_CASES").map_or(cases, |cases| cases.parse().expect("a number"));
    let mut counters = Counters::default();
    for number in 0..cases {
        counters += check::<Node<Addr>>(&scenario(number)).unwrap_or_else(|failure| panic!("{failure}")).counters;
    }
    println!("{counters}");
    (cases, counters)
}

#[test]
fn shares_converge_and_are_not_lost_under_faults_of_every_class() {
    let (cases, counters) = sweep(300, |number| shared_out(Swarm::default().scenario(number)));
    // Some are given before a start knows its shares.
    assert!(counters.commands > 3 * cases && counters.commands_refused > cases / 4, "{counters}");
}

/// Some forget others, mostly while they are cut off from them, and write meanwhile.
fn forgetful(nodes: RangeInclusive<u32>, number: u64) -> Scenario<Command> {
    let swarm = Swarm { nodes, classes: vec!["loss", "cut", "pause", "flap"], ..Swarm::default() };
    let mut scenario = shared_out(swarm.scenario(number));
    let mut dice = Dice::new(number ^ 0xf0e9);
    let nodes = scenario.nodes.len() as u64;
    let half = dice.within(1..=nodes - 1) as u32;
    let window = Window::secs(dice.within(6..=12), dice.within(25..=30));
    scenario.plan = scenario.plan.partition(0..half, half..nodes as u32, window);
    for _ in 0..dice.within(1..=3) {
        let (by, gone) = (dice.within(0..=nodes - 1) as u32, dice.within(0..=nodes - 1) as u32);
        let at = Duration::from_millis(dice.within(8_000..=24_000));
        scenario = scenario.write(at, by, Command::Forget(Addr(gone)));
    }
    scenario
}

#[test]
fn members_that_others_forget_during_a_partition_are_back_after_it_and_their_shares_agree() {
    let (cases, counters) = sweep(150, |number| forgetful(3..=8, number));
    assert!(counters.cuts >= cases && counters.commands > 3 * cases, "{counters}");
}

/// A transport that drops the address of whom its node was told to forget after some seconds of silence, until it hears from it: a
/// planted bug.
struct Obeys {
    node: Node<Addr>,
    heard: BTreeMap<Addr, Instant>,
    gone: BTreeSet<Addr>,
}

impl Wrapper for Obeys {
    type Inner = Node<Addr>;
    type Config = Config;
    type Memory = <Node<Addr> as Machine>::Memory;

    fn inner(&self) -> &Node<Addr> {
        &self.node
    }

    fn inner_mut(&mut self) -> &mut Node<Addr> {
        &mut self.node
    }

    fn inner_config(config: &Config) -> &Config {
        config
    }

    fn boot(boot: &Boot<'_, Config>, memory: Option<Self::Memory>) -> Self {
        Self { node: Machine::boot(boot, memory), heard: BTreeMap::new(), gone: BTreeSet::new() }
    }

    fn into_memory(self) -> Self::Memory {
        self.node.into_memory()
    }

    fn command(&mut self, now: Instant, command: &Command) -> Result<(), String> {
        if let Command::Forget(gone) = command
            && self.heard.get(gone).is_none_or(|heard| now.since(*heard) > Duration::from_secs(5))
        {
            self.gone.insert(*gone);
        }
        Machine::command(&mut self.node, now, command)
    }

    fn handle(&mut self, now: Instant, input: Input<'_, Addr>) -> Result<(), String> {
        if let Input::Datagram { from, .. } = input {
            self.heard.insert(*from, now);
            self.gone.remove(from);
        }
        Machine::handle(&mut self.node, now, input)
    }

    fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Outgoing> {
        loop {
            let outgoing = Machine::poll_transmit(&mut self.node, buffer)?;
            if !self.gone.contains(&outgoing.to) {
                return Some(outgoing);
            }
        }
    }
}

#[test]
fn an_address_dropped_when_its_silent_member_is_forgotten_is_two_who_forget_each_other_during_a_partition() {
    let checker = Checker::<Obeys>::new(Config::default());
    let found = (0..200).find(|&number| checker.run(&forgetful(2..=2, number)).is_err()).expect("it is found");
    let failure = checker.check(&forgetful(2..=2, found)).expect_err("it failed just now");
    let minimal: Scenario<Command> = failure.scenario().parse().unwrap();
    println!("as number {found}, in {:?} runs: {}\n{minimal}", failure.runs(), failure.invariant());
    check::<Node<Addr>>(&minimal).unwrap();
    let forgets = minimal.writes.iter().filter(|write| matches!(write.command, Command::Forget(_))).count();
    let size = (minimal.nodes.len(), minimal.writes.len(), minimal.plan.faults.len());
    assert_eq!((size, forgets), ((2, 2, 1), 2), "{failure}");
}
