//! Values larger than a datagram, in a cluster: whole everywhere, under loss and crashes.

use std::time::Duration;

use gossip_core::{Config, Node};
use gossip_testkit::{Addr, Cluster, Verdict};

type Sim = Node<Addr>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A value of which no two stretches are equal.
fn value(seed: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|at| ((at + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

const MEGABYTE: usize = 1 << 20;

fn twenty(seed: u64) -> Cluster<Sim> {
    let mut cluster = Cluster::<Sim>::builder(20, Config::lan()).seed(seed).build();
    cluster.run_for(secs(20));
    cluster
}

fn assert_nobody_was_given_up(cluster: &Cluster<Sim>) {
    assert_eq!(cluster.counters().false_deaths, 0);
    for (_, node) in cluster.live() {
        assert_eq!(node.transfers(), (0, 0));
        let stats = node.stats();
        assert_eq!((stats.outbox_unsendable, stats.updates_oversized, stats.transfers_refused), (0, 0, 0), "{stats:?}");
    }
}

#[test]
fn a_megabyte_reaches_twenty_nodes_under_ten_percent_loss() {
    for seed in 0..5 {
        let mut cluster = twenty(seed);
        let sent = cluster.counters().bytes;
        cluster.lose(0.1);
        let value = value(seed, MEGABYTE);
        cluster.with(7, |node, now| node.put(now, "large", &value)).unwrap();
        let spread = cluster.spread(secs(60), |node| node.get("large").is_some());
        assert!(spread.residue() == 0.0, "{:?}", spread.times());
        let copies = (cluster.counters().bytes - sent) as f64 / (19 * MEGABYTE) as f64;
        println!("{:?} until all of 20 have a megabyte, {copies:.2} bytes sent for each of theirs", spread.t_last());
        assert!(spread.t_last() < Some(secs(10)) && copies < 1.4);
        cluster.run_for(secs(15));
        assert!(cluster.live().all(|(_, node)| node.get("large").as_deref() == Some(&value[..])));
        assert!(cluster.agrees());
        assert_nobody_was_given_up(&cluster);
    }
}

#[test]
fn a_megabyte_reaches_twenty_nodes_though_its_author_dies_when_one_other_has_it_whole() {
    for seed in 0..5 {
        let mut cluster = twenty(seed);
        cluster.lose(0.1);
        let value = value(seed, MEGABYTE);
        cluster.with(7, |node, now| node.put(now, "large", &value)).unwrap();
        let whole = |cluster: &Cluster<Sim>| cluster.live().filter(|(_, node)| node.get("large").is_some()).count();
        cluster.run_until(secs(60), Duration::from_micros(100), |cluster| whole(cluster) > 1).unwrap();
        let others = whole(&cluster) - 1;
        let half = cluster.live().filter(|(_, node)| node.transfers().1 > 0).count();
        cluster.crash(7);
        assert!(others < 5 && half > 1, "{others} had it whole, {half} in part");
        let took = cluster.run_until(secs(60), Duration::from_millis(10), |cluster| whole(cluster) == 19);
        println!("{others} had it whole and {half} in part when its author died; all of 19 after {took:?}");
        assert!(took < Some(secs(30)) && took.is_some());
        cluster.run_for(secs(60));
        assert!(cluster.live().all(|(_, node)| node.get("large").as_deref() == Some(&value[..])));
        assert!(cluster.agrees());
        assert_nobody_was_given_up(&cluster);
    }
}

#[test]
fn what_is_overwritten_all_the_time_ends_as_the_last_that_was_written() {
    let mut cluster = twenty(3);
    cluster.lose(0.1);
    let last = value(29, MEGABYTE);
    for round in 0..30 {
        let at = (round % 20) as u32;
        cluster.with(at, |node, now| node.put(now, "large", &value(round, MEGABYTE))).unwrap();
        cluster.run_for(Duration::from_millis(40));
    }
    let has = |node: &Sim| node.get("large").as_deref() == Some(&last[..]);
    let all = |cluster: &Cluster<Sim>| cluster.live().all(|(_, node)| has(node));
    let took = cluster.run_until(secs(60), Duration::from_millis(10), all);
    println!("{took:?} after the last of thirty");
    assert!(took.is_some());
    let overtaken: u64 = cluster.live().map(|(_, node)| node.stats().transfers_overtaken).sum();
    assert!(overtaken > 20, "{overtaken}");
    cluster.run_for(secs(15));
    assert_nobody_was_given_up(&cluster);
}

#[test]
fn a_newcomer_ends_with_all_of_a_hundred_large_values_and_idles_then() {
    let mut cluster = Cluster::<Sim>::builder(5, Config::lan()).seed(2).build();
    cluster.run_for(secs(10));
    for n in 0..100 {
        cluster.with(n % 5, |node, now| node.put(now, &n.to_string(), &value(n.into(), 100_000))).unwrap();
        cluster.run_for(Duration::from_millis(50));
    }
    cluster.run_for(secs(60));
    let loss = cluster.lose(0.1);
    let newcomer = cluster.add().0;
    let sent = cluster.counters().bytes;
    let whole = |cluster: &Cluster<Sim>| cluster.get(newcomer).is_some_and(|node| node.entries("").count() == 100);
    let took = cluster.run_until(secs(120), Duration::from_millis(10), whole);
    let copies = (cluster.counters().bytes - sent) as f64 / 10_000_000.0;
    println!("{took:?} for ten megabytes in a hundred values, {copies:.3} bytes sent for each");
    assert!(took.is_some_and(|took| took < secs(60)) && copies < 1.3);
    cluster.clear(loss);
    cluster.run_for(secs(60));
    let usage = cluster.measure(secs(60));
    assert!(usage.bytes_per_node_second() < 150.0, "{}", usage.bytes_per_node_second());
    assert_nobody_was_given_up(&cluster);
}

#[test]
fn where_rumors_and_mail_are_lost_anti_entropy_alone_brings_large_values() {
    let mut cluster = Cluster::<Sim>::builder(8, Config::lan()).seed(4).build();
    cluster.run_for(secs(10));
    cluster.rule(|datagram| if datagram.label == "rumor" { Verdict::Lose } else { Verdict::Pass });
    cluster.with(3, |node, now| node.put(now, "large", &value(1, 200_000))).unwrap();
    let all = |cluster: &Cluster<Sim>| cluster.live().all(|(_, node)| node.get("large").is_some());
    let took = cluster.run_until(secs(120), Duration::from_millis(10), all);
    println!("{took:?} by anti-entropy alone");
    assert!(took.is_some(), "{}", cluster.disagreement());
}
