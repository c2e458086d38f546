//! Members that come, go, move and share an id: the events that applications receive.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use common::{settled, settled_with};
use gossip_core::{Config, Event, Instant, Membership, Node, NodeId, Status, Tags};
use gossip_testkit::{Addr, Cluster, Command, id_of};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Log = Rc<RefCell<Vec<(Addr, Event<Addr>)>>>;

/// Events of every application from now on.
fn listen(cluster: &mut Cluster) -> Log {
    let log = Log::default();
    let events = log.clone();
    cluster.on_event(move |_, node, event| events.borrow_mut().push((node, event.clone())));
    log
}

/// Counts the events at `node` that report `of` in this status.
fn told(log: &Log, node: u32, of: NodeId, status: Status) -> usize {
    let says = |event: &Event<Addr>| matches!(event, Event::Member { member, .. } if member.id == of && member.status == status);
    log.borrow().iter().filter(|(who, event)| *who == Addr(node) && says(event)).count()
}

fn all_see(cluster: &Cluster, of: NodeId, status: Status) -> bool {
    cluster
        .live()
        .filter(|(_, node)| node.id() != of)
        .all(|(_, node)| node.member(of).is_some_and(|m| m.status == status))
}

/// Starts another process that claims to be `id`, and has not spoken under another id.
fn start_as(cluster: &mut Cluster, id: NodeId, seed: u64) -> u32 {
    let next = cluster.nodes().len() as u32;
    let mute = cluster.partition(next, ..);
    let at = cluster.add();
    cluster.with(at.0, |node, now| {
        *node = Node::new(id, at, node.config().clone(), seed).expect("it is the others' configuration");
        node.join(now, [Addr(0)]);
    });
    cluster.clear(mute);
    at.0
}

#[test]
fn one_who_leaves_is_seen_to_leave_not_to_die_and_its_going_is_reported_when_done() {
    let mut cluster = settled(20, 1);
    let log = listen(&mut cluster);
    cluster.command(7, &Command::Leave).expect("it runs");
    let gone = |cluster: &Cluster| all_see(cluster, id_of(Addr(7)), Status::Left) && cluster.node(7).has_left();
    let time = cluster.run_until(10 * SECOND, SECOND / 10, gone).expect("it leaves");
    println!("left after {time:?}");
    assert!(time < 3 * SECOND);
    let done = log.borrow().iter().filter(|(who, event)| *who == Addr(7) && *event == Event::Left).count();
    assert_eq!(done, 1);
    let sent = cluster.traffic(7).sent;
    cluster.run_for(2 * MINUTE);
    assert_eq!(cluster.traffic(7).sent, sent, "it answers nobody");
    assert!(cluster.node(7).poll_timeout().is_none());
    assert!(all_see(&cluster, id_of(Addr(7)), Status::Left), "nobody probes it and calls it dead");
    assert_eq!(cluster.counters().deaths, 0);
    assert!((0..20).filter(|&node| node != 7).all(|node| told(&log, node, id_of(Addr(7)), Status::Left) == 1));
}

#[test]
fn one_who_left_comes_back_when_it_joins_again() {
    let mut cluster = settled(20, 1);
    let log = listen(&mut cluster);
    for round in 1..=2 {
        cluster.command(7, &Command::Leave).expect("it runs");
        cluster.run_for(10 * SECOND);
        assert!(all_see(&cluster, id_of(Addr(7)), Status::Left));
        cluster.with(7, |node, now| node.join(now, [Addr(0)]));
        let back =
            cluster.run_until(10 * SECOND, SECOND / 10, |cluster| all_see(cluster, id_of(Addr(7)), Status::Alive));
        assert!(back.is_some_and(|time| time < 3 * SECOND), "{back:?}");
        assert!(cluster.sees_all(), "it has everybody back as well");
        let told = |node| told(&log, node, id_of(Addr(7)), Status::Alive);
        assert!((0..20).filter(|&node| node != 7).all(|node| told(node) == round), "an event for each return");
    }
    assert_eq!(cluster.counters().deaths, 0);
}

