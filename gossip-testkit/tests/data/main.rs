//! Ends of data: a deleted entry stays deleted, whichever node was away for however long, and an expired one is gone
//! everywhere.

mod twins;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use gossip_core::inspect::Update;
use gossip_core::{Config, Event, Instant, Node, PutOptions};
use gossip_testkit::{
    Addr, Checker, Cluster, Command, Counters, Dice, Fault, Links, Nodes, Restart, Scenario, Swarm, Verdict, Window,
    Workload, Write,
};

type Sim = Node<Addr>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Time for which death certificates are kept here.
const TAU: u64 = 60;

fn brief() -> Config {
    let mut config = Config::lan();
    config.lifetimes.certificate = secs(TAU);
    // A shrunk certificate has no name, and the checker could not tell that it replaces a value.
    config.lifetimes.shrink = config.lifetimes.certificate;
    config.lifetimes.broadcast = secs(20);
    config
}

/// Puts, deletions, and values and broadcasts that expire, over more than four times τ. Networks are cut, lossy, slow
/// and damaged in the beginning. All along nodes are away in one of three ways, for shorter or longer than τ. (Groups
/// of nodes are not, since a group may bring back what the others have deleted and forgotten, as is documented. A write
/// of a node that was alone for so long is kept, although another may have deleted the name meanwhile: no node
/// remembers. Names that are written there are therefore written nowhere else.)
fn history(number: u64) -> Scenario<Command> {
    let mut classes = Swarm::default().classes;
    classes.retain(|class| !["crash", "pause"].contains(class));
    let swarm = Swarm { nodes: 3..=8, seconds: 30, classes, ..Swarm::default() };
    let mut scenario = swarm.scenario(number);
    let mut dice = Dice::new(number ^ 0xdead);
    let nodes = scenario.nodes.len() as u64;
    for _ in 0..dice.within(5..=25) {
        let (at, node) = (Duration::from_millis(dice.within(0..=250_000)), Addr(dice.within(0..=nodes - 1) as u32));
        scenario.writes.push(Write { at, node, command: Command::random(&mut dice) });
    }
    scenario.writes.sort_by_key(|write| write.at);
    for node in 0..dice.within(1..=nodes.min(3)) {
        let from = dice.within(5..=120);
        let away = if dice.within(0..=1) == 0 { dice.within(5..=TAU * 2 / 3) } else { dice.within(TAU + 10..=TAU * 2) };
        let (node, during) = (node as u32, Window::secs(from, from + away));
        if away > TAU {
            rename(&mut scenario.writes, node, &during);
        }
        let fault = match dice.within(0..=3) {
            0 => Fault::Pause { node: Addr(node), during },
            1 => {
                let rest: Nodes = (0..nodes as u32).filter(|other| *other != node).map(Addr).collect();
                Fault::Cut { on: Links::new([node], rest), both_ways: dice.within(0..=2) > 0, during }
            }
            way => {
                let restart = Some(Restart { at: secs(from + away), memory: way == 2 || dice.within(0..=1) == 0 });
                Fault::Crash { node: Addr(node), at: secs(from), restart }
            }
        };
        scenario.plan.faults.push(fault);
    }
    scenario
}

/// Number of histories: `GOSSIP_CASES` if it is set.
fn cases(unless_said: u64) -> u64 {
    std::env::var("GOSSIP_CASES").map_or(unless_said, |cases| cases.parse().expect("a number"))
}

/// Times at which no other node may know a node's write before it is away for long, or while it is. (The networks are
/// at their worst in the beginning, and heal slowly.)
fn estranged(away: &Window) -> Window {
    let from = if away.from < secs(90) { Duration::ZERO } else { away.from - secs(5) };
    Window { from, to: away.to.map(|to| to + secs(10)) }
}

/// Names written by a node that is away for long: others than it wrote before. A node that hears all and is not heard
/// deletes them for no other.
fn rename(writes: &mut [Write<Command>], node: u32, away: &Window) {
    let during = estranged(away);
    for write in writes {
        if write.node == Addr(node) && during.from <= write.at && during.to.is_none_or(|to| write.at < to) {
            let when = if write.at + secs(5) < away.from { "before" } else { "while away" };
            match &mut write.command {
                Command::Put { name, .. } | Command::Delete { name, .. } => {
                    name.push_str(&format!(" of {node} {when}"))
                }
                _ => {}
            }
        }
    }
}

