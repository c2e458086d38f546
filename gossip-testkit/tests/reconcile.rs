//! Cost of agreement when there is nothing to agree on: nearly none, whatever the number of entries and members.

use std::time::Duration;

use gossip_core::{Config, Node, PutOptions, Relay};
use gossip_testkit::{Addr, Cluster};

type Sim = Cluster<Node<Addr>>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A cluster that has met, holds this many entries, and has nothing to do.
fn at_rest(nodes: u32, entries: u32) -> Sim {
    let mut cluster = Sim::new(nodes, 1);
    cluster.run_until(secs(60), secs(1), Sim::sees_all).expect("they meet");
    for n in 0..entries {
        cluster.with(0, |node, now| node.put(now, &format!("entry-{n}"), &[7; 20]).map(drop)).unwrap();
    }
    cluster.assert_converges_within(secs(300));
    cluster.run_for(secs(120));
    cluster
}

/// Returns the bytes that a node of such a cluster sends in a second.
fn idle(nodes: u32, entries: u32) -> f64 {
    let bytes = at_rest(nodes, entries).measure(secs(200)).bytes_per_node_second();
    println!("{nodes} nodes, {entries} entries: {bytes:.1} bytes per node and second");
    bytes
}

#[track_caller]
fn assert_within_a_tenth(one: f64, other: f64) {
    assert!((one - other).abs() < 0.1 * one.min(other), "{one:.1} and {other:.1}");
}

#[test]
fn idle_bytes_do_not_follow_the_entries() {
    assert_within_a_tenth(idle(5, 0), idle(5, 10_000));
}

#[test]
fn idle_bytes_do_not_follow_the_members() {
    assert_within_a_tenth(idle(10, 0), idle(100, 0));
}

#[test]
fn a_cluster_that_was_restarted_as_a_whole_is_soon_as_quiet_as_before() {
    let mut cluster = at_rest(8, 20);
    let before = cluster.measure(secs(200)).bytes_per_node_second();
    for node in 0..8 {
        cluster.crash(node);
    }
    cluster.run_for(secs(3_600));
    for node in 0..8 {
        cluster.restart(node, true);
    }
    // For an hour each is in doubt about what it may have missed.
    cluster.run_for(secs(120));
    let after = cluster.measure(secs(200)).bytes_per_node_second();
    println!("{before:.1} bytes per node and second before a restart of all, {after:.1} after it");
    assert_within_a_tenth(before, after);
}

#[test]
#[ignore = "a million entries: run it with optimisation and a few gigabytes"]
fn idle_bytes_are_the_same_with_a_million_entries() {
    assert_within_a_tenth(idle(3, 0), idle(3, 1_000_000));
}

#[test]
#[ignore = "a thousand members for some minutes: run it with optimisation"]
fn idle_bytes_are_the_same_with_a_thousand_members() {
    assert_within_a_tenth(idle(10, 0), idle(1_000, 0));
}

#[test]
fn what_ends_every_second_under_clocks_that_differ_makes_no_replicas_look_different() {
    let mut config = Config::lan();
    // What an exchange repairs is offered along links, which is no exchange.
    config.rumor.relay = Relay::Random;
    config.lifetimes.certificate = secs(30);
    config.lifetimes.shrink = secs(15);
    let mut cluster = Sim::builder(10, config).seed(3).build();
    for node in 0..10_u32 {
        // From a second behind to a second ahead.
        cluster.skew(node, (i64::from(node) * 2_000_000 - 9_000_000) / 9, 0);
    }
    cluster.run_until(secs(60), secs(1), Sim::sees_all).expect("they meet");
    for n in 0..60 {
        let node = n % 10;
        let lives = PutOptions::default().time_to_live(secs(30));
        cluster.with(node, |node, now| node.broadcast(now, b"for a minute").map(drop)).unwrap();
        cluster
            .with(node, |node, now| node.put_with(now, &format!("key-{n}"), b"for a minute", lives).map(drop))
            .unwrap();
        cluster.run_for(secs(1));
    }
    // Rumors cool in this time; what was written last ends after it.
    cluster.run_for(secs(18));
    let held = |cluster: &Sim| cluster.node(0).reconciled(cluster.node(0).clock(cluster.reading(0))).count;
    let before = held(&cluster);
    let ending = cluster.measure(secs(40)).bytes_per_node_second();
    let after = held(&cluster);
    // A lease leaves nothing behind, a broadcast what ends later.
    assert!(before > 60 && after < 20, "two ended every second: {before}, {after}");
    cluster.run_for(secs(120));
    assert_eq!(held(&cluster), 10, "the members");
    let quiet = cluster.measure(secs(40)).bytes_per_node_second();
    println!("{ending:.1} bytes per node and second while things end, {quiet:.1} when nothing does");
    assert!((ending - quiet).abs() < quiet / 8.0, "{ending:.1} and {quiet:.1}");
}