#[test]
fn a_new_address_under_the_same_id_is_followed_without_anybody_being_suspected() {
    let mut cluster = settled(10, 1);
    let log = listen(&mut cluster);
    let id = id_of(Addr(7));
    // Its socket is bound anew: the same process, reached at another address.
    let to = start_as(&mut cluster, NodeId::new(99), 1);
    let spare = Node::new(NodeId::new(98), Addr(7), Config::lan(), 1).expect("it is the preset");
    let moved = cluster.with(7, |node, _| std::mem::replace(node, spare));
    cluster.crash(7);
    cluster.with(to, |node, now| {
        *node = moved;
        node.set_address(now, Addr(to)).expect("an address like any other");
    });
    let seen = |cluster: &Cluster| {
        let at =
            |node: &Node<Addr>| node.member(id).is_some_and(|m| m.address == Addr(to) && m.status == Status::Alive);
        cluster.live().all(|(_, node)| at(node))
    };
    let time = cluster.run_until(10 * SECOND, SECOND / 10, seen).expect("all hear of it");
    println!("moved after {time:?}");
    assert!(time <= SECOND);
    cluster.run_for(MINUTE);
    assert!(seen(&cluster));
    for node in (0..10).filter(|&node| node != 7) {
        assert_eq!(told(&log, node, id, Status::Alive), 1, "one event says where it is now");
        assert_eq!(told(&log, node, id, Status::Suspect) + told(&log, node, id, Status::Dead), 0);
    }
}

#[test]
fn a_restart_with_the_same_id_at_another_address_replaces_the_one_before() {
    let mut cluster = settled(10, 1);
    let id = id_of(Addr(7));
    cluster.with(7, |node, now| node.put_own(now, "port", b"7").map(drop)).expect("it can write");
    cluster.run_for(SECOND);
    cluster.crash(7);
    let to = start_as(&mut cluster, id, 2);
    let seen = |cluster: &Cluster| {
        let at =
            |node: &Node<Addr>| node.member(id).is_some_and(|m| m.address == Addr(to) && m.status == Status::Alive);
        cluster.live().all(|(_, node)| at(node))
    };
    let time = cluster.run_until(10 * SECOND, SECOND / 10, seen).expect("all hear of it");
    println!("restarted elsewhere, seen after {time:?}");
    cluster.run_for(MINUTE);
    assert!(seen(&cluster) && cluster.agrees());
    assert_eq!(cluster.counters().deaths, 0, "it was back before anybody gave it up");
    assert!(cluster.live().all(|(_, node)| node.get_own(id, "port").is_none()), "what it owned died with its life");
    assert!(cluster.live().all(|(_, node)| node.live_members() == 10));
}

#[test]
fn two_live_nodes_with_one_id_are_told_and_make_no_storm() {
    let mut cluster = settled(10, 1);
    let quiet = cluster.measure(MINUTE).datagrams_per_node_second();
    let log = listen(&mut cluster);
    let id = id_of(Addr(7));
    let twin = start_as(&mut cluster, id, 2);
    cluster.run_for(MINUTE);
    for (one, other) in [(7, twin), (twin, 7)] {
        let conflict = Event::IdentityConflict { address: Addr(other) };
        assert!(log.borrow().iter().any(|(who, event)| *who == Addr(one) && *event == conflict), "{one} is told");
    }
    assert!((0..7).all(|node| cluster.node(node).live_members() == 10), "the others see one of them, and each other");
    let usage = cluster.measure(10 * MINUTE);
    let busy = usage.datagrams_per_node_second();
    println!("datagrams a node and second: {quiet:.2} before, {busy:.2} with a twin");
    assert!(busy < 2.0 * quiet, "{quiet} before, {busy} with a twin");
    let conflicts = log.borrow().iter().filter(|(_, event)| matches!(event, Event::IdentityConflict { .. })).count();
    assert!(conflicts < 40, "ever more rarely: {conflicts} events in eleven minutes");
    // One of them gives up.
    cluster.crash(twin);
    let back = |cluster: &Cluster| {
        cluster
            .live()
            .all(|(_, node)| node.member(id).is_some_and(|m| m.address == Addr(7) && m.status == Status::Alive))
    };
    let time = cluster.run_until(10 * MINUTE, SECOND, back);
    println!("the other one has its id back after {time:?}");
    assert!(time.is_some());
}

