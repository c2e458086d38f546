//! Members that are not reached at the addresses that they advertise: what they hear of it, and what it costs the others.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use common::{settled, settled_with};
use gossip_core::{Alert, Config, Event, Node, Problem, Relay, Status};
use gossip_testkit::{Addr, Chance, Cluster, Fault, Links, Window, id_of};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const NODES: u32 = 50;
/// An address at which there is nobody.
const NOWHERE: Addr = Addr(999);

/// Events about one member, by observer and minute.
type Log = Rc<RefCell<BTreeMap<(Addr, u64), u32>>>;

fn by(relay: Relay) -> Config {
    let mut config = Config::lan();
    config.rumor.relay = relay;
    config
}

/// Counts events about one member at those that were there before the last.
fn count(cluster: &mut Cluster, about: u32) -> Log {
    let log = Log::default();
    let events = log.clone();
    let others = cluster.nodes().len() as u32 - 1;
    cluster.on_event(move |at, node, event| {
        if node.0 < others && matches!(event, Event::Member { member, .. } if member.id == id_of(Addr(about))) {
            *events.borrow_mut().entry((node, at.as_micros() / 60_000_000)).or_default() += 1;
        }
    });
    log
}

/// Starts a node that advertises `address`, whatever its own is.
fn start_at(cluster: &mut Cluster, address: Addr) -> u32 {
    let next = cluster.nodes().len() as u32;
    let mute = cluster.partition(next, ..);
    let at = cluster.add();
    cluster.with(at.0, |node, now| {
        *node = Node::new(id_of(at), address, node.config().clone(), 1).expect("it is the others' configuration");
        node.join(now, [Addr(0)]);
    });
    cluster.clear(mute);
    at.0
}

fn advised(cluster: &Cluster, node: u32) -> Option<(Addr, Addr)> {
    cluster.node(node).health(cluster.reading(node)).into_iter().find_map(|alert| match alert.problem {
        Problem::Unreachable { advertised, seen } => Some((advertised, seen)),
        _ => None,
    })
}

fn seen_as(cluster: &Cluster, of: u32, status: Status) -> usize {
    let sees = |node: &Node<Addr>| node.member(id_of(Addr(of))).is_some_and(|member| member.status == status);
    cluster.live().filter(|(at, node)| at.0 != of && sees(node)).count()
}

/// Returns the events of the observer that has most of them.
fn at_the_worst(log: &Log) -> u32 {
    let mut at: BTreeMap<Addr, u32> = BTreeMap::new();
    log.borrow().iter().for_each(|((observer, _), events)| *at.entry(*observer).or_default() += events);
    at.into_values().max().unwrap_or_default()
}

// 13,456 events of deaths in an hour and 13 times the traffic, and the node was never told. Along links a refutation overtakes its
// suspicion: where only those counted whose suspicion had been heard, an observer had twelve events in two minutes.
#[test]
fn an_address_that_nobody_reaches_is_told_to_its_node_and_makes_no_storm() {
    for relay in [Relay::Random, Relay::Tree] {
        (1..=3).for_each(|seed| nobody_reaches_it(relay, seed));
    }
}

fn nobody_reaches_it(relay: Relay, seed: u64) {
    let mut cluster = settled_with(NODES, by(relay), seed);
    // Until the coordinates are found.
    cluster.run_for(MINUTE / 2);
    let usual = cluster.measure(5 * MINUTE);
    let wrong = start_at(&mut cluster, NOWHERE);
    let log = count(&mut cluster, wrong);
    let told = cluster.run_until(MINUTE, SECOND / 10, |cluster| advised(cluster, wrong).is_some());
    println!("told after {told:?}: {:?}", advised(&cluster, wrong));
    assert!(told.is_some_and(|time| time <= 3 * SECOND), "{told:?}");
    assert_eq!(advised(&cluster, wrong), Some((NOWHERE, Addr(wrong))));
    cluster.run_for(2 * MINUTE);
    let (worst, first) = (at_the_worst(&log), log.take().into_values().sum::<u32>());
    let costs = cluster.measure(20 * MINUTE);
    let later = log.take();
    let (most, all) = (later.values().max().copied().unwrap_or_default(), later.values().sum::<u32>());
    let ratio = costs.bytes_per_node_second() / usual.bytes_per_node_second();
    println!(
        "{relay:?}, {seed}: {first} events in the first two minutes, at most {worst} at an observer, then {all} in twenty, \
         at most {most} a minute at an observer; \
         traffic {ratio:.2} times; suspect at {} of {NODES}, dead at {}",
        seen_as(&cluster, wrong, Status::Suspect),
        seen_as(&cluster, wrong, Status::Dead),
    );
    // Two a minute: known, suspect, alive, suspect.
    assert!(worst <= 4 && most <= 2, "{worst} {most}");
    assert!(ratio <= 1.2, "{ratio}");
    assert!(advised(&cluster, wrong).is_some(), "for as long as it lasts");
    assert_eq!(seen_as(&cluster, wrong, Status::Suspect), NODES as usize);
    // It is put right.
    cluster.with(wrong, |node, now| node.set_address(now, Addr(wrong)).expect("an address like any other"));
    let back = cluster.run_until(5 * MINUTE, SECOND / 10, |cluster| {
        seen_as(cluster, wrong, Status::Alive) == NODES as usize && advised(cluster, wrong).is_none()
    });
    println!("back after {back:?}");
    assert!(back.is_some_and(|time| time <= 5 * SECOND), "{back:?}");
    assert!(cluster.agrees());
}

