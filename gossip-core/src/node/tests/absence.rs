//! Absence: a node that was away itself, or in the form of a snapshot.

use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::{RestoreError, Snapshot};

fn brief() -> Config {
    let mut config = Config::lan();
    config.lifetimes.certificate = 200 * SECOND;
    config.lifetimes.shrink = 20 * SECOND;
    config.lifetimes.reap_after = 400 * SECOND;
    config
}

/// A cluster of four that knows a value of each, and what the last of them is when it goes away.
fn settled() -> Net {
    let mut net = Net::joined(4, &brief());
    for (at, node) in net.nodes.iter_mut().enumerate() {
        node.put(net.now, &std::format!("from {at}"), b"before").unwrap();
        node.put_own(net.now, "own", b"mine").unwrap();
    }
    net.run(5 * SECOND);
    assert!(net.agree());
    net
}

fn names(node: &Node<u32>) -> Vec<String> {
    node.entries("").map(|(name, _)| name.to_string()).collect()
}

/// The last node is started anew, from a snapshot if there is one.
fn restart(net: &mut Net, snapshot: Option<Snapshot<u32>>) -> Result<(), RestoreError> {
    let last = net.nodes.len() - 1;
    net.nodes[last] = node(u32::try_from(last).unwrap(), brief());
    let restored = snapshot.map_or(Ok(()), |snapshot| net.nodes[last].restore(net.now, snapshot));
    net.nodes[last].join(net.now, [0]);
    restored
}

#[test]
fn a_restart_from_a_snapshot_does_not_fetch_everything_again() {
    let fetched = |memory: bool| {
        let mut net = settled();
        for at in 0..1_000 {
            net.nodes[at % 4].put(net.now, &std::format!("key {at}"), &[7; 100]).unwrap();
            if at % 50 == 0 {
                net.run(SECOND);
            }
        }
        net.run(20 * SECOND);
        let (snapshot, boot) = (net.nodes[3].snapshot(), net.nodes[3].identity.boot);
        net.lose = |from, to| from == 3 || to == 3;
        net.run(20 * SECOND);
        net.lose = |_, _| false;
        restart(&mut net, memory.then_some(snapshot)).unwrap();
        net.run(20 * SECOND);
        assert!(net.agree() && net.nodes[3].get("key 999").is_some());
        assert!(net.nodes[3].identity.boot > boot && net.nodes[0].get_own(net.nodes[3].id(), "own").is_none());
        net.nodes[3].stats().bytes_received
    };
    let (with, without) = (fetched(true), fetched(false));
    assert!(with * 5 < without, "{with} bytes with memory, {without} without");
}

#[test]
fn old_data_restored_never_harms_newer_data() {
    let mut net = settled();
    let snapshot = net.nodes[3].snapshot();
    net.nodes[0].put(net.now, "from 3", b"after").unwrap();
    net.nodes[1].delete(net.now, "from 2").unwrap();
    net.run(50 * SECOND);
    for round in 0..3 {
        restart(&mut net, Some(snapshot.clone())).unwrap();
        if round == 2 {
            // Again, over what it has learned by now.
            net.run(5 * SECOND);
            let now = net.now;
            net.nodes[3].restore(now, snapshot.clone()).unwrap();
        }
        net.run(20 * SECOND);
        for node in &net.nodes {
            assert_eq!(names(node), ["from 0", "from 1", "from 3"]);
            assert_eq!(node.get("from 3").as_deref(), Some(&b"after"[..]));
        }
        assert!(net.agree());
    }
}

#[test]
fn what_is_written_after_a_restore_is_later_than_all_before_it_whatever_the_clock_says() {
    let mut net = settled();
    let stamp = net.nodes[3].put(net.now, "x", b"before").unwrap();
    let ahead = Update::Entry(Entry {
        owner: None,
        name: "junk".into(),
        stamp: Stamp { time: net.now + 100 * SECOND, ..stamp },
        ends: None,
        value: Some([][..].into()),
        extra: None,
    });
    net.nodes[3].replica.merge(ahead);
    let (snapshot, boot) = (net.nodes[3].snapshot(), net.nodes[3].identity.boot);
    let mut again = node(3, brief());
    // The clock was set back between the two.
    let now = net.now - 15 * SECOND;
    again.restore(now, snapshot).unwrap();
    assert_eq!(again.get("x").as_deref(), Some(&b"before"[..]));
    assert!(again.put(now, "x", b"after").unwrap() > stamp && again.identity.boot > boot);
    assert_eq!(again.get("x").as_deref(), Some(&b"after"[..]));
    assert!(again.get("junk").is_some(), "no clock decides what is a value");
}