// A value that travels by its descriptor: the deletion, which had left the set when the node came back, was not told to it.
#[test]
fn a_large_value_that_was_deleted_while_its_holder_was_away_ends_there_too() {
    let large = "a".repeat(1_500);
    let scenario = format!(
        "seed 0; nodes 0-2; seeds 2; at 25s node 0: put \"k0\" \"{large}\"; at 135s node 0: delete \"k0\"; \
         cut 1 -> 0,2 from 125s to 205s"
    );
    Checker::<Sim>::new(brief()).check(&scenario.parse().unwrap()).unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn nothing_is_resurrected_and_all_agree_whoever_was_away_for_however_long() {
    let checker = Checker::<Sim>::new(brief());
    let cases = cases(60);
    let mut counters = Counters::default();
    let mut deleted = 0;
    for number in 0..cases {
        let scenario = history(number);
        deleted += scenario.writes.iter().filter(|write| matches!(write.command, Command::Delete { .. })).count();
        counters += checker.check(&scenario).unwrap_or_else(|failure| panic!("{number}: {failure}")).counters;
    }
    println!("{counters}; {deleted} deletions");
    assert!(deleted > 100);
    assert!(counters.restarts_with_memory > 5 && counters.restarts_without_memory > 5 && counters.blocked > 0);
}

#[test]
fn a_broadcast_is_delivered_once_everywhere_and_gone_after_its_window_though_clocks_are_apart() {
    let mut cluster = Cluster::<Sim>::builder(20, Config::lan()).seed(3).build();
    for node in 0..20 {
        // From a second behind to a second ahead.
        cluster.skew(node, i64::from(node) * 100_000 - 950_000, 0);
    }
    cluster.run_for(secs(20));
    let delivered = Rc::new(Cell::new(BTreeMap::new()));
    let seen = delivered.clone();
    cluster.on_event(move |_, node, event| {
        if let Event::Broadcast { payload, .. } = event {
            let mut all = seen.take();
            *all.entry((node, payload.to_vec())).or_insert(0) += 1;
            seen.set(all);
        }
    });
    cluster.lose(0.1);
    for (at, payload) in [(0, b"first"), (19, b"twice"), (19, b"twice")] {
        cluster.with(at, |node, now| node.broadcast(now, payload)).unwrap();
        cluster.run_for(secs(1));
    }
    let held = |cluster: &Cluster<Sim>| -> usize {
        let stored = |node: &Sim| node.updates(Instant::ORIGIN).filter(|u| matches!(u, Update::Broadcast(_))).count();
        cluster.live().map(|(_, node)| stored(node)).sum()
    };
    cluster.run_for(secs(30));
    assert_eq!(held(&cluster), 60);
    // A simulated hour, in which it would circulate for ever if its window were counted from receipt.
    for minute in 1..60 {
        cluster.run_for(secs(60));
        // It is forgotten when it has been past its window for a quarter of an hour to half an hour.
        assert!(minute < 35 || held(&cluster) == 0, "after {minute} minutes");
    }
    let delivered = delivered.take();
    let others = |payload: &[u8], author: u32| {
        let to = delivered.iter().filter(|((node, said), _)| said == payload && *node != Addr(author));
        to.map(|(_, times)| *times).collect::<Vec<u32>>()
    };
    assert_eq!(others(b"first", 0), [1; 19]);
    assert_eq!(others(b"twice", 19), [2; 19], "equal payloads are two broadcasts");
    assert_eq!(delivered.len(), 2 * 19, "who says it needs not be told");
}

/// Bytes that a node sends per second without writes; `expiring`: while an entry expires every second.
fn idle_bytes(expiring: bool) -> f64 {
    let mut config = Config::lan();
    config.lifetimes.broadcast = secs(60);
    let mut cluster = Cluster::<Sim>::builder(20, config).seed(9).build();
    for node in 0..20 {
        cluster.skew(node, i64::from(node) * 100_000 - 950_000, 0);
    }
    cluster.run_for(secs(20));
    if expiring {
        for second in 0..60_u32 {
            cluster.with(second % 20, |node, now| node.broadcast(now, &second.to_le_bytes())).unwrap();
            let options = PutOptions::default().time_to_live(secs(60));
            let name = format!("brief {second}");
            cluster.with(second % 20, |node, now| node.put_with(now, &name, b"x", options)).unwrap();
            cluster.run_for(secs(1));
        }
    } else {
        cluster.run_for(secs(60));
    }
    // All rumors have cooled by the fifth second, and the first of what was written expires in the first.
    cluster.run_for(secs(5));
    assert_eq!(cluster.node(0).hot_rumors(), 0);
    let before = cluster.node(0).entries("").count();
    let usage = cluster.measure(secs(50));
    let gone = before - cluster.node(0).entries("").count();
    assert!(if expiring { (45..=50).contains(&gone) } else { gone == 0 }, "{gone}");
    usage.bytes as f64 / usage.nodes as f64 / 50.0
}

#[test]
fn what_expires_every_second_costs_an_idle_cluster_nothing() {
    let (silent, expiring) = (idle_bytes(false), idle_bytes(true));
    println!("{silent:.1} bytes per node and second when nothing expires, {expiring:.1} when something always does");
    assert!((expiring / silent - 1.0).abs() < 0.1, "{silent:.1} and {expiring:.1}");
}

/// A request for what was offered is lost, and while it is waited for every other offer is declined. The rumor's rounds
/// are over then: an exchange brings it, and does not wait for its time (5 s).
#[test]
fn what_was_offered_and_asked_for_in_vain_comes_within_a_second() {
    for seed in 0..10 {
        let mut cluster = Cluster::<Sim>::new(3, seed);
        cluster.run_for(secs(30));
        let lost = Rc::new(Cell::new(0));
        let counter = lost.clone();
        // Bodies for node 2, and its requests. Offers are shorter.
        cluster.rule(move |datagram| {
            let body = datagram.to == Addr(2) && datagram.payload.len() > 100;
            let request = datagram.from == Addr(2);
            if datagram.label == "rumor" && (body || request) {
                counter.set(counter.get() + 1);
                return Verdict::Lose;
            }
            Verdict::Pass
        });
        let value = "x".repeat(100);
        cluster.command(0, &Command::put("a", value)).unwrap();
        cluster.run_for(secs(1));
        assert!(lost.get() > 2, "bodies and a request were lost");
        assert!(cluster.node(2).get("a").is_some(), "with seed {seed} it has not come after a second");
    }
}
