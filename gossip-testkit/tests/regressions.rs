//! Faults of other implementations with members, each as the story in which it occurred.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::{settled, settled_with};
use gossip_core::{Config, Event, Status};
use gossip_testkit::{Addr, Chance, Cluster, Verdict, id_of};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn opinion(cluster: &Cluster, node: u32, of: u32) -> Option<Status> {
    cluster.node(node).member(id_of(Addr(of))).map(|member| member.status)
}

fn wait_for(cluster: &mut Cluster, what: &str, is_true: impl FnMut(&Cluster) -> bool) {
    assert!(cluster.run_until(2 * MINUTE, SECOND / 10, is_true).is_some(), "{what}");
}

// A node that refuted a suspicion was sent "you are dead" all the same, left the cluster and had no timer armed: two
// nodes at 10 % loss fell silent for ever.
#[test]
fn one_who_is_told_that_it_is_dead_says_that_it_is_not_and_goes_on() {
    for nodes in [2, 3] {
        let mut cluster = settled(nodes, 1);
        cluster.pause(1);
        wait_for(&mut cluster, "its death is noticed", |cluster| opinion(cluster, 0, 1) == Some(Status::Dead));
        let before = cluster.node(1).stats().refutations;
        // What it said in time is lost, what is said of it is not.
        let mute = cluster.cut(gossip_testkit::Links::new(1, ..), false);
        cluster.resume(1);
        cluster.run_for(MINUTE);
        assert!(cluster.node(1).poll_timeout().is_some(), "it waits for something");
        cluster.clear(mute);
        wait_for(&mut cluster, "it is back", Cluster::sees_all);
        assert!(cluster.node(1).stats().refutations > before);
        cluster.run_for(MINUTE);
        assert!(cluster.sees_all() && cluster.live().all(|(_, node)| node.poll_timeout().is_some()));
    }
}

// The same by chance: at heavy loss suspicions, deaths and refutations cross each other all the time.
#[test]
fn two_nodes_at_heavy_loss_never_fall_silent() {
    let mut config = Config::lan();
    config.probe.repeat = 0;
    let mut cluster = settled_with(2, config, 1);
    cluster.lose(Chance::percent(60));
    for _ in 0..100 {
        let before = [cluster.traffic(0).sent, cluster.traffic(1).sent];
        cluster.run_for(10 * SECOND);
        assert!((0..2).all(|node| cluster.traffic(node).sent > before[node as usize]), "somebody has fallen silent");
    }
    assert!(cluster.counters().deaths > 0 && cluster.counters().suspicions > 0, "something happened");
}

// Alive@1 → Dead@1 → Dead@10, dropped because the member was dead already → a stale Alive@2 revives it.
#[test]
fn a_newer_death_of_one_known_to_be_dead_outranks_older_news_of_its_life() {
    let (observer, witness, stale, member) = (0, 1, 2, 3);
    let mut cluster = settled(4, 1);
    let id = id_of(Addr(member));
    let first = cluster.node(observer).member(id).expect("all know all").incarnation;
    // The observer knows that the first life has ended, and nothing later.
    let apart = cluster.partition(observer, ..);
    wait_for(&mut cluster, "Dead@1", |cluster| opinion(cluster, observer, member) == Some(Status::Dead));
    // A second life, that one other will remember and nothing later: it stands still.
    cluster.restart(member, false);
    wait_for(&mut cluster, "Alive@2", |cluster| {
        cluster.node(stale).member(id).is_some_and(|m| m.incarnation > first && m.status == Status::Alive)
    });
    let second = cluster.node(stale).member(id).expect("just seen").incarnation;
    cluster.pause(stale);
    // A third, and its end: the observer hears of that alone.
    cluster.restart(member, false);
    wait_for(&mut cluster, "Alive@3", |cluster| {
        cluster.node(witness).member(id).is_some_and(|m| m.incarnation > second)
    });
    cluster.crash(member);
    wait_for(&mut cluster, "Dead@3", |cluster| opinion(cluster, witness, member) == Some(Status::Dead));
    let revived = Rc::new(Cell::new(false));
    let noted = revived.clone();
    cluster.on_event(move |_, node, event| {
        let alive = |event: &Event<Addr>| matches!(event, Event::Member { member, .. } if member.id == id && member.status != Status::Dead);
        if node == Addr(observer) && alive(event) {
            noted.set(true);
        }
    });
    cluster.clear(apart);
    wait_for(&mut cluster, "Dead@1 is raised to Dead@3", |cluster| {
        cluster.node(observer).member(id).is_some_and(|m| m.incarnation > second && m.status == Status::Dead)
    });
    cluster.crash(witness);
    cluster.resume(stale);
    wait_for(&mut cluster, "the last one learns of it", |cluster| {
        opinion(cluster, stale, member) == Some(Status::Dead)
    });
    cluster.run_for(MINUTE);
    assert!(!revived.get(), "the stale record has revived the member");
    assert!(opinion(&cluster, observer, member) == Some(Status::Dead));
}