#[test]
fn who_is_held_as_suspect_and_dies_is_found_dead() {
    let mut cluster = settled(20, 2);
    let wrong = start_at(&mut cluster, NOWHERE);
    cluster.run_for(5 * MINUTE);
    assert_eq!(seen_as(&cluster, wrong, Status::Suspect), 20);
    cluster.crash(wrong);
    let found = cluster.run_until(10 * MINUTE, SECOND, |cluster| seen_as(cluster, wrong, Status::Dead) == 20);
    println!("found after {found:?}");
    assert!(found.is_some_and(|time| time <= 4 * MINUTE), "{found:?}");
}

#[test]
fn a_node_that_advertises_the_address_of_another_does_not_harm_it() {
    let mut cluster = settled(20, 3);
    // In a younger cluster nobody is a witness of the time for which that node was without contact.
    cluster.run_for(10 * MINUTE);
    let usual = cluster.measure(2 * MINUTE);
    let wrong = start_at(&mut cluster, Addr(3));
    let log = count(&mut cluster, 3);
    cluster.run_for(MINUTE);
    assert_eq!(advised(&cluster, wrong), Some((Addr(3), Addr(wrong))));
    cluster.run_for(2 * MINUTE);
    let costs = cluster.measure(5 * MINUTE);
    let ratio = costs.bytes_per_node_second() / usual.bytes_per_node_second();
    println!("traffic {ratio:.2} times, events about the other: {:?}", log.borrow());
    assert!(log.borrow().is_empty() && ratio <= 1.2, "{ratio}");
    cluster.with(5, |node, now| node.put(now, "name", b"value").map(drop)).expect("it can write");
    cluster.run_for(2 * SECOND);
    assert!((0..20).all(|node| cluster.node(node).get("name").is_some()));
    let all = |cluster: &Cluster| cluster.node(wrong).get("name").is_some();
    let late = cluster.run_until(MINUTE, SECOND, all);
    println!("and at that node itself after {late:?}");
    assert!(late.is_some());
}

#[test]
fn an_address_that_changes_under_a_member_is_told_to_it() {
    let mut cluster = settled(20, 4);
    // Its interface has another address from now on: what is sent to the old one is lost.
    let moved = cluster.nodes().len() as u32;
    let mute = cluster.partition(moved, ..);
    let at = cluster.add();
    let log = count(&mut cluster, 7);
    let spare = Node::new(id_of(Addr(98)), Addr(7), cluster.node(7).config().clone(), 1).expect("it is the others'");
    let node = cluster.with(7, |node, _| std::mem::replace(node, spare));
    cluster.crash(7);
    cluster.with(at.0, |place, _| *place = node);
    cluster.clear(mute);
    let advised = |cluster: &Cluster| {
        cluster
            .node(at.0)
            .health(cluster.reading(at.0))
            .into_iter()
            .any(|alert| alert.problem == Problem::Unreachable { advertised: Addr(7), seen: at })
    };
    let told = cluster.run_until(5 * MINUTE, SECOND / 10, advised);
    println!("told after {told:?}");
    assert!(told.is_some_and(|time| time <= MINUTE), "{told:?}");
    cluster.run_for(2 * MINUTE);
    // Others had reached it: it is suspect, alive, suspect, alive, and held as suspect from the third refutation on.
    let first = at_the_worst(&log);
    log.take();
    cluster.run_for(20 * MINUTE);
    println!("at most {first} events at an observer in three minutes, then {}", at_the_worst(&log));
    assert!(first <= 6 && at_the_worst(&log) == 0, "{first} {}", at_the_worst(&log));
}

/// Runs until every node has the entry; how long that took.
fn until_all_have(cluster: &mut Cluster, name: &str) -> Option<Duration> {
    cluster.run_until(5 * MINUTE, SECOND / 10, |cluster| cluster.live().all(|(_, node)| node.get(name).is_some()))
}

fn narrow_alerts(cluster: &Cluster) -> usize {
    let alerts = |(at, node): (Addr, &Node<Addr>)| node.health(cluster.reading(at.0));
    let narrow = cluster.live().flat_map(alerts).filter(|alert| matches!(alert.problem, Problem::NarrowPaths { .. }));
    narrow.count()
}