#[test]
fn a_given_membership_spreads_everything_and_probes_nobody() {
    let mut config = Config::lan();
    config.membership = Membership::Given;
    let mut cluster = Cluster::<Node<Addr>>::builder(20, config).seed(1).build();
    let probes = Rc::new(RefCell::new(0));
    let count = probes.clone();
    cluster.tap(move |datagram| *count.borrow_mut() += u32::from(datagram.label == "probe"));
    cluster.run_for(30 * SECOND);
    assert!(cluster.sees_all(), "their ids are learned on contact");
    cluster.command(3, &Command::put("limit", "10")).expect("it can write");
    let knows = |node: &Node<Addr>| node.get("limit").as_deref() == Some(b"10");
    assert!(cluster.spread(2 * SECOND, knows).t_last().is_some());
    // Nobody finds out that one has crashed: that is for the application to know.
    cluster.crash(7);
    cluster.run_for(2 * MINUTE);
    assert_eq!((cluster.counters().suspicions, cluster.counters().deaths, *probes.borrow()), (0, 0, 0));
    let peers: Vec<Addr> = (0..20).map(Addr).filter(|&peer| peer != Addr(7)).collect();
    for node in peers.clone() {
        cluster.with(node.0, |node, now| node.set_peers(now, peers.iter().copied()));
    }
    let quiet = cluster.counters().to_nobody;
    cluster.run_for(MINUTE);
    assert_eq!(cluster.counters().to_nobody, quiet, "one who is not given any more is not spoken to");
    cluster.command(4, &Command::put("limit", "11")).expect("it can write");
    assert!(cluster.spread(2 * SECOND, |node| node.get("limit").as_deref() == Some(b"11")).t_last().is_some());
    cluster.command(5, &Command::Leave).expect("it runs");
    cluster.run_for(10 * SECOND);
    assert!(cluster.node(5).has_left() && all_see(&cluster, id_of(Addr(5)), Status::Left));
}