// A one-shot join lost to 1 % datagram loss isolates a node for good.
#[test]
fn a_join_is_repeated_until_it_is_answered() {
    // However many of the first datagrams are lost, either way: sixteen are repeated in quick succession, the others at
    // the pace of healing.
    for (lost, limit) in [(1, 2), (2, 3), (5, 4), (15, 9), (50, 300)] {
        let mut cluster = settled(5, 1);
        let left = RefCell::new(lost);
        cluster.rule(move |datagram| {
            let left = &mut *left.borrow_mut();
            if *left > 0 && (datagram.from == Addr(5) || datagram.to == Addr(5)) {
                *left -= 1;
                return Verdict::Lose;
            }
            Verdict::Pass
        });
        cluster.add();
        let time = cluster.run_until(SECOND * limit, SECOND / 10, Cluster::sees_all);
        println!("the first {lost} datagrams lost: joined after {time:?}");
        assert!(time.is_some(), "{lost} lost, and not joined after {limit} s");
    }
}

// A restart with the same identity diverges for good.
#[test]
fn a_restart_with_the_same_identity_converges_whatever_it_remembers() {
    for memory in [false, true] {
        for (away, what) in [(Duration::ZERO, "at once"), (MINUTE, "after it was declared dead")] {
            let mut cluster = settled(5, 1);
            for write in ["a", "b"] {
                cluster.with(3, |node, now| node.put(now, write, b"before").map(drop)).expect("it can write");
            }
            cluster.run_for(SECOND);
            cluster.crash(3);
            cluster.run_for(away);
            cluster.with(1, |node, now| node.put(now, "a", b"meanwhile").map(drop)).expect("it can write");
            cluster.restart(3, memory);
            cluster.with(3, |node, now| node.put(now, "c", b"after").map(drop)).expect("it can write");
            let whole = |cluster: &Cluster| cluster.sees_all() && cluster.agrees();
            let time = cluster.run_until(MINUTE, SECOND / 10, whole);
            println!("restarted {what}, memory {memory}: whole after {time:?}");
            assert!(time.is_some_and(|time| time < 10 * SECOND), "{what}, memory {memory}: {time:?}");
            for (name, value) in [("a", "meanwhile"), ("b", "before"), ("c", "after")] {
                assert!(cluster.live().all(|(_, node)| node.get(name).as_deref() == Some(value.as_bytes())), "{name}");
            }
        }
    }
}

// The same with a clock that was set back in between: its first incarnation is lower than its last.
#[test]
fn a_restart_with_a_clock_that_was_set_back_outranks_its_own_past() {
    let mut cluster = settled(5, 1);
    let before = cluster.node(0).member(id_of(Addr(3))).expect("all know all").incarnation;
    cluster.crash(3);
    // To before its own start, fifteen seconds ago.
    cluster.skew(3, -100_000_000, 0);
    cluster.restart(3, false);
    let whole = |cluster: &Cluster| cluster.sees_all() && cluster.agrees();
    let time = cluster.run_until(MINUTE, SECOND / 10, whole);
    println!("whole after {time:?}");
    assert!(time.is_some_and(|time| time < 10 * SECOND), "{time:?}");
    assert!(cluster.node(0).member(id_of(Addr(3))).is_some_and(|m| m.incarnation > before));
}

// One node that comes back from isolation believes that all others are dead, and has records that say so.
#[test]
fn the_records_of_one_who_was_cut_off_bury_nobody() {
    let mut cluster = settled(30, 1);
    cluster.partition(29, ..);
    cluster.run_for(10 * MINUTE);
    assert!(cluster.node(29).live_members() == 1, "it has given up everybody");
    let before = *cluster.counters();
    cluster.heal();
    cluster.run_for(MINUTE);
    assert!(cluster.sees_all());
    assert_eq!(cluster.counters().false_deaths, before.false_deaths);
    assert!(cluster.counters().suspicions > before.suspicions, "they were suspected, and refuted it");
}

// Each had a record of the other's twin that outranked what the other said of itself, and gave it back with every datagram:
// also with those that gave back the like.
#[test]
fn two_who_both_have_a_twin_do_not_answer_each_other_for_ever() {
    let mut cluster = settled(6, 1);
    let quiet = cluster.measure(MINUTE).datagrams_per_node_second();
    cluster.twin(4, 0);
    cluster.twin(5, 1);
    let first = cluster.measure(MINUTE).datagrams_per_node_second();
    let busy = cluster.measure(10 * MINUTE).datagrams_per_node_second();
    println!("datagrams a node and second: {quiet:.2} before, {first:.2} and {busy:.2} with two twins");
    assert!(first < 20.0 && busy < 2.0 * quiet, "{quiet} before, {first} and {busy} with two twins");
}