#[test]
fn a_broadcast_is_not_delivered_again_after_a_restart() {
    let mut net = settled();
    net.nodes[0].broadcast(net.now, b"once").unwrap();
    net.run(SECOND);
    let snapshot = net.nodes[3].snapshot();
    restart(&mut net, Some(snapshot)).unwrap();
    net.run(20 * SECOND);
    assert!(!net.events(3).iter().any(|event| matches!(event, Event::Broadcast { .. })));
}

#[test]
fn a_snapshot_of_another_cluster_is_refused_and_changes_nothing() {
    let mut fresh = node(3, brief());
    let before = state(&mut fresh).0;
    let label = String::from("another");
    let mut other = node(3, Config { label: label.clone(), ..brief() });
    let refused = fresh.restore(START, other_cluster(&mut other, START));
    assert_eq!(refused, Err(RestoreError::ForeignLabel { label }));
    assert_eq!(state(&mut fresh).0, before);
}

#[test]
fn a_snapshot_of_any_age_and_of_any_clock_is_restored() {
    let mut net = settled();
    tick(&mut net.nodes[3], net.now);
    let snapshot = net.nodes[3].snapshot();
    for wall in [net.now + 10_000 * SECOND, net.now - 10_000 * SECOND] {
        let mut fresh = node(3, brief());
        // Monotonic time begins anew with the process.
        fresh.set_wall_clock(Instant::from_secs(5), wall);
        fresh.restore(Instant::from_secs(5), snapshot.clone()).unwrap();
        assert_eq!(names(&fresh).len(), 4);
    }
}

fn other_cluster(other: &mut Node<u32>, now: Instant) -> Snapshot<u32> {
    other.put(now, "x", b"y").unwrap();
    other.snapshot()
}

#[test]
fn a_shorter_absence_costs_nothing() {
    let mut net = settled();
    net.lose = |from, to| from == 3 || to == 3;
    net.run(10 * SECOND);
    net.nodes[0].delete(net.now, "from 0").unwrap();
    net.run(150 * SECOND);
    net.lose = |_, _| false;
    net.run(60 * SECOND);
    assert!(net.agree());
    assert_eq!(names(&net.nodes[3]), ["from 1", "from 2", "from 3"]);
}

#[test]
fn a_process_that_restores_its_own_past_goes_on_owning_what_it_writes() {
    for seed in 0..20_u8 {
        let mut net = Net::joined(2, &Config::lan());
        // It has refuted something: its incarnation is ahead of its life.
        let own = net.nodes[0].replica.member(net.nodes[0].id()).cloned().unwrap();
        let dead = Record { standing: Standing::Dead, until: Until::at(net.now + 3_600 * SECOND), ..own };
        net.nodes[0].learn(Update::Member(dead), super::super::learn::Source::Rumor, None);
        let snapshot = net.nodes[0].snapshot();
        let now = net.now;
        net.nodes[0].restore(now, snapshot).unwrap();
        let id = net.nodes[0].id();
        net.nodes[0].put_own(now, "seed", &[seed]).unwrap();
        assert_eq!(net.nodes[0].get_own(id, "seed").as_deref(), Some(&[seed][..]));
    }
}