#[test]
fn one_who_is_cut_off_is_told_that_it_is_and_that_it_is_no_more() {
    let mut cluster = settled(5, 1);
    let log = listen(&mut cluster);
    let isolated = |log: &Log| {
        let log = log.borrow();
        let of = log.iter().filter_map(|(who, event)| match event {
            Event::Isolated(isolated) => Some((*who, *isolated)),
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    cluster.partition(4, ..);
    cluster.run_for(3 * MINUTE);
    assert_eq!(isolated(&log), [(Addr(4), true)]);
    assert!(cluster.node(4).is_isolated());
    cluster.heal();
    cluster.run_for(10 * SECOND);
    assert_eq!(isolated(&log), [(Addr(4), true), (Addr(4), false)]);
    assert!(!cluster.node(4).is_isolated() && cluster.sees_all());
}

#[test]
fn one_whose_clock_is_far_behind_is_told_and_is_a_member_all_the_same() {
    let mut cluster = settled(10, 1);
    let log = listen(&mut cluster);
    let wrong = |log: &Log| {
        let log = log.borrow();
        log.iter()
            .filter(|(_, event)| matches!(event, Event::ClockWrong { .. }))
            .map(|(who, _)| *who)
            .collect::<Vec<_>>()
    };
    cluster.skew(7, -100_000_000, 0);
    cluster.restart(7, false);
    cluster.run_for(MINUTE);
    assert_eq!(wrong(&log), [Addr(7)], "said once, to the one it concerns");
    assert!(cluster.sees_all() && cluster.agrees());
    // What it writes is as new as what the others write.
    cluster.command(7, &Command::put("limit", "10")).expect("it can write");
    cluster.run_for(5 * SECOND);
    cluster.command(3, &Command::put("limit", "11")).expect("it can write");
    cluster.run_for(5 * SECOND);
    cluster.command(7, &Command::put("limit", "12")).expect("it can write");
    cluster.run_for(5 * SECOND);
    assert!(cluster.live().all(|(_, node)| node.get("limit").as_deref() == Some(b"12")));
}

/// Returns the number of reports per suspicion raised, with a fifth of all datagrams lost.
fn told_of_a_suspicion(buddy: bool) -> f64 {
    let mut config = Config::lan();
    // As in SWIM's paper, or there would be no false suspicions to look at.
    (config.probe.buddy, config.probe.repeat) = (buddy, 0);
    let mut cluster = settled_with(50, config, 1);
    let log = listen(&mut cluster);
    let raised = |cluster: &Cluster| cluster.live().map(|(_, node)| node.stats().suspicions).sum::<u64>();
    let before = raised(&cluster);
    cluster.lose(0.2);
    cluster.run_for(MINUTE);
    let raised = raised(&cluster) - before;
    assert!(raised > 50, "{raised} suspicions are too few to tell");
    let suspected =
        |event: &Event<Addr>| matches!(event, Event::Member { member, .. } if member.status == Status::Suspect);
    log.borrow().iter().filter(|(_, event)| suspected(event)).count() as f64 / raised as f64
}

// The accused hears of it before anybody else does: what reaches it and comes back is over before it was a rumor.
#[test]
fn most_false_suspicions_are_refuted_before_many_have_heard_of_them() {
    let (told, otherwise) = (told_of_a_suspicion(true), told_of_a_suspicion(false));
    println!("of a suspicion {told:.1} of 50 are told, {otherwise:.1} if the accused is not told first");
    assert!(told < otherwise / 2.0, "{told} {otherwise}");
}

fn entry_events(log: &Log) -> usize {
    log.borrow().iter().filter(|(_, event)| matches!(event, Event::Entry { .. })).count()
}

#[test]
fn a_put_of_the_value_that_is_there_is_no_event() {
    let mut cluster = settled(3, 1);
    let log = listen(&mut cluster);
    for _ in 0..5 {
        cluster.with(0, |node, now| node.put(now, "same", b"value").map(drop)).unwrap();
        cluster.run_for(5 * SECOND);
    }
    assert_eq!(entry_events(&log), 3, "one at each node");
}

#[test]
fn entries_of_a_member_are_seen_while_it_lives() {
    for leaves in [false, true] {
        let mut cluster = settled(3, 1);
        cluster.with(2, |node, now| node.put_own(now, "role", b"leader").map(drop)).unwrap();
        cluster.run_for(5 * SECOND);
        let seen = |cluster: &Cluster| [0, 1].map(|at| cluster.node(at).entries_named("role").count());
        assert_eq!(seen(&cluster), [1, 1]);
        if leaves {
            cluster.with(2, |node, now| node.leave(now));
            cluster.run_for(5 * SECOND);
        }
        let log = listen(&mut cluster);
        cluster.crash(2);
        cluster.run_for(MINUTE);
        assert_eq!(seen(&cluster), [0, 0], "gone with its life");
        assert_eq!(entry_events(&log), if leaves { 0 } else { 2 });
        cluster.restart(2, false);
        cluster.run_for(5 * SECOND);
        assert_eq!(seen(&cluster), [0, 0], "its next life has not said so");
    }
}

#[test]
fn one_that_wakes_after_a_day_brings_nobody_back_from_the_dead() {
    let mut cluster = settled(5, 1);
    cluster.with(4, |node, now| node.put_own(now, "role", b"db").map(drop)).unwrap();
    // Those that live for hours are remembered for a day.
    cluster.run_for(13 * 60 * MINUTE);
    cluster.pause(3);
    cluster.crash(4);
    cluster.run_for(26 * 60 * MINUTE);
    assert!((0..3).all(|at| cluster.node(at).members().count() == 3), "both are forgotten");
    let log = listen(&mut cluster);
    cluster.resume(3);
    cluster.run_for(MINUTE);
    assert!(cluster.sees_all(), "they find each other");
    let dead = id_of(Addr(4));
    let lives = |node: &Node<Addr>| node.member(dead).is_some_and(|member| member.status == Status::Alive);
    assert!(cluster.live().all(|(_, node)| !lives(node) && node.entries_named("role").count() == 0));
    assert_eq!((0..3).map(|at| told(&log, at, dead, Status::Alive)).sum::<usize>(), 0);
}

#[test]
fn twenty_departures_in_the_name_of_others_dissolve_nothing() {
    let mut cluster = settled(20, 1);
    let log = listen(&mut cluster);
    // One member declares all others gone, as if it knew.
    for of in 1..20 {
        cluster.with(0, |node, now| node.forget(now, id_of(Addr(of))));
    }
    cluster.run_for(10 * SECOND);
    assert!(cluster.sees_all(), "{}", cluster.disagreement());
    let believed = (1..20).flat_map(|at| (1..20).map(move |of| (at, of)));
    let believed = believed.filter(|(at, of)| told(&log, *at, id_of(Addr(*of)), Status::Left) > 0).count();
    assert_eq!(believed, 0, "objections came first");
}

// Records of the dead took the room of the living for a day.
#[test]
fn at_the_bound_a_newcomer_takes_the_place_of_one_that_is_dead() {
    let mut config = Config::lan();
    config.limits.members = 4;
    let mut cluster = settled_with(4, config, 1);
    cluster.crash(3);
    let dead = |cluster: &Cluster| all_see(cluster, id_of(Addr(3)), Status::Dead);
    cluster.run_until(MINUTE, SECOND, dead).expect("its death is noticed");
    let newcomer = cluster.add();
    let there = |cluster: &Cluster| (0..3).all(|node| cluster.node(node).member(id_of(newcomer)).is_some());
    let time = cluster.run_until(MINUTE, SECOND / 10, there);
    assert!(time.is_some_and(|time| time < 5 * SECOND), "{time:?}");
}

#[test]
fn tags_that_change_under_loss_are_seen_by_all_and_end_nothing() {
    let mut cluster = settled(20, 3);
    cluster.lose(0.2);
    let log = listen(&mut cluster);
    cluster.with(5, |node, now| node.put_own(now, "load", b"7")).expect("there is room");
    let boot = cluster.node(5).member(id_of(Addr(5))).expect("itself").boot;
    for round in 0..10 {
        let tags = Tags::of([("round", round.to_string())]).expect("they are small");
        cluster.with(5, |node, now| node.set_tags(now, tags)).expect("there is room");
        cluster.run_for(SECOND);
    }
    let seen = |cluster: &Cluster| {
        let last = |node: &Node<Addr>| node.member(id_of(Addr(5))).is_some_and(|member| member.has_tag("round", "9"));
        cluster.live().all(|(_, node)| last(node) && node.get_own(id_of(Addr(5)), "load").is_some())
    };
    cluster.run_until(20 * SECOND, SECOND, seen).expect("all see the last");
    assert_eq!(cluster.node(7).member(id_of(Addr(5))).expect("a member").boot, boot);
    assert_eq!(told(&log, 7, id_of(Addr(5)), Status::Dead), 0);
    cluster.run_until(60 * SECOND, SECOND, Cluster::agrees).expect("they agree");
}

/// Mean time until all that live see a crash, of several crashes, and the longest time for which a live member was seen dead
/// by another than the last node.
fn crashes(cluster: &mut Cluster, nodes: u32) -> (Duration, Duration) {
    type Dead = BTreeMap<(Addr, Addr), Instant>;
    let dead: Rc<RefCell<(Dead, Duration)>> = Rc::default();
    let seen = dead.clone();
    cluster.on_event(move |at, observer, event| {
        let Event::Member { member, .. } = event else { return };
        let (dead, longest) = &mut *seen.borrow_mut();
        let pair = (observer, member.address);
        if observer.0 < nodes && member.status == Status::Dead {
            dead.entry(pair).or_insert(at);
        } else if let Some(since) = dead.remove(&pair) {
            *longest = (*longest).max(at.since(since));
        }
    });
    let victims = [3, 7, 11];
    let mut all = Duration::ZERO;
    for victim in victims {
        cluster.run_for(4 * SECOND);
        cluster.crash(victim);
        let found = |cluster: &Cluster| {
            let sees = |node: &Node<Addr>| node.member(id_of(Addr(victim))).is_some_and(|m| m.status == Status::Dead);
            cluster.live().filter(|(at, _)| at.0 < nodes).all(|(_, node)| sees(node))
        };
        all += cluster.run_until(2 * MINUTE, SECOND / 20, found).expect("it is found dead");
    }
    cluster.run_for(8 * SECOND);
    let (dead, longest) = dead.take();
    let still = dead.iter().filter(|((_, of), _)| cluster.get(of.0).is_some());
    let longest = still.map(|(_, since)| cluster.now().since(*since)).max().unwrap_or_default().max(longest);
    (all / victims.len() as u32, longest)
}

// One that probes every two milliseconds and waits for one: nobody ever answers in time, so it accuses everybody, and
// declares them dead, for ever.
#[test]
fn a_member_that_accuses_everybody_delays_no_crash_and_buries_nobody() {
    const NODES: u32 = 30;
    let (mut alone, mut beside, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for seed in 1..=2 {
        alone += crashes(&mut settled(NODES, seed), NODES).0;
        let mut cluster = settled(NODES, seed);
        let mut config = Config::lan();
        let probe = &mut config.probe;
        (probe.period, probe.timeout) = (Duration::from_millis(2), Duration::from_millis(1));
        (probe.repeat, probe.indirect, probe.max_health) = (0, 0, 0);
        let mute = cluster.partition(NODES, ..);
        let accuser = cluster.add();
        cluster.with(accuser.0, |node, now| {
            *node = Node::new(id_of(accuser), accuser, config, seed).expect("it can work");
            node.join(now, [Addr(0)]);
        });
        cluster.clear(mute);
        cluster.run_for(4 * SECOND);
        let (mean, dead) = crashes(&mut cluster, NODES);
        let stats = cluster.node(accuser.0).stats();
        println!("seed {seed}: {mean:?}, dead for {dead:?}, {} suspicions, {} deaths", stats.suspicions, stats.deaths);
        assert!(stats.suspicions > 1_000, "it accuses: {}", stats.suspicions);
        beside += mean;
        longest = longest.max(dead);
    }
    println!("alone {:?}, beside the accuser {:?}", alone / 2, beside / 2);
    assert!(longest <= 5 * SECOND, "a live member was seen dead for {longest:?}");
    assert!(beside <= alone * 6 / 5, "{:?} against {:?}", beside / 2, alone / 2);
}