// All alive, no counter moved, nothing long ever arrived, and exchanges went on for ever at 4 to 18 times the traffic.
#[test]
fn a_path_that_swallows_what_is_long_carries_it_in_short_datagrams() {
    for relay in [Relay::Random, Relay::Tree] {
        for nodes in [2, 10] {
            let mut config = Config::lan();
            config.rumor.relay = relay;
            let mut cluster = settled_with(nodes, config, 6);
            let usual = cluster.measure(2 * MINUTE);
            let narrow = cluster.narrow(1_000);
            cluster.with(0, |node, now| node.put(now, "filling", &[7; 1_090]).map(drop)).expect("it can write");
            let filling = until_all_have(&mut cluster, "filling");
            cluster.with(1, |node, now| node.put(now, "large", &[7; 100_000]).map(drop)).expect("it can write");
            let large = until_all_have(&mut cluster, "large");
            let compared: u64 = cluster.live().map(|(_, node)| node.stats().paths_compared).sum();
            let found: u64 = cluster.live().map(|(_, node)| node.stats().paths_narrowed).sum();
            println!("{relay:?}, {nodes} nodes: {filling:?} and {large:?}, {compared} compared, {found} narrow");
            assert!(filling.is_some() && large.is_some());
            assert!(found > 0 && narrow_alerts(&cluster) > 0);
            cluster.run_for(MINUTE);
            let costs = cluster.measure(10 * MINUTE);
            let ratio = costs.bytes_per_node_second() / usual.bytes_per_node_second();
            println!("at rest {ratio:.2} times");
            assert!(ratio <= 1.2, "{ratio}");
            // The path is mended.
            cluster.clear(narrow);
            cluster.run_for(20 * MINUTE);
            assert_eq!(narrow_alerts(&cluster), 0);
        }
    }
}

#[test]
fn a_period_shorter_than_the_paths_is_told_for_as_long_as_it_is() {
    let mut cluster = settled(10, 8);
    let too_short = |cluster: &Cluster| {
        let alerts = |(at, node): (Addr, &Node<Addr>)| node.health(cluster.reading(at.0));
        let is_one = |alert: &Alert<Addr>| matches!(alert.problem, Problem::PeriodTooShort { .. });
        cluster.live().flat_map(alerts).filter(is_one).count()
    };
    cluster.run_for(MINUTE);
    assert_eq!(too_short(&cluster), 0);
    let during = Window::since(Duration::ZERO);
    let slow = Fault::Delay { on: Links::ALL, during, chance: Chance::ALWAYS, by: 3 * SECOND };
    let slow = cluster.fault(slow);
    let told = cluster.run_until(5 * MINUTE, SECOND, |cluster| too_short(cluster) == 10);
    cluster.clear(slow);
    let over = cluster.run_until(5 * MINUTE, SECOND, |cluster| too_short(cluster) == 0);
    println!("told after {told:?}, over after {over:?}");
    // The shorter of the last two round trips to each of nine counts, and a probe lasts for some three seconds.
    assert!(
        told.is_some_and(|time| time <= 2 * MINUTE) && over.is_some_and(|time| time <= MINUTE),
        "{told:?} {over:?}"
    );
    // Who is suspect just then has refuted that a few periods later.
    assert!(cluster.run_until(MINUTE / 4, SECOND, Cluster::sees_all).is_some());
}

#[test]
fn loss_of_all_lengths_alike_makes_no_path_narrow() {
    for percent in [10, 30] {
        let mut cluster = settled(20, 7);
        cluster.lose(f64::from(percent) / 100.0);
        for round in 0..20_u32 {
            for node in 0..20 {
                let name = format!("{node}-{}", round % 4);
                let value = vec![round as u8; if node % 5 == 0 { 20_000 } else { 900 }];
                cluster.with(node, |node, now| node.put(now, &name, &value).map(drop)).expect("it can write");
            }
            cluster.run_for(30 * SECOND);
        }
        let compared: u64 = cluster.live().map(|(_, node)| node.stats().paths_compared).sum();
        let found: u64 = cluster.live().map(|(_, node)| node.stats().paths_narrowed).sum();
        println!("{percent} % loss: {compared} compared, {found} narrow");
        assert!(compared > 0 && found == 0, "{compared} {found}");
    }
}

// A member that sends from another address than it receives at, behind two interfaces, is like any other.
#[test]
fn who_answers_where_it_says_may_send_from_elsewhere() {
    let mut cluster = settled(20, 5);
    let usual = cluster.measure(2 * MINUTE);
    // Node 20 sends from address 20 and advertises 21, which leads there.
    let two = start_at(&mut cluster, Addr(21));
    let log = count(&mut cluster, two);
    let forward = cluster.nodes().len() as u32;
    assert_eq!((two, forward), (20, 21));
    cluster.forward(21, 20);
    cluster.run_for(30 * SECOND);
    let costs = cluster.measure(5 * MINUTE);
    let ratio = costs.bytes_per_node_second() / usual.bytes_per_node_second();
    println!("traffic {ratio:.2} times, {:?}", log.borrow());
    assert_eq!((seen_as(&cluster, two, Status::Alive), advised(&cluster, two)), (20, None));
    assert!(log.borrow().values().sum::<u32>() <= 40 && ratio <= 1.2, "{ratio}");
}