#[test]
fn neither_an_absence_of_all_nor_a_wrong_clock_costs_a_value() {
    let mut net = settled();
    net.lose = |_, _| true;
    net.run(300 * SECOND);
    net.now += 10_000 * SECOND;
    net.lose = |_, _| false;
    net.run(60 * SECOND);
    assert!(net.agree());
    for at in 0..4 {
        assert_eq!(names(&net.nodes[at]).len(), 4, "{at}");
        let (now, wall) = (net.now, net.now + 1_000_000 * SECOND);
        net.nodes[at].set_wall_clock(now, wall);
    }
    net.run(60 * SECOND);
    assert!(net.nodes.iter().all(|node| names(node).len() == 4));
    assert!(net.agree());
}

/// One is away until the others have forgotten that a value was deleted; it writes something meanwhile.
fn long_absence(net: &mut Net) {
    net.run(30 * SECOND);
    net.lose = |from, to| from == 3 || to == 3;
    net.run(SECOND);
    net.nodes[0].delete(net.now, "from 0").unwrap();
    net.run(2_100 * SECOND);
    net.nodes[3].put(net.now, "meanwhile", b"alone").unwrap();
    assert!(net.nodes[..3].iter().all(|node| node.replica.reach() > 0), "the deletion is forgotten");
}

#[test]
fn what_was_deleted_and_forgotten_is_set_aside_by_one_that_was_away_and_can_be_readmitted() {
    for restarts in [false, true] {
        let mut net = settled();
        long_absence(&mut net);
        net.lose = |_, _| false;
        if restarts {
            let snapshot = net.nodes[3].snapshot();
            restart(&mut net, Some(snapshot)).unwrap();
        }
        net.events(3);
        net.run(120 * SECOND);
        assert!(net.agree());
        for node in &net.nodes {
            assert_eq!(names(node), ["from 1", "from 2", "from 3", "meanwhile"]);
        }
        let aside: Vec<_> = net.nodes[3].set_aside().collect();
        assert!(
            matches!(&aside[..], [crate::SetAside { name, value, .. }] if name == "from 0" && **value == *b"before")
        );
        assert!(net.events(3).iter().any(|event| matches!(event, Event::SetAside { count: 1 })));
        let problems = net.nodes[3].health(net.now);
        assert!(problems.iter().any(|alert| matches!(alert.problem, crate::Problem::SetAside { count: 1 })));
        // It is still there after another restart, and in portions.
        let mut again = node(3, brief());
        let (mut from, mut portions) = (Some(crate::Portion::default()), 0);
        while let Some(at) = from {
            let (portion, next) = net.nodes[3].snapshot_portion(at, 2);
            again.restore(net.now, portion).unwrap();
            (from, portions) = (next, portions + 1);
        }
        assert!(portions > 2 && again.set_aside().eq(aside.iter().cloned()) && again.get("from 0").is_none());

        let now = net.now;
        assert_eq!(net.nodes[3].readmit(now, "no such"), Ok(None));
        assert!(net.nodes[3].readmit(now, "from 0").unwrap().is_some());
        net.run(20 * SECOND);
        assert!(net.agree() && net.nodes.iter().all(|node| node.get("from 0").as_deref() == Some(b"before")));
        assert_eq!((net.nodes[3].set_aside().count(), net.nodes[3].stats().values_set_aside), (0, 1));
    }
}

#[test]
fn without_room_nothing_is_set_aside_and_that_is_counted() {
    let mut net = settled();
    long_absence(&mut net);
    net.nodes[3].aside = crate::absence::Aside::new(crate::replica::Room { items: 0, bytes: 0 });
    net.lose = |_, _| false;
    net.run(120 * SECOND);
    assert!(net.agree());
    let stats = net.nodes[3].stats();
    assert!(stats.values_not_set_aside >= 1 && stats.values_set_aside == 0);
}

#[test]
fn a_value_that_has_reached_only_one_that_went_away_is_not_set_aside_where_nothing_was_forgotten() {
    let mut net = settled();
    net.run(30 * SECOND);
    net.lose = |from, to| from == 3 || to == 3;
    net.nodes[3].put(net.now, "last", b"words").unwrap();
    net.run(1_300 * SECOND);
    net.lose = |_, _| false;
    net.run(120 * SECOND);
    assert!(net.agree() && net.nodes.iter().all(|node| node.get("last").is_some()));
    assert_eq!(net.nodes[3].set_aside().count(), 0);
}
